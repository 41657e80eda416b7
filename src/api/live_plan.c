/*-------------------------------------------------------------------------
 *
 * live_plan.c
 *		Queries of live_<model>, before they are planned.
 *
 * The planner copies what the view shows several times, for each of its arms, and then
 * drops the columns that the query does not use.  A look-up of one contact spends most of
 * its time so.  Hence a column that nothing in the query refers to becomes a NULL before
 * it is planned, as the planner itself does with subqueries that it does not flatten.
 *
 * The hook is installed when the library is loaded; without it a query gives the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/live_plan.h"

#include "nodes/bitmapset.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "definitions/extension.h"

static planner_hook_type previous_planner = NULL;

/* Columns of an entry of the range table that a query refers to */
typedef struct Used
{
	const Query *query;
	int			varno;
	Index		level;			/* how deep in the query */
	bool		all;
	Bitmapset  *columns;
} Used;

static bool find_used(Node *node, Used *used);

/* find_by_join looks at what a column of a join stands for. */
static bool
find_by_join(const RangeTblEntry *join, AttrNumber column, Used *used)
{
	Index		level = used->level;

	if (column <= 0 || column > list_length(join->joinaliasvars))
	{
		used->all = true;
		return true;
	}
	used->level = 0;
	(void) find_used(list_nth(join->joinaliasvars, column - 1), used);
	used->level = level;
	return used->all;
}

/* find_used collects the columns that are referred to; true: no need to go on. */
static bool
find_used(Node *node, Used *used)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		const Var  *var = (const Var *) node;
		const RangeTblEntry *rte;

		if (var->varlevelsup != used->level)
			return false;
		rte = rt_fetch(var->varno, used->query->rtable);
		if (rte->rtekind == RTE_JOIN)
			return find_by_join(rte, var->varattno, used);
		if (var->varno != used->varno)
			return false;
		if (var->varattno <= 0)
			used->all = true;
		else
			used->columns = bms_add_member(used->columns, var->varattno);
		return used->all;
	}
	if (IsA(node, Query))
	{
		bool		done;

		/* what its joins stand for as well, whether it is used or not */
		used->level++;
		done = query_tree_walker((Query *) node, find_used, used, 0);
		used->level--;
		return done;
	}
	return expression_tree_walker(node, find_used, used);
}

/* find_used_of_query collects the columns of an entry that its query refers to. */
static void
find_used_of_query(Query *query, Used *used)
{
	ListCell   *lc;

	/* joins have all columns of both sides */
	if (query_tree_walker(query, find_used, used, QTW_IGNORE_JOINALIASES | QTW_IGNORE_RT_SUBQUERIES))
		return;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY && rte->lateral && find_used((Node *) rte->subquery, used))
			return;
	}
}

/* is_live_column tells whether a function is leadscore_internal.live_column(). */
static bool
is_live_column(Oid function)
{
	char	   *name = get_func_name(function);

	return name && strcmp(name, "live_column") == 0 &&
		ls_extension_has_schema(get_func_namespace(function));
}

/*
 * column_function gives the function that all columns of a view live_<model> but the key
 * are calls of; InvalidOid: this is not such a view.
 */
static Oid
column_function(const RangeTblEntry *rte)
{
	const Query *view = rte->subquery;
	const TargetEntry *target;

	if (rte->rtekind != RTE_SUBQUERY || view->commandType != CMD_SELECT || view->setOperations ||
		view->distinctClause || view->groupClause || view->sortClause || list_length(view->targetList) < 2)
		return InvalidOid;
	target = lsecond(view->targetList);
	if (!IsA(target->expr, FuncExpr) || list_length(((FuncExpr *) target->expr)->args) != 5 ||
		!is_live_column(((FuncExpr *) target->expr)->funcid))
		return InvalidOid;
	return ((FuncExpr *) target->expr)->funcid;
}

/* drop_unused has a view show NULL in the columns that its query does not refer to. */
static void
drop_unused(Query *query, int varno, Oid function)
{
	Used		used = {.query = query, .varno = varno};
	ListCell   *lc;

	find_used_of_query(query, &used);
	if (used.all)
		return;
	foreach(lc, rt_fetch(varno, query->rtable)->subquery->targetList)
	{
		TargetEntry *target = lfirst(lc);
		Node	   *expr = (Node *) target->expr;

		if (IsA(expr, FuncExpr) && ((FuncExpr *) expr)->funcid == function &&
			target->ressortgroupref == 0 && !bms_is_member(target->resno, used.columns))
			target->expr = (Expr *) makeNullConst(exprType(expr), exprTypmod(expr), exprCollation(expr));
	}
	bms_free(used.columns);
}

static PlannedStmt *
plan(LS_PLANNER_PARAMETERS)
{
	/* rows that are locked are needed whole */
	if (query->commandType == CMD_SELECT && query->setOperations == NULL && query->rowMarks == NIL)
		for (int varno = 1; varno <= list_length(query->rtable); varno++)
		{
			Oid			function = column_function(rt_fetch(varno, query->rtable));

			if (OidIsValid(function))
				drop_unused(query, varno, function);
		}
	return (previous_planner ? previous_planner : standard_planner)
		(LS_PLANNER_ARGUMENTS);
}

/* ls_live_plan_define installs the hook. */
void
ls_live_plan_define(void)
{
	previous_planner = planner_hook;
	planner_hook = plan;
}
