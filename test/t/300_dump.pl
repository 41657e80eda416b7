# Dump and restore: the same scores and rules row by row, nothing counted twice,
# and whatever is done next gives the same in the copy as in the original.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('dump');
my $dir = PostgreSQL::Test::Utils::tempdir;

sub sql { return $node->safe_psql(@_) }

# The clock is held in every database, but not while one is restored.
my $clock = '2026-01-15 12:00+00';

sub create_database
{
	my ($db) = @_;
	sql('postgres', "CREATE DATABASE $db");
}

create_database('crm');
$node->hold_clock('crm', $clock);
sql('crm', <<'SQL');
SET client_min_messages = warning;
CREATE ROLE sales;
CREATE EXTENSION citext;
CREATE EXTENSION leadscore;
CREATE SCHEMA app;
GRANT USAGE, CREATE ON SCHEMA app, public TO sales;

CREATE FUNCTION app.is_business(mail text) RETURNS boolean LANGUAGE sql IMMUTABLE
	RETURN mail !~ '@(gmail|gmx)\.';
CREATE FUNCTION app.worth(amount float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE
	AS $$ BEGIN RETURN app.factor() * amount; END $$;
CREATE FUNCTION app.factor() RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 0.5::float8';
CREATE FUNCTION app.doomed(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';

SET ROLE sales;
CREATE TYPE app.mood AS ENUM ('low', 'high');
ALTER TYPE app.mood ADD VALUE 'fair' BEFORE 'high';
CREATE TABLE app.contacts (id int PRIMARY KEY, "E-Mail" text, country text, since timestamptz);
CREATE TABLE app.events (contact int, at timestamptz, what text, amount float8, mood app.mood DEFAULT 'fair', doubled float8 
	GENERATED ALWAYS AS (amount * 2) STORED) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON app.events (contact, at);
CREATE TABLE app.visits (contact int, sent timestamp, opened timestamp, gone text);
CREATE INDEX ON app.visits (contact);
CREATE TABLE app.calls (contact int, at timestamptz);
CREATE INDEX ON app.calls (contact);
CREATE TABLE people (mail citext PRIMARY KEY, company text);
CREATE TABLE acts (who citext, day date, act text);
CREATE INDEX ON acts (who);
CREATE TABLE companies (name text PRIMARY KEY);
RESET ROLE;

INSERT INTO app.contacts SELECT g, CASE g % 3 WHEN 0 THEN 'a@gmail.com' ELSE 'a@b.example' END, CASE g % 2 WHEN 0 THEN 'DE' ELSE 'FR' END,
	timestamptz '2025-06-01 00:00+00' + g * interval '1 day' FROM generate_series(1, 40) g;
INSERT INTO people SELECT 'P' || g || '@x.example', 'c' || g % 4 FROM generate_series(1, 20) g;
INSERT INTO companies SELECT 'c' || g FROM generate_series(0, 5) g;
INSERT INTO app.calls SELECT g, '2026-01-10 00:00+00' FROM generate_series(1, 9) g;

SET ROLE sales;
SELECT leadscore.create_model('crm', 'app.contacts', created_at => 'since', time_zone => 'Europe/Berlin');
SELECT leadscore.attach('crm', 'app.events', 'contact', 'at', 'what');
SELECT leadscore.attach('crm', 'app.visits', 'contact', 'sent', source => 'sent');
SELECT leadscore.attach('crm', 'app.visits', 'contact', 'opened', source => 'opened', time_zone => 'America/New_York');
SELECT leadscore.attach('crm', 'app.calls', 'contact', 'at');
SELECT leadscore.create_model('people', 'people');
SELECT leadscore.attach('people', 'acts', 'who', 'day', 'act');
SELECT leadscore.create_model('accounts', 'companies', categories => '{heat}');
SELECT leadscore.create_model('off', 'app.contacts');
SELECT leadscore.attach('off', 'app.events', 'contact', 'at', 'what');

INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, sticky, condition) VALUES
	('crm', 'warm', 1, 40, false, NULL),
	('crm', 'hot', 2, 80, true, 'country = ''DE'' AND app.is_business("E-Mail")'),
	('people', 'seen', 1, 1, false, NULL);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES
	('crm', 'fit', 'A', 5), ('crm', 'fit', 'B', '-infinity'), ('crm', 'engagement', '1', 50);
CREATE FUNCTION app.tell(jsonb) RETURNS void LANGUAGE sql AS '';
INSERT INTO leadscore.lead_action (model, name, occasion, stage, score_level, deliver, channel, function, causes) VALUES
	('crm', 'hot', 'stage_entered', 'hot', NULL, DEFAULT, NULL, NULL, '{event,backfill,rule}'),
	('crm', 'warm', 'stage_left', 'warm', NULL, 'function', NULL, 'app.tell', DEFAULT),
	('crm', 'cold', 'score_falls', NULL, 10, 'notify', 'c', NULL, DEFAULT),
	('people', 'seen', 'stage_entered', NULL, NULL, DEFAULT, NULL, NULL, DEFAULT);
UPDATE leadscore.lead_category SET weight = 2, max_points = 200 WHERE model = 'crm' AND category = 'engagement';
UPDATE leadscore.lead_model SET max_score = 300, max_drift = 0.1 WHERE model = 'crm';
INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points, weight, decay, decay_interval,
	decay_keep, time_frame, at_least, max_per_period) VALUES
	('crm', 'buy', 'events', 'buy', 'amount > 1', 1, 'app.worth(doubled)', 'half_life', '30 days', NULL, NULL, DEFAULT, NULL),
	('crm', 'view', 'events', 'view', NULL, 2, NULL, 'none', NULL, NULL, '90 days', DEFAULT, 6),
	('crm', 'step', 'events', 'view', NULL, 4, NULL, 'step', '7 days', 0.5, NULL, 2, NULL),
	('crm', 'sent', 'sent', NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, DEFAULT, NULL),
	('crm', 'opened', 'opened', NULL, NULL, 5, NULL, 'linear', '20 days', NULL, NULL, DEFAULT, NULL),
	('crm', 'call', 'calls', NULL, NULL, 7, NULL, 'none', NULL, NULL, NULL, DEFAULT, NULL),
	('crm', 'column that goes', 'opened', NULL, 'gone = ''x''', 3, NULL, 'none', NULL, NULL, NULL, DEFAULT, NULL),
	('crm', 'function that goes', 'events', 'view', 'app.doomed(what)', 3, NULL, 'none', NULL, NULL, NULL, DEFAULT, NULL),
	('people', 'act', 'acts', 'came', NULL, 1, NULL, 'none', NULL, NULL, NULL, DEFAULT, NULL),
	('off', 'view', 'events', 'view', NULL, 1, NULL, 'none', NULL, NULL, NULL, DEFAULT, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, disqualifies) VALUES
	('crm', 'business', 'profile', 'app.is_business("E-Mail")', 10, false),
	('crm', 'nobody', 'profile', 'country IS NULL', 0, true);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle, award) VALUES ('crm', 'silent', 'absence', -2, '10 days', 'each');
