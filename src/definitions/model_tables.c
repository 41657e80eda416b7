/*-------------------------------------------------------------------------
 *
 * model_tables.c
 *		The tables and views of a model: how they are made, changed, dropped.
 *
 * They are made by plain SQL as the extension's owner, as no other role may create
 * tables in its schema, and given to the owner of the contact table in the same
 * transaction.  They are no members of the extension, so that dumps contain them.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/model_tables.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/leadscore.h"
#include "base/owner_change.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/trusted_code.h"
#include "definitions/extension.h"
#include "definitions/live_view.h"
#include "definitions/source_triggers.h"
#include "definitions/table_layout.h"

#define TOP_SCORE	"top_score" /* a column of score_<model>, and how full its pages are */
#define FILLFACTOR	"45"

static bool giving = false;		/* tables to their owner */

/* All that is called after a model, in the order in which it is dropped. */
static const struct
{
	const char *kind;
	const char *prefix;
	bool		always;			/* scoring needs it: every model has it */
}			parts[] = {
	{"VIEW", "live_", false},
	{"TABLE", "history_", true},
	{"TABLE", "outbox_", true},
	{"TABLE", "worker_error_", true},
	{"TABLE", "due_", true},
	{"TABLE", "pending_", true},
	{"TABLE", "profile_", true},
	{"TABLE", "purged_", true},
	{"TABLE", "merged_", false},
	{"TABLE", "identity_", false},
	{"TABLE", "daily_", false},
	{"TABLE", "funnel_daily_", false},
	{"TABLE", "score_", true},
};

/* The columns of score_<model>; those of the categories come after the score. */
static const struct
{
	const char *name;
	const char *definition;
	bool		internal;		/* not in live_<model> */
	const char *comment;
}			columns[] = {
	{"score", "pg_catalog.float8 NOT NULL", false,
	"sum of the categories, each times its weight, within the model''s limits, at scored_at"},
	{"grade", "pg_catalog.text", false,
	"per category the highest band reached, in the order of the categories"},
	{"stage", "pg_catalog.text NOT NULL", false,
	"stage that the contact is in"},
	{"stage_since", "pg_catalog.timestamptz NOT NULL", false,
	"when the contact entered the stage"},
	{"disqualified", "pg_catalog.bool NOT NULL", false,
	"whether a rule that disqualifies is in force"},
	{"has_contact", "pg_catalog.bool NOT NULL", false,
	"whether the contact table has the contact; false: there are only events of it"},
	{"last_event_at", "pg_catalog.timestamptz", false,
	"time of the latest event of the contact, whether or not it counts"},
	{"scored_at", "pg_catalog.timestamptz NOT NULL", false,
	"instant at which the score was exactly this"},
	{"rules_version", "pg_catalog.int8 NOT NULL", true,
	"internal: version of the rules that the row was scored with"},
	{"state", "pg_catalog.bytea NOT NULL", true,
	"internal: what the events add up to, from which the score at any instant follows"},
	{TOP_SCORE, "pg_catalog.float4", true,
	"internal: at or a little above the score where that is among the highest of the model, for leadscore.top()"},
};

/* is_own_column tells whether the score table has a column of its own. */
static bool
is_own_column(const char *name)
{
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (strcmp(name, columns[i].name) == 0)
			return true;
	return strcmp(name, "contact_id") == 0;
}

static Oid
find_part(const char *prefix, const char *model)
{
	return ls_extension_table(psprintf("%s%s", prefix, model), true);
}

/* all_exist tells whether a model has all the tables that every model has. */
static bool
all_exist(const char *model)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
		if (parts[i].always && !OidIsValid(find_part(parts[i].prefix, model)))
			return false;
	return true;
}

/* ls_tables_show_column tells whether live_<model> has a column of that name, too. */
bool
ls_tables_show_column(const char *name)
{
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (strcmp(name, columns[i].name) == 0)
			return !columns[i].internal;
	return false;
}

/* ls_tables_is_of tells whether a name is that of a table or view of a model. */
bool
ls_tables_is_of(const char *name, const char *model)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		size_t		length = strlen(parts[i].prefix);

		if (strncmp(name, parts[i].prefix, length) == 0 && strcmp(name + length, model) == 0)
			return true;
	}
	return false;
}

