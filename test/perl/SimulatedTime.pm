# Two years in the life of contacts under three models, with the held clock:
# every kind of rule and decay, events in order, late and dated later, profiles
# that change.  Nothing but refresh() and the triggers writes scores.  At every
# step stored and exact are compared for all contacts; the stages of some are
# told a second time, from replay() and the definition alone.
package SimulatedTime;

use strict;
use warnings;

use Exporter 'import';
use LeadscoreNode;
use Test::More;

our @EXPORT = qw(simulate);

# What three models have in common; %1$s is the model.
my $rules = <<'SQL';
INSERT INTO leadscore.lead_rule (model, name, category, kind, source, event, condition, points, weight, award, at_least, time_frame,
		decay, decay_interval, decay_keep, max_points, max_per_period, period, idle, events_from, events_before, disqualifies)
	SELECT '%1$s', r.* FROM (VALUES
	('form', 'engagement', 'event', 'events', 'form', NULL, 60, NULL, NULL, 1, NULL::interval, 'half_life', interval '30 days',
		NULL::float8, NULL::float8, NULL::float8, NULL::interval, NULL::interval, NULL::timestamptz, NULL::timestamptz, false),
	('page', 'engagement', 'event', 'events', 'page', NULL, 3, NULL, NULL, 1, NULL, 'half_life', '7 days', NULL, NULL,
		NULL, NULL, NULL, NULL, NULL, false),
	('unsubscribed', 'engagement', 'event', 'events', 'unsubscribe', NULL, -45, NULL, NULL, 1, NULL, 'half_life',
		'20 days', NULL, NULL, NULL, NULL, NULL, NULL, NULL, false),
	('bounce', 'engagement', 'event', 'events', 'bounce', NULL, -12, 'w', NULL, 1, NULL, 'half_life', '3 days', NULL,
		NULL, NULL, NULL, NULL, NULL, NULL, false),
	('demo', 'engagement', 'event', 'events', 'demo', NULL, 25, NULL, NULL, 1, NULL, 'linear', '60 days', NULL, NULL,
		NULL, NULL, NULL, NULL, NULL, false),
	('demo, hours', 'engagement', 'event', 'events', 'demo', NULL, 8, NULL, NULL, 1, NULL, 'linear', '36 hours', NULL,
		NULL, NULL, NULL, NULL, NULL, NULL, false),
	('mail', 'engagement', 'event', 'events', 'mail', NULL, 4, NULL, NULL, 1, NULL, 'step', '30 days', 0.5, NULL,
		NULL, NULL, NULL, NULL, NULL, false),
	('mail, framed', 'engagement', 'event', 'events', 'mail', NULL, -2, NULL, NULL, 1, '90 days', 'step', '7 days',
		0.7, NULL, NULL, NULL, NULL, NULL, NULL, false),
	('pages of late', 'engagement', 'event', 'events', 'page', NULL, 1, 'w', NULL, 1, '14 days', 'none', NULL, NULL,
		NULL, NULL, NULL, NULL, NULL, NULL, false),
	('called', 'engagement', 'event', 'events', 'call', NULL, 5, NULL, 'once', 1, NULL, 'none', NULL, NULL, NULL,
		NULL, NULL, NULL, NULL, NULL, false),
	('called of late', 'engagement', 'event', 'events', 'call', NULL, 15, NULL, 'once', 1, NULL, 'half_life',
		'45 days', NULL, NULL, NULL, NULL, NULL, NULL, NULL, false),
	('demo, once', 'engagement', 'event', 'events', 'demo', NULL, 12, NULL, 'once', 1, NULL, 'linear', '40 days',
		NULL, NULL, NULL, NULL, NULL, NULL, NULL, false),
	('three pages', 'engagement', 'event', 'events', 'page', NULL, 15, NULL, NULL, 3, '21 days', 'none', NULL, NULL,
		NULL, NULL, NULL, NULL, NULL, NULL, false),
	('two orders', 'engagement', 'event', 'events', 'order', NULL, 4, 'w', 'each', 2, '60 days', 'none', NULL, NULL,
		NULL, NULL, NULL, NULL, NULL, NULL, false),
	('pages by day', 'engagement', 'event', 'events', 'page', NULL, 2, NULL, NULL, 1, NULL, 'half_life', '30 days',
		NULL, NULL, 5, '1 day', NULL, NULL, NULL, false),
	('mails by week', 'engagement', 'event', 'events', 'mail', NULL, 2, NULL, NULL, 1, '180 days', 'none', NULL, NULL,
		NULL, 3, '7 days', NULL, NULL, NULL, false),
	('orders, limit', 'engagement', 'event', 'events', 'order', NULL, 10, 'w', NULL, 1, NULL, 'half_life', '25 days',
		NULL, 18, NULL, NULL, NULL, NULL, NULL, false),
	('silent', 'engagement', 'absence', NULL, NULL, NULL, -2, NULL, 'each', 1, NULL, 'none', NULL, NULL, 11, NULL,
		NULL, interval '30 days', NULL, NULL, false),
	('no page', 'engagement', 'absence', NULL, 'page', NULL, -8, NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL,
		NULL, '45 days', NULL, NULL, false),
	('not called', 'engagement', 'absence', 'events', 'call', NULL, -3, NULL, 'each', 1, NULL, 'none', NULL, NULL,
		NULL, NULL, NULL, '60 days', '2026-03-01 07:00+00', '2026-10-07 09:30+00', false),
	('lost', 'fit', 'absence', NULL, 'page', NULL, 0, NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL, NULL,
		'150 days', NULL, '2027-09-01 05:43:21+00', true),
	('fits', 'fit', 'profile', NULL, NULL, NULL, 1, 'fits', NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL, NULL, NULL,
		NULL, NULL, false),
	('banned', 'fit', 'profile', NULL, NULL, 'banned', 0, NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL, NULL,
		NULL, NULL, NULL, true)) r;
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES
	('%1$s', 'fit', 'A', 15), ('%1$s', 'fit', 'B', 5), ('%1$s', 'fit', 'C', '-infinity'),
	('%1$s', 'engagement', '1', 40), ('%1$s', 'engagement', '2', 15), ('%1$s', 'engagement', '3', '-infinity');
