/*-------------------------------------------------------------------------
 *
 * worker_role.h
 *		As whose process a worker counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_WORKER_ROLE_H
#define LEADSCORE_WORKER_ROLE_H

#include "postgres.h"

extern void ls_worker_role_begin(Oid owner);
extern void ls_worker_role_refresh(void);

#endif							/* LEADSCORE_WORKER_ROLE_H */
