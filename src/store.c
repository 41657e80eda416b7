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
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
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
	LsTransition transitions[2];
	TupleTableSlot *contact_row;	/* for conditions of stages */
};

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
	if (RelationGetDescr(store->rel)->natts != ls_row_natts(model))
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
		return ls_row_select(store->model, contact, row, true);

	ExecClearTuple(search);
	memset(search->tts_isnull, true, search->tts_tupleDescriptor->natts);
	search->tts_values[0] = contact;
	search->tts_isnull[0] = false;
	ExecStoreVirtualTuple(search);
	if (!ls_find_by_index(store->rel, store->key_index,
						  LockTupleNoKeyExclusive, search, store->found))
		return false;
	slot_getallattrs(store->found);
	ls_row_read(store->model, store->found->tts_values,
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
		ls_row_update(model, values, nulls);
		return;
	}
	ExecClearTuple(store->written);
	memcpy(store->written->tts_values, values, sizeof(Datum) * ls_row_natts(model));
	memcpy(store->written->tts_isnull, nulls, sizeof(bool) * ls_row_natts(model));
	ExecStoreVirtualTuple(store->written);
	ls_eval_plan_qual_init(&epq, store->estate);
	store->estate->es_output_cid = GetCurrentCommandId(true);
	ExecSimpleRelationUpdate(store->target, store->estate, &epq,
							 store->found, store->written);
	EvalPlanQualEnd(&epq);
	ResetPerTupleExprContext(store->estate);
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
		LsTransition *transition = &store->transitions[store->ntransitions++];

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
entry_instant(const LsModel *model, const LsChange *change,
			  const LsScoreRow *row, TimestampTz last, TimestampTz t)
{
	TimestampTz at;

	if (!change->test_entry || change->delta == NULL || change->delta->events == 0 ||
		!model->staged)
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

/* take_score gives a row what was evaluated at t. */
static void
take_score(LsScoreRow *row, const LsScore *score, TimestampTz t)
{
	row->score = score->score;
	row->categories = score->categories;
	row->grade = score->grade;
	row->disqualified = score->disqualified;
	row->scored_at = t;
}

/* write_row writes a row.  False to start again. */
static bool
write_row(LsStore *store, LsScoreRow *row)
{
	LsModel    *model = store->model;
	Datum	   *values = palloc(sizeof(Datum) * ls_row_natts(model));
	bool	   *nulls = palloc(sizeof(bool) * ls_row_natts(model));

	ls_row_values(model, row, values, nulls);
	if (!store->exists)
		return ls_row_insert(model, values, nulls);
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
	found = ls_row_find(store->model, contact, &row);
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
	TimestampTz t,
				entry,
				last;

	store->exists = lock_row(store, change->contact, &row);
	t = ls_clock();
	if (store->exists)
		t = Max(t, row.scored_at);
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
		ls_row_delete(store->model, change->contact);
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
	entry = entry_instant(store->model, change, &row, last, t);
	if (entry != DT_NOBEGIN)
		step(store, &row, econtext, entry);
	step(store, &row, econtext, t);
	take_score(&row, store->score, t);
	row.rules_version = store->model->version;
	if (!write_row(store, &row))
		return false;
	for (int i = 0; i < store->ntransitions; i++)
		ls_row_history(store->model, change->contact, &store->transitions[i],
					   store->cause);
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

	ls_row_read(model, values, nulls, &row);
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
	take_score(&row, score, t);
	row.stage = standing.stage;
	row.stage_since = standing.since;
	ls_row_values(model, &row, values, nulls);
	FreeExecutorState(estate);
}