SQL

my $world = <<'SQL';
SET client_min_messages = warning;
SET leadscore.clock = '2026-01-05 00:00+00';
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY, created timestamptz, fits int, vip bool, banned bool);
CREATE TABLE events (contact int, at timestamptz, what text, w float8);
CREATE INDEX ON events (contact, at);
SELECT leadscore.create_model('m', 'contacts', created_at => 'created');
SELECT leadscore.create_model('ny', 'contacts', created_at => 'created', time_zone => 'America/New_York');
SELECT leadscore.create_model('lim', 'contacts', created_at => 'created', time_zone => 'Australia/Lord_Howe');
SELECT leadscore.attach(m, 'events', 'contact', 'at', event => 'what') FROM unnest('{m,ny,lim}'::text[]) m;
RULES
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, sticky, condition)
	SELECT m, s.* FROM unnest('{m,ny}'::text[]) m, (VALUES
		('warm', 1, 20, 15, false, NULL), ('hot', 2, 50, NULL::float8, false, NULL),
		('vip', 3, 70, 60, false, 'vip'), ('won', 4, 130, 100, true, NULL)) s;

-- the third: limits, weights below nothing, a condition on a category
UPDATE leadscore.lead_category SET weight = -0.7 WHERE model = 'lim' AND category = 'fit';
UPDATE leadscore.lead_category SET min_points = -15, max_points = 70 WHERE model = 'lim' AND category = 'engagement';
UPDATE leadscore.lead_model SET min_score = 2, max_score = 60, max_drift = 0.2, max_drift_ratio = 0.02 WHERE model = 'lim';
UPDATE leadscore.lead_rule SET category = 'fit' WHERE model = 'lim' AND name IN ('page', 'bounce', 'demo', 'mail');
UPDATE leadscore.lead_rule SET max_points = 33 WHERE model = 'lim' AND name IN ('form', 'unsubscribed', 'demo');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, condition) VALUES
	('lim', 'warm', 1, 10, 8, NULL), ('lim', 'hot', 2, 40, 30, 'engagement > 35');

