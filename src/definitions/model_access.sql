-- What is stored of contacts is in tables of each model, under keys of the model's
-- own type.  These views show it for all models whose tables the caller may read,
-- with the text of keys.

CREATE FUNCTION leadscore_internal.readable_models(prefix text) RETURNS SETOF text
	LANGUAGE c STABLE STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'ls_readable_models';
COMMENT ON FUNCTION leadscore_internal.readable_models(text) IS
	'models whose tables of a kind the caller may read: for views over all models';

CREATE FUNCTION leadscore_internal.history_rows(model text,
		OUT contact text, OUT from_stage text, OUT to_stage text, OUT score float8,
		OUT changed_at timestamptz, OUT recorded_at timestamptz, OUT cause text, OUT reason text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 1000
	AS 'MODULE_PATHNAME', 'ls_history_rows';
COMMENT ON FUNCTION leadscore_internal.history_rows(text) IS
	'changes of stage of a model, where the caller may read them: for the view lead_stage_history';
CREATE VIEW leadscore.lead_stage_history WITH (security_barrier) AS
	SELECT m.model COLLATE "C" AS model, r.contact, r.from_stage, r.to_stage, r.score, r.changed_at,
		   r.recorded_at, r.cause, r.reason
	  FROM leadscore_internal.readable_models('history_') m(model)
	 CROSS JOIN LATERAL leadscore_internal.history_rows(m.model) r;
COMMENT ON VIEW leadscore.lead_stage_history IS 'every change of stage: when it happened, when it was recorded, and why';
COMMENT ON COLUMN leadscore.lead_stage_history.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_stage_history.contact IS 'key of the contact, as text; history_<model> has it in its own type';
COMMENT ON COLUMN leadscore.lead_stage_history.from_stage IS 'stage that it left; null: its first';
COMMENT ON COLUMN leadscore.lead_stage_history.to_stage IS 'stage that it entered';
COMMENT ON COLUMN leadscore.lead_stage_history.score IS 'its score at that instant';
COMMENT ON COLUMN leadscore.lead_stage_history.changed_at IS 'when it happened';
COMMENT ON COLUMN leadscore.lead_stage_history.recorded_at IS 'when it was written down';
COMMENT ON COLUMN leadscore.lead_stage_history.cause IS 'why: event, time, rule, profile, manual, merge or backfill';
COMMENT ON COLUMN leadscore.lead_stage_history.reason IS 'what was given as the reason of a stage override';
GRANT SELECT ON leadscore.lead_stage_history TO PUBLIC;

CREATE FUNCTION leadscore_internal.outbox_rows(model text, status text,
		OUT outbox_id bigint, OUT action text, OUT contact text, OUT occasion text, OUT stage text,
		OUT from_stage text, OUT to_stage text, OUT score_level float8, OUT rule text,
		OUT score float8, OUT cause text, OUT happened_at timestamptz, OUT recorded_at timestamptz,
		OUT deliver text, OUT channel text, OUT function text, OUT timeout interval,
		OUT max_attempts integer, OUT payload jsonb, OUT status text, OUT available_at timestamptz,
		OUT taken_by text, OUT attempts integer, OUT last_error text, OUT finished_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 1000
	AS 'MODULE_PATHNAME', 'ls_outbox_rows';
COMMENT ON FUNCTION leadscore_internal.outbox_rows(text, text) IS
	'what there is to be told of a model, with a status or all, where the caller may read it: for the view lead_outbox';
CREATE VIEW leadscore.lead_outbox WITH (security_barrier) AS
	SELECT r.outbox_id, m.model COLLATE "C" AS model, r.action, r.contact, r.occasion, r.stage,
		   r.from_stage, r.to_stage, r.score_level, r.rule, r.score, r.cause, r.happened_at,
		   r.recorded_at, r.deliver, r.channel, r.function, r.timeout, r.max_attempts, r.payload,
		   r.status, r.available_at, r.taken_by, r.attempts, r.last_error, r.finished_at
	  FROM leadscore_internal.readable_models('outbox_') m(model)
	 CROSS JOIN LATERAL leadscore_internal.outbox_rows(m.model, NULL) r;
COMMENT ON VIEW leadscore.lead_outbox IS 'what there is to be told, written in the transaction in which it happened';
COMMENT ON COLUMN leadscore.lead_outbox.outbox_id IS 'number of the row: the same at every delivery, for those who must do a thing once';
COMMENT ON COLUMN leadscore.lead_outbox.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_outbox.action IS 'name of the action';
COMMENT ON COLUMN leadscore.lead_outbox.contact IS 'key of the contact, as text';
COMMENT ON COLUMN leadscore.lead_outbox.occasion IS 'what happened: stage_entered, stage_left, score_rises, score_falls or rule_in_force';
COMMENT ON COLUMN leadscore.lead_outbox.stage IS 'stage that was entered or left; the one that the contact is in, on other occasions';
COMMENT ON COLUMN leadscore.lead_outbox.from_stage IS 'stage that it left; null: it stayed in its own';
COMMENT ON COLUMN leadscore.lead_outbox.to_stage IS 'stage that it entered; null: it stayed in its own';
COMMENT ON COLUMN leadscore.lead_outbox.score_level IS 'score that was reached, or is no longer reached';
COMMENT ON COLUMN leadscore.lead_outbox.rule IS 'name of the rule that came in force';
COMMENT ON COLUMN leadscore.lead_outbox.score IS 'score at that instant';
COMMENT ON COLUMN leadscore.lead_outbox.cause IS 'why: event, time, rule, profile, manual, merge or backfill';
COMMENT ON COLUMN leadscore.lead_outbox.happened_at IS 'when it happened';
COMMENT ON COLUMN leadscore.lead_outbox.recorded_at IS 'when it was written down';
COMMENT ON COLUMN leadscore.lead_outbox.deliver IS 'how it is delivered: outbox, notify or function';
COMMENT ON COLUMN leadscore.lead_outbox.channel IS 'channel of the NOTIFY; null: leadscore';
COMMENT ON COLUMN leadscore.lead_outbox.function IS 'function that is called';
COMMENT ON COLUMN leadscore.lead_outbox.timeout IS 'how long a call of the function may take';
COMMENT ON COLUMN leadscore.lead_outbox.max_attempts IS 'how often delivery is tried';
COMMENT ON COLUMN leadscore.lead_outbox.payload IS 'all of it as JSON: what a NOTIFY or a function is given';
COMMENT ON COLUMN leadscore.lead_outbox.status IS 'ready: to be delivered; done: delivered; dead: given up after max_attempts';
COMMENT ON COLUMN leadscore.lead_outbox.available_at IS 'when it may be taken: at once, when a lease ends, or at the next attempt';
COMMENT ON COLUMN leadscore.lead_outbox.taken_by IS 'consumer that has it, or had it when it was done';
COMMENT ON COLUMN leadscore.lead_outbox.attempts IS 'how often delivery was begun';
COMMENT ON COLUMN leadscore.lead_outbox.last_error IS 'why the latest attempt failed';
COMMENT ON COLUMN leadscore.lead_outbox.finished_at IS 'when it was done, or given up';
GRANT SELECT ON leadscore.lead_outbox TO PUBLIC;

CREATE VIEW leadscore.dead_letters WITH (security_barrier) AS
	SELECT o.outbox_id, m.model COLLATE "C" AS model, o.action, o.contact, o.occasion, o.deliver, o.attempts,
		   o.last_error, o.happened_at, o.finished_at AS died_at, o.payload
	  FROM leadscore_internal.readable_models('outbox_') m(model)
	 CROSS JOIN LATERAL leadscore_internal.outbox_rows(m.model, 'dead') o;
COMMENT ON VIEW leadscore.dead_letters IS
	'what could not be delivered and was given up; leadscore.outbox_retry() has it tried again';
COMMENT ON COLUMN leadscore.dead_letters.outbox_id IS 'number of the row in lead_outbox';
COMMENT ON COLUMN leadscore.dead_letters.model IS 'the model';
COMMENT ON COLUMN leadscore.dead_letters.action IS 'name of the action';
COMMENT ON COLUMN leadscore.dead_letters.contact IS 'key of the contact, as text';
COMMENT ON COLUMN leadscore.dead_letters.occasion IS 'what happened';
COMMENT ON COLUMN leadscore.dead_letters.deliver IS 'how it was to be delivered: outbox, notify or function';
COMMENT ON COLUMN leadscore.dead_letters.attempts IS 'how often delivery was begun';
COMMENT ON COLUMN leadscore.dead_letters.last_error IS 'why the latest attempt failed';
COMMENT ON COLUMN leadscore.dead_letters.happened_at IS 'when it happened';
COMMENT ON COLUMN leadscore.dead_letters.died_at IS 'when it was given up';
COMMENT ON COLUMN leadscore.dead_letters.payload IS 'all of it as JSON';
GRANT SELECT ON leadscore.dead_letters TO PUBLIC;

CREATE FUNCTION leadscore_internal.worker_error_rows(model text,
		OUT contact text, OUT failures bigint, OUT first_failed_at timestamptz,
		OUT last_failed_at timestamptz, OUT retry_at timestamptz, OUT sqlstate text, OUT message text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 1000
	AS 'MODULE_PATHNAME', 'ls_worker_error_rows';
COMMENT ON FUNCTION leadscore_internal.worker_error_rows(text) IS
	'contacts of a model that the worker failed on, where the caller may read them: for the view lead_worker_error';
CREATE VIEW leadscore.lead_worker_error WITH (security_barrier) AS
	SELECT e.model, NULL::text AS contact, e.failures, e.first_failed_at, e.last_failed_at,
		   e.retry_at, e.sqlstate, e.message
	  FROM leadscore_internal.lead_worker_error e
	 WHERE e.model OPERATOR(pg_catalog.=) ANY ((SELECT leadscore_internal.managed_models())::text[])
	UNION ALL
	SELECT m.model COLLATE "C" AS model, r.contact, r.failures, r.first_failed_at, r.last_failed_at,
		   r.retry_at, r.sqlstate, r.message
	  FROM leadscore_internal.readable_models('worker_error_') m(model)
	 CROSS JOIN LATERAL leadscore_internal.worker_error_rows(m.model) r;
COMMENT ON VIEW leadscore.lead_worker_error IS 'models and contacts that the worker failed on, and tries again later; a row goes when it has succeeded';
COMMENT ON COLUMN leadscore.lead_worker_error.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_worker_error.contact IS 'key of the contact, as text; null: the model as a whole';
COMMENT ON COLUMN leadscore.lead_worker_error.failures IS 'how many times in a row';
COMMENT ON COLUMN leadscore.lead_worker_error.first_failed_at IS 'the first of these times; like all times here by the real clock';
COMMENT ON COLUMN leadscore.lead_worker_error.last_failed_at IS 'the last of these times';
COMMENT ON COLUMN leadscore.lead_worker_error.retry_at IS 'when it will be tried again';
COMMENT ON COLUMN leadscore.lead_worker_error.sqlstate IS 'code of the latest error';
COMMENT ON COLUMN leadscore.lead_worker_error.message IS 'message of the latest error';
GRANT SELECT ON leadscore.lead_worker_error TO PUBLIC;
