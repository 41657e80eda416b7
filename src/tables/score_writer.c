/*-------------------------------------------------------------------------
 *
 * score_writer.c
 *		Reads and writes score_<model>: the only writer.
 *
 * A change locks the contact's row first, reads the clock after that, and
 * writes the row once.  It makes the row true at the clock's instant, or at a later
 * one that is noted in what it handles (effective_instant).  Contacts have to come in the order of their key, so
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
#include "tables/score_writer.h"

#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/heap_writer.h"
#include "rules/disclosure.h"
#include "rules/source_locks.h"
#include "scoring/next_change.h"
#include "scoring/transition.h"
#include "tables/damaged_row.h"
#include "tables/due_table.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"
#include "tables/profile_table.h"
#include "tables/stage_history.h"

/*
 * After how many jumps a search for the next due instant stops, early: in a
 * statement that has a writer waiting, and in the worker.
 */
#define FEW_JUMPS	8
#define MANY_JUMPS	64

/* A state has room for due instants as far away as this: 36,000 years */
#define FAR_AWAY	(INT64CONST(1) << 60)

struct LsStore
{
	ErrorData  *damage;			/* of the row that was found, NULL: none */
	LsModel    *model;
	const char *cause;
	LsCounter	count_all;
	LsCounter	count_profile;
	MemoryContext context;		/* of one change */
	LsTarget	target;			/* score_<model> */
	LsScore    *score;
	bool		exists;			/* the row of the change in hand */
	bool		locked_to_read; /* the tables that contacts are counted from */
	TupleTableSlot *contact_row;	/* for conditions of stages */
	LsDueTable *due;			/* opened when it is first needed */
	LsHistory  *history;
	LsProfileTable *profiles;	/* and so is this */
	int64		transitions;	/* of stage, of all changes */
	LsPending	taken;			/* what was pending, of the change in hand ... */
	MemoryContext taken_context;	/* ... which may need several attempts */
	TimestampTz counted;		/* latest instant of what an attempt has counted */
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
	store->taken_context = AllocSetContextCreate(CurrentMemoryContext,
												 "leadscore pending",
												 ALLOCSET_SMALL_SIZES);
	ls_pending_init(&store->taken);
	store->counted = DT_NOBEGIN;
	store->score = ls_course_score(model);
	store->history = ls_history_open(model);
	ls_target_open(&store->target, model->score_table, 1, NULL, 0);
	ls_row_check(model, RelationGetDescr(store->target.rel));
	/* rows that this transaction has written before must be seen as such */
	CommandCounterIncrement();
	return store;
}

void
ls_store_close(LsStore *store)
{
	if (store->contact_row)
		ExecDropSingleTupleTableSlot(store->contact_row);
	if (store->due)
		ls_due_table_close(store->due);
	ls_history_close(store->history);
	if (store->profiles)
		ls_profile_table_close(store->profiles);
	ls_target_close(&store->target);
	MemoryContextDelete(store->context);
	MemoryContextDelete(store->taken_context);
	pfree(store);
	CommandCounterIncrement();
}

/* read_found reads the row that was found. */
static void
read_found(LsStore *store, LsScoreRow *row)
{
	TupleTableSlot *found = store->target.found;

	slot_getallattrs(found);
	store->damage = ls_row_try_read(store->model, found->tts_values, found->tts_isnull, row);
}

/* look_for puts a contact where its row is looked for by. */
static void
look_for(LsStore *store, Datum contact)
{
	TupleTableSlot *search = store->target.search;

	ExecClearTuple(search);
	memset(search->tts_isnull, true, search->tts_tupleDescriptor->natts);
	search->tts_values[0] = contact;
	search->tts_isnull[0] = false;
	ExecStoreVirtualTuple(search);
}

/*
 * lock_row locks the contact's row, where there is one, and reads it.  Under a
 * transaction snapshot a row that is newer cannot be changed; that there is none
 * must not be taken from that, as nothing would be done about the contact.
 */
static bool
lock_row(LsStore *store, Datum contact, LsScoreRow *row)
{
	if (IsolationUsesXactSnapshot())
	{
		if (ls_row_select(store->model, contact, row, true))
			return true;
		if (ls_row_is_there(store->model, contact))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
		return false;
	}

	look_for(store, contact);
	if (!ls_target_find(&store->target))
		return false;
	read_found(store, row);
	return true;
}

