# A dump that comes in pieces, with a worker that would like to begin between any
# two of them: it touches nothing until all is there, so that every row is as it was
# in the original, and goes on from there.  What is restored by one session comes with
# pauses; what is restored by many, with a session for each entry of the dump.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = LeadscoreNode->create('pieces', worker => 1,
	conf => { 'leadscore.naptime' => '50ms', 'leadscore.max_workers' => 16, max_worker_processes => 30 });
my $dir = PostgreSQL::Test::Utils::tempdir;
my @connection = ('-h', $node->host, '-p', $node->port);

# A model in which there is everything that a worker would like to do: contacts that
# are due, days that have ended, a job, something pending, and something to be told.
$node->configure(enabled => 'off');
$node->safe_psql('postgres', 'CREATE DATABASE crm');
$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
SELECT set_config('leadscore.clock', (now() - interval '3 days')::text, false);
CREATE TABLE contact (id int PRIMARY KEY, country text);
CREATE TABLE event (id int PRIMARY KEY, contact int, cookie text, at timestamptz, what text);
CREATE INDEX ON event (contact, at);
CREATE INDEX ON event (cookie, at);
CREATE TABLE told (payload jsonb);
CREATE FUNCTION tell(payload jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO public.told VALUES (payload)';
INSERT INTO contact SELECT g, 'DE' FROM generate_series(1, 300) g;
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what', visitor => 'cookie', on_delete => 'keep');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'm';
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval)
	SELECT 'm', 'rule ' || g, 'e' || g, 40, 'half_life', g * interval '12 hours' FROM generate_series(1, 4) g;
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'german', 'profile', $$country = 'DE'$$, 3);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -5, '1 day');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 30), ('m', 'hot', 2, 60);
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function)
VALUES ('m', 'call', 'stage_entered', 'function', 'public.tell');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('m', 'left', 'stage_left');
INSERT INTO event
	SELECT g, CASE WHEN g % 5 > 0 THEN 1 + g % 300 END, CASE g % 5 WHEN 0 THEN 'v' || g % 40 END,
		leadscore.clock() - g * interval '2 minutes', 'e' || g % 6
	  FROM generate_series(1, 3000) g;
SELECT leadscore.merge_contacts('m', 1, 2);
SELECT leadscore.identify('m', 'v5', 1), leadscore.identify('m', 'v10', 2);
DELETE FROM event WHERE id > 2900;
SET session_replication_role = replica;
INSERT INTO leadscore.worker_error_m VALUES
	(7, 1, now() - interval '1 day', now() - interval '1 day', now() - interval '1 day', '22012', 'division by zero');
RESET session_replication_role;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event SELECT 5000 + g, g, NULL, leadscore.clock(), 'e1' FROM generate_series(1, 50) g;
COMMIT;
SET leadscore.inline_limit = 0;
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', 'by a job', 'e5', 11);
SQL

