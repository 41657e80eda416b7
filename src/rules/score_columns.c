/*-------------------------------------------------------------------------
 *
 * score_columns.c
 *		Where the columns of a compiled model are in its score table.
 *
 * They are found by name: categories are added and removed.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/score_columns.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/relation.h"
#include "definitions/extension.h"
#include "definitions/table_layout.h"

/* the columns after the categories */
const LsScoreColumn ls_score_columns[LS_SCORE_COLUMNS] = {
	{"grade", TEXTOID}, {"stage", TEXTOID}, {"stage_since", TIMESTAMPTZOID},
	{"disqualified", BOOLOID}, {"has_contact", BOOLOID}, {"last_event_at", TIMESTAMPTZOID},
	{"scored_at", TIMESTAMPTZOID}, {"rules_version", INT8OID}, {"state", BYTEAOID}
};

/* find_column finds a column of a score table by its name and type. */
static int
find_column(TupleDesc desc, const char *name, Oid type)
{
	for (int i = 2; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->atttypid == type && strcmp(NameStr(att->attname), name) == 0)
			return i;
	}
	return LS_SCORE_NOWHERE;
}

/* type_at gives the type of a column, InvalidOid for one that was dropped. */
static Oid
type_at(TupleDesc desc, int column)
{
	Form_pg_attribute att = TupleDescAttr(desc, column);

	return att->attisdropped ? InvalidOid : att->atttypid;
}

/*
 * has_columns tells whether the table still has the columns that the model was mapped
 * to.
 */
static bool
has_columns(const LsModel *model, TupleDesc desc)
{
	if (desc->natts != model->score_natts || desc->natts < 2 + LS_SCORE_COLUMNS ||
		type_at(desc, 0) != model->key.type || type_at(desc, 1) != FLOAT8OID)
		return false;
	for (int i = 0; i < model->ncategories; i++)
		if (LS_SCORE_CATEGORY_AT(model, i) != LS_SCORE_NOWHERE && type_at(desc, LS_SCORE_CATEGORY_AT(model, i)) != FLOAT8OID)
			return false;
	for (int i = 0; i < LS_SCORE_COLUMNS; i++)
		if (LS_SCORE_AT(model, i) == LS_SCORE_NOWHERE || type_at(desc, LS_SCORE_AT(model, i)) != ls_score_columns[i].type)
			return false;
	return model->score_top == LS_SCORE_NOWHERE || type_at(desc, model->score_top) == FLOAT4OID;
}

/*
 * map_columns finds the columns of a model in its score table.  False where they are
 * not those of the model: where categories were added or removed since the snapshot
 * that the model was read with, or the table or lead_category was changed by other
 * means.
 */
static bool
map_columns(LsModel *model, TupleDesc desc)
{
	int			n = model->ncategories + LS_SCORE_COLUMNS;
	int			live = 0;
	bool		all = true;

	model->score_natts = desc->natts;
	model->score_columns = MemoryContextAlloc(model->context, sizeof(int) * n);
	for (int i = 0; i < n; i++)
	{
		int			after = i - model->ncategories;

		model->score_columns[i] = after < 0 ?
			find_column(desc, model->categories[i].name, FLOAT8OID) :
			find_column(desc, ls_score_columns[after].name, ls_score_columns[after].type);
		all = all && model->score_columns[i] != LS_SCORE_NOWHERE;
	}
	model->score_live = MemoryContextAlloc(model->context, sizeof(int) * Max(1, desc->natts));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			model->score_live[live++] = i;
	model->score_nlive = live;
	/* a table that a dump of 0.6.0 has does not have it; a category may be called so there */
	model->score_top = find_column(desc, "top_score", FLOAT4OID);
	if (model->score_top != LS_SCORE_NOWHERE)
		n++;
	return all && live == n + 2 && has_columns(model, desc);
}

/* refuse refuses a score table whose columns are not those of its model. */
static void
refuse(const LsModel *model)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"score_%s\" does not have the columns that leadscore gave it",
					model->name),
			 errhint("Undo what was done to it or to the rows of leadscore.lead_category by hand, or drop the model.")));
}

/* ls_score_columns_check refuses such a table before rows are read or written. */
void
ls_score_columns_check(const LsModel *model, TupleDesc desc)
{
	if (!has_columns(model, desc))
		refuse(model);
}

/*
 * is_of_before tells whether a model was read with an older version: its categories
 * may not be those of the score table's columns.
 */
static bool
is_of_before(const LsModel *model, Snapshot snapshot, int64 version)
{
	LsModelRow *row = snapshot ? ls_lead_model(model->name, NULL) : NULL;

	return row && row->rules_version != version;
}

/*
 * ls_score_columns_check_tables refuses tables that do not have the columns of the
 * model, before a writer begins.  snapshot and version are those of the model, whose
 * categories may be older.
 */
void
ls_score_columns_check_tables(LsModel *model, Snapshot snapshot, int64 version, bool of_the_past)
{
	static const char *const prefixes[] = {"due_", "pending_", "purged_", "profile_"};
	Relation	rel;
	bool		locked;

	if ((rel = ls_relation_open(model->score_table, &locked)) != NULL)
	{
		if (!map_columns(model, RelationGetDescr(rel)) && !of_the_past &&
			!is_of_before(model, snapshot, version))
			refuse(model);
		ls_relation_close(rel, locked);
	}
	for (size_t i = 0; i < lengthof(prefixes); i++)
		ls_table_layout_check_unopened(model->name, prefixes[i], model->key.type);
}

/*
 * ls_score_columns_spread puts the values of a row at the table's column numbers: a
 * query result has no places for dropped columns.
 */
void
ls_score_columns_spread(LsModel *model, TupleDesc desc, Datum *values, bool *nulls)
{
	for (int i = model->score_nlive - 1; i >= 0; i--)
	{
		int			to = model->score_live[i];

		values[to] = values[i];
		nulls[to] = nulls[i];
	}
	for (int i = 0; i < model->ncategories + LS_SCORE_COLUMNS; i++)
	{
		int			from = 0;

		if (model->score_columns[i] == LS_SCORE_NOWHERE)
			continue;
		while (from < model->score_nlive && model->score_live[from] != model->score_columns[i])
			from++;
		if (from == model->score_nlive ||
			type_at(desc, from) != (i < model->ncategories ? FLOAT8OID :
									ls_score_columns[i - model->ncategories].type))
			refuse(model);
	}
}

/* ls_score_columns_top gives which rows of a model have their top_score. */
LsTopScores
ls_score_columns_top(const char *model, Snapshot snapshot)
{
	LsTopScores kept = {INFINITY, INFINITY};
	Oid			table = ls_extension_base_table("top_scores", true);
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	/* until the extension is updated it does not have the table */
	if (!OidIsValid(table) || ls_extension_lacks_rows("top_scores"))
		return kept;
	rel = table_open(table, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		nulls[2];
		double		written = DatumGetFloat8(heap_getattr(tuple, 2, RelationGetDescr(rel), &nulls[0]));
		double		complete = DatumGetFloat8(heap_getattr(tuple, 3, RelationGetDescr(rel), &nulls[1]));

		if (!nulls[0] && !nulls[1])
			kept = (LsTopScores) {written, complete};
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return kept;
}
