# An extension that was updated is the same as a fresh one: every member, every
# comment and right, what dumps hold, the tables of models and what stands in
# them.  Twice: from each version that test/upgrade/ has, with the dump of a model
# that it left; and to a next version that is made up here, which has news of every
# kind.  In an installation of our own.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp;
use FindBin;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use Crm qw($rules crm_rows);
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $next = '99.0.0';

################################################################################
# The installation: programs are copied, as they find the rest from where they are

my %dir;
foreach my $what (qw(bindir sharedir pkglibdir libdir))
{
	chomp($dir{$what} = `pg_config --$what`);
}
my $root = File::Temp->newdir;

# linked has a directory hold links to what is in another
sub linked
{
	my ($from, $to) = @_;
	make_path($to);
	opendir(my $entries, $from) or die "could not read $from: $!\n";
	symlink("$from/$_", "$to/$_") || -e "$to/$_" || die "could not link $from/$_: $!\n" for grep { !/^\.\.?$/ } readdir $entries;
}

make_path("$root$dir{bindir}");
foreach my $program (grep { -f } glob("$dir{bindir}/*"))
{
	my $to = $root . $program;
	copy($program, $to) && chmod(0755, $to) or die "could not copy $program: $!\n";
}
linked($dir{sharedir}, "$root$dir{sharedir}");
my $extension = "$root$dir{sharedir}/extension";
unlink $extension;
linked("$dir{sharedir}/extension", $extension);
make_path(dirname("$root$dir{pkglibdir}"));
symlink($dir{pkglibdir}, "$root$dir{pkglibdir}") or die "could not link $dir{pkglibdir}: $!\n";

my %control = slurp_file("$extension/leadscore.control") =~ /^(\w+) *= *'?([^'\n]*)/mg;
my $current = $control{default_version};
my $script = slurp_file("$extension/leadscore--$current.sql");

# What the next version has and this one has not: a column more, a table that is
# dumped, functions that come, change and go, and a table for each model.
my $news = <<'SQL';
DO $$
DECLARE
	grades regclass = (SELECT c.oid FROM pg_extension e JOIN pg_class c ON c.oid = ANY (e.extconfig)
		WHERE e.extname = 'leadscore' AND c.relname = 'lead_grade');
BEGIN
	EXECUTE format('ALTER TABLE %s ADD COLUMN colour text DEFAULT %L', grades, 'grey');
	EXECUTE format('COMMENT ON COLUMN %s.colour IS %L', grades, 'how it is shown');
END
$$;
CREATE OR REPLACE VIEW leadscore.lead_grade AS
	SELECT model, category, grade, min_points, colour FROM leadscore_internal.lead_grade_rows();
ALTER VIEW leadscore.lead_grade ALTER COLUMN colour SET DEFAULT 'grey';
COMMENT ON COLUMN leadscore.lead_grade.colour IS 'how it is shown';
CREATE TABLE leadscore.lead_colour (model text PRIMARY KEY, colour text NOT NULL);
COMMENT ON TABLE leadscore.lead_colour IS 'colours of models';
GRANT SELECT ON leadscore.lead_colour TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_colour', '');
CREATE FUNCTION leadscore.colours() RETURNS bigint
	LANGUAGE sql STABLE
	BEGIN ATOMIC SELECT pg_catalog.count(*) FROM leadscore.lead_colour; END;
COMMENT ON FUNCTION leadscore.colours() IS 'how many colours there are';
REVOKE ALL ON FUNCTION leadscore.colours() FROM PUBLIC;
COMMENT ON FUNCTION leadscore.clock() IS 'what time it is';
ALTER FUNCTION leadscore.clock() COST 2;
DROP FUNCTION leadscore.state_text(bytea);
SQL

# ... which models that are there get, and which is not the extension's
my $of_models = <<'SQL';
DO $$
DECLARE
	m record;
BEGIN
	FOR m IN SELECT model FROM leadscore.lead_model ORDER BY model
	LOOP
		EXECUTE format('CREATE TABLE leadscore.colour_%s AS SELECT contact_id, %L AS colour FROM leadscore.score_%s',
			m.model, 'grey', m.model);
		EXECUTE format('ALTER EXTENSION leadscore DROP TABLE leadscore.colour_%s', m.model);
	END LOOP;
END
$$;
SQL

