# One statement over many contacts: what the backend has resident at most (RssAnon,
# polled), beside the target of 4 x work_mem + 64 MB, its time, and that of the same
# statement on a table that feeds no model.
#
#   PG_CONFIG=... perl -I test/perl test/bench/many_contacts.pl [contacts [events a contact [case ...]]]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be installed.
# WORK_MEM=4MB,64MB says with which settings.  At 2,000,000 contacts, the default, all
# cases need 20 GB of disk and an hour.
use strict;
use warnings;

use Cwd 'abs_path';
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $contacts = shift @ARGV // 2_000_000;
my $each = shift @ARGV // 2;
my %wanted = map { $_ => 1 } @ARGV;
my @settings = split /,/, $ENV{WORK_MEM} // '4MB,64MB';
my $rows = $contacts * $each;

my $node = LeadscoreNode->create('contacts', library => 'none',
	conf => { shared_buffers => '128MB', max_wal_size => '8GB', autovacuum => 'off', fsync => 'off' });
my $dir = abs_path(PostgreSQL::Test::Utils::tempdir);

my $setup = <<"SQL";
	CREATE EXTENSION leadscore;
	CREATE TABLE contact (id int PRIMARY KEY, country text);
	CREATE TABLE lead (id int PRIMARY KEY);
	CREATE TABLE event (id bigint, contact int, at timestamptz, what text, url text, amount float8);
	CREATE TABLE bare (LIKE event);
	CREATE TABLE parted (LIKE event) PARTITION BY HASH (contact);
	CREATE TABLE bare_parted (LIKE event) PARTITION BY HASH (contact);
	SELECT format('CREATE TABLE %1\$s_%2\$s PARTITION OF %1\$s FOR VALUES WITH (MODULUS 20, REMAINDER %2\$s)', t, n)
	  FROM unnest('{parted,bare_parted}'::text[]) t, generate_series(0, 19) n \\gexec
	SELECT leadscore.create_model('m', 'contact');
	SELECT leadscore.attach('m', 'event', 'contact', 'at', event => 'what');
	SELECT leadscore.create_model('p', 'lead');
	SELECT leadscore.attach('p', 'parted', 'contact', 'at', event => 'what');
	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
		SELECT model, 'rule ' || n, 'e' || n % 4, CASE WHEN n <= 10 THEN (ARRAY['url LIKE ''/docs/%''', 'amount > ' || n])[1 + n % 2] END,
			   n, 'half_life', n * interval '1 day'
		  FROM unnest('{m,p}'::text[]) model, generate_series(1, 20) n;
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'near', 'profile', \$\$country = 'FR'\$\$, 3);
	CREATE INDEX ON event (contact, at);
	CREATE INDEX ON bare (contact, at);
	CREATE INDEX ON parted (contact, at);
	CREATE INDEX ON bare_parted (contact, at);
	COPY (SELECT n, (n::bigint * 7919) % $contacts, timestamptz '2026-01-01' + n * interval '1 s', 'e' || n / 3 % 4, '/docs/' || n % 50, n % 20
			FROM generate_series(1, $rows) n) TO '$dir/rows';
	CREATE TABLE staged (LIKE event);
	COPY staged FROM '$dir/rows';
SQL

# anonymous gives the memory that a process has for itself, in kB.
sub anonymous
{
	my ($pid) = @_;

	open(my $status, '<', "/proc/$pid/status") or return 0;
	return (map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$status>)[0] // 0;
}

# most_memory runs a statement, and gives the most memory it took, in MB, and its time.
sub most_memory
{
	my ($database, $work_mem, $sql) = @_;
	my $started = time;
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		exec 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-c', "SET work_mem = '$work_mem'",
		  '-c', "SET application_name = 'measured'", '-c', $sql;
		die "could not run psql\n";
	}
	my ($backend, $most) = ('', 0);
	while (waitpid($pid, 1) == 0)
	{
		$backend ||= $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'measured'");
		my $now = $backend ? anonymous($backend) : 0;
		$most = $now if $now > $most;
		sleep 0.02;
	}
	die "$sql failed\n" if $?;
	return ($most / 1024, time - $started);
}

my @cases = (
	[ insert => 'INSERT INTO event SELECT * FROM staged', 'INSERT INTO bare SELECT * FROM staged' ],
	[ update => 'UPDATE event SET amount = amount + 1', 'UPDATE bare SET amount = amount + 1' ],
	[ delete => 'DELETE FROM event', 'DELETE FROM bare' ],
	[ copy => "COPY event FROM '$dir/rows'", "COPY bare FROM '$dir/rows'" ],
	[ partitions => "COPY parted FROM '$dir/rows'", "COPY bare_parted FROM '$dir/rows'" ],
	[ contacts => "INSERT INTO contact SELECT n, 'FR' FROM generate_series(1, $contacts) n" ],
	[ profiles => "UPDATE contact SET country = 'DE'" ]);

sub megabytes { my ($n, $unit) = $_[0] =~ /^(\d+)(kB|MB)$/; return $unit eq 'kB' ? $n / 1024 : $n }

for my $work_mem (@settings)
{
	my $database = lc "with_$work_mem";

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, $setup);
	for my $case (@cases)
	{
		my ($name, $sql, $bare) = @$case;
		next if %wanted && !$wanted{$name};
		my ($least, $alone) = $bare ? most_memory($database, $work_mem, $bare) : (0, 0);
		my ($most, $took) = most_memory($database, $work_mem, $sql);
		note(sprintf '%-10s %-6s %8d contacts: at most %.0f MB (target %.0f), bare %.0f MB; %.1f s, bare %.1f s: %.2f',
			$name, $work_mem, $contacts, $most, 4 * megabytes($work_mem) + 64, $least, $took, $alone, $alone ? $took / $alone : 0);
	}
}
