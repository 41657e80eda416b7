/*-------------------------------------------------------------------------
 *
 * score_writer.c
 *		Reads and writes score_<model>: the only writer.
 *
 * A change locks the contact's row first, reads the clock after that, then the input of
 * the change, and writes the result of the transition once: the row, true at the
 * clock's instant or a later one of the input (see read_input), the row of due_<model>,
 * and the events of the transition.  Contacts have to come in the order of their key,
 * so that there is no deadlock between statements.
 *
 * Where nothing is read for a change but the contact's row, the row is not locked: it is
 * read, the clock after that, and then it is replaced if it is still the newest
 * version.  If it is not, the change starts again, and nothing was written.  What tells
 * two changes of a contact apart is so, as with the lock, which of them has read what
 * the other has written.
 *
 * A row that does not exist is inserted as ON CONFLICT DO NOTHING does: if another
 * transaction has inserted it first, the change starts again, and then, under a
 * transaction snapshot, fails with 40001.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/score_writer.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/relation.h"
#include "rules/disclosure.h"
#include "rules/source_locks.h"
#include "scoring/transition.h"
#include "tables/deferred.h"
#include "tables/due_table.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"
#include "tables/profile_table.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"
#include "tables/stage_history.h"
#include "tables/subtract_events.h"

struct LsScoreWriter
{
	ErrorData  *damage;			/* of the row that was found, NULL: none */
	LsModel    *model;
	const char *cause;
	MemoryContext context;		/* of one change */
	LsScoreTable table;
	LsScore    *score;
	bool		exists;			/* the contact has a row, ... */
	bool		unlocked;		/* ... which was read without a lock, ... */
	bool		must_lock;		/* ... but this change needs the lock after all */
	TimestampTz clock;			/* when it was read last for events; DT_NOBEGIN: not yet */
	bool		locked_to_read; /* the tables that contacts are recomputed from */
	bool		read_events;	/* of any contact, by which more may be known than was deferred */
	bool		asked;			/* the caller's snapshot was asked ... */
	bool		none_pending;	/* ... and sees nothing that is pending of any contact */
	ExprContext *stage_context; /* where conditions of stages need the contact's row */
	LsRowWriter *due;			/* opened when it is first needed */
	LsDueMoves *moves;			/* of due rows, to be made together; likewise */
	LsStageHistory *history;
	LsRowWriter *profiles;		/* likewise */
	int64		transitions;	/* of stage, of all changes */
	LsPending	taken;			/* what was pending, of this change ... */
	MemoryContext taken_context;	/* ... which may need several attempts */
	LsState		whole;			/* room for what an attempt computes */
	LsState		profile;
};

static const LsScoreWriterCallbacks *callbacks;

/* ls_score_writer_define sets the callbacks that read events and the contact table. */
void
ls_score_writer_define(const LsScoreWriterCallbacks *defined)
{
	callbacks = defined;
}

/* ---------- the executor ---------- */

/* ls_score_writer_open opens a writer of a model's scores. */
LsScoreWriter *
ls_score_writer_open(LsModel *model, const char *cause)
{
	LsScoreWriter *writer = palloc0(sizeof(LsScoreWriter));

	writer->model = model;
	writer->cause = cause;
	writer->clock = DT_NOBEGIN;
	writer->context = AllocSetContextCreate(CurrentMemoryContext,
											"leadscore change",
											ALLOCSET_DEFAULT_SIZES);
	writer->taken_context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore pending",
												  ALLOCSET_SMALL_SIZES);
	ls_pending_init(&writer->taken);
	writer->score = ls_transition_score(model);
	writer->history = ls_stage_history_open(model);
	ls_score_table_open(&writer->table, model);
	return writer;
}

/* flush_moves makes the moves of due rows that wait. */
static void
flush_moves(LsScoreWriter *writer)
{
	ErrorContextCallback callback = {error_context_stack, ls_disclosure_context, writer->model};

	if (writer->moves == NULL)
		return;
	error_context_stack = &callback;
	ls_due_moves_flush(writer->moves);
	error_context_stack = callback.previous;
}

