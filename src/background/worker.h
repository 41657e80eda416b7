/*-------------------------------------------------------------------------
 *
 * worker.h
 *		Does in one database what time asks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_WORKER_H
#define LEADSCORE_WORKER_H

#include "postgres.h"

/* leadscore.naptime, batch_size, history_retention, outbox_retention */
extern int	ls_naptime;
extern int	ls_batch_size;
extern int	ls_history_retention;
extern int	ls_outbox_retention;

extern void ls_worker_define(void);

#endif							/* LEADSCORE_WORKER_H */
