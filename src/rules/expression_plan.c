/*-------------------------------------------------------------------------
 *
 * expression_plan.c
 *		An analysed expression, planned, and invalidated with what is built into it.
 *
 * GetCachedExpression() plans an expression that stands by itself, and says later
 * whether a function that was inlined into it has been replaced.  It is meant for
 * expressions without columns: as the planner is given no query, it cannot look up
 * what it may want to know of a column (from 19 on whether it is NOT NULL, for IS
 * NULL, coalesce() and IS DISTINCT FROM), and fails with a crash of the server.  So
 * each column is a parameter of unknown value while the expression is planned, and a
 * column again afterwards, on every version.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/expression_internal.h"

#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "utils/plancache.h"

/* The columns of an expression that is being planned. */
typedef struct LsHidden
{
	List	   *columns;		/* Vars, by their parameters' numbers */
	bool		constants;		/* so that functions of them are not folded */
} LsHidden;

/*
 * hide makes a parameter of each column, of a kind of its own: an expression may
 * have others, which are PARAM_EXTERN.
 */
static Node *
hide(Node *node, void *context)
{
	LsHidden   *hidden = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		Const		like = {.consttype = var->vartype, .consttypmod = var->vartypmod,
		.constcollid = var->varcollid, .location = var->location};
		Param	   *param = (Param *) ls_expr_param(list_length(hidden->columns), &like);

		param->paramkind = PARAM_EXEC;
		hidden->columns = lappend(hidden->columns, var);
		return (Node *) param;
	}
	if (hidden->constants && IsA(node, Const))
		return ls_expr_param(1, (Const *) node);
	return expression_tree_mutator(node, hide, context);
}

/* show copies an expression with its columns restored. */
static Node *
show(Node *node, void *context)
{
	LsHidden   *hidden = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		return copyObject(list_nth(hidden->columns, ((Param *) node)->paramid));
	return expression_tree_mutator(node, show, context);
}

/*
 * ls_expr_plan plans an expression; the executable form is made in the given memory
 * context.  *cached is for checks of its validity, and has to be freed.
 */
Node *
ls_expr_plan(Node *analysed, MemoryContext context, CachedExpression **cached)
{
	LsHidden	hidden = {0};
	MemoryContext old;
	Node	   *planned;

	*cached = GetCachedExpression(hide(analysed, &hidden));
	old = MemoryContextSwitchTo(context);
	planned = show((*cached)->expr, &hidden);
	MemoryContextSwitchTo(old);
	return planned;
}

/*
 * ls_expr_watch_functions adds what a cached expression does not depend on: a
 * function of constants is folded to a constant, and no invalidation of it arrives.
 * So a second one is cached, with parameters in place of constants.
 */
void
ls_expr_watch_functions(LsCompile *c, CachedExpression **watched)
{
	LsHidden	hidden = {.constants = true};
	ListCell   *lc;

	foreach(lc, c->functions)
	{
		if (lfirst_oid(lc) >= FirstNormalObjectId)
		{
			*watched = GetCachedExpression(hide(c->analysed, &hidden));
			ls_expr_gather_functions(c, (*watched)->expr);
			break;
		}
	}
}
