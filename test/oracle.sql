-- The oracle: what a score means, written a second time.
--
-- Every function below stands for one sentence or paragraph of "Meaning of a score" in the design and
-- says which; the words after a "Design:" are quoted from it.  It reads the event tables, the contact table
-- and the rows of leadscore.lead_model, lead_category, lead_source, lead_grade and lead_rule, and nothing else:
-- no state, no stored score and no function of the engine, so that it can disagree with it.  Who is whose, and
-- what has been purged, whoever tests writes down himself, in oracle.edge and in tables oracle.purged_<table>.
-- It is meant to be read, not to be fast.  Instants and intervals are bigint microseconds, sums are numeric.
--
--   oracle.rules(model, contacts, instants)    what each rule contributes; asked in pairs (contact, instant)
--   oracle.scores(model, contacts, instants)   score, categories, grade, disqualified, and the bound; in pairs
--   oracle.scores(model, instants)             the same for every known contact at every instant
--   oracle.score(model, contact, instant)      one number
--
-- Contacts are given and returned as text.  Load with psql after the tables of schema leadscore exist.

CREATE SCHEMA oracle;


----------------------------------------------------------------------------------------------------------------
-- Numbers

-- The shortest decimal that reads back as x: float8::numeric would keep 15 digits only.
CREATE FUNCTION oracle.exact(x float8) RETURNS numeric
LANGUAGE sql STABLE AS $$ SELECT x::text::numeric $$;

-- Back to float8.  What is below 1e-300 is nothing: PostgreSQL raises an error where a float8 underflows.
CREATE FUNCTION oracle.rounded(x numeric) RETURNS float8
LANGUAGE sql STABLE AS $$ SELECT round(x, 300)::float8 $$;

