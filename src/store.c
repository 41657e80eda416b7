/*-------------------------------------------------------------------------
 *
 * store.c
 *		Reads and writes score_<model>: the only writer.
 *
 * A change locks the contact's row first, reads the clock after that, and
 * writes the row once.  Contacts have to come in the order of their key, so
 * that statements never wait for each other in a circle.
 *
 * At READ COMMITTED a row that exists is locked and updated through the
 * executor, without SQL.  Under a transaction snapshot that would leave two
 * versions of the row visible to the transaction, so there it is SELECT ...
 * FOR UPDATE and UPDATE, which fail with 40001 where another transaction came
 * first.  A row that does not exist is inserted with ON CONFLICT DO NOTHING at
 * any level: if another transaction was faster the change starts again (or
 * fails with 40001 under a transaction snapshot).
 *
 *-------------------------------------------------------------------------
 */
#include "store.h"

#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "leadscore.h"
#include "reader.h"

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

#define AT(model, column) (2 + (model)->ncategories + (column))
#define NATTS(model) AT(model, COL_AFTER_CATEGORIES)

typedef struct LsStorePlans
{
	SPIPlanPtr	insert;
	SPIPlanPtr	lock;
	SPIPlanPtr	update;
	SPIPlanPtr	delete;
	SPIPlanPtr	read;
	SPIPlanPtr	history;
} LsStorePlans;

struct LsStore
{
	LsModel    *model;
	const char *cause;
	LsCounter	count_all;
	LsCounter	count_profile;
	MemoryContext context;		/* of one change */
	Relation	rel;
	Oid			key_index;
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *search;
	TupleTableSlot *found;
	TupleTableSlot *written;
	LsScore    *score;
	bool		exists;			/* the row of the change in hand */
	int			ntransitions;	/* of stage, in that change */
	struct Transition
	{
		const char *from;
		const char *to;
		double		score;
		TimestampTz at;
	}			transitions[2];
	TupleTableSlot *contact_row;	/* for conditions of stages */
};

static bool writing = false;	/* we are writing, by SQL */

/*
 * ls_guard refuses what others write to score tables, but for COPY by those
 * who restore a dump.
 */
Datum
ls_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by trigger manager")));
	if (!writing && !(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && ls_restoring()))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is kept by leadscore and cannot be written",
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("Scores follow from events and rules: change those, or use leadscore.rescore().")));
	return PointerGetDatum(NULL);
}

/* ---------- rows ---------- */

/* ls_store_row reads a row of score_<model>. */
void
ls_store_row(LsModel *model, const Datum *values, const bool *nulls,
			 LsScoreRow *row)
{
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

static void
row_values(LsModel *model, const LsScoreRow *row, Datum *values, bool *nulls)
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

	types[0] = model->key.type;
	for (int i = 1; i < 2 + model->ncategories; i++)
		types[i] = FLOAT8OID;
	types[AT(model, COL_GRADE)] = TEXTOID;
	types[AT(model, COL_STAGE)] = TEXTOID;
	types[AT(model, COL_STAGE_SINCE)] = TIMESTAMPTZOID;
	types[AT(model, COL_DISQUALIFIED)] = BOOLOID;
	types[AT(model, COL_HAS_CONTACT)] = BOOLOID;
	types[AT(model, COL_LAST_EVENT_AT)] = TIMESTAMPTZOID;
	types[AT(model, COL_SCORED_AT)] = TIMESTAMPTZOID;
	types[AT(model, COL_RULES_VERSION)] = INT8OID;
	types[AT(model, COL_STATE)] = BYTEAOID;
	return types;
}

static const char *
key_operator(LsModel *model)
{
	char	   *name = get_opname(model->key.eq_operator);
	Oid			schema = get_func_namespace(get_opcode(model->key.eq_operator));

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
	appendStringInfo(&sql, " WHERE contact_id %s $1", key_operator(model));
	table_close(rel, AccessShareLock);
	return sql.data;
}

static SPIPlanPtr
kept_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types)
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

/* ls_store_free_plans is for a compiled model that ends. */
void
ls_store_free_plans(LsModel *model)
{
	SPIPlanPtr *plan = (SPIPlanPtr *) model->store;

	for (size_t i = 0; plan && i < sizeof(LsStorePlans) / sizeof(SPIPlanPtr); i++)
		if (plan[i])
			SPI_freeplan(plan[i]);
}

