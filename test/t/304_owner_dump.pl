# A database whose owner is no superuser, and in which a superuser has made the
# extension: the owner dumps it, restores the dump into another such database,
# and so does the owner of another database, where the first one's role is not.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $clock = '2026-02-20 12:00+00';

sub server
{
	my ($name, @roles) = @_;
	my $node = LeadscoreNode->create($name);
	$node->safe_psql('postgres', "CREATE ROLE $_ LOGIN") for @roles;
	return $node;
}

# a database with the extension that a superuser has made, in the hands of a role
sub database
{
	my ($node, $db, $owner) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db OWNER $owner");
	$node->hold_clock($db, $clock);
	$node->safe_psql($db, 'CREATE EXTENSION leadscore');
}

sub as
{
	my ($node, $role, $db, $sql) = @_;
	return $node->said($db, $sql, login => $role, on_error_stop => 1);
}

# a program that must say nothing
sub quietly
{
	my ($what, @command) = @_;
	my ($out, $err) = run_command(\@command);
	is($err, '', $what);
}

# what becomes of event triggers: DISABLE or ENABLE ALWAYS
sub event_triggers
{
	my ($where, $db, $what) = @_;
	$where->safe_psql($db, <<"SQL");
DO \$\$
BEGIN
	EXECUTE (SELECT string_agg(format('ALTER EVENT TRIGGER %I $what', evtname), ';') FROM pg_event_trigger
		 WHERE evtname LIKE 'leadscore%');
END \$\$
SQL
}

# run as a role
sub on
{
	my ($node, $role) = @_;
	return ('-h', $node->host, '-p', $node->port, '-U', $role);
}

my $node = server('one', 'host', 'tenant', 'reader');
database($node, 'crm', 'host');
is(as($node, 'host', 'crm', <<"SQL") =~ s/.*leadscore.score_m\s*\d*\s*$//sr, '', 'the application');
CREATE SCHEMA app;
SET search_path = app;
$crm $rules
	INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('m', 'tell', 'stage_entered', 'hot');
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'engagement', 'A', 10);
UPDATE leadscore.lead_model SET daily = true;
GRANT SELECT ON leadscore.score_m, leadscore.live_m TO reader;
CREATE MATERIALIZED VIEW top AS SELECT contact_id, score FROM leadscore.score_m;
${\ crm_rows() }
SELECT leadscore.merge_contacts('m', 1, 2);
SELECT leadscore.set_stage('m', 3, 'hot', 'by hand');
SELECT leadscore.refresh('m');
SQL

my @tables = qw(score_m due_m profile_m history_m outbox_m merged_m pending_m purged_m funnel_daily_m);
my @definitions = qw(lead_category lead_rule lead_stage lead_grade lead_action lead_source lead_stage_history lead_outbox);

# all that there is of the model, but for who owns it
sub everything
{
	my ($where, $db) = @_;
	my $sql = join ' UNION ALL ', map { "SELECT '$_', t::text FROM leadscore.$_ t" } @tables, @definitions;
	return $where->safe_psql($db, <<"SQL");
SELECT * FROM ($sql) a ORDER BY 1, 2;
SELECT model, contacts, enabled, rules_version, daily FROM leadscore.lead_model ORDER BY 1;
SQL
}

# what has to be true of a restored database
sub is_whole
{
	my ($where, $db, $owner, $name) = @_;
	is(everything($where, $db), everything($node, 'crm'), "$name: all is there");
	is(as($where, $owner, $db, <<'SQL'), $owner, "$name: the model is the owner's, and its scores right");
SET client_min_messages = error;
SELECT DISTINCT owner FROM leadscore.lead_model;
SELECT * FROM leadscore.verify('m');
SQL
	is($where->safe_psql($db, <<'SQL'), $owner, "$name: so are its tables");
SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)'
SQL
	is(as($where, $owner, $db, <<'SQL') =~ s/.*NOTICE.*\n//r, 't|0', "$name: it goes on counting");
INSERT INTO app.event VALUES (1000, 5, '2026-02-20', 'open', 1);
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'another', 'event', 'open', 1);
SELECT (SELECT score FROM leadscore.score_m WHERE contact_id = 5) = leadscore.replay('m', 5), count(*)
  FROM leadscore.verify('m');
SQL
}

