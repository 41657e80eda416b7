# The worker keeps the highest scores of a large model known, beside writers: it waits
# for none of them for long, and what it promises holds.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('top', worker => 1);
$node->safe_psql('postgres', 'CREATE DATABASE crm');
$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (contact int, at timestamptz DEFAULT now(), what text DEFAULT 'visit');
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT generate_series(1, 12000);
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('m', 'visit', 10, 'half_life', '90 days');
INSERT INTO event (contact) SELECT g FROM generate_series(1, 12000) g, generate_series(1, 1 + g % 97 / 10 * 3) n;
SQL

# how many have a top_score, whether all of the highest have it, and where top() differs from live_m
my $promised = "SELECT complete_from = written_from FROM leadscore_internal.top_scores";
my $holds = <<'SQL';
SELECT count(*) BETWEEN 1000 AND 10000, count(*) FILTER (WHERE (top_score >= score) IS NOT TRUE) FROM leadscore.score_m, leadscore_internal.top_scores
 WHERE score >= complete_from;
SQL
my $differs = <<'SQL';
WITH best AS (SELECT k, t.* FROM unnest(ARRAY[1, 20, 500]) k CROSS JOIN LATERAL leadscore.top('m', k) WITH ORDINALITY t (contact, score, grade, stage, place)),
	wanted AS (SELECT k, l.* FROM unnest(ARRAY[1, 20, 500]) k CROSS JOIN LATERAL (SELECT contact_id::text, score, grade, stage,
		row_number() OVER (ORDER BY score DESC, contact_id) AS place FROM leadscore.live_m ORDER BY place LIMIT k) l)
(TABLE best EXCEPT TABLE wanted) UNION ALL (TABLE wanted EXCEPT TABLE best);
SQL

# again: a worker that has just begun looks at once; the model is as if it was never looked at
sub again
{
	my ($sql) = @_;
	$node->configure(enabled => 'off');
	$node->within(10, no_worker(), 'the worker leaves');
	$node->safe_psql('crm', $sql) if $sql;
	$node->configure(enabled => 'on');
}

again('DELETE FROM leadscore_internal.top_scores');
$node->within(30, $promised, 'the worker finds from which score on', 'crm');
is($node->safe_psql('crm', $holds), 't|0', '... some thousand contacts have theirs');
is($node->safe_psql('crm', $differs), '', '... top() is right');

# a writer that does not end; one that has locked one of the highest
my ($writer, $holder) = map { $node->background_psql('crm') } 1 .. 2;
$writer->query_safe('BEGIN; INSERT INTO event (contact) SELECT g % 50 + 1 FROM generate_series(1, 2000) g');
again('DELETE FROM leadscore_internal.top_scores');
$node->within(10, "SELECT count(*) = 1 FROM leadscore.activity WHERE database = 'crm' AND phase = 'napping'", 'the worker does not wait for a writer', 'crm');
is($node->safe_psql('crm', 'SELECT count(*) FROM leadscore_internal.top_scores'), 0, '... and promises nothing');
$writer->query_safe('COMMIT');
$node->safe_psql('crm', 'SET session_replication_role = replica; UPDATE leadscore.score_m SET top_score = NULL');
$holder->query_safe("BEGIN; SELECT FROM leadscore.score_m ORDER BY score DESC LIMIT 1 FOR UPDATE");
again();
$node->within(30, 'SELECT complete_from > written_from FROM leadscore_internal.top_scores', 'writers know, but one row is left', 'crm');
is($node->safe_psql('crm', $differs), '', '... top() is right');
$holder->query_safe('COMMIT');
again();
$node->within(30, $promised, 'when it is free it gets its own', 'crm');
is($node->safe_psql('crm', $holds), 't|0', '... as all of the highest');
is($node->safe_psql('crm', $differs), '', '... top() is right');
$_->quit for $writer, $holder;
is($node->safe_psql('crm', 'SELECT message FROM leadscore.lead_worker_error'), '', 'nothing has failed');

# a trigger of the owner's that refuses it stops nothing else
$node->configure(enabled => 'off');
$node->within(10, no_worker(), 'the worker leaves');
$node->safe_psql('crm', <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'nothing has changed'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON leadscore.score_m FOR EACH ROW
	WHEN (old.state = new.state AND old.scored_at = new.scored_at) EXECUTE FUNCTION refuse();
SQL
foreach my $change ('UPDATE leadscore.lead_rule SET points = 11', q(SELECT FROM leadscore.rescore('m')))
{
	my (undef, undef, $stderr) = $node->psql('crm', "DELETE FROM leadscore_internal.top_scores; $change");
	like($stderr, qr/^\S*: *WARNING:  could not mark the highest scores of model "m": nothing has changed\nDETAIL:  Its scores[^\n]*$/, $change);
	is($node->safe_psql('crm', "SELECT * FROM leadscore.verify('m') LIMIT 1"), '', '... scores are right');
	is($node->safe_psql('crm', $differs), '', '... top() is right');
}

$node->stop;
done_testing();