/*
 * lock_if_free does so without waiting, at READ COMMITTED, and says in
 * store->exists whether there is a row.  False where somebody holds it.
 */
static bool
lock_if_free(LsStore *store, Datum contact, LsScoreRow *row)
{
	look_for(store, contact);
	if (!ls_target_find_free(&store->target, &store->exists))
		return false;
	if (store->exists)
		read_found(store, row);
	return true;
}

static void
update_row(LsStore *store, Datum *values, bool *nulls)
{
	LsModel    *model = store->model;
	TupleTableSlot *written = store->target.written;

	if (IsolationUsesXactSnapshot())
	{
		ls_row_update(model, values, nulls);
		return;
	}
	ExecClearTuple(written);
	memcpy(written->tts_values, values, sizeof(Datum) * ls_row_natts(model));
	memcpy(written->tts_isnull, nulls, sizeof(bool) * ls_row_natts(model));
	ExecStoreVirtualTuple(written);
	ls_target_update(&store->target);
}

/* ---------- changes ---------- */

/* stage_context does so for a change, with the newest row. */
static ExprContext *
stage_context(LsStore *store, Datum contact)
{
	ExprContext *econtext = GetPerTupleExprContext(store->target.estate);
	MemoryContext old;

	if (!store->model->stages_read_contact)
		return econtext;
	if (store->contact_row == NULL)
	{
		old = MemoryContextSwitchTo(MemoryContextGetParent(store->context));
		store->contact_row = ls_contact_slot(store->model);
		MemoryContextSwitchTo(old);
	}
	PushActiveSnapshot(GetLatestSnapshot());
	ls_contact_row(store->model, contact, store->contact_row);
	PopActiveSnapshot();
	econtext->ecxt_scantuple = store->contact_row;
	return econtext;
}

/* ls_store_set_profile puts what the contact's row says in the place of what it said. */
void
ls_store_set_profile(LsModel *model, LsState *state, const LsState *profile)
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

/* take_pending takes away what the active snapshot sees pending of a contact. */
static void
take_pending(LsStore *store, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(store->taken_context);

	ls_pending_take(store->model, contact, &store->taken);
	MemoryContextSwitchTo(old);
}

/*
 * count_again fills in the state from the tables.  The snapshot is taken under
 * the row's lock: whoever comes later waits for us and adds to what we wrote.
 * What it sees pending was counted with the events.
 */
static void
count_again(LsStore *store, Datum contact, TimestampTz t, LsState *state,
			LsCounter counter)
{
	/*
	 * TRUNCATE and DROP are no matter of snapshots: with one that is older than
	 * the lock, what they took and what is kept of it would both be missing.
	 */
	if (counter == store->count_all && !store->locked_to_read)
	{
		ls_lock_to_read(store->model);
		store->locked_to_read = true;
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (counter == store->count_all)
		take_pending(store, contact);
	counter(store->model, contact, t, state);
	PopActiveSnapshot();
}

/*
 * add_pending adds what was put aside.  False where the contact has to be
 * counted again.
 */
static bool
add_pending(LsStore *store, const LsChange *change, LsState *state)
{
	if (change->fold)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		take_pending(store, change->contact);
		PopActiveSnapshot();
	}
	else if (change->slots && !change->state_only)
		take_pending(store, change->contact);	/* as the events were seen */
	return !store->taken.count_all &&
		(!store->taken.has_delta ||
		 ls_state_merge(store->model, state, &store->taken.delta));
}

/*
 * add_up makes the state from the one before and what a change brings.  False
 * where the contact has to be counted again.
 */
static bool
add_up(LsStore *store, const LsChange *change, LsState *state, TimestampTz t)
{
	/* a row that came meanwhile has events that were not seen */
	if (change->count_all ||
		(change->row_then != LS_ROW_HELD &&
		 (change->row_then == LS_ROW_THERE) != store->exists))
		return false;
	if (change->whole)
	{
		*state = *change->whole;
		take_pending(store, change->contact);
		return true;
	}
	ls_state_advance(store->model, state, t);
	if (!add_pending(store, change, state) ||
		(change->delta && !ls_state_merge(store->model, state, change->delta)))
		return false;
	if (change->slots)
		ls_state_replace(state, change->slots, change->versions, change->nversions);
	return true;
}

