# Scores of one server beside those of another, or of before and after, row by row.
package ServerTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(quiet_node hold_clock sheet same_rows right stored caught_up fresh_model $crm $rules);

# A CRM with every kind of rule that there is: contacts, events, and events in
# partitions, one of which has its columns in another order.
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
INSERT INTO leadscore.lead_rule (model, name, source, event, points, weight, decay, decay_interval) VALUES ('m', 'buy', 'event', 'buy', 2, 'amount', 'half_life', '20 days');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, time_frame, max_per_period) VALUES ('m', 'open', 'event', 'open', 3, '30 days', 6);
INSERT INTO leadscore.lead_rule (model, name, source, event, points, at_least) VALUES ('m', 'often', 'event', 'open', 9, 3);
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('m', 'prices', 'visit', $$page = 'prices'$$, 4), ('m', 'visits', 'visit', NULL, 1);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'german', 'profile', $$country = 'DE'$$, 10);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -5, '15 days');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 30), ('m', 'hot', 2, 90);
SQL

# quiet_node makes a server, not started yet, whose worker stays away.
sub quiet_node
{
	my ($name, $conf, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--no-locale', '--encoding=UTF8' ], %init);
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'leadscore'\nleadscore.enabled = off\nfsync = off\nautovacuum = off\nmax_prepared_transactions = 5\n" . ($conf // ''));
	return $node;
}

# hold_clock has every session of a database, workers of servers included, see
# the same instant.
sub hold_clock
{
	my ($node, $db, $at) = @_;
	$node->safe_psql('postgres', "ALTER DATABASE $db SET leadscore.clock = '" . ($at // '2026-02-20 12:00+00') . "'; ALTER DATABASE $db SET timezone = 'UTC'");
}

# sheet gives what is known of each contact: exact score and categories now, the
# score in a month from the state, and that from the events alone.  Stages, which
# depend on the way there, are left out, and so is who is there until what is
# pending of him is folded in only.
sub sheet
{
	my ($node, $db, $model) = @_;
	$model //= 'm';
	return $node->safe_psql($db, <<"SQL");
SELECT contact_id, round(score::numeric, 6), round(fit::numeric, 6), round(engagement::numeric, 6), grade, disqualified, has_contact, last_event_at,
	round(leadscore.score('$model', contact_id, leadscore.clock() + '30 days')::numeric, 6),
	round(leadscore.replay('$model', contact_id)::numeric, 6)
	FROM leadscore.live_$model WHERE has_contact OR last_event_at IS NOT NULL ORDER BY contact_id
SQL
}

# stored gives the rows as they are stored.
sub stored
{
	my ($node, $db, $model) = @_;
	$model //= 'm';
	return $node->safe_psql($db, "SELECT contact_id, round(score::numeric, 6), fit, round(engagement::numeric, 6), grade, stage, disqualified, has_contact, last_event_at FROM leadscore.score_$model ORDER BY contact_id");
}

# same_rows compares two of these, and says where they differ.
sub same_rows
{
	my ($got, $wanted, $what) = @_;
	my (%left, %right);

	ok($got eq $wanted, $what) and return 1;
	$left{$_} = 1 foreach split /\n/, $wanted;
	$right{$_} = 1 foreach split /\n/, $got;
	diag("-$_") for grep { defined } (grep { !$right{$_} } sort keys %left)[ 0 .. 4 ];
	diag("+$_") for grep { defined } (grep { !$left{$_} } sort keys %right)[ 0 .. 4 ];
	return 0;
}

# right tests that what is known of each contact now is what its events give, that
# nothing changes when what is pending is folded in, and that it is stored then.
sub right
{
	my ($node, $db, $what, $model) = @_;
	my $before = sheet($node, $db, $model);
	$model //= 'm';

	$node->safe_psql($db, "SELECT leadscore.refresh('$model')");
	same_rows(sheet($node, $db, $model), $before, "$what: nothing changes when what is pending is folded in");
	is($node->safe_psql($db, "SELECT * FROM leadscore.verify('$model') LIMIT 5"), '', "$what: stored is what the events give");
	is($node->safe_psql($db, "SELECT contact_id, s.score, l.score FROM leadscore.score_$model s FULL JOIN leadscore.live_$model l USING (contact_id)
		WHERE (abs(s.score - l.score) <= 0.5 AND s.stage = l.stage) IS NOT TRUE LIMIT 5"), '', "$what: stored is what is asked for");
	return $before;
}

# fresh_model makes another model of the same rules over the same tables, gives
# its sheet, and drops it.
sub fresh_model
{
	my ($node, $db, $sql) = @_;
	$sql //= $rules;
	$sql =~ s/'m'/'fresh'/g;
	$node->safe_psql($db, $sql);
	my $sheet = sheet($node, $db, 'fresh');
	$node->safe_psql($db, "SET client_min_messages = warning; SELECT leadscore.drop_model('fresh')");
	return $sheet;
}

# caught_up waits until a subscriber has all that its publisher had.
sub caught_up
{
	my ($publisher, $subscriber, $db, @subscriptions) = @_;
	for my $name (@subscriptions)
	{
		$subscriber->wait_for_subscription_sync($publisher, $name, $db);
	}
}

1;
