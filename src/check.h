/*-------------------------------------------------------------------------
 *
 * check.h
 *		What is refused when a DBA writes models, rules, stages and grades.
 *
 * check_rule.c looks at rules, check_action.c at actions, check.c at the rest of
 * a score sheet and at what follows from a change; check_advice.c gives notices about rules that are
 * allowed but probably not meant.  check.sql has the triggers that call them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CHECK_H
#define LEADSCORE_CHECK_H

#include "postgres.h"

#include "commands/trigger.h"
#include "nodes/pg_list.h"

#include "catalog.h"
#include "expression.h"

/*
 * Set while the extension itself writes lead_rule (counted_version), so that
 * the triggers let it through.  Whoever sets it resets it in PG_FINALLY.
 */
extern bool ls_rule_internal_update;

/* brings the stored rows of the models that changed up to date; not of here */
extern void ls_refresh_changed_models(void);

/* A row of a small table under examination; its columns go by name. */
typedef struct LsSheetRow
{
	HeapTuple	tuple;
	TupleDesc	desc;
	const char *where;			/* stage "x" of model "y" */
} LsSheetRow;

/* for the files of this room */
extern LsModelRow *ls_check_owner(const TriggerData *td, LsSheetRow *row,
								  const char *kind, const char *column);
extern TriggerData *ls_check_trigger(FunctionCallInfo fcinfo, const char *table);
extern HeapTuple ls_check_new_row(const TriggerData *td);
extern bool ls_check_restoring(const char *model);
extern bool ls_check_dumped(const char *model);
extern List *ls_check_models(const TriggerData *td);
extern char *ls_check_list(List *words);
extern List *ls_check_categories(const char *model);
extern void ls_check_category(const char *model, const char *category,
							  const char *where);
extern void ls_check_expression(LsExprSpec *spec, Oid relation);
extern void ls_check_finite(const char *column, double value, const char *where);

#endif							/* LEADSCORE_CHECK_H */
