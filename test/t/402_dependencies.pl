# What a command has to do with: only rules that use an object are compiled again, in a
# session that has just been opened as in one that has known the model for long.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('dependencies');
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
CREATE EXTENSION leadscore;
CREATE SCHEMA app;
CREATE TABLE guest (id int PRIMARY KEY);
CREATE TABLE act (guest int, at timestamptz, n int);
CREATE INDEX ON act (guest, at);
CREATE FUNCTION app.big(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 > 5; END';
SELECT leadscore.create_model('m', 'guest');
SELECT leadscore.attach('m', 'act', 'guest', 'at');
INSERT INTO guest VALUES (1);
INSERT INTO act SELECT 1, '2026-01-01', g FROM generate_series(1, 10) g;
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('m', 'big', 1, 'app.big(n)');
INSERT INTO leadscore.lead_rule (model, name, points, condition)
	SELECT 'm', 'rule ' || g, 1, 'n > 1000 + ' || g FROM generate_series(1, 1000) g;
SQL

# how many expressions a command compiles, after others in the same session
sub compiled
{
	my ($sql, $before) = @_;
	my ($out, $err) = ('', '');
	$node->psql('postgres', ($before // '') . "; SET client_min_messages = debug2; $sql", stdout => \$out, stderr => \$err);
	unlike($err, qr/ERROR/, $sql);
	return scalar(() = $err =~ /leadscore compiles /g);
}

my @foreign = (
	"CREATE FUNCTION app.other(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
	"CREATE OR REPLACE FUNCTION app.other(int) RETURNS int LANGUAGE sql AS 'SELECT 2'",
	'ALTER FUNCTION app.other(int) STABLE', 'ALTER FUNCTION app.other(int) RENAME TO others', 'DROP FUNCTION app.others(int)',
	"CREATE TYPE app.mood AS ENUM ('good')", "ALTER TYPE app.mood ADD VALUE 'bad'", 'CREATE TABLE diary (id int, mood app.mood)',
	'ALTER TYPE app.mood RENAME TO feeling', 'DROP TABLE diary', 'DROP TYPE app.feeling',
	'CREATE OPERATOR app.!!! (FUNCTION = int4abs, RIGHTARG = int)', 'DROP OPERATOR app.!!! (NONE, int)',
	"COMMENT ON FUNCTION app.big(int) IS 'used'", "COMMENT ON TABLE act IS 'attached'", 'CREATE TABLE diary (id int)',
	'ALTER TABLE diary ADD COLUMN n int', 'DROP TABLE diary');
is(compiled($_), 0, '... compiles nothing') for @foreign;
is(compiled($_, "SELECT leadscore.score('m', 1)"), 0, '... nor does it where the model is known') for @foreign;

my $score = "SELECT score FROM leadscore.score_m WHERE contact_id = 1";
is($node->safe_psql('postgres', $score), 5, 'before');
cmp_ok(compiled(<<'SQL'), '>', 0, 'one that a rule uses has it compiled');
CREATE OR REPLACE FUNCTION app.big(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 > 7; END'
SQL
is($node->safe_psql('postgres', $score), 3, '... and counted again');

# a session that has looked is told of what another one has changed
my $session = $node->background_psql('postgres', on_error_stop => 0);
is($session->query("SELECT leadscore.score('m', 1)"), 3, 'a session asks');
$node->safe_psql('postgres', 'SET client_min_messages = error; DROP FUNCTION app.big(int)');
is($session->query("SELECT leadscore.score('m', 1)"), 0, '... and is told when the function is gone');
$session->query("CREATE FUNCTION app.big(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN \$1 > 8; END'");
is($session->query("SELECT leadscore.score('m', 1)"), 2, '... and back, by that session');
is($node->safe_psql('postgres', "$score; SELECT count(*) FROM leadscore.verify('m')"), "2\n0", '... for all');
$session->quit;
$node->stop;
done_testing();
