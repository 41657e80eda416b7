/*-------------------------------------------------------------------------
 *
 * outbox.c
 *		Consumers of lead_outbox: take, done, failed, retry.
 *
 * A row that is taken stays ready, but not before its lease has ended; whoever
 * finds it then takes it again.  Everything is done with the rights of the
 * caller, so that row security shows it the rows of its own models only.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "catalog.h"
#include "check.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(ls_outbox_take);
PG_FUNCTION_INFO_V1(ls_outbox_done);
PG_FUNCTION_INFO_V1(ls_outbox_failed);
PG_FUNCTION_INFO_V1(ls_outbox_retry);

/* columns that take() gives */
#define TAKE_COLUMNS 11

/* ---------- arguments ---------- */

/* consumer_argument gives the name of a consumer. */
static char *
consumer_argument(FunctionCallInfo fcinfo)
{
	char	   *consumer = ls_text_argument(fcinfo, 0, "consumer");

	if (consumer[strspn(consumer, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("consumer must not be empty"),
				 errhint("Give each process that takes rows a name of its own.")));
	return consumer;
}

/* add_ids adds an array of numbers of rows; NULL, such as array_agg() of none. */
static void
add_ids(LsArguments *args, FunctionCallInfo fcinfo, int n)
{
	ls_add(args, INT8ARRAYOID, PG_ARGISNULL(n) ? PointerGetDatum(construct_empty_array(INT8OID)) :
		   PG_GETARG_DATUM(n));
}

/* after gives the instant that lies an interval after another. */
static TimestampTz
after(TimestampTz now, const Interval *interval, bool positive, const char *argument)
{
	TimestampTz at;
	int64		usec;

	if (!ls_interval_usec(interval, &usec) || pg_add_s64_overflow(now, usec, &at) ||
		!IS_VALID_TIMESTAMP(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("%s is out of range", argument)));
	if (usec < (positive ? 1 : 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 positive ? errmsg("%s must be greater than 0", argument) :
				 errmsg("%s must not be negative", argument)));
	return at;
}

/*
 * check_filter refuses a model or action that there is not, rather than wait
 * for one forever.
 */
static void
check_filter(const char *model, const char *action)
{
	List	   *names = NIL;
	const char *nearest;
	ListCell   *lc;

	if (model)
		(void) ls_model_row_for(model, GetUserId());
	if (action == NULL)
		return;
	foreach(lc, ls_model_rows(NULL))
	{
		LsModelRow *row = lfirst(lc);
		ListCell   *ac;

		if ((model && strcmp(row->model, model) != 0) ||
			!has_privs_of_role(GetUserId(), row->owner))
			continue;
		foreach(ac, ls_action_rows(row->model, NULL))
		{
			char	   *name = ((LsActionRow *) lfirst(ac))->name;

			if (strcmp(name, action) == 0)
				return;
			names = lappend(names, name);
		}
	}
	nearest = ls_nearest(action, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 model ? errmsg("action \"%s\" of model \"%s\" does not exist", action, model) :
			 errmsg("action \"%s\" does not exist", action),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) :
			 errhint("Insert it into leadscore.lead_action.")));
}

/* ---------- SQL ---------- */

/*
 * Between these two, SQL is run with the rights of a role, but not with the
 * caller's search_path; rows that are ready are found by index, whatever the
 * statistics of a table say that is filled and emptied all the time.
 */
void
ls_outbox_begin(Oid role, LsIdentity *saved)
{
	ls_become(role, saved);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
}

void
ls_outbox_end(LsIdentity *saved)
{
	SPI_finish();
	ls_return(saved);
}

/* ls_outbox_change runs a statement of which only the number of rows is wanted. */
int64
ls_outbox_change(Oid role, const char *sql, LsArguments *args)
{
	LsIdentity	saved;
	int64		rows;

	ls_outbox_begin(role, &saved);
	rows = ls_run(sql, args);
	ls_outbox_end(&saved);
	return rows;
}

/*
 * put_rows hands out what was taken and gives its number.  Rows that were taken
 * as often as they may be come with their status, dead, and are left out.
 */
static int
put_rows(ReturnSetInfo *result)
{
	int			taken = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[TAKE_COLUMNS + 1];
		bool		nulls[TAKE_COLUMNS + 1];

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		if (strcmp(TextDatumGetCString(values[TAKE_COLUMNS]), "ready") != 0)
			continue;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		taken++;
	}
	return taken;
}

/* ---------- functions ---------- */

/*
 * ls_outbox_take is leadscore.take().  It goes on where rows turned out to be
 * dead, so that these do not look like the end of the queue.
 */
