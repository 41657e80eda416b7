/*-------------------------------------------------------------------------
 *
 * expression.c
 *		SQL expressions of rules: parsed, checked and run by PostgreSQL itself.
 *
 * A rule belongs to a role, and runs in every session that inserts an event.  So it
 * is compiled and run with the rights of its owner, sees only pg_catalog without
 * naming a schema, and must mean the same in every session: it is read with pinned
 * settings and may use immutable functions only.
 *
 * What fails in it must not make the insert of an event fail.  There are
 * three ways to run an expression, the cheaper ones for those that can do
 * less harm:
 *
 * safe		nothing in it can fail: it is run as it is;
 * builtin	functions of PostgreSQL itself, which have no side effects and
 *			hold nothing when they complain about their arguments: an error
 *			is caught without a subtransaction;
 * other	functions of users can do anything: a subtransaction, as in an
 *			exception block of PL/pgSQL, as the owner.
 *
 * Errors that are not about the expression (ls_error_class) are never caught.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/expression.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "pgtime.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/transaction.h"
#include "base/user.h"
#include "rules/expression_internal.h"

/* One evaluation in a subtransaction */
typedef struct LsRun
{
	LsExpr	   *expr;
	ExprContext *econtext;		/* NULL to make the state only */
	Datum		value;
	bool		isnull;
	bool		entered;
} LsRun;

/* One compilation in a subtransaction */
typedef struct LsTry
{
	const LsExprSpec *spec;
	MemoryContext context;
	LsExpr	   *expr;
} LsTry;

/* ---------- planning ---------- */

/* The columns of an expression that is being planned. */
typedef struct Hidden
{
	List	   *columns;		/* Vars, by their parameters' numbers */
	bool		constants;		/* so that functions of them are not folded */
} Hidden;

/*
 * hide makes a parameter of each column, of a kind of its own: an expression may
 * have others, which are PARAM_EXTERN.
 */
static Node *
hide(Node *node, void *context)
{
	Hidden   *hidden = context;

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
	Hidden   *hidden = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		return copyObject(list_nth(hidden->columns, ((Param *) node)->paramid));
	return expression_tree_mutator(node, show, context);
}

/*
 * plan plans an expression; the executable form is made in the given memory
 * context.  *cached is for checks of its validity, and has to be freed.
 */
static Node *
plan(Node *analysed, MemoryContext context, CachedExpression **cached)
{
	Hidden	hidden = {0};
	MemoryContext old;
	Node	   *planned;

	*cached = GetCachedExpression(hide(analysed, &hidden));
	old = MemoryContextSwitchTo(context);
	planned = show((*cached)->expr, &hidden);
	MemoryContextSwitchTo(old);
	return planned;
}

/*
 * watch_functions adds what a cached expression does not depend on: a
 * function of constants is folded to a constant, and no invalidation of it arrives.
 * So a second one is cached, with parameters in place of constants.
 */
