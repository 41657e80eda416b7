# An extension that was upgraded is the same as a fresh one: every member, every
# comment and right, the tables of models and what stands in them.  Before the
# upgrade the new library does with the old version's SQL.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

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

$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(fresh upgraded fresh_crm upgraded_crm);

################################################################################
# The extension alone

$node->safe_psql('fresh', 'CREATE EXTENSION leadscore');
$node->safe_psql('upgraded', "CREATE EXTENSION leadscore VERSION '0.1.0'");
isnt($node->safe_psql('upgraded', "SELECT extversion FROM pg_extension WHERE extname = 'leadscore'"),
	$node->safe_psql('fresh', "SELECT extversion FROM pg_extension WHERE extname = 'leadscore'"), 'an older version is there');
$node->safe_psql('upgraded', 'ALTER EXTENSION leadscore UPDATE');
same(all_of('fresh'), all_of('upgraded'), 'without models');

################################################################################
# With a model.  The old version's SQL works with the new library meanwhile.

$node->safe_psql('fresh_crm', "CREATE EXTENSION leadscore; $crm");
$node->safe_psql('upgraded_crm', "CREATE EXTENSION leadscore VERSION '0.1.0'; $crm");

my $later = "SET leadscore.clock = '2026-03-20 00:00+00'; SET timezone = 'UTC';";
my $scores = "SELECT contact_id, round(score::numeric, 6), fit, grade, stage, disqualified, last_event_at FROM leadscore.live_b2b ORDER BY contact_id";
is($node->safe_psql('upgraded_crm', "$later SELECT * FROM leadscore.verify('b2b')"), '', 'before the upgrade: verify() finds nothing');
is($node->safe_psql('upgraded_crm', "$later $scores"), $node->safe_psql('fresh_crm', "$later $scores"), 'before the upgrade: the same scores');
is($node->safe_psql('upgraded_crm', "$later SELECT leadscore.refresh()"), 0, 'before the upgrade: refresh() knows of nothing that is due');
my ($code, $out, $err) = $node->psql('upgraded_crm', "SELECT leadscore.forecast('b2b', 1)");
like($err, qr/function leadscore.forecast\(unknown, integer\) does not exist/, 'before the upgrade: new functions are not there');

$node->safe_psql('upgraded_crm', "SET leadscore.clock = '2026-03-02 12:00+00'; ALTER EXTENSION leadscore UPDATE");
my ($fresh, $upgraded) = map { all_of($_) } qw(fresh_crm upgraded_crm);
same($fresh, $upgraded, 'with a model');

my $dump = sub {
	my ($db) = @_;
	my ($stdout, $stderr) = run_command([ 'pg_dump', '--schema-only', '-h', $node->host, '-p', $node->port, $db ]);
	# objects of one kind and name do not come in an order of their own, and a dump is not to be had twice
	return join("\n", sort grep { !/^--|^$|restrict/ } split /\n/, $stdout);
};
is($dump->('upgraded_crm'), $dump->('fresh_crm'), 'a dump of the schema is the same');

my %contents = (
	due => 'SELECT due_at, drift, contact_id FROM leadscore.due_b2b ORDER BY 1, 2, 3',
	scores => 'SELECT contact_id, round(score::numeric, 6), fit, round(engagement::numeric, 6), grade, stage, stage_since FROM leadscore.score_b2b ORDER BY 1',
	history => 'SELECT contact_id, from_stage, to_stage, changed_at, cause, reason FROM leadscore.history_b2b ORDER BY 4, 1',
	funnel => 'SELECT day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 4) FROM leadscore.funnel_daily_b2b ORDER BY 1, 2, 3',
	days => 'SELECT * FROM leadscore.lead_day');
for my $when ("SET leadscore.clock = '2026-03-02 12:00+00'", $later . ' SELECT leadscore.refresh() > 0')
{
	for my $what (sort keys %contents)
	{
		my ($is, $expected) = map { $node->safe_psql($_, "$when; $contents{$what}") } qw(upgraded_crm fresh_crm);
		is($is, $expected, ($when =~ /refresh/ ? 'later' : 'at once') . ": the same $what");
	}
}
isnt($node->safe_psql('upgraded_crm', 'SELECT count(*) FROM leadscore.due_b2b'), 0, 'contacts are due');
is($node->safe_psql('upgraded_crm', "$later SELECT * FROM leadscore.verify('b2b')"), '', 'verify() finds nothing');

################################################################################
# What time had changed before the upgrade is recorded at its own instant

$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(fresh_late upgraded_late);
$node->safe_psql('fresh_late', "CREATE EXTENSION leadscore; $crm");
$node->safe_psql('upgraded_late', "CREATE EXTENSION leadscore VERSION '0.1.0'; $crm");
# an event that comes in between finds what was before it
for my $db (qw(fresh_late upgraded_late))
{
	$node->safe_psql($db, "SET leadscore.clock = '2026-03-12 00:00+00'; INSERT INTO event VALUES (2, '2026-03-12 00:00+00', 'form')");
}
is($node->safe_psql('upgraded_late', "SELECT DISTINCT substring(state::text, 3, 2) FROM leadscore.score_b2b"), '01', 'until then states stay in the old format');
$node->safe_psql('upgraded_late', "$later ALTER EXTENSION leadscore UPDATE");
$node->safe_psql('fresh_late', "$later SELECT leadscore.refresh()");
isnt($node->safe_psql('upgraded_late', "SELECT count(*) FROM leadscore.history_b2b WHERE cause = 'time' AND changed_at < recorded_at"), 0, 'there was something');
is($node->safe_psql('upgraded_late', $contents{history}), $node->safe_psql('fresh_late', $contents{history}), 'the same history');

################################################################################
# And back to nothing

for my $db (qw(upgraded_crm fresh_crm))
{
	$node->safe_psql($db, 'SET client_min_messages = warning; SELECT leadscore.detach_all(); DROP EXTENSION leadscore');
	is($node->safe_psql($db, "SELECT count(*) FROM pg_namespace WHERE nspname = 'leadscore'"), 0, "$db: nothing is left");
}

$node->stop;
done_testing();
