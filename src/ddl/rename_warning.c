/*-------------------------------------------------------------------------
 *
 * rename_warning.c
 *		Warnings about names of renamed objects that do not follow.
 *
 * A text that could not be parsed before a command cannot be rewritten to mean the same
 * after it.  Its rule is disabled, and the text stays.  An action names a function,
 * which does not follow, as in rules.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/rename_internal.h"

#include "base/sql.h"
#include "ddl/ddl.h"

/* An action, and the function that it calls before the command */
typedef struct Call
{
	char	   *action;
	char	   *function;
	Oid			oid;
} Call;

/*
 * ls_rename_done describes what a command has renamed, with kind and schema where they
 * are known.
 */
char *
ls_rename_done(const LsRename *rename)
{
	char	   *moved = rename->kind == LS_RENAME_OTHER ? ls_ddl_object_moved() : NULL;

	return moved ? moved : rename->done;
}

/* ---------- texts ---------- */

/* may_name tells whether a text that cannot be parsed may name what was renamed. */
static bool
may_name(const LsRenamedText *text, const LsRename *rename)
{
	return rename->kind != LS_RENAME_OTHER &&
		ls_expr_mentions(text->text, rename->old_name) &&
		(rename->kind != LS_RENAME_NAME || list_member_oid(rename->relations, text->relid));
}

/*
 * ls_rename_warn_of_unread warns of the text of a rule or stage that could not be
 * parsed.
 */
void
ls_rename_warn_of_unread(const char *model, const char *rule, const LsRenamedText *text,
						 const LsRename *rename)
{
	if (!may_name(text, rename))
		return;
	if (text->stage)
		ereport(WARNING,
				(errmsg("the condition of stage \"%s\" of model \"%s\" is left unchanged: %s",
						text->stage, model, ls_rename_done(rename)),
				 errdetail("It could not be read before."),
				 errhint("If it names what has been renamed, correct it in leadscore.lead_stage.")));
	else
		ereport(WARNING,
				(errmsg("%s of rule \"%s\" of model \"%s\" is left unchanged: %s",
						text->column, rule, model, ls_rename_done(rename)),
				 errdetail("It could not be read before."),
				 errhint("If it names what has been renamed, correct it in leadscore.lead_rule.")));
}

/* ---------- actions ---------- */

/* ls_rename_calls_read finds the functions that the actions of a model call. */
List *
ls_rename_calls_read(const char *model)
{
	List	   *calls = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_actions(model, NULL))
	{
		const LsActionRow *row = lfirst(lc);
		char	   *schema;
		char	   *name;
		Call	   *call;
		Oid			oid = row->function ? ls_sql_function(row->function, &schema, &name) : InvalidOid;

		if (!OidIsValid(oid))
			continue;
		call = palloc(sizeof(Call));
		call->action = pstrdup(row->name);
		call->function = pstrdup(row->function);
		call->oid = oid;
		calls = lappend(calls, call);
	}
	return calls;
}

/* ls_rename_calls_warn warns of actions that no longer find their function. */
void
ls_rename_calls_warn(const char *model, List *calls, const LsRename *rename)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		const Call *call = lfirst(lc);
		char	   *schema;
		char	   *name;

		if (ls_sql_function(call->function, &schema, &name) != call->oid)
			ereport(WARNING,
					(errmsg("action \"%s\" of model \"%s\" can no longer call function %s: %s",
							call->action, model, call->function, ls_rename_done(rename)),
					 errhint("Correct it in leadscore.lead_action.")));
	}
}
