/*-------------------------------------------------------------------------
 *
 * history.h
 *		Writes down what happened to contacts: changes of stage, what is told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_HISTORY_H
#define LEADSCORE_HISTORY_H

#include "postgres.h"

#include "action.h"
#include "rules.h"

typedef struct LsHistory LsHistory;

extern LsHistory *ls_history_open(LsModel *model);
extern int	ls_history_add(LsHistory *history, Datum contact,
						   const LsOccasion *occasion, const char *reason);
extern void ls_history_close(LsHistory *history);

#endif							/* LEADSCORE_HISTORY_H */
