# An extension that was upgraded is the same as a fresh one: every member, every
# comment and right, the tables of models and what stands in them.  Before the
# upgrade the new library does with the old version's SQL.  So from each version
# that there was.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %control = slurp_file(`pg_config --sharedir` =~ s/\s+$/\/extension\/leadscore.control/r) =~ /^(\w+) *= *'?([^'\n]*)/mg;
my $current = $control{default_version};
my @versions = qw(0.1.0 0.2.0);

my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'leadscore'\nleadscore.enabled = off\nfsync = off");
$node->start;

my %members = (
	functions => q(SELECT p.oid::regprocedure, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid), prosrc, probin, provolatile, proparallel, proisstrict, prosecdef, procost, prorows, proconfig, proacl,
		obj_description(p.oid, 'pg_proc') FROM pg_proc p WHERE pronamespace = 'leadscore'::regnamespace),
	relations => q(SELECT c.oid::regclass, relkind, relrowsecurity, relforcerowsecurity, reloptions, relacl, relreplident, obj_description(c.oid, 'pg_class'),
		CASE relkind WHEN 'v' THEN pg_get_viewdef(c.oid) WHEN 'i' THEN pg_get_indexdef(c.oid) END
		FROM pg_class c WHERE relnamespace = 'leadscore'::regnamespace AND relkind <> 't'),
	columns => q(SELECT attrelid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull, attidentity, attcollation::regcollation, attstorage, attacl, col_description(attrelid, attnum),
		(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef d WHERE d.adrelid = attrelid AND d.adnum = attnum)
		FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'leadscore'::regnamespace AND attnum > 0 AND relkind IN ('r', 'v', 'p')),
	constraints => q(SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'leadscore'::regnamespace),
	triggers => q(SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal),
	policies => q(SELECT polrelid::regclass, polname, polcmd, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy),
	event_triggers => q(SELECT evtname, evtevent, evtfoid::regprocedure, evtenabled, evttags, obj_description(oid, 'pg_event_trigger') FROM pg_event_trigger),
	dumped => q(SELECT config::regclass, condition FROM pg_extension, unnest(extconfig, extcondition) AS u (config, condition) WHERE extname = 'leadscore'),
	belonging => q(SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'leadscore')),
	version => q(SELECT extversion FROM pg_extension WHERE extname = 'leadscore'));

# A CRM, some of whose contacts time will change.
my $crm = <<'SQL';
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 12:00+00';
CREATE TABLE contact (id int PRIMARY KEY, email text, title text);
CREATE TABLE event (contact int, at timestamptz, what text);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT g, g || '@a.example', CASE WHEN g % 3 = 0 THEN 'Director' END FROM generate_series(1, 20) g;
SELECT leadscore.create_model('b2b', 'contact');
SELECT leadscore.attach('b2b', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('b2b', 'form', 'form', 60, 'half_life', '14 days');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame) VALUES ('b2b', 'visit', 'visit', 15, '30 days');
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('b2b', 'silent', 'absence', -5, '20 days');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('b2b', 'decides', 'profile', $$title = 'Director'$$, 20);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, sticky) VALUES ('b2b', 'mql', 1, 50, false), ('b2b', 'customer', 2, 120, true);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('b2b', 'fit', 'A', 20), ('b2b', 'fit', 'B', 0);
INSERT INTO event SELECT g, timestamptz '2026-03-02 12:00+00' - g * interval '20 hours', 'form' FROM generate_series(1, 20) g;
INSERT INTO event SELECT g, timestamptz '2026-03-09 12:00+00' - g * interval '3 days', 'visit' FROM generate_series(1, 24, 2) g;
SQL

sub all_of
{
	my ($db) = @_;
	my %all;
	$all{$_} = $node->safe_psql($db, "SELECT q::text FROM ($members{$_}) AS q ORDER BY q::text COLLATE \"C\"") for keys %members;
	return \%all;
}

sub same
{
	my ($fresh, $upgraded, $what) = @_;
	is($upgraded->{$_}, $fresh->{$_}, "$what: $_") for sort keys %$fresh;
}

