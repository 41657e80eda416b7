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
#include "tables/score_table.h"

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

#include "base/clock.h"
#include "base/error.h"
#include "base/heap_writer.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "base/user.h"
#include "definitions/table_layout.h"

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

/* where a row has them: categories are added and removed */
#define CATEGORY_AT(model, category) ((model)->score_columns[category])
#define AT(model, column) ((model)->score_columns[(model)->ncategories + (column)])
#define NATTS(model) ((model)->score_natts)
#define NOWHERE (-1)			/* the table has no such column (any more) */

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
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE,
										   LS_FIRED_INSERT | LS_FIRED_UPDATE |
										   LS_FIRED_DELETE | LS_FIRED_TRUNCATE);

	if (!ls_row_writing() && !(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
					  has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is kept by leadscore and cannot be written",
						RelationGetRelationName(trigger->tg_relation)),
				 strncmp(RelationGetRelationName(trigger->tg_relation), "outbox_", 7) == 0 ?
				 errhint("Use leadscore.outbox_take(), outbox_done(), outbox_failed(), outbox_retry() or outbox_discard().") :
				 errhint("Scores follow from events and rules: change those, or use leadscore.rescore().")));
	return PointerGetDatum(NULL);
}

/*
 * ls_row_restored is for rows of pending_<model> that were restored from a dump
 * into a model that is there.  Events that were put aside then may have been
 * counted since, and rows without a key cannot be refused; so their contacts are
 * recomputed instead.
 */
void
ls_row_restored(Oid pending_table)
{
	SPIPlanPtr	plan;
	LsUser	saved;

	ls_user_switch_to_owner(ls_relation_owner(pending_table), &saved);
	SPI_connect();
	plan = SPI_prepare(psprintf("UPDATE %s SET delta = NULL WHERE delta IS NOT NULL",
								quote_qualified_identifier(LEADSCORE_SCHEMA,
														   get_rel_name(pending_table))),
					   0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
	(void) ls_row_run(plan, NULL, NULL, 0, NULL);
	SPI_finish();
	ls_user_restore(&saved);
}

/* ls_row_writing tells whether it is we who write a guarded table by SQL. */
bool
ls_row_writing(void)
{
	return writing || ls_sql_is_writing();
}

/* ---------- rows ---------- */

/* ls_row_natts is the number of columns of a score table. */
int
ls_row_natts(const LsModel *model)
{
	return NATTS(model);
}

/* the columns after the categories */
static const struct
{
	const char *name;
	Oid			type;
}			columns_after[COL_AFTER_CATEGORIES] = {
	{"grade", TEXTOID}, {"stage", TEXTOID}, {"stage_since", TIMESTAMPTZOID},
	{"disqualified", BOOLOID}, {"has_contact", BOOLOID}, {"last_event_at", TIMESTAMPTZOID},
	{"scored_at", TIMESTAMPTZOID}, {"rules_version", INT8OID}, {"state", BYTEAOID}
};

/* find_column finds a column of a score table by its name and type. */
static int
find_column(TupleDesc desc, const char *name, Oid type)
{
	for (int i = 2; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->atttypid == type && strcmp(NameStr(att->attname), name) == 0)
			return i;
	}
	return NOWHERE;
}

/* type_at gives the type of a column, InvalidOid for one that was dropped. */
static Oid
type_at(TupleDesc desc, int column)
{
	Form_pg_attribute att = TupleDescAttr(desc, column);

	return att->attisdropped ? InvalidOid : att->atttypid;
}

/* has_columns tells whether rows can be read, and written, as the model was mapped. */
static bool
has_columns(const LsModel *model, TupleDesc desc)
{
	if (desc->natts != NATTS(model) || desc->natts < 2 + COL_AFTER_CATEGORIES ||
		type_at(desc, 0) != model->key.type || type_at(desc, 1) != FLOAT8OID)
		return false;
	for (int i = 0; i < model->ncategories; i++)
		if (CATEGORY_AT(model, i) != NOWHERE && type_at(desc, CATEGORY_AT(model, i)) != FLOAT8OID)
			return false;
	for (int i = 0; i < COL_AFTER_CATEGORIES; i++)
		if (AT(model, i) == NOWHERE || type_at(desc, AT(model, i)) != columns_after[i].type)
			return false;
	return true;
}

/*
 * row_map finds the columns of a model in its score table.  False where they are
 * not those of the model: where categories are gone or have come since the snapshot
 * that the model was read with, or somebody has changed the table or lead_category by hand.
 */
static bool
row_map(LsModel *model, TupleDesc desc)
{
	int			n = model->ncategories + COL_AFTER_CATEGORIES;
	int			live = 0;
	bool		all = true;

	model->score_natts = desc->natts;
	model->score_columns = MemoryContextAlloc(model->context, sizeof(int) * n);
	for (int i = 0; i < n; i++)
	{
		int			after = i - model->ncategories;

		model->score_columns[i] = after < 0 ?
			find_column(desc, model->categories[i].name, FLOAT8OID) :
			find_column(desc, columns_after[after].name, columns_after[after].type);
		all = all && model->score_columns[i] != NOWHERE;
	}
	model->score_live = MemoryContextAlloc(model->context, sizeof(int) * Max(1, desc->natts));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			model->score_live[live++] = i;
	model->score_nlive = live;
	return all && live == n + 2 && has_columns(model, desc);
}

