# What a pass over due contacts costs: where none is due, and where one in a
# hundred is, beside plain SQL that writes the same rows in batches of 500.
package PassCost;

use strict;
use warnings;

use Exporter 'import';
use LeadscoreNode;
use Test::More;

our @EXPORT = qw(pass_cluster idle_pass busy_passes);

my $batch = 500;
my $start = '2026-01-05 00:00+00';

# Contacts in a hundred cohorts, an hour apart: 30 days after its event each
# leaves the stage hot, and is due for that.
my $world = <<'SQL';
SET client_min_messages = warning;
SET leadscore.clock = 'START';
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY);
CREATE TABLE events (contact int, at timestamptz, what text, w float8);
SELECT leadscore.create_model('m', 'contacts');
CREATE INDEX ON events (contact, at);
SELECT leadscore.attach('m', 'events', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, weight, decay, decay_interval) VALUES
	('m', 'form', 'form', 1, 'w', 'half_life', '30 days'), ('m', 'page', 'page', 3, NULL, 'half_life', '7 days'),
	('m', 'order', 'order', 1, 'w', 'half_life', '90 days'), ('m', 'mail', 'mail', 1, NULL, 'half_life', '30 days');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame) VALUES ('m', 'pages of late', 'page', 1, '14 days');
INSERT INTO leadscore.lead_rule (model, name, kind, event, points, idle) VALUES ('m', 'silent', 'absence', 'form', -5, '200 days');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('m', 'warm', 1, 20, NULL), ('m', 'hot', 2, 80, 50);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES
	('m', 'engagement', '1', 60), ('m', 'engagement', '2', '-infinity');
UPDATE leadscore.lead_model SET max_drift = 1000 WHERE model = 'm';
INSERT INTO contacts SELECT generate_series(1, CONTACTS);
INSERT INTO events
	SELECT c, timestamptz 'START' - (100 - c % 100) * interval '1 hour' - (c % 3571) * interval '1 s', 'form', 100
	  FROM generate_series(1, CONTACTS) c;
SQL

# pass_cluster makes a server with so many contacts, all of them with due rows.
sub pass_cluster
{
	my ($contacts) = @_;
	my $node = LeadscoreNode->create('passes',
		conf => { jit => 'off', shared_buffers => '1GB', max_wal_size => '16GB', checkpoint_timeout => '1h' });
	my $sql = $world;

	$sql =~ s/CONTACTS/$contacts/g;
	$sql =~ s/START/$start/g;
	$node->safe_psql('postgres', $sql);
	return $node;
}

