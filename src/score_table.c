/*-------------------------------------------------------------------------
 *
 * score_table.c
 *		The rows of score_<model>, in SQL.
 *
 * Everything here is done as the owner of the score table, in a restricted
 * context, and past the guard, which refuses what anybody else writes to it.
 *
 *-------------------------------------------------------------------------
 */
#include "score_table.h"

#include <math.h>

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "leadscore.h"

PG_FUNCTION_INFO_V1(ls_guard);

/* columns of score_<model>: contact_id, score, a column a category, then */
enum
{
	COL_GRADE,
	COL_STAGE,
	COL_STAGE_SINCE,
	COL_DISQUALIFIED,
	COL_HAS_CONTACT,
	COL_LAST_EVENT_AT,
	COL_SCORED_AT,
	COL_RULES_VERSION,
	COL_STATE,
	COL_AFTER_CATEGORIES
};

/* no clock is there yet; and if one is held there, no row is so much later */
#define FAR_FUTURE	(1000 * 366 * LS_DAY)
#define FAR_AHEAD	(1000 * 366 * LS_DAY)

#define AT(model, column) (2 + (model)->ncategories + (column))
#define NATTS(model) AT(model, COL_AFTER_CATEGORIES)

typedef struct LsStorePlans
{
	SPIPlanPtr	insert;
	SPIPlanPtr	lock;
	SPIPlanPtr	update;
	SPIPlanPtr	delete;
	SPIPlanPtr	read;
} LsStorePlans;

static bool writing = false;	/* we are writing, by SQL */

/*
 * ls_guard refuses what others write to score tables, but for INSERT and COPY by
 * who has the rights of the table's owner: they are of a restore.
 */
Datum
ls_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE,
										   LS_FIRED_INSERT | LS_FIRED_UPDATE |
										   LS_FIRED_DELETE | LS_FIRED_TRUNCATE);

	if (!writing && !(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
					  has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is kept by leadscore and cannot be written",
						RelationGetRelationName(trigger->tg_relation)),
				 strncmp(RelationGetRelationName(trigger->tg_relation), "outbox_", 7) == 0 ?
				 errhint("Use leadscore.take(), done(), failed(), retry() or discard().") :
				 errhint("Scores follow from events and rules: change those, or use leadscore.rescore().")));
	return PointerGetDatum(NULL);
}

/*
 * ls_row_restored is for rows of pending_<model> that were restored from a dump
 * into a model that is there.  Events that were put aside then may have been
 * counted since, and rows without a key cannot be refused; so their contacts are
 * counted again instead.
 */
void
ls_row_restored(Oid pending_table)
{
	SPIPlanPtr	plan;
	LsIdentity	saved;

	ls_switch_to_owner(ls_relation_owner(pending_table), &saved);
	SPI_connect();
	plan = SPI_prepare(psprintf("UPDATE %s SET delta = NULL WHERE delta IS NOT NULL",
								quote_qualified_identifier(LEADSCORE_SCHEMA,
														   get_rel_name(pending_table))),
					   0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
	(void) ls_row_run(plan, NULL, NULL, 0, NULL);
	SPI_finish();
	ls_return(&saved);
}

/* ls_row_writing tells whether it is we who write a guarded table by SQL. */
bool
ls_row_writing(void)
{
	return writing;
}

/* ---------- rows ---------- */

/* ls_row_natts is the number of columns of a score table. */
int
ls_row_natts(const LsModel *model)
{
	return NATTS(model);
}

/* the types of the columns after the categories */
static const Oid types_after[COL_AFTER_CATEGORIES] = {
	TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, INT8OID, BYTEAOID
};

/* column_type gives the type that a column of a score table has. */
static Oid
column_type(const LsModel *model, int column)
{
	if (column == 0)
		return model->key.type;
	return column < AT(model, 0) ? FLOAT8OID : types_after[column - AT(model, 0)];
}

/*
 * ls_row_check refuses a score table whose columns are not those of its model,
 * as when a superuser has changed it, or lead_category, by hand.
 */
void
ls_row_check(const LsModel *model, TupleDesc desc)
{
	bool		right = desc->natts == NATTS(model);

	for (int i = 0; right && i < desc->natts; i++)
		right = TupleDescAttr(desc, i)->atttypid == column_type(model, i);
	if (!right)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"score_%s\" does not have the columns that leadscore gave it",
						model->name),
				 errhint("Undo what was done to it or to the rows of leadscore.lead_category by hand, or drop the model.")));
}

