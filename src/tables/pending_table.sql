-- What waits to be merged by the worker: how much, and since when.

CREATE FUNCTION leadscore.pending(INOUT model text DEFAULT NULL, OUT changes bigint, OUT contacts bigint,
		OUT oldest timestamptz, OUT lag interval)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 10
	AS 'MODULE_PATHNAME', 'ls_pending_list';
COMMENT ON FUNCTION leadscore.pending(text) IS
	'what has still to be merged into the scores of a model, or of each that one may read: how many changes, of how many contacts, since when';
