/*-------------------------------------------------------------------------
 *
 * validate_action.c
 *		What is refused when a DBA writes actions.
 *
 * An action that waits for a stage or rule that does not exist, or calls a function
 * that cannot be called, would never do anything: it is refused when it is written.
 * What breaks later is not refused: such an action is not taken, or its rows become
 * dead letters.
 *
 *-------------------------------------------------------------------------
 */
#include "model/validate.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "base/reachable_code.h"
#include "base/suggest.h"
#include "definitions/extension.h"


/* the longest name of an action, in bytes */
#define MAX_NAME	1000

/* An action under examination */
typedef struct Check
{
	LsActionRow row;
	LsActionRow old;			/* all NULL for an INSERT */
	LsModelRow *model;
	const char *where;			/* action "x" of model "y" */
} Check;

static const char *const occasions[] = {"stage_entered", "stage_left",
"score_rises", "score_falls", "rule_in_force", NULL};
static const char *const causes[] = {"event", "time", "rule", "profile", "manual",
"merge", "backfill", NULL};
static const char *const deliveries[] = {"outbox", "notify", "function", NULL};

static List *
list_of(const char *const *words)
{
	List	   *list = NIL;

	for (; *words; words++)
		list = lappend(list, (void *) *words);
	return list;
}

/* check_name refuses a word that is not in a list, and names the nearest. */
static void
check_name(const char *what, const char *word, List *words, const char *where)
{
	const char *nearest;
	ListCell   *lc;

	foreach(lc, words)
		if (ls_same_text(lfirst(lc), word))
			return;
	nearest = ls_suggest_word(word, words);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s \"%s\" of %s does not exist", what, word, where),
			 words == NIL ? 0 : errdetail("There are %s.", ls_validate_word_list(words)),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) : 0));
}

/* needs checks that a column is given. */
static void
needs(const Check *check, const char *column, bool given, const char *because,
	  const char *value)
{
	if (!given)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s of %s must be given", column, check->where),
				 because ? errdetail("Its %s is \"%s\".", because, value) : 0));
}

/* refuse checks that a column without meaning here is not given. */
static void
refuse(const Check *check, const char *column, bool given, const char *because,
	   const char *value)
{
	if (given)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" is not allowed in an action of %s %s",
						column, because, value),
				 errhint("Leave %s NULL in %s.", column, check->where)));
}

/*
 * check_length refuses a name that would be too long for the keys of lead_outbox, where
 * it would be an error of the sessions that write events.
 */
static void
check_length(const Check *check)
{
	if (strlen(check->row.name) > MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of an action of model \"%s\" must have at most %d bytes",
						check->row.model, MAX_NAME),
				 errdetail("This one has %zu.", strlen(check->row.name))));
}

/* check_occasion checks the event that the action waits for. */
static void
check_occasion(const Check *check)
{
	const LsActionRow *row = &check->row;
	bool		stage,
				score,
				rule;
	List	   *names = NIL;
	ListCell   *lc;

	needs(check, "occasion", row->occasion != NULL, NULL, NULL);
	check_name("occasion", row->occasion, list_of(occasions), check->where);
	stage = strncmp(row->occasion, "stage_", 6) == 0;
	score = strncmp(row->occasion, "score_", 6) == 0;
	rule = !stage && !score;
	if (!stage)
		refuse(check, "stage", row->stage != NULL, "occasion", row->occasion);
	if (!score)
		refuse(check, "score_level", !row->score_level_null, "occasion", row->occasion);
	if (!rule)
		refuse(check, "rule", row->rule != NULL, "occasion", row->occasion);
	if (score)
	{
		needs(check, "score_level", !row->score_level_null, "occasion", row->occasion);
		ls_validate_finite("score_level", row->score_level, check->where);
	}
	if (stage && row->stage && !ls_same_text(row->stage, check->old.stage))
	{
		foreach(lc, ls_lead_stages(row->model, NULL))
			names = lappend(names, ((LsStageRow *) lfirst(lc))->stage);
		names = lappend(names, "disqualified");
		check_name("stage", row->stage, names, check->where);
	}
	if (rule)
		needs(check, "rule", row->rule != NULL, "occasion", row->occasion);
	if (rule && !ls_same_text(row->rule, check->old.rule))
	{
		foreach(lc, ls_lead_rules(row->model, NULL))
			names = lappend(names, ((LsRuleRow *) lfirst(lc))->name);
		check_name("rule", row->rule, names, check->where);
	}
}

/* check_causes checks the causes that it waits for. */
static void
check_causes(const Check *check)
{
	ListCell   *lc;

	if (check->row.causes == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s needs at least one cause", check->where),
				 errdetail("There are %s.", ls_validate_word_list(list_of(causes))),
				 errhint("Set enabled to false where nobody is to be told.")));
	foreach(lc, check->row.causes)
	{
		if (lfirst(lc) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a cause of %s must not be NULL", check->where)));
		check_name("cause", lfirst(lc), list_of(causes), check->where);
	}
}

