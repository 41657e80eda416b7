/*-------------------------------------------------------------------------
 *
 * sync_tables.c
 *		Models brought in line with changed tables, functions and rights.
 *
 * Whatever a command was, a model is brought in line by comparing, not by repeating the
 * command: the tables below a source with lead_relation, the columns that a source
 * names with existing columns, each rule with the result of compiling it again.
 *
 * A rule that can no longer be compiled is disabled (backfilled_version 0), and enabled
 * as soon as it can be.  A source whose own columns were dropped is detached.  The
 * column that identifies contacts cannot be dropped.
 *
 * While a dump is restored, models are left alone until they are complete, and their
 * rules until the restore is over.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/ddl.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/bitmapset.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/relation.h"
#include "base/sql.h"
#include "base/transaction.h"
#include "base/trusted_code.h"
#include "capture/purge.h"
#include "counting/model_update.h"
#include "counting/recount.h"
#include "counting/suspension.h"
#include "ddl/sync_internal.h"
#include "definitions/ancestor.h"
#include "definitions/extension.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/restore_state.h"
#include "definitions/source_triggers.h"
#include "definitions/table_change.h"
#include "jobs/job_run.h"
#include "model/attach_source.h"
#include "model/model.h"
#include "rules/disclosure.h"
#include "rules/expression.h"
#include "rules/model_compile.h"

/* ---------- which models are concerned ---------- */

/* exists tells whether a relation exists. */
static bool
exists(Oid relid)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

/* tree_of gives a table with its partitions and children, without temporary ones. */
static List *
tree_of(Oid relid)
{
	List	   *tree = NIL;
	ListCell   *lc;

	if (!exists(relid))
		return NIL;
	foreach(lc, ls_relation_tree(relid))
		if (get_rel_persistence(lfirst_oid(lc)) != RELPERSISTENCE_TEMP)
			tree = lappend_oid(tree, lfirst_oid(lc));
	return tree;
}

/*
 * touched_rows gives the rows of lead_relation that a command may have made wrong:
 * those of the tables that it names, of the tables below (columns are inherited) and
 * right above (the tables may have become their partitions or children).
 */
static List *
touched_rows(const Ddl *ddl)
{
	List	   *relations = list_copy(ddl->dropped);
	List	   *rows = NIL;
	ListCell   *lc;

	foreach(lc, ddl->changes)
	{
		LsTableChange *change = lfirst(lc);

		relations = list_append_unique_oid(relations, change->relation);
		relations = list_concat_unique_oid(relations, tree_of(change->relation));
		relations = list_concat_unique_oid(relations, ls_relation_parents(change->relation));
	}
	foreach(lc, relations)
		rows = list_concat(rows, ls_source_relation_rows(lfirst_oid(lc)));
	return rows;
}

/* is_below tells whether a table is another table, or is below it. */
static bool
is_below(Oid relid, Oid ancestor)
{
	return relid == ancestor || list_member_oid(tree_of(ancestor), relid);
}

/* column_changed tells whether the values of a column may have changed. */
static bool
column_changed(const Ddl *ddl, Oid relid, const char *column)
{
	ListCell   *lc;
	ListCell   *nc;

	foreach(lc, ddl->changes)
	{
		LsTableChange *change = lfirst(lc);

		foreach(nc, change->columns)
			if (column && strcmp(lfirst(nc), column) == 0 &&
				is_below(relid, change->relation))
				return true;
	}
	return false;
}

/* ls_sync_affects tells whether an expression uses columns that have changed. */
bool
ls_sync_affects(const Ddl *ddl, Oid relid, const LsExpr *expr)
{
	int			attno = -1;
	ListCell   *lc;

	while ((attno = bms_next_member(expr->columns, attno)) >= 0)
	{
		int			number = attno + FirstLowInvalidHeapAttributeNumber;

		/* the whole row has every column */
		if (number == 0)
		{
			foreach(lc, ddl->changes)
				if (((LsTableChange *) lfirst(lc))->columns != NIL &&
					is_below(relid, ((LsTableChange *) lfirst(lc))->relation))
					return true;
		}
		else if (number > 0 &&
				 column_changed(ddl, relid, get_attname(relid, number, true)))
			return true;
	}
	return false;
}

