# Random events, merges, unmerges and identifications: every contact has the score
# that one contact with all of the events would have, as test/oracle.sql tells it
# of a model whose events name that contact; so has every visitor.  In the end all
# is taken back, and everything is as if it had never been.
#
#   LEADSCORE_SEED=17        this seed only (or several: 17,18)
#   LEADSCORE_LONG=1         twenty random seeds more
#
# What a seed ran is left in tmp_check/log/022_property_identity_seed_<n>.sql.
use strict;
use warnings;

use FindBin;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use PropertyTest qw(between chance pick);
use Test::More;

my $top = "$FindBin::Bin/..";
my @seeds = $ENV{LEADSCORE_SEED} ? split(/,/, $ENV{LEADSCORE_SEED}) : (1 .. 5);
push @seeds, map { 1000 + int(rand(1e6)) } 1 .. 20 if $ENV{LEADSCORE_LONG} && !$ENV{LEADSCORE_SEED};

# Not preloaded for the server: a worker would go by the real clock.
my $node = LeadscoreNode->create('identity', library => 'session',
	conf => { jit => 'off', autovacuum => 'on' });

my @people = map { "p$_" } 1 .. 7;
my @visitors = map { "v$_" } 1 .. 5;

# What is known here of who is whose, apart from the tables of leadscore.
my (%into, %is);

# root gives the contact for whom one counts.
sub root
{
	my ($who) = @_;
	$who = $into{$who} while defined $into{$who};
	return $who;
}

sub rules
{
	my @rules;
	for my $i (1 .. 9)
	{
		my $award = pick('once', 'each', 'each');
		my $decay = pick('none', 'half_life', 'half_life', 'linear', 'step');
		push @rules, sprintf(q{('r%d', '%s', 'event', %s, '%s', %d, %s, '%s', %d, %s, '%s', %s, %s, %s, %s, NULL)},
			$i, pick('fit', 'engagement'), pick("'web'", "'mail'", "'web'"), 'e' . between(0, 3), between(-25, 40),
			$award eq 'each' && chance(0.4) ? "'w'" : 'NULL', $award, chance(0.4) ? between(2, 4) : 1,
			chance(0.3) ? "'" . between(2, 30) . " days'" : 'NULL', $decay,
			$decay eq 'none' ? 'NULL' : "'" . pick('1 day', '3 days', '7 days', '20 days') . "'",
			$decay eq 'step' ? '0.5' : 'NULL', chance(0.4) ? between(5, 40) : 'NULL',
			$award eq 'each' && chance(0.3) ? between(5, 30) : 'NULL');
	}
	push @rules, "('p', 'fit', 'profile', NULL, NULL, 3, NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL, NULL)";
	push @rules,
		"('a', 'engagement', 'absence', NULL, NULL, -1.5, NULL, 'each', 1, NULL, 'none', NULL, NULL, 20, NULL, '30 hours')";
	push @rules,
		"('b', 'engagement', 'absence', 'web', 'e1', -4, NULL, 'once', 1, NULL, 'none', NULL, NULL, NULL, NULL, '4 days')";
	return @rules;
}

