/*-------------------------------------------------------------------------
 *
 * heap_writer.c
 *		A table of the extension's, written row by row through the executor.
 *
 * As logical replication writes rows, without SQL, which would set up an executor
 * for each of them.  Statement triggers do not fire.
 *
 * A row is locked before it is updated or deleted.  Where the transaction has a
 * transaction snapshot, the version that it sees has to be the newest
 * (ls_heap_writer_find_seen), or else it would see two versions of the row after an
 * update; unless another lock tells that no other transaction has changed the row
 * since, or the caller sees to that (ls_heap_writer_find).
 *
 * Where nothing has to be read under the lock, a plain row may be read without it
 * (ls_heap_writer_read), and replaced provided that the version that was read is still
 * the newest (ls_heap_writer_replace).  That saves a record of the lock in the page and
 * in the WAL.
 *
 * A row of a heap is fetched here and not by index_getnext_slot(), which looks at each
 * read whether the page can be pruned.  As a page has free space for several versions
 * (fillfactor), it is pruned only where the next version would have no room: then the
 * update stays a HOT one, and needs no index entries.  Indexes are opened when entries
 * are inserted.
 *
 * What is made to write to a table is kept for the next statement that does: see
 * "What is kept" below.
 *
 * The tables of a model belong to its owner, who may have put triggers, check
 * constraints or indexes on them.  They run as the table's owner, as with what is
 * written to it by SQL (ls_user_switch_to_owner).
 *
 *-------------------------------------------------------------------------
 */
#include "base/heap_writer.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/relation.h"
#include "base/table_scan.h"
#include "base/user.h"

/*
 * look_up_triggers looks up the functions of triggers.  PostgreSQL would at the first
 * call, and what they keep from one call to the next would be in the memory of one row.
 */
static void
look_up_triggers(LsHeapWriter *writer)
{
	const TriggerDesc *triggers = writer->info->ri_TrigDesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		fmgr_info_cxt(triggers->triggers[i].tgfoid, &writer->info->ri_TrigFunctions[i],
					  writer->estate->es_query_cxt);
}

/* make_found makes the slot of the row that is found. */
static void
make_found(LsHeapWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);

	writer->found = MakeSingleTupleTableSlot(writer->written->tts_tupleDescriptor,
											 table_slot_callbacks(writer->rel));
	MemoryContextSwitchTo(old);
}

/* make_writer makes all that lasts until the table is changed, in memory of its own. */
static void
make_writer(LsHeapWriter *writer, int nkey)
{
	Relation	rel = writer->rel;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore table writer",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TupleDesc	desc;

	memset(writer, 0, sizeof(LsHeapWriter));
	writer->rel = rel;
	writer->context = context;
	writer->nkey = nkey;
	writer->leaf = writer->page = (LsRecentPage) {InvalidBlockNumber, InvalidBuffer, InvalidOffsetNumber};
	writer->key_index = nkey > 0 ? ls_table_scan_key_index_required(rel, nkey) : InvalidOid;
	writer->estate = CreateExecutorState();
	writer->info = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->info, rel, 0, NULL, 0);
	/* AFTER triggers look for it there */
	MemoryContextSwitchTo(writer->estate->es_query_cxt);
	writer->estate->es_opened_result_relations = list_make1(writer->info);
	MemoryContextSwitchTo(context);
	writer->queues_triggers = ls_relation_queues_triggers(rel);
	writer->runs_code = ls_relation_runs_code(rel);
	writer->heap = rel->rd_tableam == GetHeapamTableAmRoutine();
	writer->plain = writer->heap && !writer->runs_code && !rel->rd_rel->relispartition;
	/* a function of the owner's may be replaced, and may itself keep what it likes */
	writer->keepable = writer->heap && !rel->rd_rel->relispartition && !ls_relation_runs_own_code(rel);
	if (writer->runs_code)
		look_up_triggers(writer);
	/* with the defaults of columns that were added later */
	desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	writer->all_key = nkey == desc->natts;
	if (nkey > 0)
		writer->search = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	writer->written = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	if (nkey > 0)
		make_found(writer);
	MemoryContextSwitchTo(old);
}

/* ---------- what is kept ---------- */

