/*-------------------------------------------------------------------------
 *
 * expression.h
 *		SQL expressions of rules: parsed, checked and run by PostgreSQL itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EXPRESSION_H
#define LEADSCORE_EXPRESSION_H

#include "postgres.h"

#include "executor/executor.h"
#include "nodes/bitmapset.h"
#include "utils/plancache.h"
#include "utils/rel.h"

#include "base/reachable_code.h"

typedef enum LsExprUse
{
	LS_EXPR_CONDITION,			/* gives boolean */
	LS_EXPR_WEIGHT,				/* gives float8 */
	LS_EXPR_VALUE,				/* gives what a value is told apart by (LsExprForm) */
	LS_EXPR_TAGS,				/* gives text or text[] */
	LS_EXPR_COLUMN				/* a column of the table, turned into a type */
} LsExprUse;

/* What to compile.  For a column, text is its bare name, not SQL. */
typedef struct LsExprSpec
{
	LsExprUse	use;
	Relation	rel;			/* whose columns it may use */
	const char *text;
	Oid			role;			/* the role as which it is checked and run */
	const char *where;			/* for messages: condition of rule "x" ... */
	Oid			type;			/* LS_EXPR_COLUMN: the type it is turned into */
	List	   *variables;		/* further float8 names that it may use, which hide columns */
	bool		advise;			/* warn its author of what may not be meant */
} LsExprSpec;

/* What an expression of a value gives, by which values of its type are told apart */
typedef enum LsExprForm
{
	LS_FORM_DATUM,				/* passed by value, equal where it is byte by byte */
	LS_FORM_UUID,
	LS_FORM_TEXT,
	LS_FORM_LABEL,				/* of an enum */
	LS_FORM_HASHES				/* int8[]: two hashes of the value */
} LsExprForm;

typedef enum LsExprResult
{
	LS_EXPR_OK,
	LS_EXPR_FAILED				/* *error says how; nothing else is changed */
} LsExprResult;

typedef struct LsExpr
{
	char	   *where;
	int			users;			/* rules that share it */
	uint64		row;			/* on which it was evaluated last, if they do ... */
	LsExprResult result;		/* ... and what came of it */
	Datum		value;
	bool		isnull;
	ErrorData  *error;			/* in the row's memory */
	Oid			role;
	Node	   *planned;		/* what is run; NULL where attno is set */
	CachedExpression *cached;	/* for checking that it is still valid */
	CachedExpression *watched;	/* ... and the functions folded into it */
	ExprState  *state;			/* made at the first evaluation ... */
	MemoryContext state_context;	/* ... in here ... */
	uint64		transaction;	/* ... of this transaction */
	bool		busy;			/* being evaluated: a function may evaluate it again */
	MemoryContext context;		/* its own, a child of the one asked for */
	MemoryContextCallback release;	/* frees cached with it */
	Bitmapset  *columns;		/* offset by FirstLowInvalidHeapAttributeNumber */
	LsReach		reach;			/* what running it reaches */
	bool		builtin;		/* only PostgreSQL's own functions, run without a subtransaction */
	bool		safe;			/* nothing in it can fail: all leakproof */
	Oid			type;			/* of values: base type, text for all character types */
	LsExprForm	form;
	AttrNumber	attno;			/* of a plain column without conversion, else 0 */
} LsExpr;

/* ls_expr_is_fixed tells whether an expression (or none) gives the same for the same columns, at any time. */
static inline bool
ls_expr_is_fixed(const LsExpr *expr)
{
	return expr == NULL || (expr->builtin && expr->watched == NULL);
}

extern LsExpr *ls_expr_compile(const LsExprSpec *spec, MemoryContext context);
extern LsExpr *ls_expr_try_compile(const LsExprSpec *spec, MemoryContext context,
								   ErrorData **error);
extern Node *ls_expr_read(const LsExprSpec *spec, ErrorData **error);
extern bool ls_expr_valid(const LsExpr *expr);
extern void ls_expr_free(LsExpr *expr);
extern LsExprResult ls_expr_eval(LsExpr *expr, ExprContext *econtext,
								 Datum *value, bool *isnull, ErrorData **error);
extern LsExprResult ls_expr_eval_on_row(LsExpr *expr, uint64 row, ExprContext *econtext,
										Datum *value, bool *isnull, ErrorData **error);

/* how many errors that are not about the expression were rethrown */
extern uint64 ls_expr_passed_on;

/* how many expressions that may call functions were run, and whether one is */
extern volatile uint64 ls_expr_runs;
extern volatile bool ls_expr_running;

#endif							/* LEADSCORE_EXPRESSION_H */
