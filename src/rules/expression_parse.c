/*-------------------------------------------------------------------------
 *
 * expression_parse.c
 *		The text of an expression, parsed and checked for its owner.
 *
 * PostgreSQL's own parser does the work.  This file knows which constructs have no
 * place in a rule, which columns and functions the role may use, and how an error is
 * reported: with the name of the expression, and a position in its text instead of in
 * the statement that the client sent.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/expression_internal.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_func.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/suggest.h"
#include "definitions/contact_table.h"

#define MAX_TEXT_LENGTH (100 * 1024)

/* ---------- errors ---------- */

/*
 * ls_expr_compile_error makes an error say which expression it is in, and
 * point into its text instead of into the statement that the client sent.
 */
void
ls_expr_compile_error(void *arg)
{
	LsCompile  *c = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(c->spec->text);
	}
	if (c->resolving && geterrcode() == ERRCODE_UNDEFINED_FUNCTION)
		errhint("You might need to add explicit type casts or, as names without a schema are looked up in pg_catalog only, to write the schema: my_schema.my_function(a), a OPERATOR(my_schema.=) b.");
	if (c->resolving && geterrcode() == ERRCODE_UNDEFINED_OBJECT)
		errhint("Names without a schema are looked up in pg_catalog only. You might need to write the schema.");
	/* PostgreSQL's hint would be to change datestyle, which is pinned */
	if (geterrcode() == ERRCODE_DATETIME_FIELD_OVERFLOW)
		errhint("Write dates as in 2024-01-31: expressions are read with DateStyle ISO, YMD in every session.");
	if (!c->named)
		errcontext("%s", c->spec->where);
}

/*
 * ls_expr_named gives the name of the expression for a message, which then
 * needs no context line to repeat it.
 */
const char *
ls_expr_named(LsCompile *c)
{
	c->named = true;
	return c->spec->where;
}

/* ls_expr_refuse raises the error for what has no place in a rule. */
void
ls_expr_refuse(LsCompile *c, const char *what, int location, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot use %s in %s", what, ls_expr_named(c)),
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(c->pstate, location)));
}

/* ---------- parsing ---------- */

/*
 * says_now tells whether a literal would mean the time of the compilation if
 * it were read as a date or time.
 */
static bool
says_now(const char *literal)
{
	static const char *const words[] = {
		"now", "today", "tomorrow", "yesterday"
	};

	for (; *literal; literal++)
	{
		for (size_t i = 0; i < lengthof(words); i++)
			if (pg_strncasecmp(literal, words[i], strlen(words[i])) == 0)
				return true;
	}
	return false;
}

/* refuse_raw refuses constructs that are better refused before names are looked up. */
static bool
refuse_raw(Node *node, void *context)
{
	LsCompile  *c = context;

	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		ls_expr_refuse(c, "subquery", ((SubLink *) node)->location,
					   "A rule looks at one row at a time: have a trigger fill a column of the table with what is looked up, and use that.");
	if (IsA(node, ColumnRef) &&
		IsA(llast(((ColumnRef *) node)->fields), A_Star))
		ls_expr_refuse(c, "whole row", ((ColumnRef *) node)->location,
					   "Name the columns.");
	if (IsA(node, A_Const))
	{
		A_Const    *constant = (A_Const *) node;

		if (!constant->isnull && IsA(&constant->val, String) &&
			says_now(strVal(&constant->val)))
			c->clock_words = lappend_int(c->clock_words, constant->location);
	}
	return raw_expression_tree_walker(node, refuse_raw, context);
}

