# What attach() of a table of events costs beside one statement that writes the same
# sums with GROUP BY: what it uses of the processors, with all processes that take
# part, and elapsed time; at once, and as a job of one and of two processes.  Each
# round runs all variants, in another order; ratios are those of medians.
#
#   PG_CONFIG=... perl -I test/perl test/bench/attach.pl [--contacts=50000] [--events=500000] [--rounds=3] [--rules=4,20]
#		[--memory=64MB] [--names=4] [variant ...]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be installed.
# Variants: group_by at_once job_1 job_2.
#
# The contacts have a row each before the table is attached, together with the rules.
# Events are in the table in the order of time, so that those of a contact are spread
# over its pages; contacts and rules are drawn evenly.  The peer's table has a primary
# key, the same fillfactor, a sum for each rule, an instant and a stage.
use strict;
use warnings;

use Getopt::Long;
use LeadscoreNode;
use Test::More;
use Time::HiRes qw(time sleep);

my ($contacts, $events, $rounds, $rules, $memory, $names) = (50_000, 500_000, 3, '4,20', '64MB', 4);
GetOptions('contacts=i' => \$contacts, 'events=i' => \$events, 'rounds=i' => \$rounds, 'rules=s' => \$rules,
	'memory=s' => \$memory, 'names=i' => \$names) or die "see the head of $0\n";
my @variants = @ARGV ? @ARGV : qw(group_by at_once job_1 job_2);

my $node = LeadscoreNode->create('attach', worker => 1, streaming => 0, conf => {
	shared_buffers => '1GB', max_wal_size => '16GB', checkpoint_timeout => '1h', jit => 'off', autovacuum => 'off',
	max_parallel_workers_per_gather => 0, max_worker_processes => 16, work_mem => $memory, 'leadscore.naptime' => 100 });

sub run { return $node->safe_psql('postgres', "SET client_min_messages = warning;\n$_[0]") }

run(<<"SQL");
CREATE EXTENSION leadscore;
CREATE TABLE contact (id bigint PRIMARY KEY);
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact bigint, at timestamptz, what text, url text, amount float8);
INSERT INTO contact SELECT generate_series(1, $contacts);
INSERT INTO event (contact, at, what, url, amount)
	SELECT 1 + (n * 7919::bigint) % $contacts, now() - (1 - n::float8 / $events) * interval '60 days',
		'e' || n / $contacts % $names, CASE WHEN n % 3 = 0 THEN '/docs/page' ELSE '/blog/page' END, n % 200
	  FROM generate_series(1, $events) n;
CREATE INDEX ON event (contact, at);
VACUUM ANALYZE;
SQL

# stat reads what a process has used of the processors, in seconds.
sub seconds
{
	my @fields = split ' ', (split /\) /, $_[0])[1];
	return ($fields[11] + $fields[12]) / 100;
}

my $self = "SELECT pg_read_file('/proc/' || pg_backend_pid() || '/stat')";

