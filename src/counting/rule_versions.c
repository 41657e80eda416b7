/*-------------------------------------------------------------------------
 *
 * rule_versions.c
 *		Which rules are backfilled, and under which versions.
 *
 * A rule whose backfilled_version is null waits to be backfilled; 0 says that it cannot
 * be compiled.  Else it is the version under which states have its slots.  While a job
 * is backfilling the rule, backfilling_version is that version, and the rule
 * contributes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/rule_versions.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/syscache.h"

#include "base/relation.h"
#include "base/sql.h"
#include "definitions/current_names.h"
#include "definitions/extension.h"
#include "definitions/model_change.h"
#include "rules/disclosure.h"
#include "tables/purged_table.h"

static void
set_backfilled_version(int64 rule_id, int64 version)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(rule_id));
	ls_sql_add(&args, INT8OID, Int64GetDatum(version));
	ls_extension_execute("UPDATE leadscore_internal.lead_rule SET backfilled_version = $2, backfilling_version = NULL"
						 " WHERE rule_id = $1", &args);
}

static LsRule *
rule_by_id(LsModel *model, int64 rule_id)
{
	for (int i = 0; i < model->nrules; i++)
		if (model->rules[i].rule_id == rule_id)
			return &model->rules[i];
	return NULL;
}

/* can_be_backfilled tells whether a rule can be backfilled, and warns if not. */
static bool
can_be_backfilled(LsModel *model, const LsRuleRow *row)
{
	LsRule	   *rule = rule_by_id(model, row->rule_id);

	if (rule && !rule->broken)
		return true;
	if (row->backfilled_version_null && rule && rule->enabled &&
		rule->source >= 0 && rule->broken)
		ereport(WARNING,
				(errcode(rule->broken->sqlerrcode),
				 errmsg("rule \"%s\" of model \"%s\" is now disabled: %s", rule->name, model->name,
						ls_disclosure_reason(ls_disclosure_may_see_rule(model, rule), rule->broken)),
				 errhint("Correct that, and then call leadscore.rescore('%s').", model->name)));
	return false;
}

/*
 * waits tells whether a rule waits to be backfilled; again: includes those that could
 * not be.
 */
static bool
waits(const LsRuleRow *row, bool again)
{
	return row->backfilled_version_null || (again && row->backfilled_version == 0);
}

/* is_of_visitors tells whether a model has the rules of another. */
static bool
is_of_visitors(const char *name)
{
	return strcmp(ls_lead_defining_model(name, NULL), name) != 0;
}

/*
 * ls_rule_versions_follow has sequences that follow others backfilled with these, and
 * disabled with these.  True if any of them waits now.
 */
bool
ls_rule_versions_follow(const char *name)
{
	static const char *const with[][2] = {
		{"0", "o.backfilled_version = 0 AND r.backfilled_version IS DISTINCT FROM 0"},
		{"NULL", "o.backfilled_version IS NULL AND o.backfilling_version IS NULL"
		" AND r.backfilled_version IS NOT NULL"},
		{"NULL", "o.backfilled_version IS NULL AND o.backfilling_version IS NULL"
		" AND r.backfilling_version IS NOT NULL"}
	};
	bool		waits = false;

	for (int i = 0; i < (int) lengthof(with); i++)
	{
		uint64		n;

		do
		{
			LsSqlArguments args = {0};

			ls_sql_add_text(&args, name);
			n = ls_extension_execute(psprintf("UPDATE leadscore_internal.lead_rule r"
											  " SET backfilled_version = %s, backfilling_version = NULL"
											  " FROM leadscore_internal.lead_rule o WHERE r.model = $1"
											  " AND o.model = $1 AND o.name = r.follows AND %s",
											  with[i][0], with[i][1]), &args);
			waits = waits || (n > 0 && i > 0);
			CommandCounterIncrement();
		} while (n > 0);
	}
	return waits;
}

/*
 * ls_rule_versions_publish gives the rules that wait to be backfilled the version under
 * which writers match them from now on; they contribute nothing until a job has
 * backfilled the earlier events.  again: includes rules that could not be.  Rules of
 * visitors are those of their model, and get their versions there.
 */
