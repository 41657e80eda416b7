-- Holds the engine against the oracle.  Load after the extension and oracle.sql.
--
--   oracle.differences(model, instants)    score() and replay() of every known contact at every instant
--   oracle.stored_differences(model)       rows of score_<model>, each at its own scored_at
--   oracle.drift_differences(model)        rows of score_<model> at the clock, after a refresh: within the model's drift
--   oracle.live_differences(model)         live_<model> and score() without an instant, at the clock; top() against these rows
--   oracle.explain_differences(model, contacts, instants)    points of each rule; in pairs
--
-- No row means no difference.

CREATE TYPE oracle.difference AS (what text, contact text, t timestamptz, engine text, oracle text, bound float8);

CREATE FUNCTION oracle.differences(model_name text, instants timestamptz[]) RETURNS SETOF oracle.difference
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($query$
		WITH expected AS MATERIALIZED (SELECT * FROM oracle.scores($1, $2)),
		got AS (
			SELECT e.*, v.*
			FROM expected e,
			LATERAL (VALUES
				('score', leadscore.score($1, e.contact::%1$s, e.t)),
				('replay', leadscore.replay($1, e.contact::text, e.t))) v (what, value))
		SELECT what, contact, t, value::text, score::text, bound
		FROM got
		WHERE (abs(value - score) <= bound) IS NOT TRUE
		$query$, oracle.key_type(model_name)) USING model_name, instants;
END
$$;

-- What a row of a table with the columns of score_<model> says, beside what the oracle says at `t`.
CREATE FUNCTION oracle.row_differences(label text, stored jsonb, expected record) RETURNS SETOF oracle.difference
LANGUAGE plpgsql AS $$
DECLARE
	category record;
BEGIN
	IF (abs((stored->>'score')::float8 - expected.score) <= expected.bound) IS NOT TRUE THEN
		RETURN NEXT ROW(label || ' score', expected.contact, expected.t, stored->>'score', expected.score::text, expected.bound)::oracle.difference;
	END IF;
	FOR category IN SELECT key, value::float8 FROM jsonb_each_text(expected.categories) LOOP
		IF (abs((stored->>category.key)::float8 - category.value) <= expected.bound) IS NOT TRUE THEN
			RETURN NEXT ROW(label || ' category ' || category.key, expected.contact, expected.t, stored->>category.key,
				category.value::text, expected.bound)::oracle.difference;
		END IF;
	END LOOP;
	IF stored->>'grade' IS DISTINCT FROM expected.grade AND NOT expected.on_edge THEN
		RETURN NEXT ROW(label || ' grade', expected.contact, expected.t, stored->>'grade', expected.grade, NULL)::oracle.difference;
	END IF;
	IF (stored->>'disqualified')::bool IS DISTINCT FROM expected.disqualified THEN
		RETURN NEXT ROW(label || ' disqualified', expected.contact, expected.t, stored->>'disqualified',
			expected.disqualified::text, NULL)::oracle.difference;
	END IF;
END
$$;