/*
 * run executes a plan of ours as the extension's owner, past the guard, and
 * gives the number of rows.
 */
static uint64
run(SPIPlanPtr plan, Datum *values, const bool *nulls, int nvalues)
{
	char	   *flags = palloc(nvalues + 1);
	bool		was_writing = writing;
	uint64		rows;
	int			result;

	for (int i = 0; i < nvalues; i++)
		flags[i] = nulls && nulls[i] ? 'n' : ' ';
	flags[nvalues] = '\0';
	writing = true;
	PG_TRY();
	{
		result = SPI_execute_plan(plan, values, flags, false, 0);
		rows = SPI_processed;
	}
	PG_FINALLY();
	{
		writing = was_writing;
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "could not write scores: %s", SPI_result_code_string(result));
	return rows;
}

/* Between these two, SQL is ours.  Results are copied to the caller's context. */
static void
begin_sql(LsIdentity *saved)
{
	ls_become(ls_extension_owner(), saved);
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
	HeapTuple	tuple = heap_copytuple(SPI_tuptable->vals[0]);
	TupleDesc	desc = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	heap_deform_tuple(tuple, desc, values, nulls);
	ls_store_row(model, values, nulls, row);
	MemoryContextSwitchTo(old);
}

static bool
select_row(LsModel *model, Datum contact, LsScoreRow *row, bool lock)
{
	LsStorePlans *plans = plans_of(model);
	MemoryContext caller = CurrentMemoryContext;
	LsIdentity	saved;
	bool		found;

	begin_sql(&saved);
	if (lock)
		found = run(kept_plan(&plans->lock,
							  psprintf("SELECT * FROM %s WHERE contact_id %s $1 FOR UPDATE",
									   score_table_name(model), key_operator(model)),
							  1, &model->key.type), &contact, NULL, 1) > 0;
	else
	{
		SPI_execute_plan(kept_plan(&plans->read,
								   psprintf("SELECT * FROM %s WHERE contact_id %s $1",
											score_table_name(model), key_operator(model)),
								   1, &model->key.type), &contact, NULL, true, 0);
		found = SPI_processed > 0;
	}
	if (found)
		copy_row(model, row, caller);
	end_sql(&saved);
	return found;
}

/* ls_store_read reads a contact's row with the active snapshot. */
bool
ls_store_read(LsModel *model, Datum contact, LsScoreRow *row)
{
	return select_row(model, contact, row, false);
}

static bool
insert_row(LsStore *store, Datum *values, bool *nulls)
{
	LsModel    *model = store->model;
	LsStorePlans *plans = plans_of(model);
	LsIdentity	saved;
	bool		inserted;

	begin_sql(&saved);
	inserted = run(kept_plan(&plans->insert, insert_text(model), NATTS(model),
							 column_types(model)), values, nulls, NATTS(model)) > 0;
	end_sql(&saved);
	return inserted;
}

static void
write_history(LsStore *store, Datum contact, const struct Transition *transition)
{
	static const char *sql =
		"INSERT INTO leadscore.lead_stage_history"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(store->model->name),
		CStringGetTextDatum(ls_key_text(&store->model->key, contact)),
		CStringGetTextDatum(transition->from),
		CStringGetTextDatum(transition->to),
		Float8GetDatum(transition->score),
		TimestampTzGetDatum(transition->at),
		TimestampTzGetDatum(ls_clock()),
		CStringGetTextDatum(store->cause)
	};
	LsStorePlans *plans = plans_of(store->model);
	LsIdentity	saved;

	begin_sql(&saved);
	run(kept_plan(&plans->history, sql, lengthof(types), types), values, NULL,
		lengthof(types));
	end_sql(&saved);
}

/* ---------- the executor ---------- */

