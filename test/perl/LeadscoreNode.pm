
=pod

=head1 NAME

LeadscoreNode - a PostgreSQL::Test::Cluster with leadscore

=head1 SYNOPSIS

  use LeadscoreNode;
  use Test::More;

  # the library preloaded, no worker; started
  my $node = LeadscoreNode->create('scores');
  $node->hold_clock('postgres', '2026-02-20 12:00+00');
  $node->safe_psql('postgres', 'CREATE EXTENSION leadscore');

  # with launcher and workers, and settings
  $node = LeadscoreNode->create('jobs', worker => 1,
      conf => { 'leadscore.naptime' => '100ms', log_lock_waits => 'on' });
  $node->make_model('postgres');
  $node->within(10, has_worker('postgres'), 'a worker comes');

  # what there is of PostgreSQL::Test::Cluster works as well
  my $standby = LeadscoreNode->new('standby');
  $standby->init_from_backup($node, 'backup', has_streaming => 1);

=cut

package LeadscoreNode;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);

# Outside of make installcheck, which sets all this, programs are those of PG_CONFIG,
# and files go into a directory that stays where the program fails.
my $scratch;

BEGIN
{
	if (!$ENV{PG_REGRESS})
	{
		my $config = $ENV{PG_CONFIG} || 'pg_config';
		chomp(my ($bindir, $pgxs) = `$config --bindir --pgxs`);
		$ENV{PATH} = "$bindir:$ENV{PATH}";
		$ENV{PG_REGRESS} = $pgxs =~ s{/makefiles/pgxs\.mk$}{/test/regress/pg_regress}r;
	}
}

# before PostgreSQL::Test::Utils makes it
INIT
{
	if (!$ENV{TESTDIR} && !$ENV{TESTDATADIR})
	{
		$scratch = tempdir('leadscore.XXXXXX', TMPDIR => 1);
		$ENV{TESTDIR} = $scratch;
		$ENV{TESTDATADIR} = $ENV{TESTLOGDIR} = "$scratch/tmp_check";
	}
}

END { remove_tree($scratch) if $scratch && $? == 0 }

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

our @ISA = ('PostgreSQL::Test::Cluster');
our @EXPORT = qw(need_long need_data data_file tree_file patience in_time same_rows median pgbench_scripts has_worker no_worker phase);

=pod

=head1 FUNCTIONS, EXPORTED

=over

=item need_long(), need_data()

Skip the whole program, unless the long tests were asked for; where no test data
are to be had.

=item data_file(name)

The path of a file of the test data.

=item tree_file(name)

The text of a file of the source tree.

=item patience(seconds)

The seconds that something may take here.  How long something may take is promised
for a machine that has nothing else to do: make test-long holds us to it.  Otherwise
tests run beside each other, and a limit only ends one that hangs; it is less than
what sleeps in tests sleeps.

=item in_time(seconds, limit, what)

Tests that it took less than so many seconds.

=item median(number, ...)

Of an odd number of them.

=item same_rows(got, wanted, what)

Tests that two results of a query are the same, and shows where they differ.

=item pgbench_scripts('name@weight' => script, ...)

Arguments for pgbench to run such scripts.

=back

=cut

sub need_long
{
	plan skip_all => 'a long test: make test-long' unless $ENV{LEADSCORE_LONG};
}

sub need_data
{
	plan skip_all => 'LEADSCORE_DATA names no test data' unless $ENV{LEADSCORE_DATA};
}

sub data_file
{
	my ($name) = @_;
	my $path = "$ENV{LEADSCORE_DATA}/$name";

	die "no such test data: $path\n" unless -r $path;
	return $path;
}

my $tree = dirname(abs_path(__FILE__)) . '/../..';

sub tree_file
{
	my ($name) = @_;

	open(my $file, '<:encoding(UTF-8)', "$tree/$name") or die "could not read $name: $!\n";
	local $/;
	return scalar <$file>;
}

my $hangs = 90;

sub patience
{
	my ($limit) = @_;
	return $ENV{LEADSCORE_LONG} || $limit > $hangs ? $limit : $hangs;
}

sub in_time
{
	my ($took, $limit, $what) = @_;
	return cmp_ok($took, '<', patience($limit), $what);
}