/*
 * What is kept: the executor's state of a table, with constraints compiled, slots, and
 * what is known of its indexes.  No relation is kept open, no buffer pinned, no
 * descriptor of the relation cache referred to.  What is kept of a table is taken out of the list
 * while it is used, and its memory is the user's then: nested statements take or make another,
 * and an error frees it like anything else.  It goes back when the table is closed,
 * unless the table, or any other, was changed meanwhile.
 */
typedef struct LsKeptWriter
{
	struct LsKeptWriter *next;
	Oid			table;
	LsHeapWriter writer;
} LsKeptWriter;

/* How many are kept; then it starts anew */
#define MAX_KEPT	64

static LsKeptWriter *kept = NULL;	/* the last used one first */
static int	nkept = 0;
static uint64 changes = 0;		/* invalidations of relations so far */

/*
 * ls_heap_writer_forget forgets what is kept of a table that has changed, or of all:
 * InvalidOid.
 */
void
ls_heap_writer_forget(Oid table)
{
	LsKeptWriter **place = &kept;

	changes++;
	while (*place)
	{
		LsKeptWriter *this = *place;

		if (OidIsValid(table) && this->table != table)
		{
			place = &this->next;
			continue;
		}
		*place = this->next;
		nkept--;
		MemoryContextDelete(this->writer.context);
	}
}

/* take takes what is kept of the table. */
static bool
take(LsHeapWriter *writer, int nkey)
{
	Relation	rel = writer->rel;
	LsKeptWriter **place = &kept;
	LsKeptWriter *this;

	while (*place && ((*place)->table != RelationGetRelid(rel) || (*place)->writer.nkey != nkey))
		place = &(*place)->next;
	this = *place;
	if (this == NULL)
		return false;
	*place = this->next;
	nkept--;
	*writer = this->writer;
	writer->kept = this;
	writer->rel = rel;
	MemoryContextSetParent(writer->context, CurrentMemoryContext);
	return true;
}

/* give keeps what was made to write to a table, whose relations are closed. */
static void
give(LsHeapWriter *writer, Oid table)
{
	LsKeptWriter *this = writer->kept;

	if (nkept >= MAX_KEPT)
	{
		uint64		before = changes;

		ls_heap_writer_forget(InvalidOid);
		changes = before;
	}
	if (this == NULL)
		this = MemoryContextAlloc(writer->context, sizeof(LsKeptWriter));
	writer->rel = writer->index = writer->info->ri_RelationDesc = NULL;
	writer->estate->es_snapshot = NULL;
	this->writer = *writer;
	this->table = table;
	this->next = kept;
	kept = this;
	nkept++;
	MemoryContextSetParent(writer->context, CacheMemoryContext);
}

/* ---------- opening and closing ---------- */

/*
 * note_indices notes the indexes that were opened, to open them again.  Of other access
 * methods than btree nothing is kept, as they may keep relations themselves.
 */
static void
note_indices(LsHeapWriter *writer)
{
	bool		btrees = true;

	writer->nindices = writer->info->ri_NumIndices;
	writer->indices = palloc(sizeof(Oid) * Max(1, writer->nindices));
	for (int i = 0; i < writer->nindices; i++)
	{
		Relation	index = writer->info->ri_IndexRelationDescs[i];

		writer->indices[i] = RelationGetRelid(index);
		btrees &= index->rd_rel->relam == BTREE_AM_OID;
	}
	writer->indices_kept = btrees;
}

/*
 * open_indices opens the table's indexes, to insert entries.  Expressions of indexes
 * are simplified, by which functions are run.
 */
