/*-------------------------------------------------------------------------
 *
 * restore.h
 *		Rows that a dump brings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RESTORE_H
#define LEADSCORE_RESTORE_H

#include "postgres.h"

#include "nodes/nodes.h"

/* looks at a command, as the first of a restore with --disable-triggers is one */
extern void ls_restore_command(Node *command);

#endif							/* LEADSCORE_RESTORE_H */
