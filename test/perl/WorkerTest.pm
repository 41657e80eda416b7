# Servers with launcher and workers, and what can be waited for in them.
package WorkerTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(new_node make_model wait_for within workers worker_pid launcher_pid has_worker phase reload timed in_time patience);

# How long something may take is promised for a machine that has nothing else to
# do: make test-long holds us to it.  Otherwise tests run beside each other, and a
# limit only ends one that hangs; it is less than what sleeps in tests sleeps.
my $strict = $ENV{LEADSCORE_LONG};
my $hangs = 90;

# patience gives the seconds that something may take here.
sub patience
{
	my ($limit) = @_;
	return $strict || $limit > $hangs ? $limit : $hangs;
}

# in_time tests that it took less than so many seconds.
sub in_time
{
	my ($took, $limit, $what) = @_;
	return cmp_ok($took, '<', patience($limit), $what);
}

# new_node makes a server that is quick to start; it is not started yet.
sub new_node
{
	my ($name, $preload, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--no-locale', '--encoding=UTF8' ], allows_streaming => 1);
	$node->append_conf('postgresql.conf', "restart_after_crash = on\nfsync = off\nautovacuum = off\nlog_min_messages = info\n"
		  . ($preload ? "shared_preload_libraries = 'leadscore'\n" : '') . ($conf // ''));
	return $node;
}

# make_model makes the extension and a model in a database.
sub make_model
{
	my ($node, $database) = @_;

	$node->safe_psql($database, <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE TABLE IF NOT EXISTS contact (id int PRIMARY KEY);
CREATE TABLE IF NOT EXISTS event (contact int, at timestamptz DEFAULT now(), what text);
CREATE INDEX IF NOT EXISTS event_contact ON event (contact, at);
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
SQL
}

# wait_for asks a question until it is answered with t; how long that took, or
# undef if it took too long.
sub wait_for
{
	my ($node, $query, $limit, $database) = @_;
	my $start = time;

	$limit = patience($limit);

	while (1)
	{
		# a server that is just restarting has no answer: psql may have gone before it was asked
		my ($code, $out) = eval { $node->psql($database // 'postgres', $query) };
		die $@ if $@ && $@ !~ /Broken pipe/;
		return time - $start if defined $code && $code == 0 && $out eq 't';
		return undef if time - $start > $limit;
		sleep 0.05;
	}
}

# within tests that something becomes so in so many seconds.
sub within
{
	my ($node, $limit, $query, $what, $database) = @_;
	my $took = wait_for($node, $query, $limit, $database);

	ok(defined $took, sprintf('%s (%s)', $what, defined $took ? sprintf('%.2f s', $took) : sprintf('not within %d s', patience($limit))))
	  or diag($node->psql('postgres', "SELECT pid, datname, backend_type, state, wait_event, query FROM pg_stat_activity"));
	return $took;
}

# timed tests that a statement succeeds in so many seconds.
sub timed
{
	my ($node, $limit, $sql, $what, $database) = @_;
	my $start = time;
	my ($code, $out, $err) = $node->psql($database // 'postgres', $sql);
	my $took = time - $start;

	is($err =~ s/^(?:psql:<stdin>:\d+: )?(?:NOTICE|DETAIL|HINT):.*\n?//mgr, '', "$what succeeds");
	in_time($took, $limit, sprintf('... in %.2f s', $took));
}

sub has_worker
{
	my ($database) = @_;
	return "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'leadscore worker' AND datname = '$database'";
}

sub workers
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'leadscore worker'");
}

sub worker_pid
{
	my ($node, $database) = @_;
	die "no worker in $database\n" unless defined wait_for($node, has_worker($database), 20);
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'leadscore worker' AND datname = '$database'");
}

sub launcher_pid
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'leadscore launcher'");
}

# phase is a question: how things stand with a database, asked in another one.
sub phase
{
	my ($database, $phase) = @_;
	return "SELECT phase = '$phase' FROM leadscore.activity WHERE database = '$database'";
}

sub reload
{
	my ($node, %settings) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET leadscore.$_ = '$settings{$_}'") foreach keys %settings;
	$node->reload;
}

1;
