# Processes whose clocks disagree: a state is never evaluated before its own latest
# instant.  Two are an hour apart, in each direction; the clock is set back and forth;
# a worker follows the clock of its database.  Scores are compared with the replay of
# the events, in the midst of it and when the slower clock has caught up.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('clocks', conf => { timezone => 'UTC' });
$node->safe_psql('postgres', 'CREATE DATABASE crm');
sub sql { return $node->safe_psql('crm', join(";\n", 'SET client_min_messages = warning', @_)) }
sub at { return "SET leadscore.clock = '2026-03-02 $_[0]+00'" }
sub as_rows { return "SELECT string_agg(format($_[0]), '; ' ORDER BY $_[1]) FROM $_[2]" }

sql('CREATE EXTENSION leadscore');

# ---------- what is put aside by a clock that is ahead ----------

# model makes one with a rule that decays, a stage that is never reached, and one
# who would be told of it.
sub model
{
	my ($m, @rules) = @_;

	sql("CREATE TABLE ${m}_guest (id int PRIMARY KEY)", "CREATE TABLE ${m}_act (guest int, at timestamptz)",
		"CREATE INDEX ON ${m}_act (guest, at)", at('10:00'),
		"SELECT leadscore.create_model('$m', '${m}_guest')", "SELECT leadscore.attach('$m', '${m}_act', 'guest', 'at')",
		"INSERT INTO ${m}_guest VALUES (1)", @rules,
		"INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('$m', 'hot', 1, 10)",
		"INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('$m', 'tell', 'stage_entered', 'hot')",
		"INSERT INTO leadscore.lead_action (model, name, occasion, score_level) VALUES ('$m', 'level', 'score_rises', 10)");
}

sub half_life
{
	my ($m, $points, $interval) = @_;
	return <<"SQL";
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval)
VALUES ('$m', 'act', $points, 'half_life', '$interval')
SQL
}

sub nothing_false
{
	my ($m, $what) = @_;
	is(sql("SELECT (SELECT count(*) FROM leadscore.history_$m), (SELECT count(*) FROM leadscore.outbox_$m)"), '0|0',
		"$what: nothing happened that did not");
	is(sql("SELECT * FROM leadscore.verify('$m')"), '', '... and verify() is content');
}

my $rr = 'BEGIN ISOLATION LEVEL REPEATABLE READ';

model('year', half_life('year', 1, '14 days'));
sql("SET leadscore.clock = '2027-03-02 10:00+00'", $rr, "INSERT INTO year_act VALUES (1, '2027-03-02 09:00+00')", 'COMMIT');
is(sql(at('10:00'), "SELECT status FROM leadscore.verify('year')"), '', 'a year ahead: verify() is content before it is merged');
is(sql(at('10:00'), "SELECT leadscore.refresh('year')"), '1', '... what is pending is merged by a clock a year behind');
is(sql(<<'SQL'),
SELECT round(score::numeric, 12) = round(2 ^ (-1.0 / 24 / 14), 12), stage, scored_at, last_event_at
  FROM leadscore.score_year
SQL
	't|unqualified|2027-03-02 10:00:00+00|2027-03-02 09:00:00+00', '... to the score that it had when it was put aside');
nothing_false('year', '... and');
is(sql(at('10:00'), "SELECT score, scored_at, last_event_at IS NULL FROM leadscore.live_year"), '0|2026-03-02 10:00:00+00|t',
	'... live shows the score at the clock, when the event is still to come');
is(sql("SET leadscore.clock = '2027-03-30 09:00+00'", "SELECT leadscore.refresh('year')",
	"SELECT score FROM leadscore.score_year", "SELECT leadscore.replay('year', 1)"),
	"1\n0.25\n0.25", '... and when the clock is there it is the replay of the event');

