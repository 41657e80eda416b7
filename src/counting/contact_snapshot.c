/*-------------------------------------------------------------------------
 *
 * contact_snapshot.c
 *		A contact as a snapshot sees it: its row, and what is pending of it.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/contact_snapshot.h"

#include "access/table.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "base/clock.h"
#include "counting/event_reader.h"
#include "counting/recount.h"
#include "scoring/transition.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"

/* ---------- what conditions of stages read ---------- */

/*
 * read_contact fills a slot with a contact's row, or with NULLs where there is
 * none, as the active snapshot sees it.
 */
static void
read_contact(LsModel *model, Datum contact, TupleTableSlot *to)
{
	LsReaderSpec spec = {.model = model, .what = LS_READ_CONTACTS,
	.source = -1, .one = true, .contact = contact};
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

/* make_slot makes a slot for rows of the contact table. */
static TupleTableSlot *
make_slot(LsModel *model)
{
	Relation	contacts = table_open(model->contacts, AccessShareLock);
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(contacts));

	table_close(contacts, AccessShareLock);
	return MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
}

/*
 * ls_contact_snapshot_fill_context stores a contact's row, as the active snapshot sees
 * it, where the conditions of stages read it, if one of them reads it.
 */
void
ls_contact_snapshot_fill_context(LsModel *model, Datum contact, ExprContext *econtext)
{
	if (!model->stages_read_contact)
		return;
	if (econtext->ecxt_scantuple == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_query_memory);

		econtext->ecxt_scantuple = make_slot(model);
		MemoryContextSwitchTo(old);
	}
	read_contact(model, contact, econtext->ecxt_scantuple);
}

/*
 * ls_contact_snapshot_make_context makes the context of the stages' conditions for a
 * contact.
 */
ExprContext *
ls_contact_snapshot_make_context(LsModel *model, EState *estate, Datum contact)
{
	ExprContext *econtext = CreateExprContext(estate);

	ls_contact_snapshot_fill_context(model, contact, econtext);
	return econtext;
}

/* ---------- what is pending ---------- */

/* What is pending of a contact, as input of a transition */
typedef struct Pending
{
	LsPending	read;
	LsCounted	counted;
	LsState		computed;		/* events and profile, or the profile */
} Pending;

/*
 * read_pending reads what the active snapshot sees pending of a contact, as input of a
 * transition of a row, and moves the transition's instant past it.  False: nothing is
 * pending.
 */
static bool
read_pending(LsModel *model, LsScoreRow *row, Pending *pending, TimestampTz *now)
{
	LsPending  *read = &pending->read;
	LsCounted  *counted = &pending->counted;

	memset(counted, 0, sizeof(LsCounted));
	counted->latest = DT_NOBEGIN;
	ls_pending_init(read);
	ls_pending_read(model, row->contact, read);
	read->count_all |= ls_identity_pending(model, row->contact);
	if (read->nrows == 0 && !read->count_all)
		return false;
	*now = Max(*now, read->instant);
	ls_state_init(&pending->computed);
	if (read->has_delta && read->delta.events > 0)
		counted->latest = read->delta.last;
	if (read->has_delta)
		counted->pending = &read->delta;
	if (read->count_all || !ls_state_can_merge(model, &row->state, counted->pending))
	{
		ls_recount_contact(model, row->contact, *now, &pending->computed);
		counted->whole = &pending->computed;
		/* purged events may be dated by another clock */
		*now = Max(*now, pending->computed.last);
	}
	else if (read->count_profile)
	{
		ls_recount_profile(model, row->contact, *now, &pending->computed);
		counted->profile = &pending->computed;
	}
	return true;
}

/*
 * ls_contact_snapshot_merge_state merges what the active snapshot sees pending of a
 * contact with the state of the contact's row, whose stage is left as it is.  True if
 * something was pending.
 */
bool
ls_contact_snapshot_merge_state(LsModel *model, LsScoreRow *row)
{
	TimestampTz now = ls_clock_of_statement();
	Pending		pending;

	if (!read_pending(model, row, &pending, &now))
		return false;
	ls_transition_merge(model, row, &pending.counted, now);
	/* the due instant is unknown now */
	row->state.due = DT_NOBEGIN;
	return true;
}

/*
 * ls_contact_snapshot_evaluate gives the score of a row at an instant, with what is pending
 * of the contact (NULL: nothing), where it follows from their states alone; false: it has
 * to be found out by ls_contact_snapshot_merge() and ls_contact_snapshot_advance().  Of
 * the row nothing is read but its state, the instant that it shows and the version of its
 * rules; the state is used up where something is pending, and else left as it is.
 */
bool
ls_contact_snapshot_evaluate(LsModel *model, LsScoreRow *row, const LsPending *pending,
							 TimestampTz at, LsScore *score)
{
	LsState    *state = &row->state;
	LsCounted	counted = {.latest = DT_NOBEGIN};

	/* events that take effect by then would have to be added */
	if (state->nfuture > 0 || at < ls_score_row_instant(row))
		return false;
	if (pending)
	{
		const LsState *delta = pending->has_delta ? &pending->delta : NULL;

		if (pending->count_all || pending->count_profile || pending->instant > at ||
			(delta && delta->nfuture > 0) || !ls_state_can_merge(model, state, delta))
			return false;
		counted.pending = delta;
		ls_transition_merge(model, row, &counted, at);
	}
	ls_score_evaluate(model, state, at, score);
	return true;
}

/*
 * ls_contact_snapshot_any_pending tells, once for all contacts of a model, whether the
 * active snapshot may see anything pending of one of them, or of those whose rows
 * count for it.
 */
bool
ls_contact_snapshot_any_pending(LsModel *model)
{
	return ls_pending_any(model) || ls_identity_may_be_pending(model);
}

