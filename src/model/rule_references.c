/*-------------------------------------------------------------------------
 *
 * rule_references.c
 *		Rules that name other rules of their model.
 *
 * The columns with names of rules are listed in reference_columns.  A statement may write
 * rules in any order, so names are looked up when it ends: a name that is missing then was
 * never there, or the statement has deleted or renamed the rule.
 *
 * A sequence that follows another counts what that counts, so it is backfilled with it.
 *
 *-------------------------------------------------------------------------
 */
#include "model/validate.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/leadscore.h"
#include "base/sql.h"
#include "base/suggest.h"
#include "base/transaction.h"
#include "counting/rule_versions.h"
#include "definitions/extension.h"

/* A column in which rules are named: one, or a list of them */
typedef struct ReferenceColumn
{
	const char *name;
	bool		list;
	size_t		offset;			/* in LsRuleRow */
} ReferenceColumn;

static const ReferenceColumn reference_columns[] = {
	{"follows", false, offsetof(LsRuleRow, follows)},
	{"members", true, offsetof(LsRuleRow, members)},
	{"unless", true, offsetof(LsRuleRow, unless)},
};

/* A name that a statement has taken from a rule */
typedef struct Gone
{
	SubTransactionId subid;
	char	   *model;
	char	   *name;
} Gone;

static LsTransactionList gone;	/* of Gone */

/* ---------- names that go ---------- */

/* ls_rule_references_note notes the name of a rule that is deleted or renamed. */
void
ls_rule_references_note(const LsDefinition *change)
{
	LsRuleRow	old;
	LsRuleRow	new = {0};
	MemoryContext context;
	Gone	   *member;

	if (change->old == NULL)
		return;
	ls_lead_read_rule(change->old, change->desc, &old);
	if (change->new)
		ls_lead_read_rule(change->new, change->desc, &new);
	if (old.model == NULL || old.name == NULL || ls_same_text(old.name, new.name))
		return;
	context = MemoryContextSwitchTo(TopTransactionContext);
	member = palloc(sizeof(Gone));
	member->subid = GetCurrentSubTransactionId();
	member->model = pstrdup(old.model);
	member->name = pstrdup(old.name);
	ls_transaction_list_add(&gone, member);
	MemoryContextSwitchTo(context);
}

/* is_gone tells whether the statement has taken a name from a rule. */
static bool
is_gone(const char *model, const char *name)
{
	ListCell   *lc;

	foreach(lc, gone.members)
	{
		const Gone *member = lfirst(lc);

		if (strcmp(member->model, model) == 0 && strcmp(member->name, name) == 0)
			return true;
	}
	return false;
}

/* forget_gone forgets the names of a model at the end of a statement. */
static void
forget_gone(const char *model)
{
	ListCell   *lc;

	foreach(lc, gone.members)
		if (strcmp(((Gone *) lfirst(lc))->model, model) == 0)
			gone.members = foreach_delete_current(gone.members, lc);
}

/* ---------- names that are there ---------- */

/* names_in gives the names that a rule has in a column. */
static List *
names_in(const LsRuleRow *rule, const ReferenceColumn *column)
{
	const char *at = (const char *) rule + column->offset;
	char	   *name;

	if (column->list)
		return *(List *const *) at;
	name = *(char *const *) at;
	return name ? list_make1(name) : NIL;
}

