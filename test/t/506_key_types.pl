# Keys of types of which a part is somebody's own code: constraints of domains in
# composite types, arrays, ranges and multiranges, casts, operator classes.  Whatever
# runs says as whom it runs, tries to get more rights, and may be none but the
# model's owner, whoever asks: a superuser, a reader, another tenant, the worker.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('key_types', conf => { log_statement => 'none' });
my $log_from = 0;

# What a role gets for a statement: its rows, or its error.
sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql,
		extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ], on_error_stop => 1);
	return $status == 0 ? $out : $err;
}
sub must { my ($role, $sql) = @_; return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]) }
my $super = must(getpwuid($<) . '', 'SELECT current_user');

# As whom code of others ran since the last time, and whether it got anywhere.
sub ran
{
	my $log = slurp_file($node->logfile, $log_from);
	$log_from = -s $node->logfile;
	my %seen;
	$seen{$1}++ while $log =~ /spy ran as (\S+)/g;
	return join(' ', sort keys %seen);
}
sub is_ran
{
	my ($wanted, $name) = @_;
	my $ran = ran();
	is($ran, $wanted, "$name: code of others ran as " . ($wanted || 'nobody'));
	is(must($super, "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname <> '$super'"), '0',
		"$name: and made nobody superuser");
	must($super, 'ALTER ROLE tenant NOSUPERUSER; ALTER ROLE other NOSUPERUSER');
}

