/*-------------------------------------------------------------------------
 *
 * outbox.h
 *		SQL on lead_outbox, for consumers and for the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_OUTBOX_H
#define LEADSCORE_OUTBOX_H

#include "postgres.h"

#include "feed.h"
#include "leadscore.h"

/*
 * How long after that many attempts the next may be made: doubling, up to 1 h.
 * Members of a model's owner may write any number there, so nothing may overflow.
 */
#define LS_BACK_OFF(attempts) \
	"least(interval '1 hour', interval '1 second' * 2 ^ (least(greatest(" attempts ", 1), 13) - 1))"

extern void ls_outbox_begin(Oid role, LsIdentity *saved);
extern void ls_outbox_end(LsIdentity *saved);
extern int64 ls_outbox_change(Oid role, const char *sql, LsArguments *args);

#endif							/* LEADSCORE_OUTBOX_H */