/* ls_store_open gets ready to change scores of a model. */
LsStore *
ls_store_open(LsModel *model, const char *cause, LsCounter count_all,
			  LsCounter count_profile)
{
	LsStore    *store = palloc0(sizeof(LsStore));

	store->model = model;
	store->cause = cause;
	store->count_all = count_all;
	store->count_profile = count_profile;
	store->context = AllocSetContextCreate(CurrentMemoryContext,
										   "leadscore change",
										   ALLOCSET_DEFAULT_SIZES);
	store->score = ls_score_make(model, false);
	store->rel = table_open(model->score_table, RowExclusiveLock);
	if (RelationGetDescr(store->rel)->natts != NATTS(model))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns that leadscore gave it",
						RelationGetRelationName(store->rel))));
	store->key_index = ls_primary_key_index(store->rel);
	if (!OidIsValid(store->key_index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(store->rel)),
				 errhint("Add PRIMARY KEY (contact_id), as a restored dump does at its end.")));
	store->estate = CreateExecutorState();
	store->estate->es_snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;
	store->target = makeNode(ResultRelInfo);
	InitResultRelInfo(store->target, store->rel, 0, NULL, 0);
	ExecOpenIndices(store->target, false);
	store->search = MakeSingleTupleTableSlot(RelationGetDescr(store->rel),
											 &TTSOpsVirtual);
	store->found = table_slot_create(store->rel, NULL);
	store->written = MakeSingleTupleTableSlot(RelationGetDescr(store->rel),
											  &TTSOpsVirtual);
	/* rows that this transaction has written before must be seen as such */
	CommandCounterIncrement();
	return store;
}

void
ls_store_close(LsStore *store)
{
	ExecCloseIndices(store->target);
	ExecDropSingleTupleTableSlot(store->search);
	ExecDropSingleTupleTableSlot(store->found);
	ExecDropSingleTupleTableSlot(store->written);
	if (store->contact_row)
		ExecDropSingleTupleTableSlot(store->contact_row);
	FreeExecutorState(store->estate);
	table_close(store->rel, NoLock);
	MemoryContextDelete(store->context);
	pfree(store);
	CommandCounterIncrement();
}

/*
 * lock_row locks the contact's row, where there is one, and reads it.  Its
 * newest version: a transaction that held it has ended.
 */
static bool
lock_row(LsStore *store, Datum contact, LsScoreRow *row)
{
	TupleTableSlot *search = store->search;

	if (IsolationUsesXactSnapshot())
		return select_row(store->model, contact, row, true);

	ExecClearTuple(search);
	memset(search->tts_isnull, true, search->tts_tupleDescriptor->natts);
	search->tts_values[0] = contact;
	search->tts_isnull[0] = false;
	ExecStoreVirtualTuple(search);
	if (!ls_find_by_index(store->rel, store->key_index,
						  LockTupleNoKeyExclusive, search, store->found))
		return false;
	slot_getallattrs(store->found);
	ls_store_row(store->model, store->found->tts_values,
				 store->found->tts_isnull, row);
	return true;
}

static void
update_row(LsStore *store, Datum *values, bool *nulls)
{
	LsModel    *model = store->model;
	EPQState	epq;

	if (IsolationUsesXactSnapshot())
	{
		LsStorePlans *plans = plans_of(model);
		LsIdentity	saved;

		begin_sql(&saved);
		run(kept_plan(&plans->update, update_text(model), NATTS(model),
					  column_types(model)), values, nulls, NATTS(model));
		end_sql(&saved);
		return;
	}
	ExecClearTuple(store->written);
	memcpy(store->written->tts_values, values, sizeof(Datum) * NATTS(model));
	memcpy(store->written->tts_isnull, nulls, sizeof(bool) * NATTS(model));
	ExecStoreVirtualTuple(store->written);
	ls_eval_plan_qual_init(&epq, store->estate);
	store->estate->es_output_cid = GetCurrentCommandId(true);
	ExecSimpleRelationUpdate(store->target, store->estate, &epq,
							 store->found, store->written);
	EvalPlanQualEnd(&epq);
	ResetPerTupleExprContext(store->estate);
}

static void
delete_row(LsStore *store, Datum contact)
{
	LsModel    *model = store->model;
	LsStorePlans *plans = plans_of(model);
	LsIdentity	saved;

	begin_sql(&saved);
	run(kept_plan(&plans->delete,
				  psprintf("DELETE FROM %s WHERE contact_id %s $1",
						   score_table_name(model), key_operator(model)),
				  1, &model->key.type), &contact, NULL, 1);
	end_sql(&saved);
}

/* ---------- changes ---------- */

/*
 * read_contact fills a slot with a contact's row, or with NULLs where there is
 * none, as the active snapshot sees it.
 */
