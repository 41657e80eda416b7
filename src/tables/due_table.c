/*-------------------------------------------------------------------------
 *
 * due_table.c
 *		The rows of due_<model>: when each contact is next to be evaluated.
 *
 * A contact that time will change has one row.  The row's instant is in the contact's
 * state, too: so the row is found by the primary key (due_at, drift, contact_id), whose
 * order is that in which rows are processed, and no second index is needed.  It is
 * changed only under the lock of the contact's row in score_<model>, and only together
 * with that row: where one may be updated so may the other, at any isolation level.
 *
 * A row that does not match its contact's state (a dump restored in part) does no harm:
 * the worker finds that the contact is not due, and deletes the row.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/due_table.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/heap_writer.h"
#include "base/relation.h"
#include "base/table_scan.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "definitions/table_layout.h"

/* columns of due_<model> */
enum
{
	DUE_AT = 1,
	DUE_DRIFT,
	DUE_CONTACT,
	DUE_NCOLUMNS = DUE_CONTACT,
	DUE_PLACE					/* where the row is, read by SQL */
};

/* ---------- changes ---------- */

/* ls_due_table_open opens the table to change rows. */
LsRowWriter *
ls_due_table_open(LsModel *model)
{
	return ls_row_writer_open(model, "due_", model->due_table, DUE_NCOLUMNS);
}

static void
fill(TupleTableSlot *slot, const LsDueRow *row)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, sizeof(bool) * DUE_NCOLUMNS);
	slot->tts_values[DUE_AT - 1] = TimestampTzGetDatum(row->at);
	slot->tts_values[DUE_DRIFT - 1] = BoolGetDatum(row->drift);
	slot->tts_values[DUE_CONTACT - 1] = row->contact;
	ExecStoreVirtualTuple(slot);
}

/*
 * replace replaces one row by another.  False where it has to be locked first, or there
 * is none.  Whoever has written the contact's row of score_<model> has no need to lock
 * this one.
 */
static bool
replace(LsHeapWriter *rows, const LsDueRow *from, const LsDueRow *to)
{
	if (!ls_heap_writer_can_replace(rows))
		return false;
	fill(rows->search, from);
	if (!ls_heap_writer_read(rows))
		return false;
	fill(rows->written, to);
	return ls_heap_writer_replace(rows);
}

/* ls_due_table_has tells whether the table has a row, and locks it. */
bool
ls_due_table_has(LsRowWriter *table, const LsDueRow *row)
{
	fill(table->rows.search, row);
	return ls_heap_writer_find(&table->rows);
}

/* ls_due_table_move replaces one row by another; either may be none. */
void
ls_due_table_move(LsRowWriter *table, const LsDueRow *from, const LsDueRow *to)
{
	LsHeapWriter *rows = &table->rows;
	bool		exists = false;

	if (from->at == to->at && (from->at == DT_NOEND || from->drift == to->drift))
		return;
	if (from->at != DT_NOEND && to->at != DT_NOEND && replace(rows, from, to))
		return;
	if (from->at != DT_NOEND)
	{
		fill(rows->search, from);
		exists = ls_heap_writer_find(rows);
	}
	fill(rows->written, to);
	if (exists && to->at != DT_NOEND)
		ls_heap_writer_update(rows);
	else if (exists)
		ls_heap_writer_delete(rows);
	else if (to->at != DT_NOEND)
		ls_heap_writer_insert(rows);
}

/* ---------- many changes together ---------- */

/* How many rows are inserted together, and for how many there is room at first */
#define CHUNK	1000

/* A row that is to be replaced */
typedef struct Move
{
	TimestampTz from;
	TimestampTz to;
	Datum		contact;
	ItemPointerData place;		/* of the old row */
	bool		from_drift;
	bool		to_drift;
	bool		deleted;
} Move;

/*
 * Rows to be replaced together, as many as work_mem has room for: old ones are deleted
 * where they were seen, in the order of their places, then new ones are inserted in the
 * order of the key.  Most new instants come after all old ones, so that index entries
 * are appended to the last page.
 */
struct LsDueMoves
{
	LsRowWriter *table;
	MemoryContext context;		/* of what is not flushed yet */
	MemoryContext chunk_context;	/* of what is inserted together */
	int			n;
	int			size;
	Move	   *moves;			/* NULL: no room yet */
	int			first;			/* what is inserted together */
	int			nchunk;
	TupleTableSlot *slots[CHUNK];
	int			nslots;
};

