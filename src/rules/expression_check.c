/*-------------------------------------------------------------------------
 *
 * expression_check.c
 *		What gives the same result at any time, and what can go wrong on the way.
 *
 * Two questions about a planned expression, both asked of each function, cast and
 * operator in it: whether it is immutable, and if not, what the author of the rule
 * would write instead; and whose code it runs, which decides how it is run (see
 * expression.c).
 *
 *-------------------------------------------------------------------------
 */
#include "rules/expression_internal.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

/* What makes an expression not immutable */
typedef struct LsMutable
{
	bool		column;			/* labels of an enum are compared as they are now */
	Oid			only;			/* look for this function alone */
	Node	   *node;
	Oid			function;
} LsMutable;

/* What to write instead of functions that are not immutable */
#define CHANCE_HINT \
	"The same events must always give the same score."
#define TEXT_HINT \
	"Use the operator || with coalesce() instead, as in coalesce(a, '') || b."
#define READ_HINT \
	"Write a literal with its time zone, such as timestamptz '2024-01-31 00:00+00', or use make_date()."
#define ZONE_HINT \
	"Name the time zone, as in (column AT TIME ZONE 'Europe/Berlin')::date."
#define TO_ZONE_HINT \
	"Name the time zone, as in column AT TIME ZONE 'Europe/Berlin'."
#define TRUNC_HINT \
	"Name the time zone, as in date_trunc('day', column AT TIME ZONE 'Europe/Berlin')."
#define EXTRACT_HINT \
	"Use extract() and name the time zone, as in extract(hour FROM column AT TIME ZONE 'Europe/Berlin')."
#define DATE_TEXT_HINT \
	"Use extract() or date_trunc(), or compare with a literal of the type."
#define ENUM_HINT \
	"Compare the column itself, as in column = 'label'."
#define ARRAY_HINT \
	"Compare its elements, as in 'value' = ANY (column)."
#define IMMUTABLE_HINT \
	"If it depends on nothing but its arguments, mark it IMMUTABLE. If it looks something up, have a trigger fill a column of the table with its result, and use that."

/* ---------- immutability ---------- */

/* ls_expr_is_datetime tells whether values of a type are, or hold, dates or times. */
bool
ls_expr_is_datetime(Oid type)
{
	char		category;
	bool		preferred;
	Oid			part;

	type = getBaseType(type);
	get_type_category_preferred(type, &category, &preferred);
	if (category == TYPCATEGORY_DATETIME)
		return true;
	part = get_element_type(type);
	if (!OidIsValid(part))
		part = get_multirange_range(type);
	if (!OidIsValid(part))
		part = get_range_subtype(type);
	return OidIsValid(part) && ls_expr_is_datetime(part);
}

/* is_mutable tells whether a function is one that is looked for. */
static bool
is_mutable(Oid function, void *context)
{
	LsMutable  *found = context;

	if (func_volatile(function) == PROVOLATILE_IMMUTABLE ||
		(OidIsValid(found->only) && found->only != function))
		return false;
	found->function = function;
	return true;
}

/*
 * find_mutable finds what is not immutable, arguments before the functions that take
 * them: in date_trunc('day', now()) it is now().
 */
static bool
find_mutable(Node *node, void *context)
{
	LsMutable  *found = context;

	if (node == NULL)
		return false;
	if (expression_tree_walker(node, find_mutable, context))
		return true;
	if (found->column && IsA(node, CoerceViaIO) &&
		type_is_enum(getBaseType(exprType((Node *) ((CoerceViaIO *) node)->arg))))
		return false;
	if ((IsA(node, SQLValueFunction) && !OidIsValid(found->only)) ||
		check_functions_in_node(node, is_mutable, context))
	{
		found->node = node;
		return true;
	}
	return false;
}