Datum
ls_outbox_take(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"WITH picked AS MATERIALIZED ("
		" SELECT outbox_id FROM leadscore.lead_outbox"
		" WHERE deliver = 'outbox' AND status = 'ready' AND available_at <= $1"
		" AND ($5 IS NULL OR model = $5) AND ($6 IS NULL OR action = $6)"
		" ORDER BY available_at, outbox_id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED),"
		" taken AS (UPDATE leadscore.lead_outbox o SET"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $1 END,"
		" last_error = CASE WHEN attempts < max_attempts THEN last_error ELSE"
		"  coalesce('consumer \"' || taken_by || '\" took it and was not heard of again', last_error) END,"
		" taken_by = CASE WHEN attempts < max_attempts THEN $4 ELSE taken_by END,"
		" available_at = CASE WHEN attempts < max_attempts THEN $2 ELSE available_at END,"
		" attempts = CASE WHEN attempts < max_attempts THEN attempts + 1 ELSE attempts END"
		" FROM picked p WHERE o.outbox_id = p.outbox_id RETURNING o.*) "
		"SELECT outbox_id, model, action, contact, occasion, stage, score, cause, happened_at,"
		" attempts, payload, status FROM taken ORDER BY outbox_id";
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *consumer = consumer_argument(fcinfo);
	char	   *model = ls_optional_argument(fcinfo, 3);
	char	   *action = ls_optional_argument(fcinfo, 4);
	TimestampTz now = ls_clock();
	TimestampTz until;
	int			wanted;
	uint64		found;

	PreventCommandIfReadOnly("take()");
	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be at least 1")));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("lease must not be NULL")));
	until = after(now, PG_GETARG_INTERVAL_P(2), true, "lease");
	check_filter(model, action);
	wanted = PG_GETARG_INT32(1);
	InitMaterializedSRF(fcinfo, 0);

	do
	{
		LsArguments args = {0};
		LsIdentity	saved;

		CHECK_FOR_INTERRUPTS();
		ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now));
		ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(until));
		ls_add(&args, INT4OID, Int32GetDatum(wanted));
		ls_add_text(&args, consumer);
		ls_add_text(&args, model);
		ls_add_text(&args, action);
		ls_outbox_begin(GetUserId(), &saved);
		found = ls_run(sql, &args);
		wanted -= put_rows(result);
		ls_outbox_end(&saved);
	} while (found > 0 && wanted > 0);
	return (Datum) 0;
}

/* ls_outbox_done is leadscore.done(). */
Datum
ls_outbox_done(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"UPDATE leadscore.lead_outbox SET status = 'done', finished_at = $1"
		" WHERE outbox_id = ANY ($2) AND deliver = 'outbox' AND status = 'ready' AND taken_by = $3";
	LsArguments args = {0};
	char	   *consumer = consumer_argument(fcinfo);

	PreventCommandIfReadOnly("done()");
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	add_ids(&args, fcinfo, 1);
	ls_add_text(&args, consumer);
	PG_RETURN_INT64(ls_outbox_change(GetUserId(), sql, &args));
}

/* ls_outbox_failed is leadscore.failed(). */
Datum
ls_outbox_failed(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"UPDATE leadscore.lead_outbox SET last_error = $4, taken_by = NULL,"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $1 END,"
		" available_at = coalesce($5, $1 + " LS_BACK_OFF("attempts") ")"
		" WHERE outbox_id = ANY ($2) AND deliver = 'outbox' AND status = 'ready' AND taken_by = $3";
	LsArguments args = {0};
	char	   *consumer = consumer_argument(fcinfo);
	char	   *error = ls_text_argument(fcinfo, 2, "error");
	TimestampTz now = ls_clock();

	PreventCommandIfReadOnly("failed()");
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now));
	add_ids(&args, fcinfo, 1);
	ls_add_text(&args, consumer);
	ls_add_text(&args, error);
	ls_add(&args, TIMESTAMPTZOID, (Datum) 0);
	if (PG_ARGISNULL(3))
		args.nulls[args.n - 1] = 'n';
	else
		args.values[args.n - 1] =
			TimestampTzGetDatum(after(now, PG_GETARG_INTERVAL_P(3), false, "retry_in"));
	PG_RETURN_INT64(ls_outbox_change(GetUserId(), sql, &args));
}

/* ls_outbox_retry is leadscore.retry(), for rows of any kind of delivery. */
Datum
ls_outbox_retry(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"UPDATE leadscore.lead_outbox SET status = 'ready', available_at = $1, attempts = 0,"
		" taken_by = NULL, finished_at = NULL"
		" WHERE outbox_id = ANY ($2) AND status = 'dead'";
	LsArguments args = {0};

	PreventCommandIfReadOnly("retry()");
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	add_ids(&args, fcinfo, 0);
	PG_RETURN_INT64(ls_outbox_change(GetUserId(), sql, &args));
}
