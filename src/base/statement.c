/*-------------------------------------------------------------------------
 *
 * statement.c
 *		Statements under way, and one statement told from the next.
 *
 * BEFORE STATEMENT triggers count statements in, AFTER STATEMENT triggers count them
 * out.  An aborted subtransaction takes back those that began in it.
 *
 *-------------------------------------------------------------------------
 */
#include "base/statement.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/transaction.h"

static SubTransactionId *entered = NULL;	/* the subtransaction in which each began */
static int	nentered = 0;
static int	maxentered = 0;

/* ls_statement_enter records that a statement begins. */
void
ls_statement_enter(void)
{
	if (nentered >= maxentered)
	{
		maxentered = Max(16, maxentered * 2);
		entered = entered ?
			repalloc(entered, sizeof(SubTransactionId) * maxentered) :
			MemoryContextAlloc(TopMemoryContext, sizeof(SubTransactionId) * maxentered);
	}
	entered[nentered++] = GetCurrentSubTransactionId();
}

/* ls_statement_leave records that the innermost statement ends. */
void
ls_statement_leave(void)
{
	if (nentered > 0)
		nentered--;
}

/*
 * ls_statement_under_way tells whether a statement on a table with our triggers is
 * under way: its rows may be in the tables already but are not processed yet, so
 * contacts must not be recomputed.
 */
bool
ls_statement_under_way(void)
{
	return nentered > 0;
}

/* ls_statement_nested tells whether a statement fires within another. */
bool
ls_statement_nested(void)
{
	return nentered > 1;
}

void
ls_statement_end_transaction(void)
{
	nentered = 0;
}

void
ls_statement_end_subtransaction(SubTransactionId mine, SubTransactionId parent,
								bool committed)
{
	for (int i = nentered - 1; i >= 0 && entered[i] >= mine; i--)
	{
		if (committed)
			entered[i] = parent;
		else
			nentered = i;
	}
}

/* ---------- one statement and the next ---------- */

/* ls_statement_active identifies the statement of the active snapshot. */
LsStatement
ls_statement_active(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	LsStatement statement = {ls_transaction_number(), GetCurrentStatementStartTimestamp(),
		snapshot->curcid, snapshot->xmin, snapshot->xmax, snapshot->xcnt, snapshot->subxcnt,
	GetCurrentSubTransactionId()};

	return statement;
}

/* ls_statement_same tells whether two identify the same statement. */
bool
ls_statement_same(const LsStatement *a, const LsStatement *b)
{
	return memcmp(a, b, offsetof(LsStatement, xmin)) == 0;
}

/*
 * ls_statement_same_snapshot tells whether two identify the same statement and see
 * the same rows.
 */
bool
ls_statement_same_snapshot(const LsStatement *a, const LsStatement *b)
{
	return memcmp(a, b, sizeof(LsStatement)) == 0;
}