-- Contacts of which something waits to be folded in, where the extension has such a table.
CREATE FUNCTION oracle.pending_contacts(model_name text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass(format('leadscore.%I', 'pending_' || model_name)) IS NOT NULL THEN
		RETURN QUERY EXECUTE format('SELECT DISTINCT contact_id::text FROM leadscore.%I', 'pending_' || model_name);
	END IF;
END
$$;

-- Rows written under other rules than today's, and contacts of which something is pending, are left out where
-- current_only.
CREATE FUNCTION oracle.stored_differences(model_name text, current_only bool DEFAULT false) RETURNS SETOF oracle.difference
LANGUAGE plpgsql AS $$
DECLARE
	stored jsonb;
	waiting text[];
BEGIN
	EXECUTE format('SELECT jsonb_object_agg(contact_id::text, to_jsonb(s) - ''state'') FROM leadscore.%I s',
		'score_' || model_name) INTO stored;
	IF current_only THEN
		waiting := ARRAY(SELECT * FROM oracle.pending_contacts(model_name));
		stored := stored - waiting;
	END IF;

	RETURN QUERY SELECT 'no row', k.contact, NULL::timestamptz, NULL::text, 'a known contact', NULL::float8
	FROM oracle.known_contacts(model_name) k
	WHERE NOT coalesce(stored ? k.contact, false) AND (k.contact = ANY (waiting)) IS NOT TRUE;

	RETURN QUERY SELECT 'a row', s.key, NULL::timestamptz, 'a row', 'nobody known', NULL::float8
	FROM jsonb_each(stored) s
	WHERE s.key NOT IN (SELECT contact FROM oracle.known_contacts(model_name))
		AND NOT EXISTS (SELECT FROM oracle.edge e WHERE e.model = model_name AND e.key = s.key);

	RETURN QUERY
	WITH stored_rows AS (
		SELECT key AS contact, value, (value->>'scored_at')::timestamptz AS scored_at
		FROM jsonb_each(stored)
		WHERE NOT EXISTS (SELECT FROM oracle.edge e WHERE e.model = model_name AND e.kind = 'contact' AND e.key = jsonb_each.key)
			AND (NOT current_only
				OR (value->>'rules_version')::int8 = (SELECT rules_version FROM leadscore.lead_model WHERE model = model_name))),
	asked AS (SELECT array_agg(contact) AS contacts, array_agg(scored_at) AS instants FROM stored_rows)
	SELECT d.*
	FROM asked a, oracle.scores(model_name, a.contacts, a.instants) e
	JOIN stored_rows s ON s.contact = e.contact,
	LATERAL oracle.row_differences('stored', s.value, e) d;

	RETURN QUERY
	SELECT 'scored_at', key, leadscore.clock(), value->>'scored_at', 'not after the clock', NULL::float8
	FROM jsonb_each(stored)
	WHERE ((value->>'scored_at')::timestamptz <= leadscore.clock()) IS NOT TRUE;

	RETURN QUERY
	SELECT 'has_contact', s.key, NULL::timestamptz, s.value->>'has_contact', (c.contact IS NOT NULL)::text, NULL::float8
	FROM jsonb_each(stored) s
	LEFT JOIN oracle.contact_rows(model_name) c ON c.contact = s.key
	WHERE (s.value->>'has_contact')::bool IS DISTINCT FROM (c.contact IS NOT NULL);
END
$$;

-- What time does to stored rows: numbers stay within the drift, all else is as it is, and nobody is overdue.
CREATE FUNCTION oracle.drift_differences(model_name text) RETURNS SETOF oracle.difference
LANGUAGE plpgsql AS $$
DECLARE
	stored jsonb;
	expected record;
	allowed record;
	number record;
BEGIN
	EXECUTE format('SELECT jsonb_object_agg(contact_id::text, to_jsonb(s) - ''state'') FROM leadscore.%I s',
		'score_' || model_name) INTO stored;
	SELECT max_drift, max_drift_ratio INTO allowed FROM leadscore.lead_model WHERE model = model_name;
	FOR expected IN SELECT * FROM oracle.scores(model_name, ARRAY[leadscore.clock()]) LOOP
		CONTINUE WHEN NOT coalesce(stored ? expected.contact, false);
		FOR number IN SELECT 'score' AS key, expected.score AS value
			UNION ALL SELECT key, value::float8 FROM jsonb_each_text(expected.categories) LOOP
			IF (abs((stored->expected.contact->>number.key)::float8 - number.value)
				<= greatest(allowed.max_drift, allowed.max_drift_ratio * abs(number.value)) + expected.bound) IS NOT TRUE THEN
				RETURN NEXT ROW('drift of ' || number.key, expected.contact, expected.t, stored->expected.contact->>number.key,
					number.value::text, expected.bound)::oracle.difference;
			END IF;
		END LOOP;
		IF stored->expected.contact->>'grade' IS DISTINCT FROM expected.grade AND NOT expected.on_edge THEN
			RETURN NEXT ROW('grade after a refresh', expected.contact, expected.t, stored->expected.contact->>'grade', expected.grade, NULL)::oracle.difference;
		END IF;
		IF (stored->expected.contact->>'disqualified')::bool IS DISTINCT FROM expected.disqualified THEN
			RETURN NEXT ROW('disqualified after a refresh', expected.contact, expected.t, stored->expected.contact->>'disqualified',
				expected.disqualified::text, NULL)::oracle.difference;
		END IF;
	END LOOP;
	RETURN QUERY EXECUTE format($query$
		SELECT 'due', coalesce(d.contact_id, s.contact_id)::text, d.due_at, d.due_at::text,
			'one row a contact, in the time to come, as its state has it: ' || leadscore.state_text(s.state), NULL::float8
		FROM leadscore.%I d FULL JOIN leadscore.%I s USING (contact_id)
		WHERE s.contact_id IS NULL OR d.due_at <= leadscore.clock()
			OR coalesce('due at ' || d.due_at || CASE WHEN d.drift THEN ' for drift' ELSE '' END, '') IS DISTINCT FROM coalesce(substring(leadscore.state_text(s.state) FROM 'due at [^,\n]*'), '')
		$query$, 'due_' || model_name, 'score_' || model_name);
END
$$;

-- top() has the best of these rows: which of equal scores is left to the order of keys
CREATE FUNCTION oracle.top_differences(model_name text, k int, live jsonb)
RETURNS TABLE (contact text, found text, wanted text) LANGUAGE sql AS $$
	WITH best AS MATERIALIZED (SELECT * FROM leadscore.top(model_name, k)),
	here AS MATERIALIZED (
		SELECT key, (value->>'score')::float8 AS score, value->>'grade' AS grade, value->>'stage' AS stage
		FROM jsonb_each(live) WHERE NOT (value->>'disqualified')::boolean)
	SELECT b.contact, b::text, h::text
	FROM best b LEFT JOIN here h ON h.key = b.contact
	WHERE (h.score, h.grade, h.stage) IS DISTINCT FROM (b.score, b.grade, b.stage)
	UNION ALL
	SELECT b.contact, b::text, 'once' FROM best b GROUP BY b.contact, b HAVING count(*) > 1
	UNION ALL
	SELECT h.key, NULL, h::text
	FROM here h
	WHERE h.key NOT IN (SELECT b.contact FROM best b)
		AND ((SELECT count(*) FROM best) < k OR h.score > (SELECT min(b.score) FROM best b))
$$;

CREATE FUNCTION oracle.live_differences(model_name text) RETURNS SETOF oracle.difference
LANGUAGE plpgsql AS $$
DECLARE
	live jsonb;
BEGIN
	EXECUTE format('SELECT jsonb_object_agg(contact_id::text, to_jsonb(l)) FROM leadscore.%I l', 'live_' || model_name) INTO live;
	RETURN QUERY
	WITH expected AS MATERIALIZED (SELECT * FROM oracle.scores(model_name, ARRAY[leadscore.clock()]))
	SELECT 'score without an instant', e.contact, e.t, s::text, e.score::text, e.bound
	FROM expected e, LATERAL leadscore.score(model_name, e.contact) s
	WHERE (abs(s - e.score) <= e.bound) IS NOT TRUE
	UNION ALL
	SELECT d.*
	FROM expected e, LATERAL oracle.row_differences('live', coalesce(live->e.contact, '{}'), e) d
	UNION ALL
	SELECT 'a live row', l.key, leadscore.clock(), 'a row', 'nobody known', NULL::float8
	FROM jsonb_each(live) l
	WHERE l.key NOT IN (SELECT contact FROM oracle.known_contacts(model_name))
		AND NOT EXISTS (SELECT FROM oracle.edge e WHERE e.model = model_name AND e.key = l.key)
	UNION ALL
	SELECT 'top ' || k, d.contact, leadscore.clock(), d.found, d.wanted, NULL::float8
	FROM unnest(ARRAY[1, 3, 10000]) k, LATERAL oracle.top_differences(model_name, k, live) d;
END
$$;

CREATE FUNCTION oracle.explain_differences(model_name text, contacts text[], instants timestamptz[])
RETURNS TABLE (what text, contact text, t timestamptz, rule_id bigint, engine text, oracle text, bound float8, definition text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH explained AS MATERIALIZED (
		SELECT a.contact, a.t, x.*
		FROM unnest(contacts, instants) AS a (contact, t), leadscore.explain(model_name, a.contact, a.t) x)
	SELECT v.what, o.contact, o.t, o.rule_id, v.engine, v.oracle, 1e-9 * greatest(1, o.gross),
		jsonb_strip_nulls(to_jsonb(r) - '{model,backfilled_version}'::text[])::text
	FROM oracle.rules(model_name, contacts, instants) o
	JOIN leadscore.lead_rule r ON r.rule_id = o.rule_id
	LEFT JOIN explained e ON e.contact = o.contact AND e.t = o.t AND e.rule_id = o.rule_id,
	LATERAL (VALUES
		('points', e.points::text, o.points::text,
			CASE WHEN r.enabled THEN abs(e.points - o.points) <= 1e-9 * greatest(1, o.gross)
				ELSE coalesce(e.points, 0) = 0 END),
		-- what counts as a match of other rules is not laid down
		('matched', e.matched::text, o.matched::text,
			NOT r.enabled OR r.kind <> 'event' OR r.time_frame IS NOT NULL OR e.matched::text = o.matched::text),
		('category', e.category, o.category, NOT r.enabled OR e.category = o.category)) v (what, engine, oracle, equal)
	WHERE v.equal IS NOT TRUE;
END
$$;

-- Two states of a contact, as state_text() shows them, that differ in more than what was rounded, or when the contact is due.
CREATE FUNCTION oracle.states_differ(one text, other text) RETURNS bool LANGUAGE sql AS $$
	SELECT regexp_replace(one, ', (sum|due at) [^,\n]*', '', 'g') IS DISTINCT FROM regexp_replace(other, ', (sum|due at) [^,\n]*', '', 'g')
		OR EXISTS (SELECT
			FROM regexp_matches(one, ', sum (-?[0-9.]+(?:e[-+]?[0-9]+)?)', 'g') WITH ORDINALITY a (sum, n)
			FULL JOIN regexp_matches(other, ', sum (-?[0-9.]+(?:e[-+]?[0-9]+)?)', 'g') WITH ORDINALITY b (sum, n) USING (n)
			WHERE (abs(a.sum[1]::float8 - b.sum[1]::float8) <= 1e-9 * greatest(1, abs(a.sum[1]::float8))) IS NOT TRUE)
$$;