/* ---------- tables added and removed ---------- */

/*
 * refuse_overlap refuses a command that would make a model count the rows of a table
 * twice.
 */
static void
refuse_overlap(Work *work, const char *source, Oid root, Oid relid)
{
	ListCell   *lc;
	ListCell   *sc;

	if (source == NULL)
		return;
	foreach(lc, ls_source_relation_rows(relid))
	{
		LsRelationRow *row = lfirst(lc);

		if (row->source == NULL || strcmp(row->model, work->row->model) != 0)
			continue;
		foreach(sc, ls_lead_sources(row->model, NULL))
		{
			LsSourceRow *other = lfirst(sc);

			if (strcmp(other->source, row->source) != 0 || other->relation == root)
				continue;
			work->refusing = true;
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("\"%s\" cannot become a part of \"%s\" because both feed model \"%s\"",
							get_rel_name(relid), get_rel_name(root), row->model),
					 errdetail("Its rows would count twice."),
					 errhint("Call leadscore.detach('%s', '%s') first.",
							 row->model, row->source)));
		}
	}
}

/* has_rows tells whether a table may have rows of its own. */
static bool
has_rows(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION && ls_relation_has_pages(relid);
}

/* add_parts adds the topmost of some tables, whose rows include those of the others. */
static void
add_parts(Work *work, List **parts, const char *source, List *relations)
{
	ListCell   *lc;
	ListCell   *pc;

	foreach(lc, relations)
	{
		Part	   *part;
		bool		below = false;
		bool		rows = false;

		foreach(pc, ls_relation_parents(lfirst_oid(lc)))
			below = below || list_member_oid(relations, lfirst_oid(pc));
		foreach(pc, tree_of(lfirst_oid(lc)))
			rows = rows || has_rows(lfirst_oid(pc));
		if (below || !rows)
			continue;
		/* privileges on the table above are enough to read it through that table only */
		if (!ls_relation_may_read(lfirst_oid(lc), work->row->owner))
		{
			work->rescore = true;
			continue;
		}
		part = palloc(sizeof(Part));
		part->source = pstrdup(source);
		part->relation = lfirst_oid(lc);
		*parts = lappend(*parts, part);
	}
}

/* warn_of_foreign warns that changes of a foreign table are not captured. */
static void
warn_of_foreign(Oid relid, Oid root)
{
	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		ereport(WARNING,
				(errmsg("\"%s\", a part of \"%s\", is a foreign table",
						get_rel_name(relid), get_rel_name(root)),
				 errdetail("\"%s\" feeds a model, in which rows of the foreign table do not count.  Statements that write rows of it through \"%s\" now fail.",
						   get_rel_name(root), get_rel_name(root)),
				 errhint("Write to \"%s\" by its own name, or take it out of \"%s\", or detach that from the model.",
						 get_rel_name(relid), get_rel_name(root))));
}

/*
 * sync_tree compares the tables below a source, or below the contact table, with
 * lead_relation, and handles those added and removed.  A source without rows there is
 * being restored.
 */
