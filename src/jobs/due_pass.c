/*-------------------------------------------------------------------------
 *
 * due_pass.c
 *		What time alone changes: the contacts of a model that are due.
 *
 * A pass looks at what was due when it began, so that it ends.  Batches are
 * taken in the order of due_<model>, crossings of an instant before drift
 * refreshes; within a batch contacts are locked in the order of their key, as
 * everybody locks them.  Who is locked by somebody else is left to a later
 * pass: most often that writer will do what is due.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs/due_pass.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/sql.h"
#include "base/statement.h"
#include "base/transaction.h"
#include "counting/model_update.h"
#include "counting/merge_pending.h"
#include "ddl/ddl.h"
#include "definitions/job_table.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/restore_state.h"
#include "definitions/rights.h"
#include "jobs/daily.h"
#include "jobs/job_run.h"
#include "rules/model_compile.h"
#include "rules/source_locks.h"
#include "tables/due_table.h"
#include "tables/pending_table.h"
#include "tables/rule_error.h"
#include "tables/score_writer.h"
#include "tables/worker_error.h"

#define PENDING_BATCH 1000

PG_FUNCTION_INFO_V1(ls_refresh_model);
PG_FUNCTION_INFO_V1(ls_write_days);

/* ls_pass_begin starts a way through what is due now. */
LsPass *
ls_pass_begin(const char *model)
{
	LsPass	   *pass = palloc0(sizeof(LsPass));

	pass->model = pstrdup(model);
	pass->until = ls_clock();
	return pass;
}

/* stop_at notes where the next batch begins. */
static void
stop_at(LsPass *pass, const LsModel *model, const LsDueRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(pass));

	if (pass->place == NULL)
		pass->place = palloc(sizeof(LsDueRow));
	*pass->place = *row;
	pass->place->contact = datumCopy(row->contact, model->key.typbyval,
									 model->key.typlen);
	MemoryContextSwitchTo(old);
}

static int
by_contact(const void *a, const void *b, void *arg)
{
	return ls_key_compare(arg, ((const LsDueRow *) a)->contact,
						  ((const LsDueRow *) b)->contact);
}

/* look_at does what is due about one contact. */
static void
look_at(LsPass *pass, LsScoreWriter *writer, const LsDueRow *row, bool skip_locked)
{
	LsChange	change = {.kind = LS_CHANGE_DUE, .contact = row->contact,
	.skip_locked = skip_locked, .data.due = row};
	LsOutcome	outcome;

	outcome = ls_score_writer_change(writer, &change);
	pass->done++;
	pass->changed += outcome == LS_CHANGED;
	pass->skipped += outcome == LS_SKIPPED;
}

/* put_off records that a contact cannot be looked at, and when it is next. */
static void
put_off(LsModel *model, const LsDueRow *row, ErrorData *error)
{
	LsDueTable *table = ls_due_table_open(model);
	LsDueRow	later = *row;

	later.at = ls_clock() +
		ls_worker_error_record_contact(model, row->contact, error->sqlerrcode, error->message);
	ls_due_table_move(table, row, &later);
	ls_due_table_close(table);
}

/* What look_alone() does in a subtransaction */
typedef struct Alone
{
	LsPass	   *pass;
	LsModel    *model;
	const LsDueRow *row;
	bool		skip_locked;
} Alone;

static void
try_alone(void *arg)
{
	Alone	   *alone = arg;
	LsScoreWriter *writer = ls_score_writer_open(alone->model, "time");

	look_at(alone->pass, writer, alone->row, alone->skip_locked);
	alone->pass->transitions += ls_score_writer_transitions(writer);
	ls_score_writer_close(writer);
}

/*
 * look_alone does what is due about a contact in a subtransaction of its own,
 * so that one which fails does not hold up the others.
 */
static void
look_alone(Alone *alone)
{
	ErrorData  *error = ls_subtransaction_run(try_alone, alone);

	if (error == NULL)
		return;
	/* who is asked to stop does not go on; a busy table is not the contact's fault */
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	put_off(alone->model, alone->row, error);
}

