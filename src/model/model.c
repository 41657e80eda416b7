/*-------------------------------------------------------------------------
 *
 * model.c
 *		Models: created over contact tables, and dropped.
 *
 * Arguments are checked here; model_tables.c creates the tables.
 *
 *-------------------------------------------------------------------------
 */
#include "model/model.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/reachable_code.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/transaction.h"
#include "counting/recount.h"
#include "definitions/ancestor.h"
#include "definitions/contact_table.h"
#include "definitions/daily_tables.h"
#include "definitions/extension.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/model_tables.h"
#include "definitions/rights.h"
#include "definitions/source_triggers.h"
#include "model/anonymous_visitors.h"
#include "model/rule_history.h"

PG_FUNCTION_INFO_V1(ls_create_model);
PG_FUNCTION_INFO_V1(ls_drop_model_sql);
PG_FUNCTION_INFO_V1(ls_detach_all);

/* ---------- arguments ---------- */

/* read_categories reads the names of categories, in their order. */
static void
read_categories(ArrayType *array, LsModelTables *new)
{
	Datum	   *values;
	bool	   *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &values, &nulls, &new->ncategories);
	if (ARR_NDIM(array) > 1 || new->ncategories < 1 ||
		new->ncategories > LS_MAX_CATEGORIES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a model has between 1 and %d categories", LS_MAX_CATEGORIES),
				 errhint("Give their names as a plain array, such as '{fit,engagement}'.")));
	new->categories = palloc(sizeof(char *) * new->ncategories);
	for (int i = 0; i < new->ncategories; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the name of a category must not be NULL")));
		new->categories[i] = TextDatumGetCString(values[i]);
		ls_tables_check_category(new->categories[i]);
		for (int j = 0; j < i; j++)
			if (strcmp(new->categories[i], new->categories[j]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_OBJECT),
						 errmsg("category \"%s\" is given more than once",
								new->categories[i])));
	}
}

/* check_name checks that a model's name, and the names derived from it, are free. */
static void
check_name(const char *model)
{
	if (!ls_tables_name_is_valid(model))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name of a model: \"%s\"", model),
				 errhint("Use up to %d lower-case letters, digits and underscores, a letter first.",
						 LS_MAX_NAME)));
	if (ls_lead_model(model, NULL) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", model)));
	ls_tables_check_free(model);
}

/* check_owner refuses callers that do not own the contact table. */
static Oid
check_owner(Oid contacts)
{
	ls_source_check_relation(contacts);
	if (!ls_class_ownercheck(contacts, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(contacts)),
					   get_rel_name(contacts));
	return ls_relation_owner(contacts);
}

/* ---------- the key ---------- */

/* primary_key_column names the only column of a table's primary key. */
static char *
primary_key_column(Relation rel)
{
	AttrNumber	attno = InvalidAttrNumber;
	int			natts = 0;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisprimary)
		{
			natts = index->indnkeyatts;
			attno = index->indkey.values[0];
		}
		ReleaseSysCache(tuple);
	}
	if (natts != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 natts == 0 ?
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)) :
				 errmsg("the primary key of table \"%s\" has several columns",
						RelationGetRelationName(rel)),
				 errhint("Name the column that identifies contacts with key => '...'.")));
	return get_attname(RelationGetRelid(rel), attno, false);
}

/*
 * ls_model_check_key gives the key's type and refuses a column that does not identify
 * contacts.
 */
void
ls_model_check_key(Relation rel, LsModelTables *new)
{
	AttrNumber	attno = ls_source_find_column(RelationGetRelid(rel), new->row.key);
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	TypeCacheEntry *type;
	LsReach		reach = {NIL};
	ErrorData  *error;

	error = ls_reach_key_error(&reach, column->atttypid, RelationGetRelid(rel), new->row.owner);
	if (error)
		ThrowErrorData(error);
	new->key_type = getBaseType(column->atttypid);
	new->key_collation = column->attcollation;
	type = lookup_type_cache(new->key_type, TYPECACHE_EQ_OPR |
							 TYPECACHE_CMP_PROC | TYPECACHE_HASH_PROC);
	if (!OidIsValid(type->eq_opr) || !OidIsValid(type->cmp_proc) ||
		!OidIsValid(type->hash_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("contacts cannot be identified by column \"%s\" of type %s",
						new->row.key, format_type_be(column->atttypid)),
				 errdetail("The type has no default operator class for hash and btree.")));
	if (column->attgenerated == 'v')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("contacts cannot be identified by the virtual generated column \"%s\"",
						new->row.key),
				 errhint("Make it a stored generated column.")));
	if (ls_contact_table_column_unique(rel, attno))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("there is no unique constraint on column \"%s\" of table \"%s\"",
					new->row.key, RelationGetRelationName(rel)),
			 errdetail("The key needs a unique index of its own that is valid, neither partial nor deferrable, and on the plain column."),
			 errhint("Create one with CREATE UNIQUE INDEX ON %s (%s).",
					 ls_relation_qualified_name(RelationGetRelid(rel)),
					 quote_identifier(new->row.key))));
}

