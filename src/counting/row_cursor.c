/*-------------------------------------------------------------------------
 *
 * row_cursor.c
 *		Rows of a query, one after the other.
 *
 * Rows are fetched in batches, as the user has to be switched for that, and kept as the
 * values that the executor gives: to form a tuple of them, and to take that apart
 * again, would cost more than all else that is done to read a row.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/row_cursor.h"

#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "utils/datum.h"
#include "utils/memutils.h"

struct LsRowCursor
{
	DestReceiver receiver;		/* first, as the executor passes it on */
	Portal		portal;
	MemoryContext context;		/* of all this */
	MemoryContext batch;		/* of values that are passed by reference */
	TupleTableSlot *slot;
	int			natts;
	int			most;			/* rows of a batch */
	int			nrows;
	int			at;				/* the next one */
	Datum	   *values;			/* of row 0, 1, ... */
	bool	   *nulls;
};

/* start is called before rows are received. */
static void
start(DestReceiver *self, int operation, TupleDesc desc)
{
}

/* receive keeps a row. */
static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	LsRowCursor *cursor = (LsRowCursor *) self;
	TupleDesc	desc = cursor->slot->tts_tupleDescriptor;
	Datum	   *values = &cursor->values[cursor->natts * cursor->nrows];
	bool	   *nulls = &cursor->nulls[cursor->natts * cursor->nrows];
	MemoryContext old = MemoryContextSwitchTo(cursor->batch);

	Assert(cursor->nrows < cursor->most);
	slot_getallattrs(slot);
	memcpy(nulls, slot->tts_isnull, sizeof(bool) * cursor->natts);
	for (int i = 0; i < cursor->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		values[i] = nulls[i] || att->attbyval ? slot->tts_values[i] :
			datumCopy(slot->tts_values[i], false, att->attlen);
	}
	MemoryContextSwitchTo(old);
	cursor->nrows++;
	return true;
}

/* finish is called after the last row of a batch, and when the receiver is destroyed. */
static void
finish(DestReceiver *self)
{
}

/*
 * ls_row_cursor_open opens a cursor of a prepared query, as the current user and with
 * the active snapshot.  The caller has connected to SPI.
 */
LsRowCursor *
ls_row_cursor_open(SPIPlanPtr plan, Datum *values, int batch)
{
	LsRowCursor *cursor = palloc0(sizeof(LsRowCursor));

	cursor->receiver.receiveSlot = receive;
	cursor->receiver.rStartup = start;
	cursor->receiver.rShutdown = finish;
	cursor->receiver.rDestroy = finish;
	cursor->receiver.mydest = DestNone;
	cursor->most = batch;
	cursor->context = CurrentMemoryContext;
	cursor->portal = SPI_cursor_open(NULL, plan, values, NULL, true);
	return cursor;
}

/* make_room makes room for a batch, when the first is fetched. */
static void
make_room(LsRowCursor *cursor)
{
	MemoryContext old = MemoryContextSwitchTo(cursor->context);

	cursor->batch = AllocSetContextCreate(cursor->context, "leadscore rows", ALLOCSET_DEFAULT_SIZES);
	cursor->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(cursor->portal->tupDesc), &TTSOpsVirtual);
	cursor->natts = cursor->portal->tupDesc->natts;
	cursor->values = palloc(sizeof(Datum) * cursor->natts * cursor->most);
	cursor->nulls = palloc(sizeof(bool) * cursor->natts * cursor->most);
	MemoryContextSwitchTo(old);
}

/* ls_row_cursor_has_row tells whether there is a next row without fetching any. */
bool
ls_row_cursor_has_row(const LsRowCursor *cursor)
{
	return cursor->at < cursor->nrows;
}

/*
 * ls_row_cursor_fetch fetches the next rows, as the current user.  What refers to the
 * rows before is no longer valid.  False at the end.
 */
bool
ls_row_cursor_fetch(LsRowCursor *cursor)
{
	if (cursor->slot == NULL)
		make_room(cursor);
	ExecClearTuple(cursor->slot);
	MemoryContextReset(cursor->batch);
	cursor->nrows = cursor->at = 0;
	(void) PortalRunFetch(cursor->portal, FETCH_FORWARD, cursor->most, &cursor->receiver);
	return cursor->nrows > 0;
}

/* ls_row_cursor_next gives the next of the rows that were fetched. */
TupleTableSlot *
ls_row_cursor_next(LsRowCursor *cursor)
{
	TupleTableSlot *slot = ExecClearTuple(cursor->slot);

	memcpy(slot->tts_values, &cursor->values[cursor->natts * cursor->at], sizeof(Datum) * cursor->natts);
	memcpy(slot->tts_isnull, &cursor->nulls[cursor->natts * cursor->at], sizeof(bool) * cursor->natts);
	cursor->at++;
	return ExecStoreVirtualTuple(slot);
}

void
ls_row_cursor_close(LsRowCursor *cursor)
{
	if (cursor->slot)
		ExecDropSingleTupleTableSlot(cursor->slot);
	SPI_cursor_close(cursor->portal);
}
