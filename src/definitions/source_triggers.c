/*-------------------------------------------------------------------------
 *
 * source_triggers.c
 *		Tables that feed models: which can, which do, and their triggers.
 *
 * Statement triggers fire for the table that the statement names: a row that is
 * inserted through a partitioned table fires the triggers of that table, one inserted
 * straight into a partition those of the partition.  So every table of a tree has the
 * same triggers and each row is seen once.
 *
 * The triggers are made with plain CREATE TRIGGER, so that dumps contain them.
 *
 * Locks: a table is locked before its partitions and children, as statements
 * that go through it do, and before anything of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/source_triggers.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/comment.h"
#include "commands/tablecmds.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/suggest.h"
#include "definitions/ancestor.h"
#include "definitions/contact_table.h"
#include "definitions/extension.h"

/*
 * The triggers of a table that feeds a model.  Those that fire for each row are
 * for what logical replication applies (replication.c), and only on tables that have
 * rows: PostgreSQL would copy one of a partitioned table to its partitions,
 * which have their own.
 */
static const struct
{
	const char *name;
	const char *when;
	const char *tables;
	bool		row;
	char		fires;
	const char *function;
}			triggers[] = {
	{"leadscore_enter", "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE", "",
	false, TRIGGER_FIRES_ON_ORIGIN, "enter"},
	{"leadscore_insert", "AFTER INSERT",
		" REFERENCING NEW TABLE AS leadscore_new",
	false, TRIGGER_FIRES_ON_ORIGIN, "capture"},
	{"leadscore_update", "AFTER UPDATE",
		" REFERENCING OLD TABLE AS leadscore_old NEW TABLE AS leadscore_new",
	false, TRIGGER_FIRES_ON_ORIGIN, "capture"},
	{"leadscore_delete", "AFTER DELETE",
		" REFERENCING OLD TABLE AS leadscore_old",
	false, TRIGGER_FIRES_ON_ORIGIN, "capture"},
	{"leadscore_truncate", "AFTER TRUNCATE", "",
	false, TRIGGER_FIRES_ALWAYS, "capture"},
	{"leadscore_apply", "AFTER INSERT OR UPDATE OR DELETE", "",
	true, TRIGGER_FIRES_ON_REPLICA, "apply"},
	{"leadscore_apply_truncate", "BEFORE TRUNCATE", "",
	false, TRIGGER_FIRES_ON_REPLICA, "enter"},
};

/* ---------- statements of our own, and arguments ---------- */

/* ---------- what can feed a model ---------- */

/*
 * ls_source_check_relation refuses what cannot be a contact or event table.
 */
void
ls_source_check_relation(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	FormData_pg_class form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	form = *(Form_pg_class) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	name = pstrdup(NameStr(form.relname));

	if (ls_extension_has_schema(form.relnamespace))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot feed a model", name),
				 errdetail("It belongs to leadscore itself.")));
	if (form.relkind != RELKIND_RELATION && form.relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot feed a model", name),
				 errdetail_relkind_not_supported(form.relkind),
				 form.relkind == RELKIND_VIEW || form.relkind == RELKIND_MATVIEW ?
				 errhint("Use the tables that it reads.") : 0));
	if (IsCatalogRelationOid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("\"%s\" cannot feed a model", name),
				 errdetail("It is a system catalog.")));
	if (form.relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot feed a model", name),
				 errdetail("It is a temporary table, which scores would outlive.")));
}

/*
 * ls_source_check_tree refuses tables whose partitions or children cannot have
 * triggers, or of which a role would not see all rows.
 */
void
ls_source_check_tree(Oid relid, List *tree, Oid role)
{
	ListCell   *lc;

	foreach(lc, tree)
	{
		Oid			member = lfirst_oid(lc);

		if (get_rel_relkind(member) == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" cannot feed a model", get_rel_name(relid)),
					 errdetail("Its partition or child \"%s\" is a foreign table, whose changes are not noticed.",
							   get_rel_name(member))));
		if (ls_contact_table_rows_hidden(member, role))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("row-level security of \"%s\" hides rows from role \"%s\"",
							get_rel_name(member), GetUserNameFromId(role, false)),
					 errdetail("A model reads its tables as its owner, and must see every row."),
					 errhint("Give the role BYPASSRLS, or let the table's owner own the model.")));
		if (get_rel_persistence(member) == RELPERSISTENCE_UNLOGGED)
			ereport(WARNING,
					(errmsg("\"%s\" is unlogged", get_rel_name(member)),
					 errdetail("A crash of the server empties it, which fires no trigger."),
					 errhint("Call leadscore.rescore() after a crash.")));
	}
}

