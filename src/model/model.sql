CREATE FUNCTION leadscore.create_model(model text, contacts regclass, key text DEFAULT NULL,
		categories text[] DEFAULT '{fit,engagement}', created_at text DEFAULT NULL,
		time_zone text DEFAULT 'UTC') RETURNS regclass
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_create_model';
COMMENT ON FUNCTION leadscore.create_model(text, regclass, text, text[], text, text) IS
	'makes a model over a contact table, and gives every contact its score; returns its score table';

CREATE FUNCTION leadscore.drop_model(model text) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_drop_model_sql';
COMMENT ON FUNCTION leadscore.drop_model(text) IS
	'drops a model with its rules, scores and history';

CREATE FUNCTION leadscore.detach_all(model text DEFAULT NULL) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_detach_all';
COMMENT ON FUNCTION leadscore.detach_all(text) IS
	'drops every model, so that the extension can be dropped';
