/*-------------------------------------------------------------------------
 *
 * flush_deferred.c
 *		Applies what statements have deferred (tables/deferred.c).
 *
 * Rows of pending_<model> and purged contributions are only inserted, when each
 * statement ends.  Scores are written when no statement is under way any more, model by
 * model and contact by contact, in the order in which all sessions lock them.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/flush_deferred.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/statement.h"
#include "counting/recount.h"
#include "rules/source_locks.h"
#include "tables/deferred.h"
#include "tables/pending_table.h"
#include "tables/purged_table.h"
#include "tables/rule_error.h"
#include "tables/score_writer.h"

/* how often triggers of the owner's may have more written */
#define MAX_ROUNDS	1000

/* ---------- rows that are inserted ---------- */

static void
insert_pending(LsRowWriter *table, const LsModel *model, const LsDeferred *item)
{
	if (item->events && model->fault == NULL)
		ls_pending_add(table, item->contact, item->events, false);
	if (item->recompute || model->fault)
		ls_pending_add(table, item->contact, NULL, false);
	if (item->recompute_profile)
		ls_pending_add(table, item->contact, NULL, true);
}

/*
 * insert_rows inserts what is deferred in a set.  INSERTs do not wait, so their order
 * does not matter.
 */
static void
insert_rows(LsDeferredSet *set)
{
	LsRowWriter *pending = NULL;
	LsRowWriter *purged = NULL;
	LsDeferred	item;

	while (ls_deferred_pop(set, &item))
	{
		CHECK_FOR_INTERRUPTS();
		if (pending == NULL && purged == NULL)
		{
			if (set->kind == LS_DEFERRED_PENDING)
				pending = ls_pending_open(set->model);
			else
				purged = ls_purged_open(set->model);
		}
		if (pending)
			insert_pending(pending, set->model, &item);
		else
			ls_purged_add(purged, item.contact, set->source, item.events);
	}
	if (pending)
		ls_row_writer_close(pending);
	if (purged)
		ls_row_writer_close(purged);
}

/* apply_each applies sets that were taken, one after the other. */
static void
apply_each(LsDeferredSet *set, void (*apply) (LsDeferredSet *))
{
	while (set)
	{
		LsDeferredSet *next = set->next;

		apply(set);
		ls_deferred_free(set);
		set = next;
	}
}

/*
 * ls_flush_rows inserts the rows of pending_<model> and the purged contributions that
 * this subtransaction has deferred.
 */
void
ls_flush_rows(void)
{
	apply_each(ls_deferred_take(false), insert_rows);
}

/* ---------- scores ---------- */

static int
by_contact(const void *a, const void *b, void *arg)
{
	return ls_key_compare(arg, (*(LsDeferred *const *) a)->contact,
						  (*(LsDeferred *const *) b)->contact);
}

/* of_profile tells whether an item comes from the contact table only. */
static bool
of_profile(const LsDeferred *item)
{
	return item->profile ||
		(item->recompute_profile && !item->recompute && !item->event && !item->events &&
		 !item->gone_event && !item->gone);
}

static void
write_contact(LsScoreWriter *writer, const LsDeferred *item)
{
	LsChange	change = {.contact = item->contact, .deferrable = true};

	if (item->recompute)
	{
		change.kind = LS_CHANGE_RECOMPUTE;
		change.data.recompute.event = item->updates ? NULL : item->event;
		change.data.recompute.delta = item->updates ? NULL : item->events;
	}
	else if (item->event || item->events || item->gone_event || item->gone ||
			 item->profile || item->recompute_profile)
	{
		change.kind = LS_CHANGE_EVENTS;
		change.data.events.event = item->event;
		change.data.events.delta = item->events;
		change.data.events.gone_event = item->gone_event;
		change.data.events.gone = item->gone;
		change.data.events.updates = item->updates;
		change.data.events.profile = item->profile;
		change.data.events.read_profile = item->recompute_profile;
		change.data.events.merge_pending = item->merge_pending;
	}
	else if (item->merge_pending)
	{
		change.kind = LS_CHANGE_PENDING;
		change.skip_locked = true;
	}
	else
		return;
	ls_score_writer_change(writer, &change);
}

