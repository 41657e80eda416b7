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

#include "rules.h"

extern bool ls_capture_under_way(void);
extern void ls_capture_fold_later(LsModel *model, Datum contact);
extern bool ls_capture_defer_count(const char *model);
extern void ls_capture_forget(Oid relation);
extern void ls_capture_before_commit(void);
extern void ls_capture_end_transaction(void);
extern void ls_capture_end_subtransaction(SubTransactionId mine,
										  SubTransactionId parent, bool committed);

#endif							/* LEADSCORE_CAPTURE_H */
