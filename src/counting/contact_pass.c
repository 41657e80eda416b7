/*-------------------------------------------------------------------------
 *
 * contact_pass.c
 *		Passes over contacts that are due, or of which something is pending.
 *
 * A pass over what is due covers what was due when it began, so that it ends.  Batches
 * are taken in the order of due_<model>, crossings of an instant before drift
 * refreshes; a pass over what is pending takes them in the order of the key.  Within a
 * batch contacts are locked in the order of their key, as all sessions lock them.
 * Contacts that another session has locked are left to a later pass: most often that
 * session does what is due.
 *
 * All that is pending of a contact when its row is locked is merged at once, so that a
 * hot contact costs one new version of its row, however many rows were enqueued.
 * Within a statement nothing is merged: a contact might be computed with rows that are
 * still to be added.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/contact_pass.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/statement.h"
#include "counting/batch.h"
#include "tables/due_table.h"
#include "tables/pending_table.h"
#include "tables/worker_error.h"

#define PENDING_BATCH 1000

/* ---------- one batch ---------- */

/* A batch of a pass; in one over what is pending, at is DT_NOEND */
typedef struct PassBatch
{
	LsBatch		batch;
	LsPass	   *pass;
	bool		skip_locked;
	LsDueRow   *rows;
	int			nrows;
	int			current;		/* the number of the current one, from 1 */
} PassBatch;

/* ls_contact_pass_begin starts a pass. */
LsPass *
ls_contact_pass_begin(LsPassKind kind, const char *model)
{
	LsPass	   *pass = palloc0(sizeof(LsPass));

	pass->kind = kind;
	pass->model = pstrdup(model);
	pass->until = ls_clock();
	return pass;
}

/* stop_at records where the next batch begins. */
static void
stop_at(LsPass *pass, const LsModel *model, const LsDueRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(pass));

	if (pass->place == NULL)
		pass->place = palloc(sizeof(LsDueRow));
	else if (!model->key.typbyval)
		pfree(DatumGetPointer(pass->place->contact));
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

/* is_idle tells whether there is nothing left to do, without loading the model. */
static bool
is_idle(const LsPass *pass)
{
	LsDueRow	row;

	if (pass->kind == LS_PASS_PENDING)
		return ls_pending_none(pass->model);
	return ls_due_table_read(pass->model, pass->place, pass->until, 1, &row) == 0;
}

/* read_rows reads the next contacts of a pass, at most limit. */
static void
read_rows(PassBatch *work, int limit)
{
	LsPass	   *pass = work->pass;
	Datum	   *contacts;

	work->rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(LsDueRow) * (Size) limit);
	if (pass->kind == LS_PASS_DUE)
	{
		work->nrows = ls_due_table_read(pass->model, pass->place, pass->until, limit, work->rows);
		return;
	}
	contacts = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * (Size) limit);
	work->nrows = ls_pending_contacts(work->batch.model, pass->place ? &pass->place->contact : NULL,
									  limit, contacts);
	for (int i = 0; i < work->nrows; i++)
		work->rows[i] = (LsDueRow) {.at = DT_NOEND, .contact = contacts[i]};
}

/* next_row gives the next contact of a batch; see LsBatch. */
static bool
next_row(LsBatch *batch, Datum *contact)
{
	PassBatch  *work = (PassBatch *) batch;

	while (work->current < work->nrows)
	{
		LsDueRow   *row = &work->rows[work->current++];

		/* what is pending of a contact that failed is not retried at once */
		if (batch->failed && row->at == DT_NOEND && ls_worker_error_waits(batch->model, row->contact))
			continue;
		/* a retried contact may have two rows: the second sees what the first wrote */
		if (work->current > 1 && by_contact(row - 1, row, &batch->model->key) == 0)
			CommandCounterIncrement();
		*contact = row->contact;
		return true;
	}
	return false;
}

/* change_row changes the contact of the current row; see LsBatch. */
static LsOutcome
change_row(LsBatch *batch, LsScoreWriter *writer, Datum contact)
{
	PassBatch  *work = (PassBatch *) batch;
	LsDueRow   *row = &work->rows[work->current - 1];
	LsChange	change = {.kind = LS_CHANGE_PENDING, .contact = contact, .skip_locked = work->skip_locked};

	if (row->at == DT_NOEND)
		change.data.pending.state_only = work->pass->state_only;
	else
	{
		change.kind = LS_CHANGE_DUE;
		change.data.due = row;
	}
	return ls_score_writer_change(writer, &change);
}

/*
 * put_off records the error of a contact; the row of a contact that is due is moved to
 * the instant of the retry.
 */
