/*-------------------------------------------------------------------------
 *
 * ancestor.c
 *		Tables above those that feed models, through which their rows may be
 *		written.
 *
 * A statement fires the statement triggers of the table that it names.  Where that
 * is a table that an attached one is a partition or child of, and which is not
 * attached itself, those of the attached one do not fire, and the rows of a
 * transition table do not tell from which table they are.  Row triggers of the
 * table that has the rows do fire, however they are written.
 *
 * So where a source, or a contact table, has such ancestors:
 *	- leadscore_apply, the trigger for each row of the tables that have rows, is
 *	  enabled for all sessions, and ls_capture_row() processes each row;
 *	- statement triggers skip its rows (by_row of LsBinding);
 *	- the ancestors have triggers that count statements in and out, so that what
 *	  the rows add up to is applied when the statement ends.
 *
 * attach() and create_model() refuse a table that is a partition or child of
 * another.  A table that feeds a model may become one later.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/ancestor.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/source_triggers.h"
#include "definitions/table_change.h"

#define ENTER	"leadscore_above_enter"
#define LEAVE	"leadscore_above_leave"

/* ---------- which tables are above others ---------- */

/*
 * outer_parents gives the tables that one of a tree is directly a part of and that
 * are not in the tree.  A partition has no parent but the one in the tree.
 */
static List *
outer_parents(List *tree)
{
	List	   *outer = NIL;
	ListCell   *lc;
	ListCell   *pc;

	foreach(lc, tree)
	{
		if (lc != list_head(tree) && get_rel_relispartition(lfirst_oid(lc)))
			continue;
		foreach(pc, ls_relation_parents(lfirst_oid(lc)))
			if (!list_member_oid(tree, lfirst_oid(pc)))
				outer = list_append_unique_oid(outer, lfirst_oid(pc));
	}
	return outer;
}

/* tree_above gives a table, and those below it if they may have other parents. */
static List *
tree_above(Oid root)
{
	return get_rel_relkind(root) == RELKIND_PARTITIONED_TABLE ? list_make1_oid(root) :
		ls_relation_tree(root);
}

/*
 * written_from_above tells whether rows of a source's table, or of a contact table,
 * or of a partition or child of it, may be written through a table outside its tree.
 */
static bool
written_from_above(Oid root)
{
	return outer_parents(tree_above(root)) != NIL;
}

/* row_trigger_fires gives tgenabled of a table's row trigger; 0: there is none. */
static char
row_trigger_fires(Oid relation)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	NameData	name;
	char		fires = 0;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	namestrcpy(&name, "leadscore_apply");
	ScanKeyInit(&key[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	ScanKeyInit(&key[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&name));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 2, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		fires = ((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return fires;
}

/*
 * ls_ancestors_by_row tells whether the rows of such a table are processed by the row
 * trigger: not where the command that made it a part of another was not noticed.
 */
bool
ls_ancestors_by_row(Oid root)
{
	char		own = get_rel_relkind(root) == RELKIND_RELATION ? row_trigger_fires(root) : 0;
	ListCell   *lc;

	/* mostly its own trigger tells, and no other table need be looked for */
	if (own != 0 && own != TRIGGER_FIRES_ALWAYS)
		return false;
	if (!written_from_above(root))
		return false;
	foreach(lc, ls_relation_tree(root))
	{
		char		fires = row_trigger_fires(lfirst_oid(lc));

		if (fires != 0)
			return fires == TRIGGER_FIRES_ALWAYS;
	}
	return false;
}

/* ancestors gives all of these tables, those next to the table first. */
static List *
ancestors(Oid root)
{
	List	   *above = outer_parents(tree_above(root));

	for (int i = 0; i < list_length(above); i++)
		above = list_concat_unique_oid(above, ls_relation_parents(list_nth_oid(above, i)));
	return above;
}

/* add_root adds a table that feeds a model, if it is there. */
static List *
add_root(List *roots, Oid root)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(root)) ?
		list_append_unique_oid(roots, root) : roots;
}

/* all_roots gives the contact tables of all models and the tables of their sources. */
static List *
all_roots(void)
{
	List	   *roots = NIL;
	ListCell   *lc;
	ListCell   *sc;

	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (row->visitors_of == NULL)
			roots = add_root(roots, row->contacts);
		foreach(sc, ls_lead_sources(row->model, NULL))
			roots = add_root(roots, ((LsSourceRow *) lfirst(sc))->relation);
	}
	return roots;
}

/* root_of gives the table through which a row of lead_relation feeds its model. */
static Oid
root_of(const LsRelationRow *row)
{
	LsModelRow *model;
	ListCell   *lc;

	if (row->source == NULL)
	{
		model = ls_lead_model(row->model, NULL);
		return model ? model->contacts : InvalidOid;
	}
	foreach(lc, ls_lead_sources(row->model, NULL))
		if (strcmp(((LsSourceRow *) lfirst(lc))->source, row->source) == 0)
			return ((LsSourceRow *) lfirst(lc))->relation;
	return InvalidOid;
}