static void
sync_tree(Work *work, const char *source, Oid root)
{
	const char *model = work->row->model;
	List	   *known = ls_source_recorded_relations(model, source);
	List	   *now = tree_of(root);
	List	   *come = list_difference_oid(now, known);
	List	   *left = list_difference_oid(known, now);
	ListCell   *lc;

	if (known == NIL || now == NIL || (come == NIL && left == NIL))
		return;
	/* queries name the tables below */
	CacheInvalidateRelcacheByRelid(root);
	foreach(lc, come)
	{
		if (work->row->visitors_of == NULL)
			warn_of_foreign(lfirst_oid(lc), root);
		refuse_overlap(work, source, root, lfirst_oid(lc));
		LockRelationOid(lfirst_oid(lc), ShareRowExclusiveLock);
	}
	ls_source_add_tree(model, source, come);
	foreach(lc, left)
	{
		ls_source_forget_relation(model, source, lfirst_oid(lc));
		if (!exists(lfirst_oid(lc)) && !ls_drop_purged(lfirst_oid(lc)))
			work->rescore = true;
	}
	if (source)
	{
		add_parts(work, &work->come, source, come);
		add_parts(work, &work->left, source, left);
		return;
	}
	foreach(lc, come)
		work->rescore = work->rescore || has_rows(lfirst_oid(lc));
	if (left != NIL)
		work->rescore = true;
}

/* ---------- columns ---------- */

/* forget_created_at clears the created_at column of a model. */
static void
forget_created_at(Work *work)
{
	LsSqlArguments args = {0};

	ereport(WARNING,
			(errmsg("model \"%s\" no longer uses column \"%s\"",
					work->row->model, work->row->created_at),
			 errdetail("The column no longer contains times.  A contact is first seen with its first event.")));
	ls_sql_add_text(&args, work->row->model);
	ls_extension_execute("UPDATE leadscore_internal.lead_model SET created_at = NULL"
						 " WHERE model = $1", &args);
	work->row->created_at = NULL;
	work->changed = work->rescore = true;
}

/* look_at_contacts checks the columns of the contact table that a model uses. */
static void
look_at_contacts(Work *work)
{
	LsModelRow *row = work->row;
	AttrNumber	attno = get_attnum(row->contacts, row->key);
	Oid			type;
	Oid			score_type;
	Oid			collation;
	Oid			score_collation;
	int32		typmod;

	if (attno <= 0)
		return;

	get_atttypetypmodcoll(row->contacts, attno, &type, &typmod, &collation);
	get_atttypetypmodcoll(ls_lead_score_table(row->model, false), 1,
						  &score_type, &typmod, &score_collation);
	if (getBaseType(type) != score_type || collation != score_collation)
	{
		work->refusing = true;
		ls_model_rekey(row, getBaseType(type), collation);
		work->refusing = false;
		work->changed = work->rescore = true;
	}

	attno = row->created_at ? get_attnum(row->contacts, row->created_at) : 0;
	if (row->created_at &&
		(attno <= 0 || !ls_source_is_time_type(get_atttype(row->contacts, attno))))
		forget_created_at(work);
	if (column_changed(work->ddl, row->contacts, row->key) ||
		column_changed(work->ddl, row->contacts, row->created_at))
		work->rescore = true;
}

/* lose_source detaches a source that can no longer feed its model. */
static void
lose_source(Work *work, const LsSourceRow *source, int elevel, const char *why)
{
	uint64		rules;

	ls_lock_definitions(work->row->model);
	rules = ls_attach_remove(work->row->model, source->source);
	ereport(elevel,
			(errmsg("source \"%s\" was detached from model \"%s\": %s",
					source->source, work->row->model, why),
			 rules > 0 ?
			 errdetail_plural("%llu rule waits for it and contributes nothing until it is attached again.",
							  "%llu rules wait for it and contribute nothing until it is attached again.",
							  rules, (unsigned long long) rules) : 0));
	ls_attach_tell_purged(work->row->model, source->source);
	work->rescore = true;
}

/*
 * look_at_columns checks the columns that sources and the model itself name.  A source
 * is detached that fits neither the old key type nor the new one: where both types are
 * altered, one comes first, and rules are disabled in between.
 */