sub restored
{
	my ($where, $db, $owner, $name, @command) = @_;
	database($where, $db, $owner);
	my @run = map { $_ eq 'DB' ? $db : $_ } @command;
	quietly("$name: without an error", $run[0], on($where, $owner), @run[1 .. $#run]);
	is_whole($where, $db, $owner, $name);
}

my @dump = ('pg_dump', on($node, 'host'));
quietly('pg_dump, plain', @dump, '-f', "$dir/plain.sql", 'crm');
quietly('pg_dump --inserts', @dump, '--inserts', '-f', "$dir/inserts.sql", 'crm');
quietly('pg_dump --no-owner', @dump, '--no-owner', '-f', "$dir/no_owner.sql", 'crm');
quietly('pg_dump -Fc', @dump, '-Fc', '-f', "$dir/custom", 'crm');
quietly('pg_dump -Fd -j2', @dump, '-Fd', '-j', 2, '-f', "$dir/directory", 'crm');
cmp_ok(-s "$dir/plain.sql", '>', 10_000, 'it is not empty');
my @psql = ('psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', 'DB', '-f');
$node->safe_psql('postgres', 'CREATE ROLE nobody');
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	restored($node, 'plain', 'host', 'psql -1', @psql, "$dir/plain.sql");
	restored($node, 'inserts', 'host', 'psql -1 of INSERTs', @psql, "$dir/inserts.sql");
	restored($node, 'single', 'host', 'pg_restore -1', 'pg_restore', '-1', '-d', 'DB', "$dir/custom");
	restored($node, 'single_no', 'host', 'pg_restore -1 --no-owner', 'pg_restore', '-1', '--no-owner', '-d', 'DB', "$dir/custom");
	restored($node, 'parallel', 'host', 'pg_restore -j2', 'pg_restore', '-e', '-j', 2, '-d', 'DB', "$dir/directory");
}

################################################################################
# Where the role of the dump does not exist

my $two = server('two', 'tenant', 'next', 'reader');
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	restored($two, 'plain', 'next', 'psql -1 elsewhere', @psql, "$dir/no_owner.sql");
	restored($two, 'single', 'next', 'pg_restore -1 --no-owner elsewhere', 'pg_restore', '-1', '--no-owner', '-d',
		'DB', "$dir/custom");
	restored($two, 'parallel', 'next', 'pg_restore -j2 --no-owner elsewhere', 'pg_restore', '-e', '-j', 2,
		'--no-owner', '-d', 'DB', "$dir/directory");
}

# ... and nobody is told that rows come: the OID of who accepted the rules is that of
# an unprivileged role here
database($two, 'untold', 'next');
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	quietly('the schema', 'pg_restore', on($two, 'next'), '-s', '--no-owner', '-d', 'untold', "$dir/custom");
	event_triggers($two, 'untold', 'DISABLE');
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning -c session_replication_role=replica';
	quietly('the data, all triggers disabled', 'pg_restore', '-h', $two->host, '-p', $two->port, '-a',
		'--disable-triggers', '-d', 'untold', "$dir/custom");
	event_triggers($two, 'untold', 'ENABLE ALWAYS');
}
my $owners = 'SELECT owner, enabled FROM leadscore.lead_model';
is($two->safe_psql('untold', <<"SQL"), "tenant\nnext|t", 'who restored a model has accepted it');
SELECT accepted_owner::regrole FROM leadscore_internal.lead_model;
$owners
SQL
is($two->safe_psql('untold', <<'SQL'), '', '... its scores are right');
SET client_min_messages = error;
SELECT * FROM leadscore.verify('m');
SQL
is($two->safe_psql('untold', <<"SQL"), 'tenant|f', '... a new owner has to accept it');
BEGIN;
SET client_min_messages = error;
ALTER TABLE app.contact OWNER TO tenant;
$owners;
ROLLBACK;
SQL
is($two->safe_psql('untold', <<"SQL"), 'tenant|f', '... however it becomes his');
SET client_min_messages = error;
ALTER TABLE app.contact ADD x int;
REASSIGN OWNED BY next TO tenant;
$owners
SQL

################################################################################
# A model of another role

