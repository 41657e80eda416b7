# Calls of every function of the extension with arguments that nobody means: for
# the short test and the long one.
#
# What there is to be called is found in the catalog.  First a life in which every
# function gets to where it is meant to get, trigger and event trigger functions
# too; then calls, a number of them, in an order that the seed gives: as superuser,
# as a tenant and as anybody, with NULL, wrong types, infinities, huge and empty
# text, oids of what was dropped, and rows, bytes and keys of live tables, whole and
# forged.  No server process may die, and no answer may be an internal error.
package HostileCalls;

use strict;
use warnings;

use Exporter 'import';
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(hostile_calls);

my $batch = 50;					# calls in a session
my ($node, $super, %known, @functions, @views);

sub one { return $_[ int(rand(@_)) ] }
sub sql { return $node->safe_psql('postgres', @_) }

# quoted writes a string as SQL has it, NULL too.
sub quoted
{
	my ($text) = @_;
	return 'NULL' unless defined $text;
	$text =~ s/'/''/g;
	return $text =~ /\\/ ? 'E\'' . ($text =~ s/\\/\\\\/gr) . "'" : "'$text'";
}

################################################################################
# A life: two tenants, models of every kind.  All statements have to succeed.
my $life_of_superuser = <<'SQL';
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE ROLE tenant LOGIN;
CREATE ROLE neighbour LOGIN;
CREATE ROLE anybody LOGIN;
GRANT CREATE ON DATABASE postgres TO tenant, neighbour;
-- as if it had been granted: what is in there has to hold alone
GRANT USAGE ON SCHEMA leadscore_internal TO PUBLIC;
SQL

my $life_of_neighbour = <<'SQL';
SET client_min_messages = warning;
CREATE SCHEMA neighbour;
CREATE TABLE neighbour.contact (id text PRIMARY KEY);
CREATE TABLE neighbour.event (contact text, at timestamptz);
INSERT INTO neighbour.contact VALUES ('1'), ('secret');
INSERT INTO neighbour.event VALUES ('secret', '2026-01-01');
SELECT leadscore.create_model('theirs', 'neighbour.contact');
SELECT leadscore.attach('theirs', 'neighbour.event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('theirs', 'any', 1);
SQL

my $life_of_tenant = <<'SQL';
SET client_min_messages = warning;
CREATE SCHEMA tenant;
GRANT USAGE ON SCHEMA tenant TO PUBLIC;
SET search_path = tenant;
CREATE TYPE pair AS (a int, b text);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE contact (id int PRIMARY KEY, email text, country text, created timestamptz);
CREATE TABLE event (id bigserial PRIMARY KEY, contact int, visitor text, at timestamptz, what text, amount float8);
CREATE INDEX ON event (contact, at);
CREATE INDEX ON event (visitor, at);
CREATE TABLE visit (contact int, at timestamp) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2020-01-01') TO ('2026-01-01');
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2040-01-01');
CREATE INDEX ON visit (contact, at);
CREATE TABLE guest (key pair PRIMARY KEY);
CREATE TABLE stay (guest pair, at date);
CREATE TABLE spare (a int, b text, c timestamptz);
INSERT INTO contact SELECT i, 'x' || i || '@example.com', (ARRAY['DE', 'FR', NULL])[i % 3 + 1], '2025-01-01' FROM generate_series(1, 40) i;
INSERT INTO event (contact, visitor, at, what, amount)
	SELECT nullif(i % 40, 0), 'v' || i % 5, '2026-01-01'::timestamptz + i * interval '1 hour',
		(ARRAY['open', 'buy'])[i % 2 + 1], i
	  FROM generate_series(1, 200) i;
INSERT INTO visit SELECT i % 40, '2025-12-01'::timestamp + i * interval '1 day' FROM generate_series(1, 60) i;
INSERT INTO guest VALUES ('(1,a)'), ('(2,b)');
SELECT leadscore.create_model('m', 'contact', created_at => 'created');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what', visitor => 'visitor', on_delete => 'keep');
CREATE TABLE above (contact int, at timestamptz);
ALTER TABLE event INHERIT above;
UPDATE above SET at = at;
SELECT leadscore.attach('m', 'visit', 'contact', 'at', mode => 'queued');
SELECT leadscore.create_model('pairs', 'guest');
DO $$ BEGIN PERFORM leadscore.attach('pairs', 'stay', 'guest', 'at'); END $$;
INSERT INTO leadscore.lead_rule (model, name, source, event, points, weight, decay, decay_interval)
VALUES ('m', 'buy', 'event', 'buy', 2, 'amount', 'half_life', '20 days');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, time_frame, max_per_period)
VALUES ('m', 'open', 'event', 'open', 3, '30 days', 6);
INSERT INTO leadscore.lead_rule (model, name, source, points, decay, decay_interval, decay_keep)
VALUES ('m', 'visits', 'visit', 1, 'step', '7 days', 0.5);
INSERT INTO leadscore.lead_rule (model, name, source, event, points, at_least) VALUES ('m', 'often', 'event', 'open', 9, 3);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'german', 'profile', $$country = 'DE'$$, 10);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -5, '15 days');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('pairs', 'stay', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES
	('m', 'warm', 1, 30), ('m', 'hot', 2, 90), ('pairs', 'hot', 1, 10);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'fit', 'A', 10), ('m', 'engagement', '1', 50);
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver) VALUES
	('m', 'tell', 'stage_entered', 'hot', 'outbox'), ('pairs', 'tell', 'stage_entered', 'hot', 'outbox');
