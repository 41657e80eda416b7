/*-------------------------------------------------------------------------
 *
 * score_as_of.c
 *		Scores under the rules of an earlier instant.
 *
 * The model is compiled from the versions that were in force then, and replay.c replays
 * the events that the snapshot of the calling statement sees: whether and how rules are
 * backfilled now does not matter.  Matches of profile rules at that instant are in
 * profile_<model>.
 *
 * A model of the past is not in the cache of model_compile.c.  The last one is reused
 * while the same statement asks for it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "api/arguments.h"
#include "api/score.h"
#include "base/compat.h"
#include "base/statement.h"
#include "counting/replay.h"
#include "definitions/lead_tables.h"
#include "rules/disclosure.h"
#include "rules/model_compile.h"
#include "tables/profile_table.h"
#include "tables/rule_error.h"

PG_FUNCTION_INFO_V1(ls_score_as_of);
PG_FUNCTION_INFO_V1(ls_explain_as_of);

/* A model as its definition was, and the snapshot with which that was read */
typedef struct Past
{
	MemoryContext context;		/* NULL: none */
	char	   *name;
	TimestampTz as_of;
	LsModel    *model;
	List	   *versions;		/* of its rules; of LsRuleVersion */
	char	  **signatures;		/* of the versions; NULL: no profile rule */
	LsStatement statement;
} Past;

static Past kept;

/* ---------- the rules of an earlier instant ---------- */

static bool
in_force(TimestampTz from, TimestampTz to, TimestampTz at)
{
	return from <= at && at < to;
}

/* version_at finds the version of the model's definition, rules excepted. */
static LsModelVersion *
version_at(const char *name, TimestampTz as_of, Snapshot snapshot)
{
	List	   *versions = ls_lead_model_versions(name, snapshot);
	TimestampTz first = DT_NOEND;
	ListCell   *lc;

	foreach(lc, versions)
	{
		LsModelVersion *version = lfirst(lc);

		if (in_force(version->from, version->to, as_of))
			return version;
		first = Min(first, version->from);
	}
	if (first == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the history of model \"%s\" is missing", name),
				 errhint("Restore leadscore.lead_model_history and leadscore.lead_rule_history with the model.")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model \"%s\" had no rules at %s", name, timestamptz_to_str(as_of)),
			 errdetail("Its rules are known from %s on.", timestamptz_to_str(first)),
			 errhint("Give rules_as_of an instant from then on.")));
	return NULL;				/* not reached */
}

static bool
has_version(List *versions, int64 rule_id)
{
	ListCell   *lc;

	foreach(lc, versions)
		if (((LsRuleVersion *) lfirst(lc))->rule.rule_id == rule_id)
			return true;
	return false;
}

/*
 * rules_of lists the rules that were in force.  A rule without history, which was
 * loaded with triggers disabled, counts as one that was always there.
 */
static List *
rules_of(Past *past, Snapshot snapshot)
{
	List	   *rules = NIL;
	ListCell   *lc;

	foreach(lc, past->versions)
	{
		LsRuleVersion *version = lfirst(lc);

		if (in_force(version->from, version->to, past->as_of))
			rules = lappend(rules, &version->rule);
	}
	foreach(lc, ls_lead_rules(past->name, snapshot))
	{
		LsRuleRow  *row = lfirst(lc);

		if (!has_version(past->versions, row->rule_id))
			rules = lappend(rules, row);
	}
	ls_lead_rules_as_backfilled(rules);
	return rules;
}

static void
forget(void)
{
	if (kept.context == NULL)
		return;
	if (kept.model)
		ls_model_release(kept.model);
	MemoryContextDelete(kept.context);
	memset(&kept, 0, sizeof(Past));
}