# all rows of leadscore's tables, but those of some of them
my $rows = <<'SQL';
SET client_min_messages = warning;
SET search_path = public;
CREATE FUNCTION pg_temp.all_rows(passed text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t text;
BEGIN
	FOR t IN SELECT relname FROM pg_class WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
		AND relkind = 'r' AND relname !~ passed ORDER BY 1
	LOOP
		-- but for the last columns of lead_model, which say that it is being restored, and by whom
		RETURN QUERY EXECUTE format('SELECT %L || regexp_replace(r::text, %L, %L) FROM %s r ORDER BY 1',
			t || ': ', CASE t WHEN 'lead_model' THEN ',[tf],\d+,\d*\)$' ELSE '^$' END, ')',
				COALESCE(to_regclass('leadscore_internal.' || t), ('leadscore.' || t)::regclass));
	END LOOP;
END
$$;
SELECT pg_temp.all_rows('PASSED');
SELECT 'told', count(*) FROM told;
SQL

sub all_rows
{
	my ($db, $passed) = @_;
	(my $sql = $rows) =~ s/PASSED/$passed/;
	return $node->safe_psql($db, $sql);
}

my $wanted = all_rows('crm', 'none');

sub wanted
{
	my ($passed) = @_;
	return join("\n", grep { !/^$passed/ } split /\n/, $wanted);
}

my $score = <<'SQL';
SELECT string_agg(contact_id || ':' || round(score::numeric, 3) || ':' || stage, ' ' ORDER BY contact_id::text)
	FROM (SELECT contact_id::text, leadscore.score('m', contact_id, now()::date) AS score, stage
		  FROM leadscore.score_m
	UNION ALL SELECT contact_id, leadscore.score('m_visitors', contact_id, now()::date), stage
	  FROM leadscore.score_m_visitors) s
SQL
like($wanted, qr/^$_: /m, "there are rows in $_")
	for qw(lead_day outbox_m lead_job worker_error_m history_m due_m score_m score_m_visitors pending_m purged_m merged_m identity_m profile_m);

command_ok([ 'pg_dump', @connection, '-f', "$dir/whole.sql", 'crm' ], 'pg_dump');
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/whole", 'crm' ], 'pg_dump -Fc');
command_ok([ 'pg_dump', @connection, '-s', '-f', "$dir/schema.sql", 'crm' ], 'pg_dump -s');
command_ok([ 'pg_dump', @connection, '-a', '-f', "$dir/data.sql", 'crm' ], 'pg_dump -a');
command_ok([ 'pg_dump', @connection, '-a', '--disable-triggers', '-f', "$dir/disabled.sql", 'crm' ],
	'pg_dump -a --disable-triggers');

# the original goes on, for the copies to be compared with
$node->configure(enabled => 'on');

# at_rest is when nothing is left to be done
my $at_rest = <<'SQL';
SELECT (SELECT count(*) = 0 FROM leadscore.lead_job WHERE state IN ('waiting', 'running'))
	AND (SELECT count(*) = 0 FROM leadscore.lead_outbox WHERE deliver = 'function' AND status = 'ready')
	AND (SELECT count(*) = 0 FROM leadscore.pending_m) AND (SELECT count(*) = 0 FROM leadscore.pending_m_visitors)
	AND (SELECT count(*) = 2 FROM leadscore.lead_day WHERE written_to = (now() AT TIME ZONE 'UTC')::date - 1)
	AND NOT EXISTS (SELECT FROM leadscore.due_m WHERE due_at < now() - interval '1 second')
SQL

# goes_on tests that the worker does all that is to be done now.
sub goes_on
{
	my ($db, $how) = @_;
	$node->within(60, $at_rest, "$how: the worker goes on", $db);
	is($node->safe_psql($db, "SELECT * FROM leadscore.verify('m') LIMIT 3"), '', "$how: what is stored is what the events give");
	is($node->safe_psql($db, "SELECT * FROM leadscore.verify('m_visitors') LIMIT 3"), '', '... also of visitors');
	is($node->safe_psql($db, "SELECT count(*) FROM leadscore.lead_worker_error WHERE contact IS NULL"), 0, '... without errors');
	return ($node->safe_psql($db, $score),
		$node->safe_psql($db, <<'SQL'),
SELECT day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 3) FROM leadscore.funnel_daily_m
 ORDER BY 1, 2, 3
SQL
		$node->safe_psql($db, "SELECT contact_id, day, round(score::numeric, 3), stage FROM leadscore.daily_m ORDER BY 1, 2"),
		$node->safe_psql($db, <<'SQL'));
SELECT contact, action, stage, happened_at, deliver, status FROM leadscore.lead_outbox ORDER BY 1, 2, 3, 4
SQL
}

my @original = goes_on('crm', 'the original');

# same_end compares all that it ends with, or the first so many of it.
sub same_end
{
	my ($db, $how, $last) = @_;
	my @copy = goes_on($db, $how);
	my @what = ('scores', 'days', 'contacts by day', 'what was to be told');
	same_rows($copy[$_], $original[$_], "$how: $what[$_] end as those of the original") for 0 .. $last // 3;
}

# rounds waits for the worker to have gone round some times, where it is there.
sub rounds
{
	my ($db) = @_;
	my $last = "SELECT last_pass_at FROM leadscore.activity WHERE database = '$db'";
	for (1 .. 2)
	{
		my $before = $node->safe_psql('postgres', $last);
		for (1 .. 40)
		{
			last if $node->safe_psql('postgres', $last) ne $before;
			sleep 0.01;
		}
	}
}

$node->safe_psql('postgres', 'CREATE EXTENSION leadscore');

################################################################################
# A whole dump, each entry by a session of its own

# entries cuts a plain dump into its entries, with the head of the dump before each.
sub entries
{
	my ($file) = @_;
	my @entries = split /^--\n(?=-- (?:Data for )?Name: )/m, slurp_file($file);
	my $head = shift @entries;
	return map { [ /^-- (?:Data for )?Name: (.*); Schema:/, "$head\n$_" ] } @entries;
}

sub run_psql
{
	my ($db, $sql) = @_;
	append_to_file("$dir/piece.sql", $sql);
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', @connection, '-d', $db, '-f', "$dir/piece.sql" ], '>',
		\$out, '2>', \$err);
	unlink "$dir/piece.sql";
	return ($out, $err);
}

