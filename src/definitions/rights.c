/*-------------------------------------------------------------------------
 *
 * rights.c
 *		Which roles may change a model, and which may read it.
 *
 * A model is changed by roles with the privileges of its owner, and read by those
 * that may select from its score table.  What other tables of the model store of
 * contacts is shown by the privileges on those: see model_access.c.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/rights.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/suggest.h"
#include "definitions/extension.h"

PG_FUNCTION_INFO_V1(ls_managed_models);
PG_FUNCTION_INFO_V1(ls_may_dump);

/* ls_rights_may_manage_model tells whether a role has the rights of a model's owner. */
bool
ls_rights_may_manage_model(const LsModelRow *model, Oid role)
{
	return has_privs_of_role(role, model->owner);
}

/* ls_rights_may_read_model tells whether a role may read the scores of a model. */
bool
ls_rights_may_read_model(const LsModelRow *model, Oid role)
{
	Oid			table = ls_lead_score_table(model->model, true);

	return OidIsValid(table) && pg_class_aclcheck(table, role, ACL_SELECT) == ACLCHECK_OK;
}

/* ls_rights_require_managed refuses roles that may not manage a model. */
void
ls_rights_require_managed(const LsModelRow *row, Oid role)
{
	if (!ls_rights_may_manage_model(row, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for model \"%s\"", row->model),
				 errdetail("Only members of role \"%s\" may change it.",
						   GetUserNameFromId(row->owner, true) ?
						   GetUserNameFromId(row->owner, true) : "(dropped)")));
}

/*
 * ls_rights_model gives the row of a model that a role may manage, or says
 * why not.
 */
LsModelRow *
ls_rights_model(const char *model, Oid role)
{
	LsModelRow *row = ls_lead_model(model, NULL);

	if (row == NULL)
	{
		List	   *names = NIL;
		ListCell   *lc;
		const char *nearest;

		foreach(lc, ls_lead_models(NULL))
			if (ls_rights_may_manage_model(lfirst(lc), role))
				names = lappend(names, ((LsModelRow *) lfirst(lc))->model);
		nearest = ls_suggest_word(model, names);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", model),
				 nearest ? errhint("Did you mean \"%s\"?", nearest) :
				 errhint("Create it with leadscore.create_model().")));
	}
	ls_rights_require_managed(row, role);
	return row;
}

/* ls_managed_models gives the names of the models that the caller manages. */
Datum
ls_managed_models(PG_FUNCTION_ARGS)
{
	List	   *models = ls_lead_models(NULL);
	Datum	   *names = palloc(sizeof(Datum) * Max(1, list_length(models)));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, models)
		if (ls_rights_may_manage_model(lfirst(lc), GetUserId()))
			names[n++] = CStringGetTextDatum(((LsModelRow *) lfirst(lc))->model);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * ls_rights_may_manage_all tells whether the caller may change all models.  Rows that
 * were restored without their model are shown to such callers.
 */
bool
ls_rights_may_manage_all(void)
{
	return has_privs_of_role(GetUserId(), ls_extension_owner());
}

/* ls_rights_may_drop_table tells whether the caller may drop a table. */
bool
ls_rights_may_drop_table(Oid relation)
{
	return ls_class_ownercheck(relation, GetUserId()) ||
		ls_namespace_ownercheck(get_rel_namespace(relation), GetUserId());
}

/*
 * ls_rights_may_see_definitions tells whether the caller sees the definitions of a
 * model.
 */
bool
ls_rights_may_see_definitions(const char *name)
{
	LsModelRow *model = ls_lead_model(name, NULL);

	if (model == NULL)
		return ls_rights_may_manage_all();
	return ls_rights_may_manage_model(model, GetUserId()) || ls_rights_may_read_model(model, GetUserId());
}

/* The last answer in a statement */
typedef struct Answer
{
	char	   *model;			/* NULL: nothing yet */
	Oid			role;
	bool		may;
} Answer;

/*
 * ls_may_dump tells which rows are dumped: those of models that the caller may manage
 * or read, as their tables are in the dump then; and those that were restored without
 * their model, by callers that may write anything here.  Mostly the rows of a model
 * come one after another, so the last answer is cached.
 */
Datum
ls_may_dump(PG_FUNCTION_ARGS)
{
	char	   *model = TextDatumGetCString(PG_GETARG_DATUM(0));
	Answer	   *answer = fcinfo->flinfo->fn_extra;

	if (answer == NULL)
		fcinfo->flinfo->fn_extra = answer =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Answer));
	if (answer->model == NULL || answer->role != GetUserId() || strcmp(answer->model, model) != 0)
	{
		answer->may = ls_rights_may_see_definitions(model);
		answer->role = GetUserId();
		if (answer->model)
			pfree(answer->model);
		answer->model = MemoryContextStrdup(fcinfo->flinfo->fn_mcxt, model);
	}
	PG_RETURN_BOOL(answer->may);
}