/* refuse_analysed refuses constructs that only types and functions tell apart. */
static bool
refuse_analysed(Node *node, void *context)
{
	LsCompile  *c = context;
	int			location;

	if (node == NULL)
		return false;
	location = exprLocation(node);
	switch (nodeTag(node))
	{
		case T_SubLink:
			ls_expr_refuse(c, "subquery", location, NULL);
			break;
		case T_Aggref:
		case T_GroupingFunc:
			ls_expr_refuse(c, "aggregate function", location,
						   "A rule looks at one row at a time: use at_least, max_points or a weight to count or sum.");
			break;
		case T_WindowFunc:
			ls_expr_refuse(c, "window function", location,
						   "A rule looks at one row at a time.");
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcretset)
				ls_expr_refuse(c, "set-returning function", location, NULL);
			break;
		case T_OpExpr:
			if (((OpExpr *) node)->opretset)
				ls_expr_refuse(c, "set-returning function", location, NULL);
			break;
		case T_Var:
			if (((Var *) node)->varattno == InvalidAttrNumber)
				ls_expr_refuse(c, "whole row", location, "Name the columns.");
			if (((Var *) node)->varattno < 0)
				ls_expr_refuse(c, "system column", location, NULL);
			break;
		case T_Const:
			if (list_member_int(c->clock_words, ((Const *) node)->location) &&
				ls_expr_is_datetime(((Const *) node)->consttype))
				ls_expr_refuse(c, "the current time", location, LS_CLOCK_HINT);
			break;
		default:
			break;
	}
	return expression_tree_walker(node, refuse_analysed, context);
}

/* ls_expr_param makes a parameter with the type of a constant. */
Node *
ls_expr_param(int id, const Const *like)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = id;
	param->paramtype = like->consttype;
	param->paramtypmod = like->consttypmod;
	param->paramcollid = like->constcollid;
	param->location = like->location;
	return (Node *) param;
}

/* variable_ref resolves the names that are not columns, such as score. */
static Node *
variable_ref(ParseState *pstate, ColumnRef *cref)
{
	const LsExprSpec *spec = ((LsCompile *) pstate->p_ref_hook_state)->spec;
	ListCell   *lc;

	if (list_length(cref->fields) != 1 || !IsA(linitial(cref->fields), String))
		return NULL;
	foreach(lc, spec->variables)
	{
		if (strcmp(strVal(linitial(cref->fields)), lfirst(lc)) == 0)
		{
			Const		like = {.consttype = FLOAT8OID, .consttypmod = -1};

			like.location = cref->location;
			return ls_expr_param(foreach_current_index(lc) + 1, &like);
		}
	}
	return NULL;
}

/* nearest_variable looks for a variable whose name is like that of a missing column. */
static Node *
nearest_variable(ParseState *pstate, ColumnRef *cref, Node *found)
{
	const LsExprSpec *spec = ((LsCompile *) pstate->p_ref_hook_state)->spec;
	const char *name;
	const char *nearest;

	if (found != NULL || list_length(cref->fields) != 1 ||
		!IsA(linitial(cref->fields), String))
		return NULL;
	name = strVal(linitial(cref->fields));
	nearest = ls_suggest_word(name, spec->variables);
	if (nearest != NULL && get_attnum(RelationGetRelid(spec->rel), name) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" does not exist", name),
				 errhint("Did you mean \"%s\"?", nearest),
				 parser_errposition(pstate, cref->location)));
	return NULL;
}

/*
 * parse_single parses the text, which must not have a FROM clause or anything else
 * that could follow the expression in a SELECT.
 */
static Node *
parse_single(LsCompile *c)
{
	List	   *raw = raw_parser(c->spec->text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, raw)->stmt);
	List	   *targets = select->targetList;
	ResTarget  *target = targets ? linitial_node(ResTarget, targets) : NULL;
	int			location = -1;

	if (list_length(targets) > 1)
		location = lsecond_node(ResTarget, targets)->location;
	select->targetList = NIL;
	if (list_length(targets) != 1 || target->name != NULL ||
		target->indirection != NIL || !equal(select, makeNode(SelectStmt)))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s must be a single SQL expression", ls_expr_named(c)),
				 parser_errposition(c->pstate, location)));
	return target->val;
}

/* ---------- columns beside numbers ---------- */

/* The types of numbers: each can be cast implicitly to those after it. */
static const Oid numbers[] = {INT2OID, INT4OID, INT8OID, NUMERICOID, FLOAT4OID, FLOAT8OID};

/* rank gives the place of a type in this list, -1: it is none of numbers. */
static int
rank(Oid type)
{
	int			place = lengthof(numbers) - 1;

	while (place >= 0 && numbers[place] != type)
		place--;
	return place;
}

/* is_usable tells whether a number can be an operand of a type. */
static bool
is_usable(Oid number, Oid wanted)
{
	return rank(wanted) >= 0 ? rank(number) <= rank(wanted) :
		can_coerce_type(1, &number, &wanted, COERCION_IMPLICIT);
}

