/*-------------------------------------------------------------------------
 *
 * restore_state.h
 *		Whether something of a model is being restored, so that workers skip it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RESTORE_STATE_H
#define LEADSCORE_RESTORE_STATE_H

#include "postgres.h"

#include "definitions/lead_tables.h"

/* for a session that restores models */
extern void ls_restore_begin(void);

/* keeps restores from beginning until the transaction ends; false: one is under way */
extern bool ls_restore_keep_away(void);

/* tells whether all of a model is there; what is missing goes to the log once */
extern bool ls_restore_complete(const LsModelRow *row);

/* advances a sequence of base tables to a number */
extern void ls_restore_number(const char *name, int64 number);

/* tells whether something of a model may still come from a dump */
extern bool ls_restore_under_way(const LsModelRow *row);
extern void ls_restore_over(const char *model);

#endif							/* LEADSCORE_RESTORE_STATE_H */