static void
open_indices(LsHeapWriter *writer)
{
	MemoryContext old;
	LsUser		saved;

	if (writer->indices_open)
		return;
	writer->indices_open = true;
	if (writer->indices)
	{
		for (int i = 0; i < writer->nindices; i++)
			writer->info->ri_IndexRelationDescs[i] = index_open(writer->indices[i], RowExclusiveLock);
		writer->info->ri_NumIndices = writer->nindices;
		return;
	}
	writer->index_context = AllocSetContextCreate(writer->estate->es_query_cxt,
												  "leadscore indexes", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(writer->index_context);
	if (writer->runs_code)
		ls_user_switch_to_owner(writer->rel->rd_rel->relowner, &saved);
	ExecOpenIndices(writer->info, false);
	if (writer->runs_code)
		ls_user_restore(&saved);
	note_indices(writer);
	MemoryContextSwitchTo(old);
}

/*
 * ls_heap_writer_open gets ready to write to a table.  Rows are found by the primary
 * key, which is its first nkey columns; 0 where none has to be found.
 */
void
ls_heap_writer_open(LsHeapWriter *writer, Oid relid, int nkey)
{
	uint64		before;

	writer->rel = table_open(relid, RowExclusiveLock);
	before = changes;
	if (!take(writer, nkey))
		make_writer(writer, nkey);
	writer->changes = before;
	writer->nowait = false;
	writer->info->ri_RelationDesc = writer->rel;
	writer->estate->es_snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;
}

/* clear_slots lets go of what the slots refer to. */
static void
clear_slots(LsHeapWriter *writer)
{
	if (writer->search)
		ExecClearTuple(writer->search);
	if (writer->found)
		ExecClearTuple(writer->found);
	ExecClearTuple(writer->written);
	/* slots that were made for triggers */
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
}

/* forget_indices forgets the closed indexes, except what is kept of them. */
static void
forget_indices(LsHeapWriter *writer)
{
	writer->info->ri_NumIndices = 0;
	writer->indices_open = false;
	if (writer->indices == NULL || writer->indices_kept)
		return;
	MemoryContextDelete(writer->index_context);
	writer->indices = NULL;
}

void
ls_heap_writer_close(LsHeapWriter *writer)
{
	EState	   *estate = writer->estate;
	Oid			table = RelationGetRelid(writer->rel);

	clear_slots(writer);
	writer->leaf = writer->page = (LsRecentPage) {InvalidBlockNumber, InvalidBuffer, InvalidOffsetNumber};
	if (writer->index)
		index_close(writer->index, RowExclusiveLock);
	ExecCloseResultRelations(estate);
	forget_indices(writer);
	table_close(writer->rel, NoLock);
	if (writer->keepable && writer->changes == changes)
	{
		if (estate->es_per_tuple_exprcontext)
			ReScanExprContext(estate->es_per_tuple_exprcontext);
		give(writer, table);
	}
	else
	{
		FreeExecutorState(estate);
		MemoryContextDelete(writer->context);
	}
}

/* What is restored after a write */
typedef struct Write
{
	LsUser		saved;
	ErrorContextCallback context;
} Write;

/*
 * begin_write switches to the table's owner, as whom triggers, constraints and
 * expressions of indexes run.  Where there are none, settings do not matter.
 */
static void
begin_write(LsHeapWriter *writer, Write *write)
{
	ls_error_hint_retry(&write->context);
	if (writer->runs_code)
		ls_user_switch_to_owner(writer->rel->rd_rel->relowner, &write->saved);
	if (writer->queues_triggers && !writer->holds)
		AfterTriggerBeginQuery();
	writer->estate->es_output_cid = GetCurrentCommandId(true);
}

/* fire fires queued triggers. */
static void
fire(LsHeapWriter *writer)
{
	bool		snapshot = !ActiveSnapshotSet();

	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	AfterTriggerEndQuery(writer->estate);
	if (snapshot)
		PopActiveSnapshot();
}

/* end_write fires queued triggers, and restores the user. */
static void
end_write(LsHeapWriter *writer, const Write *write)
{
	if (writer->queues_triggers && !writer->holds)
		fire(writer);
	ResetPerTupleExprContext(writer->estate);
	if (writer->runs_code)
		ls_user_restore(&write->saved);
	error_context_stack = write->context.previous;
}

/*
 * ls_heap_writer_hold keeps AFTER triggers back until ls_heap_writer_release, so that
 * what they write finds all that belongs to a row.
 */
void
ls_heap_writer_hold(LsHeapWriter *writer)
{
	writer->holds = true;
	if (writer->queues_triggers)
		AfterTriggerBeginQuery();
}

void
ls_heap_writer_release(LsHeapWriter *writer)
{
	Write		write;

	if (writer->queues_triggers)
	{
		begin_write(writer, &write);
		writer->holds = false;
		end_write(writer, &write);
	}
	writer->holds = false;
}

/* ls_heap_writer_run has a function write, with the indexes open. */
void
ls_heap_writer_run(LsHeapWriter *writer, void (*function) (LsHeapWriter *writer, void *arg), void *arg)
{
	Write		write;

	open_indices(writer);
	begin_write(writer, &write);
	function(writer, arg);
	end_write(writer, &write);
}

/* ---------- finding ---------- */

/* The page of the row found has not been looked at: it is not pruned */
#define UNKNOWN_ROOM	((Size) -1)

/* fill_keys gives the key in search to the scan keys, which it makes at first. */
static void
fill_keys(LsHeapWriter *writer)
{
	if (writer->index == NULL)
		writer->index = index_open(writer->key_index, RowExclusiveLock);
	if (writer->nkeys == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->estate->es_query_cxt);

		writer->nkeys = ls_table_scan_keys(writer->keys, writer->index);
		MemoryContextSwitchTo(old);
	}
	for (int i = 0; i < writer->nkeys; i++)
		writer->keys[i].sk_argument = writer->search->tts_values[i];
}

