/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		Starts workers where time has something to change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LAUNCHER_H
#define LEADSCORE_LAUNCHER_H

#include "postgres.h"

extern void ls_launcher_define(void);

#endif							/* LEADSCORE_LAUNCHER_H */
