/*-------------------------------------------------------------------------
 *
 * statement.h
 *		Statements under way, and one statement told from the next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STATEMENT_H
#define LEADSCORE_STATEMENT_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* statements on tables that have our triggers */
extern void ls_statement_enter(void);
extern void ls_statement_leave(void);
extern bool ls_statement_under_way(void);
extern bool ls_statement_nested(void);

/* Identifies a statement, for what is cached for one; compared as bytes. */
typedef struct LsStatement
{
	uint64		transaction;
	TimestampTz start;
	CommandId	command;
	/* these identify a statement; the rest says what its snapshot was taken of */
	TransactionId xmin;
	TransactionId xmax;
	uint32		running;		/* number of transactions in progress in between: it only falls */
	int32		subrunning;
	SubTransactionId subid;		/* changes after each subtransaction that is rolled back */
} LsStatement;

extern LsStatement ls_statement_active(void);
extern bool ls_statement_same(const LsStatement *a, const LsStatement *b);
extern bool ls_statement_same_snapshot(const LsStatement *a, const LsStatement *b);

extern void ls_statement_end_transaction(void);
extern void ls_statement_end_subtransaction(SubTransactionId mine,
											SubTransactionId parent, bool committed);

#endif							/* LEADSCORE_STATEMENT_H */