# the same where the contact has no row yet, is counted again, or was purged from
for my $case ([ 'nobody', 2, "INSERT INTO %s_act VALUES (2, '2026-03-02 10:59+00')" ],
	[ 'again', 1, "INSERT INTO %s_act VALUES (1, '2026-03-02 10:59+00')", "UPDATE %s_act SET at = '2026-03-02 10:58+00'" ],
	[ 'replica', 1, 'SET session_replication_role = replica', "INSERT INTO %s_act VALUES (1, '2026-03-02 10:59+00')" ])
{
	my ($m, $guest, @done) = @$case;

	model($m, half_life($m, 9, '1 minute'));
	sql(at('11:00'), ($m eq 'replica' ? () : $rr), map({ sprintf($_, $m) } @done), ($m eq 'replica' ? () : 'COMMIT'));
	is(sql(at('10:00'), "SELECT * FROM leadscore.verify('$m') WHERE status = 'wrong'"), '',
		"$m: verify() is content before it is merged");
	is(sql(at('10:00'), "SELECT leadscore.refresh('$m')",
		"SELECT score, scored_at FROM leadscore.score_$m WHERE contact_id = $guest"),
		$m eq 'again' ? "1\n2.25|2026-03-02 11:00:00+00" : "1\n4.5|2026-03-02 11:00:00+00", '... and merged at its own instant');
	nothing_false($m, "... $m");
}

# ---------- purged, counted and merged by a clock that is ahead ----------

model('purged', half_life('purged', 9, '1 minute'));
sql("SELECT leadscore.detach('purged', 'purged_act')",
	"SELECT leadscore.attach('purged', 'purged_act', 'guest', 'at', on_delete => 'keep')",
	"SELECT leadscore.rescore('purged')") ;
sql(at('10:00'), "INSERT INTO purged_act VALUES (1, '2026-03-02 10:59+00')");
sql(at('11:00'), 'DELETE FROM purged_act');
is(sql(at('10:00'), "SELECT * FROM leadscore.verify('purged')"), '', 'purged by a clock that is ahead: verify() is content');
sql(at('10:00'), "UPDATE purged_guest SET id = id", "SELECT leadscore.rescore('purged')");
is(sql("SELECT score, scored_at FROM leadscore.score_purged"), '9|2026-03-02 10:59:00+00',
	'... and what was kept is counted at its own instant');
nothing_false('purged', '... purged');

model('merged', half_life('merged', 9, '1 minute'));
sql(at('10:00'), 'INSERT INTO merged_guest VALUES (2)');
sql(at('11:00'), "INSERT INTO merged_act VALUES (2, '2026-03-02 10:59+00')");
sql(at('10:00'), "SELECT leadscore.merge_contacts('merged', 1, 2)");
is(sql("SELECT contact_id, score, scored_at FROM leadscore.score_merged ORDER BY 1"), '1|0|2026-03-02 10:00:00+00',
	'merged by a clock that is behind: the event is still to come');
sql(at('10:00'), "SELECT leadscore.unmerge('merged', 2)");
sql(at('11:00'), "SELECT leadscore.refresh('merged')");
is(sql("SELECT contact_id, score, scored_at FROM leadscore.score_merged ORDER BY 1"),
	"1|0|2026-03-02 11:00:00+00\n2|4.5|2026-03-02 11:00:00+00", '... and comes, of whom it is by then');
nothing_false('merged', '... merged');

# A rule that is counted brings the state further than the score that is shown.
model('state', half_life('state', 8, '1 hour'));
sql(at('10:00'), "INSERT INTO state_act VALUES (1, '2026-03-02 10:30+00')");
sql(at('11:30'), 'BEGIN', "INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('state', 'new', 1)",
	"SELECT * FROM leadscore.verify('state')", 'COMMIT');
is(sql("SELECT round(score::numeric, 12), scored_at FROM leadscore.score_state"),
	'5.000000000000|2026-03-02 11:30:00+00', 'an event that has come to count while a rule was');
nothing_false('state', '... state');

# A job that is done by clocks in turn.
model('job', half_life('job', 8, '1 hour'));
sql(at('10:00'), "INSERT INTO job_act VALUES (1, '2026-03-02 10:45+00')");
sql(at('11:00'), 'SET leadscore.inline_limit = 0', half_life('job', 1, '30 minutes') =~ s/'act'/'fast'/r);
for my $clock ('11:00', '10:00', '11:00', '10:00', '11:00', '10:00', '10:30', '10:00')
{
	sql(at($clock), "SELECT leadscore.run_job('job')");
	is(sql(at($clock), "SELECT * FROM leadscore.verify('job') WHERE status = 'wrong'",
		'SELECT score FROM leadscore.score_job WHERE score > 9'), '',
		"a step of a job by a clock at $clock: nothing is wrong");
}
is(sql("SELECT state FROM leadscore.lead_job WHERE model = 'job'"), 'done', '... and it ends');
sql(at('11:15'), "SELECT leadscore.refresh('job')");
is(sql("SELECT round(score::numeric, 9) = round((8 * 2 ^ -0.5 + 0.5)::numeric, 9) FROM leadscore.live_job" =~ s/live/score/r),
	't', '... with the score of the events');
