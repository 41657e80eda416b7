# Data restored without the schema, in every way there is to do that wrong: the
# scores are those of the original row by row, and nothing is counted twice,
# neither where rows of events come and fire triggers nor where they come again.
# What is pending and what jobs have still to do goes along.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('data');
my $dir = PostgreSQL::Test::Utils::tempdir;
my @connection = ('-h', $node->host, '-p', $node->port);

sub database
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	# from the beginning: what is stored is true at its own instant, which may not lie after the clock
	$node->hold_clock($db);
}

# one table whose rows are restored before those of leadscore, others after it
my $app = <<'SQL';
CREATE SCHEMA app;
CREATE TABLE app.call (id int PRIMARY KEY, contact int, at timestamptz);
CREATE INDEX ON app.call (contact, at);
SQL
my $app_rules = <<'SQL';
SELECT leadscore.attach('m', 'app.call', 'contact', 'at', mode => 'queued');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'call', 'call', 5);
SQL
database('crm');
$node->hold_clock('crm');
$node->safe_psql('crm', "CREATE EXTENSION leadscore; $crm $app $rules $app_rules");
$node->safe_psql('crm', crm_rows() . <<'SQL');
INSERT INTO app.call SELECT g, g % 30, timestamptz '2026-01-05 00:00+00' + g * interval '12 hours' FROM generate_series(1, 60) g;
SELECT leadscore.refresh();
INSERT INTO app.call SELECT g, g % 35, '2026-02-19' FROM generate_series(61, 99) g;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (500, 3, '2026-02-19', 'buy', 3);
DELETE FROM event WHERE id % 11 = 0;
UPDATE contact SET country = 'DE' WHERE id = 4;
COMMIT;
SQL
my $waiting = $node->safe_psql('crm', 'SELECT contact_id, profile, md5(delta) FROM leadscore.pending_m ORDER BY 1, 2, 3');
isnt($waiting, '', 'something is pending');
my $wanted = $node->scores('crm');
my $rows = <<'SQL';
SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM visit), (SELECT count(*) FROM contact),
	(SELECT count(*) FROM app.call)
SQL
my $counts = $node->safe_psql('crm', $rows);

command_ok([ 'pg_dump', @connection, '-Fd', '-j', 4, '-f', "$dir/dump", 'crm' ], 'pg_dump -Fd -j 4');
command_ok([ 'pg_dump', @connection, '-a', '-f', "$dir/data.sql", 'crm' ], 'pg_dump -a');
command_ok([ 'pg_dump', @connection, '-s', '-f', "$dir/schema.sql", 'crm' ], 'pg_dump -s');

sub run_it
{
	my ($environment, @command) = @_;
	local %ENV = (%ENV, %$environment);
	my ($stdout, $stderr) = ('', '');
	my $ok = IPC::Run::run(\@command, '>', \$stdout, '2>', \$stderr);
	return ($ok, $stderr);
}

sub psql { return ('psql', '-X', '-q', @connection, '-o', "$dir/out", @_) }

# restored tests that a database has what the original has.
sub restored
{
	my ($db, $how) = @_;
	$node->hold_clock($db);
	is($node->safe_psql($db, $rows), $counts, "$how: the rows are there");
	same_rows($node->scores($db), $wanted, "$how: the scores are the same");
	$node->check_scores($db, $how);
	same_rows($node->scores($db), $wanted, "$how: ... also when all is folded in");
	# and it goes on
	$node->safe_psql($db, <<'SQL');
INSERT INTO event VALUES (9000, 1, '2026-02-20', 'buy', 2);
INSERT INTO app.call VALUES (9000, 1, '2026-02-20');
DELETE FROM event WHERE id = 1;
SQL
	$node->check_scores($db, "$how, and then");
	is($node->safe_psql($db, <<'SQL'), 0, "$how: triggers are as they should be");
SELECT count(*) FROM pg_trigger
 WHERE tgname LIKE 'leadscore%'
	AND tgenabled <> CASE tgname WHEN 'leadscore_apply' THEN 'R' WHEN 'leadscore_apply_truncate' THEN 'R'
		WHEN 'leadscore_truncate' THEN 'A' ELSE 'O' END
SQL
}

################################################################################
# All of it

database('whole');
is_deeply([ run_it({}, 'pg_restore', @connection, '-e', '-j', 4, '-d', 'whole', "$dir/dump") ], [ 1, '' ], 'pg_restore -j 4');
is($node->safe_psql('whole', 'SELECT contact_id, profile, md5(delta) FROM leadscore.pending_m ORDER BY 1, 2, 3'),
	$waiting, '... what was pending is pending');
restored('whole', 'pg_restore -j 4');
################################################################################
# The schema, then the data

sub with_schema
{
	my ($db) = @_;
	database($db);
	is_deeply([ run_it({}, psql('-v', 'ON_ERROR_STOP=1', '-d', $db, '-f', "$dir/schema.sql")) ], [ 1, '' ],
		"the schema alone ($db)");
	is($node->safe_psql($db, 'SELECT count(*) FROM leadscore.lead_model'), 0, '... has no models');
}

my @ways = (
	disabled => '--disable-triggers' => {} => [ 'pg_restore', '-a', '--disable-triggers' ],
	fired => 'triggers that fire' => {} => [ 'pg_restore', '-a' ],
	parallel => 'triggers that fire, in parallel' => {} => [ 'pg_restore', '-a', '-j', 4 ],
	replica => 'a replica' => { PGOPTIONS => '-c session_replication_role=replica' } => [ 'pg_restore', '-a' ]);