# written writes one of the files, in the place of a link to another
sub written
{
	my ($name, $text) = @_;
	unlink "$extension/$name";
	append_to_file("$extension/$name", $text);
}
written("leadscore--$next.sql", "$script$news");
written("leadscore--$current--$next.sql", <<SQL);
\\echo Use "ALTER EXTENSION leadscore UPDATE TO '$next'" to load this file. \\quit
LOCK TABLE leadscore.lead_model IN ACCESS EXCLUSIVE MODE;
$news$of_models
SQL
written("leadscore--$current--98.0.0.sql", "$news SELECT 1 / 0;");

# the install scripts of former versions
my $former = "$FindBin::Bin/../upgrade";
my @former = map { /leadscore--([\d.]+)\.sql\.gz$/ } sort glob("$former/leadscore--*.sql.gz");

sub unpacked
{
	my ($name) = @_;
	my $text;
	gunzip("$former/$name", \$text) or die "could not read $name: $GunzipError\n";
	return $text;
}
written("leadscore--$_.sql", unpacked("leadscore--$_.sql.gz")) for @former;

my $node = LeadscoreNode->create('upgrade', node => { install_path => dirname("$root$dir{bindir}") });
is($node->safe_psql('postgres', <<"SQL"),
SELECT path FROM pg_extension_update_paths('leadscore') WHERE source = '$current' AND target = '$next'
SQL
	"$current--$next", 'there is a next version');

################################################################################
# What is compared

my $ours = "(SELECT oid FROM pg_namespace WHERE nspname IN ('leadscore', 'leadscore_internal'))";
my %members = (
	schemas => "SELECT nspname, nspacl, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE oid IN $ours",
	functions => <<"SQL",
SELECT p.oid::regprocedure, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid), prosrc, probin,
	provolatile, proparallel, proisstrict, prosecdef,
	procost, prorows, proconfig, proacl, obj_description(p.oid, 'pg_proc') FROM pg_proc p WHERE pronamespace IN $ours
SQL
	relations => <<"SQL",
SELECT c.oid::regclass, relkind, relrowsecurity, relforcerowsecurity, reloptions, relacl, relreplident,
	obj_description(c.oid, 'pg_class'),
	CASE relkind WHEN 'v' THEN pg_get_viewdef(c.oid) WHEN 'i' THEN pg_get_indexdef(c.oid) END
	FROM pg_class c WHERE relnamespace IN $ours AND relkind <> 't'
SQL
	columns => <<"SQL",
SELECT attrelid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull, attidentity,
	attcollation::regcollation, attstorage, attacl,
	col_description(attrelid, attnum),
		(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef d WHERE d.adrelid = attrelid AND d.adnum = attnum)
	FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	 WHERE relnamespace IN $ours AND attnum > 0 AND relkind IN ('r', 'v', 'p')
SQL
	constraints => "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace IN $ours",
	triggers => <<'SQL',
SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(t.oid)
  FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal
SQL
	policies => <<'SQL',
SELECT polrelid::regclass, polname, polcmd, polroles, pg_get_expr(polqual, polrelid),
	pg_get_expr(polwithcheck, polrelid)
  FROM pg_policy
SQL
	event_triggers => <<'SQL',
SELECT evtname, evtevent, evtfoid::regprocedure, evtenabled, evttags, obj_description(oid, 'pg_event_trigger')
  FROM pg_event_trigger
SQL
	dumped => <<'SQL',
SELECT config::regclass, condition FROM pg_extension, unnest(extconfig, extcondition) AS u (config, condition)
 WHERE extname = 'leadscore'
SQL
	belonging => <<'SQL',
SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'leadscore')
SQL
	version => q(SELECT extversion FROM pg_extension WHERE extname = 'leadscore'));

sub all_of
{
	my ($db) = @_;
	my %all;
	$all{$_} = $node->safe_psql($db, "SELECT q::text FROM ($members{$_}) AS q ORDER BY q::text COLLATE \"C\"") for keys %members;
	return \%all;
}

sub same
{
	my ($got, $wanted, $what) = @_;
	is($got->{$_}, $wanted->{$_}, "$what: $_") for sort keys %$wanted;
}

sub dump_of
{
	my ($db) = @_;
	my ($stdout, $stderr) = run_command([ 'pg_dump', '-h', $node->host, '-p', $node->port, $db ]);
	is($stderr, '', "pg_dump of $db");
	# objects of one kind and name do not come in an order of their own, and a dump is not to be had twice
	# ... nor are OIDs the same: lead_model has that of the contact table
	$stdout =~ s/^(b2b\t.*\tpublic\.contact\tid\t.*\t)\d+$/$1OID/mg;
	return join("\n", sort grep { !/^--|^$|restrict/ } split /\n/, $stdout);
}

