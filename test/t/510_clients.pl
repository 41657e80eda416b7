# What users and their clients do with lead_rule as with any table: psql's \d and
# completion, what drivers and mappers ask the catalogs, INSERT, UPDATE, DELETE and
# COPY of every form, prepared statements.  By the model's owner, who is no superuser.
use strict;
use warnings;

use IPC::Run;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('clients');
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE crm LOGIN;
CREATE EXTENSION leadscore;
GRANT CREATE ON SCHEMA public TO crm;
SQL

sub as_owner { return $node->safe_psql('postgres', "SET client_min_messages = warning;\n$_[0]", extra_params => [ '-U', 'crm' ]) }

sub told
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAt', '-d', $node->connstr('postgres') . ' user=crm' ], '<', \$sql, '>', \$out, '2>', \$err);
	return $out . $err;
}

as_owner(<<'SQL');
CREATE TABLE contact (id int PRIMARY KEY, country text);
CREATE TABLE event (contact int, at timestamptz, what text, n float8);
CREATE INDEX ON event (contact, at);
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
INSERT INTO contact SELECT generate_series(1, 5), 'DE';
INSERT INTO event SELECT g, now() - interval '1 day', 'buy', g FROM generate_series(1, 5) g;
SQL

################################################################################
# What psql shows

my @columns = split /\n/, as_owner(<<'SQL');
SELECT attname FROM pg_attribute WHERE attrelid = 'leadscore.lead_rule'::regclass AND attnum > 0 ORDER BY attnum
SQL
cmp_ok(scalar @columns, '>', 20, 'lead_rule has its columns');
for my $relation (split /\n/, as_owner(<<'SQL'))
SELECT oid::regclass FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('v', 'r', 'p')
 ORDER BY 1
SQL
{
	my $shown = told("\\d $relation\n\\d+ $relation\n");
	unlike($shown, qr/ERROR|Did not find/, "\\d $relation");
}
my $shown = told('\d leadscore.lead_rule');
is(join(' ', grep { $shown !~ /^$_\|/m } @columns), '', '\d shows each column of lead_rule');
like(told('\d+ leadscore.lead_rule'), qr/^points\|double precision\|.*\w{3}/m, '\d+ shows their comments');
like(told('\dp leadscore.lead_rule'), qr/lead_rule/, '\dp');
like(told('\dv leadscore.*'), qr/lead_rule/, '\dv');
like(told('\df leadscore.*'), qr/create_model/, '\df');

# Completion: what it asks, of relations that can be written, and of their columns
like(as_owner(<<'SQL'), qr/^lead_rule$/m, 'INSERT INTO leadscore.lead_ru is completed');
SELECT quote_ident(c.relname) FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n
 WHERE c.relkind IN ('r', 'f', 'v', 'p') AND c.relname LIKE 'lead\_ru%'
	AND pg_catalog.pg_table_is_visible(c.oid) = false AND c.relnamespace = n.oid AND n.nspname = 'leadscore'
SQL
is(as_owner(<<'SQL'), 'decay_interval', 'its columns, too');
SELECT quote_ident(attname) FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c, pg_catalog.pg_namespace n
 WHERE c.oid = a.attrelid AND n.oid = c.relnamespace AND a.attnum > 0 AND NOT a.attisdropped
	AND attname LIKE 'decay\_inter%' AND c.relname = 'lead_rule' AND n.nspname = 'leadscore'
SQL

################################################################################
# What drivers and mappers ask: the names that users see, with types, defaults and comments

