/*-------------------------------------------------------------------------
 *
 * delivery.c
 *		Consequences: who is told of what happened to a contact, and how.
 *
 * What is to be told is a row of outbox_<model>, written in the transaction in
 * which it happened (outbox_writer.c) and so there once, and only if it happened.
 * outbox.c has what consumers call; here is what the worker does with the rows that
 * it delivers itself.
 *
 *-------------------------------------------------------------------------
 */
#include "background/delivery.h"

#include <limits.h>
#include <signal.h>

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "api/outbox.h"
#include "background/settings.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/reach.h"
#include "base/user.h"
#include "definitions/catalog.h"
#include "definitions/model_access.h"

/* the longest that goes as a NOTIFY's payload, with some room left */
#define MAX_NOTIFY	7900

/* how long a function may go on after its timeout, in milliseconds */
#define GRACE	2000

bool		ls_action_overran = false;

/* outbox_of gives the outbox of a model, locked; NULL: there is none, or it is busy. */
static LsModelTable *
outbox_of(const char *model)
{
	List	   *tables = ls_model_tables_for("outbox_", model, ACL_NO_RIGHTS);

	return tables != NIL && ls_model_table_lock(linitial(tables), RowExclusiveLock, false) ?
		linitial(tables) : NULL;
}

/*
 * ls_action_notify sends what waits to be sent of a model as NOTIFY, in its order,
 * when the transaction commits.
 */
int
ls_action_notify(const char *model, int limit)
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
	LsModelTable *outbox = outbox_of(model);
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	if (outbox == NULL)
		return 0;
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	ls_sql_add(&args, INT4OID, Int32GetDatum(limit));
	ls_sql_add(&args, INT4OID, Int32GetDatum(MAX_NOTIFY));
	ls_sql_add_text(&args, model);
	rows = ls_outbox_query(outbox->table, sql, &args);
	for (uint64 i = 0; i < rows->numvals; i++)
		Async_Notify(ls_sql_text(rows, i, 1), ls_sql_text(rows, i, 2));
	return rows->numvals;
}

/*
 * ls_action_claim takes the next call of a model that waits.  False: there is none.
 * What was claimed as often as it may be, and was never heard of again, is dead.
 * The calls of a model that is suspended wait, and use up no attempts.
 */
bool
ls_action_claim(const char *model, LsDelivery *delivery)
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
	LsModelTable *outbox = outbox_of(model);
	SPITupleTable *rows;

	if (outbox == NULL || outbox->model->suspended)
		return false;
	do
	{
		LsSqlArguments args = {0};

		ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
		rows = ls_outbox_query(outbox->table, sql, &args);
	} while (rows->numvals > 0 && strcmp(ls_sql_text(rows, 0, 5), "dead") == 0);
	if (rows->numvals == 0)
		return false;
	delivery->outbox_id = DatumGetInt64(ls_sql_value(rows, 0, 1, NULL));
	delivery->model = pstrdup(model);
	delivery->function = ls_sql_text(rows, 0, 2);
	delivery->timeout = DatumGetIntervalP(ls_sql_value(rows, 0, 3, NULL));
	delivery->attempts = DatumGetInt32(ls_sql_value(rows, 0, 4, NULL));
	return true;
}

/*
 * lock_delivery locks the row of a claim and gives its payload.  False: it is
 * not ours any more.
 */
