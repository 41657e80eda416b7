# Minutes of writers, the worker, consumers of the outbox and edits of rules and
# stages: no deadlock, the memory of launcher and workers stays what it is, the
# worker is never far behind, every change of stage is told once.
#
#   LEADSCORE_SOAK=600    seconds (the default)
use strict;
use warnings;

use IPC::Run;
use LeadscoreNode;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;

need_long();
my $seconds = $ENV{LEADSCORE_SOAK} || 600;

my $node = LeadscoreNode->create('time_soak', worker => 1, streaming => 0,
	conf => { log_lock_waits => 'on', autovacuum => 'on' });

# Half-lives of seconds: contacts come into their stages and leave them all the time.
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY, country text);
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact int, at timestamptz NOT NULL DEFAULT now(), what text);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT g, 'DE' FROM generate_series(1, 5000) g;
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES
	('m', 'form', 'form', 60, 'half_life', '20 seconds'), ('m', 'visit', 'visit', 20, 'half_life', '45 seconds'),
	('m', 'spam', 'spam', -40, 'half_life', '8 seconds');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame, period)
VALUES ('m', 'window', 'visit', 5, '30 seconds', '2 seconds');
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -5, '40 seconds');
INSERT INTO leadscore.lead_rule (model, name, kind, points, condition) VALUES ('m', 'german', 'profile', 3, 'country = ''DE''');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'mql', 1, 50), ('m', 'sql', 2, 80);
INSERT INTO leadscore.lead_action (model, name, occasion, causes)
VALUES ('m', 'moved', 'stage_entered', '{event,time,rule,profile,manual}');
INSERT INTO leadscore.lead_action (model, name, occasion, score_level, deliver, channel)
VALUES ('m', 'hot', 'score_rises', 100, 'notify', 'hot');
CREATE TABLE told (outbox_id bigint PRIMARY KEY, consumer text, contact text, stage text);
SQL

my @files = pgbench_scripts(
	'form@4' => "\\set c random(1, 5000)\nINSERT INTO event (contact, what) VALUES (:c, 'form');",
	'visits@3' => "INSERT INTO event (contact, what) SELECT (random() * 4999)::int + 1, 'visit' FROM generate_series(1, 20);",
	'spam@1' => "\\set c random(1, 5000)\nINSERT INTO event (contact, what) VALUES (:c, 'spam');",
	'late@1' => <<'SQL',
\set c random(1, 5000)
INSERT INTO event (contact, at, what) VALUES (:c, now() - interval '1 minute' * random(), 'visit');
SQL
	'later@1' => <<'SQL',
\set c random(1, 5000)
INSERT INTO event (contact, at, what) VALUES (:c, now() + interval '20 seconds' * random(), 'form');
SQL
	'contact@1' => <<'SQL',
\set c random(1, 5000)
UPDATE contact SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id = :c;
SQL
	'hand@1' => <<'SQL',
\set c random(1, 5000)
SELECT leadscore.set_stage('m', :c, 'sql', 'met')
 WHERE EXISTS (SELECT FROM leadscore.score_m WHERE contact_id = :c AND NOT disqualified);
SQL
	'release@1' => <<'SQL',
\set c random(1, 5000)
SELECT leadscore.release_stage('m', :c)
 WHERE EXISTS (SELECT FROM leadscore.score_m WHERE contact_id = :c AND NOT disqualified);
SQL
	'purge@1' => <<'SQL');
\set c random(1, 5000)
DELETE FROM event WHERE contact = :c AND at < now() - interval '2 minutes';
SQL
my @consume = pgbench_scripts('consume@1' => <<'SQL');
BEGIN;
SELECT coalesce(array_agg(outbox_id), '{}') AS ids FROM leadscore.outbox_take('c:client_id', 50) \gset
INSERT INTO told SELECT outbox_id, 'c:client_id', contact, stage FROM leadscore.lead_outbox WHERE outbox_id = ANY (':ids'::bigint[]);
SELECT leadscore.outbox_done('c:client_id', ':ids');
COMMIT;
\sleep 20 ms
SQL

my @changes = (
	"UPDATE leadscore.lead_rule SET points = points + 1 WHERE name = 'form'",
	"UPDATE leadscore.lead_rule SET points = points - 1 WHERE name = 'form'",
	"UPDATE leadscore.lead_stage SET enter_at = 45 + (random() * 10)::int WHERE stage = 'mql'",
	"UPDATE leadscore.lead_rule SET enabled = NOT enabled WHERE name = 'silent'",
	<<'SQL',
UPDATE leadscore.lead_rule
   SET decay_interval = CASE decay_interval WHEN '20 seconds' THEN interval '25 seconds' ELSE '20 seconds' END
 WHERE name = 'form'
SQL
	"UPDATE leadscore.lead_action SET score_level = 90 + (random() * 20)::int WHERE name = 'hot'",
	<<'SQL',
BEGIN;
UPDATE leadscore.lead_rule SET points = 1;
SELECT sum(score) FROM leadscore.live_m;
ROLLBACK;
SQL
	"SELECT count(*) FROM leadscore.upcoming('m', now() + interval '10 seconds')",
	"SELECT leadscore.refresh('m')");