/* damaged refuses a row that nobody of us has written. */
static void
damaged(LsModel *model, const Datum *values, const bool *nulls, int column,
		const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 nulls[0] ? errmsg("a row of table \"score_%s\" is damaged", model->name) :
			 errmsg("the row of contact \"%s\" in table \"score_%s\" is damaged",
					ls_key_text(&model->key, values[0]), model->name),
			 errdetail("Column \"%s\" is %s.",
					   get_attname(model->score_table, column + 1, false), what)));
}

/*
 * ls_instant_has_been tells whether a clock, be it one that is ahead, can have shown
 * an instant that was written down: from there on time is gone through step by step.
 */
bool
ls_instant_has_been(TimestampTz at)
{
	return at <= FAR_FUTURE || (!TIMESTAMP_NOT_FINITE(at) && at <= ls_clock() + FAR_AHEAD);
}

/* check_values looks at what is in a row, as ls_row_check at its columns. */
static void
check_values(LsModel *model, const Datum *values, const bool *nulls)
{
	int			after = AT(model, 0);

	for (int i = 0; i < after; i++)
	{
		if (nulls[i])
			damaged(model, values, nulls, i, "null");
		if (i > 0 && !isfinite(DatumGetFloat8(values[i])))
			damaged(model, values, nulls, i, "not finite");
	}
	for (int i = 0; i < COL_AFTER_CATEGORIES; i++)
	{
		if (nulls[after + i])
		{
			if (i != COL_GRADE && i != COL_LAST_EVENT_AT)
				damaged(model, values, nulls, after + i, "null");
		}
		else if (types_after[i] == TIMESTAMPTZOID &&
				 TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(values[after + i])))
			damaged(model, values, nulls, after + i, "not finite");
	}
	if (!ls_instant_has_been(DatumGetTimestampTz(values[AT(model, COL_SCORED_AT)])))
		damaged(model, values, nulls, AT(model, COL_SCORED_AT), "not an instant that has been");
}

/* ls_row_read reads a row of score_<model>. */
void
ls_row_read(LsModel *model, const Datum *values, const bool *nulls,
			 LsScoreRow *row)
{
	check_values(model, values, nulls);
	row->contact = values[0];
	row->score = DatumGetFloat8(values[1]);
	row->categories = palloc(sizeof(double) * Max(1, model->ncategories));
	for (int i = 0; i < model->ncategories; i++)
		row->categories[i] = DatumGetFloat8(values[2 + i]);
	row->grade = nulls[AT(model, COL_GRADE)] ? NULL :
		TextDatumGetCString(values[AT(model, COL_GRADE)]);
	row->stage = TextDatumGetCString(values[AT(model, COL_STAGE)]);
	row->stage_since = DatumGetTimestampTz(values[AT(model, COL_STAGE_SINCE)]);
	row->disqualified = DatumGetBool(values[AT(model, COL_DISQUALIFIED)]);
	row->scored_at = DatumGetTimestampTz(values[AT(model, COL_SCORED_AT)]);
	row->rules_version = DatumGetInt64(values[AT(model, COL_RULES_VERSION)]);
	ls_state_decode(DatumGetByteaPP(values[AT(model, COL_STATE)]), &row->state);
}

/* ls_row_read_tuple reads a row that a query gave. */
void
ls_row_read_tuple(LsModel *model, HeapTuple tuple, TupleDesc desc,
				  LsScoreRow *row)
{
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	ls_row_check(model, desc);
	heap_deform_tuple(tuple, desc, values, nulls);
	ls_row_read(model, values, nulls, row);
}

/* ls_row_values gives the columns of a row. */
void
ls_row_values(LsModel *model, const LsScoreRow *row, Datum *values, bool *nulls)
{
	memset(nulls, 0, NATTS(model));
	values[0] = row->contact;
	values[1] = Float8GetDatum(row->score);
	for (int i = 0; i < model->ncategories; i++)
		values[2 + i] = Float8GetDatum(row->categories[i]);
	nulls[AT(model, COL_GRADE)] = row->grade == NULL;
	values[AT(model, COL_GRADE)] = row->grade ? CStringGetTextDatum(row->grade) : 0;
	values[AT(model, COL_STAGE)] = CStringGetTextDatum(row->stage);
	values[AT(model, COL_STAGE_SINCE)] = TimestampTzGetDatum(row->stage_since);
	values[AT(model, COL_DISQUALIFIED)] = BoolGetDatum(row->disqualified);
	values[AT(model, COL_HAS_CONTACT)] = BoolGetDatum(row->state.has_contact);
	nulls[AT(model, COL_LAST_EVENT_AT)] = row->state.events == 0;
	values[AT(model, COL_LAST_EVENT_AT)] = TimestampTzGetDatum(row->state.last);
	values[AT(model, COL_SCORED_AT)] = TimestampTzGetDatum(row->scored_at);
	values[AT(model, COL_RULES_VERSION)] = Int64GetDatum(row->rules_version);
	values[AT(model, COL_STATE)] = PointerGetDatum(ls_state_encode(&row->state));
}

