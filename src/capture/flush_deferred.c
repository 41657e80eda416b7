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

	ls_deferred_read(set);
	while (ls_deferred_next(set, &item))
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

/* Whether what is pending is merged without waiting for locks */
typedef enum Merges
{
	MERGES_UNKNOWN,
	MERGES_FREE,
	MERGES_LOCKED
} Merges;

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
	else if (ls_deferred_has_events(item) || ls_deferred_has_gone(item) ||
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
 * may_merge tells whether pending changes are merged.  They are left to the worker if
 * another session has locked a table from which contacts would be recomputed: it may
 * wait for a table that is locked here.
 */
static bool
may_merge(LsModel *model, Merges *merges)
{
	if (*merges == MERGES_UNKNOWN)
		*merges = ls_lock_to_read_if_free(model) ? MERGES_FREE : MERGES_LOCKED;
	return *merges == MERGES_FREE;
}

static void
write_contacts(LsDeferredSet *set)
{
	LsModel    *model = set->model;
	const char *cause = ls_deferred_of_profile(set) ? "profile" : "event";
	Merges		merges = MERGES_UNKNOWN;
	LsScoreWriter *writer;
	LsDeferred	item;

	ls_deferred_read(set);
	writer = ls_score_writer_open(model, cause);
	while (ls_deferred_next(set, &item))
	{
		item.merge_pending = item.merge_pending && may_merge(model, &merges);
		write_contact(writer, &item);
	}
	/* what triggers have written meanwhile may have been read */
	if (ls_score_writer_has_read_events(writer))
		ls_deferred_doubt(model);
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

	if (set->whole)
	{
		ls_recount_rescore(model->name, "event");
		ls_deferred_doubt(model);
		return;
	}
	if (!model->stale && !ls_rule_failure_fault_over(model))
	{
		write_contacts(set);
		return;
	}
	model = ls_model_acquire_to_write(model->name);
	if (model)
	{
		ls_deferred_use_model(set, model);
		write_contacts(set);
		ls_model_release(model);
	}
}

/*
 * write_scores applies the changes of scores that this subtransaction has deferred, when
 * no statement is under way.  Until that is done it counts as one itself: a trigger of
 * the owner's may write events of a contact whose change is still to come, and a
 * recompute would include the events that this change then adds.  Likewise what such a
 * trigger writes may be read by changes that are made before its own.
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

		if (ls_deferred_leave_recompute(item))
			ls_deferred_contact(pending, item->contact)->recompute = true;
	}
}
