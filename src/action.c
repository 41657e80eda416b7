/*-------------------------------------------------------------------------
 *
 * action.c
 *		Consequences: who is told of what happened to a contact, and how.
 *
 * What is to be told is a row of lead_outbox, written in the transaction in
 * which it happened and so there once, and only if it happened.  outbox.c has
 * what consumers call; here is what the store calls, and what the worker does
 * with the rows that it delivers itself.
 *
 *-------------------------------------------------------------------------
 */
#include "action.h"

#include <limits.h>
#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/varlena.h"

#include "catalog.h"
#include "compat.h"
#include "decay.h"
#include "leadscore.h"
#include "outbox.h"

/* the longest that goes as a NOTIFY's payload, with some room left */
#define MAX_NOTIFY	7900

/* how long a function may go on after its timeout, in milliseconds */
#define GRACE	2000

bool		ls_action_overran = false;
int			ls_action_timeout = 30000;

typedef struct LsActionPlans
{
	SPIPlanPtr	note;
} LsActionPlans;

/* ---------- what happened is noted ---------- */

/*
 * Who waits for what happened, and a row for each.  $2 is the contact, $3 and
 * $4 the stages, $5 and $6 the levels that the score has risen to or fallen
 * below, $7 the score, $8 the cause, $9 when it happened, $10 when it is
 * written down, $11 the rules.  Nothing is computed that could fail.
 */
static const char note_sql[] =
	"WITH hit AS MATERIALIZED ("
	" SELECT nextval('leadscore_internal.lead_outbox_outbox_id_seq') AS outbox_id, a.*"
	" FROM (SELECT name, occasion, score_level, rule, deliver, channel, function, timeout, max_attempts,"
	"  CASE occasion WHEN 'stage_left' THEN $3 ELSE $4 END AS stage"
	"  FROM leadscore_internal.lead_action"
	"  WHERE model = $1 AND enabled AND $8 = ANY (causes)"
	"  AND CASE occasion"
	"   WHEN 'stage_entered' THEN $3 IS DISTINCT FROM $4 AND coalesce(stage, $4) = $4"
	"   WHEN 'stage_left' THEN $3 <> $4 AND coalesce(stage, $3) = $3"
	"   WHEN 'score_rises' THEN score_level = ANY ($5)"
	"   WHEN 'score_falls' THEN score_level = ANY ($6)"
	"   WHEN 'rule_in_force' THEN rule = ANY ($11)"
	"  END ORDER BY action_id) a) "
	"INSERT INTO leadscore_internal.lead_outbox (outbox_id, model, action, contact, occasion, stage, from_stage, to_stage,"
	" score_level, rule, score, cause, happened_at, recorded_at, deliver, channel, function, timeout, max_attempts,"
	" available_at, payload) "
	"SELECT outbox_id, $1, name, $2, occasion, stage, nullif($3, $4), CASE WHEN $3 IS DISTINCT FROM $4 THEN $4 END,"
	" score_level, rule, $7, $8, $9, $10, deliver, channel, function, timeout, max_attempts, $10,"
	" jsonb_strip_nulls(jsonb_build_object('outbox_id', outbox_id, 'model', $1, 'action', name, 'contact', $2,"
	"  'occasion', occasion, 'stage', stage, 'from_stage', nullif($3, $4),"
	"  'to_stage', CASE WHEN $3 IS DISTINCT FROM $4 THEN $4 END, 'score_level', score_level, 'rule', rule,"
	"  'score', $7, 'cause', $8, 'happened_at', $9, 'recorded_at', $10)) "
	"FROM hit";

/* note_plan gives the model's kept plan of the statement above. */
static SPIPlanPtr
note_plan(LsModel *model)
{
	static Oid	types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8ARRAYOID, FLOAT8ARRAYOID,
	FLOAT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID};
	SPIPlanPtr	made;

	if (model->actions == NULL)
		model->actions = MemoryContextAllocZero(model->context, sizeof(LsActionPlans));
	if (model->actions->note == NULL)
	{
		made = SPI_prepare(note_sql, lengthof(types), types);
		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare to note what happened: %s",
				 SPI_result_code_string(SPI_result));
		model->actions->note = made;
	}
	return model->actions->note;
}

