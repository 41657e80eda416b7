/*-------------------------------------------------------------------------
 *
 * validate.h
 *		What is refused when a DBA writes models, rules, stages and grades.
 *
 * validate_rule.c and validate_keyed.c check rules, validate_action.c actions, validate.c the rest of a
 * definition and what follows from a change; rule_advice.c gives notices about rules
 * that are allowed but probably not meant, with what rule_sample.c finds in existing
 * rows.  definition_view.c calls them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_VALIDATE_H
#define LEADSCORE_VALIDATE_H

#include "postgres.h"

#include "commands/trigger.h"
#include "nodes/pg_list.h"

#include "definitions/lead_tables.h"
#include "rules/expression.h"
#include "rules/model_compile.h"

/* A row of a small table under examination; columns are found by name */
typedef struct LsCheckedRow
{
	HeapTuple	tuple;
	TupleDesc	desc;
	const char *where;			/* stage "x" of model "y" */
} LsCheckedRow;

/* A row of a base table that a user writes */
typedef struct LsDefinition
{
	TupleDesc	desc;
	HeapTuple	old;			/* NULL: it is inserted */
	HeapTuple	new;			/* NULL: it is deleted */
} LsDefinition;

/* What existing rows say of a rule */
typedef struct LsSurvey
{
	const LsRuleRow *row;
	LsRuleTextRow of;			/* rows that count, follow or cancel: their ... */
	const char *source;			/* ... source, NULL: every one */
	const char *event;
	const char *condition;
	bool		rows;			/* there are any rows */
	bool		seen;			/* a row has the event */
	bool		matched;		/* one has event and condition, or there are
								 * too many to look */
	bool		failed;			/* its condition fails on some row */
	List	   *names;			/* of events, where its own was not seen */
	char	   *nearest;
} LsSurvey;

/* checks; they give the row to be written, with defaults filled in */
extern HeapTuple ls_validate_model(const LsDefinition *row);
extern HeapTuple ls_validate_category_row(const LsDefinition *row);
extern HeapTuple ls_validate_rule(const LsDefinition *row);
extern HeapTuple ls_validate_stage(const LsDefinition *row);
extern HeapTuple ls_validate_grade(const LsDefinition *row);
extern HeapTuple ls_validate_action(const LsDefinition *row);

/* what follows when a row was written ... */
extern void ls_validate_model_written(const LsDefinition *row);
extern void ls_rule_written(const LsDefinition *row);

/* ... and, for each model, at the end of a statement */
extern void ls_rules_advise(const char *name, int64 *rule_ids, int n);
extern void ls_validate_rules_changed(const char *model);
extern void ls_validate_stage_changed(const char *model);

/* for the validate files only */
extern bool ls_rule_sample(const LsModelRow *model, List *surveys);
extern LsModelRow *ls_validate_owner(const LsDefinition *change, LsCheckedRow *row,
									 const char *kind, const char *column);
extern void ls_validate_delete(const LsDefinition *row);
extern char *ls_validate_word_list(List *words);
extern void ls_validate_category(const char *model, const char *category,
								 const char *where);
extern LsExpr *ls_validate_expression(LsExprSpec *spec, Oid relation);
extern void ls_rule_references_note(const LsDefinition *change);
extern void ls_rule_references_check(const char *model);
extern void ls_validate_keyed(const LsRuleRow *row, LsKind kind, bool once, const char *where);
extern void ls_validate_finite(const char *column, double value, const char *where);

#endif							/* LEADSCORE_VALIDATE_H */
