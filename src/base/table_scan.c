/*-------------------------------------------------------------------------
 *
 * table_scan.c
 *		Rows of a table of the extension's, read by an index with the active snapshot.
 *
 * The tables of a model belong to its owner, who may have added indexes, rebuilt or
 * dropped those that they were made with, or have had REINDEX CONCURRENTLY
 * cancelled, which leaves an invalid one behind.  So an index is not taken for its
 * name or place in the list: it has to be valid, have all rows, and compare and sort
 * its columns as the types of the columns do by default.
 *
 * An MVCC snapshot has the index scan itself take the predicate locks of a
 * serializable transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "base/table_scan.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/relation.h"

/* ---------- indexes ---------- */

/* The index that is wanted: over columns of a table that lie side by side, or two others */
typedef struct Wanted
{
	Relation	rel;
	AttrNumber	first;
	AttrNumber	second;			/* 0: the one beside the first */
	int			ncolumns;
	bool		key;			/* one row for each value, and no further columns */
	bool		values;			/* the rows where the column is not null, and no others */
} Wanted;

/* column_of gives the i-th column that is wanted. */
static AttrNumber
column_of(const Wanted *wanted, int i)
{
	return i == 1 && wanted->second != 0 ? wanted->second : wanted->first + i;
}

/*
 * sorts_by tells whether the i-th key column of an index is the i-th that is wanted,
 * sorted as its type is.
 */
static bool
sorts_by(const Wanted *wanted, HeapTuple tuple, int i)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(wanted->rel), column_of(wanted, i) - 1);
	oidvector  *collations;
	oidvector  *classes;
	int2vector *options;
	/* unlike the default class of operators, its family is kept */
	Oid			family = lookup_type_cache(att->atttypid, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	bool		isnull;

	collations = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															   Anum_pg_index_indcollation, &isnull));
	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															Anum_pg_index_indclass, &isnull));
	options = (int2vector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															 Anum_pg_index_indoption, &isnull));
	return form->indkey.values[i] == column_of(wanted, i) && options->values[i] == 0 &&
		collations->values[i] == att->attcollation && OidIsValid(family) &&
		get_opclass_family(classes->values[i]) == family;
}

static bool
is_btree(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool		btree = HeapTupleIsValid(tuple) &&
		((Form_pg_class) GETSTRUCT(tuple))->relam == BTREE_AM_OID;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return btree;
}

/* fits tells whether an index is the wanted one, and whether it is valid. */
static bool
fits(const Wanted *wanted, Oid index, bool *valid)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	*valid = form->indisvalid;
	result = form->indnkeyatts >= wanted->ncolumns && is_btree(index) &&
		(wanted->values ? ls_relation_index_not_null(tuple) == wanted->first :
		 heap_attisnull(tuple, Anum_pg_index_indpred, NULL));
	if (wanted->key)
		result = result && form->indnkeyatts == wanted->ncolumns && form->indisunique &&
			form->indimmediate;
	for (int i = 0; result && i < wanted->ncolumns; i++)
		result = sorts_by(wanted, tuple, i);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * is_key_over tells whether a primary key is valid and over a table's first columns:
 * what such a key compares and sorts by cannot be chosen.
 */
static bool
is_key_over(Form_pg_index index, int ncolumns)
{
	bool		is = index->indisvalid && index->indnkeyatts == ncolumns;

	for (int i = 0; is && i < ncolumns; i++)
		is = index->indkey.values[i] == i + 1;
	return is;
}

static bool
is_key(Oid indexid, int ncolumns)
{
	HeapTuple	tuple;
	bool		is;

	if (!OidIsValid(indexid))
		return false;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	if (!HeapTupleIsValid(tuple))
		return false;
	is = is_key_over((Form_pg_index) GETSTRUCT(tuple), ncolumns);
	ReleaseSysCache(tuple);
	return is;
}

/* has_key tells whether a table that is not opened has such a primary key. */
static bool
has_key(Oid table, int ncolumns)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		has = false;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (!has && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		has = index->indisprimary && index->indislive && index->indimmediate &&
			is_key_over(index, ncolumns);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return has;
}

