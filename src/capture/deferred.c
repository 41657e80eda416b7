/*-------------------------------------------------------------------------
 *
 * deferred.c
 *		What is left to the end of the outermost statement.
 *
 * BEFORE STATEMENT triggers count statements in, AFTER STATEMENT triggers count
 * them out.  What is noted meanwhile is settled when none is under way any more,
 * model by model and contact by contact, in the order in which all lock them.
 * What an aborted subtransaction had begun, or noted, is forgotten; what a
 * committed one had goes to its parent.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/deferred.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "counting/recount.h"
#include "rules/source_locks.h"
#include "tables/pending_table.h"
#include "tables/score_writer.h"

/*
 * What is to be done about a contact when the outermost statement ends: events
 * to be added, or all to be counted again.  contact is unset where the whole
 * model is.
 */
typedef struct Note
{
	SubTransactionId subid;
	Oid			score_table;
	uint64		rank;			/* of the model */
	char	   *model;
	bool		whole_model;
	bool		profile_only;
	bool		from_profile;	/* a change of the contact table */
	bool		fold;			/* what has been put aside is to be added */
	bytea	   *delta;			/* a state to be added, NULL: count again */
	Datum		contact;
} Note;

static SubTransactionId *entered = NULL;	/* statements under way */
static int	nentered = 0;
static int	maxentered = 0;
static List *notes = NIL;		/* of Note, in TopTransactionContext */

/* ls_note_enter counts a statement in. */
void
ls_note_enter(void)
{
	if (nentered >= maxentered)
	{
		maxentered = maxentered ? maxentered * 2 : 16;
		entered = entered ?
			repalloc(entered, sizeof(SubTransactionId) * maxentered) :
			MemoryContextAlloc(TopMemoryContext,
							   sizeof(SubTransactionId) * maxentered);
	}
	entered[nentered++] = GetCurrentSubTransactionId();
}

/* new_note makes a note about a model, in TopTransactionContext. */
static Note *
new_note(const char *model, Oid score_table, uint64 rank)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Note	   *n = palloc0(sizeof(Note));

	n->subid = GetCurrentSubTransactionId();
	n->score_table = score_table;
	n->rank = rank;
	n->model = pstrdup(model);
	notes = lappend(notes, n);
	MemoryContextSwitchTo(old);
	return n;
}

static Note *
note(LsModel *model, Datum contact, bool profile_only, bool from_profile)
{
	Note	   *n = new_note(model->name, model->score_table, model->rank);
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	n->contact = datumCopy(contact, model->key.typbyval, model->key.typlen);
	n->profile_only = profile_only;
	n->from_profile = from_profile;
	MemoryContextSwitchTo(old);
	return n;
}

/* ls_note_events leaves a contact to be counted again, from its events. */
void
ls_note_events(LsModel *model, Datum contact)
{
	(void) note(model, contact, false, false);
}

/* ls_note_profile leaves a contact whose row has to be looked at again. */
void
ls_note_profile(LsModel *model, Datum contact)
{
	(void) note(model, contact, true, true);
}

/* ls_note_delta leaves events that are to be added. */
void
ls_note_delta(LsModel *model, Datum contact, const LsState *delta)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	note(model, contact, false, false)->delta = ls_state_encode(delta);
	MemoryContextSwitchTo(old);
}

/* note_model leaves all contacts of a model to be counted again. */
static void
note_model(const char *model, Oid score_table)
{
	new_note(model, score_table, ls_model_rank(model))->whole_model = true;
}

/*
 * ls_note_within tells whether a statement has to leave what it brings for later:
 * another one is under way, or something is noted, maybe of contacts that come
 * before its own.
 */
bool
ls_note_within(void)
{
	return nentered > 1 || notes != NIL;
}

/* ls_note_nested tells whether a statement fires within another. */
bool
ls_note_nested(void)
{
	return nentered > 1;
}

/* ls_note_count is how much is noted. */
int
ls_note_count(void)
{
	return list_length(notes);
}

