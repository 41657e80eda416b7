# Expressions that fail, contacts that cannot be keys and row triggers, with the worker running.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('failures', worker => 1, conf => { 'leadscore.naptime' => '100ms' });
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE person (id text PRIMARY KEY);
CREATE TABLE act (person text, at timestamptz, what text);
CREATE INDEX ON act (at);
SELECT leadscore.create_model('m', 'person'), leadscore.attach('m', 'act', 'person', 'at', mode => 'queued');
CREATE TABLE wrong (is_so boolean);
INSERT INTO wrong VALUES (false);
CREATE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 = 'bad' AND (SELECT is_so FROM public.wrong) THEN
		RAISE 'not as it should be' USING ERRCODE = 'XX000';
	END IF;
	RETURN true;
END $$;
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('m', 'raises', 1, 'public.raises(what)');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('m', 'fades', 100, 'half_life', '2 seconds');
CREATE TABLE seen (contact text, op text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen VALUES (NEW.contact_id, TG_OP);
	RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW EXECUTE FUNCTION see();
INSERT INTO leadscore_internal.lead_rule_error
	SELECT 'm', 1, 'old', now() - d * interval '1 day', 1, '22012', 'old', NULL FROM unnest(ARRAY[29, 31]) d;
SQL

# queued events with contacts that are no keys: the writer is warned, the worker is not stopped
$node->safe_psql('postgres', <<'SQL');
INSERT INTO act SELECT string_agg(md5(n::text), ''), now(), 'x' FROM generate_series(1, 400) n;
INSERT INTO act VALUES (repeat('x', 100000), now(), 'x'), ('a', now(), 'x');
SQL
$node->within(60, "SELECT array_agg(contact_id) = '{a}' FROM leadscore.score_m",
	'the worker adds the one that has a key', 'postgres');
$node->within(60, "SELECT count(*) > 1 AND bool_or(op = 'UPDATE') FROM seen WHERE contact = 'a'",
	'row triggers fire for what the worker adds, and for what is due', 'postgres');
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.rule_errors WHERE name = 'source act' AND sqlstate = '54000'"),
	1, 'the others are recorded');
$node->within(60, "SELECT count(*) = 1 FROM leadscore_internal.lead_rule_error WHERE name = 'old'",
	'the worker deletes failures that are too old', 'postgres');

# an internal error, which is over when the model is compiled again: it would be after a minute, too
$node->safe_psql('postgres', <<'SQL');
UPDATE wrong SET is_so = true;
INSERT INTO act VALUES ('b', now(), 'bad'), ('c', now(), 'x');
SQL
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.score_m WHERE contact_id IN ('b', 'c')"), 0,
	'nothing is stored after an internal error');
is($node->safe_psql('postgres', "SELECT count(DISTINCT contact_id) FROM leadscore.pending_m WHERE contact_id IN ('b', 'c')"),
	2, '... but noted');
$node->safe_psql('postgres', <<'SQL');
UPDATE wrong SET is_so = false;
UPDATE leadscore.lead_rule SET points = 2 WHERE name = 'raises';
SQL
$node->within(60, "SELECT count(*) = 2 FROM leadscore.score_m WHERE contact_id IN ('b', 'c')",
	'the worker counts it when that is over', 'postgres');
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.verify('m') WHERE status = 'wrong'"), 0,
	'and the scores are right');

$node->stop;
done_testing();