nothing_false('job', '... job');

# ---------- what is pending when a rule is counted ----------

# What is put aside is merged before a rule is counted.  The score without the rule is
# nobody's: no stage is left for it, nobody is told, and it is not taken for the new one.
model('recount', "INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('recount', 'big', 9)",
	"INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('recount', 'small', 0.1, 'guest > 8')");
sql(at('10:00'), <<'SQL',
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition)
VALUES ('recount', 'warm', 2, 1, 'id < 9')
SQL
	"UPDATE leadscore.lead_stage SET position = 3 WHERE model = 'recount' AND stage = 'hot'",
	"INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('recount', 'gone', 'stage_left', 'warm')",
	"INSERT INTO recount_act VALUES (1, '2026-03-02 09:00+00')");
sql(at('10:00'), $rr, "INSERT INTO recount_act VALUES (1, '2026-03-02 09:30+00'), (2, '2026-03-02 09:30+00')", 'COMMIT');
sql(at('10:00'), "UPDATE leadscore.lead_rule SET condition = 'guest > 0', points = 4 WHERE model = 'recount' AND name = 'big'");
is(sql(as_rows(q{'%s %s > %s (%s)', contact_id, from_stage, to_stage, cause}, 'contact_id, recorded_at',
	'leadscore.history_recount')),
	'1 unqualified > warm (event)', 'a rule is counted while something is pending: the stage is kept');
is(sql("SELECT count(*) FROM leadscore.outbox_recount",
	"SELECT contact_id, score, stage FROM leadscore.score_recount ORDER BY 1"),
	"0\n1|8|warm\n2|4|unqualified", '... nobody is told that it was left');
sql(at('10:00'), $rr, "INSERT INTO recount_act VALUES (1, '2026-03-02 09:40+00')", 'COMMIT');
is(sql(at('10:00'), "UPDATE leadscore.lead_rule SET condition = NULL WHERE model = 'recount' AND name = 'small'",
	"SELECT * FROM leadscore.verify('recount')",
		"SELECT contact_id, score FROM leadscore.score_recount ORDER BY 1"),
	"1|12.3\n2|4.1", '... and one that makes less of a difference than the drift is in the score');

# ---------- an hour apart, back and forth ----------

# What is true whatever the clocks: all that these select is wrong.
sub checks
{
	my ($m, $most) = @_;
	return ("SELECT 'wrong', v.* FROM leadscore.verify('$m') v WHERE status = 'wrong'",
		<<"SQL",
SELECT 'live', contact_id, l.score, leadscore.score('$m', contact_id) FROM leadscore.live_$m l
 WHERE abs(l.score - leadscore.score('$m', contact_id)) > 1e-9
SQL
		<<"SQL",
SELECT 'replay', contact_id, l.score, leadscore.replay('$m', contact_id) FROM leadscore.live_$m l
 WHERE abs(l.score - leadscore.replay('$m', contact_id)) > 1e-9
SQL
		<<"SQL",
SELECT 'forecast', f.* FROM leadscore.forecast('$m', 1, leadscore.clock() + interval '1 day') f
 WHERE at < leadscore.clock() OR score > $most
SQL
		"SELECT 'explained', e.* FROM leadscore.explain('$m', 1) e WHERE points > $most OR last_match > leadscore.clock()",
		"SELECT 'more than its events', * FROM leadscore.score_$m WHERE score > $most",
		<<"SQL",
SELECT 'back', s.contact_id, s.scored_at, seen.at FROM leadscore.score_$m s JOIN ${m}_seen seen ON id = contact_id
 WHERE s.scored_at < seen.at
SQL
		<<"SQL",
SELECT 'history', h.*
  FROM (SELECT *, lag(changed_at) OVER (PARTITION BY contact_id ORDER BY ctid) AS before FROM leadscore.history_$m) h
 WHERE changed_at < before OR recorded_at < changed_at
SQL
		"DELETE FROM ${m}_seen", "INSERT INTO ${m}_seen SELECT contact_id, scored_at FROM leadscore.score_$m");
}