/*
 * ls_source_find_column gives a column's number; one that does not exist is refused.
 */
AttrNumber
ls_source_find_column(Oid relid, const char *column)
{
	AttrNumber	attno = get_attnum(relid, column);
	List	   *names = NIL;
	const char *nearest;
	Relation	rel;

	if (attno > 0)
		return attno;
	if (attno < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("system column \"%s\" cannot be used", column)));
	rel = relation_open(relid, AccessShareLock);
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped)
			names = lappend(names, pstrdup(NameStr(att->attname)));
	}
	relation_close(rel, AccessShareLock);
	nearest = ls_suggest_word(column, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of relation \"%s\" does not exist",
					column, get_rel_name(relid)),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) : 0));
	return InvalidAttrNumber;	/* not reached */
}

/* ls_source_column_has_index tells whether rows can be found by a column. */
bool
ls_source_column_has_index(Oid relid, AttrNumber attno)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisvalid && index->indkey.values[0] == attno &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
			found = true;
		ReleaseSysCache(tuple);
	}
	relation_close(rel, NoLock);
	return found;
}

/* ls_source_is_time_type tells whether a type, or what it is a domain over, is a time. */
bool
ls_source_is_time_type(Oid type)
{
	type = getBaseType(type);
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/*
 * time_hint says what to use instead of a column that does not hold times.  What
 * reads a time from text depends on settings and cannot be generated, but the
 * parts of one can be put together.
 */
static char *
time_hint(const char *column, Oid type)
{
	const char *name = quote_identifier(column);
	char	   *of_text = "make_timestamp(substr(%1$s, 1, 4)::int, substr(%1$s, 6, 2)::int, substr(%1$s, 9, 2)::int,"
		" substr(%1$s, 12, 2)::int, substr(%1$s, 15, 2)::int, substr(%1$s, 18, 2)::float8)";

	switch (TypeCategory(getBaseType(type)))
	{
		case TYPCATEGORY_STRING:
			return psprintf("Use another column, or add a stored generated one: where the text is like 2024-01-31 12:00:00, timestamp GENERATED ALWAYS AS (%s) STORED.",
							psprintf(of_text, name));
		case TYPCATEGORY_NUMERIC:
			return psprintf("Use another column, or add a stored generated one: where these are seconds since 1970, timestamptz GENERATED ALWAYS AS (to_timestamp(%s)) STORED.",
							name);
		default:
			return "Use another column, or add one that a trigger of the table fills.";
	}
}

/*
 * ls_source_check_time_column refuses columns that do not hold times.  Virtual
 * generated columns are null when triggers look at a row.
 */
void
ls_source_check_time_column(Oid relid, const char *column)
{
	AttrNumber	attno = ls_source_find_column(relid, column);
	Oid			type = get_atttype(relid, attno);

	if (!ls_source_is_time_type(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s",
						column, get_rel_name(relid), format_type_be(type)),
				 errdetail("A time is a timestamp with or without time zone, or a date."),
				 errhint("%s", time_hint(column, type))));
	if (get_attgenerated(relid, attno) == 'v')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of relation \"%s\" is a virtual generated column",
						column, get_rel_name(relid)),
				 errhint("Make it a stored generated column.")));
}

/* nearest_zone finds the time zone that was probably meant, or NULL. */
static const char *
nearest_zone(const char *name)
{
	pg_tzenum  *zones = pg_tzenumerate_start();
	List	   *names = NIL;
	pg_tz	   *tz;

	while ((tz = pg_tzenumerate_next(zones)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		names = lappend(names, pstrdup(pg_get_timezone_name(tz)));
	}
	pg_tzenumerate_end(zones);
	return ls_suggest_word(name, names);
}

/* ls_source_check_time_zone gives a time zone's proper name. */
char *
ls_source_check_time_zone(const char *name)
{
	pg_tz	   *tz = pg_tzset(name);
	const char *nearest;

	if (tz == NULL || !pg_tz_acceptable(tz))
	{
		nearest = nearest_zone(name);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name),
				 nearest ? errhint("Did you mean \"%s\"?", nearest) :
				 errhint("Names such as Europe/Berlin are listed in the view pg_timezone_names.")));
	}
	return pstrdup(pg_get_timezone_name(tz));
}