/*
 * ls_note_under_way tells whether a statement is: its rows may be in the tables
 * already, but what they bring is not noted yet, so nothing must be counted.
 */
bool
ls_note_under_way(void)
{
	return nentered > 0;
}

/*
 * ls_note_defer_contact leaves it to the end of the outermost statement to count a
 * contact, where one is under way.  False where there is none.
 */
bool
ls_note_defer_contact(LsModel *model, Datum contact)
{
	if (nentered == 0)
		return false;
	ls_note_events(model, contact);
	return true;
}

/*
 * ls_note_fold_later has what was put aside about a contact added when the
 * outermost statement has ended, if nobody is in the way then.
 */
void
ls_note_fold_later(LsModel *model, Datum contact)
{
	note(model, contact, false, false)->fold = true;
}

/*
 * ls_note_defer_count leaves it to the end of the outermost statement to
 * count a model, where one is under way: its rows may be in the tables already
 * and will be added.  False where there is none.
 */
bool
ls_note_defer_count(const char *model)
{
	if (nentered == 0)
		return false;
	note_model(model, ls_score_table(model, false));
	return true;
}

static int
by_contact(const void *a, const void *b, void *arg)
{
	return ls_key_compare(arg, (*(Note *const *) a)->contact,
						  (*(Note *const *) b)->contact);
}

/*
 * take_notes makes the change of what was noted about a contact, and gives the
 * number of notes.  sum is room for events.
 */
static int
take_notes(LsModel *model, Note **mine, int n, LsState *sum, LsChange *change)
{
	bool		recompute = false;
	bool		profile = false;
	bool		merge = false;
	bool		events = false;
	int			i;

	for (i = 0; i < n && ls_key_compare(&model->key, mine[0]->contact, mine[i]->contact) == 0; i++)
	{
		LsState		delta;

		if (mine[i]->fold)
			merge = true;
		else if (mine[i]->delta)
		{
			ls_state_decode(mine[i]->delta, &delta);
			ls_state_merge(model, sum, &delta);
			events = true;
		}
		else if (mine[i]->profile_only)
			profile = true;
		else
			recompute = true;
	}
	change->contact = mine[0]->contact;
	change->deferrable = true;
	if (recompute)
	{
		change->kind = LS_CHANGE_RECOMPUTE;
		change->data.recompute.delta = events ? sum : NULL;
	}
	else if (events || profile)
	{
		change->kind = LS_CHANGE_EVENTS;
		change->data.events.delta = events ? sum : NULL;
		change->data.events.read_profile = profile;
		change->data.events.merge_pending = merge;
	}
	else
	{
		change->kind = LS_CHANGE_PENDING;
		change->skip_locked = true;
	}
	return i;
}

/* settle_contacts does what was noted about the contacts of one model. */
static void
settle_contacts(LsModel *model, Note **mine, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore note",
												  ALLOCSET_DEFAULT_SIZES);
	bool		from_profile = true;
	LsScoreWriter *writer;

	qsort_arg(mine, n, sizeof(Note *), by_contact, &model->key);
	for (int i = 0; i < n; i++)
		from_profile &= mine[i]->from_profile;
	writer = ls_score_writer_open(model, from_profile ? "profile" : "event");
	for (int i = 0; i < n;)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		LsChange	change = {0};
		LsState		sum;

		ls_state_init(&sum);
		i += take_notes(model, mine + i, n - i, &sum, &change);
		MemoryContextSwitchTo(old);
		ls_score_writer_change(writer, &change);
		MemoryContextReset(context);
	}
	ls_score_writer_close(writer);
	MemoryContextDelete(context);
	ls_rules_report(model);
}

/*
 * drop_folds leaves to the worker what was put aside, where somebody has locked
 * what it would be counted from: we may hold a table that he waits for.
 */
