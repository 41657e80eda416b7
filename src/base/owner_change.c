/*-------------------------------------------------------------------------
 *
 * owner_change.c
 *		Tables of a model that get another owner.
 *
 * What an owner has put on a table runs as the table's owner: triggers, rules,
 * policies, expressions.  When the table goes to a role whose privileges the former
 * owner does not have, all of that would run with the new owner's, as the extension
 * writes to the table as its owner.  So ALTER TABLE OWNER TO is refused until it is
 * dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "base/owner_change.h"

#include "access/relation.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/reachable_code.h"
#include "base/relation.h"
#include "base/trusted_code.h"

/*
 * expression_of gives an expression that runs whenever rows are written, and may call
 * anything.
 */
static const char *
expression_of(Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	if (constr && constr->num_check > 0)
		return psprintf("constraint \"%s\"", constr->check[0].ccname);
	if (constr && constr->num_defval > 0)
		return psprintf("default of column \"%s\"",
						NameStr(TupleDescAttr(RelationGetDescr(rel),
											  constr->defval[0].adnum - 1)->attname));
	return NULL;
}

/* trigger_of gives a trigger with code that the new owner would not run otherwise. */
static const char *
trigger_of(Relation rel, Oid owner)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (!trigger->tgisinternal &&
			(trigger->tgqual || !ls_trust_function(trigger->tgfoid, owner)))
			return psprintf("trigger \"%s\"", trigger->tgname);
	}
	return NULL;
}

/* brings gives what on a table would run as its new owner; NULL: nothing. */
static const char *
brings(Relation rel, Oid owner)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const char *found;

	for (int i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event != CMD_SELECT ||
			rel->rd_rel->relkind != RELKIND_VIEW)
			return "rule";
	if (rel->rd_rsdesc)
		return "policy";
	found = trigger_of(rel, owner);
	if (found || rel->rd_rel->relkind == RELKIND_VIEW)
		return found;
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return "relation of another kind in its place";
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			OidIsValid(ls_reach_type_untrusted(TupleDescAttr(desc, i)->atttypid, owner)))
			return psprintf("type of column \"%s\"", NameStr(TupleDescAttr(desc, i)->attname));
	return expression_of(rel);
}

static void
check_one(Oid relid, Oid owner)
{
	Relation	rel = try_relation_open(relid, AccessExclusiveLock);
	const char *found;

	if (rel == NULL)
		return;
	found = ls_trust_role(rel->rd_rel->relowner, owner) ? NULL : brings(rel, owner);
	if (found)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("\"%s\" cannot be given to role \"%s\" as it is",
						RelationGetRelationName(rel), GetUserNameFromId(owner, false)),
				 errdetail("It has a %s of role \"%s\", which would run with the rights of role \"%s\".",
						   found, GetUserNameFromId(rel->rd_rel->relowner, false),
						   GetUserNameFromId(owner, false)),
				 errhint("Drop it before.")));
	relation_close(rel, NoLock);
}

/*
 * ls_owner_change_check refuses to give a table, with its partitions and children, to
 * a role where code of the former owner would then run as that role.  The table stays
 * locked.
 */
void
ls_owner_change_check(Oid relid, Oid owner)
{
	LsReach		reach = {NIL};
	ErrorData  *error;
	ListCell   *lc;

	foreach(lc, ls_relation_tree(relid))
		check_one(lfirst_oid(lc), owner);
	/* a view is re-created */
	error = get_rel_relkind(relid) == RELKIND_VIEW ? NULL :
		ls_reach_table_error(&reach, relid, owner);
	if (error)
		ThrowErrorData(error);
}
