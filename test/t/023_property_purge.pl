# Purged events are worth what they were: two models with the same rules over the
# same events, of which one loses them by and by and the other never.  After every
# step the two agree, verify() finds nothing, and what is counted anew is the same.
#
#   LEADSCORE_SEED=17        this seed only (or several: 17,18)
#   LEADSCORE_LONG=20        so many seeds
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use PropertyTest qw(between chance pick);
use Test::More;

my $node = LeadscoreNode->create('purge', library => 'session', conf => { autovacuum => 'on' });

sub maybe { my ($p, $sql) = @_; return chance($p) ? $sql : 'NULL' }

# A rule of any kind, as the columns of lead_rule after model and name.
my $columns = 'kind, source, event, condition, points, weight, award, at_least, time_frame, decay, decay_interval,'
	. ' decay_keep, max_points, max_per_period, idle, events_from, period';
sub rule
{
	my $points = between(1, 20) * pick(1, 1, -0.5);
	my $event = maybe(0.6, pick("'a'", "'b'"));
	return "'profile', NULL, NULL, 'country = ''DE''', $points, NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL, NULL, NULL, NULL"
		if chance(0.1);
	return "'absence', 'ev', $event, NULL, $points, NULL, " . pick("'once'", "'each'")
		. ", 1, NULL, 'none', NULL, NULL, " . maybe(0.3, 30) . ", NULL, '" . between(1, 9) . " days', "
		. maybe(0.2, "'2026-01-20 00:00+00'") . ', NULL' if chance(0.2);
	my $once = chance(0.25);
	my $decay = pick('none', 'half_life', 'linear', 'step');
	my $interval = $decay eq 'none' ? 'NULL' : "'" . between(3, 40) . " days'";
	my $frame = maybe(0.4, "'" . between(5, 45) . " days'");
	my $limit = $once ? 'NULL' : maybe(0.4, between(2, 30));
	my $period = "$frame$limit" ne 'NULLNULL' || $decay =~ /linear|step/ ? "'1 day'" : 'NULL';
	return join(', ', "'event'", "'ev'", $event, maybe(0.2, "'amount > 3'"), $points,
		$once ? 'NULL' : maybe(0.4, "'amount'"), $once ? "'once'" : "'each'", pick(1, 1, 2, 3),
		$frame, "'$decay'", $interval, $decay eq 'step' ? pick(0.5, 0) : 'NULL',
		maybe(0.3, between(5, 60)), $limit, 'NULL', maybe(0.15, "'2026-01-10 00:00+00'"), $period);
}

my $clock;
sub instant { return sprintf("timestamptz '2026-01-01 00:00+00' + interval '%d minutes'",
	between(0, $clock * 1440 + (chance(0.1) ? 2880 : 0))) }

# The steps.  ev loses its rows, ev_all has them all; what is retracted is so in both.
my $next = 1;
sub rows
{
	my @rows;
	push @rows, sprintf("(%d, %s, %s, '%s', %d)", $next++, maybe(0.97, between(1, 6)), maybe(0.9, instant()),
		pick('a', 'b', 'c'), between(0, 9)) for 1 .. between(1, 12);
	return 'VALUES ' . join(', ', @rows);
}
sub some { return pick("id % 7 = " . between(0, 6), "contact = " . between(1, 6), "at < " . instant(), "at < "
	. instant(), "what = '" . pick('a', 'b') . "' AND id % 3 = 0") }