static LsRuleRow *
find(List *rules, const char *name)
{
	ListCell   *lc;

	foreach(lc, rules)
		if (strcmp(((LsRuleRow *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

/* refuse_missing raises the error that a rule that is named does not exist. */
static void
refuse_missing(List *rules, const LsRuleRow *rule, const ReferenceColumn *column, const char *name)
{
	List	   *names = NIL;
	const char *nearest;
	ListCell   *lc;

	if (is_gone(rule->model, name))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("rule \"%s\" of model \"%s\" cannot be deleted or renamed", name, rule->model),
				 errdetail("It is named in column \"%s\" of rule \"%s\".", column->name, rule->name),
				 errhint("Change or delete rule \"%s\" first.", rule->name)));
	foreach(lc, rules)
	{
		const LsRuleRow *other = lfirst(lc);

		if (other->rule_id != rule->rule_id && (column->list || strcmp(other->kind, "sequence") == 0))
			names = lappend(names, other->name);
	}
	nearest = ls_suggest_word(name, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("rule \"%s\" in column \"%s\" of rule \"%s\" of model \"%s\" does not exist",
					name, column->name, rule->name, rule->model),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) :
			 column->list ? errhint("Name rules of the same model.") :
			 errhint("Name a rule of kind sequence of the same model.")));
}

/* check_circle refuses a rule that leads to itself by way of the rules that it names. */
static void
check_circle(List *rules, const LsRuleRow *rule, const LsRuleRow *first, List *path)
{
	path = lappend(list_copy(path), rule->name);
	for (int i = 0; i < (int) lengthof(reference_columns); i++)
	{
		ListCell   *lc;

		foreach(lc, names_in(rule, &reference_columns[i]))
		{
			const LsRuleRow *next = lfirst(lc) ? find(rules, lfirst(lc)) : NULL;
			ListCell   *pc;

			if (next == first)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
						 errmsg("rule \"%s\" of model \"%s\" leads back to itself", first->name, first->model),
						 errdetail("These rules name one another: %s.", ls_validate_word_list(path))));
			foreach(pc, path)
				if (next && strcmp(lfirst(pc), next->name) == 0)
					break;
			/* a circle without the first rule is found when its own are looked at */
			if (next && pc == NULL)
				check_circle(rules, next, first, path);
		}
	}
}

/* check_names checks that the rules that a rule names exist. */
static void
check_names(List *rules, const LsRuleRow *rule)
{
	for (int i = 0; i < (int) lengthof(reference_columns); i++)
	{
		ListCell   *lc;

		foreach(lc, names_in(rule, &reference_columns[i]))
			if (lfirst(lc) && find(rules, lfirst(lc)) == NULL)
				refuse_missing(rules, rule, &reference_columns[i], lfirst(lc));
	}
}

/* ---------- sequences that follow sequences ---------- */

/* first_of gives the sequence whose rows a sequence comes from in the end. */
static const LsRuleRow *
first_of(List *rules, const LsRuleRow *rule)
{
	while (rule->follows)
		rule = find(rules, rule->follows);
	return rule;
}

/* compile_value compiles a text of a value over the table of a source; NULL: there is none. */
static LsExpr *
compile_value(const LsModelRow *model, const LsRuleRow *rule, int text)
{
	LsSourceRow *source = ls_lead_source(ls_lead_sources(rule->model, NULL),
										 ls_current_names_text_source(rule, text));
	LsExprSpec	spec = {.use = LS_EXPR_VALUE, .role = model->owner};

	spec.text = ls_current_names_meant(rule, text);
	if (spec.text == NULL || source == NULL)
		return NULL;
	spec.where = psprintf("%s of rule \"%s\" of model \"%s\"", ls_current_names_texts[text].column,
						  rule->name, rule->model);
	return ls_validate_expression(&spec, source->relation);
}

