# A CRM with every kind of rule that there is: contacts, events, and events in
# partitions, one of which has its columns in another order.
package Crm;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw($crm $rules crm_rows scores_of_new_model);

our $crm = <<'SQL';
SET client_min_messages = warning;
CREATE TABLE contact (id int PRIMARY KEY, email text, country text, note text);
CREATE TABLE event (id int PRIMARY KEY, contact int, at timestamptz, what text, amount float8, note text);
CREATE INDEX ON event (contact, at);
CREATE TABLE visit (id int, contact int, at timestamptz, page text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE visit_2 (page text, at timestamptz NOT NULL, gone int, contact int, id int NOT NULL, PRIMARY KEY (id, at));
ALTER TABLE visit_2 DROP COLUMN gone;
ALTER TABLE visit ATTACH PARTITION visit_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE INDEX ON visit (contact, at);
SQL

our $rules = <<'SQL';
SET client_min_messages = warning;
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
SELECT leadscore.attach('m', 'visit', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, weight, decay, decay_interval)
VALUES ('m', 'buy', 'event', 'buy', 2, 'amount', 'half_life', '20 days');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, time_frame, max_per_period)
VALUES ('m', 'open', 'event', 'open', 3, '30 days', 6);
INSERT INTO leadscore.lead_rule (model, name, source, event, points, at_least)
VALUES ('m', 'often', 'event', 'open', 9, 3);
INSERT INTO leadscore.lead_rule (model, name, source, condition, points)
VALUES ('m', 'prices', 'visit', $$page = 'prices'$$, 4), ('m', 'visits', 'visit', NULL, 1);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points)
VALUES ('m', 'german', 'profile', $$country = 'DE'$$, 10);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -5, '15 days');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 30), ('m', 'hot', 2, 90);
SQL

# crm_rows gives 20 contacts, and 180 events of them and of others.
sub crm_rows
{
	return <<'SQL';
INSERT INTO contact
	SELECT g, g || '@a.example', CASE g % 3 WHEN 0 THEN 'DE' ELSE 'FR' END FROM generate_series(1, 20) g;
INSERT INTO event
	SELECT g, g % 25, timestamptz '2026-01-05 00:00+00' + g * interval '9 hours',
		CASE g % 3 WHEN 0 THEN 'buy' ELSE 'open' END, g % 7 FROM generate_series(1, 100) g;
INSERT INTO visit
	SELECT g, g % 25, timestamptz '2026-01-05 00:00+00' + g * interval '12 hours',
		CASE g % 4 WHEN 0 THEN 'prices' ELSE 'home' END FROM generate_series(1, 80) g;
SQL
}

# scores_of_new_model makes another model of the same rules over the same tables,
# gives its scores, and drops it.
sub scores_of_new_model
{
	my ($node, $database, $sql) = @_;

	$sql //= $rules;
	$sql =~ s/'m'/'fresh'/g;
	$node->safe_psql($database, $sql);
	my $scores = $node->scores($database, 'fresh');
	$node->safe_psql($database, <<'SQL');
SET client_min_messages = warning;
SELECT leadscore.drop_model('fresh');
SQL
	return $scores;
}

1;
