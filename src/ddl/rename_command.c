/*-------------------------------------------------------------------------
 *
 * rename_command.c
 *		What a command renames.
 *
 * PostgreSQL checks whether the session may rename it; that is not checked here.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/rename_internal.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/relation.h"
#include "definitions/source_triggers.h"

/*
 * columns_of gives the tables that have a column of the same name: a table and those
 * below it, or the typed tables of a composite type.
 */
static List *
columns_of(Oid relation)
{
	List	   *relations = ls_relation_tree(relation);
	Oid			type = get_rel_type_id(relation);
	ListCell   *lc;

	if (get_rel_relkind(relation) != RELKIND_COMPOSITE_TYPE)
		return relations;
	foreach(lc, ls_source_relation_rows(InvalidOid))
	{
		Oid			fed = ((LsRelationRow *) lfirst(lc))->relation;
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(fed));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (((Form_pg_class) GETSTRUCT(tuple))->reloftype == type)
			relations = list_append_unique_oid(relations, fed);
		ReleaseSysCache(tuple);
	}
	return relations;
}

/* name_in gives the last part of the name of an object that is no relation. */
static char *
name_in(Node *object)
{
	if (object == NULL)
		return NULL;
	if (IsA(object, ObjectWithArgs))
		object = (Node *) ((ObjectWithArgs *) object)->objname;
	if (IsA(object, TypeName))
		object = (Node *) ((TypeName *) object)->names;
	if (IsA(object, List) && object != NULL)
		object = llast((List *) object);
	return IsA(object, String) ? strVal(object) : NULL;
}

/* renames_relation looks at a command that renames a table, or a column of it. */
static bool
renames_relation(const RenameStmt *stmt, LsRename *rename)
{
	bool		column = stmt->renameType == OBJECT_COLUMN || stmt->renameType == OBJECT_ATTRIBUTE;

	rename->kind = LS_RENAME_NAME;
	rename->object = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(rename->object) || !ls_class_ownercheck(rename->object, GetUserId()))
		return false;
	rename->old_name = column ? stmt->subname : get_rel_name(rename->object);
	rename->new_name = stmt->newname;
	rename->relations = column ? columns_of(rename->object) : list_make1_oid(rename->object);
	rename->done = column ?
		psprintf("column \"%s\" of \"%s\" is now named \"%s\"", rename->old_name,
				 get_rel_name(rename->object), rename->new_name) :
		psprintf("\"%s\" is now named \"%s\"", rename->old_name, rename->new_name);
	return !column || get_attnum(rename->object, rename->old_name) > 0;
}

/* moves_relation looks at a command that gives a table another schema. */
static bool
moves_relation(const AlterObjectSchemaStmt *stmt, LsRename *rename)
{
	rename->kind = LS_RENAME_NAME;
	rename->object = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(rename->object) || !ls_class_ownercheck(rename->object, GetUserId()))
		return false;
	rename->old_name = get_namespace_name(get_rel_namespace(rename->object));
	rename->new_name = stmt->newschema;
	rename->relations = list_make1_oid(rename->object);
	rename->done = psprintf("\"%s\" is now in schema \"%s\"", get_rel_name(rename->object),
							rename->new_name);
	return true;
}

/* renames_label looks at ALTER TYPE ... RENAME VALUE. */
static bool
renames_label(const AlterEnumStmt *stmt, LsRename *rename)
{
	if (stmt->oldVal == NULL)
		return false;
	rename->kind = LS_RENAME_LABEL;
	rename->object = LookupTypeNameOid(NULL, makeTypeNameFromNameList(stmt->typeName), true);
	if (!OidIsValid(rename->object) || !ls_type_ownercheck(rename->object, GetUserId()) ||
		!SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(rename->object),
							   CStringGetDatum(stmt->oldVal)))
		return false;
	rename->old_name = stmt->oldVal;
	rename->new_name = stmt->newVal;
	rename->done = psprintf("label \"%s\" of type %s is now named \"%s\"", rename->old_name,
							format_type_be(rename->object), rename->new_name);
	return true;
}

/*
 * renames_other looks at renamed objects that texts do not follow: functions, types,
 * schemas ...
 */
static bool
renames_other(const char *old_name, const char *new_name, bool schema, LsRename *rename)
{
	if (old_name == NULL || new_name == NULL)
		return false;
	rename->kind = LS_RENAME_OTHER;
	rename->old_name = pstrdup(old_name);
	rename->new_name = pstrdup(new_name);
	rename->done = schema ? psprintf("\"%s\" is now in schema \"%s\"", old_name, new_name) :
		psprintf("\"%s\" is now named \"%s\"", old_name, new_name);
	return true;
}

/* ls_rename_command tells whether a command renames something that texts may name. */
bool
ls_rename_command(const Node *node, LsRename *rename)
{
	const RenameStmt *stmt = (const RenameStmt *) node;

	memset(rename, 0, sizeof(LsRename));
	if (IsA(node, AlterEnumStmt))
		return renames_label((const AlterEnumStmt *) node, rename);
	if (IsA(node, AlterObjectSchemaStmt))
	{
		const AlterObjectSchemaStmt *move = (const AlterObjectSchemaStmt *) node;

		return move->relation ? moves_relation(move, rename) :
			renames_other(name_in(move->object), move->newschema, true, rename);
	}
	if (!IsA(node, RenameStmt))
		return false;
	switch (stmt->renameType)
	{
		case OBJECT_COLUMN:
		case OBJECT_ATTRIBUTE:
		case OBJECT_TABLE:
		case OBJECT_FOREIGN_TABLE:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
			return stmt->relation && renames_relation(stmt, rename);
		case OBJECT_SCHEMA:
			return renames_other(stmt->subname, stmt->newname, false, rename);
		default:
			return stmt->relation == NULL &&
				renames_other(name_in(stmt->object), stmt->newname, false, rename);
	}
}
