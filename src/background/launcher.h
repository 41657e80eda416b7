/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		Starts workers where something is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LAUNCHER_H
#define LEADSCORE_LAUNCHER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

extern void ls_launcher_define(void);
extern void ls_launcher_describe(BackgroundWorker *worker, const char *type,
								 const char *function, const void *order, Size size);

#endif							/* LEADSCORE_LAUNCHER_H */
