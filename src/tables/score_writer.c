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
 * A row that does not exist is inserted as ON CONFLICT DO NOTHING does: if another
 * transaction was faster the change starts again, and then, under a transaction
 * snapshot, fails with 40001.
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
#include "rules/disclosure.h"
#include "rules/source_locks.h"
#include "scoring/next_change.h"
#include "scoring/transition.h"
#include "tables/damaged_row.h"
#include "tables/deferred.h"
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

struct LsScoreWriter
{
	ErrorData  *damage;			/* of the row that was found, NULL: none */
	LsModel    *model;
	const char *cause;
	MemoryContext context;		/* of one change */
	LsScoreTable table;
	LsScore    *score;
	bool		exists;			/* the row of the change in hand */
	bool		locked_to_read; /* the tables that contacts are counted from */
	ExprContext *stage_context; /* where conditions of stages need the contact's row */
	LsDueTable *due;			/* opened when it is first needed */
	LsHistory  *history;
	LsProfileTable *profiles;	/* and so is this */
	int64		transitions;	/* of stage, of all changes */
	LsPending	taken;			/* what was pending, of the change in hand ... */
	MemoryContext taken_context;	/* ... which may need several attempts */
	TimestampTz counted;		/* latest instant of what an attempt has counted */
};

/* A change, as it is made: what a change of its kind says, and does not */
typedef struct Task
{
	Datum		contact;
	const LsState *delta;		/* events to be added, or NULL */
	bool		test_entry;		/* of stages, at the latest of these events */
	const LsState *profile;		/* what the contact's row says now, or NULL */
	bool		count_profile;	/* ... to be read */
	bool		count_all;		/* events and profile to be computed */
	const LsState *whole;		/* events and profile computed, or NULL */
	const LsState *slots;		/* some rules computed, or NULL: those of ... */
	const int64 *versions;		/* ... these versions */
	int			nversions;
	LsRowThen	row_then;		/* when whole or slots were counted */
	bool		fold;			/* what is pending is to be added */
	bool		only_if_changed;	/* leave a row that is still true alone */
	bool		state_only;		/* leave what is shown alone */
	const LsDueRow *due;
	bool		deferrable;
	bool		skip_locked;
	bool		remove;
	const LsStageState *standing;	/* what it begins with, if it has no row */
	bool		by_hand;		/* put into this stage, or where it is NULL */
	const char *stage;			/* leave it to the score again, ... */
	const char *reason;			/* ... for this reason, or NULL */
} Task;

static const LsScoreWriterCallbacks *callbacks;

/* ls_score_writer_define makes known what the writer has others read. */
void
ls_score_writer_define(const LsScoreWriterCallbacks *defined)
{
	callbacks = defined;
}

/* read_change tells what a change says. */
static void
read_change(const LsChange *change, Task *task)
{
	memset(task, 0, sizeof(Task));
	task->contact = change->contact;
	task->deferrable = change->deferrable;
	task->skip_locked = change->skip_locked;
	switch (change->kind)
	{
		case LS_CHANGE_EVENTS:
			task->delta = change->data.events.delta;
			task->test_entry = true;
			task->profile = change->data.events.profile;
			task->count_profile = change->data.events.read_profile;
			task->fold = change->data.events.merge_pending;
			task->only_if_changed = change->data.events.only_if_changed;
			break;
		case LS_CHANGE_PENDING:
			task->fold = task->only_if_changed = true;
			task->state_only = change->data.pending.state_only;
			break;
		case LS_CHANGE_RECOMPUTE:
			task->count_all = true;
			task->delta = change->data.recompute.delta;
			task->test_entry = true;
			task->standing = change->data.recompute.stage;
			break;
		case LS_CHANGE_REPLACE:
			task->whole = change->data.replace.state;
			task->row_then = change->data.replace.row_then;
			task->test_entry = change->data.replace.test_entry;
			task->only_if_changed = true;
			break;
		case LS_CHANGE_RULES:
			task->slots = change->data.rules.slots;
			task->versions = change->data.rules.versions;
			task->nversions = change->data.rules.nversions;
			task->row_then = change->data.rules.row_then;
			task->state_only = change->data.rules.state_only;
			task->only_if_changed = true;
			break;
		case LS_CHANGE_REFRESH:
			task->only_if_changed = true;
			break;
		case LS_CHANGE_DUE:
			task->due = change->data.due;
			break;
		case LS_CHANGE_SET_STAGE:
			task->by_hand = true;
			task->stage = change->data.set_stage.stage;
			task->reason = change->data.set_stage.reason;
			task->fold = change->data.set_stage.merge_pending;
			break;
		case LS_CHANGE_REMOVE:
			task->remove = true;
			break;
	}
}