my $now = "SET leadscore.clock = '2026-03-02 12:00+00'; SET timezone = 'UTC';";
my $later = "SET leadscore.clock = '2026-03-20 00:00+00'; SET timezone = 'UTC';";
my $scores = "SELECT contact_id, round(score::numeric, 6), fit, grade, stage, disqualified, last_event_at FROM leadscore.live_b2b ORDER BY contact_id";

sub dump_of
{
	my ($db) = @_;
	my ($stdout, $stderr) = run_command([ 'pg_dump', '--schema-only', '-h', $node->host, '-p', $node->port, $db ]);
	# objects of one kind and name do not come in an order of their own, and a dump is not to be had twice
	return join("\n", sort grep { !/^--|^$|restrict/ } split /\n/, $stdout);
}

my %contents = (
	due => 'SELECT due_at, drift, contact_id FROM leadscore.due_b2b ORDER BY 1, 2, 3',
	scores => 'SELECT contact_id, round(score::numeric, 6), fit, round(engagement::numeric, 6), grade, stage, stage_since FROM leadscore.score_b2b ORDER BY 1',
	live => $scores,
	replay => "SELECT contact_id, round(leadscore.replay('b2b', contact_id)::numeric, 6), round(leadscore.score('b2b', contact_id, '2026-03-01')::numeric, 6) FROM leadscore.score_b2b ORDER BY 1",
	history => 'SELECT contact_id, from_stage, to_stage, changed_at, cause, reason FROM leadscore.history_b2b ORDER BY 4, 1',
	funnel => 'SELECT day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 4) FROM leadscore.funnel_daily_b2b ORDER BY 1, 2, 3',
	days => 'SELECT * FROM leadscore.lead_day',
	pending => 'SELECT contact_id, profile, md5(delta) FROM leadscore.pending_b2b ORDER BY 1, 2, 3');

sub contents_of
{
	my ($db, $clock) = @_;
	return { map { $_ => $node->safe_psql($db, "$clock $contents{$_}") } keys %contents };
}

# What can only be written by way of what came with 0.3.0
my $changes = <<'SQL';
SET leadscore.clock = '2026-03-20 00:00+00';
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1, '2026-03-19', 'form');
DELETE FROM event WHERE contact = 2;
COMMIT;
SET session_replication_role = replica;
INSERT INTO event VALUES (3, '2026-03-19', 'form'), (4, '2026-03-19', 'visit');
UPDATE contact SET title = 'Director' WHERE id = 4;
RESET session_replication_role;
TRUNCATE contact;
INSERT INTO contact VALUES (1, 'a', 'Director');
SELECT leadscore.refresh();
SQL

$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(fresh fresh_crm fresh_late);
$node->safe_psql('fresh', 'CREATE EXTENSION leadscore');
$node->safe_psql($_, "CREATE EXTENSION leadscore; $crm") for qw(fresh_crm fresh_late);
# an event that comes in between finds what was before it
my $between = "SET leadscore.clock = '2026-03-12 00:00+00'; INSERT INTO event VALUES (2, '2026-03-12 00:00+00', 'form')";
$node->safe_psql('fresh_late', $between);
my (%wanted, %all);
$all{$_} = all_of($_) for qw(fresh fresh_crm);
my $dumped = dump_of('fresh_crm');
is($all{fresh}{version}, "($current)", "the current version is $current");

my $unwritten = $node->safe_psql('fresh_crm', "$later $scores");
my @when = ($now => 'at once', "$later SELECT leadscore.refresh()" => 'later', $changes => 'after changes');
for (my $i = 0; $i < @when; $i += 2)
{
	$node->safe_psql('fresh_crm', $when[$i]);
	$wanted{ $when[ $i + 1 ] } = contents_of('fresh_crm', $i ? $later : $now);
}
$node->safe_psql('fresh_late', "$later SELECT leadscore.refresh()");
my $history = $node->safe_psql('fresh_late', $contents{history});