UPDATE leadscore.lead_model SET max_drift = 0.25, daily = true WHERE model = 'm';
UPDATE leadscore.lead_category SET weight = 1.5 WHERE model = 'm' AND category = 'fit';
UPDATE leadscore.lead_rule SET points = 4 WHERE name = 'open';
UPDATE leadscore.lead_stage SET enter_at = 95 WHERE model = 'm' AND stage = 'hot';
UPDATE leadscore.lead_grade SET min_points = 40 WHERE grade = '1';
INSERT INTO stay VALUES ('(1,a)', '2026-01-01'), ('(3,c)', '2026-01-02');
INSERT INTO event (contact, at, what, amount) VALUES (1, now(), 'buy', 100), (2, now() + interval '1 day', 'open', 1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event (contact, at, what, amount) VALUES (3, now(), 'buy', 100), (41, now(), 'buy', 1), (NULL, now(), 'buy', 1);
UPDATE event SET amount = amount + 1 WHERE contact = 4;
COMMIT;
UPDATE contact SET country = 'DE' WHERE id = 2;
DELETE FROM event WHERE id = 7;
DELETE FROM contact WHERE id = 40;
GRANT SELECT ON leadscore.score_pairs TO anybody;
GRANT SELECT ON ALL TABLES IN SCHEMA tenant TO anybody;
SQL

# What is called by name, each overload with what it is for.
my $calls = <<'SQL';
SET client_min_messages = warning;
SET search_path = tenant;
SELECT leadscore.clock();
SELECT leadscore.score('m', '1'), leadscore.score('m', 1), leadscore.score('m', '1', now(), now()),
	leadscore.score('m', 1, '2026-01-02', now());
SELECT leadscore.replay('m', '1'), leadscore.replay('m', 1);
SELECT count(*) FROM leadscore.explain('m', '1');
SELECT count(*) FROM leadscore.explain('m', 1);
SELECT count(*) FROM leadscore.explain('m', '1', now(), now());
SELECT count(*) FROM leadscore.explain('m', 1, now(), now());
SELECT count(*) FROM leadscore.verify('m');
SELECT count(*) FROM leadscore.forecast('m', '1');
SELECT count(*) FROM leadscore.forecast('m', 1);
SELECT count(*) FROM leadscore.upcoming('m', now() + interval '30 days');
SELECT count(*) FROM leadscore.top('m');
SELECT count(*) FROM leadscore.history_of('m', '1');
SELECT count(*) FROM leadscore.live_m;
SELECT count(leadscore_internal.live(NULL::leadscore.score_m, tableoid, ctid, now())) FROM leadscore.score_m;
SELECT count(*) FROM leadscore.live_pairs;
SELECT count(*) FROM leadscore.activity;
SELECT leadscore_internal.may_dump('m'), leadscore_internal.managed_models();
SELECT count(*) FROM leadscore.pending();
SELECT count(*) FROM leadscore.what_if('m');
SELECT count(*) FROM leadscore.what_if_contacts('m');
SELECT count(*) FROM leadscore.what_if_distribution('m');
SELECT leadscore.state_text(state) FROM leadscore.score_m LIMIT 1;
SELECT leadscore.set_stage('m', '5', 'hot', 'said so'), leadscore.set_stage('m', 6, 'hot');
SELECT leadscore.release_stage('m', '5'), leadscore.release_stage('m', 6);
SELECT leadscore.identify('m', 'v1', '1'), leadscore.identify('m', 'v2', 2);
SELECT count(*) FROM leadscore.identities('m', '1');
SELECT count(*) FROM leadscore.identities('m', 1);
SELECT leadscore.unidentify('m', 'v2');
SELECT leadscore.merge_contacts('m', '1', '8'), leadscore.merge_contacts('m', 1, 9), leadscore.merge_contacts('m', 1, 10);
SELECT leadscore.unmerge('m', '8'), leadscore.unmerge('m', 9);
SELECT leadscore.write_days('m');
SELECT leadscore.refresh('m'), leadscore.refresh();
SELECT leadscore.rescore('m'), leadscore.rescore('pairs', false);
SELECT leadscore.rescore('m', true);
SELECT leadscore.run_job('m', 5);
SELECT leadscore.rescore('m', true);
SELECT leadscore.cancel_job(max(job_id)) FROM leadscore.lead_job WHERE finished_at IS NULL;
SELECT count(*) FROM leadscore.outbox_take('c', 1);
SELECT leadscore.outbox_failed('c', ARRAY(SELECT outbox_id FROM leadscore.lead_outbox LIMIT 1), 'no', '1 second');
SELECT leadscore.outbox_retry(ARRAY(SELECT outbox_id FROM leadscore.lead_outbox));
SELECT leadscore.outbox_discard('{0}');
SELECT count(*) FROM leadscore.outbox_take('d', 100);
SELECT leadscore.outbox_done('d', ARRAY(SELECT outbox_id FROM leadscore.lead_outbox LIMIT 1));
DELETE FROM stay WHERE guest = '(3,c)'::pair;
SELECT leadscore.erase_contact('pairs', '(3,c)');
SELECT leadscore.erase_contact('pairs', '(4,d)'::pair);
BEGIN;
SELECT leadscore.detach('m', 'visit');
SELECT leadscore.drop_model('pairs');
DELETE FROM leadscore.lead_rule WHERE model = 'm' AND name = 'often';
DELETE FROM leadscore.lead_action WHERE model = 'm';
DELETE FROM leadscore.lead_stage WHERE model = 'm' AND stage = 'hot';
ROLLBACK;
ALTER TABLE event ADD note text;
SQL

my $calls_of_superuser = <<'SQL';
SELECT leadscore_internal.keep_top_scores('m', 10);
SET client_min_messages = warning;
SELECT leadscore.start_worker();
SELECT leadscore.stop_worker();
BEGIN;
SELECT leadscore.detach_all();
DROP TABLE tenant.visit_1;
ROLLBACK;
-- what logical replication would bring, and a subscription
SET session_replication_role = replica;
INSERT INTO tenant.event (contact, at, what, amount) VALUES (11, '2026-01-05', 'buy', 3);
SET session_replication_role = origin;
BEGIN;
CREATE SUBSCRIPTION of_nothing CONNECTION 'host=/nonexistent' PUBLICATION p WITH (connect = false);
ROLLBACK;
SQL

# live finds what the tables hold, to be given as arguments.
sub live
{
	my ($query) = @_;
	my @found = split /\n/, sql($query);

	return @found;
}

sub prepare
{
	$super = sql('SELECT current_user');
	sql($life_of_superuser);
	sql($life_of_neighbour, extra_params => [ '-U', 'neighbour' ]);
	sql($life_of_tenant, extra_params => [ '-U', 'tenant' ]);
	sql($calls, extra_params => [ '-U', 'tenant' ]);
	sql($calls_of_superuser);
	sql(join('', map { "TABLE $_;\n" } live(<<'SQL')));
SELECT oid::regclass FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relkind = 'v'
SQL
	sql('CREATE TABLE tenant.dropped (a int)');
	$known{dropped} = sql("SELECT 'tenant.dropped'::regclass::oid");
	sql('DROP TABLE tenant.dropped');
	$known{states} = [ live("SELECT DISTINCT encode(state, 'hex') FROM leadscore.score_m LIMIT 20") ];
	$known{deltas} = [ live("SELECT encode(delta, 'hex') FROM leadscore.pending_m WHERE delta IS NOT NULL LIMIT 5") ];
	$known{rows} = [ live('SELECT to_jsonb(s) FROM leadscore.score_m s LIMIT 10') ];
	$known{columns} = [ live(<<'SQL') ];
SELECT attname FROM pg_attribute WHERE attrelid = 'leadscore.score_m'::regclass AND attnum > 0 ORDER BY attnum
SQL
	$known{outbox} = [ live('SELECT outbox_id FROM leadscore.lead_outbox LIMIT 5') ];
	$known{relations} = [ live(<<'SQL') ];
SELECT oid::regclass FROM pg_class
 WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace, 'tenant'::regnamespace)
 ORDER BY 1
SQL
	@functions = map {
		my @f = split /\|/, $_, -1;
		{ schema => $f[0], name => $f[1], arguments => [ split /,/, $f[2] ], result => $f[3] }
	} live(<<'SQL');
SELECT concat_ws('|', pronamespace::regnamespace, quote_ident(proname),
	array_to_string(ARRAY(SELECT format_type(t, NULL)
		FROM unnest(proargtypes) WITH ORDINALITY u (t, n) ORDER BY n), ','),
	format_type(prorettype, NULL))
  FROM pg_proc WHERE pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) ORDER BY 1