# apart has sessions write, whose clocks are before, at and after one that goes on:
# immediately, put aside, and queued.
sub apart
{
	my ($seed, $queued, $keep) = @_;
	my $m = "apart$seed";
	my ($minute, $events, @script) = (600, 0);

	srand($seed);
	sql("CREATE TABLE ${m}_guest (id int PRIMARY KEY)", "CREATE TABLE ${m}_act (guest int, at timestamptz)",
		"CREATE TABLE ${m}_seen (id int, at timestamptz)", "CREATE INDEX ON ${m}_act (guest, at)", at('10:00'),
		"INSERT INTO ${m}_guest VALUES (1), (2)",
		"SELECT leadscore.create_model('$m', '${m}_guest')",
		"SELECT leadscore.attach('$m', '${m}_act', 'guest', 'at', mode => '" . ($queued ? 'queued' : 'immediate')
		  . "', on_delete => '" . ($keep ? 'keep' : 'retract') . "')", <<"SQL");
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval, time_frame, award, period, decay_keep) VALUES
 ('$m', 'slow', 1, 'half_life', '14 days', NULL, NULL, NULL, NULL), ('$m', 'fast', 1, 'half_life', '10 minutes', NULL, NULL, NULL, NULL),
 ('$m', 'window', 1, 'none', NULL, '3 hours', NULL, '1 hour', NULL), ('$m', 'linear', 1, 'linear', '5 hours', NULL, NULL, '1 hour', NULL),
 ('$m', 'step', 1, 'step', '1 hour', NULL, NULL, '1 hour', 0.5), ('$m', 'latest', 1, 'half_life', '10 minutes', NULL, 'once', NULL, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle, award, max_points)
VALUES ('$m', 'silence', 'absence', -1, '2 hours', 'each', 3);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES
	('$m', 'warm', 1, 4, 2), ('$m', 'hot', 2, 1000, 900);
INSERT INTO leadscore.lead_action (model, name, occasion, score_level) VALUES ('$m', 'level', 'score_rises', 1000);
SQL
	for (1 .. 40)
	{
		my $clock = $minute + (-60, 0, 60)[ int(rand(3)) ];
		my $when = sub { sprintf "'2026-03-02 00:00+00'::timestamptz + interval '%d minutes'", $clock - int(rand(90)) + 15 };
		my $guest = 1 + int(rand(3));

		$minute += int(rand(30));
		push @script, sprintf("SET leadscore.clock = '2026-03-02 %02d:%02d+00'", int($clock / 60), $clock % 60);
		my $what = int(rand(10));
		my @do = $what < 4 ? ("INSERT INTO ${m}_act VALUES ($guest, " . $when->() . "), (1, " . $when->() . ")")
		  : $what == 4 ? "DELETE FROM ${m}_act WHERE ctid IN (SELECT ctid FROM ${m}_act ORDER BY at LIMIT 1)"
		  : $what == 5 ? "UPDATE leadscore.lead_rule SET points = 3 - points WHERE model = '$m' AND name = 'slow'"
		  : $what == 6 ? "SELECT leadscore.set_stage('$m', 1, 'warm')"
		  : $what == 7 ? <<"SQL"
UPDATE leadscore.lead_rule SET condition = CASE WHEN condition IS NULL THEN 'guest = 1' END
 WHERE model = '$m' AND name IN ('fast', 'step')
SQL
		  : $what == 8 ? "SELECT leadscore.merge_contacts('$m', 1, 2) WHERE NOT EXISTS (SELECT FROM leadscore.merged_$m)"
		  : "SELECT leadscore.unmerge('$m', source_id) FROM leadscore.merged_$m";
		$events += 2 if $what < 4;
		# what is selected here is no check
		s/^SELECT (.*)$/DO 'BEGIN PERFORM @{[ $1 =~ s{'}{''}gr ]}; END'/ for @do;
		push @script, $what < 5 && rand() < 0.5 ? ($rr, @do, 'COMMIT') : @do;
		push @script, "DO 'BEGIN PERFORM leadscore.refresh(''$m''); END'" if rand() < 0.5;
		push @script, checks($m, $events * 7 + 1);
	}
	is(sql(@script), '', "an hour apart ($m" . ($queued ? ', queued' : '') . ($keep ? ', purged)' : ')'));
	is(sql("SET leadscore.clock = '2026-03-03 10:00+00'", "DO 'BEGIN PERFORM leadscore.refresh(''$m''); END'",
		"SELECT * FROM leadscore.verify('$m')",
			"SELECT contact_id FROM leadscore.score_$m WHERE abs(score - leadscore.replay('$m', contact_id)) > 1"),
		'', '... and when all clocks have caught up, the scores are the replay of the events');
	is(sql("SELECT count(*) FROM leadscore.outbox_$m"), '0', '... nobody was told what did not happen');
	is(sql("SELECT count(*) FROM leadscore.history_$m WHERE to_stage NOT IN ('warm', 'unqualified')"), '0',
		'... and no stage was entered that was not reached');
}

