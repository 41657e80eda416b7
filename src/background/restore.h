/*-------------------------------------------------------------------------
 *
 * restore.h
 *		What works by time keeps away from what is being restored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RESTORE_H
#define LEADSCORE_RESTORE_H

#include "postgres.h"

#include "nodes/nodes.h"

#include "definitions/catalog.h"

/* looks at a command, as the first of a restore with --disable-triggers is one */
extern void ls_restore_command(Node *command);

/* keeps restores from beginning until the transaction ends; false: one is under way */
extern bool ls_restore_keep_away(void);

/* tells whether all of a model is there; what is missing goes to the log once */
extern bool ls_restore_complete(const LsModelRow *row);

/* has a sequence of base tables go on after a number */
extern void ls_restore_number(const char *name, int64 number);

/* tells whether something of a model may still come from a dump */
extern bool ls_restore_under_way(const LsModelRow *row);
extern void ls_restore_over(const char *model);

#endif							/* LEADSCORE_RESTORE_H */