################################################################################
# A CRM, some of whose contacts time will change, with the clock of the database

sub clock
{
	my ($db, $at) = @_;
	$node->safe_psql('postgres', "ALTER DATABASE $db SET leadscore.clock = '$at'");
}

my $crm = <<'SQL';
SET client_min_messages = warning;
CREATE TABLE contact (id int PRIMARY KEY, email text, title text);
CREATE TABLE event (contact int, at timestamptz, what text);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT g, g || '@a.example', CASE WHEN g % 3 = 0 THEN 'Director' END FROM generate_series(1, 20) g;
SELECT leadscore.create_model('b2b', 'contact');
SELECT leadscore.attach('b2b', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval)
VALUES ('b2b', 'form', 'form', 60, 'half_life', '14 days');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame) VALUES ('b2b', 'visit', 'visit', 15, '30 days');
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('b2b', 'silent', 'absence', -5, '20 days');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('b2b', 'decides', 'profile', $$title = 'Director'$$, 20);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, sticky) VALUES
	('b2b', 'mql', 1, 50, false), ('b2b', 'customer', 2, 120, true);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('b2b', 'fit', 'A', 20), ('b2b', 'fit', 'B', 0);
INSERT INTO event SELECT g, timestamptz '2026-03-02 12:00+00' - g * interval '20 hours', 'form' FROM generate_series(1, 20) g;
INSERT INTO event SELECT g, timestamptz '2026-03-09 12:00+00' - g * interval '3 days', 'visit' FROM generate_series(1, 24, 2) g;
SQL
my $changes = <<'SQL';
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1, '2026-03-19', 'form');
DELETE FROM event WHERE contact = 2;
COMMIT;
UPDATE contact SET title = 'Director' WHERE id = 4;
UPDATE leadscore.lead_rule SET points = 16 WHERE name = 'visit';
SELECT leadscore.refresh();
SQL
my %contents = (
	scores => <<'SQL',
SELECT contact_id, score, fit, engagement, grade, stage, stage_since, encode(state, $$hex$$) FROM leadscore.score_b2b
 ORDER BY 1
SQL
	live => 'SELECT * FROM leadscore.live_b2b ORDER BY contact_id',
	due => 'SELECT due_at, drift, contact_id FROM leadscore.due_b2b ORDER BY 1, 2, 3',
	history => 'SELECT contact_id, from_stage, to_stage, changed_at, cause, reason FROM leadscore.history_b2b ORDER BY 4, 1, 3',
	funnel => <<'SQL',
SELECT day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 4) FROM leadscore.funnel_daily_b2b
 ORDER BY 1, 2, 3
SQL
	rules => 'SELECT * FROM leadscore.lead_rule ORDER BY rule_id',
	versions => 'SELECT rule_id, points, valid_from, valid_to FROM leadscore.lead_rule_history ORDER BY history_id',
	pending => 'SELECT * FROM leadscore.pending_b2b',
	verify => "SELECT * FROM leadscore.verify('b2b')");

sub contents_of
{
	my ($db) = @_;
	return { map { $_ => $node->safe_psql($db, "SET timezone = 'UTC'; $contents{$_}") } keys %contents };
}

# crm makes a database with a version of the extension, and a CRM in it
sub crm
{
	my ($db, $version) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	clock($db, '2026-03-02 12:00+00');
	$node->safe_psql($db, "CREATE EXTENSION leadscore VERSION '$version'; $crm");
}

################################################################################
# The extension alone

$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(fresh alone);
$node->safe_psql('fresh', "CREATE EXTENSION leadscore VERSION '$next'");
$node->safe_psql('alone', 'CREATE EXTENSION leadscore');
my $before = all_of('alone');
is($before->{version}, "($current)", "the current version is $current");

my ($code, $out, $err) = $node->psql('alone', "ALTER EXTENSION leadscore UPDATE TO '98.0.0'");
like($err, qr/division by zero/, 'a script that fails');
same(all_of('alone'), $before, 'an update that failed leaves all as it was');

$node->safe_psql('alone', "ALTER EXTENSION leadscore UPDATE TO '$next'");
same(all_of('alone'), all_of('fresh'), 'without models');
isnt(all_of('alone')->{$_}, $before->{$_}, "... and there is something new: $_")
	for qw(functions relations columns dumped belonging version);

