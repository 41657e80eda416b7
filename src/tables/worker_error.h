/*-------------------------------------------------------------------------
 *
 * worker_error.h
 *		Errors of workers, recorded, and when the work is retried.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_WORKER_ERROR_H
#define LEADSCORE_WORKER_ERROR_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "rules/model_compile.h"

/* What has failed in a model; real times, 0: nothing */
typedef struct LsWorkerError
{
	char	   *model;
	TimestampTz retry_at;		/* of the model as a whole */
	TimestampTz contact_retry_at;	/* of a contact, the earliest */
} LsWorkerError;

/*
 * records the error in the current transaction; the delay of the retry, in microseconds
 */
extern int64 ls_worker_error_record(const char *model, int sqlerrcode, const char *message);
extern int64 ls_worker_error_record_contact(LsModel *model, Datum contact, int sqlerrcode,
											const char *message);
extern bool ls_worker_error_waits(LsModel *model, Datum contact);
extern void ls_worker_error_clear(const char *model);

/* of contacts whose retry was due before, and that have not failed since */
extern void ls_worker_error_forget(const char *model, TimestampTz before);

/* of LsWorkerError * */
extern List *ls_worker_errors(void);

#endif							/* LEADSCORE_WORKER_ERROR_H */
