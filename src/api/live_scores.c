/*-------------------------------------------------------------------------
 *
 * live_scores.c
 *		The views live_<model>: contacts as they are at an instant.
 *
 * Such a view is a UNION ALL of the tables that have rows of contacts, each read for
 * its key and ctid, and a call of leadscore_internal.live() for each row:
 *
 *		score_<model>		the contacts that have a row
 *		pending_<model>		contacts that have nothing but pending changes
 *		identity_<model>	contacts whose visitors have nothing but pending changes
 *
 * The arms have no conditions of their own, so that the planner flattens the UNION ALL
 * and pushes conditions and joins on the key down to each table, whose indexes serve
 * them.  The function makes sure that each contact is shown once.
 *
 * The argument is a ctid and not a row: the function reads the row itself, with the
 * snapshot of the query, so that a caller cannot pass a forged row.
 *
 *-------------------------------------------------------------------------
 */
#include "api/live_scores.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "api/arguments.h"
#include "base/statement.h"
#include "base/table_scan.h"
#include "counting/replay.h"
#include "definitions/lead_tables.h"
#include "rules/model_compile.h"
#include "rules/score_columns.h"
#include "tables/pending_table.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_live);

/* A table of contacts whose rows are read by their ctid */
typedef struct Place
{
	Oid			table;			/* InvalidOid: none yet */
	AttrNumber	contact;		/* column of the key; InvalidAttrNumber: not of the key's type */
	BlockNumber nblocks;		/* at least so many pages it has */
	TupleTableSlot *slot;
} Place;

/*
 * What is kept from row to row of a query: all that is the same for one model under one
 * snapshot.  It is made again for another, and after an error in the midst of a row.
 */
typedef struct Live
{
	MemoryContext context;		/* its own, with all of it */
	LsStatement statement;
	bool		busy;
	LsModel    *model;
	TupleDesc	desc;			/* of the result */
	Datum	   *values;
	bool	   *nulls;
	bool		any_pending;
	LsAdvance  *advance;
	Place		places[3];
} Live;

/* live_model gives the model whose score table has a row type. */
static LsModel *
live_model(FunctionCallInfo fcinfo, Oid type)
{
	Oid			relation = get_typ_typrelid(type);
	char	   *name = OidIsValid(relation) ? get_rel_name(relation) : NULL;

	if (name == NULL || strncmp(name, "score_", 6) != 0 ||
		relation != ls_lead_score_table(name + 6, true))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("this is not the row type of a score table")));
	return ls_argument_model(fcinfo, name + 6, psprintf("live_%s", name + 6));
}

/* make_live makes what is kept for the rows of one model under the active snapshot. */
static Live *
make_live(FunctionCallInfo fcinfo)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	LsModel    *model = live_model(fcinfo, type);
	MemoryContext context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "leadscore live scores",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Live	   *live = palloc0(sizeof(Live));

	live->context = context;
	live->statement = ls_statement_active();
	live->model = model;
	live->desc = lookup_rowtype_tupdesc_copy(type, -1);
	ls_score_columns_check(model, live->desc);
	live->values = palloc(sizeof(Datum) * live->desc->natts);
	live->nulls = palloc(sizeof(bool) * live->desc->natts);
	live->any_pending = ls_contact_snapshot_any_pending(model);
	live->advance = ls_contact_snapshot_advance_make(model);
	MemoryContextSwitchTo(old);
	return live;
}

/* get_live gives what is kept, and makes it where there is none that can be used. */
static Live *
get_live(FunctionCallInfo fcinfo)
{
	void	  **kept = ls_argument_kept(fcinfo);
	LsStatement statement = ls_statement_active();
	Live	   *live = kept ? *kept : NULL;

	if (live && !live->busy && !live->model->stale &&
		ls_statement_same_snapshot(&live->statement, &statement))
		return live;
	if (live)
	{
		*kept = NULL;
		MemoryContextDelete(live->context);
	}
	live = make_live(fcinfo);
	*ls_argument_kept(fcinfo) = live;
	return live;
}

/*
 * find_place finds a table among those whose rows are read, or adds it.  Its lock is
 * held until the transaction ends, as that of a table which a query reads.
 */
static Place *
find_place(Live *live, Oid table)
{
	LsModel    *model = live->model;
	Place	   *place = live->places;
	MemoryContext old;
	Relation	rel;
	TupleDesc	desc;

	if (table != model->score_table && table != model->pending_table &&
		(table != model->identity_table || model->visitors_of))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" has no rows of contacts of model \"%s\"",
						get_rel_name(table) ? get_rel_name(table) : "", model->name)));
	while (OidIsValid(place->table) && place->table != table)
		place++;
	if (place->table == table)
		return place;
	rel = table_open(table, AccessShareLock);
	old = MemoryContextSwitchTo(live->context);
	/* with the values of columns that were added later, which rows do not have */
	desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	if (table == model->score_table)
		ls_score_columns_check(model, desc);
	place->contact = get_attnum(table, "contact_id");
	if (place->contact != InvalidAttrNumber &&
		TupleDescAttr(desc, place->contact - 1)->atttypid != model->key.type)
		place->contact = InvalidAttrNumber;
	place->slot = MakeSingleTupleTableSlot(desc, table_slot_callbacks(rel));
	place->nblocks = 0;
	place->table = table;
	MemoryContextSwitchTo(old);
	table_close(rel, NoLock);
	return place;
}

