/*-------------------------------------------------------------------------
 *
 * failure.h
 *		Expressions that fail: which errors are theirs, how they are told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_FAILURE_H
#define LEADSCORE_FAILURE_H

#include "rules.h"

typedef enum LsErrorClass
{
	LS_ERROR_OF_EXPRESSION,		/* it fails on the row, and is skipped there */
	LS_ERROR_OF_STATEMENT,		/* it came up meanwhile: the statement fails */
	LS_ERROR_OF_DATA,			/* something is damaged: so does it */
	LS_ERROR_INTERNAL			/* something is not as it should be */
} LsErrorClass;

extern LsErrorClass ls_error_class(int sqlerrcode);
extern bool ls_error_passes(int sqlerrcode);

#endif							/* LEADSCORE_FAILURE_H */
