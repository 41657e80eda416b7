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

#include "commands/trigger.h"

extern void ls_capture_row(TriggerData *trigger);
extern void ls_capture_before_commit(void);
extern void ls_capture_end_transaction(void);
extern void ls_capture_end_subtransaction(SubTransactionId mine, SubTransactionId parent,
										  bool committed);
extern void ls_capture_forget(Oid relation);

#endif							/* LEADSCORE_CAPTURE_H */
