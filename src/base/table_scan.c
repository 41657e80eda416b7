/*-------------------------------------------------------------------------
 *
 * table_scan.c
 *		Rows of a table of ours, read by an index with the active snapshot.
 *
 * An MVCC snapshot has the index scan itself take the predicate locks of a
 * serializable transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "base/table_scan.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/table_index.h"

/* ls_table_scan_try_open opens and locks a table, if it is still there. */
bool
ls_table_scan_try_open(LsTableScan *scan, Oid table, LOCKMODE mode, const LsKeyType *key)
{
	int			natts;

	memset(scan, 0, sizeof(LsTableScan));
	scan->rel = try_table_open(table, mode);
	if (scan->rel == NULL)
		return false;
	scan->key = key;
	natts = RelationGetDescr(scan->rel)->natts;
	scan->values = palloc(sizeof(Datum) * natts);
	scan->nulls = palloc(sizeof(bool) * natts);
	return true;
}

/* ls_table_scan_open does so for one that has to be there. */
void
ls_table_scan_open(LsTableScan *scan, Oid table, LOCKMODE mode, const LsKeyType *key)
{
	if (!ls_table_scan_try_open(scan, table, mode, key))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", table)));
}

/* ls_table_scan_empty tells whether a table has never had a row, or been truncated since. */
bool
ls_table_scan_empty(const LsTableScan *scan)
{
	return RelationGetNumberOfBlocks(scan->rel) == 0;
}

static void
end_scan(LsTableScan *scan)
{
	if (scan->scan)
		systable_endscan_ordered(scan->scan);
	if (scan->index)
		index_close(scan->index, AccessShareLock);
	scan->scan = NULL;
	scan->index = NULL;
	scan->nconditions = 0;
}

/* ls_table_scan_begin begins to read by an index, to which conditions may be added. */
void
ls_table_scan_begin(LsTableScan *scan, Oid index)
{
	end_scan(scan);
	scan->index = index_open(index, AccessShareLock);
}

/* position_in gives the place of a table's column in the index. */
static int
position_in(const LsTableScan *scan, AttrNumber column)
{
	Form_pg_index index = scan->index->rd_index;

	for (int i = 0; i < index->indnkeyatts; i++)
		if (index->indkey.values[i] == column)
			return i;
	elog(ERROR, "index \"%s\" has no column %d of its table",
		 RelationGetRelationName(scan->index), column);
	return 0;					/* keep compiler quiet */
}

/*
 * ls_table_scan_key makes a scan key that compares the i-th column of an index, of which
 * column is told to the scan.
 */
void
ls_table_scan_key(ScanKey key, Relation index, int i, StrategyNumber strategy,
				  AttrNumber column)
{
	Oid			type = index->rd_opcintype[i];	/* may be that of all arrays, or enums */
	Oid			operator = get_opfamily_member(index->rd_opfamily[i], type, type, strategy);

	if (!OidIsValid(operator))
		elog(ERROR, "index \"%s\" has no operator for column %d",
			 RelationGetRelationName(index), i + 1);
	ScanKeyEntryInitialize(key, 0, column, strategy, type, index->rd_indcollation[i],
						   get_opcode(operator), (Datum) 0);
}

/* ls_table_scan_add adds a condition on a column of the table, which the index has. */
void
ls_table_scan_add(LsTableScan *scan, AttrNumber column, StrategyNumber strategy, Datum value)
{
	ScanKey		key = &scan->conditions[scan->nconditions++];

	ls_table_scan_key(key, scan->index, position_in(scan, column), strategy, column);
	key->sk_argument = value;
}

/*
 * ls_table_scan_by begins to read by an index that sorts by a column: the rows that
 * compare so with a value, or all where it is NULL.
 */
void
ls_table_scan_by(LsTableScan *scan, AttrNumber column, StrategyNumber strategy,
				 const Datum *value)
{
	ls_table_scan_begin(scan, ls_table_index_required(scan->rel, column));
	if (value)
		ls_table_scan_add(scan, column, strategy, *value);
}

/* ls_table_scan_next reads the next row, in the order of the index. */
bool
ls_table_scan_next(LsTableScan *scan)
{
	LsUser		saved;

	CHECK_FOR_INTERRUPTS();
	if (scan->key)
		ls_key_enter(scan->key, &saved);
	if (scan->scan == NULL)
		scan->scan = systable_beginscan_ordered(scan->rel, scan->index, GetActiveSnapshot(),
												scan->nconditions, scan->conditions);
	scan->tuple = systable_getnext_ordered(scan->scan, ForwardScanDirection);
	if (scan->key)
		ls_key_leave(scan->key, &saved);
	if (scan->tuple == NULL)
		return false;
	heap_deform_tuple(scan->tuple, RelationGetDescr(scan->rel), scan->values, scan->nulls);
	return true;
}

/*
 * ls_table_scan_lock locks the row that was read.  False where it is gone.  As SELECT
 * ... FOR does, it locks the newest version, and at a transaction snapshot fails where
 * the one that was read is not.
 */
bool
ls_table_scan_lock(LsTableScan *scan, LockTupleMode mode)
{
	TupleTableSlot *slot = table_slot_create(scan->rel, NULL);
	int			flags = IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(scan->rel, &scan->tuple->t_self, GetActiveSnapshot(), slot,
							  GetCurrentCommandId(false), mode, LockWaitBlock, flags, &failure);
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ls_error_serialization(result == TM_Deleted);
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok;
}

/* ls_table_scan_close ends it, and releases a lock of the table unless it is NoLock. */
void
ls_table_scan_close(LsTableScan *scan, LOCKMODE mode)
{
	end_scan(scan);
	table_close(scan->rel, mode);
	pfree(scan->values);
	pfree(scan->nulls);
}
