/*-------------------------------------------------------------------------
 *
 * local_rows.c
 *		The FROM item of a query, without rows of foreign tables.
 *
 * leadscore does not see changes of rows of foreign tables, so these rows do not count:
 * a query of events leaves out the foreign tables below its table.  They are not even
 * opened, so that no statement fails because a foreign server is down.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/local_rows.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/relation.h"

/* append_columns lists the columns of a table, which its descendants have too. */
static void
append_columns(StringInfo sql, Oid relation)
{
	bool		locked;
	Relation	rel = ls_relation_open(relation, &locked);
	const char *between = "";

	if (rel == NULL)
		return;
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped)
			continue;
		appendStringInfo(sql, "%s%s", between, quote_identifier(NameStr(att->attname)));
		between = ", ";
	}
	ls_relation_close(rel, locked);
}

/* union_of gives the rows of tables, each without those of its descendants. */
static char *
union_of(Oid relation, List *tables)
{
	StringInfoData sql;
	const char *between = "";
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfoChar(&sql, '(');
	foreach(lc, tables)
	{
		appendStringInfo(&sql, "%sSELECT ", between);
		append_columns(&sql, relation);
		appendStringInfo(&sql, " FROM ONLY %s", ls_relation_qualified_name(lfirst_oid(lc)));
		between = " UNION ALL ";
	}
	/* all are foreign tables */
	if (tables == NIL)
	{
		appendStringInfoString(&sql, "SELECT ");
		append_columns(&sql, relation);
		appendStringInfo(&sql, " FROM ONLY %s", ls_relation_qualified_name(relation));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * filter gives the rows of a table except those of some tables, which are opened
 * nevertheless.
 */
static char *
filter(Oid relation, List *foreign)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "(SELECT ");
	append_columns(&sql, relation);
	appendStringInfo(&sql, " FROM %s WHERE tableoid OPERATOR(pg_catalog.<>) ALL (ARRAY[",
					 ls_relation_qualified_name(relation));
	foreach(lc, foreign)
		appendStringInfo(&sql, "%s%u", lc == list_head(foreign) ? "" : ", ", lfirst_oid(lc));
	appendStringInfoString(&sql, "]::pg_catalog.oid[]))");
	return sql.data;
}

/*
 * ls_local_rows gives the FROM item, before an alias, of the rows of a table that
 * count, as a role reads them: the table's name, unless there are foreign tables below
 * it.  A role that may read the table may have no privileges on its partitions: then
 * the foreign ones are read, and filtered out.
 */
char *
ls_local_rows(Oid relation, Oid role)
{
	List	   *local = NIL;
	List	   *foreign = NIL;
	bool		readable = true;
	ListCell   *lc;

	foreach(lc, ls_relation_tree(relation))
	{
		char		kind = get_rel_relkind(lfirst_oid(lc));

		if (kind == RELKIND_FOREIGN_TABLE)
			foreign = lappend_oid(foreign, lfirst_oid(lc));
		else if (kind == RELKIND_RELATION &&
				 get_rel_persistence(lfirst_oid(lc)) != RELPERSISTENCE_TEMP)
		{
			local = lappend_oid(local, lfirst_oid(lc));
			readable = readable && ls_relation_may_read(lfirst_oid(lc), role);
		}
	}
	if (foreign == NIL)
		return ls_relation_qualified_name(relation);
	return readable ? union_of(relation, local) : filter(relation, foreign);
}
