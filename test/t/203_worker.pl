# What the worker does: it records what time changes at the instant at which it
# happens, once and only once, whatever happens to it meanwhile.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = LeadscoreNode->create('worker', worker => 1, conf => { restart_after_crash => 'on' });
$node->safe_psql('postgres', 'CREATE DATABASE crm');

# A hundred points that halve each ten seconds: stages at 80 and 50 are lost
# 3.219 s and 10 s after the event.
my $fast = <<'SQL';
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('m', 'visit', 100, 'half_life', '10 seconds');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('m', 'mql', 1, 50, 50), ('m', 'sql', 2, 80, 80);
SQL

my $late = <<'SQL';
SELECT contact, from_stage, to_stage, extract(epoch FROM changed_at - at)::numeric(10, 3), cause
  FROM leadscore.lead_stage_history h JOIN event e ON e.contact::text = h.contact WHERE cause = 'time'
SQL
my $exact = <<'SQL';
SELECT h.contact, from_stage, to_stage, changed_at - at
  FROM leadscore.lead_stage_history h JOIN event e ON e.contact::text = h.contact
 WHERE cause = 'time'
	AND abs(extract(epoch FROM changed_at - at) - CASE from_stage WHEN 'sql' THEN 10 * log(2, 1.25) ELSE 10 END) > 0.010
 LIMIT 5
SQL
my $twice = <<'SQL';
SELECT contact, from_stage, to_stage, count(*) FROM leadscore.lead_stage_history GROUP BY 1, 2, 3 HAVING count(*) > 1
 LIMIT 5
SQL

# all_left waits until so many contacts have left both stages.
sub all_left
{
	my ($n, $limit, $what) = @_;
	$node->within($limit, "SELECT count(*) = 2 * $n FROM leadscore.lead_stage_history WHERE cause = 'time'", $what, 'crm');
	is($node->safe_psql('crm', $exact), '', '... each at its own instant, within 10 ms');
	is($node->safe_psql('crm', $twice), '', '... and once');
	is($node->safe_psql('crm', "SELECT stage, count(*) FROM leadscore.score_m GROUP BY 1"), "unqualified|$n",
		'... the score table says so, too');
	is($node->safe_psql('crm', "SELECT * FROM leadscore.verify('m')"), '', '... and what is stored is what the events give');
}

sub begin_anew
{
	my ($n) = @_;
	$node->safe_psql('crm', "DROP EXTENSION IF EXISTS leadscore CASCADE") if $n == 0;
	$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
SELECT leadscore.drop_model('m');
TRUNCATE event, contact;
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
SQL
	$node->safe_psql('crm', $fast);
	$node->safe_psql('crm', "INSERT INTO contact SELECT generate_series(1, $n)");
}

################################################################################
# At the exact instant, and soon after

$node->make_model('crm');
$node->safe_psql('crm', $fast);
$node->safe_psql('crm', "INSERT INTO contact SELECT generate_series(1, 40)");
# each at an instant of its own, from one session: they enter the stage however slow the machine is, and may have left it by now
$node->safe_psql('crm', join('', map { "INSERT INTO event (contact) VALUES ($_);\n" } 1 .. 40));
is($node->safe_psql('crm', <<'SQL'), '40|40', 'forty contacts entered the highest stage');
SELECT count(*), count(DISTINCT contact) FROM leadscore.lead_stage_history WHERE to_stage = 'sql' AND cause <> 'time'
SQL
$node->within(60, "SELECT count(*) >= 10 FROM leadscore.lead_stage_history WHERE cause = 'time'", 'some leave it', 'crm');
$node->within(60, "SELECT transitions_per_minute >= 1 FROM leadscore.activity WHERE database = 'crm'",
	'the view counts transitions', 'crm');
all_left(40, 60, 'all leave both stages');
is($node->safe_psql('crm', <<'SQL'), 0, 'none is recorded before it happens');
SELECT count(*) FROM leadscore.lead_stage_history WHERE cause = 'time' AND recorded_at < changed_at
SQL
my $worst = $node->safe_psql('crm', <<'SQL');
SELECT max(extract(epoch FROM recorded_at - changed_at)) FROM leadscore.lead_stage_history WHERE cause = 'time'
SQL
in_time($worst, 2, "and none later than naptime and a second: $worst s");

