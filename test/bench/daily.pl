# A midnight of 100,000 contacts, beside a query that says the same of now from
# live_<model>: the ratio of the medians of paired runs.  Then the same with
# every contact kept, beside an INSERT of as many rows from live_<model>.
#
#   PG_CONFIG=... perl -I test/perl test/bench/daily.pl [pairs [contacts]]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be installed.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;
use Time::HiRes 'time';

my $pairs = $ARGV[0] // 5;		# up to 12
my $contacts = $ARGV[1] // 100_000;

sub timed
{
	my $started = time;
	run(@_);
	return time - $started;
}

my $node = LeadscoreNode->create('daily', library => 'session', conf => { shared_buffers => '256MB', max_wal_size => '8GB' });

sub run { return $node->safe_psql('postgres', $_[0]) }

run(<<"SQL");
	CREATE EXTENSION leadscore;
	ALTER DATABASE postgres SET leadscore.clock = '2026-03-01 12:00+00';
	SET leadscore.clock = '2026-03-01 12:00+00';
	SET client_min_messages = warning;
	CREATE TABLE contact (id int PRIMARY KEY, country text);
	CREATE TABLE event (contact int, at timestamptz, what text);
	INSERT INTO contact SELECT n, (ARRAY['DE', 'FR', 'IT'])[1 + n % 3] FROM generate_series(1, $contacts) n;
	INSERT INTO event SELECT 1 + n % $contacts, timestamptz '2026-02-01' + n % 2419 * interval '1000 seconds', 'e' || n % 4
		FROM generate_series(1, 5 * $contacts) n;
	CREATE INDEX ON event (contact, at);
	SELECT leadscore.create_model('m', 'contact');
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'mql', 1, 20), ('m', 'sql', 2, 40);
	INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES
		('m', 'fit', 'A', 5), ('m', 'fit', 'B', 0), ('m', 'engagement', '1', 30), ('m', 'engagement', '2', 10);
	SELECT leadscore.attach('m', 'event', 'contact', 'at', event => 'what');
	INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval)
		SELECT 'm', 'rule ' || n, 'e' || n % 4, n, 'half_life', n * interval '3 days' FROM generate_series(1, 8) n;
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'here', 'profile', 'country = ''DE''', 5);
	SELECT leadscore.rescore('m');
	VACUUM ANALYZE;
SQL

my $day = 1;

# pair times one midnight and one query, each its turn first.
sub pair
{
	my ($label, $query) = @_;
	my (%took, @names);
	for my $pair (1 .. $pairs)
	{
		for my $what ($pair % 2 ? qw(query midnight) : qw(midnight query))
		{
			my $clock = sprintf "SET leadscore.clock = '2026-03-%02d 00:00:01+00';", $day + 1;
			$took{$what} //= [];
			push @{ $took{$what} }, timed($clock . ($what eq 'query' ? $query : "SELECT leadscore.write_days('m')"));
		}
		$day++;
	}
	my ($midnight, $said) = map { median(@{ $took{$_} }) } qw(midnight query);
	note(sprintf '%s of %d contacts: %.3f s, the query %.3f s, ratio %.2f', $label, $contacts, $midnight, $said,
		$midnight / $said);
}

pair('a midnight', "SELECT stage, grade, count(*), sum(score) FROM leadscore.live_m GROUP BY 1, 2");
run(<<'SQL');
UPDATE leadscore.lead_model SET daily = true;
CREATE TABLE plain (day date, contact_id int, score float8, fit float8, engagement float8, grade text, stage text,
	PRIMARY KEY (day, contact_id));
SQL
pair('a midnight that keeps every contact', <<'SQL');
INSERT INTO plain
	SELECT leadscore.clock()::date, contact_id, score, fit, engagement, grade, stage FROM leadscore.live_m
SQL

# late: one contact in 100 has had an event since; more than a day, and every
# event is read
sub late
{
	my ($label, $clock) = @_;
	my $events = sprintf <<"SQL", $day + 1;
SET leadscore.clock = '2026-03-%02d 00:00:01+00';
INSERT INTO event SELECT n, leadscore.clock(), 'e1' FROM generate_series(1, $contacts, 100) n;
SQL
	run($events);
	my $before = run("SELECT written_to FROM leadscore.lead_day");
	my $took = timed(sprintf(<<'SQL', $day + 1, $clock));
SET leadscore.clock = '2026-03-%02d %s+00';
SELECT leadscore.write_days('m');
SQL
	my $days = run("SELECT written_to - '$before'::date FROM leadscore.lead_day") + 0;
	note(sprintf '%s: %.3f s for %d day(s)', $label, $took, $days);
	$day += $days;
}
late('a midnight, 1 contact in 100 having had an event since', '00:00:02');
$day += 2;
late('three midnights, two of them more than a day ago', '00:00:02');