INSERT INTO leadscore.lead_rule (model, name, event, points, enabled) VALUES ('people', 'later', 'left', 3, false);
INSERT INTO leadscore.lead_rule (model, name, source, event, per, cancelled_source, cancelled_per, points) VALUES
	('crm', 'moods', 'events', 'view', 'mood', NULL, NULL, 2), ('crm', 'amounts', 'events', 'view', 'amount', NULL, NULL, 0.25),
	('crm', 'until sent', 'events', 'view', 'amount > 25', 'sent', 'opened IS NULL', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, source, follows, followed_source, followed_by, negated, max_gap, points) VALUES
	('crm', 'read', 'sequence', 'sent', NULL, 'opened', NULL, false, '5 days', 1),
	('crm', 'not bought', 'sequence', 'opened', NULL, 'events', 'buy', true, '8 days', 1),
	('crm', 'then viewed', 'sequence', NULL, 'read', 'events', 'view', false, '8 days', 1);
RESET ROLE;

INSERT INTO app.events
	SELECT g % 45, timestamptz '2025-11-01 00:00+00' + g * interval '5 hours',
		CASE g % 4 WHEN 0 THEN 'buy' ELSE 'view' END, g % 50, (enum_range(NULL::app.mood))[g % 4]
	FROM generate_series(1, 400) g;