/* is_cut tells whether a batch ends here, before its contact number i. */
static bool
is_cut(LsPass *pass, int i)
{
	pass->cut = i > 0 && ls_slice_over(&pass->slice);
	return pass->cut;
}

/* look_at_all does what is due about the contacts of a batch. */
static void
look_at_all(LsPass *pass, LsModel *model, LsDueRow *rows, int n, bool skip_locked)
{
	LsScoreWriter *writer;

	qsort_arg(rows, n, sizeof(LsDueRow), by_contact, &model->key);
	if (pass->one_by_one)
	{
		for (int i = 0; i < n && !is_cut(pass, i); i++)
		{
			Alone		alone = {pass, model, &rows[i], skip_locked};

			look_alone(&alone);
		}
		return;
	}
	writer = ls_score_writer_open(model, "time");
	for (int i = 0; i < n && !is_cut(pass, i); i++)
	{
		/* one that was put off may have two rows: what was just written is seen */
		if (i > 0 && by_contact(&rows[i - 1], &rows[i], &model->key) == 0)
			CommandCounterIncrement();
		look_at(pass, writer, &rows[i], skip_locked);
	}
	pass->transitions += ls_score_writer_transitions(writer);
	ls_score_writer_close(writer);
}

/*
 * ls_pass_batch looks at the next contacts that are due, at most limit, in the
 * transaction that the caller has begun.  How many there were; 0 at the end, or
 * where the model is locked by somebody who changes it.  Where a batch was cut, the
 * next one begins at the same place: its contacts are not taken in the order of the
 * pass.
 */
int
ls_pass_batch(LsPass *pass, int limit, bool skip_locked)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore pass",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LsDueRow   *rows = MemoryContextAllocHuge(context, sizeof(LsDueRow) * (Size) limit);
	Oid			table = ls_score_table(pass->model, true);
	LsModel    *model = NULL;
	int			n = 0;

	PushActiveSnapshot(GetLatestSnapshot());
	if (OidIsValid(table) &&
		(!skip_locked || ConditionalLockRelationOid(table, RowExclusiveLock)))
		n = ls_due_table_read(pass->model, pass->place, pass->until, limit, rows);
	if (n > 0)
		model = ls_model_acquire_to_write(pass->model);
	if (model && model->enabled && !model->fault)
	{
		LsDueRow	last = rows[n - 1];

		look_at_all(pass, model, rows, n, skip_locked);
		if (!pass->cut)
			stop_at(pass, model, &last);
		ls_rule_error_report(model);
	}
	else
		n = 0;
	if (model)
		ls_model_release(model);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n;
}

/*
 * Contacts to be seen to in one transaction: those of whom something is pending,
 * and those that are due, in the order of their key.  They are read in batches, and
 * what is done about one is done in memory of its own.
 */
typedef struct Everybody
{
	LsModel    *model;
	LsDueCursor *cursor;
	LsDueRow	due;			/* the next that is due ... */
	bool		has_due;		/* ... if there is one, ... */
	bool		again;			/* ... of the contact of the one before */
	Datum		pending[PENDING_BATCH];
	int			npending;		/* that were read; ... */
	int			next;			/* ... of which this one is the next */
	bool		no_more;
} Everybody;

/* next_due goes on to the next row of what is due. */
static void
next_due(Everybody *all)
{
	LsKeyType  *key = &all->model->key;
	LsDueRow	before = all->due;
	bool		had = all->has_due;

	all->has_due = ls_due_cursor_next(all->cursor, &all->due);
	all->again = had && all->has_due && ls_key_compare(key, before.contact, all->due.contact) == 0;
	if (had && !key->typbyval)
		pfree(DatumGetPointer(before.contact));
}