void
ls_score_writer_close(LsScoreWriter *writer)
{
	flush_moves(writer);
	if (writer->due)
		ls_row_writer_close(writer->due);
	if (writer->stage_context)
		FreeExprContext(writer->stage_context, true);
	ls_stage_history_close(writer->history);
	if (writer->profiles)
		ls_row_writer_close(writer->profiles);
	ls_score_table_close(&writer->table);
	MemoryContextDelete(writer->context);
	MemoryContextDelete(writer->taken_context);
	pfree(writer);
}

/* ---------- changes ---------- */

/*
 * stage_context gives the context of the stages' conditions, with the contact's newest
 * row.
 */
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

/* take_pending deletes and adds up what the active snapshot sees pending of a contact. */
static void
take_pending(LsScoreWriter *writer, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(writer->taken_context);

	ls_pending_take(writer->model, contact, &writer->taken);
	MemoryContextSwitchTo(old);
}

/*
 * compute reads a state from the tables.  The snapshot is taken under the row's lock: a
 * session that commits later waits for the lock and adds to what is written here.  What
 * the snapshot sees pending is included with the events.
 */
static const LsState *
compute(LsScoreWriter *writer, Datum contact, TimestampTz t, LsState *state,
		LsCounter counter)
{
	ls_state_init(state);

	/*
	 * TRUNCATE and DROP TABLE do not respect snapshots: with a snapshot older than the
	 * lock, purged events and their contributions would both be missing.
	 */
	if (counter == callbacks->count_all && !writer->locked_to_read)
	{
		ls_lock_to_read(writer->model);
		writer->locked_to_read = true;
	}
	writer->read_events |= counter == callbacks->count_all;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (counter == callbacks->count_all)
		take_pending(writer, contact);
	counter(writer->model, contact, t, state);
	PopActiveSnapshot();
	return state;
}

/*
 * take_seen_pending deletes and adds up what is pending of a contact as its events were
 * seen.  All contacts are read with one snapshot: if the table has no pages after the
 * first one, that sees nothing.
 */
static void
take_seen_pending(LsScoreWriter *writer, Datum contact)
{
	if (writer->none_pending)
		return;
	take_pending(writer, contact);
	if (!writer->asked)
		writer->none_pending = !ls_relation_has_pages(writer->model->pending_table);
	writer->asked = true;
}

/* take_newest_pending deletes and adds up what is pending of a contact now. */
static void
take_newest_pending(LsScoreWriter *writer, Datum contact)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	take_pending(writer, contact);
	PopActiveSnapshot();
}

/* merges_pending tells whether a change merges what is pending. */
static bool
merges_pending(const LsChange *change)
{
	return change->kind == LS_CHANGE_PENDING ||
		(change->kind == LS_CHANGE_EVENTS && change->data.events.merge_pending) ||
		(change->kind == LS_CHANGE_SET_STAGE && change->data.set_stage.merge_pending);
}

/*
 * missed_events tells whether a row was inserted or deleted after the caller read the
 * events.
 */
static bool
missed_events(const LsScoreWriter *writer, LsRowThen row_then)
{
	return row_then != LS_ROW_HELD && (row_then == LS_ROW_THERE) != writer->exists;
}

/* last_event gives the latest event of a state that may be NULL; DT_NOBEGIN: none. */
static TimestampTz
last_event(const LsState *state)
{
	return state && state->events > 0 ? state->last : DT_NOBEGIN;
}

/* latest_event gives the latest of new events: of the only one, or of a delta. */
static TimestampTz
latest_event(const LsEvent *event, const LsState *delta)
{
	return event ? event->at : last_event(delta);
}

/*
 * read_change reads the input of a change, together with what is pending.  False if the
 * contact has to be recomputed.
 */
