/*-------------------------------------------------------------------------
 *
 * contact_snapshot.c
 *		A contact as a snapshot sees it: its row, and what is pending of it.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/contact_snapshot.h"

#include "executor/executor.h"

#include "base/clock.h"
#include "counting/recount.h"
#include "counting/stage_context.h"
#include "scoring/transition.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"

/* add_pending adds what is pending to the state of a row, at an instant. */
static void
add_pending(LsModel *model, LsScoreRow *row, LsPending *pending, TimestampTz now)
{
	if (!pending->count_all)
	{
		ls_state_advance(model, &row->state, now);
		if (pending->has_delta)
			pending->count_all = !ls_state_merge(model, &row->state, &pending->delta);
	}
	if (pending->count_all)
	{
		LsState		counted;

		ls_state_init(&counted);
		ls_count_contact(model, row->contact, now, &counted);
		ls_state_inherit(&counted, &row->state);
		row->state = counted;
	}
	else if (pending->count_profile)
	{
		LsState		profile;

		ls_state_init(&profile);
		ls_count_profile(model, row->contact, now, &profile);
		ls_state_take_profile(model, &row->state, &profile);
	}
	ls_state_fold(model, &row->state);
	/* when it is due is not known any more */
	row->state.due = DT_NOBEGIN;
}

/*
 * ls_contact_complete adds what the active snapshot sees pending of a contact to
 * the state of its row; the row's stage is left as it is.  True if there was
 * something.
 */
bool
ls_contact_complete(LsModel *model, LsScoreRow *row)
{
	LsPending	pending;

	ls_pending_init(&pending);
	ls_pending_read(model, row->contact, &pending);
	pending.count_all |= ls_alias_pending(model, row->contact);
	if (pending.nrows == 0 && !pending.count_all)
		return false;
	add_pending(model, row, &pending, ls_clock_of_statement());
	return true;
}

/*
 * ls_contact_any_pending tells, once for all contacts of a model, whether the
 * active snapshot may see anything pending of one of them, or of those whose rows
 * count for it.
 */
bool
ls_contact_any_pending(LsModel *model)
{
	return ls_pending_any(model) || ls_alias_may_be_pending(model);
}

/* ls_contact_known tells whether anything is left of a contact. */
bool
ls_contact_known(const LsScoreRow *row)
{
	return row->state.events > 0 || row->state.nfuture > 0 || row->state.has_contact;
}

/*
 * ls_contact_start makes the row of a contact that has none, of what is pending.
 * False where nothing is known of the contact.
 */
bool
ls_contact_start(LsModel *model, Datum contact, LsScoreRow *row)
{
	Datum		target;

	if (ls_alias_find(model, contact, LS_ALIAS_SEEN, &target))
		return false;			/* what is pending is to be told of the other */
	ls_score_row_start(model, contact, row, ls_clock_of_statement());
	return ls_contact_complete(model, row) && ls_contact_known(row);
}

/* ls_contact_find gives a contact's row, completed.  False: it is not known. */
bool
ls_contact_find(LsModel *model, Datum contact, LsScoreRow *row)
{
	if (!ls_score_table_find(model, contact, row))
		return ls_contact_start(model, contact, row);
	return !ls_contact_complete(model, row) || ls_contact_known(row);
}

/*
 * ls_contact_bring brings a row, which exists or has just been started, to where
 * it will be when what is pending has been folded in, stage included: the way
 * that the store goes.  True if there was something pending.
 */
bool
ls_contact_bring(LsModel *model, LsScoreRow *row, bool exists)
{
	TimestampTz now = Max(ls_clock_of_statement(), ls_score_row_instant(row));
	TimestampTz last,
				added,
				entry;
	LsCourse	course = {0};
	LsPending	pending;
	EState	   *estate;

	ls_pending_init(&pending);
	ls_pending_read(model, row->contact, &pending);
	pending.count_all |= ls_alias_pending(model, row->contact);
	if (pending.nrows == 0 && !pending.count_all)
		return false;
	now = Max(now, pending.instant);
	estate = CreateExecutorState();
	course.model = model;
	course.row = row;
	course.score = ls_course_score(model);
	course.econtext = ls_stage_context_make(model, estate, row->contact);
	ls_course_begin(&course, exists);
	if (exists && row->state.due <= now)
		ls_course_catch_up(&course, ls_score_row_instant(row), now, "time");
	last = row->state.last;
	add_pending(model, row, &pending, now);
	now = Max(now, row->state.last);	/* of what was purged, by another clock */
	added = pending.has_delta && pending.delta.events > 0 ? pending.delta.last : DT_NOBEGIN;
	if (!exists && added != DT_NOBEGIN)
		row->stage_since = Min(now, added);
	entry = ls_course_entry(model, row, added, last, now);
	if (entry != DT_NOBEGIN)
	{
		ls_course_step(&course, entry, "event");
		ls_course_catch_up(&course, entry, now, "time");
	}
	row->scored_at = now;
	row->state.due = DT_NOEND;	/* it has been brought to now */
	FreeExecutorState(estate);
	return true;
}

/*
 * ls_contact_stand gives a contact's row, brought to where it is now.  False: it
 * is not known.
 */
bool
ls_contact_stand(LsModel *model, Datum contact, LsScoreRow *row)
{
	bool		exists = ls_score_table_find(model, contact, row);
	bool		brought;
	Datum		target;

	if (!exists && ls_alias_find(model, contact, LS_ALIAS_SEEN, &target))
		return false;			/* what is pending is to be told of the other */
	if (!exists)
		ls_score_row_start(model, contact, row, ls_clock_of_statement());
	brought = ls_contact_bring(model, row, exists);
	return brought ? ls_contact_known(row) : exists;
}

/*
 * ls_contact_show moves a row on to what is true at t, which is not before the row's
 * own instant, and gives its columns.
 */
void
ls_contact_show(LsModel *model, LsScoreRow *row, TimestampTz t,
				Datum *values, bool *nulls)
{
	EState	   *estate = CreateExecutorState();
	LsCourse	course = {0};

	course.model = model;
	course.row = row;
	course.econtext = ls_stage_context_make(model, estate, row->contact);
	/* most rows are not overdue, and need not know how they go on */
	course.score = row->state.due <= t ? ls_course_score(model) :
		ls_score_make(model, model->watches_rules);
	ls_course_now(&course, t);
	ls_score_row_take_score(model, row, course.score);
	ls_row_values(model, row, values, nulls);
	FreeExecutorState(estate);
}
