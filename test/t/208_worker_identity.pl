# Who is whose, with a worker and through a dump: later events of visitors who are
# identified and of contacts that were merged reach the contact by the worker alone,
# and a copy of the database goes on as the original does.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('identity_worker', worker => 1, conf => { 'leadscore.naptime' => '1s' });
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (contact int, cookie text, at timestamptz DEFAULT now(), what text);
CREATE INDEX ON event (contact, at);
CREATE INDEX ON event (cookie, at);
INSERT INTO contact VALUES (1), (2), (3);
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what', visitor => 'cookie');
INSERT INTO leadscore.lead_rule (model, name, event, points, max_points) VALUES ('m', 'a', 'a', 10, 35);
INSERT INTO leadscore.lead_rule (model, name, event, points, award) VALUES ('m', 'b', 'b', 100, 'once');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'hot', 1, 100);
INSERT INTO event (contact, cookie, what) VALUES (1, NULL, 'a'), (2, NULL, 'a'), (NULL, 'c', 'a'), (NULL, 'd', 'a');
SELECT leadscore.merge_contacts('m', 1, 2);
SELECT leadscore.identify('m', 'c', 1);
SQL

sub scores
{
	my ($database) = @_;
	return $node->safe_psql($database, <<'SQL');
SELECT string_agg(contact_id || ':' || score || ':' || stage, ' ' ORDER BY contact_id::text) FROM
	(SELECT contact_id::text, score, stage FROM leadscore.score_m UNION ALL SELECT contact_id, score, stage
		  FROM leadscore.score_m_visitors) s
SQL
}

sub verified
{
	my ($database) = @_;
	return $node->safe_psql($database, <<'SQL');
SELECT count(*) FROM (SELECT * FROM leadscore.verify('m') UNION ALL SELECT * FROM leadscore.verify('m_visitors')) v
SQL
}

is(scores('postgres'), '1:30:unqualified 3:0:unqualified d:10:unqualified', 'merged and identified');

# by the worker, without anybody's asking
$node->safe_psql('postgres', "INSERT INTO event (contact, what) VALUES (2, 'b')");
ok(defined $node->wait_for('SELECT score = 130 FROM leadscore.score_m WHERE contact_id = 1', 30),
	'an event of a merged contact reaches the other');
$node->safe_psql('postgres', "INSERT INTO event (cookie, what) VALUES ('c', 'a'), ('d', 'a')");
ok(defined $node->wait_for('SELECT score = 135 FROM leadscore.score_m WHERE contact_id = 1', 30),
	'one of a visitor reaches the contact, within the limit');
is($node->safe_psql('postgres', <<'SQL'), "0\n0", 'nothing is left pending');
SELECT count(*) FROM leadscore.pending_m UNION ALL SELECT count(*) FROM leadscore.pending_m_visitors
SQL
is($node->safe_psql('postgres', "SELECT from_stage, to_stage, cause FROM leadscore.history_m WHERE contact_id = 1"),
	'unqualified|hot|event', 'and its stage follows');
is(verified('postgres'), 0, 'verified');
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.lead_worker_error'), 0, 'the worker had no trouble');

# a rule that is counted in the background is so for visitors as well
$node->safe_psql('postgres', <<'SQL');
SET leadscore.inline_limit = 0;
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', 'more', 'a', 1);
SQL
ok(defined $node->wait_for(<<'SQL', 60), 'by a job of their own');
SELECT count(*) = 0 AND (SELECT score FROM leadscore.score_m_visitors WHERE contact_id = 'd') = 22
	FROM leadscore.lead_job WHERE state IN ('waiting', 'running')
SQL
is(scores('postgres'), '1:139:hot 3:0:unqualified d:22:unqualified', 'scores after it');
is(verified('postgres'), 0, 'verified after it');
# a large table is attached with its visitors
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE old (contact int, cookie text, at timestamptz, what text);
CREATE INDEX ON old (contact, at);
CREATE INDEX ON old (cookie, at);
INSERT INTO old VALUES (NULL, 'c', now(), 'x'), (NULL, 'e', now(), 'x'), (2, NULL, now(), 'x');
SQL
$node->safe_psql('postgres', <<'SQL');
SET leadscore.inline_limit = 0;
SELECT leadscore.attach('m', 'old', 'contact', 'at', 'what', visitor => 'cookie');
SQL
ok(defined $node->wait_for("SELECT count(*) = 0 FROM leadscore.lead_job WHERE state IN ('waiting', 'running')", 60),
	'attached by jobs');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'x', 'old', 'x', 2)
SQL
is(scores('postgres'), '1:143:hot 3:0:unqualified d:22:unqualified e:2:unqualified', 'scores with it');
is(verified('postgres'), 0, 'verified with it');

# through a dump
my $before = scores('postgres');
command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", '-d', $node->connstr('postgres') ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
command_ok([ 'pg_restore', '-j2', '-d', $node->connstr('copy'), "$dir/dump" ], 'restored');
is(scores('copy'), $before, 'the same scores');
is($node->safe_psql('copy', 'SELECT source_id, target_id, merged_into FROM leadscore.merged_m'), '2|1|1', 'merged there');
is($node->safe_psql('copy', 'SELECT visitor, contact_id FROM leadscore.identity_m'), 'c|1', 'identified there');
is(verified('copy'), 0, 'verified there');
for my $database ('postgres', 'copy')
{
	$node->safe_psql($database, <<'SQL');
INSERT INTO event (contact, cookie, what) VALUES (2, NULL, 'a'), (NULL, 'c', 'b'), (NULL, 'f', 'b');
SELECT leadscore.unmerge('m', 2);
SELECT leadscore.identify('m', 'f', 2);
SELECT leadscore.refresh('m');
SQL
	is(scores($database), '1:135:hot 2:124:hot 3:0:unqualified d:22:unqualified e:2:unqualified', "$database goes on");
	is(verified($database), 0, "$database is verified");
}
$node->stop;
done_testing();
