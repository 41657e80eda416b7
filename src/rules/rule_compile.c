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
#include "utils/builtins.h"
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
ls_rule_can_wait(const LsModel *model, const LsRule *rule)
{
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
	{
		int			number = rule->rows[ls_current_names_texts[i].row].source;
		const LsSource *source = number >= 0 ? &model->sources[number] : NULL;

		if (rule->texts[i] && !(source && source->rules_wait && is_own(source, rule->texts[i])))
			return false;
	}
	return true;
}

/* ---------- compiling ---------- */

/* ls_rule_take_texts takes the texts of a rule that are compiled.  False where it has none. */
bool
ls_rule_take_texts(const LsRuleRow *row, LsRule *rule)
{
	bool		any = false;

	for (int i = 0; i < LS_RULE_NTEXTS; i++)
	{
		const LsRuleRows *rows = &rule->rows[ls_current_names_texts[i].row];

		if (rule->kind == LS_PROFILE || (rows->read && rows->source >= 0))
			rule->texts[i] = ls_current_names_meant(row, i);
		any = any || rule->texts[i];
	}
	return any;
}

/* rule_named finds a rule by its name, among the rows that rules are loaded from. */
static LsRule *
rule_named(LsModel *model, List *rows, const char *name)
{
	ListCell   *lc;

	foreach(lc, rows)
		if (strcmp(((LsRuleRow *) lfirst(lc))->name, name) == 0)
			return &model->rules[foreach_current_index(lc)];
	return NULL;
}

/*
 * ls_rule_link finds the sequence that a sequence follows, and takes from the first one whether
 * values are compared.  A circle, which only a damaged table has, ends at some length.
 */
void
ls_rule_link(LsModel *model, List *rows, const LsRuleRow *row, LsRule *rule)
{
	LsRule	   *first = rule;

	if (row->follows == NULL || rule->broken)
		return;
	rule->follows = rule_named(model, rows, row->follows);
	for (int i = 0; i < list_length(rows) && first; i++)
	{
		const LsRuleRow *at = list_nth(rows, first - model->rules);

		if (at->follows == NULL)
			break;
		first = rule_named(model, rows, at->follows);
		if (first && (first->kind != LS_SEQUENCE || first->broken))
			first = NULL;
	}
	if (first == NULL || first->kind != LS_SEQUENCE ||
		((LsRuleRow *) list_nth(rows, first - model->rules))->follows)
	{
		rule->broken = ls_rule_make_error(ERRCODE_UNDEFINED_OBJECT,
									"the sequence that it follows cannot be counted");
		rule->skip = true;
		return;
	}
	rule->skip = rule->skip || first->skip;
	rule->has_per = rule->latest_only = first->has_per;
}

/* ls_rule_text_use tells what a text of a rule gives. */
LsExprUse
ls_rule_text_use(int text)
{
	switch (text)
	{
		case LS_TEXT_WEIGHT:
			return LS_EXPR_WEIGHT;
		case LS_TEXT_PER:
		case LS_TEXT_CANCELLED_PER:
		case LS_TEXT_FOLLOWED_PER:
			return LS_EXPR_VALUE;
		case LS_TEXT_TAG:
			return LS_EXPR_TAGS;
		default:
			return LS_EXPR_CONDITION;
	}
}

/*
 * ls_rule_types_error gives the error that values that are compared are not of one type,
 * or NULL.
 */
ErrorData *
ls_rule_types_error(LsExpr *const *exprs, const char *where)
{
	const LsExpr *per = exprs[LS_TEXT_PER];
	const int	others[] = {LS_TEXT_FOLLOWED_PER, LS_TEXT_CANCELLED_PER};
	ErrorData  *error;

	for (int i = 0; i < (int) lengthof(others); i++)
	{
		const LsExpr *other = exprs[others[i]];

		if (per == NULL || other == NULL || other->type == per->type)
			continue;
		error = ls_rule_make_error(ERRCODE_DATATYPE_MISMATCH,
								   psprintf("per and %s of %s must be of one type, not %s and %s",
											ls_current_names_texts[others[i]].column, where,
											format_type_be(per->type), format_type_be(other->type)));
		error->hint = psprintf("Cast one of them, as in (expression)::%s.", format_type_be(per->type));
		return error;
	}
	return NULL;
}

/* ls_rule_is_fixed tells whether a rule gives the same for the same columns, at any time. */
bool
ls_rule_is_fixed(const LsRule *rule)
{
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (!ls_expr_is_fixed(rule->exprs[i]))
			return false;
	return true;
}

/* compile gives an expression of a rule: a new one, or that of an earlier rule. */
static LsExpr *
compile(LsModel *model, const LsRule *rule, Relation rel, int number, ErrorData **error)
{
	LsExprUse	use = ls_rule_text_use(number);
	const char *text = rule->texts[number];
	LsExprSpec	spec = {.use = use, .rel = rel, .text = text, .role = model->owner};
	LsExpr	   *expr = ls_shared_parts_find(model, use, RelationGetRelid(rel), text);

	if (expr)
		return expr;
	spec.where = psprintf("%s of rule \"%s\" of model \"%s\"", ls_current_names_texts[number].column,
						  rule->name, model->name);
	expr = ls_rule_try_expression(model, &spec, error);
	if (expr)
		ls_shared_parts_add(model, use, RelationGetRelid(rel), text, expr);
	return expr;
}

/* compile_text compiles one text of a rule, against the table that it reads. */
static void
compile_text(LsModel *model, LsRule *rule, int number, ErrorData **error)
{
	int			of = rule->rows[ls_current_names_texts[number].row].source;
	LsSource   *source = rule->kind == LS_PROFILE || of < 0 ? NULL : &model->sources[of];
	bool		locked;
	Relation	rel;

	if (rule->texts[number] == NULL || *error)
		return;
	rel = ls_relation_open(source ? source->relation : model->contacts, &locked);
	if (rel == NULL)
	{
		*error = ls_rule_make_error(ERRCODE_UNDEFINED_TABLE, "its table no longer exists");
		return;
	}
	rule->exprs[number] = compile(model, rule, rel, number, error);
	ls_relation_close(rel, locked);
	ls_rule_need_columns(source ? &source->columns : &model->contact_columns, rule->exprs[number]);
}

/*
 * types_error gives the error that values that a rule compares are not of one type; a
 * sequence that follows another compares with those of the first one.
 */
static ErrorData *
types_error(LsModel *model, const LsRule *rule)
{
	LsRule	   *first = rule->follows;
	LsExpr	   *exprs[LS_RULE_NTEXTS];

	memcpy(exprs, rule->exprs, sizeof(exprs));
	while (first && first->follows)
		first = first->follows;
	if (first && first->uncompiled)
		ls_rule_compile(model, first);
	if (first)
		exprs[LS_TEXT_PER] = first->exprs[LS_TEXT_PER];
	return ls_rule_types_error(exprs, psprintf("rule \"%s\" of model \"%s\"", rule->name, model->name));
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
	ErrorData  *error = NULL;

	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		compile_text(model, rule, i, &error);
	if (error == NULL)
		error = types_error(model, rule);
	rule->condition = rule->exprs[LS_TEXT_CONDITION];
	rule->weight = rule->exprs[LS_TEXT_WEIGHT];
	rule->broken = error;
	rule->skip = rule->skip || error != NULL;
	rule->uncompiled = false;
	model->nuncompiled--;
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
