/*-------------------------------------------------------------------------
 *
 * ddl_object.c
 *		What a command does to functions, types, operators and the like.
 *
 * Which rules an object concerns is looked up in the dependency lists of dependency.c,
 * which are built before the command where they are needed.  The name of an object that
 * a command renames or moves is remembered for the warning.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/ddl.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/transaction.h"
#include "definitions/extension.h"


/* The object that the current command renames or moves */
static struct
{
	uint64		transaction;
	Oid			classid;
	Oid			objid;
	char	   *was;
	char	   *schema;			/* the new schema; NULL: not moved */
	List	   *names;
}			moving = {0};

/* is_kind tells whether objects of a catalog can be part of expressions. */
static bool
is_kind(Oid classid)
{
	return classid == ProcedureRelationId || classid == OperatorRelationId ||
		classid == CastRelationId || classid == CollationRelationId ||
		classid == TypeRelationId || classid == NamespaceRelationId ||
		classid == TSConfigRelationId || classid == TSDictionaryRelationId ||
		classid == ExtensionRelationId;
}

/*
 * described gives the qualified name of an object for messages, optionally with its
 * kind before it.  Types of pg_catalog are written as in SQL.
 */
static char *
described(Oid classid, Oid objid, bool kind)
{
	static const char own[] = "pg_catalog.";
	ObjectAddress address;
	char	   *identity;
	char	   *at;

	ObjectAddressSet(address, classid, objid);
	identity = getObjectIdentity(&address, true);
	while (identity && (at = strstr(identity, own)) != NULL)
		memmove(at, at + strlen(own), strlen(at + strlen(own)) + 1);
	if (identity == NULL || !kind)
		return identity;
	return psprintf("%s %s", getObjectTypeDescription(&address, true), identity);
}

/* ---------- before ---------- */

/*
 * address_of finds an object that a command names.  Where the name is wrong, the
 * command itself raises the error.
 */
static ObjectAddress
address_of(ObjectType type, Node *object)
{
	ObjectAddress address = InvalidObjectAddress;
	Relation	rel = NULL;

	switch (type)
	{
		case OBJECT_TYPE:
		case OBJECT_DOMAIN:
			if (IsA(object, List))
				object = (Node *) makeTypeNameFromNameList((List *) object);
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
		case OBJECT_AGGREGATE:
		case OBJECT_OPERATOR:
		case OBJECT_COLLATION:
		case OBJECT_TSCONFIGURATION:
		case OBJECT_TSDICTIONARY:
		case OBJECT_EXTENSION:
		case OBJECT_SCHEMA:
			break;
		default:
			return address;
	}
	return get_object_address(type, object, &rel, AccessShareLock, true);
}

/* Arguments of find(), which runs in a subtransaction */
typedef struct Find
{
	ObjectType	type;
	Node	   *object;
	ObjectAddress address;
} Find;

static void
find(void *arg)
{
	Find	   *f = arg;

	f->address = address_of(f->type, f->object);
}

/* found adds an object that a command names to a list of LsObject. */
static List *
found(List *objects, ObjectType type, Node *object)
{
	Find		f = {type, object, InvalidObjectAddress};
	LsObject   *result;

	if (object == NULL || ls_subtransaction_run(find, &f) || !OidIsValid(f.address.objectId))
		return objects;
	result = palloc0(sizeof(LsObject));
	result->classid = f.address.classId;
	result->objid = f.address.objectId;
	return lappend(objects, result);
}

/* remember saves the name of an object before it is renamed or moved. */
static void
remember(const LsObject *object, const Node *stmt)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	moving.transaction = ls_transaction_number();
	moving.classid = object->classid;
	moving.objid = object->objid;
	moving.was = described(object->classid, object->objid, true);
	moving.schema = IsA(stmt, AlterObjectSchemaStmt) ?
		pstrdup(((const AlterObjectSchemaStmt *) stmt)->newschema) : NULL;
	moving.names = ls_dependency_object_names(object->classid, object->objid);
	MemoryContextSwitchTo(old);
}

/* renamed gives the object, other than a table, that a command renames. */
static List *
renamed(const RenameStmt *stmt)
{
	Node	   *object = stmt->object;

	if (stmt->renameType == OBJECT_SCHEMA)
		object = (Node *) makeString(stmt->subname);
	return found(NIL, stmt->renameType, object);
}

/*
 * drops_unknown tells whether a command drops objects that it does not name, or that
 * have no name.
 */
static bool
drops_unknown(const Node *stmt)
{
	const DropStmt *drop = (const DropStmt *) stmt;

	switch (nodeTag(stmt))
	{
		case T_DropOwnedStmt:
			return true;
		case T_AlterExtensionStmt:
			return true;
		case T_DropStmt:
			return drop->behavior == DROP_CASCADE || drop->removeType == OBJECT_CAST ||
				drop->removeType == OBJECT_EXTENSION || drop->removeType == OBJECT_TSDICTIONARY;
		default:
			return false;
	}
}

/*
 * drops_tables tells whether a command drops nothing but tables and objects that belong
 * to them.
 */
static bool
drops_tables(const Node *stmt)
{
	const DropStmt *drop = (const DropStmt *) stmt;

	if (!IsA(stmt, DropStmt))
		return false;
	switch (drop->removeType)
	{
		case OBJECT_TABLE:
		case OBJECT_INDEX:
		case OBJECT_SEQUENCE:
		case OBJECT_TRIGGER:
		case OBJECT_POLICY:
		case OBJECT_RULE:
		case OBJECT_EVENT_TRIGGER:
			return true;
		default:
			return false;
	}
}