/*
 * read_operator makes a candidate of an operator, if that has at least one of the types
 * exactly and can be used for the other.
 */
static FuncCandidateList
read_operator(Form_pg_operator row, const Oid *types)
{
	FuncCandidateList candidate;

	if (row->oprnamespace != PG_CATALOG_NAMESPACE || row->oprkind != 'b' ||
		(row->oprleft != types[0] && row->oprright != types[1]) ||
		!is_usable(types[0], row->oprleft) || !is_usable(types[1], row->oprright))
		return NULL;
	candidate = palloc0(sizeof(struct _FuncCandidateList) + 2 * sizeof(Oid));
	candidate->oid = row->oid;
	candidate->nargs = 2;
	candidate->args[0] = row->oprleft;
	candidate->args[1] = row->oprright;
	return candidate;
}

/*
 * nearest_operator gives the operator of a name for two types of numbers, where
 * PostgreSQL would choose one that has exactly one of them.  Among the operators that
 * can be used it prefers those with the most exact types, but looks first whether the
 * operands can be cast to those of each operator of the name; that is most of the time
 * of a compilation.  Here only those are looked at that it would prefer.
 */
static FuncCandidateList
nearest_operator(const char *name, Oid *types)
{
	FuncCandidateList usable = NULL;
	int			nusable = 0;
	Oid			path[2];
	CatCList   *named;

	if (fetch_search_path_array(path, lengthof(path)) != 1 || path[0] != PG_CATALOG_NAMESPACE)
		return NULL;
	named = SearchSysCacheList1(OPERNAMENSP, CStringGetDatum(name));
	for (int i = 0; i < named->n_members; i++)
	{
		HeapTuple	tuple = &named->members[i]->tuple;
		FuncCandidateList candidate = read_operator((Form_pg_operator) GETSTRUCT(tuple), types);

		if (candidate == NULL)
			continue;
		candidate->next = usable;
		usable = candidate;
		nusable++;
	}
	ReleaseSysCacheList(named);
	for (FuncCandidateList each = usable; each; each = each->next)
		if (each->args[0] == types[0] && each->args[1] == types[1])
			return NULL;		/* found at once */
	return nusable < 2 ? usable : func_select_candidate(2, types, usable);
}

/* number_column gives the type of a column if that is one of numbers. */
static Oid
number_column(LsCompile *c, Node *node)
{
	ColumnRef  *cref = (ColumnRef *) node;
	const char *name;
	AttrNumber	attno;
	ListCell   *lc;
	Oid			type;

	if (node == NULL || !IsA(node, ColumnRef) || list_length(cref->fields) != 1 ||
		!IsA(linitial(cref->fields), String))
		return InvalidOid;
	name = strVal(linitial(cref->fields));
	foreach(lc, c->spec->variables)
		if (strcmp(name, lfirst(lc)) == 0)
			return InvalidOid;
	attno = attnameAttNum(c->spec->rel, name, false);
	if (attno <= 0)
		return InvalidOid;
	type = TupleDescAttr(RelationGetDescr(c->spec->rel), attno - 1)->atttypid;
	return rank(type) >= 0 ? type : InvalidOid;
}

/*
 * cast_number replaces a number, the second operand if right is true, with a parameter
 * that stands for its value cast to what the operator wants: with that the operator is
 * found at once.
 */
static void
cast_number(LsCompile *c, A_Expr *expr, bool right)
{
	Node	  **number = right ? &expr->rexpr : &expr->lexpr;
	A_Const    *constant = (A_Const *) *number;
	Oid			types[2];
	FuncCandidateList operator;
	Node	   *value;
	ParamRef   *param;

	if (constant == NULL || !IsA(constant, A_Const) || constant->isnull ||
		!(IsA(&constant->val, Integer) || IsA(&constant->val, Float)))
		return;
	types[!right] = number_column(c, right ? expr->lexpr : expr->rexpr);
	if (!OidIsValid(types[!right]))
		return;
	value = (Node *) make_const(c->pstate, constant);
	types[right] = exprType(value);
	operator = nearest_operator(strVal(linitial(expr->name)), types);
	if (operator == NULL || operator->args[!right] != types[!right] ||
		IsPolymorphicType(operator->args[right]))
		return;
	c->numbers = lappend(c->numbers,
						 coerce_type(c->pstate, value, types[right], operator->args[right], -1,
									 COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1));
	param = makeNode(ParamRef);
	param->number = list_length(c->numbers);
	param->location = -1;
	*number = (Node *) param;
}

