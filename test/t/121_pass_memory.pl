# What a pass over many rows holds while it runs: rules that fail on every row, or
# many contacts that are due, need no more memory than few.  A rule's function, or a
# trigger, tells from within the pass what the process holds.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('bounds', library => 'session',
	conf => { max_wal_size => '4GB', autovacuum => 'on' });

# A model with rules that fail on each row but the first and the last, whose
# contacts are the least and the greatest.
sub create_model
{
	my ($model) = @_;

	$node->safe_psql('postgres', <<"SQL");
		SET client_min_messages = error;
		CREATE TABLE contact_$model (id int PRIMARY KEY, v int);
		CREATE TABLE event_$model (contact int, at timestamptz, what text, v int);
		CREATE INDEX ON event_$model (contact, at);
		SELECT leadscore.create_model('$model', 'contact_$model');
		SELECT leadscore.attach('$model', 'event_$model', 'contact', 'at', 'what', on_delete => 'keep');
		INSERT INTO leadscore.lead_rule (model, name, event, condition, weight, points) VALUES
			('$model', 'held', 'held', NULL, 'public.held(v)', 1),
			('$model', 'ours', 'x', '1 / v > 0', NULL, 1),
			('$model', 'theirs', 'x', 'public.bad(v)', NULL, 1),
			('$model', 'weight', 'x', NULL, 'ln(v)', 1);
		INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES
			('$model', 'profile', 'profile', '1 / v > 0', 1);
		INSERT INTO contact_$model SELECT n, 0 FROM generate_series(1, 2000) n;
SQL
}

# held runs a statement and gives what was held at the first and at the last row
# that tells.
sub held
{
	my ($sql) = @_;
	my ($out, $err);

	$node->psql('postgres', "SET client_min_messages = warning;\n$sql", stdout => \$out, stderr => \$err, on_error_stop => 1);
	my @held = $err =~ /WARNING:  held (\d+)/g;
	die "$sql tells nothing: $err" unless @held >= 2;
	return @held[ 0, -1 ];
}

# What is allowed is what hash tables and batches of rows take, and far less than a few bytes a row.
sub bounded
{
	my ($what, $sql) = @_;
	my ($first, $last) = held($sql);

	cmp_ok($last - $first, '<=', 512 * 1024, "$what: $first bytes at the first row, $last at the last");
}

$node->safe_psql('postgres', <<'SQL');
	CREATE EXTENSION leadscore;
	CREATE FUNCTION held(int) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		RAISE WARNING 'held %', (SELECT sum(used_bytes) FROM pg_backend_memory_contexts);
		RETURN 1;
	END$$;
	CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE WARNING 'held %', (SELECT sum(used_bytes) FROM pg_backend_memory_contexts);
		RETURN NEW;
	END$$;
	CREATE FUNCTION bad(v int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN 1 / v > 0; END$$;
SQL

sub rows
{
	my ($model, $n) = @_;

	return <<"SQL";
		INSERT INTO event_$model
		SELECT CASE n WHEN 0 THEN 0 WHEN $n + 1 THEN 5000 ELSE 1 + n % 200 END, timestamptz '2026-01-01' + n * interval '1 s',
			   CASE WHEN n IN (0, $n + 1) THEN 'held' ELSE 'x' END, 0
		  FROM generate_series(0, $n + 1) n;
SQL
}

# 200,000 rows, on which three rules fail, in one statement and in one pass
create_model('many');
bounded('INSERT ... SELECT', rows('many', 200_000));
bounded('rescore()', "SELECT leadscore.rescore('many');");

# other ways to read rows, with fewer of them
create_model('few');
$node->safe_psql('postgres', "SET client_min_messages = error;\n" . rows('few', 20_000));
bounded('verify()', "SELECT count(*) FROM leadscore.verify('few');");
bounded('a change of rules', <<'SQL');
	UPDATE leadscore.lead_rule
	   SET event = CASE WHEN name = 'held' THEN 'held' END,
		condition = CASE WHEN name = 'held' THEN 'v = 0' ELSE condition || ' AND v IS NULL' END
	 WHERE model = 'few' AND name IN ('held', 'ours', 'theirs');
SQL
# by the index, in the order of time
bounded('replay() of one contact', <<'SQL');
	SET client_min_messages = error;
	INSERT INTO event_few SELECT 3000, timestamptz '2026-01-01' + n * interval '1 s', CASE WHEN n IN (0, 20001) THEN 'held' ELSE 'x' END, 0
	  FROM generate_series(0, 20001) n;
	SET client_min_messages = warning;
	SET enable_seqscan = off;
	SET enable_bitmapscan = off;
	SELECT leadscore.replay('few', 3000);
SQL
bounded('DELETE of what is kept', 'DELETE FROM event_few;');
$node->safe_psql('postgres', "SET client_min_messages = error;\n" . rows('few', 20_000));
bounded('TRUNCATE', 'TRUNCATE event_few;');

# 30,000 contacts with long keys are due, and then pending, and a stage's condition
# fails on each
$node->safe_psql('postgres', <<'SQL');
	SET client_min_messages = error;
	CREATE TABLE contact (id text PRIMARY KEY);
	CREATE TABLE event (contact text, at timestamptz);
	CREATE INDEX ON event (contact, at);
	SELECT leadscore.create_model('due', 'contact');
	SELECT leadscore.attach('due', 'event', 'contact', 'at');
	INSERT INTO leadscore.lead_rule (model, name, points, time_frame) VALUES ('due', 'any', 1, '7 days');
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('due', 'hot', 1, 0, '1 / (score - score) > 0');
	SET leadscore.clock = '2026-01-02';
	INSERT INTO event SELECT to_char(n, '00000') || repeat('-', 100), '2026-01-01' FROM generate_series(1, 30000) n;
	CREATE TRIGGER held BEFORE UPDATE ON leadscore.score_due FOR EACH ROW
		WHEN (new.contact_id < ' 00002' OR new.contact_id > ' 30000') EXECUTE FUNCTION held();
SQL
bounded('refresh() of what is due', <<'SQL');
	SET leadscore.clock = '2026-02-01';
	SET work_mem = '64kB';
	SELECT leadscore.score('due', ' 00001');
	SELECT held(0);
	SELECT leadscore.refresh('due');
SQL
is($node->safe_psql('postgres', "SELECT count(*), sum(score) FROM leadscore.score_due"), '30000|0', 'all that was due was done');
$node->safe_psql('postgres', <<'SQL');
	SET client_min_messages = error;
	SET leadscore.clock = '2026-02-01';
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	INSERT INTO event SELECT to_char(n, '00000') || repeat('-', 100), '2026-01-31' FROM generate_series(1, 30000) n;
	COMMIT;
SQL
bounded('refresh() of what is pending', <<'SQL');
SET leadscore.clock = '2026-02-02';
SELECT leadscore.refresh('due');
SQL
is($node->safe_psql('postgres', "SELECT count(*), sum(score) FROM leadscore.score_due"), '30000|30000',
	'all that was pending was merged');

done_testing();
