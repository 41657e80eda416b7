/*-------------------------------------------------------------------------
 *
 * definition_hooks.c
 *		Statements on definitions that PostgreSQL would allow, or refuse with an
 *		unhelpful message.
 *
 * INSERT ... ON CONFLICT into one of the views of definition_view.c is refused by the
 * planner because there is no index, or not at all where it names none.  The planner
 * hook looks for it, as views over these views, rules and bodies of functions have been
 * expanded by then.
 *
 * LOCK TABLE on a view asks for the privilege to delete from it, which PUBLIC has here.
 * The lock would not reach the base table, nor stop writers of events, but it would
 * block other sessions that read or change their rules.  It is refused on the view
 * itself and on views over it, as PostgreSQL locks the views below a view.
 *
 * Rules that the transaction has changed are backfilled before a statement that reads
 * scores.  The planner hook is the place for this, as the statement's snapshot is taken
 * afterwards.
 *
 * The hooks are installed when the library is loaded.
 *
 *-------------------------------------------------------------------------
 */
#include "model/definition_view.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "counting/model_update.h"
#include "definitions/model_change.h"

static planner_hook_type previous_planner = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* ---------- ON CONFLICT ---------- */

/* refuse_on_conflict looks at a statement and at those of its WITH clause. */
static void
refuse_on_conflict(const Query *query)
{
	ListCell   *lc;

	if (query->commandType == CMD_INSERT && query->onConflict)
	{
		const RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);

		if (ls_definition_is_view(rte->relid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("ON CONFLICT is not supported for view \"%s\"", get_rel_name(rte->relid)),
					 errdetail("A view has no unique index."),
					 errhint("Use UPDATE, and INSERT ... SELECT ... WHERE NOT EXISTS (...) for what it does not find.")));
	}
	foreach(lc, query->cteList)
	{
		const CommonTableExpr *cte = lfirst(lc);

		if (IsA(cte->ctequery, Query))
			refuse_on_conflict((const Query *) cte->ctequery);
	}
}

/* ---------- scores whose rules are to be backfilled ---------- */

/*
 * is_asking_function tells whether a function may read scores: a function of a user
 * always may.
 */
static bool
is_asking_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId &&
		get_func_namespace(function) != get_namespace_oid(LEADSCORE_INTERNAL, true);
}

/*
 * asks tells whether a statement may read scores, also by way of views and functions.
 * One that reads or writes definitions does not.
 */
static bool
asks(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_asking_function, NULL))
		return true;
	if (IsA(node, RangeTblEntry))
	{
		const RangeTblEntry *rte = (const RangeTblEntry *) node;

		return rte->rtekind == RTE_RELATION && !ls_definition_is_view(rte->relid) &&
			get_rel_namespace(rte->relid) == get_namespace_oid(LEADSCORE_SCHEMA, true);
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, asks, context, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, asks, context);
}

static PlannedStmt *
plan(LS_PLANNER_PARAMETERS)
{
	refuse_on_conflict(query);
	if (ls_model_change_waits() && asks((Node *) query, NULL))
		ls_model_update_if_asked();
	return (previous_planner ? previous_planner : standard_planner)
		(LS_PLANNER_ARGUMENTS);
}

/* ---------- LOCK TABLE ---------- */

static bool refuse_lock_walker(Node *node, List *seen);

/* refuse_lock looks at a view that is to be locked, and at the views below it. */
static void
refuse_lock(Oid relation, List *seen)
{
	Relation	view;

	if (get_rel_relkind(relation) != RELKIND_VIEW || list_member_oid(seen, relation))
		return;
	if (ls_definition_is_view(relation) && !ls_class_ownercheck(relation, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to lock view \"%s\"", get_rel_name(relation)),
				 errdetail("Other models have their definitions in it, too."),
				 errhint("Statements that change definitions lock the models that they change.")));
	view = try_relation_open(relation, AccessShareLock);
	if (view == NULL)
		return;
	if (view->rd_rel->relkind == RELKIND_VIEW)
		(void) refuse_lock_walker((Node *) get_view_query(view), lappend_oid(list_copy(seen), relation));
	relation_close(view, AccessShareLock);
}

static bool
refuse_lock_walker(Node *node, List *seen)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		const RangeTblEntry *rte = (const RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION)
			refuse_lock(rte->relid, seen);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, refuse_lock_walker, seen,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, refuse_lock_walker, seen);
}

/*
 * runs_under_own_snapshot tells whether a command runs a statement under the snapshot
 * taken for the command, before the statement is planned.
 */
static bool
runs_under_own_snapshot(const Node *stmt)
{
	return (IsA(stmt, ExecuteStmt) || IsA(stmt, DeclareCursorStmt)) && ActiveSnapshotSet();
}

static void
utility(PlannedStmt *planned, const char *text, bool read_only, ProcessUtilityContext context,
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		QueryCompletion *completion)
{
	bool		counted = false;

	if (IsA(planned->utilityStmt, LockStmt) &&
		((const LockStmt *) planned->utilityStmt)->mode >= ShareLock)
	{
		ListCell   *lc;

		foreach(lc, ((const LockStmt *) planned->utilityStmt)->relations)
			refuse_lock(RangeVarGetRelid(lfirst(lc), NoLock, true), NIL);
	}
	if (ls_model_change_waits() && runs_under_own_snapshot(planned->utilityStmt))
	{
		ls_model_update_if_asked();
		PushCopiedSnapshot(GetActiveSnapshot());
		UpdateActiveSnapshotCommandId();
		counted = true;
	}
	(previous_utility ? previous_utility : standard_ProcessUtility)
		(planned, text, read_only, context, params, environment, dest, completion);
	if (counted)
		PopActiveSnapshot();
}

/* ls_definitions_define installs the hooks. */
void
ls_definitions_define(void)
{
	previous_planner = planner_hook;
	planner_hook = plan;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
