/*-------------------------------------------------------------------------
 *
 * live_view.c
 *		The view live_<model>: made, and re-created.
 *
 * What it shows when it is read is in live_scores.c.  Its columns come in the order
 * in which the score table has them, so that one which is added comes last, as CREATE
 * OR REPLACE VIEW wants it.  Where a column changes its type or is dropped, the view
 * is dropped and re-created, with the privileges granted on it.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/live_view.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/relation.h"
#include "base/sql.h"
#include "definitions/extension.h"

/* ---------- made ---------- */

/* is_shown tells whether the view has a column of the score table. */
static bool
is_shown(const LsModelTables *tables, const char *column)
{
	for (int i = 0; i < tables->ncategories; i++)
		if (strcmp(tables->categories[i], column) == 0)
			return true;
	return ls_tables_show_column(column);
}

/*
 * append_columns lists what the view shows beside the contact: a call for each column, by
 * its number in the score table.
 */
static void
append_columns(StringInfo sql, const LsModelTables *tables)
{
	Relation	rel = relation_open(ls_lead_score_table(tables->row.model, false), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && is_shown(tables, NameStr(att->attname)))
			appendStringInfo(sql, ", leadscore_internal.live_column(NULL::%s, 'leadscore.score_%s'::regclass, %d,"
							 " k.place_table, k.place) AS %s",
							 format_type_be(att->atttypid), tables->row.model, att->attnum,
							 quote_identifier(NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
}

/* append_arm adds a table that has rows of contacts; see live_scores.c. */
static void
append_arm(StringInfo sql, const char *prefix, const char *model)
{
	if (!OidIsValid(ls_extension_table(psprintf("%s%s", prefix, model), true)))
		return;
	appendStringInfo(sql, "%sSELECT t.contact_id, t.tableoid AS place_table, t.ctid AS place"
					 " FROM leadscore.%s%s t",
					 sql->data[sql->len - 1] == '(' ? "" : " UNION ALL ", prefix, model);
}

/*
 * ls_live_view_make makes live_<model>: the same, evaluated now.  The key comes from the
 * tables themselves, so that their indexes are used to find rows, and only those rows
 * are evaluated that are left when that has been done.
 */
void
ls_live_view_make(const LsModelTables *tables)
{
	const char *model = tables->row.model;
	StringInfoData sql;

	ls_extension_require_update();
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE OR REPLACE VIEW leadscore.live_%s AS SELECT k.contact_id", model);
	append_columns(&sql, tables);
	appendStringInfoString(&sql, " FROM (");
	append_arm(&sql, "score_", model);
	append_arm(&sql, "pending_", model);
	append_arm(&sql, "identity_", model);
	appendStringInfo(&sql, ") k WHERE leadscore_internal.live_shows('leadscore.score_%s'::regclass, k.place_table, k.place)",
					 model);
	ls_extension_execute(sql.data, NULL);
	ls_extension_execute(psprintf("COMMENT ON VIEW leadscore.live_%s IS 'scores of model %s as they are now, evaluated when read'",
								  model, model), NULL);
	ls_tables_comment_columns(tables, "live_", false);
	ls_tables_give_view(psprintf("live_%s", model), tables->row.owner);
}

/* ---------- what depends on it ---------- */

/* is_ours tells whether a dependent object is the view's own, or one of leadscore's. */
static bool
is_ours(const ObjectAddress *object)
{
	Oid			relation = InvalidOid;

	if (object->classId == RelationRelationId)
		relation = object->objectId;
	else if (object->classId == RewriteRelationId)
		relation = ls_relation_part_table(object->classId, object->objectId);
	return OidIsValid(relation) && ls_extension_has_schema(get_rel_namespace(relation));
}

/* describe names an object for a message: a view by itself, and not by its rule. */
static char *
describe(const ObjectAddress *object)
{
	char	   *text = getObjectDescription(object, true);
	char	   *view = text ? strstr(text, " on view ") : NULL;

	if (object->classId == RewriteRelationId && view)
		return view + strlen(" on ");
	return text ? text : "an object that is being dropped";
}

/*
 * ls_live_view_refuse_dependents refuses to go on where objects of others depend on a
 * relation, or on a column of it where one is given; what names the change for the
 * message.
 */
void
ls_live_view_refuse_dependents(Oid relation, AttrNumber column, const char *what)
{
	List	   *names = NIL;
	StringInfoData list;
	ListCell   *lc;
	ListCell   *nc;

	foreach(lc, ls_relation_dependents(RelationRelationId, relation))
	{
		Form_pg_depend form = lfirst(lc);
		ObjectAddress object = {form->classid, form->objid, form->objsubid};
		bool		known = false;

		if (form->deptype != DEPENDENCY_NORMAL || (column && form->refobjsubid != column) ||
			is_ours(&object))
			continue;
		foreach(nc, names)
			known = known || strcmp(lfirst(nc), describe(&object)) == 0;
		if (!known)
			names = lappend(names, describe(&object));
	}
	if (names == NIL)
		return;
	initStringInfo(&list);
	foreach(lc, names)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", (char *) lfirst(lc));
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot %s because other objects depend on it", what),
			 errdetail("The dependent objects are %s.", list.data),
			 errhint("Drop them first, and create them again afterwards.")));
}