/* ls_ancestors_row_trigger tells whether the row trigger processes a table's rows. */
bool
ls_ancestors_row_trigger(Oid relation)
{
	ListCell   *lc;

	foreach(lc, ls_source_relation_rows(relation))
	{
		Oid			root = root_of(lfirst(lc));

		if (OidIsValid(root) && written_from_above(root))
			return true;
	}
	return false;
}

/* ls_ancestors_to_lock gives tables with those above them, the topmost first. */
List *
ls_ancestors_to_lock(List *roots)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, roots)
	{
		List	   *above = ancestors(lfirst_oid(lc));

		for (int i = list_length(above) - 1; i >= 0; i--)
			result = list_append_unique_oid(result, list_nth_oid(above, i));
	}
	return result;
}

/* ---------- before a table is attached to another, or detached ---------- */

static Oid
altered(const RangeVar *name)
{
	Oid			relation = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;

	return OidIsValid(relation) && ls_class_ownercheck(relation, GetUserId()) ?
		relation : InvalidOid;
}

/*
 * ls_ancestors_lock_before locks the tables above one that is attached to another,
 * which get triggers, before the command locks that: in the order of statements.
 */
void
ls_ancestors_lock_before(const Node *stmt)
{
	ListCell   *lc;

	if (!IsA(stmt, AlterTableStmt))
		return;
	foreach(lc, ((const AlterTableStmt *) stmt)->cmds)
	{
		const AlterTableCmd *cmd = lfirst(lc);
		Oid			named = altered(((const AlterTableStmt *) stmt)->relation);
		Oid			part;
		Oid			parent;

		if (!OidIsValid(named))
			return;
		if (cmd->subtype == AT_AttachPartition)
		{
			parent = named;
			part = altered(((PartitionCmd *) cmd->def)->name);
		}
		else if (cmd->subtype == AT_AddInherit || cmd->subtype == AT_DropInherit)
		{
			part = named;
			parent = altered((RangeVar *) cmd->def);
		}
		else
			continue;
		if (OidIsValid(part) && OidIsValid(parent) && part != parent && ls_source_feeds(part))
			ls_lock_from_above(lappend_oid(ls_ancestors_to_lock(list_make1_oid(parent)), parent),
							   part);
	}
}

/* topmost gives the table on top of all that a table is a part of. */
static Oid
topmost(Oid relation)
{
	return llast_oid(ancestors(relation));
}

/*
 * ls_ancestors_refuse refuses a table that is a part of another as one that feeds a
 * model: contacts as the contact table, else as a source.
 */
void
ls_ancestors_refuse(Oid root, bool contacts)
{
	List	   *parents = ls_relation_parents(root);
	Oid			top;

	if (parents == NIL)
		return;
	top = topmost(root);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("\"%s\" cannot feed a model by itself", get_rel_name(root)),
			 get_rel_relispartition(root) ?
			 errdetail("It is a partition of \"%s\", through which its rows may be written.",
					   get_rel_name(linitial_oid(parents))) :
			 errdetail("It is a child of \"%s\", through which its rows may be written.",
					   get_rel_name(linitial_oid(parents))),
			 contacts ?
			 errhint("Create the model over \"%s\", or take the table out of it.", get_rel_name(top)) :
			 errhint("Attach \"%s\", or take the table out of it.  A rule can ask for what tells the rows apart.",
					 get_rel_name(top))));
}

/* ---------- afterwards ---------- */

/* warn_of warns about one table that feeds a model and has become a part of another. */
static void
warn_of(const char *model, const char *source, Oid root, Oid parent)
{
	ereport(WARNING,
			(source ?
			 errmsg("\"%s\", which feeds model \"%s\", is now a part of \"%s\", which does not",
					get_rel_name(root), model, get_rel_name(parent)) :
			 errmsg("\"%s\", the contact table of model \"%s\", is now a part of \"%s\", which is not",
					get_rel_name(root), model, get_rel_name(parent)),
			 errdetail("Its rows count also where they are written through \"%s\"; other rows of \"%s\" do not.  They are processed one by one, which costs more.",
					   get_rel_name(parent), get_rel_name(parent)),
			 source ?
			 errhint("To have all rows count, call leadscore.detach('%s', '%s') and attach \"%s\" with source => '%s'.",
					 model, source, get_rel_name(parent), source) :
			 errhint("To have all rows be contacts, create a model over \"%s\".",
					 get_rel_name(parent))));
}

/*
 * is_joined tells whether a command has made a table, or one above it, a part of
 * another.
 */
static bool
is_joined(const List *changes, Oid root, Oid *parent)
{
	List	   *above = ancestors(root);
	ListCell   *lc;
	ListCell   *jc;

	foreach(lc, changes)
		foreach(jc, ((LsTableChange *) lfirst(lc))->joined)
		{
		const LsNewPart *new = lfirst(jc);
		Oid			part = new->name ? RangeVarGetRelid(new->name, NoLock, true) : new->part;

			*parent = new->parent;
			if (list_member_oid(above, *parent) &&
			(list_member_oid(above, part) || list_member_oid(ls_relation_tree(root), part)))
				return true;
		}
	return false;
}