SQL
	@views = map {
		my @v = split /\|/;
		{ name => $v[0], columns => [ map { [ split / /, $_, 2 ] } split /,/, $v[1] ] }
	} live(<<'SQL');
SELECT concat_ws('|', c.oid::regclass,
	(SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, NULL), ','
		ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped))
  FROM pg_class c
 WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND relkind IN ('r', 'v', 'p')
 ORDER BY 1
SQL
}

################################################################################
# arguments

my @texts = ('', 'm', 'pairs', 'theirs', 'nobody', 'M', 'x' x 41, 'x' x 63, 'x' x 64, 'e_' x 30, 'event', 'visit',
	'warm', 'hot', 'unqualified', 'disqualified', 'contact', 'at', 'what', 'id', 'amount', 'no_such_column', 'fit',
	'engagement', 'UTC', 'Europe/Berlin', 'Mars/Olympus', '+25:00', 'keep', 'retract', 'source', 'queued',
	'immediate', '1', '-1', '0', '41', '99999999999999999999', '1.5', 'NaN', 'infinity', '(1,a)', '(,)', '(', '{}',
	'{1,NULL}', 'v1', 'c', 'd', 'secret', q{'"; DROP TABLE tenant.event; --}, '%s%n%1$s', "\x{c3}\x{a4}", 'now()',
	'true', '\\', "a\tb", 'tenant.contact', 'stage_entered', 'outbox_take', 'pg_sleep');
my @instants = ("'infinity'", "'-infinity'", 'now()', "'4714-11-24 00:00+00 BC'", "'294276-12-31 23:59+00'",
	"'2026-01-03'", "'2026-01-03'", "'1970-01-01'", 'NULL', 'NULL', "now() + interval '30 days'");
my @numbers = ('0', '1', '1', '-1', '5', '100', '2147483647', '-2147483648', 'NULL');
my @floats = ("'NaN'", "'Infinity'", "'-Infinity'", '1e308', '-1e308', '1e-320', '0', '1', '90', 'NULL');

sub text
{
	my $n = rand;
	return 'NULL::text' if $n < 0.06;
	return "repeat('x', 100000)" if $n < 0.1;
	return "repeat(chr(228), " . one(63, 64, 1000, 30000) . ')' if $n < 0.12;
	return quoted('m') . '::text' if $n < 0.35;
	return quoted(one(@texts)) . '::text';
}

# state is the bytes of one, or of none, some of them changed or missing.
sub state
{
	my $hex = one(@{ $known{states} }, @{ $known{deltas} });
	my $n = rand;

	return "'\\x$hex'::bytea" if $n < 0.1;
	return one("'\\x'::bytea", 'NULL::bytea', "decode(repeat('00', 100000), 'hex')",
		"decode('0200' || repeat('ff', 1000), 'hex')", "decode('02ff' || repeat('01', 100000), 'hex')",
		"'\\x0200ffffffffffffffffff01'::bytea", "'\\x0210ff'::bytea", "'\\x021002fffe00'::bytea",
		"decode(repeat('80', 20) || '01', 'hex')") if $n < 0.25;
	if ($n < 0.4)
	{
		return "'\\x" . substr($hex, 0, 2 * int(rand(length($hex) / 2))) . "'::bytea";
	}
	foreach (1 .. 1 + int(rand(4)))
	{
		my $at = 2 * int(rand(length($hex) / 2));

		substr($hex, $at, 2) = sprintf('%02x', rand() < 0.5 ? hex(substr($hex, $at, 2)) ^ (1 << int(rand(8))) : int(rand(256)));
	}
	$hex .= sprintf('%02x', rand(256)) if rand() < 0.1;
	return "'\\x$hex'::bytea";
}

# row is one of a score table, with columns that are null or forged.
sub row
{
	my $row = one(@{ $known{rows} });
	my $column = one(@{ $known{columns} });
	my $n = rand;
	my $change;

	return one('NULL::leadscore.score_m', "ROW(NULL)::tenant.pair", '(SELECT s FROM leadscore.score_m s LIMIT 1)',
		'(SELECT s FROM leadscore.score_theirs s LIMIT 1)',
		'(SELECT s FROM leadscore.due_m s LIMIT 1)', 'jsonb_populate_record(NULL::leadscore.score_m, \'{}\')') if $n < 0.25;
	$change = $n < 0.5 ? "jsonb_build_object('$column', NULL)"
		: $n < 0.85 ? "jsonb_build_object('state', " . state() . ')'
		: "jsonb_build_object('stage', " . text() . ", 'contact_id', " . one(@numbers) . ", 'scored_at', "
			. one(@instants) . '::timestamptz, '
		. "'score', " . one(@floats) . '::float8, \'rules_version\', ' . one(@numbers) . ')';
	return "jsonb_populate_record(NULL::leadscore.score_m, " . quoted($row) . "::jsonb || $change)";
}

sub relation
{
	return one((map { quoted($_) } @{ $known{relations} }), (map { "'leadscore.${_}_m'" } qw(score pending identity)),
		'0', '4294967295', $known{dropped}, "'pg_class'", "'tenant.contact'",
		"'tenant.event'", "'information_schema.tables'", 'NULL') . '::regclass';
}

sub anything
{
	my $n = rand;
	return row() if $n < 0.2;
	return one(@numbers) . '::int' if $n < 0.35;
	return quoted(one(@texts)) if $n < 0.45;
	return text() if $n < 0.55;
	return one('1::int2', '1::int8', '9223372036854775807', '1.5', "'NaN'::numeric", '1e1000::numeric',
		"'NaN'::float8", '1::float4', "'Infinity'::float8", 'true', "'x'::name", "'x'::char(4)", "'x'::\"char\"",
		"'\\x00ff'::bytea", "'00000000-0000-0000-0000-000000000001'::uuid", "'infinity'::date",
		"'2026-01-01'::date", "'infinity'::timestamptz", "'1 day'::interval", "'10.0.0.1'::inet", "'{}'::jsonb",
		"'null'::json", 'point(1,1)', 'ARRAY[1,2]', "'{}'::int[]", "'{{1},{NULL}}'::int[]", 'int4range(1, 2)',
		"'{[1,2)}'::int4multirange", "ROW(1,'a')", 'ROW()', "ROW(1,'a')::tenant.pair", "'(1,a)'::tenant.pair",
		"'(9,z)'::tenant.pair", "'sad'::tenant.mood", '1::tenant.positive', 'NULL::int', 'NULL::tenant.pair',
		'NULL::text', 'NULL', "0::regclass", "$known{dropped}::regclass", "'pg_class'::regclass", "'x'::cstring",
		'pg_sleep(0)', "'1'::xml", "B'101'", "'1'::money", "'0/0'::pg_lsn", "'(0,1)'::tid", "to_tsvector('a')",
		"ARRAY['sad'::tenant.mood]", "(SELECT array_agg(s) FROM leadscore.score_m s)",
		'(SELECT c FROM tenant.contact c LIMIT 1)', 'repeat(\'1\', 1000000)', "'1'::varchar", "'1'::varchar(1)");
}

# argument writes one for a parameter of a type, mostly.
sub argument
{
	my ($type) = @_;

	return anything() if rand() < 0.03;
	return text() if $type eq 'text';
	return one(@numbers) . '::int' if $type eq 'integer';
	return one(@numbers, @{ $known{outbox} }, '9223372036854775807') . '::bigint' if $type eq 'bigint';
	return one('true', 'false', 'NULL') . '::bool' if $type eq 'boolean';
	return one(@instants) . '::timestamptz' if $type eq 'timestamp with time zone';
	return one(@floats) . '::float8' if $type eq 'double precision';
	return one("'0'", "'-1 day'", "'1 microsecond'", "'1 day'", "'170000000 years'", "'-170000000 years'", 'NULL')
		. '::interval' if $type eq 'interval';
	return state() if $type eq 'bytea';
	return one("'{}'", "'{NULL}'", 'NULL', "'{1,2,2}'", "'{{1,2},{3,4}}'", "'[5:6]={1,2}'",
		'(SELECT array_agg(i) FROM generate_series(1, 100000) i)', "'{" . join(',', @{ $known{outbox} }) . "}'")
		. '::bigint[]'
		if $type eq 'bigint[]';
	return one("'{}'", "'{NULL}'", 'NULL', "'{fit,fit}'", "'{{a,b},{c,d}}'", "'{score}'", "'{a}'", "'{\"\"}'",
		"(SELECT array_agg('c' || i) FROM generate_series(1, 2000) i)", "ARRAY[repeat('x', 100000)]") . '::text[]'
		if $type eq 'text[]';
	return relation() if $type eq 'regclass' || $type eq 'oid';
	return one("'{}'", "'null'", 'NULL', "'[1]'", "'\"x\"'") . '::jsonb' if $type eq 'jsonb';
	return anything();
}

# call writes a statement that calls a function, all its polymorphic arguments of
# one type, mostly; or with too few of them.
sub call
{
	my ($f) = @_;
	my $same = anything();
	my @arguments = map { /^any/ && rand() < 0.8 ? $same : argument($_) } @{ $f->{arguments} };

	return "SELECT * FROM $f->{schema}.$f->{name}(" . join(', ', @arguments) . ')' if rand() < 0.5 && $f->{result} !~ /^any/;
	return "SELECT $f->{schema}.$f->{name}(" . join(', ', @arguments) . ')';
}

sub trigger
{
	my ($f, $role) = @_;
	my $on = one('tenant.spare', 'tenant.event', 'tenant.contact', 'tenant.visit_1', 'odd', 'lead_rule', 'odd_view',
		$role eq $super ? ('leadscore.score_m', 'leadscore.pending_m', 'leadscore_internal.lead_rule',
			'leadscore_internal.lead_model', 'leadscore_internal.lead_stage') : ());
	my ($when, $each) = $on eq 'odd_view' ? ('INSTEAD OF', 'ROW') : (one('BEFORE', 'AFTER', 'AFTER'), one('ROW', 'STATEMENT'));
	my $event = one('INSERT', 'UPDATE', 'DELETE', $each eq 'STATEMENT' ? 'TRUNCATE' : 'INSERT OR UPDATE OR DELETE');
	my %rows = (
		INSERT => 'REFERENCING NEW TABLE AS new_rows',
		UPDATE => 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows',
		DELETE => 'REFERENCING OLD TABLE AS old_rows');
	my $rows = $when eq 'AFTER' && rand() < 0.6 ? $rows{$event} // '' : '';
	my $arguments = one('', '', "'m'", "'x', 'y', 'z'", "''");
	my $constraint = $when eq 'AFTER' && $each eq 'ROW' && $rows eq '' && rand() < 0.3 ? 'CONSTRAINT ' : '';
	my $deferred = $constraint ? 'DEFERRABLE INITIALLY DEFERRED ' : '';

	return (
		'CREATE TEMP TABLE odd (model text, a int, b text, state bytea)',
		'CREATE TEMP TABLE lead_rule (rule_id int, model int, name text)',
		'CREATE TEMP VIEW odd_view AS SELECT * FROM odd',
		'INSERT INTO odd VALUES (' . text() . ', 1, NULL, ' . state() . ')',
		"INSERT INTO lead_rule VALUES (1, 1, 'x')",
		<<"SQL",
CREATE ${constraint}TRIGGER hostile $when $event ON $on $rows ${deferred}FOR EACH $each
	EXECUTE FUNCTION $f->{schema}.$f->{name}($arguments)
SQL
		"INSERT INTO $on DEFAULT VALUES",
		$on eq 'tenant.visit_1' ? "INSERT INTO $on VALUES (1, '2025-01-01')"
		: $on eq 'tenant.spare' ? "INSERT INTO $on VALUES (1)"
		: "INSERT INTO $on SELECT * FROM $on LIMIT 2",
		"UPDATE $on SET " . ($on =~ /event$/ ? 'amount = 1'
			: $on =~ /contact$/ ? "country = 'FR'"
			: $on =~ /visit/ ? 'contact = contact'
			: $on =~ /spare|odd/ ? 'a = 2'
			: $on eq 'lead_rule' ? "name = 'y'"
			: $on =~ /lead_/ ? 'model = model'
			: $on =~ /score/ ? 'score = score'
			: 'contact_id = contact_id'),
		"DELETE FROM $on",
		($on eq 'odd_view' ? () : "TRUNCATE $on"),
		'SET CONSTRAINTS ALL IMMEDIATE');
}

sub event_trigger
{
	my ($f) = @_;
	my $event = one('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite');

	return ("CREATE EVENT TRIGGER hostile ON $event EXECUTE FUNCTION $f->{schema}.$f->{name}()",
		one('CREATE TABLE tenant.made (a int)', 'ALTER TABLE tenant.event ALTER amount TYPE numeric',
			'DROP TABLE tenant.visit_2', 'ALTER TABLE tenant.contact DROP COLUMN country',
			'CREATE INDEX ON tenant.spare (a)', 'CREATE VIEW tenant.v AS SELECT 1', 'DROP TABLE tenant.event CASCADE',
			'ALTER TABLE tenant.visit DETACH PARTITION visit_1',
			'CREATE FUNCTION tenant.f() RETURNS int LANGUAGE sql AS \'SELECT 1\'', 'DROP SCHEMA tenant CASCADE',
			'ALTER TABLE tenant.event RENAME at TO happened',
			'REASSIGN OWNED BY tenant TO neighbour', 'COMMENT ON TABLE tenant.event IS \'x\'',
			'GRANT SELECT ON tenant.event TO anybody', 'REFRESH MATERIALIZED VIEW none'),
		'DROP TABLE IF EXISTS tenant.spare');
}

# forged calls what shows states, or asks for a contact, with all arguments but one
# as they should be.
sub forged
{
	my $n = rand;

	return 'SELECT leadscore.state_text(' . state() . ')' if $n < 0.3;
	return 'SELECT leadscore_internal.live('
		. one('NULL::leadscore.score_m', 'NULL::leadscore.score_m', row()) . ', '
		. relation() . '::oid, '
		. one("'(0,1)'", "'(0,2)'", "'(0,0)'", "'(4294967295,65535)'", "'(1,300)'", 'NULL') . '::tid, '
		. one('now()', one(@instants) . '::timestamptz') . ')' if $n < 0.5;
	return 'SELECT leadscore_internal.live_'
		. one('shows(', 'shows_new(', 'column(' . one('NULL::float8', 'NULL::text') . ', ')
		. one("'leadscore.score_m'::regclass", relation()) . ', ' . one('', '', one(2 .. 9) . ', ')
		. relation() . '::oid, '
		. one("'(0,1)'", "'(0,2)'", "'(0,0)'", "'(4294967295,65535)'", "'(1,300)'", 'NULL') . '::tid)' if $n < 0.7;
	return 'SELECT * FROM leadscore.' . one('score', 'replay', 'explain', 'forecast', 'identities') . '('
		. quoted(one('m', 'pairs')) . '::text, ' . anything() . ')' if $n < 0.9;
	return 'SELECT leadscore.' . one('merge_contacts', 'set_stage') . "('m'::text, " . anything() . ', ' . anything() . ')';
}

# damage spoils what is stored, as the owner of the tables can, and uses it.
sub damage
{
	my $table = one('score_m', 'score_m', 'score_m', 'pending_m', 'due_m', 'purged_m', 'profile_m',
		'merged_m', 'identity_m', 'history_m', 'outbox_m', 'daily_m');
	my $column = one(@{ $known{columns} });
	my $value = $column eq 'state' ? state()
	  : $column =~ /^(score|fit|engagement)$/ ? one(@floats) . '::float8'
	  : $column =~ /_at|since/ ? one(@instants) . '::timestamptz'
	  : $column =~ /contact_id|version/ ? one(@numbers)
	  : $column =~ /^(has_contact|disqualified)$/ ? one('true', 'false', 'NULL')
	  : one(text(), "'x'", 'NULL');

	return (
		'SET LOCAL session_replication_role = replica',
		"ALTER TABLE leadscore.$table DISABLE TRIGGER USER",
		one("ALTER TABLE leadscore.$table ALTER $column DROP NOT NULL", 'ALTER TABLE leadscore.score_m ALTER stage DROP NOT NULL',
			one(map { "ALTER TABLE leadscore.$table $_" } 'ADD more int', 'DROP COLUMN contact_id CASCADE',
				'ALTER contact_id TYPE text', "ALTER $column TYPE text", "DROP COLUMN $column CASCADE",
				'ADD CHECK (false) NOT VALID', 'DISABLE TRIGGER USER', 'RENAME contact_id TO key',
				'ENABLE ROW LEVEL SECURITY', 'FORCE ROW LEVEL SECURITY', 'RENAME TO other',
				"DROP CONSTRAINT ${table}_pkey", 'SET UNLOGGED')),
		$table eq 'score_m' ? one("UPDATE leadscore.score_m SET $column = $value WHERE contact_id IN (1, 2, 3)",
			"UPDATE leadscore.score_m SET state = " . state() . ' WHERE contact_id < 6')
		: $table eq 'pending_m' ? 'INSERT INTO leadscore.pending_m (contact_id, delta) VALUES (1, ' . state() . ')'
		: $table eq 'due_m' ? 'UPDATE leadscore.due_m SET due_at = ' . one(@instants)
		: $table eq 'purged_m' ? "UPDATE leadscore.$table SET state = " . state()
		: $table eq 'profile_m' ? 'DELETE FROM leadscore.profile_m'
		: one("DROP TABLE leadscore.$table CASCADE", "DELETE FROM leadscore.$table",
			"ALTER TABLE leadscore.$table RENAME TO gone"),
		'SET LOCAL session_replication_role = origin',
		(map { one("SELECT leadscore.score('m', 1)", "SELECT count(*) FROM leadscore.explain('m', 2)",
			"SELECT count(*) FROM leadscore.verify('m')", 'SELECT * FROM leadscore.live_m',
			"SELECT leadscore.refresh('m')",
			"INSERT INTO tenant.event (contact, at, what, amount) VALUES (1, now(), 'buy', 1), (3, now(), 'open', 1)",
			"UPDATE tenant.contact SET country = 'DE' WHERE id < 4", 'DELETE FROM tenant.event WHERE contact = 2',
			"SELECT leadscore.set_stage('m', 1, 'hot')",
			"SELECT leadscore.merge_contacts('m', 1, 2)", "SELECT count(*) FROM leadscore.forecast('m', 3)",
			"SELECT count(*) FROM leadscore.upcoming('m', now() + interval '1 year')",
			"SELECT count(*) FROM leadscore.top('m', 2)",
			"SELECT leadscore.write_days('m')", "SELECT count(*) FROM leadscore.what_if_contacts('m')",
			"SELECT leadscore.rescore('m')", "SELECT leadscore.rescore('m', true)",
			"SELECT leadscore.run_job('m', 3)", "SELECT count(*) FROM leadscore.identities('m', 1)",
			"SELECT count(*) FROM leadscore.pending('m')") } 1 .. 4));
}

# changes is a change of one of the extension's tables and views.
sub changes
{
	my $view = one(grep { $_->{name} =~ /lead_/ } @views) ;
	my @some = grep { rand() < 0.5 } @{ $view->{columns} };
	my $n = rand;

	@some = @{ $view->{columns} }[ 0 .. 1 ] unless @some;
	return 'INSERT INTO ' . $view->{name} . ' (' . join(', ', map { $_->[0] } @some) . ') VALUES ('
		. join(', ', map { argument($_->[1]) } @some) . ')' . one('', ' RETURNING *', ' ON CONFLICT DO NOTHING')
		if $n < 0.5;
	return "UPDATE $view->{name} SET "
		. join(', ', map { "$_->[0] = " . argument($_->[1]) } @some[ 0 .. ($#some > 1 ? 1 : 0) ])
		. one('', " WHERE model = 'm'", ' RETURNING *') if $n < 0.85;
	return one("DELETE FROM $view->{name}", "TRUNCATE $view->{name}", "SELECT * FROM $view->{name}",
		"DELETE FROM $view->{name} WHERE model = " . text());
}

# statements gives what one call is, and whether it may be committed.
sub statements
{
	my ($role) = @_;
	my $n = rand;
	my $f;

	return (0, changes()) if $n < 0.1;
	return (0, trigger(one(grep { $_->{result} eq 'trigger' } @functions), $role)) if $n < 0.2;
	return (0, event_trigger(one(grep { $_->{result} eq 'event_trigger' } @functions))) if $n < 0.22;
	return (0, forged()) if $n < 0.35;
	return (0, damage()) if $n < 0.42;
	$f = one(@functions);
	return ($f->{name} !~ /detach|drop|erase|attach|create_model|worker/ && rand() < 0.1, call($f));
}

# run makes a number of calls in one session, each in a transaction of its own.
sub run
{
	my ($role, $number, $report) = @_;
	my $script = <<'SQL';
SET lock_timeout = '60s';
SET client_min_messages = error;
SET statement_timeout = '120s';
SET search_path = tenant, public;
\set VERBOSITY verbose
\set ON_ERROR_ROLLBACK on
SQL
	my ($status, $out, $err);

	foreach (1 .. $number)
	{
		my ($commit, @all) = statements($role);

		$script .= "BEGIN;\n" . join('', map { "$_;\n" } @all) . ($commit ? "COMMIT;\n" : "ROLLBACK;\n");
	}
	$script .= "\\echo all was said\n";
	($status, $out, $err) = $node->psql('postgres', $script, extra_params => [ '-U', $role ], on_error_stop => 0,
		on_error_die => 0);
	$report->{sessions}++;
	$report->{errors}{$1}++ while $err =~ /(?:ERROR|FATAL):  (\w{5}):/g;
	if ($status != 0 || $out !~ /all was said\n?\z/
		|| $err =~ /(?:ERROR|FATAL|PANIC):  (XX000|53200|57014|57P0\d|08\d\d\d):|server closed|connection to server was lost/)
	{
		my @lines = split /\n/, $err;
		my @bad = grep { $lines[$_] =~ /XX000|53200|57014|57P0|server closed|PANIC|lost/ } 0 .. $#lines;

		push @{ $report->{bad} }, "as $role: " . join("\n",
			map { @lines[ $_ .. ($_ + 4 > $#lines ? $#lines : $_ + 4) ] } @bad
			? @bad[ 0 .. ($#bad > 2 ? 2 : $#bad) ] : ($#lines));
		# where it was, in the script
		my %shown;

		foreach my $at (map { $lines[$_] =~ /:(\d+): (?:ERROR|FATAL|PANIC|server)/ ? $1 : () } @bad)
		{
			my @said = split /\n/, $script;
			my ($from) = grep { $said[$_] eq 'BEGIN;' } reverse 0 .. $at - 1;
			my ($to) = grep { $said[$_] =~ /^(?:COMMIT|ROLLBACK);/ } $at - 1 .. $#said;

			push @{ $report->{bad} }, map { '    ' . substr($_, 0, 1500) } @said[ $from .. $to ] unless $shown{$from}++;
		}
	}
}

# never_called lists functions that have not come to an end by themselves, but for
# SQL functions, which may have been inlined.
sub never_called
{
	my $query = <<'SQL';
SELECT p.oid::regprocedure FROM pg_proc p LEFT JOIN pg_stat_user_functions s ON s.funcid = p.oid
 WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND coalesce(s.calls, 0) = 0
	AND p.prolang <> (SELECT oid FROM pg_language WHERE lanname = 'sql')
 ORDER BY 1
SQL

	foreach (1 .. 50)
	{
		return () unless live($query);
		select(undef, undef, undef, 0.1);
	}
	return live($query);
}

# hostile_calls is the test: so many calls, by a seed.  refuse_truncate() has no other
# purpose than to raise an error, and live_support() is called by the planner.
sub hostile_calls
{
	my ($number, $seed) = @_;
	my %report = (bad => []);
	my $log;
	my @missing;

	$node = LeadscoreNode->create('hostile', library => 'none',
		conf => {
			track_functions => 'all',
			log_error_verbosity => 'verbose',
			log_min_messages => 'warning',
			log_min_error_statement => 'panic',
			work_mem => '16MB',
			restart_after_crash => 'on',
		});
	note("seed $seed, $number calls");
	srand($seed);
	prepare();
	@missing = grep { !/refuse_truncate|live_support/ } never_called();
	is(join("\n", @missing), '', 'every function came to an end where it is called as it is meant to be');

	# beside a worker, which sees what is committed
	sql('SELECT leadscore.start_worker()');
	for (my $done = 0; $done < $number && @{ $report{bad} } < 10; $done += $batch)
	{
		run(one($super, 'tenant', 'tenant', 'anybody'), $number - $done < $batch ? $number - $done : $batch, \%report);
	}
	is(join("\n", @{ $report{bad} }), '', 'no call ended in a crash, an internal error or not at all');
	note(join(', ', map { "$_ $report{errors}{$_}" } sort keys %{ $report{errors} }));
	cmp_ok(scalar(keys %{ $report{errors} }), '>', 5, 'calls are refused for various reasons');
	$log = slurp_file($node->logfile);
	is(join("\n", grep { /terminated by signal|PANIC|TRAP:/ } split /\n/, $log), '', 'no process died');
	is(join("\n", grep { / XX000:/ } split /\n/, $log), '', 'nothing says that something happened which must not');
	is(sql("SELECT count(*) FROM leadscore.verify('theirs')"), '0', 'and the neighbour has what they had');
	is(sql("SELECT leadscore.score('theirs', 'secret')"), '1', 'whose score is right');
	$node->stop;
}

1;