/*
 * find finds an index.  invalid: one that would do if it were valid.  The caller's
 * lock on the table keeps the index from being dropped.
 */
static Oid
find(const Wanted *wanted, Oid *invalid)
{
	Oid			found = InvalidOid;
	List	   *indexes = RelationGetIndexList(wanted->rel);
	ListCell   *lc;

	*invalid = InvalidOid;
	foreach(lc, indexes)
	{
		bool		valid;

		if (!fits(wanted, lfirst_oid(lc), &valid))
			continue;
		if (!valid)
			*invalid = lfirst_oid(lc);
		else if (!OidIsValid(found))
			found = lfirst_oid(lc);
	}
	list_free(indexes);
	return found;
}

/* refuse says that there is no index, and how to create one. */
static void
refuse(const Wanted *wanted, Oid invalid)
{
	Relation	rel = wanted->rel;
	TupleDesc	desc = RelationGetDescr(rel);
	char	   *table = ls_relation_qualified_name(RelationGetRelid(rel));
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < wanted->ncolumns; i++)
		appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(desc, column_of(wanted, i) - 1)->attname)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 wanted->key ? errmsg("table \"%s\" has no valid primary key", RelationGetRelationName(rel)) :
			 errmsg("table \"%s\" has no valid index on column %s",
					RelationGetRelationName(rel), columns.data),
			 OidIsValid(invalid) ? errdetail("Index \"%s\" is not valid.", get_rel_name(invalid)) : 0,
			 OidIsValid(invalid) ?
			 errhint("Rebuild it with REINDEX INDEX %s.", ls_relation_qualified_name(invalid)) :
			 wanted->key ?
			 errhint("Create it with ALTER TABLE %s ADD PRIMARY KEY (%s), as the end of a restored dump does.",
					 table, columns.data) :
			 errhint("Create one with CREATE INDEX ON %s (%s), as the end of a restored dump does.",
					 table, columns.data)));
}

/*
 * ls_table_scan_key_index finds the index by which there is one row of a table for
 * each value of its first columns, in their order; InvalidOid: there is none.
 */
Oid
ls_table_scan_key_index(Relation rel, int ncolumns)
{
	Wanted		wanted = {.rel = rel, .first = 1, .ncolumns = ncolumns, .key = true};
	Oid			primary = ls_primary_key_index(rel);
	Oid			invalid;

	/* nearly always, and every statement comes here */
	if (is_key(primary, ncolumns))
		return primary;
	return find(&wanted, &invalid);
}

/* ls_table_scan_key_index_required refuses a table that has no such index. */
Oid
ls_table_scan_key_index_required(Relation rel, int ncolumns)
{
	Wanted		wanted = {.rel = rel, .first = 1, .ncolumns = ncolumns, .key = true};
	Oid			found = ls_table_scan_key_index(rel, ncolumns);
	Oid			invalid;

	if (OidIsValid(found))
		return found;
	found = find(&wanted, &invalid);
	if (!OidIsValid(found))
		refuse(&wanted, invalid);
	return found;
}

/* column_index finds an index by which rows with one value of a column lie together. */
static Oid
column_index(Relation rel, AttrNumber column)
{
	Wanted		wanted = {.rel = rel, .first = column, .ncolumns = 1};
	Oid			primary = column == 1 ? ls_primary_key_index(rel) : InvalidOid;
	Oid			invalid;
	Oid			found;

	if (is_key(primary, 1))
		return primary;
	found = find(&wanted, &invalid);
	if (!OidIsValid(found))
		refuse(&wanted, invalid);
	return found;
}

/*
 * ls_table_scan_value_index finds an index of the rows in which a column is not null,
 * which sorts by it; InvalidOid: there is none.
 */
Oid
ls_table_scan_value_index(Relation rel, AttrNumber column)
{
	Wanted		wanted = {.rel = rel, .first = column, .ncolumns = 1, .values = true};
	Oid			invalid;

	return find(&wanted, &invalid);
}

