/*-------------------------------------------------------------------------
 *
 * heap_writer.c
 *		A table of ours, written row by row through the executor.
 *
 * As logical replication writes rows, without SQL, which would set up an executor
 * for each of them.  Who writes so at a transaction snapshot must know that
 * nobody else has changed the row since, or that nobody will look at it.
 *
 * The tables of a model belong to its owner, who may have put triggers, check
 * constraints or indexes on them.  They are run as the table's owner, as all that
 * is written to it by SQL is (ls_user_switch_to_owner).
 *
 *-------------------------------------------------------------------------
 */
#include "base/heap_writer.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/table_index.h"
#include "base/user.h"

/*
 * ls_target_check refuses a table whose columns are not those that it was made
 * with: it belongs to the model's owner, who can alter it.
 */
void
ls_target_check(Relation rel, const Oid *types, int ncolumns)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		right = rel->rd_rel->relkind == RELKIND_RELATION && desc->natts == ncolumns;

	for (int i = 0; right && i < ncolumns; i++)
		right = TupleDescAttr(desc, i)->atttypid == types[i];
	if (!right)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns that leadscore gave it",
						RelationGetRelationName(rel)),
				 errhint("Undo what was done to it, or drop the model.")));
}

/* has_expressions tells whether an index of a table has expressions or a predicate. */
static bool
has_expressions(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		found |= !heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) ||
			!heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/* has_own_types tells whether keys are of a type that is not the server's. */
static bool
has_own_types(Relation rel)
{
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		if (TupleDescAttr(RelationGetDescr(rel), i)->atttypid >= FirstNormalObjectId)
			return true;
	return false;
}

/*
 * runs_code tells whether functions of the owner's may be run where rows are
 * written, or found to be written.
 */
static bool
runs_code(const LsTarget *target)
{
	const TriggerDesc *triggers = target->rel->trigdesc;

	if (target->rel->rd_att->constr &&
		(target->rel->rd_att->constr->num_check > 0 ||
		 target->rel->rd_att->constr->has_generated_stored))
		return true;
	if (triggers &&
		(triggers->trig_insert_before_row || triggers->trig_update_before_row ||
		 triggers->trig_delete_before_row || target->queues_triggers))
		return true;
	return has_own_types(target->rel) || has_expressions(target->rel);
}

/* queues_triggers tells whether there are AFTER triggers for each row. */
static bool
queues_triggers(const LsTarget *target)
{
	const TriggerDesc *triggers = target->rel->trigdesc;

	return triggers &&
		(triggers->trig_insert_after_row || triggers->trig_update_after_row ||
		 triggers->trig_delete_after_row);
}

/*
 * ls_target_open gets ready to write to a table, whose columns are of these types
 * (NULL: not checked).  Rows are found by the primary key, which is its first nkey
 * columns; 0 where none has to be found.
 */
void
ls_target_open(LsTarget *target, Oid relid, int nkey,
			   const Oid *types, int ncolumns)
{
	TupleDesc	desc;
	LsUser	saved;

	target->rel = table_open(relid, RowExclusiveLock);
	if (types)
		ls_target_check(target->rel, types, ncolumns);
	target->key_index = nkey > 0 ? ls_key_index_required(target->rel, nkey) : InvalidOid;
	target->estate = CreateExecutorState();
	target->estate->es_snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;
	target->info = makeNode(ResultRelInfo);
	InitResultRelInfo(target->info, target->rel, 0, NULL, 0);
	target->queues_triggers = queues_triggers(target);
	target->runs_code = runs_code(target);
	/* expressions of indexes are simplified, by which functions are run */
	if (target->runs_code)
		ls_user_switch_to_owner(target->rel->rd_rel->relowner, &saved);
	ExecOpenIndices(target->info, false);
	if (target->runs_code)
		ls_user_restore(&saved);
	desc = RelationGetDescr(target->rel);
	target->nkeys = 0;
	target->search = target->found = NULL;
	if (nkey > 0)
	{
		target->search = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
		target->found = table_slot_create(target->rel, NULL);
	}
	target->written = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
}

void
ls_target_close(LsTarget *target)
{
	ExecCloseIndices(target->info);
	if (target->search)
		ExecDropSingleTupleTableSlot(target->search);
	if (target->found)
		ExecDropSingleTupleTableSlot(target->found);
	ExecDropSingleTupleTableSlot(target->written);
	/* those that triggers of the table were given */
	ExecResetTupleTable(target->estate->es_tupleTable, false);
	ExecCloseResultRelations(target->estate);
	FreeExecutorState(target->estate);
	table_close(target->rel, NoLock);
}

/*
 * begin_write takes the rights of the table's owner, as whom triggers, constraints
 * and expressions of indexes are run.  Settings are of no consequence where there
 * are none.
 */
static void
begin_write(LsTarget *target, LsUser *saved)
{
	if (target->runs_code)
		ls_user_switch_to_owner(target->rel->rd_rel->relowner, saved);
	if (target->queues_triggers)
		AfterTriggerBeginQuery();
	target->estate->es_output_cid = GetCurrentCommandId(true);
}

/* end_write fires what was queued, and gives the rights back. */
static void
end_write(LsTarget *target, const LsUser *saved)
{
	if (target->queues_triggers)
	{
		bool		snapshot = !ActiveSnapshotSet();

		if (snapshot)
			PushActiveSnapshot(GetTransactionSnapshot());
		AfterTriggerEndQuery(target->estate);
		if (snapshot)
			PopActiveSnapshot();
	}
	ResetPerTupleExprContext(target->estate);
	if (target->runs_code)
		ls_user_restore(saved);
}

/* ---------- finding ---------- */