/* next_pending gives the next contact of whom something is pending; NULL: none. */
static Datum *
next_pending(Everybody *all)
{
	if (all->next >= all->npending && !all->no_more)
	{
		Datum		read[PENDING_BATCH];
		int			nread = all->npending;

		memcpy(read, all->pending, sizeof(Datum) * nread);
		all->npending = ls_pending_contacts(all->model, nread > 0 ? &read[nread - 1] : NULL,
											PENDING_BATCH, all->pending);
		for (int i = 0; i < nread && !all->model->key.typbyval; i++)
			pfree(DatumGetPointer(read[i]));
		all->next = 0;
		all->no_more = all->npending < PENDING_BATCH;
	}
	return all->next < all->npending ? &all->pending[all->next] : NULL;
}

/*
 * see_to_all folds in what is pending and does what is due, contact by contact.
 * Who is folded is seen to what is due as well.
 */
static int64
see_to_all(Everybody *all)
{
	LsScoreWriter *writer = ls_score_writer_open(all->model, "event");
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "leadscore refresh contact",
											   ALLOCSET_DEFAULT_SIZES);
	int64		changed = 0;
	Datum	   *contact = next_pending(all);

	next_due(all);
	while (contact || all->has_due)
	{
		int			order = contact == NULL ? 1 : !all->has_due ? -1 :
			ls_key_compare(&all->model->key, *contact, all->due.contact);
		LsChange	merge = {.kind = LS_CHANGE_PENDING};
		LsChange	due = {.kind = LS_CHANGE_DUE, .contact = all->due.contact, .data.due = &all->due};
		MemoryContext old;

		if (order <= 0)
			merge.contact = *contact;
		/* one that was put off may have two rows: what was just written is seen */
		if (order > 0 && all->again)
			CommandCounterIncrement();
		old = MemoryContextSwitchTo(each);
		changed += ls_score_writer_change(writer, order > 0 ? &due : &merge) == LS_CHANGED;
		MemoryContextSwitchTo(old);
		MemoryContextReset(each);
		if (order >= 0)
			next_due(all);
		if (order <= 0)
		{
			all->next++;
			contact = next_pending(all);
		}
	}
	ls_score_writer_close(writer);
	return changed;
}

/*
 * see_to_model does so for a model.  In the midst of a statement nothing is folded:
 * a contact might be counted with rows that are still to be added.
 */
static int64
see_to_model(const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore refresh",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Everybody  *all = palloc0(sizeof(Everybody));
	TimestampTz until = ls_clock();
	int64		changed = 0;
	LsDueRow	first;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	all->no_more = ls_statement_under_way() || ls_pending_none(name);
	if ((ls_due_table_read(name, NULL, until, 1, &first) > 0 || !all->no_more) &&
		(all->model = ls_model_acquire_to_write(name)) != NULL)
	{
		all->cursor = ls_due_cursor_open(all->model, until);
		if (all->model->enabled && !all->model->fault)
			changed = see_to_all(all);
		ls_due_cursor_close(all->cursor);
		ls_rule_error_report(all->model);
		ls_model_release(all->model);
	}
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return changed;
}

/*
 * ls_pass_all does all that is due, and folds in all that is pending, at once, and
 * gives the number of changes.
 *
 * What is pending of contacts that were merged becomes their targets', who may
 * come before them; these are not waited for, and left to a later pass where
 * somebody has locked them.
 */
int64
ls_pass_all(const char *model)
{
	int64		changed = see_to_model(model);

	for (int i = 0; i < 2 && !ls_statement_under_way() && !ls_pending_none(model); i++)
	{
		LsFold	   *fold = ls_fold_begin(model);

		while (ls_fold_batch(fold, PENDING_BATCH, true) > 0)
			;
		changed += fold->changed;
	}
	return changed;
}

/* What is done about one of several models, for ls_model_update_try() */
typedef struct Refresh
{
	const char *model;
	bool		job;			/* one is to be done */
	int64		changed;
} Refresh;

static void
refresh_one(void *arg)
{
	Refresh    *refresh = arg;

	if (refresh->job)
		ls_job_run_all(refresh->model);
	refresh->changed = ls_pass_all(refresh->model);
	while (ls_daily_write(refresh->model, true))
		;
}

/*
 * refresh_models does what the worker would do about some models, but for telling
 * others of it.  Jobs that are asked for meanwhile are left to the next.  Where it was
 * asked for each model that there is, one that fails does not stop it.
 */