static void
read_contact(LsModel *model, Datum contact, TupleTableSlot *to)
{
	LsReaderSpec spec = {model, LS_READ_CONTACTS, -1, InvalidOid, true, contact};
	LsReader   *reader = ls_reader_open(&spec);
	ExprContext *unused;
	TupleTableSlot *slot;
	Datum		key;

	ExecStoreAllNullTuple(to);
	if (ls_reader_next(reader, &key) &&
		(slot = ls_reader_contact(reader, &unused)) != NULL)
	{
		int			natts = to->tts_tupleDescriptor->natts;

		slot_getallattrs(slot);
		memcpy(to->tts_values, slot->tts_values, sizeof(Datum) * natts);
		memcpy(to->tts_isnull, slot->tts_isnull, sizeof(bool) * natts);
		ExecMaterializeSlot(to);
	}
	ls_reader_close(reader);
}

static TupleTableSlot *
contact_slot(LsModel *model)
{
	Relation	contacts = table_open(model->contacts, AccessShareLock);
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(contacts));

	table_close(contacts, AccessShareLock);
	return MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
}

/*
 * stage_context gives the context in which conditions of stages are evaluated,
 * with the contact's row where one of them needs it.
 */
static ExprContext *
stage_context(LsStore *store, Datum contact)
{
	ExprContext *econtext = GetPerTupleExprContext(store->estate);
	MemoryContext old;

	if (!store->model->stages_read_contact)
		return econtext;
	if (store->contact_row == NULL)
	{
		old = MemoryContextSwitchTo(MemoryContextGetParent(store->context));
		store->contact_row = contact_slot(store->model);
		MemoryContextSwitchTo(old);
	}
	PushActiveSnapshot(GetLatestSnapshot());
	read_contact(store->model, contact, store->contact_row);
	PopActiveSnapshot();
	econtext->ecxt_scantuple = store->contact_row;
	return econtext;
}

/* set_profile puts what the contact's row says in the place of what it said. */
static void
set_profile(LsModel *model, LsState *state, const LsState *profile)
{
	state->has_contact = profile->has_contact;
	state->created_at = profile->created_at;
	for (int i = 0; i < model->nprofiles; i++)
		if (!model->profiles[i]->skip)
			ls_state_remove(state, model->profiles[i]->version);
	for (int i = 0; i < profile->nslots; i++)
		ls_state_set_profile(state, profile->slots[i].version, true,
							 ls_sum_value(&profile->slots[i].sum));
}

/*
 * count_again fills in the state from the tables.  The snapshot is taken under
 * the row's lock: whoever comes later waits for us and adds to what we wrote.
 */
static void
count_again(LsStore *store, Datum contact, LsState *state, LsCounter counter)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	counter(store->model, contact, state);
	PopActiveSnapshot();
}

/* new_state makes the state that a change leads to. */
static void
new_state(LsStore *store, const LsChange *change, LsState *state, TimestampTz t)
{
	LsModel    *model = store->model;
	char	   *prior_stage = state->prior_stage;
	bool		stage_recorded = state->stage_recorded;
	bool		count_all = change->count_all;

	if (change->whole)
		*state = *change->whole;
	else if (!count_all)
	{
		ls_state_advance(model, state, t);
		if (change->delta && !ls_state_merge(model, state, change->delta))
			count_all = true;
	}
	if (count_all)
	{
		ls_state_init(state);
		count_again(store, change->contact, state, store->count_all);
	}
	else if (change->count_profile)
	{
		LsState		profile;

		ls_state_init(&profile);
		count_again(store, change->contact, &profile, store->count_profile);
		set_profile(model, state, &profile);
	}
	else if (change->profile)
		set_profile(model, state, change->profile);
	/* events do not tell what stages the contact went through */
	state->prior_stage = prior_stage;
	state->stage_recorded = stage_recorded;
	ls_state_advance(model, state, t);
	ls_state_fold(model, state);
	ls_state_drop_unknown(model, state);
}