static void
put_off(LsBatch *batch, Datum contact, const ErrorData *error)
{
	PassBatch  *work = (PassBatch *) batch;
	LsDueRow   *row = &work->rows[work->current - 1];
	LsDueRow	later = *row;
	LsRowWriter *table;

	later.at = ls_clock() +
		ls_worker_error_record_contact(batch->model, contact, error->sqlerrcode, error->message);
	if (row->at == DT_NOEND)
		return;
	table = ls_due_table_open(batch->model);
	ls_due_table_move(table, row, &later);
	ls_row_writer_close(table);
}

/* run_batch runs one batch, and returns the number of contacts. */
static int
run_batch(LsPass *pass, LsModel *model, int limit, bool skip_locked)
{
	PassBatch	work = {.pass = pass, .skip_locked = skip_locked,
	.batch = {.model = model, .cause = pass->kind == LS_PASS_DUE ? "time" : "event",
	.next = next_row, .change = change_row, .failed = pass->one_by_one ? put_off : NULL,
	.slice = pass->slice}};
	LsDueRow	last;

	read_rows(&work, limit);
	if (work.nrows == 0)
		return 0;
	last = work.rows[work.nrows - 1];
	qsort_arg(work.rows, work.nrows, sizeof(LsDueRow), by_contact, &model->key);
	ls_batch_run(&work.batch);
	/* the next batch begins where this one was cut */
	if (!work.batch.cut)
		stop_at(pass, model, &last);
	pass->done += work.batch.done;
	pass->changed += work.batch.changed;
	pass->transitions += work.batch.transitions;
	return work.nrows;
}

/*
 * ls_contact_pass_batch runs the next batch, of at most limit contacts, in the caller's
 * transaction.  Returns their number; 0 at the end, or if a command that changes the
 * model has locked it.
 */
int
ls_contact_pass_batch(LsPass *pass, int limit, bool skip_locked)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore pass",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Oid			table = ls_lead_score_table(pass->model, true);
	LsModel    *model = NULL;
	int			n = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (OidIsValid(table) &&
		(!skip_locked || ConditionalLockRelationOid(table, RowExclusiveLock)) && !is_idle(pass))
		model = ls_model_acquire_to_write(pass->model);
	if (model && model->enabled && !model->fault)
		n = run_batch(pass, model, limit, skip_locked);
	if (model)
		ls_model_release(model);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n;
}

/* ---------- at once ---------- */

/* run_all runs a pass to its end, and returns the number of changes. */
static int64
run_all(LsPass *pass, bool skip_locked)
{
	while (ls_contact_pass_batch(pass, PENDING_BATCH, skip_locked) > 0)
		;
	return pass->changed;
}

/*
 * ls_contact_pass_merge_all merges all that is pending, and returns the number of
 * changes.  state_only leaves scores and stages to the backfill of rules that follows:
 * without these rules they would be wrong.
 */
int64
ls_contact_pass_merge_all(const char *model, bool state_only)
{
	int64		changed = 0;

	if (ls_statement_under_way())
		return 0;
	/* what is pending of merged contacts is enqueued for their targets */
	for (int i = 0; i < 3; i++)
	{
		LsPass	   *pass = ls_contact_pass_begin(LS_PASS_PENDING, model);

		pass->state_only = state_only;
		changed += run_all(pass, false);
		if (pass->done == 0)
			break;
	}
	return changed;
}

/*
 * The contacts that are due and those of which something is pending, for one
 * transaction, in the order of their key, read as they are needed.
 */
typedef struct Everything
{
	LsBatch		batch;
	LsDueCursor *cursor;
	LsDueRow	due;			/* the next row of due_<model> ... */
	bool		has_due;		/* ... if there is one, ... */
	bool		again;			/* ... of the same contact as the one before */
	Datum		pending[PENDING_BATCH];
	int			npending;		/* contacts that were read; ... */
	int			current;		/* ... of which this one is the next */
	bool		no_more;
	int			order;			/* the current contact is due (> 0), pending, or both (0) */
	bool		begun;
} Everything;

/* next_due advances to the next row of due_<model>. */
static void
next_due(Everything *all)
{
	LsKeyType  *key = &all->batch.model->key;
	LsDueRow	before = all->due;
	bool		had = all->has_due;

	all->has_due = ls_due_cursor_next(all->cursor, &all->due);
	all->again = had && all->has_due && ls_key_compare(key, before.contact, all->due.contact) == 0;
	if (had && !key->typbyval)
		pfree(DatumGetPointer(before.contact));
}

