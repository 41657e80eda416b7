/*-------------------------------------------------------------------------
 *
 * worker_error.c
 *		Errors of workers, recorded, and when the work is retried.
 *
 * All times here are real ones: leadscore.clock must not delay a retry.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/worker_error.h"

#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "base/sql.h"
#include "definitions/extension.h"
#include "definitions/model_access.h"

/* What has failed: a model as a whole, or a contact of one; each has a table */
typedef struct Place
{
	const char *table;
	const char *column;
	const char *equals;			/* operator of the column */
	LsModel    *model;			/* NULL: a model as a whole */
	Oid			type;
	Datum		value;
} Place;

static Place
place_of_model(const char *model)
{
	Place		place = {"leadscore_internal.lead_worker_error", "model", "OPERATOR(pg_catalog.=)",
	NULL, TEXTOID, CStringGetTextDatum(model)};

	return place;
}

static Place
place_of_contact(LsModel *model, Datum contact)
{
	Place		place = {psprintf("leadscore.worker_error_%s", model->name), "contact_id",
	ls_key_equals(&model->key), model, model->key.type, contact};

	return place;
}

/* execute runs a statement whose first argument is the key of the place. */
static uint64
execute(const Place *place, const char *sql, LsSqlArguments *args)
{
	args->newest = place->model != NULL;
	return place->model ? ls_sql_execute_as_owner(place->model->score_table, sql, args) :
		ls_extension_execute(sql, args);
}

/* failures_so_far gives the number of failures recorded before. */
static int
failures_so_far(const Place *place)
{
	const char *sql = psprintf("SELECT least(failures, 1000)::pg_catalog.int4"
							   " FROM %s WHERE %s %s $1 FOR UPDATE",
							   place->table, place->column, place->equals);
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	ls_sql_add(&args, place->type, place->value);
	rows = place->model ? ls_sql_query_as_owner(place->model->score_table, sql, &args) :
		ls_extension_query(sql, &args);
	return rows->numvals == 1 ? DatumGetInt32(ls_sql_value(rows, 0, 1, NULL)) : 0;
}

/* record records a failure, and returns the delay of the retry, in microseconds. */
static int64
record(const Place *place, int sqlerrcode, const char *message)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		wait = ls_clock_back_off(failures_so_far(place) + 1);
	LsSqlArguments args = {0};

	ls_sql_add(&args, place->type, place->value);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now + wait));
	ls_sql_add_text(&args, unpack_sql_state(sqlerrcode));
	ls_sql_add_text(&args, message);
	(void) execute(place, psprintf("INSERT INTO %s AS e (%s, failures,"
								   " first_failed_at, last_failed_at, retry_at, sqlstate, message)"
								   " VALUES ($1, 1, $2, $2, $3, $4, $5)"
								   " ON CONFLICT (%s) DO UPDATE SET"
								   " failures = e.failures OPERATOR(pg_catalog.+) 1,"
								   " last_failed_at = excluded.last_failed_at,"
								   " retry_at = excluded.retry_at,"
								   " sqlstate = excluded.sqlstate, message = excluded.message",
								   place->table, place->column, place->column), &args);
	return wait;
}

int64
ls_worker_error_record(const char *model, int sqlerrcode, const char *message)
{
	Place		place = place_of_model(model);

	return record(&place, sqlerrcode, message);
}

int64
ls_worker_error_record_contact(LsModel *model, Datum contact, int sqlerrcode,
							   const char *message)
{
	Place		place = place_of_contact(model, contact);

	return record(&place, sqlerrcode, message);
}

/* ls_worker_error_waits tells whether a contact failed too recently to be retried. */
bool
ls_worker_error_waits(LsModel *model, Datum contact)
{
	Place		place = place_of_contact(model, contact);
	LsSqlArguments args = {0};

	ls_sql_add(&args, place.type, place.value);
	return execute(&place, psprintf("SELECT FROM %s WHERE %s %s $1"
									" AND retry_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
									place.table, place.column, place.equals), &args) > 0;
}

/* ls_worker_error_clear deletes the recorded error of a model. */
void
ls_worker_error_clear(const char *model)
{
	Place		place = place_of_model(model);
	LsSqlArguments args = {0};

	ls_sql_add(&args, place.type, place.value);
	(void) execute(&place, psprintf("DELETE FROM %s WHERE %s %s $1",
									place.table, place.column, place.equals), &args);
}

/*
 * ls_worker_error_forget deletes the errors of contacts that were to be retried before
 * an instant: had they failed once more, they would have a later one.
 */
void
ls_worker_error_forget(const char *model, TimestampTz before)
{
	LsSqlArguments args = {.newest = true};

	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(before));
	ls_sql_execute_as_owner(ls_lead_score_table(model, false),
							psprintf("DELETE FROM leadscore.worker_error_%s"
									 " WHERE retry_at OPERATOR(pg_catalog.<) $1", model), &args);
}

/* earliest_contact gives when a contact of a model is to be retried; 0: never. */
static TimestampTz
earliest_contact(const LsModelTable *table)
{
	LsSqlArguments args = {0};

	if (!ls_model_table_lock(table, AccessShareLock, false))
		return 0;
	return DatumGetTimestampTz(ls_sql_value(ls_sql_query_as_owner(table->table,
																  psprintf("SELECT pg_catalog.min(retry_at) FROM leadscore.worker_error_%s",
																		   table->model->model), &args),
											0, 1, NULL));
}

/* error_of finds the entry of a model in a list of errors, or adds it. */
static LsWorkerError *
error_of(List **errors, const char *model)
{
	LsWorkerError *error;
	ListCell   *lc;

	foreach(lc, *errors)
		if (strcmp(((LsWorkerError *) lfirst(lc))->model, model) == 0)
			return lfirst(lc);
	error = palloc0(sizeof(LsWorkerError));
	error->model = pstrdup(model);
	*errors = lappend(*errors, error);
	return error;
}

/*
 * ls_worker_errors gives the models that have recorded errors, in the current memory
 * context.
 */
List *
ls_worker_errors(void)
{
	SPITupleTable *rows = ls_sql_query("SELECT model, retry_at FROM leadscore_internal.lead_worker_error", NULL);
	List	   *errors = NIL;
	ListCell   *lc;

	for (uint64 i = 0; i < rows->numvals; i++)
		error_of(&errors, ls_sql_text(rows, i, 1))->retry_at =
			DatumGetTimestampTz(ls_sql_value(rows, i, 2, NULL));
	foreach(lc, ls_model_tables_for("worker_error_", NULL, ACL_NO_RIGHTS))
	{
		const LsModelTable *table = lfirst(lc);
		TimestampTz retry_at = earliest_contact(table);

		if (retry_at != 0)
			error_of(&errors, table->model->model)->contact_retry_at = retry_at;
	}
	return errors;
}