static bool
read_change(LsScoreWriter *writer, const LsChange *change, LsCounted *counted)
{
	if (merges_pending(change))
		take_newest_pending(writer, change->contact);
	switch (change->kind)
	{
		case LS_CHANGE_EVENTS:
			counted->event = change->data.events.event;
			counted->delta = change->data.events.delta;
			counted->profile = change->data.events.profile;
			if (!change->data.events.updates)
				counted->latest = latest_event(counted->event, counted->delta);
			break;
		case LS_CHANGE_RECOMPUTE:
			counted->latest = latest_event(change->data.recompute.event,
										   change->data.recompute.delta);
			return false;
		case LS_CHANGE_REPLACE:
			if (change->data.replace.test_entry)
				counted->latest = last_event(change->data.replace.state);
			if (missed_events(writer, change->data.replace.row_then))
				return false;
			take_seen_pending(writer, change->contact);
			counted->whole = change->data.replace.state;
			break;
		case LS_CHANGE_RULES:
			if (missed_events(writer, change->data.rules.row_then))
				return false;
			if (!change->data.rules.state_only)
				take_seen_pending(writer, change->contact);
			counted->slots = change->data.rules.slots;
			counted->versions = change->data.rules.versions;
			counted->nversions = change->data.rules.nversions;
			break;
		default:
			break;
	}
	return writer->damage == NULL || counted->whole;
}

/* subtracts tells whether events go. */
static bool
subtracts(const LsChange *change)
{
	return change->kind == LS_CHANGE_EVENTS &&
		(change->data.events.gone_event || change->data.events.gone);
}

/*
 * subtract takes the events that go out of the state of the row (NULL: there is none).
 * False if the contact has to be recomputed.
 */
static bool
subtract(LsScoreWriter *writer, const LsChange *change, const LsScoreRow *row, TimestampTz t,
		 LsCounted *counted)
{
	writer->read_events = true;
	return row && writer->taken.nrows == 0 &&
		ls_subtract_events(writer->model, change, row, t, callbacks->find_events, counted);
}

/* latest_of gives the latest instant of the input, if that is after t. */
static TimestampTz
latest_of(const LsCounted *counted, TimestampTz t)
{
	const LsState *const states[] = {
		counted->whole, counted->pending, counted->delta, counted->slots
	};

	for (size_t i = 0; i < lengthof(states); i++)
		if (states[i])
			t = Max(t, states[i]->last);
	return counted->event ? Max(t, counted->event->at) : t;
}

/*
 * can_add tells whether events can be added to the state of a row.  One event of a
 * period that is compacted is turned into a delta, which may be merged nevertheless.
 */
static bool
can_add(LsScoreWriter *writer, LsState *state, LsCounted *counted)
{
	if (counted->event && !ls_state_can_add(writer->model, state, counted->event))
	{
		counted->delta = ls_state_of_event(writer->model, counted->event);
		counted->event = NULL;
	}
	return ls_state_can_merge(writer->model, state, counted->pending) &&
		ls_state_can_merge(writer->model, state, counted->delta);
}

/* is_held tells whether the caller keeps others away from the contact's row, if it has one. */
static bool
is_held(const LsChange *change)
{
	return (change->kind == LS_CHANGE_REPLACE && change->data.replace.row_then != LS_ROW_NONE) ||
		(change->kind == LS_CHANGE_RULES && change->data.rules.row_then != LS_ROW_NONE);
}

/*
 * lacks_lock tells whether the row was read without the lock that is needed after all.
 * The change has to start again then.
 */
static bool
lacks_lock(LsScoreWriter *writer, const LsChange *change)
{
	if (!writer->unlocked || !writer->exists || is_held(change))
		return false;
	writer->must_lock = true;
	return true;
}

/*
 * read_input collects what a change adds to a row (NULL: there is none), and returns
 * the instant at which the change is made.  That is the clock's, read under the row's
 * lock, but never one before an instant of the input.  A row, events to be added and
 * what is pending may come from a process whose clock is ahead, or from before the
 * clock was set back.  Merged at the clock's instant they would be evaluated before
 * their own, when what decays has a higher value than it ever had.
 */
static TimestampTz
read_input(LsScoreWriter *writer, const LsChange *change, LsScoreRow *row, TimestampTz t,
		   LsCounted *counted)
{
	const LsPending *taken = &writer->taken;
	bool		counts = read_change(writer, change, counted);

	counted->pending = taken->has_delta ? &taken->delta : NULL;
	if (counts && subtracts(change))
		counts = subtract(writer, change, row, t, counted);
	else if (counts && !counted->whole)
		counts = !taken->count_all &&
			(row == NULL || can_add(writer, &row->state, counted));
	if (!counts && lacks_lock(writer, change))
		return t;
	if (!counts)
	{
		counted->whole = compute(writer, change->contact, t, &writer->whole,
								 callbacks->count_all);
		counted->profile = NULL;
	}
	else if (taken->count_profile ||
			 (change->kind == LS_CHANGE_EVENTS && change->data.events.read_profile))
		counted->profile = compute(writer, change->contact, t, &writer->profile,
								   callbacks->count_profile);
	if (taken->has_delta)
		counted->latest = Max(counted->latest, last_event(&taken->delta));
	return latest_of(counted, Max(t, taken->instant));
}

