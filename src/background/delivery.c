/*-------------------------------------------------------------------------
 *
 * delivery.c
 *		The worker delivers the rows of actions: it sends notifications and calls
 *		functions.
 *
 * What is to be delivered is a row of outbox_<model>, written in the transaction of the
 * transition (outbox_writer.c), and so exactly once, if that commits.  outbox.c has the
 * functions of consumers; this file has what the worker does with the rows that it
 * delivers itself.
 *
 * A call is claimed in a transaction of its own and made in a second one; a failure is
 * recorded in a third.  A claim without a result, because of a crash, counts as an
 * attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include <limits.h>
#include <signal.h>

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "pgstat.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timeout.h"

#include "api/outbox.h"
#include "background/helper_start.h"
#include "background/settings.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/reachable_code.h"
#include "base/user.h"
#include "definitions/lead_tables.h"
#include "definitions/model_access.h"

/* the longest payload of a NOTIFY, with some room left */
#define MAX_NOTIFY	7900

/* how long a function may continue after its timeout, in milliseconds */
#define GRACE	2000

/* after a longer call the model's calls are left to a process of its own */
#define SLOW_CALL_MS	1000

/* the call that is being made */
static struct
{
	int64		outbox_id;
	char	   *function;
	Interval   *timeout;
	int32		attempts;		/* including this one */
}			call;

/*
 * outbox_of gives the outbox of a model, locked; NULL: there is none, or the lock is
 * not free.
 */
static LsModelTable *
outbox_of(const char *model)
{
	List	   *tables = ls_model_tables_for("outbox_", model, ACL_NO_RIGHTS);

	return tables != NIL && ls_model_table_lock(linitial(tables), RowExclusiveLock, false) ?
		linitial(tables) : NULL;
}

/* ---------- steps ---------- */

/* find_deliveries finds the models with rows to be sent or called now. */
static void
find_deliveries(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);
	List	   *outboxes = ls_model_tables_for("outbox_", NULL, ACL_NO_RIGHTS);
	ListCell   *lc;

	work->models = NIL;
	foreach(lc, outboxes)
		if (!ls_model_table_lock(lfirst(lc), AccessShareLock, false))
			outboxes = foreach_delete_current(outboxes, lc);
	foreach(lc, ls_outbox_waiting(outboxes, ls_clock(), "notify", "function"))
		work->models = lappend(work->models, ((LsModelTable *) lfirst(lc))->model->model);
	MemoryContextSwitchTo(old);
}

/*
 * send_notifications sends the ready notifications of a model in order, when the
 * transaction commits.
 */
static void
send_notifications(Work *work)
{
	static const char sql[] =
		"WITH picked AS MATERIALIZED ("
		" SELECT outbox_id FROM %1$s"
		" WHERE deliver = 'notify' AND status = 'ready' AND available_at <= $1"
		" ORDER BY available_at, outbox_id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED),"
		" sent AS (UPDATE %1$s o"
		" SET status = 'done', attempts = least(attempts, 2147483646) + 1, finished_at = $1"
		" FROM picked p WHERE o.outbox_id = p.outbox_id RETURNING o.*) "
		"SELECT coalesce(channel, 'leadscore'),"
		" CASE WHEN octet_length(payload::text) <= $3 THEN payload::text"
		"  ELSE jsonb_build_object('outbox_id', outbox_id, 'model', $4::text, 'occasion', occasion,"
		"   'score', payload->'score', 'cause', cause, 'happened_at', payload->'happened_at',"
		"   'recorded_at', payload->'recorded_at', 'shortened', true)::text END "
		"FROM sent ORDER BY outbox_id";
	LsModelTable *outbox = outbox_of(work->model);
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	work->returned = 0;
	if (outbox == NULL)
		return;
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	ls_sql_add(&args, INT4OID, Int32GetDatum(ls_setting_batch_size));
	ls_sql_add(&args, INT4OID, Int32GetDatum(MAX_NOTIFY));
	ls_sql_add_text(&args, work->model);
	rows = ls_outbox_query(outbox->table, sql, &args);
	for (uint64 i = 0; i < rows->numvals; i++)
		Async_Notify(ls_sql_text(rows, i, 1), ls_sql_text(rows, i, 2));
	work->returned = rows->numvals;
}

/*
 * claim_call claims the next ready call of a model, if there is one.  A row without
 * attempts left, the last of which had no result, is dead.  The calls of a suspended
 * model wait, and use up no attempts.
 */