/* delete_rows deletes the rows of a model in all base tables. */
static void
delete_rows(const char *model)
{
	/* the model first: then the triggers of the other tables protect nothing */
	static const char *const tables[] = {"lead_model", "lead_category",
		"lead_source", "lead_relation", "lead_rule", "lead_stage", "lead_grade",
		"lead_rule_error", "lead_action", "lead_day", "top_scores", "lead_worker_error", "lead_job_range", "lead_job",
	"lead_rule_history", "lead_model_history"};
	LsSqlArguments args = {0};

	ls_extension_require_update();
	ls_sql_add_text(&args, model);
	for (size_t i = 0; i < lengthof(tables); i++)
		ls_extension_execute(psprintf("DELETE FROM leadscore_internal.%s"
									  " WHERE model = $1", tables[i]), &args);
}

/* write_rows inserts the rows of a new model into the base tables. */
static void
write_rows(const LsModelTables *new)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, new->row.model);
	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(new->row.owner));
	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(new->row.contacts));
	ls_sql_add_text(&args, new->row.key);
	ls_sql_add_text(&args, new->row.created_at);
	ls_sql_add_text(&args, new->row.time_zone);
	ls_extension_execute("INSERT INTO leadscore_internal.lead_model (model, accepted_owner, accepted_contacts,"
						 " contacts, key, created_at, time_zone) VALUES ($1, $2, $3, $3, $4, $5, $6)", &args);
	for (int i = 0; i < new->ncategories; i++)
	{
		LsSqlArguments category = {0};

		ls_sql_add_text(&category, new->row.model);
		ls_sql_add_text(&category, new->categories[i]);
		ls_sql_add(&category, INT4OID, Int32GetDatum(i + 1));
		ls_extension_execute("INSERT INTO leadscore_internal.lead_category (model, category, position)"
							 " VALUES ($1, $2, $3)", &category);
	}
	memset(&args, 0, sizeof(args));
	ls_sql_add_text(&args, new->row.model);
	ls_extension_execute("INSERT INTO leadscore_internal.lead_stage (model, stage, position, enter_at)"
						 " VALUES ($1, 'unqualified', 0, '-infinity')", &args);
}

/*
 * ls_create_model is leadscore.create_model(): it creates a model over a contact table,
 * with a score row for each contact.
 */
Datum
ls_create_model(PG_FUNCTION_ARGS)
{
	LsModelTables new = {0};
	LsModelRow *row = &new.row;
	List	   *tree;
	Relation	rel;

	row->model = ls_sql_text_argument(fcinfo, 0, "model");
	ls_sql_require_argument(fcinfo, 1, "contacts");
	row->contacts = PG_GETARG_OID(1);
	row->key = ls_sql_optional_argument(fcinfo, 2);
	ls_sql_require_argument(fcinfo, 3, "categories");
	row->created_at = ls_sql_optional_argument(fcinfo, 4);
	row->time_zone = ls_source_check_time_zone(ls_sql_text_argument(fcinfo, 5, "time_zone"));
	PreventCommandIfReadOnly("create_model()");
	read_categories(PG_GETARG_ARRAYTYPE_P(3), &new);

	/* checked again under the lock */
	(void) check_owner(row->contacts);
	check_name(row->model);
	ls_lock_model_name(row->model);
	check_name(row->model);
	tree = ls_source_lock_tree(row->contacts, ShareRowExclusiveLock);
	row->owner = check_owner(row->contacts);
	ls_ancestors_refuse(row->contacts, true);
	ls_source_check_tree(row->contacts, tree, row->owner);
	rel = relation_open(row->contacts, NoLock);
	if (row->key == NULL)
		row->key = primary_key_column(rel);
	ls_model_check_key(rel, &new);
	if (row->created_at)
		ls_source_check_time_column(row->contacts, row->created_at);
	relation_close(rel, NoLock);

	/* rows that were restored without their model */
	delete_rows(row->model);
	ls_tables_make(&new);
	write_rows(&new);
	ls_daily_begin(row);
	CommandCounterIncrement();
	ls_tables_depend(row);
	ls_rule_history_record(row->model);
	ls_source_add_tree(row->model, NULL, tree);
	ls_ancestors_sync();
	ls_recount_contact_table(row->model, "backfill");
	ls_model_change_refreshed(row->model);
	ls_transaction_wake_worker();
	PG_RETURN_OID(ls_lead_score_table(row->model, false));
}