static void
look_at_columns(Work *work)
{
	List	   *doubtful = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_sources(work->row->model, NULL))
	{
		LsSourceRow *source = lfirst(lc);

		if (ls_attach_problem(work->row, source))
			doubtful = lappend(doubtful, source);
		else if (column_changed(work->ddl, source->relation, source->contact) ||
				 column_changed(work->ddl, source->relation, source->occurred_at) ||
				 column_changed(work->ddl, source->relation, source->event) ||
				 column_changed(work->ddl, source->relation, source->visitor))
			work->rescore = true;
	}
	if (work->row->visitors_of == NULL)
		look_at_contacts(work);
	foreach(lc, doubtful)
	{
		char	   *problem = ls_attach_problem(work->row, lfirst(lc));

		if (problem)
			lose_source(work, lfirst(lc), WARNING, problem);
		else
			work->rescore = true;
	}
}

/* ---------- all together ---------- */

/* finish backfills, retracts or recomputes what the changes require. */
static void
finish(Work *work)
{
	const char *model = work->row->model;
	bool		deferred = ls_suspension_defers(model);
	bool		holds_tables = work->ddl->changes != NIL || work->ddl->dropped != NIL ||
		work->ddl->no_wait;
	/* else rows of a new table would count twice for the rules that are backfilled */
	bool		all = work->rescore || (work->recount && work->come != NIL);
	ListCell   *lc;

	CommandCounterIncrement();
	if (work->changed || work->recount)
	{
		ls_model_change_record(model);
		CommandCounterIncrement();
	}
	if (deferred)
		return;
	if (work->changed || work->recount || work->rescore)
		ls_job_run_follow(model, all, work->recount, holds_tables);
	if (all)
		return;

	/*
	 * No other session writes to the tables added or removed.  The table above is not
	 * locked more strongly: sessions that write through it may be waiting for another
	 * partition that the command has locked.
	 */
	foreach(lc, work->left)
		ls_recount_relation(model, ((Part *) lfirst(lc))->source,
							((Part *) lfirst(lc))->relation);
	foreach(lc, work->come)
		ls_recount_source(model, ((Part *) lfirst(lc))->source,
						  ((Part *) lfirst(lc))->relation, "backfill");
}

/* sync_trees compares the trees of tables that a model reads. */
static void
sync_trees(Work *work)
{
	ListCell   *lc;

	foreach(lc, ls_lead_sources(work->row->model, NULL))
	{
		LsSourceRow *source = lfirst(lc);

		if (exists(source->relation))
			sync_tree(work, source->source, source->relation);
		else
			lose_source(work, source, NOTICE, "its table was dropped");
	}
	sync_tree(work, NULL, work->row->contacts);
}

/* record_touched records which tables of a model a command may have changed. */
static void
record_touched(Work *work, List *rows)
{
	ListCell   *lc;

	foreach(lc, rows)
	{
		LsRelationRow *row = lfirst(lc);

		if (strcmp(row->model, work->row->model) != 0)
			continue;
		if (row->source)
			work->sources = lappend(work->sources, row->source);
		else
			work->contacts = true;
	}
}

/*
 * follow_tables handles commands on tables, and tells whether rules have to be compiled
 * again.
 */
static bool
follow_tables(Work *work)
{
	LsModelRow *row = work->row;
	bool		look = false;
	ListCell   *lc;

	foreach(lc, work->ddl->changes)
	{
		LsTableChange *change = lfirst(lc);

		if (change->owner && change->relation == row->contacts)
		{
			work->refusing = true;
			ls_model_new_owner(row);
			work->refusing = false;
		}
		look = look || change->renamed || change->added || change->rights ||
			change->owner || change->columns != NIL ||
			(exists(change->relation) &&
			 !ls_trust_role(ls_relation_find_owner(change->relation), row->owner));
	}
	sync_trees(work);
	return look;
}

/*
 * see_to_model brings a model in line.  rows are those of lead_relation that the
 * command may have made wrong, of this model and of others.
 */
