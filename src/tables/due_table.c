/*-------------------------------------------------------------------------
 *
 * due_table.c
 *		The rows of due_<model>: who is to be looked at when.
 *
 * A contact that time will change has one row, whose instant its state knows,
 * too: so the row is found by the primary key (due_at, drift, contact_id), in
 * the order of which it is worked off, and no second index is needed.  It is
 * changed only by who holds the lock of the contact's row in score_<model>, and
 * only together with that row: whoever may update the one may update the
 * other, at any isolation level.
 *
 * A row that its state does not know (a dump restored in part) does no harm:
 * the worker finds that the contact is not due, and deletes it.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/due_table.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/heap_writer.h"
#include "base/relation.h"
#include "base/table_index.h"
#include "base/user.h"
#include "definitions/extension.h"

/* columns of due_<model> */
enum
{
	DUE_AT = 1,
	DUE_DRIFT,
	DUE_CONTACT,
	DUE_NCOLUMNS = DUE_CONTACT
};

struct LsDueTable
{
	LsTarget	target;
};

/* ---------- changes ---------- */

/* ls_due_table_open gets ready to change rows. */
LsDueTable *
ls_due_table_open(LsModel *model)
{
	Oid			types[DUE_NCOLUMNS] = {TIMESTAMPTZOID, BOOLOID, model->key.type};
	LsDueTable *table = palloc0(sizeof(LsDueTable));

	ls_target_open(&table->target, model->due_table, DUE_NCOLUMNS, types, DUE_NCOLUMNS);
	return table;
}

void
ls_due_table_close(LsDueTable *table)
{
	ls_target_close(&table->target);
	pfree(table);
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

/* ls_due_table_move puts one row in the place of another, or of none. */
void
ls_due_table_move(LsDueTable *table, const LsDueRow *from, const LsDueRow *to)
{
	LsTarget   *target = &table->target;
	bool		exists = false;

	if (from->at == to->at && (from->at == DT_NOEND || from->drift == to->drift))
		return;
	if (from->at != DT_NOEND)
	{
		fill(target->search, from);
		exists = ls_target_find(target);
	}
	fill(target->written, to);
	if (exists && to->at != DT_NOEND)
		ls_target_update(target);
	else if (exists)
		ls_target_delete(target);
	else if (to->at != DT_NOEND)
		ls_target_insert(target);
}

/* ---------- reading ---------- */

/* A stretch of the primary key, in its order */
typedef struct Stretch
{
	ScanKeyData keys[DUE_NCOLUMNS];
	int			nkeys;
} Stretch;

/* add_key narrows a stretch by a column of the index. */
static void
add_key(Stretch *stretch, Relation index, int column, StrategyNumber strategy,
		Datum value)
{
	Oid			family = index->rd_opfamily[column - 1];
	Oid			type = index->rd_opcintype[column - 1];
	Oid			operator = get_opfamily_member(family, type, type, strategy);

	if (!OidIsValid(operator))
		elog(ERROR, "index \"%s\" has no operator for column %d",
			 RelationGetRelationName(index), column);
	ScanKeyEntryInitialize(&stretch->keys[stretch->nkeys++], 0, column, strategy,
						   type, index->rd_indcollation[column - 1],
						   get_opcode(operator), value);
}

/*
 * make_stretches gives what comes after a row, up to an instant: the rest of
 * its instant and kind, the rest of its instant, what is later.
 */
static int
make_stretches(Relation index, const LsDueRow *after, TimestampTz until,
			   Stretch *stretches)
{
	Datum		last = TimestampTzGetDatum(until);
	Datum		at;

	memset(stretches, 0, sizeof(Stretch) * 3);
	if (after == NULL)
	{
		add_key(&stretches[0], index, DUE_AT, BTLessEqualStrategyNumber, last);
		return 1;
	}
	at = TimestampTzGetDatum(after->at);
	add_key(&stretches[0], index, DUE_AT, BTEqualStrategyNumber, at);
	add_key(&stretches[0], index, DUE_DRIFT, BTEqualStrategyNumber,
			BoolGetDatum(after->drift));
	add_key(&stretches[0], index, DUE_CONTACT, BTGreaterStrategyNumber, after->contact);
	add_key(&stretches[1], index, DUE_AT, BTEqualStrategyNumber, at);
	add_key(&stretches[1], index, DUE_DRIFT, BTGreaterStrategyNumber,
			BoolGetDatum(after->drift));
	add_key(&stretches[2], index, DUE_AT, BTGreaterStrategyNumber, at);
	add_key(&stretches[2], index, DUE_AT, BTLessEqualStrategyNumber, last);
	return 3;
}

/* read_stretch reads rows of a stretch, or counts them where rows is NULL. */
static int64
read_stretch(Relation rel, Relation index, Stretch *stretch, int64 limit,
			 LsDueRow *rows)
{
	SysScanDesc scan;
	HeapTuple	tuple;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), DUE_CONTACT - 1);
	int64		n = 0;

	if (limit <= 0)
		return 0;
	scan = systable_beginscan_ordered(rel, index, GetActiveSnapshot(),
									  stretch->nkeys, stretch->keys);
	while (n < limit &&
		   (tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (rows)
		{
			bool		isnull;

			rows[n].at = DatumGetTimestampTz(heap_getattr(tuple, DUE_AT, RelationGetDescr(rel), &isnull));
			rows[n].drift = DatumGetBool(heap_getattr(tuple, DUE_DRIFT, RelationGetDescr(rel), &isnull));
			rows[n].contact = datumCopy(heap_getattr(tuple, DUE_CONTACT, RelationGetDescr(rel), &isnull),
										att->attbyval, att->attlen);
		}
		n++;
	}
	systable_endscan_ordered(scan);
	return n;
}

