# A model's owner breaks what is his: telling what happened fails, and is left alone
# for longer each time, as a model is that cannot be scored.  Others are told of theirs.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = LeadscoreNode->create('delivery', worker => 1, conf => { 'leadscore.naptime' => '50ms' });
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE called (model text, id bigint);
CREATE FUNCTION call(payload jsonb) RETURNS void LANGUAGE sql AS $$
	INSERT INTO public.called VALUES (payload OPERATOR(pg_catalog.->>) 'model', 1)$$;
CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'the outbox of % is broken', TG_TABLE_NAME; END$$;
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['notified', 'called', 'sound'] LOOP
		EXECUTE format('CREATE TABLE person_%1$s (id int PRIMARY KEY);
			CREATE TABLE act_%1$s (person int, at timestamptz DEFAULT now());
			CREATE INDEX ON act_%1$s (person, at)', name);
		PERFORM leadscore.create_model(name, 'person_' || name);
		PERFORM leadscore.attach(name, ('act_' || name)::regclass, 'person', 'at');
		INSERT INTO leadscore.lead_rule (model, name, points) VALUES (name, 'any', 10);
		INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES (name, 'hot', 1, 10);
		INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function) VALUES
			(name, 'tell', 'stage_entered', 'hot', CASE WHEN name = 'notified' THEN 'notify' ELSE 'function' END,
			 CASE WHEN name <> 'notified' THEN 'public.call' END);
	END LOOP;
END$$;
CREATE TRIGGER broken BEFORE UPDATE ON leadscore.outbox_notified FOR EACH ROW EXECUTE FUNCTION broken();
CREATE TRIGGER broken BEFORE UPDATE ON leadscore.outbox_called FOR EACH ROW EXECUTE FUNCTION broken();
INSERT INTO act_notified VALUES (1);
INSERT INTO act_called VALUES (1);
SQL

# complaints counts those of one outbox that were logged.
sub complaints
{
	my ($table) = @_;

	return scalar(() = slurp_file($node->logfile) =~ /ERROR:  the outbox of $table is broken/g);
}

for my $table (qw(outbox_notified outbox_called))
{
	$node->wait_for_log(qr/ERROR:  the outbox of $table is broken/);
}
my $began = time;
for my $i (1 .. 3)
{
	$node->safe_psql('postgres', "INSERT INTO act_sound VALUES ($i)");
	ok($node->poll_query_until('postgres', "SELECT count(*) = $i FROM called"), "another model is told of contact $i");
	sleep 1;
}

# after 1, 2, 4 ... seconds: it may have been tried some times by now, but not in each round
my $most = 3 + int(log(time - $began + 2) / log(2));
for my $table (qw(outbox_notified outbox_called))
{
	my $n = complaints($table);

	cmp_ok($n, '<=', $most, "$table: $n failures in " . int(time - $began + 1) . ' seconds');
}
like($node->safe_psql('postgres', 'SELECT last_error FROM leadscore.activity'),
	qr/the outbox of outbox_\w+ is broken/, 'it is shown');

$node->safe_psql('postgres', <<'SQL');
DROP TRIGGER broken ON leadscore.outbox_notified;
DROP TRIGGER broken ON leadscore.outbox_called;
SQL
for my $model (qw(notified called))
{
	ok($node->poll_query_until('postgres', "SELECT status = 'done' FROM leadscore.outbox_$model"), "$model: told when it can be");
}
$node->stop;
done_testing();