/* step moves the contact to its stage at an instant, and notes it. */
static void
step(LsStore *store, LsScoreRow *row, ExprContext *econtext, TimestampTz t)
{
	LsStanding	standing = {row->stage, row->stage_since, row->state.prior_stage};

	ls_evaluate(store->model, &row->state, t, store->score);
	if (ls_stage_step(store->model, store->score, econtext, &standing, t))
	{
		struct Transition *transition = &store->transitions[store->ntransitions++];

		transition->from = row->stage;
		transition->to = standing.stage;
		transition->score = store->score->score;
		transition->at = t;
		row->stage = standing.stage;
		row->stage_since = standing.since;
		row->state.stage_recorded = true;
	}
	row->state.prior_stage = standing.prior_stage;
}

/*
 * entry_instant gives the instant of the latest event that a change brings, if
 * the event is in order: not before what the contact did last, nor before its
 * stage last changed.
 */
static TimestampTz
entry_instant(const LsChange *change, const LsScoreRow *row, TimestampTz last,
			  TimestampTz t)
{
	TimestampTz at;

	if (!change->test_entry || change->delta == NULL || change->delta->events == 0)
		return DT_NOBEGIN;
	at = change->delta->last;
	if (row->state.stage_recorded && at < row->stage_since)
		return DT_NOBEGIN;
	return at >= last && at < t ? at : DT_NOBEGIN;
}

/* differs compares stored numbers with what they should be. */
static bool
differs(double stored, double exact, double allowed)
{
	return fabs(stored - exact) > allowed;
}

/*
 * outdated tells whether a row's numbers are not what they should be any more:
 * because the rules changed, or because time moved them further than the
 * model's drift.  at_stored is what is true at the row's own instant.
 */
static bool
outdated(LsModel *model, const LsScoreRow *row, const LsScore *at_stored,
		 const LsScore *now)
{
	double		exact = 1e-9 * Max(1.0, at_stored->size);
	bool		other_rules = row->rules_version != model->version;

	if (row->disqualified != now->disqualified ||
		strcmp(row->grade ? row->grade : "", now->grade ? now->grade : "") != 0 ||
		differs(row->score, now->score, ls_drift(model, now->score)) ||
		(other_rules && differs(row->score, at_stored->score, exact)))
		return true;
	for (int i = 0; i < model->ncategories; i++)
		if (differs(row->categories[i], now->categories[i],
					ls_drift(model, now->categories[i])) ||
			(other_rules &&
			 differs(row->categories[i], at_stored->categories[i], exact)))
			return true;
	return false;
}

/*
 * still_true tells whether a row can be left as it is: nobody who reads it
 * would be told anything else by a new one.
 */
static bool
still_true(LsStore *store, LsScoreRow *row, ExprContext *econtext, TimestampTz t)
{
	LsStanding	standing = {row->stage, row->stage_since, row->state.prior_stage};
	LsScore    *at_stored = ls_score_make(store->model, false);

	ls_evaluate(store->model, &row->state, row->scored_at, at_stored);
	ls_evaluate(store->model, &row->state, t, store->score);
	return !outdated(store->model, row, at_stored, store->score) &&
		!ls_stage_step(store->model, store->score, econtext, &standing, t);
}

/*
 * ls_store_needs_change tells beforehand, without a lock, whether a row that
 * was read may not be true any more.
 */
bool
ls_store_needs_change(LsStore *store, LsScoreRow *row)
{
	TimestampTz t = Max(ls_clock(), row->scored_at);

	if (store->model->stages_read_contact || row->state.nfuture > 0)
		return true;
	return !still_true(store, row, GetPerTupleExprContext(store->estate), t);
}

static void
start_row(LsStore *store, const LsChange *change, LsScoreRow *row, TimestampTz t)
{
	LsModel    *model = store->model;

	memset(row, 0, sizeof(LsScoreRow));
	row->contact = change->contact;
	row->stage = model->nstages > 0 ? model->stages[0].name : "unqualified";
	row->stage_since = t;
	if (change->test_entry && change->delta && change->delta->events > 0)
		row->stage_since = Min(t, change->delta->last);
	row->scored_at = t;
	ls_state_init(&row->state);
}

/* take_score gives a row what was evaluated last. */
static void
take_score(LsStore *store, LsScoreRow *row, TimestampTz t)
{
	row->score = store->score->score;
	row->categories = store->score->categories;
	row->grade = store->score->grade;
	row->disqualified = store->score->disqualified;
	row->rules_version = store->model->version;
	row->scored_at = t;
}