/* cast_numbers replaces the numbers that columns of numbers are compared with, and so on. */
static bool
cast_numbers(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, A_Expr) && ((A_Expr *) node)->kind == AEXPR_OP &&
		list_length(((A_Expr *) node)->name) == 1)
	{
		cast_number(context, (A_Expr *) node, true);
		cast_number(context, (A_Expr *) node, false);
	}
	return raw_expression_tree_walker(node, cast_numbers, context);
}

/* number_ref gives what stands for a number; the user's parameters have a location. */
static Node *
number_ref(ParseState *pstate, ParamRef *ref)
{
	LsCompile  *c = pstate->p_ref_hook_state;

	return ref->location < 0 ? copyObject(list_nth(c->numbers, ref->number - 1)) : NULL;
}

/* ---------- analysing ---------- */

/* without_literals makes NULLs of the literals in a copy of a raw expression. */
static bool
without_literals(Node *node, void *context)
{
	if (node == NULL || IsA(node, TypeName))
		return false;
	if (IsA(node, A_Const) && IsA(&((A_Const *) node)->val, String))
		((A_Const *) node)->isnull = true;
	return raw_expression_tree_walker(node, without_literals, context);
}

/*
 * check_reach refuses an expression that would run code of untrusted roles as its
 * role.  Reading its literals may do that already, in the input functions of types;
 * so it is analysed first with NULLs in their place, which have the same type.
 */
static void
check_reach(LsCompile *c, Node *raw)
{
	Node	   *copy = copyObject(raw);

	(void) without_literals(copy, NULL);
	ls_reach_expression(&c->reach, transformExpr(c->pstate, copy, EXPR_KIND_OTHER));
	ls_reach_check(&c->reach, c->spec->role);
}

/* refuse_type raises the error that an expression is of another type than is wanted. */
static void
refuse_type(LsCompile *c, const char *wanted, Node *expr, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("%s must be of type %s, not %s", ls_expr_named(c), wanted,
					format_type_be(exprType(expr))),
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(c->pstate, exprLocation(expr))));
}

/* coerce turns an expression into a type, or gives NULL. */
static Node *
coerce(LsCompile *c, Node *expr, Oid type, CoercionContext context)
{
	return coerce_to_target_type(c->pstate, expr, exprType(expr), type, -1, context,
								 COERCE_IMPLICIT_CAST, -1);
}

/*
 * form_of tells by what values of a type are told apart.  Of types that are equal where
 * they are byte by byte there need be no hash.
 */
static LsExprForm
form_of(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return LS_FORM_DATUM;
		case UUIDOID:
			return LS_FORM_UUID;
		case TEXTOID:
		case VARCHAROID:
			return LS_FORM_TEXT;
		default:
			return type_is_enum(type) ? LS_FORM_LABEL : LS_FORM_HASHES;
	}
}

/*
 * hash_function gives the function that hashes values of a type with a seed.  That of a
 * label hashes the number of its row, which a dump does not keep.
 */
static Oid
hash_function(LsCompile *c, Node *expr)
{
	Oid			function = lookup_type_cache(c->type, TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc;
	LsReach		reach = {NIL};
	ListCell   *lc;

	ls_reach_type(&reach, c->type);
	foreach(lc, reach.types)
		if (type_is_enum(lfirst_oid(lc)))
			function = InvalidOid;
	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s cannot be of type %s", ls_expr_named(c), format_type_be(exprType(expr))),
				 errdetail("Rows are told apart by a hash of the value, which this type does not have."),
				 errhint("Cast it to text, as in (expression)::text."),
				 parser_errposition(c->pstate, exprLocation(expr))));
	return function;
}

/* hashes_of makes an expression of two hashes of a value, each with its own seed. */
static Node *
hashes_of(LsCompile *c, Node *expr)
{
	Oid			function = hash_function(c, expr);
	ArrayExpr  *hashes = makeNode(ArrayExpr);

	hashes->array_typeid = INT8ARRAYOID;
	hashes->element_typeid = INT8OID;
	hashes->location = -1;
	for (int seed = 1; seed <= 2; seed++)
	{
		Const	   *number = makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(seed), false,
									   FLOAT8PASSBYVAL);

		hashes->elements = lappend(hashes->elements,
								   makeFuncExpr(function, INT8OID, list_make2(copyObject(expr), number),
												InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL));
	}
	return (Node *) hashes;
}

