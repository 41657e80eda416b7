/*-------------------------------------------------------------------------
 *
 * arguments.c
 *		Arguments of the functions that users call: model and contact.
 *
 *-------------------------------------------------------------------------
 */
#include "api/arguments.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/statement.h"
#include "definitions/extension.h"
#include "definitions/rights.h"
#include "tables/identity_table.h"

#define FARTHEST	(1000 * 366 * LS_DAY)	/* ahead of the clock */

/* The last model that a function was called for, under the same snapshot */
typedef struct Asked
{
	char	   *name;
	LsModel    *model;
	LsStatement statement;
} Asked;

/*
 * may_read tells whether the caller may read a table or view of a model: all of its rows,
 * as no function asks the policies about each.
 */
static bool
may_read(const LsModel *model, Oid relation)
{
	Oid			role = GetUserId();

	return OidIsValid(relation) && pg_class_aclcheck(relation, role, ACL_SELECT) == ACLCHECK_OK &&
		(has_privs_of_role(role, model->owner) ||
		 check_enable_rls(relation, role, true) != RLS_ENABLED);
}

static void
check_may_read(LsModel *model, const char *also)
{
	Oid			table = model->score_table;

	if (may_read(model, table) || (also && may_read(model, ls_extension_table(also, true))))
		return;
	if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", get_rel_name(table)),
				 errdetail("Row-level security hides rows of it from the caller.")));
	aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(table));
}

/*
 * ls_argument_acquire gives the model that the active snapshot sees, held until the
 * transaction ends, to a caller that may read its scores, or the table named also.
 */
LsModel *
ls_argument_acquire(const char *name, const char *also)
{
	LsModel    *model = ls_model_acquire(name, GetActiveSnapshot());

	if (model == NULL)
	{
		(void) ls_rights_model(name, GetUserId());
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", name)));
	}
	check_may_read(model, also);
	return model;
}

/*
 * ls_argument_model gives the model that the calling statement sees.  Further calls in
 * one statement reuse it; it is held until the transaction ends.
 */
LsModel *
ls_argument_model(FunctionCallInfo fcinfo, const char *name, const char *also)
{
	LsStatement statement = ls_statement_active();
	Asked	   *asked = fcinfo->flinfo->fn_extra;
	LsModel    *model;

	if (asked && ls_statement_same(&asked->statement, &statement) &&
		!asked->model->stale && strcmp(asked->name, name) == 0)
		return asked->model;

	model = ls_argument_acquire(name, also);
	if (asked == NULL)
		asked = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Asked));
	if (asked->name)
		pfree(asked->name);
	asked->name = MemoryContextStrdup(fcinfo->flinfo->fn_mcxt, name);
	asked->model = model;
	asked->statement = statement;
	fcinfo->flinfo->fn_extra = asked;
	return model;
}

/* ls_argument_instant reads an argument that is an instant: NULL is now. */
TimestampTz
ls_argument_instant(FunctionCallInfo fcinfo, int n)
{
	TimestampTz at;

	if (PG_ARGISNULL(n))
		return ls_clock_of_statement();
	at = PG_GETARG_TIMESTAMPTZ(n);
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a score has no value at an infinite instant")));
	return at;
}

/*
 * ls_argument_until checks the end of a forecast, as decay for inactivity has no last
 * step.
 */
TimestampTz
ls_argument_until(TimestampTz until)
{
	if (TIMESTAMP_NOT_FINITE(until))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a forecast needs a finite end"),
				 errhint("Give an instant such as now() + interval '30 days'.")));
	if (until > ls_clock_of_statement() + FARTHEST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a forecast looks at most 1000 years ahead"),
				 errhint("Give an instant such as now() + interval '30 days'.")));
	return until;
}

/*
 * ls_argument_contact converts the argument for a contact to the key's type.  For a
 * merged contact it gives the contact that it was merged into.
 */
Datum
ls_argument_contact(FunctionCallInfo fcinfo, LsModel *model)
{
	Datum		contact = ls_argument_key(fcinfo, 1, model);
	Datum		target;

	if (model->visitors_of == NULL && ls_identity_find(model, contact, LS_IDENTITY_SEEN, &target))
		return target;
	return contact;
}

/*
 * ls_argument_key converts the n-th argument to the key's type, without regard to
 * merges.
 */
Datum
ls_argument_key(FunctionCallInfo fcinfo, int n, LsModel *model)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, n);

	return ls_key_ask(&model->key, PG_GETARG_DATUM(n),
					  OidIsValid(type) ? type : TEXTOID);
}
