/*-------------------------------------------------------------------------
 *
 * transaction.h
 *		Transactions told apart, subtransactions that catch errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TRANSACTION_H
#define LEADSCORE_TRANSACTION_H

#include "postgres.h"

extern ErrorData *ls_subtransaction_run(void (*body) (void *), void *arg);
extern ErrorData *ls_subtransaction_try(void (*body) (void *), void *arg);
extern uint64 ls_transaction_number(void);
extern void ls_transaction_wake_worker(void);
extern bool ls_transaction_end(void);

#endif							/* LEADSCORE_TRANSACTION_H */
