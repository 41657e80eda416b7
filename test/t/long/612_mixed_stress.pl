# Four stresses of a minute, in which backends, workers, launcher and server are
# killed again and again.  Each contact is written by one client, which logs in the
# same transaction what it does: from these logs the history is told a second time,
# with the score, the instant and the cause of each change of stage, and compared
# row by row, as is the outbox with the history.  verify() finds nothing.
#
#   LEADSCORE_STRESS=60    seconds of each
#   LEADSCORE_SEED         of who is killed when
use strict;
use warnings;

use IPC::Run;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

need_long();
my $seconds = $ENV{LEADSCORE_STRESS} || 60;
my $seed = $ENV{LEADSCORE_SEED} || time % 100_000;
srand($seed);
diag("LEADSCORE_SEED=$seed");

my $clients = 6;
my $each = 20;    # contacts a client
my $contacts = $clients * $each;

my $node = LeadscoreNode->create('stress', worker => 1,
	conf => {
		'leadscore.naptime' => 100,
		max_worker_processes => 16,
		log_min_messages => 'warning',
		restart_after_crash => 'on',
	});
my $dir = PostgreSQL::Test::Utils::tempdir;

# What all four have; a stage is left at less than what it is entered at.
my $world = <<"SQL";
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY, country text);
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact int, at timestamptz NOT NULL, n int);
CREATE INDEX ON event (contact, at);
CREATE TABLE log (seq bigint GENERATED ALWAYS AS IDENTITY, contact int, delta int, at timestamptz);
INSERT INTO contact SELECT g, 'DE' FROM generate_series(1, $contacts) g;
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('m', 'warm', 1, 30, 20), ('m', 'hot', 2, 80, 60);
INSERT INTO leadscore.lead_action (model, name, occasion, causes) VALUES
	('m', 'in', 'stage_entered', '{event,time,rule,profile,manual,merge,backfill}'),
	('m', 'out', 'stage_left', '{event,time,rule,profile,manual,merge,backfill}');
SQL

# Statements of a client about one of its contacts
my $own = "\\set c :client_id * $each + random(1, $each)\n\\set n random(1, 25)\n";
my $insert = <<'SQL';
WITH e AS (INSERT INTO event (contact, at, n) VALUES (:c, clock_timestamp(), :n)
	RETURNING at) INSERT INTO log (contact, delta, at)
SELECT :c, :n, at FROM e;
SQL
my $last = "WHERE id = (SELECT max(id) FROM event WHERE contact = :c)";
my $delete = <<"SQL";
WITH d AS (DELETE FROM event $last RETURNING n) INSERT INTO log (contact, delta, at) SELECT :c, -n, clock_timestamp()
  FROM d;
SQL
my $update = <<"SQL";
WITH u AS (UPDATE event SET n = n + :n $last RETURNING 1) INSERT INTO log (contact, delta, at)
SELECT :c, :n, clock_timestamp() FROM u;
SQL
my $rolled = <<"SQL";
BEGIN;
SAVEPOINT s;
INSERT INTO event (contact, at, n) VALUES (:c, clock_timestamp(), 100);
ROLLBACK TO s;
$insert
COMMIT;
SQL
my $undone = <<'SQL';
BEGIN;
INSERT INTO event (contact, at, n) VALUES (:c, clock_timestamp(), 100);
ROLLBACK;
SQL

################################################################################
# Writers, and those who are killed

my (@kills, %killed);

# end_somebody ends a process, or the server.
sub end_somebody
{
	my ($db) = @_;
	my $kind = $kills[ rand @kills ];
	my $pids = sub {
		my ($code, $out) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $_[0] ORDER BY random() LIMIT 1");
		return $code == 0 ? $out : '';
	};

	if ($kind eq 'immediate shutdown')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		my ($signal, $who) = $kind =~ /^(\S+) (.*)/;
		my $pid = $pids->($who eq 'backend'
			? "datname = '$db' AND backend_type = 'client backend'" : "backend_type = 'leadscore $who'");
		return if $pid eq '';
		kill $signal, $pid;
	}
	$killed{$kind}++;
}