/* ls_tables_check_free makes sure that the names of a model's tables are free. */
void
ls_tables_check_free(const char *model)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
		if (OidIsValid(find_part(parts[i].prefix, model)))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_TABLE),
					 errmsg("relation \"%s.%s%s\" already exists", LEADSCORE_SCHEMA,
							parts[i].prefix, model),
					 errdetail("Model \"%s\" would need the name.", model),
					 errhint("Drop it, or choose another name for the model.")));
}

/* ---------- parts of statements ---------- */

/*
 * ls_tables_type writes a type as SQL takes it anywhere.  Unlike format_type()
 * it has no length where none is given: character would be character(1).
 */
char *
ls_tables_type(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(form->typnamespace),
									  NameStr(form->typname));
	ReleaseSysCache(tuple);
	return name;
}

/* ls_tables_collation writes a collation that is not the type's own, or none. */
char *
ls_tables_collation(Oid type, Oid collation)
{
	HeapTuple	tuple;
	Form_pg_collation form;
	char	   *clause;

	if (!OidIsValid(collation) || collation == get_typcollation(type))
		return "";
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	clause = psprintf(" COLLATE %s",
					  quote_qualified_identifier(get_namespace_name(form->collnamespace),
												 NameStr(form->collname)));
	ReleaseSysCache(tuple);
	return clause;
}

/* ls_tables_comment gives a column of a table or view of ours its comment. */
void
ls_tables_comment(const char *table, const char *column, const char *comment)
{
	ls_extension_execute(psprintf("COMMENT ON COLUMN leadscore.%s.%s IS '%s'",
								  table, quote_identifier(column), comment), NULL);
}

/*
 * ls_tables_publishable has rows of a table without a key be deleted where it is
 * published, as by FOR ALL TABLES.
 */
void
ls_tables_publishable(const char *table)
{
	ls_extension_execute(psprintf("ALTER TABLE leadscore.%s REPLICA IDENTITY FULL", table), NULL);
}

/* give_one gives a table or view to a role. */
static void
give_one(const char *kind, const char *name, Oid owner)
{
	bool		outer = giving;

	giving = true;
	PG_TRY();
	{
		ls_extension_execute(psprintf("ALTER %s leadscore.%s OWNER TO %s", kind, quote_identifier(name),
									  quote_identifier(GetUserNameFromId(owner, false))), NULL);
	}
	PG_FINALLY();
	{
		giving = outer;
	}
	PG_END_TRY();
}

/* ls_tables_give_one gives a table that was made for a model to its owner. */
void
ls_tables_give_one(const char *name, Oid owner)
{
	give_one("TABLE", name, owner);
}

/* ls_tables_give_view gives a view that was made for a model to its owner. */
void
ls_tables_give_view(const char *name, Oid owner)
{
	give_one("VIEW", name, owner);
}

/* ---------- one by one ---------- */

/* ls_tables_comment_columns gives a table or view of a model its comments. */
void
ls_tables_comment_columns(const LsModelTables *new, const char *prefix, bool internals)
{
	char	   *name = psprintf("%s%s", prefix, new->row.model);

	ls_tables_comment(name, "contact_id", "contact: the key of the contact table");
	for (int i = 0; i < new->ncategories; i++)
		ls_tables_comment(name, new->categories[i],
						  "points of the category, within its limits, at scored_at");
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (internals || !columns[i].internal)
			ls_tables_comment(name, columns[i].name, columns[i].comment);
}

/* create_guard has a table refuse writes by others than leadscore. */
static void
create_guard(const char *prefix, const char *model)
{
	ls_extension_execute(psprintf("CREATE TRIGGER leadscore_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
								  " ON leadscore.%s%s FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.guard()",
								  prefix, model), NULL);
}

/* create_top_index makes the index of the highest scores; the server finds a name that is free. */
static void
create_top_index(const char *model)
{
	ls_extension_execute(psprintf("CREATE INDEX ON leadscore.score_%s (top_score)"
								  " WHERE top_score IS NOT NULL", model), NULL);
}

