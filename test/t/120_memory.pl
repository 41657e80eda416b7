# What a session holds: the 10,000th statement within 64 kB of the 1,000th; and
# what one statement over many contacts takes: at most 1 kB a contact more than
# the same statement on a table that feeds no model.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $statements = 10_000;
my $contacts = 100_000;
my $rows = 1_000_000;

my $node = LeadscoreNode->create('memory', library => 'session',
	conf => { shared_buffers => '16MB', max_wal_size => '4GB', autovacuum => 'on' });

# A CRM with two event tables, and a model with ten rules of every kind.
sub create_crm
{
	my ($database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, <<'SQL');
		CREATE EXTENSION leadscore;
		CREATE TABLE contact (id int PRIMARY KEY, country text);
		CREATE TABLE visit (contact int, at timestamptz, what text, url text, amount float8);
		CREATE TABLE bare (LIKE visit);
		CREATE INDEX ON visit (contact, at);
		CREATE INDEX ON bare (contact, at);
		SELECT leadscore.create_model('m', 'contact');
		SELECT leadscore.attach('m', 'visit', 'contact', 'at', event => 'what');
		INSERT INTO leadscore.lead_rule (model, name, event, condition, points, weight, award, decay, decay_interval, time_frame,
			at_least, max_per_period) VALUES
			('m', 'page', 'page', NULL, 1, NULL, NULL, 'half_life', '7 days', NULL, 1, NULL),
			('m', 'price', 'page', $$url LIKE '%/price%'$$, 5, NULL, NULL, 'half_life', '14 days', NULL, 1, NULL),
			('m', 'docs', 'page', $$url ~ '^/docs/'$$, 2, NULL, NULL, 'half_life', '30 days', NULL, 1, NULL),
			('m', 'any', NULL, NULL, 0.5, NULL, NULL, 'half_life', '3 days', NULL, 1, NULL),
			('m', 'order', 'order', 'amount > 10', 1, 'ln(amount)', NULL, 'half_life', '90 days', NULL, 1, NULL),
			('m', 'division', 'order', 'amount / (amount - 7) > 0', 1, NULL, NULL, 'half_life', '9 days', NULL, 1, NULL),
			('m', 'open', 'open', NULL, 1, NULL, NULL, 'half_life', '5 days', NULL, 1, NULL),
			('m', 'often', 'open', NULL, 10, NULL, 'once', 'none', NULL, NULL, 5, NULL),
			('m', 'a week', 'page', NULL, 1, NULL, 'each', 'none', NULL, '7 days', 2, 5);
		INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'idle', 'absence', -1, '30 days');
		INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'near', 'profile', $$country = 'FR'$$, 3);
		INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition)
			VALUES ('m', 'mql', 1, 20, 'score > 20');
SQL
}

################################################################################
# The session