/* ---------- drop_model, and changes of the contact table ---------- */

/*
 * ls_model_drop drops a model.  Objects that other roles have created on its tables are
 * not dropped with it, but raise an error.
 */
void
ls_model_drop(const LsModelRow *model)
{
	List	   *relations = NIL;
	const char *visitors;
	ListCell   *lc;

	if (ls_lead_model(model->model, NULL) == NULL)
		return;					/* dropped with the model whose visitors it scored */
	ls_lock_model_name(model->model);
	/* all sources at once: a writer to one table may be about to read another */
	ls_lock_for_removal(model->model, NULL);
	visitors = ls_lead_visitors_model(model->model);
	if (visitors)
		ls_model_drop(ls_lead_model(visitors, NULL));
	foreach(lc, ls_source_relation_rows(InvalidOid))
	{
		LsRelationRow *row = lfirst(lc);

		if (strcmp(row->model, model->model) == 0)
			relations = list_append_unique_oid(relations, row->relation);
	}

	delete_rows(model->model);
	ls_tables_drop(model->model);
	CommandCounterIncrement();
	foreach(lc, relations)
		ls_source_remove_unused_triggers(lfirst_oid(lc));
	ls_ancestors_sync();
	ls_transaction_wake_worker();
}

/* ls_drop_model_sql is leadscore.drop_model(). */
Datum
ls_drop_model_sql(PG_FUNCTION_ARGS)
{
	char	   *model = ls_sql_text_argument(fcinfo, 0, "model");
	LsModelRow *row;

	PreventCommandIfReadOnly("drop_model()");
	row = ls_lock_model(model);
	ls_visitors_refuse(row);
	ls_model_drop(row);
	PG_RETURN_VOID();
}

/*
 * ls_models_detach drops models, with the models of their visitors, and all triggers
 * that would keep the extension from being dropped.
 */
void
ls_models_detach(List *rows)
{
	ListCell   *lc;

	list_sort(rows, ls_lock_row_order);
	foreach(lc, rows)
		ls_lock_definitions(((LsModelRow *) lfirst(lc))->model);
	foreach(lc, rows)
		ls_model_drop(lfirst(lc));
}

/*
 * ls_detach_all is leadscore.detach_all(): it drops a model, or every one.
 */
Datum
ls_detach_all(PG_FUNCTION_ARGS)
{
	List	   *rows;
	ListCell   *lc;

	PreventCommandIfReadOnly("detach_all()");
	if (PG_ARGISNULL(0))
		rows = ls_lead_models(NULL);
	else
	{
		rows = list_make1(ls_rights_model(ls_sql_text_argument(fcinfo, 0, "model"), GetUserId()));
		ls_visitors_refuse(linitial(rows));
	}
	foreach(lc, rows)
	{
		LsModelRow *row = lfirst(lc);

		if (!(OidIsValid(row->owner) ? ls_rights_may_manage_model(row, GetUserId()) : ls_rights_may_manage_all()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to drop every model"),
					 errdetail("There are models whose owner's privileges role \"%s\" does not have.",
							   GetUserNameFromId(GetUserId(), false)),
					 errhint("Drop your own ones with leadscore.detach_all(model); a superuser may drop all.")));
	}
	ls_models_detach(rows);
	PG_RETURN_VOID();
}

/*
 * ls_model_rekey changes the type of the key in a model's tables after that of the
 * contact table's column was changed.
 */