/*
 * create_score_table makes score_<model>.  No index but the key, and one of the few rows
 * that have a top_score, and some room in each page, so that updates are HOT; vacuum
 * comes early.  The state is
 * compact as it is: compressing it again would be in vain.
 */
static void
create_score_table(const LsModelTables *new)
{
	const char *model = new->row.model;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE leadscore.score_%s (contact_id %s%s PRIMARY KEY",
					 model, ls_tables_type(new->key_type),
					 ls_tables_collation(new->key_type, new->key_collation));
	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		appendStringInfo(&sql, ", %s %s", columns[i].name, columns[i].definition);
		for (int j = 0; i == 0 && j < new->ncategories; j++)
			appendStringInfo(&sql, ", %s pg_catalog.float8 NOT NULL",
							 quote_identifier(new->categories[j]));
	}
	/* a statement about all rows of a page has room there for another version of each */
	appendStringInfoString(&sql, ") WITH (autovacuum_vacuum_scale_factor = 0.05,"
						   " autovacuum_vacuum_insert_scale_factor = 0.1,"
						   " autovacuum_analyze_scale_factor = 0.05, fillfactor = " FILLFACTOR ")");
	ls_extension_execute(sql.data, NULL);
	ls_extension_execute(psprintf("ALTER TABLE leadscore.score_%s ALTER COLUMN state SET STORAGE EXTERNAL",
								  model), NULL);
	create_top_index(model);
	create_guard("score_", model);
	ls_extension_execute(psprintf("COMMENT ON TABLE leadscore.score_%s IS 'scores of model %s, kept by leadscore'",
								  model, model), NULL);
	ls_tables_comment_columns(new, "score_", true);
	give_one("TABLE", psprintf("score_%s", model), new->row.owner);
}

/* append_columns writes the columns of a table of a model. */
static void
append_columns(StringInfo sql, const LsModelTables *new, const LsTableLayout *layout,
			   const char *visitor)
{
	char	   *key = psprintf("%s%s", ls_tables_type(new->key_type),
							   ls_tables_collation(new->key_type, new->key_collation));

	for (const LsColumnLayout *column = layout->columns; column->name; column++)
		appendStringInfo(sql, "%s%s %s%s", column == layout->columns ? "" : ", ",
						 column->name,
						 column->type == LS_TYPE_KEY ? key :
						 column->type == LS_TYPE_VISITOR ? visitor :
						 ls_tables_type(column->type), column->definition);
	if (layout->key)
		appendStringInfo(sql, ", PRIMARY KEY (%s)", layout->key);
}

/*
 * create_table makes a table of a model as its layout says; visitor is the type
 * of visitors' keys, where the table has some.
 */
