/*-------------------------------------------------------------------------
 *
 * sync_internal.h
 *		Shared by the files that bring models in line with changed tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SYNC_INTERNAL_H
#define LEADSCORE_SYNC_INTERNAL_H

#include "postgres.h"

#include "ddl/ddl.h"
#include "definitions/lead_tables.h"
#include "rules/expression.h"

/* A table with rows that was added to a source, or removed from it */
typedef struct Part
{
	char	   *source;
	Oid			relation;
} Part;

/* What has to be done for one model */
typedef struct Work
{
	LsModelRow *row;
	const Ddl  *ddl;
	const LsDependencies *before;	/* as of before the command; NULL: not known */
	const LsDependencies *list; /* before, or a list made after the command, or NULL */
	bool		refusing;		/* an error is meant to refuse the command */
	bool		all;			/* every rule is concerned */
	bool		contacts;		/* the contact table has changed ... */
	List	   *sources;		/* ... or tables of these sources (of char *) */
	bool		changed;		/* the model's meaning has changed */
	bool		recount;		/* rules wait to be backfilled */
	bool		rescore;		/* everything has to be recomputed */
	List	   *come;			/* of Part */
	List	   *left;			/* of Part */
} Work;

/* in sync_tables.c */
extern bool ls_sync_affects(const Ddl *ddl, Oid relid, const LsExpr *expr);

/* effect of objects that are not tables, in sync_objects.c */
extern bool ls_sync_find_concerned(Work *work);
extern bool ls_sync_concerns_rule(const Work *work, const LsRuleRow *rule);
extern bool ls_sync_concerns_stage(const Work *work, const LsStageRow *stage);
extern bool ls_sync_redefined(const Work *work, const LsRuleRow *rule, const LsReach *now);
extern bool ls_sync_redefined_stage(const Work *work, const LsStageRow *stage,
									const LsReach *now);
extern const LsObject *ls_sync_moved(const Work *work);

/* rules and conditions of stages, in sync_rules.c */
extern void ls_sync_rules(Work *work, bool sleeping_only);
extern void ls_sync_stages(Work *work);
extern void ls_rule_disable(const LsModelRow *model, const LsRuleRow *rule, Oid relid,
							const ErrorData *error);
extern void ls_rule_recompute(const LsRuleRow *rule);

#endif							/* LEADSCORE_SYNC_INTERNAL_H */