# Each kind of statement, of the n-th time; what it writes repeats, so that
# nothing grows that has a reason to.
my %statement = (
	'rows inserted one by one' => sub {
		my ($n) = @_;
		my ($contact, $what) = ($n % 50, (qw(page order open other))[ $n % 4 ]);
		return "INSERT INTO visit VALUES ($contact, timestamptz '2026-01-01' + interval '$n min', '$what', '/docs/$n', $n % 17);";
	},
	'the same with updates and deletes' => sub {
		my ($n) = @_;
		my $contact = $n % 50;
		return "INSERT INTO visit VALUES ($contact, timestamptz '2026-01-01' + interval '$n min', 'page', '/price', 1);"
		  if $n % 3 == 0;
		return <<"SQL"
UPDATE visit SET amount = amount + 1
 WHERE contact = $contact AND at = timestamptz '2026-01-01' + interval '${\($n - 1)} min';
SQL
		  if $n % 3 == 1;
		return "DELETE FROM visit WHERE contact = ${\(($n + 48) % 50)} AND at < timestamptz '2026-01-01' + interval '$n min';";
	},
	'scores read and explained' => sub {
		my ($n) = @_;
		my $contact = $n % 50;
		return ("SELECT leadscore.score('m', $contact);", "SELECT count(*) FROM leadscore.explain('m', $contact);",
			"SELECT leadscore.score('m', $contact, timestamptz '2026-01-01 05:00+00');",
			"SELECT leadscore.replay('m', $contact);",
			"SELECT score FROM leadscore.live_m WHERE contact_id = $contact;")[ $n % 5 ];
	},
	'the contact table' => sub {
		my ($n) = @_;
		my $contact = $n % 40;
		return ("INSERT INTO contact VALUES ($contact, 'FR') ON CONFLICT DO NOTHING;",
			"UPDATE contact SET country = CASE country WHEN 'FR' THEN 'DE' ELSE 'FR' END WHERE id = $contact;",
			"DELETE FROM contact WHERE id = $contact + 7;")[ $n % 3 ];
	},
	'rolled back, with a savepoint' => sub {
		my ($n) = @_;
		my $contact = $n % 50;
		return "BEGIN; INSERT INTO visit VALUES ($contact, '2026-01-01', 'page', '/price', 7); SAVEPOINT a;"
		  . " UPDATE visit SET amount = 7 WHERE contact = $contact; ROLLBACK TO a; "
		  . ($n % 2 ? 'COMMIT' : 'ROLLBACK') . ';';
	});

create_crm('session');
my $held = 'SELECT sum(total_bytes) FROM pg_backend_memory_contexts;';
for my $kind (sort keys %statement)
{
	my $tenth = $statements / 10;
	my $script = "SET client_min_messages = error;\n";

	for my $n (1 .. $statements)
	{
		$script .= $statement{$kind}->($n) . "\n";
		$script .= "\\echo held\n$held\n" if $n == $tenth || $n == $statements;
	}
	my $out = $node->safe_psql('session', $script);
	my ($before, $after) = $out =~ /^held\n(\d+)$/mg;
	cmp_ok($after - $before, '<=', 65536, "$kind: held after $tenth $before, after $statements $after");
}

################################################################################
# One statement over many contacts

# most_memory gives the most that a fresh session had resident, before and
# after a statement, in kB.
sub most_memory
{
	my ($database, $statement) = @_;
	my $most = "SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmHWM:\\s+(\\d+)');";
	my $out = $node->safe_psql($database, <<"SQL");
SET client_min_messages = error;
$statement
\\echo most
$most
SQL

	return $out =~ /^most\n(\d+)$/m ? $1 : die "no VmHWM in $out";
}

SKIP: {
	skip 'no /proc here', 2 unless -r '/proc/self/status';

	create_crm('bulk');
	my $insert = sub { <<"SQL" };
		INSERT INTO $_[0]
		SELECT (n % $contacts) * 7, timestamptz '2026-01-01' + n * interval '1 second',
			   (ARRAY['page', 'page', 'order', 'open', 'open'])[1 + n / $contacts % 5],
			   (ARRAY['/docs/a', '/price', '/'])[1 + n % 3], n % 17
		  FROM generate_series(1, $rows) n;
SQL
	for my $what ('new contacts', 'contacts with a score')
	{
		my $bare = most_memory('bulk', $insert->('bare'));
		my $scored = most_memory('bulk', $insert->('visit'));

		cmp_ok(($scored - $bare) * 1024 / $contacts, '<=', 1024,
			"one statement, $rows rows, $contacts $what: $bare kB bare, $scored kB with a model");
	}
	is($node->safe_psql('bulk', <<'SQL'), '100|2000', 'all rows were counted');
SELECT count(*), sum((SELECT sum(matched) FROM leadscore.explain('m', contact_id) WHERE name = 'any'))
  FROM (SELECT * FROM leadscore.score_m ORDER BY contact_id LIMIT 100) s
SQL
}

done_testing();