static void
see_to_model(Work *work, List *rows)
{
	const Ddl  *ddl = work->ddl;
	LsModelRow *row = work->row;
	bool		look = ddl->everything;
	ListCell   *lc;
	bool		concerned = row->visitors_of == NULL && ls_sync_find_concerned(work);

	record_touched(work, rows);
	if (work->contacts || work->sources != NIL)
		look = follow_tables(work) || look;
	foreach(lc, ddl->revoked)
	{
		List	   *taken = ls_source_relation_rows(lfirst_oid(lc));

		record_touched(work, taken);
		look = look || taken != NIL;
	}
	foreach(lc, ddl->recounted)
		work->recount = work->recount || strcmp(lfirst(lc), row->model) == 0;
	/* key and times concern all sources */
	work->all = work->all || work->contacts;
	look = look || work->all || work->recount;

	/*
	 * While a dump is restored, functions and privileges come in an order of their own;
	 * rules must not be disabled and backfilled because of that.
	 */
	if (row->suspended || row->unreadable || ls_restore_under_way(row))
		;						/* left alone */
	else if (look || concerned)
	{
		if (look)
			look_at_columns(work);
		if (row->visitors_of == NULL)
		{
			ls_sync_rules(work, false);
			ls_sync_stages(work);
		}
	}
	else if (ddl->granted && row->visitors_of == NULL)
		ls_sync_rules(work, true);
	if (work->changed || work->recount || work->rescore ||
		work->come != NIL || work->left != NIL)
		finish(work);
	if (work->contacts || work->sources != NIL)
		ls_dependencies_forget(row->model);
}

/* lose_model drops a model whose tables were dropped. */
static bool
lose_model(const Ddl *ddl, const LsModelRow *row)
{
	bool		lost = list_member_oid(ddl->dropped, row->contacts);
	ListCell   *lc;

	foreach(lc, ddl->dropped_models)
		lost = lost || strcmp(lfirst(lc), row->model) == 0;
	if (!lost)
		return false;
	ls_lock_definitions(row->model);
	ls_model_drop(row);
	if (row->visitors_of && list_member_oid(ddl->dropped, row->contacts))
		return true;			/* reported by the model whose visitors it scores */
	ereport(NOTICE,
			(errmsg("model \"%s\" was dropped with its table", row->model)));
	return true;
}

/* What has to be done for one model, run in a subtransaction */
typedef struct Turn
{
	Work	   *work;
	List	   *rows;
} Turn;

/* lost_key tells whether a command has dropped the column that identifies contacts. */
static bool
lost_key(const Ddl *ddl, const LsModelRow *model)
{
	ListCell   *lc;
	ListCell   *nc;

	if (model->visitors_of || get_attnum(model->contacts, model->key) > 0 ||
		!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(model->contacts)))
		return false;
	foreach(lc, ddl->changes)
		foreach(nc, ((LsTableChange *) lfirst(lc))->columns)
			if (strcmp(lfirst(nc), model->key) == 0)
				return true;
	return false;
}

/*
 * keep_key refuses to drop the column that identifies the contacts of a model, or a
 * type or collation with which columns of the model's own tables were dropped, as with
 * DROP TYPE ... CASCADE.  The model has to be dropped first.
 */
static void
keep_key(const Ddl *ddl, const LsModelRow *model)
{
	ListCell   *lc;

	if (lost_key(ddl, model))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop column \"%s\" of table \"%s\" because model \"%s\" depends on it",
						model->key, get_rel_name(model->contacts), model->model),
				 errhint("Call leadscore.drop_model('%s') first.", model->model)));
	foreach(lc, ddl->bereft)
	{
		char	   *name = get_rel_name(lfirst_oid(lc));

		if (name == NULL || !ls_tables_is_of(name, model->model))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 model->visitors_of ?
				 errmsg("cannot drop type or collation of visitors because model \"%s\" depends on it",
						model->visitors_of) :
				 errmsg("cannot drop type or collation of contacts because model \"%s\" depends on it",
						model->model),
				 errdetail("Table \"%s\" would lose a column with it.", name),
				 errhint("Call leadscore.drop_model('%s') first.",
						 model->visitors_of ? model->visitors_of : model->model)));
	}
}

