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

#include "nodes/pg_list.h"

extern ErrorData *ls_subtransaction_run(void (*body) (void *), void *arg);
extern ErrorData *ls_subtransaction_try(void (*body) (void *), void *arg);
extern uint64 ls_transaction_number(void);
extern void ls_transaction_wake_worker(void);

/*
 * What belongs to subtransactions.  Each member begins with its SubTransactionId,
 * which changes to the parent's when the subtransaction commits; an abort removes its
 * members.  The oldest is the first.
 */
typedef struct LsTransactionList
{
	List	   *members;
	bool		listed;
	struct LsTransactionList *next;
} LsTransactionList;

extern void ls_transaction_list_add(LsTransactionList *list, void *member);

extern bool ls_transaction_end(void);
extern void ls_transaction_end_subtransaction(SubTransactionId mine,
											  SubTransactionId parent, bool committed);

#endif							/* LEADSCORE_TRANSACTION_H */