INSERT INTO app.visits
	SELECT g % 20 + 1, timestamp '2026-01-01 00:00' + g * interval '3 hours',
		CASE g % 2 WHEN 0 THEN timestamp '2026-01-02 00:00' + g * interval '3 hours' END
	FROM generate_series(1, 80) g;
INSERT INTO acts SELECT 'p' || g % 25 || '@X.example', date '2026-01-01' + g % 12, 'came' FROM generate_series(1, 60) g;
UPDATE app.contacts SET country = NULL WHERE id = 7;
SELECT leadscore.detach('crm', 'calls');
ALTER TABLE app.visits DROP COLUMN gone;
DROP FUNCTION app.doomed;
UPDATE leadscore.lead_model SET enabled = false WHERE model = 'off';
UPDATE leadscore.lead_model SET daily = true WHERE model IN ('crm', 'people');
GRANT SELECT ON leadscore.funnel_daily_crm TO PUBLIC;
SET leadscore.clock = '2026-01-17 12:00+00';
SELECT leadscore.write_days(model) FROM leadscore.lead_model;
RESET leadscore.clock;
GRANT SELECT ON leadscore.score_crm, leadscore.live_crm TO PUBLIC;
SQL

# Everything that a user or the engine can see.
my %queries = (
	(map { ("score_$_" => "SELECT * FROM leadscore.score_$_ ORDER BY contact_id",
			"live_$_" => "SELECT * FROM leadscore.live_$_ ORDER BY contact_id",
			"history_$_" => "SELECT * FROM leadscore.history_$_ ORDER BY 1, changed_at, to_stage",
			"replay_$_" => <<"SQL",
SELECT contact_id, leadscore.replay('$_', contact_id),
	leadscore.score('$_', contact_id, leadscore.clock() + '30 days')
  FROM leadscore.score_$_ ORDER BY 1
SQL
			"definition_$_" => <<"SQL") } qw(crm people accounts off)),
SELECT attname, format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation,
	col_description(attrelid, attnum), attstorage, reloptions, relacl
	FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	 WHERE attrelid = 'leadscore.score_$_'::regclass AND attnum > 0 ORDER BY attnum
SQL
	(map { ($_ => "SELECT * FROM leadscore.$_ t ORDER BY t::text COLLATE \"C\"") }
		qw(lead_model lead_category lead_source lead_relation lead_rule lead_rule_history lead_model_history lead_stage
			lead_grade lead_stage_history lead_rule_error lead_day lead_action lead_outbox lead_worker_error)),
	(map { ("profile_$_" => "SELECT * FROM leadscore.profile_$_ ORDER BY 1, 2",
			"as_of_$_" => <<"SQL") } qw(people accounts off)),
SELECT contact_id, leadscore.score('$_', contact_id, leadscore.clock(), leadscore.clock() - interval '0')
  FROM leadscore.score_$_ ORDER BY 1
SQL
	(map { ("due_$_" => "SELECT * FROM leadscore.due_$_ ORDER BY 1, 2, 3") } qw(crm people accounts off)),
	(map { ("daily_$_" => "SELECT tableoid::regclass, * FROM leadscore.daily_$_ ORDER BY day, contact_id") } qw(crm people)),
	(map { ("funnel_daily_$_" => "SELECT * FROM leadscore.funnel_daily_$_ ORDER BY day, stage, grade",
			"days_definition_$_" => <<"SQL") } qw(crm people accounts off)),
SELECT attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation,
	col_description(attrelid, attnum), obj_description(attrelid, 'pg_class'), relacl, pg_get_expr(relpartbound, c.oid)
	FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	 WHERE relname ~ '^(funnel_)?daily_$_' AND relkind IN ('r', 'p') AND attnum > 0 ORDER BY relname, attnum
SQL
	triggers => <<'SQL',
SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
 ORDER BY tgrelid::regclass::text, tgname
SQL
	event_triggers => q(SELECT evtname, evtevent, evtenabled, evttags FROM pg_event_trigger ORDER BY 1),
	sequences => <<'SQL');
