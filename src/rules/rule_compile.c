/*-------------------------------------------------------------------------
 *
 * rule_compile.c
 *		The expressions of rules, compiled when they are needed.
 *
 * A session that writes events compiles a rule when an event first reaches it: most
 * sessions meet a few of a model's rules.  That a rule can be run was found out when it
 * was written, and commands that change what it depends on are followed.  So it can
 * wait where nothing decides on it that no command is seen of: memberships and
 * attributes of roles, and with them whose code may run.  That is so for expressions
 * of PostgreSQL's own functions and types over a table all of which the model's owner
 * may read.  All others, and the rules of all other sessions, are compiled at once.
 *
 * A rule that turns out to be broken when an event reaches it is skipped, reported and
 * recorded as one that was found to be when the model was compiled.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include <ctype.h>

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "utils/acl.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/relation.h"
#include "definitions/contact_table.h"
#include "rules/expression_rename.h"

/* ls_rule_make_error makes an error that says why something is not run. */
ErrorData *
ls_rule_make_error(int code, const char *message)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));

	error->elevel = ERROR;
	error->sqlerrcode = code;
	error->message = pstrdup(message);
	return error;
}

/* ls_rule_need_columns adds the columns that an expression reads. */
void
ls_rule_need_columns(Bitmapset **columns, const LsExpr *expr)
{
	if (expr)
		*columns = bms_add_members(*columns, expr->columns);
}

/*
 * ls_rule_try_expression compiles an expression for a model, or gives NULL and the
 * error.
 */
LsExpr *
ls_rule_try_expression(LsModel *model, const LsExprSpec *spec, ErrorData **error)
{
	LsExpr	   *expr = ls_expr_try_compile(spec, model->context, error);

	if (expr)
		ls_reach_merge(&model->reach, &expr->reach);
	else
		ls_rule_failure_set_fault(model, *error);
	return expr;
}

/* ---------- what can wait ---------- */

/*
 * ls_rule_let_wait finds out whether rules over a source can wait at all, and the names
 * of columns whose types are not PostgreSQL's own.
 */
void
ls_rule_let_wait(const LsModel *model, LsSource *source, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	source->rules_wait = !ls_has_virtual_columns(desc) &&
		pg_class_aclcheck(source->relation, model->owner, ACL_SELECT) == ACLCHECK_OK &&
		!ls_contact_table_rows_hidden(source->relation, model->owner);
	for (int i = 0; source->rules_wait && i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->atttypid >= FirstNormalObjectId)
			source->own_columns = lappend(source->own_columns,
										  pstrdup(NameStr(TupleDescAttr(desc, i)->attname)));
}

/*
 * may_name_schema tells whether a text may have a name with a schema, without which
 * names mean PostgreSQL's own objects.  It need not understand comments and escapes,
 * which may hide where a literal ends.
 */
static bool
may_name_schema(const char *text)
{
	char		quote = '\0';

	for (; *text; text++)
	{
		if (strchr("\\$", *text) != NULL)
			return true;
		if (quote != '\0')
		{
			if (*text == quote)
				quote = '\0';
		}
		else if (*text == '\'' || *text == '"')
			quote = *text;
		else if ((*text == '.' && !isdigit((unsigned char) text[1])) ||
				 strncmp(text, "--", 2) == 0 || strncmp(text, "/*", 2) == 0)
			return true;
	}
	return false;
}

/* is_own tells whether an expression is made of what is PostgreSQL's own. */
static bool
is_own(const LsSource *source, const char *text)
{
	ListCell   *lc;

	if (text == NULL)
		return true;
	foreach(lc, source->own_columns)
		if (ls_expr_mentions(text, lfirst(lc)))
			return false;
	return !may_name_schema(text);
}

/* ls_rule_can_wait tells whether a rule can be compiled when an event reaches it. */
bool
ls_rule_can_wait(const LsSource *source, const LsRule *rule)
{
	return source && source->rules_wait && rule->kind != LS_PROFILE &&
		is_own(source, rule->condition_text) && is_own(source, rule->weight_text);
}

/* ---------- compiling ---------- */

/* compile gives an expression of a rule: a new one, or that of an earlier rule. */
static LsExpr *
compile(LsModel *model, const LsRule *rule, Relation rel, LsExprUse use, ErrorData **error)
{
	const char *text = use == LS_EXPR_CONDITION ? rule->condition_text : rule->weight_text;
	LsExprSpec	spec = {.use = use, .rel = rel, .text = text, .role = model->owner};
	LsExpr	   *expr;

	if (text == NULL || *error)
		return NULL;
	expr = ls_shared_parts_find(model, use, RelationGetRelid(rel), text);
	if (expr)
		return expr;
	spec.where = psprintf("%s of rule \"%s\" of model \"%s\"",
						  use == LS_EXPR_CONDITION ? "condition" : "weight",
						  rule->name, model->name);
	expr = ls_rule_try_expression(model, &spec, error);
	if (expr)
		ls_shared_parts_add(model, use, RelationGetRelid(rel), text, expr);
	return expr;
}

/*
 * ls_rule_compile compiles the expressions of a rule, which is skipped if they cannot
 * be.  Until all of that is done it remains uncompiled: an error that is not about the
 * expressions ends the statement.
 */
void
ls_rule_compile(LsModel *model, LsRule *rule)
{
	MemoryContext old = MemoryContextSwitchTo(model->context);
	LsSource   *source = rule->source >= 0 ? &model->sources[rule->source] : NULL;
	Bitmapset **columns = rule->kind == LS_PROFILE ? &model->contact_columns : &source->columns;
	ErrorData  *error = NULL;
	LsExpr	   *condition = NULL;
	LsExpr	   *weight = NULL;
	bool		locked;
	Relation	rel = ls_relation_open(rule->kind == LS_PROFILE ? model->contacts :
									   source->relation, &locked);

	if (rel == NULL)
		error = ls_rule_make_error(ERRCODE_UNDEFINED_TABLE, "its table no longer exists");
	else
	{
		condition = compile(model, rule, rel, LS_EXPR_CONDITION, &error);
		weight = compile(model, rule, rel, LS_EXPR_WEIGHT, &error);
		ls_relation_close(rel, locked);
	}
	rule->condition = condition;
	rule->weight = weight;
	rule->broken = error;
	rule->skip = rule->skip || error != NULL;
	rule->uncompiled = false;
	model->nuncompiled--;
	ls_rule_need_columns(columns, condition);
	ls_rule_need_columns(columns, weight);
	MemoryContextSwitchTo(old);
}

/*
 * ls_rule_compile_late compiles a rule of a model that is in use.  If it is broken, that
 * is reported with the next failures.
 */
void
ls_rule_compile_late(LsModel *model, LsRule *rule)
{
	ls_rule_compile(model, rule);
	ls_reach_watch(&model->reach);
	if (rule->broken == NULL)
		return;
	model->rules_unreported = true;
	if (rule->broken->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE &&
		model->visitors_of == NULL && !model->unreadable)
		model->out_of_step = true;
}

/*
 * ls_rule_compile_rest compiles what was left to wait, for those who need to know which
 * columns are read, or whether rules are broken.
 */
void
ls_rule_compile_rest(LsModel *model)
{
	for (int i = 0; i < model->nrules && model->nuncompiled > 0; i++)
		if (model->rules[i].uncompiled)
			ls_rule_compile_late(model, &model->rules[i]);
}
