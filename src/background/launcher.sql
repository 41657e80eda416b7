-- Launcher and workers: what they record, and the views that show it.

CREATE TABLE leadscore_internal.lead_worker_error (
	model text COLLATE "C" PRIMARY KEY,
	failures bigint NOT NULL,
	first_failed_at timestamptz NOT NULL,
	last_failed_at timestamptz NOT NULL,
	retry_at timestamptz NOT NULL,
	sqlstate text NOT NULL,
	message text NOT NULL
);
COMMENT ON TABLE leadscore_internal.lead_worker_error IS
	'models that the worker failed on as a whole, and tries again later; contacts have tables of their own, worker_error_<model>';
COMMENT ON COLUMN leadscore_internal.lead_worker_error.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.lead_worker_error.failures IS 'how many times in a row';
COMMENT ON COLUMN leadscore_internal.lead_worker_error.first_failed_at IS 'the first of these times; like all times here by the real clock';
COMMENT ON COLUMN leadscore_internal.lead_worker_error.last_failed_at IS 'the last of these times';
COMMENT ON COLUMN leadscore_internal.lead_worker_error.retry_at IS 'when it will be tried again';
COMMENT ON COLUMN leadscore_internal.lead_worker_error.sqlstate IS 'code of the latest error';
COMMENT ON COLUMN leadscore_internal.lead_worker_error.message IS 'message of the latest error';


CREATE FUNCTION leadscore.start_worker() RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_start_worker';
COMMENT ON FUNCTION leadscore.start_worker() IS
	'starts a worker for the current database, where the library is not preloaded for the server; false: there is one';

CREATE FUNCTION leadscore.stop_worker() RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_stop_worker';
COMMENT ON FUNCTION leadscore.stop_worker() IS
	'stops the worker that leadscore.start_worker() has started; false: there is none';

CREATE FUNCTION leadscore_internal.activity(OUT role text, OUT pid integer, OUT database text, OUT phase text,
		OUT model text, OUT done bigint, OUT total bigint, OUT next_due timestamptz,
		OUT transitions_per_minute float8, OUT last_pass_at timestamptz,
		OUT last_error text, OUT last_error_at timestamptz, OUT started_at timestamptz, OUT round_began timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE ROWS 10
	AS 'MODULE_PATHNAME', 'ls_activity';
COMMENT ON FUNCTION leadscore_internal.activity() IS
	'launcher, workers and databases, as they stand in shared memory: for the view activity';

CREATE VIEW leadscore.activity AS
	WITH known AS MATERIALIZED (SELECT * FROM leadscore_internal.activity())
	SELECT role, pid, database, phase, model, done, total,
		   greatest(CASE WHEN next_due OPERATOR(pg_catalog.<) leadscore.clock()
						 THEN leadscore.clock() OPERATOR(pg_catalog.-) next_due
						 WHEN last_pass_at IS NOT NULL THEN interval '0'
					END,
					/* no worker has looked since then */
					pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) round_began) AS lag,
		   next_due, transitions_per_minute, last_pass_at,
		   last_error, last_error_at, started_at
	  FROM known
	UNION ALL
	SELECT CASE WHEN a.backend_type OPERATOR(pg_catalog.=) 'leadscore launcher'
				THEN 'launcher' ELSE 'worker' END,
		   a.pid, a.datname::pg_catalog.text, a.state, NULL, NULL, NULL, NULL, NULL, NULL,
		   NULL, NULL, NULL, a.backend_start
	  FROM pg_catalog.pg_stat_activity a
	 WHERE a.backend_type OPERATOR(pg_catalog.=) ANY (ARRAY['leadscore launcher', 'leadscore worker'])
	   AND NOT EXISTS (SELECT FROM known WHERE known.pid OPERATOR(pg_catalog.=) a.pid);
COMMENT ON VIEW leadscore.activity IS
	'what launcher and workers are at, and how things stand with each database';
COMMENT ON COLUMN leadscore.activity.role IS 'launcher, worker, or database: one that no worker is connected to';
COMMENT ON COLUMN leadscore.activity.pid IS 'the process; null: none';
COMMENT ON COLUMN leadscore.activity.database IS 'the database; null: of the launcher';
COMMENT ON COLUMN leadscore.activity.phase IS 'what it is at, see docs/operations.md; active or idle where the library is not preloaded';
COMMENT ON COLUMN leadscore.activity.model IS 'model in hand';
COMMENT ON COLUMN leadscore.activity.done IS 'contacts of this pass that are done';
COMMENT ON COLUMN leadscore.activity.total IS 'contacts of this pass; null: not more than one batch';
COMMENT ON COLUMN leadscore.activity.lag IS 'how long what is due next has been due, or might have been while the worker was at something else; 0: nothing is late';
COMMENT ON COLUMN leadscore.activity.next_due IS 'when something is due next, as the worker last saw it; null: nothing';
COMMENT ON COLUMN leadscore.activity.transitions_per_minute IS 'changes of stage that the worker wrote in the last minute';
COMMENT ON COLUMN leadscore.activity.last_pass_at IS 'when it last had done all that was due';
COMMENT ON COLUMN leadscore.activity.last_error IS 'the latest error, for members of pg_monitor; it stays when all is well again';
COMMENT ON COLUMN leadscore.activity.last_error_at IS 'when that was';
COMMENT ON COLUMN leadscore.activity.started_at IS 'when the process began';
GRANT SELECT ON leadscore.activity TO PUBLIC;