################################################################################
# A contact that somebody has locked

begin_anew(5);
my $holder = $node->background_psql('crm');
$node->safe_psql('crm', 'INSERT INTO event SELECT generate_series(1, 5)');
$holder->query_safe('BEGIN; SELECT score FROM leadscore.score_m WHERE contact_id = 3 FOR UPDATE');
$node->within(20, "SELECT count(*) = 8 FROM leadscore.lead_stage_history WHERE cause = 'time' AND contact <> '3'",
	'the others are not held up', 'crm');
is($node->safe_psql('crm', "SELECT count(*) FROM leadscore.lead_stage_history WHERE cause = 'time' AND contact = '3'"),
	0, 'one is locked');
like($node->safe_psql('crm', "SELECT lag > interval '1 second' FROM leadscore.activity WHERE database = 'crm'"),
	qr/^t$/, 'the view shows that it is late');
$holder->query_safe('COMMIT');
$holder->quit;
all_left(5, 5, 'it follows');

################################################################################
# The server is down while contacts leave their stages

begin_anew(5);
$node->safe_psql('crm', 'INSERT INTO event SELECT generate_series(1, 5)');
$node->stop('immediate');
sleep 11;
$node->start;
all_left(5, 10, 'what happened while the server was down is recorded');
is($node->safe_psql('crm', <<'SQL'), 'sql>mql,mql>unqualified', 'in its order');
SELECT string_agg(from_stage || '>' || to_stage, ',' ORDER BY changed_at) FROM leadscore.lead_stage_history
 WHERE cause = 'time' AND contact = '1'
SQL

################################################################################
# The worker, the launcher and backends are killed again and again

begin_anew(300);
$node->safe_psql('crm', <<'SQL');
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('m', 'lost', 'stage_left', NULL)
SQL
$node->configure(batch_size => 20);
for my $i (1 .. 6)
{
	$node->poll_query_until('crm', 'SELECT true') or die 'the server did not come back';
	my ($from, $to) = (($i - 1) * 50 + 1, $i * 50);
	$node->psql('crm', "INSERT INTO event SELECT generate_series($from, $to)");
	sleep 1.5 + rand;
	my $type = (qw(worker launcher), 'client backend')[$i % 3];
	my $session = $node->background_psql('crm', on_error_stop => 0);
	my $pid = $node->safe_psql('postgres', <<"SQL");
SELECT pid FROM pg_stat_activity WHERE backend_type IN ('leadscore $type', '$type') AND pid <> pg_backend_pid()
 LIMIT 1
SQL
	kill 9, $pid if $pid;
	eval { $session->quit };
}
$node->poll_query_until('crm', 'SELECT true') or die 'the server did not come back';
all_left(300, 30, 'six kills: all leave both stages');
is($node->safe_psql('crm', <<'SQL'), '600|600', 'the outbox has each of them once');
SELECT count(*), count(DISTINCT (contact, from_stage)) FROM leadscore.lead_outbox
 WHERE action = 'lost' AND cause = 'time'
SQL
$node->configure(batch_size => 500);

################################################################################
# Consequences that the worker delivers