################################################################################
# With a model

crm('updated', $current);
crm('fresh_crm', $next);
crm('as_ever', $current);
is($node->safe_psql('updated', "SELECT DISTINCT substring(encode(state, 'hex'), 1, 2) FROM leadscore.score_b2b"),
	'02', 'states begin with their format');
$node->safe_psql('updated', "ALTER EXTENSION leadscore UPDATE TO '$next'");
$node->safe_psql('fresh_crm', <<'SQL');
CREATE TABLE leadscore.colour_b2b AS SELECT contact_id, 'grey' AS colour FROM leadscore.score_b2b
SQL
same(all_of('updated'), all_of('fresh_crm'), 'with a model');
is(dump_of('updated'), dump_of('fresh_crm'), 'a dump is the same');
is($node->safe_psql('updated', "SELECT count(*) FROM leadscore.colour_b2b"), 22, 'the table of the model is there');

for my $at ('2026-03-02 12:00+00', '2026-03-20 00:00+00')
{
	for my $db (qw(updated as_ever))
	{
		clock($db, $at);
		$node->safe_psql($db, $at =~ /-20/ ? $changes : 'SELECT leadscore.refresh()');
	}
	my $wanted = contents_of('as_ever');
	is($wanted->{verify}, '', "$at: scores are right");
	same(contents_of('updated'), $wanted, "$at: the same as without the update");
}
isnt($node->safe_psql('updated', "SELECT count(*) FROM leadscore.history_b2b WHERE cause = 'time'"), 0, 'time changed something');

################################################################################
# From former versions: the dump that one made has its tables and its states

cmp_ok(scalar(@former), '>', 0, 'there are former versions');

my @of_crm = (
	[ scores => <<'SQL' ], [ live => 'SELECT * FROM leadscore.live_m ORDER BY contact_id' ],
SELECT contact_id, score, fit, engagement, grade, stage, stage_since, disqualified, has_contact, last_event_at, rules_version
  FROM leadscore.score_m ORDER BY 1
SQL
	[ points => 'SELECT c.id, e.* FROM contact c, leadscore.explain($$m$$, c.id) e ORDER BY c.id, e.name' ],
	[ history => 'SELECT contact_id, from_stage, to_stage, changed_at, cause, reason FROM leadscore.history_m ORDER BY 4, 1, 3' ],
	[ rules => 'SELECT * FROM leadscore.lead_rule ORDER BY rule_id' ],
	[ pending => 'SELECT * FROM leadscore.pending_m' ],
	[ verify => "SELECT * FROM leadscore.verify('m')" ]);

# what comes after the update, each under a clock of its own
my @later = (
	[ '2026-02-16 12:00+00', 'SELECT leadscore.refresh()' ],
	[ '2026-02-18 00:00+00', <<'SQL' ],
INSERT INTO event VALUES (201, 3, '2026-02-17 08:00+00', 'buy', 9), (202, 3, '2026-01-20 08:00+00', 'open', 1),
	(203, 99, '2026-02-17 09:00+00', 'open', 1);
INSERT INTO visit VALUES (201, 4, '2026-02-17 10:00+00', 'prices');
SQL
	[ '2026-02-20 00:00+00', <<'SQL' ],
DELETE FROM event WHERE id % 10 = 7;
UPDATE event SET amount = amount + 1 WHERE contact = 5;
UPDATE contact SET country = 'DE' WHERE id = 7;
SQL
	[ '2026-03-20 00:00+00', 'SELECT leadscore.refresh()' ],
	[ '2026-03-21 00:00+00', <<'SQL' ]);
UPDATE leadscore.lead_rule SET points = 5 WHERE name = 'prices';
INSERT INTO event SELECT 300 + g, g, '2026-03-20 12:00+00', 'open', 1 FROM generate_series(1, 20) g;
SQL

sub crm_at
{
	my ($db, $sql) = @_;
	clock($db, $later[0][0]);
	$node->safe_psql('postgres', "ALTER DATABASE $db SET timezone = 'UTC'");
	$node->safe_psql($db, $sql);
}