/*
 * ls_source_lock_tree locks a table with all its partitions and children, and gives
 * them, the table first.  Other sessions' temporary children are left out: they
 * cannot have our triggers.
 */
List *
ls_source_lock_tree(Oid relid, LOCKMODE lockmode)
{
	List	   *tree;
	List	   *kept = NIL;
	ListCell   *lc;

	LockRelationOid(relid, lockmode);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	tree = find_all_inheritors(relid, lockmode, NULL);
	foreach(lc, tree)
		if (get_rel_persistence(lfirst_oid(lc)) != RELPERSISTENCE_TEMP)
			kept = lappend_oid(kept, lfirst_oid(lc));
	return kept;
}

/* ---------- triggers, and lead_relation ---------- */

/*
 * ls_source_keep_triggers restores tgenabled of those of our triggers that fire
 * otherwise than by default.  ENABLE TRIGGER ALL, with which a restore with
 * --disable-triggers ends, has made them ordinary ones.  by_row tells whether the
 * table may be written through others that feed nothing (ancestor.c).
 */
void
ls_source_keep_triggers(Oid relid, bool by_row)
{
	Relation	rel = relation_open(relid, ShareRowExclusiveLock);

	for (int i = 0; rel->trigdesc && i < (int) lengthof(triggers); i++)
		for (int j = 0; j < rel->trigdesc->numtriggers; j++)
		{
			Trigger    *trigger = &rel->trigdesc->triggers[j];
			char		fires = by_row && triggers[i].row ? TRIGGER_FIRES_ALWAYS :
				triggers[i].fires;

			if (triggers[i].fires == TRIGGER_FIRES_ON_ORIGIN ||
				trigger->tgenabled == fires || trigger->tgenabled == TRIGGER_DISABLED ||
				strcmp(trigger->tgname, triggers[i].name) != 0)
				continue;
			ls_set_trigger_firing(rel, triggers[i].name, fires, ShareRowExclusiveLock);
			/* invalidates the relation's cached triggers */
			CommandCounterIncrement();
			break;
		}
	relation_close(rel, NoLock);
}

/* make_triggers creates those of our triggers that a table lacks. */
static void
make_triggers(Oid relid)
{
	char	   *name = ls_relation_qualified_name(relid);

	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		return;
	for (int i = 0; i < (int) lengthof(triggers); i++)
	{
		if (OidIsValid(get_trigger_oid(relid, triggers[i].name, true)) ||
			(triggers[i].row && get_rel_relkind(relid) != RELKIND_RELATION))
			continue;
		ls_extension_execute(psprintf("CREATE TRIGGER %s %s ON %s%s FOR EACH %s EXECUTE FUNCTION leadscore_internal.%s()",
									  triggers[i].name, triggers[i].when, name,
									  triggers[i].tables, triggers[i].row ? "ROW" : "STATEMENT",
									  triggers[i].function),
							 NULL);
	}
	ls_source_keep_triggers(relid, ls_ancestors_row_trigger(relid));
}

/*
 * is_source_trigger tells whether a name is that of a trigger of a table that feeds a
 * model.
 */
static bool
is_source_trigger(const char *name)
{
	for (int i = 0; i < (int) lengthof(triggers); i++)
		if (strcmp(name, triggers[i].name) == 0)
			return true;
	return false;
}

/* is_ours tells whether a trigger calls one of our functions. */
static bool
is_ours(Form_pg_trigger trigger)
{
	return !trigger->tgisinternal &&
		get_func_namespace(trigger->tgfoid) == get_namespace_oid(LEADSCORE_INTERNAL, true);
}

/*
 * ls_source_remove_triggers drops those of our triggers on a table whose name is
 * selected.  DROP TRIGGER would also lock each trigger exclusively until the
 * transaction ends, which would fill the lock table where there are many partitions.
 * Nothing depends on these triggers but the table itself.
 */
