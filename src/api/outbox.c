/*-------------------------------------------------------------------------
 *
 * outbox.c
 *		Consumers of the outbox: outbox_take(), outbox_done(), outbox_failed(),
 *		outbox_retry(), outbox_discard().
 *
 * A row that is taken stays ready, but is not available before its lease has ended;
 * then it can be taken again.  Each model has a table of its own, outbox_<model>:
 * UPDATE on it is the privilege to take from it.
 *
 *-------------------------------------------------------------------------
 */
#include "api/outbox.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/relation.h"
#include "base/suggest.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/model_access.h"
#include "definitions/rights.h"

PG_FUNCTION_INFO_V1(ls_outbox_take);
PG_FUNCTION_INFO_V1(ls_outbox_done);
PG_FUNCTION_INFO_V1(ls_outbox_failed);
PG_FUNCTION_INFO_V1(ls_outbox_retry);
PG_FUNCTION_INFO_V1(ls_outbox_discard);

/* columns of outbox_take(): those of the table without the model, and the status */
enum
{
	TAKE_ID,
	TAKE_MODEL,
	TAKE_ACTION,
	TAKE_CONTACT,
	TAKE_OCCASION,
	TAKE_STAGE,
	TAKE_SCORE,
	TAKE_CAUSE,
	TAKE_HAPPENED_AT,
	TAKE_ATTEMPTS,
	TAKE_PAYLOAD,
	TAKE_NCOLUMNS,
	TAKE_STATUS = TAKE_NCOLUMNS
};

/* A row that was taken */
typedef struct Taken
{
	Datum		values[TAKE_NCOLUMNS];
	bool		nulls[TAKE_NCOLUMNS];
} Taken;

/* The arguments of outbox_take() */
typedef struct Take
{
	const char *consumer;
	const char *action;			/* NULL: any */
	TimestampTz now;
	TimestampTz until;			/* the end of the lease */
	int			wanted;
	List	   *taken;			/* of Taken */
} Take;

/* ---------- arguments ---------- */