/*
 * ls_table_scan_pair_index finds an index that sorts by a column and then by another;
 * InvalidOid: there is none.
 */
Oid
ls_table_scan_pair_index(Relation rel, AttrNumber column, AttrNumber then)
{
	Wanted		wanted = {.rel = rel, .first = column, .second = then, .ncolumns = 2};
	Oid			invalid;

	return find(&wanted, &invalid);
}

/*
 * ls_table_scan_check_index makes sure that a table has its index: of the primary
 * key, which is its first nkey columns, or of the first column where it has none.
 */
void
ls_table_scan_check_index(Oid table, int nkey)
{
	bool		locked;
	Relation	rel;

	/* nearly always; it may not be needed otherwise */
	if (nkey > 0 && has_key(table, nkey))
		return;
	rel = ls_relation_open(table, &locked);
	if (rel == NULL)
		return;
	if (nkey > 0)
		(void) ls_table_scan_key_index_required(rel, nkey);
	else
		(void) column_index(rel, 1);
	ls_relation_close(rel, locked);
}

/* ---------- scans ---------- */

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

/* ls_table_scan_open opens and locks a table that has to be there. */
void
ls_table_scan_open(LsTableScan *scan, Oid table, LOCKMODE mode, const LsKeyType *key)
{
	if (!ls_table_scan_try_open(scan, table, mode, key))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", table)));
}

/*
 * ls_table_scan_empty tells whether a table has never had a row, or been truncated
 * since.
 */
bool
ls_table_scan_empty(const LsTableScan *scan)
{
	return RelationGetNumberOfBlocks(scan->rel) == 0;
}

/* ls_table_scan_end ends a scan; another may begin. */
void
ls_table_scan_end(LsTableScan *scan)
{
	if (scan->scan)
		systable_endscan_ordered(scan->scan);
	if (scan->index)
		index_close(scan->index, AccessShareLock);
	scan->scan = NULL;
	scan->index = NULL;
	scan->backward = false;
	scan->nconditions = 0;
}

/* ls_table_scan_begin begins to read by an index, to which conditions may be added. */
void
ls_table_scan_begin(LsTableScan *scan, Oid index)
{
	ls_table_scan_end(scan);
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

/* ls_table_scan_keys makes those that find a row by all columns of an index, and counts them. */
int
ls_table_scan_keys(ScanKey keys, Relation index)
{
	int			n = IndexRelationGetNumberOfKeyAttributes(index);

	for (int i = 0; i < n; i++)
		ls_table_scan_key(&keys[i], index, i, BTEqualStrategyNumber, i + 1);
	return n;
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
	ls_table_scan_begin(scan, column_index(scan->rel, column));
	if (value)
		ls_table_scan_add(scan, column, strategy, *value);
}

/*
 * ls_table_scan_find begins to read the rows that have a value in a column, with what the
 * last such call has opened, under the same snapshot.
 */
void
ls_table_scan_find(LsTableScan *scan, AttrNumber column, Datum value)
{
	ScanKeyData key;

	if (scan->scan == NULL)
	{
		ls_table_scan_by(scan, column, BTEqualStrategyNumber, &value);
		return;
	}
	Assert(scan->nconditions == 1);
	/* it names the index's column, and not the table's */
	key = scan->conditions[0];
	key.sk_attno = position_in(scan, column) + 1;
	key.sk_argument = value;
	index_rescan(scan->scan->iscan, &key, 1, NULL, 0);
}

/* ls_table_scan_next reads the next row, in the order of the index, or backward. */
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
	scan->tuple = systable_getnext_ordered(scan->scan,
										   scan->backward ? BackwardScanDirection : ForwardScanDirection);
	if (scan->key)
		ls_key_leave(scan->key, &saved);
	if (scan->tuple == NULL)
		return false;
	heap_deform_tuple(scan->tuple, RelationGetDescr(scan->rel), scan->values, scan->nulls);
	return true;
}