static bool
lock_delivery(const LsDelivery *delivery, const LsModelTable *outbox, Datum *payload)
{
	static const char sql[] =
		"SELECT payload FROM %1$s"
		" WHERE outbox_id = $1 AND attempts = $2 AND status = 'ready'"
		" FOR NO KEY UPDATE SKIP LOCKED";
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	ls_sql_add(&args, INT8OID, Int64GetDatum(delivery->outbox_id));
	ls_sql_add(&args, INT4OID, Int32GetDatum(delivery->attempts));
	rows = ls_outbox_query(outbox->table, sql, &args);
	if (rows->numvals > 0)
		*payload = ls_sql_value(rows, 0, 1, NULL);
	return rows->numvals > 0;
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
 * call_function calls a function as the model's owner, which can neither switch to
 * another user there nor leave something behind that is run as another.
 */
static void
call_function(const LsDelivery *delivery, Oid owner, Datum payload)
{
	char	   *schema;
	char	   *name;
	Oid			function = ls_sql_function(delivery->function, &schema, &name);
	LsUser	saved;

	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s(jsonb) does not exist", delivery->function)));
	ls_check_call(function, owner);
	ls_user_switch_untrusted(owner, &saved);
	run_call(psprintf("SELECT %s($1)", quote_qualified_identifier(schema, name)),
			 payload, Min(milliseconds(delivery->timeout), ls_action_timeout));
	ls_user_restore(&saved);
}

/*
 * ls_action_call makes a call that was claimed and marks it done: both are
 * committed, or neither is.
 */
void
ls_action_call(const LsDelivery *delivery)
{
	static const char sql[] =
		"UPDATE %1$s SET status = 'done', finished_at = $2"
		" WHERE outbox_id = $1";
	LsSqlArguments args = {0};
	LsModelTable *outbox = outbox_of(delivery->model);
	Datum		payload;

	if (outbox == NULL || !lock_delivery(delivery, outbox, &payload))
		return;
	if (outbox->model->suspended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is suspended", outbox->model->model),
				 errdetail("Its contact table has a new owner, with whose privileges the function would be run.")));
	call_function(delivery, outbox->model->owner, payload);

	ls_sql_add(&args, INT8OID, Int64GetDatum(delivery->outbox_id));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	(void) ls_outbox_change(outbox->table, sql, &args);
}

/*
 * ls_action_failed records why a call failed, in a transaction of its own.  It
 * is made again later, or never.
 */
void
ls_action_failed(const LsDelivery *delivery, const char *error)
{
	static const char sql[] =
		"UPDATE %1$s SET last_error = $3,"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $4 END,"
		" available_at = $4 + " LS_BACK_OFF("attempts")
		" WHERE outbox_id = $1 AND attempts = $2 AND status = 'ready'";
	LsModelTable *outbox = outbox_of(delivery->model);
	LsSqlArguments args = {0};

	if (outbox == NULL)
		return;
	ls_sql_add(&args, INT8OID, Int64GetDatum(delivery->outbox_id));
	ls_sql_add(&args, INT4OID, Int32GetDatum(delivery->attempts));
	ls_sql_add_text(&args, error);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	(void) ls_outbox_change(outbox->table, sql, &args);
}

/*
 * ls_action_waiting gives the names of models of which there is something to be sent
 * or called now, in the caller's context.
 */
List *
ls_action_waiting(void)
{
	List	   *outboxes = ls_model_tables_for("outbox_", NULL, ACL_NO_RIGHTS);
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, outboxes)
		if (!ls_model_table_lock(lfirst(lc), AccessShareLock, false))
			outboxes = foreach_delete_current(outboxes, lc);
	foreach(lc, ls_outbox_waiting(outboxes, ls_clock(), "notify", "function"))
		names = lappend(names, ((LsModelTable *) lfirst(lc))->model->model);
	return names;
}

/*
 * ls_action_purge deletes rows that were done long ago.  Dead letters wait for
 * somebody to look at them.
 */
int64
ls_action_purge(const char *model, int days, int limit)
{
	static const char sql[] =
		"DELETE FROM %1$s WHERE outbox_id IN"
		" (SELECT outbox_id FROM %1$s"
		"  WHERE status = 'done' AND finished_at < $1"
		"  ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
	LsModelTable *outbox = outbox_of(model);
	LsSqlArguments args = {0};

	if (outbox == NULL)
		return 0;
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock() - days * USECS_PER_DAY));
	ls_sql_add(&args, INT4OID, Int32GetDatum(limit));
	return ls_outbox_change(outbox->table, sql, &args);
}