/* ---------- SQL ---------- */

static const char *
score_table_name(LsModel *model)
{
	return psprintf("%s.%s", LEADSCORE_SCHEMA,
					quote_identifier(get_rel_name(model->score_table)));
}

/* column_types lists the types of a score table, to be parameters. */
static Oid *
column_types(LsModel *model)
{
	Oid		   *types = palloc(sizeof(Oid) * NATTS(model));

	for (int i = 0; i < NATTS(model); i++)
		types[i] = column_type(model, i);
	return types;
}

/* ls_row_key_operator writes the operator that compares contacts. */
const char *
ls_row_key_operator(LsModel *model)
{
	return ls_row_operator(&model->key);
}

/* ls_row_operator does so for keys of any type. */
const char *
ls_row_operator(const LsKeyType *key)
{
	char	   *name = get_opname(key->eq_operator);
	Oid			schema = get_func_namespace(get_opcode(key->eq_operator));

	return psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(schema)), name);
}

static char *
insert_text(LsModel *model)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s VALUES (", score_table_name(model));
	for (int i = 1; i <= NATTS(model); i++)
		appendStringInfo(&sql, i > 1 ? ", $%d" : "$%d", i);
	appendStringInfoString(&sql, ") ON CONFLICT (contact_id) DO NOTHING");
	return sql.data;
}

static char *
update_text(LsModel *model)
{
	Relation	rel = table_open(model->score_table, AccessShareLock);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s SET ", score_table_name(model));
	for (int i = 2; i <= NATTS(model); i++)
		appendStringInfo(&sql, "%s%s = $%d", i > 2 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), i - 1)->attname)),
						 i);
	appendStringInfo(&sql, " WHERE contact_id %s $1", ls_row_key_operator(model));
	table_close(rel, AccessShareLock);
	return sql.data;
}

/* ls_row_plan gives a plan that is kept with a compiled model. */
SPIPlanPtr
ls_row_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(sql, nargs, types);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", sql,
				 SPI_result_code_string(SPI_result));
		*plan = made;
	}
	return *plan;
}

static LsStorePlans *
plans_of(LsModel *model)
{
	if (model->store == NULL)
		model->store = MemoryContextAllocZero(model->context, sizeof(LsStorePlans));
	return model->store;
}

/* ls_row_free is for plans of a compiled model that ends. */
void
ls_row_free(void *plans, Size size)
{
	SPIPlanPtr *plan = plans;

	for (size_t i = 0; plan && i < size / sizeof(SPIPlanPtr); i++)
		if (plan[i])
			SPI_freeplan(plan[i]);
}

void
ls_row_free_plans(LsModel *model)
{
	ls_row_free(model->store, sizeof(LsStorePlans));
}

/*
 * ls_row_run executes a plan of ours, past the guard, and gives the number of
 * rows.  The caller is the table's owner and has connected to SPI; snapshot
 * is what the statement is to see, or NULL for all that is committed by now.
 */
uint64
ls_row_run(SPIPlanPtr plan, Datum *values, const bool *nulls, int nvalues,
		   Snapshot snapshot)
{
	char	   *flags = palloc(nvalues + 1);
	ErrorContextCallback context;
	bool		was_writing = writing;
	uint64		rows;
	int			result;

	for (int i = 0; i < nvalues; i++)
		flags[i] = nulls && nulls[i] ? 'n' : ' ';
	flags[nvalues] = '\0';
	writing = true;
	ls_hint_retry(&context);
	PG_TRY();
	{
		result = snapshot ?
			SPI_execute_snapshot(plan, values, flags, snapshot, InvalidSnapshot,
								 false, true, 0) :
			SPI_execute_plan(plan, values, flags, false, 0);
		rows = SPI_processed;
	}
	PG_FINALLY();
	{
		writing = was_writing;
	}
	PG_END_TRY();
	error_context_stack = context.previous;
	if (result < 0)
		elog(ERROR, "could not write scores: %s", SPI_result_code_string(result));
	return rows;
}

/*
 * ls_row_execute runs one statement on tables that are guarded, as whoever the
 * caller has become, on the newest rows at any isolation level.  No argument is
 * null.
 */