/* callable_functions names the functions that take one jsonb. */
static List *
callable_functions(void)
{
	static const char sql[] =
		"SELECT quote_ident(nspname) || '.' || quote_ident(proname)"
		" FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace"
		" WHERE prokind = 'f' AND pronargs = 1 AND proargtypes[0] = 'jsonb'::regtype"
		" AND nspname <> 'pg_catalog'";
	List	   *names = NIL;
	SPITupleTable *rows = ls_extension_query(sql, NULL);

	for (uint64 i = 0; i < rows->numvals; i++)
		names = lappend(names, ls_sql_text(rows, i, 1));
	return names;
}

/* refuse_function raises the error that a function cannot be found, with the nearest. */
static void
refuse_function(const Check *check, const char *schema, const char *name)
{
	const char *text = check->row.function;
	const char *nearest;

	if (name == NULL || strchr(text, '(') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("function \"%s\" of %s is not a name with its schema", text, check->where),
				 errhint("Write schema.name, without arguments.")));
	nearest = ls_suggest_word(quote_qualified_identifier(schema, name), callable_functions());
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("function %s(jsonb) of %s does not exist",
					quote_qualified_identifier(schema, name), check->where),
			 errdetail("It is called with the payload, as its one argument of type jsonb."),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) :
			 errhint("Make it with CREATE FUNCTION first.")));
}

/* check_function checks that the worker will be able to call a function. */
static void
check_function(const Check *check)
{
	Oid			owner = check->model->owner;
	char	   *schema;
	char	   *name;
	Oid			function = ls_sql_function(check->row.function, &schema, &name);
	bool		schema_denied;

	if (!OidIsValid(function))
		refuse_function(check, schema, name);
	schema_denied = ls_schema_aclcheck(get_func_namespace(function), owner) != ACLCHECK_OK;
	if (schema_denied || ls_function_aclcheck(function, owner) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s of %s cannot be called by the model's owner",
						quote_qualified_identifier(schema, name), check->where),
				 errhint("Grant %s to role \"%s\".",
						 schema_denied ? psprintf("USAGE on schema %s", quote_identifier(schema)) :
						 "EXECUTE on it",
						 GetUserNameFromId(owner, false))));
	ls_reach_check_call(function, owner);
}

/* check_delivery checks how the action is delivered. */
static void
check_delivery(const Check *check)
{
	const LsActionRow *row = &check->row;
	int64		usec;

	needs(check, "deliver", row->deliver != NULL, NULL, NULL);
	check_name("deliver", row->deliver, list_of(deliveries), check->where);
	if (!ls_same_text(row->deliver, "notify"))
		refuse(check, "channel", row->channel != NULL, "deliver", row->deliver);
	if (!ls_same_text(row->deliver, "function"))
		refuse(check, "function", row->function != NULL, "deliver", row->deliver);
	if (row->channel && (*row->channel == '\0' || strlen(row->channel) >= NAMEDATALEN))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("channel of %s must have between 1 and %d bytes", check->where,
						NAMEDATALEN - 1),
				 errhint("Leave it NULL for channel leadscore.")));
	if (ls_same_text(row->deliver, "function"))
		needs(check, "function", row->function != NULL, "deliver", row->deliver);
	if (row->function && !ls_same_text(row->function, check->old.function))
		check_function(check);
	needs(check, "timeout", row->timeout != NULL, NULL, NULL);
	if (!ls_lead_interval_usec(row->timeout, &usec))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timeout of %s is out of range", check->where)));
	if (usec <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout of %s must be greater than 0", check->where)));
	if (row->max_attempts < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_attempts of %s must be at least 1", check->where)));
}

/*
 * ls_validate_action refuses actions that could never be taken.  What broke since an
 * action was written must not keep its row from being changed.
 */
HeapTuple
ls_validate_action(const LsDefinition *change)
{
	LsCheckedRow row = {change->new, change->desc, NULL};
	Check		check = {0};

	if (change->new == NULL)
	{
		ls_validate_delete(change);
		return NULL;
	}
	ls_lead_read_action(row.tuple, row.desc, &check.row);
	if (change->old)
		ls_lead_read_action(change->old, row.desc, &check.old);
	check.model = ls_validate_owner(change, &row, "action", "name");
	check.where = row.where;
	if (change->old && check.old.action_id != check.row.action_id)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("action_id of %s cannot be changed", check.where)));
	check_length(&check);
	check_occasion(&check);
	check_causes(&check);
	check_delivery(&check);
	return row.tuple;
}