# idle_pass gives the buffers and the WAL of refresh() where nobody is due, after
# events have moved due instants and the tables were vacuumed.
sub idle_pass
{
	my ($node) = @_;

	# what was due first is so no longer, and its place in the index is empty
	$node->safe_psql('postgres', <<"SQL");
		SET leadscore.clock = '$start';
		INSERT INTO events SELECT id, '$start', 'form', 30 FROM contacts WHERE id % 100 < 10;
		INSERT INTO events SELECT id, '$start', 'page', 1 FROM contacts WHERE id % 100 BETWEEN 10 AND 15;
		DELETE FROM events WHERE what = 'form' AND w = 30 AND contact % 100 < 5;
		SET leadscore.clock = '2026-01-06 00:00+00';
		SELECT leadscore.refresh('m');
SQL
	$node->safe_psql('postgres', 'VACUUM ANALYZE');
	my $rows = $node->safe_psql('postgres',
		"SELECT count(*), count(*) FILTER (WHERE due_at <= '2026-01-06 00:00+00') FROM leadscore.due_m");
	my $explain = <<'SQL';
EXPLAIN (ANALYZE, BUFFERS, WAL, COSTS off, TIMING off) SELECT leadscore.refresh('m');
SQL
	my $plan = $node->safe_psql('postgres', "SET leadscore.clock = '2026-01-06 00:00+00';\n" . $explain
		. "\\echo second\n" . $explain);
	my ($second) = $plan =~ /second\n(.*)/s;
	my $buffers = 0;

	note($second);
	# of planning, too
	$buffers += $_ for $second =~ /Buffers: shared hit=(\d+)/g, $second =~ /Buffers: shared.* read=(\d+)/g;
	my ($records) = $second =~ /WAL: records=(\d+)/;
	return ($rows, $buffers, $records // 0);
}

# Tables like those of the model, with the same columns, indexes and fill
my $copies = <<'SQL';
CREATE TABLE score_copy (LIKE leadscore.score_m INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE due_copy (LIKE leadscore.due_m INCLUDING ALL);
CREATE TABLE history_copy (LIKE leadscore.history_m INCLUDING ALL);
INSERT INTO score_copy TABLE leadscore.score_m ORDER BY contact_id;
INSERT INTO due_copy TABLE leadscore.due_m ORDER BY due_at, drift, contact_id;
INSERT INTO history_copy TABLE leadscore.history_m;
-- what plain SQL is to write, and has at hand: in the order in which it is written
CREATE TABLE to_write (batch int, row leadscore.score_m, was_due leadscore.due_m, due leadscore.due_m, history leadscore.history_m);
CREATE INDEX ON to_write (batch);
CREATE TABLE due_before (LIKE leadscore.due_m);

CREATE PROCEDURE plain(batches int) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 0 .. batches - 1 LOOP
		UPDATE score_copy s SET score = (w.row).score, fit = (w.row).fit, engagement = (w.row).engagement, grade = (w.row).grade,
			stage = (w.row).stage, stage_since = (w.row).stage_since, disqualified = (w.row).disqualified,
				has_contact = (w.row).has_contact,
			last_event_at = (w.row).last_event_at, scored_at = (w.row).scored_at,
				rules_version = (w.row).rules_version, state = (w.row).state
			FROM to_write w WHERE w.batch = n AND s.contact_id = (w.row).contact_id;
		UPDATE due_copy d SET due_at = (w.due).due_at, drift = (w.due).drift
			FROM to_write w
			 WHERE w.batch = n AND d.due_at = (w.was_due).due_at AND d.drift = (w.was_due).drift
				AND d.contact_id = (w.was_due).contact_id;
		INSERT INTO history_copy SELECT (w.history).* FROM to_write w WHERE w.batch = n;
		COMMIT;
	END LOOP;
END $$;
SQL

# busy_passes has one in a hundred due, so many times; gives the milliseconds of
# refresh() and of plain SQL, a pair a round.
sub busy_passes
{
	my ($node, $rounds) = @_;
	my @pairs;

	# the cohorts of 21 hours and later are whole
	my $before = "timestamptz '$start' + interval '30 days' - interval '80 hours'";
	$node->safe_psql('postgres', <<"SQL");
SELECT set_config('leadscore.clock', ($before)::text, false);
SELECT leadscore.refresh('m');
SQL
	$node->safe_psql('postgres', 'VACUUM');
	$node->safe_psql('postgres', $copies);
	$node->safe_psql('postgres', 'VACUUM ANALYZE');
	for my $round (1 .. $rounds)
	{
		my $clock = "$before + interval '1 hour' * $round";
		$node->safe_psql('postgres', <<"SQL");
TRUNCATE to_write, due_before;
INSERT INTO due_before SELECT * FROM leadscore.due_m WHERE due_at <= $clock
SQL
		$node->safe_psql('postgres', 'ANALYZE due_before, leadscore.history_m');
		my $ours = timed($node, "SELECT leadscore.refresh('m');", $clock);
		$node->safe_psql('postgres', <<"SQL");
			CREATE TEMP TABLE due_now AS SELECT * FROM leadscore.due_m WHERE contact_id IN (SELECT contact_id FROM due_before);
			ALTER TABLE due_now ADD PRIMARY KEY (contact_id);
			ANALYZE due_now;
			INSERT INTO to_write
				SELECT (row_number() OVER (ORDER BY b.due_at, b.drift, b.contact_id) - 1) / $batch, s,
					ROW(b.*)::leadscore.due_m, ROW(d.*)::leadscore.due_m, h
				  FROM due_before b JOIN leadscore.score_m s USING (contact_id) JOIN due_now d USING (contact_id)
				  JOIN leadscore.history_m h ON h.contact_id = s.contact_id AND h.changed_at = s.stage_since AND h.cause = 'time'
				 ORDER BY 1, s.contact_id;
SQL
		$node->safe_psql('postgres', 'VACUUM ANALYZE to_write');
		my ($n, $batches) = split /\|/, $node->safe_psql('postgres', 'SELECT count(*), max(batch) + 1 FROM to_write');
		my $plain = timed($node, "CALL plain($batches);", $clock);
		my $differ = $node->safe_psql('postgres', <<'SQL');
SELECT (SELECT count(*) FROM score_copy s JOIN leadscore.score_m m USING (contact_id) WHERE s IS DISTINCT FROM m)
	+ (SELECT count(*) FROM (TABLE due_copy EXCEPT TABLE leadscore.due_m) d)
SQL
		die "plain SQL wrote other rows than refresh(): $differ" if $differ ne '0';
		note(sprintf 'round %d: %d due, %.0f ms, plain SQL %.0f ms: %.2f', $round, $n, $ours, $plain, $ours / $plain);
		push @pairs, [ $ours, $plain, $n ];
	}
	return @pairs;
}

# timed gives the milliseconds of a statement in a session that has warmed up.
sub timed
{
	my ($node, $sql, $clock) = @_;
	my $out = $node->safe_psql('postgres', <<"SQL");
		SET client_min_messages = warning;
		SELECT leadscore.refresh('m') WHERE false;
		SELECT set_config('leadscore.clock', ($clock)::text, false);
		SELECT count(*) FROM leadscore.live_m WHERE contact_id = 1;
		SET enable_hashjoin = off;
		SET enable_mergejoin = off;
		CALL plain(0);
		\\timing on
		$sql
SQL
	my ($time) = $out =~ /.*Time: ([\d.]+) ms/s or die "no time in: $out";
	return $time;
}

1;