/*
 * ls_score_writer_would_change tells, without a lock, whether a row that was read may
 * not be true any more.
 */
bool
ls_score_writer_would_change(LsScoreWriter *writer, LsScoreRow *row)
{
	LsTransition tr = {.model = writer->model, .row = row, .exists = true,
		.now = Max(ls_clock(), ls_score_row_instant(row)), .score = writer->score,
	.econtext = GetPerTupleExprContext(writer->table.rows.estate)};

	return writer->model->stages_read_contact || row->state.nfuture > 0 ||
		!ls_transition_changes_nothing(&tr);
}

/* How often a change tries to replace a row before it locks it */
#define UNLOCKED_ATTEMPTS	3

/*
 * needs_no_lock tells whether a change reads nothing but the contact's row, or whether
 * that is locked already.  Conditions of stages that read the contact table need the
 * lock: whoever changes that table may find nothing to write in the row.  So does a
 * change that may write nothing: what has let it be would be changed by another
 * transaction.  A row that is due is written, or locked after all.
 */
static bool
needs_no_lock(const LsScoreWriter *writer, const LsChange *change)
{
	bool		alone = change->kind == LS_CHANGE_DUE || is_held(change) ||
		(change->kind == LS_CHANGE_EVENTS && !change->data.events.read_profile &&
		 !change->data.events.merge_pending && !change->data.events.only_if_changed &&
		 !change->skip_locked);

	return alone && writer->taken.nrows == 0 && !writer->model->stages_read_contact &&
		ls_heap_writer_can_replace(&writer->table.rows);
}

/* write_row writes a row.  False to start again. */
static bool
write_row(LsScoreWriter *writer, const LsScoreRow *row)
{
	if (!writer->exists)
		return ls_score_table_insert(&writer->table, row);
	if (writer->unlocked)
	{
		bool		replaced = ls_score_table_replace(&writer->table, row);

		writer->must_lock |= writer->table.rows.busy;
		return replaced;
	}
	ls_score_table_update(&writer->table, row);
	return true;
}

/*
 * was_missed tells whether a contact has a row after all.  A row that moves to another
 * page while its index entry is read is not found by the scan that locks it: an INSERT
 * would conflict with it, but here there is nothing to write.
 */
static bool
was_missed(LsScoreWriter *writer, Datum contact)
{
	LsScoreRow	row;

	/* under a transaction snapshot ls_score_table_lock() has checked that */
	return !IsolationUsesXactSnapshot() &&
		ls_score_table_find_newest(writer->model, contact, &row);
}

/* ---------- due instants ---------- */

/*
 * moves_later tells whether the row of due_<model> may be moved together with those of
 * other contacts.  No code of the owner's runs until then: it could write events of the
 * contact.
 */
static bool
moves_later(const LsScoreWriter *writer, const LsDueRow *from, const LsDueRow *to)
{
	return ItemPointerIsValid(&from->place) && to->at != DT_NOEND && writer->damage == NULL &&
		writer->table.rows.plain && ls_heap_writer_can_replace(&writer->due->rows);
}

static void
move_due_later(LsScoreWriter *writer, const LsDueRow *from, const LsDueRow *to)
{
	if (writer->moves == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(writer->context));

		writer->moves = ls_due_moves_make(writer->due);
		MemoryContextSwitchTo(old);
	}
	ls_due_moves_add(writer->moves, from, to);
}

/* move_due moves the contact's row of due_<model> to the instant in its state. */
static void
move_due(LsScoreWriter *writer, Datum contact, const LsDueRow *from, const LsState *to)
{
	LsDueRow	row = {.at = to->due, .drift = to->due_drift, .contact = contact};

	if (from->at == row.at && from->drift == row.drift)
		return;
	if (writer->due == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(writer->context));

		writer->due = ls_due_table_open(writer->model);
		MemoryContextSwitchTo(old);
	}
	if (moves_later(writer, from, &row))
	{
		move_due_later(writer, from, &row);
		return;
	}
	/* a damaged row does not tell where its own is: that may be this one */
	if (writer->damage && row.at != DT_NOEND && ls_due_table_has(writer->due, &row))
		return;
	ls_due_table_move(writer->due, from, &row);
}

