/*-------------------------------------------------------------------------
 *
 * restore.h
 *		Rows that a dump restores.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RESTORE_H
#define LEADSCORE_RESTORE_H

#include "postgres.h"

#include "nodes/nodes.h"

/* handles a command, which may be the first of a restore with --disable-triggers */
extern void ls_restore_command(Node *command);

#endif							/* LEADSCORE_RESTORE_H */