/*
 * is_ahead tells whether what a change was found to bring lies after the instant at
 * which it was to be made: it begins anew, so that what time does until then is gone
 * through first.
 */
static bool
is_ahead(LsStore *store, const LsState *state, TimestampTz t)
{
	store->counted = Max(store->counted, state->last);
	return Max(store->taken.instant, store->counted) > t;
}

/* new_state makes the state that a change leads to.  False to start again, later. */
static bool
new_state(LsStore *store, const LsChange *change, LsState *state, TimestampTz t)
{
	LsModel    *model = store->model;
	LsState		before = *state;

	if (!add_up(store, change, state, t))
	{
		ls_state_init(state);
		count_again(store, change->contact, t, state, store->count_all);
	}
	else if (change->count_profile || store->taken.count_profile)
	{
		LsState		profile;

		ls_state_init(&profile);
		count_again(store, change->contact, t, &profile, store->count_profile);
		ls_store_set_profile(model, state, &profile);
	}
	else if (change->profile)
		ls_store_set_profile(model, state, change->profile);
	if (is_ahead(store, state, t))
		return false;
	ls_state_inherit(state, &before);
	ls_state_advance(model, state, t);
	ls_state_fold(model, state);
	ls_state_drop_unknown(model, state);
	return true;
}

/* latest_event gives the latest event that a change adds; DT_NOBEGIN: none. */
static TimestampTz
latest_event(const LsStore *store, const LsChange *change)
{
	TimestampTz at = DT_NOBEGIN;

	const LsState *added = change->delta ? change->delta : change->whole;

	if (change->test_entry && added && added->events > 0)
		at = added->last;
	if (store->taken.has_delta && store->taken.delta.events > 0)
		at = Max(at, store->taken.delta.last);
	return at;
}

/*
 * next_due tells when time will change the row, from where store->score stands
 * on; DT_NOEND where that is later than until, or never.
 */
static TimestampTz
next_due(LsStore *store, const LsScoreRow *row, TimestampTz until,
		 int max_jumps, bool *drift)
{
	LsStanding	standing = ls_row_standing(row);
	LsDue		due = {0};

	due.model = store->model;
	due.state = &row->state;
	due.score = store->score;
	due.standing = &standing;
	due.what = LS_DUE_STAGE | LS_DUE_GRADE | LS_DUE_DRIFT;
	due.stored_score = row->score;
	due.stored_categories = row->categories;
	due.until = until;
	due.max_jumps = max_jumps;
	return ls_due_next(&due, drift);
}

/*
 * still_true tells whether a row can be left as it is: nobody who reads it
 * would be told anything else by a new one.
 */
static bool
still_true(LsStore *store, LsScoreRow *row, ExprContext *econtext, TimestampTz t)
{
	LsStanding	standing = ls_row_standing(row);
	LsScore    *at_stored = ls_score_make(store->model, false);
	bool		drift;

	ls_evaluate(store->model, &row->state, ls_row_instant(row), at_stored);
	ls_evaluate(store->model, &row->state, t, store->score);
	return row->state.due > t &&
		!ls_row_outdated(store->model, row, at_stored, store->score) &&
		!ls_stage_step(store->model, store->score, econtext, &standing, t) &&
		next_due(store, row, row->state.due - 1, FEW_JUMPS, &drift) == DT_NOEND;
}

/*
 * ls_store_needs_change tells beforehand, without a lock, whether a row that
 * was read may not be true any more.
 */
bool
ls_store_needs_change(LsStore *store, LsScoreRow *row)
{
	TimestampTz t = Max(ls_clock(), ls_row_instant(row));

	if (store->model->stages_read_contact || row->state.nfuture > 0)
		return true;
	return !still_true(store, row, GetPerTupleExprContext(store->target.estate), t);
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
	if (IsolationUsesXactSnapshot())
		return false;			/* lock_row() has looked */
	return ls_row_is_there(store->model, contact);
}

/* ---------- due instants ---------- */

/* move_due puts the contact's row of due_<model> where its state says. */
static void
move_due(LsStore *store, Datum contact, const LsDueRow *from, const LsState *to)
{
	LsDueRow	row = {to->due, to->due_drift, contact};

	if (from->at == row.at && from->drift == row.drift)
		return;
	if (store->due == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(store->context));

		store->due = ls_due_table_open(store->model);
		MemoryContextSwitchTo(old);
	}
	ls_due_table_move(store->due, from, &row);
}