static void
watch_functions(LsCompile *c, CachedExpression **watched)
{
	Hidden	hidden = {.constants = true};
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

/* ---------- compiling ---------- */

/* pin_settings makes literals and operators mean the same in every session. */
static void
pin_settings(void)
{
	const struct
	{
		const char *name;
		const char *value;
		bool		set;
	}			settings[] = {
		{"TimeZone", "UTC", strcmp(pg_get_timezone_name(session_timezone), "UTC") == 0},
		{"DateStyle", "ISO, YMD", DateStyle == USE_ISO_DATES && DateOrder == DATEORDER_YMD},
		{"IntervalStyle", "postgres", IntervalStyle == INTSTYLE_POSTGRES},
		{"standard_conforming_strings", "on", ls_standard_strings()},
		{"transform_null_equals", "off", !Transform_null_equals},
		{"array_nulls", "on", Array_nulls},
		{"bytea_output", "hex", bytea_output == BYTEA_OUTPUT_HEX},
		{"extra_float_digits", "1", extra_float_digits == 1},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
	{
		if (settings[i].set)
			continue;
		(void) set_config_option(settings[i].name, settings[i].value, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	}
}

/* release_cached frees what lives outside the context of an expression. */
static void
release_cached(void *arg)
{
	LsExpr	   *expr = arg;

	if (expr->cached)
		FreeCachedExpression(expr->cached);
	if (expr->watched)
		FreeCachedExpression(expr->watched);
}

/*
 * build plans the expression and assembles the result.  Until it has succeeded its
 * context belongs to the transaction, which frees it after an error.
 */
static LsExpr *
build(LsCompile *c)
{
	MemoryContext own = AllocSetContextCreate(CurTransactionContext,
											  "leadscore expression",
											  ALLOCSET_SMALL_SIZES);
	LsExpr	   *expr = MemoryContextAllocZero(own, sizeof(LsExpr));
	Node	   *planned = ls_expand_generated_columns(c->analysed, c->spec->rel);
	Node	   *bare;
	MemoryContext old;

	/* planning runs functions of constants */
	ls_reach_expression(&c->reach, planned);
	ls_reach_check(&c->reach, c->spec->role);

	expr->context = own;
	expr->release.func = release_cached;
	expr->release.arg = expr;
	MemoryContextRegisterResetCallback(own, &expr->release);

	old = MemoryContextSwitchTo(own);
	expr->where = pstrdup(c->spec->where);
	expr->users = 1;
	expr->role = c->spec->role;
	expr->type = c->type;
	expr->form = c->form;
	pull_varattnos(c->analysed, 1, &expr->columns);
	pull_varattnos(planned, 1, &expr->columns);
	MemoryContextSwitchTo(old);

	bare = planned;
	while (IsA(bare, RelabelType))
		bare = (Node *) ((RelabelType *) bare)->arg;
	if (c->spec->use == LS_EXPR_COLUMN && IsA(bare, Var))
	{
		expr->attno = ((Var *) bare)->varattno;
		expr->builtin = expr->safe = true;
	}
	else
	{
		if (c->spec->use == LS_EXPR_COLUMN)
			pin_settings();
		expr->planned = planned = plan(planned, own, &expr->cached);
		ls_expr_check_immutable(c, planned);
		watch_functions(c, &expr->watched);
		convert_saop_to_hashed_saop(planned);
		ls_expr_gather_functions(c, planned);
		ls_expr_classify(expr, planned);
		expr->state_context = AllocSetContextCreate(own,
													"leadscore expression state",
													ALLOCSET_SMALL_SIZES);
	}

	old = MemoryContextSwitchTo(own);
	ls_reach_merge(&expr->reach, &c->reach);
	MemoryContextSwitchTo(old);
	return expr;
}

/*
 * ls_expr_compile compiles an expression or raises an error that says what is wrong
 * with it.  The caller holds a lock on the relation; functions of users need an
 * active snapshot.
 */
LsExpr *
ls_expr_compile(const LsExprSpec *spec, MemoryContext context)
{
	LsCompile	c = {.spec = spec};
	LsUser		saved;
	ErrorContextCallback callback;
	MemoryContext work;
	MemoryContext old;
	LsExpr	   *expr;
	LsExprAdvice *advice;

	CHECK_FOR_INTERRUPTS();
	elog(DEBUG2, "leadscore compiles %s", spec->where);
	callback.callback = ls_expr_compile_error;
	callback.arg = &c;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	ls_user_switch_to_compute(spec->role, &saved);
	/* a column has no literals, and nearly always nothing that is planned */
	if (spec->use != LS_EXPR_COLUMN)
		pin_settings();
	work = AllocSetContextCreate(CurTransactionContext,
								 "leadscore compilation",
								 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);

	ls_expr_analyse(&c);
	expr = build(&c);
	MemoryContextSetParent(expr->context, context);
	advice = spec->advise ? ls_expr_advise(&c) : NULL;

	MemoryContextSwitchTo(old);
	ls_user_restore(&saved);
	error_context_stack = callback.previous;
	if (advice)
		ls_expr_tell(advice);
	MemoryContextDelete(work);
	return expr;
}

/*
 * how many errors were rethrown, for callers that catch other errors of the same
 * codes
 */
uint64		ls_expr_passed_on = 0;

/*
 * pass_on rethrows an error that is not about the expression.  Its detail, hint and
 * context are for sessions that have the rights with which it was run.
 */
static void
pass_on(ErrorData *error, Oid role)
{
	ls_expr_passed_on++;
	if (!has_privs_of_role(GetOuterUserId(), role))
		error->detail = error->hint = error->context = error->internalquery = NULL;
	ReThrowError(error);
}

/* try_compile is ls_expr_compile() for ls_subtransaction_run(). */
static void
try_compile(void *arg)
{
	LsTry	   *try = arg;

	try->expr = ls_expr_compile(try->spec, try->context);
}

/*
 * ls_expr_try_compile compiles an expression, or gives NULL and the error in
 * the current memory context.
 */
LsExpr *
ls_expr_try_compile(const LsExprSpec *spec, MemoryContext context,
					ErrorData **error)
{
	LsTry		try = {.spec = spec, .context = context};

	*error = ls_subtransaction_run(try_compile, &try);
	if (*error && ls_error_passes((*error)->sqlerrcode))
		pass_on(*error, spec->role);
	return *error ? NULL : try.expr;
}

/* read_meaning reads a text for ls_subtransaction_run(). */
static void
read_meaning(void *arg)
{
	LsCompile  *c = arg;
	LsUser		saved;

	ls_user_switch_to_compute(c->spec->role, &saved);
	pin_settings();
	ls_expr_read_text(c);
	ls_user_restore(&saved);
}

/*
 * ls_expr_read gives what a text means, whether its role may use it or not, or NULL
 * and the error.  Both are made in the current memory context.
 */
Node *
ls_expr_read(const LsExprSpec *spec, ErrorData **error)
{
	LsCompile	c = {.spec = spec};

	*error = ls_subtransaction_run(read_meaning, &c);
	if (*error && ls_error_passes((*error)->sqlerrcode))
		pass_on(*error, spec->role);
	return *error ? NULL : c.analysed;
}

/*
 * ls_expr_valid tells whether what was built into an expression, such as the body of
 * a function, is unchanged.  The caller has to recognise changes of the relation.
 */
bool
ls_expr_valid(const LsExpr *expr)
{
	return (expr->cached == NULL || expr->cached->is_valid) &&
		(expr->watched == NULL || expr->watched->is_valid);
}

/*
 * ls_expr_free frees an expression when its last user does; so does deleting the
 * caller's context.
 */
void
ls_expr_free(LsExpr *expr)
{
	if (--expr->users == 0)
		MemoryContextDelete(expr->context);
}

/* ---------- evaluating ---------- */

/* whether an expression is running, for the signal handler that watches how long */
volatile uint64 ls_expr_runs = 0;
volatile bool ls_expr_running = false;

/* eval_error says in which expression an error was raised. */
static void
eval_error(void *arg)
{
	errcontext("%s", ((LsExpr *) arg)->where);
}

/* has_state tells whether an expression is ready to be run. */
static bool
has_state(const LsExpr *expr)
{
	return expr->state != NULL &&
		(expr->builtin || expr->transaction == ls_transaction_number());
}

/*
 * run_as_role makes the state of an expression, where it needs one, and runs it as
 * its role, for ls_subtransaction_run().  A state holds the progress of an
 * evaluation: it is run once at a time, and not again after an error.
 */
static void
run_as_role(void *arg)
{
	LsRun	   *run = arg;
	LsExpr	   *expr = run->expr;
	LsUser		saved;

	if (expr->busy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("%s must not be evaluated by a function of its own",
						expr->where)));
	expr->busy = run->entered = true;
	ls_user_switch_to_compute(expr->role, &saved);
	if (!has_state(expr))
	{
		MemoryContext old;

		expr->state = NULL;
		MemoryContextReset(expr->state_context);
		old = MemoryContextSwitchTo(expr->state_context);
		expr->state = ExecInitExpr((Expr *) expr->planned, NULL);
		expr->transaction = ls_transaction_number();
		MemoryContextSwitchTo(old);
	}
	if (run->econtext)
		run->value = ExecEvalExprSwitchContext(expr->state, run->econtext,
											   &run->isnull);
	ls_user_restore(&saved);
	expr->busy = false;
}

/* eval_in_subtransaction runs an expression, or only makes its state. */
static ErrorData *
eval_in_subtransaction(LsRun *run)
{
	bool		outer = ls_expr_running;
	ErrorData  *error;

	if (!outer)
		ls_expr_runs++;
	ls_expr_running = true;
	error = ls_subtransaction_run(run_as_role, run);
	ls_expr_running = outer;
	if (error == NULL)
		return NULL;
	if (run->entered)
	{
		run->expr->busy = false;
		run->expr->state = NULL;
	}
	if (ls_error_passes(error->sqlerrcode))
		pass_on(error, run->expr->role);
	return error;
}

/*
 * eval_builtin runs an expression that does no harm when it fails: PostgreSQL's own
 * functions hold nothing when they raise an error about their arguments.
 */
static ErrorData *
eval_builtin(LsRun *run)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		run->value = ExecEvalExprSwitchContext(run->expr->state, run->econtext,
											   &run->isnull);
	}
	PG_CATCH();
	{
		run->expr->state = NULL;
		if (ls_error_passes(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return error;
}

/*
 * ls_expr_eval evaluates an expression for the tuple in ecxt_scantuple, and
 * its variables in ecxt_param_list_info.  A value passed by reference lives
 * in the per-tuple memory or in the tuple.  So does *error: a pass in which every
 * row fails must not need more memory than one in which none does.
 */
LsExprResult
ls_expr_eval(LsExpr *expr, ExprContext *econtext,
			 Datum *value, bool *isnull, ErrorData **error)
{
	LsRun		run = {.expr = expr, .isnull = true};
	ErrorData  *failure = NULL;
	ErrorContextCallback callback;
	MemoryContext old;

	if (expr->attno != 0)
	{
		*value = slot_getattr(econtext->ecxt_scantuple, expr->attno, isnull);
		return LS_EXPR_OK;
	}

	callback.callback = eval_error;
	callback.arg = expr;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	if (expr->builtin && !has_state(expr))
		failure = eval_in_subtransaction(&run);
	run.econtext = econtext;
	if (failure != NULL)
		 /* cannot be run at all */ ;
	else if (!expr->builtin)
		failure = eval_in_subtransaction(&run);
	else if (!expr->safe)
		failure = eval_builtin(&run);
	else
		run.value = ExecEvalExprSwitchContext(expr->state, econtext,
											  &run.isnull);
	MemoryContextSwitchTo(old);
	error_context_stack = callback.previous;

	*value = run.value;
	*isnull = run.isnull || failure != NULL;
	if (failure == NULL)
		return LS_EXPR_OK;
	*error = failure;
	return LS_EXPR_FAILED;
}

/*
 * ls_expr_eval_on_row is ls_expr_eval() for an expression that rules may share: what
 * came of it is remembered for the row, whose number no other row ever has, and which
 * goes on to be the one of econtext until all rules have been tried.
 */
LsExprResult
ls_expr_eval_on_row(LsExpr *expr, uint64 row, ExprContext *econtext,
					Datum *value, bool *isnull, ErrorData **error)
{
	LsExprResult result;

	if (expr->users == 1)
		return ls_expr_eval(expr, econtext, value, isnull, error);
	if (expr->row == row)
	{
		*value = expr->value;
		*isnull = expr->isnull;
		*error = expr->error;
		return expr->result;
	}
	result = ls_expr_eval(expr, econtext, value, isnull, error);
	/* only now: a function in it may have matched other rows */
	expr->row = row;
	expr->result = result;
	expr->value = *value;
	expr->isnull = *isnull;
	expr->error = result == LS_EXPR_FAILED ? *error : NULL;
	return result;
}