void
ls_source_remove_triggers(Oid relid, bool (*is_one) (const char *name))
{
	Relation	rel = table_open(relid, ShareRowExclusiveLock);
	Relation	catalog = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	CheckTableNotInUse(rel, "DROP TRIGGER");
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);
		Oid			oid = trigger->oid;

		if (!is_ours(trigger) || !is_one(NameStr(trigger->tgname)))
			continue;
		CatalogTupleDelete(catalog, &tuple->t_self);
		deleteDependencyRecordsFor(TriggerRelationId, oid, false);
		DeleteComments(oid, TriggerRelationId, 0);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
	CacheInvalidateRelcache(rel);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/*
 * ls_source_remove_unused_triggers drops our triggers on a table that feeds no model
 * any more.  The table may not exist any more either.
 */
void
ls_source_remove_unused_triggers(Oid relid)
{
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	CacheInvalidateRelcacheByRelid(relid);
	if (ls_source_relation_rows(relid) == NIL)
		ls_source_remove_triggers(relid, is_source_trigger);
}

/*
 * ls_source_relation_rows gives the rows of lead_relation about one relation, or all
 * of them.  Like lead_tables.c it sees the newest state, whatever the isolation
 * level: the table is locked.
 */
List *
ls_source_relation_rows(Oid relation)
{
	Relation	rel = table_open(ls_extension_base_table("lead_relation", false), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	Oid			index = ls_extension_base_table("lead_relation_relation", false);
	List	   *rows = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, 3, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
	scan = systable_beginscan(rel, index, OidIsValid(relation), NULL,
							  OidIsValid(relation) ? 1 : 0, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		LsRelationRow *row = palloc(sizeof(LsRelationRow));
		bool		isnull;
		Datum		source = heap_getattr(tuple, 2, desc, &isnull);

		row->source = isnull ? NULL : TextDatumGetCString(source);
		row->model = TextDatumGetCString(heap_getattr(tuple, 1, desc, &isnull));
		row->relation = DatumGetObjectId(heap_getattr(tuple, 3, desc, &isnull));
		rows = lappend(rows, row);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return rows;
}

/*
 * ls_source_recorded_relations gives the relations of a source, or of the contact
 * table where source is NULL.
 */
List *
ls_source_recorded_relations(const char *model, const char *source)
{
	List	   *relations = NIL;
	ListCell   *lc;

	foreach(lc, ls_source_relation_rows(InvalidOid))
	{
		LsRelationRow *row = lfirst(lc);

		if (strcmp(row->model, model) == 0 && ls_same_text(row->source, source))
			relations = lappend_oid(relations, row->relation);
	}
	return relations;
}

/* change_relation writes or deletes a row of lead_relation. */
static void
change_relation(const char *sql, const char *model, const char *source, Oid relid)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_sql_add_text(&args, source);
	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(relid));
	ls_extension_execute(sql, &args);
}

/*
 * ls_source_record_relation records that a table feeds a model: as a source, or
 * contacts.
 */
void
ls_source_record_relation(const char *model, const char *source, Oid relid)
{
	change_relation("INSERT INTO leadscore_internal.lead_relation (model, source, relation)"
					" VALUES ($1, $2, $3)", model, source, relid);
}

/* ls_source_forget_relation takes a table out of a source. */
void
ls_source_forget_relation(const char *model, const char *source, Oid relid)
{
	change_relation("DELETE FROM leadscore_internal.lead_relation WHERE model = $1"
					" AND source IS NOT DISTINCT FROM $2 AND relation = $3", model, source, relid);
	CommandCounterIncrement();
	ls_source_remove_unused_triggers(relid);
}

/*
 * ls_source_add_tree makes tables feed a model.  What sessions have cached about them
 * is invalidated, also where the triggers are there for another model already.
 */
void
ls_source_add_tree(const char *model, const char *source, List *tree)
{
	ListCell   *lc;

	foreach(lc, tree)
	{
		ls_source_record_relation(model, source, lfirst_oid(lc));
		make_triggers(lfirst_oid(lc));
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
	}
	CommandCounterIncrement();
}

/* ls_source_feeds tells whether a table, or what is below it, feeds a model. */
bool
ls_source_feeds(Oid relation)
{
	ListCell   *lc;

	foreach(lc, ls_relation_tree(relation))
		if (ls_source_relation_rows(lfirst_oid(lc)) != NIL)
			return true;
	return false;
}