uint64
ls_row_execute(const char *sql, LsArguments *args)
{
	SPIPlanPtr	plan;
	uint64		rows;

	SPI_connect();
	plan = SPI_prepare(sql, args->n, args->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	rows = ls_row_run(plan, args->values, NULL, args->n, GetLatestSnapshot());
	SPI_finish();
	return rows;
}

static uint64
run(SPIPlanPtr plan, Datum *values, const bool *nulls, int nvalues)
{
	return ls_row_run(plan, values, nulls, nvalues, NULL);
}

/* Between these two, SQL is ours.  Results are copied to the caller's context. */
static void
begin_sql(LsModel *model, LsIdentity *saved)
{
	ls_switch_to_owner(ls_relation_owner(model->score_table), saved);
	SPI_connect();
}

static void
end_sql(LsIdentity *saved)
{
	SPI_finish();
	ls_return(saved);
}

/* copy_row brings the row that SPI found to the caller's context. */
static void
copy_row(LsModel *model, LsScoreRow *row, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	ls_row_read_tuple(model, heap_copytuple(SPI_tuptable->vals[0]),
					  SPI_tuptable->tupdesc, row);
	MemoryContextSwitchTo(old);
}

/* ls_row_select reads a contact's row, and locks it where asked to. */
bool
ls_row_select(LsModel *model, Datum contact, LsScoreRow *row, bool lock)
{
	LsStorePlans *plans = plans_of(model);
	MemoryContext caller = CurrentMemoryContext;
	LsIdentity	saved;
	bool		found;

	begin_sql(model, &saved);
	if (lock)
		found = run(ls_row_plan(&plans->lock,
								psprintf("SELECT * FROM %s WHERE contact_id %s $1 FOR UPDATE",
										 score_table_name(model), ls_row_key_operator(model)),
								1, &model->key.type), &contact, NULL, 1) > 0;
	else
	{
		SPI_execute_plan(ls_row_plan(&plans->read,
									 psprintf("SELECT * FROM %s WHERE contact_id %s $1",
											  score_table_name(model), ls_row_key_operator(model)),
									 1, &model->key.type), &contact, NULL, true, 0);
		found = SPI_processed > 0;
	}
	if (found)
		copy_row(model, row, caller);
	end_sql(&saved);
	return found;
}

/* ls_row_find reads a contact's row with the active snapshot. */
bool
ls_row_find(LsModel *model, Datum contact, LsScoreRow *row)
{
	return ls_row_select(model, contact, row, false);
}

/* After how many attempts a row of another transaction is not taken for the reason */
#define MAX_ATTEMPTS	100

/*
 * ls_row_attempt is called before each attempt to write, or take away, the rows of a
 * contact in a table.  Each but the last is explained by another transaction that
 * made such a row, or took it away, of which there are not so many.
 */
void
ls_row_attempt(LsModel *model, Datum contact, Oid table, int attempts)
{
	CHECK_FOR_INTERRUPTS();
	if (attempts < MAX_ATTEMPTS)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("could not write the row of contact \"%s\" in table \"%s\"",
					ls_key_text(&model->key, contact), get_rel_name(table)),
			 errhint("A trigger on that table must not suppress what leadscore writes.")));
}

/* ls_row_insert writes a new row.  False where there is one already. */
bool
ls_row_insert(LsModel *model, Datum *values, bool *nulls)
{
	LsStorePlans *plans = plans_of(model);
	LsIdentity	saved;
	bool		inserted;

	begin_sql(model, &saved);
	inserted = run(ls_row_plan(&plans->insert, insert_text(model), NATTS(model),
							   column_types(model)), values, nulls, NATTS(model)) > 0;
	end_sql(&saved);
	return inserted;
}

/* ls_row_update writes a row that was locked. */
void
ls_row_update(LsModel *model, Datum *values, bool *nulls)
{
	LsStorePlans *plans = plans_of(model);
	LsIdentity	saved;

	begin_sql(model, &saved);
	run(ls_row_plan(&plans->update, update_text(model), NATTS(model),
					column_types(model)), values, nulls, NATTS(model));
	end_sql(&saved);
}

/* ls_row_delete deletes a row that was locked. */
void
ls_row_delete(LsModel *model, Datum contact)
{
	LsStorePlans *plans = plans_of(model);
	LsIdentity	saved;

	begin_sql(model, &saved);
	run(ls_row_plan(&plans->delete,
					psprintf("DELETE FROM %s WHERE contact_id %s $1",
							 score_table_name(model), ls_row_key_operator(model)),
					1, &model->key.type), &contact, NULL, 1);
	end_sql(&saved);
}
