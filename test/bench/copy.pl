# COPY of 1,000,000 rows, 10 events a contact, 20 rules in force, beside the same
# COPY into a table that feeds no model: the ratio of the medians of paired runs.
#
#   PG_CONFIG=... perl -I test/perl test/bench/copy.pl [pairs [rows]]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be installed.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

my $pairs = $ARGV[0] // 5;
my $rows = $ARGV[1] // 1_000_000;

my $node = LeadscoreNode->create('copy', library => 'none', conf => { shared_buffers => '256MB', max_wal_size => '8GB' });
my $dir = PostgreSQL::Test::Utils::tempdir;

sub run { return $node->safe_psql('postgres', $_[0]) }

my $contacts = $rows / 10;
run(<<"SQL");
	CREATE EXTENSION leadscore;
	CREATE TABLE contact (id int PRIMARY KEY);
	CREATE TABLE event (id bigint, contact int, at timestamptz, what text, url text, amount float8);
	CREATE TABLE bare (LIKE event);
	SELECT leadscore.create_model('m', 'contact');
	SELECT leadscore.attach('m', 'event', 'contact', 'at', event => 'what');
	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
		SELECT 'm', 'rule ' || n, 'e' || n % 4, CASE WHEN n <= 10 THEN (ARRAY['url LIKE ''/docs/%''', 'amount > ' || n])[1 + n % 2] END,
			   n, 'half_life', n * interval '1 day'
		  FROM generate_series(1, 20) n;
	CREATE INDEX ON event (contact, at);
	CREATE INDEX ON bare (contact, at);
	COPY (SELECT n, n % $contacts, timestamptz '2026-01-01' + n * interval '1 second', 'e' || n / $contacts % 4, '/docs/' || n, n % 20
			FROM generate_series(1, $rows) n) TO '$dir/rows';
SQL

my %took;
for my $pair (1 .. $pairs)
{
	for my $table ($pair % 2 ? qw(bare event) : qw(event bare))
	{
		# each run begins with contacts that have no events
		run("SET client_min_messages = error; TRUNCATE $table; CHECKPOINT");
		my $started = time;
		run("COPY $table FROM '$dir/rows'");
		push @{ $took{$table} }, time - $started;
	}
	note(sprintf 'pair %d: bare %.2f s, with leadscore %.2f s', $pair, map { $took{$_}[-1] } qw(bare event));
}
my ($bare, $event) = map { median(@{ $took{$_} }) } qw(bare event);
note(sprintf 'COPY of %d rows over %d contacts: medians %.2f s and %.2f s, ratio %.2f (the roadmap wants 1.35)',
	$rows, $contacts, $bare, $event, $event / $bare);