SELECT (SELECT last_value FROM leadscore_internal.version_seq),
	(SELECT last_value FROM leadscore_internal.lead_rule_rule_id_seq),
	(SELECT last_value FROM leadscore_internal.lead_rule_history_history_id_seq),
	(SELECT last_value FROM leadscore_internal.lead_model_history_history_id_seq),
	(SELECT last_value FROM leadscore_internal.lead_action_action_id_seq),
	(SELECT last_value >= (SELECT coalesce(max(outbox_id), 1) FROM leadscore.lead_outbox)
		FROM leadscore_internal.outbox_id_seq)
SQL
my $verify = join(' UNION ALL ', map { "SELECT '$_', v.* FROM leadscore.verify('$_') v" } qw(crm people accounts));

sub state_of
{
	my ($db) = @_;
	my @names = sort keys %queries;
	my $out = sql($db, join('', map { "\\echo ==== $_\n$queries{$_};\n" } @names));
	my (undef, %state) = split /^==== (\w+)\n/m, $out;
	die "not all queries of $db ran\n" unless keys %state == @names;
	return \%state;
}

sub same_state
{
	my ($got, $wanted, $what) = @_;
	my @differ = grep { $got->{$_} ne $wanted->{$_} } sort keys %$wanted;
	is("@differ", '', $what);
	for my $name (@differ)
	{
		my %left = map { $_ => 1 } split /\n/, $wanted->{$name};
		my %right = map { $_ => 1 } split /\n/, $got->{$name};
		diag("$name: -$_") for (grep { !$right{$_} } sort keys %left)[ 0 .. 2 ];
		diag("$name: +$_") for (grep { !$left{$_} } sort keys %right)[ 0 .. 2 ];
	}
}

my $original = state_of('crm');
is(sql('crm', $verify), '', 'the original is right');
is(sql('crm', "SELECT count(*) FILTER (WHERE backfilled_version = 0) FROM leadscore.lead_rule"), 3,
	'three rules of it wait for what they use');
like($original->{history_crm}, qr/hot/, 'there is some history');
like($original->{daily_crm}, qr/^leadscore.daily_crm_202601\|2026-01-16/m, 'there are some days');

# What is done next, in the original and in copies of it.
my @next = (
	'events' => <<'SQL',
INSERT INTO app.events (contact, at, what, amount) VALUES
	(1, '2026-01-14', 'buy', 20), (44, '2026-01-13', 'view', NULL);
INSERT INTO app.events_2026 (contact, at, what) VALUES (2, '2026-01-14', 'view');
INSERT INTO acts VALUES ('P1@x.EXAMPLE', '2026-01-14', 'came');
SQL
	'contacts' => <<'SQL',
INSERT INTO app.contacts VALUES (44, 'b@c.example', 'DE', '2026-01-01');
DELETE FROM people WHERE mail = 'p2@x.example';
SQL
	'updates and deletes' => <<'SQL',
UPDATE app.events SET amount = 3 WHERE contact = 3;
DELETE FROM app.events WHERE contact = 4;
UPDATE app.visits SET opened = '2026-01-15' WHERE contact = 5;
SQL
	'days' => <<'SQL',
SET leadscore.clock = '2026-02-02 12:00+00';
SELECT leadscore.write_days(model) FROM leadscore.lead_model;
SQL
	'a rule' => <<'SQL',
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('crm', 'new', 'events', 'view', 0.5);
SQL
	'a changed rule' => <<'SQL',
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET event = 'view' WHERE name = 'buy';
UPDATE leadscore.lead_rule SET points = 3 WHERE name = 'sent';
SQL
	'a leaf' => <<'SQL',
CREATE TABLE app.events_2024 PARTITION OF app.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO app.events_2024 (contact, at, what) VALUES (2, '2024-05-01', 'view');
SQL
	'a source that comes back' => <<'SQL',
SET client_min_messages = warning;
SELECT leadscore.attach('crm', 'app.calls', 'contact', 'at');
SQL
	'a model' => "SELECT leadscore.create_model('another', 'app.contacts')",
	'switched on' => "UPDATE leadscore.lead_model SET enabled = true WHERE model = 'off'",
	'truncated' => "TRUNCATE app.visits");