/*
 * not_due tells whether the contact of a row of due_<model> is not due: the row does
 * not match its state, and is deleted, or another session was faster.
 */
static bool
not_due(LsScoreWriter *writer, const LsChange *change, const LsScoreRow *row,
		TimestampTz t)
{
	LsState		none;
	bool		known = writer->exists && row->state.due == change->data.due->at &&
		row->state.due_drift == change->data.due->drift;

	if ((!known || row->state.due > t) && lacks_lock(writer, change))
		return true;
	ls_state_init(&none);
	if (!known)
		move_due(writer, change->contact, change->data.due, &none);
	return !writer->exists || row->state.due > t;
}

/* ---------- one change ---------- */

/* add_event writes an event of a transition; code of the owner's finds all due rows moved. */
static void
add_event(LsScoreWriter *writer, Datum contact, const LsTransitionEvent *event)
{
	if (writer->moves && ls_stage_history_runs_code(writer->history, event))
		flush_moves(writer);
	writer->transitions += ls_stage_history_add(writer->history, contact, event);
}

/* refuse_unknown refuses to set the stage of an unknown contact. */
static void
refuse_unknown(const LsScoreWriter *writer, const LsChange *change)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("model \"%s\" has no contact \"%s\"", writer->model->name,
					ls_key_text(&writer->model->key, change->contact)),
			 errhint("A contact has a score when the contact table or an attached table has a row of it.")));
}

/* record_profile records what the contact's row says from t on, if that has changed. */
static void
record_profile(LsScoreWriter *writer, const LsChange *change, const LsProfile *before,
			   const LsState *state, TimestampTz t)
{
	LsProfileRow row = {t, change->kind == LS_CHANGE_REPLACE || change->kind == LS_CHANGE_RULES, {0}};

	if (!ls_profile_is_recorded(writer->model))
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
	if (writer->profiles->rows.runs_code)
		flush_moves(writer);
	ls_profile_table_add(writer->profiles, change->contact, before, &row);
}

/* ---------- contacts that count for another ---------- */

/*
 * enqueue_target enqueues a recompute of the contact for which another counts, and
 * tells whether it counts for another.  There is no row of it then, and none is
 * inserted.
 */
static bool
enqueue_target(LsScoreWriter *writer, const LsChange *change)
{
	Datum		target;

	if (change->kind == LS_CHANGE_SET_STAGE ||
		!ls_identity_find(writer->model, change->contact, LS_IDENTITY_LOCKED, &target))
		return false;
	if (merges_pending(change))
		take_newest_pending(writer, change->contact);
	if (change->kind == LS_CHANGE_RECOMPUTE ||
		(change->kind == LS_CHANGE_EVENTS &&
		 (change->data.events.event || change->data.events.delta || subtracts(change))) ||
		writer->taken.has_delta || writer->taken.count_all)
		ls_identity_enqueue(writer->model, target);
	return true;
}

/*
 * was_taken checks, after a row was inserted, whether the contact has been merged or
 * the visitor identified meanwhile: the INSERT waits for such a transaction.  The row
 * is deleted then.
 */
static bool
was_taken(LsScoreWriter *writer, Datum contact)
{
	Datum		target;

	if (!ls_identity_find(writer->model, contact, LS_IDENTITY_NEWEST, &target))
		return false;
	ls_score_table_delete(&writer->table, contact);
	return true;
}

/* ---------- all together ---------- */

/*
 * report_damage warns of a row that cannot be read.  Such a row must not stop sessions
 * that write events.  All but the stage follows from the events and from purged
 * contributions: so the session that finds it damaged recomputes it.
 */
