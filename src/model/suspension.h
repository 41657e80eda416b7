/*-------------------------------------------------------------------------
 *
 * suspension.h
 *		Models that cannot go by their contact tables, and can again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SUSPENSION_H
#define LEADSCORE_SUSPENSION_H

#include "postgres.h"

#include "definitions/catalog.h"

extern void ls_suspension_look(void);
extern bool ls_suspension_undecided(void);
extern bool ls_suspension_defers(const char *model);
extern void ls_suspension_missed(const char *model);
extern void ls_suspension_refuse(const LsModelRow *row);
extern void ls_suspension_before_commit(void);
extern void ls_suspension_end_transaction(void);

#endif							/* LEADSCORE_SUSPENSION_H */