/* fetch_from_heap copies the newest version of the row at an index entry's place into found. */
static bool
fetch_from_heap(LsHeapWriter *writer, Snapshot snapshot, ItemPointer place, bool *all_dead)
{
	return ls_table_scan_fetch(&writer->page, writer->rel, snapshot, place, all_dead, writer->found,
							   &writer->room);
}

/* fetch copies the newest version of the row that is looked for into found. */
static bool
fetch(LsHeapWriter *writer, IndexScanDesc scan)
{
	ItemPointer place;

	while ((place = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		if (writer->heap)
		{
			bool		all_dead = false;

			if (fetch_from_heap(writer, scan->xs_snapshot, place, &all_dead))
				return true;
			if (!scan->xactStartedInRecovery)
				scan->kill_prior_tuple = all_dead;
		}
		else if (index_fetch_heap(scan, writer->found))
		{
			ExecMaterializeSlot(writer->found);
			return true;
		}
	}
	return false;
}

/* descend scans the index for look_up(), and again after each wait. */
static bool
descend(LsHeapWriter *writer, bool nowait)
{
	SnapshotData snapshot;
	IndexScanDesc scan;
	TransactionId other;
	bool		found;

	InitDirtySnapshot(snapshot);
	scan = ls_index_beginscan(writer->rel, writer->index, &snapshot, writer->nkeys);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		index_rescan(scan, writer->keys, writer->nkeys, NULL, 0);
		found = fetch(writer, scan);
		/* the transactions are those of the row that is found */
		other = !found ? InvalidTransactionId :
			TransactionIdIsValid(snapshot.xmin) ? snapshot.xmin : snapshot.xmax;
		writer->busy = TransactionIdIsValid(other);
		if (!writer->busy || nowait)
			break;
		XactLockTableWait(other, NULL, NULL, XLTW_None);
	}
	if (found && writer->heap && writer->nkeys == 1)
		ls_table_scan_remember(&writer->leaf, scan);
	index_endscan(scan);
	return found;
}

/*
 * look_up_near looks on the leaf page of the index where the last row was found.  False
 * where that does not tell of the row, or there is something to wait for.
 */
static bool
look_up_near(LsHeapWriter *writer)
{
	ItemPointerData places[LS_TABLE_SCAN_PLACES];
	SnapshotData snapshot;
	Buffer		leaf;
	int			n = ls_table_scan_look_near(&writer->leaf, writer->index,
											writer->keys[0].sk_argument, places, &leaf);
	bool		found = false;
	bool		all_dead = false;

	if (n == 0)
		return false;
	InitDirtySnapshot(snapshot);
	for (int i = 0; i < n && !found && !all_dead; i++)
		found = fetch_from_heap(writer, &snapshot, &places[i], &all_dead);
	ReleaseBuffer(leaf);
	return found && !TransactionIdIsValid(snapshot.xmin) && !TransactionIdIsValid(snapshot.xmax);
}

