# How long a job takes with leadscore.job_workers = 1 and 2: a rescore of all
# contacts beside writers (of whom there are none here), and a new rule that has
# to be counted.  Each round runs both settings, each its turn first; ratios are
# those of medians.  Other processes on the machine take what a second one would
# use, so the load average is shown with each time, and what the job used of the
# processors: if that is the same with two, they do not get into each other's way.
#
#   PG_CONFIG=... perl -I test/perl test/bench/jobs.pl [rounds [contacts [events [processes]]]]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be installed.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $rounds = $ARGV[0] // 3;
my $contacts = $ARGV[1] // 200_000;
my $events = $ARGV[2] // 2_000_000;
my $processes = $ARGV[3] // 2;

my $node = LeadscoreNode->create('jobs', worker => 1, streaming => 0,
	conf => { shared_buffers => '256MB', max_wal_size => '8GB', max_worker_processes => 16, 'leadscore.naptime' => 100 });

sub run { return $node->safe_psql('postgres', $_[0]) }

run(<<"SQL");
	CREATE EXTENSION leadscore;
	SET client_min_messages = warning;
	CREATE TABLE contact (id int PRIMARY KEY, country text);
	CREATE TABLE event (contact int, at timestamptz, what text, n int);
	INSERT INTO contact SELECT n, (ARRAY['DE', 'FR', 'IT'])[1 + n % 3] FROM generate_series(1, $contacts) n;
	SELECT setseed(0.5);
	INSERT INTO event SELECT 1 + (random() * ($contacts - 1))::int, now() - random() * interval '90 days', 'e' || n % 8, n % 10
		FROM generate_series(1, $events) n;
	CREATE INDEX ON event (contact, at);
	VACUUM ANALYZE;
	SELECT leadscore.create_model('m', 'contact');
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'mql', 1, 20), ('m', 'sql', 2, 40);
	SET leadscore.inline_limit = 2000000000;
	SELECT leadscore.attach('m', 'event', 'contact', 'at', event => 'what');
	INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval)
		SELECT 'm', 'rule ' || n, 'e' || n % 8, n, 'half_life', n * interval '3 days' FROM generate_series(1, 8) n;
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'here', 'profile', 'country = ''DE''', 5);
	VACUUM ANALYZE;
SQL

my $open = "SELECT count(*) FROM leadscore.lead_job WHERE state IN ('waiting', 'running')";

sub load
{
	open(my $file, '<', '/proc/loadavg') or return '?';
	return (split ' ', <$file>)[0];
}

# cpu is what processes have used of the processors, in seconds, by their ids.
sub cpu
{
	my %used;
	foreach my $pid (split ' ', run("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%worker'"))
	{
		open(my $file, '<', "/proc/$pid/stat") or next;
		my @fields = split ' ', (split /\) /, <$file>)[1];
		$used{$pid} = ($fields[11] + $fields[12]) / 100;
	}
	return %used;
}

# job has one done, and gives the seconds from its beginning to its end, how many
# processes were seen at it, what they used of the processors together, and in how
# many looks a process was found waiting for something.
sub job
{
	my ($sql) = @_;
	my ($most, $looks, $waits) = (0, 0, 0);
	my %before = cpu();
	my %after;

	run("SET client_min_messages = warning; $sql");
	while (run($open) > 0)
	{
		my ($seen, $waiting) = split /\|/, run(<<'SQL');
SELECT count(*), count(wait_event) FROM pg_stat_activity
 WHERE backend_type LIKE 'leadscore%worker' AND state = 'active'
SQL
		$most = $seen if $seen > $most;
		$looks += $seen;
		$waits += $waiting;
		%after = (%after, cpu());
		select(undef, undef, undef, 0.2);
	}
	my $used = 0;
	$used += $after{$_} - ($before{$_} // 0) foreach keys %after;
	return { took => run(<<'SQL') + 0,
SELECT extract(epoch FROM finished_at - started_at) FROM leadscore.lead_job ORDER BY job_id DESC LIMIT 1
SQL
		seen => $most + 0, cpu => $used, waiting => $looks ? $waits / $looks : 0 };
}

my %took;
for my $round (1 .. $rounds)
{
	for my $workers ($round % 2 ? (1, $processes) : ($processes, 1))
	{
		run("ALTER SYSTEM SET leadscore.job_workers = $workers");
		run("SELECT pg_reload_conf()");
		my $load = load();
		my $rescore = job("SELECT leadscore.rescore('m', online => true)");
		run("VACUUM ANALYZE; CHECKPOINT");
		my $rule = job("INSERT INTO leadscore.lead_rule (model, name, event, points, weight) VALUES ('m', 'new', 'e3', 2, 'n')");
		job("DELETE FROM leadscore.lead_rule WHERE name = 'new'");
		run("VACUUM ANALYZE; CHECKPOINT");
		note(sprintf 'round %d, job_workers = %d, %d processes seen:', $round, $workers, $rescore->{seen});
		note(sprintf '	%s %.1f s (%.1f s of processors, %.0f %% of looks waiting)',
			$_->[0], $_->[1]{took}, $_->[1]{cpu}, 100 * $_->[1]{waiting}) foreach [ 'rescore', $rescore ], [ 'new rule', $rule ];
		note(sprintf '	load average before %s, after %s', $load, load());
		push @{ $took{$workers}{rescore} }, $rescore->{took};
		push @{ $took{$workers}{'new rule'} }, $rule->{took};
	}
}
for my $what ('rescore', 'new rule')
{
	my ($one, $more) = map { median(@{ $took{$_}{$what} }) } 1, $processes;
	note(sprintf '%s, %d events of %d contacts: %.1f s with one process, %.1f s with %d: %.2f times as fast (medians of %d)',
		$what, $events, $contacts, $one, $more, $processes, $one / $more, $rounds);
}
my $wrong = run("SELECT count(*) FROM leadscore.verify('m')") + 0;
note("verify() finds $wrong");