$node->safe_psql('crm', 'CREATE SCHEMA t AUTHORIZATION tenant');
is(as($node, 'tenant', 'crm', <<'SQL'), 'leadscore.score_t', 'a tenant has a model in the database');
CREATE TABLE t.person (id int PRIMARY KEY);
SELECT leadscore.create_model('t', 't.person');
INSERT INTO t.person VALUES (1);
SQL
my ($out, $err) = run_command([ @dump, '-f', "$dir/tenant.sql", 'crm' ]);
like($err, qr/permission denied for (?:table|schema)/, '... whose tables the owner of the database cannot dump');
is(as($node, 'tenant', 'crm', <<'SQL') =~ s/\s//gr, '', '... until he may read them');
SET client_min_messages = error;
GRANT USAGE ON SCHEMA t TO host;
GRANT SELECT ON ALL TABLES IN SCHEMA t TO host;
SQL
for my $table (split /\n/, $node->safe_psql('crm', <<'SQL'))
SELECT relname FROM pg_class
 WHERE relnamespace = 'leadscore'::regnamespace AND relowner = 'tenant'::regrole AND relkind IN ('r', 'p')
SQL
{
	as($node, 'tenant', 'crm', "GRANT SELECT ON leadscore.$table TO host");
}
quietly('pg_dump, by one who may read all tables', @dump, '--no-owner', '-Fc', '-f', "$dir/tenant", 'crm');
database($node, 'tenant', 'host');
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	quietly('pg_restore -1 --no-owner', 'pg_restore', on($node, 'host'), '-1', '--no-owner', '-d', 'tenant', "$dir/tenant");
}
is(as($node, 'host', 'tenant', <<'SQL'), "m|host|t\nt|host|t\n1", '... who owns all models then');
SELECT model, owner, enabled FROM leadscore.lead_model ORDER BY 1;
SELECT contact_id FROM leadscore.score_t;
SQL

################################################################################
# Who may create in the schema, for a restore, puts no function there

like(as($node, 'host', 'crm', "CREATE FUNCTION leadscore.score(text, int) RETURNS float8 LANGUAGE sql AS 'SELECT 1.0::float8'"),
	qr/permission denied to have function leadscore.score\(pg_catalog.text,integer\) in a schema of leadscore/, 'no function');
for my $sql ('CREATE DOMAIN leadscore.d AS int', 'CREATE TYPE leadscore.e AS ENUM ()',
	'CREATE AGGREGATE leadscore.a(int) (SFUNC = int4pl, STYPE = int)',
	<<'SQL', 'CREATE OPERATOR leadscore.## (RIGHTARG = int, FUNCTION = int4abs)',
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql RETURN 1;
ALTER FUNCTION app.f() SET SCHEMA leadscore;
SQL
	'CREATE PROCEDURE leadscore.p() LANGUAGE sql AS $$$$', <<'SQL', 'CREATE COLLATION leadscore.c FROM "C"',
CREATE TYPE app.c AS (a int);
ALTER TYPE app.c SET SCHEMA leadscore;
SQL
	'CREATE TYPE app.r AS RANGE (SUBTYPE = int, MULTIRANGE_TYPE_NAME = leadscore.score)')
{
	like(as($node, 'host', 'crm', "BEGIN; $sql; COMMIT"), qr/permission denied to have .* in a schema of leadscore/, "nor: $sql");
}
like(as($node, 'host', 'crm', 'CREATE TABLE leadscore_internal.x ()'),
	qr/permission denied for schema leadscore_internal/, 'nothing at all in the other');
like(as($node, 'tenant', 'crm', 'CREATE TABLE leadscore.x ()'), qr/permission denied for schema leadscore/,
	'and nobody else anything');

# nor a table that a model of somebody else's would take for its own, as the engine
# would write to it as that model's owner
$node->safe_psql('crm', <<'SQL');
CREATE TABLE su (id int PRIMARY KEY);
SELECT leadscore.create_model('su', 'su');
SQL
my $daily = 'day date, contact_id int';
for my $sql ("CREATE TABLE leadscore.daily_su ($daily)", "CREATE TABLE leadscore.identity_t AS SELECT 1 AS id",
	"SELECT 1 AS id INTO leadscore.daily_t",
	'CREATE VIEW leadscore.daily_su AS SELECT 1 AS id',
	'CREATE MATERIALIZED VIEW leadscore.daily_su AS SELECT 1 AS id', 'CREATE SEQUENCE leadscore.daily_su',
	<<"SQL",
CREATE TABLE app.planted ($daily);
ALTER TABLE app.planted SET SCHEMA leadscore;
ALTER TABLE leadscore.planted RENAME TO daily_su;
SQL
	<<"SQL", <<'SQL')
CREATE TABLE app.daily_su ($daily);
ALTER TABLE app.daily_su SET SCHEMA leadscore;
SQL
CREATE TABLE leadscore.ok (id int);
CREATE INDEX daily_su ON leadscore.ok (id);
SQL
{
	like(as($node, 'host', 'crm', "BEGIN; $sql; COMMIT"),
		qr/permission denied to have relation leadscore\.\w+_(?:su|t)\n.*It would be taken for one of model/s,
		"nor: $sql");
}
is(as($node, 'host', 'crm', <<'SQL'), '', 'others can be');
BEGIN;
CREATE TABLE leadscore.mine (id int);
CREATE TABLE leadscore.daily_nothing (id int);
ROLLBACK;
SQL
done_testing();
