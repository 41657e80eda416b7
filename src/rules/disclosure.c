/*-------------------------------------------------------------------------
 *
 * disclosure.c
 *		Which sessions may be sent values of the rows that a model reads.
 *
 * An event is written by one role and evaluated as another, the model's owner.  An
 * error message then has values of the row, or of others that a function has read.
 * It is sent to roles that manage the model, and to those that may read these columns
 * anyway; others get the name of the rule, and the SQLSTATE.  The recorded message is
 * complete, and only shown to roles that manage the model.
 *
 * Messages go to the client, hence it is the session's role that counts, or the
 * one of SET ROLE; within a SECURITY DEFINER function, whose handler could catch
 * an error, the function's owner as well.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/disclosure.h"

#include "access/sysattr.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "base/compat.h"

/* What a message may show: columns NULL means those of the whole table */
typedef struct Shown
{
	Oid			owner;			/* of the model */
	Oid			relid;			/* InvalidOid: shown to roles that manage the model only */
	const Bitmapset *columns;	/* offset by FirstLowInvalidHeapAttributeNumber */
} Shown;

/* may_read_columns tells whether a role may read each of some columns. */
static bool
may_read_columns(Oid role, const Shown *shown)
{
	int			member = -1;

	if (bms_is_empty((Bitmapset *) shown->columns))
		return false;
	while ((member = bms_next_member((Bitmapset *) shown->columns, member)) >= 0)
	{
		AttrNumber	attno = member + FirstLowInvalidHeapAttributeNumber;

		if (attno <= 0 ||
			pg_attribute_aclcheck(shown->relid, attno, role, ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

static bool
role_may_see(Oid role, const Shown *shown)
{
	if (has_privs_of_role(role, shown->owner))
		return true;
	if (!OidIsValid(shown->relid) ||
		ls_schema_aclcheck(get_rel_namespace(shown->relid), role) != ACLCHECK_OK ||
		check_enable_rls(shown->relid, role, true) == RLS_ENABLED)
		return false;
	return pg_class_aclcheck(shown->relid, role, ACL_SELECT) == ACLCHECK_OK ||
		may_read_columns(role, shown);
}

static bool
may_see(const Shown *shown)
{
	return role_may_see(GetOuterUserId(), shown) &&
		(GetUserId() == GetOuterUserId() || role_may_see(GetUserId(), shown));
}

/*
 * ls_disclosure_may_see_table tells whether the caller may see values of a table that
 * a model of an owner reads.
 */
bool
ls_disclosure_may_see_table(Oid owner, Oid relid)
{
	Shown		shown = {owner, relid, NULL};

	return may_see(&shown);
}

/* add_columns adds the columns that an expression reads. */
static Bitmapset *
add_columns(Bitmapset *columns, const LsExpr *expr)
{
	return expr ? bms_add_members(columns, expr->columns) : columns;
}

/* is_opaque tells whether an expression may read more than its row. */
static bool
is_opaque(const LsExpr *expr)
{
	return expr && !expr->builtin;
}

/*
 * may_see_rows tells whether the caller may see how a rule failed on rows that count,
 * follow or cancel.  A function of users may have read anything as the model's owner.
 */
static bool
may_see_rows(const LsModel *model, const LsRule *rule, LsRuleTextRow row)
{
	int			number = rule->rows[row].source;
	const LsSource *source = number >= 0 ? &model->sources[number] : NULL;
	Shown		shown = {model->owner, InvalidOid, NULL};
	Bitmapset  *columns = add_columns(NULL, source ? source->contact : model->contact_key);

	if (source)
		shown.relid = source->relation;
	else if (rule->kind == LS_PROFILE)
		shown.relid = model->contacts;
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
	{
		if (ls_current_names_texts[i].row != row)
			continue;
		if (is_opaque(rule->exprs[i]))
			shown.relid = InvalidOid;
		columns = add_columns(columns, rule->exprs[i]);
	}
	shown.columns = rule->broken ? NULL : columns;
	return may_see(&shown);
}

/*
 * ls_disclosure_may_see_rule tells whether the caller may see how a rule failed, and
 * on whose row.
 */
bool
ls_disclosure_may_see_rule(const LsModel *model, const LsRule *rule)
{
	bool		any = false;

	for (int i = 0; i < LS_NROWS; i++)
	{
		if (!rule->rows[i].read)
			continue;
		any = true;
		if (!may_see_rows(model, rule, i))
			return false;
	}
	return any || may_see_rows(model, rule, LS_ROW_OWN);
}

/*
 * ls_disclosure_may_see_stage tells whether the caller may see how the condition of a
 * stage failed.
 */
bool
ls_disclosure_may_see_stage(const LsModel *model, const LsStage *stage)
{
	Shown		shown = {model->owner, model->contacts, NULL};

	if (is_opaque(stage->condition))
		shown.relid = InvalidOid;
	else
		shown.columns = add_columns(NULL, stage->condition);
	return may_see(&shown);
}

/*
 * ls_disclosure_reason gives an error as far as the caller may see it: its message, or
 * its SQLSTATE.
 */
const char *
ls_disclosure_reason(bool may_see, const ErrorData *error)
{
	return may_see ? error->message :
		psprintf("SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
}

/*
 * ls_disclosure_throw rethrows, from PG_CATCH, the error of a query that was run as
 * the model's owner.  table is the name of the table that was read if the caller may
 * not see it, else NULL.  No catalog may be read here.
 */
void
ls_disclosure_throw(const char *table)
{
	int			code = geterrcode();

	switch (ERRCODE_TO_CATEGORY(code))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			PG_RE_THROW();
		default:
			if (table == NULL)
				PG_RE_THROW();
	}
	FlushErrorState();
	ereport(ERROR,
			(errcode(code),
			 errmsg("rows of table \"%s\" cannot be read for its model, SQLSTATE %s",
					table, unpack_sql_state(code)),
			 errdetail("The message is shown to roles that may read the table.")));
}

/*
 * ls_disclosure_context is an error context callback for writes to the tables of a
 * model, whose constraint violations show the row.  arg is the model.  Like core, it
 * looks up privileges here.
 */
void
ls_disclosure_context(void *arg)
{
	const LsModel *model = arg;

	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION &&
		!ls_disclosure_may_see_table(model->owner, model->score_table))
		errdetail("The row is shown to roles that may read the scores of model \"%s\".", model->name);
}
