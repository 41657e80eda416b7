# A job beside writers: a large event table is attached and rules are counted
# while clients insert, the worker is killed in the middle; what is looked at is
# whether the scores are right at the end, and how long anybody waited.
package JobLoad;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(load_tables job_beside_writers as_fresh);

# load_tables makes a model, and an event table that is not attached yet.
sub load_tables
{
	my ($node, $contacts, $events) = @_;

	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY, title text);
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, contact int, at timestamptz, what text, n int);
INSERT INTO contact SELECT g, CASE WHEN g % 3 = 0 THEN 'Director' END FROM generate_series(1, $contacts) g;
SELECT setseed(0.5);
INSERT INTO event (contact, at, what, n)
	SELECT 1 + (random() * $contacts * 1.05)::int, now() - random() * interval '90 days',
		(ARRAY['form', 'visit', 'open'])[1 + (random() * 2)::int], g % 10
	  FROM generate_series(1, $events) g;
CREATE INDEX ON event (contact, at);
VACUUM ANALYZE;
SELECT leadscore.create_model('m', 'contact');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'decides', 'profile', 'title = ''Director''', 20);
SQL
}

# percentiles of pgbench's log files, in ms: median, 99 %, greatest.
sub percentiles
{
	my ($prefix) = @_;
	my @ms;

	foreach my $file (glob("$prefix.*"))
	{
		open(my $log, '<', $file) or die "cannot read $file: $!";
		while (<$log>) { push @ms, (split ' ')[2] / 1000 }
		close($log);
	}
	@ms = sort { $a <=> $b } @ms;
	return map { $ms[ int($_ * $#ms) ] } 0.5, 0.99, 1;
}

# writers starts clients that insert for so many seconds, at most.
sub writers
{
	my ($node, $prefix, $contacts, $seconds, $level) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir . '/insert.sql';

	PostgreSQL::Test::Utils::append_to_file($script, <<"SQL");
\\set c random(1, $contacts)
INSERT INTO event (contact, at, what, n) VALUES (:c, now(), 'form', 3);
SQL
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=" . ($level // 'read\ committed');
	# as many as they can where that is measured; elsewhere tests share the processors
	my @rate = $ENV{LEADSCORE_LONG} ? () : ('--rate=400');
	return IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', $seconds, @rate, '-f', $script, '-l',
		"--log-prefix=$prefix",
			'-h', $node->host, '-p', $node->port, 'postgres' ], '>', \my $out, '2>', \my $err);
}

my $progress = <<'SQL';
SELECT concat_ws(' ', phase, position, done) FROM leadscore.lead_job WHERE state IN ('waiting', 'running')
 ORDER BY job_id LIMIT 1
SQL

# watch waits until no job is open; how many different places it was seen at.  On the
# way it calls a function until that gives true.
sub watch
{
	my ($node, $limit, $on_the_way) = @_;
	my $start = time;
	my (%seen, $done);

	while (time - $start < $limit)
	{
		my ($code, $at) = $node->psql('postgres', $progress);
		if ($code == 0)
		{
			return scalar keys %seen if $at eq '';
			$seen{$at} = 1;
			$done ||= $on_the_way->() if $at =~ /^(?:backfill|refresh) \d/ && keys %seen > 3;
		}
		sleep 0.1;
	}
	return undef;
}

# job_beside_writers attaches the table, then has rules counted, each beside 4
# clients; the worker is ended on the way, or with crash killed, and the server with it.
# quick: it may end before it is seen to move.
sub job_beside_writers
{
	my ($node, $contacts, %options) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir;
	my $limit = $options{limit};
	my $offset = -s $node->logfile;

	my $bare = writers($node, "$directory/bare", $contacts, $options{bare} // 5);
	$bare->finish;
	my @bare = percentiles("$directory/bare");
	my $ended = 0;

	my @steps = (
		[ attach => "SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what')", 'read\ committed' ],
		[ rules => <<'SQL', 'read\ committed' ],
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval)
VALUES ('m', 'form', 'form', 60, 'half_life', '14 days');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame, max_per_period, weight)
VALUES ('m', 'visit', 'visit', 5, '30 days', 10, 'n');
SQL
		[ points => "UPDATE leadscore.lead_rule SET points = 30 WHERE name = 'form'", 'repeatable\ read' ]);
	foreach my $step (@steps)
	{
		my ($name, $sql, $level) = @$step;
		my $writers = writers($node, "$directory/$name", $contacts, $limit, $level);

		$node->safe_psql('postgres', "SET client_min_messages = warning; $sql");
		my $places = watch($node, $limit, sub
			{
				my ($code, $pid) = $node->psql('postgres',
					"SELECT pid FROM pg_stat_activity WHERE backend_type = 'leadscore worker'");
				return 0 if $pid eq '';
				note("$name: the worker is ended");
				$ended++;
				if ($options{crash} && $name eq 'rules')
				{
					kill 9, $pid;
					$writers->finish;
					$node->wait_for('SELECT true', 60);
					$writers = writers($node, "$directory/$name-again", $contacts, $limit, $level);
				}
				else
				{
					$node->psql('postgres', "SELECT pg_terminate_backend($pid)");
				}
				return 1;
			});
		ok(defined $places, "$name: the job ends");
		cmp_ok($places // 0, '>', 2, "$name: it was seen to move ($places places)") unless $options{quick};
		$writers->signal('INT');
		$writers->finish;
		my @now = percentiles("$directory/$name");
		diag(sprintf '%s: insert beside the job: median %.2f ms, 99 %% %.2f ms, longest %.1f ms; before: %.2f, %.2f, %.1f',
			$name, @now, @bare);
	}
	cmp_ok($ended, '>', 0, "the worker was ended on the way, $ended times") unless $options{quick};
	$node->safe_psql('postgres', "SELECT leadscore.refresh('m')");
	is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('m') LIMIT 5"), '', 'the scores are what the events give');
	is($node->safe_psql('postgres', <<'SQL'), 0, 'every rule is counted');
SELECT count(*) FROM leadscore.lead_rule WHERE backfilled_version IS NULL OR backfilling_version IS NOT NULL
SQL
	is($node->safe_psql('postgres', "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), 0, 'no deadlock');
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset);
	# where several tests run at a time, whoever holds a lock may have to wait for a processor
	my @waits = map { /still waiting for .* after ([\d.]+) ms/ ? $1 / 1000 : () } split /\n/, $log;
	in_time((sort { $b <=> $a } @waits, 0)[0], 0.2, scalar(@waits) . ' times somebody waited for a lock for longer than 200 ms')
		or diag(grep { /still waiting for/ } split /^/, $log);
}

my $fresh = <<'SQL';
SET client_min_messages = warning;
SELECT leadscore.drop_model('fresh') FROM leadscore.lead_model WHERE model = 'fresh';
SELECT leadscore.create_model('fresh', 'contact');
SELECT leadscore.attach('fresh', 'event', 'contact', 'at', 'what');
SET leadscore.inline_limit = 1000000;
INSERT INTO leadscore.lead_rule (model, name, category, kind, source, event, condition, points, weight, time_frame,
	decay, decay_interval, max_per_period)
	SELECT 'fresh', name, category, kind, source, event, condition, points, weight, time_frame, decay, decay_interval,
		max_per_period
	  FROM leadscore.lead_rule WHERE model = 'm';
SELECT leadscore.refresh('fresh') IS NOT NULL, leadscore.refresh('m') IS NOT NULL;
SQL
my $same = <<'SQL';
SET leadscore.clock = '2040-01-01';
SELECT contact_id, a.score, b.score FROM leadscore.live_m a FULL JOIN leadscore.live_fresh b USING (contact_id)
 WHERE abs(a.score - b.score) > 1e-6 OR a.score IS NULL OR b.score IS NULL OR a.last_event_at IS DISTINCT FROM b.last_event_at LIMIT 5
SQL

# as_fresh tests that model m is what one is that is made anew from the events.
sub as_fresh
{
	my ($node, $what) = @_;
	$node->safe_psql('postgres', $fresh);
	is($node->safe_psql('postgres', $same), '', "$what: row by row as a model made anew");
	is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('m') LIMIT 5"), '', "$what: verify() finds nothing");
}

1;