# insert_rules writes the same rules for both models, in blocks of their own:
# some draw an error, as their periods are too many.
sub insert_rules
{
	my $columns = 'name, category, kind, source, event, points, weight, award, at_least, time_frame, decay,'
		. ' decay_interval, decay_keep, max_points, max_per_period, idle';
	return join '', map {
		my $condition = /^\('p'/ ? q{$c$country = 'DE'$c$} : 'NULL';
		<<"SQL"
DO \$do\$ BEGIN INSERT INTO leadscore.lead_rule (model, condition, $columns)
	SELECT m, $condition, name, category, kind, source, event, points, weight, award, at_least, time_frame::interval,
		decay, decay_interval::interval, decay_keep::float8, max_points::float8, max_per_period::float8, idle::interval
	FROM unnest(ARRAY['m', 'u']) m, (VALUES $_) v ($columns);
EXCEPTION WHEN invalid_parameter_value OR check_violation OR numeric_value_out_of_range
	OR program_limit_exceeded OR feature_not_supported THEN NULL;
END \$do\$;
SQL
	} @_;
}

# check has both models compared at the clock, after what the worker would do.
sub check
{
	my ($label) = @_;
	my @map = ((map { "('$_', '" . root($_) . "')" } @people),
		map { "('$_', '" . (defined $is{$_} ? root($is{$_}) : $_) . "')" } @visitors);
	return "CALL compare('$label', " . (@map ? '$m$VALUES ' . join(', ', @map) . '$m$' : 'NULL') . ");\n";
}

sub event
{
	my $at = sprintf("leadscore.clock() - interval '%d hours'", between(-10, 400));
	my ($who, $visitor) = ('NULL', 'NULL');
	my $kind = rand();
	$who = "'" . pick(@people) . "'" if $kind < 0.6;
	$visitor = "'" . pick(@visitors) . "'" if $kind > 0.45;
	return sprintf("(%s, %s, %s, 'e%d', %d)", $who, $visitor, $at, between(0, 3), between(1, 5));
}

sub insert
{
	my $n = between(1, 8);
	my $sql = "INSERT INTO web VALUES " . join(', ', map { event() } 1 .. $n) . ";\n";
	$sql .= sprintf(<<'SQL',
INSERT INTO mail VALUES ('%s', leadscore.clock() - interval '%d hours', 'e%d', 2);
SQL
		pick(@people), between(0, 200), between(0, 3)) if chance(0.5);
	return chance(0.35) ? "BEGIN ISOLATION LEVEL REPEATABLE READ;\n${sql}COMMIT;\n" : $sql;
}

# step makes one change of any kind.
sub step
{
	my @free = grep { !defined $into{$_} } @people;
	my @merged = grep { defined $into{$_} } @people;
	my @known = grep { defined $is{$_} } @visitors;
	my @unknown = grep { !defined $is{$_} } @visitors;
	my $kind = rand();

	return insert() if $kind < 0.25;
	if ($kind < 0.47 && @free > 2)
	{
		my ($target, $source) = (pick(@free), pick(@free));
		return '' if $target eq $source;
		$into{$source} = $target;
		return "SELECT leadscore.merge_contacts('m', '$target', '$source');\n";
	}
	if ($kind < 0.55 && @merged)
	{
		my $source = pick(@merged);
		delete $into{$source};
		return "SELECT leadscore.unmerge('m', '$source');\n";
	}
	if ($kind < 0.66 && @unknown)
	{
		my $visitor = pick(@unknown);
		$is{$visitor} = pick(@people);
		return "SELECT leadscore.identify('m', '$visitor', '$is{$visitor}');\n";
	}
	if ($kind < 0.72 && @known)
	{
		my $visitor = pick(@known);
		delete $is{$visitor};
		return "SELECT leadscore.unidentify('m', '$visitor');\n";
	}
	return sprintf("DELETE FROM web WHERE what = 'e%d' AND weight = %d;\n", between(0, 3), between(1, 5)) if $kind < 0.78;
	return sprintf("UPDATE web SET who = %s WHERE visitor = '%s' AND what = 'e%d';\n",
		pick('NULL', map { "'$_'" } @people), pick(@visitors), between(0, 3)) if $kind < 0.83;
	return sprintf("UPDATE mail SET who = '%s' WHERE who = '%s';\n", pick(@people), pick(@people)) if $kind < 0.86;
	return sprintf("UPDATE c SET country = '%s' WHERE id = '%s';\n", pick('DE', 'FR'), pick(@people)) if $kind < 0.9;
	return sprintf(<<'SQL', between(0, 3), between(1, 9)) if $kind < 0.93;
UPDATE leadscore.lead_rule SET event = 'e%d' WHERE name = 'r%d';
SQL
	return pick("SELECT leadscore.rescore('m');\n", "SELECT leadscore.rescore('m', true);\n") if $kind < 0.95;
	return sprintf(<<'SQL', between(1, 200));
SELECT set_config('leadscore.clock', (leadscore.clock() + interval '%d hours')::text, false);
SQL
}

sub script
{
	my ($seed) = @_;
	my ($drift, $steps) = (pick(0, 0.5, 3), 30);
	# what is counted in the background is so in small chunks, of which a check may find some done
	my $jobs = $seed % 2;
	my $chunks = join '', map { "SELECT leadscore.run_job('" . ($_ % 3 ? 'm' : 'm_visitors') . "', 2);\n" } 1 .. 18;
	my $sql = <<"SQL";
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT leadscore.detach_all();
SET leadscore.clock = '2026-03-01 12:00+00';
DROP TABLE IF EXISTS c, web, mail, uc, uweb, umail;
CREATE TABLE c (id text PRIMARY KEY, country text);
CREATE TABLE web (who text, visitor text, at timestamptz, what text, weight int);
CREATE TABLE mail (who text, at timestamptz, what text, weight int);
CREATE INDEX ON web (who, at);
CREATE INDEX ON web (visitor, at);
CREATE INDEX ON mail (who, at);
CREATE TABLE uc (LIKE c INCLUDING ALL);
CREATE TABLE uweb (LIKE web INCLUDING ALL);
CREATE TABLE umail (LIKE mail INCLUDING ALL);
INSERT INTO c SELECT 'p' || g, (ARRAY['DE', 'FR'])[1 + g % 2] FROM generate_series(1, 7) g;
SELECT leadscore.create_model('m', 'c'), leadscore.create_model('u', 'uc');
SELECT leadscore.attach('m', 'web', 'who', 'at', 'what', visitor => 'visitor'), leadscore.attach('m', 'mail', 'who', 'at', 'what');
SELECT leadscore.attach('u', 'uweb', 'who', 'at', 'what', 'web'), leadscore.attach('u', 'umail', 'who', 'at', 'what', 'mail');
UPDATE leadscore.lead_model SET enabled = false WHERE model = 'u';
UPDATE leadscore.lead_model SET max_drift = $drift WHERE model = 'm';
UPDATE leadscore.lead_category SET max_points = 60, min_points = -30 WHERE category = 'engagement';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 20), ('m', 'hot', 2, 60);
SQL
	%into = ();
	%is = ();
	my $rules = insert_rules(rules());
	$rules =~ s/'w'/'weight'/g;
	$sql .= $rules . insert() . check("seed $seed, start");
	$sql .= "SET leadscore.inline_limit = 0;\n" if $jobs;
	for my $i (1 .. $steps)
	{
		$sql .= step();
		$sql .= $chunks if $jobs && chance(0.3);
		$sql .= check("seed $seed, step $i") if $i % 3 == 0;
	}
	$sql .= check("seed $seed, step $steps");
	for my $source (grep { defined $into{$_} } sort { rand() <=> 0.5 } @people)
	{
		$sql .= "SELECT leadscore.unmerge('m', '$source');\n";
		delete $into{$source};
		$sql .= check("seed $seed, unmerged $source");
	}
	$sql .= "SELECT leadscore.unidentify('m', '$_');\n" for grep { defined $is{$_} } @visitors;
	%is = ();
	$sql .= check("seed $seed, all taken back");
	return $sql;
}

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION leadscore;
CREATE TABLE bad (label text, what text, contact text, got text, wanted text);
CREATE TABLE checks (label text, n int);
SQL
$node->safe_psql('postgres', slurp_file("$top/oracle.sql"));
$node->safe_psql('postgres', <<'SQL');
CREATE PROCEDURE compare(label text, map text) LANGUAGE plpgsql AS $$
DECLARE
	n int;