static void
report_damage(LsModel *model, Datum contact, const ErrorData *damage)
{
	bool		may_see = ls_disclosure_may_see_table(model->owner, model->score_table);

	ereport(WARNING,
			(errcode(damage->sqlerrcode),
			 may_see ? errmsg("%s", damage->message) :
			 errmsg("a row of table \"score_%s\" is damaged", model->name),
			 may_see && damage->detail ? errdetail("%s", damage->detail) : 0,
			 errhint("The contact is recomputed from its events, and its stage determined afresh.")));
	ls_rule_error_write(model->name, 0, "row", 1, damage, ls_key_text(&model->key, contact));
}

/* find_row looks for the row of a contact, and locks it if need be. */
static bool
find_row(LsScoreWriter *writer, Datum contact)
{
	return writer->unlocked ? ls_score_table_look_up(&writer->table, contact) :
		ls_score_table_lock(&writer->table, contact);
}

/*
 * take_row locks the row of a contact, if there is one, and reads it.  False if there
 * is nothing more to do now.  If the row is damaged, the change is replaced by a
 * recompute.
 */
static bool
take_row(LsScoreWriter *writer, const LsChange **change, LsChange *repair, LsScoreRow *row,
		 LsOutcome *outcome)
{
	Datum		contact = (*change)->contact;
	LsChangeKind kind = (*change)->kind;
	/* what an earlier attempt has deleted from pending_<model> must not be lost */
	bool		skip = (*change)->skip_locked && writer->taken.nrows == 0 && !writer->unlocked;

	writer->damage = NULL;
	*outcome = LS_SKIPPED;
	if (skip && !ls_score_table_lock_free(&writer->table, contact, &writer->exists))
		return false;
	writer->table.rows.nowait = writer->unlocked && (*change)->skip_locked;
	if (!skip)
		writer->exists = find_row(writer, contact);
	if (writer->unlocked && writer->table.rows.busy)
	{
		writer->must_lock = true;
		return true;
	}
	if (writer->exists)
		writer->damage = ls_score_table_read(&writer->table, row);
	*outcome = LS_UNCHANGED;
	if (!writer->exists || writer->damage == NULL || lacks_lock(writer, *change))
		return true;
	/* events of a statement under way may not all be in the tables */
	if (kind != LS_CHANGE_RECOMPUTE && kind != LS_CHANGE_REPLACE &&
		ls_deferred_recompute(writer->model, contact))
		return false;
	report_damage(writer->model, contact, writer->damage);
	ls_score_row_start(writer->model, contact, row, ls_clock());
	if (kind == LS_CHANGE_REPLACE || kind == LS_CHANGE_SET_STAGE || kind == LS_CHANGE_REMOVE)
		return true;
	*repair = (LsChange) {.kind = LS_CHANGE_RECOMPUTE, .contact = contact,
		.deferrable = (*change)->deferrable};
	*change = repair;
	return true;
}

/* How far (in microseconds) the instant of a change by events may be behind the clock */
#define SAME_INSTANT	10000

/*
 * clock_of gives the instant of a change by the clock.  Contacts that a statement writes
 * one soon after the other are written at the same one, as if the clock went in steps:
 * then what halves is computed once for all of them.  That is never before an instant
 * of the contact's row, nor of its events (earliest, read_input).  A contact without
 * a row may have been deleted since, and what is read from tables is read as of now.
 */
static TimestampTz
clock_of(LsScoreWriter *writer, const LsChange *change)
{
	TimestampTz now = ls_clock();

	if (change->kind != LS_CHANGE_EVENTS || !writer->exists || !writer->unlocked || subtracts(change))
		return now;
	if ((uint64) now - (uint64) writer->clock >= SAME_INSTANT)
		writer->clock = now;
	return writer->clock;
}

/* earliest gives the instant before which a change cannot be made. */
static TimestampTz
earliest(const LsScoreWriter *writer, const LsChange *change, const LsScoreRow *row)
{
	if (writer->exists)
		return ls_score_row_instant(row);
	if (change->kind == LS_CHANGE_RECOMPUTE && change->data.recompute.stage &&
		ls_clock_has_shown(change->data.recompute.stage->since))
		return change->data.recompute.stage->since;
	return DT_NOBEGIN;
}

/*
 * try_change makes one attempt.  False: another transaction has written the row, or it
 * has to be locked.
 */
