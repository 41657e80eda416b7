/*-------------------------------------------------------------------------
 *
 * expression_advice.c
 *		What an expression means that its author may not have meant.
 *
 * Names without a schema are looked up in pg_catalog alone, so that an expression
 * means the same in every session.  A value of an extension's type that has an
 * implicit cast to one of PostgreSQL's own is cast silently: citext = 'pro' compares
 * text.  The author of such an expression gets a warning, with a hint on what to
 * write instead.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/expression_internal.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"

/* What is found: the first value that is implicitly cast, and where */
typedef struct Found
{
	Node	   *value;
	Oid			type;			/* its own */
	Oid			taken;			/* the type to which it is cast */
	List	   *instead;		/* names to write */
} Found;

/* outside tells whether a type is none of PostgreSQL's own. */
static bool
outside(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace != PG_CATALOG_NAMESPACE;
	ReleaseSysCache(tuple);
	return result;
}

/* implicit gives the argument of an implicit cast, or NULL. */
static Node *
implicit(Node *node)
{
	if (IsA(node, RelabelType) &&
		((RelabelType *) node)->relabelformat == COERCE_IMPLICIT_CAST)
		return (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, CoerceViaIO) &&
		((CoerceViaIO *) node)->coerceformat == COERCE_IMPLICIT_CAST)
		return (Node *) ((CoerceViaIO *) node)->arg;
	if (IsA(node, ArrayCoerceExpr) &&
		((ArrayCoerceExpr *) node)->coerceformat == COERCE_IMPLICIT_CAST)
		return (Node *) ((ArrayCoerceExpr *) node)->arg;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->args != NIL &&
		((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST)
		return linitial(((FuncExpr *) node)->args);
	return NULL;
}

/*
 * taken_for finds an argument of an extension's type that is cast to one of
 * PostgreSQL's own.  A domain is no type of its own here.
 */
static Node *
taken_for(List *args, Oid *type, Oid *taken)
{
	ListCell   *lc;

	foreach(lc, args)
	{
		Node	   *value = implicit(lfirst(lc));

		if (value == NULL)
			continue;
		*type = getBaseType(exprType(value));
		*taken = exprType(lfirst(lc));
		if (outside(*type) && !outside(*taken))
			return value;
	}
	return NULL;
}

/* element gives the type of the elements of an array, or the type itself. */
static Oid
element(Oid type)
{
	Oid			part = get_element_type(type);

	return OidIsValid(part) ? getBaseType(part) : type;
}

static char *
schema_of(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	name = get_namespace_name(((Form_pg_type) GETSTRUCT(tuple))->typnamespace);
	ReleaseSysCache(tuple);
	return name;
}

/* has_operator tells whether a schema has an operator of a name for a type. */
static bool
has_operator(const char *schema, const char *name, Oid type)
{
	List	   *names = list_make2(makeString(pstrdup(schema)), makeString(pstrdup(name)));
	FuncCandidateList one;

	for (one = ls_operators_named(names, 'b'); one; one = one->next)
		if (one->args[0] == type || one->args[1] == type)
			return true;
	return false;
}

/* has_function tells whether a schema has a function of a name for a type. */
static bool
has_function(const char *schema, const char *name, Oid type)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	Oid			namespace = get_namespace_oid(schema, true);
	bool		found = false;

	for (int i = 0; i < list->n_members && !found; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		for (int a = 0; a < proc->pronargs && proc->pronamespace == namespace; a++)
			found = found || proc->proargtypes.values[a] == type;
	}
	ReleaseSysCacheList(list);
	return found;
}

static void
add(Found *found, Node *value, Oid type, Oid taken, char *instead)
{
	if (found->value == NULL)
	{
		found->value = value;
		found->type = type;
		found->taken = taken;
	}
	if (instead && type == found->type)
		found->instead = list_append_unique(found->instead, makeString(instead));
}

/*
 * look_at_operator looks at the arguments of an operator; after follows the operator
 * in the hint, as IN cannot be given another operator.
 */
