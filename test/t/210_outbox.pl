# Two consumers empty the outbox while their processes, their backends and the
# server are killed.  What is done in the transaction that takes it is done
# once; what is done outside of it is done at least once.
use strict;
use warnings;

use IPC::Run;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rows = 10_000;
my $node = LeadscoreNode->create('outbox', worker => 1, streaming => 0,
	conf => { restart_after_crash => 'on', autovacuum => 'on' });
my $dir = PostgreSQL::Test::Utils::tempdir;

sub sql { return $node->safe_psql('postgres', @_) }

sql(<<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY);
CREATE TABLE events (contact int, at timestamptz NOT NULL DEFAULT now(), what text);
CREATE INDEX ON events (contact, at);
SELECT leadscore.create_model('m', 'contacts');
SELECT leadscore.attach('m', 'events', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', 'came', 'came', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 10), ('m', 'hot', 2, 20);
INSERT INTO leadscore.lead_action (model, name, occasion, stage, max_attempts) VALUES
	('m', 'warm', 'stage_entered', 'warm', 1000), ('m', 'hot', 'stage_entered', 'hot', 1000);
CREATE TABLE processed (outbox_id bigint PRIMARY KEY, contact text UNIQUE, consumer int);
CREATE TABLE delivered (outbox_id bigint, consumer int);
SQL

# Once: the work, outbox_take() and outbox_done() are one transaction.  The name of a consumer
# is that of its backend, so that one that comes back is another.
append_to_file("$dir/once.pgbench", <<'SQL' =~ s/\n\t+/ /gr);
BEGIN;
WITH t AS MATERIALIZED (SELECT * FROM leadscore.outbox_take('c' || pg_backend_pid(), 10, action => 'warm')),
	w AS (INSERT INTO processed SELECT outbox_id, contact, pg_backend_pid() FROM t)
	SELECT coalesce(array_agg(outbox_id), '{}') AS ids FROM t \gset
\sleep 4 ms
SELECT leadscore.outbox_done('c' || pg_backend_pid(), ':ids');
\sleep 2 ms
COMMIT;
SQL

# At least once: each is a transaction of its own.
append_to_file("$dir/least.pgbench", <<'SQL' =~ s/\n\t+/ /gr);
WITH t AS MATERIALIZED (SELECT * FROM leadscore.outbox_take('c' || pg_backend_pid(), 10, '1 second', action => 'hot')),
	w AS (INSERT INTO delivered SELECT outbox_id, pg_backend_pid() FROM t)
	SELECT coalesce(array_agg(outbox_id), '{}') AS ids FROM t \gset
\sleep 4 ms
SELECT leadscore.outbox_done('c' || pg_backend_pid(), ':ids');
SQL

# Starts two consumers, processes of their own.
sub consumers
{
	my ($script) = @_;
	my @started;

	foreach my $n (1 .. 2)
	{
		my $consumer = { out => '' };
		$consumer->{run} = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 1, '-T', 60,
			'-f', "$dir/$script.pgbench", 'postgres' ],
			'<', \undef, '>&', \$consumer->{out});
		$consumer->{pid} = $consumer->{run}{KIDS}[0]{PID};
		push @started, $consumer;
	}
	return @started;
}

sub stop
{
	foreach my $consumer (@_)
	{
		kill 9, $consumer->{pid};
		$consumer->{run}->finish;
		unlike($consumer->{out}, qr/duplicate key|deadlock/, 'a consumer met no row twice') or diag($consumer->{out});
	}
}

sub backend
{
	return sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench' ORDER BY random() LIMIT 1");
}

sub outstanding
{
	my ($action) = @_;
	return sql("SELECT count(*) FROM leadscore.lead_outbox WHERE action = '$action' AND status = 'ready'");
}

# Lets consumers work, kills in between, until nothing is left.
sub work_off
{
	my ($script, $action) = @_;
	my $deadline = time + 120;
	my $rounds = 0;

	while (outstanding($action) > 0 && time < $deadline)
	{
		my @consumers = consumers($script);
		my $way = $rounds++ % 4;

		sleep 0.2 + rand(0.3);
		if ($way == 0)
		{
			kill 9, $consumers[0]{pid};
		}
		elsif ($way == 1 && (my $pid = backend()))
		{
			sql("SELECT pg_terminate_backend($pid)");
		}
		elsif ($way == 2 && $rounds < 8 && (my $killed = backend()))
		{
			kill 9, $killed;
			sleep 0.2;
			$node->poll_query_until('postgres', 'SELECT true') or die "the server did not come back\n";
		}
		sleep 0.3;
		stop(@consumers);
	}
	return $rounds;
}

################################################################################
# 10,000 contacts enter a stage

my $began = time;
sql("INSERT INTO events (contact, what) SELECT g, 'came' FROM generate_series(1, $rows) g");
note(sprintf("%d rows written in %.1f s", $rows, time - $began));
is(sql(<<'SQL'), "$rows|$rows", 'as many rows as contacts entered the stage');
SELECT count(*), count(DISTINCT contact) FROM leadscore.lead_outbox WHERE action = 'warm' AND status = 'ready'
SQL

$began = time;
my $rounds = work_off('once', 'warm');
note(sprintf('worked off in %.1f s, with %d kills', time - $began, $rounds));
cmp_ok($rounds, '>=', 4, 'there were kills of each kind in between');
is(outstanding('warm'), 0, 'nothing is left');
is(sql('SELECT count(*), count(DISTINCT outbox_id), count(DISTINCT contact) FROM processed'), "$rows|$rows|$rows",
	'none twice, none lost');
is(sql(<<'SQL'),
SELECT count(*) FROM leadscore.lead_outbox o FULL JOIN processed p USING (outbox_id)
 WHERE o.action IS DISTINCT FROM 'warm' OR p.outbox_id IS NULL OR o.taken_by <> 'c' || p.consumer
	OR o.status <> 'done'
SQL
	0, 'each is done by the one that did it');
cmp_ok(sql('SELECT count(DISTINCT consumer) FROM processed'), '>', 4, '... of many');
is(sql("SELECT max(attempts) FROM leadscore.lead_outbox"), 1, 'a transaction that was killed has left no attempt');

################################################################################
# 2,000 more, by consumers that commit in between

sql("INSERT INTO events (contact, what) SELECT g, 'came' FROM generate_series(1, 2000) g");
is(outstanding('hot'), 2000, 'the next stage is entered');
$rounds = work_off('least', 'hot');
note("$rounds kills");
is(outstanding('hot'), 0, 'nothing is left');
is(sql('SELECT count(DISTINCT outbox_id) FROM delivered'), 2000, 'none is lost');
is(sql(<<'SQL'), 0, 'one that was delivered twice was taken twice');
SELECT count(*) FROM leadscore.lead_outbox o
 WHERE action = 'hot' AND attempts <> (SELECT count(*) FROM delivered d WHERE d.outbox_id = o.outbox_id)
SQL
is(sql('SELECT count(*) FROM leadscore.dead_letters'), 0, 'there are no dead letters');

$node->stop;
done_testing();