/* ls_due_moves_make makes what replaces rows together. */
LsDueMoves *
ls_due_moves_make(LsRowWriter *table)
{
	LsDueMoves *moves = palloc0(sizeof(LsDueMoves));

	moves->table = table;
	moves->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore due rows",
										   ALLOCSET_DEFAULT_SIZES);
	moves->chunk_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore new due rows",
												 ALLOCSET_DEFAULT_SIZES);
	return moves;
}

/* make_place makes room for one more row; what work_mem has no room for is flushed. */
static void
make_place(LsDueMoves *moves)
{
	Size		used = MemoryContextMemAllocated(moves->context, false);
	Size		more = moves->n == moves->size ? sizeof(Move) * Max(moves->size, CHUNK) : 0;

	if (moves->n > 0 && used + more > (Size) work_mem * 1024)
		ls_due_moves_flush(moves);
	if (moves->moves == NULL)
	{
		moves->size = CHUNK;
		moves->moves = MemoryContextAlloc(moves->context, sizeof(Move) * CHUNK);
	}
	else if (moves->n == moves->size)
	{
		moves->size *= 2;
		moves->moves = repalloc_huge(moves->moves, sizeof(Move) * moves->size);
	}
}

/*
 * ls_due_moves_add replaces one row by another, sooner or later.  Both must be there, and
 * a snapshot active that has seen the old one; until they are flushed nobody else may
 * look for them, nor any code run that could.
 */
void
ls_due_moves_add(LsDueMoves *moves, const LsDueRow *from, const LsDueRow *to)
{
	LsKeyType  *key = &moves->table->model->key;
	MemoryContext old;
	Move	   *move;

	Assert(ls_heap_writer_can_replace(&moves->table->rows));
	make_place(moves);
	old = MemoryContextSwitchTo(moves->context);
	move = &moves->moves[moves->n];
	*move = (Move) {.from = from->at, .to = to->at, .place = from->place,
		.from_drift = from->drift, .to_drift = to->drift};
	move->contact = datumCopy(to->contact, key->typbyval, key->typlen);
	moves->n++;
	MemoryContextSwitchTo(old);
}

static int
by_place(const void *a, const void *b)
{
	return ItemPointerCompare(unconstify(ItemPointerData *, &((const Move *) a)->place),
							  unconstify(ItemPointerData *, &((const Move *) b)->place));
}

static int
by_key(const void *a, const void *b, void *key)
{
	const Move *x = a;
	const Move *y = b;

	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	if (x->to_drift != y->to_drift)
		return x->to_drift ? 1 : -1;
	return ls_key_compare(key, x->contact, y->contact);
}

/*
 * delete_old deletes old rows where they were seen.  That the transaction's writer has
 * written the contact's row tells that there is none else who changes them.
 */
static void
delete_old(LsHeapWriter *rows, void *arg)
{
	LsDueMoves *moves = arg;

	CheckCmdReplicaIdentity(rows->rel, CMD_DELETE);
	for (int i = 0; i < moves->n; i++)
	{
		Move	   *move = &moves->moves[i];

		CHECK_FOR_INTERRUPTS();
		move->deleted = ls_table_tuple_delete(rows->rel, &move->place,
											  rows->estate->es_output_cid) == TM_Ok;
	}
}

/* delete_rest deletes old rows that are not where they were seen. */
static void
delete_rest(LsHeapWriter *rows, LsDueMoves *moves)
{
	for (int i = 0; i < moves->n; i++)
	{
		const Move *move = &moves->moves[i];

		if (move->deleted)
			continue;
		fill(rows->search, &(LsDueRow) {.at = move->from, .drift = move->from_drift,
			 .contact = move->contact});
		if (ls_heap_writer_find(rows))
			ls_heap_writer_delete(rows);
	}
}

/* insert_new inserts a chunk of new rows. */
static void
insert_new(LsHeapWriter *rows, void *arg)
{
	LsDueMoves *moves = arg;
	EState	   *estate = rows->estate;

	for (int i = 0; i < moves->nchunk && RelationGetDescr(rows->rel)->constr; i++)
		ExecConstraints(rows->info, moves->slots[i], estate);
	table_multi_insert(rows->rel, moves->slots, moves->nchunk, estate->es_output_cid, 0, NULL);
	for (int i = 0; i < moves->nchunk; i++)
		list_free(ls_new_index_tuples(rows->info, moves->slots[i], estate));
}

