/*-------------------------------------------------------------------------
 *
 * error.c
 *		What an error says about the code that raised it.
 *
 *-------------------------------------------------------------------------
 */
#include "base/error.h"

static void
hint_retry(void *arg)
{
	if (geterrcode() == ERRCODE_T_R_SERIALIZATION_FAILURE)
		errhint(LS_RETRY_HINT);
}

/*
 * ls_error_hint_retry adds a hint to a serialization failure in what comes next: it
 * is raised by a statement that the user does not know.  The caller pops it.
 */
void
ls_error_hint_retry(ErrorContextCallback *context)
{
	context->previous = error_context_stack;
	context->callback = hint_retry;
	context->arg = NULL;
	error_context_stack = context;
}

/*
 * ls_error_serialization raises the error that UPDATE raises on a row newer than its
 * snapshot.
 */
void
ls_error_serialization(bool deleted)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 deleted ? errmsg("could not serialize access due to concurrent delete") :
			 errmsg("could not serialize access due to concurrent update"),
			 errhint(LS_RETRY_HINT)));
}

/*
 * ls_error_class tells whether an error says something about the expression that
 * was being compiled or run, or came up meanwhile: a transaction that has to be
 * repeated, a server that is out of something or shutting down, a statement that
 * is cancelled or has waited too long, damaged data.  To take the latter for a
 * failure of the expression would give a wrong score, once it has been stored.
 */
LsErrorClass
ls_error_class(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
			return LS_ERROR_OF_STATEMENT;
		case ERRCODE_DATA_CORRUPTED:
		case ERRCODE_INDEX_CORRUPTED:
			return LS_ERROR_OF_DATA;
		case ERRCODE_INTERNAL_ERROR:
			return LS_ERROR_INTERNAL;
	}
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return LS_ERROR_OF_STATEMENT;
	}
	return LS_ERROR_OF_EXPRESSION;
}

/* ls_error_passes tells whether an error says nothing about the expression. */
bool
ls_error_passes(int sqlerrcode)
{
	LsErrorClass class = ls_error_class(sqlerrcode);

	return class == LS_ERROR_OF_STATEMENT || class == LS_ERROR_OF_DATA;
}
