-- Rows that logical replication applies, and subscriptions.

CREATE FUNCTION leadscore_internal.apply() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_apply';
REVOKE ALL ON FUNCTION leadscore_internal.apply() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.apply() IS
	'fires for each row that logical replication writes to event and contact tables, and enqueues what it brings';

CREATE FUNCTION leadscore_internal.subscribed() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_subscribed';
REVOKE ALL ON FUNCTION leadscore_internal.subscribed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.subscribed() IS
	'refuses subscriptions that would write leadscore''s own tables';

CREATE EVENT TRIGGER leadscore_subscribed ON ddl_command_end
	WHEN TAG IN ('CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION')
	EXECUTE FUNCTION leadscore_internal.subscribed();
ALTER EVENT TRIGGER leadscore_subscribed ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER leadscore_subscribed IS
	'leadscore: subscriptions leave its own tables alone';

-- Rows without a key could not be updated or deleted in a publication FOR ALL TABLES.
ALTER TABLE leadscore_internal.lead_relation REPLICA IDENTITY FULL;
ALTER TABLE leadscore_internal.lead_rule_error REPLICA IDENTITY FULL;