/* ---------- the executor ---------- */

/* ls_score_writer_open gets ready to change scores of a model. */
LsScoreWriter *
ls_score_writer_open(LsModel *model, const char *cause)
{
	LsScoreWriter *writer = palloc0(sizeof(LsScoreWriter));

	writer->model = model;
	writer->cause = cause;
	writer->context = AllocSetContextCreate(CurrentMemoryContext,
										   "leadscore change",
										   ALLOCSET_DEFAULT_SIZES);
	writer->taken_context = AllocSetContextCreate(CurrentMemoryContext,
												 "leadscore pending",
												 ALLOCSET_SMALL_SIZES);
	ls_pending_init(&writer->taken);
	writer->counted = DT_NOBEGIN;
	writer->score = ls_course_score(model);
	writer->history = ls_history_open(model);
	ls_score_table_open(&writer->table, model);
	return writer;
}

void
ls_score_writer_close(LsScoreWriter *writer)
{
	if (writer->due)
		ls_due_table_close(writer->due);
	ls_history_close(writer->history);
	if (writer->profiles)
		ls_profile_table_close(writer->profiles);
	ls_score_table_close(&writer->table);
	MemoryContextDelete(writer->context);
	MemoryContextDelete(writer->taken_context);
	pfree(writer);
}

/* ---------- changes ---------- */

/* stage_context gives the context of conditions of stages, with the newest row. */
static ExprContext *
stage_context(LsScoreWriter *writer, Datum contact)
{
	if (!writer->model->stages_read_contact)
		return GetPerTupleExprContext(writer->table.rows.estate);
	if (writer->stage_context == NULL)
		writer->stage_context = CreateExprContext(writer->table.rows.estate);
	PushActiveSnapshot(GetLatestSnapshot());
	callbacks->stage_context(writer->model, contact, writer->stage_context);
	PopActiveSnapshot();
	return writer->stage_context;
}

/* take_pending takes away what the active snapshot sees pending of a contact. */
static void
take_pending(LsScoreWriter *writer, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(writer->taken_context);

	ls_pending_take(writer->model, contact, &writer->taken);
	MemoryContextSwitchTo(old);
}

/*
 * count_again fills in the state from the tables.  The snapshot is taken under
 * the row's lock: whoever comes later waits for us and adds to what we wrote.
 * What it sees pending was counted with the events.
 */
static void
count_again(LsScoreWriter *writer, Datum contact, TimestampTz t, LsState *state,
			LsCounter counter)
{
	/*
	 * TRUNCATE and DROP are no matter of snapshots: with one that is older than
	 * the lock, what they took and what is kept of it would both be missing.
	 */
	if (counter == callbacks->count_all && !writer->locked_to_read)
	{
		ls_lock_to_read(writer->model);
		writer->locked_to_read = true;
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (counter == callbacks->count_all)
		take_pending(writer, contact);
	counter(writer->model, contact, t, state);
	PopActiveSnapshot();
}

/*
 * add_pending adds what was put aside.  False where the contact has to be
 * recomputed.
 */
static bool
add_pending(LsScoreWriter *writer, const Task *change, LsState *state)
{
	if (change->fold)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		take_pending(writer, change->contact);
		PopActiveSnapshot();
	}
	else if (change->slots && !change->state_only)
		take_pending(writer, change->contact);	/* as the events were seen */
	return !writer->taken.count_all &&
		(!writer->taken.has_delta ||
		 ls_state_merge(writer->model, state, &writer->taken.delta));
}

/*
 * add_up makes the state from the one before and what a change brings.  False
 * where the contact has to be recomputed.
 */
