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
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "api/arguments.h"
#include "base/table_scan.h"
#include "counting/contact_snapshot.h"
#include "counting/replay.h"
#include "definitions/lead_tables.h"
#include "rules/model_compile.h"
#include "rules/score_columns.h"
#include "tables/pending_table.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_live);

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

/*
 * read_place gives a copy of the row at a ctid, if the active snapshot sees it.  A
 * forged ctid may point anywhere.
 */
static HeapTuple
read_place(Relation rel, ItemPointer place)
{
	TupleTableSlot *slot;
	HeapTuple	tuple = NULL;

	if (!ItemPointerIsValid(place) ||
		ItemPointerGetBlockNumber(place) >= RelationGetNumberOfBlocks(rel))
		return NULL;
	slot = table_slot_create(rel, NULL);
	if (table_tuple_fetch_row_version(rel, place, GetActiveSnapshot(), slot))
		tuple = ExecCopySlotHeapTuple(slot);
	ExecDropSingleTupleTableSlot(slot);
	return tuple;
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
start_stored(LsModel *model, Relation rel, ItemPointer place, LsScoreRow *row)
{
	HeapTuple	tuple = read_place(rel, place);

	if (tuple == NULL)
		return false;
	ls_score_table_read_tuple(model, tuple, RelationGetDescr(rel), row);
	return !ls_contact_snapshot_any_pending(model) || ls_contact_snapshot_merge(model, row, true);
}

/*
 * start_new makes the row of a contact that has no stored one, if this is its first
 * ctid in the arms of the view.
 */
static bool
start_new(LsModel *model, Relation rel, ItemPointer place, LsScoreRow *row)
{
	HeapTuple	tuple = read_place(rel, place);
	AttrNumber	column = get_attnum(RelationGetRelid(rel), "contact_id");
	ItemPointerData first;
	Datum		contact = 0;
	bool		isnull = true;

	if (tuple && column != InvalidAttrNumber &&
		TupleDescAttr(RelationGetDescr(rel), column - 1)->atttypid == model->key.type)
		contact = heap_getattr(tuple, column, RelationGetDescr(rel), &isnull);
	if (isnull || first_place(model, model->score_table, contact, &first))
		return false;
	if (RelationGetRelid(rel) != model->pending_table &&
		first_place(model, model->pending_table, contact, &first))
		return false;
	return first_place(model, RelationGetRelid(rel), contact, &first) &&
		ItemPointerEquals(&first, place) &&
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

/*
 * ls_live evaluates, at an instant, the contact of a row in one of these tables, and
 * gives it as a row of the score table; NULL where another row shows the contact, or
 * there is none.  The first argument is a NULL of that row type.
 */
Datum
ls_live(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	LsModel    *model = live_model(fcinfo, type);
	Oid			table = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	TimestampTz at = ls_argument_until(ls_argument_instant(fcinfo, 3));
	Relation	rel;
	bool		known = false;
	LsScoreRow	row;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	HeapTuple	evaluated;

	if (!OidIsValid(table) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	if (table != model->score_table && table != model->pending_table &&
		(table != model->identity_table || model->visitors_of))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" has no rows of contacts of model \"%s\"",
						get_rel_name(table) ? get_rel_name(table) : "", model->name)));
	rel = table_open(table, AccessShareLock);
	if (table == model->score_table)
		known = start_stored(model, rel, (ItemPointer) PG_GETARG_POINTER(2), &row);
	else if (table == model->pending_table || ls_pending_any_visitors(model))
		known = start_new(model, rel, (ItemPointer) PG_GETARG_POINTER(2), &row);
	table_close(rel, AccessShareLock);
	if (!known)
		PG_RETURN_NULL();
	desc = lookup_rowtype_tupdesc(type, -1);
	ls_score_columns_check(model, desc);
	values = palloc(sizeof(Datum) * desc->natts);
	nulls = palloc(sizeof(bool) * desc->natts);
	if (at >= ls_score_row_instant(&row))
		ls_contact_snapshot_advance(model, &row, at);
	else
		recall(model, &row, at);
	ls_score_table_values(model, &row, values, nulls);
	evaluated = heap_form_tuple(desc, values, nulls);
	ReleaseTupleDesc(desc);
	PG_RETURN_DATUM(HeapTupleGetDatum(evaluated));
}
