CREATE FUNCTION leadscore.refresh(model text DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'ls_refresh_model';
COMMENT ON FUNCTION leadscore.refresh(text) IS
	'does what is due by time, now and in this session, and writes the days that have ended; NULL: of every model of yours. Returns how many contacts changed';

CREATE FUNCTION leadscore.rescore(model text) RETURNS bigint
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'ls_rescore_model';
COMMENT ON FUNCTION leadscore.rescore(text) IS
	'recomputes every contact of a model from the events. Returns how many contacts there are';