/* describe names what is not immutable as the author of a rule would. */
static char *
describe(const LsMutable *found)
{
	Node	   *node = found->node;
	Node	   *from = NULL;

	switch (nodeTag(node))
	{
		case T_SQLValueFunction:
			return deparse_expression(node, NIL, false, false);
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			return psprintf("operator %s",
							format_operator(((OpExpr *) node)->opno));
		case T_ScalarArrayOpExpr:
			return psprintf("operator %s",
							format_operator(((ScalarArrayOpExpr *) node)->opno));
		case T_CoerceViaIO:
			from = (Node *) ((CoerceViaIO *) node)->arg;
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcformat == COERCE_EXPLICIT_CAST ||
				((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST)
				from = linitial(((FuncExpr *) node)->args);
			break;
		default:
			break;
	}
	if (from != NULL)
		return psprintf("cast from %s to %s", format_type_be(exprType(from)),
						format_type_be(exprType(node)));
	return psprintf("function %s", format_procedure(found->function));
}

/* zone_hint says how to write it without the time zone of the session. */
static const char *
zone_hint(Oid function)
{
	Oid		   *types;
	int			ntypes;
	Oid			result = get_func_signature(function, &types, &ntypes);

	for (int i = 0; i < ntypes; i++)
		if (types[i] == TIMESTAMPTZOID)
			return result == BOOLOID ? TO_ZONE_HINT : ZONE_HINT;
	return result == TIMESTAMPTZOID ? TO_ZONE_HINT : NULL;
}

/* cast_hint says what to write instead of a cast by way of text. */
static const char *
cast_hint(const CoerceViaIO *cast)
{
	Oid			from = getBaseType(exprType((Node *) cast->arg));

	if (type_is_enum(from))
		return ENUM_HINT;
	if (OidIsValid(get_element_type(from)))
		return ARRAY_HINT;
	if (ls_expr_is_datetime(cast->resulttype))
		return READ_HINT;
	return ls_expr_is_datetime(from) ? DATE_TEXT_HINT : NULL;
}

/* immutable_hint says what to write instead of something mutable. */
static const char *
immutable_hint(const LsMutable *found)
{
	static const char *const hints[][2] = {
		{"now", LS_CLOCK_HINT},
		{"transaction_timestamp", LS_CLOCK_HINT},
		{"statement_timestamp", LS_CLOCK_HINT},
		{"clock_timestamp", LS_CLOCK_HINT},
		{"timeofday", LS_CLOCK_HINT},
		{"age", LS_CLOCK_HINT},
		{"random", CHANCE_HINT},
		{"random_normal", CHANCE_HINT},
		{"gen_random_uuid", CHANCE_HINT},
		{"uuidv4", CHANCE_HINT},
		{"uuidv7", CHANCE_HINT},
		{"nextval", CHANCE_HINT},
		{"concat", TEXT_HINT},
		{"concat_ws", TEXT_HINT},
		{"format", TEXT_HINT},
		{"to_date", READ_HINT},
		{"to_timestamp", READ_HINT},
		{"date_trunc", TRUNC_HINT},
		{"date_part", EXTRACT_HINT},
		{"extract", EXTRACT_HINT},
		{"to_char", EXTRACT_HINT},
	};
	char	   *name;

	if (IsA(found->node, SQLValueFunction))
		return ls_expr_is_datetime(exprType(found->node)) ? LS_CLOCK_HINT : NULL;
	if (IsA(found->node, CoerceViaIO))
		return cast_hint((CoerceViaIO *) found->node);
	if (found->function >= FirstNormalObjectId)
		return IMMUTABLE_HINT;
	name = get_func_name(found->function);
	for (size_t i = 0; name && i < lengthof(hints); i++)
		if (strcmp(name, hints[i][0]) == 0)
			return hints[i][1];
	return zone_hint(found->function);
}

/*
 * ls_expr_check_immutable refuses an expression that could give another result
 * tomorrow or in another session.  It checks the planned expression, as inlining can
 * show a function to be better or worse than it is marked; but what the message names
 * must be in the text.
 */
void
ls_expr_check_immutable(LsCompile *c, Node *planned)
{
	LsMutable	cause = {.column = c->spec->use == LS_EXPR_COLUMN};
	LsMutable	found = cause;
	int			location = -1;
	const char *hint;

	if (!find_mutable(planned, &cause))
	{
		if (!found.column && contain_mutable_functions(planned))
			ls_expr_refuse(c, "what is not immutable", -1, NULL);
		return;
	}
	found.only = cause.function;
	if (!find_mutable(c->analysed, &found))
		found.only = InvalidOid;
	if (OidIsValid(found.only) || find_mutable(c->analysed, &found))
		location = exprLocation(found.node);
	else
		found = cause;

	hint = immutable_hint(&found);
	if (found.column)
		hint = "Use a column that is of the right type already.";
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("cannot use %s in %s because it is %s",
					describe(&found), ls_expr_named(c),
					OidIsValid(found.function) &&
					func_volatile(found.function) == PROVOLATILE_VOLATILE ?
					"volatile" : "stable"),
			 errdetail("Only what is immutable gives the same score at any time and in any session."),
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(c->pstate, location)));
}