/* consumer_argument gives the name of a consumer. */
static char *
consumer_argument(FunctionCallInfo fcinfo)
{
	char	   *consumer = ls_sql_text_argument(fcinfo, 0, "consumer");

	if (consumer[strspn(consumer, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("consumer must not be empty"),
				 errhint("Give each process that takes rows a name of its own.")));
	return consumer;
}

/*
 * add_ids adds an array of row numbers as an argument; NULL, as array_agg() gives for
 * no rows, is empty.
 */
static void
add_ids(LsSqlArguments *args, FunctionCallInfo fcinfo, int n)
{
	ls_sql_add(args, INT8ARRAYOID, PG_ARGISNULL(n) ? PointerGetDatum(construct_empty_array(INT8OID)) :
			   PG_GETARG_DATUM(n));
}

/* after adds an interval to an instant. */
static TimestampTz
after(TimestampTz now, const Interval *interval, bool positive, const char *argument)
{
	TimestampTz at;
	int64		usec;

	if (!ls_lead_interval_usec(interval, &usec) || pg_add_s64_overflow(now, usec, &at) ||
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
 * check_filter refuses a model or action that does not exist, for which a consumer
 * would wait forever; tables are those from which the caller may take.
 */
static void
check_filter(const char *model, const char *action, List *tables)
{
	List	   *names = NIL;
	const char *nearest;
	ListCell   *lc;

	if (model && tables == NIL)
		(void) ls_rights_model(model, GetUserId());
	if (action == NULL)
		return;
	foreach(lc, tables)
	{
		ListCell   *ac;

		foreach(ac, ls_lead_actions(((LsModelTable *) lfirst(lc))->model->model, NULL))
		{
			char	   *name = ((LsActionRow *) lfirst(ac))->name;

			if (strcmp(name, action) == 0)
				return;
			names = lappend(names, name);
		}
	}
	nearest = ls_suggest_word(action, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 model ? errmsg("action \"%s\" of model \"%s\" does not exist", action, model) :
			 errmsg("action \"%s\" does not exist", action),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) :
			 errhint("Insert it into leadscore.lead_action.")));
}

/* ---------- SQL ---------- */

/*
 * ls_outbox_change runs a statement on the outbox of a model, bypassing the trigger
 * that protects it, and gives the number of rows; %1$s in it stands for the table.
 *
 * Rows that are ready are found by index, whatever the statistics say of a table that
 * is filled and emptied all the time.
 */
int64
ls_outbox_change(Oid table, const char *sql, LsSqlArguments *args)
{
	args->by_index = true;
	return ls_sql_execute_as_owner(table, psprintf(sql, ls_relation_qualified_name(table)), args);
}

/*
 * ls_outbox_query runs such a statement and gives its rows, in the caller's memory
 * context.
 */
SPITupleTable *
ls_outbox_query(Oid table, const char *sql, LsSqlArguments *args)
{
	args->by_index = true;
	return ls_sql_query_as_owner(table, psprintf(sql, ls_relation_qualified_name(table)), args);
}

/* change_all runs a statement on all outboxes on which the caller has privileges. */
static int64
change_all(const char *sql, LsSqlArguments *args, AclMode rights)
{
	int64		rows = 0;
	ListCell   *lc;

	foreach(lc, ls_model_tables_for("outbox_", NULL, rights))
	{
		LsModelTable *table = lfirst(lc);

		if (ls_model_table_take(table, RowExclusiveLock))
			rows += ls_outbox_change(table->table, sql, args);
	}
	return rows;
}

/* ---------- rows that are ready ---------- */

/* A table with rows that are ready, and since when */
typedef struct Waiting
{
	TimestampTz since;
	LsModelTable *table;
} Waiting;

/*
 * ready_since gives the instant since or at which the first row of a kind of delivery
 * is available.  It is called often, and mostly finds nothing, so it uses no SQL.
 */
static TimestampTz
ready_since(const LsModelTable *table, const char *deliver)
{
	bool		consumers = strcmp(deliver, "outbox") == 0;
	Oid			indexid = ls_extension_table(psprintf(consumers ? "outbox_%s_ready" : "outbox_%s_worker",
													  table->model->model), true);
	AttrNumber	column = get_attnum(table->table, "available_at");
	TimestampTz since = DT_NOEND;
	Relation	rel;
	Relation	index;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	if (get_rel_relkind(indexid) != RELKIND_INDEX || column == InvalidAttrNumber)
		return DT_NOBEGIN;		/* let SQL decide */
	rel = table_open(table->table, NoLock);
	index = index_open(indexid, AccessShareLock);
	if (index->rd_index->indrelid == table->table && index->rd_index->indisvalid)
	{
		ScanKeyInit(&key, get_attnum(table->table, "deliver"), BTEqualStrategyNumber, F_TEXTEQ,
					CStringGetTextDatum(deliver));
		scan = systable_beginscan_ordered(rel, index, NULL, consumers ? 0 : 1, &key);
		tuple = systable_getnext_ordered(scan, ForwardScanDirection);
		if (HeapTupleIsValid(tuple))
			since = DatumGetTimestampTz(heap_getattr(tuple, column, RelationGetDescr(rel), &isnull));
		systable_endscan_ordered(scan);
	}
	else
		since = DT_NOBEGIN;
	index_close(index, AccessShareLock);
	table_close(rel, NoLock);
	return since;
}

static int
by_since(const ListCell *a, const ListCell *b)
{
	TimestampTz x = ((const Waiting *) lfirst(a))->since;
	TimestampTz y = ((const Waiting *) lfirst(b))->since;

	return (x > y) - (x < y);
}

/*
 * ls_outbox_waiting gives the tables, which are locked, that have available rows of one
 * of two kinds of delivery, those that wait longest first.
 */
List *
ls_outbox_waiting(List *tables, TimestampTz now, const char *deliver, const char *or)
{
	List	   *waiting = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, tables)
	{
		Waiting    *one = palloc(sizeof(Waiting));

		one->table = lfirst(lc);
		one->since = ready_since(one->table, deliver);
		if (or)
			one->since = Min(one->since, ready_since(one->table, or));
		if (one->since <= now)
			waiting = lappend(waiting, one);
	}
	list_sort(waiting, by_since);
	foreach(lc, waiting)
		result = lappend(result, ((Waiting *) lfirst(lc))->table);
	return result;
}

