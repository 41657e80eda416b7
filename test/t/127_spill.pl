# What one statement defers about more contacts than there is room for goes to
# temporary files: it stays within its bound of memory, and the scores are right
# whatever happens meanwhile: savepoints, errors and cancels in the midst, nested
# statements, changed rules, several sessions; and nothing of it is left behind.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $contacts = 20_000;
my $node = LeadscoreNode->create('spill', library => 'none', conf => {
	work_mem => '64kB', max_wal_size => '4GB', autovacuum => 'off', max_prepared_transactions => 2, log_temp_files => 0 });

sub run { return $node->safe_psql('postgres', "SET client_min_messages = error;\n$_[0]") }

# files_of gives the temporary files of a statement, as it ends, in number.
sub files_during
{
	my ($sql) = @_;
	my $from = -s $node->logfile;

	run($sql);
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $from);
	return scalar(() = $log =~ /temporary file: path/g);
}

# right tests that all scores are what the events give, and no file is left.
sub right
{
	my ($what) = @_;
	is(run("SELECT * FROM leadscore.verify('m') LIMIT 5; SELECT * FROM leadscore.verify('n') LIMIT 5; SELECT count(*) FROM pg_ls_tmpdir()"),
		'0', "$what: scores are right, and no file is left");
}

run(<<"SQL");
	CREATE EXTENSION leadscore;
	CREATE TABLE contact (id int PRIMARY KEY, country text);
	CREATE TABLE visit (id int, contact int, at timestamptz, what text, amount float8);
	CREATE INDEX ON visit (contact, at);
	CREATE TABLE mail (LIKE visit);
	CREATE INDEX ON mail (contact, at);
	SELECT leadscore.create_model('m', 'contact');
	SELECT leadscore.attach('m', 'visit', 'contact', 'at', event => 'what');
	INSERT INTO leadscore.lead_rule (model, name, event, condition, points, weight, award, decay, decay_interval, time_frame,
		at_least, max_per_period) VALUES
		('m', 'page', 'page', NULL, 1, NULL, NULL, 'half_life', '7 days', NULL, 1, NULL),
		('m', 'large', NULL, 'amount > 3', 5, 'amount', NULL, 'half_life', '90 days', NULL, 1, NULL),
		('m', 'once', 'open', NULL, 10, NULL, 'once', 'none', NULL, NULL, 2, NULL),
		('m', 'a week', 'page', NULL, 1, NULL, 'each', 'none', NULL, '7 days', 2, 5);
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'near', 'profile', \$\$country = 'FR'\$\$, 3);
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 20);

	-- keys of text, compared in a collation of their own; a source that is queued, and one whose deleted events stay
	CREATE TABLE lead (email text COLLATE "C" PRIMARY KEY);
	CREATE TABLE call (email text, at timestamptz, what text);
	CREATE INDEX ON call (email, at);
	CREATE TABLE chat (LIKE call);
	CREATE INDEX ON chat (email, at);
	SELECT leadscore.create_model('n', 'lead');
	SELECT leadscore.attach('n', 'call', 'email', 'at', event => 'what', on_delete => 'keep');
	SELECT leadscore.attach('n', 'chat', 'email', 'at', event => 'what', mode => 'queued');
	INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('n', 'call', 'call', 2), ('n', 'chat', 'chat', 3);
SQL

# visits inserts some visits of each contact, in no order of theirs.
my $day = 0;

sub visits
{
	my ($each, $of) = @_;
	my $n = $of // $contacts;
	$day++;
	return <<"SQL";
		INSERT INTO visit
		SELECT n, (n * 7919) % $n, timestamptz '2026-01-01' + $day * interval '1 day' + n * interval '1 s',
			(ARRAY['page', 'open', 'other'])[1 + n % 3], n % 7
		  FROM generate_series(1, $n * $each) n;
SQL
}

################################################################################
# The bound

# What the statement's memory is, while it writes some of the scores: a trigger of the
# owner's looks
run(<<'SQL');
	CREATE TABLE held (contact int, name text, bytes bigint);
	CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		INSERT INTO public.held SELECT NEW.contact_id, name, sum(total_bytes) FROM pg_backend_memory_contexts GROUP BY name;
		RETURN NULL;
	END$$;
	CREATE TRIGGER look AFTER INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW
		WHEN (NEW.contact_id % 2000 = 0) EXECUTE FUNCTION look();
SQL
my $bytes = <<'SQL';
	SELECT coalesce(max(bytes), 0) FROM (SELECT sum(bytes) FILTER (WHERE name LIKE 'leadscore deferred' OR name LIKE 'leadscore spill%'
			OR name LIKE 'leadscore read%' OR name LIKE 'TupleSort%') AS bytes FROM held GROUP BY contact) h;
	SELECT count(DISTINCT name) FROM held WHERE name = 'leadscore spill';
	TRUNCATE held;
SQL
foreach my $case (
	[ 'events of new contacts', visits(3) ],
	[ 'events of contacts with a score', visits(2) ],
	[ 'an update of all events', 'UPDATE visit SET amount = amount + 1' ],
	[ 'new contacts', "INSERT INTO contact SELECT n, 'FR' FROM generate_series(0, $contacts - 1) n" ],
	[ 'an update of all contacts', "UPDATE contact SET country = 'DE'" ],
	[ 'all events deleted', 'DELETE FROM visit' ])
{
	my ($what, $sql) = @$case;
	my $files = files_during($sql);
	my ($most, $spilled) = split /\n/, run($bytes);

	cmp_ok($files, '>', 0, "$what: files were written");
	# 20,000 contacts take at least 2 MB
	cmp_ok($most, '<', 1_000_000, "$what: $most bytes at most");
	is($spilled, '1', "$what: they were spilled");
	right($what);
}
run('DROP TRIGGER look ON leadscore.score_m');
run('SET work_mem = \'64MB\'; ' . visits(1));
cmp_ok(files_during("SET work_mem = '64MB'; " . visits(1)), '==', 0, 'where there is room nothing is written to files');
right('where there is room');