while (my ($db, $how, $environment, $command) = splice(@ways, 0, 4))
{
	with_schema($db);
	is_deeply([ run_it($environment, @$command, @connection, '-e', '-d', $db, "$dir/dump") ], [ 1, '' ], "pg_restore: $how");
	restored($db, $how);
}
with_schema('plain');
is_deeply([ run_it({}, psql('-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$dir/data.sql")) ], [ 1, '' ], 'psql');
restored('plain', 'psql');
# Row by row
for my $kind ('--inserts', '--column-inserts', '--inserts --rows-per-insert=7')
{
	for my $triggers ('', ' --disable-triggers')
	{
		(my $db = "$kind$triggers") =~ s/\W+/_/g;
		with_schema($db);
		command_ok([ 'pg_dump', @connection, '-a', split(/ /, "$kind$triggers"), '-f', "$dir/$db.sql", 'crm' ],
			"pg_dump -a $kind$triggers");
		is_deeply([ run_it({}, psql('-v', 'ON_ERROR_STOP=1', '-d', $db, '-f', "$dir/$db.sql")) ], [ 1, '' ], "$kind$triggers");
		restored($db, "$kind$triggers");
	}
}
# The same once more: what is there is refused by its key, and nothing changes.
for my $again ('fired', 'disabled', 'disabled --disable-triggers', '_inserts', '_inserts_disable_triggers', '_column_inserts')
{
	my ($db, @options) = split / /, $again;
	# rows are refused one by one: the one that was deleted would come back
	$node->safe_psql($db, grep { /^INSERT INTO public.event .*VALUES \(1, / } split /^/, slurp_file("$dir/$db.sql"))
		if $db =~ /^_/;
	my $before = $node->scores($db);
	my (undef, $err) = $db =~ /^_/ ? run_it({}, psql('-d', $db, '-f', "$dir/$db.sql")) :
	  run_it({}, 'pg_restore', @connection, '-a', @options, '-d', $db, "$dir/dump");
	like($err, qr/duplicate key value violates unique constraint "$_"/, "once more: \"$_\" refuses it")
		for qw(event_pkey contact_pkey score_m_pkey lead_rule_pkey lead_model_pkey call_pkey);
	# the two that had no row in the way have come back with their tables; nothing else did
	same_rows($node->scores($db), $before, 'once more: nothing is counted twice');
	$node->check_scores($db, 'once more');
}

################################################################################
# A model that was made by hand, over empty tables, and then the data of all: they
# are new events as any others, counted at the instant of the original

database('by_hand');
$node->hold_clock('by_hand');
$node->safe_psql('by_hand', "CREATE EXTENSION leadscore; $crm $app $rules $app_rules");
my (undef, $err) = run_it({}, 'pg_restore', @connection, '-a', '-d', 'by_hand', "$dir/dump");
like($err, qr/duplicate key value violates unique constraint "lead_model_pkey"/, 'by hand: the model is there already');
restored('by_hand', 'by hand');

# ... or of its tables only, which is what one should do
database('tables_only');
$node->hold_clock('tables_only');
$node->safe_psql('tables_only', "CREATE EXTENSION leadscore; $crm $app $rules $app_rules");
is_deeply([ run_it({}, 'pg_restore', @connection, '-a', '-e', '-n', 'public', '-n', 'app', '-d', 'tables_only', "$dir/dump") ],
	[ 1, '' ], 'tables only');
restored('tables_only', 'tables only');

################################################################################
# A copy of the database within the server

$node->hold_clock('by_hand', '2026-02-20 12:00+00');
$node->safe_psql('postgres', 'CREATE DATABASE template_copy TEMPLATE crm');
is($node->safe_psql('template_copy', 'SELECT contact_id, profile, md5(delta) FROM leadscore.pending_m ORDER BY 1, 2, 3'),
	$waiting, 'CREATE DATABASE TEMPLATE: what was pending is pending');
restored('template_copy', 'CREATE DATABASE TEMPLATE');
same_rows($node->scores('crm'), $wanted, 'the original is as it was');

################################################################################
# A job that waits goes on in the copy

$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
SET leadscore.inline_limit = 0;
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'by a job', 'event', 'buy', 11);
SQL
my $job = 'SELECT job_id, model, kind, state FROM leadscore.lead_job ORDER BY 1';
like($node->safe_psql('crm', $job), qr/\|waiting$/, 'a job waits');
$wanted = $node->scores('crm');
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/job", 'crm' ], 'pg_dump');
database('job');
$node->hold_clock('job');
is_deeply([ run_it({}, 'pg_restore', @connection, '-e', '-d', 'job', "$dir/job") ], [ 1, '' ], 'a dump with a job');
is($node->safe_psql('job', $job), $node->safe_psql('crm', $job), '... which waits there, too');
same_rows($node->scores('job'), $wanted, '... and the scores are the same until it is done');
$node->configure(enabled => 'on', naptime => '100ms');
$node->within(30, "SELECT bool_and(state = 'done') FROM leadscore.lead_job", 'it is done', $_) for qw(crm job);
$node->configure(enabled => 'off');
isnt($node->scores('crm'), $wanted, 'it changes the scores');
same_rows($node->scores('job'), $node->scores('crm'), '... to the same');
$node->check_scores('job', 'after the job');

$node->stop;
done_testing();