/*
 * look_up puts the newest version of the row with the key in search into found.  It waits for
 * a transaction that has changed the row, unless nowait: then there may be another version.
 */
static bool
look_up(LsHeapWriter *writer, bool nowait)
{
	fill_keys(writer);
	writer->busy = false;
	return look_up_near(writer) || descend(writer, nowait);
}

/*
 * lock_found locks the row in found, of which no running transaction has a version.
 * False where another transaction has been faster: it has to be looked for again.
 */
static bool
lock_found(LsHeapWriter *writer)
{
	TM_FailureData failure;
	TM_Result	result;

	PushActiveSnapshot(GetLatestSnapshot());
	result = table_tuple_lock(writer->rel, &writer->found->tts_tid, GetActiveSnapshot(),
							  writer->found, GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive, LockWaitBlock, 0, &failure);
	PopActiveSnapshot();
	if (result == TM_Invisible)
		elog(ERROR, "attempted to lock invisible tuple");
	if (result == TM_Ok)
		ExecMaterializeSlot(writer->found);
	return result == TM_Ok;
}

/*
 * ls_heap_writer_find locks the row with the key in search, where there is one, and
 * puts its newest version into found.  It waits for a transaction that holds the row.
 *
 * RelationFindReplTupleByIndex() may compare all the columns of a row.
 */
bool
ls_heap_writer_find(LsHeapWriter *writer)
{
	LsUser		saved;
	bool		found;

	if (writer->runs_code)
		ls_user_switch_to_owner(writer->rel->rd_rel->relowner, &saved);
	do
		found = look_up(writer, false);
	while (found && !lock_found(writer));
	if (writer->runs_code)
		ls_user_restore(&saved);
	return found;
}

/*
 * ls_heap_writer_read puts the newest version of the row with the key in search into
 * found without locking the row.  It waits for a transaction that has changed the row,
 * not for one that has locked it; with nowait it is busy then.  Only a plain row is read
 * so.
 *
 * Until the row is replaced a snapshot has to be active: it keeps other sessions from
 * pruning the version that was read, whose place might then be that of another row.
 */
bool
ls_heap_writer_read(LsHeapWriter *writer)
{
	Assert(writer->plain && ActiveSnapshotSet() && !IsolationUsesXactSnapshot());
	return look_up(writer, writer->nowait) && !writer->busy;
}

/*
 * find_in locks the row with the key in search that a snapshot sees.  A row that
 * is not there, or was changed by this very command, is TM_Invisible.
 */
static TM_Result
find_in(LsHeapWriter *writer, Snapshot snapshot, LockWaitPolicy wait, int flags)
{
	IndexScanDesc scan;
	TM_FailureData failure;
	TM_Result	result = TM_Invisible;
	LsUser		saved;

	if (writer->runs_code)
		ls_user_switch_to_owner(writer->rel->rd_rel->relowner, &saved);
	writer->room = UNKNOWN_ROOM;
	fill_keys(writer);
	snapshot = RegisterSnapshot(snapshot);
	scan = ls_index_beginscan(writer->rel, writer->index, snapshot, writer->nkeys);
	index_rescan(scan, writer->keys, writer->nkeys, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, writer->found))
		result = table_tuple_lock(writer->rel, &writer->found->tts_tid, snapshot,
								  writer->found, GetCurrentCommandId(false),
								  LockTupleNoKeyExclusive, wait, flags, &failure);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	if (writer->runs_code)
		ls_user_restore(&saved);
	return result;
}

/*
 * ls_heap_writer_find_free locks the newest version of a row without waiting.  False
 * where another transaction holds it.
 */
bool
ls_heap_writer_find_free(LsHeapWriter *writer, bool *exists)
{
	TM_Result	result = find_in(writer, GetLatestSnapshot(), LockWaitSkip,
								 TUPLE_LOCK_FLAG_FIND_LAST_VERSION);

	*exists = result == TM_Ok;
	return result != TM_WouldBlock;
}

/*
 * ls_heap_writer_find_seen locks the row that the transaction's snapshot sees, and
 * fails where it is not the newest, as SELECT ... FOR UPDATE does; also where there
 * is one by now that the snapshot does not see.
 */
