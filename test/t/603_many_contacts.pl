# Two and eight sessions write and read hundreds of contacts at a time: statements over
# neighbours in score_<model>, what is spilled, pending or subtracted, partitions,
# rules that change, and at every moment statements that fail, are cancelled, or whose
# session ends.  top() is the head of live_<model> all the while; what is stored is
# right in the end.
#
#   LEADSCORE_SOAK=600    seconds of each (long tests: 90)
#   LEADSCORE_SEED        of what pgbench draws, and of who is terminated when
use strict;
use warnings;

use IPC::Run;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{LEADSCORE_SOAK} || ($ENV{LEADSCORE_LONG} ? 90 : 6);
my $seed = $ENV{LEADSCORE_SEED} || time % 100_000;
srand($seed);
diag("LEADSCORE_SEED=$seed");

my $contacts = 1000;
my $node = LeadscoreNode->create('many_contacts', worker => 1,
	conf => { deadlock_timeout => '20ms', max_connections => 40, 'leadscore.naptime' => 100 });
my $dir = PostgreSQL::Test::Utils::tempdir;
my $kept = "$dir/kept";

$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY, country text);
INSERT INTO contacts SELECT g, 'DE' FROM generate_series(1, $contacts) g;
CREATE TABLE events (contact int, at timestamptz NOT NULL, what text, n int);
CREATE INDEX ON events (contact, at);
CREATE TABLE visits (contact int, at timestamptz NOT NULL, what text, n int) PARTITION BY HASH (contact);
CREATE TABLE visits_0 PARTITION OF visits FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON visits (contact, at);
CREATE TABLE pings (LIKE events);
CREATE INDEX ON pings (contact, at);
SELECT leadscore.create_model('m', 'contacts');
SELECT leadscore.attach('m', t, 'contact', 'at', 'what') FROM unnest('{events,visits}'::regclass[]) t;
SELECT leadscore.attach('m', 'pings', 'contact', 'at', 'what', mode => 'queued');
INSERT INTO leadscore.lead_rule (model, source, name, event, condition, points, at_least, time_frame, decay, decay_interval, weight)
	SELECT 'm', source, name || source, event, condition, points, at_least, time_frame::interval, decay, decay_interval::interval, weight
	  FROM unnest('{events,visits,pings}'::text[]) source, (VALUES
		('plain', NULL, NULL, 5, 1, NULL, 'none', NULL, NULL),
		('weighed', 'open', 'n > 1', 1, 1, NULL, 'half_life', '7 days', 'n'),
		('seconds', 'open', NULL, 4, 1, NULL, 'half_life', '1 second', NULL),
		('often', 'form', NULL, 30, 3, NULL, 'none', NULL, NULL),
		('frame', 'form', NULL, 7, 1, '2 days', 'none', NULL, NULL),
		('edited', 'open', 'n <> 3', 9, 1, NULL, 'linear', '5 days', NULL))
		v (name, event, condition, points, at_least, time_frame, decay, decay_interval, weight);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'here', 'profile', 'country = ''DE''', 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 60), ('m', 'hot', 2, 200);
COPY (SELECT g % $contacts + 1, now() - g * interval '90 seconds', 'open', g % 7 FROM generate_series(1, 600) g) TO '$kept';
-- a statement that is given up, fails, or is cancelled, leaves nothing, and the transaction goes on
CREATE FUNCTION try(sql text) RETURNS boolean LANGUAGE plpgsql AS \$\$
	BEGIN
		EXECUTE sql;
		RETURN true;
	EXCEPTION WHEN lock_not_available OR deadlock_detected OR query_canceled OR division_by_zero OR serialization_failure THEN
		RETURN false;
	END \$\$;
CREATE FUNCTION cancel_one() RETURNS boolean LANGUAGE sql AS \$\$
	SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	 WHERE query LIKE '%try(%' AND state = 'active' AND pid <> pg_backend_pid() AND (wait_event_type = 'Lock' OR random() < 0.05)
	 ORDER BY random() LIMIT 1 \$\$;
-- the highest by top() and by live_m, in one snapshot at one instant; ties may be in any order
CREATE FUNCTION same_top(k int) RETURNS boolean LANGUAGE plpgsql AS \$\$
	DECLARE
		a text; b text;
	BEGIN
		SELECT string_agg(score::text, ' ' ORDER BY score DESC) INTO a FROM leadscore.top('m', k);
		SELECT string_agg(score::text, ' ' ORDER BY score DESC) INTO b FROM (SELECT score FROM leadscore.live_m ORDER BY score DESC LIMIT k) l;
		IF a IS DISTINCT FROM b THEN
			RAISE EXCEPTION 'top() differs: % and %', a, b;
		END IF;
		RETURN true;
	END \$\$;
SQL

# new events of every m-th of so many contacts; one may fail before the last of them
sub insert_into
{
	my ($table, $last) = @_;
	return "INSERT INTO $table SELECT c, now() - random() * interval ''9 days'', (ARRAY[''open'', ''form''])[1 + c % 2], $last"
	  . ' FROM generate_series(:c, :d, :m) c';
}
my $range = "\\set c random(1, $contacts)\n\\set d :c + random(1, 400)\n\\set m random(1, 5)\n\\set wait random(1, 40)\n";
my $of_range = 'contact BETWEEN :c AND :d';
sub in_transaction { return $range . "BEGIN;\nSET LOCAL lock_timeout = :wait;\n" . join('', map { "SELECT try('$_');\n" } @_) . "COMMIT;\n" }

