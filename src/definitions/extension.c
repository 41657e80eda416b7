/*-------------------------------------------------------------------------
 *
 * extension.c
 *		The extension's own objects: schemas, tables, owner, version.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/extension.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "storage/lmgr.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/leadscore.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/user.h"

/*
 * ls_extension_relation gives the row of pg_class of a table, NULL where there is none;
 * the caller releases it.
 */
HeapTuple
ls_extension_relation(const char *schema, const char *name)
{
	return SearchSysCache2(RELNAMENSP, CStringGetDatum(name),
						   ObjectIdGetDatum(get_namespace_oid(schema, true)));
}

static Oid
find_table(const char *schema_name, const char *name, bool missing_ok, const char *hint)
{
	Oid			schema = get_namespace_oid(schema_name, missing_ok);
	Oid			table = OidIsValid(schema) ?
		get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(table) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.%s\" does not exist", schema_name, name),
				 errhint("%s", hint)));
	return table;
}

/* ls_extension_base_table finds one of the extension's own tables. */
Oid
ls_extension_base_table(const char *name, bool missing_ok)
{
	return find_table(LEADSCORE_INTERNAL, name, missing_ok, "Use CREATE EXTENSION leadscore.");
}

/*
 * ls_extension_lacks_rows tells whether one of the extension's own tables has never had
 * a row, or none since it was vacuumed, before it is opened: many are never used.
 */
bool
ls_extension_lacks_rows(const char *name)
{
	Oid			table = ls_extension_base_table(name, true);
	HeapTuple	tuple;
	bool		lacks = false;

	if (!OidIsValid(table))
		return false;
	LockRelationOid(table, AccessShareLock);
	tuple = ls_extension_relation(LEADSCORE_INTERNAL, name);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class row = (Form_pg_class) GETSTRUCT(tuple);

		lacks = row->oid == table && ls_relation_lacks_pages(row);
		ReleaseSysCache(tuple);
	}
	UnlockRelationOid(table, AccessShareLock);
	return lacks;
}

/* ls_extension_table finds one of the tables of a model. */
Oid
ls_extension_table(const char *name, bool missing_ok)
{
	return find_table(LEADSCORE_SCHEMA, name, missing_ok,
					  "It is one of the tables of a model: drop the model with leadscore.drop_model() and make it again.");
}

/*
 * ls_extension_owner is the role that owns the extension's own tables.  The owner
 * of the extension, or a schema of it, may be another one and no superuser.
 */
Oid
ls_extension_owner(void)
{
	return ls_relation_owner(ls_extension_base_table("lead_model", false));
}

/* ls_extension_execute runs a statement on base tables, or DDL, as their owner. */
uint64
ls_extension_execute(const char *sql, LsSqlArguments *args)
{
	LsUser		saved;
	uint64		processed;

	ls_user_switch(ls_extension_owner(), &saved);
	processed = ls_sql_execute(sql, args);
	ls_user_restore(&saved);
	return processed;
}

/*
 * ls_extension_query runs a query on base tables as their owner; its rows live in the
 * caller's memory context.
 */
SPITupleTable *
ls_extension_query(const char *sql, LsSqlArguments *args)
{
	LsUser		saved;
	SPITupleTable *rows;

	ls_user_switch(ls_extension_owner(), &saved);
	rows = ls_sql_query(sql, args);
	ls_user_restore(&saved);
	return rows;
}

/*
 * ls_extension_version is the version of the extension's SQL, which may not be the
 * library's.
 */
char *
ls_extension_version(Oid extension)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = "none";

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
												   RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* version_number makes a number of a version, so that later ones are higher. */
static int64
version_number(const char *version)
{
	int			part[3] = {0};

	(void) sscanf(version, "%d.%d.%d", &part[0], &part[1], &part[2]);
	return (part[0] * INT64CONST(100000) + part[1]) * 100000 + part[2];
}

/*
 * ls_extension_require_update refuses what needs SQL objects of the library's version,
 * until the extension is updated to it.
 */
void
ls_extension_require_update(void)
{
	const char *version = ls_extension_version(get_extension_oid("leadscore", true));

	if (version_number(version) < version_number(LEADSCORE_VERSION))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"leadscore\" is of version %s, and its library of version %s",
						version, LEADSCORE_VERSION),
				 errhint("Use ALTER EXTENSION leadscore UPDATE.")));
}

/* ls_extension_has_schema tells whether a schema is one of the extension's. */
bool
ls_extension_has_schema(Oid schema)
{
	return schema == get_namespace_oid(LEADSCORE_SCHEMA, true) ||
		schema == get_namespace_oid(LEADSCORE_INTERNAL, true);
}

/*
 * ls_extension_trigger_data makes sure that a function is called by its own trigger.
 * table is the table that it belongs to, NULL for several.
 */
TriggerData *
ls_extension_trigger_data(FunctionCallInfo fcinfo, TriggerEvent when, int commands,
						  const char *table)
{
	TriggerData *td = ls_sql_trigger_data(fcinfo, when, commands);

	if (RelationGetNamespace(td->tg_relation) !=
		get_namespace_oid(LEADSCORE_INTERNAL, true) ||
		(table && RelationGetRelid(td->tg_relation) != ls_extension_base_table(table, false)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this function is for the triggers of leadscore's own tables")));
	return td;
}