static bool
add_up(LsScoreWriter *writer, const Task *change, LsState *state, TimestampTz t)
{
	/* a row that came meanwhile has events that were not seen */
	if (change->count_all ||
		(change->row_then != LS_ROW_HELD &&
		 (change->row_then == LS_ROW_THERE) != writer->exists))
		return false;
	if (change->whole)
	{
		*state = *change->whole;
		take_pending(writer, change->contact);
		return true;
	}
	ls_state_advance(writer->model, state, t);
	if (!add_pending(writer, change, state) ||
		(change->delta && !ls_state_merge(writer->model, state, change->delta)))
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
is_ahead(LsScoreWriter *writer, const LsState *state, TimestampTz t)
{
	writer->counted = Max(writer->counted, state->last);
	return Max(writer->taken.instant, writer->counted) > t;
}

/* new_state makes the state that a change leads to.  False to start again, later. */
static bool
new_state(LsScoreWriter *writer, const Task *change, LsState *state, TimestampTz t)
{
	LsModel    *model = writer->model;
	LsState		before = *state;

	if (!add_up(writer, change, state, t))
	{
		ls_state_init(state);
		count_again(writer, change->contact, t, state, callbacks->count_all);
	}
	else if (change->count_profile || writer->taken.count_profile)
	{
		LsState		profile;

		ls_state_init(&profile);
		count_again(writer, change->contact, t, &profile, callbacks->count_profile);
		ls_state_take_profile(model, state, &profile);
	}
	else if (change->profile)
		ls_state_take_profile(model, state, change->profile);
	if (is_ahead(writer, state, t))
		return false;
	ls_state_inherit(state, &before);
	ls_state_advance(model, state, t);
	ls_state_fold(model, state);
	ls_state_drop_unknown(model, state);
	return true;
}

/* latest_event gives the latest event that a change adds; DT_NOBEGIN: none. */
static TimestampTz
latest_event(const LsScoreWriter *writer, const Task *change)
{
	TimestampTz at = DT_NOBEGIN;

	const LsState *added = change->delta ? change->delta : change->whole;

	if (change->test_entry && added && added->events > 0)
		at = added->last;
	if (writer->taken.has_delta && writer->taken.delta.events > 0)
		at = Max(at, writer->taken.delta.last);
	return at;
}

/*
 * next_due tells when time will change the row, from where writer->score stands
 * on; DT_NOEND where that is later than until, or never.
 */
static TimestampTz
next_due(LsScoreWriter *writer, const LsScoreRow *row, TimestampTz until,
		 int max_jumps, bool *drift)
{
	LsStageState	standing = ls_score_row_stage_state(row);
	LsDue		due = {0};

	due.model = writer->model;
	due.state = &row->state;
	due.score = writer->score;
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
still_true(LsScoreWriter *writer, LsScoreRow *row, ExprContext *econtext, TimestampTz t)
{
	LsStageState	standing = ls_score_row_stage_state(row);
	LsScore    *at_stored = ls_score_make(writer->model, false);
	bool		drift;

	ls_evaluate(writer->model, &row->state, ls_score_row_instant(row), at_stored);
	ls_evaluate(writer->model, &row->state, t, writer->score);
	return row->state.due > t &&
		!ls_score_row_is_outdated(writer->model, row, at_stored, writer->score) &&
		!ls_stage_step(writer->model, writer->score, econtext, &standing, t) &&
		next_due(writer, row, row->state.due - 1, FEW_JUMPS, &drift) == DT_NOEND;
}

/*
 * ls_score_writer_would_change tells beforehand, without a lock, whether a row that
 * was read may not be true any more.
 */
bool
ls_score_writer_would_change(LsScoreWriter *writer, LsScoreRow *row)
{
	TimestampTz t = Max(ls_clock(), ls_score_row_instant(row));

	if (writer->model->stages_read_contact || row->state.nfuture > 0)
		return true;
	return !still_true(writer, row, GetPerTupleExprContext(writer->table.rows.estate), t);
}

/* write_row writes a row.  False to start again. */
static bool
write_row(LsScoreWriter *writer, const LsScoreRow *row)
{
	if (!writer->exists)
		return ls_score_table_insert(&writer->table, row);
	ls_score_table_update(&writer->table, row);
	return true;
}

static bool
same_bytes(const bytea *a, const bytea *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/*
 * was_missed tells whether there is a row of a contact after all.  One that
 * moves to another page while its index entry is read is not found when it is
 * to be locked; who inserts one learns of it, who has nothing to write does not.
 */
static bool
was_missed(LsScoreWriter *writer, Datum contact)
{
	LsScoreRow	row;

	/* under a transaction snapshot ls_score_table_lock() has looked */
	return !IsolationUsesXactSnapshot() &&
		ls_score_table_find_newest(writer->model, contact, &row);
}

/* ---------- due instants ---------- */

/* move_due puts the contact's row of due_<model> where its state says. */
static void
move_due(LsScoreWriter *writer, Datum contact, const LsDueRow *from, const LsState *to)
{
	LsDueRow	row = {to->due, to->due_drift, contact};

	if (from->at == row.at && from->drift == row.drift)
		return;
	if (writer->due == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(writer->context));

		writer->due = ls_due_table_open(writer->model);
		MemoryContextSwitchTo(old);
	}
	ls_due_table_move(writer->due, from, &row);
}

/*
 * set_due finds when the row that is about to be written has to be looked at.
 * One that comes before is left alone: the worker will move it then.
 */
static void
set_due(LsScoreWriter *writer, const Task *change, LsScoreRow *row, TimestampTz t)
{
	LsState    *state = &row->state;
	bool		keeps = state->due > t && state->due != DT_NOEND;
	TimestampTz next;
	bool		drift;

	next = next_due(writer, row, keeps ? state->due - 1 : DT_NOEND,
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
not_due(LsScoreWriter *writer, const Task *change, const LsScoreRow *row,
		TimestampTz t)
{
	LsState		none;
	bool		known = writer->exists && row->state.due == change->due->at &&
		row->state.due_drift == change->due->drift;

	ls_state_init(&none);
	if (!known)
		move_due(writer, change->contact, change->due, &none);
	return !writer->exists || row->state.due > t;
}

/* ---------- one change ---------- */

/* refuse_unknown refuses to set the stage of one of whom nothing is known. */
static void
refuse_unknown(const LsScoreWriter *writer, const Task *change)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("model \"%s\" has no contact \"%s\"", writer->model->name,
					ls_key_text(&writer->model->key, change->contact)),
			 errhint("A contact has a score when the contact table or an attached table has a row of it.")));
}

/* refuse_override refuses what cannot be overridden. */
static void
refuse_override(const LsScoreWriter *writer, const Task *change)
{
	if (writer->score->disqualified)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" of model \"%s\" is disqualified",
						ls_key_text(&writer->model->key, change->contact),
						writer->model->name),
				 errdetail("A rule that disqualifies is in force."),
				 errhint("Call leadscore.explain() to see which rules are.")));
}