begin_anew(2);
$node->safe_psql('crm', <<'SQL');
CREATE TABLE told (at timestamptz DEFAULT clock_timestamp(), what jsonb);
CREATE FUNCTION tell(what jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO public.told (what) VALUES (what)';
CREATE FUNCTION fail(what jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$no$$; END';
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function, channel, max_attempts) VALUES
	('m', 'function', 'stage_left', 'sql', 'function', 'public.tell', NULL, 10),
	('m', 'fails', 'stage_left', 'sql', 'function', 'public.fail', NULL, 2),
	('m', 'notify', 'stage_left', 'sql', 'notify', NULL, 'lost', 10);
SQL
my $listener = $node->background_psql('crm');
$listener->query_safe('LISTEN lost');
$node->safe_psql('crm', 'INSERT INTO event SELECT generate_series(1, 2)');
$node->within(15, "SELECT count(*) = 2 FROM told", 'a function is called', 'crm');
$node->within(15, "SELECT count(*) = 2 FROM leadscore.lead_outbox WHERE action = 'notify' AND status = 'done'",
	'NOTIFY is sent', 'crm');
like($listener->query('SELECT 1') . '', qr/Asynchronous notification "lost" with payload ".*sql.*" received/, '... and received');
$listener->quit;
$node->within(15, <<'SQL', 'a function that fails becomes a dead letter', 'crm');
SELECT count(*) = 2 FROM leadscore.lead_outbox WHERE action = 'fails' AND status = 'dead' AND last_error LIKE '%no%'
SQL
is($node->safe_psql('crm', "SELECT count(*) FROM told"), 2, 'the other is called once each');

# A function that takes for ever does not keep a database from being dropped.
$node->safe_psql('postgres', 'CREATE DATABASE slow TEMPLATE crm');
$node->safe_psql('slow', <<'SQL');
CREATE FUNCTION sleepy(what jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_catalog.pg_sleep(100)';
UPDATE leadscore.lead_action SET enabled = false;
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function, timeout)
VALUES ('m', 'sleepy', 'stage_left', 'sql', 'function', 'public.sleepy', '100 seconds');
INSERT INTO event VALUES (1);
SQL
$node->within(15, <<'SQL', 'a function that sleeps');
SELECT count(*) = 1 FROM pg_stat_activity
 WHERE datname = 'slow' AND backend_type = 'leadscore worker' AND wait_event = 'PgSleep'
SQL
is($node->safe_psql('postgres', <<'SQL'), 'delivering', '... is shown');
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS leadscore;
SELECT phase FROM leadscore.activity WHERE database = 'slow';
SQL
$node->timed(3, 'DROP DATABASE slow', 'DROP DATABASE meanwhile');

################################################################################
# What fails

begin_anew(3);
$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
CREATE TABLE bad_contact (id int PRIMARY KEY);
CREATE TABLE bad_event (contact int, at timestamptz DEFAULT now());
CREATE INDEX ON bad_event (contact, at);
SELECT leadscore.create_model('bad', 'bad_contact');
SELECT leadscore.attach('bad', 'bad_event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('bad', 'visit', 100, 'half_life', '3 seconds');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('bad', 'sql', 1, 80, 80);
INSERT INTO bad_contact SELECT generate_series(1, 3);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.cause = 'time' AND (NEW.contact_id = 2 OR TG_ARGV[0] = 'all') THEN
		RAISE EXCEPTION 'not this one';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON leadscore.history_bad FOR EACH ROW EXECUTE FUNCTION refuse('one');
INSERT INTO bad_event SELECT generate_series(1, 3);
INSERT INTO event SELECT generate_series(1, 3);
SQL
$node->within(10, <<'SQL', 'a contact that fails is written down', 'crm');
SELECT contact = '2' AND message = 'not this one' AND sqlstate = 'P0001' FROM leadscore.lead_worker_error
 WHERE model = 'bad'
SQL
$node->within(10, "SELECT count(*) = 2 FROM leadscore.lead_stage_history WHERE model = 'bad' AND cause = 'time'",
	'... the others go on', 'crm');
$node->within(15, "SELECT failures >= 2 FROM leadscore.lead_worker_error WHERE model = 'bad'", '... it is tried again', 'crm');
$node->safe_psql('crm', 'DROP TRIGGER refuse ON leadscore.history_bad');
$node->within(30, "SELECT count(*) = 3 FROM leadscore.lead_stage_history WHERE model = 'bad' AND cause = 'time'",
	'... and succeeds when it can', 'crm');

# a model that fails as a whole: that its contacts fail cannot be written down either
$node->safe_psql('crm', <<'SQL');
CREATE FUNCTION refuse_error() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'nor this'; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON leadscore.history_bad FOR EACH ROW EXECUTE FUNCTION refuse('all');
CREATE TRIGGER refuse BEFORE INSERT ON leadscore.worker_error_bad FOR EACH ROW EXECUTE FUNCTION refuse_error();
INSERT INTO bad_event SELECT generate_series(1, 3);
SQL
$node->within(60, <<'SQL', 'a model that fails is written down', 'crm');
SELECT contact IS NULL AND failures >= 2 FROM leadscore.lead_worker_error WHERE model = 'bad' AND contact IS NULL
SQL
like($node->safe_psql('crm', "SELECT last_error FROM leadscore.activity WHERE database = 'crm'"),
	qr/^model "bad": nor this/, '... and shown');
$node->within(20, "SELECT count(*) = 6 FROM leadscore.lead_stage_history WHERE model = 'm' AND cause = 'time'",
	'the other model goes on', 'crm');
$node->safe_psql('crm', <<'SQL');
DROP TRIGGER refuse ON leadscore.history_bad;
DROP TRIGGER refuse ON leadscore.worker_error_bad;
SQL
$node->within(30, "SELECT count(*) = 6 FROM leadscore.lead_stage_history WHERE model = 'bad' AND cause = 'time'",
	'it is tried again', 'crm');
$node->within(5, "SELECT count(*) = 0 FROM leadscore.lead_worker_error WHERE model = 'bad' AND contact IS NULL",
	'... and forgiven', 'crm');
$node->safe_psql('crm', "SET client_min_messages = warning; SELECT leadscore.drop_model('bad')");
is($node->safe_psql('crm', "SELECT count(*) FROM leadscore.lead_worker_error"), 0, 'with the model go its errors');

################################################################################
# The clock held, moved on and set back

begin_anew(2);
$node->configure(clock => '2030-01-01 00:00:00+00');
$node->safe_psql('crm', "INSERT INTO event SELECT generate_series(1, 2), leadscore.clock()");
sleep 1.5;
is($node->safe_psql('crm', "SELECT stage, count(*) FROM leadscore.score_m GROUP BY 1"), 'sql|2',
	'the clock is held: nothing happens');
$node->configure(clock => '2030-01-01 00:00:05+00');
$node->within(5, "SELECT count(*) = 2 FROM leadscore.lead_stage_history WHERE cause = 'time'",
	'it moves on: a stage is left', 'crm');
$node->configure(clock => '2029-01-01 00:00:00+00');
sleep 1.5;
is($node->safe_psql('crm', "SELECT count(*), min(scored_at) >= '2030-01-01 00:00:05+00' FROM leadscore.score_m"),
	'2|t', 'it is set back: nothing goes back');
$node->within(5, "SELECT phase = 'napping' FROM leadscore.activity WHERE database = 'crm'", '... and the worker naps', 'crm');
$node->configure(clock => '2030-01-02 00:00:00+00');
all_left(2, 5, 'a day later');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET leadscore.clock');
$node->reload;

################################################################################
# A standby has the same scores; promoted, it goes on

begin_anew(3);
$node->backup('base');
my $standby = LeadscoreNode->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('crm', 'INSERT INTO event SELECT generate_series(1, 3)');
$node->within(8, "SELECT count(*) = 3 FROM leadscore.lead_stage_history WHERE cause = 'time'",
	'three contacts leave a stage', 'crm');
my $scores = 'SELECT contact_id, score, stage, scored_at FROM leadscore.score_m ORDER BY 1';
$node->wait_for_catchup($standby);
$node->configure(enabled => 'off');
$node->within(5, no_worker(), 'the worker leaves');
$node->wait_for_catchup($standby);
is($standby->safe_psql('crm', $scores), $node->safe_psql('crm', $scores), 'primary and standby show the same');
$node->stop('immediate');
$standby->safe_psql('postgres', 'SELECT 1');
$standby->append_settings('leadscore.enabled' => 'on');
$standby->promote;
$standby->safe_psql('postgres', 'ALTER SYSTEM RESET leadscore.enabled');
$standby->reload;
$node = $standby;
all_left(3, 20, 'promoted, it goes on');
$standby->stop;

done_testing();