static void
look_at_operator(Found *found, Oid operator, List *args, const char *after)
{
	Oid			type,
				taken;
	Node	   *value = taken_for(args, &type, &taken);
	char	   *schema;
	char	   *name;

	if (value == NULL || (schema = schema_of(type)) == NULL ||
		(name = get_opname(operator)) == NULL)
		return;
	add(found, value, type, taken,
		has_operator(schema, name, element(type)) ||
		has_operator(schema, name, type) ?
		psprintf("OPERATOR(%s.%s)%s", quote_identifier(schema), name, after) : NULL);
}

/*
 * look_at_function looks at the arguments of a function: if it exists for text alone,
 * like lower(), it is most likely meant.
 */
static void
look_at_function(Found *found, Oid function, List *args)
{
	Oid			type,
				taken;
	Node	   *value = taken_for(args, &type, &taken);
	char	   *schema;
	char	   *name;

	if (value && (schema = schema_of(type)) != NULL &&
		(name = get_func_name(function)) != NULL && has_function(schema, name, type))
		add(found, value, type, taken, quote_qualified_identifier(schema, name));
}

static bool
look(Node *node, void *context)
{
	Found	   *found = context;
	Oid			type,
				taken;
	Node	   *value;
	ListCell   *lc;
	ListCell   *oc;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			look_at_operator(found, ((OpExpr *) node)->opno, ((OpExpr *) node)->args, "");
			break;
		case T_ScalarArrayOpExpr:
			look_at_operator(found, ((ScalarArrayOpExpr *) node)->opno,
							 ((ScalarArrayOpExpr *) node)->args,
							 ((ScalarArrayOpExpr *) node)->useOr ? " ANY ('{...}')" : " ALL ('{...}')");
			break;
		case T_RowCompareExpr:
			forboth(lc, ((RowCompareExpr *) node)->largs,
					oc, ((RowCompareExpr *) node)->opnos)
				look_at_operator(found, lfirst_oid(oc), list_make1(lfirst(lc)), "");
			break;
		case T_MinMaxExpr:
			if ((value = taken_for(((MinMaxExpr *) node)->args, &type, &taken)) != NULL)
				add(found, value, type, taken, NULL);
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcformat == COERCE_EXPLICIT_CALL)
				look_at_function(found, ((FuncExpr *) node)->funcid, ((FuncExpr *) node)->args);
			break;
		default:
			break;
	}
	return expression_tree_walker(node, look, context);
}

/* described names a value as the author of the expression would. */
static char *
described(const LsCompile *c, const Node *value)
{
	while (IsA(value, CollateExpr))
		value = (const Node *) ((const CollateExpr *) value)->arg;
	if (IsA(value, Var) && ((const Var *) value)->varattno > 0)
		return psprintf("column \"%s\"",
						get_attname(RelationGetRelid(c->spec->rel), ((const Var *) value)->varattno, false));
	return "a value";
}

/* list_of lists what to write instead. */
static char *
list_of(List *names)
{
	StringInfoData s;
	ListCell   *lc;

	initStringInfo(&s);
	foreach(lc, names)
		appendStringInfo(&s, "%s%s", s.len > 0 ? ", " : "", strVal(lfirst(lc)));
	return s.data;
}

/*
 * ls_expr_advise looks for a value in an expression that is implicitly cast to
 * another type; NULL: none.  It runs as the caller, to which the compiler has
 * switched back.
 */
LsExprAdvice *
ls_expr_advise(const LsCompile *c)
{
	Found		found = {0};
	LsExprAdvice *advice;

	(void) look(c->analysed, &found);
	if (found.value == NULL)
		return NULL;
	advice = palloc0(sizeof(LsExprAdvice));
	advice->message = psprintf("%s of type %s is taken for %s in %s", described(c, found.value),
							   format_type_be(found.type), format_type_be(found.taken), c->spec->where);
	if (found.instead)
		advice->hint = psprintf("To have it treated as %s, write %s. A cast, as in column::%s, says that %s is meant.",
								format_type_be(found.type), list_of(found.instead),
								format_type_be(found.taken), format_type_be(found.taken));
	return advice;
}

/* ls_expr_tell raises the warning. */
void
ls_expr_tell(const LsExprAdvice *advice)
{
	ereport(NOTICE,
			(errmsg("%s", advice->message),
			 errdetail("Names without a schema are looked up in pg_catalog only."),
			 advice->hint ? errhint("%s", advice->hint) : 0));
}