static void
take_turn(void *arg)
{
	Turn	   *turn = arg;
	LsModelRow *row = turn->work->row;

	if (lose_model(turn->work->ddl, row))
		return;
	keep_key(turn->work->ddl, row);
	if (exists(row->contacts) && ls_tables_complete(row->model))
		see_to_model(turn->work, turn->rows);
}

/*
 * follow_one brings a model in line.  An error must not stop the command, nor the other
 * models: the changes to this model are rolled back.
 */
static void
follow_one(const Ddl *ddl, LsModelRow *row, List *rows)
{
	Work		work = {.row = row, .ddl = ddl, .all = ddl->everything};
	Turn		turn = {&work, rows};
	ErrorData  *error = ls_subtransaction_run(take_turn, &turn);

	if (error == NULL)
		return;
	if (work.refusing || ls_model_update_stops(error) ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DEPENDENT_PRIVILEGE_DESCRIPTORS_STILL_EXIST)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not apply this command to model \"%s\": %s", row->model,
					ls_disclosure_reason(ls_disclosure_may_see_table(row->owner, row->contacts), error)),
			 errdetail("Its scores may miss what the command has changed."),
			 errhint("Repair the model and call leadscore.rescore('%s'), or drop it with leadscore.drop_model('%s').",
					 row->model, row->model)));
}

/* ls_sync_models brings all models in line with what a command did. */
void
ls_sync_models(Ddl *ddl)
{
	List	   *rows;
	List	   *models;
	ListCell   *lc;

	if (ddl->changes == NIL && ddl->objects == NIL && ddl->dropped == NIL &&
		ddl->revoked == NIL && !ddl->everything && !ddl->granted)
		return;
	rows = touched_rows(ddl);
	if (rows != NIL || ddl->objects != NIL || ddl->dropped_models != NIL ||
		ddl->revoked != NIL || ddl->everything || ddl->granted)
	{
		ls_dependency_object_users(ddl->objects, &ddl->users);
		models = ls_lead_models(NULL);
		list_sort(models, ls_lock_row_order);
		foreach(lc, models)
			follow_one(ddl, lfirst(lc), rows);
	}
	if (rows != NIL || ls_ancestors_concerned(ddl->changes))
	{
		ls_ancestors_warn(ddl->changes);
		ls_ancestors_sync();
	}
}

/* ---------- changes without an event trigger ---------- */

/* is_out_of_step tells whether a model has rules that have to be disabled or enabled. */
static bool
is_out_of_step(const char *name)
{
	LsModel    *model = ls_model_acquire(name, NULL);
	bool		result = model && model->out_of_step;

	if (model)
		ls_model_release(model);
	return result;
}

/* ls_sync_again brings a model in line that was left alone while it was suspended. */
void
ls_sync_again(const char *name)
{
	Ddl			ddl = {.everything = true};
	Work		work = {.ddl = &ddl, .all = true};

	work.row = ls_lead_model(name, NULL);
	if (work.row && exists(work.row->contacts))
		see_to_model(&work, NIL);
}

/*
 * ls_sync_roles brings a model in line with roles, for which there are no event
 * triggers: GRANT and REVOKE of membership, ALTER ROLE, REASSIGN OWNED.  With no_wait
 * it does nothing where locks are not free.
 */
void
ls_sync_roles(const char *name, bool no_wait)
{
	Ddl			ddl = {.everything = true, .no_wait = no_wait};
	Work		work = {.ddl = &ddl, .all = true};

	if (!is_out_of_step(name))
		return;
	if (!no_wait)
		ls_lock_definitions(name);
	else if (!ls_lock_definitions_if_free(name))
		return;
	work.row = ls_lead_model(name, NULL);
	if (work.row && exists(work.row->contacts) && ls_tables_complete(name))
		see_to_model(&work, NIL);
}
