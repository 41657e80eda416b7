# Times: events written with and without a model, in single rows and in bulk, beside
# triggers in plpgsql, an incrementally maintained view (pg_ivm, where it is
# installed) and a nightly UPDATE; a backfill beside one GROUP BY; reading; and how it
# grows.  Each round runs every variant, in another order; medians are compared.
# `make bench` builds, installs, and runs this in a cluster of its own:
#
#   PG_CONFIG=... perl -I test/perl test/bench/times.pl [--scale=0.1] [--out=bench-results]
#       [--rounds=3] [--seconds=1] [part ...]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be installed.
# The scale is that of tables and of seconds: 0.1 takes less than five minutes, 1 about
# three quarters of an hour; seconds are those of pgbench.  Parts: single bulk reading backfill midnight rules names contacts rows.
use strict;
use warnings;

use BenchReport;
use Cwd qw(abs_path);
use Getopt::Long;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

my ($scale, $out, $rounds, $seconds) = ($ENV{LEADSCORE_SCALE} || 0.1, 'bench-results');
GetOptions('scale=f' => \$scale, 'out=s' => \$out, 'rounds=i' => \$rounds, 'seconds=i' => \$seconds) or die "see the head of $0\n";
my @parts = qw(single bulk reading backfill midnight rules names contacts rows);
my %parts = map { $_ => 1 } @ARGV ? @ARGV : @parts;

my $short = $scale < 0.5;
$rounds ||= $short ? 3 : 7;
$seconds ||= $short ? 1 : 5;
my $contacts = int(200_000 * $scale);
mkdir $out;
my $report = BenchReport->new(abs_path($out));
my $node = LeadscoreNode->create('bench', library => 'session', conf => {
	shared_buffers => '1GB', max_wal_size => '16GB', checkpoint_timeout => '1h', fsync => 'on', jit => 'off', autovacuum => 'off',
	max_connections => 50, max_parallel_workers_per_gather => 0, 'leadscore.inline_limit' => 2_000_000_000 });
my $where = '-h ' . $node->host . ' -p ' . $node->port;
my $scripts = PostgreSQL::Test::Utils::tempdir;

sub run { return $node->safe_psql('postgres', "SET client_min_messages = warning;\n$_[0]") }

