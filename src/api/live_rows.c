/*-------------------------------------------------------------------------
 *
 * live_rows.c
 *		Rows of a table, read by their ctid.
 *
 * A query that scans a table asks for one row of a page after the other.  Where it does,
 * the page is copied, with what the snapshot sees of it, and the rows are taken from the
 * copy: a row that a snapshot sees does not change while the snapshot is in use.  No pin
 * and no lock is held from one call to the next.
 *
 *-------------------------------------------------------------------------
 */
#include "api/live_rows.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/snapmgr.h"

struct LsLiveRows
{
	MemoryContext context;
	Oid			table;
	BlockNumber nblocks;		/* at least so many pages it has */
	TupleTableSlot *slot;		/* has the row, if it was read by itself */
	/* pages that are copied */
	bool		copies;
	BlockNumber last;			/* the page of the last row */
	BlockNumber block;			/* the page that is copied; InvalidBlockNumber: none */
	PGAlignedBlock *page;
	bool	   *visible;		/* by offset */
	Datum	   *values;
	bool	   *nulls;
};

/*
 * ls_live_rows_make makes what reads rows of a table with the active snapshot, and lasts
 * as long as the current memory context.  The caller holds a lock on the table.
 */
LsLiveRows *
ls_live_rows_make(Relation rel)
{
	LsLiveRows *rows = palloc0(sizeof(LsLiveRows));
	/* with the values of columns that were added later, which rows do not have */
	TupleDesc	desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));

	rows->context = CurrentMemoryContext;
	rows->table = RelationGetRelid(rel);
	rows->slot = MakeSingleTupleTableSlot(desc, table_slot_callbacks(rel));
	/* a serializable transaction locks each row that it reads */
	rows->copies = rel->rd_tableam == GetHeapamTableAmRoutine() && !IsolationIsSerializable() &&
		IsMVCCSnapshot(GetActiveSnapshot());
	rows->last = InvalidBlockNumber;
	rows->block = InvalidBlockNumber;
	return rows;
}

/* make_room makes room for a copied page. */
static void
make_room(LsLiveRows *rows)
{
	int			natts = rows->slot->tts_tupleDescriptor->natts;
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	rows->page = palloc(sizeof(PGAlignedBlock));
	rows->visible = palloc(sizeof(bool) * (MaxHeapTuplesPerPage + 1));
	rows->values = palloc(sizeof(Datum) * natts);
	rows->nulls = palloc(sizeof(bool) * natts);
	MemoryContextSwitchTo(old);
}

/* tuple_at gives the tuple at an offset of a page. */
static HeapTupleData
tuple_at(const LsLiveRows *rows, Page page, BlockNumber block, OffsetNumber offset)
{
	ItemId		item = PageGetItemId(page, offset);
	HeapTupleData tuple;

	tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple.t_len = ItemIdGetLength(item);
	tuple.t_tableOid = rows->table;
	ItemPointerSet(&tuple.t_self, block, offset);
	return tuple;
}

/* copy_page copies a page, and finds out which of its rows the active snapshot sees. */
static void
copy_page(LsLiveRows *rows, Relation rel, BlockNumber block)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Buffer		buffer = ReadBuffer(rel, block);
	Page		page = BufferGetPage(buffer);
	OffsetNumber most;

	if (rows->page == NULL)
		make_room(rows);
	rows->block = InvalidBlockNumber;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	most = PageGetMaxOffsetNumber(page);
	memset(rows->visible, false, sizeof(bool) * (MaxHeapTuplesPerPage + 1));
	for (OffsetNumber offset = FirstOffsetNumber; offset <= most; offset++)
	{
		HeapTupleData tuple;

		if (!ItemIdIsNormal(PageGetItemId(page, offset)))
			continue;
		tuple = tuple_at(rows, page, block, offset);
		rows->visible[offset] = HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer);
	}
	memcpy(rows->page->data, page, BLCKSZ);
	UnlockReleaseBuffer(buffer);
	rows->block = block;
}

/* read_copy reads a row of the copied page. */
static bool
read_copy(LsLiveRows *rows, OffsetNumber offset, Datum **values, bool **nulls)
{
	HeapTupleData tuple;

	if (offset > MaxHeapTuplesPerPage || !rows->visible[offset])
		return false;
	tuple = tuple_at(rows, (Page) rows->page->data, rows->block, offset);
	heap_deform_tuple(&tuple, rows->slot->tts_tupleDescriptor, rows->values, rows->nulls);
	*values = rows->values;
	*nulls = rows->nulls;
	return true;
}

/* read_single reads one row into the slot. */
static bool
read_single(LsLiveRows *rows, Relation rel, ItemPointer at, Datum **values, bool **nulls)
{
	if (!table_tuple_fetch_row_version(rel, at, GetActiveSnapshot(), rows->slot))
		return false;
	slot_getallattrs(rows->slot);
	*values = rows->slot->tts_values;
	*nulls = rows->slot->tts_isnull;
	return true;
}

/*
 * ls_live_rows_read gives the values of the row at a ctid, if the active snapshot sees
 * it: they last until ls_live_rows_clear.  A forged ctid may point anywhere.
 */
bool
ls_live_rows_read(LsLiveRows *rows, ItemPointer at, Datum **values, bool **nulls)
{
	BlockNumber block;
	BlockNumber last = rows->last;
	Relation	rel;
	bool		found = false;

	if (!ItemPointerIsValid(at))
		return false;
	block = ItemPointerGetBlockNumber(at);
	if (block == rows->block && block != InvalidBlockNumber)
		return read_copy(rows, ItemPointerGetOffsetNumber(at), values, nulls);
	rel = table_open(rows->table, NoLock);
	if (block >= rows->nblocks)
		rows->nblocks = RelationGetNumberOfBlocks(rel);
	if (block < rows->nblocks)
	{
		rows->last = block;
		/* the second row of a page, or the first after another page: more will come */
		if (rows->copies && last != InvalidBlockNumber && (block == last || block == last + 1))
		{
			copy_page(rows, rel, block);
			found = read_copy(rows, ItemPointerGetOffsetNumber(at), values, nulls);
		}
		else
			found = read_single(rows, rel, at, values, nulls);
	}
	table_close(rel, NoLock);
	return found;
}

/* ls_live_rows_clear ends the use of the row that was read last. */
void
ls_live_rows_clear(LsLiveRows *rows)
{
	ExecClearTuple(rows->slot);
}