/* ---------- what running it needs ---------- */

/* is_foreign tells whether a function is not one of PostgreSQL itself. */
static bool
is_foreign(Oid function, void *context pg_attribute_unused())
{
	HeapTuple	tuple;
	bool		foreign;

	if (function >= FirstNormalObjectId)
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return true;
	foreign = ((Form_pg_proc) GETSTRUCT(tuple))->prolang != INTERNALlanguageId;
	ReleaseSysCache(tuple);
	return foreign;
}

/*
 * is_foreign_type tells whether values of a type may come with functions of
 * users, which the functions for arrays and the like would call.
 */
static bool
is_foreign_type(Oid type)
{
	Oid			element;

	type = getBaseType(type);
	if (type < FirstNormalObjectId)
		return false;
	element = get_element_type(type);
	if (OidIsValid(element))
		return is_foreign_type(element);
	return !type_is_enum(type);
}

/*
 * calls_foreign tells whether an expression may run other code than PostgreSQL's
 * own.  Unknown nodes may.
 */
static bool
calls_foreign(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
			return expression_tree_walker(node, calls_foreign, context);
		case T_Var:
		case T_Const:
		case T_Param:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_RowCompareExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_SubscriptingRef:
			return is_foreign_type(exprType(node)) ||
				check_functions_in_node(node, is_foreign, NULL) ||
				expression_tree_walker(node, calls_foreign, context);
		default:
			return true;
	}
}

/* is_leaky tells whether a function may raise an error about its arguments. */
static bool
is_leaky(Oid function, void *context pg_attribute_unused())
{
	return !get_func_leakproof(function);
}

/*
 * lacks_collation tells whether the arguments of a function have conflicting
 * collations: then even a leakproof one raises an error.
 */
static bool
lacks_collation(Node *node, List *args)
{
	ListCell   *lc;

	if (OidIsValid(exprInputCollation(node)))
		return false;
	foreach(lc, args)
	{
		Oid			type = exprType(lfirst(lc));
		Oid			element = get_base_element_type(type);

		if (type_is_collatable(OidIsValid(element) ? element : type))
			return true;
	}
	return false;
}

/* can_fail tells whether an expression could raise an error. */
static bool
can_fail(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			if (lacks_collation(node, ((OpExpr *) node)->args))
				return true;
			break;
		case T_FuncExpr:
			if (lacks_collation(node, ((FuncExpr *) node)->args))
				return true;
			break;
		case T_ScalarArrayOpExpr:
			if (lacks_collation(node, ((ScalarArrayOpExpr *) node)->args))
				return true;
			break;
		case T_ArrayExpr:
			if (((ArrayExpr *) node)->multidims)
				return true;
			break;
		case T_List:
		case T_Var:
		case T_Const:
		case T_Param:
		case T_BoolExpr:
		case T_RelabelType:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
		case T_NullTest:
		case T_BooleanTest:
			break;
		default:
			return true;
	}
	return check_functions_in_node(node, is_leaky, NULL) ||
		expression_tree_walker(node, can_fail, context);
}

/*
 * ls_expr_classify sets how an expression is run: with errors caught, or a
 * subtransaction.
 */
void
ls_expr_classify(LsExpr *expr, Node *planned)
{
	expr->builtin = !calls_foreign(planned, NULL);
	expr->safe = expr->builtin && !can_fail(planned, NULL);
}
