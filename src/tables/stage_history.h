/*-------------------------------------------------------------------------
 *
 * stage_history.h
 *		Events of transitions, written: changes of stage, and triggered actions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STAGE_HISTORY_H
#define LEADSCORE_STAGE_HISTORY_H

#include "postgres.h"

#include "scoring/transition.h"
#include "rules/model_compile.h"

typedef struct LsStageHistory LsStageHistory;

extern LsStageHistory *ls_stage_history_open(LsModel *model);
extern int	ls_stage_history_add(LsStageHistory *history, Datum contact,
								 const LsTransitionEvent *event);
extern bool ls_stage_history_runs_code(LsStageHistory *history, const LsTransitionEvent *event);
extern void ls_stage_history_close(LsStageHistory *history);

/* A change of stage that was written */
typedef struct LsStageChange
{
	char	   *from_stage;		/* NULL: the contact had none */
	char	   *to_stage;
	double		score;
	TimestampTz changed_at;
	TimestampTz recorded_at;
	char	   *cause;
	char	   *reason;			/* NULL: none */
	uint64		place;			/* in the table, in the order of insertion */
} LsStageChange;

extern LsStageChange *ls_stage_history_read(LsModel *model, Datum contact, TimestampTz from, int *n);
extern int	ls_stage_history_compare(const void *a, const void *b);

#endif							/* LEADSCORE_STAGE_HISTORY_H */