-- what will be written when: events in order, late, on time or dated later
CREATE TABLE plan (written timestamptz, contact int, at timestamptz, what text, w float8);
CREATE TABLE plan_profile (written timestamptz, contact int, fits int, vip bool, banned bool);
CREATE PROCEDURE make_plan(contacts int) LANGUAGE plpgsql AS $$
DECLARE
	t timestamptz;
BEGIN
	PERFORM setseed(0.42);
	FOR c IN 1 .. contacts LOOP
		t := '2026-01-05 00:00+00';
		-- the first is silent from the beginning; others come in bursts
		WHILE c > 1 LOOP
			t := t + (CASE WHEN random() < 0.7 THEN random() * 4 ELSE random() * 150 END) * interval '1 day';
			EXIT WHEN t > '2027-12-20 00:00+00';
			INSERT INTO plan SELECT t, c,
				CASE WHEN r < 0.1 THEN t - random() * interval '40 days'
					WHEN r < 0.2 THEN t + random() * interval '40 days'
					WHEN r < 0.4 THEN t - random() * interval '20 minutes' ELSE t END,
				(ARRAY['form', 'page', 'page', 'page', 'page', 'unsubscribe', 'bounce', 'demo', 'mail', 'mail',
					'call', 'order', 'order'])[1 + floor(random() * 13)::int],
				round((0.5 + 1.5 * random())::numeric, 2)
				FROM random() r, generate_series(1, 1 + floor(random() * 2.5)::int);
			IF random() < 0.1 THEN
				INSERT INTO plan_profile
					SELECT t + random() * interval '3 days', c, floor(random() * 25)::int, random() < 0.6,
						random() < 0.1;
			END IF;
		END LOOP;
	END LOOP;
	-- one instant a contact and a statement
	DELETE FROM plan_profile p USING plan q WHERE p.written = q.written;
END $$;

-- What differs between stored and exact
CREATE TABLE wrong (t timestamptz, model text, contact text, what text, stored text, exact text);
CREATE FUNCTION far(stored float8, exact float8, m leadscore.lead_model) RETURNS bool LANGUAGE sql STABLE AS
	$$ SELECT abs(stored - exact) > greatest(m.max_drift, m.max_drift_ratio * abs(exact)) + 1e-9 * greatest(1, abs(exact)) $$;