/* write_row writes a row.  False to start again. */
static bool
write_row(LsStore *store, LsScoreRow *row)
{
	LsModel    *model = store->model;
	Datum	   *values = palloc(sizeof(Datum) * NATTS(model));
	bool	   *nulls = palloc(sizeof(bool) * NATTS(model));

	row_values(model, row, values, nulls);
	if (!store->exists)
		return insert_row(store, values, nulls);
	update_row(store, values, nulls);
	return true;
}

static bool
same_bytes(const bytea *a, const bytea *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/*
 * was_missed tells whether there is a row of a contact after all.  One that
 * moves to another page while its index entry is read is not found by
 * lock_row(); who inserts one learns of it, who has nothing to write does not.
 */
static bool
was_missed(LsStore *store, Datum contact)
{
	LsScoreRow	row;
	bool		found;

	if (IsolationUsesXactSnapshot())
		return false;			/* looked for with a snapshot, which misses none */
	PushActiveSnapshot(GetLatestSnapshot());
	found = ls_store_read(store->model, contact, &row);
	PopActiveSnapshot();
	return found;
}

/* try_change makes one attempt.  False: another transaction made the row. */
static bool
try_change(LsStore *store, const LsChange *change, bool *changed)
{
	LsScoreRow	row;
	ExprContext *econtext;
	bytea	   *before = NULL;
	TimestampTz t = ls_clock(),
				entry,
				last;

	store->exists = lock_row(store, change->contact, &row);
	if (store->exists)
		t = Max(ls_clock(), row.scored_at);
	else
		start_row(store, change, &row, t);
	last = row.state.last;
	if (change->only_if_changed && store->exists)
		before = ls_state_encode(&row.state);
	new_state(store, change, &row.state, t);
	*changed = true;
	if (row.state.events == 0 && row.state.nfuture == 0 && !row.state.has_contact)
	{
		if (!store->exists)
			return !was_missed(store, change->contact);
		delete_row(store, change->contact);
		return true;
	}
	*changed = before == NULL || !same_bytes(before, ls_state_encode(&row.state));
	if (change->state_only && store->exists)
		return !*changed || write_row(store, &row);
	econtext = stage_context(store, change->contact);
	if (!*changed && still_true(store, &row, econtext, t))
		return true;
	*changed = true;
	store->ntransitions = 0;
	entry = entry_instant(change, &row, last, t);
	if (entry != DT_NOBEGIN)
		step(store, &row, econtext, entry);
	step(store, &row, econtext, t);
	take_score(store, &row, t);
	if (!write_row(store, &row))
		return false;
	for (int i = 0; i < store->ntransitions; i++)
		write_history(store, change->contact, &store->transitions[i]);
	return true;
}

/*
 * ls_store_change changes one contact's row, making it where there is none and
 * deleting it where nothing is left.  Tells whether anything was written.
 */
bool
ls_store_change(LsStore *store, const LsChange *change)
{
	MemoryContext old = MemoryContextSwitchTo(store->context);
	bool		changed = false;

	CHECK_FOR_INTERRUPTS();
	while (!try_change(store, change, &changed))
		MemoryContextReset(store->context);
	MemoryContextSwitchTo(old);
	MemoryContextReset(store->context);
	return changed;
}

/*
 * ls_store_live puts what is true at t in the place of a row's stored values.
 */
void
ls_store_live(LsModel *model, Datum *values, bool *nulls, TimestampTz t)
{
	LsScore    *score = ls_score_make(model, false);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = CreateExprContext(estate);
	LsStanding	standing;
	LsScoreRow	row;

	ls_store_row(model, values, nulls, &row);
	if (model->stages_read_contact)
	{
		econtext->ecxt_scantuple = contact_slot(model);
		read_contact(model, row.contact, econtext->ecxt_scantuple);
	}
	t = Max(t, row.scored_at);
	ls_state_advance(model, &row.state, t);
	ls_evaluate(model, &row.state, t, score);
	standing = (LsStanding) {row.stage, row.stage_since, row.state.prior_stage};
	(void) ls_stage_step(model, score, econtext, &standing, t);
	row.score = score->score;
	row.categories = score->categories;
	row.grade = score->grade;
	row.disqualified = score->disqualified;
	row.stage = standing.stage;
	row.stage_since = standing.since;
	row.scored_at = t;
	row_values(model, &row, values, nulls);
	FreeExecutorState(estate);
}