static int64
read_table(const char *model, const LsDueRow *after, TimestampTz until,
		   int64 limit, LsDueRow *rows)
{
	Oid			relid = ls_extension_table(psprintf("due_%s", model), true);
	Relation	rel,
				index;
	Stretch		stretches[3];
	int			nstretches;
	int64		n = 0;
	Oid			types[DUE_NCOLUMNS] = {TIMESTAMPTZOID, BOOLOID};
	Oid			key_index;

	if (!OidIsValid(relid))
		return 0;
	rel = try_table_open(relid, AccessShareLock);
	if (rel == NULL)
		return 0;				/* dropped while we waited */
	types[DUE_CONTACT - 1] = get_atttype(ls_score_table(model, false), 1);
	ls_target_check(rel, types, DUE_NCOLUMNS);
	/* who asks how much is due is told of none, who would do it is told why */
	key_index = rows ? ls_key_index_required(rel, DUE_NCOLUMNS) : ls_key_index(rel, DUE_NCOLUMNS);
	if (OidIsValid(key_index))
	{
		index = index_open(key_index, AccessShareLock);
		nstretches = make_stretches(index, after, until, stretches);
		for (int i = 0; i < nstretches; i++)
			n += read_stretch(rel, index, &stretches[i], limit - n,
							  rows ? rows + n : NULL);
		index_close(index, AccessShareLock);
	}
	table_close(rel, AccessShareLock);
	return n;
}

/*
 * ls_due_table_read gives rows in the order in which they are worked off, after
 * one that was read, or from the first; how many they are.
 */
int
ls_due_table_read(const char *model, const LsDueRow *after, TimestampTz until,
				  int limit, LsDueRow *rows)
{
	return (int) read_table(model, after, until, limit, rows);
}

/* ls_due_table_count counts the rows up to an instant, but not beyond a limit. */
int64
ls_due_table_count(const char *model, TimestampTz until, int64 limit)
{
	return read_table(model, NULL, until, limit, NULL);
}

/* ---------- in the order of contacts ---------- */

#define CURSOR_BATCH	1000

/* Rows that are read a batch at a time, however many there are */
struct LsDueCursor
{
	LsModel    *model;
	Portal		portal;
	SPITupleTable *table;		/* NULL: nothing was fetched yet */
	uint64		rows;
	uint64		at;
};

/*
 * ls_due_cursor_open starts to read the rows up to an instant that the active
 * snapshot sees, in the order in which contacts are locked.  It is closed before
 * whatever was connected to SPI before it.
 */
LsDueCursor *
ls_due_cursor_open(LsModel *model, TimestampTz until)
{
	LsDueCursor *cursor = palloc0(sizeof(LsDueCursor));
	MemoryContext old = CurrentMemoryContext;
	Relation	rel = table_open(model->due_table, AccessShareLock);
	Oid			types[DUE_NCOLUMNS] = {TIMESTAMPTZOID, BOOLOID, model->key.type};
	Datum		value = TimestampTzGetDatum(until);
	LsUser	saved;
	SPIPlanPtr	plan;

	ls_target_check(rel, types, DUE_NCOLUMNS);
	table_close(rel, NoLock);
	cursor->model = model;
	SPI_connect();
	ls_user_switch_to_owner(ls_relation_owner(model->due_table), &saved);
	plan = SPI_prepare(psprintf("SELECT t.due_at, t.drift, t.contact_id FROM %s t"
								" WHERE t.due_at OPERATOR(pg_catalog.<=) $1"
								" ORDER BY t.contact_id, t.due_at, t.drift",
								ls_relation_qualified_name(model->due_table)), 1, types);
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
		LsUser	saved;

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