void
ls_rule_versions_publish(const char *name, bool again)
{
	Oid			sequence = ls_extension_base_table("version_seq", false);
	LsModel    *model;
	ListCell   *lc;

	if (is_of_visitors(name))
		return;
	(void) ls_rule_versions_follow(name);
	model = ls_model_load(name, NULL);
	foreach(lc, ls_lead_rules(name, NULL))
	{
		LsRuleRow  *row = lfirst(lc);
		LsSqlArguments args = {0};
		bool		can;

		if (row->backfilling_version != 0 || !waits(row, again))
			continue;
		can = can_be_backfilled(model, row);
		if (!can && !row->backfilled_version_null)
			continue;
		if (can)
			ls_purged_report_rule(model, rule_by_id(model, row->rule_id));
		ls_sql_add(&args, INT8OID, Int64GetDatum(row->rule_id));
		ls_sql_add(&args, INT8OID, Int64GetDatum(can ? nextval_internal(sequence, false) : 0));
		ls_extension_execute(can ?
							 "UPDATE leadscore_internal.lead_rule SET backfilling_version = $2, backfilled_version = NULL"
							 " WHERE rule_id = $1" :
							 "UPDATE leadscore_internal.lead_rule SET backfilled_version = $2"
							 " WHERE rule_id = $1", &args);
	}
	ls_model_release(model);
}

/* reads tells whether a rule reads a source; alone: and no other. */
static bool
reads(const LsRuleRow *rule, const char *source, bool alone)
{
	bool		any = false;

	if (strcmp(rule->kind, "profile") == 0 || strcmp(rule->kind, "combo") == 0)
		return false;
	if (strcmp(rule->kind, "absence") == 0 && rule->source == NULL)
		return !alone;
	for (int i = 0; i < LS_NROWS; i++)
	{
		const char *name = ls_current_names_row_source(rule, i);

		if (name && strcmp(name, source) == 0)
			any = true;
		else if (name && alone)
			return false;
	}
	return any;
}

/*
 * ls_rule_versions_size estimates how many rows have to be read to backfill the rules
 * that wait for it, or everything if all is set.
 */
double
ls_rule_versions_size(const char *name, bool all)
{
	LsModelRow *model = ls_lead_model(name, NULL);
	List	   *relations = NIL;
	double		rows = 0;
	ListCell   *lc;

	foreach(lc, ls_lead_sources(name, NULL))
	{
		LsSourceRow *source = lfirst(lc);
		bool		wanted = all;
		ListCell   *rc;

		foreach(rc, ls_lead_rules(name, NULL))
		{
			LsRuleRow  *rule = lfirst(rc);

			if (rule->backfilled_version_null && reads(rule, source->source, false))
				wanted = true;
		}
		if (wanted)
			relations = list_append_unique_oid(relations, source->relation);
	}
	if (model)
		relations = list_append_unique_oid(relations, model->contacts);
	foreach(lc, relations)
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			rows += ls_relation_estimate_rows(lfirst_oid(lc));
	return rows;
}

/*
 * ls_rule_versions_assign gives the rules that wait to be backfilled a version, or 0 if
 * they cannot be backfilled: those that read a source alone, if one is given.  again:
 * includes rules that could not be.  Returns the versions.
 */
List *
ls_rule_versions_assign(const char *name, const char *source, bool again)
{
	Oid			sequence = ls_extension_base_table("version_seq", false);
	LsModel    *model = NULL;
	List	   *given = NIL;
	ListCell   *lc;

	if (is_of_visitors(name))
		return NIL;
	(void) ls_rule_versions_follow(name);
	foreach(lc, ls_lead_rules(name, NULL))
	{
		LsRuleRow  *row = lfirst(lc);
		int64	   *version;

		if (!waits(row, again))
			continue;
		if (source && !reads(row, source, true))
			continue;
		if (model == NULL)
			model = ls_model_load(name, NULL);
		if (!can_be_backfilled(model, row))
		{
			if (row->backfilled_version_null)
				set_backfilled_version(row->rule_id, 0);
			continue;
		}
		ls_purged_report_rule(model, rule_by_id(model, row->rule_id));
		version = palloc(sizeof(int64));
		*version = nextval_internal(sequence, false);
		set_backfilled_version(row->rule_id, *version);
		given = lappend(given, version);
	}
	if (model)
		ls_model_release(model);
	if (given != NIL)
		ls_model_change_record(name);
	return given;
}
