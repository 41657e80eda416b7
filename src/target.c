/*-------------------------------------------------------------------------
 *
 * target.c
 *		A table of ours, written row by row through the executor.
 *
 * As logical replication writes rows, without SQL, which would set up an executor
 * for each of them.  Who writes so at a transaction snapshot must know that
 * nobody else has changed the row since, or that nobody will look at it.
 *
 *-------------------------------------------------------------------------
 */
#include "target.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/snapmgr.h"

#include "compat.h"

/*
 * ls_target_open gets ready to write to a table.  key names the columns of its
 * primary key, by which rows are found; NULL where none has to be.
 */
void
ls_target_open(LsTarget *target, Oid relid, const char *key)
{
	TupleDesc	desc;

	target->rel = table_open(relid, RowExclusiveLock);
	target->key_index = key ? ls_primary_key_index(target->rel) : InvalidOid;
	if (key && !OidIsValid(target->key_index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(target->rel)),
				 errhint("Add PRIMARY KEY (%s), as a restored dump does at its end.", key)));
	target->estate = CreateExecutorState();
	target->estate->es_snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;
	target->info = makeNode(ResultRelInfo);
	InitResultRelInfo(target->info, target->rel, 0, NULL, 0);
	ExecOpenIndices(target->info, false);
	desc = RelationGetDescr(target->rel);
	target->search = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	target->found = table_slot_create(target->rel, NULL);
	target->written = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
}

void
ls_target_close(LsTarget *target)
{
	ExecCloseIndices(target->info);
	ExecDropSingleTupleTableSlot(target->search);
	ExecDropSingleTupleTableSlot(target->found);
	ExecDropSingleTupleTableSlot(target->written);
	/* those that triggers of the table were given */
	ExecResetTupleTable(target->estate->es_tupleTable, false);
	FreeExecutorState(target->estate);
	table_close(target->rel, NoLock);
}

/*
 * ls_target_find locks the row with the key in search, where there is one, and
 * puts its newest version into found: a transaction that held it has ended.
 */
bool
ls_target_find(LsTarget *target)
{
	return ls_find_by_index(target->rel, target->key_index,
							LockTupleNoKeyExclusive, target->search, target->found);
}

/*
 * ls_target_find_free does so without waiting, for a key of one column.  False
 * where somebody holds the row.
 */
bool
ls_target_find_free(LsTarget *target, ScanKey key, bool *exists)
{
	Relation	index = index_open(target->key_index, NoLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = ls_index_beginscan(target->rel, index, snapshot, 1);
	TM_FailureData failure;
	TM_Result	result = TM_Deleted;

	index_rescan(scan, key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, target->found))
		result = table_tuple_lock(target->rel, &target->found->tts_tid, snapshot,
								  target->found, GetCurrentCommandId(false),
								  LockTupleNoKeyExclusive, LockWaitSkip,
								  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	index_endscan(scan);
	index_close(index, NoLock);
	UnregisterSnapshot(snapshot);
	*exists = result == TM_Ok;
	return result != TM_WouldBlock;
}

/* ls_target_insert inserts what is in written. */
void
ls_target_insert(LsTarget *target)
{
	target->estate->es_output_cid = GetCurrentCommandId(true);
	ExecSimpleRelationInsert(target->info, target->estate, target->written);
	ResetPerTupleExprContext(target->estate);
}

/* ls_target_update puts what is in written in the place of the row found. */
void
ls_target_update(LsTarget *target)
{
	EPQState	epq;

	ls_eval_plan_qual_init(&epq, target->estate);
	target->estate->es_output_cid = GetCurrentCommandId(true);
	ExecSimpleRelationUpdate(target->info, target->estate, &epq,
							 target->found, target->written);
	EvalPlanQualEnd(&epq);
	ResetPerTupleExprContext(target->estate);
}

/* ls_target_delete deletes the row found. */
void
ls_target_delete(LsTarget *target)
{
	EPQState	epq;

	ls_eval_plan_qual_init(&epq, target->estate);
	target->estate->es_output_cid = GetCurrentCommandId(true);
	ExecSimpleRelationDelete(target->info, target->estate, &epq, target->found);
	EvalPlanQualEnd(&epq);
	ResetPerTupleExprContext(target->estate);
}