# stress has clients run scripts for a while, over and over where they are ended;
# meanwhile is called now and then.
sub stress
{
	my ($db, $scripts, $meanwhile) = @_;
	my @files = map { ('-f', $_) }
		map { my $name = "$dir/$db-$_.pgbench"; append_to_file($name, "$own$$scripts[$_]\n"); $name } 0 .. $#$scripts;
	my @command = ('pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $clients, '-j', 1, '--max-tries=100', @files);
	my ($end, $next, $bench, $started) = (time + $seconds, time + 2, undef, 0);
	my ($out, $err) = ('', '');

	%killed = ();
	while (time < $end)
	{
		if (!$bench || !$bench->pumpable)
		{
			if ($bench)
			{
				$bench->finish;
				unlike($err, qr/deadlock|XX000|wrong/, "$db: no error of its own") or diag($err) if $err =~ /ERROR/;
			}
			($out, $err) = ('', '');
			sleep 0.1 until ($node->psql('postgres', 'SELECT'))[0] == 0;
			my $left = int($end - time) + 1;
			$bench = IPC::Run::start([ @command, '-T', $left < 8 ? $left : 8, $db ], '<', \undef, '>', \$out, '2>', \$err);
			$started++;
		}
		$bench->pump_nb;
		$meanwhile->() if $meanwhile && rand() < 0.1;
		if (time >= $next)
		{
			end_somebody($db);
			$next = time + 1 + rand(4);
		}
		sleep 0.05;
	}
	$bench->finish;
	sleep 0.1 until ($node->psql('postgres', 'SELECT'))[0] == 0;
	note("$db: ended " . join(', ', map { "$_ $killed{$_}x" } sort keys %killed) . "; $started starts of the writers");
	cmp_ok(scalar(keys %killed), '>', 2, "$db: several were killed");
}

################################################################################
# What is compared

sub rows { return map { [ split /\|/ ] } split /\n/, $node->safe_psql(@_) }

# told gives the history that a log of deltas has to give: [contact, from, to, score,
# instant, cause].  Scores halve each half-life, if there is one.
sub told
{
	my ($db, $half_life, $until) = @_;
	my (%score, %stage, %at, @told, %doubtful);
	my %leave = (hot => 60, warm => 20);
	my $step = sub {
		my ($c, $to, $score, $at, $cause) = @_;
		push @told, [ $c, $stage{$c}, $to, $score, $at, $cause ];
		$stage{$c} = $to;
	};
	# time alone: the stages that are left by an instant
	my $pass = sub {
		my ($c, $until) = @_;
		while ($half_life && $stage{$c} ne 'unqualified')
		{
			my $below = $leave{ $stage{$c} };
			my $when = $at{$c} + $half_life * log($score{$c} / $below) / log(2);
			$doubtful{$c} = 1 if abs($when - $until) < 0.02;
			last if $when > $until;
			$step->($c, $stage{$c} eq 'hot' ? 'warm' : 'unqualified', $below, $when, 'time');
		}
		$score{$c} *= 2**(($at{$c} - $until) / $half_life) if $half_life;
		$at{$c} = $until;
	};

	for (rows($db, 'SELECT contact, delta, extract(epoch FROM at) FROM log ORDER BY seq'))
	{
		my ($c, $delta, $at) = @$_;
		$score{$c} //= 0;
		$stage{$c} //= 'unqualified';
		$at{$c} //= $at;
		$pass->($c, $at);
		$score{$c} += $delta;
		my $s = $score{$c};
		$doubtful{$c} = 1 if grep { abs($s - $_) < 1e-6 && $half_life } 20, 30, 60, 80;
		my $to = $s >= 80 || $stage{$c} eq 'hot' && $s >= 60 ? 'hot' : $s >= 30 || $stage{$c} ne 'unqualified'
			&& $s >= 20 ? 'warm' : 'unqualified';
		$step->($c, $to, $s, $at, 'event') if $to ne $stage{$c};
	}
	$pass->($_, $until) for grep { $until } sort keys %stage;
	return (\%stage, \%doubtful, @told);
}

# settled waits until all is stored; verify() finds nothing.
sub settled
{
	my ($db) = @_;
	$node->within(120, "SELECT count(*) = 0 FROM leadscore.lead_job WHERE state IN ('waiting', 'running')", "$db: jobs end", $db);
	$node->configure(enabled => 'off');
	$node->within(60, no_worker(), "$db: the worker leaves");
	is($node->safe_psql($db, "SELECT v.* FROM leadscore.verify('m') v WHERE status <> 'pending' LIMIT 5"), '',
		"$db: nothing is wrong");
	$node->safe_psql($db, "SELECT leadscore.refresh()");
	is($node->safe_psql($db, "SELECT * FROM leadscore.verify('m') LIMIT 5"), '', "$db: verify() finds nothing");
	is($node->safe_psql($db, "SELECT * FROM leadscore.lead_worker_error"), '', "$db: the worker had no trouble");
}

# outbox_is_history: for each change of stage one has entered, and one has left
sub outbox_is_history
{
	my ($db) = @_;
	my $columns = 'contact, from_stage, to_stage, score, cause';
	is($node->safe_psql($db, <<"SQL"), '', "$db: the outbox has each row of the history once, entered and left");
WITH told AS (
	SELECT $columns, changed_at AS at, 'in' AS action, to_stage AS stage FROM leadscore.lead_stage_history
	UNION ALL SELECT $columns, changed_at, 'out', from_stage FROM leadscore.lead_stage_history),
outbox AS (SELECT $columns, happened_at AS at, action, stage FROM leadscore.lead_outbox)
(SELECT 'missing', * FROM (TABLE told EXCEPT ALL TABLE outbox) x)
UNION ALL (SELECT 'too many', * FROM (TABLE outbox EXCEPT ALL TABLE told) y) LIMIT 5
SQL
	# whoever enters a stage was in none or another, and leaves it or is in it in the end
	is($node->safe_psql($db, <<"SQL"), '', "$db: stages follow each other, up to the one that is stored");
SELECT contact, stage, sum(n) FROM (
	SELECT contact, to_stage AS stage, 1 AS n FROM leadscore.lead_stage_history
	UNION ALL SELECT contact, from_stage, -1 FROM leadscore.lead_stage_history
	UNION ALL SELECT contact_id::text, stage, -1 FROM leadscore.score_m
	UNION ALL SELECT contact_id::text, 'unqualified', 1 FROM leadscore.score_m) x
 GROUP BY 1, 2 HAVING sum(n) <> 0 LIMIT 5
SQL
	my $n = $node->safe_psql($db, 'SELECT count(*) FROM leadscore.lead_stage_history');
	cmp_ok($n, '>', $contacts, "$db: $n changes of stage");
}

# history_is_told: row by row, with what the logs give
sub history_is_told
{
	my ($db, $half_life, $until) = @_;
	my ($stage, $doubtful, @told) = told($db, $half_life, $until);
	my (%told, %got, @differ);

	push @{ $told{ $_->[0] } }, $_ for @told;
	push @{ $got{ $_->[0] } }, $_ for rows($db, <<'SQL');
SELECT contact, from_stage, to_stage, score, extract(epoch FROM changed_at), cause FROM leadscore.lead_stage_history
	ORDER BY contact::int, changed_at, recorded_at
SQL
	for my $c (sort { $a <=> $b } keys %$stage)
	{
		next if $doubtful->{$c};
		my @a = @{ $told{$c} // [] };
		my @b = @{ $got{$c} // [] };
		for my $i (0 .. ($#a > $#b ? $#a : $#b))
		{
			my ($x, $y) = ($a[$i], $b[$i]);
			next if $x && $y && "@$x[1, 2, 5]" eq "@$y[1, 2, 5]" && abs($x->[3] - $y->[3]) < 1e-4
				&& (!$half_life || abs($x->[4] - $y->[4]) < 0.01);
			push @differ, "contact $c, row $i: told " . ($x ? "@$x" : 'none') . ', is ' . ($y ? "@$y" : 'none');
			last;
		}
	}
	is(scalar(@differ), 0, "$db: " . scalar(@told) . ' rows of history are those that the logs tell, '
		. keys(%$doubtful) . ' contacts left out') or diag(join("\n", @differ[ 0 .. ($#differ < 4 ? $#differ : 4) ]));
	cmp_ok(scalar(keys %$doubtful), '<', $contacts / 4, "$db: few are too close to call");
}

sub begin
{
	my ($db, $sql) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, "$world $sql");
	$node->configure(enabled => 'on');
}

################################################################################
# Events that come, go and change, each counted as it is written

@kills = ('9 backend', 'TERM backend', '9 worker', 'TERM worker', '9 launcher', 'immediate shutdown');
begin('counted', "INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('m', 'came', 1, 'n')");
stress('counted', [ $insert, $insert, $delete, $delete, $update, $rolled, $undone ]);
settled('counted');
history_is_told('counted');
outbox_is_history('counted');

################################################################################
# Scores that fade while they are written: the worker records what time changes

@kills = ('9 worker', '9 worker', 'TERM worker', 'TERM backend', '9 launcher', 'immediate shutdown');
begin('fading', <<'SQL');
INSERT INTO leadscore.lead_rule (model, name, points, weight, decay, decay_interval)
VALUES ('m', 'came', 1, 'n', 'half_life', '4 seconds')
SQL
stress('fading', [ $insert . "\n\\sleep 15 ms", $insert . "\n\\sleep 15 ms", $rolled ]);
settled('fading');
# all that will be left, by an instant that is the same for both
my $later = $node->safe_psql('fading', "SELECT extract(epoch FROM now() + interval '1 hour')");
$node->safe_psql('fading', "SET leadscore.clock = '" . $node->safe_psql('fading', "SELECT to_timestamp($later)")
	. "'; SELECT leadscore.refresh('m')");
history_is_told('fading', 4, $later);
outbox_is_history('fading');

################################################################################
# Writers under a snapshot, whose changes the worker merges

@kills = ('9 backend', '9 worker', 'TERM worker', 'TERM backend', 'immediate shutdown');
begin('pending', "INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('m', 'came', 1, 'n')");
stress('pending', [ "BEGIN ISOLATION LEVEL REPEATABLE READ;\n$insert\nCOMMIT;", "BEGIN ISOLATION LEVEL REPEATABLE READ;\n$delete\nCOMMIT;", <<"SQL",
BEGIN ISOLATION LEVEL SERIALIZABLE;
$insert
$delete
COMMIT;
SQL
	<<"SQL", $delete ]);
BEGIN ISOLATION LEVEL REPEATABLE READ;
$update
SAVEPOINT s;
$insert
ROLLBACK TO s;
COMMIT;
SQL
settled('pending');
is($node->safe_psql('pending', <<'SQL'), '', 'pending: each score is what the logs add up to');
SELECT s.contact_id, s.score, l.score
  FROM leadscore.score_m s
  LEFT JOIN (SELECT contact, sum(delta) AS score FROM log GROUP BY 1) l ON l.contact = s.contact_id
	WHERE s.score <> coalesce(l.score, 0) LIMIT 5
SQL
outbox_is_history('pending');

################################################################################
# Rules, stages and merges that change meanwhile, with jobs for it

@kills = ('9 backend', '9 worker', 'TERM worker', 'TERM backend', '9 job worker', 'TERM job worker', '9 launcher',
	'immediate shutdown');
begin('changing', <<'SQL');
INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('m', 'came', 1, 'n');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points)
VALUES ('m', 'german', 'profile', $$country = 'DE'$$, 3);
SQL
my @changes = (
	<<'SQL',
SET leadscore.inline_limit = 0;
UPDATE leadscore.lead_rule SET points = 3 - points WHERE name = 'came';
SQL
	"UPDATE leadscore.lead_rule SET points = 3 - points WHERE name = 'came'",
	"UPDATE leadscore.lead_stage SET enter_at = 170 - enter_at WHERE stage = 'hot'",
	"SELECT leadscore.rescore('m', online => true)",
	"BEGIN; UPDATE leadscore.lead_rule SET enabled = NOT enabled WHERE name = 'german'; ROLLBACK",
	"UPDATE contact SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id % 7 = 0",
	"SELECT leadscore.set_stage('m', 5, 'hot', 'by hand')", "SELECT leadscore.release_stage('m', 5)",
	"SELECT leadscore.refresh('m')");
my @running;
stress('changing', [ $insert, $insert, $delete, $update, $rolled ], sub {
	# one at a time: those who come in between get an error, or a server that is down
	@running = grep { $_->{run}->pumpable ? ($_->{run}->pump_nb, 1) : ($_->{run}->finish, 0)[1] } @running;
	return if @running;
	my $change = { out => '' };
	$change->{run} = IPC::Run::start([ 'psql', '-X', '-q', '-h', $node->host, '-p', $node->port, '-d', 'changing',
		map { ('-c', $_) } split /;\s+/, $changes[ rand @changes ] ], '<', \undef, '>&', \$change->{out});
	push @running, $change;
});
$_->{run}->finish for @running;
settled('changing');
is($node->safe_psql('changing', <<'SQL'), 0, 'changing: every rule is counted');
SELECT count(*) FROM leadscore.lead_rule WHERE backfilled_version IS NULL OR backfilling_version IS NOT NULL
SQL
is($node->safe_psql('changing', <<'SQL'), '', 'changing: each score is what the logs add up to');
SELECT s.contact_id, s.score, l.score
  FROM leadscore.score_m s JOIN contact c ON c.id = contact_id
  LEFT JOIN (SELECT contact, sum(delta) AS score FROM log GROUP BY 1) l ON l.contact = s.contact_id
	WHERE s.score <> coalesce(l.score, 0) * (SELECT points FROM leadscore.lead_rule
		 WHERE name = 'came') + CASE country WHEN 'DE' THEN 3 ELSE 0 END
	 LIMIT 5
SQL
outbox_is_history('changing');

my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected/, 'no deadlock');
unlike($log, qr/PANIC|TRAP|signal 11|XX000/, 'no crash but those that were made');
$node->stop;
done_testing();