/*
 * set_due finds when the row that is about to be written has to be looked at.
 * One that comes before is left alone: the worker will move it then.
 */
static void
set_due(LsStore *store, const LsChange *change, LsScoreRow *row, TimestampTz t)
{
	LsState    *state = &row->state;
	bool		keeps = state->due > t && state->due != DT_NOEND;
	TimestampTz next;
	bool		drift;

	next = next_due(store, row, keeps ? state->due - 1 : DT_NOEND,
					change->due ? MANY_JUMPS : FEW_JUMPS, &drift);
	if (keeps && next == DT_NOEND)
		return;
	if (next != DT_NOEND && next - t > FAR_AWAY)
	{
		next = t + FAR_AWAY;
		drift = true;
	}
	state->due = next;
	state->due_drift = next != DT_NOEND && drift;
}

/*
 * not_due deals with a row of due_<model> of a contact that is not due: its
 * state does not know the row, or another was faster.
 */
static bool
not_due(LsStore *store, const LsChange *change, const LsScoreRow *row,
		TimestampTz t)
{
	LsState		none;
	bool		known = store->exists && row->state.due == change->due->at &&
		row->state.due_drift == change->due->drift;

	ls_state_init(&none);
	if (!known)
		move_due(store, change->contact, change->due, &none);
	return !store->exists || row->state.due > t;
}

/* ---------- one change ---------- */

/* refuse_unknown refuses to set the stage of one of whom nothing is known. */
static void
refuse_unknown(const LsStore *store, const LsChange *change)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("model \"%s\" has no contact \"%s\"", store->model->name,
					ls_key_text(&store->model->key, change->contact)),
			 errhint("A contact has a score when the contact table or an attached table has a row of it.")));
}

/* refuse_by_hand refuses what cannot be set by hand. */
static void
refuse_by_hand(const LsStore *store, const LsChange *change)
{
	if (store->score->disqualified)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" of model \"%s\" is disqualified",
						ls_key_text(&store->model->key, change->contact),
						store->model->name),
				 errdetail("A rule that disqualifies is in force."),
				 errhint("leadscore.explain() shows which rules are.")));
}

/* go_on takes the contact through what its row shall say from now on. */
static void
go_on(LsStore *store, const LsChange *change, LsCourse *course,
	  TimestampTz last, TimestampTz t)
{
	TimestampTz entry;

	if (change->state_only)
	{
		/* a row for what is counted now: it is made true before the commit */
		ls_evaluate(store->model, &course->row->state, t, store->score);
		ls_row_take_score(store->model, course->row, store->score);
		course->row->rules_version = 0;
		set_due(store, change, course->row, t);
		return;
	}
	entry = ls_course_entry(store->model, course->row, latest_event(store, change), last, t);
	if (entry != DT_NOBEGIN)
	{
		ls_course_step(course, entry, change->by_hand ? "event" : store->cause);
		ls_course_catch_up(course, entry, t,
						   strcmp(store->cause, "backfill") == 0 ? store->cause : "time");
	}
	ls_course_step(course, t, change->due || change->by_hand ? "time" : store->cause);
	if (change->by_hand)
	{
		refuse_by_hand(store, change);
		course->reason = change->reason;
		ls_course_set_stage(course, t, change->stage);
	}
	ls_row_take_score(store->model, course->row, store->score);
	course->row->rules_version = store->model->version;
	set_due(store, change, course->row, t);
}

/* record writes down what happened on the way. */
static void
record(LsStore *store, const LsCourse *course)
{
	ListCell   *lc;

	foreach(lc, course->happened)
		store->transitions += ls_history_add(store->history, course->row->contact,
											 lfirst(lc), course->reason);
}

/*
 * record_profile writes down what the contact's row says from t on, where that
 * is not what it said.
 */
static void
record_profile(LsStore *store, const LsChange *change, const LsProfile *before,
			   const LsState *state, TimestampTz t)
{
	LsProfileRow row = {t, change->whole || change->slots, {0}};

	if (!ls_keeps_profiles(store->model))
		return;
	ls_profile_of_state(store->model, state, &row.profile);
	if (ls_profile_equal(before, &row.profile))
		return;
	if (store->profiles == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(store->context));

		store->profiles = ls_profile_table_open(store->model);
		MemoryContextSwitchTo(old);
	}
	ls_profile_table_add(store->profiles, change->contact, before, &row);
}