static void
claim_call(Work *work)
{
	static const char sql[] =
		"WITH picked AS MATERIALIZED ("
		" SELECT outbox_id FROM %1$s"
		" WHERE deliver = 'function' AND status = 'ready' AND available_at <= $1"
		" ORDER BY available_at, outbox_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) "
		"UPDATE %1$s o SET"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $1 END,"
		" last_error = CASE WHEN attempts < max_attempts THEN last_error"
		"  ELSE 'the server or the worker ended during the call' END,"
		" attempts = CASE WHEN attempts < max_attempts THEN attempts + 1 ELSE attempts END,"
		" available_at = $1 + " LS_BACK_OFF("least(attempts, 12) + 1")
		" FROM picked p WHERE o.outbox_id = p.outbox_id "
		"RETURNING o.outbox_id, function, timeout, attempts, status";
	LsModelTable *outbox = outbox_of(work->model);
	MemoryContext old;
	SPITupleTable *rows;

	work->returned = 0;
	if (outbox == NULL || outbox->model->suspended)
		return;
	old = MemoryContextSwitchTo(work->round);
	do
	{
		LsSqlArguments args = {0};

		ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
		rows = ls_outbox_query(outbox->table, sql, &args);
	} while (rows->numvals > 0 && strcmp(ls_sql_text(rows, 0, 5), "dead") == 0);
	if (rows->numvals > 0)
	{
		call.outbox_id = DatumGetInt64(ls_sql_value(rows, 0, 1, NULL));
		call.function = ls_sql_text(rows, 0, 2);
		call.timeout = DatumGetIntervalP(ls_sql_value(rows, 0, 3, NULL));
		call.attempts = DatumGetInt32(ls_sql_value(rows, 0, 4, NULL));
		work->returned = 1;
	}
	MemoryContextSwitchTo(old);
}

/*
 * lock_call locks the row of a claim and gives its payload.  False: it is claimed
 * again, or finished.
 */
static bool
lock_call(const LsModelTable *outbox, Datum *payload)
{
	static const char sql[] =
		"SELECT payload FROM %1$s"
		" WHERE outbox_id = $1 AND attempts = $2 AND status = 'ready'"
		" FOR NO KEY UPDATE SKIP LOCKED";
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	ls_sql_add(&args, INT8OID, Int64GetDatum(call.outbox_id));
	ls_sql_add(&args, INT4OID, Int32GetDatum(call.attempts));
	rows = ls_outbox_query(outbox->table, sql, &args);
	if (rows->numvals > 0)
		*payload = ls_sql_value(rows, 0, 1, NULL);
	return rows->numvals > 0;
}

/* milliseconds converts an interval to the unit of timeouts. */
static int
milliseconds(const Interval *interval)
{
	int64		usec;

	if (!ls_lead_interval_usec(interval, &usec) || usec / 1000 > INT_MAX)
		return INT_MAX;
	return Max(1, usec / 1000);
}

/* end_process ends the worker: a function that traps errors cannot trap this. */
static void
end_process(void)
{
	ls_worker_step_call_overran = true;
	kill(MyProcPid, SIGTERM);
}

/*
 * run_call calls a function, with a timeout in milliseconds.  Its result is not stored,
 * as it may be a set of any size.  It can trap the error of the timeout, but then not
 * continue forever.
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
 * call_function calls a function as the model's owner, in a security-restricted
 * operation: it cannot switch to another user, nor leave something behind that runs as
 * another.
 */
static void
call_function(Oid owner, Datum payload)
{
	char	   *schema;
	char	   *name;
	Oid			function = ls_sql_function(call.function, &schema, &name);
	LsUser		saved;

	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s(jsonb) does not exist", call.function)));
	ls_reach_check_call(function, owner);
	ls_user_switch_untrusted(owner, &saved);
	run_call(psprintf("SELECT %s($1)", quote_qualified_identifier(schema, name)),
			 payload, Min(milliseconds(call.timeout), ls_setting_action_timeout));
	ls_user_restore(&saved);
}

/*
 * make_call makes the call that was claimed and marks the row done, in one transaction.
 * The user's function may wait for locks.
 */
static void
make_call(Work *work)
{
	static const char sql[] =
		"UPDATE %1$s SET status = 'done', finished_at = $2"
		" WHERE outbox_id = $1";
	LsSqlArguments args = {0};
	LsModelTable *outbox = outbox_of(work->model);
	Datum		payload;

	(void) set_config_option("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	if (outbox == NULL || !lock_call(outbox, &payload))
		return;
	if (outbox->model->suspended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is suspended", outbox->model->model),
				 errdetail("Its contact table has a new owner, with whose privileges the function would be run.")));
	call_function(outbox->model->owner, payload);

	ls_sql_add(&args, INT8OID, Int64GetDatum(call.outbox_id));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	(void) ls_outbox_change(outbox->table, sql, &args);
}

/*
 * record_failed_call records why a call failed, in a transaction of its own.  The call
 * is retried later, or the row is dead.
 */