for my $version (@versions)
{
	my ($alone, $with, $late) = map { "v$_" . $version =~ tr/./_/r } qw(alone crm late);
	$node->safe_psql('postgres', "CREATE DATABASE $_") for $alone, $with, $late;

	############################################################################
	# The extension alone

	$node->safe_psql($alone, "CREATE EXTENSION leadscore VERSION '$version'");
	is($node->safe_psql($alone, "SELECT extversion FROM pg_extension WHERE extname = 'leadscore'"), $version, "$version is there");
	$node->safe_psql($alone, 'ALTER EXTENSION leadscore UPDATE');
	same($all{fresh}, all_of($alone), "$version without models");

	############################################################################
	# With a model.  The old version's SQL works with the new library meanwhile.

	$node->safe_psql($with, "CREATE EXTENSION leadscore VERSION '$version'; $crm");
	is($node->safe_psql($with, "$later SELECT * FROM leadscore.verify('b2b')"), '', "$version before the upgrade: verify() finds nothing");
	is($node->safe_psql($with, "$later $scores"), $unwritten, "$version before the upgrade: the same scores");
	# writers of every kind, and what they did undone
	$node->safe_psql($with, "BEGIN; SET leadscore.clock = '2026-03-03'; INSERT INTO event VALUES (1, '2026-03-02', 'form'); UPDATE event SET what = 'visit' WHERE contact = 3; DELETE FROM event WHERE contact = 4;
		SET session_replication_role = replica; INSERT INTO event VALUES (1, '2026-03-02', 'form'); SET session_replication_role = origin; TRUNCATE event; ROLLBACK");
	if ($version eq '0.1.0')
	{
		is($node->safe_psql($with, "$later SELECT leadscore.refresh()"), 0, "$version before the upgrade: refresh() knows of nothing that is due");
		my ($code, $out, $err) = $node->psql($with, "SELECT leadscore.forecast('b2b', 1)");
		like($err, qr/function leadscore.forecast\(unknown, integer\) does not exist/, "$version before the upgrade: new functions are not there");
	}

	$node->safe_psql($with, "$now ALTER EXTENSION leadscore UPDATE");
	same($all{fresh_crm}, all_of($with), "$version with a model");
	is(dump_of($with), $dumped, "$version: a dump of the schema is the same");
	for (my $i = 0; $i < @when; $i += 2)
	{
		$node->safe_psql($with, $when[$i]);
		same($wanted{ $when[ $i + 1 ] }, contents_of($with, $i ? $later : $now), "$version $when[$i + 1]");
	}
	is($node->safe_psql($with, "$later SELECT * FROM leadscore.verify('b2b')"), '', "$version: verify() finds nothing");

	############################################################################
	# What time had changed before the upgrade is recorded at its own instant

	$node->safe_psql($late, "CREATE EXTENSION leadscore VERSION '$version'; $crm");
	$node->safe_psql($late, $between);
	is($node->safe_psql($late, "SELECT DISTINCT substring(state::text, 3, 2) FROM leadscore.score_b2b"), '01', 'until then states stay in the old format') if $version eq '0.1.0';
	$node->safe_psql($late, "$later ALTER EXTENSION leadscore UPDATE");
	isnt($node->safe_psql($late, "SELECT count(*) FROM leadscore.history_b2b WHERE cause = 'time' AND changed_at < recorded_at"), 0, "$version: there was something");
	is($node->safe_psql($late, $contents{history}), $history, "$version: the same history");

	############################################################################
	# And back to nothing

	$node->safe_psql($with, 'SET client_min_messages = warning; SELECT leadscore.detach_all(); DROP EXTENSION leadscore');
	is($node->safe_psql($with, "SELECT count(*) FROM pg_namespace WHERE nspname = 'leadscore'"), 0, "$version: nothing is left");
}
isnt($wanted{'at once'}{due}, '', 'contacts were due');
isnt($wanted{later}{history}, $wanted{'at once'}{history}, 'time changed something');
isnt($wanted{'after changes'}{scores}, $wanted{later}{scores}, 'and so did changes');

$node->stop;
done_testing();
