/*-------------------------------------------------------------------------
 *
 * transaction.c
 *		Transactions told apart, subtransactions that catch errors.
 *
 *-------------------------------------------------------------------------
 */
#include "base/transaction.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/error.h"

static uint64 transaction_number = 1;
static bool wakes_worker = false;
static LsTransactionList *lists = NULL;

/* ls_transaction_number tells one top-level transaction from the next. */
uint64
ls_transaction_number(void)
{
	return transaction_number;
}

/*
 * ls_subtransaction_run runs something in a subtransaction and gives the error it raised,
 * or NULL.  The caller passes on those that are none of its own (ls_error_class).
 */
ErrorData *
ls_subtransaction_run(void (*body) (void *), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * ls_subtransaction_try runs something like ls_subtransaction_run, and rethrows
 * errors that say nothing about what was run.
 */
ErrorData *
ls_subtransaction_try(void (*body) (void *), void *arg)
{
	ErrorData  *error = ls_subtransaction_run(body, arg);

	if (error && ls_error_passes(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

/*
 * ls_transaction_wake_worker has the worker woken up once the transaction is
 * committed: there is a new model, or other work.
 */
void
ls_transaction_wake_worker(void)
{
	wakes_worker = true;
}

/* ls_transaction_list_add gives a member to the current subtransaction. */
void
ls_transaction_list_add(LsTransactionList *list, void *member)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	*(SubTransactionId *) member = GetCurrentSubTransactionId();
	list->members = lappend(list->members, member);
	MemoryContextSwitchTo(old);
	if (list->listed)
		return;
	list->listed = true;
	list->next = lists;
	lists = list;
}

/*
 * ls_transaction_end is called when a top-level transaction ends, and tells whether
 * the worker is to be woken up if it has committed.
 */
bool
ls_transaction_end(void)
{
	bool		wakes = wakes_worker;

	transaction_number++;
	wakes_worker = false;
	for (LsTransactionList *list = lists; list; list = list->next)
		list->members = NIL;
	return wakes;
}

void
ls_transaction_end_subtransaction(SubTransactionId mine, SubTransactionId parent,
								  bool committed)
{
	for (LsTransactionList *list = lists; list; list = list->next)
		for (int i = list_length(list->members) - 1; i >= 0; i--)
		{
			SubTransactionId *subid = list_nth(list->members, i);

			if (*subid < mine)
				break;
			if (committed)
				*subid = parent;
			else
				list->members = list_delete_last(list->members);
		}
}