CREATE PROCEDURE compare(now timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	BODY
END $$;

-- The definition of stages (models m and ny), told a second time --------------

CREATE TABLE told (model text, contact int, n int, from_stage text, to_stage text, at timestamptz, PRIMARY KEY (model, contact, n));
CREATE TABLE ref (model text, contact int, stage text, since timestamptz, prior text, moved bool, at timestamptz,
	PRIMARY KEY (model, contact)) WITH (fillfactor = 50);

CREATE FUNCTION ref_stage(now text, prior text, score float8, lost bool, vip bool, OUT stage text, OUT kept text)
	LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF lost THEN
		stage := 'disqualified';
		kept := CASE WHEN now = 'won' THEN 'won' ELSE prior END;
		RETURN;
	END IF;
	IF now = 'disqualified' THEN
		now := coalesce(prior, 'none');
	END IF;
	stage := CASE
		WHEN score >= 130 - 130e-9 OR now = 'won' THEN 'won'
		WHEN score >= 70 - 70e-9 AND vip THEN 'vip'
		WHEN now = 'vip' AND score >= 60 - 60e-9 AND vip THEN 'vip'
		WHEN score >= 50 - 50e-9 AND now <> 'vip' THEN 'hot'
		WHEN now IN ('hot', 'vip') AND score >= 49.5 - 49.5e-9 THEN 'hot'
		WHEN score >= 20 - 20e-9 AND now NOT IN ('hot', 'vip') THEN 'warm'
		WHEN now IN ('warm', 'hot', 'vip') AND score >= 15 - 15e-9 THEN 'warm'
		ELSE 'unqualified' END;
END $$;

CREATE FUNCTION lost(who int, t timestamptz) RETURNS bool LANGUAGE sql STABLE AS $$
	SELECT c.banned OR (t < '2027-09-01 05:43:21+00' AND t - greatest(c.created,
		(SELECT max(at) FROM events e WHERE e.contact = who AND e.what = 'page' AND e.at <= t)) >= interval '150 days')
	  FROM contacts c WHERE c.id = who
$$;

CREATE FUNCTION ref_at(r ref, t timestamptz, OUT stage text, OUT kept text) LANGUAGE plpgsql STABLE AS $$
BEGIN
	SELECT s.stage, s.kept INTO stage, kept
	  FROM contacts c, ref_stage(r.stage, r.prior, leadscore.replay(r.model, r.contact, t), lost(c.id, t), c.vip) s WHERE c.id = r.contact;
END $$;

-- ref_step moves a contact to where it is at t, if that is another stage
CREATE PROCEDURE ref_step(INOUT r ref, t timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	s := ref_at(r, t);
	r.at := t;
	r.prior := s.kept;
	IF s.stage <> r.stage THEN
		INSERT INTO told
			SELECT r.model, r.contact, count(*) + 1, r.stage, s.stage, t FROM told o
			 WHERE o.model = r.model AND o.contact = r.contact;
		r.stage := s.stage;
		r.since := t;
		r.moved := true;
	END IF;
END $$;

-- ref_advance goes from where it was to t: where the stage is another one then,
-- the instant of that is found by halving
CREATE PROCEDURE ref_advance(INOUT r ref, t timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	low timestamptz;
	high timestamptz;
	mid timestamptz;
BEGIN
	WHILE (ref_at(r, t)).stage <> r.stage LOOP
		low := r.at;
		high := t;
		WHILE high - low > interval '1 microsecond' LOOP
			mid := low + (high - low) / 2;
			IF (ref_at(r, mid)).stage <> r.stage THEN high := mid; ELSE low := mid; END IF;
		END LOOP;
		CALL ref_step(r, high);
	END LOOP;
	r.at := t;
END $$;

-- ref_all takes those who are told, or one of them, to t
CREATE PROCEDURE ref_all(who int, t timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	r ref;
BEGIN
	FOR r IN SELECT o.* FROM ref o JOIN contacts c ON c.id = o.contact,
			ref_stage(o.stage, o.prior, leadscore.replay(o.model, o.contact, t), lost(c.id, t), c.vip) s
			WHERE (who IS NULL OR o.contact = who) AND s.stage <> o.stage LOOP
		CALL ref_advance(r, t);
		UPDATE ref SET stage = r.stage, since = r.since, prior = r.prior, moved = r.moved WHERE model = r.model AND contact = r.contact;
	END LOOP;
	UPDATE ref SET at = t WHERE who IS NULL OR contact = who;
END $$;

-- ref_write: events or a profile of a contact were written at t; entry is that of
-- the latest event, NULL where it is late or of now
CREATE PROCEDURE ref_write(who int, entry timestamptz, t timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	r ref;
BEGIN
	FOR r IN SELECT * FROM ref WHERE contact = who LOOP
		IF entry IS NOT NULL AND NOT (r.moved AND entry < r.since) THEN
			CALL ref_step(r, entry);
			CALL ref_advance(r, t);
		END IF;
		CALL ref_step(r, t);
		UPDATE ref SET stage = r.stage, since = r.since, prior = r.prior, moved = r.moved, at = t WHERE model = r.model AND contact = who;
	END LOOP;
END $$;

-- The way through time ---------------------------------------------------------

CREATE TABLE counts (compared bigint, replayed bigint, refreshed bigint);
INSERT INTO counts VALUES (0, 0, 0);

-- note_wrong_sides looks at each crossing as it is recorded: replay() is on the
-- one side of a boundary 10 ms before, on the other 10 ms after
CREATE PROCEDURE note_wrong_sides(after timestamptz, late int[]) LANGUAGE sql AS $$
	INSERT INTO wrong
	SELECT h.recorded_at, h.model, h.contact, h.from_stage || ' to ' || h.to_stage || ' at ' || h.changed_at,
		v.before::text, v.since::text
	  FROM leadscore.lead_stage_history h
	  LEFT JOIN leadscore.lead_stage f ON f.model = h.model AND f.stage = h.from_stage
	  LEFT JOIN leadscore.lead_stage t ON t.model = h.model AND t.stage = h.to_stage,
	  LATERAL (SELECT leadscore.replay(h.model, h.contact::int, h.changed_at - interval '10 ms') AS before,
		leadscore.replay(h.model, h.contact::int, h.changed_at) AS at,
		leadscore.replay(h.model, h.contact::int, h.changed_at + interval '10 ms') AS since,
		coalesce(f.leave_below, f.enter_at - least(m.max_drift, abs(f.enter_at) / 2)) AS leave
		FROM leadscore.lead_model m WHERE m.model = h.model) v
	 WHERE h.recorded_at > after AND h.cause = 'time' AND h.contact::int <> ALL (late)
	   AND NOT CASE WHEN 'disqualified' IN (h.from_stage, h.to_stage)
			THEN lost(h.contact::int, h.changed_at - interval '10 ms') = (h.from_stage = 'disqualified')
				AND lost(h.contact::int, h.changed_at + interval '10 ms') = (h.to_stage = 'disqualified')
			WHEN t.position > f.position THEN v.before < t.enter_at AND v.since >= t.enter_at * (1 - 1e-9)
			ELSE v.before >= v.leave * (1 - 1e-9) AND v.since < v.leave END
	   AND NOT (h.model = 'lim' AND 'hot' IN (h.from_stage, h.to_stage));	-- its condition may have ended
	INSERT INTO wrong
	SELECT h.recorded_at, h.model, h.contact, 'score in the history', h.score::text, r::text
	  FROM leadscore.lead_stage_history h, leadscore.replay(h.model, h.contact::int, h.changed_at) r
	 WHERE h.recorded_at > after AND h.cause = 'time' AND h.contact::int <> ALL (late) AND abs(h.score - r) > 1e-6;
$$;

CREATE PROCEDURE write_down(t timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	e record;
	before bigint;
BEGIN
	PERFORM set_config('leadscore.clock', t::text, false);
	FOR e IN SELECT contact, max(at) FILTER (WHERE at <= t) AS entry,
			(SELECT max(v.at) FROM events v WHERE v.contact = p.contact AND v.at <= t) AS last
			FROM plan p WHERE written = t GROUP BY contact LOOP
		CALL ref_all(e.contact, t);
		INSERT INTO events SELECT contact, at, what, w FROM plan WHERE written = t AND contact = e.contact;
		CALL ref_write(e.contact, CASE WHEN e.entry < t AND e.entry >= coalesce(e.last, '-infinity') THEN e.entry END, t);
	END LOOP;
	FOR e IN SELECT * FROM plan_profile WHERE written = t LOOP
		CALL ref_all(e.contact, t);
		UPDATE contacts SET fits = e.fits, vip = e.vip, banned = e.banned WHERE id = e.contact;
		CALL ref_write(e.contact, NULL, t);
	END LOOP;
END $$;

CREATE PROCEDURE simulate(contacts int, told int, step interval) LANGUAGE plpgsql AS $$
DECLARE
	now timestamptz := '2026-01-05 00:00+00';
	until CONSTANT timestamptz := '2028-01-05 00:00+00';
	seen bigint := 0;
	steps int := 0;
	rows bigint;
	changed bigint;
	write_at timestamptz;
	late int[];
BEGIN
	CALL make_plan(contacts);
	CREATE INDEX ON plan (written);
	ANALYZE plan;
	INSERT INTO contacts
		SELECT c, now - c * interval '3 days 5 hours 7 minutes', (c * 7) % 25, c % 2 = 0, false
		  FROM generate_series(1, contacts) c;
	INSERT INTO ref SELECT m, c, 'unqualified', now, NULL, false, now FROM unnest('{m,ny}'::text[]) m, generate_series(1, told) c;
	FOR c IN 1 .. told LOOP
		CALL ref_write(c, NULL, now);
	END LOOP;
	COMMIT;
	WHILE now < until LOOP
		-- writers come between the steps, and find what time has changed
		late := '{}';
		FOR write_at IN SELECT DISTINCT written FROM (SELECT written FROM plan UNION ALL SELECT written FROM plan_profile) p
				WHERE written > now AND written <= now + step ORDER BY 1 LOOP
			CALL write_down(write_at);
			late := late || (SELECT array_agg(contact) FROM plan p WHERE p.written = write_at AND at < write_at - interval '20 minutes');
		END LOOP;
		now := now + step;
		PERFORM set_config('leadscore.clock', now::text, false);
		SELECT leadscore.refresh('m') + leadscore.refresh('ny') + leadscore.refresh('lim') INTO changed;
		CALL compare(now);
		CALL ref_all(NULL, now);
		SELECT count(*) INTO rows FROM leadscore.lead_stage_history;
		IF rows > seen THEN
			CALL note_wrong_sides(now - step, coalesce(late, '{}'));
			seen := rows;
		END IF;
		UPDATE counts SET refreshed = refreshed + changed, compared = compared + 3 * contacts;
		steps := steps + 1;
		-- the engine's evaluation is not its own judge
		IF steps % 250 = 0 THEN
			INSERT INTO wrong
				SELECT now, 'm', l.contact_id, 'replay', l.score, leadscore.replay('m', l.contact_id)
				  FROM leadscore.live_m l WHERE abs(l.score - leadscore.replay('m', l.contact_id)) > 1e-6
				UNION ALL SELECT now, 'ny', l.contact_id, 'replay', l.score, leadscore.replay('ny', l.contact_id)
				  FROM leadscore.live_ny l WHERE abs(l.score - leadscore.replay('ny', l.contact_id)) > 1e-6
				UNION ALL SELECT now, 'lim', l.contact_id, 'replay', l.score, leadscore.replay('lim', l.contact_id)
				  FROM leadscore.live_lim l WHERE abs(l.score - leadscore.replay('lim', l.contact_id)) > 1e-6;
			UPDATE counts SET replayed = replayed + 3 * contacts;
		END IF;
		IF steps % 24 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
	COMMIT;
END $$;
SQL

# compare for one model
my $compare = <<'SQL';
	INSERT INTO wrong
	SELECT now, '%1$s', s.contact_id, v.what, v.stored, v.exact
	  FROM leadscore.score_%1$s s JOIN leadscore.live_%1$s l USING (contact_id), leadscore.lead_model m,
	  LATERAL (VALUES
		('score', s.score::text, l.score::text, far(s.score, l.score, m)),
		('engagement', s.engagement::text, l.engagement::text, far(s.engagement, l.engagement, m)),
		('fit', s.fit::text, l.fit::text, far(s.fit, l.fit, m)),
		('grade', s.grade, l.grade, s.grade IS DISTINCT FROM l.grade),
		-- a condition on a category is looked at when the row is written
		('stage', s.stage || s.stage_since, l.stage || l.stage_since, (s.stage <> l.stage OR s.stage_since <> l.stage_since)
			AND NOT (m.model = 'lim' AND 'hot' IN (s.stage, l.stage))),
		('disqualified', s.disqualified::text, l.disqualified::text, s.disqualified <> l.disqualified)) v (what, stored, exact, differs)
	 WHERE m.model = '%1$s' AND v.differs;
SQL

# simulate runs two years with so many contacts, of whom the first so many have
# their stages told a second time, in steps of so much.
sub simulate
{
	my ($contacts, $told, $step) = @_;
	my $node = LeadscoreNode->create('simulated', library => 'session', conf => { autovacuum => 'on', jit => 'off' });
	my $models = join('', map { sprintf($rules, $_) } qw(m ny lim));
	my $body = join('', map { sprintf($compare, $_) } qw(m ny lim));
	my $sql = $world;

	$sql =~ s/^RULES$/$models/m;
	$sql =~ s/^\tBODY$/$body/m;
	$node->safe_psql('postgres', $sql . "CALL simulate($contacts, $told, '$step');\n");

	my ($compared, $replayed, $refreshed) = split /\|/,
		$node->safe_psql('postgres', 'SELECT compared, replayed, refreshed FROM counts');
	note("$compared rows compared with what is exact, $replayed with replay(), $refreshed written by refresh()");

	is($node->safe_psql('postgres', 'SELECT count(*) FROM wrong'), '0',
		"stored is exact to the drift after each $step of two years")
	  or diag($node->safe_psql('postgres', 'SELECT * FROM wrong ORDER BY t LIMIT 20'));
	is($node->safe_psql('postgres', <<'SQL'), '', 'the stages told from replay() and those in the history are the same, to 10 ms');
		SELECT coalesce(t.model, h.model), coalesce(t.contact, h.contact), t.from_stage, t.to_stage, t.at,
			h.from_stage, h.to_stage, h.changed_at, h.cause
		  FROM told t FULL JOIN (
			SELECT h.model, h.contact::int,
				row_number() OVER (PARTITION BY h.model, h.contact ORDER BY h.recorded_at, h.changed_at,
					h.place) AS n,
				h.from_stage, h.to_stage, h.changed_at, h.cause
			  FROM (SELECT *, row_number() OVER () AS place FROM leadscore.lead_stage_history) h
			    JOIN ref r ON r.model = h.model AND r.contact = h.contact::int) h
			ON h.model = t.model AND h.contact = t.contact AND h.n = t.n
		 WHERE (t.from_stage = h.from_stage AND t.to_stage = h.to_stage
			AND abs(extract(epoch FROM t.at - h.changed_at)) <= 0.010) IS NOT TRUE
		 ORDER BY 1, 2, coalesce(t.n, h.n) LIMIT 20
SQL
	is($node->safe_psql('postgres', <<'SQL'), '', 'the history of every contact is a chain in the order of time, written when it happened or later');
		SELECT * FROM (SELECT h.*, lag(to_stage) OVER w AS before, lag(changed_at) OVER w AS earlier
			FROM (SELECT *, row_number() OVER () AS place FROM leadscore.lead_stage_history) h
			WINDOW w AS (PARTITION BY model, contact ORDER BY recorded_at, changed_at, place)) h
		 WHERE coalesce(before, 'unqualified') <> from_stage OR earlier > changed_at OR recorded_at < changed_at LIMIT 20
SQL
	is($node->safe_psql('postgres', "SELECT m, v.* FROM unnest('{m,ny,lim}'::text[]) m, leadscore.verify(m) v"), '',
		'what is stored is what replay() gives');
	is($node->safe_psql('postgres',
		join(' UNION ALL ', map { "SELECT '$_', contact_id FROM leadscore.due_$_ GROUP BY 2 HAVING count(*) > 1" } qw(m ny lim))),
		'', 'one due row a contact at most');

	# that all this was put to the test
	my $what = $node->safe_psql('postgres', <<'SQL');
		SELECT string_agg(format('%s > %s %s', from_stage, to_stage, n), ', ' ORDER BY from_stage, to_stage)
		  FROM (SELECT from_stage, to_stage, count(*) AS n FROM leadscore.lead_stage_history WHERE cause = 'time' GROUP BY 1, 2) h
SQL
	note("by time: $what");
	note($node->safe_psql('postgres', "SELECT cause || ' ' || count(*) FROM leadscore.lead_stage_history GROUP BY cause"));
	for my $kind ('unqualified > warm', 'warm > unqualified', 'warm > hot', 'hot > warm', 'vip > hot',
		'warm > disqualified', 'disqualified > ')
	{
		like($what, qr/\b$kind/, "time brought about $kind");
	}
	$node->stop;
	return;
}

1;