/* write_state writes a row that shows what it showed.  False to start again. */
static bool
write_state(LsStore *store, const LsChange *change, const LsProfile *before,
			LsScoreRow *row, TimestampTz t)
{
	if (!write_row(store, row))
		return false;
	record_profile(store, change, before, &row->state, t);
	return true;
}

/* remove_row deletes the row of a contact of which nothing is left. */
static void
remove_row(LsStore *store, const LsChange *change, const LsDueRow *due)
{
	LsState		none;

	ls_state_init(&none);
	ls_row_delete(store->model, change->contact);
	move_due(store, change->contact, due, &none);
}

/* ---------- contacts that count for another ---------- */

/*
 * forward leaves word for whom a contact counts, where it counts for another.
 * There is no row of it then, and it gets none.
 */
static bool
forward(LsStore *store, const LsChange *change)
{
	Datum		target;

	if (change->by_hand ||
		!ls_alias_find(store->model, change->contact, LS_ALIAS_HELD, &target))
		return false;
	if (change->fold)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		take_pending(store, change->contact);
		PopActiveSnapshot();
	}
	if (change->delta || change->count_all || store->taken.has_delta || store->taken.count_all)
		ls_alias_mark(store->model, target);
	return true;
}

/*
 * was_taken looks, when a row has been made, whether the contact counts for
 * another since: who saw to that kept us waiting while we made it.
 */
static bool
was_taken(LsStore *store, Datum contact)
{
	Datum		target;

	if (!ls_alias_find(store->model, contact, LS_ALIAS_NOW, &target))
		return false;
	ls_row_delete(store->model, contact);
	return true;
}

/* begin_row makes the row of a contact that has none, as it is before a change. */
static void
begin_row(LsStore *store, const LsChange *change, LsScoreRow *row, TimestampTz t)
{
	ls_row_start(store->model, change->contact, row, t);
	if (change->standing == NULL)
		return;
	ls_row_stand(row, change->standing);
	row->state.stage_recorded = true;
}

/* ---------- all together ---------- */

/* begin_course records what time has done to a row before it is changed. */
static void
begin_course(LsStore *store, const LsChange *change, LsScoreRow *row,
			 LsCourse *course, TimestampTz t)
{
	course->model = store->model;
	course->row = row;
	course->score = store->score;
	if (change->state_only)
		return;
	course->econtext = stage_context(store, change->contact);
	ls_course_begin(course, store->exists);
	if (row->state.due <= t)
		ls_course_catch_up(course, ls_row_instant(row), t, "time");
}

/*
 * effective_instant gives the instant at which a change makes a row true: that of the
 * clock, read under the row's lock, but never one before what is handled was noted.
 * A row, events to be added and what is pending may come from a process whose clock
 * is ahead, or from before the clock was set back.  Merged at the clock's instant
 * they would be evaluated at one before their own, at which what decays is worth more
 * than it ever was.
 */
static TimestampTz
effective_instant(const LsStore *store, const LsChange *change, const LsScoreRow *row)
{
	const LsState *const brought[] = {change->delta, change->whole, change->slots};
	TimestampTz t = Max(ls_clock(), Max(store->taken.instant, store->counted));

	if (store->exists)
		t = Max(t, ls_row_instant(row));
	else if (change->standing && ls_instant_has_been(change->standing->since))
		t = Max(t, change->standing->since);
	for (size_t i = 0; i < lengthof(brought); i++)
		if (brought[i])
			t = Max(t, brought[i]->last);
	return t;
}

/*
 * take_row locks the row of a contact, where there is one, and reads it.  False where
 * that is all for now.  One that cannot be read is made anew by another change.
 */