/* fill_slots gives a chunk of new rows to the slots from which they are written. */
static void
fill_slots(LsHeapWriter *rows, LsDueMoves *moves)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(moves));

	moves->nchunk = Min(CHUNK, moves->n - moves->first);
	for (; moves->nslots < moves->nchunk; moves->nslots++)
		moves->slots[moves->nslots] =
			MakeSingleTupleTableSlot(rows->written->tts_tupleDescriptor, &TTSOpsVirtual);
	for (int i = 0; i < moves->nchunk; i++)
	{
		const Move *move = &moves->moves[moves->first + i];

		fill(moves->slots[i], &(LsDueRow) {.at = move->to, .drift = move->to_drift,
			 .contact = move->contact});
	}
	MemoryContextSwitchTo(old);
}

/* ls_due_moves_flush replaces the rows that were added. */
void
ls_due_moves_flush(LsDueMoves *moves)
{
	LsHeapWriter *rows = &moves->table->rows;
	MemoryContext old;

	if (moves->n == 0)
		return;
	old = MemoryContextSwitchTo(moves->chunk_context);
	qsort(moves->moves, moves->n, sizeof(Move), by_place);
	ls_heap_writer_run(rows, delete_old, moves);
	delete_rest(rows, moves);
	qsort_arg(moves->moves, moves->n, sizeof(Move), by_key, &moves->table->model->key);
	for (moves->first = 0; moves->first < moves->n; moves->first += CHUNK)
	{
		CHECK_FOR_INTERRUPTS();
		fill_slots(rows, moves);
		ls_heap_writer_run(rows, insert_new, moves);
		MemoryContextReset(moves->chunk_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(moves->context);
	moves->n = moves->size = 0;
	moves->moves = NULL;
}

/* ---------- reading ---------- */

/* the ranges of the primary key that follow a row */
enum
{
	SAME_KIND,					/* the rest of its instant and kind */
	SAME_INSTANT,				/* the rest of its instant */
	LATER,
	NRANGES
};

/* add_range restricts a scan to one of these ranges, up to an instant. */
static void
add_range(LsTableScan *scan, const LsDueRow *after, int range, TimestampTz until)
{
	bool		same = after && range != LATER;

	if (after)
		ls_table_scan_add(scan, DUE_AT, same ? BTEqualStrategyNumber : BTGreaterStrategyNumber,
						  TimestampTzGetDatum(after->at));
	if (!same)
		ls_table_scan_add(scan, DUE_AT, BTLessEqualStrategyNumber, TimestampTzGetDatum(until));
	else
		ls_table_scan_add(scan, DUE_DRIFT,
						  range == SAME_KIND ? BTEqualStrategyNumber : BTGreaterStrategyNumber,
						  BoolGetDatum(after->drift));
	if (same && range == SAME_KIND)
		ls_table_scan_add(scan, DUE_CONTACT, BTGreaterStrategyNumber, after->contact);
}

static void
read_row(const LsTableScan *scan, LsDueRow *row)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(scan->rel), DUE_CONTACT - 1);

	row->at = DatumGetTimestampTz(scan->values[DUE_AT - 1]);
	row->drift = DatumGetBool(scan->values[DUE_DRIFT - 1]);
	row->contact = datumCopy(scan->values[DUE_CONTACT - 1], att->attbyval, att->attlen);
	row->place = scan->tuple->t_self;
}

/* read_table reads rows in the order of the key, or counts them where rows is NULL. */
static int64
read_table(const char *model, const LsDueRow *after, TimestampTz until,
		   int64 limit, LsDueRow *rows)
{
	Oid			relid = ls_extension_table(psprintf("due_%s", model), true);
	LsTableScan scan;
	Oid			index;
	int64		n = 0;

	/* it may be dropped while we wait */
	if (!OidIsValid(relid) || !ls_table_scan_try_open(&scan, relid, AccessShareLock, NULL))
		return 0;
	ls_table_layout_check(scan.rel, "due_", ls_lead_key_type(model));
	/* without the index nothing is counted; processing the rows reports that */
	index = rows ? ls_table_scan_key_index_required(scan.rel, DUE_NCOLUMNS) :
		ls_table_scan_key_index(scan.rel, DUE_NCOLUMNS);
	for (int i = after ? 0 : LATER; i < NRANGES && OidIsValid(index); i++)
	{
		ls_table_scan_begin(&scan, index);
		add_range(&scan, after, i, until);
		for (; n < limit && ls_table_scan_next(&scan); n++)
			if (rows)
				read_row(&scan, &rows[n]);
	}
	/* rows are to be found where they are now: until then they must not be moved */
	ls_table_scan_close(&scan, rows ? NoLock : AccessShareLock);
	return n;
}

