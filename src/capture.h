/*-------------------------------------------------------------------------
 *
 * capture.h
 *		Triggers on event and contact tables: rows in, changes out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CAPTURE_H
#define LEADSCORE_CAPTURE_H

#include "postgres.h"

extern void ls_capture_forget(Oid relation);

#endif							/* LEADSCORE_CAPTURE_H */