must($super, <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE ROLE tenant LOGIN;
CREATE ROLE other LOGIN;
CREATE ROLE reader LOGIN;
CREATE SCHEMA tenant AUTHORIZATION tenant;
CREATE SCHEMA other AUTHORIZATION other;
GRANT USAGE ON SCHEMA tenant, other TO PUBLIC;
SQL

# spy() says as whom it runs, and tries to become superuser in what ways there are.
foreach my $who (qw(tenant other))
{
	must($who, <<"SQL");
CREATE FUNCTION $who.spy() RETURNS bool LANGUAGE plpgsql AS \$\$
BEGIN
	RAISE LOG 'spy ran as %', current_user;
	BEGIN EXECUTE 'ALTER ROLE $who SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'ALTER ROLE $who SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'SET SESSION AUTHORIZATION DEFAULT'; EXECUTE 'ALTER ROLE $who SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
	RETURN true;
END \$\$;
CREATE FUNCTION $who.checked(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN $who.spy(); END';
CREATE DOMAIN $who.watched AS int CHECK ($who.checked(VALUE));
CREATE DOMAIN $who.plain AS int;
CREATE TYPE $who.mood AS ENUM ('one', 'two');
CREATE FUNCTION $who.mood_number($who.mood) RETURNS int LANGUAGE plpgsql AS '
BEGIN
	PERFORM $who.spy();
	RETURN array_length(enum_range(\$1, NULL), 1);
END';
CREATE FUNCTION $who.mood_text($who.mood) RETURNS varchar LANGUAGE plpgsql AS 'BEGIN PERFORM $who.spy(); RETURN ''1''; END';
CREATE CAST ($who.mood AS int) WITH FUNCTION $who.mood_number($who.mood) AS IMPLICIT;
CREATE CAST ($who.mood AS varchar) WITH FUNCTION $who.mood_text($who.mood) AS IMPLICIT;
CREATE TYPE $who.pair AS (a $who.watched, b text);
CREATE TYPE $who.span AS RANGE (subtype = $who.watched);
SQL
}
ran();

# Makes a model over keys of a type: one and two are contacts with an event each.
my %keys = (
	composite  => [ 'tenant.pair', '(1,x)', '(2,y)' ],
	array      => [ 'tenant.watched[]', '{1}', '{2}' ],
	nested     => [ 'tenant.pair[]', '{"(1,x)"}', '{"(2,y)"}' ],
	range      => [ 'tenant.span', '[1,2]', '[3,4]' ],
	multirange => [ 'tenant.span_multirange', '{[1,2]}', '{[3,4]}' ],
);
foreach my $kind (sort keys %keys)
{
	my ($type, $one, $two) = @{ $keys{$kind} };

	is(as('tenant', <<"SQL"), "tenant.score_$kind" =~ s/tenant/leadscore/r . "\n2", "a model over keys of a type with somebody's code in it: $kind");
CREATE TABLE tenant.contact_$kind (key $type PRIMARY KEY);
CREATE TABLE tenant.event_$kind (who $type, at timestamptz);
CREATE INDEX ON tenant.event_$kind (who, at);
INSERT INTO tenant.contact_$kind VALUES ('$one'), ('$two');
SELECT leadscore.create_model('$kind', 'tenant.contact_$kind');
DO 'BEGIN PERFORM leadscore.attach(''$kind'', ''tenant.event_$kind'', ''who'', ''at''); END';
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('$kind', 'any', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('$kind', 'hot', 1, 10);
INSERT INTO tenant.event_$kind VALUES ('$one', '2026-01-01'), ('$two', '2026-01-01');
GRANT SELECT ON leadscore.score_$kind, leadscore.live_$kind, leadscore.history_$kind TO reader;
GRANT INSERT ON tenant.event_$kind TO other;
SELECT count(*) FROM leadscore.history_$kind;
SQL
	ran();

	foreach my $role ($super, 'reader', 'tenant')
	{
		is(as($role, <<"SQL"),
SELECT leadscore.score('$kind', '$one'), leadscore.replay('$kind', '$one'),
	(SELECT sum(points) FROM leadscore.explain('$kind', '$one'))
SQL
			'10|10|10', "$kind: $role asks by text");
		is_ran('tenant', "$kind, $role asks by text");
		like(as($role, <<"SQL"),
SELECT count(*) FROM leadscore.forecast('$kind', '$two');
SELECT count(*) FROM leadscore.verify('$kind');
SELECT count(contact_id) FROM leadscore.live_$kind
SQL
			qr/^\d\n0\n2$/, "$kind: $role asks for more");
		like(ran(), qr/^(tenant)?$/, "$kind, $role asks for more: nobody else's rights are used");
	}
	# typed values, of which nothing is read again
	is(must($super, "SELECT sum(leadscore.score('$kind', contact_id)) FROM leadscore.score_$kind"), '20',
		"$kind: asked by value");
	is_ran('', "$kind, asked by value");

	# the worker's way: positions of a job, as text
	must($super, "SELECT leadscore.rescore('$kind', true)");
	must($super, "SELECT leadscore.run_job('$kind', 1)") for 1 .. 5;
	must($super, "SELECT leadscore.verify('$kind')");
	must($super, "SELECT leadscore.run_job('$kind', 1)") for 1 .. 5;
	like(ran(), qr/^(tenant)?$/, "$kind, a job: nobody else's rights are used");
	is(must($super, "SELECT sum(score) FROM leadscore.score_$kind"), '20', "$kind: and the job counts right");

	# what changes a contact, by a superuser
	must($super, "SELECT leadscore.set_stage('$kind', '$one', 'unqualified', 'no')");
	must($super, "SELECT leadscore.merge_contacts('$kind', '$one', '$two')");
	is(must('tenant', "SELECT leadscore.score('$kind', '$one')"), '20', "$kind: merged by text");
	must($super, "SELECT leadscore.unmerge('$kind', '$two')");
	must($super, "DELETE FROM tenant.event_$kind");
	must($super, "DELETE FROM tenant.contact_$kind");
	ran();
	isnt(must($super, "SELECT leadscore.erase_contact('$kind', '$one')"), '0', "$kind: erased by text");
	is_ran('tenant', "$kind, erased by a superuser");
	is(must($super, "SELECT count(contact_id) > 0 FROM leadscore.history_$kind"), 't', "$kind: and the other's history stays");
	is_ran('', "$kind, history read by a superuser");
}

################################################################################
# values of types of others, asked for: with casts, output functions of domains
must('tenant', <<'SQL');
CREATE TABLE tenant.contact (id int PRIMARY KEY);
CREATE TABLE tenant.named (name varchar PRIMARY KEY);
INSERT INTO tenant.contact VALUES (2);
INSERT INTO tenant.named VALUES ('1');
SELECT leadscore.create_model('numbers', 'tenant.contact');
SELECT leadscore.create_model('names', 'tenant.named');
INSERT INTO leadscore.lead_rule (model, name, kind, points) VALUES ('numbers', 'there', 'profile', 10), ('names', 'there', 'profile', 10);
GRANT SELECT ON leadscore.score_numbers, leadscore.score_names TO reader, other;
SQL
ran();
foreach my $role ($super, 'reader', 'tenant', 'other')
{
	foreach my $model ('numbers', 'names')
	{
		is(as($role, "SELECT leadscore.score('$model', 'one'::tenant.mood)"), '10',
			"$role asks $model by a value that the owner's cast turns into a key");
		is_ran('tenant', "$role asks $model by the owner's cast");
		foreach my $function ('score', 'replay', 'explain', 'forecast')
		{
			like(as($role, "SELECT leadscore.$function('$model', 'one'::other.mood)"),
				qr/ERROR:\ \ 42501:\ type\ (other\.)?mood\ cannot\ be\ used\ for\ contacts\ of\ model\ "$model"\n
					.*mood_(number|text)\((other\.)?mood\)\ would\ run\ as\ role\ "tenant".*\n
					HINT:\ \ Give\ a\ value\ of\ type\ (integer|character\ varying),\ or\ text\./sx,
				"$role asks $model by a value that another's cast would turn into a key");
		}
		is_ran('', "$role asks $model by another's cast");
	}
}
is(must($super, "SELECT leadscore.score('numbers', 2::tenant.plain), leadscore.score('names', '1'::name)"), '10|10',
	"a domain's value is one of its base type");
ran();
like(as('tenant', "SELECT leadscore.set_stage('numbers', 'one'::other.mood, 'unqualified')"),
	qr/ERROR:  42501: type (other\.)?mood cannot be used/, 'nor does set_stage() take it');
like(as($super, "SELECT leadscore.merge_contacts('numbers', 'one'::other.mood, 'two'::other.mood)"),
	qr/ERROR:  42501: type (other\.)?mood cannot be used/, 'nor merge_contacts()');
like(as($super, "SELECT leadscore.erase_contact('numbers', 'one'::other.mood)"),
	qr/ERROR:  42501: type (other\.)?mood cannot be used/, 'nor erase_contact()');
is_ran('', 'those who change things');

# a function that the owner may not call
must('tenant', 'REVOKE EXECUTE ON FUNCTION tenant.mood_number(tenant.mood) FROM PUBLIC, tenant');
like(as($super, "SELECT leadscore.score('numbers', 'one'::tenant.mood)"), qr/ERROR:  42501: /,
	'the owner must be allowed to call the function of the cast');
must('tenant', 'GRANT EXECUTE ON FUNCTION tenant.mood_number(tenant.mood) TO PUBLIC');
# a cast that makes nothing of a value
must('tenant', "CREATE OR REPLACE FUNCTION tenant.mood_number(tenant.mood) RETURNS int LANGUAGE sql AS 'SELECT NULL::int'");
like(as('tenant', "SELECT leadscore.score('numbers', 'one'::tenant.mood)"), qr/ERROR:  22004: .*made no contact/,
	'a cast that gives NULL makes no contact');

################################################################################
# another's domain in the key's type: his code has no business in the owner's name
is(as('tenant', <<'SQL'), '', 'a key with a domain of another in it');
CREATE TYPE tenant.mixed AS (a other.plain, b int);
CREATE TABLE tenant.contact_mixed (key tenant.mixed PRIMARY KEY);
INSERT INTO tenant.contact_mixed VALUES ('(1,1)');
SELECT FROM leadscore.create_model('mixed', 'tenant.contact_mixed');
INSERT INTO leadscore.lead_rule (model, name, kind, points) VALUES ('mixed', 'there', 'profile', 10);
SQL
is(as('tenant', "SELECT leadscore.score('mixed', '(1,1)')"), '10', 'is a key while the domain has no constraint');
must('other', 'ALTER DOMAIN other.plain ADD CHECK (other.checked(VALUE)) NOT VALID');
ran();
foreach my $role ($super, 'tenant')
{
	like(as($role, "SELECT leadscore.score('mixed', '(1,1)')"),
		qr/ERROR:  42501: type (tenant\.)?mixed cannot be used for contacts of model "mixed"\n.*other\.checked\(integer\)/s,
		"$role: not read from text when the domain has one");
	is(as($role, "SELECT leadscore.score('mixed', key) FROM tenant.contact_mixed"), '0',
		"$role: but taken as a value, while the rule sleeps");
}
is_ran('', "another's domain");

################################################################################
# an operator class of functions of the owner's, which a superuser has made; they
# try nothing, as an error that is caught would release the locks of the index
must($super, <<'SQL');
CREATE TYPE tenant.odd AS (a int);
ALTER TYPE tenant.odd OWNER TO tenant;
CREATE FUNCTION tenant.odd_eq(tenant.odd, tenant.odd) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	RAISE LOG ''spy ran as %'', current_user;
	RETURN ($1).a = ($2).a;
END';
CREATE FUNCTION tenant.odd_lt(tenant.odd, tenant.odd) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	RAISE LOG ''spy ran as %'', current_user;
	RETURN ($1).a < ($2).a;
END';
CREATE FUNCTION tenant.odd_le(tenant.odd, tenant.odd) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	RAISE LOG ''spy ran as %'', current_user;
	RETURN ($1).a <= ($2).a;
END';
CREATE FUNCTION tenant.odd_gt(tenant.odd, tenant.odd) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	RAISE LOG ''spy ran as %'', current_user;
	RETURN ($1).a > ($2).a;
END';
CREATE FUNCTION tenant.odd_ge(tenant.odd, tenant.odd) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	RAISE LOG ''spy ran as %'', current_user;
	RETURN ($1).a >= ($2).a;
END';
CREATE FUNCTION tenant.odd_cmp(tenant.odd, tenant.odd) RETURNS int LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	RAISE LOG ''spy ran as %'', current_user;
	RETURN btint4cmp(($1).a, ($2).a);
END';
CREATE FUNCTION tenant.odd_hash(tenant.odd) RETURNS int LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	RAISE LOG ''spy ran as %'', current_user;
	RETURN hashint4(($1).a);
END';
CREATE OPERATOR tenant.= (LEFTARG = tenant.odd, RIGHTARG = tenant.odd, FUNCTION = tenant.odd_eq,
	COMMUTATOR = OPERATOR(tenant.=), HASHES, MERGES);
CREATE OPERATOR tenant.< (LEFTARG = tenant.odd, RIGHTARG = tenant.odd, FUNCTION = tenant.odd_lt);
CREATE OPERATOR tenant.<= (LEFTARG = tenant.odd, RIGHTARG = tenant.odd, FUNCTION = tenant.odd_le);
CREATE OPERATOR tenant.> (LEFTARG = tenant.odd, RIGHTARG = tenant.odd, FUNCTION = tenant.odd_gt);
CREATE OPERATOR tenant.>= (LEFTARG = tenant.odd, RIGHTARG = tenant.odd, FUNCTION = tenant.odd_ge);
CREATE OPERATOR CLASS tenant.odd_ops DEFAULT FOR TYPE tenant.odd USING btree AS
	OPERATOR 1 tenant.<, OPERATOR 2 tenant.<=, OPERATOR 3 tenant.=, OPERATOR 4 tenant.>=, OPERATOR 5 tenant.>,
		FUNCTION 1 tenant.odd_cmp(tenant.odd, tenant.odd);
CREATE OPERATOR CLASS tenant.odd_hash_ops DEFAULT FOR TYPE tenant.odd USING hash AS OPERATOR 1 tenant.=,
	FUNCTION 1 tenant.odd_hash(tenant.odd);
DO $$ DECLARE f regprocedure; BEGIN
	FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'odd\_%' LOOP EXECUTE format('ALTER FUNCTION %s OWNER TO tenant', f); END LOOP;
END $$;
SQL
is(as('tenant', <<'SQL'), '10', 'a model whose keys are compared by its owner');
CREATE TABLE tenant.contact_odd (key tenant.odd PRIMARY KEY);
CREATE TABLE tenant.event_odd (who tenant.odd, at timestamptz);
INSERT INTO tenant.contact_odd VALUES ('(1)'), ('(2)');
SELECT FROM leadscore.create_model('odd', 'tenant.contact_odd');
DO 'BEGIN PERFORM leadscore.attach(''odd'', ''tenant.event_odd'', ''who'', ''at''); END';
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('odd', 'any', 10);
INSERT INTO tenant.event_odd VALUES ('(1)', '2026-01-01'), ('(2)', '2026-01-01'), ('(3)', '2026-01-01');
GRANT SELECT ON leadscore.score_odd TO reader;
GRANT INSERT ON tenant.event_odd TO other;
SELECT leadscore.score('odd', '(1)');
SQL
ran();
foreach my $role ($super, 'reader', 'tenant')
{
	is(as($role, <<'SQL'), '10|10|0', "$role: it is asked");
SELECT leadscore.score('odd', '(2)'), leadscore.replay('odd', '(3)'), (SELECT count(*) FROM leadscore.verify('odd'))
SQL
	is_ran('tenant', "$role asks for keys compared by the owner's functions");
}
must($super, "SELECT leadscore.rescore('odd', true)");
must($super, "SELECT leadscore.run_job('odd', 1)") for 1 .. 8;
is_ran('tenant', 'a job over them');
must($super, "SELECT leadscore.rescore('odd')");
is_ran('tenant', 'they are counted again');
must($super, "SELECT leadscore.refresh()");
like(ran(), qr/^(tenant)?$/, 'and nobody else is lent rights by refresh()');
must('tenant', "INSERT INTO tenant.event_odd SELECT ROW(i)::tenant.odd, '2026-01-01' FROM generate_series(1, 30) i");
must('tenant', <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO tenant.event_odd SELECT ROW(i)::tenant.odd, '2026-01-01' FROM generate_series(1, 30) i;
COMMIT;
SQL
must('other', "INSERT INTO tenant.event_odd VALUES ('(5)', '2026-01-01')");
must($super, "SELECT leadscore.refresh()");
is(must($super, "SELECT sum(leadscore.score('odd', contact_id)) FROM leadscore.score_odd"), '640', 'all of them are counted');

################################################################################
# text of keys is the same under any settings
must('tenant', <<'SQL');
SET client_min_messages = warning;
CREATE TABLE tenant.days (day date PRIMARY KEY);
CREATE TABLE tenant.seen (day date, at timestamptz);
SELECT leadscore.create_model('days', 'tenant.days');
SELECT leadscore.attach('days', 'tenant.seen', 'day', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('days', 'any', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('days', 'hot', 1, 10);
SET datestyle = 'SQL, DMY';
INSERT INTO tenant.seen VALUES ('03/02/2026', '2026-01-01 00:00+00');
SQL
is(must('tenant', "SELECT contact FROM leadscore.lead_stage_history WHERE model = 'days'"), '2026-02-03',
	'text of a key does not depend on datestyle');
is(must('tenant', <<'SQL'), '10|10',
SET datestyle = 'SQL, DMY';
SELECT leadscore.score('days', '03/02/2026'), leadscore.score('days', '2026-02-03');
SQL
	'what a caller writes is read as a literal is');
must('tenant', <<'SQL');
SET datestyle = 'SQL, MDY';
DELETE FROM tenant.seen;
SELECT leadscore.erase_contact('days', '02/03/2026');
SQL
is(must('tenant', "SELECT count(*) FROM leadscore.lead_stage_history WHERE model = 'days'"), '0', 'and erased under another');

# what is no key
like(as('tenant', "SELECT leadscore.score('numbers', 'one')"),
	qr/ERROR:  22P02: invalid contact of model "numbers": "one"\nDETAIL:  Contacts are of type integer: .*\nHINT:  /s,
	'unusable text names model and type');
like(as('tenant', "SELECT leadscore.score('numbers', repeat('x', 100000))"),
	qr/ERROR:  22P02: invalid contact of model "numbers": "x{100}\.\.\."/, 'and is not repeated at length');
like(as('tenant', "SELECT leadscore.score('numbers', 3000000000)"), qr/ERROR:  22003: .*/, 'a number out of range');
like(as('tenant', "SELECT leadscore.score('numbers', 2.5)"),
	qr/ERROR:  22P02: invalid contact of model "numbers": "2\.5"/, 'a number that would be rounded');

$node->stop;
done_testing();