/* key_index gives the primary key's index, which was opened with the others. */
static Relation
key_index(const LsTarget *target)
{
	for (int i = 0; i < target->info->ri_NumIndices; i++)
		if (RelationGetRelid(target->info->ri_IndexRelationDescs[i]) == target->key_index)
			return target->info->ri_IndexRelationDescs[i];
	elog(ERROR, "index %u of table \"%s\" is not open", target->key_index,
		 RelationGetRelationName(target->rel));
	return NULL;				/* keep compiler quiet */
}

/* fill_keys gives the key in search to the scan keys, which it makes at first. */
static void
fill_keys(LsTarget *target, Relation index)
{
	if (target->nkeys == 0)
	{
		for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		{
			Oid			type = index->rd_opcintype[i];
			Oid			operator = get_opfamily_member(index->rd_opfamily[i], type, type,
													   BTEqualStrategyNumber);

			if (!OidIsValid(operator))
				elog(ERROR, "index \"%s\" has no operator for column %d",
					 RelationGetRelationName(index), i + 1);
			ScanKeyEntryInitialize(&target->keys[i], 0, i + 1, BTEqualStrategyNumber,
								   InvalidOid, index->rd_indcollation[i],
								   get_opcode(operator), (Datum) 0);
		}
		target->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	}
	for (int i = 0; i < target->nkeys; i++)
		target->keys[i].sk_argument = target->search->tts_values[i];
}

/*
 * lock_found locks the row in found, of which no transaction that is still going
 * on has a version.  False where another has been faster, and its newest version
 * is to be looked for again.
 */
static bool
lock_found(LsTarget *target)
{
	TM_FailureData failure;
	TM_Result	result;

	PushActiveSnapshot(GetLatestSnapshot());
	result = table_tuple_lock(target->rel, &target->found->tts_tid, GetActiveSnapshot(),
							  target->found, GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive, LockWaitBlock, 0, &failure);
	PopActiveSnapshot();
	if (result == TM_Invisible)
		elog(ERROR, "attempted to lock invisible tuple");
	return result == TM_Ok;
}

/*
 * ls_target_find locks the row with the key in search, where there is one, and
 * puts its newest version into found: a transaction that held it has ended.
 *
 * As RelationFindReplTupleByIndex() does it, which has come to compare all the
 * columns of a row unless the index is the table's replica identity (16), or the
 * caller says that the key will do (19).
 */
bool
ls_target_find(LsTarget *target)
{
	Relation	index = key_index(target);
	SnapshotData snapshot;
	IndexScanDesc scan;
	LsUser	saved;
	bool		found = false;

	if (target->runs_code)
		ls_user_switch_to_owner(target->rel->rd_rel->relowner, &saved);
	fill_keys(target, index);
	InitDirtySnapshot(snapshot);
	scan = ls_index_beginscan(target->rel, index, &snapshot, target->nkeys);
	/* each round waits for a transaction that has to do with the row */
	while (!found)
	{
		TransactionId other;

		CHECK_FOR_INTERRUPTS();
		index_rescan(scan, target->keys, target->nkeys, NULL, 0);
		if (!index_getnext_slot(scan, ForwardScanDirection, target->found))
			break;
		ExecMaterializeSlot(target->found);
		other = TransactionIdIsValid(snapshot.xmin) ? snapshot.xmin : snapshot.xmax;
		if (TransactionIdIsValid(other))
			XactLockTableWait(other, NULL, NULL, XLTW_None);
		else
			found = lock_found(target);
	}
	index_endscan(scan);
	if (target->runs_code)
		ls_user_restore(&saved);
	return found;
}

/* ls_target_find_free does so without waiting.  False where somebody holds the row. */
bool
ls_target_find_free(LsTarget *target, bool *exists)
{
	Relation	index = key_index(target);
	Snapshot	snapshot;
	IndexScanDesc scan;
	TM_FailureData failure;
	TM_Result	result = TM_Deleted;
	LsUser	saved;

	if (target->runs_code)
		ls_user_switch_to_owner(target->rel->rd_rel->relowner, &saved);
	fill_keys(target, index);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = ls_index_beginscan(target->rel, index, snapshot, target->nkeys);
	index_rescan(scan, target->keys, target->nkeys, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, target->found))
		result = table_tuple_lock(target->rel, &target->found->tts_tid, snapshot,
								  target->found, GetCurrentCommandId(false),
								  LockTupleNoKeyExclusive, LockWaitSkip,
								  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	if (target->runs_code)
		ls_user_restore(&saved);
	*exists = result == TM_Ok;
	return result != TM_WouldBlock;
}

/* ---------- writing ---------- */

/* ls_target_insert inserts what is in written. */
void
ls_target_insert(LsTarget *target)
{
	LsUser	saved;

	begin_write(target, &saved);
	ExecSimpleRelationInsert(target->info, target->estate, target->written);
	end_write(target, &saved);
}

/* ls_target_update puts what is in written in the place of the row found. */
void
ls_target_update(LsTarget *target)
{
	LsUser	saved;
	EPQState	epq;

	begin_write(target, &saved);
	ls_eval_plan_qual_init(&epq, target->estate);
	ExecSimpleRelationUpdate(target->info, target->estate, &epq,
							 target->found, target->written);
	EvalPlanQualEnd(&epq);
	end_write(target, &saved);
}

/* ls_target_delete deletes the row found. */
void
ls_target_delete(LsTarget *target)
{
	LsUser	saved;
	EPQState	epq;

	begin_write(target, &saved);
	ls_eval_plan_qual_init(&epq, target->estate);
	ExecSimpleRelationDelete(target->info, target->estate, &epq, target->found);
	EvalPlanQualEnd(&epq);
	end_write(target, &saved);
}