apart($_, $_ % 2, $_ % 4 > 1) for 1 .. ($ENV{LEADSCORE_LONG} ? 60 : 4);

# ---------- a dump of a server whose clock was ahead ----------

$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE copy;
ALTER DATABASE copy SET leadscore.clock = '2026-03-02 10:00+00';
SQL
my ($dump, $restored) = ("$PostgreSQL::Test::Utils::tmp_check/clocks.sql", '');
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('crm') ], 'a dump');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ],
	'... is restored by a clock that is behind');
sub copy { return $node->safe_psql('copy', join(";\n", 'SET client_min_messages = warning', @_)) }
copy($rr, map({ "INSERT INTO apart$_" . "_act VALUES (1, leadscore.clock()), (4, leadscore.clock())" } 1 .. 4),
	'COMMIT', 'SELECT leadscore.refresh()');
is(copy("SELECT model, v.* FROM leadscore.lead_model, leadscore.verify(model) v WHERE status = 'wrong'"), '',
	'... and nothing is wrong with what comes then');
is(copy(<<'SQL'), '', '... no stage was entered that was not reached');
SELECT model, contact, to_stage FROM leadscore.lead_stage_history WHERE to_stage = 'hot' AND model <> 'recount'
SQL

# ---------- a worker follows the clock of its database ----------

$node->safe_psql('postgres', 'CREATE DATABASE work');
$node->safe_psql('work', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE guest (id int PRIMARY KEY);
CREATE TABLE act (guest int, at timestamptz);
CREATE INDEX ON act (guest, at);
SELECT leadscore.create_model('m', 'guest');
SELECT leadscore.attach('m', 'act', 'guest', 'at');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('m', 'act', 9, 'half_life', '10 years');
SET leadscore.clock = '2020-01-01 00:00+00';
INSERT INTO act VALUES (1, '2020-01-01 00:00+00');
SQL
$node->configure(enabled => 'on', naptime => '1h');
my $napping = <<'SQL';
SELECT count(*) = 1 FROM leadscore.activity
 WHERE database = 'work' AND role = 'worker' AND phase = 'napping' AND last_pass_at > started_at
SQL
$node->within(30, $napping, 'the worker naps, for an hour if it can', 'work');
is($node->safe_psql('work', "SELECT count(*) FROM leadscore.score_m WHERE scored_at > '2025-01-01'"), '1',
	'... after it has gone by the running clock');
$node->safe_psql('work', "ALTER DATABASE work SET leadscore.clock = '2121-01-01 00:00+00'", );
$node->within(30, "SELECT count(*) = 1 FROM leadscore.score_m WHERE scored_at = '2121-01-01 00:00+00'",
	'the clock of the database is set: a running worker goes by it', 'work');
$node->within(30, $napping, '... and naps again', 'work');
# from here on it has to see what comes
$node->configure(naptime => '100ms');
$node->safe_psql('work', "ALTER DATABASE work RESET leadscore.clock");
$node->safe_psql('work', <<'SQL');
SET leadscore.clock = '2020-01-01 00:00+00';
INSERT INTO act VALUES (2, '2020-01-01 00:00+00');
SQL
$node->within(30, <<'SQL', 'it is reset: the worker goes by the running clock', 'work');
SELECT count(*) = 1 FROM leadscore.score_m WHERE contact_id = 2 AND scored_at BETWEEN '2025-01-01' AND '2120-01-01'
SQL
# what a session enqueues whose clock is ahead is merged at its instant
$node->safe_psql('work', <<"SQL");
SET leadscore.clock = '2130-01-01 00:00+00';
$rr;
INSERT INTO act VALUES (3, '2129-12-31 00:00+00');
COMMIT;
SQL
$node->within(30, <<'SQL', 'what was put aside by a clock that is ahead is merged at its instant', 'work');
SELECT count(*) = 1 FROM leadscore.score_m
 WHERE contact_id = 3 AND scored_at = '2130-01-01 00:00+00' AND score BETWEEN 8 AND 9
SQL
is($node->safe_psql('work', "SELECT * FROM leadscore.verify('m')"), '', '... and nothing is wrong');

$node->stop;
done_testing();