/* row_refuse refuses a score table whose columns are not those of its model. */
static void
row_refuse(const LsModel *model)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"score_%s\" does not have the columns that leadscore gave it",
					model->name),
			 errhint("Undo what was done to it or to the rows of leadscore.lead_category by hand, or drop the model.")));
}

/* ls_row_check does so for one who is about to read or write rows. */
void
ls_row_check(const LsModel *model, TupleDesc desc)
{
	if (!has_columns(model, desc))
		row_refuse(model);
}

/*
 * is_of_before tells whether a model was read as it was: its categories may not be
 * those that the score table has columns of.
 */
static bool
is_of_before(const LsModel *model, Snapshot snapshot, int64 version)
{
	LsModelRow *row = snapshot ? ls_model_row(model->name, NULL) : NULL;

	return row && row->rules_version != version;
}

/*
 * ls_row_check_tables refuses tables that do not have the columns of the model, before
 * a writer is in the midst of something.  snapshot and version are those of the model,
 * whose categories may be of the past.
 */
void
ls_row_check_tables(LsModel *model, Snapshot snapshot, int64 version, bool of_the_past)
{
	const struct
	{
		const char *prefix;
		Oid			table;
	}			tables[] = {
		{"due_", model->due_table}, {"pending_", model->pending_table},
		{"kept_", model->kept_table}, {"profile_", model->profile_table}
	};
	Relation	rel;
	bool		locked;

	if ((rel = ls_relation_open(model->score_table, &locked)) != NULL)
	{
		if (!row_map(model, RelationGetDescr(rel)) && !of_the_past &&
			!is_of_before(model, snapshot, version))
			row_refuse(model);
		ls_relation_close(rel, locked);
	}
	for (size_t i = 0; i < lengthof(tables); i++)
	{
		int			n;
		Oid		   *types = ls_layout_types(ls_table_layout(tables[i].prefix),
											model->key.type, &n);

		if ((rel = ls_relation_open(tables[i].table, &locked)) == NULL)
			continue;
		ls_target_check(rel, types, n);
		ls_relation_close(rel, locked);
	}
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

/* check_number does so for one of its numbers. */
static void
check_number(LsModel *model, const Datum *values, const bool *nulls, int column)
{
	if (nulls[column])
		damaged(model, values, nulls, column, "null");
	if (!isfinite(DatumGetFloat8(values[column])))
		damaged(model, values, nulls, column, "not finite");
}

/* check_values looks at what is in a row, as ls_row_check at its columns. */
static void
check_values(LsModel *model, const Datum *values, const bool *nulls)
{
	if (nulls[0])
		damaged(model, values, nulls, 0, "null");
	check_number(model, values, nulls, 1);
	for (int i = 0; i < model->ncategories; i++)
		if (CATEGORY_AT(model, i) != NOWHERE)
			check_number(model, values, nulls, CATEGORY_AT(model, i));
	for (int i = 0; i < COL_AFTER_CATEGORIES; i++)
	{
		int			at = AT(model, i);

		if (nulls[at])
		{
			if (i != COL_GRADE && i != COL_LAST_EVENT_AT)
				damaged(model, values, nulls, at, "null");
		}
		else if (columns_after[i].type == TIMESTAMPTZOID &&
				 TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(values[at])))
			damaged(model, values, nulls, at, "not finite");
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
		row->categories[i] = CATEGORY_AT(model, i) == NOWHERE ? 0 :
			DatumGetFloat8(values[CATEGORY_AT(model, i)]);
	row->grade = nulls[AT(model, COL_GRADE)] ? NULL :
		TextDatumGetCString(values[AT(model, COL_GRADE)]);
	row->stage = TextDatumGetCString(values[AT(model, COL_STAGE)]);
	row->stage_since = DatumGetTimestampTz(values[AT(model, COL_STAGE_SINCE)]);
	row->disqualified = DatumGetBool(values[AT(model, COL_DISQUALIFIED)]);
	row->scored_at = DatumGetTimestampTz(values[AT(model, COL_SCORED_AT)]);
	row->rules_version = DatumGetInt64(values[AT(model, COL_RULES_VERSION)]);
	ls_state_decode(DatumGetByteaPP(values[AT(model, COL_STATE)]), &row->state);
}

/*
 * ls_row_try_read reads a row, or gives the error where it is damaged.  There is nothing
 * to be undone where reading fails, as it is done in memory only.
 */
ErrorData *
ls_row_try_read(LsModel *model, Datum *values, const bool *nulls, LsScoreRow *row)
{
	MemoryContext context = CurrentMemoryContext;
	int			state = AT(model, COL_STATE);
	ErrorData  *volatile error = NULL;

	if (!nulls[state])
		values[state] = PointerGetDatum(DatumGetByteaPP(values[state]));
	PG_TRY();
	{
		ls_row_read(model, values, nulls, row);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_DATA_CORRUPTED)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	/* an error in a state does not say whose it is */
	if (error && error->detail == NULL && !nulls[0])
	{
		error->detail = psprintf("%s.", error->message);
		error->message = psprintf("the row of contact \"%s\" in table \"score_%s\" is damaged",
								  ls_key_text(&model->key, values[0]), model->name);
	}
	return error;
}

/*
 * spread puts the columns of a row where the table has them: the result of a query has
 * no places for those that were dropped.
 */
static void
spread(LsModel *model, TupleDesc desc, Datum *values, bool *nulls)
{
	for (int i = model->score_nlive - 1; i >= 0; i--)
	{
		int			to = model->score_live[i];

		values[to] = values[i];
		nulls[to] = nulls[i];
	}
	for (int i = 0; i < model->ncategories + COL_AFTER_CATEGORIES; i++)
	{
		int			from = 0;

		if (model->score_columns[i] == NOWHERE)
			continue;
		while (from < model->score_nlive && model->score_live[from] != model->score_columns[i])
			from++;
		if (from == model->score_nlive ||
			type_at(desc, from) != (i < model->ncategories ? FLOAT8OID :
									columns_after[i - model->ncategories].type))
			row_refuse(model);
	}
}

/* ls_row_read_tuple reads a row that a query gave, or the table. */
void
ls_row_read_tuple(LsModel *model, HeapTuple tuple, TupleDesc desc,
				  LsScoreRow *row)
{
	int			natts = Max(desc->natts, NATTS(model));
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	bool		dense = desc->natts != NATTS(model) && desc->natts == model->score_nlive;

	if (!dense)
		ls_row_check(model, desc);
	heap_deform_tuple(tuple, desc, values, nulls);
	if (dense)
		spread(model, desc, values, nulls);
	ls_row_read(model, values, nulls, row);
}

/* ls_row_values gives the columns of a row. */
void
ls_row_values(LsModel *model, const LsScoreRow *row, Datum *values, bool *nulls)
{
	/* columns that were dropped */
	memset(nulls, true, NATTS(model));
	memset(values, 0, sizeof(Datum) * NATTS(model));
	nulls[0] = nulls[1] = false;
	values[0] = row->contact;
	values[1] = Float8GetDatum(row->score);
	for (int i = 0; i < model->ncategories; i++)
	{
		if (CATEGORY_AT(model, i) == NOWHERE)
			continue;
		nulls[CATEGORY_AT(model, i)] = false;
		values[CATEGORY_AT(model, i)] = Float8GetDatum(row->categories[i]);
	}
	for (int i = 0; i < COL_AFTER_CATEGORIES; i++)
		nulls[AT(model, i)] = false;
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

	/* those of dropped columns are not used */
	for (int i = 0; i < NATTS(model); i++)
		types[i] = FLOAT8OID;
	types[0] = model->key.type;
	for (int i = 0; i < COL_AFTER_CATEGORIES; i++)
		types[AT(model, i)] = columns_after[i].type;
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
	Relation	rel = table_open(model->score_table, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData names;
	StringInfoData values;

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)));
		appendStringInfo(&values, "%s$%d", i > 0 ? ", " : "", i + 1);
	}
	table_close(rel, AccessShareLock);
	return psprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (contact_id) DO NOTHING",
					score_table_name(model), names.data, values.data);
}