sub both { my ($sql) = @_; return ($sql =~ s/\bEV\b/ev/gr, $sql =~ s/\bEV\b/ev_all/gr) }
sub levels
{
	my @sql = @_;
	my $level = pick('', '', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
	return @sql if $level eq '';
	return ("BEGIN ISOLATION LEVEL $level", chance(0.2) ? ('SAVEPOINT s', 'SET LOCAL leadscore.on_delete = keep',
		'DELETE FROM ev', pick('TRUNCATE ev', 'SELECT 1'), 'ROLLBACK TO s') : (), @sql, 'COMMIT');
}
sub retract { my ($where) = @_; return ('SET leadscore.on_delete = retract',
	"CREATE TEMP TABLE gone AS SELECT id FROM ev WHERE $where",
	both("DELETE FROM EV WHERE id IN (SELECT id FROM gone)"), 'DROP TABLE gone', 'RESET leadscore.on_delete') }
sub step
{
	my $kind = between(1, 100);
	return levels(both('INSERT INTO EV ' . rows())) if $kind <= 40;
	return levels('DELETE FROM ev WHERE ' . some()) if $kind <= 50;
	return levels('TRUNCATE ' . pick('ev', 'ev_a', 'ev_b', 'ev_rest')) if $kind <= 55;
	return levels(retract(some())) if $kind <= 65;
	if ($kind <= 70)
	{
		# truncated, and that retracted
		my $leaf = pick('ev_a', 'ev_b');
		return ('SET leadscore.on_delete = retract', "DELETE FROM ev_all WHERE id IN (SELECT id FROM $leaf)",
			levels("TRUNCATE $leaf"), 'RESET leadscore.on_delete');
	}
	if ($kind <= 80)
	{
		my $set = pick('contact = ' . between(1, 6), 'at = ' . instant(), 'at = NULL', 'amount = ' . between(0, 9));
		return levels('CREATE TEMP TABLE upd AS SELECT id FROM ev WHERE ' . some(),
			both("UPDATE EV SET $set WHERE id IN (SELECT id FROM upd)"), 'DROP TABLE upd');
	}
	return levels('DROP TABLE ev_a', "CREATE TABLE ev_a PARTITION OF ev FOR VALUES IN ('a')") if $kind <= 85;
	# not what has to be counted again: that is not kept
	return ("UPDATE leadscore.lead_rule SET points = points * 1.5, max_points = max_points + 1 WHERE max_per_period IS NULL AND name = 'r"
		. between(1, 3) . "'") if $kind <= 89;
	return ("SELECT leadscore.rescore('p')") if $kind <= 93;
	return (both(<<'SQL')) [0] if $kind <= 95;
UPDATE leadscore_internal.lead_source SET mode = CASE mode WHEN 'queued' THEN 'immediate' ELSE 'queued' END
 WHERE source = 'ev'
SQL
	$clock += between(1, 4);
	return ("SET leadscore.clock = '" . sprintf('2026-%02d-%02d', $clock < 31 ? 1 : $clock < 59 ? 2 : 3, $clock < 31
		? $clock + 1 : $clock < 59 ? $clock - 30 : $clock - 58) . " 00:00+00'");
}

sub script
{
	my @rules = map { my $rule = rule(); my $i = $_; map { "INSERT INTO leadscore.lead_rule (model, name, $columns) VALUES ('$_', 'r$i', $rule)" } 'p',
		't' } 1 .. between(4, 9);
	my @sql = (<<'SQL' =~ s/;\n?\z//r, @rules);
SET client_min_messages = warning;
SET leadscore.clock = '2026-01-21 00:00+00';
CREATE TABLE contact (id int PRIMARY KEY, country text, created timestamptz);
INSERT INTO contact
	SELECT g, CASE WHEN g % 2 = 0 THEN 'DE' END, CASE WHEN g > 2 THEN timestamptz '2026-01-02 00:00+00' END
	  FROM generate_series(1, 4) g;
CREATE TABLE ev (id int, contact int, at timestamptz, what text, amount int) PARTITION BY LIST (what);
CREATE TABLE ev_a PARTITION OF ev FOR VALUES IN ('a');
CREATE TABLE ev_b (amount int, gone int, what text, at timestamptz, contact int, id int);
ALTER TABLE ev_b DROP gone;
ALTER TABLE ev ATTACH PARTITION ev_b FOR VALUES IN ('b');
CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
CREATE TABLE ev_all (id int, contact int, at timestamptz, what text, amount int);
CREATE INDEX ON ev (contact, at);
CREATE INDEX ON ev_all (contact, at);
SELECT leadscore.create_model('p', 'contact', created_at => 'created');
SELECT leadscore.create_model('t', 'contact', created_at => 'created');
SELECT leadscore.attach('p', 'ev', 'contact', 'at', 'what', on_delete => 'keep');
SELECT leadscore.attach('t', 'ev_all', 'contact', 'at', 'what', source => 'ev');
CREATE FUNCTION near(a float8, b float8) RETURNS bool
	LANGUAGE sql AS 'SELECT coalesce(abs(a - b) <= 1e-7 * greatest(1, abs(a)), a IS NULL AND b IS NULL)';
CREATE PROCEDURE agree(step int) LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
	SELECT * INTO bad FROM (SELECT * FROM leadscore.live_p WHERE has_contact OR last_event_at IS NOT NULL) p
	  FULL JOIN (SELECT * FROM leadscore.live_t WHERE has_contact OR last_event_at IS NOT NULL) t USING (contact_id)
	 WHERE NOT near(p.score, t.score) OR NOT near(p.fit, t.fit) OR p.last_event_at IS DISTINCT FROM t.last_event_at;
	IF FOUND THEN RAISE EXCEPTION 'step %: live: %', step, bad; END IF;
	SELECT * INTO bad
	  FROM (SELECT contact_id, leadscore.score('p', contact_id) a, leadscore.replay('p', contact_id) b,
		leadscore.replay('t', contact_id) c,
		leadscore.score('p', contact_id, leadscore.clock() + interval '11 days') d,
			leadscore.replay('t', contact_id, leadscore.clock() + interval '11 days') e,
		leadscore.replay('p', contact_id, leadscore.clock() + interval '11 days') f FROM leadscore.live_p) x
	 WHERE NOT near(a, b) OR NOT near(a, c) OR NOT near(d, e) OR NOT near(d, f);
	IF FOUND THEN RAISE EXCEPTION 'step %: replay: %', step, bad; END IF;
	SELECT * INTO bad FROM leadscore.verify('p') WHERE status <> 'pending';
	IF FOUND THEN RAISE EXCEPTION 'step %: verify: %', step, bad; END IF;
	PERFORM leadscore.refresh();
	SELECT * INTO bad FROM leadscore.verify('p');
	IF FOUND THEN RAISE EXCEPTION 'step %: verify after refresh: %', step, bad; END IF;
	SELECT * INTO bad FROM leadscore.score_p p FULL JOIN leadscore.live_t t USING (contact_id)
	 WHERE abs(p.score - t.score) > 0.6 + 0.006 * abs(t.score) OR p.contact_id IS NULL OR t.contact_id IS NULL;
	IF FOUND THEN RAISE EXCEPTION 'step %: stored: %', step, bad; END IF;
END $$;
SQL
	for my $i (1 .. 60) { push @sql, step(), "CALL agree($i)" }
	push @sql, "SELECT leadscore.rescore('p')", "CALL agree(61)", "SELECT count(*) FROM leadscore.purged_p";
	return join(";\n", @sql) . ";\n";
}

my @seeds = $ENV{LEADSCORE_SEED}
	? split(/,/, $ENV{LEADSCORE_SEED}) : (1 .. ($ENV{LEADSCORE_LONG} && $ENV{LEADSCORE_LONG} > 1 ? $ENV{LEADSCORE_LONG} : 5));
my $kept = 0;
for my $seed (@seeds)
{
	srand($seed);
	$clock = 20;
	$next = 1;
	my $db = "seed_$seed";
	my $script = script();
	PostgreSQL::Test::Utils::append_to_file("$PostgreSQL::Test::Utils::log_path/023_property_purge_seed_$seed.sql", $script);
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION leadscore');
	my ($status, $out, $err) = $node->psql($db, $script, on_error_stop => 1);
	is($err, '', "seed $seed: what was purged is worth what it was");
	is($status, 0, "seed $seed: ran to its end");
	$kept += (split /\n/, $out)[-1] if $status == 0;
}
cmp_ok($kept, '>', 20 * @seeds, "much was kept: $kept rows");
$node->stop;
done_testing();
