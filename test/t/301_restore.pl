# A dump is restored, in parallel, into a server whose worker would like to begin
# at once: it waits until all is there.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('restore', worker => 1,
	conf => { 'leadscore.naptime' => '10ms', 'leadscore.inline_limit' => 1000000 });
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';

$node->safe_psql('postgres', 'CREATE DATABASE crm');
$node->configure(enabled => 'off');
$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
SELECT set_config('leadscore.clock', (now() - interval '2 days')::text, false);
CREATE TABLE contact (id int PRIMARY KEY, country text);
CREATE TABLE event (contact int, at timestamptz, what text, filler text DEFAULT repeat('x', 100));
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT g, 'DE' FROM generate_series(1, 3000) g;
INSERT INTO event SELECT 1 + g % 3000, leadscore.clock() - g * interval '1 minute', 'e' || g % 7 FROM generate_series(1, 100000) g;
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval)
	SELECT 'm', 'rule ' || g, 'e' || g % 7, 10, 'half_life', g * interval '1 day' FROM generate_series(1, 30) g;
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -5, '3 days');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 50), ('m', 'hot', 2, 200);
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('m', 'left', 'stage_left');
SQL
$node->command_ok([ 'pg_dump', '-Fd', '-j', 2, '-f', $dump, $node->connstr('crm') ], 'pg_dump');
my $before = $node->safe_psql('crm', 'SELECT count(*) FROM leadscore.lead_stage_history');
$node->configure(enabled => 'on');

for my $round (1 .. 3)
{
	$node->safe_psql('postgres', "CREATE DATABASE copy$round");
	$node->command_ok([ 'pg_restore', '-j', 4, '-d', $node->connstr("copy$round"), $dump ], 'pg_restore');
	$node->within(60, "SELECT next_due > now() AND lag = '0' FROM leadscore.activity WHERE database = 'copy$round'",
		'the worker has done all that was due', "copy$round");
	$node->configure(enabled => 'off');
	$node->within(5, no_worker(), 'it ends');
	is($node->safe_psql("copy$round", "SELECT * FROM leadscore.verify('m') LIMIT 3"), '',
		'what is stored is what the events give');
	is($node->safe_psql("copy$round", <<'SQL'), 0, '... under the rules as they are');
SELECT count(*) FROM leadscore.score_m s
 WHERE s.score IS DISTINCT FROM leadscore.score('m', s.contact_id, s.scored_at)
SQL
	is($node->safe_psql("copy$round", "SELECT count(*) FROM leadscore.lead_stage_history WHERE cause <> 'time'"),
		$before, '... all history is there');
	is($node->safe_psql("copy$round", <<'SQL'), 't', '... and what was to be told');
SELECT (SELECT count(*) FROM leadscore.lead_outbox) = (SELECT count(*) FROM leadscore.lead_stage_history
	 WHERE cause = 'time' AND from_stage IS NOT NULL)
SQL
	is($node->safe_psql("copy$round", "SELECT count(*) FROM leadscore.lead_worker_error"), 0, '... without errors');
	$node->configure(enabled => 'on');
}

# Who calls himself pg_restore, but could not restore a model, holds nothing up.
$node->configure(enabled => 'off');
$node->within(5, no_worker(), 'the worker ends');
$node->safe_psql('postgres', 'CREATE ROLE guest LOGIN');
my $guest = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('copy3')
	. ' user=guest application_name=pg_restore', '-c', 'SELECT pg_sleep(60)' ],
	'>', \my $out, '2>', \my $err);
$node->within(10, "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pg_restore'", 'a guest has come');
$node->configure(enabled => 'on');
$node->safe_psql('copy3', <<'SQL');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame) VALUES ('m', 'blink', 'blink', 1000, '1 second');
INSERT INTO event VALUES (1, clock_timestamp(), 'blink');
SQL
$node->within(5, "SELECT EXISTS (SELECT FROM leadscore.due_m WHERE contact_id = 1)", 'it will be due', 'copy3');
sleep 2;
$node->within(20, "SELECT NOT EXISTS (SELECT FROM leadscore.due_m WHERE due_at < now() - interval '1 second')",
	'the worker goes on beside him', 'copy3');
$guest->kill_kill;

$node->stop;
done_testing();