/* ---------- take ---------- */

/*
 * keep adds the rows to those that outbox_take() returns, and gives their number.  Rows
 * without attempts left come with status dead, and are left out.
 */
static int
keep(Take *take, LsModelTable *table, const SPITupleTable *rows)
{
	int			n = 0;

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		Datum		values[TAKE_STATUS + 1];
		bool		nulls[TAKE_STATUS + 1];
		Taken	   *taken;

		heap_deform_tuple(rows->vals[i], rows->tupdesc, values, nulls);
		if (strcmp(TextDatumGetCString(values[TAKE_STATUS]), "ready") != 0)
			continue;
		taken = palloc(sizeof(Taken));
		memcpy(taken->values, values, sizeof(taken->values));
		memcpy(taken->nulls, nulls, sizeof(taken->nulls));
		taken->values[TAKE_MODEL] = CStringGetTextDatum(table->model->model);
		taken->nulls[TAKE_MODEL] = false;
		taken->values[TAKE_CONTACT] =
			CStringGetTextDatum(ls_key_text(&table->key, taken->values[TAKE_CONTACT]));
		take->taken = lappend(take->taken, taken);
		n++;
	}
	return n;
}

/*
 * take_from takes from the outbox of a model.  It continues after rows that turned out
 * dead, which do not mean the end of the queue.
 */
static void
take_from(Take *take, LsModelTable *table)
{
	static const char sql[] =
		"WITH picked AS MATERIALIZED ("
		" SELECT outbox_id FROM %1$s"
		" WHERE deliver = 'outbox' AND status = 'ready' AND available_at <= $1"
		" AND ($5 IS NULL OR action = $5)"
		" ORDER BY available_at, outbox_id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED),"
		" taken AS (UPDATE %1$s o SET"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $1 END,"
		" last_error = CASE WHEN attempts < max_attempts THEN last_error ELSE"
		"  coalesce('consumer \"' || taken_by || '\" took it and was not heard of again', last_error) END,"
		" taken_by = CASE WHEN attempts < max_attempts THEN $4 ELSE taken_by END,"
		" available_at = CASE WHEN attempts < max_attempts THEN $2 ELSE available_at END,"
		" attempts = CASE WHEN attempts < max_attempts THEN attempts + 1 ELSE attempts END"
		" FROM picked p WHERE o.outbox_id = p.outbox_id RETURNING o.*) "
		"SELECT outbox_id, NULL::text, action, contact_id, occasion, stage, score, cause, happened_at,"
		" attempts, payload, status FROM taken";
	SPITupleTable *rows;

	do
	{
		LsSqlArguments args = {0};

		CHECK_FOR_INTERRUPTS();
		ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(take->now));
		ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(take->until));
		ls_sql_add(&args, INT4OID, Int32GetDatum(take->wanted));
		ls_sql_add_text(&args, take->consumer);
		ls_sql_add_text(&args, take->action);
		rows = ls_outbox_query(table->table, sql, &args);
		take->wanted -= keep(take, table, rows);
	} while (rows->numvals > 0 && take->wanted > 0);
}

static int
by_id(const ListCell *a, const ListCell *b)
{
	int64		x = DatumGetInt64(((const Taken *) lfirst(a))->values[TAKE_ID]);
	int64		y = DatumGetInt64(((const Taken *) lfirst(b))->values[TAKE_ID]);

	return (x > y) - (x < y);
}

/* take_all takes from one outbox after the other, the one that waits longest first. */
static void
take_all(Take *take, List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
		if (!ls_model_table_take(lfirst(lc), RowExclusiveLock))
			tables = foreach_delete_current(tables, lc);
	foreach(lc, ls_outbox_waiting(tables, take->now, "outbox", NULL))
		if (take->wanted > 0)
			take_from(take, lfirst(lc));
	list_sort(take->taken, by_id);
}

/* ---------- functions ---------- */