/* ls_action_free_plans is for a compiled model that ends. */
void
ls_action_free_plans(LsModel *model)
{
	if (model->actions && model->actions->note)
		SPI_freeplan(model->actions->note);
}

/*
 * levels_reached gives the levels that a score has reached and another one has
 * not, and their number.
 */
static Datum
levels_reached(const LsModel *model, double score, double other, int *number)
{
	Datum	   *levels = palloc(sizeof(Datum) * Max(1, model->nlevels));
	int			n = 0;

	for (int i = 0; i < model->nlevels; i++)
		if (ls_reached(score, model->levels[i]) && !ls_reached(other, model->levels[i]))
			levels[n++] = Float8GetDatum(model->levels[i]);
	*number += n;
	return PointerGetDatum(construct_array(levels, n, FLOAT8OID, sizeof(float8),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* moved tells whether an occasion changed the stage. */
static bool
moved(const LsOccasion *occasion)
{
	return occasion->from_stage == NULL ||
		strcmp(occasion->from_stage, occasion->to_stage) != 0;
}

static Datum
rule_names(const List *rules)
{
	Datum	   *names = palloc(sizeof(Datum) * Max(1, list_length(rules)));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, rules)
		names[n++] = CStringGetTextDatum(((LsRule *) lfirst(lc))->name);
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * ls_action_note writes what is to be told of what happened to a contact.  It
 * is a part of the writer's statement, so what is wrong with an action must
 * not be an error here; what is written does not depend on the writer's
 * settings.
 */
void
ls_action_note(LsModel *model, Datum contact, const LsOccasion *occasion)
{
	Datum		values[11] = {0};
	char		nulls[] = "           ";
	int			crossed = 0;
	LsIdentity	saved;
	int			result;

	if (!model->has_actions)
		return;
	values[4] = levels_reached(model, occasion->score, occasion->score_before, &crossed);
	values[5] = levels_reached(model, occasion->score_before, occasion->score, &crossed);
	if (crossed == 0 && occasion->rules == NIL && !moved(occasion))
		return;

	values[0] = CStringGetTextDatum(model->name);
	values[1] = CStringGetTextDatum(ls_key_text(&model->key, contact));
	if (occasion->from_stage)
		values[2] = CStringGetTextDatum(occasion->from_stage);
	else
		nulls[2] = 'n';
	values[3] = CStringGetTextDatum(occasion->to_stage);
	values[6] = Float8GetDatum(occasion->score);
	values[7] = CStringGetTextDatum(occasion->cause);
	values[8] = TimestampTzGetDatum(occasion->at);
	values[9] = TimestampTzGetDatum(ls_clock());
	values[10] = rule_names(occasion->rules);

	ls_become(ls_extension_owner(), &saved);
	(void) set_config_option("timezone", "UTC", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	result = SPI_execute_plan(note_plan(model), values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not note what happened: %s", SPI_result_code_string(result));
	SPI_finish();
	ls_return(&saved);
}

/* ---------- functions ---------- */

/*
 * ls_action_function finds the function that an action names: of a schema, with
 * one argument of type jsonb.  InvalidOid where there is none; schema and name
 * are NULL where the text is no such name at all.
 */
Oid
ls_action_function(const char *text, char **schema, char **name)
{
	Oid			jsonb = JSONBOID;
	List	   *parts;
	Oid			namespace;
	HeapTuple	tuple;
	Oid			function = InvalidOid;

	*schema = *name = NULL;
	if (!SplitIdentifierString(pstrdup(text), '.', &parts) || list_length(parts) != 2)
		return InvalidOid;
	*schema = linitial(parts);
	*name = lsecond(parts);
	namespace = get_namespace_oid(*schema, true);
	if (!OidIsValid(namespace))
		return InvalidOid;
	tuple = SearchSysCache3(PROCNAMEARGSNSP, PointerGetDatum(*name),
							PointerGetDatum(buildoidvector(&jsonb, 1)),
							ObjectIdGetDatum(namespace));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prokind == PROKIND_FUNCTION)
		function = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return function;
}

/* ---------- the worker's part ---------- */

/*
 * ls_action_notify sends what waits to be sent as NOTIFY, in its order, when
 * the transaction commits.
 */
int
ls_action_notify(int limit)
{
	static const char sql[] =
		"WITH picked AS MATERIALIZED ("
		" SELECT outbox_id FROM leadscore_internal.lead_outbox"
		" WHERE deliver = 'notify' AND status = 'ready' AND available_at <= $1"
		" ORDER BY available_at, outbox_id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED),"
		" sent AS (UPDATE leadscore_internal.lead_outbox o"
		" SET status = 'done', attempts = least(attempts, 2147483646) + 1, finished_at = $1"
		" FROM picked p WHERE o.outbox_id = p.outbox_id RETURNING o.*) "
		"SELECT coalesce(channel, 'leadscore'),"
		" CASE WHEN octet_length(payload::text) <= $3 THEN payload::text"
		"  ELSE jsonb_build_object('outbox_id', outbox_id, 'model', model, 'occasion', occasion,"
		"   'score', payload->'score', 'cause', cause, 'happened_at', payload->'happened_at',"
		"   'recorded_at', payload->'recorded_at', 'shortened', true)::text END "
		"FROM sent ORDER BY outbox_id";
	LsArguments args = {0};
	LsIdentity	saved;
	int			sent;

	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	ls_add(&args, INT4OID, Int32GetDatum(limit));
	ls_add(&args, INT4OID, Int32GetDatum(MAX_NOTIFY));
	ls_outbox_begin(ls_extension_owner(), &saved);
	sent = ls_run(sql, &args);
	for (int i = 0; i < sent; i++)
		Async_Notify(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
					 SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
	ls_outbox_end(&saved);
	return sent;
}

/* read_delivery copies what SPI found to the caller's context. */
static void
read_delivery(LsDelivery *delivery, MemoryContext context)
{
	HeapTuple	tuple = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		isnull;

	delivery->outbox_id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	delivery->model = SPI_getvalue(tuple, desc, 2);
	delivery->action = SPI_getvalue(tuple, desc, 3);
	delivery->contact = SPI_getvalue(tuple, desc, 4);
	delivery->function = SPI_getvalue(tuple, desc, 5);
	delivery->timeout = palloc(sizeof(Interval));
	*delivery->timeout = *DatumGetIntervalP(SPI_getbinval(tuple, desc, 6, &isnull));
	delivery->attempts = DatumGetInt32(SPI_getbinval(tuple, desc, 7, &isnull));
	MemoryContextSwitchTo(old);
}

/*
 * ls_action_claim takes the next call that waits.  False: there is none.  What
 * was claimed as often as it may be, and was never heard of again, is dead.
 */
bool
ls_action_claim(LsDelivery *delivery)
{
	static const char sql[] =
		"WITH picked AS MATERIALIZED ("
		" SELECT outbox_id FROM leadscore_internal.lead_outbox"
		" WHERE deliver = 'function' AND status = 'ready' AND available_at <= $1"
		" ORDER BY available_at, outbox_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) "
		"UPDATE leadscore_internal.lead_outbox o SET"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $1 END,"
		" last_error = CASE WHEN attempts < max_attempts THEN last_error"
		"  ELSE 'the server or the worker ended during the call' END,"
		" attempts = CASE WHEN attempts < max_attempts THEN attempts + 1 ELSE attempts END,"
		" available_at = $1 + " LS_BACK_OFF("least(attempts, 12) + 1")
		" FROM picked p WHERE o.outbox_id = p.outbox_id "
		"RETURNING o.outbox_id, model, action, contact, function, timeout, attempts, status";
	MemoryContext caller = CurrentMemoryContext;
	bool		found;
	bool		dead = true;

	do
	{
		LsArguments args = {0};
		LsIdentity	saved;

		ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
		ls_outbox_begin(ls_extension_owner(), &saved);
		found = ls_run(sql, &args) > 0;
		if (found)
			dead = strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 8),
						  "dead") == 0;
		if (found && !dead)
			read_delivery(delivery, caller);
		ls_outbox_end(&saved);
	} while (found && dead);
	return found;
}

/*
 * lock_delivery locks the row of a claim and gives its payload.  False: it is
 * not ours any more.
 */
static bool
lock_delivery(const LsDelivery *delivery, Datum *payload)
{
	static const char sql[] =
		"SELECT payload FROM leadscore_internal.lead_outbox"
		" WHERE outbox_id = $1 AND attempts = $2 AND status = 'ready'"
		" FOR NO KEY UPDATE SKIP LOCKED";
	LsArguments args = {0};
	LsIdentity	saved;
	bool		found,
				isnull;

	ls_add(&args, INT8OID, Int64GetDatum(delivery->outbox_id));
	ls_add(&args, INT4OID, Int32GetDatum(delivery->attempts));
	ls_outbox_begin(ls_extension_owner(), &saved);
	found = ls_run(sql, &args) > 0;
	if (found)
		*payload = SPI_datumTransfer(SPI_getbinval(SPI_tuptable->vals[0],
												   SPI_tuptable->tupdesc, 1, &isnull),
									 false, -1);
	ls_outbox_end(&saved);
	return found;
}

/* milliseconds gives an interval as timeouts are set. */
static int
milliseconds(const Interval *interval)
{
	int64		usec;

	if (!ls_interval_usec(interval, &usec) || usec / 1000 > INT_MAX)
		return INT_MAX;
	return Max(1, usec / 1000);
}

/* end_process ends the worker: whoever handles errors cannot handle this. */
static void
end_process(void)
{
	ls_action_overran = true;
	kill(MyProcPid, SIGTERM);
}

/*
 * run_call calls a function, for at most so many milliseconds.  What it returns
 * is not kept, as it may be a set of any size.  It can handle the error that
 * ends its time, but then not go on for ever.
 */
static void
run_call(const char *sql, Datum payload, int limit)
{
	static TimeoutId last = MAX_TIMEOUTS;
	SPIExecuteOptions options = {0};
	int			result;

	if (last == MAX_TIMEOUTS)
		last = RegisterTimeout(USER_TIMEOUT, end_process);
	options.params = makeParamList(1);
	options.params->params[0] = (ParamExternData) {payload, false, PARAM_FLAG_CONST, JSONBOID};
	options.dest = None_Receiver;
	enable_timeout_after(STATEMENT_TIMEOUT, limit);
	enable_timeout_after(last, limit > INT_MAX - GRACE ? INT_MAX : limit + GRACE);
	PG_TRY();
	{
		SPI_connect();
		result = SPI_execute_extended(sql, &options);
		if (result < 0)
			elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(result));
		SPI_finish();
	}
	PG_FINALLY();
	{
		disable_timeout(last, false);
		disable_timeout(STATEMENT_TIMEOUT, false);
	}
	PG_END_TRY();
}

/*
 * call_function calls a function as the model's owner, who can neither become
 * anybody else there nor leave something behind that is run as somebody else.
 */
static void
call_function(const LsDelivery *delivery, Oid owner, Datum payload)
{
	char	   *schema;
	char	   *name;
	LsIdentity	saved;

	if (!OidIsValid(ls_action_function(delivery->function, &schema, &name)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s(jsonb) does not exist", delivery->function)));
	ls_become_untrusted(owner, &saved);
	run_call(psprintf("SELECT %s($1)", quote_qualified_identifier(schema, name)),
			 payload, Min(milliseconds(delivery->timeout), ls_action_timeout));
	ls_return(&saved);
}

/*
 * ls_action_call makes a call that was claimed and marks it done: both are
 * committed, or neither is.
 */
void
ls_action_call(const LsDelivery *delivery)
{
	static const char sql[] =
		"UPDATE leadscore_internal.lead_outbox SET status = 'done', finished_at = $2"
		" WHERE outbox_id = $1";
	LsArguments args = {0};
	LsModelRow *model = ls_model_row(delivery->model, NULL);
	Datum		payload;

	if (model == NULL || !lock_delivery(delivery, &payload))
		return;
	if (model->suspended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is suspended", model->model),
				 errdetail("Its contact table has a new owner, with whose privileges the function would be run.")));
	call_function(delivery, model->owner, payload);

	ls_add(&args, INT8OID, Int64GetDatum(delivery->outbox_id));
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	(void) ls_outbox_change(ls_extension_owner(), sql, &args);
}

/*
 * ls_action_failed records why a call failed, in a transaction of its own.  It
 * is made again later, or never.
 */
void
ls_action_failed(const LsDelivery *delivery, const char *error)
{
	static const char sql[] =
		"UPDATE leadscore_internal.lead_outbox SET last_error = $3,"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $4 END,"
		" available_at = $4 + " LS_BACK_OFF("attempts")
		" WHERE outbox_id = $1 AND attempts = $2 AND status = 'ready'";
	LsArguments args = {0};

	ls_add(&args, INT8OID, Int64GetDatum(delivery->outbox_id));
	ls_add(&args, INT4OID, Int32GetDatum(delivery->attempts));
	ls_add_text(&args, error);
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	(void) ls_outbox_change(ls_extension_owner(), sql, &args);
}

/* earliest gives when the first row of a kind of delivery is ready. */
static TimestampTz
earliest(Relation outbox, Relation index, const char *deliver)
{
	TupleDesc	desc = RelationGetDescr(outbox);
	TimestampTz at = DT_NOEND;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyInit(&key, SPI_fnumber(desc, "deliver"), BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(deliver));
	scan = systable_beginscan_ordered(outbox, index, NULL, 1, &key);
	tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(tuple))
		at = DatumGetTimestampTz(heap_getattr(tuple, SPI_fnumber(desc, "available_at"),
											  desc, &isnull));
	systable_endscan_ordered(scan);
	return at;
}

/*
 * ls_action_waiting tells whether there is something to be sent or called now.
 * It is asked often, and mostly for nothing: no SQL.
 */
bool
ls_action_waiting(void)
{
	Relation	outbox;
	Relation	index;
	TimestampTz at;

	outbox = table_open(ls_base_table_oid("lead_outbox", false), AccessShareLock);
	index = index_open(ls_base_table_oid("lead_outbox_worker", false), AccessShareLock);
	at = Min(earliest(outbox, index, "notify"), earliest(outbox, index, "function"));
	index_close(index, AccessShareLock);
	table_close(outbox, AccessShareLock);
	return at <= ls_clock();
}

/*
 * ls_action_purge deletes rows that were done long ago.  Dead letters wait for
 * somebody to look at them.
 */
int64
ls_action_purge(int days, int limit)
{
	static const char sql[] =
		"DELETE FROM leadscore_internal.lead_outbox WHERE outbox_id IN"
		" (SELECT outbox_id FROM leadscore_internal.lead_outbox"
		"  WHERE status = 'done' AND finished_at < $1"
		"  ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
	LsArguments args = {0};

	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock() - days * USECS_PER_DAY));
	ls_add(&args, INT4OID, Int32GetDatum(limit));
	return ls_outbox_change(ls_extension_owner(), sql, &args);
}