static int
drop_folds(LsModel *model, Note **mine, int n)
{
	bool		any = false;
	int			kept = 0;

	for (int i = 0; i < n; i++)
		any |= mine[i]->fold;
	if (!any || ls_lock_to_read_if_free(model))
		return n;
	for (int i = 0; i < n; i++)
		if (!mine[i]->fold)
			mine[kept++] = mine[i];
	return kept;
}

/* settle_model does what was noted of one model. */
static void
settle_model(Note *first, List *list)
{
	Note	  **mine = palloc(sizeof(Note *) * list_length(list));
	int			n = 0;
	LsModel    *model;
	ListCell   *lc;

	LockRelationOid(first->score_table, RowExclusiveLock);
	foreach(lc, list)
	{
		Note	   *each = lfirst(lc);

		if (each->score_table != first->score_table)
			continue;
		if (each->whole_model)
		{
			ls_rescore(first->model, "event");
			return;
		}
		mine[n++] = each;
	}
	model = ls_model_acquire_to_write(first->model);
	if (model)
	{
		n = drop_folds(model, mine, n);
		settle_contacts(model, mine, n);
		ls_model_release(model);
	}
}

static int
by_model(const ListCell *a, const ListCell *b)
{
	uint64		x = ((Note *) lfirst(a))->rank;
	uint64		y = ((Note *) lfirst(b))->rank;

	return (x > y) - (x < y);
}

/* settle does what was noted, when no statement is under way. */
static void
settle(void)
{
	List	   *list = notes;
	Oid			done = InvalidOid;
	MemoryContext context,
				old;
	ListCell   *lc;

	if (list == NIL || nentered > 0)
		return;
	notes = NIL;
	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore settle",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	list_sort(list, by_model);
	foreach(lc, list)
	{
		Note	   *each = lfirst(lc);

		if (each->score_table == done)
			continue;
		done = each->score_table;
		settle_model(each, list);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	list_free_deep(list);
}

/*
 * ls_note_leave counts a statement out.  One of a replica, a TRUNCATE, was not
 * counted in.
 */
void
ls_note_leave(void)
{
	if (nentered > 0 && SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		nentered--;
	settle();
}

/* ls_note_before_commit: triggers may have been disabled in between. */
void
ls_note_before_commit(void)
{
	nentered = 0;
	if (notes == NIL)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	settle();
	PopActiveSnapshot();
}

void
ls_note_end_transaction(void)
{
	nentered = 0;
	notes = NIL;
}

/*
 * ls_note_end_subtransaction forgets what an aborted subtransaction had
 * begun, and gives what a committed one had to its parent.
 */
void
ls_note_end_subtransaction(SubTransactionId mine, SubTransactionId parent,
							  bool committed)
{
	ListCell   *lc;

	for (int i = nentered - 1; i >= 0 && entered[i] >= mine; i--)
	{
		if (committed)
			entered[i] = parent;
		else
			nentered = i;
	}
	foreach(lc, notes)
	{
		Note	   *n = lfirst(lc);

		if (n->subid < mine)
			continue;
		if (committed)
			n->subid = parent;
		else
			notes = foreach_delete_current(notes, lc);
	}
}

/*
 * ls_note_lock locks what the contacts that were noted are counted from.
 * Where somebody holds or waits for one of these tables, he may want what we
 * hold: then they are put aside instead.
 */
void
ls_note_lock(LsModel *model, int noted)
{
	LsPendingTable *table;
	bool		events = false;

	for (int i = noted; i < list_length(notes); i++)
	{
		Note	   *n = list_nth(notes, i);

		events |= n->score_table == model->score_table && !n->from_profile;
	}
	if (!events || ls_lock_to_read_if_free(model))
		return;
	table = ls_pending_open(model);
	for (int i = list_length(notes) - 1; i >= noted; i--)
	{
		Note	   *n = list_nth(notes, i);

		if (n->score_table != model->score_table)
			continue;
		ls_pending_add(table, n->contact, NULL, n->profile_only);
		notes = list_delete_nth_cell(notes, i);
	}
	ls_pending_close(table);
}