/* ls_outbox_take is leadscore.outbox_take(). */
Datum
ls_outbox_take(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *model = ls_sql_optional_argument(fcinfo, 3);
	Take		take = {0};
	List	   *tables;
	ListCell   *lc;

	take.consumer = consumer_argument(fcinfo);
	take.action = ls_sql_optional_argument(fcinfo, 4);
	take.now = ls_clock();
	PreventCommandIfReadOnly("outbox_take()");
	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be at least 1")));
	ls_sql_require_argument(fcinfo, 2, "lease");
	take.until = after(take.now, PG_GETARG_INTERVAL_P(2), true, "lease");
	take.wanted = PG_GETARG_INT32(1);
	tables = ls_model_tables_for("outbox_", model, ACL_UPDATE);
	check_filter(model, take.action, tables);
	InitMaterializedSRF(fcinfo, 0);
	take_all(&take, tables);
	foreach(lc, take.taken)
	{
		Taken	   *taken = lfirst(lc);

		tuplestore_putvalues(result->setResult, result->setDesc, taken->values, taken->nulls);
	}
	return (Datum) 0;
}

/* ls_outbox_done is leadscore.outbox_done(). */
Datum
ls_outbox_done(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"UPDATE %1$s SET status = 'done', finished_at = $1"
		" WHERE outbox_id = ANY ($2) AND deliver = 'outbox' AND status = 'ready' AND taken_by = $3";
	LsSqlArguments args = {0};
	char	   *consumer = consumer_argument(fcinfo);

	PreventCommandIfReadOnly("outbox_done()");
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	add_ids(&args, fcinfo, 1);
	ls_sql_add_text(&args, consumer);
	PG_RETURN_INT64(change_all(sql, &args, ACL_UPDATE));
}

/* ls_outbox_failed is leadscore.outbox_failed(). */
Datum
ls_outbox_failed(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"UPDATE %1$s SET last_error = $4, taken_by = NULL,"
		" status = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END,"
		" finished_at = CASE WHEN attempts >= max_attempts THEN $1 END,"
		" available_at = coalesce($5, $1 + " LS_BACK_OFF("attempts") ")"
		" WHERE outbox_id = ANY ($2) AND deliver = 'outbox' AND status = 'ready' AND taken_by = $3";
	LsSqlArguments args = {0};
	char	   *consumer = consumer_argument(fcinfo);
	char	   *error = ls_sql_text_argument(fcinfo, 2, "error");
	TimestampTz now = ls_clock();

	PreventCommandIfReadOnly("outbox_failed()");
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now));
	add_ids(&args, fcinfo, 1);
	ls_sql_add_text(&args, consumer);
	ls_sql_add_text(&args, error);
	ls_sql_add(&args, TIMESTAMPTZOID, (Datum) 0);
	if (PG_ARGISNULL(3))
		args.nulls[args.n - 1] = 'n';
	else
		args.values[args.n - 1] =
			TimestampTzGetDatum(after(now, PG_GETARG_INTERVAL_P(3), false, "retry_in"));
	PG_RETURN_INT64(change_all(sql, &args, ACL_UPDATE));
}

/* ls_outbox_retry is leadscore.outbox_retry(), for rows of any kind of delivery. */
Datum
ls_outbox_retry(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"UPDATE %1$s SET status = 'ready', available_at = $1, attempts = 0,"
		" taken_by = NULL, finished_at = NULL"
		" WHERE outbox_id = ANY ($2) AND status = 'dead'";
	LsSqlArguments args = {0};

	PreventCommandIfReadOnly("outbox_retry()");
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	add_ids(&args, fcinfo, 0);
	PG_RETURN_INT64(change_all(sql, &args, ACL_UPDATE));
}

/* ls_outbox_discard is leadscore.outbox_discard(), for rows of any kind of delivery. */
Datum
ls_outbox_discard(PG_FUNCTION_ARGS)
{
	static const char sql[] = "DELETE FROM %1$s WHERE outbox_id = ANY ($1)";
	LsSqlArguments args = {0};

	PreventCommandIfReadOnly("outbox_discard()");
	add_ids(&args, fcinfo, 0);
	PG_RETURN_INT64(change_all(sql, &args, ACL_DELETE));
}