# session runs statements in a session of their own, and gives elapsed and processor seconds.
sub session
{
	my ($sql, $setup) = @_;
	my ($before, $started, $ended, $after) = grep { length } split /\n/, run(<<"SQL");
@{[ $setup // '' ]}
$self;
SELECT extract(epoch FROM clock_timestamp());
$sql;
SELECT extract(epoch FROM clock_timestamp());
$self;
SQL
	return { took => $ended - $started, cpu => seconds($after) - seconds($before) };
}

sub condition { my ($n) = @_; return $n % 20 >= 1 && $n % 20 <= 10 ? ($n % 2 ? 'amount > ' . $n % 20 : "url LIKE '/docs/%'") : undef }

sub make_model
{
	run('SELECT leadscore.drop_model(model) FROM leadscore.lead_model');
	run("SELECT leadscore.create_model('m', 'contact')");
	run('VACUUM ANALYZE; CHECKPOINT');
}

# attach_with attaches the table and writes the rules, which need it, in one transaction.
sub attach_with
{
	my ($n) = @_;
	return join(";\n", "BEGIN", "DO \$a\$BEGIN PERFORM leadscore.attach('m', 'event', 'contact', 'at', event => 'what'); END\$a\$",
		"INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points, decay, decay_interval) VALUES"
		  . join(',', map {
			my $condition = condition($_);
			$condition = defined $condition ? "\$c\$$condition\$c\$" : 'NULL';
			"('m', 'rule $_', 'event', 'e@{[ $_ % $names ]}', $condition, $_, 'half_life', $_ * interval '1 day')" } 1 .. $n), 'COMMIT');
}

sub group_by
{
	my ($n) = @_;
	run(<<"SQL");
DROP TABLE IF EXISTS sums;
CREATE TABLE sums (contact bigint PRIMARY KEY, @{[ join ', ', map { "sum_$_ float8" } 1 .. $n ]}, last_at timestamptz, stage text)
	WITH (fillfactor = 70);
CHECKPOINT;
SQL
	return session('INSERT INTO sums SELECT contact, ' . join(', ', map {
		my $condition = condition($_);
		$condition = defined $condition ? " AND $condition" : '';
		"sum($_ * power(2, extract(epoch FROM at - now())::float8 / ($_ * 86400))) FILTER (WHERE what = 'e@{[ $_ % $names ]}'$condition)" }
		1 .. $n) . ", max(at), 'none' FROM event GROUP BY contact");
}

# workers gives what the workers have used of the processors, by their ids.
sub workers
{
	my %used;
	foreach my $pid (split ' ', run("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%worker'"))
	{
		open(my $file, '<', "/proc/$pid/stat") or next;
		$used{$pid} = seconds(scalar <$file>);
	}
	return %used;
}

sub attach
{
	my ($variant, $n) = @_;
	my $attach = attach_with($n);

	make_model();
	return session($attach, 'SET leadscore.inline_limit = 2000000000;') if $variant eq 'at_once';
	my ($processes) = $variant =~ /(\d+)/;
	run("ALTER SYSTEM SET leadscore.job_workers = $processes");
	run('SELECT pg_reload_conf()');
	sleep(0.5);
	my %before = workers();
	my %after;
	my $used = session($attach)->{cpu};
	while (run("SELECT count(*) FROM leadscore.lead_job WHERE state IN ('waiting', 'running')") > 0)
	{
		%after = (%after, workers());
		sleep(0.05);
	}
	%after = (%after, workers());
	$used += $after{$_} - ($before{$_} // 0) foreach keys %after;
	return { cpu => $used, took => run(<<'SQL') + 0 };
SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM leadscore.lead_job WHERE model = 'm'
SQL
}

foreach my $n (split /,/, $rules)
{
	my %values;
	foreach my $round (1 .. $rounds)
	{
		foreach my $variant ($round % 2 ? @variants : reverse @variants)
		{
			my $value = $variant eq 'group_by' ? group_by($n) : attach($variant, $n);
			note(sprintf '%d rules, round %d, %s: %.2f s, %.2f s of processors', $n, $round, $variant, $value->{took}, $value->{cpu});
			push @{ $values{$variant}{$_} }, $value->{$_} foreach qw(took cpu);
			if ($variant ne 'group_by' && $round == 1)
			{
				my $wrong = run("SELECT count(*) FROM leadscore.verify('m')");
				note("verify() finds $wrong") if $wrong;
			}
		}
	}
	my ($took, $cpu) = map { $values{group_by} ? median(@{ $values{group_by}{$_} }) : 0 } qw(took cpu);
	foreach my $variant (@variants)
	{
		my ($t, $c) = map { median(@{ $values{$variant}{$_} }) } qw(took cpu);
		note(sprintf '%d rules, %d events of %d contacts, %-9s elapsed %7.2f s (%.2f), processors %7.2f s (%.2f)',
			$n, $events, $contacts, $variant, $t, $took ? $t / $took : 0, $c, $cpu ? $c / $cpu : 0);
	}
}
ok(1, 'done');
done_testing();
