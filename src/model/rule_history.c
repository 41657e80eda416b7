/*-------------------------------------------------------------------------
 *
 * rule_history.c
 *		Versions of rules and models, recorded when they change.
 *
 * A version is valid from the instant at which its transaction made its first
 * change of a definition.  Versions of one model never go back in time, even
 * where the clock does.
 *
 * A backfill makes no version: the current one records the versions of matches under
 * which the rule was backfilled, as profile_<model> refers to them.
 *
 *-------------------------------------------------------------------------
 */
#include "model/rule_history.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "base/clock.h"
#include "base/sql.h"
#include "base/transaction.h"
#include "definitions/extension.h"
#include "model/validate.h"
#include "rules/model_compile.h"

PG_FUNCTION_INFO_V1(ls_record_backfilled);

/* The role that changes a definition, and when */
typedef struct Author
{
	const char *model;
	char	   *name;
	TimestampTz at;
} Author;

/* ---------- when ---------- */

/* transaction_instant gives the same instant to all changes of a transaction. */
static TimestampTz
transaction_instant(void)
{
	static uint64 transaction = 0;
	static TimestampTz instant;

	if (transaction != ls_transaction_number())
	{
		transaction = ls_transaction_number();
		instant = ls_clock();
	}
	return instant;
}

/* begin determines which role changes a definition, and when. */
static void
begin(Author *author, const char *model)
{
	LsSqlArguments args = {0};

	author->model = model;
	author->name = GetUserNameFromId(GetUserId(), false);
	ls_sql_add_text(&args, model);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(transaction_instant()));
	author->at = DatumGetTimestampTz(ls_sql_value(
												  ls_extension_query("SELECT GREATEST($2,"
						   " (SELECT max(valid_from) FROM leadscore_internal.lead_rule_history WHERE model = $1),"
						   " (SELECT max(valid_from) FROM leadscore_internal.lead_model_history WHERE model = $1))",
																	 &args), 0, 1, NULL));
}

/* ---------- rules ---------- */

/* same_rule tells whether two rows differ in nothing but how they are backfilled. */
static bool
same_rule(HeapTuple a, HeapTuple b, TupleDesc desc)
{
	for (int i = 1; i <= LS_RULE_NCOLUMNS; i++)
	{
		if (TupleDescAttr(desc, i - 1)->attisdropped || i == LS_RULE_BACKFILLED_VERSION ||
			i == LS_RULE_BACKFILLING_VERSION)
			continue;
		if (ls_lead_row_differs(a, b, desc, i))
			return false;
	}
	return true;
}

/* matches_same tells whether two rows match the same events. */
static bool
matches_same(HeapTuple a, HeapTuple b, TupleDesc desc)
{
	LsRuleRow	x,
				y;

	ls_lead_read_rule(a, desc, &x);
	ls_lead_read_rule(b, desc, &y);
	return strcmp(ls_model_rule_signature(&x), ls_model_rule_signature(&y)) == 0;
}

/* column_list lists the columns of lead_rule, each after a prefix. */
static char *
column_list(TupleDesc desc, const char *prefix)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < LS_RULE_NCOLUMNS; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			appendStringInfo(&list, "%s%s%s", list.len > 0 ? ", " : "", prefix,
							 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)));
	return list.data;
}

/*
 * The versions that a rule was backfilled under are those in its history ($1 is the
 * rule) and those in its row.
 */
#define VERSIONS(known) \
	"(SELECT COALESCE(array_agg(DISTINCT v.version), '{}')" \
	" FROM (SELECT unnest(" known ") UNION ALL" \
	" SELECT r.backfilled_version UNION ALL SELECT r.backfilling_version) AS v (version)" \
	" WHERE v.version > 0)"

/* record_versions records how a rule is backfilled, where nothing else has changed. */
static void
record_versions(int64 rule_id)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(rule_id));
	ls_extension_execute("UPDATE leadscore_internal.lead_rule_history h"
						 " SET backfilled_version = r.backfilled_version,"
						 " backfilling_version = r.backfilling_version, versions = " VERSIONS("h.versions")
						 " FROM leadscore_internal.lead_rule r"
						 " WHERE h.rule_id = $1 AND h.valid_to IS NULL AND r.rule_id = $1", &args);
}

/* add_version adds a version of a rule; known is the rule before the change. */
static void
add_version(const Author *author, TupleDesc desc, int64 rule_id,
			const char *operation, bool known)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(rule_id));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(author->at));
	ls_sql_add_text(&args, author->name);
	ls_sql_add_text(&args, operation);
	ls_extension_execute(psprintf("INSERT INTO leadscore_internal.lead_rule_history"
								  " (%s, valid_from, changed_by, operation, versions)"
								  " SELECT %s, $2, $3, $4, %s FROM leadscore_internal.lead_rule r"
								  " WHERE r.rule_id = $1",
								  column_list(desc, ""), column_list(desc, "r."),
								  known ? VERSIONS("(SELECT h.versions FROM leadscore_internal.lead_rule_history h"
												   " WHERE h.rule_id = $1"
												   " ORDER BY h.history_id DESC LIMIT 1)") :
								  VERSIONS("'{}'::pg_catalog.int8[]")), &args);
}