foreach my $version (@former)
{
	my ($db, $fresh) = ('from_' . $version =~ tr/./_/r, 'beside_' . $version =~ tr/./_/r);

	$node->safe_psql('postgres', "CREATE DATABASE $_") for "alone_$db", $db, $fresh;
	$node->safe_psql("alone_$db", "CREATE EXTENSION leadscore VERSION '$version'; CREATE TABLE early (id int PRIMARY KEY)");
	like(($node->psql("alone_$db", "SELECT leadscore.create_model('early', 'early')"))[2],
		qr/^psql:<stdin>:1: ERROR:  extension "leadscore" is of version \Q$version\E, and its library of version \Q$current\E$/m,
		"no model is made by what is not there in $version");
	$node->safe_psql("alone_$db", 'DROP TABLE early; ALTER EXTENSION leadscore UPDATE');
	$node->safe_psql($fresh, 'CREATE EXTENSION leadscore');
	same(all_of("alone_$db"), all_of($fresh), "from $version without models");

	crm_at($fresh, $Crm::crm . $rules . crm_rows());
	crm_at($db, unpacked("crm--$version.sql.gz") =~ s/(CREATE EXTENSION [^;]*leadscore\b[^;]*)/$1 VERSION '$version'/r);
	like(all_of($db)->{version}, qr/\Q$version\E/, 'the dump is of that version');
	my $states = $node->safe_psql($db, 'SELECT contact_id, state FROM leadscore.score_m ORDER BY 1');
	like(($node->psql($db, "INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'early')"))[2],
		qr/is of version \Q$version\E/, 'nor a column of it');
	like(($node->psql($db, "SELECT leadscore.drop_model('m')"))[2], qr/is of version \Q$version\E/, 'nor is it dropped');
	# another model may have any name
	$node->safe_psql($db, 'CREATE TABLE leadscore.score_m_top ()');
	$node->safe_psql($db, 'ALTER EXTENSION leadscore UPDATE; DROP TABLE leadscore.score_m_top');
	is($node->safe_psql($db, 'SELECT contact_id, state FROM leadscore.score_m ORDER BY 1'), $states,
		'states are those that it wrote');
	same(all_of($db), all_of($fresh), "from $version with a model");
	foreach my $step (@later)
	{
		my ($at, $sql) = @$step;
		foreach my $where ($db, $fresh)
		{
			clock($where, $at);
			$node->safe_psql($where, "SET client_min_messages = warning; $sql");
		}
		foreach my $what (@of_crm)
		{
			my ($name, $query) = @$what;
			my $wanted = $node->safe_psql($fresh, $query);
			same_rows($node->safe_psql($db, $query), $wanted, "from $version, at $at: $name");
			is($wanted, '', "... and right") if $name eq 'verify';
		}
	}
}

################################################################################
# A dump of a former version is restored into this one

foreach my $version (@former)
{
	my ($db, $fresh) = ('restored_' . $version =~ tr/./_/r, 'beside_' . $version =~ tr/./_/r);

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	crm_at($db, unpacked("crm--$version.sql.gz"));
	is($node->safe_psql($db, "SELECT * FROM leadscore.verify('m')"), '', "a dump of $version has scores that are right");
	$node->safe_psql($db, "SET client_min_messages = warning; SELECT leadscore.rescore('m')");
	same(all_of($db), all_of($fresh), "... and rescore() gives it what is new");
	is($node->safe_psql($db, "SELECT * FROM leadscore.verify('m')"), '', '... they are right');
}

################################################################################
# Workers keep away where library and extension do not fit

$node->safe_psql('postgres', 'CREATE EXTENSION leadscore; ALTER SYSTEM SET leadscore.enabled = on');
$node->reload;
ok($node->poll_query_until('postgres', <<"SQL"), 'workers keep away from an extension of another version');
SELECT phase = 'outdated'
	AND last_error LIKE 'the extension is of version $next, the library of $current: use ALTER EXTENSION leadscore UPDATE%'
	FROM leadscore.activity WHERE database = 'updated'
SQL
ok($node->poll_query_until('postgres',
	"SELECT phase = 'napping' FROM leadscore.activity WHERE database = 'as_ever' AND role = 'worker'"),
	'... and are with the others');

################################################################################
# And back to nothing

$node->safe_psql('updated', <<'SQL');
SET client_min_messages = warning;
DROP TABLE leadscore.colour_b2b;
SELECT leadscore.detach_all();
DROP EXTENSION leadscore;
SQL
is($node->safe_psql('updated', "SELECT count(*) FROM pg_namespace WHERE oid IN $ours"), 0, 'nothing is left');

$node->stop;
done_testing();