/*
 * find_or_start reads a contact's row, or starts one if it has none.  False if the
 * contact counts for another, to which what is pending belongs.
 */
static bool
find_or_start(LsModel *model, Datum contact, LsScoreRow *row, bool *exists)
{
	Datum		target;

	*exists = ls_score_table_find(model, contact, row);
	if (*exists)
		return true;
	if (ls_identity_find(model, contact, LS_IDENTITY_SEEN, &target))
		return false;
	ls_score_row_start(model, contact, row, ls_clock_of_statement());
	return true;
}

/*
 * ls_contact_snapshot_find gives a contact's row with what is pending in its state.
 * False: the contact is unknown.
 */
bool
ls_contact_snapshot_find(LsModel *model, Datum contact, LsScoreRow *row)
{
	bool		exists;

	if (!find_or_start(model, contact, row, &exists))
		return false;
	return ls_contact_snapshot_merge_state(model, row) ? ls_score_row_is_known(row) : exists;
}

/*
 * ls_contact_snapshot_recall prepares for questions about a contact at an instant.  The
 * state is advanced to the instant; if that is before the state's last event, it
 * returns a replay of the events.
 */
LsReplay *
ls_contact_snapshot_recall(LsModel *model, LsScoreRow *row, TimestampTz at)
{
	LsReplay   *replay;

	if (at >= ls_state_known_from(&row->state))
	{
		ls_state_advance(model, &row->state, at);
		return NULL;
	}
	replay = ls_replay_make(model);
	(void) ls_replay_contact(replay, row->contact);
	ls_replay_tell(replay, row->contact, at, false);
	ls_rule_error_report(model);
	return replay;
}

/* prepare sets up a transition of a row to an instant; returns what has to be freed. */
static EState *
prepare(LsTransition *tr, LsModel *model, LsScoreRow *row, TimestampTz now, bool exists)
{
	EState	   *estate = CreateExecutorState();

	memset(tr, 0, sizeof(LsTransition));
	tr->model = model;
	tr->row = row;
	tr->exists = exists;
	tr->cause = "event";
	tr->now = now;
	tr->econtext = ls_contact_snapshot_make_context(model, estate, row->contact);
	return estate;
}

/*
 * ls_contact_snapshot_merge turns a row, which exists or has just been started, into
 * what it will be after what is pending is merged, stage included.  False: the merge
 * will delete the contact.
 */
bool
ls_contact_snapshot_merge(LsModel *model, LsScoreRow *row, bool exists)
{
	TimestampTz now = Max(ls_clock_of_statement(), ls_score_row_instant(row));
	LsChange	change = {.kind = LS_CHANGE_EVENTS, .contact = row->contact};
	LsTransition tr;
	Pending		pending;
	EState	   *estate;
	bool		known;

	if (!read_pending(model, row, &pending, &now))
		return exists;
	estate = prepare(&tr, model, row, now, exists);
	tr.score = ls_transition_score(model);
	known = ls_transition_run(&tr, &change, &pending.counted) != LS_TRANSITION_REMOVE;
	FreeExecutorState(estate);
	return known;
}

/*
 * ls_contact_snapshot_find_current gives a contact's row with what is pending merged.
 * False: the contact is unknown.
 */
bool
ls_contact_snapshot_find_current(LsModel *model, Datum contact, LsScoreRow *row)
{
	bool		exists;

	return find_or_start(model, contact, row, &exists) &&
		ls_contact_snapshot_merge(model, row, exists);
}

/*
 * ls_contact_snapshot_advance_make makes what advances the contacts of a model, one
 * after the other.  It lasts as long as the current memory context.
 */
LsAdvance *
ls_contact_snapshot_advance_make(LsModel *model)
{
	LsAdvance  *advance = palloc0(sizeof(LsAdvance));

	advance->model = model;
	advance->econtext = CreateExprContext(CreateExecutorState());
	advance->score = ls_score_make(model, model->watches_rules);
	return advance;
}

/*
 * score_with_curve gives the score of a contact that is due, whose curve is followed:
 * most are not, and need no curve.
 */
static LsScore *
score_with_curve(LsAdvance *advance)
{
	if (advance->curved == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(advance));

		advance->curved = ls_transition_score(advance->model);
		MemoryContextSwitchTo(old);
	}
	return advance->curved;
}

/*
 * ls_contact_snapshot_advance advances a row to t, which is not before its own instant.
 */
void
ls_contact_snapshot_advance(LsAdvance *advance, LsScoreRow *row, TimestampTz t)
{
	LsTransition tr = {.model = advance->model, .row = row, .exists = true, .cause = "event",
	.now = t, .econtext = advance->econtext};

	ResetExprContext(tr.econtext);
	ls_contact_snapshot_fill_context(tr.model, row->contact, tr.econtext);
	tr.score = row->state.due <= t ? score_with_curve(advance) : advance->score;
	ls_transition_read(&tr);
}

/*
 * ls_contact_snapshot_forecast advances a row to now, and gives what time alone will do
 * to the contact until an instant: a list of LsTransitionEvent, of stages, and of
 * grades if requested.
 */
List *
ls_contact_snapshot_forecast(LsModel *model, LsScoreRow *row, TimestampTz now,
							 TimestampTz until, bool grades)
{
	LsTransition tr;
	EState	   *estate = prepare(&tr, model, row, Max(now, ls_score_row_instant(row)), true);
	LsScoreRow	then;

	tr.score = ls_transition_score(model);
	tr.watch = grades ? LS_DUE_GRADE : 0;
	ls_transition_read(&tr);
	then = *row;
	tr.row = &then;
	ls_transition_forecast(&tr, until);
	FreeExecutorState(estate);
	return tr.events;
}