sub median { return (sort { $a <=> $b } @_)[ $#_ / 2 ] }

sub same_rows
{
	my ($got, $wanted, $what) = @_;
	my (%left, %right);

	ok($got eq $wanted, $what) and return 1;
	$left{$_} = 1 foreach split /\n/, $wanted;
	$right{$_} = 1 foreach split /\n/, $got;
	diag("-$_") for grep { defined } (grep { !$right{$_} } sort keys %left)[ 0 .. 4 ];
	diag("+$_") for grep { defined } (grep { !$left{$_} } sort keys %right)[ 0 .. 4 ];
	return 0;
}

sub pgbench_scripts
{
	my (%scripts) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my @files;

	foreach my $script (sort keys %scripts)
	{
		PostgreSQL::Test::Utils::append_to_file("$dir/" . $script =~ s/@.*//r, "$scripts{$script}\n");
		push @files, '-f', "$dir/$script";
	}
	return @files;
}

=pod

=head1 METHODS

=head2 Servers

=over

=item LeadscoreNode->create(name, option => value, ...)

Makes a server that is quick to start, and starts it.  Options:

  library    where leadscore is preloaded: 'server' (the default), 'session' or 'none'
  worker     launcher and workers run; they go by the real clock, so not by default
  conf       settings, a hash
  streaming  standbys may follow it: 1, or 'logical' for subscribers; 1 with workers
  start      0 leaves it to the caller to start it
  node       a hash for new() of PostgreSQL::Test::Cluster, init one for init()

=item $node->append_settings(setting => value, ...)

Adds them to postgresql.conf.

=item $node->configure(setting => value, ...)

Sets settings of leadscore's, without the prefix, for the whole server.

=item $node->hold_clock(database, instant)

Every session of a database, workers included, sees the same instant, by default
2026-02-20 12:00 UTC.

=back

=cut

sub create
{
	my ($class, $name, %options) = @_;
	my $library = $options{library} // 'server';
	my $worker = $options{worker} // 0;
	my $node = $class->new($name, %{ $options{node} // {} });
	my %init = %{ $options{init} // {} };

	$node->init(
		allows_streaming => $options{streaming} // $worker,
		%init,
		extra => [ '--no-locale', '--encoding=UTF8', @{ $init{extra} // [] } ]);
	$node->append_settings(
		autovacuum => 'off',
		log_min_messages => 'info',
		max_prepared_transactions => 5,
		$library eq 'server' ? (shared_preload_libraries => 'leadscore', 'leadscore.enabled' => $worker ? 'on' : 'off') : (),
		$library eq 'session' ? (session_preload_libraries => 'leadscore') : (),
		%{ $options{conf} // {} });
	$node->start unless defined $options{start} && !$options{start};
	return $node;
}

sub append_settings
{
	my ($self, %settings) = @_;
	$self->append_conf('postgresql.conf', join("\n", map { "$_ = '$settings{$_}'" } sort keys %settings));
}

sub configure
{
	my ($self, %settings) = @_;
	$self->safe_psql('postgres', "ALTER SYSTEM SET leadscore.$_ = '$settings{$_}'") foreach keys %settings;
	$self->reload;
}

sub hold_clock
{
	my ($self, $database, $instant) = @_;
	$instant //= '2026-02-20 12:00+00';
	$self->safe_psql('postgres', <<"SQL");
ALTER DATABASE $database SET leadscore.clock = '$instant';
ALTER DATABASE $database SET timezone = 'UTC';
SQL
}

=pod

=head2 Statements

=over

=item $node->said($database, $sql, option => value, ...)

What psql writes, its output and then its messages.  It goes on after an error.
Options are those of PostgreSQL::Test::Cluster's psql(), and login, a role to log in as.

=item $node->wait_for(query, limit, database)

Asks a question until it is answered with t: the seconds that took, or undef where it
took too long.  A server that is just restarting has no answer yet.

=item $node->within(limit, query, what, database)

Tests that something becomes so in so many seconds.

=item $node->timed(limit, sql, what, database)

Tests that a statement succeeds, in so many seconds: two tests.

=item $node->wait_for_subscriptions(publisher, database, name, ...)

Waits until a subscriber has all that its publisher had.

=back

=cut

sub said
{
	my ($self, $database, $sql, %options) = @_;
	my ($out, $err) = ('', '');
	my $login = delete $options{login};

	$options{extra_params} = [ @{ $options{extra_params} // [] }, '-U', $login ] if defined $login;
	$self->psql($database, $sql, on_error_stop => 0, %options, stdout => \$out, stderr => \$err);
	return "$out$err";
}

sub wait_for
{
	my ($self, $query, $limit, $database) = @_;
	my $start = time;

	$limit = patience($limit);
	while (1)
	{
		# psql may have gone before it was asked
		my ($code, $out) = eval { $self->psql($database // 'postgres', $query) };
		die $@ if $@ && $@ !~ /Broken pipe/;
		return time - $start if defined $code && $code == 0 && $out eq 't';
		return undef if time - $start > $limit;
		sleep 0.05;
	}
}

sub within
{
	my ($self, $limit, $query, $what, $database) = @_;
	my $took = $self->wait_for($query, $limit, $database);
	my $how_long = defined $took ? sprintf('%.2f s', $took) : sprintf('not within %d s', patience($limit));

	ok(defined $took, "$what ($how_long)")
	  or diag($self->psql('postgres', 'SELECT pid, datname, backend_type, state, wait_event, query FROM pg_stat_activity'));
	return $took;
}

sub timed
{
	my ($self, $limit, $sql, $what, $database) = @_;
	my $start = time;
	my ($code, $out, $err) = $self->psql($database // 'postgres', $sql);
	my $took = time - $start;

	is($err =~ s/^(?:psql:<stdin>:\d+: )?(?:NOTICE|DETAIL|HINT):.*\n?//mgr, '', "$what succeeds");
	in_time($took, $limit, sprintf('... in %.2f s', $took));
}

sub wait_for_subscriptions
{
	my ($self, $publisher, $database, @subscriptions) = @_;
	$self->wait_for_subscription_sync($publisher, $_, $database) foreach @subscriptions;
}

=pod

=head2 Launcher and workers

=over

=item has_worker(database), no_worker(), phase(database, phase)

Functions, which give questions for within() and wait_for(): whether a database has a
worker, whether none has; how things stand with one, which is asked in another database.

=item $node->workers, $node->worker_pid(database), $node->launcher_pid

How many workers there are, and their processes.

=back

=cut

sub has_worker
{
	my ($database) = @_;
	return "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'leadscore worker' AND datname = '$database'";
}

sub no_worker
{
	return "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'leadscore worker'";
}

sub phase
{
	my ($database, $phase) = @_;
	return "SELECT phase = '$phase' FROM leadscore.activity WHERE database = '$database'";
}

sub workers
{
	my ($self) = @_;
	return $self->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'leadscore worker'");
}

sub worker_pid
{
	my ($self, $database) = @_;

	die "no worker in $database\n" unless defined $self->wait_for(has_worker($database), 20);
	return $self->safe_psql('postgres', <<"SQL");
SELECT pid FROM pg_stat_activity WHERE backend_type = 'leadscore worker' AND datname = '$database'
SQL
}

sub launcher_pid
{
	my ($self) = @_;
	return $self->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'leadscore launcher'");
}

=pod

=head2 Models and scores

=over

=item $node->make_model(database)

Makes the extension, if need be, and model m over tables contact and event.

=item $node->scores(database, model)

What is known of each contact: exact score and categories now, the score in a month
from the state, and that from the events alone.  Stages, which depend on the way
there, are left out, and so is who is there until what is pending of him is folded in
only.  The model is m by default.

=item $node->stored_scores(database, model)

The rows as they are stored.

=item $node->check_scores(database, what, model)

Three tests: that nothing changes when what is pending is folded in, that what is
stored then is what the events give, and that it is what is asked for.  Gives the
scores.

=back

=cut

sub make_model
{
	my ($self, $database) = @_;

	$self->safe_psql($database, <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE TABLE IF NOT EXISTS contact (id int PRIMARY KEY);
CREATE TABLE IF NOT EXISTS event (contact int, at timestamptz DEFAULT now(), what text);
CREATE INDEX IF NOT EXISTS event_contact ON event (contact, at);
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
SQL
}

sub scores
{
	my ($self, $database, $model) = @_;

	$model //= 'm';
	return $self->safe_psql($database, <<"SQL");
SELECT contact_id, round(score::numeric, 6), round(fit::numeric, 6), round(engagement::numeric, 6),
	grade, disqualified, has_contact, last_event_at,
	round(leadscore.score('$model', contact_id, leadscore.clock() + '30 days')::numeric, 6),
	round(leadscore.replay('$model', contact_id)::numeric, 6)
  FROM leadscore.live_$model WHERE has_contact OR last_event_at IS NOT NULL ORDER BY contact_id
SQL
}

sub stored_scores
{
	my ($self, $database, $model) = @_;

	$model //= 'm';
	return $self->safe_psql($database, <<"SQL");
SELECT contact_id, round(score::numeric, 6), fit, round(engagement::numeric, 6),
	grade, stage, disqualified, has_contact, last_event_at
  FROM leadscore.score_$model ORDER BY contact_id
SQL
}

sub check_scores
{
	my ($self, $database, $what, $model) = @_;
	my $before = $self->scores($database, $model);

	$model //= 'm';
	$self->safe_psql($database, "SELECT leadscore.refresh('$model')");
	same_rows($self->scores($database, $model), $before, "$what: nothing changes when what is pending is folded in");
	is($self->safe_psql($database, "SELECT * FROM leadscore.verify('$model') LIMIT 5"),
		'', "$what: stored is what the events give");
	is($self->safe_psql($database, <<"SQL"), '', "$what: stored is what is asked for");
SELECT contact_id, s.score, l.score
  FROM leadscore.score_$model s FULL JOIN leadscore.live_$model l USING (contact_id)
 WHERE (abs(s.score - l.score) <= 0.5 AND s.stage = l.stage) IS NOT TRUE LIMIT 5
SQL
	return $before;
}

1;
