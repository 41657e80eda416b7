/*-------------------------------------------------------------------------
 *
 * purge.c
 *		Tables that are truncated or dropped: purged contributions, or recomputation.
 *
 * If a source keeps the points of deleted rows, these rows are matched with the rules
 * as new ones are, and become purged contributions (purged_table.c).
 *
 * TRUNCATE and DROP TABLE remove all rows of a table, under an ACCESS EXCLUSIVE lock.
 * So they read the table before, and then only insert rows: purged contributions, or
 * pending recomputes of contacts.  They wait for no other table and for no contact, so
 * there is no deadlock with sessions that write to the other tables of a model.
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

/* how many contacts are recomputed at once; more are left to the worker */
#define FEW_CONTACTS	10000

/* What happens to the effect of a removed table's rows, for one binding */
typedef enum Fate
{
	FATE_NONE,
	FATE_RECOMPUTE,
	FATE_KEEP
} Fate;

/*
 * show_rows reads the table with the newest snapshot, whatever that of the transaction:
 * neither TRUNCATE nor DROP TABLE respects it.
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
	{
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
		if (ls_deferred_full())
			ls_deferred_spill();
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	PopActiveSnapshot();
}

/*
 * fate_of decides, for one binding, between a purged contribution, a recompute and
 * nothing.
 */
static Fate
fate_of(const LsCapture *capture, const LsBinding *binding, const List *dropped)
{
	/* rows that are dropped together with their source leave no contributions */
	if (dropped != NIL)
		return binding->source && !list_member_oid(dropped, binding->source->relation) ?
			FATE_KEEP : FATE_NONE;
	if (binding->source && ls_purged_is_kept(capture->table->models[binding->model], binding->source))
		return FATE_KEEP;
	return binding->purges_only ? FATE_NONE : FATE_RECOMPUTE;
}

/*
 * merge_few has pending recomputes merged when the statement ends, as far as that does
 * not wait for locks, if they are of few contacts; else the worker merges them.
 */
static void
merge_few(LsCapture *capture)
{
	for (int m = 0; m < capture->table->nmodels; m++)
	{
		LsModel    *model = capture->table->models[m];
		LsDeferredSet *pending = ls_deferred_set(model, LS_DEFERRED_PENDING, NULL);
		LsDeferredSet *set = ls_deferred_set(model, LS_DEFERRED_WRITE, NULL);

		if (capture->models[m].pending || pending->spills || pending->n > FEW_CONTACTS)
			continue;
		for (int i = 0; i < pending->n; i++)
			ls_deferred_contact(set, pending->items[i]->contact)->merge_pending = true;
	}
}

/*
 * ls_purge_read reads a table that is about to be truncated or dropped, under an ACCESS
 * EXCLUSIVE lock, and inserts purged contributions or pending recomputes.  dropped are
 * the tables that are dropped together, or NIL for TRUNCATE.  True if all rows of
 * sources became purged contributions.
 */
bool
ls_purge_read(Relation rel, const List *dropped)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore table that goes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	LsCapture  *capture;
	Fate	   *fates;
	bool		any = false;
	bool		all = true;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	old = MemoryContextSwitchTo(context);
	capture = ls_capture_begin(rel, false);
	fates = palloc(sizeof(Fate) * Max(1, capture->table->nbindings));
	for (int i = 0; i < capture->table->nbindings; i++)
	{
		fates[i] = fate_of(capture, &capture->table->bindings[i], dropped);
		any |= fates[i] != FATE_NONE;
		all &= fates[i] != FATE_NONE || capture->table->bindings[i].source == NULL;
	}
	if (any)
		show_rows(capture, fates);
	merge_few(capture);
	ls_flush_rows();
	ls_capture_end(capture);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return all;
}