static int64
refresh_models(List *rows, bool each)
{
	List	   *models = NIL;
	List	   *jobs = NIL;
	int64		changed = 0;
	ListCell   *lc;

	/* what this transaction has changed itself, which its commit would do */
	if (ls_model_change_stale() != NIL)
		changed += ls_model_update_refresh();
	foreach(lc, rows)
	{
		LsModelRow *row = lfirst(lc);

		(void) ls_restore_under_way(row);
		if (!each || ls_model_update_is_sound(row->model))
			models = lappend(models, row->model);
	}
	foreach(lc, models)
		ls_follow_roles(lfirst(lc), false);
	foreach(lc, models)
		if (ls_job_open(lfirst(lc)))
			jobs = lappend(jobs, lfirst(lc));
	foreach(lc, jobs)
		ls_lock_definitions(lfirst(lc));
	/* tables of all before rows of one */
	foreach(lc, jobs)
		ls_lock_sources(lfirst(lc));
	foreach(lc, models)
		ls_lock_before_writing(lfirst(lc));
	/* and the score table before others of the model, as who alters them all does */
	foreach(lc, models)
	{
		Oid			table = ls_score_table(lfirst(lc), true);

		if (OidIsValid(table))
			LockRelationOid(table, RowExclusiveLock);
	}
	foreach(lc, models)
	{
		Refresh		refresh = {lfirst(lc), list_member_ptr(jobs, lfirst(lc)), 0};

		if (!each)
			refresh_one(&refresh);
		else
			(void) ls_model_update_try(refresh.model, refresh_one, &refresh);
		changed += refresh.changed;
	}
	return changed;
}

/* ls_pass_next_due gives a model's earliest due instant; DT_NOEND: none. */
TimestampTz
ls_pass_next_due(const char *model)
{
	LsDueRow	row;
	int			n;

	PushActiveSnapshot(GetLatestSnapshot());
	n = ls_due_table_read(model, NULL, END_TIMESTAMP - 1, 1, &row);
	PopActiveSnapshot();
	return n > 0 ? row.at : DT_NOEND;
}

/* ls_pass_count counts the contacts that are due now, up to a limit. */
int64
ls_pass_count(const char *model, int64 limit)
{
	int64		n;

	PushActiveSnapshot(GetLatestSnapshot());
	n = ls_due_table_count(model, ls_clock(), limit);
	PopActiveSnapshot();
	return n;
}

/* ls_refresh_model is leadscore.refresh(). */
Datum
ls_refresh_model(PG_FUNCTION_ARGS)
{
	const char *model = PG_ARGISNULL(0) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(0));
	List	   *rows = NIL;
	bool		found = model == NULL;
	ListCell   *lc;

	PreventCommandIfReadOnly("refresh()");
	foreach(lc, ls_model_rows(NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (model == NULL && row->enabled && ls_may_manage_model(row, GetUserId()))
			rows = lappend(rows, row);
		else if (model && strcmp(row->model, model) == 0)
		{
			ls_require_managed(row, GetUserId());
			rows = lappend(rows, row);
			found = true;
		}
		else if (model && row->visitors_of && strcmp(row->visitors_of, model) == 0)
			rows = lappend(rows, row);
	}
	if (!found)
		(void) ls_model_row_for(model, GetUserId());	/* says so */
	/* visitors come before their model: what is pending of them becomes its */
	list_sort(rows, ls_by_row_rank);
	PG_RETURN_INT64(refresh_models(rows, model == NULL));
}

/* ls_write_days is leadscore.write_days(). */
Datum
ls_write_days(PG_FUNCTION_ARGS)
{
	char	   *model = ls_sql_text_argument(fcinfo, 0, "model");
	int32		days = 0;

	PreventCommandIfReadOnly("write_days()");
	(void) ls_model_row_for(model, GetUserId());
	ls_lock_before_writing(model);
	/* what was due before has to be in the history */
	(void) ls_pass_all(model);
	while (ls_daily_write(model, true))
		days++;
	PG_RETURN_INT32(days);
}
