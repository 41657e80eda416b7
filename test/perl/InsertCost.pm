# What a single-row INSERT into an event table costs, with and without a model.
package InsertCost;

use strict;
use warnings;

use Callgrind;
use Exporter 'import';

our @EXPORT = qw(insert_cost);

my $contacts = 10;
my $made;

my $tables = <<'SQL';
	CREATE TABLE contact (id int PRIMARY KEY);
	CREATE TABLE event (id bigint PRIMARY KEY, contact int, at timestamptz, what text, url text, amount float8);
	CREATE INDEX ON event (contact, at);
	INSERT INTO contact SELECT generate_series(0, 100);
SQL

my $model = <<'SQL';
	CREATE EXTENSION leadscore;
	SELECT leadscore.create_model('m', 'contact');
	SELECT leadscore.attach('m', 'event', 'contact', 'at', event => 'what');
SQL

# Twenty rules that one event all brings into force: ten with a condition.
my $twenty = <<'SQL';
	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
		SELECT 'm', 'rule ' || n, 'e1',
			CASE WHEN n <= 10 THEN (ARRAY['url LIKE ''/docs/%''', 'amount > ' || n])[1 + n % 2] END, n, 'half_life',
			n * interval '1 day'
		  FROM generate_series(1, 20) n;
SQL

# A hundred rules, which one event all brings into force
my $hundred = $twenty =~ s/generate_series\(1, 20\)/generate_series(1, 100)/r;

# 980 more, of 299 other names
my $thousand = <<'SQL';
	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, decay, decay_interval)
		SELECT 'm', 'rule ' || n, 'e' || 2 + n % 299, CASE WHEN n % 2 = 0 THEN 'amount > ' || n END, n, 'half_life', interval '1 day'
		  FROM generate_series(21, 1000) n;
SQL

my $plpgsql = <<'SQL';
	CREATE TABLE score (contact int PRIMARY KEY, score float8, at timestamptz) WITH (fillfactor = 70);
	CREATE FUNCTION add() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		INSERT INTO score AS s VALUES (NEW.contact, 1, NEW.at) ON CONFLICT (contact) DO UPDATE
			SET score = s.score * exp(-0.0000001 * extract(epoch FROM excluded.at - s.at)::float8) + 1, at = excluded.at;
		RETURN NULL; END$$;
	CREATE TRIGGER add AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION add();
SQL

my %setup = (
	bare => $tables,
	plpgsql => $tables . $plpgsql,
	rules_20 => $tables . $model . $twenty,
	rules_100 => $tables . $model . $hundred,
	queued => $tables . ($model =~ s/(event => 'what')/$1, mode => 'queued'/r) . $twenty,
	rules_1000 => $tables . $model . $twenty . $thousand);

# insert_cost gives the instructions of one case.
sub insert_cost
{
	my ($case, $n, $annotate) = @_;

	make_cluster() unless $made++;
	# databases are made by a session of its own
	single('postgres', "CREATE DATABASE $case;\n");
	single($case, $setup{$case});
	# the same contacts, so that all rules are in force before it is counted
	my $id = 0;
	return instructions($case, sub {
		my ($n) = @_;
		$id++;
		# a line, as the parser's work is counted, too
		return "INSERT INTO event VALUES ($id, ${\($n % $contacts)}, timestamptz '2026-01-01 00:00+00' + $id * interval '1 min',"
		  . " 'e1', '/docs/page', 100);";
	}, $n, $annotate);
}

1;