# JDBC's DatabaseMetaData.getColumns() joins these catalogs
my $jdbc = as_owner(<<'SQL');
SELECT n.nspname, c.relname, a.attname, a.atttypid, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS not_null, a.atttypmod,
	row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS ordinal, nullif(a.attidentity, '') AS identity,
		nullif(a.attgenerated, '') AS generated,
	pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS column_default, dsc.description IS NOT NULL AS remarks, t.typtype
  FROM pg_catalog.pg_namespace n
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
  JOIN pg_catalog.pg_type t ON a.atttypid = t.oid
  LEFT JOIN pg_catalog.pg_attrdef def ON a.attrelid = def.adrelid AND a.attnum = def.adnum
  LEFT JOIN pg_catalog.pg_description dsc ON c.oid = dsc.objoid AND a.attnum = dsc.objsubid
	AND dsc.classoid = 'pg_catalog.pg_class'::regclass
 WHERE c.relkind IN ('r', 'p', 'v', 'f', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'leadscore'
	AND c.relname LIKE 'lead_rule'
 ORDER BY 1, 2, ordinal
SQL
is(join(' ', map { (split /\|/)[2] } split /\n/, $jdbc), "@columns", 'getColumns() gives the columns of lead_rule');
is(scalar(grep { (split /\|/)[10] ne 't' } split /\n/, $jdbc), 0, '... all with remarks');
like($jdbc, qr/^leadscore\|lead_rule\|points\|701\|/m, '... and types');
# getTables(), getPrimaryKeys(), getImportedKeys(): no error, and a view by its name
is(as_owner(<<'SQL'), 'v', 'getTables() gives a view');
SELECT relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE nspname LIKE 'leadscore' AND relname LIKE 'lead_rule' AND has_table_privilege(c.oid, 'SELECT')
SQL

# node-postgres has types from the description of a result; mappers above it, such
# as those that build on knex or sequelize, ask the information schema
my $schema = as_owner(<<'SQL');
SELECT column_name, data_type, is_nullable, column_default, character_maximum_length, numeric_precision, udt_name
  FROM information_schema.columns WHERE table_schema = 'leadscore' AND table_name = 'lead_rule'
 ORDER BY ordinal_position
SQL
is(join(' ', map { (split /\|/)[0] } split /\n/, $schema), "@columns", 'information_schema.columns');
is(as_owner(<<'SQL'), 'VIEW', 'information_schema.tables');
SELECT table_type FROM information_schema.tables WHERE table_schema = 'leadscore' AND table_name = 'lead_rule'
SQL
is(as_owner(<<'SQL'), 0, 'a mapper is told which column is the key');
SELECT count(*) FROM information_schema.table_constraints
 WHERE table_schema = 'leadscore' AND table_name = 'lead_rule'
SQL
my $described = told("SELECT * FROM leadscore.lead_rule \\gdesc\n");
is(join(' ', map { (split /\|/)[0] } split /\n/, $described), "@columns", 'a result is described');

################################################################################
# Written like a table

like(as_owner(<<'SQL'), qr/^\d+\|event\|none\|t$/m, 'INSERT with defaults, RETURNING what they are');
INSERT INTO leadscore.lead_rule (model, name, event, points)
VALUES ('m', 'a', 'buy', 1)
	RETURNING rule_id, kind, decay, enabled
SQL
is(as_owner(<<'SQL'), "b\nc", 'several rows, DEFAULT among them');
INSERT INTO leadscore.lead_rule (model, name, event, points, enabled, kind) VALUES
	('m', 'b', 'buy', 2, DEFAULT, DEFAULT), ('m', 'c', 'buy', 3, true, 'event')
	RETURNING name
SQL
is(as_owner(<<'SQL'), 'copy of a|1', 'INSERT ... SELECT from itself');
INSERT INTO leadscore.lead_rule (model, name, event, points)
	SELECT 'm', 'copy of ' || name, event, points FROM leadscore.lead_rule WHERE name = 'a' RETURNING name, points
SQL
as_owner(<<'SQL');
CREATE TABLE prices (name text, points float8);
INSERT INTO prices VALUES ('a', 10), ('b', 20);
SQL
is(as_owner(<<'SQL'), "a|10|a\nb|20|b", 'UPDATE with a join, RETURNING');
UPDATE leadscore.lead_rule r SET points = p.points FROM prices p WHERE p.name = r.name AND r.model = 'm'
	RETURNING r.name, r.points, p.name
SQL
is(as_owner(<<'SQL'), '11,21', 'UPDATE with subqueries');
UPDATE leadscore.lead_rule SET points = points + 1
 WHERE rule_id IN (SELECT rule_id FROM leadscore.lead_rule WHERE name IN (SELECT name FROM prices));
SELECT string_agg(points::text, ',' ORDER BY name) FROM leadscore.lead_rule WHERE name IN ('a', 'b');
SQL
is(as_owner(<<'SQL'), 'm|copy of a|1', 'DELETE ... RETURNING in a WITH');
WITH gone AS (DELETE FROM leadscore.lead_rule WHERE name LIKE 'copy of%' RETURNING *) SELECT model, name, points
  FROM gone
SQL
is(as_owner(<<'SQL'), 'b', 'DELETE ... USING, RETURNING');
DELETE FROM leadscore.lead_rule r USING prices p WHERE p.name = r.name AND r.name = 'b' RETURNING r.name
SQL
is(as_owner(<<'SQL'), "p|4\nq|5\n6\n7", 'prepared statements');
PREPARE ins (text, float8) AS INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', $1, 'buy', $2)
	RETURNING name, points;
EXECUTE ins ('p', 4);
EXECUTE ins ('q', 5);
PREPARE upd (float8, text) AS UPDATE leadscore.lead_rule SET points = $1 WHERE name = $2 RETURNING points;
EXECUTE upd (6, 'p');
EXECUTE upd (7, 'q');
SQL

# by the extended protocol, as drivers have it
PostgreSQL::Test::Utils::append_to_file("$dir/prepared.pgbench", <<'SQL');
\set n random(1, 1000000000)
INSERT INTO leadscore.lead_rule (model, name, event, points)
VALUES ('m', 'x' || :n, 'buy', :n)
	RETURNING rule_id \gset
UPDATE leadscore.lead_rule SET points = 2 WHERE rule_id = :rule_id;
DELETE FROM leadscore.lead_rule WHERE rule_id = :rule_id;
SQL
command_like([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-U', 'crm', '-M', $_, '-t', 3, '-f',
	"$dir/prepared.pgbench", 'postgres' ], qr/number of failed transactions: 0/, "protocol: $_")
	foreach qw(extended prepared);

# COPY
my $before = as_owner("SELECT name, event, points FROM leadscore.lead_rule ORDER BY name");
unlike(told("\\copy (SELECT name, event, points FROM leadscore.lead_rule ORDER BY name) TO '$dir/rules.csv' CSV HEADER\n"),
	qr/ERROR/, 'COPY out of a query');
like(told("COPY leadscore.lead_rule TO STDOUT"), qr/cannot copy from view.*HINT:  Try the COPY \(SELECT/s,
	'... of the name: PostgreSQL says how');
as_owner("DELETE FROM leadscore.lead_rule WHERE model = 'm'");
as_owner("CREATE TABLE incoming (LIKE leadscore.lead_rule)");
(my $rows = slurp_file("$dir/rules.csv")) =~ s/^name.*\n//;
$rows =~ s/^/m,/mg;
PostgreSQL::Test::Utils::append_to_file("$dir/in.csv", $rows);
unlike(told("\\copy leadscore.lead_rule (model, name, event, points) FROM '$dir/in.csv' CSV\n"), qr/ERROR/, 'COPY in');
is(as_owner("SELECT name, event, points FROM leadscore.lead_rule ORDER BY name"), $before, '... gives the same rules');
is(as_owner("SELECT count(*) FROM leadscore.lead_rule WHERE backfilled_version IS NULL"), 0, '... which count');
is(as_owner("SELECT * FROM leadscore.verify('m')"), '', '... rightly');
like(told(<<'SQL'), qr/invalid input syntax for type double precision/, 'a bad row is an error');
COPY leadscore.lead_rule (model, name, event, points) FROM STDIN;
m	bad	buy	many
\.
SQL
like(told(<<'SQL'), qr/evnt/, 'a bad rule, too');
COPY leadscore.lead_rule (model, name, event, points, kind) FROM STDIN;
m	good	buy	1	event
m	bad	buy	1	evnt
\.
SQL
is(as_owner("SELECT count(*) FROM leadscore.lead_rule WHERE name IN ('good', 'bad')"), 0, '... and nothing of it is kept');

# what a view cannot do
like(told(<<'SQL'), qr/ERROR.*HINT/s, 'ON CONFLICT: an error that says what to write instead');
INSERT INTO leadscore.lead_rule (model, name, event, points)
VALUES ('m', 'a', 'buy', 1)
	ON CONFLICT (model, name) DO UPDATE SET points = 2
SQL
as_owner(<<'SQL');
CREATE VIEW my_rules AS SELECT * FROM leadscore.lead_rule;
CREATE TABLE wanted (name text);
CREATE RULE wanted AS ON INSERT TO wanted DO INSTEAD INSERT INTO leadscore.lead_rule (model, name, event, points)
VALUES ('m', new.name, 'buy', 1) ON CONFLICT DO NOTHING;
CREATE FUNCTION want() RETURNS void BEGIN ATOMIC INSERT INTO leadscore.lead_rule (model, name, event, points)
VALUES ('m', 'unheard', 'buy', 1) ON CONFLICT DO NOTHING;
END;
SQL
like(told($_), qr/ERROR:  ON CONFLICT is not supported for view "lead_rule".*HINT/s, "... $_")
  foreach "INSERT INTO my_rules (model, name, event, points) VALUES ('m', 'unheard', 'buy', 1) ON CONFLICT DO NOTHING",
	"INSERT INTO wanted VALUES ('unheard')", 'SELECT want()', <<'SQL',
PREPARE w AS INSERT INTO my_rules (model, name) VALUES ('m', 'unheard') ON CONFLICT DO NOTHING;
EXECUTE w;
SQL
	<<'SQL';
WITH w AS (INSERT INTO leadscore.lead_rule (model, name) VALUES ('m', 'unheard') ON CONFLICT (rule_id) DO NOTHING
	RETURNING 1)
SELECT * FROM w
SQL
is(as_owner("SELECT count(*) FROM leadscore.lead_rule WHERE name = 'unheard'"), 0, '... and nothing is written');
like(told("INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', 'a', 'buy', 1)"),
	qr/ERROR:  duplicate key.*\(m, a\)/s, 'a name twice is an error');

SKIP:
{
	skip 'MERGE into a view is from 17 on', 1 if $node->pg_version < 17;
	is(as_owner(<<'SQL'), "a|50\nnew|60", 'MERGE');
MERGE INTO leadscore.lead_rule r USING (VALUES ('a', 50), ('new', 60)) v (name, points)
	ON r.model = 'm' AND r.name = v.name
	WHEN MATCHED THEN UPDATE SET points = v.points
	WHEN NOT MATCHED THEN INSERT (model, name, event, points) VALUES ('m', v.name, 'buy', v.points);
SELECT name, points FROM leadscore.lead_rule WHERE name IN ('a', 'new') ORDER BY 1;
SQL
}
is(as_owner("SELECT * FROM leadscore.verify('m')"), '', 'all is counted rightly in the end');

$node->stop;
done_testing();