/* go_on takes the contact through what its row shall say from now on. */
static void
go_on(LsScoreWriter *writer, const Task *change, LsCourse *course,
	  TimestampTz last, TimestampTz t)
{
	TimestampTz entry;

	if (change->state_only)
	{
		/* a row for what is counted now: it is made true before the commit */
		ls_evaluate(writer->model, &course->row->state, t, writer->score);
		ls_score_row_take_score(writer->model, course->row, writer->score);
		course->row->rules_version = 0;
		set_due(writer, change, course->row, t);
		return;
	}
	entry = ls_course_entry(writer->model, course->row, latest_event(writer, change), last, t);
	if (entry != DT_NOBEGIN)
	{
		ls_course_step(course, entry, change->by_hand ? "event" : writer->cause);
		ls_course_catch_up(course, entry, t,
						   strcmp(writer->cause, "backfill") == 0 ? writer->cause : "time");
	}
	ls_course_step(course, t, change->due || change->by_hand ? "time" : writer->cause);
	if (change->by_hand)
	{
		refuse_override(writer, change);
		course->reason = change->reason;
		ls_course_set_stage(course, t, change->stage);
	}
	ls_score_row_take_score(writer->model, course->row, writer->score);
	course->row->rules_version = writer->model->version;
	set_due(writer, change, course->row, t);
}

/* record writes down what happened on the way. */
static void
record(LsScoreWriter *writer, const LsCourse *course)
{
	ListCell   *lc;

	foreach(lc, course->happened)
		writer->transitions += ls_history_add(writer->history, course->row->contact,
											 lfirst(lc), course->reason);
}

/*
 * record_profile writes down what the contact's row says from t on, where that
 * is not what it said.
 */