bool
ls_heap_writer_find_seen(LsHeapWriter *writer)
{
	TM_Result	result;

	/* what this transaction has written itself is seen */
	CommandCounterIncrement();
	result = find_in(writer, GetTransactionSnapshot(), LockWaitBlock, 0);
	if (result == TM_Invisible)
		result = find_in(writer, GetLatestSnapshot(), LockWaitSkip, 0) == TM_Invisible ?
			TM_Invisible : TM_Updated;
	if (result == TM_Updated || result == TM_Deleted)
		ls_error_serialization(false);
	return result == TM_Ok;
}

/*
 * ls_heap_writer_lock locks a row that the active snapshot sees at a place, to be
 * deleted.  False where it is gone; at a transaction snapshot that is an error.
 */
bool
ls_heap_writer_lock(LsHeapWriter *writer, ItemPointer place)
{
	int			flags = IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	TM_FailureData failure;
	TM_Result	result;

	writer->room = UNKNOWN_ROOM;
	if (writer->found == NULL)
		make_found(writer);
	result = table_tuple_lock(writer->rel, place, GetActiveSnapshot(), writer->found,
							  GetCurrentCommandId(false), LockTupleExclusive, LockWaitBlock,
							  flags, &failure);
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ls_error_serialization(result == TM_Deleted);
	return result == TM_Ok;
}

/* ---------- writing ---------- */

/* ls_heap_writer_insert inserts the row in the slot written. */
void
ls_heap_writer_insert(LsHeapWriter *writer)
{
	Write		write;

	open_indices(writer);
	begin_write(writer, &write);
	ExecSimpleRelationInsert(writer->info, writer->estate, writer->written);
	end_write(writer, &write);
}

/*
 * insert_speculatively inserts what is in written unless the primary key has it, and
 * gives the indexes that are to be checked at the end of the transaction.
 */
static bool
insert_speculatively(LsHeapWriter *writer, List **recheck)
{
	TupleTableSlot *slot = writer->written;
	List	   *arbiters = list_make1_oid(writer->key_index);
	ItemPointerData conflict;

	/* each round waits for a transaction that has inserted such a row */
	for (;;)
	{
		bool		conflicts = false;
		uint32		token;

		CHECK_FOR_INTERRUPTS();
		if (!ls_check_index_constraints(writer->info, slot, writer->estate, &conflict, arbiters))
			return false;
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(writer->rel, slot, writer->estate->es_output_cid,
									   0, NULL, token);
		*recheck = ls_insert_index_tuples(writer->info, slot, writer->estate, &conflicts, arbiters);
		table_tuple_complete_speculative(writer->rel, slot, token, !conflicts);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		if (!conflicts)
			return true;
		list_free(*recheck);
	}
}

/* prepare_arbiter tells the primary key's index how to look for a conflict. */
static void
prepare_arbiter(LsHeapWriter *writer)
{
	ResultRelInfo *info = writer->info;
	MemoryContext old = MemoryContextSwitchTo(writer->index_context);

	for (int i = 0; i < info->ri_NumIndices; i++)
		if (RelationGetRelid(info->ri_IndexRelationDescs[i]) == writer->key_index &&
			info->ri_IndexRelationInfo[i]->ii_UniqueOps == NULL)
			BuildSpeculativeIndexInfo(info->ri_IndexRelationDescs[i],
									  info->ri_IndexRelationInfo[i]);
	MemoryContextSwitchTo(old);
}

/*
 * ls_heap_writer_insert_new inserts what is in written, as ON CONFLICT DO NOTHING
 * does.  False: there is such a row already, or a trigger has suppressed it.
 */
bool
ls_heap_writer_insert_new(LsHeapWriter *writer)
{
	TriggerDesc *triggers = writer->rel->trigdesc;
	TupleConstr *constraints = RelationGetDescr(writer->rel)->constr;
	EState	   *estate = writer->estate;
	List	   *recheck = NIL;
	bool		inserted = true;
	Write		write;

	open_indices(writer);
	begin_write(writer, &write);
	prepare_arbiter(writer);
	if (triggers && triggers->trig_insert_before_row)
		inserted = ExecBRInsertTriggers(estate, writer->info, writer->written);
	if (inserted && constraints && constraints->has_generated_stored)
		ExecComputeStoredGenerated(writer->info, estate, writer->written, CMD_INSERT);
	if (inserted && constraints)
		ExecConstraints(writer->info, writer->written, estate);
	inserted = inserted && insert_speculatively(writer, &recheck);
	if (inserted)
		ExecARInsertTriggers(estate, writer->info, writer->written, recheck, NULL);
	end_write(writer, &write);
	return inserted;
}