/* check_values checks that what is compared with per of the first sequence is there, and of its type. */
static void
check_values(const LsRuleRow *rule, const LsRuleRow *first)
{
	const LsModelRow *model = ls_lead_model(rule->model, NULL);
	const char *where = psprintf("rule \"%s\" of model \"%s\"", rule->name, rule->model);
	LsExpr	   *exprs[LS_RULE_NTEXTS] = {NULL};
	ErrorData  *error;

	if (first->per == NULL && rule->followed_per == NULL && rule->cancelled_per == NULL)
		return;
	if (first->per == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" is not allowed in %s",
						rule->followed_per ? "followed_per" : "cancelled_per", where),
				 errdetail("It is compared with per of rule \"%s\", which is not set.", first->name),
				 errhint("Leave it NULL.")));
	if (rule->followed_per == NULL || (ls_lead_rule_cancels(rule) && rule->cancelled_per == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s needs %s", where, rule->followed_per ? "cancelled_per" : "followed_per"),
				 errdetail("It is compared with per of rule \"%s\", which it follows.", first->name),
				 errhint("Set it to an expression over the row that %s.",
						 rule->followed_per ? "cancels" : "follows")));
	exprs[LS_TEXT_PER] = compile_value(model, first, LS_TEXT_PER);
	exprs[LS_TEXT_FOLLOWED_PER] = compile_value(model, rule, LS_TEXT_FOLLOWED_PER);
	exprs[LS_TEXT_CANCELLED_PER] = compile_value(model, rule, LS_TEXT_CANCELLED_PER);
	error = ls_rule_types_error(exprs, where);
	if (error)
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("%s", error->message),
				 errhint("%s", error->hint)));
}

/* fill_sources writes out the sources that a sequence has from the one that it follows. */
static void
fill_sources(LsRuleRow *rule, const char *source)
{
	static const char *const tables[][2] = {{"lead_rule", ""}, {"lead_rule_history", " AND valid_to IS NULL"}};
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(rule->rule_id));
	ls_sql_add_text(&args, source);
	ls_sql_add(&args, BOOLOID, BoolGetDatum(ls_lead_rule_cancels(rule)));
	for (int i = 0; i < (int) lengthof(tables); i++)
		ls_extension_execute(psprintf("UPDATE leadscore_internal.%s"
									  " SET followed_source = COALESCE(followed_source, $2),"
									  " cancelled_source = CASE WHEN $3 THEN COALESCE(cancelled_source, $2) END"
									  " WHERE rule_id = $1%s", tables[i][0], tables[i][1]), &args);
	rule->followed_source = rule->followed_source ? rule->followed_source : pstrdup(source);
	if (ls_lead_rule_cancels(rule) && rule->cancelled_source == NULL)
		rule->cancelled_source = pstrdup(source);
}

/* follow checks a sequence that follows another, after the other. */
static void
follow(List *rules, LsRuleRow *rule)
{
	LsRuleRow  *other = find(rules, rule->follows);
	const LsRuleRow *first;

	if (strcmp(other->kind, "sequence") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rule \"%s\" of model \"%s\" cannot follow rule \"%s\"", rule->name, rule->model, other->name),
				 errdetail("Its kind is %s.", other->kind),
				 errhint("A sequence can follow another sequence.")));
	if (other->follows)
		follow(rules, other);
	first = first_of(rules, rule);
	if (rule->followed_source == NULL || (ls_lead_rule_cancels(rule) && rule->cancelled_source == NULL))
		fill_sources(rule, ls_current_names_row_source(other, LS_ROW_FOLLOWER));
	if (other->backfilled_version_null)
		rule->backfilled_version_null = true;
	if (rule->backfilled_version_null)
		check_values(rule, first);
}

/*
 * ls_rule_references_check checks what rules of a model say of one another, when a
 * statement that has changed rules ends.
 */
void
ls_rule_references_check(const char *model)
{
	List	   *rules = ls_lead_rules(model, NULL);
	bool		any = false;
	ListCell   *lc;

	foreach(lc, rules)
		check_names(rules, lfirst(lc));
	foreach(lc, rules)
		check_circle(rules, lfirst(lc), lfirst(lc), NIL);
	foreach(lc, rules)
	{
		LsRuleRow  *rule = lfirst(lc);

		if (rule->follows == NULL)
			continue;
		follow(rules, rule);
		any = true;
	}
	if (any)
	{
		CommandCounterIncrement();
		(void) ls_rule_versions_follow(model);
	}
	forget_gone(model);
}