/*
 * read_place reads the row at a ctid into the table's slot, if the active snapshot sees
 * it.  A forged ctid may point anywhere.
 */
static bool
read_place(Place *place, ItemPointer at)
{
	Relation	rel;
	bool		found = false;

	if (!ItemPointerIsValid(at))
		return false;
	rel = table_open(place->table, NoLock);
	if (ItemPointerGetBlockNumber(at) >= place->nblocks)
		place->nblocks = RelationGetNumberOfBlocks(rel);
	if (ItemPointerGetBlockNumber(at) < place->nblocks)
		found = table_tuple_fetch_row_version(rel, at, GetActiveSnapshot(), place->slot);
	table_close(rel, NoLock);
	return found;
}

/*
 * first_place tells whether the active snapshot sees a contact in a table, and gives
 * the first ctid: of several rows of one contact that one is shown.
 */
static bool
first_place(LsModel *model, Oid table, Datum contact, ItemPointer first)
{
	LsTableScan scan;
	bool		found = false;

	ls_table_scan_open(&scan, table, AccessShareLock, &model->key);
	ls_table_scan_by(&scan, get_attnum(table, "contact_id"), BTEqualStrategyNumber, &contact);
	while (ls_table_scan_next(&scan))
	{
		if (!found || ItemPointerCompare(&scan.tuple->t_self, first) < 0)
			*first = scan.tuple->t_self;
		found = true;
	}
	ls_table_scan_close(&scan, AccessShareLock);
	return found;
}

/* start_stored reads a contact's row of the score table; false: there is none. */
static bool
start_stored(Live *live, Place *place, ItemPointer at, LsScoreRow *row)
{
	if (!read_place(place, at))
		return false;
	ls_score_table_read_slot(live->model, place->slot, row);
	return !live->any_pending || ls_contact_snapshot_merge(live->model, row, true);
}

/*
 * start_new makes the row of a contact that has no stored one, if this is its first
 * ctid in the arms of the view.
 */
static bool
start_new(LsModel *model, Place *place, ItemPointer at, LsScoreRow *row)
{
	ItemPointerData first;
	Datum		contact = 0;
	bool		isnull = true;

	if (read_place(place, at) && place->contact != InvalidAttrNumber)
		contact = slot_getattr(place->slot, place->contact, &isnull);
	if (isnull || first_place(model, model->score_table, contact, &first))
		return false;
	if (place->table != model->pending_table &&
		first_place(model, model->pending_table, contact, &first))
		return false;
	return first_place(model, place->table, contact, &first) &&
		ItemPointerEquals(&first, at) &&
		ls_contact_snapshot_find_current(model, contact, row);
}

/*
 * recall gives a row the scores of an instant before its own, as score() does: the
 * clock has been set back, or is behind that of the session that wrote the row.  The
 * next stage is unknown for an instant in the past: that of the row stays.
 */
static void
recall(LsModel *model, LsScoreRow *row, TimestampTz at)
{
	LsScore    *score = ls_score_make(model, false);
	LsReplay   *replay = ls_contact_snapshot_recall(model, row, at);

	if (replay == NULL)
		ls_score_evaluate(model, &row->state, at, score);
	else
	{
		ls_replay_evaluate(replay, at, score);
		row->state.last = ls_replay_last(replay, at);
		row->state.events = row->state.last == DT_NOBEGIN ? 0 : 1;
		row->state.first = row->state.last;
	}
	ls_score_row_take_score(model, row, score);
}

/* ls_live_advance gives a row what the contact is at an instant. */
void
ls_live_advance(LsAdvance *advance, LsScoreRow *row, TimestampTz at)
{
	if (at >= ls_score_row_instant(row))
		ls_contact_snapshot_advance(advance, row, at);
	else
		recall(advance->model, row, at);
}

/* evaluate makes the result for a row that was read. */
static Datum
evaluate(Live *live, LsScoreRow *row, TimestampTz at)
{
	ls_live_advance(live->advance, row, at);
	ls_score_table_shown(live->model, row, live->values, live->nulls);
	return HeapTupleGetDatum(heap_form_tuple(live->desc, live->values, live->nulls));
}

/*
 * ls_live evaluates, at an instant, the contact of a row in one of these tables, and
 * gives it as a row of the score table, without its state; NULL where another row shows
 * the contact, or there is none.  The first argument is a NULL of that row type.
 */
Datum
ls_live(PG_FUNCTION_ARGS)
{
	Live	   *live = get_live(fcinfo);
	LsModel    *model = live->model;
	TimestampTz at = ls_argument_until(ls_argument_instant(fcinfo, 3));
	ItemPointer where;
	Place	   *place;
	bool		known = false;
	LsScoreRow	row;
	Datum		result = 0;

	if (PG_ARGISNULL(1) || !OidIsValid(PG_GETARG_OID(1)) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	place = find_place(live, PG_GETARG_OID(1));
	where = (ItemPointer) PG_GETARG_POINTER(2);
	live->busy = true;
	if (place->table == model->score_table)
		known = start_stored(live, place, where, &row);
	else if (place->table == model->pending_table || ls_pending_any_visitors(model))
		known = start_new(model, place, where, &row);
	if (known)
		result = evaluate(live, &row, at);
	ExecClearTuple(place->slot);
	live->busy = false;
	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