/* By how many bytes a row grows at most, as a rule */
#define GROWTH	256

/*
 * make_room prunes the page of the row found if it has no room for what is in written:
 * then the update may still be a HOT one.
 */
static void
make_room(LsHeapWriter *writer)
{
	TupleDesc	desc = RelationGetDescr(writer->rel);
	Size		length = ((HeapTupleTableSlot *) writer->found)->tuple->t_len;
	Buffer		buffer;

	if (writer->all_key || writer->room == UNKNOWN_ROOM || writer->room >= length + GROWTH)
		return;
	length = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(desc->natts)) +
		heap_compute_data_size(desc, writer->written->tts_values, writer->written->tts_isnull);
	if (writer->room >= MAXALIGN(length))
		return;
	buffer = ReadBuffer(writer->rel, ItemPointerGetBlockNumber(&writer->found->tts_tid));
	ls_heap_page_prune(writer->rel, buffer);
	ReleaseBuffer(buffer);
}

/*
 * replace replaces the version found of a plain row by the one in written, as
 * ExecSimpleRelationUpdate() does where there are no triggers, but leaves it to the
 * caller what is to be done where it is not the newest.
 */
static TM_Result
replace(LsHeapWriter *writer)
{
	Relation	rel = writer->rel;
	LsUpdatedIndexes updated;
	TM_Result	result;
	Write		write;

	begin_write(writer, &write);
	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	if (RelationGetDescr(rel)->constr)
		ExecConstraints(writer->info, writer->written, writer->estate);
	make_room(writer);
	result = ls_table_tuple_update(rel, &writer->found->tts_tid, writer->written,
								   writer->estate->es_output_cid, !writer->nowait, &updated);
	if (result == TM_Ok && ls_has_updated_indexes(updated))
	{
		open_indices(writer);
		list_free(ls_update_index_tuples(writer->info, writer->written, writer->estate,
										 !writer->all_key, updated));
	}
	else if (result == TM_SelfModified)
		elog(ERROR, "tuple already updated by self");
	end_write(writer, &write);
	return result;
}

/*
 * ls_heap_writer_replace replaces the row that ls_heap_writer_read has read.  False
 * where another transaction has changed or deleted it since: nothing was written then.
 * With nowait it is busy, too, where one has locked it.
 */
bool
ls_heap_writer_replace(LsHeapWriter *writer)
{
	TM_Result	result;

	Assert(writer->plain && ActiveSnapshotSet());
	result = replace(writer);
	writer->busy = result == TM_BeingModified;
	return result == TM_Ok;
}

/* ls_heap_writer_update replaces the row found, which is locked, by the one in written. */
void
ls_heap_writer_update(LsHeapWriter *writer)
{
	Write		write;
	EPQState	epq;

	if (writer->plain)
	{
		if (replace(writer) != TM_Ok)
			elog(ERROR, "tuple concurrently updated");
		return;
	}
	open_indices(writer);
	begin_write(writer, &write);
	ls_eval_plan_qual_init(&epq, writer->estate);
	ExecSimpleRelationUpdate(writer->info, writer->estate, &epq,
							 writer->found, writer->written);
	EvalPlanQualEnd(&epq);
	end_write(writer, &write);
}

/* ls_heap_writer_delete deletes the row found. */
void
ls_heap_writer_delete(LsHeapWriter *writer)
{
	Write		write;
	EPQState	epq;

	begin_write(writer, &write);
	ls_eval_plan_qual_init(&epq, writer->estate);
	ExecSimpleRelationDelete(writer->info, writer->estate, &epq, writer->found);
	EvalPlanQualEnd(&epq);
	end_write(writer, &write);
}