BEGIN
	PERFORM leadscore.refresh('m');
	DROP TABLE IF EXISTS person;
	EXECUTE 'CREATE TEMP TABLE person (key, target) AS ' || map;
	TRUNCATE uc, uweb, umail;
	INSERT INTO uc SELECT c.* FROM c JOIN person p ON p.key = c.id AND p.target = c.id;
	INSERT INTO uweb SELECT p.target, NULL, at, what, weight FROM web w JOIN person p ON p.key = coalesce(w.who, w.visitor);
	INSERT INTO umail SELECT p.target, at, what, weight FROM mail w JOIN person p ON p.key = w.who;
	INSERT INTO bad SELECT label, 'verify ' || v.status, v.contact, v.stored::text, v.replayed::text FROM leadscore.verify('m') v;
	INSERT INTO bad SELECT label, 'verify ' || v.status, v.contact, v.stored::text, v.replayed::text FROM leadscore.verify('m_visitors') v;
	WITH wanted AS MATERIALIZED (SELECT * FROM oracle.scores('u', ARRAY[leadscore.clock()])),
		got AS (SELECT contact_id AS contact, leadscore.score('m', contact_id) AS score,
			leadscore.replay('m', contact_id) AS replayed FROM leadscore.score_m
			UNION ALL SELECT contact_id, leadscore.score('m_visitors', contact_id),
				leadscore.replay('m_visitors', contact_id)
			  FROM leadscore.score_m_visitors)
	INSERT INTO bad SELECT label, 'score', contact, g.score || ', replayed ' || g.replayed, w.score::text
	  FROM wanted w FULL JOIN got g USING (contact)
	 WHERE (abs(w.score - g.score) <= w.bound AND abs(w.score - g.replayed) <= w.bound) IS NOT TRUE;
	GET DIAGNOSTICS n = ROW_COUNT;
	-- and what it was three days ago, of those who had events then already
	INSERT INTO bad SELECT label, 'score in the past', w.contact, s.score::text, w.score::text
	  FROM oracle.scores('u', ARRAY[leadscore.clock() - interval '3 days']) w,
		LATERAL (SELECT leadscore.score(CASE WHEN w.contact LIKE 'v%' THEN 'm_visitors' ELSE 'm' END, w.contact, w.t) AS score) s
	 WHERE (abs(w.score - s.score) <= w.bound) IS NOT TRUE;
	INSERT INTO checks SELECT label, count(*) FROM (SELECT FROM leadscore.score_m UNION ALL SELECT FROM leadscore.score_m_visitors) x;
END $$;
SQL

for my $seed (@seeds)
{
	srand($seed);
	my $sql = script($seed);
	my $log = $PostgreSQL::Test::Utils::log_path . "/022_property_identity_seed_$seed.sql";
	append_to_file($log, $sql);
	my ($stdout, $stderr);
	my $status = $node->psql('postgres', $sql, stdout => \$stdout, stderr => \$stderr, on_error_stop => 1, timeout => 600);
	is($status, 0, "seed $seed: runs") or diag(substr($stderr, 0, 2000));
	is($node->safe_psql('postgres', "SELECT * FROM bad WHERE label LIKE 'seed $seed,%' LIMIT 10"), '',
		"seed $seed: scores of those who are one person, and of visitors, are those of all their events");
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM checks WHERE label LIKE 'seed $seed,%' AND n > 4"), '>', 3,
		"seed $seed: there was something to compare");
}
$node->stop;
done_testing();
