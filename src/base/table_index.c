/*-------------------------------------------------------------------------
 *
 * table_index.c
 *		The indexes by which rows of a model's tables are found.
 *
 * The tables of a model belong to its owner, who may have added indexes, rebuilt or
 * dropped those that they were made with, or have had REINDEX CONCURRENTLY
 * cancelled, which leaves an invalid one behind.  So an index is not taken for its
 * name or place in the list: it has to be valid, have all rows, and compare and sort
 * its columns as the types of the columns do by default.
 *
 *-------------------------------------------------------------------------
 */
#include "base/table_index.h"

#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/relation.h"

/* What is looked for: an index over columns of a table that lie side by side */
typedef struct Wanted
{
	Relation	rel;
	AttrNumber	first;
	int			ncolumns;
	bool		key;			/* one row for each value, and no more columns */
} Wanted;

/*
 * sorts_by tells whether the i-th key column of an index is the i-th that is wanted,
 * sorted as its type is.
 */
static bool
sorts_by(const Wanted *wanted, HeapTuple tuple, int i)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(wanted->rel), wanted->first + i - 1);
	oidvector  *collations;
	oidvector  *classes;
	int2vector *options;
	Oid			standard = GetDefaultOpClass(att->atttypid, BTREE_AM_OID);
	bool		isnull;

	collations = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															   Anum_pg_index_indcollation, &isnull));
	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															Anum_pg_index_indclass, &isnull));
	options = (int2vector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															 Anum_pg_index_indoption, &isnull));
	return form->indkey.values[i] == wanted->first + i && options->values[i] == 0 &&
		collations->values[i] == att->attcollation && OidIsValid(standard) &&
		get_opclass_family(classes->values[i]) == get_opclass_family(standard);
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

/* fits tells whether an index is what is wanted, and whether it is valid. */
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
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	if (wanted->key)
		result = result && form->indnkeyatts == wanted->ncolumns && form->indisunique &&
			form->indimmediate;
	for (int i = 0; result && i < wanted->ncolumns; i++)
		result = sorts_by(wanted, tuple, i);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * is_key tells whether an index is the table's primary key over its first columns:
 * what such a key compares and sorts by is not for anybody to choose.
 */
static bool
is_key(Oid indexid, int ncolumns)
{
	HeapTuple	tuple;
	Form_pg_index index;
	bool		is;

	if (!OidIsValid(indexid))
		return false;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	if (!HeapTupleIsValid(tuple))
		return false;
	index = (Form_pg_index) GETSTRUCT(tuple);
	is = index->indisvalid && index->indnkeyatts == ncolumns;
	for (int i = 0; is && i < ncolumns; i++)
		is = index->indkey.values[i] == i + 1;
	ReleaseSysCache(tuple);
	return is;
}

/*
 * find finds an index.  invalid: one that would do if it were valid.  Who has locked
 * the table keeps the index from being dropped.
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

/* refuse says that there is no index, and how one is made. */
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
						 quote_identifier(NameStr(TupleDescAttr(desc, wanted->first + i - 1)->attname)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 wanted->key ? errmsg("table \"%s\" has no valid primary key", RelationGetRelationName(rel)) :
			 errmsg("table \"%s\" has no valid index on column %s",
					RelationGetRelationName(rel), columns.data),
			 OidIsValid(invalid) ? errdetail("Index \"%s\" is not valid.", get_rel_name(invalid)) : 0,
			 OidIsValid(invalid) ?
			 errhint("Rebuild it: REINDEX INDEX %s.", ls_relation_qualified_name(invalid)) :
			 wanted->key ?
			 errhint("Make it again, as a restored dump does at its end: ALTER TABLE %s ADD PRIMARY KEY (%s).",
					 table, columns.data) :
			 errhint("Make one, as a restored dump does at its end: CREATE INDEX ON %s (%s).",
					 table, columns.data)));
}

/*
 * ls_table_index_key finds the index by which there is one row of a table for each value
 * of its first columns, in their order; InvalidOid: there is none.
 */
Oid
ls_table_index_key(Relation rel, int ncolumns)
{
	Wanted		wanted = {.rel = rel, .first = 1, .ncolumns = ncolumns, .key = true};
	Oid			primary = ls_primary_key_index(rel);
	Oid			invalid;

	/* nearly always, and asked by every statement */
	if (is_key(primary, ncolumns))
		return primary;
	return find(&wanted, &invalid);
}

/* ls_table_index_key_required refuses a table that has no such index. */
Oid
ls_table_index_key_required(Relation rel, int ncolumns)
{
	Wanted		wanted = {.rel = rel, .first = 1, .ncolumns = ncolumns, .key = true};
	Oid			found = ls_table_index_key(rel, ncolumns);
	Oid			invalid;

	if (OidIsValid(found))
		return found;
	found = find(&wanted, &invalid);
	if (!OidIsValid(found))
		refuse(&wanted, invalid);
	return found;
}

/* ls_table_index_required finds an index by which rows with one value of a column lie together. */
Oid
ls_table_index_required(Relation rel, AttrNumber column)
{
	Wanted		wanted = {.rel = rel, .first = column, .ncolumns = 1};
	Oid			invalid;
	Oid			found = find(&wanted, &invalid);

	if (!OidIsValid(found))
		refuse(&wanted, invalid);
	return found;
}

/*
 * ls_table_index_check makes sure that a table has its index: of the primary key, which
 * is its first nkey columns, or of the first column where it has none.
 */
void
ls_table_index_check(Oid table, int nkey)
{
	bool		locked;
	Relation	rel = ls_relation_open(table, &locked);

	if (rel == NULL)
		return;
	if (nkey > 0)
		(void) ls_table_index_key_required(rel, nkey);
	else
		(void) ls_table_index_required(rel, 1);
	ls_relation_close(rel, locked);
}
