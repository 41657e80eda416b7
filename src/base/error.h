/*-------------------------------------------------------------------------
 *
 * error.h
 *		What an error says about the code that raised it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ERROR_H
#define LEADSCORE_ERROR_H

#include "postgres.h"
typedef enum LsErrorClass
{
	LS_ERROR_OF_EXPRESSION,		/* the expression fails on the row, which is skipped */
	LS_ERROR_OF_STATEMENT,		/* unrelated to the expression: the statement fails */
	LS_ERROR_OF_DATA,			/* damaged data: the statement fails */
	LS_ERROR_INTERNAL			/* an internal error */
} LsErrorClass;
/* what to do about a serialization failure */
#define LS_RETRY_HINT \
	"Another transaction changed what this one needs after this one began. Retry the transaction, or use READ COMMITTED."
extern void ls_error_hint_retry(ErrorContextCallback *context);
extern void ls_error_serialization(bool deleted);
extern LsErrorClass ls_error_class(int sqlerrcode);
extern bool ls_error_passes(int sqlerrcode);

#endif							/* LEADSCORE_ERROR_H */