static bool
take_row(LsStore *store, const LsChange **change, LsChange *repaired, LsScoreRow *row,
		 LsOutcome *outcome)
{
	Datum		contact = (*change)->contact;
	/* what an attempt before this one has taken away must not be left */
	bool		skip = (*change)->skip_locked && store->taken.nrows == 0;

	store->damage = NULL;
	*outcome = LS_SKIPPED;
	if (skip && !lock_if_free(store, contact, row))
		return false;
	if (!skip)
		store->exists = lock_row(store, contact, row);
	*outcome = LS_UNCHANGED;
	if (!store->exists || store->damage == NULL)
		return true;
	if (!ls_row_repair(store->model, *change, store->damage, repaired))
		return false;
	*change = repaired;
	ls_row_start(store->model, contact, row, ls_clock());
	return true;
}

/*
 * try_change makes one attempt.  False: another transaction made the row, or it has to
 * be made at a later instant.
 */
static bool
try_change(LsStore *store, const LsChange *change, LsOutcome *outcome)
{
	LsScoreRow	row;
	LsCourse	course = {0};
	LsDueRow	due;
	LsProfile	profile = {0};
	bytea	   *before = NULL;
	LsChange	repaired;
	TimestampTz t,
				last;

	if (!take_row(store, &change, &repaired, &row, outcome))
		return true;
	t = effective_instant(store, change, &row);
	if (!store->exists)
		begin_row(store, change, &row, t);
	if (change->due && not_due(store, change, &row, t))
		return true;
	if (!store->exists && forward(store, change))
		return true;
	due = (LsDueRow) {row.state.due, row.state.due_drift, change->contact};
	begin_course(store, change, &row, &course, t);
	if (change->remove)
	{
		if (store->exists)
			remove_row(store, change, &due);
		record(store, &course);
		return true;
	}
	last = row.state.last;
	if (change->only_if_changed && store->exists)
		before = ls_state_encode(&row.state);
	if (ls_keeps_profiles(store->model))
		ls_profile_of_state(store->model, &row.state, &profile);
	if (!new_state(store, change, &row.state, t))
		return false;
	if (ls_model_leaves(store->model, change->contact, change->deferrable))
		return true;
	if (!store->exists && !change->standing && latest_event(store, change) != DT_NOBEGIN)
		row.stage_since = Min(t, latest_event(store, change));
	if (row.state.events == 0 && row.state.nfuture == 0 && !row.state.has_contact)
	{
		if (!store->exists && was_missed(store, change->contact))
			return false;
		if (change->by_hand)
			refuse_unknown(store, change);
		if (!store->exists)
			return true;
		remove_row(store, change, &due);
		record_profile(store, change, &profile, &row.state, t);
		*outcome = LS_CHANGED;
		return true;
	}
	if (before == NULL || !same_bytes(before, ls_state_encode(&row.state)))
		*outcome = LS_CHANGED;
	if (change->state_only && store->exists)
		return *outcome == LS_UNCHANGED ||
			write_state(store, change, &profile, &row, t);
	if (*outcome == LS_UNCHANGED && course.happened == NIL &&
		still_true(store, &row, course.econtext, t))
		return true;
	*outcome = LS_CHANGED;
	go_on(store, change, &course, last, t);
	if (ls_model_leaves(store->model, change->contact, change->deferrable))
		return true;
	if (!write_row(store, &row) ||
		(!store->exists && was_taken(store, change->contact)))
		return false;
	move_due(store, change->contact, &due, &row.state);
	record_profile(store, change, &profile, &row.state, t);
	record(store, &course);
	return true;
}

/*
 * ls_store_change changes one contact's row, making it where there is none and
 * deleting it where nothing is left.  Tells whether anything was written.
 */
LsOutcome
ls_store_change(LsStore *store, const LsChange *change)
{
	MemoryContext old = MemoryContextSwitchTo(store->context);
	ErrorContextCallback callback = {error_context_stack, ls_undisclosed_context, store->model};
	LsOutcome	outcome;

	error_context_stack = &callback;
	for (int attempts = 0;; attempts++)
	{
		ls_row_attempt(store->model, change->contact, store->model->score_table, attempts);
		if (try_change(store, change, &outcome))
			break;
		MemoryContextReset(store->context);
	}
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	MemoryContextReset(store->context);
	store->counted = DT_NOBEGIN;
	if (store->taken.nrows > 0)
	{
		MemoryContextReset(store->taken_context);
		ls_pending_init(&store->taken);
	}
	return outcome;
}

/* ls_store_transitions counts the changes of stage that were written. */
int64
ls_store_transitions(const LsStore *store)
{
	return store->transitions;
}