/* next_pending gives the next contact of which something is pending; NULL: none. */
static Datum *
next_pending(Everything *all)
{
	if (all->current >= all->npending && !all->no_more)
	{
		Datum		read[PENDING_BATCH];
		int			nread = all->npending;

		memcpy(read, all->pending, sizeof(Datum) * nread);
		all->npending = ls_pending_contacts(all->batch.model, nread > 0 ? &read[nread - 1] : NULL,
											PENDING_BATCH, all->pending);
		for (int i = 0; i < nread && !all->batch.model->key.typbyval; i++)
			pfree(DatumGetPointer(read[i]));
		all->current = 0;
		all->no_more = all->npending < PENDING_BATCH;
	}
	return all->current < all->npending ? &all->pending[all->current] : NULL;
}

/* next_of_all gives the next contact of either kind; see LsBatch. */
static bool
next_of_all(LsBatch *batch, Datum *contact)
{
	Everything *all = (Everything *) batch;
	Datum	   *pending;

	if (!all->begun || all->order >= 0)
		next_due(all);
	if (all->begun && all->order <= 0)
		all->current++;
	all->begun = true;
	pending = next_pending(all);
	if (pending == NULL && !all->has_due)
		return false;
	all->order = pending == NULL ? 1 : !all->has_due ? -1 :
		ls_key_compare(&batch->model->key, *pending, all->due.contact);
	/* a retried contact may have two rows: the second sees what the first wrote */
	if (all->order > 0 && all->again)
		CommandCounterIncrement();
	*contact = all->order <= 0 ? *pending : all->due.contact;
	return true;
}

/*
 * change_of_all changes the current contact; a merge of what is pending includes what
 * is due.
 */
static LsOutcome
change_of_all(LsBatch *batch, LsScoreWriter *writer, Datum contact)
{
	Everything *all = (Everything *) batch;
	LsChange	change = {.kind = LS_CHANGE_PENDING, .contact = contact};

	if (all->order > 0)
	{
		change.kind = LS_CHANGE_DUE;
		change.data.due = &all->due;
	}
	return ls_score_writer_change(writer, &change);
}

/*
 * run_everything does all that is due or pending of a model, and returns the number of
 * changes.
 */
static int64
run_everything(const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore refresh",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Everything *all = palloc0(sizeof(Everything));
	TimestampTz until = ls_clock();
	LsModel    *model = NULL;
	int64		changed = 0;
	LsDueRow	first;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	all->no_more = ls_statement_under_way() || ls_pending_none(name);
	if (ls_due_table_read(name, NULL, until, 1, &first) > 0 || !all->no_more)
		model = ls_model_acquire_to_write(name);
	if (model && model->enabled && !model->fault)
	{
		all->batch.model = model;
		all->batch.cause = "event";
		all->batch.next = next_of_all;
		all->batch.change = change_of_all;
		all->cursor = ls_due_cursor_open(model, until);
		ls_batch_run(&all->batch);
		ls_due_cursor_close(all->cursor);
		changed = all->batch.changed;
	}
	if (model)
		ls_model_release(model);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return changed;
}

/*
 * ls_contact_pass_all does all that is due or pending of a model at once, and returns
 * the number of changes.
 *
 * What is pending of merged contacts is enqueued for their targets, which may come
 * before them in the order of the key.  So these are not waited for: if another session
 * has locked one, it is left to a later pass.
 */
int64
ls_contact_pass_all(const char *model)
{
	int64		changed = run_everything(model);

	for (int i = 0; i < 2 && !ls_statement_under_way() && !ls_pending_none(model); i++)
		changed += run_all(ls_contact_pass_begin(LS_PASS_PENDING, model), true);
	return changed;
}

/* ---------- what is due ---------- */

/* ls_contact_pass_next_due gives a model's earliest due instant; DT_NOEND: none. */
TimestampTz
ls_contact_pass_next_due(const char *model)
{
	LsDueRow	row;
	int			n;

	PushActiveSnapshot(GetLatestSnapshot());
	n = ls_due_table_read(model, NULL, END_TIMESTAMP - 1, 1, &row);
	PopActiveSnapshot();
	return n > 0 ? row.at : DT_NOEND;
}

/* ls_contact_pass_count counts the contacts that are due now, up to a limit. */
int64
ls_contact_pass_count(const char *model, int64 limit)
{
	int64		n;

	PushActiveSnapshot(GetLatestSnapshot());
	n = ls_due_table_count(model, ls_clock(), limit);
	PopActiveSnapshot();
	return n;
}

