/*-------------------------------------------------------------------------
 *
 * purge.c
 *		Tables that are emptied or dropped: purged contributions, or recomputation.
 *
 * Where a source keeps what is deleted, rows that go are shown to the rules as
 * new ones are, and what they give becomes purged contributions (purged_table.c).
 *
 * TRUNCATE and DROP TABLE take all rows of a table, under a lock that nobody
 * gets past.  So they read the table before it goes, and then only insert: a row of
 * purged contributions, or one of pending_<model> that has the contact recomputed.
 * They wait for no other table and for no contact, so they never wait in a circle
 * with those who write to the other tables of a model.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/purge.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "capture/capture.h"
#include "capture/flush_deferred.h"
#include "tables/purged_table.h"

/* as many contacts are recomputed at once, others by the worker */
#define FEW_CONTACTS	10000

/* What is to be done about the rows of a table that goes, for one binding */
typedef enum Fate
{
	FATE_NONE,
	FATE_RECOMPUTE,
	FATE_KEEP
} Fate;

/*
 * show_rows reads the table with the newest snapshot, whatever the transaction
 * sees: neither TRUNCATE nor DROP asks for that.
 */
static void
show_rows(LsCapture *capture, const Fate *fates)
{
	TupleTableSlot *slot;
	TableScanDesc scan;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	slot = table_slot_create(capture->rel, NULL);
	scan = ls_table_beginscan(capture->rel, GetActiveSnapshot());
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		for (int i = 0; i < capture->table->nbindings; i++)
		{
			LsBinding  *binding = &capture->table->bindings[i];

			CHECK_FOR_INTERRUPTS();
			ResetExprContext(capture->econtext);
			if (fates[i] == FATE_KEEP)
				ls_capture_add(capture, binding, ls_table_cache_row(binding, slot), LS_DEFERRED_PURGED);
			else if (fates[i] == FATE_RECOMPUTE)
				ls_capture_recompute(capture, binding, ls_table_cache_row(binding, slot),
									 LS_DEFERRED_PENDING);
		}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	PopActiveSnapshot();
}

/*
 * fate_of tells what is to be done about the rows for one binding: for tables that
 * are dropped, what was asked for in dropped only.
 */
static Fate
fate_of(const LsCapture *capture, const LsBinding *binding, const List *dropped)
{
	/* what is dropped with all of its source is not kept */
	if (dropped != NIL)
		return binding->source && !list_member_oid(dropped, binding->source->relation) ?
			FATE_KEEP : FATE_NONE;
	if (binding->source && ls_purged_is_kept(capture->table->models[binding->model], binding->source))
		return FATE_KEEP;
	return binding->purges_only ? FATE_NONE : FATE_RECOMPUTE;
}

/*
 * merge_few has what is pending merged when the statement has ended, as far as no
 * lock is in the way, where it is of few contacts; else the worker does that.
 */
static void
merge_few(LsCapture *capture)
{
	for (int m = 0; m < capture->table->nmodels; m++)
	{
		LsModel    *model = capture->table->models[m];
		LsDeferredSet *pending = ls_deferred_set(model, LS_DEFERRED_PENDING, NULL);
		LsDeferredSet *set = ls_deferred_set(model, LS_DEFERRED_WRITE, NULL);

		if (capture->models[m].pending || pending->n > FEW_CONTACTS)
			continue;
		for (int i = 0; i < pending->n; i++)
			ls_deferred_contact(set, pending->items[i]->contact)->merge_pending = true;
	}
}

/*
 * ls_purge_read reads a table that goes, under a lock against everybody, and
 * does what has to be done about its rows.  dropped are the tables that are
 * dropped with it, or NIL, where it is only emptied.  True where what was
 * dropped has been kept for all to whom it was of interest.
 */
bool
ls_purge_read(Relation rel, const List *dropped)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore table that goes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	LsCapture	capture = {0};
	Fate	   *fates;
	bool		any = false;
	bool		all = true;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	old = MemoryContextSwitchTo(context);
	ls_capture_begin(&capture, rel, false);
	fates = palloc(sizeof(Fate) * Max(1, capture.table->nbindings));
	for (int i = 0; i < capture.table->nbindings; i++)
	{
		fates[i] = fate_of(&capture, &capture.table->bindings[i], dropped);
		any |= fates[i] != FATE_NONE;
		all &= fates[i] != FATE_NONE || capture.table->bindings[i].source == NULL;
	}
	if (any)
		show_rows(&capture, fates);
	merge_few(&capture);
	ls_flush_rows();
	ls_capture_end(&capture);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return all;
}