/*
 * drop_merges leaves pending changes to the worker if another session has locked a
 * table from which contacts would be recomputed: it may wait for a table that is locked
 * here.
 */
static void
drop_merges(LsModel *model, LsDeferredSet *set)
{
	bool		any = false;

	for (int i = 0; i < set->n; i++)
		any |= set->items[i]->merge_pending;
	if (!any || ls_lock_to_read_if_free(model))
		return;
	for (int i = 0; i < set->n; i++)
		set->items[i]->merge_pending = false;
}

static void
write_contacts(LsModel *model, LsDeferredSet *set)
{
	bool		from_profile = true;
	LsScoreWriter *writer;

	drop_merges(model, set);
	qsort_arg(set->items, set->n, sizeof(LsDeferred *), by_contact, &model->key);
	for (int i = 0; i < set->n; i++)
		from_profile &= of_profile(set->items[i]);
	writer = ls_score_writer_open(model, from_profile ? "profile" : "event");
	for (int i = 0; i < set->n; i++)
		write_contact(writer, set->items[i]);
	ls_score_writer_close(writer);
	ls_rule_error_report(model);
}

/*
 * write_set applies the deferred changes of one model.  Its score table was locked when
 * the model was read: unless invalidated since, it is the newest version.
 */
static void
write_set(LsDeferredSet *set)
{
	LsModel    *model = set->model;

	if (set->whole != InvalidSubTransactionId)
	{
		ls_recount_rescore(model->name, "event");
		return;
	}
	if (!model->stale && !ls_rule_failure_fault_over(model))
	{
		write_contacts(model, set);
		return;
	}
	model = ls_model_acquire_to_write(model->name);
	if (model)
	{
		ls_deferred_sum_up(set);
		write_contacts(model, set);
		ls_model_release(model);
	}
}

/*
 * write_scores applies the changes of scores that this subtransaction has deferred, when
 * no statement is under way.  Until that is done it counts as one itself: a trigger of
 * the owner's may write events of a contact whose change is still to come, and a
 * recompute would include the events that this change then adds.
 */
static void
write_scores(void)
{
	LsDeferredSet *set;
	int			rounds = 0;

	if (!ls_deferred_any())
		return;
	ls_statement_enter();
	while ((set = ls_deferred_take(true)) != NULL)
	{
		if (++rounds > MAX_ROUNDS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("could not write the scores of model \"%s\"", set->model->name),
					 errhint("A trigger on table \"score_%s\" must not write new events each time.",
							 set->model->name)));
		apply_each(set, write_set);
	}
	ls_statement_leave();
}

/*
 * ls_flush_statement inserts what a statement has deferred when it ends, and writes
 * scores if it is the outermost.  A replica's TRUNCATE was not counted in by
 * ls_enter().
 */
void
ls_flush_statement(void)
{
	ls_flush_rows();
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		ls_statement_leave();
	if (!ls_statement_under_way())
		write_scores();
}

/*
 * ls_flush_before_commit flushes the rest, as triggers may have been disabled
 * meanwhile.
 */
void
ls_flush_before_commit(void)
{
	ls_statement_end_transaction();
	if (!ls_deferred_any())
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	ls_flush_rows();
	write_scores();
	PopActiveSnapshot();
}

/*
 * ls_flush_lock locks the tables from which the contacts that this subtransaction has
 * deferred are recomputed.  If another session holds or waits for one of these locks,
 * it may wait for this transaction: then the recomputes are enqueued instead.
 */
void
ls_flush_lock(LsModel *model)
{
	LsDeferredSet *set = ls_deferred_set(model, LS_DEFERRED_WRITE, NULL);
	LsDeferredSet *pending;

	if (ls_lock_to_read_if_free(model))
		return;
	pending = ls_deferred_set(model, LS_DEFERRED_PENDING, NULL);
	for (int i = set->n - 1; i >= 0; i--)
	{
		LsDeferred *item = set->items[i];

		if (item->subid != GetCurrentSubTransactionId())
			break;
		if (ls_deferred_leave_recompute(item))
			ls_deferred_contact(pending, item->contact)->recompute = true;
	}
}