my @copies;

sub copied
{
	my ($db, $how) = @_;
	$node->hold_clock($db, $clock);
	push @copies, $db;
	same_state(state_of($db), $original, "$how: all is as it was");
	is(sql($db, $verify), '', "$how: it is right");
	is(sql($db, "SELECT leadscore.refresh()"), 0, "$how: nothing is left to do");
	my ($code, $out, $err) = $node->psql($db, "UPDATE leadscore.score_crm SET score = 1");
	like($err, qr/is maintained by leadscore and cannot be written/, "$how: scores are guarded");
}

sub run_quietly
{
	my ($how, @command) = @_;
	my ($stdout, $stderr) = ('', '');
	my $ok = IPC::Run::run(\@command, '>', \$stdout, '2>', \$stderr);
	ok($ok, "$how: runs") or diag($stderr);
	is($stderr, '', "$how: without a word");
}

my @connection = ('-h', $node->host, '-p', $node->port);
my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-o', "$dir/psql.out");

# plain SQL
command_ok([ 'pg_dump', @connection, '-f', "$dir/plain.sql", 'crm' ], 'pg_dump');
create_database('plain');
run_quietly('psql', @psql, '-d', 'plain', '-f', "$dir/plain.sql");
copied('plain', 'psql');

create_database('single');
run_quietly('psql --single-transaction', @psql, '-1', '-d', 'single', '-f', "$dir/plain.sql");
copied('single', 'psql --single-transaction');

# custom format, several workers
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/custom", 'crm' ], 'pg_dump -Fc');
create_database('parallel');
run_quietly('pg_restore -j 4', 'pg_restore', @connection, '-e', '-j', 4, '-d', 'parallel', "$dir/custom");
copied('parallel', 'pg_restore -j 4');

# INSERTs
command_ok([ 'pg_dump', @connection, '--inserts', '-f', "$dir/inserts.sql", 'crm' ], 'pg_dump --inserts');
create_database('inserts');
run_quietly('inserts', @psql, '-d', 'inserts', '-f', "$dir/inserts.sql");
copied('inserts', 'pg_dump --inserts');

# schema first, data later, as superusers do
create_database('sections');
run_quietly('pg_restore --schema-only', 'pg_restore', @connection, '-e', '-s', '-d', 'sections', "$dir/custom");
run_quietly('pg_restore --data-only', 'pg_restore', @connection, '-e', '-a', '--disable-triggers', '-d', 'sections',
	"$dir/custom");
copied('sections', 'pg_restore --data-only --disable-triggers');

# a copy of a copy
command_ok([ 'pg_dump', @connection, '-Fd', '-j', 2, '-f', "$dir/again", 'parallel' ], 'pg_dump of a copy');
create_database('again');
run_quietly('again', 'pg_restore', @connection, '-e', '-j', 2, '-d', 'again', "$dir/again");
copied('again', 'a copy of a copy');

for (my $i = 0; $i < @next; $i += 2)
{
	sql('crm', $next[ $i + 1 ]);
	my $wanted = state_of('crm');
	is(sql('crm', $verify), '', "$next[$i]: right in the original");
	for my $db (@copies)
	{
		sql($db, $next[ $i + 1 ]);
		same_state(state_of($db), $wanted, "$next[$i]: the same in $db");
	}
}
is(sql($_, <<'SQL'), '', "leadscore goes from $_")
SELECT leadscore.detach_all();
DROP EXTENSION leadscore;
INSERT INTO app.events (contact, at) VALUES (1, '2026-01-14');
SQL
	for @copies;

$node->stop;
done_testing();