static char *
update_text(LsModel *model)
{
	Relation	rel = table_open(model->score_table, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s SET ", score_table_name(model));
	for (int i = 1; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			appendStringInfo(&sql, "%s%s = $%d", i > 1 ? ", " : "",
							 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)),
							 i + 1);
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
	ls_error_hint_retry(&context);
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
ls_row_execute(const char *sql, LsSqlArguments *args)
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
begin_sql(LsModel *model, LsUser *saved)
{
	ls_user_switch_to_owner(ls_relation_owner(model->score_table), saved);
	SPI_connect();
}

static void
end_sql(LsUser *saved)
{
	SPI_finish();
	ls_user_restore(saved);
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
	LsUser	saved;
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
	LsUser	saved;
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
	LsUser	saved;

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
	LsUser	saved;

	begin_sql(model, &saved);
	run(ls_row_plan(&plans->delete,
					psprintf("DELETE FROM %s WHERE contact_id %s $1",
							 score_table_name(model), ls_row_key_operator(model)),
					1, &model->key.type), &contact, NULL, 1);
	end_sql(&saved);
}

/* ls_row_is_there tells whether there is a row of a contact now, for whoever looks. */
bool
ls_row_is_there(LsModel *model, Datum contact)
{
	LsScoreRow	row;
	bool		found;

	PushActiveSnapshot(GetLatestSnapshot());
	found = ls_row_find(model, contact, &row);
	PopActiveSnapshot();
	return found;
}