static void
create_table(const LsModelTables *new, const LsTableLayout *layout, const char *visitor)
{
	const char *model = new->row.model;
	char	   *name = psprintf("%s%s", layout->prefix, model);
	Oid			schema = get_namespace_oid(LEADSCORE_SCHEMA, false);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE leadscore.%s (", name);
	append_columns(&sql, new, layout, visitor);
	appendStringInfoChar(&sql, ')');
	if (layout->options)
		appendStringInfo(&sql, " WITH (%s)", layout->options);
	ls_extension_execute(sql.data, NULL);
	/* another model's table may have the name of an index */
	for (const LsIndexLayout *index = layout->indexes; index && index->name; index++)
		ls_extension_execute(psprintf("CREATE INDEX %s ON leadscore.%s %s",
									  ChooseRelationName(name, NULL, index->name, schema, false),
									  name, index->definition), NULL);
	if (layout->external)
		ls_extension_execute(psprintf("ALTER TABLE leadscore.%s ALTER COLUMN %s SET STORAGE EXTERNAL",
									  name, layout->external), NULL);
	if (layout->key == NULL)
		ls_tables_publishable(name);
	create_guard(layout->prefix, model);
	if (layout->restored)
		ls_extension_execute(psprintf("CREATE TRIGGER leadscore_restored AFTER INSERT ON leadscore.%s"
									  " FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.restored()",
									  name), NULL);
	ls_extension_execute(psprintf("COMMENT ON TABLE leadscore.%s IS '%s'", name,
								  psprintf(layout->comment, model)), NULL);
	for (const LsColumnLayout *column = layout->columns; column->name; column++)
		ls_tables_comment(name, column->name, column->comment);
	give_one("TABLE", name, new->row.owner);
}

/*
 * ls_tables_make_identity makes identity_<model>: which visitors are identified, by
 * keys of their own type.
 */
void
ls_tables_make_identity(const LsModelTables *model, Oid type, Oid collation)
{
	create_table(model, ls_table_layout("identity_"),
				 psprintf("%s%s", ls_tables_type(type), ls_tables_collation(type, collation)));
	ls_live_view_make(model);
}

/* drop_part drops a table or view of a model. */
static void
drop_part(const char *kind, const char *prefix, const char *model)
{
	if (OidIsValid(find_part(prefix, model)))
		ls_extension_execute(psprintf("DROP %s leadscore.%s%s", kind, prefix, model), NULL);
}

/* ---------- all of them ---------- */

/*
 * has_table tells whether a model has a table of a kind from its beginning: those of
 * visitors come with the first source of visitors, and visitors are not merged.
 */
static bool
has_table(const LsModelTables *model, const LsTableLayout *layout)
{
	return strcmp(layout->prefix, "identity_") != 0 &&
		(model->row.visitors_of == NULL || strcmp(layout->prefix, "merged_") != 0);
}

/* ls_tables_make makes the tables and views of a new model. */
void
ls_tables_make(const LsModelTables *new)
{
	create_score_table(new);
	for (const LsTableLayout *const *layout = ls_table_layouts; *layout; layout++)
		if (has_table(new, *layout))
			create_table(new, *layout, NULL);
	ls_live_view_make(new);
}

/*
 * ls_tables_without_index gives a table of a model that has no key or index yet, as a
 * dump creates them after the rows; InvalidOid: none.  It waits for no lock.
 */
Oid
ls_tables_without_index(const char *model)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		Oid			table = find_part(parts[i].prefix, model);
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
		bool		indexed;

		if (!HeapTupleIsValid(tuple))
			continue;
		indexed = ((Form_pg_class) GETSTRUCT(tuple))->relhasindex;
		ReleaseSysCache(tuple);
		if (!indexed && strcmp(parts[i].kind, "TABLE") == 0)
			return table;
	}
	return InvalidOid;
}

/* ls_tables_read reads from what the tables of an existing model are made. */
void
ls_tables_read(const LsModelRow *row, LsModelTables *tables)
{
	Oid			table = ls_lead_score_table(row->model, true);
	List	   *rows = ls_lead_categories(row->model, NULL);
	int32		typmod;
	ListCell   *lc;

	memset(tables, 0, sizeof(LsModelTables));
	tables->row = *row;
	if (OidIsValid(table))
		get_atttypetypmodcoll(table, 1, &tables->key_type, &typmod,
							  &tables->key_collation);
	tables->categories = palloc(sizeof(char *) * list_length(rows));
	foreach(lc, rows)
		tables->categories[tables->ncategories++] = ((LsCategoryRow *) lfirst(lc))->category;
}

/* rekey_table changes the type of the key in a table of a model. */
static void
rekey_table(const LsModelTables *new, const char *prefix, const char *column)
{
	Oid			table = find_part(prefix, new->row.model);
	char	   *name = ls_tables_type(new->key_type);

	if (OidIsValid(table))
		ls_sql_execute_as_owner(table, psprintf("ALTER TABLE leadscore.%s%s ALTER COLUMN %s TYPE %s%s"
												" USING %s::pg_catalog.text::%s",
												prefix, new->row.model, column, name,
												ls_tables_collation(new->key_type, new->key_collation),
												column, name), NULL);
}

/*
 * ls_tables_rekey changes the type of the key in all of them to that of new, and
 * re-creates the view.  Casts, and whatever the owner has put on the tables, run as
 * the owner.
 */