sub in_pieces
{
	my ($db, $how, $file, $last, $passed) = @_;
	my @entries = entries($file);
	my ($errors, $touched, $rounds) = ('', '', 0);

	for my $i (0 .. $#entries)
	{
		my ($name, $sql) = @{ $entries[$i] };
		same_rows(all_rows($db, $passed), wanted($passed),
			"$how: nothing has changed before the last of what is waited for comes, $name") if $name =~ $last;
		my ($out, $err) = run_psql($db, $sql);
		$errors .= "$name: $err" if $err ne '';
		# between the rows of models and the end
		next unless $node->safe_psql($db, "SELECT to_regclass('leadscore.lead_model') IS NOT NULL") eq 't'
			&& $node->safe_psql($db, 'SELECT count(*) FROM leadscore.lead_model') > 0;
		$rounds++;
		rounds($db);
	}
	is($errors, '', "$how: restored");
	cmp_ok($rounds, '>', 10, '... and the worker was there');
	same_end($db, $how, $passed eq 'none' ? 3 : 0);
}

$node->safe_psql('postgres', 'CREATE DATABASE whole');
# the triggers of the last table that has them are the last thing that is waited for
in_pieces('whole', 'in pieces', "$dir/whole.sql", qr/^event leadscore_enter;/, 'none');

################################################################################
# Data alone, each entry by a session of its own: until the numbers of sequences come

sub with_schema
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	my ($out, $err) = run_psql($db, slurp_file("$dir/schema.sql"));
	is($err, '', "the schema for $db");
}

with_schema('disabled_pieces');
in_pieces('disabled_pieces', 'data in pieces', "$dir/disabled.sql", qr/^dump_seq;/, 'pending_m');

################################################################################
# By one session, that takes its time: what it sees in the end is what was dumped

for my $way ([ slow => 'one session', "$dir/whole.sql", 'none' ],
	[ slow_data => 'data by one session', "$dir/data.sql", 'pending_m' ],
	[ slow_disabled => 'data by one session, with --disable-triggers', "$dir/disabled.sql", 'pending_m' ])
{
	my ($db, $how, $file, $passed) = @$way;
	(my $sql = slurp_file($file)) =~ s/^(--\n-- (?:Data for )?Name: )/SELECT pg_sleep(0.03);\n\n$1/mg;
	(my $last = $rows) =~ s/PASSED/$passed/;

	$file eq "$dir/whole.sql" ? $node->safe_psql('postgres', "CREATE DATABASE $db") : with_schema($db);
	my ($out, $err) = run_psql($db, "$sql\nSELECT pg_sleep(1);\n$last");
	is($err, '', "$how: restored");
	same_rows(join("\n", grep { /^\w+: |^told/ } split /\n/, $out), wanted($passed), "$how: nothing has changed");
	# where contacts are counted again stages may differ, which depend on the way there
	same_end($db, $how, $passed eq 'none' ? 3 : 0);
}

################################################################################
# In parallel.  A session that has begun to restore models keeps the worker away for
# us to look at what came.

$node->safe_psql('postgres', 'CREATE DATABASE parallel');
command_ok([ 'pg_restore', @connection, '-d', 'parallel', '--section=pre-data', "$dir/whole" ],
	'parallel: what comes before the data');
my ($in, $seen) = ("COPY leadscore_internal.lead_model FROM stdin;\n\\.\nSELECT 'held';\n", '');
my $timer = IPC::Run::timer(180);
my $handle = IPC::Run::start([ 'psql', '-XAtq', @connection, '-d', 'parallel' ], '<', \$in, '>', \$seen, '2>',
	'/dev/null', $timer);
$handle->pump until $seen =~ /held/;
command_ok([ 'pg_restore', @connection, '-e', '-j', 4, '-d', 'parallel', '--section=data', '--section=post-data', "$dir/whole" ],
	'parallel: the rest');
sleep 0.5;
same_rows(all_rows('parallel', 'none'), $wanted, 'parallel: nothing has changed');
$node->within(60, <<'SQL',
SELECT last_error = 'a session restores models: nothing is done until it has ended' FROM leadscore.activity
 WHERE database = 'parallel'
SQL
	'... and activity tells why', 'postgres');
$handle->kill_kill;
same_end('parallel', 'parallel');

for my $round (1 .. 3)
{
	$node->safe_psql('postgres', "CREATE DATABASE parallel_$round");
	command_ok([ 'pg_restore', @connection, '-e', '-j', 4, '-d', "parallel_$round", "$dir/whole" ], "parallel, round $round");
	same_end("parallel_$round", "parallel, round $round");
}

################################################################################
# A dump that was not restored in full is left alone, and the log says why

$node->safe_psql('postgres', 'CREATE DATABASE part');
my $offset = -s $node->logfile;
command_ok([ 'pg_restore', @connection, '-d', 'part', '--section=pre-data', '--section=data', "$dir/whole" ], 'a part of a dump');
ok($node->wait_for_log(qr/LOG:  skipping incomplete model "m"/, $offset),
	'the log says that a model is skipped');
same_rows(all_rows('part', 'none'), $wanted, 'a part: nothing has changed');
command_ok([ 'pg_restore', @connection, '-d', 'part', '--section=post-data', "$dir/whole" ], '... and what was missing');
same_end('part', 'a part, and then the rest');

$node->stop;
done_testing();