/* value_of makes an expression of what a value is told apart by. */
static Node *
value_of(LsCompile *c, Node *expr)
{
	if (exprType(expr) == UNKNOWNOID)
		expr = coerce(c, expr, TEXTOID, COERCION_IMPLICIT);
	c->type = getBaseType(exprType(expr));
	c->form = form_of(c->type);
	if (c->form == LS_FORM_HASHES)
		return hashes_of(c, expr);
	if (c->form != LS_FORM_TEXT)
		return expr;
	c->type = TEXTOID;
	return coerce(c, expr, TEXTOID, COERCION_IMPLICIT);
}

/* tags_of makes an expression of text or text[]. */
static Node *
tags_of(LsCompile *c, Node *expr)
{
	bool		many = OidIsValid(get_element_type(getBaseType(exprType(expr))));
	Node	   *result = coerce(c, expr, many ? TEXTARRAYOID : TEXTOID, COERCION_IMPLICIT);

	if (result == NULL)
		refuse_type(c, "text or text[]", expr, "Cast it to text, as in (expression)::text.");
	c->type = many ? TEXTARRAYOID : TEXTOID;
	return result;
}

/* analyse_text parses and analyses a text. */
static Node *
analyse_text(LsCompile *c)
{
	bool		condition = c->spec->use == LS_EXPR_CONDITION;
	Oid			wanted = condition ? BOOLOID : FLOAT8OID;
	Node	   *raw;
	Node	   *expr;
	Node	   *result;

	if (strlen(c->spec->text) > MAX_TEXT_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s is too long", ls_expr_named(c)),
				 errdetail("An expression may have up to %d bytes.",
						   MAX_TEXT_LENGTH)));

	raw = parse_single(c);
	refuse_raw(raw, c);
	c->resolving = true;
	(void) cast_numbers(raw, c);
	check_reach(c, raw);
	expr = transformExpr(c->pstate, raw, EXPR_KIND_OTHER);
	c->resolving = false;
	refuse_analysed(expr, c);
	if (c->spec->use == LS_EXPR_VALUE)
		return value_of(c, expr);
	if (c->spec->use == LS_EXPR_TAGS)
		return tags_of(c, expr);
	result = coerce(c, expr, wanted, condition ? COERCION_ASSIGNMENT : COERCION_IMPLICIT);
	if (result == NULL)
		refuse_type(c, format_type_be(wanted), expr, NULL);
	return result;
}

/* analyse_column makes the expression for a column that is only named. */
static Node *
analyse_column(LsCompile *c)
{
	const LsExprSpec *spec = c->spec;
	AttrNumber	attno = attnameAttNum(spec->rel, spec->text, true);
	Form_pg_attribute attr;
	Node	   *result;

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						spec->text, RelationGetRelationName(spec->rel))));
	if (attno < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" is a system column", spec->text)));

	attr = TupleDescAttr(RelationGetDescr(spec->rel), attno - 1);
	result = (Node *) makeVar(1, attno, attr->atttypid, attr->atttypmod,
							  attr->attcollation, 0);
	result = coerce_to_target_type(c->pstate, result, attr->atttypid,
								   spec->type, -1,
								   spec->type == TEXTOID ? COERCION_EXPLICIT : COERCION_IMPLICIT,
								   COERCE_IMPLICIT_CAST, -1);
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" must be of type %s, not %s",
						spec->text, RelationGetRelationName(spec->rel),
						format_type_be(spec->type),
						format_type_be(attr->atttypid))));
	return result;
}

/*
 * analyse turns the text into an expression.  EXPR_KIND_OTHER allows what is refused
 * here, as core's messages for the other kinds would name a trigger.
 */
