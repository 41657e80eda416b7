-- Rows that logical replication brings, and its subscriptions.

CREATE FUNCTION leadscore._apply() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_apply';
REVOKE ALL ON FUNCTION leadscore._apply() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._apply() IS
	'fires for each row that logical replication writes to event and contact tables, and puts aside what it brings';

CREATE FUNCTION leadscore._subscribed() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_subscribed';
REVOKE ALL ON FUNCTION leadscore._subscribed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._subscribed() IS
	'refuses subscriptions that would write leadscore''s own tables';

CREATE EVENT TRIGGER leadscore_subscribed ON ddl_command_end
	WHEN TAG IN ('CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION')
	EXECUTE FUNCTION leadscore._subscribed();
COMMENT ON EVENT TRIGGER leadscore_subscribed IS
	'leadscore: subscriptions leave its own tables alone';

-- Rows without a key could not be changed where they are published, as FOR ALL
-- TABLES does.
ALTER TABLE leadscore.lead_relation REPLICA IDENTITY FULL;
ALTER TABLE leadscore.lead_stage_history REPLICA IDENTITY FULL;
ALTER TABLE leadscore.lead_rule_error REPLICA IDENTITY FULL;
ALTER TABLE leadscore.lead_worker_error REPLICA IDENTITY FULL;
