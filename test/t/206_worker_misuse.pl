# What the owner of one model, or anybody, may do to the worker, which works for
# all of them.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('misuse', worker => 1, streaming => 0,
	conf => { 'leadscore.naptime' => 100 });

sub sql { return $node->safe_psql('postgres', @_) }

sub waits_for
{
	my ($query, $what) = @_;
	ok($node->poll_query_until('postgres', $query), $what)
		or diag(sql('SELECT action, status, attempts, last_error FROM leadscore.lead_outbox'), sql('TABLE leadscore.activity'));
}

sql(<<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE ROLE bad LOGIN;
CREATE ROLE good LOGIN;
CREATE SCHEMA bad AUTHORIZATION bad;
CREATE SCHEMA good AUTHORIZATION good;
SQL
foreach my $who (qw(bad good))
{
	sql(<<"SQL", extra_params => [ '-U', $who ]);
SET client_min_messages = warning;
CREATE TABLE $who.contacts (id int PRIMARY KEY);
CREATE TABLE $who.events (contact int, at timestamptz NOT NULL DEFAULT now(), what text);
CREATE INDEX ON $who.events (contact, at);
SELECT leadscore.create_model('$who', '$who.contacts');
SELECT leadscore.attach('$who', '$who.events', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('$who', 'came', 'came', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('$who', 'warm', 1, 10);
INSERT INTO leadscore.lead_action (model, name, occasion, deliver) VALUES ('$who', 'notify', 'stage_entered', 'notify');
SQL
}

sub worker { return sql("SELECT pid FROM leadscore.activity WHERE role = 'worker'") }

# Has the bad model call a function, made of a body.
sub bad_function
{
	my ($name, $returns, $language, $body, $limit) = @_;
	sql(<<"SQL", extra_params => [ '-U', 'bad' ]);
CREATE FUNCTION bad.$name(jsonb) RETURNS $returns LANGUAGE $language AS \$\$ $body \$\$;
DELETE FROM leadscore.lead_action WHERE model = 'bad';
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function, timeout, max_attempts)
	VALUES ('bad', '$name', 'stage_entered', 'function', 'bad.$name', '$limit', 1);
INSERT INTO bad.events (contact, what) SELECT coalesce(max(contact), 0) + 1, 'came' FROM bad.events;
SQL
}

sub good_is_told
{
	my ($when) = @_;
	sql(<<'SQL', extra_params => [ '-U', 'good' ]);
INSERT INTO good.events (contact, what) SELECT coalesce(max(contact), 0) + 1, 'came' FROM good.events
SQL
	waits_for("SELECT bool_and(status = 'done') FROM leadscore.lead_outbox WHERE model = 'good'",
		"the good model is told of, $when");
}

################################################################################
# numbers that cannot be reckoned with

good_is_told('at first');
sql("INSERT INTO bad.events (contact, what) VALUES (1, 'came')", extra_params => [ '-U', 'bad' ]);
waits_for("SELECT status = 'done' FROM leadscore.lead_outbox WHERE model = 'bad'", 'so is the bad one');
foreach my $attempts (2147483647, -2147483648)
{
	sql(<<"SQL");
SET session_replication_role = replica;
UPDATE leadscore.outbox_bad SET status = 'ready', available_at = '-infinity', attempts = $attempts
SQL
	good_is_told("whatever the bad one's attempts are: $attempts");
	waits_for("SELECT status = 'done' FROM leadscore.lead_outbox WHERE model = 'bad'", 'which is delivered, too');
}
bad_function('quick', 'void', 'sql', 'SELECT', '1 second');
foreach my $attempts (2147483647, -2147483648)
{
	waits_for("SELECT status <> 'ready' FROM leadscore.lead_outbox WHERE action = 'quick'", 'a call is made, or given up');
	sql(<<"SQL");
SET session_replication_role = replica;
UPDATE leadscore.outbox_bad SET status = 'ready', available_at = '-infinity', attempts = $attempts
 WHERE action = 'quick';
SQL
}
waits_for("SELECT status <> 'ready' FROM leadscore.lead_outbox WHERE action = 'quick'", 'a call is made, or given up');

################################################################################
# functions

# an advisory lock of the session is not left with the worker, and its own is not lost
my $locks = <<'SQL';
SELECT string_agg(objid::text, ' ' ORDER BY objid) FROM pg_locks
 WHERE locktype = 'advisory' AND pid IN (SELECT pid FROM leadscore.activity WHERE role = 'worker')
SQL
my $own = sql($locks);
bad_function('lock', 'void', 'sql', 'SELECT pg_advisory_lock(4711)', '1 second');
waits_for("SELECT status = 'done' FROM leadscore.lead_outbox WHERE action = 'lock'", 'a function takes a lock for the session');
waits_for("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711)", '... which is let go');
bad_function('unlock', 'void', 'sql', 'SELECT pg_advisory_unlock_all()', '1 second');
waits_for("SELECT status = 'done' FROM leadscore.lead_outbox WHERE action = 'unlock'", 'a function lets go of all locks');
waits_for("SELECT ($locks) = '$own'", 'the worker still has its own');

# deferred triggers would be run with the rights of the worker
sql(<<'SQL', extra_params => [ '-U', 'bad' ]);
CREATE TABLE bad.log (as_whom text DEFAULT current_user);
CREATE FUNCTION bad.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO bad.log DEFAULT VALUES; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON bad.log DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION bad.later();
SQL
bad_function('defer', 'void', 'sql', 'INSERT INTO bad.log DEFAULT VALUES', '1 second');
waits_for("SELECT status = 'dead' FROM leadscore.lead_outbox WHERE action = 'defer'",
	'a function that leaves something for the end fails');
is(sql("SELECT last_error FROM leadscore.lead_outbox WHERE action = 'defer'"),
	'cannot fire deferred trigger within security-restricted operation', '... for that');
is(sql('SELECT count(*) FROM bad.log'), 0, '... and nothing is left of it');

# a set of any size is not kept
bad_function('flood', 'SETOF text', 'plpgsql', <<'SQL', '1 minute');
BEGIN RETURN QUERY SELECT repeat('x', 1000) FROM generate_series(1, 200000);
END;
SQL
waits_for("SELECT status = 'done' FROM leadscore.lead_outbox WHERE action = 'flood'", 'a function returns 200 MB');
SKIP:
{
	my ($peak) = eval { slurp_file('/proc/' . worker() . '/status') =~ /VmHWM:\s+(\d+)/ };

	skip 'no /proc', 1 unless $peak;
	cmp_ok($peak, '<', 150_000, 'the worker has not needed so much memory');
}

# whoever handles the end of its time does not go on for ever
bad_function('hang', 'void', 'plpgsql', <<'SQL', '200 ms');
BEGIN LOOP BEGIN PERFORM pg_sleep(1000);
EXCEPTION WHEN query_canceled THEN NULL;
END;
END LOOP;
END;
SQL
waits_for("SELECT status = 'dead' FROM leadscore.lead_outbox WHERE action = 'hang'", 'a function that does not end is ended');
like(sql("SELECT string_agg(last_error, '') FROM leadscore.activity"),
	qr/a function of an action went on after its timeout/, 'the view tells of it');
good_is_told('after that');

################################################################################
# expressions

sub good_goes_on
{
	my ($contact) = @_;
	sql("INSERT INTO good.events (contact, what) VALUES ($contact, 'seen')", extra_params => [ '-U', 'good' ]);
	waits_for(<<"SQL", 'the good model goes on');
SELECT count(*) = 1 FROM leadscore.history_good
 WHERE contact_id = $contact AND to_stage = 'unqualified' AND cause = 'time'
SQL
}

foreach my $who (qw(bad good))
{
	sql(<<"SQL", extra_params => [ '-U', $who ]);
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame, period)
VALUES ('$who', 'seen', 'seen', 10, '1 second', '1 second');
SQL
}
sql(<<'SQL', extra_params => [ '-U', 'bad' ]);
DELETE FROM leadscore.lead_action;
CREATE FUNCTION bad.condition(float8) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF session_user <> 'bad' THEN
		PERFORM pg_sleep(1000);
	END IF;
	RETURN true;
END $$;
UPDATE leadscore.lead_stage SET condition = 'bad.condition(score)' WHERE stage = 'warm';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bad', 'hot', 2, 20);
INSERT INTO bad.events (contact, what) VALUES (2000, 'came'), (2000, 'seen');
SQL
waits_for(<<'SQL', 'a condition that takes for ever is cancelled, and its model blamed');
SELECT count(*) = 1 FROM leadscore.lead_worker_error WHERE model = 'bad' AND message ~ 'took longer than 10 s'
SQL
good_goes_on(2000);
sql(<<'SQL', extra_params => [ '-U', 'bad' ]);
CREATE OR REPLACE FUNCTION bad.condition(float8) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	WHILE session_user <> 'bad' LOOP
		BEGIN
			PERFORM pg_sleep(1000);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
	RETURN true;
END $$;
INSERT INTO bad.events (contact, what) VALUES (3000, 'came'), (3000, 'seen');
SQL
waits_for(<<'SQL', 'one that handles that ends the worker');
SELECT string_agg(last_error, '') ~ 'the worker had to end: an expression took longer' FROM leadscore.activity
SQL
waits_for("SELECT count(*) = 1 FROM leadscore.lead_worker_error WHERE model = 'bad' AND failures > 1",
	'... and its model is blamed again');
good_goes_on(2001);
sql(<<'SQL', extra_params => [ '-U', 'bad' ]);
CREATE OR REPLACE FUNCTION bad.condition(float8) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
SQL
waits_for("SELECT NOT EXISTS (SELECT FROM leadscore.lead_worker_error)", 'all is well when the condition is');
is(sql("SELECT to_stage FROM leadscore.history_bad WHERE contact_id = 3000 AND cause = 'time'"), 'warm',
	'what was due is written');

################################################################################
# anybody may call himself pg_restore

my $session = $node->background_psql('postgres', extra_params => [ '-U', 'bad' ]);
$session->query_safe("SET application_name = 'pg_restore'");
sql('SELECT pg_terminate_backend(' . worker() . ')');
good_goes_on(2002);
$session->quit;

$node->stop;
done_testing();