/* load compiles the model of the past in a memory context of its own. */
static void
load(Past *past, const char *name, TimestampTz as_of, Snapshot snapshot)
{
	MemoryContext old;
	LsModelDefinition definition = {0};

	past->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore past",
										  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(past->context);
	past->name = pstrdup(name);
	past->as_of = as_of;
	definition.limits = version_at(name, as_of, snapshot);
	past->versions = ls_lead_rule_versions(name, snapshot);
	definition.rules = rules_of(past, snapshot);
	past->model = ls_model_load_definition(name, snapshot, &definition);
	past->signatures = palloc0(sizeof(char *) * Max(1, list_length(past->versions)));
	for (int i = 0; i < list_length(past->versions); i++)
	{
		LsRuleRow  *row = &((LsRuleVersion *) list_nth(past->versions, i))->rule;

		if (strcmp(row->kind, "profile") == 0)
			past->signatures[i] = ls_model_rule_signature(row);
	}
	MemoryContextSwitchTo(old);
}

/* past_model gives the model of the past; it is valid for the statement. */
static Past *
past_model(const char *name, TimestampTz as_of)
{
	LsStatement statement = ls_statement_active();
	Past		past = {0};

	if (kept.context && kept.as_of == as_of && strcmp(kept.name, name) == 0 &&
		ls_statement_same(&kept.statement, &statement))
		return &kept;
	forget();
	load(&past, name, as_of, GetActiveSnapshot());
	past.statement = statement;
	MemoryContextSetParent(past.context, CacheMemoryContext);
	kept = past;
	return &kept;
}

/* check_rules warns of rules that can no longer be evaluated. */
static void
check_rules(const Past *past, int elevel)
{
	for (int i = 0; i < past->model->nrules; i++)
	{
		LsRule	   *rule = &past->model->rules[i];

		if (rule->broken && rule->enabled && !rule->draft)
			ereport(elevel,
					(errcode(rule->broken->sqlerrcode),
					 errmsg("rule \"%s\" of model \"%s\" cannot be evaluated as it was at %s: %s",
							rule->name, past->name, timestamptz_to_str(past->as_of),
							ls_disclosure_reason(ls_disclosure_may_see_rule(past->model, rule), rule->broken)),
					 errhint("What it reads has changed since.  Call leadscore.explain() to see the other rules.")));
	}
}

/* ---------- matches of profile rules ---------- */

/* What is known of a profile rule: whether it was in force, and how it was backfilled */
typedef struct Known
{
	bool		there;			/* at the instant asked for */
	int64		first;			/* of its versions; 0: none */
	int			n;
	int64	   *versions;
} Known;

/*
 * know_rule collects the versions under which a rule was backfilled with the definition
 * that it has in the model of the past.
 */
static Known
know_rule(const Past *past, const LsRule *rule, TimestampTz at)
{
	Known		known = {0};
	const char *signature = NULL;
	int			n = list_length(past->versions);

	for (int i = 0; i < n && signature == NULL; i++)
	{
		LsRuleVersion *v = list_nth(past->versions, i);

		if (v->rule.rule_id == rule->rule_id && in_force(v->from, v->to, past->as_of))
			signature = past->signatures[i];
	}
	for (int i = 0; i < n && signature; i++)
	{
		LsRuleVersion *v = list_nth(past->versions, i);

		if (v->rule.rule_id != rule->rule_id || past->signatures[i] == NULL ||
			strcmp(past->signatures[i], signature) != 0)
			continue;
		known.there = known.there || in_force(v->from, v->to, at);
		known.versions = known.versions ?
			repalloc(known.versions, sizeof(int64) * (known.n + v->nversions + 1)) :
			palloc(sizeof(int64) * (v->nversions + 1));
		for (int j = 0; j < v->nversions; j++)
		{
			known.versions[known.n++] = v->versions[j];
			if (known.first == 0 || v->versions[j] < known.first)
				known.first = v->versions[j];
		}
	}
	return known;
}

/*
 * holds_in tells whether a row has a match of a rule, with its weight; version: only
 * under that one.
 */
static bool
holds_in(const LsProfileRow *row, const Known *known, int64 version, double *weight)
{
	for (int i = 0; i < row->profile.n; i++)
	{
		bool		is_it = row->profile.versions[i] == version;

		for (int j = 0; j < known->n && version == 0 && !is_it; j++)
			is_it = row->profile.versions[i] == known->versions[j];
		if (is_it)
		{
			*weight = row->profile.weights[i];
			return true;
		}
	}
	return false;
}

