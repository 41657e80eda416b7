\echo Use "ALTER EXTENSION leadscore UPDATE TO '0.8.0'" to load this file. \quit
LOCK TABLE leadscore.lead_model IN ACCESS EXCLUSIVE MODE;

ALTER TABLE leadscore_internal.lead_rule
	ALTER COLUMN at_least DROP NOT NULL,
	ALTER COLUMN at_least DROP DEFAULT,
	ALTER COLUMN decay DROP DEFAULT,
	ADD COLUMN per text,
	ADD COLUMN max_per float8,
	ADD COLUMN tag text,
	ADD COLUMN cancelled_by text,
	ADD COLUMN cancelled_condition text,
	ADD COLUMN cancelled_source text COLLATE "C",
	ADD COLUMN cancelled_per text,
	ADD COLUMN followed_per text,
	ADD COLUMN follows text COLLATE "C",
	ADD COLUMN holds_from text,
	ADD COLUMN holds_until text,
	ADD COLUMN members text[] COLLATE "C",
	ADD COLUMN unless text[] COLLATE "C";
ALTER TABLE leadscore_internal.lead_rule_history
	ALTER COLUMN at_least DROP NOT NULL,
	ADD COLUMN per text,
	ADD COLUMN max_per float8,
	ADD COLUMN tag text,
	ADD COLUMN cancelled_by text,
	ADD COLUMN cancelled_condition text,
	ADD COLUMN cancelled_source text COLLATE "C",
	ADD COLUMN cancelled_per text,
	ADD COLUMN followed_per text,
	ADD COLUMN follows text COLLATE "C",
	ADD COLUMN holds_from text,
	ADD COLUMN holds_until text,
	ADD COLUMN members text[] COLLATE "C",
	ADD COLUMN unless text[] COLLATE "C";
COMMENT ON COLUMN leadscore_internal.lead_rule.kind IS 'what counts: event, absence of events, sequence of events, profile, a property of the contact, or combo, other rules in force';
COMMENT ON COLUMN leadscore_internal.lead_rule.at_least IS 'how many events, or members of a combo, there must be for the rule to give anything; left out: 1, or all members';
COMMENT ON COLUMN leadscore_internal.lead_rule.decay IS 'how points fall with age: none, half_life, linear or step; left out: half_life where there is a decay_interval, else none';
COMMENT ON COLUMN leadscore_internal.lead_rule.per IS 'SQL expression over the row: of rows of equal value the latest alone counts, with null none; null: each row counts';
COMMENT ON COLUMN leadscore_internal.lead_rule.max_per IS 'limit of what the rows of one value of per give after decay, above and below zero, all of which count then; null: the latest alone counts';
COMMENT ON COLUMN leadscore_internal.lead_rule.tag IS 'SQL expression over the row, of type text or text[]: what the row tells an interest in; null: nothing';
COMMENT ON COLUMN leadscore_internal.lead_rule.cancelled_by IS 'name of the event that cancels earlier ones; null: any, where another column tells what cancels';
COMMENT ON COLUMN leadscore_internal.lead_rule.cancelled_condition IS 'SQL expression over the row that cancels; null: always';
COMMENT ON COLUMN leadscore_internal.lead_rule.cancelled_source IS 'source of the event that cancels; null: the same';
COMMENT ON COLUMN leadscore_internal.lead_rule.cancelled_per IS 'SQL expression over the row that cancels, which cancels rows of equal per; null: that of per';
COMMENT ON COLUMN leadscore_internal.lead_rule.followed_per IS 'SQL expression over the row that follows, which follows rows of equal per; null: that of per';
COMMENT ON COLUMN leadscore_internal.lead_rule.follows IS 'name of the sequence whose events are followed; null: rows are';
COMMENT ON COLUMN leadscore_internal.lead_rule.holds_from IS 'SQL expression over the row of a profile: the time from which on the rule holds; null: always';
COMMENT ON COLUMN leadscore_internal.lead_rule.holds_until IS 'SQL expression over the row of a profile: the time from which on the rule no longer holds; null: never';
COMMENT ON COLUMN leadscore_internal.lead_rule.members IS 'names of rules, at least at_least of which have to be in force';
COMMENT ON COLUMN leadscore_internal.lead_rule.unless IS 'names of rules none of which may be in force; null: none';
ALTER VIEW leadscore.lead_rule ALTER COLUMN at_least DROP DEFAULT;
ALTER VIEW leadscore.lead_rule ALTER COLUMN decay DROP DEFAULT;
CREATE OR REPLACE VIEW leadscore.lead_rule AS
	SELECT rule_id, model, name, category, kind, source, event, condition, points,
		   weight, award, time_frame, at_least, decay, decay_interval, decay_keep,
		   max_points, max_per_period, period, idle, max_gap, followed_by,
		   followed_condition, followed_source, negated, disqualifies, enabled,
		   events_from, events_before, description, backfilled_version, draft,
		   backfilling_version, per, max_per, tag, cancelled_by, cancelled_condition,
		   cancelled_source, cancelled_per, followed_per, follows, holds_from,
		   holds_until, members, unless
	  FROM leadscore_internal.lead_rule_rows();
CREATE OR REPLACE VIEW leadscore.lead_rule_history WITH (security_barrier) AS
	SELECT * FROM leadscore_internal.lead_rule_history
	 WHERE model OPERATOR(pg_catalog.=) ANY
		   ((SELECT leadscore_internal.managed_models())::pg_catalog.text[]);

-- the comments of base tables are those of their views, and of the history
DO $$
DECLARE
	col record;
BEGIN
	FOR col IN
		SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) AS comment
		  FROM pg_catalog.pg_attribute a
		 WHERE a.attrelid OPERATOR(pg_catalog.=) 'leadscore_internal.lead_rule'::pg_catalog.regclass
		   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore_internal.lead_rule_history.%I IS %L', col.attname, col.comment);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore.lead_rule_history.%I IS %L', col.attname, col.comment);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore.lead_rule.%I IS %L', col.attname, col.comment);
	END LOOP;
END
$$;