static void
record_profile(LsScoreWriter *writer, const Task *change, const LsProfile *before,
			   const LsState *state, TimestampTz t)
{
	LsProfileRow row = {t, change->whole || change->slots, {0}};

	if (!ls_keeps_profiles(writer->model))
		return;
	ls_profile_of_state(writer->model, state, &row.profile);
	if (ls_profile_equal(before, &row.profile))
		return;
	if (writer->profiles == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(writer->context));

		writer->profiles = ls_profile_table_open(writer->model);
		MemoryContextSwitchTo(old);
	}
	ls_profile_table_add(writer->profiles, change->contact, before, &row);
}

/* write_state writes a row that shows what it showed.  False to start again. */
static bool
write_state(LsScoreWriter *writer, const Task *change, const LsProfile *before,
			LsScoreRow *row, TimestampTz t)
{
	if (!write_row(writer, row))
		return false;
	record_profile(writer, change, before, &row->state, t);
	return true;
}

/* remove_row deletes the row of a contact of which nothing is left. */
static void
remove_row(LsScoreWriter *writer, const Task *change, const LsDueRow *due)
{
	LsState		none;

	ls_state_init(&none);
	ls_score_table_delete(&writer->table, change->contact);
	move_due(writer, change->contact, due, &none);
}

/* ---------- contacts that count for another ---------- */

/*
 * forward leaves word for whom a contact counts, where it counts for another.
 * There is no row of it then, and it gets none.
 */
static bool
forward(LsScoreWriter *writer, const Task *change)
{
	Datum		target;

	if (change->by_hand ||
		!ls_alias_find(writer->model, change->contact, LS_ALIAS_HELD, &target))
		return false;
	if (change->fold)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		take_pending(writer, change->contact);
		PopActiveSnapshot();
	}
	if (change->delta || change->count_all || writer->taken.has_delta || writer->taken.count_all)
		ls_alias_mark(writer->model, target);
	return true;
}

/*
 * was_taken looks, when a row has been made, whether the contact counts for
 * another since: who saw to that kept us waiting while we made it.
 */
static bool
was_taken(LsScoreWriter *writer, Datum contact)
{
	Datum		target;

	if (!ls_alias_find(writer->model, contact, LS_ALIAS_NOW, &target))
		return false;
	ls_score_table_delete(&writer->table, contact);
	return true;
}

/* begin_row makes the row of a contact that has none, as it is before a change. */
static void
begin_row(LsScoreWriter *writer, const Task *change, LsScoreRow *row, TimestampTz t)
{
	ls_score_row_start(writer->model, change->contact, row, t);
	if (change->standing == NULL)
		return;
	ls_score_row_set_stage_state(row, change->standing);
	row->state.stage_recorded = true;
}

/* ---------- all together ---------- */