my @files = pgbench_scripts(
	'one@12' => "\\set c random(1, 10)\nINSERT INTO events VALUES (:c, now(), 'open', 2);\n",
	'bulk@6' => in_transaction(insert_into('events', 'c % 7')),
	'partitions@3' => in_transaction(insert_into('visits', 'c % 7')),
	'queued@2' => in_transaction(insert_into('pings', 'c % 7')),
	'queued_go@2' => in_transaction(insert_into('pings', 3), "DELETE FROM pings WHERE $of_range AND n % 2 = 1"),
	'copied@1' => in_transaction("COPY visits FROM ''$kept''"),
	'fails@2' => in_transaction(insert_into('events', '1 / (c - :d + :m)')),
	'spilled@2' => $range . <<"SQL",
BEGIN;
SET LOCAL lock_timeout = 60;
SET LOCAL work_mem = '64kB';
SELECT try('${\ insert_into('events', 2)}');
SAVEPOINT a;
SELECT try('INSERT INTO events SELECT c, now(), ''form'', 1 FROM generate_series(1, $contacts) c');
ROLLBACK TO a;
SELECT try('DELETE FROM events WHERE $of_range');
RELEASE a;
COMMIT;
SQL
	'undone@1' => $range . "BEGIN;\nSET LOCAL lock_timeout = :wait;\nSELECT try('${\ insert_into('events', 5)}');\nROLLBACK;\n",
	'latest_goes@3' => in_transaction("DELETE FROM events e WHERE $of_range AND at = (SELECT max(at) FROM events WHERE contact = e.contact)"),
	'earliest_goes@2' => in_transaction("DELETE FROM events e WHERE $of_range AND at = (SELECT min(at) FROM events WHERE contact = e.contact)"),
	'some_go@3' => in_transaction("DELETE FROM events WHERE $of_range AND n % 2 = 0"),
	'all_go@1' => in_transaction("DELETE FROM events WHERE $of_range", "DELETE FROM visits WHERE $of_range"),
	'changed@2' => in_transaction("UPDATE events SET n = n + 1 WHERE $of_range", "UPDATE visits SET contact = contact + 1 WHERE $of_range AND n = 2"),
	'moved@1' => in_transaction("UPDATE events SET at = at - interval ''1 day'', contact = contact % $contacts + 1 WHERE $of_range AND n = 1"),
	'profiles@1' => in_transaction("UPDATE contacts SET country = CASE country WHEN ''DE'' THEN ''FR'' ELSE ''DE'' END WHERE id BETWEEN :c AND :d"),
	'repeatable@1' => $range . "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSET LOCAL lock_timeout = :wait;\nSELECT try('${\ insert_into('events', 4)}');\n"
	  . "SELECT same_top(20);\nCOMMIT;\n",
	'rule@1' => in_transaction("UPDATE leadscore.lead_rule SET points = 5 + :m, condition = ''n <> :m'' WHERE name LIKE ''edited%''"),
	'refresh@1' => in_transaction("SELECT leadscore.refresh(''m'')"),
	'read@2' => "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT same_top(20);\nSELECT same_top(700);\nCOMMIT;\n",
	'cancel@2' => "SELECT cancel_one();\n\\sleep 2 ms\n");

# terminated runs a statement again and again in sessions that end in its midst.
sub terminated
{
	my ($until) = @_;
	my $ended = 0;

	while (time < $until)
	{
		my $c = 1 + int rand $contacts;
		my $session = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') . ' application_name=mortal', '-c', <<"SQL" ], '>&', \my $out);
INSERT INTO events SELECT c, now(), 'form', 1 FROM generate_series($c, $c + 800) c;
DELETE FROM events WHERE contact BETWEEN $c AND $c + 200 AND what = 'form';
SQL
		sleep rand 0.08;
		$ended += $node->safe_psql('postgres', "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mortal'");
		eval { $session->finish };
	}
	return $ended;
}

# client starts a session that runs the scripts until then.  One that is cancelled at
# commit, or between two statements, ends pgbench, and another comes.
my $again = 'until [ $(date +%s) -ge $0 ]; do pgbench -n -T $(($0 - $(date +%s))) "$@"; done';
sub client
{
	my ($until, $number, $out) = @_;
	return IPC::Run::start([ 'sh', '-c', $again, int $until, '--random-seed=' . ($seed + $number), '--max-tries=50',
		'-h', $node->host, '-p', $node->port, @files, 'postgres' ], '>', $out, '2>&1');
}

for my $clients (2, 8)
{
	my $until = time + $seconds;
	my @out = ('') x $clients;
	my @clients = map { client($until, $_, \$out[$_]) } 0 .. $clients - 1;
	my $ended = terminated($until);
	$_->finish for @clients;
	my $all = join '', @out;
	my %done;
	$done{$1} += $2 while $all =~ m{^SQL script \d+: \S+/(\w+)\n - weight.*\n - (\d+) transactions}gm;
	note("$clients sessions, $ended terminated; " . join ', ', map { "$_ $done{$_}" } sort keys %done);
	cmp_ok($done{bulk} // 0, '>', 0, "$clients sessions have written");
	unlike($all, qr/ERROR: (?!.*(?:cancel|deadlock detected|could not serialize))/, 'nothing has failed but what was cancelled, or was to wait')
	  or diag($all);
	$node->within(120, "SELECT count(*) = 0 FROM leadscore.lead_job WHERE state IN ('waiting', 'running')", 'no job is left');
	is($node->safe_psql('postgres', "SELECT leadscore.refresh('m'); SELECT * FROM leadscore.verify('m') LIMIT 5") =~ s/^\d+\n?//r,
		'', "what is stored is right after $clients sessions");
	is($node->safe_psql('postgres', 'SELECT same_top(50)'), 't', 'top() is the head of what is read');
}
is($node->safe_psql('postgres', 'SELECT count(*) = count(DISTINCT contact_id) FROM leadscore.due_m'), 't', 'a contact is due at most once');

done_testing();