void
ls_tables_rekey(const LsModelTables *new)
{
	LsLiveView *view = ls_live_view_drop(new->row.model);

	rekey_table(new, "score_", "contact_id");
	rekey_table(new, "daily_", "contact_id");
	for (const LsTableLayout *const *layout = ls_table_layouts; *layout; layout++)
		for (const LsColumnLayout *column = (*layout)->columns; column->name; column++)
			if (column->type == LS_TYPE_KEY)
				rekey_table(new, (*layout)->prefix, column->name);
	ls_live_view_restore(new, view);
}

/* replace_view replaces the view of an existing model by its original definition. */
static void
replace_view(const LsModelRow *row)
{
	LsModelTables tables;

	ls_tables_read(row, &tables);
	ls_live_view_make(&tables);
}

/*
 * ls_tables_update gives the tables of a model what those have that are made today: a
 * dump of 0.6.0 brings them as they were.  The caller has locked the definition, and the
 * tables that feed the model.  A category may be called as the column.
 */
void
ls_tables_update(const LsModelRow *row)
{
	const char *model = row->model;
	Oid			table = ls_lead_score_table(model, true);
	LsModelTables tables;

	if (!OidIsValid(table) || SearchSysCacheExistsAttName(table, TOP_SCORE))
		return;
	ls_extension_execute(psprintf("ALTER TABLE leadscore.score_%s ADD COLUMN " TOP_SCORE " pg_catalog.float4",
								  model), NULL);
	create_top_index(model);
	ls_extension_execute(psprintf("ALTER TABLE leadscore.score_%s SET (fillfactor = " FILLFACTOR ")", model), NULL);
	ls_tables_read(row, &tables);
	ls_tables_comment_columns(&tables, "score_", true);
	ls_live_view_make(&tables);
}

/*
 * ls_tables_give gives all of them to the owner of the model's contact table, except
 * those that are the owner's already.  A view is replaced: what the former owner had
 * it show would be read as the new one.
 */
void
ls_tables_give(const LsModelRow *row)
{
	Oid			owner = row->owner;
	ListCell   *lc;

	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		Oid			table = find_part(parts[i].prefix, row->model);

		if (!OidIsValid(table))
			continue;
		ls_owner_change_check(table, owner);
		if (ls_relation_owner(table) != owner)
			give_one(parts[i].kind, get_rel_name(table), owner);
		if (get_rel_relkind(table) == RELKIND_VIEW)
			replace_view(row);
		if (get_rel_relkind(table) != RELKIND_PARTITIONED_TABLE)
			continue;
		foreach(lc, find_inheritance_children(table, NoLock))
			if (ls_relation_owner(lfirst_oid(lc)) != owner)
				give_one("TABLE", get_rel_name(lfirst_oid(lc)), owner);
	}
}

/*
 * table_of_another gives a table of a model that another role owns; InvalidOid: none.
 */
static Oid
table_of_another(const char *model, Oid owner)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		HeapTuple	tuple = strcmp(parts[i].kind, "TABLE") != 0 ? NULL :
			ls_extension_relation(LEADSCORE_SCHEMA, psprintf("%s%s", parts[i].prefix, model));
		Oid			another = InvalidOid;

		if (!HeapTupleIsValid(tuple))
			continue;
		if (((Form_pg_class) GETSTRUCT(tuple))->relowner != owner)
			another = ((Form_pg_class) GETSTRUCT(tuple))->oid;
		ReleaseSysCache(tuple);
		if (OidIsValid(another))
			return another;
	}
	return InvalidOid;
}

/* ls_tables_belong tells whether a role owns all tables of a model. */
bool
ls_tables_belong(const char *model, Oid owner)
{
	return !OidIsValid(table_of_another(model, owner));
}

/*
 * ls_tables_check_owner refuses a command that has given a table of a model to
 * another role.
 */
void
ls_tables_check_owner(void)
{
	ListCell   *lc;

	if (giving)
		return;
	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);
		Oid			table = row->suspended || !OidIsValid(row->owner) ? InvalidOid :
			table_of_another(row->model, row->owner);

		if (OidIsValid(table))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot change owner of table \"%s\"", get_rel_name(table)),
					 errdetail("The tables of model \"%s\" belong to the owner of its contact table.",
							   row->model),
					 errhint("Change the owner of table \"%s\" instead.",
							 get_rel_name(row->contacts))));
	}
}