/* end_version ends the current version of a rule; true if there was one. */
static bool
end_version(const Author *author, int64 rule_id)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(rule_id));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(author->at));
	return ls_extension_execute("UPDATE leadscore_internal.lead_rule_history SET valid_to = $2"
								" WHERE rule_id = $1 AND valid_to IS NULL",
								&args) > 0;
}

/* record_deleted records which role deleted a rule, whose last version has ended. */
static void
record_deleted(const Author *author, TupleDesc desc, int64 rule_id)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(rule_id));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(author->at));
	ls_sql_add_text(&args, author->name);
	ls_extension_execute(psprintf("INSERT INTO leadscore_internal.lead_rule_history"
								  " (%s, valid_from, valid_to, changed_by, operation, versions)"
								  " SELECT %s, $2, $2, $3, 'DELETE', h.versions"
								  " FROM leadscore_internal.lead_rule_history h WHERE h.rule_id = $1"
								  " ORDER BY h.history_id DESC LIMIT 1",
								  column_list(desc, ""), column_list(desc, "h.")), &args);
}

/* ls_rule_written records each version of a rule that a user writes. */
void
ls_rule_written(const LsDefinition *change)
{
	Author		author;
	LsRuleRow	row;

	ls_lead_read_rule(change->new ? change->new : change->old, change->desc, &row);
	if (!(change->old && change->new && same_rule(change->old, change->new, change->desc)))
	{
		begin(&author, row.model);
		(void) end_version(&author, row.rule_id);
		if (change->new == NULL)
			record_deleted(&author, change->desc, row.rule_id);
		else if (change->old)
			add_version(&author, change->desc, row.rule_id, "UPDATE",
						matches_same(change->old, change->new, change->desc));
		else
			add_version(&author, change->desc, row.rule_id, "INSERT", false);
	}
}

/*
 * ls_record_backfilled is leadscore_internal.record_backfilled(), a trigger after each
 * update of a row of the base table, where leadscore itself records how a rule is
 * backfilled.
 */
Datum
ls_record_backfilled(PG_FUNCTION_ARGS)
{
	TriggerData *td = ls_extension_trigger_data(fcinfo, TRIGGER_EVENT_AFTER | TRIGGER_EVENT_ROW,
												LS_FIRED_UPDATE, "lead_rule");
	TupleDesc	desc = RelationGetDescr(td->tg_relation);
	LsRuleRow	row;

	if (same_rule(td->tg_trigtuple, td->tg_newtuple, desc))
	{
		ls_lead_read_rule(td->tg_newtuple, desc, &row);
		record_versions(row.rule_id);
	}
	return PointerGetDatum(NULL);
}

/*
 * ls_rule_renamed records that names in a rule have changed, while it matches the same
 * events.
 */
void
ls_rule_renamed(const char *model, int64 rule_id)
{
	Relation	rel = table_open(ls_extension_base_table("lead_rule", false), AccessShareLock);
	Author		author;

	begin(&author, model);
	(void) end_version(&author, rule_id);
	add_version(&author, RelationGetDescr(rel), rule_id, "RENAME", true);
	table_close(rel, AccessShareLock);
}

/* ---------- the rest of a definition ---------- */

/* what decides a score of model $1 beside its rules, as of now */
#define MODEL_NOW \
	"(SELECT m.model, m.min_score, m.max_score, m.time_zone, c.names, c.weights," \
	" c.lowest, c.highest FROM leadscore_internal.lead_model m CROSS JOIN LATERAL" \
	" (SELECT array_agg(d.category::text ORDER BY d.position) AS names," \
	" array_agg(d.weight ORDER BY d.position) AS weights," \
	" array_agg(d.min_points ORDER BY d.position) AS lowest," \
	" array_agg(d.max_points ORDER BY d.position) AS highest" \
	" FROM leadscore_internal.lead_category d WHERE d.model = m.model) c" \
	" WHERE m.model = $1)"

/* ls_rule_history_record records the rest of a model's definition, if that has changed. */
void
ls_rule_history_record(const char *model)
{
	Author		author;
	LsSqlArguments args = {0};
	LsSqlArguments with_name;

	/* visitors have the definition of their model */
	if (strcmp(ls_lead_defining_model(model, NULL), model) != 0)
		return;
	begin(&author, model);
	ls_sql_add_text(&args, model);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(author.at));
	with_name = args;
	ls_sql_add_text(&with_name, author.name);
	ls_extension_execute("UPDATE leadscore_internal.lead_model_history h SET valid_to = $2"
						 " FROM " MODEL_NOW " s WHERE h.model = $1 AND h.valid_to IS NULL"
						 " AND (h.min_score, h.max_score, h.time_zone, h.categories, h.weights,"
						 " h.min_points, h.max_points) IS DISTINCT FROM"
						 " (s.min_score, s.max_score, s.time_zone, s.names, s.weights, s.lowest, s.highest)",
						 &args);
	ls_extension_execute("INSERT INTO leadscore_internal.lead_model_history (model, min_score, max_score, time_zone,"
						 " categories, weights, min_points, max_points, valid_from, changed_by)"
						 " SELECT s.*, $2, $3 FROM " MODEL_NOW " s"
						 " WHERE NOT EXISTS (SELECT FROM leadscore_internal.lead_model_history h"
						 " WHERE h.model = $1 AND h.valid_to IS NULL)",
						 &with_name);
}
