/*-------------------------------------------------------------------------
 *
 * table_scan.h
 *		Rows of a table, mostly the extension's, read by an index with the active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TABLE_SCAN_H
#define LEADSCORE_TABLE_SCAN_H

#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "nodes/lockoptions.h"
#include "storage/buf.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "base/key.h"

/* Conditions on columns of the index, at most */
#define LS_TABLE_SCAN_KEYS 3

typedef struct LsTableScan
{
	Relation	rel;
	const LsKeyType *key;		/* whose comparison may run code of the owner; NULL: runs as the owner */
	Relation	index;			/* NULL: not begun */
	SysScanDesc scan;
	bool		backward;
	int			nconditions;
	ScanKeyData conditions[LS_TABLE_SCAN_KEYS];
	HeapTuple	tuple;			/* the row, and ... */
	Datum	   *values;			/* ... its columns */
	bool	   *nulls;
} LsTableScan;

/* the indexes by which rows are found */
extern Oid	ls_table_scan_key_index(Relation rel, int ncolumns);
extern Oid	ls_table_scan_key_index_required(Relation rel, int ncolumns);
extern Oid	ls_table_scan_pair_index(Relation rel, AttrNumber column, AttrNumber then);
extern Oid	ls_table_scan_value_index(Relation rel, AttrNumber column);
extern void ls_table_scan_check_index(Oid table, int nkey);

/*
 * A table is opened; as often as is wanted a scan begins and its rows are read; and it
 * is closed.  What a row refers to lasts until the next.
 */
extern void ls_table_scan_open(LsTableScan *scan, Oid table, LOCKMODE mode,
							   const LsKeyType *key);
extern bool ls_table_scan_try_open(LsTableScan *scan, Oid table, LOCKMODE mode,
								   const LsKeyType *key);
extern bool ls_table_scan_empty(const LsTableScan *scan);
extern void ls_table_scan_by(LsTableScan *scan, AttrNumber column, StrategyNumber strategy,
							 const Datum *value);
extern void ls_table_scan_find(LsTableScan *scan, AttrNumber column, Datum value);
extern void ls_table_scan_begin(LsTableScan *scan, Oid index);
extern void ls_table_scan_add(LsTableScan *scan, AttrNumber column, StrategyNumber strategy,
							  Datum value);
extern void ls_table_scan_key(ScanKey key, Relation index, int i, StrategyNumber strategy,
							  AttrNumber column);
extern bool ls_table_scan_next(LsTableScan *scan);
extern bool ls_table_scan_lock(LsTableScan *scan, LockTupleMode mode);
extern void ls_table_scan_end(LsTableScan *scan);
extern void ls_table_scan_close(LsTableScan *scan, LOCKMODE mode);

/*
 * A page on which a row was found, and the buffer that it was in.  It is not pinned: by
 * now it may be in another buffer, and have other contents.
 */
typedef struct LsRecentPage
{
	BlockNumber block;			/* invalid: none */
	Buffer		buffer;
	OffsetNumber near;			/* on a page of an index: the entry looked for last */
} LsRecentPage;

/* Entries of an index for one key, at most, to look at without a scan */
#define LS_TABLE_SCAN_PLACES	4

extern int	ls_table_scan_keys(ScanKey keys, Relation index);
extern void ls_table_scan_remember(LsRecentPage *leaf, IndexScanDesc scan);
extern int	ls_table_scan_look_near(LsRecentPage *leaf, Relation index, Datum key,
									ItemPointer places, Buffer *pinned);
extern bool ls_table_scan_fetch(LsRecentPage *page, Relation rel, Snapshot snapshot,
								ItemPointer place, bool *all_dead, TupleTableSlot *slot,
								Size *room);

#endif							/* LEADSCORE_TABLE_SCAN_H */