/*
 * ls_table_scan_lock locks the row that was read.  False where it is gone.  Like
 * SELECT ... FOR UPDATE it locks and gives the newest version, and at a transaction
 * snapshot fails where that is not the version that was read.
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
	if (result == TM_Ok)
	{
		scan->tuple = ExecCopySlotHeapTuple(slot);
		heap_deform_tuple(scan->tuple, RelationGetDescr(scan->rel), scan->values, scan->nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok;
}

/*
 * ls_table_scan_close ends a scan, and releases the lock on the table unless it is
 * NoLock.
 */
void
ls_table_scan_close(LsTableScan *scan, LOCKMODE mode)
{
	ls_table_scan_end(scan);
	table_close(scan->rel, mode);
	pfree(scan->values);
	pfree(scan->nulls);
}

/* ---------- newest versions ---------- */

/* read_recent pins a page, which is mostly in the buffer where it was seen last. */
static Buffer
read_recent(LsRecentPage *page, Relation rel)
{
	if (!BufferIsValid(page->buffer) || !ls_read_recent_buffer(rel, page->block, page->buffer))
		page->buffer = ReadBuffer(rel, page->block);
	return page->buffer;
}

/*
 * ls_table_scan_fetch copies the newest version of the row at an index entry's place, as
 * heapam_index_fetch_tuple() does, but without pruning the page.  What is in the page may
 * be moved later, hence the copy.  Gives the room on the page, too.
 */
bool
ls_table_scan_fetch(LsRecentPage *page, Relation rel, Snapshot snapshot, ItemPointer place,
					bool *all_dead, TupleTableSlot *slot, Size *room)
{
	HeapTuple	tuple = &((BufferHeapTupleTableSlot *) slot)->base.tupdata;
	BlockNumber block = ItemPointerGetBlockNumber(place);
	Buffer		buffer;
	bool		found;

	if (page->block != block)
		*page = (LsRecentPage) {block, InvalidBuffer, InvalidOffsetNumber};
	buffer = read_recent(page, rel);
	ExecClearTuple(slot);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(place, rel, buffer, snapshot, tuple, all_dead, true);
	*room = PageGetHeapFreeSpace(BufferGetPage(buffer));
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (found)
	{
		tuple->t_self = *place;
		slot->tts_tableOid = RelationGetRelid(rel);
		ExecStoreBufferHeapTuple(tuple, slot, buffer);
		ExecMaterializeSlot(slot);
	}
	ReleaseBuffer(buffer);
	return found;
}

/* ls_table_scan_remember remembers the leaf page on which a scan of a btree stands. */
void
ls_table_scan_remember(LsRecentPage *leaf, IndexScanDesc scan)
{
	BTScanPos	position = &((BTScanOpaque) scan->opaque)->currPos;

	*leaf = (LsRecentPage) {InvalidBlockNumber, InvalidBuffer, InvalidOffsetNumber};
	if (BTScanPosIsPinned(*position))
		*leaf = (LsRecentPage) {position->currPage, position->buf, InvalidOffsetNumber};
}

/* A key that is looked for on a leaf page of a btree, and how it is compared */
typedef struct Sought
{
	Relation	index;
	Page		page;
	FmgrInfo   *order;
	Datum		key;
} Sought;

/* order_of gives how a value of the index compares with the key: < 0 where it is less. */
static inline int32
order_of(const Sought *sought, Datum value)
{
	/* what most keys are */
	if (sought->order->fn_oid == F_BTINT8CMP)
		return DatumGetInt64(value) < DatumGetInt64(sought->key) ? -1 : DatumGetInt64(value) > DatumGetInt64(sought->key);
	return DatumGetInt32(FunctionCall2Coll(sought->order, sought->index->rd_indcollation[0], value, sought->key));
}

/*
 * compare compares an entry of the page, or its high key, with the key: < 0 where it is
 * less.  False where it has none.
 */