################################################################################
# Subtransactions, errors, cancels

run('BEGIN; SAVEPOINT a; ' . visits(2) . 'ROLLBACK TO a; ' . visits(1) . 'SAVEPOINT b; ' . visits(1) . 'RELEASE b; COMMIT');
right('savepoints');
run('BEGIN; ' . visits(1) . 'ROLLBACK');
right('rolled back');
run('BEGIN; ' . visits(1) . "PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'");
right('prepared');
run('BEGIN ISOLATION LEVEL REPEATABLE READ; ' . visits(1) . "COMMIT; SELECT FROM leadscore.refresh('m')");
right('enqueued under a transaction snapshot');

# what goes wrong in the midst of writing the scores
run(<<'SQL');
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		CASE current_setting('test.fails', true)
			WHEN 'error' THEN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation';
			WHEN 'cancel' THEN PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(60);
			ELSE NULL;
		END CASE;
		RETURN NULL;
	END$$;
	CREATE TRIGGER fail AFTER INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW
		WHEN (NEW.contact_id = 15000) EXECUTE FUNCTION fail();
SQL
foreach my $fails (qw(error cancel))
{
	my ($failed, $worked) = (visits(2), visits(1));
	my (undef, $out, $err) = $node->psql('postgres', <<"SQL", on_error_stop => 0);
		SET client_min_messages = error;
		BEGIN;
		SET test.fails = '$fails';
		SAVEPOINT a;
		$failed
		ROLLBACK TO a;
		SELECT count(*) FROM pg_ls_tmpdir();
		SET test.fails = '';
		$worked
		COMMIT;
SQL
	like($err, $fails eq 'error' ? qr/ERROR:  refused/ : qr/ERROR:  canceling statement due to user request/, "$fails in the midst");
	is($out, '0', "$fails: its files are gone with the savepoint");
	right($fails);
	$node->psql('postgres', "SET test.fails = '$fails'; $failed");
	right("$fails of the transaction");
}
run('DROP TRIGGER fail ON leadscore.score_m');

# A statement within one: a trigger of the owner's inserts visits of all contacts, more than
# there is room for, in subtransactions of which some abort, and changes a rule.
run(<<"SQL");
	CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		FOR i IN 1 .. 4 LOOP
			BEGIN
				INSERT INTO visit SELECT -n, (n * 31) % $contacts, NEW.at, 'page', 5 FROM generate_series(1, 5000) n;
				IF i % 2 = 0 THEN
					RAISE EXCEPTION 'none of it';
				END IF;
				IF i = 3 THEN
					UPDATE visit SET amount = 6 WHERE contact BETWEEN 100 AND 1500;
				END IF;
			EXCEPTION WHEN raise_exception THEN
				NULL;
			END;
		END LOOP;
		IF NEW.id % 2000 = 0 THEN
			UPDATE leadscore.lead_rule SET points = points + 1 WHERE model = 'm' AND name = 'page';
		END IF;
		RETURN NULL;
	END\$\$;
	CREATE TRIGGER more AFTER INSERT ON visit FOR EACH ROW WHEN (NEW.id IN (1000, 2000)) EXECUTE FUNCTION more();
SQL
run(visits(1));
right('nested statements, subtransactions and a changed rule');
run('BEGIN; SAVEPOINT a; ' . visits(1) . 'RELEASE a; SAVEPOINT b; ' . visits(1) . 'ROLLBACK TO b; COMMIT');
right('the same in savepoints');
run('DROP TRIGGER more ON visit');

################################################################################
# Other kinds of changes

my $calls = "SELECT md5((n % $contacts)::text), timestamptz '2026-01-01' + n * interval '1 s', 'c' FROM generate_series(1, $contacts * 2) n";
run("INSERT INTO lead SELECT md5(n::text) FROM generate_series(1, $contacts / 2) n");
# what all insert beside scores is small, and its trigger has not begun
cmp_ok(files_during("INSERT INTO call $calls"), '>', 0, 'keys of text: spilled');
right('keys of text');
my $before = run('SELECT sum(score) FROM leadscore.score_n');
cmp_ok(files_during('DELETE FROM call'), '>', 0, 'purged contributions: spilled');
is(run('SELECT sum(score) FROM leadscore.score_n'), $before, 'purged contributions stay');
run("SELECT leadscore.rescore('n')");
is(run('SELECT sum(score) FROM leadscore.score_n'), $before, 'and are found again');
cmp_ok(files_during("INSERT INTO chat $calls"), '>', 0, 'enqueued changes: spilled');
run("SELECT leadscore.refresh('n')");
right('enqueued changes');
run('TRUNCATE chat');
run("SELECT leadscore.refresh('n')");
right('a truncated table');

################################################################################
# Several sessions, which write the same contacts, in any order of the events

my %scripts = ('all@3' => <<'SQL', 'removed@1' => <<'SQL');
	INSERT INTO visit SELECT 0, n % 3000, now(), 'page', 5 FROM generate_series(1, 6000) n ORDER BY random();
SQL
	DELETE FROM visit WHERE ctid IN (SELECT ctid FROM visit WHERE contact < 1000 ORDER BY random() LIMIT 1500 FOR UPDATE SKIP LOCKED);
SQL
$node->command_ok([ 'pgbench', '-n', '-c', 3, '-j', 3, '-t', 6, pgbench_scripts(%scripts), $node->connstr('postgres') ], 'three sessions');
is(run("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), '0', 'no deadlock');
right('three sessions');

done_testing();