static void
analyse(LsCompile *c)
{
	ParseNamespaceItem *item;

	c->pstate = make_parsestate(NULL);
	if (c->spec->use != LS_EXPR_COLUMN)
		c->pstate->p_sourcetext = c->spec->text;
	c->pstate->p_pre_columnref_hook = variable_ref;
	c->pstate->p_post_columnref_hook = nearest_variable;
	c->pstate->p_paramref_hook = number_ref;
	c->pstate->p_ref_hook_state = c;
	item = addRangeTableEntryForRelation(c->pstate, c->spec->rel,
										 AccessShareLock, NULL, false, false);
	addNSItemToQuery(c->pstate, item, false, true, true);

	if (c->spec->use == LS_EXPR_COLUMN)
		c->analysed = analyse_column(c);
	else
		c->analysed = analyse_text(c);
	assign_expr_collations(c->pstate, c->analysed);
}

/* ---------- privileges ---------- */

/* role_name gives the name of the role for a message. */
static const char *
role_name(const LsCompile *c)
{
	return GetUserNameFromId(c->spec->role, false);
}

/*
 * check_row_security refuses an expression if a policy hides rows from its role: an
 * expression is evaluated on every row.
 */
static void
check_row_security(LsCompile *c)
{
	if (!ls_contact_table_rows_hidden(RelationGetRelid(c->spec->rel), c->spec->role))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("row-level security of table \"%s\" applies to role \"%s\"",
					RelationGetRelationName(c->spec->rel), role_name(c)),
			 errdetail("Rules look at every row, whatever the policies say."),
			 errhint("Let a role own the rules to which no policy applies: the owner of the table, or one with BYPASSRLS.")));
}

/* check_columns checks that the role may read all columns that are used. */
static void
check_columns(LsCompile *c)
{
	Oid			relid = RelationGetRelid(c->spec->rel);
	Oid			role = c->spec->role;
	List	   *vars;
	ListCell   *lc;

	if (pg_class_aclcheck(relid, role, ACL_SELECT) == ACLCHECK_OK)
		return;
	vars = pull_var_clause(c->analysed, 0);
	if (vars == NIL &&
		pg_attribute_aclcheck_all(relid, role, ACL_SELECT,
								  ACLMASK_ANY) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table \"%s\"",
						RelationGetRelationName(c->spec->rel)),
				 errdetail("Role \"%s\" must have the SELECT privilege on it.",
						   role_name(c))));
	foreach(lc, vars)
	{
		Var		   *var = lfirst_node(Var, lc);

		if (pg_attribute_aclcheck(relid, var->varattno, role,
								  ACL_SELECT) != ACLCHECK_OK)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for column \"%s\" of relation \"%s\"",
							get_attname(relid, var->varattno, false),
							RelationGetRelationName(c->spec->rel)),
					 errdetail("Role \"%s\" must have the SELECT privilege on it.",
							   role_name(c)),
					 parser_errposition(c->pstate, var->location)));
	}
}

/* add_function puts a function into the list of those that are called. */
static bool
add_function(Oid function, void *context)
{
	List	  **functions = context;

	*functions = list_append_unique_oid(*functions, function);
	return false;
}

/* gather_functions lists the functions behind calls, operators and casts. */
static bool
gather_functions(Node *node, void *context)
{
	if (node == NULL)
		return false;
	(void) check_functions_in_node(node, add_function, context);
	return expression_tree_walker(node, gather_functions, context);
}

/* ls_expr_gather_functions adds the functions of a node to those called. */
void
ls_expr_gather_functions(LsCompile *c, Node *node)
{
	(void) gather_functions(node, &c->functions);
}

/* check_functions checks that the role may call all functions. */
static void
check_functions(LsCompile *c)
{
	ListCell   *lc;

	ls_expr_gather_functions(c, c->analysed);
	foreach(lc, c->functions)
	{
		if (ls_function_aclcheck(lfirst_oid(lc), c->spec->role) != ACLCHECK_OK)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for function %s",
							format_procedure(lfirst_oid(lc))),
					 errdetail("Role \"%s\" must have the EXECUTE privilege on it.",
							   role_name(c))));
	}
}

/*
 * ls_expr_analyse turns the text into an expression, and refuses one that its
 * role may not use.
 */
void
ls_expr_analyse(LsCompile *c)
{
	check_row_security(c);
	analyse(c);
	check_columns(c);
	check_functions(c);
	ls_reach_expression(&c->reach, c->analysed);
}

/*
 * ls_expr_read_text turns the text into an expression without checking whether its
 * role may use it.
 */
void
ls_expr_read_text(LsCompile *c)
{
	analyse(c);
}
