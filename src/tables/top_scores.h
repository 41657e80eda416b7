/*-------------------------------------------------------------------------
 *
 * top_scores.h
 *		Which rows of score_<model> have a top_score.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TOP_SCORES_H
#define LEADSCORE_TOP_SCORES_H

#include "postgres.h"

#include "rules/model_compile.h"

/* What is to be done next, so that enough rows have one */
typedef enum LsTopStep
{
	LS_TOP_NOTHING,
	LS_TOP_BEGIN,				/* writers have to be told from which score on */
	LS_TOP_COMPLETE				/* they do, and rows that were written before are left */
} LsTopStep;

extern LsTopStep ls_top_scores_choose(LsModel *model, int wanted, double *from, bool *read);
extern void ls_top_scores_begin(const char *model, double from);
extern bool ls_top_scores_complete(LsModel *model);
extern void ls_top_scores_keep(const char *model);
extern void ls_top_scores_forget(const char *model);

/* How many rows are to have one: k of top() at most, and as many that change */
#define LS_TOP_SCORES_WANTED	2000

#endif							/* LEADSCORE_TOP_SCORES_H */