my @connection = ('-h', $node->host, '-p', $node->port);
my ($writers_out, $writers_err, $consumers_out, $consumers_err) = ('') x 4;
my $writers = IPC::Run::start([ 'pgbench', '-n', @connection, '-c', 4, '-j', 1, '-T', $seconds, '-R', 150,
	'--max-tries', 100, @files, 'postgres' ], '>', \$writers_out, '2>', \$writers_err);
my $consumers = IPC::Run::start([ 'pgbench', '-n', @connection, '-c', 2, '-j', 1, '-T', $seconds, @consume, 'postgres' ],
	'>', \$consumers_out, '2>', \$consumers_err);

# kB of memory that is the process's own
sub own_memory
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/statm") or return 0;
	my (undef, $resident, $shared) = split ' ', <$file>;
	return ($resident - $shared) * 4;
}

my (@lags, %memory, @errors);
my $began = time;
my $round = 0;
while (time < $began + $seconds - 2)
{
	my $half = time < $began + $seconds / 2 ? 0 : 1;
	my $seen = $node->safe_psql('postgres', <<'SQL');
SELECT role, coalesce(pid, 0), coalesce(extract(epoch FROM lag), 0), coalesce(last_error, '') FROM leadscore.activity
 WHERE role <> 'worker' OR database = 'postgres'
SQL
	for (split /\n/, $seen)
	{
		my ($role, $pid, $lag, $error) = split /\|/, $_, -1;
		push @lags, $lag if $role eq 'worker';
		push @errors, $error if $error ne '';
		# a process that was just started has yet to fill its caches
		push @{ $memory{$role}[$half] }, own_memory($pid) if $pid && time > $began + 30;
	}
	my ($code, $out, $err) = $node->psql('postgres', "SET client_min_messages = error; $changes[ rand @changes ]")
		if $round++ % 3 == 0;
	push @errors, $err if defined $err && $err ne '';
	select(undef, undef, undef, 0.5);
}
$writers->finish;
$consumers->finish;
unlike($writers_err, qr/aborted|ERROR/, 'the writers wrote to the end') or diag($writers_err);
unlike($consumers_err, qr/aborted|ERROR/, 'the consumers took to the end') or diag($consumers_err);
is_deeply(\@errors, [], 'no errors besides');

################################################################################

$node->safe_psql('postgres', 'SELECT pg_stat_force_next_flush()');
is($node->safe_psql('postgres', 'SELECT sum(deadlocks) FROM pg_stat_database'), 0, 'no deadlocks');
is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('m')"), '', 'verify() finds nothing');
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.due_m GROUP BY contact_id HAVING count(*) > 1'), '',
	'nobody is due twice');
my $moves = $node->safe_psql('postgres', "SELECT count(*) FROM leadscore.history_m WHERE cause = 'time'");
cmp_ok($moves, '>', $seconds, "there was something to do: $moves changes of stage by time");

for my $role (qw(launcher worker))
{
	my ($early, $late) = map { max(@{ $memory{$role}[$_] // [0] }) } 0, 1;
	cmp_ok($late, '<=', $early * 1.15 + 512, "$role: $early kB in the first half at most, $late kB in the second");
}
my @sorted = sort { $a <=> $b } @lags;
cmp_ok($sorted[-1], '<', 10, sprintf('the lag is bounded: median %.2f s, most %.2f s', $sorted[ @sorted / 2 ], $sorted[-1]));

# whoever waits is told in the end, once
$node->poll_query_until('postgres', <<'SQL') or fail('notifications are sent');
SELECT NOT EXISTS (SELECT FROM leadscore.lead_outbox WHERE deliver = 'notify' AND status = 'ready')
SQL
# time goes on changing stages: nobody may act on it between the last take and the look at history
$node->configure(enabled => 'off');
$node->poll_query_until('postgres', no_worker()) or fail('the worker is gone');
$node->safe_psql('postgres', "INSERT INTO told SELECT outbox_id, 'last', contact, stage FROM leadscore.outbox_take('last', 1000000)");
is($node->safe_psql('postgres', <<'SQL'), '', 'every change of stage was told, once');
SELECT coalesce(h.contact, t.contact), h.stages, t.stages, h.last, h.causes,
	(SELECT max(available_at) FROM leadscore.lead_outbox o WHERE o.contact = h.contact), clock_timestamp()
  FROM (SELECT contact, max(recorded_at) AS last, string_agg(cause, ' ' ORDER BY recorded_at, changed_at) AS causes,
	string_agg(to_stage, ' ' ORDER BY recorded_at, changed_at) AS stages, count(*) FROM leadscore.lead_stage_history
	 GROUP BY 1) h
  FULL JOIN (SELECT contact, count(*), string_agg(stage, ' ' ORDER BY outbox_id) AS stages FROM told GROUP BY 1) t ON t.contact = h.contact
 WHERE h.count IS DISTINCT FROM t.count LIMIT 5;
SQL

$node->stop;
done_testing();
