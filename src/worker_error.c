/*-------------------------------------------------------------------------
 *
 * worker_error.c
 *		What failed in a worker, written down, and when it is tried again.
 *
 * All times here are real ones: a held clock must not keep what has failed from
 * being tried again.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_error.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "feed.h"
#include "leadscore.h"

#define FIRST_BACK_OFF		(1 * USECS_PER_SEC)
#define LAST_BACK_OFF		(600 * USECS_PER_SEC)

/* ls_back_off is how long something is left alone that failed so many times. */
int64
ls_back_off(int failures)
{
	int64		wait = FIRST_BACK_OFF;

	while (--failures > 0 && wait < LAST_BACK_OFF)
		wait *= 2;
	return Min(wait, LAST_BACK_OFF);
}

/* failures_so_far counts those that are written down already. */
static int
failures_so_far(const char *model, const char *contact)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	char		nulls[2] = {' ', contact ? ' ' : 'n'};
	int			failures = 0;
	bool		isnull;

	values[0] = CStringGetTextDatum(model);
	values[1] = contact ? CStringGetTextDatum(contact) : (Datum) 0;
	SPI_connect();
	if (SPI_execute_with_args("SELECT least(failures, 1000)::pg_catalog.int4"
							  " FROM leadscore_internal.lead_worker_error"
							  " WHERE model OPERATOR(pg_catalog.=) $1"
							  " AND contact IS NOT DISTINCT FROM $2 FOR UPDATE",
							  2, types, values, nulls, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the errors of model \"%s\"", model);
	if (SPI_processed == 1)
		failures = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
											   SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return failures;
}

/*
 * ls_worker_error_record writes down that something failed, and gives how long
 * it is to be left alone, in microseconds.
 */
int64
ls_worker_error_record(const char *model, const char *contact, int sqlerrcode,
					   const char *message)
{
	TimestampTz now = GetCurrentTimestamp();
	LsArguments args = {0};
	LsIdentity	saved;
	int64		wait;

	ls_become(ls_extension_owner(), &saved);
	wait = ls_back_off(failures_so_far(model, contact) + 1);
	ls_add_text(&args, model);
	ls_add_text(&args, contact);
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now));
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now + wait));
	ls_add_text(&args, unpack_sql_state(sqlerrcode));
	ls_add_text(&args, message);
	ls_execute("INSERT INTO leadscore_internal.lead_worker_error AS e (model, contact, failures,"
			   " first_failed_at, last_failed_at, retry_at, sqlstate, message)"
			   " VALUES ($1, $2, 1, $3, $3, $4, $5, $6)"
			   " ON CONFLICT (model, contact) DO UPDATE SET"
			   " failures = e.failures OPERATOR(pg_catalog.+) 1,"
			   " last_failed_at = excluded.last_failed_at,"
			   " retry_at = excluded.retry_at,"
			   " sqlstate = excluded.sqlstate, message = excluded.message", &args);
	ls_return(&saved);
	return wait;
}

/* ls_worker_error_waits tells whether a contact failed too recently. */
bool
ls_worker_error_waits(const char *model, const char *contact)
{
	LsArguments args = {0};
	LsIdentity	saved;
	bool		waits;

	ls_add_text(&args, model);
	ls_add_text(&args, contact);
	ls_become(ls_extension_owner(), &saved);
	waits = ls_execute("SELECT FROM leadscore_internal.lead_worker_error"
					   " WHERE model OPERATOR(pg_catalog.=) $1"
					   " AND contact OPERATOR(pg_catalog.=) $2"
					   " AND retry_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
					   &args) > 0;
	ls_return(&saved);
	return waits;
}

/* ls_worker_error_clear forgets it: all is well again. */
void
ls_worker_error_clear(const char *model, const char *contact)
{
	LsArguments args = {0};
	LsIdentity	saved;

	ls_add_text(&args, model);
	ls_add_text(&args, contact);
	ls_become(ls_extension_owner(), &saved);
	ls_execute("DELETE FROM leadscore_internal.lead_worker_error"
			   " WHERE model OPERATOR(pg_catalog.=) $1"
			   " AND contact IS NOT DISTINCT FROM $2", &args);
	ls_return(&saved);
}

/*
 * ls_worker_error_forget forgets contacts that were to be tried again before an
 * instant: had they failed once more, they would have a later one.
 */
void
ls_worker_error_forget(const char *model, TimestampTz before)
{
	LsArguments args = {0};
	LsIdentity	saved;

	ls_add_text(&args, model);
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(before));
	ls_become(ls_extension_owner(), &saved);
	ls_execute("DELETE FROM leadscore_internal.lead_worker_error"
			   " WHERE model OPERATOR(pg_catalog.=) $1 AND contact IS NOT NULL"
			   " AND retry_at OPERATOR(pg_catalog.<) $2", &args);
	ls_return(&saved);
}

static TimestampTz
time_of(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/*
 * ls_worker_errors gives the models in which something has failed, in the
 * current memory context.
 */
List *
ls_worker_errors(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *errors = NIL;

	SPI_connect();
	if (SPI_execute("SELECT model, max(retry_at) FILTER (WHERE contact IS NULL),"
					" min(retry_at) FILTER (WHERE contact IS NOT NULL)"
					" FROM leadscore_internal.lead_worker_error GROUP BY model",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read what has failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		LsWorkerError *error = palloc(sizeof(LsWorkerError));

		error->model = SPI_getvalue(tuple, desc, 1);
		error->retry_at = time_of(tuple, desc, 2);
		error->contact_retry_at = time_of(tuple, desc, 3);
		errors = lappend(errors, error);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return errors;
}
