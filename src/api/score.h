/*-------------------------------------------------------------------------
 *
 * score.h
 *		The functions score(), explain(), replay() and verify().
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_H
#define LEADSCORE_SCORE_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/execnodes.h"

#include "rules/model_compile.h"
#include "scoring/contact_score.h"

/* the functions with three arguments */
extern Datum ls_score(PG_FUNCTION_ARGS);
extern Datum ls_explain(PG_FUNCTION_ARGS);

extern void ls_score_explain_rules(ReturnSetInfo *result, LsModel *model,
								   const LsContribution *all);

#endif							/* LEADSCORE_SCORE_H */