/*
 * ls_ancestors_warn warns where tables that feed models have become a part of others.
 */
void
ls_ancestors_warn(const List *changes)
{
	bool		any = false;
	Oid			parent;
	ListCell   *lc;
	ListCell   *sc;

	foreach(lc, changes)
		any = any || ((LsTableChange *) lfirst(lc))->joined != NIL;
	if (!any)
		return;
	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (row->visitors_of)
			continue;
		if (is_joined(changes, row->contacts, &parent))
			warn_of(row->model, NULL, row->contacts, parent);
		foreach(sc, ls_lead_sources(row->model, NULL))
		{
			LsSourceRow *source = lfirst(sc);

			if (is_joined(changes, source->relation, &parent))
				warn_of(row->model, source->source, source->relation, parent);
		}
	}
}

/* leave_function gives the function that the triggers of tables above others call. */
static Oid
leave_function(void)
{
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("leave"),
						   PointerGetDatum(buildoidvector(NULL, 0)),
						   ObjectIdGetDatum(get_namespace_oid(LEADSCORE_INTERNAL, false)));
}

/* with_triggers gives the tables that have triggers as those above others. */
static List *
with_triggers(void)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, ls_relation_dependents(ProcedureRelationId, leave_function()))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->classid == TriggerRelationId)
			found = list_append_unique_oid(found, ls_relation_part_table(form->classid, form->objid));
	}
	return found;
}

/* ls_ancestors_concerned tells whether a command has changed one of these tables. */
bool
ls_ancestors_concerned(const List *changes)
{
	List	   *above = NIL;
	ListCell   *lc;

	if (changes == NIL)
		return false;
	above = with_triggers();
	foreach(lc, changes)
		if (list_member_oid(above, ((LsTableChange *) lfirst(lc))->relation))
			return true;
	return false;
}

static bool
is_ancestor_trigger(const char *name)
{
	return strcmp(name, ENTER) == 0 || strcmp(name, LEAVE) == 0;
}

/* make_triggers puts on a table the triggers that count statements in and out. */
static void
make_triggers(Oid relation)
{
	static const char *const names[] = {ENTER, LEAVE};
	static const char *const sql[] = {
		"CREATE TRIGGER " ENTER " BEFORE INSERT OR UPDATE OR DELETE ON %s"
		" FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter()",
		"CREATE TRIGGER " LEAVE " AFTER INSERT OR UPDATE OR DELETE ON %s"
		" FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.leave()"
	};

	for (size_t i = 0; i < lengthof(sql); i++)
		if (!OidIsValid(get_trigger_oid(relation, names[i], true)))
			ls_extension_execute(psprintf(sql[i], ls_relation_qualified_name(relation)), NULL);
}

/* keep_row_triggers enables the row triggers of a tree in the way that it needs. */
static void
keep_row_triggers(List *by_row)
{
	List	   *done = NIL;
	ListCell   *lc;

	foreach(lc, ls_source_relation_rows(InvalidOid))
	{
		Oid			relation = ((LsRelationRow *) lfirst(lc))->relation;

		/* sessions cache this; the table may have been dropped */
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
			CacheInvalidateRelcacheByRelid(relation);
		if (list_member_oid(done, relation) || get_rel_relkind(relation) != RELKIND_RELATION)
			continue;
		done = lappend_oid(done, relation);
		if (row_trigger_fires(relation) == (list_member_oid(by_row, relation) ?
											TRIGGER_FIRES_ON_REPLICA : TRIGGER_FIRES_ALWAYS))
			ls_source_keep_triggers(relation, list_member_oid(by_row, relation));
	}
}

/*
 * ls_ancestors_sync makes the triggers of tables above those that feed models, and
 * drops those no longer needed, after a table has come or gone.
 */
void
ls_ancestors_sync(void)
{
	List	   *have = with_triggers();
	List	   *want = NIL;
	List	   *by_row = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_models(NULL))
		if (((LsModelRow *) lfirst(lc))->restoring)
			return;				/* triggers come with the dump */
	foreach(lc, all_roots())
	{
		List	   *above = ancestors(lfirst_oid(lc));

		if (above == NIL)
			continue;
		want = list_concat_unique_oid(want, above);
		by_row = list_concat_unique_oid(by_row, ls_relation_tree(lfirst_oid(lc)));
	}
	if (have == NIL && want == NIL)
		return;
	foreach(lc, list_difference_oid(want, have))
		make_triggers(lfirst_oid(lc));
	foreach(lc, list_difference_oid(have, want))
		ls_source_remove_triggers(lfirst_oid(lc), is_ancestor_trigger);
	keep_row_triggers(by_row);
}
