/*-------------------------------------------------------------------------
 *
 * outbox.h
 *		SQL on outbox_<model>, for consumers and for the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_OUTBOX_H
#define LEADSCORE_OUTBOX_H

#include "postgres.h"

#include "base/leadscore.h"
#include "base/sql.h"

/*
 * The delay before the next attempt: doubling with each, up to 1 h.  Members of a
 * model's owner may write any number of attempts, so nothing may overflow.
 */
#define LS_BACK_OFF(attempts) \
	"least(interval '1 hour', interval '1 second' * 2 ^ (least(greatest(" attempts ", 1), 13) - 1))"

extern SPITupleTable *ls_outbox_query(Oid table, const char *sql, LsSqlArguments *args);
extern int64 ls_outbox_change(Oid table, const char *sql, LsSqlArguments *args);
extern List *ls_outbox_waiting(List *tables, TimestampTz now, const char *deliver,
							   const char *or);

#endif							/* LEADSCORE_OUTBOX_H */