/* ---------- re-created ---------- */

/* the commands that restore properties of a view ($1), each with its column */
static const char commands_of[] =
"SELECT NULL::pg_catalog.name, pg_catalog.format('GRANT %s ON leadscore.%I TO %s%s', a.privilege_type, c.relname,"
" CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END,"
" CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
" FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a"
" LEFT JOIN pg_catalog.pg_roles r ON (r.oid = a.grantee)"
" WHERE c.oid = $1 AND a.grantee <> c.relowner"
" UNION ALL "
"SELECT t.attname, pg_catalog.format('GRANT %s (%I) ON leadscore.%I TO %s%s', a.privilege_type, t.attname, c.relname,"
" CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END,"
" CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
" FROM pg_catalog.pg_class c"
" JOIN pg_catalog.pg_attribute t ON (t.attrelid = c.oid AND t.attnum > 0)"
" CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a"
" LEFT JOIN pg_catalog.pg_roles r ON (r.oid = a.grantee)"
" WHERE c.oid = $1"
" UNION ALL "
"SELECT NULL, pg_catalog.format('ALTER VIEW leadscore.%I SET (%s)', c.relname,"
" pg_catalog.array_to_string(c.reloptions, ', '))"
" FROM pg_catalog.pg_class c WHERE c.oid = $1 AND c.reloptions IS NOT NULL";

/*
 * ls_live_view_drop drops the view of a model, and gives what has to be restored with
 * it.  It is refused where views of others read it.
 */
LsLiveView *
ls_live_view_drop(const char *model)
{
	LsLiveView *view = palloc0(sizeof(LsLiveView));
	char	   *name = psprintf("live_%s", model);
	Oid			relation = ls_extension_table(name, true);
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	if (!OidIsValid(relation))
		return view;
	ls_live_view_refuse_dependents(relation, 0, psprintf("re-create view \"%s\"", name));
	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(relation));
	rows = ls_extension_query(commands_of, &args);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		view->columns = lappend(view->columns, ls_sql_text(rows, i, 1));
		view->commands = lappend(view->commands, ls_sql_text(rows, i, 2));
	}
	ls_extension_execute(psprintf("DROP VIEW leadscore.%s", name), NULL);
	return view;
}

/* ls_live_view_restore re-creates a view that was dropped. */
void
ls_live_view_restore(const LsModelTables *tables, const LsLiveView *view)
{
	Oid			relation;
	ListCell   *lc;
	ListCell   *cc;

	ls_live_view_make(tables);
	relation = ls_extension_table(psprintf("live_%s", tables->row.model), false);
	forboth(lc, view->commands, cc, view->columns)
		if (lfirst(cc) == NULL || get_attnum(relation, lfirst(cc)) != InvalidAttrNumber)
			ls_extension_execute(lfirst(lc), NULL);
}