# ms times one statement in a session that has done what is to be done before.
sub ms
{
	my ($sql, $before) = @_;
	my $said = run(($before // '') . "\n\\timing on\n$sql\n");
	my ($time) = $said =~ /.*Time: ([\d.]+) ms/s or die "no time in: $said";
	return $time;
}

# in_rounds gives the values of variants, each as often as there are rounds.
sub in_rounds
{
	my ($variants, $measure) = @_;
	my %values;

	foreach my $round (1 .. $rounds)
	{
		my @order = $round % 2 ? @$variants : reverse @$variants;
		push @{ $values{$_} }, $measure->($_) foreach @order;
	}
	return \%values;
}

sub reported
{
	my ($group, $x, $unit, $variants, $values) = @_;

	$report->add($group, $x, $_, $unit, $values->{$_}, $variants->[0]) foreach @$variants;
}

################################################################################
# Variants: a table of events each, and what follows it

my $ivm = run("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_ivm'");
run('CREATE EXTENSION leadscore' . ($ivm ? '; CREATE EXTENSION pg_ivm' : ''));
my $create_immv = $ivm && run("SELECT pronamespace::regnamespace || '.create_immv' FROM pg_proc WHERE proname = 'create_immv'");

sub tables
{
	my ($name, $contacts) = @_;
	return <<"SQL";
CREATE TABLE contact_$name (id bigint PRIMARY KEY);
CREATE TABLE event_$name (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact bigint, at timestamptz DEFAULT now(),
	what text, url text, amount float8);
CREATE INDEX ON event_$name (contact, at);
INSERT INTO contact_$name SELECT generate_series(1, $contacts);
SQL
}

# rules gives rules that one event brings into force, or that are spread over names
# of events; half have a condition, all a half-life.
sub rules
{
	my ($name, $rules, $names) = @_;
	my $what = $names ? "'e' || n % $names" : "'e1'";
	return <<"SQL";
INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
	SELECT '$name', 'rule ' || n, $what,
		CASE WHEN n % 20 BETWEEN 1 AND 10 THEN (ARRAY['url LIKE ''/docs/%''', 'amount > ' || n % 20])[1 + n % 2] END,
		n, 'half_life', n * interval '1 day'
	  FROM generate_series(1, $rules) n;
SQL
}

sub model
{
	my ($name, $contacts, $rules, $names) = @_;
	return tables($name, $contacts) . <<"SQL" . rules($name, $rules, $names);
SELECT leadscore.create_model('$name', 'contact_$name');
SELECT leadscore.attach('$name', 'event_$name', 'contact', 'at', event => 'what');
SQL
}

sub trigger
{
	my ($name, $level) = @_;
	my $decayed = sub { "s.score * exp(-0.0000001 * extract(epoch FROM excluded.at - s.at)::float8)" };
	my ($new, $plus, $values) = $level eq 'ROW' ? ('', '1', 'VALUES (NEW.contact, 1, NEW.at)') :
	  ('REFERENCING NEW TABLE AS added', 'excluded.score', <<'SQL');
SELECT contact, sum(exp(0.0000001 * extract(epoch FROM at - '2026-01-01')::float8))
		* exp(-0.0000001 * extract(epoch FROM max(at) - '2026-01-01')::float8), max(at)
  FROM added GROUP BY contact
SQL
	return <<"SQL";
CREATE TABLE plain_$name (contact bigint PRIMARY KEY, score float8, at timestamptz) WITH (fillfactor = 70);
CREATE FUNCTION add_$name() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN
	INSERT INTO plain_$name AS s $values
		ON CONFLICT (contact) DO UPDATE SET score = ${\$decayed->()} + $plus, at = excluded.at;
	RETURN NULL; END\$\$;
CREATE TRIGGER add AFTER INSERT ON event_$name $new FOR EACH $level EXECUTE FUNCTION add_$name();
SQL
}

my %setup = (
	bare => sub { tables('bare', $_[0]) },
	row_trigger => sub { tables('row_trigger', $_[0]) . trigger('row_trigger', 'ROW') },
	statement_trigger => sub { tables('statement_trigger', $_[0]) . trigger('statement_trigger', 'STATEMENT') },
	pg_ivm => sub { tables('pg_ivm', $_[0]) . <<"SQL" },
SELECT $create_immv('view_of_pg_ivm', 'SELECT contact, sum(amount) AS score, count(*) AS n FROM event_pg_ivm GROUP BY contact');
SQL
	leadscore => sub { model('leadscore', $_[0], 20) },
	leadscore_spread => sub { model('leadscore_spread', $_[0], 20, 4) });

my @peers = ('bare', 'row_trigger', 'statement_trigger', $ivm ? 'pg_ivm' : ());

# fresh makes variants anew, with an event for each contact, some minutes ago.
sub fresh
{
	my ($contacts, @variants) = @_;

	foreach my $variant (@variants)
	{
		run("SELECT leadscore.drop_model(model) FROM leadscore.lead_model WHERE model = '$variant'");
		run("DROP TABLE IF EXISTS event_$variant, contact_$variant, plain_$variant, view_of_$variant CASCADE");
		run("DROP FUNCTION IF EXISTS add_$variant CASCADE");
		run($setup{$variant}->($contacts));
		run(<<"SQL");
INSERT INTO event_$variant (contact, at, what, url, amount)
	SELECT n, now() - interval '10 minutes', 'e1', '/docs/page', 100 FROM generate_series(1, $contacts) n
SQL
	}
	run('VACUUM ANALYZE');
	run('CHECKPOINT');
}

# rate gives the rows a second that clients of pgbench insert, one a transaction.
sub rate
{
	my ($variant, $clients, $commit, $contacts, $names) = @_;
	my $what = $names ? "'e' || :e" : "'e1'";

	open(my $file, '>', "$scripts/$variant.sql") or die "could not write: $!\n";
	print $file "\\set c random(1, $contacts)\n", $names ? "\\set e random(0, @{[ $names - 1 ]})\n" : '',
		"INSERT INTO event_$variant (contact, what, url, amount) VALUES (:c, $what, '/docs/page', 100);\n";
	close($file);
	my $said = `PGOPTIONS='-c synchronous_commit=$commit' pgbench $where -n -M prepared -c $clients -j 2 -T $seconds \\
		-f $scripts/$variant.sql postgres 2>&1`;
	my ($tps) = $said =~ /^tps = ([\d.]+)/m or die "pgbench failed: $said";
	return $tps;
}

sub hot
{
	my ($table) = @_;
	run('SELECT pg_stat_force_next_flush()');
	return run("SELECT pg_stat_reset_single_table_counters('leadscore.score_$table'::regclass)") if !defined wantarray;
	return run(<<"SQL");
SELECT coalesce(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0) FROM pg_stat_all_tables
 WHERE relid = 'leadscore.score_$table'::regclass
SQL
}

################################################################################
# Single rows, by clients and by what a commit waits for

if ($parts{single})
{
	my @variants = (@peers, 'leadscore');
	fresh($contacts, @variants);
	hot('leadscore');
	foreach my $commit (qw(off on))
	{
		foreach my $clients (1, 2, 4)
		{
			my $tps = in_rounds(\@variants, sub { rate($_[0], $clients, $commit, $contacts) });
			reported("single rows, synchronous_commit $commit", $clients, 'rows/s', \@variants, $tps);
		}
	}
	$report->add('HOT updates', 'single rows', 'leadscore', '%', [ scalar hot('leadscore') ]);
}

################################################################################
# Bulk: 10 rows a contact, all distinct; then events go again

if ($parts{bulk})
{
	my @variants = (@peers, 'leadscore', 'leadscore_spread');
	fresh($contacts, @variants);
	foreach my $each (10, 1)
	{
		my $of = int($contacts / $each);
		my $x = $each > 1 ? "$each a contact" : 'all distinct';
		hot('leadscore');
		my $insert = sub {
			my ($variant) = @_;
			my $what = $variant =~ /spread/ ? "'e' || n % 4" : "'e1'";
			# rows come in no order of theirs
			my $took = ms(<<"SQL");
INSERT INTO event_$variant (contact, what, url, amount)
	SELECT 1 + (n * 7919) % $of, $what, '/docs/page', 100 FROM generate_series(1, $contacts) n;
SQL
			run("VACUUM event_$variant");
			run("VACUUM leadscore.score_$variant") if $variant =~ /leadscore/;
			run("VACUUM plain_$variant") if $variant =~ /trigger/;
			run('CHECKPOINT');
			return 1000 * $took / $contacts;
		};
		reported('bulk INSERT', $x, 'us/row', \@variants, in_rounds(\@variants, $insert));
		$report->add('HOT updates', "bulk, $x", 'leadscore', '%', [ scalar hot('leadscore') ]);
	}
	my %took;
	foreach my $round (1 .. $rounds)
	{
		push @{ $took{INSERT} }, ms(<<"SQL") / 1000;
INSERT INTO event_leadscore (contact, at, what, url, amount)
	SELECT n, now() - interval '1 hour', 'e1', 'one to go', 100 FROM generate_series(1, $contacts) n;
SQL
		run('CHECKPOINT');
		push @{ $took{DELETE} }, ms("DELETE FROM event_leadscore WHERE url = 'one to go';") / 1000;
		run('VACUUM event_leadscore');
		run('VACUUM leadscore.score_leadscore');
	}
	reported('DELETE and INSERT', 'one a contact', 's', [qw(INSERT DELETE)], \%took);
}

################################################################################
# Reading

# looked_up looks up a thousand contacts, each by a join, planned each time.
sub looked_up
{
	my ($prefix) = @_;
	return <<"SQL" =~ s/\n\t*/ /gr;
DO \$\$ BEGIN FOR i IN 1 .. 1000 LOOP
	EXECUTE 'SELECT c.id, s.score FROM contact_leadscore c JOIN leadscore.${prefix}_leadscore s ON s.contact_id = c.id WHERE c.id = ' || i;
END LOOP; END \$\$;
SQL
}

if ($parts{reading})
{
	my $many = 5 * $contacts;
	fresh($many, 'leadscore');
	run("CREATE TABLE looked_up AS SELECT id FROM contact_leadscore WHERE id % 100 = 7; ANALYZE looked_up");
	my %query = (
		stored_average => 'SELECT avg(score) FROM leadscore.score_leadscore;',
		live_average => 'SELECT avg(score) FROM leadscore.live_leadscore;',
		stored => 'SELECT stage, sum(score) FROM leadscore.score_leadscore GROUP BY 1;',
		live => 'SELECT stage, sum(score) FROM leadscore.live_leadscore GROUP BY 1;',
		stored_join => 'SELECT sum(score) FROM looked_up JOIN leadscore.score_leadscore ON contact_id = id;',
		live_join => 'SELECT sum(score) FROM looked_up JOIN leadscore.live_leadscore ON contact_id = id;',
		stored_look_up => looked_up('score'),
		live_look_up => looked_up('live'),
		stored_top => 'SELECT contact_id FROM leadscore.score_leadscore ORDER BY score DESC LIMIT 20;',
		live_top => 'SELECT contact_id FROM leadscore.live_leadscore ORDER BY score DESC LIMIT 20;',
		top => "SELECT * FROM leadscore.top('leadscore', 20);");
	my $has_top = run("SELECT count(*) FROM pg_proc WHERE proname = 'top' AND pronamespace = 'leadscore'::regnamespace");
	foreach my $what ([ average => qw(stored_average live_average) ], [ aggregate => qw(stored live) ],
		[ join => qw(stored_join live_join) ], [ '1000 look-ups' => qw(stored_look_up live_look_up) ],
		[ 'best 20' => qw(stored_top live_top), $has_top ? 'top' : () ])
	{
		my ($x, @variants) = @$what;
		my $values = in_rounds(\@variants, sub { ms($query{ $_[0] }, $query{$_[0]}) });
		reported("reading $many contacts", $x, 'ms', \@variants, $values);
	}
}

################################################################################
# Events that were there before the model, counted at once, beside one GROUP BY that
# writes the sums; attach.pl measures this as a job, and in processor time

if ($parts{backfill})
{
	my $events = 25 * $contacts;
	run('DROP TABLE IF EXISTS contact_old, event_old; ' . tables('old', $contacts));
	run(<<"SQL");
INSERT INTO event_old (contact, at, what, url, amount)
	SELECT 1 + (n * 7919::bigint) % $contacts, now() - n % 2592000 * interval '1 second', 'e' || n % 4, '/docs/page', n % 200
	  FROM generate_series(1, $events) n
SQL
	run('VACUUM ANALYZE event_old');
	my $values = in_rounds([ 'GROUP BY', 'attach' ], sub {
		my ($variant) = @_;
		my $started;
		if ($variant eq 'attach')
		{
			run("SELECT leadscore.create_model('old', 'contact_old')");
			run('VACUUM ANALYZE');
			$started = time;
			run(<<'SQL' . rules('old', 4, 4) . 'COMMIT;');
BEGIN;
SELECT leadscore.attach('old', 'event_old', 'contact', 'at', event => 'what');
SQL
		}
		else
		{
			# the conditions, points and half-lives of the four rules, in a table like that of scores
			run('CREATE TABLE sums (contact bigint PRIMARY KEY, ' . join(', ', map { "sum_$_ float8" } 1 .. 4)
				  . ', last_at timestamptz, stage text) WITH (fillfactor = 70)');
			$started = time;
			run('INSERT INTO sums SELECT contact, ' . join(', ', map { <<"SQL" } 1 .. 4) . ", max(at), 'none' FROM event_old GROUP BY contact");
sum($_ * power(2, extract(epoch FROM at - now())::float8 / ($_ * 86400)))
	FILTER (WHERE what = 'e@{[ $_ % 4 ]}' AND @{[ $_ % 2 ? "amount > $_" : "url LIKE '/docs/%'" ]})
SQL
		}
		my $took = time - $started;
		run($variant eq 'attach' ? "SELECT leadscore.drop_model('old')" : 'DROP TABLE sums');
		run('CHECKPOINT');
		return $took;
	});
	reported("backfill of $events events", "$contacts contacts", 's', [ 'GROUP BY', 'attach' ], $values);
}

################################################################################
# A midnight at which all contacts are due, beside an UPDATE of as many rows of a copy
# of the score table, and the nightly UPDATE of plain scores

if ($parts{midnight})
{
	fresh($contacts, 'leadscore', 'row_trigger');
	run(<<'SQL');
DROP TABLE IF EXISTS score_copy;
CREATE TABLE score_copy (LIKE leadscore.score_leadscore INCLUDING ALL) WITH (fillfactor = 45);
INSERT INTO score_copy TABLE leadscore.score_leadscore;
VACUUM ANALYZE score_copy;
SQL
	my %nightly = (
		'UPDATE of a copy' => "UPDATE score_copy SET score = score * exp(-0.0000001 * 86400), scored_at = scored_at + interval '1 day';",
		'nightly UPDATE' => "UPDATE plain_row_trigger SET score = score * exp(-0.0000001 * 86400), at = at + interval '1 day';");
	my @variants = ('UPDATE of a copy', 'nightly UPDATE', 'refresh');
	my ($days, %cpu) = (0);
	my $values = in_rounds(\@variants, sub {
		my ($variant) = @_;
		my ($clock, $sql) = ('', $nightly{$variant});
		run('CHECKPOINT');
		if ($variant eq 'refresh')
		{
			$days++;
			$clock = "SELECT set_config('leadscore.clock', (now() + interval '$days days')::text, false);\n";
			$sql = "SELECT leadscore.refresh('leadscore');";
		}
		my $ticks = "SELECT 'cpu ' || (x[14]::int + x[15]::int) FROM regexp_split_to_array(pg_read_file('/proc/self/stat'), ' ') x;";
		my $said = run("$clock$ticks\n\\timing on\n$sql\n\\timing off\n$ticks\n");
		my ($time) = $said =~ /Time: ([\d.]+) ms/ or die "no time in: $said";
		my @ticks = $said =~ /^cpu (\d+)/mg;
		push @{ $cpu{$variant} }, ($ticks[1] - $ticks[0]) / 100;
		run('VACUUM');
		return $time / 1000;
	});
	reported('a midnight, all due', "$contacts contacts", 's', \@variants, $values);
	reported('a midnight, all due, CPU', "$contacts contacts", 's', \@variants, \%cpu);
}

################################################################################
# How it grows: single rows of one client, and rows per statement

sub growth
{
	my ($group, $x, $names, $contacts, @variants) = @_;
	my $values = in_rounds(\@variants, sub { 1e6 / rate($_[0], 1, 'off', $contacts, $_[0] eq 'leadscore' ? $names : undef) });

	reported($group, $x, 'us/row', \@variants, $values);
}

if ($parts{rules})
{
	my $few = int($contacts / 10);
	fresh($few, 'bare', 'row_trigger');
	foreach my $rules ($short ? (1, 20, 100) : (1, 5, 20, 50, 100))
	{
		local $setup{leadscore} = sub { model('leadscore', $_[0], $rules) };
		fresh($few, 'leadscore');
		growth('growth with rules in force', $rules, undef, $few, qw(bare row_trigger leadscore));
	}
}

if ($parts{names})
{
	my $few = int($contacts / 10);
	fresh($few, 'bare', 'row_trigger');
	foreach my $names ($short ? (1, 300) : (1, 10, 100, 300))
	{
		local $setup{leadscore} = sub { model('leadscore', $_[0], 5 * $names, $names) };
		fresh($few, 'leadscore');
		growth('growth with event names, 5 rules each', $names, $names, $few, qw(bare row_trigger leadscore));
	}
}

if ($parts{contacts})
{
	foreach my $part ($short ? (0.01, 1) : (0.01, 0.1, 1, 5))
	{
		my $n = int($contacts * $part);
		fresh($n, qw(bare row_trigger leadscore));
		growth('growth with contacts', $n, undef, $n, qw(bare row_trigger leadscore));
	}
}

if ($parts{rows})
{
	my @variants = (@peers, 'leadscore');
	fresh($contacts, @variants);
	foreach my $rows ($short ? (1, 100, 10000) : (1, 10, 100, 1000, 10000))
	{
		# as many statements as make 10,000 rows, each of its own contacts
		my $statements = 10000 / $rows;
		my $values = in_rounds(\@variants, sub {
			my ($variant) = @_;
			my $took = ms(<<"SQL");
DO \$\$BEGIN FOR s IN 1 .. $statements LOOP
	INSERT INTO event_$variant (contact, what, url, amount)
		SELECT 1 + ((s * $rows + n) * 7919::bigint) % $contacts, 'e1', '/docs/page', 100 FROM generate_series(1, $rows) n;
END LOOP; END\$\$;
SQL
			run("VACUUM event_$variant");
			run("VACUUM leadscore.score_leadscore") if $variant eq 'leadscore';
			return $took / 10;
		});
		reported('growth with rows a statement', $rows, 'us/row', \@variants, $values);
	}
}

################################################################################

my $verified = 0;
$verified += run("SELECT count(*) FROM leadscore.verify('$_')") foreach split /\n/, run('SELECT model FROM leadscore.lead_model');
my ($load) = split ' ', `cat /proc/loadavg`;
chomp(my $processors = `nproc`);
$report->finish(sprintf 'leadscore %s, %s; %d processors, load average %s at the end; scale %s, %d rounds%s; verify() finds %d',
	run("SELECT extversion FROM pg_extension WHERE extname = 'leadscore'"), run("SELECT split_part(version(), ' on ', 1)"),
	$processors, $load, $scale, $rounds, $ivm ? '' : '; pg_ivm is not installed', $verified);
diag("in $out: report.txt, results.csv, and a plot of each group");
is($verified, 0, 'scores are right');
done_testing();