CREATE FUNCTION oracle.floor_div(a bigint, b bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT a / b - CASE WHEN a % b < 0 THEN 1 ELSE 0 END $$;

-- NULL means no limit on that side.  greatest() and least() ignore NULL.
CREATE FUNCTION oracle.clamp(x numeric, low numeric, high numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$ SELECT least(greatest(x, low), high) $$;


----------------------------------------------------------------------------------------------------------------
-- Time

-- Design: "seconds(i) = 86400 x (365 x years + 30 x remaining months + days) + the time part,
-- years = months div 12".
CREATE FUNCTION oracle.usec(i interval) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
	SELECT (86400000000 * (365 * extract(year FROM i) + 30 * extract(month FROM i) + extract(day FROM i))
			+ 3600000000 * extract(hour FROM i)
			+ 60000000 * extract(minute FROM i)
			+ extract(microseconds FROM i))::bigint
$$;

-- Design: "All arithmetic on instants is in int64 microseconds."
CREATE FUNCTION oracle.usec(x timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT (extract(epoch FROM x) * 1000000)::bigint $$;

-- What the clocks of that time zone show, in microseconds since 1970-01-01 00:00 on those clocks.
CREATE FUNCTION oracle.wall_clock(x timestamptz, zone text) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT (extract(epoch FROM x AT TIME ZONE zone) * 1000000)::bigint $$;

-- Design: "A timestamp or date column is read in the source's time zone (default: the model's, default UTC),
-- as AT TIME ZONE does, never the session's."  Returns the SQL that reads the column as a timestamptz.
CREATE FUNCTION oracle.instant_sql(relation regclass, column_name text, zone text) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT CASE atttypid
			WHEN 'pg_catalog.timestamptz'::regtype THEN format('%I', attname)
			WHEN 'pg_catalog.timestamp'::regtype THEN format('(%I AT TIME ZONE %L)', attname, zone)
			WHEN 'pg_catalog.date'::regtype THEN format('(%I::pg_catalog.timestamp AT TIME ZONE %L)', attname, zone)
		END
	FROM pg_catalog.pg_attribute
	WHERE attrelid = relation AND attname = column_name AND NOT attisdropped
$$;


----------------------------------------------------------------------------------------------------------------
-- Contacts and rows of sources

CREATE FUNCTION oracle.key_type(model_name text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog AS $$
	SELECT format_type(a.atttypid, a.atttypmod)
	FROM leadscore.lead_model m
	JOIN pg_catalog.pg_attribute a ON a.attrelid = m.contacts AND a.attname = m.key
	WHERE m.model = model_name
$$;

-- Reference: "A contact may have up to 1,000 bytes, and 2,000 as text: a row with a longer one counts for nobody".
CREATE FUNCTION oracle.usable(value anyelement) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
	SELECT octet_length(value::text) <= CASE WHEN typcategory = 'S' THEN 1000 ELSE 2000 END
	FROM pg_catalog.pg_type WHERE oid = pg_typeof(value)
$$;

-- The SQL of a column as a key, as text; NULL where that is none.
CREATE FUNCTION oracle.key_sql(model_name text, column_name text) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN (SELECT typlen > 0 FROM pg_catalog.pg_type WHERE oid = oracle.key_type(model_name)::regtype)
		THEN format('%I::%s::text', column_name, oracle.key_type(model_name))
		ELSE format('CASE WHEN oracle.usable(%1$I::%2$s) THEN %1$I::%2$s::text END', column_name, oracle.key_type(model_name)) END
$$;

-- Contacts that are merged into others (kind contact: key counts for contact), and visitors that are identified
-- (kind visitor: anonymous rows of the visitor key count for contact).
CREATE TABLE oracle.edge (model text, kind text, key text, contact text NOT NULL, PRIMARY KEY (model, kind, key));

-- Whom the events of a contact count for in the end.
CREATE FUNCTION oracle.root(model_name text, contact text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
	next text;
BEGIN
	LOOP
		SELECT e.contact INTO next FROM oracle.edge e WHERE e.model = model_name AND e.kind = 'contact' AND e.key = root.contact;
		EXIT WHEN NOT FOUND;
		contact := next;
	END LOOP;
	RETURN contact;
END
$$;

-- The SQL that says whom a row of a source counts for.
CREATE FUNCTION oracle.contact_sql(model_name text, contact_column text, visitor_column text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
	expression text := oracle.key_sql(model_name, contact_column);
BEGIN
	IF visitor_column IS NOT NULL THEN
		expression := format('coalesce(%s, (SELECT v.contact FROM oracle.edge v WHERE v.model = %L AND v.kind = ''visitor'' AND v.key = %I::text))',
			expression, model_name, visitor_column);
	END IF;
	IF EXISTS (SELECT FROM oracle.edge e WHERE e.model = model_name AND e.kind = 'contact') THEN
		expression := format('oracle.root(%L, %s)', model_name, expression);
	END IF;
	RETURN expression;
END
$$;

-- The table that has what was purged from another, NULL where nothing was.
CREATE FUNCTION oracle.purged(relation regclass) RETURNS regclass
LANGUAGE sql STABLE AS $$
	SELECT to_regclass(format('oracle.%I', 'purged_' || relname)) FROM pg_catalog.pg_class WHERE oid = relation
$$;

-- Design: "Rows whose contact or time is NULL, or whose time is infinite, are not scored."  Returns the rows of
-- one source that are; only those named event_name where that is not NULL ("event equal, compared as text
-- bytewise, where given").  A source without an event column has no row of any name.
CREATE FUNCTION oracle.rows_of_source(model_name text, source_name text, event_name text)
RETURNS TABLE (contact text, occurred_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
	s record;
	one regclass;
BEGIN
	SELECT src.relation, oracle.contact_sql(src.model, src.contact, src.visitor) AS contact, src.event,
		oracle.instant_sql(src.relation, src.occurred_at, coalesce(src.time_zone, m.time_zone, 'UTC')) AS instant
	INTO STRICT s
	FROM leadscore.lead_source src
	JOIN leadscore.lead_model m ON m.model = src.model
	WHERE src.model = model_name AND src.source = source_name;

	IF event_name IS NOT NULL AND s.event IS NULL THEN
		RETURN;
	END IF;

	FOREACH one IN ARRAY array_remove(ARRAY[s.relation, oracle.purged(s.relation)], NULL) LOOP
		RETURN QUERY EXECUTE format('SELECT %s, %s FROM %s WHERE %s IS NOT NULL AND isfinite(%s) AND %s AND (tableoid = ANY (%L)) IS NOT TRUE',
			s.contact, s.instant, one, s.contact, s.instant,
			CASE WHEN event_name IS NULL THEN 'true' ELSE format('%I::text COLLATE "C" = %L', s.event, event_name) END,
			oracle.foreign_below(one));
	END LOOP;
END
$$;

-- Reference: rows of foreign tables do not count.
CREATE FUNCTION oracle.foreign_below(relation regclass) RETURNS oid[]
LANGUAGE sql STABLE AS $$
	WITH RECURSIVE below AS (
		SELECT relation::oid AS oid
		UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
	SELECT array_agg(c.oid) FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid WHERE c.relkind = 'f'
$$;

CREATE FUNCTION oracle.rows_of_every_source(model_name text, event_name text DEFAULT NULL)
RETURNS TABLE (contact text, occurred_at timestamptz)
LANGUAGE sql STABLE AS $$
	SELECT r.contact, r.occurred_at
	FROM leadscore.lead_source s, oracle.rows_of_source(s.model, s.source, event_name) r
	WHERE s.model = model_name
$$;

-- Every row of the contact table, with its created_at column where the model names one.
CREATE FUNCTION oracle.contact_rows(model_name text)
RETURNS TABLE (contact text, created_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
	m leadscore.lead_model;
BEGIN
	SELECT * INTO STRICT m FROM leadscore.lead_model WHERE model = model_name;
	RETURN QUERY EXECUTE format('SELECT * FROM (SELECT %s AS contact, %s FROM %s WHERE (tableoid = ANY (%L)) IS NOT TRUE) AS c WHERE contact IS NOT NULL',
		oracle.key_sql(model_name, m.key),
		CASE WHEN m.created_at IS NULL THEN 'NULL::timestamptz'
			ELSE oracle.instant_sql(m.contacts, m.created_at, coalesce(m.time_zone, 'UTC')) END,
		m.contacts, oracle.foreign_below(m.contacts));
END
$$;

-- Who has a score: contacts with a row in the contact table or with a scored row in any source, whatever its time.
-- Those that are merged into others are left out.
CREATE FUNCTION oracle.known_contacts(model_name text) RETURNS TABLE (contact text)
LANGUAGE sql STABLE AS $$
	SELECT c.contact FROM oracle.contact_rows(model_name) c
	WHERE NOT EXISTS (SELECT FROM oracle.edge e WHERE e.model = model_name AND e.kind = 'contact' AND e.key = c.contact)
	UNION
	SELECT contact FROM oracle.rows_of_every_source(model_name)
$$;

-- Design: "The contact's beginning is its created_at column where the model has one and it is finite, else the
-- time of its earliest event <= t in any attached table; with neither an absence contributes nothing."
CREATE FUNCTION oracle.beginnings(model_name text, contacts text[], instants timestamptz[])
RETURNS TABLE (contact text, t timestamptz, beginning timestamptz)
LANGUAGE sql STABLE AS $$
	WITH asked AS (SELECT DISTINCT * FROM unnest(contacts, instants) AS a (contact, t)),
	events AS (SELECT contact, min(occurred_at) AS occurred_at
		FROM oracle.rows_of_every_source(model_name)
		GROUP BY contact)
	SELECT a.contact, a.t,
		CASE WHEN isfinite(c.created_at) THEN c.created_at ELSE e.occurred_at END
	FROM asked a
	LEFT JOIN oracle.contact_rows(model_name) c ON c.contact = a.contact
	LEFT JOIN events e ON e.contact = a.contact AND e.occurred_at <= a.t
$$;


----------------------------------------------------------------------------------------------------------------
-- Rows that match a rule

CREATE TYPE oracle.scored_row AS (contact text, occurred_at timestamptz, points_w numeric);

-- Runs `query`, in which @relation@ stands for the relation's rows, over the relation: at once where no row raises an
-- error, else row by row, leaving out the rows that do.
-- Reference: "If `condition` or `weight` fails on a row (...), or the weight is not a number between -1e100 and 1e100, the
-- row does not match the rule".
CREATE FUNCTION oracle.rows_that_work(query text, relation regclass) RETURNS SETOF oracle.scored_row
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found oracle.scored_row[];
	name_only text;
	one record;
BEGIN
	SELECT quote_ident(relname) INTO STRICT name_only FROM pg_class WHERE oid = relation;
	query := format('SELECT array_agg(ROW(q.*)::oracle.scored_row) FROM (%s) AS q'
		' WHERE q.points_w <> ''NaN''',
		query);
	BEGIN
		IF oracle.foreign_below(relation) IS NULL THEN
			EXECUTE replace(query, '@relation@', relation::text) INTO found;
			RETURN QUERY SELECT * FROM unnest(found);
			RETURN;
		END IF;
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;

	-- OFFSET 0 keeps the expression away from the relation's other rows.
	FOR one IN EXECUTE format('SELECT tableoid, ctid FROM %s WHERE (tableoid = ANY (%L)) IS NOT TRUE', relation, oracle.foreign_below(relation)) LOOP
		BEGIN
			EXECUTE replace(query, '@relation@', format(
				'(SELECT x.* FROM %s AS x WHERE x.tableoid = %L AND x.ctid = %L OFFSET 0) AS %s',
				relation, one.tableoid, one.ctid, name_only)) INTO found;
			RETURN QUERY SELECT * FROM unnest(found);
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
END
$$;

-- Design: "`condition` true: NULL is false, none is true".
CREATE FUNCTION oracle.condition_sql(r leadscore.lead_rule) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN r.condition IS NULL THEN 'true' ELSE format(E'(%s\n) IS TRUE', r.condition) END
$$;

-- A weight that is allowed, or what is none: NaN.
CREATE FUNCTION oracle.weight(w float8) RETURNS numeric
LANGUAGE sql STABLE AS $$ SELECT CASE WHEN abs(w) <= 1e100 THEN oracle.exact(w) ELSE 'NaN' END $$;

-- Design: "w(e) is the `weight` expression on the row, 1 without one, 0 where NULL."  The product is taken in
-- numeric, where it cannot overflow, and looked at afterwards.
CREATE FUNCTION oracle.points_w_sql(r leadscore.lead_rule) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN r.weight IS NULL THEN format('%L::numeric', oracle.exact(r.points))
		ELSE format(E'%L::numeric * oracle.weight(coalesce((%s\n)::float8, 0))', oracle.exact(r.points), r.weight) END
$$;

-- Design: "for rule r and contact c, E is the set of rows of r's source whose contact is c, that match (...),
-- with events_from <= occurred_at < events_before where given, and occurred_at <= t".
-- Here for all contacts, and without the last: whoever calls compares with t.
CREATE FUNCTION oracle.matching_rows(r leadscore.lead_rule) RETURNS SETOF oracle.scored_row
LANGUAGE plpgsql STABLE AS $$
DECLARE
	s record;
	query text;
	one regclass;
BEGIN
	IF r.kind = 'absence' AND r.source IS NULL THEN
		-- Design: "source NULL: rows of every source, `event` applies, no `condition`".
		RETURN QUERY SELECT e.contact, e.occurred_at, NULL::numeric
			FROM oracle.rows_of_every_source(r.model, r.event) e
			WHERE (r.events_from IS NULL OR r.events_from <= e.occurred_at)
				AND (r.events_before IS NULL OR e.occurred_at < r.events_before);
		RETURN;
	END IF;

	SELECT src.relation, oracle.contact_sql(src.model, src.contact, src.visitor) AS contact, src.event,
		oracle.instant_sql(src.relation, src.occurred_at, coalesce(src.time_zone, m.time_zone, 'UTC')) AS instant
	INTO STRICT s
	FROM leadscore.lead_source src
	JOIN leadscore.lead_model m ON m.model = src.model
	WHERE src.model = r.model AND src.source = r.source;

	IF r.event IS NOT NULL AND s.event IS NULL THEN
		RETURN;
	END IF;

	query := format('SELECT %s AS contact, %s AS occurred_at, ', s.contact, s.instant)
		|| oracle.points_w_sql(r) || ' AS points_w FROM @relation@'
		|| format(' WHERE %s IS NOT NULL AND isfinite(%s)', s.contact, s.instant)
		|| CASE WHEN r.event IS NULL THEN '' ELSE format(' AND %I::text COLLATE "C" = %L', s.event, r.event) END
		|| ' AND ' || oracle.condition_sql(r);

	FOREACH one IN ARRAY array_remove(ARRAY[s.relation, oracle.purged(s.relation)], NULL) LOOP
		RETURN QUERY SELECT e.contact, e.occurred_at, e.points_w
			FROM oracle.rows_that_work(query, one) e
			WHERE (r.events_from IS NULL OR r.events_from <= e.occurred_at)
				AND (r.events_before IS NULL OR e.occurred_at < r.events_before);
	END LOOP;
END
$$;

-- The contacts for whose row a profile rule holds.
CREATE FUNCTION oracle.holding_contacts(r leadscore.lead_rule) RETURNS SETOF oracle.scored_row
LANGUAGE plpgsql STABLE AS $$
DECLARE
	m leadscore.lead_model;
BEGIN
	SELECT * INTO STRICT m FROM leadscore.lead_model WHERE model = r.model;
	RETURN QUERY SELECT * FROM oracle.rows_that_work(
		format('SELECT %I::text AS contact, NULL::timestamptz AS occurred_at, ', m.key)
			|| oracle.points_w_sql(r) || ' AS points_w FROM @relation@ WHERE ' || oracle.condition_sql(r),
		m.contacts);
END
$$;


----------------------------------------------------------------------------------------------------------------
-- Age

-- Design: "A rule is *bucketed* if it is of kind event or sequence and has `time_frame` or `max_per_period`,
-- or decay linear or step."
CREATE FUNCTION oracle.bucketed(r leadscore.lead_rule) RETURNS bool
LANGUAGE sql IMMUTABLE AS $$
	SELECT r.kind IN ('event', 'sequence')
		AND (r.time_frame IS NOT NULL OR r.max_per_period IS NOT NULL OR r.decay IN ('linear', 'step'))
$$;

-- Design: "Let span = time_frame, or linear's decay_interval without one."
CREATE FUNCTION oracle.span(r leadscore.lead_rule) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN r.time_frame IS NOT NULL THEN oracle.usec(r.time_frame)
		WHEN r.decay = 'linear' THEN oracle.usec(r.decay_interval) END
$$;

-- The length of a bucket; NULL where the rule is not bucketed.
CREATE FUNCTION oracle.period(r leadscore.lead_rule) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	week CONSTANT bigint := 7 * 86400000000;
	day CONSTANT bigint := 86400000000;
	units CONSTANT bigint[] := ARRAY[day, 3600000000, 60000000, 1000000];
	frame CONSTANT bigint := oracle.usec(r.time_frame);
	decay CONSTANT bigint := oracle.usec(r.decay_interval);
	p bigint;
BEGIN
	IF NOT oracle.bucketed(r) THEN
		RETURN NULL;
	ELSIF r.period IS NOT NULL THEN
		p := oracle.usec(r.period);
	ELSIF r.decay = 'step' THEN
		-- Design: "the largest of day, hour, minute, second that divides decay_interval and gives at most 512
		-- periods in the time frame if there is one, else decay_interval itself".
		SELECT max(u) INTO p FROM unnest(units) AS u
		WHERE decay % u = 0 AND (frame IS NULL OR frame <= 512 * u);
		p := coalesce(p, decay);
	ELSIF frame IS NULL AND decay IS NULL THEN
		-- Design: "a day where there is neither (a daily limit without time frame)".
		p := day;
	ELSE
		-- Design: "the largest of day, hour, minute, second that is at most 1/8 of the shorter of time_frame and
		-- decay_interval; week instead of day where day gives more than 512 periods in the span".
		SELECT max(u) INTO p FROM unnest(units) AS u WHERE 8 * u <= least(frame, decay);
		IF p = day AND oracle.span(r) > 512 * day THEN
			p := week;
		END IF;
	END IF;

	-- Design: "More than 512 periods in the span are refused", "a given period must divide decay_interval".
	IF p IS NULL OR p <= 0 OR oracle.span(r) > 512 * p OR (r.decay = 'step' AND decay % p <> 0) THEN
		RAISE EXCEPTION 'rule % has no valid period and should have been refused', r.rule_id;
	END IF;
	RETURN p;
END
$$;

-- Design: "bucket(x) = floor((x - Monday 2000-01-03 00:00) / period), x and origin taken in the model's time zone
-- where period is a day or longer, in UTC otherwise".
CREATE FUNCTION oracle.bucket(x timestamptz, period bigint, zone text) RETURNS bigint
LANGUAGE sql STABLE AS $$
	SELECT oracle.floor_div(
		CASE WHEN period >= 86400000000 THEN oracle.wall_clock(x, zone) ELSE oracle.wall_clock(x, 'UTC') END
			- (extract(epoch FROM timestamp '2000-01-03 00:00') * 1000000)::bigint,
		period)
$$;

-- Design: "Not bucketed: age = t - occurred_at, exact.  Bucketed: age = max(0, bucket(t) - bucket(occurred_at)) x period".
CREATE FUNCTION oracle.age(occurred_at timestamptz, t timestamptz, period bigint, zone text) RETURNS bigint
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN period IS NULL THEN oracle.usec(t) - oracle.usec(occurred_at)
		ELSE greatest(0, oracle.bucket(t, period, zone) - oracle.bucket(occurred_at, period, zone)) * period END
$$;


----------------------------------------------------------------------------------------------------------------
-- Decay

-- Design: "with D = seconds(decay_interval): none 1; half_life 2^(-age/D); linear max(0, 1 - age/D);
-- step decay_keep^floor(age/D)".  What is below the smallest normal float8, 2^-1022, is nothing.
CREATE FUNCTION oracle.decay(r leadscore.lead_rule, age bigint) RETURNS numeric
LANGUAGE plpgsql STABLE AS $$
DECLARE
	d CONSTANT bigint := oracle.usec(r.decay_interval);
BEGIN
	CASE r.decay
		WHEN 'none' THEN
			RETURN 1;
		WHEN 'half_life' THEN
			RETURN CASE WHEN age / d >= 1022 THEN 0
				ELSE oracle.exact(power(2::float8, -(age::float8 / d::float8))) END;
		WHEN 'linear' THEN
			RETURN greatest(0, (d - age)::numeric / d);
		WHEN 'step' THEN
			RETURN CASE WHEN age / d = 0 THEN 1
				WHEN r.decay_keep = 0 THEN 0
				WHEN (age / d) * ln(r.decay_keep) < -1022 * ln(2::float8) THEN 0
				ELSE oracle.exact(power(r.decay_keep, (age / d)::float8)) END;
	END CASE;
END
$$;


----------------------------------------------------------------------------------------------------------------
-- Contribution: R(t) before its limit, with the number of matches that count, whether the rule is in force, and
-- gross, the sum of |points x w x d|.

CREATE TYPE oracle.contribution AS (contact text, t timestamptz, matched bigint, in_force bool, raw numeric, gross numeric);

-- Design: "award NULL means once where at_least > 1 or kind is absence, else each."
CREATE FUNCTION oracle.award(r leadscore.lead_rule) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(r.award, CASE WHEN r.at_least > 1 OR r.kind = 'absence' THEN 'once' ELSE 'each' END)
$$;

-- Design, rows "event, award each" and "event, award once" of the table.
CREATE FUNCTION oracle.event_rule(r leadscore.lead_rule, zone text, contacts text[], instants timestamptz[])
RETURNS SETOF oracle.contribution
LANGUAGE plpgsql STABLE AS $$
DECLARE
	period CONSTANT bigint := oracle.period(r);
BEGIN
	RETURN QUERY
	WITH asked AS (SELECT DISTINCT * FROM unnest(contacts, instants) AS a (contact, t)),
	events AS MATERIALIZED (SELECT * FROM oracle.matching_rows(r)),
	aged AS MATERIALIZED (
		-- "an event dated in the future counts from its time on, not before"
		SELECT a.contact, a.t, e.occurred_at, e.points_w,
			oracle.bucket(e.occurred_at, period, zone) AS bucket,
			oracle.age(e.occurred_at, a.t, period, zone) AS age
		FROM asked a
		JOIN events e ON e.contact = a.contact AND e.occurred_at <= a.t),
	framed AS MATERIALIZED (
		-- "an event is in the time frame while age < time_frame"
		SELECT *, oracle.decay(r, aged.age) AS d
		FROM aged
		WHERE r.time_frame IS NULL OR aged.age < oracle.usec(r.time_frame)),
	counted AS (
		SELECT f.contact, f.t, count(*) AS matched, sum(abs(f.points_w * f.d)) AS gross,
			-- "sum over the events in the time frame of points x w x d(age)"
			sum(f.points_w * f.d) AS each_event,
			-- "points x d(age of the latest event in the time frame)"
			oracle.exact(r.points) * (array_agg(f.d ORDER BY f.occurred_at DESC))[1] AS latest_event
		FROM framed f
		GROUP BY f.contact, f.t),
	limited AS (
		-- "with max_per_period the sum of points x w within one bucket is clamped to +-max_per_period before its decay"
		SELECT b.contact, b.t,
			sum(oracle.clamp(b.points_w, - oracle.exact(r.max_per_period), oracle.exact(r.max_per_period)) * b.d) AS each_bucket
		FROM (SELECT f.contact, f.t, f.bucket, f.d, sum(f.points_w) AS points_w
			FROM framed f
			GROUP BY f.contact, f.t, f.bucket, f.d) AS b
		WHERE r.max_per_period IS NOT NULL
		GROUP BY b.contact, b.t)
	-- "while their number >= at_least, else 0"
	SELECT a.contact, a.t, coalesce(c.matched, 0), ok,
		CASE WHEN NOT ok THEN 0
			WHEN oracle.award(r) = 'once' THEN c.latest_event
			WHEN r.max_per_period IS NOT NULL THEN l.each_bucket
			ELSE c.each_event END,
		CASE WHEN NOT ok THEN 0
			WHEN oracle.award(r) = 'once' THEN abs(c.latest_event)
			ELSE c.gross END
	FROM asked a
	LEFT JOIN counted c ON c.contact = a.contact AND c.t = a.t
	LEFT JOIN limited l ON l.contact = a.contact AND l.t = a.t
	CROSS JOIN LATERAL (SELECT coalesce(c.matched, 0) >= r.at_least) AS v (ok);
END
$$;

-- Design, row "absence": "idle time = t - the latest of: last matching event, the contact's beginning, events_from;
-- n = max(0, floor(idle time / idle)), 0 from events_before on; points x n (award each) or points where n >= 1
-- (award once); exact, never bucketed."
CREATE FUNCTION oracle.absence_rule(r leadscore.lead_rule, contacts text[], instants timestamptz[])
RETURNS SETOF oracle.contribution
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN QUERY
	WITH asked AS (SELECT * FROM oracle.beginnings(r.model, contacts, instants)),
	events AS MATERIALIZED (SELECT * FROM oracle.matching_rows(r)),
	latest AS (
		SELECT a.contact, a.t, a.beginning,
			(SELECT max(e.occurred_at) FROM events e WHERE e.contact = a.contact AND e.occurred_at <= a.t) AS last_match
		FROM asked a),
	idle AS (
		SELECT l.contact, l.t,
			CASE WHEN l.beginning IS NULL OR l.t >= r.events_before THEN 0
				ELSE greatest(0, oracle.floor_div(
					oracle.usec(l.t) - oracle.usec(greatest(l.last_match, l.beginning, r.events_from)),
					oracle.usec(r.idle))) END AS n
		FROM latest l)
	SELECT i.contact, i.t, i.n, i.n >= 1, total, abs(total)
	FROM idle i
	CROSS JOIN LATERAL (SELECT oracle.exact(r.points)
		* CASE WHEN oracle.award(r) = 'each' THEN i.n WHEN i.n >= 1 THEN 1 ELSE 0 END) AS v (total);
END
$$;

-- Design, row "profile": "points x weight while the condition holds on the contact's row (as the row is now,
-- whatever t, ...); none holds without a row".
CREATE FUNCTION oracle.profile_rule(r leadscore.lead_rule, contacts text[], instants timestamptz[])
RETURNS SETOF oracle.contribution
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN QUERY
	SELECT a.contact, a.t, CASE WHEN h.contact IS NULL THEN 0::bigint ELSE 1::bigint END, h.contact IS NOT NULL,
		coalesce(h.points_w, 0), abs(coalesce(h.points_w, 0))
	FROM (SELECT DISTINCT * FROM unnest(contacts, instants) AS a (contact, t)) AS a
	LEFT JOIN oracle.holding_contacts(r) h ON h.contact = a.contact;
END
$$;

-- Every rule of the model for every pair asked for.
CREATE FUNCTION oracle.rules(model_name text, contacts text[], instants timestamptz[])
RETURNS TABLE (contact text, t timestamptz, rule_id bigint, category text, disqualifies bool,
	matched bigint, in_force bool, points float8, gross float8, exact_points numeric)
LANGUAGE plpgsql STABLE
SET extra_float_digits = 1 AS $$
DECLARE
	r leadscore.lead_rule;
	zone text;
	draft bool;
	pairs oracle.contribution[];
BEGIN
	SELECT coalesce(m.time_zone, 'UTC') INTO STRICT zone FROM leadscore.lead_model m WHERE m.model = model_name;

	FOR r IN SELECT * FROM leadscore.lead_rule l WHERE l.model = model_name ORDER BY l.rule_id LOOP
		draft := coalesce((to_jsonb(r) ->> 'draft')::bool, false);
		IF NOT r.enabled THEN
			-- Design: "A disabled rule contributes 0 and is not in force."
			SELECT array_agg(DISTINCT ROW(a.contact, a.t, 0, false, 0, 0)::oracle.contribution) INTO pairs
			FROM unnest(contacts, instants) AS a (contact, t);
		ELSIF r.kind = 'event' THEN
			SELECT array_agg(c) INTO pairs FROM oracle.event_rule(r, zone, contacts, instants) c;
		ELSIF r.kind = 'absence' THEN
			SELECT array_agg(c) INTO pairs FROM oracle.absence_rule(r, contacts, instants) c;
		ELSIF r.kind = 'profile' THEN
			SELECT array_agg(c) INTO pairs FROM oracle.profile_rule(r, contacts, instants) c;
		ELSE
			RAISE EXCEPTION 'kind % is not in the oracle yet', r.kind;
		END IF;

		-- Design: "then R is clamped to +-max_points where given."  "`draft` rules that are evaluated but count nothing".
		RETURN QUERY SELECT p.contact, p.t, r.rule_id::bigint, r.category::text, r.disqualifies,
			p.matched, p.in_force AND NOT draft, oracle.rounded(v.total), oracle.rounded(CASE WHEN draft THEN 0 ELSE p.gross END), v.total
		FROM unnest(pairs) p
		CROSS JOIN LATERAL (SELECT CASE WHEN draft THEN 0
			ELSE oracle.clamp(p.raw, - oracle.exact(r.max_points), oracle.exact(r.max_points)) END) AS v (total);
	END LOOP;
END
$$;


----------------------------------------------------------------------------------------------------------------
-- Category, score, grade

-- Design: "*Reached* means value >= bound - 1e-9 x max(1, |bound|)."
CREATE FUNCTION oracle.reached(value numeric, bound float8) RETURNS bool
LANGUAGE sql STABLE AS $$
	SELECT value >= oracle.exact(bound) - 1e-9 * greatest(1, abs(oracle.exact(bound)))
$$;

-- `categories` maps a category's name to its value.  `bound` is what a computed score may differ by; `on_edge` says
-- that a category is so near to the point from which a grade is reached that rounding may decide about the letter.
CREATE FUNCTION oracle.scores(model_name text, contacts text[], instants timestamptz[])
RETURNS TABLE (contact text, t timestamptz, score float8, categories jsonb, grade text, disqualified bool,
	bound float8, on_edge bool)
LANGUAGE sql STABLE
SET extra_float_digits = 1 AS $$
	WITH asked AS (SELECT DISTINCT * FROM unnest(contacts, instants) AS a (contact, t)),
	contributions AS MATERIALIZED (SELECT * FROM oracle.rules(model_name, contacts, instants)),
	sums AS (
		SELECT contact, t, category, sum(exact_points) AS points
		FROM contributions
		GROUP BY contact, t, category),
	categories AS MATERIALIZED (
		-- Design: "Category = sum of its rules, clamped to the category's limits (NULL: none)."
		SELECT a.contact, a.t, c.category, c.position, c.weight,
			oracle.clamp(coalesce(s.points, 0), oracle.exact(c.min_points), oracle.exact(c.max_points)) AS value
		FROM asked a
		JOIN leadscore.lead_category c ON c.model = model_name
		LEFT JOIN sums s ON s.contact = a.contact AND s.t = a.t AND s.category = c.category),
	letters AS (
		-- Design: "per category the band with the highest minimum reached, nothing where none is"
		SELECT c.contact, c.t, c.position,
			(SELECT g.grade FROM leadscore.lead_grade g
				WHERE g.model = model_name AND g.category = c.category AND oracle.reached(c.value, g.min_points)
				ORDER BY g.min_points DESC LIMIT 1) AS letter,
			EXISTS (SELECT FROM leadscore.lead_grade g
				WHERE g.model = model_name AND g.category = c.category
					AND abs(c.value - oracle.exact(g.min_points) + 1e-9 * greatest(1, abs(oracle.exact(g.min_points))))
						<= 5e-10 * greatest(1, abs(oracle.exact(g.min_points)))) AS on_edge
		FROM categories c),
	grades AS (
		-- Design: "concatenated in category position"; NULL where there is no letter at all.
		SELECT contact, t, string_agg(letter, '' ORDER BY position) AS grade, bool_or(on_edge) AS on_edge
		FROM letters
		GROUP BY contact, t),
	totals AS (
		-- Design: "Score = sum of category weight (default 1) x category, clamped to the model's minimum and maximum."
		SELECT c.contact, c.t,
			oracle.clamp(sum(oracle.exact(coalesce(c.weight, 1)) * c.value),
				oracle.exact(m.min_score), oracle.exact(m.max_score)) AS score,
			jsonb_object_agg(c.category, oracle.rounded(c.value)) AS categories
		FROM categories c
		JOIN leadscore.lead_model m ON m.model = model_name
		GROUP BY c.contact, c.t, m.min_score, m.max_score),
	whole AS (
		-- Design, stages: "`disqualified` while any rule with `disqualifies` is in force."
		SELECT contact, t, bool_or(disqualifies AND in_force) AS disqualified, sum(gross) AS gross
		FROM contributions
		GROUP BY contact, t)
	SELECT a.contact, a.t, oracle.rounded(s.score), s.categories, g.grade, coalesce(w.disqualified, false),
		-- Design: "|stored - replayed| <= 1e-9 x max(1, sum of |points x w x d|)"
		1e-9 * greatest(1, w.gross), coalesce(g.on_edge, false)
	FROM asked a
	LEFT JOIN totals s ON s.contact = a.contact AND s.t = a.t
	LEFT JOIN grades g ON g.contact = a.contact AND g.t = a.t
	LEFT JOIN whole w ON w.contact = a.contact AND w.t = a.t
$$;

CREATE FUNCTION oracle.scores(model_name text, instants timestamptz[])
RETURNS TABLE (contact text, t timestamptz, score float8, categories jsonb, grade text, disqualified bool,
	bound float8, on_edge bool)
LANGUAGE sql STABLE AS $$
	SELECT s.*
	FROM (SELECT array_agg(c.contact) AS contacts, array_agg(i.t) AS instants
		FROM oracle.known_contacts(model_name) c, unnest(instants) AS i (t)) AS pairs,
		oracle.scores(model_name, pairs.contacts, pairs.instants) s
$$;

CREATE FUNCTION oracle.score(model_name text, contact text, t timestamptz) RETURNS float8
LANGUAGE sql STABLE AS $$ SELECT s.score FROM oracle.scores(model_name, ARRAY[contact], ARRAY[t]) s $$;
