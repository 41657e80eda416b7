# A database whose owner is no superuser: the worker and its helpers are in nobody's
# way when he drops, renames or copies it, or ends whatever is connected to it.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('worker_owner', worker => 1,
	conf => { max_worker_processes => 16, 'leadscore.job_workers' => 3, 'leadscore.inline_limit' => 0 });
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE host LOGIN CREATEDB;
CREATE ROLE other LOGIN;
GRANT ALL ON DATABASE postgres TO host;
SQL

# as runs SQL as a role; what it gives, or the error.
sub as
{
	my ($role, $database, $sql) = @_;
	my ($code, $out, $err) = $node->psql($database, $sql, extra_params => [ '-U', $role ]);
	return $code == 0 ? $out : "failed: $err";
}

# a database of the owner's with a superuser's extension, and his model in it
sub make_host
{
	my ($database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database OWNER host");
	$node->safe_psql($database, 'CREATE EXTENSION leadscore; ALTER SCHEMA public OWNER TO host');
	as('host', $database, <<'SQL');
SET client_min_messages = warning;
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (contact int, at timestamptz DEFAULT now(), what text);
CREATE INDEX ON event (contact, at);
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('m', 'visit', 10);
INSERT INTO contact SELECT generate_series(1, 3000);
INSERT INTO event SELECT g % 3000 + 1 FROM generate_series(1, 9000) g;
CREATE FUNCTION sleepy(what jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_catalog.pg_sleep(1000)';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'hot', 1, 25);
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function)
VALUES ('m', 'sleepy', 'stage_entered', 'hot', 'function', 'public.sleepy');
SQL
	$node->within(20, has_worker($database), "a worker in $database");
}

# busy has the worker call a function that sleeps, until somebody ends it.
sub busy
{
	my ($database) = @_;

	as('host', $database, <<'SQL');
INSERT INTO contact VALUES (100000);
INSERT INTO event SELECT 100000 FROM generate_series(1, 3);
SQL
	$node->within(60, <<"SQL", "... which is busy");
SELECT count(*) = 1 FROM pg_stat_activity
 WHERE backend_type = 'leadscore worker' AND datname = '$database' AND wait_event = 'PgSleep'
SQL
}

my $all = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()";

################################################################################
# DROP DATABASE WITH (FORCE)

make_host('forced');
busy('forced');
like(as('other', 'postgres', "SELECT pg_terminate_backend(" . $node->worker_pid('forced') . ")"),
	qr/must be a member of the role|permission denied/, 'anybody else cannot end the worker');
is(as('host', 'postgres', 'DROP DATABASE forced WITH (FORCE)'), '', 'DROP DATABASE WITH (FORCE) by the owner');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'forced'"), 0, '... it is gone');

# at any moment of a worker's coming and going
for my $i (1 .. 8)
{
	$node->safe_psql('postgres', 'CREATE DATABASE forced OWNER host');
	$node->safe_psql('forced', <<'SQL');
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY);
SQL
	$node->safe_psql('forced', <<'SQL');
SET client_min_messages = warning;
SELECT leadscore.create_model('m', 'contact');
SQL
	select(undef, undef, undef, rand(0.2));
	my $dropped = as('host', 'postgres', 'DROP DATABASE forced WITH (FORCE)');
	is($dropped, '', "... at any moment ($i)");
	$node->safe_psql('postgres', 'DROP DATABASE forced WITH (FORCE)') if $dropped ne '';
}

################################################################################
# All sessions ended, then DROP DATABASE

make_host('ended');
busy('ended');
is(as('host', 'postgres', sprintf($all, 'ended')), 't', 'the owner ends all sessions of his database');
is(as('host', 'postgres', 'DROP DATABASE ended'), '', '... and drops it');

################################################################################
# With helpers of a job at work

make_host('helped');
$node->configure(batch_size => 5);
as('host', 'helped', <<'SQL');
SET client_min_messages = warning;
CREATE FUNCTION slow(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.02); RETURN true; END';
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('m', 'slow', 'public.slow(contact)', 1);
SQL
my $helpers = "SELECT count(*) >= 1 FROM pg_stat_activity WHERE backend_type = 'leadscore job worker' AND datname = 'helped'";
$node->within(30, $helpers, 'helpers are at work');
is(as('host', 'postgres', sprintf($all, 'helped')), 't', 'the owner ends them too');
$node->within(30, $helpers, 'they are back');
is(as('host', 'postgres', 'CREATE DATABASE copied TEMPLATE helped'), '', 'CREATE DATABASE TEMPLATE meanwhile');
$node->within(30, $helpers, 'they are back');
is(as('host', 'postgres', 'ALTER DATABASE helped RENAME TO renamed'), '', 'ALTER DATABASE RENAME meanwhile');
$node->within(30, $helpers =~ s/helped/renamed/r, 'they are back');
is(as('host', 'postgres', 'DROP DATABASE renamed WITH (FORCE)'), '', 'DROP DATABASE WITH (FORCE) meanwhile');
is(as('host', 'postgres', 'DROP DATABASE copied'), '', 'DROP DATABASE without it');

################################################################################
# Another owner

make_host('given');
$node->safe_psql('postgres', 'ALTER DATABASE given OWNER TO other');
$node->within(10, 'SELECT last_pass_at > now() FROM leadscore.activity WHERE database = current_database()',
	'a round later', 'given');
like(as('host', 'postgres', 'SELECT pg_terminate_backend(' . $node->worker_pid('given') . ')'),
	qr/must be a member of the role|permission denied/, 'it is the new owner\'s');
is(as('other', 'postgres', 'DROP DATABASE given WITH (FORCE)'), '', '... who drops it');

is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'leadscore %worker'"),
	0, 'nothing is left');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|segmentation/i, 'nothing else in the log');

$node->stop;
done_testing();