/* begin_course records what time has done to a row before it is changed. */
static void
begin_course(LsScoreWriter *writer, const Task *change, LsScoreRow *row,
			 LsCourse *course, TimestampTz t)
{
	course->model = writer->model;
	course->row = row;
	course->score = writer->score;
	if (change->state_only)
		return;
	course->econtext = stage_context(writer, change->contact);
	ls_course_begin(course, writer->exists);
	if (row->state.due <= t)
		ls_course_catch_up(course, ls_score_row_instant(row), t, "time");
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
effective_instant(const LsScoreWriter *writer, const Task *change, const LsScoreRow *row)
{
	const LsState *const brought[] = {change->delta, change->whole, change->slots};
	TimestampTz t = Max(ls_clock(), Max(writer->taken.instant, writer->counted));

	if (writer->exists)
		t = Max(t, ls_score_row_instant(row));
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
take_row(LsScoreWriter *writer, Task *task, LsScoreRow *row, LsOutcome *outcome)
{
	Datum		contact = task->contact;
	/* what an attempt before this one has taken away must not be left */
	bool		skip = task->skip_locked && writer->taken.nrows == 0;

	writer->damage = NULL;
	*outcome = LS_SKIPPED;
	if (skip && !ls_score_table_lock_free(&writer->table, contact, &writer->exists))
		return false;
	if (!skip)
		writer->exists = ls_score_table_lock(&writer->table, contact);
	if (writer->exists)
		writer->damage = ls_score_table_read(&writer->table, row);
	*outcome = LS_UNCHANGED;
	if (!writer->exists || writer->damage == NULL)
		return true;
	/* events of a statement under way are not all there */
	if (task->whole == NULL && !task->count_all && ls_deferred_recompute(writer->model, contact))
		return false;
	ls_damaged_row_report(writer->model, contact, writer->damage);
	task->count_all = task->whole == NULL;
	task->count_profile = task->only_if_changed = task->state_only = false;
	task->delta = task->profile = task->slots = NULL;
	task->due = NULL;
	ls_score_row_start(writer->model, contact, row, ls_clock());
	return true;
}

/*
 * try_change makes one attempt.  False: another transaction made the row, or it has to
 * be made at a later instant.
 */
static bool
try_change(LsScoreWriter *writer, const LsChange *given, LsOutcome *outcome)
{
	Task		task,
			   *change = &task;
	LsScoreRow	row;
	LsCourse	course = {0};
	LsDueRow	due;
	LsProfile	profile = {0};
	bytea	   *before = NULL;
	TimestampTz t,
				last;

	read_change(given, &task);
	if (!take_row(writer, change, &row, outcome))
		return true;
	t = effective_instant(writer, change, &row);
	if (!writer->exists)
		begin_row(writer, change, &row, t);
	if (change->due && not_due(writer, change, &row, t))
		return true;
	if (!writer->exists && forward(writer, change))
		return true;
	due = (LsDueRow) {row.state.due, row.state.due_drift, change->contact};
	begin_course(writer, change, &row, &course, t);
	if (change->remove)
	{
		if (writer->exists)
			remove_row(writer, change, &due);
		record(writer, &course);
		return true;
	}
	last = row.state.last;
	if (change->only_if_changed && writer->exists)
		before = ls_state_encode(&row.state);
	if (ls_keeps_profiles(writer->model))
		ls_profile_of_state(writer->model, &row.state, &profile);
	if (!new_state(writer, change, &row.state, t))
		return false;
	if (ls_pending_replaces(writer->model, change->contact, change->deferrable))
		return true;
	if (!writer->exists && !change->standing && latest_event(writer, change) != DT_NOBEGIN)
		row.stage_since = Min(t, latest_event(writer, change));
	if (row.state.events == 0 && row.state.nfuture == 0 && !row.state.has_contact)
	{
		if (!writer->exists && was_missed(writer, change->contact))
			return false;
		if (change->by_hand)
			refuse_unknown(writer, change);
		if (!writer->exists)
			return true;
		remove_row(writer, change, &due);
		record_profile(writer, change, &profile, &row.state, t);
		*outcome = LS_CHANGED;
		return true;
	}
	if (before == NULL || !same_bytes(before, ls_state_encode(&row.state)))
		*outcome = LS_CHANGED;
	if (change->state_only && writer->exists)
		return *outcome == LS_UNCHANGED ||
			write_state(writer, change, &profile, &row, t);
	if (*outcome == LS_UNCHANGED && course.happened == NIL &&
		still_true(writer, &row, course.econtext, t))
		return true;
	*outcome = LS_CHANGED;
	go_on(writer, change, &course, last, t);
	if (ls_pending_replaces(writer->model, change->contact, change->deferrable))
		return true;
	if (!write_row(writer, &row) ||
		(!writer->exists && was_taken(writer, change->contact)))
		return false;
	move_due(writer, change->contact, &due, &row.state);
	record_profile(writer, change, &profile, &row.state, t);
	record(writer, &course);
	return true;
}

/*
 * ls_score_writer_change changes one contact's row, making it where there is none and
 * deleting it where nothing is left.  Tells whether anything was written.
 */
LsOutcome
ls_score_writer_change(LsScoreWriter *writer, const LsChange *change)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	ErrorContextCallback callback = {error_context_stack, ls_undisclosed_context, writer->model};
	LsOutcome	outcome;

	error_context_stack = &callback;
	for (int attempts = 0;; attempts++)
	{
		ls_score_table_attempt(writer->model, change->contact, writer->model->score_table, attempts);
		if (try_change(writer, change, &outcome))
			break;
		MemoryContextReset(writer->context);
	}
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->context);
	writer->counted = DT_NOBEGIN;
	if (writer->taken.nrows > 0)
	{
		MemoryContextReset(writer->taken_context);
		ls_pending_init(&writer->taken);
	}
	return outcome;
}

/* ls_score_writer_transitions counts the changes of stage that were written. */
int64
ls_score_writer_transitions(const LsScoreWriter *writer)
{
	return writer->transitions;
}
