/*-------------------------------------------------------------------------
 *
 * model_tables.c
 *		The tables and views of a model: how they are made, changed, dropped.
 *
 * They are made by plain SQL as the extension's owner, as nobody else may make
 * tables in its schema, and given to the owner of the contact table before anybody
 * can see them.  They are no members of the extension, so that dumps hold them.
 *
 *-------------------------------------------------------------------------
 */
#include "model_tables.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "feed.h"
#include "leadscore.h"

static bool giving = false;		/* tables to their owner */

/* All that is called after a model, in the order in which it is dropped. */
static const struct
{
	const char *kind;
	const char *prefix;
	bool		always;			/* what scores needs it: every model has it */
}			parts[] = {
	{"VIEW", "live_", false},
	{"VIEW", "history_", false},
	{"TABLE", "due_", true},
	{"TABLE", "pending_", true},
	{"TABLE", "profile_", true},
	{"TABLE", "kept_", true},
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
};

/* ls_tables_have_column tells whether the score table has a column of its own. */
bool
ls_tables_have_column(const char *name)
{
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (strcmp(name, columns[i].name) == 0)
			return true;
	return strcmp(name, "contact_id") == 0;
}

static Oid
find_part(const char *prefix, const char *model)
{
	return ls_table_oid(psprintf("%s%s", prefix, model), true);
}

/* ls_tables_exist tells whether a model has all the tables that every model has. */
bool
ls_tables_exist(const char *model)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
		if (parts[i].always && !OidIsValid(find_part(parts[i].prefix, model)))
			return false;
	return true;
}

/* ls_tables_check_free makes sure that the names made of a model's are free. */
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
	ls_execute(psprintf("COMMENT ON COLUMN leadscore.%s.%s IS '%s'",
						table, quote_identifier(column), comment), NULL);
}

/*
 * ls_tables_publishable has rows of a table that has no key be deleted where it
 * is published, as FOR ALL TABLES does.
 */
void
ls_tables_publishable(const char *table)
{
	ls_execute(psprintf("ALTER TABLE leadscore.%s REPLICA IDENTITY FULL", table), NULL);
}

