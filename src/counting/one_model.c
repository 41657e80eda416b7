/*-------------------------------------------------------------------------
 *
 * one_model.c
 *		Work on one model that must not stop what is done about others.
 *
 * A model that is damaged, or whose rows cannot be counted, is left as it was, with a
 * warning, while others go on.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/one_model.h"

#include "base/error.h"
#include "base/leadscore.h"
#include "base/transaction.h"
#include "definitions/catalog.h"
#include "rules/disclosure.h"
#include "rules/model_compile.h"

/*
 * ls_stops_all tells whether an error ends the statement: it is not about the model
 * that was being worked on, or rules that fail are to end it.
 */
bool
ls_stops_all(const ErrorData *error)
{
	return ls_rule_error == LS_RULE_ERROR_ERROR ||
		ls_error_class(error->sqlerrcode) == LS_ERROR_OF_STATEMENT;
}

/* ls_told_of gives what the caller may be told of an error about a model. */
char *
ls_told_of(const char *model, const ErrorData *error)
{
	LsModelRow *row = ls_model_row(model, NULL);

	if (row && ls_may_see_table(row->owner, row->contacts))
		return error->message;
	return psprintf("SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
}

/*
 * ls_up_to_date does something that brings the rows of a model up to date.  False, with
 * a warning, where that fails: it is undone then.
 */
bool
ls_up_to_date(const char *model, void (*body) (void *), void *arg)
{
	ErrorData  *error = ls_subtransaction_run(body, arg);

	if (error == NULL)
		return true;
	if (ls_stops_all(error))
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("model \"%s\" is not up to date: %s", model, ls_told_of(model, error)),
			 errhint("Repair the model and call leadscore.rescore('%s'), or drop it with leadscore.drop_model('%s').",
					 model, model)));
	return false;
}

static void
read_model(void *arg)
{
	LsModel    *model = ls_model_acquire(arg, NULL);

	if (model)
		ls_model_release(model);
}

/* ls_is_sound tells whether a model can be read, and says so where it cannot. */
bool
ls_is_sound(const char *model)
{
	return ls_up_to_date(model, read_model, unconstify(char *, model));
}