static inline bool
compare(const Sought *sought, OffsetNumber offset, int32 *result)
{
	Relation	index = sought->index;
	IndexTuple	entry = (IndexTuple) PageGetItem(sought->page, PageGetItemId(sought->page, offset));
	bool		isnull = BTreeTupleIsPivot(entry) && BTreeTupleGetNAtts(entry, index) < 1;
	Datum		value = isnull ? (Datum) 0 : index_getattr(entry, 1, RelationGetDescr(index), &isnull);

	if (!isnull)
		*result = order_of(sought, value);
	return !isnull;
}

/*
 * lower_bound gives the first entry that is not less than the key; InvalidOffsetNumber:
 * not known.  The search begins where the last one ended, and goes on in growing steps:
 * keys mostly come in their order.
 */
static OffsetNumber
lower_bound(const Sought *sought, OffsetNumber start)
{
	OffsetNumber low = P_FIRSTDATAKEY(BTPageGetOpaque(sought->page));
	OffsetNumber high = OffsetNumberNext(PageGetMaxOffsetNumber(sought->page));
	int			step = 1;
	int32		result;

	while (low < high)
	{
		OffsetNumber middle = start >= low && start < high ? start : low + (high - low) / 2;

		if (!compare(sought, middle, &result))
			return InvalidOffsetNumber;
		if (result < 0)
			low = OffsetNumberNext(middle);
		else
			high = middle;
		start = middle == start && result < 0 ? Min(middle + step, PG_UINT16_MAX) : InvalidOffsetNumber;
		step *= 2;
	}
	return low;
}

/* add_places adds the places of rows in an entry.  False where they are too many. */
static bool
add_places(IndexTuple entry, ItemPointer places, int *n)
{
	int			more = BTreeTupleIsPosting(entry) ? BTreeTupleGetNPosting(entry) : 1;

	if (*n + more > LS_TABLE_SCAN_PLACES)
		return false;
	memcpy(&places[*n], BTreeTupleIsPosting(entry) ? BTreeTupleGetPosting(entry) : &entry->t_tid,
		   sizeof(ItemPointerData) * more);
	*n += more;
	return true;
}

/*
 * look_on_page gives the places of a key's rows.  0: there are none, or too many, or the
 * page is not known to be the only one for the key.  It is if it has entries both less and
 * greater than the key, or its high key is greater; whatever it was before.
 */
static int
look_on_page(const Sought *sought, OffsetNumber *near, ItemPointer places)
{
	Page		page = sought->page;
	BTPageOpaque opaque = BTPageGetOpaque(page);
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	OffsetNumber offset;
	int32		result = 0;
	int			n = 0;

	if (!P_ISLEAF(opaque) || P_IGNORE(opaque))
		return 0;
	*near = offset = lower_bound(sought, *near);
	if (offset <= P_FIRSTDATAKEY(opaque))
		return 0;
	for (; offset <= last; offset = OffsetNumberNext(offset))
	{
		ItemId		item = PageGetItemId(page, offset);

		if (!compare(sought, offset, &result))
			return 0;
		if (result > 0)
			return n;
		if (!ItemIdIsDead(item) && !add_places((IndexTuple) PageGetItem(page, item), places, &n))
			return 0;
	}
	if (P_RIGHTMOST(opaque) || (compare(sought, P_HIKEY, &result) && result > 0))
		return n;
	return 0;
}

/*
 * ls_table_scan_look_near looks for the rows of a key on a leaf page of a btree of one
 * column, and gives the number of their places, if that is known.  Then the page is left pinned: it
 * keeps VACUUM from giving the places to other rows until they have been looked at.
 */
int
ls_table_scan_look_near(LsRecentPage *leaf, Relation index, Datum key, ItemPointer places,
						Buffer *pinned)
{
	Sought		sought = {.index = index, .key = key};
	Buffer		buffer;
	int			n;

	if (!BlockNumberIsValid(leaf->block))
		return 0;
	sought.order = index_getprocinfo(index, 1, BTORDER_PROC);
	buffer = read_recent(leaf, index);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	sought.page = BufferGetPage(buffer);
	n = look_on_page(&sought, &leaf->near, places);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (n == 0)
		ReleaseBuffer(buffer);
	*pinned = buffer;
	return n;
}