void
ls_model_rekey(const LsModelRow *model, Oid type, Oid collation)
{
	LsModelTables new;

	ls_tables_read(model, &new);
	new.key_type = type;
	new.key_collation = collation;
	ls_tables_rekey(&new);
	ereport(NOTICE,
			(errmsg("the key of model \"%s\" is now of type %s",
					model->model, format_type_be(type)),
			 errdetail("The view \"live_%s\" was re-created.", model->model)));
}

/*
 * ls_model_new_owner gives the tables of a model to the new owner of its contact table,
 * and warns where the former owner's rules do not run any more.  A model that is not
 * suspended counts as accepted by the new owner, as the former owner may lose
 * privileges.
 */
void
ls_model_new_owner(const LsModelRow *model)
{
	LsSqlArguments args = {0};
	bool		disabled = false;

	ls_tables_give(model);
	ls_sql_add_text(&args, model->model);
	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(model->owner));
	if (model->suspended)
		disabled = ls_extension_execute("UPDATE leadscore_internal.lead_model SET enabled = false"
										" WHERE model = $1 AND enabled AND $2 IS NOT NULL", &args) > 0;
	else
		ls_extension_execute("UPDATE leadscore_internal.lead_model"
							 " SET accepted_owner = $2, accepted_contacts = contacts WHERE model = $1"
							 " AND (accepted_owner <> $2 OR accepted_contacts <> contacts)", &args);
	CommandCounterIncrement();
	if (disabled)
	{
		ls_visitors_follow(model->model);
		ls_model_change_record(model->model);
	}
	CacheInvalidateRelcacheByRelid(ls_lead_score_table(model->model, false));
	/*
	 * an owner in between may have changed rules, so the first owner has to accept
	 * them, too
	 */
	if (!model->suspended && !model->switched_on && model->visitors_of == NULL)
		ereport(WARNING,
				(errmsg("model \"%s\" is not enabled", model->model),
				 errdetail("Nothing has been counted since its contact table \"%s\" had another owner, or it was switched off.",
						   get_rel_name(model->contacts)),
				 errhint("Look at its rules, stages and actions, and enable it with UPDATE leadscore.lead_model SET enabled = true WHERE model = '%s'.",
						 model->model)));
	if (model->suspended && model->visitors_of == NULL)
		ereport(WARNING,
				(errmsg("model \"%s\" is suspended", model->model),
				 errdetail("Table \"%s\" now belongs to role \"%s\".  The rules, stages and actions of its former owner would run with privileges that the former owner does not have.",
						   get_rel_name(model->contacts),
						   GetUserNameFromId(model->owner, false)),
				 errhint("Look at them, and accept them with UPDATE leadscore.lead_model SET enabled = true WHERE model = '%s'.",
						 model->model)));
}

static void
new_owner(void *arg)
{
	ls_model_new_owner(arg);
}

/*
 * ls_model_accept_restored marks a model that was restored while the triggers of base
 * tables were disabled as accepted by its owner, before it can get another owner.
 */
void
ls_model_accept_restored(const LsModelRow *model)
{
	LsSqlArguments args = {0};

	if (OidIsValid(model->accepted) || !OidIsValid(model->owner))
		return;
	ls_sql_add_text(&args, model->model);
	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(model->owner));
	ls_extension_execute("UPDATE leadscore_internal.lead_model"
						 " SET accepted_owner = $2, accepted_contacts = contacts"
						 " WHERE model = $1", &args);
	CommandCounterIncrement();
}

/*
 * ls_model_settle completes a model after a restore or REASSIGN OWNED, for which there
 * is no event trigger: the score table depends on the contact table, and the new owner
 * gets all tables.  It does not wait for locks.  Tables that must not be given to the
 * new owner keep theirs, and the model stays suspended.
 */
void
ls_model_settle(const LsModelRow *model)
{
	bool		belongs = ls_tables_belong(model->model, model->owner);

	if (belongs && (model->suspended ? !model->switched_on : model->accepted == model->owner))
	{
		ls_tables_depend(model);
		return;
	}
	if (ls_lock_definitions_if_free(model->model) && (belongs || ls_tables_lock_if_free(model->model)))
		(void) ls_subtransaction_try(new_owner, unconstify(LsModelRow *, model));
}