static bool
try_change(LsScoreWriter *writer, const LsChange *change, LsOutcome *outcome)
{
	LsModel    *model = writer->model;
	bool		removes;
	LsScoreRow	row;
	LsChange	repair;
	LsCounted	counted = {.latest = DT_NOBEGIN};
	LsTransition tr = {.model = model, .row = &row, .cause = writer->cause, .score = writer->score};
	LsTransitionResult result;
	LsDueRow	due;
	LsProfile	profile = {0};
	bool		written = true;
	ListCell   *lc;

	if (!take_row(writer, &change, &repair, &row, outcome))
		return true;
	if (writer->must_lock && writer->unlocked)
		return false;
	removes = change->kind == LS_CHANGE_REMOVE;
	tr.exists = writer->exists;
	tr.now = Max(clock_of(writer, change), earliest(writer, change, &row));
	if (change->kind == LS_CHANGE_DUE && not_due(writer, change, &row, tr.now))
		return !(writer->must_lock && writer->unlocked);
	if (!tr.exists && enqueue_target(writer, change))
		return true;
	if (!removes)
		tr.now = read_input(writer, change, tr.exists ? &row : NULL, tr.now, &counted);
	if (writer->must_lock && writer->unlocked)
		return false;
	if (!tr.exists)
		ls_score_row_start(model, change->contact, &row, tr.now);
	due = (LsDueRow) {.at = row.state.due, .drift = row.state.due_drift, .contact = change->contact};
	if (change->kind == LS_CHANGE_DUE)
		due.place = change->data.due->place;
	if (ls_profile_is_recorded(model))
		ls_profile_of_state(model, &row.state, &profile);
	if (!ls_change_is_state_only(change))
		tr.econtext = stage_context(writer, change->contact);
	result = ls_transition_run(&tr, change, &counted);
	if (!removes && ls_pending_replaces(model, change->contact, change->deferrable))
		return true;
	if (result != LS_TRANSITION_WRITE && lacks_lock(writer, change))
		return false;
	if (result == LS_TRANSITION_NONE)
		return true;
	if (result == LS_TRANSITION_REMOVE && !removes && !tr.exists &&
		was_missed(writer, change->contact))
		return false;
	if (result == LS_TRANSITION_REMOVE && change->kind == LS_CHANGE_SET_STAGE)
		refuse_unknown(writer, change);
	if (result == LS_TRANSITION_REMOVE && !tr.exists)
		return true;
	*outcome = LS_CHANGED;
	/* triggers of the owner's may write events of the same contact */
	ls_heap_writer_hold(&writer->table.rows);
	if (result == LS_TRANSITION_REMOVE)
	{
		ls_score_table_delete(&writer->table, change->contact);
		ls_state_init(&row.state);
	}
	else
		written = write_row(writer, &row) && (tr.exists || !was_taken(writer, change->contact));
	if (written)
		move_due(writer, change->contact, &due, &row.state);
	ls_heap_writer_release(&writer->table.rows);
	if (!written)
		return false;
	if (!removes)
		record_profile(writer, change, &profile, &row.state, tr.now);
	/* events of time are not reported of a contact that is deleted */
	if (removes || result == LS_TRANSITION_WRITE)
		foreach(lc, tr.events)
			add_event(writer, row.contact, lfirst(lc));
	return true;
}

/*
 * ls_score_writer_change changes one contact's row, inserting it if there is none and
 * deleting it if nothing is left.  Tells whether anything was written.
 */
LsOutcome
ls_score_writer_change(LsScoreWriter *writer, const LsChange *change)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	ErrorContextCallback callback = {error_context_stack, ls_disclosure_context, writer->model};
	LsOutcome	outcome;

	error_context_stack = &callback;
	writer->must_lock = false;
	for (int attempts = 0;; attempts++)
	{
		writer->unlocked = !writer->must_lock && attempts < UNLOCKED_ATTEMPTS &&
			needs_no_lock(writer, change);
		ls_score_table_attempt(writer->model, change->contact, writer->model->score_table, attempts);
		if (try_change(writer, change, &outcome))
			break;
		MemoryContextReset(writer->context);
	}
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->context);
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

/* ls_score_writer_has_read_events tells whether events were read from their tables. */
bool
ls_score_writer_has_read_events(const LsScoreWriter *writer)
{
	return writer->read_events;
}