/*
 * ls_due_table_read gives rows in the order in which they are processed, after a given
 * one or from the first, and returns their number.
 */
int
ls_due_table_read(const char *model, const LsDueRow *after, TimestampTz until,
				  int limit, LsDueRow *rows)
{
	return (int) read_table(model, after, until, limit, rows);
}

/* ls_due_table_count counts the rows up to an instant, at most a limit. */
int64
ls_due_table_count(const char *model, TimestampTz until, int64 limit)
{
	return read_table(model, NULL, until, limit, NULL);
}

/* ---------- in the order of contacts ---------- */

#define CURSOR_BATCH	1000

/* Rows that are fetched in batches */
struct LsDueCursor
{
	LsModel    *model;
	Portal		portal;
	SPITupleTable *table;		/* NULL: nothing was fetched yet */
	uint64		rows;
	uint64		at;
};

/*
 * ls_due_cursor_open opens a cursor on the rows up to an instant that the active
 * snapshot sees, in the order in which contacts are locked.  It has to be closed before
 * SPI connections that are older than it.
 */
LsDueCursor *
ls_due_cursor_open(LsModel *model, TimestampTz until)
{
	LsDueCursor *cursor = palloc0(sizeof(LsDueCursor));
	MemoryContext old = CurrentMemoryContext;
	Relation	rel = table_open(model->due_table, AccessShareLock);
	Oid			type = TIMESTAMPTZOID;
	Datum		value = TimestampTzGetDatum(until);
	LsUser		saved;
	SPIPlanPtr	plan;

	ls_table_layout_check(rel, "due_", model->key.type);
	table_close(rel, NoLock);
	cursor->model = model;
	SPI_connect();
	ls_user_switch_to_owner(ls_relation_owner(model->due_table), &saved);
	plan = SPI_prepare(psprintf("SELECT t.due_at, t.drift, t.contact_id, t.ctid FROM %s t"
								" WHERE t.due_at OPERATOR(pg_catalog.<=) $1"
								" ORDER BY t.contact_id, t.due_at, t.drift",
								ls_relation_qualified_name(model->due_table)), 1, &type);
	if (plan == NULL)
		elog(ERROR, "could not prepare a query of what is due in model \"%s\"", model->name);
	cursor->portal = SPI_cursor_open(NULL, plan, &value, NULL, true);
	ls_user_restore(&saved);
	MemoryContextSwitchTo(old);
	return cursor;
}

/*
 * ls_due_cursor_next gives the next row, whose contact is made in the current
 * memory context.
 */
bool
ls_due_cursor_next(LsDueCursor *cursor, LsDueRow *row)
{
	LsKeyType  *key = &cursor->model->key;
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;

	CHECK_FOR_INTERRUPTS();
	if (cursor->at == cursor->rows)
	{
		MemoryContext old = CurrentMemoryContext;
		LsUser		saved;

		if (cursor->table)
			SPI_freetuptable(cursor->table);
		ls_user_switch_to_owner(ls_relation_owner(cursor->model->due_table), &saved);
		SPI_cursor_fetch(cursor->portal, true, CURSOR_BATCH);
		ls_user_restore(&saved);
		MemoryContextSwitchTo(old);
		cursor->table = SPI_tuptable;
		cursor->rows = SPI_processed;
		cursor->at = 0;
	}
	if (cursor->rows == 0)
		return false;
	tuple = cursor->table->vals[cursor->at++];
	desc = cursor->table->tupdesc;
	row->at = DatumGetTimestampTz(heap_getattr(tuple, DUE_AT, desc, &isnull));
	row->drift = DatumGetBool(heap_getattr(tuple, DUE_DRIFT, desc, &isnull));
	row->contact = datumCopy(heap_getattr(tuple, DUE_CONTACT, desc, &isnull),
							 key->typbyval, key->typlen);
	row->place = *(ItemPointer) DatumGetPointer(heap_getattr(tuple, DUE_PLACE, desc, &isnull));
	return true;
}

void
ls_due_cursor_close(LsDueCursor *cursor)
{
	MemoryContext old = CurrentMemoryContext;

	SPI_cursor_close(cursor->portal);
	SPI_finish();
	MemoryContextSwitchTo(old);
	pfree(cursor);
}