/* give_one gives a table or view to a role. */
static void
give_one(const char *kind, const char *name, Oid owner)
{
	bool		outer = giving;

	giving = true;
	PG_TRY();
	{
		ls_execute(psprintf("ALTER %s leadscore.%s OWNER TO %s", kind, quote_identifier(name),
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

/* ---------- one by one ---------- */

/* comment_on_columns gives a table or view of a model its comments. */
static void
comment_on_columns(const LsModelTables *new, const char *prefix, bool internals)
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

/* create_guard has a table refuse what others than leadscore write. */
static void
create_guard(const char *prefix, const char *model)
{
	ls_execute(psprintf("CREATE TRIGGER leadscore_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
						" ON leadscore.%s%s FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.guard()",
						prefix, model), NULL);
}

/*
 * create_score_table makes score_<model>.  No index but the key and some room
 * in each page, so that updates are HOT; vacuum comes early.  The state is
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
	appendStringInfoString(&sql, ") WITH (fillfactor = 70,"
						   " autovacuum_vacuum_scale_factor = 0.05,"
						   " autovacuum_vacuum_insert_scale_factor = 0.1,"
						   " autovacuum_analyze_scale_factor = 0.05)");
	ls_execute(sql.data, NULL);
	ls_execute(psprintf("ALTER TABLE leadscore.score_%s ALTER COLUMN state SET STORAGE EXTERNAL",
						model), NULL);
	create_guard("score_", model);
	ls_execute(psprintf("COMMENT ON TABLE leadscore.score_%s IS 'scores of model %s, kept by leadscore'",
						model, model), NULL);
	comment_on_columns(new, "score_", true);
	give_one("TABLE", psprintf("score_%s", model), new->row.owner);
}

/* append_live_columns lists what live_<model> shows beside the contact. */
static void
append_live_columns(StringInfo sql, const LsModelTables *new)
{
	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		if (!columns[i].internal)
			appendStringInfo(sql, ", (v.r).%s", columns[i].name);
		for (int j = 0; i == 0 && j < new->ncategories; j++)
			appendStringInfo(sql, ", (v.r).%s", quote_identifier(new->categories[j]));
	}
}

/* append_live_arm adds a table that tells of contacts; see live.c. */
static void
append_live_arm(StringInfo sql, const char *prefix, const char *model)
{
	if (!OidIsValid(find_part(prefix, model)))
		return;
	appendStringInfo(sql, "%sSELECT t.contact_id, t.tableoid AS place_table, t.ctid AS place"
					 " FROM leadscore.%s%s t",
					 sql->data[sql->len - 1] == '(' ? "" : " UNION ALL ", prefix, model);
}

/*
 * create_live_view makes live_<model>: the same, evaluated now.  OFFSET 0 has
 * a row evaluated once and not once per column; the key comes from the tables
 * themselves, so that their indexes are used to find rows, and only those rows
 * are evaluated that are left when that has been done.
 */
static void
create_live_view(const LsModelTables *new)
{
	const char *model = new->row.model;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE OR REPLACE VIEW leadscore.live_%s AS SELECT k.contact_id", model);
	append_live_columns(&sql, new);
	appendStringInfoString(&sql, " FROM (");
	append_live_arm(&sql, "score_", model);
	append_live_arm(&sql, "pending_", model);
	append_live_arm(&sql, "identity_", model);
	appendStringInfo(&sql, ") k CROSS JOIN LATERAL"
					 " (SELECT leadscore_internal.live(NULL::leadscore.score_%s, k.place_table, k.place,"
					 " (SELECT leadscore.clock())) AS r OFFSET 0) v WHERE (v.r).stage IS NOT NULL",
					 model);
	ls_execute(sql.data, NULL);
	ls_execute(psprintf("COMMENT ON VIEW leadscore.live_%s IS 'scores of model %s as they are now, evaluated when read'",
						model, model), NULL);
	comment_on_columns(new, "live_", false);
	give_one("VIEW", psprintf("live_%s", model), new->row.owner);
}

/*
 * create_due_table makes due_<model>.  Its key is the order in which the
 * worker takes contacts, and the only index; rows move often.
 */
static void
create_due_table(const LsModelTables *new)
{
	static const char *const comments[][2] = {
		{"due_at", "when the contact is to be looked at: early at worst, never late"},
		{"drift", "whether only numbers will have drifted, and no stage or grade changed"},
		{"contact_id", "contact: the key of the contact table"},
	};
	const char *model = new->row.model;

	ls_execute(psprintf("CREATE TABLE leadscore.due_%s (due_at pg_catalog.timestamptz,"
						" drift pg_catalog.bool, contact_id %s%s,"
						" PRIMARY KEY (due_at, drift, contact_id))"
						" WITH (autovacuum_vacuum_scale_factor = 0.05,"
						" autovacuum_analyze_scale_factor = 0.05)",
						model, ls_tables_type(new->key_type),
						ls_tables_collation(new->key_type, new->key_collation)), NULL);
	create_guard("due_", model);
	ls_execute(psprintf("COMMENT ON TABLE leadscore.due_%s IS 'when time will change the contacts of model %s: at most one row a contact, kept by leadscore'",
						model, model), NULL);
	for (int i = 0; i < (int) lengthof(comments); i++)
		ls_tables_comment(psprintf("due_%s", model), comments[i][0], comments[i][1]);
	give_one("TABLE", psprintf("due_%s", model), new->row.owner);
}

/*
 * create_pending_table makes pending_<model>: what writers who must not wait
 * for a contact's row put aside.  It is filled and emptied all the time.
 */
static void
create_pending_table(const LsModelTables *new)
{
	static const char *const comments[][2] = {
		{"contact_id", "contact: the key of the contact table"},
		{"rules_version", "version of the rules that the events were matched with"},
		{"noted_at", "when it was put aside"},
		{"profile", "whether it is the contact''s row that has changed"},
		{"delta", "internal: what the events add up to; null: the contact has to be counted again"},
	};
	const char *model = new->row.model;

	ls_execute(psprintf("CREATE TABLE leadscore.pending_%s (contact_id %s%s NOT NULL,"
						" rules_version pg_catalog.int8 NOT NULL,"
						" noted_at pg_catalog.timestamptz NOT NULL,"
						" profile pg_catalog.bool NOT NULL, delta pg_catalog.bytea)"
						" WITH (autovacuum_vacuum_threshold = 1000,"
						" autovacuum_vacuum_scale_factor = 0,"
						" autovacuum_vacuum_insert_threshold = -1)",
						model, ls_tables_type(new->key_type),
						ls_tables_collation(new->key_type, new->key_collation)), NULL);
	ls_execute(psprintf("CREATE INDEX pending_%s_contact ON leadscore.pending_%s (contact_id)",
						model, model), NULL);
	ls_execute(psprintf("ALTER TABLE leadscore.pending_%s ALTER COLUMN delta SET STORAGE EXTERNAL",
						model), NULL);
	ls_tables_publishable(psprintf("pending_%s", model));
	create_guard("pending_", model);
	ls_execute(psprintf("CREATE TRIGGER leadscore_restored AFTER INSERT ON leadscore.pending_%s"
						" FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.restored()",
						model), NULL);
	ls_execute(psprintf("COMMENT ON TABLE leadscore.pending_%s IS 'what has still to be folded into the scores of model %s; scores that are asked for include it'",
						model, model), NULL);
	for (int i = 0; i < (int) lengthof(comments); i++)
		ls_tables_comment(psprintf("pending_%s", model), comments[i][0], comments[i][1]);
	give_one("TABLE", psprintf("pending_%s", model), new->row.owner);
}

/*
 * create_profile_table makes profile_<model>: what the rows of contacts said
 * from when on, as far as profile rules look at them.  It is only added to.
 */
static void
create_profile_table(const LsModelTables *new)
{
	static const char *const comments[][2] = {
		{"contact_id", "contact: the key of the contact table"},
		{"since", "from when on; -infinity: always, as far as is known"},
		{"counted", "whether rules came to be counted, and not the contact changed"},
		{"has_contact", "whether the contact table had the contact"},
		{"created_at", "the contact''s beginning, where the model has a column for it"},
		{"versions", "profile rules that held, as the column versions of lead_rule_history names them"},
		{"weights", "what the points of each were multiplied with"},
	};
	const char *model = new->row.model;

	ls_execute(psprintf("CREATE TABLE leadscore.profile_%s (contact_id %s%s,"
						" since pg_catalog.timestamptz, counted pg_catalog.bool NOT NULL,"
						" has_contact pg_catalog.bool NOT NULL, created_at pg_catalog.timestamptz,"
						" versions pg_catalog.int8[] NOT NULL, weights pg_catalog.float8[] NOT NULL,"
						" PRIMARY KEY (contact_id, since))",
						model, ls_tables_type(new->key_type),
						ls_tables_collation(new->key_type, new->key_collation)), NULL);
	create_guard("profile_", model);
	ls_execute(psprintf("COMMENT ON TABLE leadscore.profile_%s IS 'what profile rules of model %s said of contacts, from when on; kept by leadscore'",
						model, model), NULL);
	for (int i = 0; i < (int) lengthof(comments); i++)
		ls_tables_comment(psprintf("profile_%s", model), comments[i][0], comments[i][1]);
	give_one("TABLE", psprintf("profile_%s", model), new->row.owner);
}

/*
 * create_kept_table makes kept_<model>: what events that were purged had given.
 * Rows are only added to it.
 */
static void
create_kept_table(const LsModelTables *new)
{
	static const char *const comments[][2] = {
		{"contact_id", "contact: the key of the contact table"},
		{"source", "source whose rows were purged"},
		{"until", "time of the latest of the events that were purged together"},
		{"rules_version", "version of the rules that the events were matched with"},
		{"state", "internal: what the events add up to"},
	};
	const char *model = new->row.model;

	ls_execute(psprintf("CREATE TABLE leadscore.kept_%s (contact_id %s%s NOT NULL,"
						" source pg_catalog.text COLLATE \"C\" NOT NULL,"
						" until pg_catalog.timestamptz NOT NULL,"
						" rules_version pg_catalog.int8 NOT NULL,"
						" state pg_catalog.bytea NOT NULL)",
						model, ls_tables_type(new->key_type),
						ls_tables_collation(new->key_type, new->key_collation)), NULL);
	ls_execute(psprintf("CREATE INDEX kept_%s_contact ON leadscore.kept_%s (contact_id)",
						model, model), NULL);
	ls_tables_publishable(psprintf("kept_%s", model));
	create_guard("kept_", model);
	ls_execute(psprintf("COMMENT ON TABLE leadscore.kept_%s IS 'what events that were purged had given to the scores of model %s'",
						model, model), NULL);
	for (int i = 0; i < (int) lengthof(comments); i++)
		ls_tables_comment(psprintf("kept_%s", model), comments[i][0], comments[i][1]);
	give_one("TABLE", psprintf("kept_%s", model), new->row.owner);
}

/*
 * create_alias_table makes a table of those whose rows count for others, with
 * what they were before, to be given back to them.
 */
static void
create_alias_table(const LsModelTables *new, const char *prefix, const char *columns,
				   const char *comment)
{
	static const char *const comments[][2] = {
		{"stage", "stage that it was in before; null: it had no score"},
		{"stage_since", "since when it was in that stage"},
		{"prior_stage", "internal: sticky stage that it had before it was disqualified"},
		{"hold", "internal: how that stage was held, where it was set by hand"},
	};
	char	   *name = psprintf("%s%s", prefix, new->row.model);

	ls_execute(psprintf("CREATE TABLE leadscore.%s (%s, stage pg_catalog.text,"
						" stage_since pg_catalog.timestamptz, prior_stage pg_catalog.text,"
						" hold pg_catalog.int4)", name, columns), NULL);
	create_guard(prefix, new->row.model);
	ls_execute(psprintf("COMMENT ON TABLE leadscore.%s IS '%s'", name, comment), NULL);
	for (int i = 0; i < (int) lengthof(comments); i++)
		ls_tables_comment(name, comments[i][0], comments[i][1]);
	give_one("TABLE", name, new->row.owner);
}

/* create_merged_table makes merged_<model>: contacts that were merged. */
static void
create_merged_table(const LsModelTables *new)
{
	const char *model = new->row.model;
	char	   *name = psprintf("merged_%s", model);
	char	   *type = psprintf("%s%s", ls_tables_type(new->key_type),
								ls_tables_collation(new->key_type, new->key_collation));

	create_alias_table(new, "merged_",
					   psprintf("source_id %s PRIMARY KEY, target_id %s NOT NULL,"
								" merged_into %s NOT NULL,"
								" merged_at pg_catalog.timestamptz NOT NULL,"
								" merged_by pg_catalog.name NOT NULL", type, type, type),
					   psprintf("contacts of model %s that were merged into others, written by leadscore.merge_contacts()",
								model));
	ls_execute(psprintf("CREATE INDEX merged_%s_target ON leadscore.merged_%s (target_id)",
						model, model), NULL);
	ls_tables_comment(name, "source_id", "contact that was merged: its events count for another");
	ls_tables_comment(name, "target_id", "contact for whom they count");
	ls_tables_comment(name, "merged_into", "contact into which it was merged, which may have been merged itself since");
	ls_tables_comment(name, "merged_at", "when it was merged");
	ls_tables_comment(name, "merged_by", "role that merged it");
}

/*
 * ls_tables_make_identity makes identity_<model>: visitors, by keys of their own
 * type, who are identified.
 */
void
ls_tables_make_identity(const LsModelTables *model, Oid type, Oid collation)
{
	const char *name = model->row.model;
	char	   *table = psprintf("identity_%s", name);

	create_alias_table(model, "identity_",
					   psprintf("visitor %s%s PRIMARY KEY, contact_id %s%s NOT NULL,"
								" identified_at pg_catalog.timestamptz NOT NULL,"
								" identified_by pg_catalog.name NOT NULL",
								ls_tables_type(type), ls_tables_collation(type, collation),
								ls_tables_type(model->key_type),
								ls_tables_collation(model->key_type, model->key_collation)),
					   psprintf("visitors of whom model %s knows which contact they are, written by leadscore.identify()",
								name));
	ls_execute(psprintf("CREATE INDEX identity_%s_contact ON leadscore.identity_%s (contact_id)",
						name, name), NULL);
	ls_tables_comment(table, "visitor", "key of the visitor, as anonymous events have it");
	ls_tables_comment(table, "contact_id", "contact that the visitor is");
	ls_tables_comment(table, "identified_at", "when that was said");
	ls_tables_comment(table, "identified_by", "role that said so");
	create_live_view(model);
}

/* create_history_view makes history_<model>: contacts in the key's type. */
static void
create_history_view(const LsModelTables *new)
{
	static const char *const comments[][2] = {
		{"contact_id", "contact: the key of the contact table"},
		{"from_stage", "stage that it left; null: its first"},
		{"to_stage", "stage that it entered"},
		{"score", "its score at that instant"},
		{"changed_at", "when it happened"},
		{"recorded_at", "when it was written down"},
		{"cause", "why: event, time, rule, profile, manual, merge or backfill"},
		{"reason", "what was given as the reason where it was set by hand"},
	};
	const char *model = new->row.model;

	ls_execute(psprintf("CREATE OR REPLACE VIEW leadscore.history_%s AS"
						" SELECT h.contact::%s%s AS contact_id, h.from_stage, h.to_stage,"
						" h.score, h.changed_at, h.recorded_at, h.cause, h.reason"
						" FROM leadscore_internal.lead_stage_history h"
						" WHERE h.model OPERATOR(pg_catalog.=) '%s'",
						model, ls_tables_type(new->key_type),
						ls_tables_collation(new->key_type, new->key_collation),
						model), NULL);
	ls_execute(psprintf("COMMENT ON VIEW leadscore.history_%s IS 'changes of stage in model %s'",
						model, model), NULL);
	for (int i = 0; i < (int) lengthof(comments); i++)
		ls_tables_comment(psprintf("history_%s", model), comments[i][0], comments[i][1]);
	/* it reads a table of the extension's, and so is not the owner's */
	ls_execute(psprintf("GRANT SELECT ON leadscore.history_%s TO %s WITH GRANT OPTION",
						model, quote_identifier(GetUserNameFromId(new->row.owner, false))), NULL);
}

/* drop_part drops a table or view of a model. */
static void
drop_part(const char *kind, const char *prefix, const char *model)
{
	if (OidIsValid(find_part(prefix, model)))
		ls_execute(psprintf("DROP %s leadscore.%s%s", kind, prefix, model), NULL);
}

/* ---------- all of them ---------- */

/* ls_tables_make makes the tables and views of a new model. */
void
ls_tables_make(const LsModelTables *new)
{
	create_score_table(new);
	create_due_table(new);
	create_pending_table(new);
	create_profile_table(new);
	create_kept_table(new);
	if (new->row.sheet == NULL)
		create_merged_table(new);
	create_live_view(new);
	create_history_view(new);
}

/*
 * ls_tables_without_index gives a table of a model that has no key or index yet, as
 * those of a dump come after the rows; InvalidOid: none.  Nobody is waited for.
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

/* ls_tables_read reads what those of an existing model are made from. */
void
ls_tables_read(const LsModelRow *row, LsModelTables *tables)
{
	Oid			table = ls_score_table(row->model, true);
	List	   *rows = ls_category_rows(row->model, NULL);
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

/* rekey_table turns the key in a table of a model into another type. */
static void
rekey_table(const LsModelTables *new, const char *prefix, const char *column)
{
	char	   *name = ls_tables_type(new->key_type);

	if (OidIsValid(find_part(prefix, new->row.model)))
		ls_execute(psprintf("ALTER TABLE leadscore.%s%s ALTER COLUMN %s TYPE %s%s"
							" USING %s::pg_catalog.text::%s",
							prefix, new->row.model, column, name,
							ls_tables_collation(new->key_type, new->key_collation),
							column, name), NULL);
}

/*
 * ls_tables_rekey turns the key in all of them into the type that new has, and
 * makes the views anew.  Casts, and whatever the owner has put on the tables, are run
 * as the owner.
 */
void
ls_tables_rekey(const LsModelTables *new)
{
	const char *model = new->row.model;
	LsIdentity	saved;

	drop_part("VIEW", "live_", model);
	drop_part("VIEW", "history_", model);
	ls_switch_to_owner(ls_relation_owner(ls_score_table(model, false)), &saved);
	rekey_table(new, "score_", "contact_id");
	rekey_table(new, "due_", "contact_id");
	rekey_table(new, "pending_", "contact_id");
	rekey_table(new, "profile_", "contact_id");
	rekey_table(new, "kept_", "contact_id");
	rekey_table(new, "daily_", "contact_id");
	rekey_table(new, "identity_", "contact_id");
	rekey_table(new, "merged_", "source_id");
	rekey_table(new, "merged_", "target_id");
	rekey_table(new, "merged_", "merged_into");
	ls_return(&saved);
	create_live_view(new);
	create_history_view(new);
}

/*
 * ls_tables_give gives all of them to the owner of the model's contact table.  Those
 * that are the owner's already are left alone.
 */
void
ls_tables_give(const char *model, Oid owner)
{
	ListCell   *lc;

	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		Oid			table = find_part(parts[i].prefix, model);

		if (!OidIsValid(table))
			continue;
		if (strcmp(parts[i].prefix, "history_") == 0)
			ls_execute(psprintf("GRANT SELECT ON leadscore.history_%s TO %s WITH GRANT OPTION",
								model, quote_identifier(GetUserNameFromId(owner, false))), NULL);
		else if (ls_relation_owner(table) != owner)
			give_one(parts[i].kind, get_rel_name(table), owner);
		if (get_rel_relkind(table) != RELKIND_PARTITIONED_TABLE)
			continue;
		foreach(lc, find_inheritance_children(table, NoLock))
			if (ls_relation_owner(lfirst_oid(lc)) != owner)
				give_one("TABLE", get_rel_name(lfirst_oid(lc)), owner);
	}
}

/* table_of_another gives a table of a model that is not its owner's; InvalidOid: none. */
static Oid
table_of_another(const char *model, Oid owner)
{
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		Oid			table = find_part(parts[i].prefix, model);

		if (OidIsValid(table) && strcmp(parts[i].kind, "TABLE") == 0 &&
			ls_relation_owner(table) != owner)
			return table;
	}
	return InvalidOid;
}

/* ls_tables_belong tells whether all tables of a model are a role's. */
bool
ls_tables_belong(const char *model, Oid owner)
{
	return !OidIsValid(table_of_another(model, owner));
}

/* ls_tables_check_owner refuses what has given a table of a model to another role. */
void
ls_tables_check_owner(void)
{
	ListCell   *lc;

	if (giving)
		return;
	foreach(lc, ls_model_rows(NULL))
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

/* ls_tables_lock_if_free locks all of them, unless somebody is in the way. */
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

/* depends tells whether dropping one table is refused, or another goes with it. */
static bool
depends(const ObjectAddress *object, const ObjectAddress *on)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object->classId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object->objectId));
	scan = systable_beginscan(rel, DependDependerIndexId, true, NULL, 2, keys);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		found = form->refclassid == on->classId && form->refobjid == on->objectId &&
			form->refobjsubid == 0 && form->objsubid == 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * ls_tables_depend has the score table depend on the contact table, where it does
 * not yet: a dump knows nothing of that.  DROP TABLE is refused then, as for any table
 * that something depends on; with CASCADE the score table goes, and the model.
 */
void
ls_tables_depend(const LsModelRow *row)
{
	ObjectAddress scores;
	ObjectAddress contacts;
	Oid			table = ls_score_table(row->model, true);

	if (row->sheet || !OidIsValid(table) ||
		!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(row->contacts)))
		return;
	ObjectAddressSet(scores, RelationRelationId, table);
	ObjectAddressSet(contacts, RelationRelationId, row->contacts);
	if (!depends(&scores, &contacts))
		recordDependencyOn(&scores, &contacts, DEPENDENCY_NORMAL);
}

/*
 * ls_tables_drop drops all of them.  They are locked as those who use them do:
 * views, the score table, the other tables.
 */
void
ls_tables_drop(const char *model)
{
	Oid			score_table = ls_score_table(model, true);

	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		if (strcmp(parts[i].kind, "TABLE") == 0 && OidIsValid(score_table))
			LockRelationOid(score_table, AccessExclusiveLock);
		drop_part(parts[i].kind, parts[i].prefix, model);
	}
}
