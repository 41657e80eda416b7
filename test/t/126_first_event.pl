# Rules of a session that writes events are compiled when an event first reaches them,
# if nothing but commands can change whether they can be run.  One that turns out
# to be broken then is skipped, reported and recorded as one that is found at once.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('first_event');
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE ROLE marketing;
CREATE ROLE app;
CREATE EXTENSION leadscore;
CREATE SCHEMA lib;
GRANT ALL ON SCHEMA public, lib TO marketing;
SET ROLE marketing;
CREATE FUNCTION lib.big(float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 100';
CREATE TYPE plan AS ENUM ('free', 'paid');
CREATE TABLE person (id int PRIMARY KEY, title text);
CREATE TABLE act (person int, at timestamptz NOT NULL DEFAULT now(), what text, page text, amount float8, plan plan);
CREATE INDEX ON act (person, at);
SELECT leadscore.create_model('m', 'person');
SELECT leadscore.attach('m', 'act', 'person', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, kind, event, condition, weight, points) VALUES
	('m', 'docs', 'event', 'view', 'page LIKE ''/docs/%.html''', NULL, 1),
	('m', 'docs too', 'event', 'read', 'page LIKE ''/docs/%.html''', NULL, 1),
	('m', 'bought', 'event', 'buy', 'amount > 1.5', 'amount * .5', 1),
	('m', 'named', 'event', 'call', 'length(page) > 3', NULL, 1),
	('m', 'any', 'event', NULL, 'page = ''x''', NULL, 1),
	('m', 'function', 'event', 'sign', 'lib.big(amount)', NULL, 1),
	('m', 'enum', 'event', 'sign', 'plan = ''paid''', NULL, 1),
	('m', 'title', 'profile', NULL, 'title = ''CEO''', NULL, 1);
INSERT INTO person VALUES (1), (2);
GRANT INSERT ON act TO app;
RESET ROLE;
SQL

# session runs statements in a session of its own and gives what it was sent.
sub session
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 0);
	return ($err =~ s/^psql:<stdin>:\d+: //mgr =~ s/^LOCATION.*\n?//mgr =~ s/\s*\z/\n/r) =~ s/\A\n\z//r;
}

# compiled gives the rules that a session compiles, in the order in which it does.
sub compiled
{
	my ($sql) = @_;
	my $sent = session("SET client_min_messages = debug2;\n$sql");

	return join(', ', $sent =~ /leadscore compiles (?:condition|weight) of rule "(.*?)"/g);
}

# what is not made of PostgreSQL's own
my $others = 'function, enum, title';

is(compiled("INSERT INTO act (person, what, page) VALUES (1, 'view', '/docs/a.html');"), "$others, any, docs",
	'the first event has those compiled that it reaches, and those that cannot wait');
is(compiled(<<'SQL'), "$others, any, bought, bought, docs", 'each is compiled once');
INSERT INTO act (person, what, amount) VALUES (1, 'buy', 2), (1, 'buy', 3);
INSERT INTO act (person, what, amount) VALUES (2, 'buy', 2);
INSERT INTO act (person, what, page) VALUES (1, 'view', 'x');
INSERT INTO act (person, what, page) VALUES (1, 'read', '/docs/a.html');
SQL
my $all = 'docs, bought, bought, named, any, function, enum, title';
is(compiled("SELECT leadscore.score('m', 1);"), $all, 'a reader has all compiled');
is(compiled(<<'SQL'), "$others, any, docs, bought, bought, named", '... also of a model that is there already');
INSERT INTO act (person, what, page) VALUES (1, 'view', '/docs/a.html');
SELECT leadscore.score('m', 1);
SQL
is(compiled(<<'SQL'), "$others, docs, bought, bought, named, any", '... and so has an UPDATE, which compares what rules read');
UPDATE act SET page = page WHERE person = 2;
SQL
is(compiled("DELETE FROM act WHERE person = 2;"), "$others, docs, bought, bought, named, any", '... and a DELETE, which reads events');
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.verify('m')"), '0', 'scores are right');

# A rule is broken without any command of which leadscore hears.
$node->safe_psql('postgres', <<'SQL');
SET allow_system_table_mods = on;
UPDATE pg_proc SET proacl = ARRAY[makeaclitem(10, 10, 'EXECUTE', false)] WHERE oid = 'length(text)'::regprocedure;
SQL
my $warning = <<'EOT';
WARNING:  rule "named" of model "m" is skipped: permission denied for function length(text)
HINT:  See the view leadscore.rule_errors.
EOT
my $call = "INSERT INTO act (person, what, page) VALUES (1, 'call', 'long');\n";
my $recorded = "SELECT failures, sqlstate, message FROM leadscore.rule_errors WHERE name = 'named'";
is(session("INSERT INTO act (person, what) VALUES (1, 'view');"), '', 'an event that does not reach it passes');
is(session($call . $call), $warning, 'the first that does is stored, with a warning');
is($node->safe_psql('postgres', $recorded), '1|42501|permission denied for function length(text)', '... and it is recorded');
is($node->safe_psql('postgres', "SELECT count(*) FROM act WHERE what = 'call'"), '2', '... and so are those after it');
is($node->safe_psql('postgres', "SELECT kind, phase FROM leadscore.lead_job"), 'rescore|start',
	'... and what it missed will be counted, as rights may come back');
is(session("SET ROLE app;\n$call"),
	qq(WARNING:  rule "named" of model "m" failed with SQLSTATE 42501 and was skipped
HINT:  Members of the role that owns the model find more in the view leadscore.rule_errors.
), 'a role that may not read the table is not told why');
is(session("INSERT INTO act (person, what) VALUES (1, 'view');\n$call"), $warning, 'it is told after other events, too');
like(session("SET leadscore.rule_error = 'error';\nINSERT INTO act (person, what) VALUES (1, 'view');\n$call"),
	qr/\AERROR:  rule "named" of model "m" failed: permission denied for function length\(text\)\n/,
	'with rule_error = error it fails, and others do not');
is($node->safe_psql('postgres', <<'SQL'), '0', 'what is stored is what a session gives that has all compiled');
SET client_min_messages = error;
SELECT count(*) FROM leadscore.verify('m');
SQL

done_testing();