/*
 * ls_ddl_object_before looks at what a command is about to do to objects that are not
 * tables.
 */
void
ls_ddl_object_before(const Node *stmt)
{
	List	   *objects = NIL;
	ListCell   *lc;

	moving.transaction = 0;
	switch (nodeTag(stmt))
	{
		case T_RenameStmt:
			objects = renamed((const RenameStmt *) stmt);
			break;
		case T_AlterObjectSchemaStmt:
			objects = found(NIL, ((const AlterObjectSchemaStmt *) stmt)->objectType,
							((const AlterObjectSchemaStmt *) stmt)->object);
			break;
		case T_DropStmt:
			if (!drops_tables(stmt) && !drops_unknown(stmt))
				foreach(lc, ((const DropStmt *) stmt)->objects)
					objects = found(objects, ((const DropStmt *) stmt)->removeType, lfirst(lc));
			break;
		default:
			break;
	}
	if (objects != NIL && !IsA(stmt, DropStmt))
		remember(linitial(objects), stmt);
	if (objects != NIL || (drops_unknown(stmt) && !drops_tables(stmt)))
		ls_dependencies_prepare(objects);
}

/* ---------- after ---------- */

/* redefines tells whether a command may change the values that an object gives. */
static bool
redefines(const Node *stmt)
{
	switch (stmt ? nodeTag(stmt) : T_Invalid)
	{
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
		case T_AlterOwnerStmt:
		case T_AlterObjectDependsStmt:
		case T_AlterEnumStmt:
		case T_GrantStmt:
		case T_Invalid:
			return false;
		default:
			return true;
	}
}

/* cast_types fills in the types of a cast. */
static void
cast_types(LsObject *object)
{
	Relation	rel = table_open(CastRelationId, AccessShareLock);
	HeapTuple	tuple = get_catalog_object_by_oid(rel, Anum_pg_cast_oid, object->objid);

	if (HeapTupleIsValid(tuple))
	{
		object->source = ((Form_pg_cast) GETSTRUCT(tuple))->castsource;
		object->target = ((Form_pg_cast) GETSTRUCT(tuple))->casttarget;
	}
	table_close(rel, AccessShareLock);
}

/* is_temporary tells whether an object with some names is temporary. */
static bool
is_temporary(const List *names)
{
	const LsObjectName *name = names ? linitial(names) : NULL;

	return name && name->schema && strncmp(name->schema, "pg_temp_", 8) == 0;
}

/*
 * ls_ddl_object_moved gives the old and new name of the object that the command has
 * renamed or moved: "function public.f(integer) is now public.g(integer)"; NULL where
 * there is none.
 */
char *
ls_ddl_object_moved(void)
{
	char	   *now;

	if (moving.transaction != ls_transaction_number() || moving.was == NULL)
		return NULL;
	if (moving.classid == ExtensionRelationId && moving.schema)
		return psprintf("%s is now in schema %s", moving.was,
						quote_identifier(moving.schema));
	now = described(moving.classid, moving.objid, false);
	return now ? psprintf("%s is now %s", moving.was, now) : NULL;
}

/* ls_ddl_object_note records that a command has created or altered an object. */
void
ls_ddl_object_note(Ddl *ddl, Oid classid, Oid objid, const Node *stmt)
{
	List	   *names = ls_dependency_object_names(classid, objid);
	LsObject   *object;

	if (!is_kind(classid) || is_temporary(names) || (stmt && IsA(stmt, CreateSchemaStmt)))
		return;
	/* the members of an extension are reported one by one, unless it is moved */
	if (classid == ExtensionRelationId &&
		(stmt == NULL || !IsA(stmt, AlterObjectSchemaStmt)))
		return;
	object = palloc0(sizeof(LsObject));
	object->classid = classid;
	object->objid = objid;
	object->redefined = redefines(stmt);
	object->names = names;
	if (classid == CastRelationId)
		cast_types(object);
	if (moving.transaction == ls_transaction_number() && moving.classid == classid &&
		moving.objid == objid)
	{
		object->moved = true;
		object->became = ls_ddl_object_moved();
		object->names = list_concat(object->names, list_copy(moving.names));
	}
	ddl->objects = lappend(ddl->objects, object);
}

/*
 * ls_ddl_object_dropped records that a command has dropped an object; names are from
 * its address.
 */
void
ls_ddl_object_dropped(Ddl *ddl, Oid classid, Oid objid, const List *names)
{
	LsObject   *object;

	if ((!is_kind(classid) && classid != RelationRelationId) ||
		(names != NIL && ls_extension_has_schema(get_namespace_oid(linitial(names), true))))
		return;
	object = palloc0(sizeof(LsObject));
	object->classid = classid;
	object->objid = objid;
	object->gone = true;
	if (list_length(names) == 2 && classid != CastRelationId)
		object->names = list_make1(ls_dependency_object_name(linitial(names), lsecond(names),
															 classid == OperatorRelationId));
	else if (list_length(names) == 1 && classid != CastRelationId)
		object->names = list_make1(ls_dependency_object_name(NULL, linitial(names), false));
	ddl->objects = lappend(ddl->objects, object);
}