/*
 * ls_tables_check_made refuses a table or view that would be taken for one of another
 * role's model, as it would be written to as that role.
 */
void
ls_tables_check_made(Oid relid)
{
	const char *name = get_rel_name(relid);
	Oid			maker = ls_relation_owner(relid);
	ListCell   *lc;

	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);

		for (int i = 0; i < (int) lengthof(parts); i++)
			if (OidIsValid(row->owner) && !ls_trust_role(maker, row->owner) &&
				strcmp(name, psprintf("%s%s", parts[i].prefix, row->model)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("permission denied to have relation %s.%s",
								LEADSCORE_SCHEMA, quote_identifier(name)),
						 errdetail("It would be taken for one of model \"%s\", which belongs to role \"%s\".",
								   row->model, GetUserNameFromId(row->owner, false)),
						 errhint("Use another name, or another schema.")));
	}
}

/* ls_tables_lock_if_free locks all of them, unless another session has one locked. */
bool
ls_tables_lock_if_free(const char *model)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		Oid			table = find_part(parts[i].prefix, model);

		if (OidIsValid(table) && !ConditionalLockRelationOid(table, AccessExclusiveLock))
			return false;
	}
	return true;
}

/*
 * ls_tables_depend has the score table depend on the contact table, where it does not
 * yet: a dump does not have the dependency.  DROP TABLE is refused then, as for any
 * table that something depends on; with CASCADE the score table is dropped, and the
 * model.
 */
void
ls_tables_depend(const LsModelRow *row)
{
	ObjectAddress scores;
	ObjectAddress contacts;
	Oid			table = ls_lead_score_table(row->model, true);
	ListCell   *lc;

	if (row->visitors_of || !OidIsValid(table) ||
		!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(row->contacts)))
		return;
	foreach(lc, ls_relation_dependents(RelationRelationId, row->contacts))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->classid == RelationRelationId && form->objid == table &&
			form->objsubid == 0 && form->refobjsubid == 0)
			return;
	}
	ObjectAddressSet(scores, RelationRelationId, table);
	ObjectAddressSet(contacts, RelationRelationId, row->contacts);
	recordDependencyOn(&scores, &contacts, DEPENDENCY_NORMAL);
}

/*
 * ls_tables_drop drops all of them, locked in the order in which sessions use them:
 * views, the score table, the other tables.
 */
void
ls_tables_drop(const char *model)
{
	Oid			score_table = ls_lead_score_table(model, true);

	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		if (strcmp(parts[i].kind, "TABLE") == 0 && OidIsValid(score_table))
			LockRelationOid(score_table, AccessExclusiveLock);
		drop_part(parts[i].kind, parts[i].prefix, model);
	}
}

/* ls_tables_name_is_valid tells whether a word can be a part of the names of tables. */
bool
ls_tables_name_is_valid(const char *word)
{
	if (*word < 'a' || *word > 'z' || strlen(word) > LS_MAX_NAME)
		return false;
	for (; *word; word++)
		if (!(*word >= 'a' && *word <= 'z') && !(*word >= '0' && *word <= '9') &&
			*word != '_')
			return false;
	return true;
}

/*
 * ls_tables_complete tells whether the tables of a model can be used.  While a dump
 * is restored, at times they cannot: the rows come before the keys.
 */
bool
ls_tables_complete(const char *model)
{
	Oid			table = ls_lead_score_table(model, true);

	return all_exist(model) && ls_relation_has_index(table) &&
		ls_source_recorded_relations(model, NULL) != NIL;
}

/*
 * ls_tables_check_category refuses a name that cannot be a column of the score table.
 */
void
ls_tables_check_category(const char *name)
{
	if (!ls_tables_name_is_valid(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name of a category: \"%s\"", name),
				 errhint("Use up to %d lower-case letters, digits and underscores, a letter first.",
						 LS_MAX_NAME)));
	if (is_own_column(name) || SystemAttributeByName(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("category name \"%s\" is reserved", name),
				 errdetail("The score table has a column of this name.")));
}