static void
record_failed_call(Work *work)
{
	static const char sql[] =
		"UPDATE %1$s SET last_error = $3,"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $4 END,"
		" available_at = $4 + " LS_BACK_OFF("attempts")
		" WHERE outbox_id = $1 AND attempts = $2 AND status = 'ready'";
	LsModelTable *outbox = outbox_of(work->model);
	LsSqlArguments args = {0};

	if (outbox == NULL)
		return;
	ls_sql_add(&args, INT8OID, Int64GetDatum(call.outbox_id));
	ls_sql_add(&args, INT4OID, Int32GetDatum(call.attempts));
	ls_sql_add_text(&args, work->failure->message);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	(void) ls_outbox_change(outbox->table, sql, &args);
}

/* ---------- in each round ---------- */

/* record_failure postpones a model's deliveries where the last step failed. */
static void
record_failure(Work *work)
{
	ls_worker_step_record_error(work);
	if (ls_worker_step_failed(work))
		ls_worker_model_delivered(work->model, false);
}

/* notify_all sends all ready notifications, of one model after the other. */
static void
notify_all(Work *work)
{
	ListCell   *lc;

	foreach(lc, work->models)
	{
		work->model = lfirst(lc);
		if (ls_worker_model_delivery_waits(work->model))
			continue;
		while (ls_worker_step_run(work, send_notifications) && work->returned >= ls_setting_batch_size)
			;
		record_failure(work);
	}
}

/*
 * call_one makes the next call of a model.  False: there is none, or it could not be
 * made.  The watchdog of other steps is off, as a call has a timeout of its own.
 */
static bool
call_one(Work *work)
{
	LsSlice		time;

	if (ls_worker_model_delivery_waits(work->model))
		return false;
	if (!ls_worker_step_run(work, claim_call))
	{
		record_failure(work);
		return false;
	}
	if (!work->returned)
	{
		ls_worker_model_delivered(work->model, true);
		return false;
	}
	time = ls_slice_begin(SLOW_CALL_MS);
	ls_worker_step_phase(work, LS_PHASE_DELIVERING);
	work->unwatched = true;
	if (!ls_worker_step_run(work, make_call) && work->error)
	{
		work->unwatched = false;
		work->failure = work->error;
		(void) ls_worker_step_run(work, record_failed_call);
	}
	work->unwatched = false;
	record_failure(work);
	if (!ls_worker_step_failed(work))
		ls_worker_model_delivered(work->model, true);
	if (ls_slice_over(&time))
		ls_worker_model_leave_to_lane(work->model);
	return true;
}

/* show_waiting reports that calls have been due since the round began. */
static void
show_waiting(Work *work)
{
	work->next_due = Min(work->next_due, work->began);
}

/* is_elsewhere tells whether the calls of a model are left to a process of its own. */
static bool
is_elsewhere(Work *work, const char *model)
{
	if (ls_shared_slot_count_slow(model) == 0 || !ls_helpers_lane(model))
		return false;
	show_waiting(work);
	return true;
}

/* call_all makes calls, of the models in turn, for at most naptime. */
static void
call_all(Work *work)
{
	static char last[NAMEDATALEN];	/* the model of the last call */
	LsSlice		slice = ls_slice_begin(ls_setting_naptime);
	bool		any = true;

	for (int i = 0; work->models != NIL && strcmp(llast(work->models), last) != 0 &&
		 i < list_length(work->models); i++)
	{
		work->models = lappend(work->models, linitial(work->models));
		work->models = list_delete_first(work->models);
	}
	while (any)
	{
		ListCell   *lc;

		any = false;
		foreach(lc, work->models)
		{
			work->model = lfirst(lc);
			if (is_elsewhere(work, work->model) || !call_one(work))
				continue;
			any = true;
			strlcpy(last, work->model, sizeof(last));
			if (!ls_slice_over(&slice))
				continue;
			work->hurry = true;
			show_waiting(work);
			return;
		}
	}
}

/*
 * ls_delivery_run delivers the rows that the worker is to deliver.  Scores come first:
 * what is not delivered within naptime waits for the next round.  Models take turns, so
 * that the calls of one do not block those of others; one whose calls take long has a
 * process of its own.
 */
void
ls_delivery_run(Work *work)
{
	if (!ls_worker_step_run(work, find_deliveries) || work->models == NIL)
		return;
	ls_worker_step_phase(work, LS_PHASE_DELIVERING);
	ls_worker_step_report(work, "delivering");
	notify_all(work);
	call_all(work);
	work->model = NULL;
}

/* ls_delivery_call_for makes the calls of one model, in the process for that model. */
void
ls_delivery_call_for(Work *work, const char *model)
{
	LsSlice		slice = ls_slice_begin(ls_setting_naptime);

	work->model = model;
	while (!work->leaving && call_one(work))
		if (ls_slice_over(&slice))
		{
			work->hurry = true;
			break;
		}
	work->model = NULL;
}