/*
 * held tells whether a rule matched at an instant, next being the first row after it.
 * Where the rule was in force but not backfilled yet, the match found by the backfill
 * counts, unless the contact changed in between.
 */
static bool
held(List *rows, int next, const Known *known, double *weight)
{
	if (next > 0 && holds_in(list_nth(rows, next - 1), known, 0, weight))
		return true;
	for (int i = next; i < list_length(rows); i++)
	{
		LsProfileRow *row = list_nth(rows, i);

		if (!row->backfilled)
			return false;
		if (known->first != 0 && holds_in(row, known, known->first, weight))
			return true;
	}
	return false;
}

/*
 * recall replaces the present matches of profile rules by those of an instant.  A rule
 * that was not in force then keeps its present match.
 */
static void
recall(const Past *past, LsReplay *replay, Datum contact, TimestampTz at)
{
	List	   *rows = ls_profile_rows(past->model, contact);
	LsProfileRow *row;
	int			next = 0;

	if (rows == NIL)
		return;					/* the contact never changed */
	while (next < list_length(rows) &&
		   ((LsProfileRow *) list_nth(rows, next))->since <= at)
		next++;
	row = list_nth(rows, Max(0, next - 1));
	if (next > 0 || row->backfilled)
		ls_replay_recall(replay, row->profile.has_contact, row->profile.created_at);
	else
		ls_replay_recall(replay, false, DT_NOBEGIN);
	for (int i = 0; i < past->model->nrules; i++)
	{
		LsRule	   *rule = &past->model->rules[i];
		Known		known;
		double		weight = 0;

		if (rule->kind != LS_PROFILE || rule->skip)
			continue;
		known = know_rule(past, rule, at);
		if (known.there && held(rows, next, &known, &weight))
			ls_replay_hold(replay, i, true, weight);
		else if (known.there)
			ls_replay_hold(replay, i, false, 0);
	}
}

/* ---------- the functions ---------- */

/* ask reads the arguments and replays the contact.  NULL where there is no answer. */
static LsReplay *
ask(FunctionCallInfo fcinfo, int elevel, Past **past, TimestampTz *at)
{
	LsModel    *now;
	LsReplay   *replay;
	Datum		contact;
	TimestampTz as_of = PG_GETARG_TIMESTAMPTZ(3);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return NULL;
	now = ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	contact = ls_argument_contact(fcinfo, now);
	*at = ls_argument_instant(fcinfo, 2);
	if (TIMESTAMP_NOT_FINITE(as_of))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rules_as_of must be a finite instant"),
				 errhint("NULL means the rules of now.")));
	*past = past_model(now->name, as_of);
	check_rules(*past, elevel);
	replay = ls_replay_make((*past)->model);
	(void) ls_replay_contact(replay, contact);
	recall(*past, replay, contact, *at);
	ls_replay_tell(replay, contact, *at, true);
	ls_rule_error_report((*past)->model);
	return ls_replay_known(replay) ? replay : NULL;
}

/* ls_score_as_of is leadscore.score() with rules_as_of. */
Datum
ls_score_as_of(PG_FUNCTION_ARGS)
{
	LsReplay   *replay;
	Past	   *past;
	TimestampTz at;
	double		size;

	if (PG_ARGISNULL(3))
		return ls_score(fcinfo);
	replay = ask(fcinfo, ERROR, &past, &at);
	if (replay == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ls_replay_score(replay, at, &size));
}

/* ls_explain_as_of is leadscore.explain() with rules_as_of. */
Datum
ls_explain_as_of(PG_FUNCTION_ARGS)
{
	LsReplay   *replay;
	Past	   *past;
	TimestampTz at;

	if (PG_ARGISNULL(3))
		return ls_explain(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	replay = ask(fcinfo, WARNING, &past, &at);
	if (replay)
		ls_score_explain_rules((ReturnSetInfo *) fcinfo->resultinfo, past->model,
							   ls_replay_rules(replay, at));
	PG_RETURN_NULL();
}
