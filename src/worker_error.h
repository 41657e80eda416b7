/*-------------------------------------------------------------------------
 *
 * worker_error.h
 *		What failed in a worker, written down, and when it is tried again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_WORKER_ERROR_H
#define LEADSCORE_WORKER_ERROR_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* a model that has failed as a whole */
typedef struct LsWorkerError
{
	char	   *model;
	TimestampTz retry_at;		/* real time */
} LsWorkerError;

/* both in the current transaction; contact NULL: the model as a whole */
extern int64 ls_worker_error_record(const char *model, const char *contact,
									int sqlerrcode, const char *message);
extern void ls_worker_error_clear(const char *model, const char *contact);
extern void ls_worker_error_expire(const char *model);

/* of LsWorkerError *: models that failed as a whole */
extern List *ls_worker_errors(void);

#endif							/* LEADSCORE_WORKER_ERROR_H */
