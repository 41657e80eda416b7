/*-------------------------------------------------------------------------
 *
 * expression.c
 *		SQL expressions of rules: parsed, checked and run by PostgreSQL itself.
 *
 * A rule belongs to somebody, and is run by whoever inserts an event.  So it
 * is compiled and run with the rights of its owner, sees only pg_catalog
 * without naming a schema, and must mean the same in every session: it is
 * read under pinned settings and may use immutable functions only.
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
 *			exception block of PL/pgSQL, under the identity of the owner.
 *
 *-------------------------------------------------------------------------
 */
#include "expression.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "leadscore.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#define MAX_TEXT_LENGTH (100 * 1024)

/* What the steps of a compilation share. */
typedef struct LsCompile
{
	const LsExprSpec *spec;
	ParseState *pstate;
	Node	   *analysed;		/* before planning, which inlines functions */
	List	   *functions;		/* that it calls */
	List	   *clock_words;	/* where literals like 'today' are */
	bool		resolving;		/* names are being looked up */
	bool		named;			/* the message says which expression it is */
} LsCompile;

/* What stands in the way of immutability. */
typedef struct LsMutable
{
	bool		column;			/* labels of an enum are taken as they are now */
	Oid			only;			/* look for this function alone */
	Node	   *node;
	Oid			function;
} LsMutable;

/* One evaluation under guard. */
typedef struct LsRun
{
	LsExpr	   *expr;
	ExprContext *econtext;		/* NULL to make the state only */
	Datum		value;
	bool		isnull;
	bool		entered;
} LsRun;

/* One compilation under guard. */
typedef struct LsTry
{
	const LsExprSpec *spec;
	MemoryContext context;
	LsExpr	   *expr;
} LsTry;

/* What to write instead of functions that are not immutable. */
#define CLOCK_HINT \
	"A rule is asked about the past too: use time_frame, decay or events_from instead of the current time."
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
	"Mark a function of yours IMMUTABLE only if it depends on nothing but its arguments."

/* ---------- parsing and analysing ---------- */

/*
 * compile_error makes an error say which expression it is in, and point into
 * its text instead of into the statement that the client sent.
 */
static void
compile_error(void *arg)
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
	if (!c->named)
		errcontext("%s", c->spec->where);
}

/*
 * named gives the name of the expression for a message, which then needs no
 * context line to repeat it.
 */
static const char *
named(LsCompile *c)
{
	c->named = true;
	return c->spec->where;
}

/* pin_settings makes literals and operators mean the same in every session. */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"TimeZone", "UTC"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
		{"array_nulls", "on"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
}

/* refuse raises the error for a construct that has no place in a rule. */
static void
refuse(LsCompile *c, const char *what, int location, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot use %s in %s", what, named(c)),
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(c->pstate, location)));
}

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

/*
 * refuse_raw looks at what is better refused before its names are looked up.
 */
static bool
refuse_raw(Node *node, void *context)
{
	LsCompile  *c = context;

	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		refuse(c, "subquery", ((SubLink *) node)->location,
			   "Use columns of the table, or an immutable function.");
	if (IsA(node, ColumnRef) &&
		IsA(llast(((ColumnRef *) node)->fields), A_Star))
		refuse(c, "whole row", ((ColumnRef *) node)->location,
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

/* is_datetime tells whether values of a type are, or hold, dates or times. */
static bool
is_datetime(Oid type)
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
	return OidIsValid(part) && is_datetime(part);
}

/*
 * refuse_analysed looks for what only the types and functions tell apart.
 */
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
			refuse(c, "subquery", location, NULL);
			break;
		case T_Aggref:
		case T_GroupingFunc:
			refuse(c, "aggregate function", location,
				   "A rule looks at one row at a time: use at_least, max_points or a weight to count or sum.");
			break;
		case T_WindowFunc:
			refuse(c, "window function", location,
				   "A rule looks at one row at a time.");
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcretset)
				refuse(c, "set-returning function", location, NULL);
			break;
		case T_OpExpr:
			if (((OpExpr *) node)->opretset)
				refuse(c, "set-returning function", location, NULL);
			break;
		case T_Var:
			if (((Var *) node)->varattno == InvalidAttrNumber)
				refuse(c, "whole row", location, "Name the columns.");
			if (((Var *) node)->varattno < 0)
				refuse(c, "system column", location, NULL);
			break;
		case T_Const:
			if (list_member_int(c->clock_words, ((Const *) node)->location) &&
				is_datetime(((Const *) node)->consttype))
				refuse(c, "the current time", location, CLOCK_HINT);
			break;
		default:
			break;
	}
	return expression_tree_walker(node, refuse_analysed, context);
}

/* make_param makes a parameter with the type of a constant. */
static Node *
make_param(int id, const Const *like)
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

	if (list_length(cref->fields) != 1 || !IsA(linitial(cref->fields), String))
		return NULL;
	for (int i = 0; i < spec->nvariables; i++)
	{
		if (strcmp(strVal(linitial(cref->fields)), spec->variables[i]) == 0)
		{
			Const		like = {.consttype = FLOAT8OID, .consttypmod = -1};

			like.location = cref->location;
			return make_param(i + 1, &like);
		}
	}
	return NULL;
}

/*
 * parse_single parses the text, which must not bring along a FROM clause or
 * anything else that could follow the expression in a SELECT.
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
				 errmsg("%s must be a single SQL expression", named(c)),
				 parser_errposition(c->pstate, location)));
	return target->val;
}

/* analyse_text parses and analyses a condition or a weight. */
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
				 errmsg("%s is too long", named(c)),
				 errdetail("An expression may have up to %d bytes.",
						   MAX_TEXT_LENGTH)));

	raw = parse_single(c);
	refuse_raw(raw, c);
	c->resolving = true;
	expr = transformExpr(c->pstate, raw, EXPR_KIND_OTHER);
	c->resolving = false;
	refuse_analysed(expr, c);

	result = coerce_to_target_type(c->pstate, expr, exprType(expr), wanted, -1,
								   condition ? COERCION_ASSIGNMENT : COERCION_IMPLICIT,
								   COERCE_IMPLICIT_CAST, -1);
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s must be of type %s, not %s", named(c),
						format_type_be(wanted), format_type_be(exprType(expr))),
				 parser_errposition(c->pstate, exprLocation(expr))));
	return result;
}

/* nearest_column gives the column whose name is most like a wrong one. */
static const char *
nearest_column(const char *name, TupleDesc desc)
{
	const char *nearest = NULL;
	int			length = strlen(name);
	int			distance = Min(3, length / 2);

	if (length >= NAMEDATALEN)
		return NULL;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		int			d;

		if (attr->attisdropped)
			continue;
		d = varstr_levenshtein_less_equal(name, length,
										  NameStr(attr->attname),
										  strlen(NameStr(attr->attname)),
										  1, 1, 1, distance, true);
		if (d <= distance)
		{
			nearest = NameStr(attr->attname);
			distance = d - 1;
		}
		if (distance < 0)
			break;
	}
	return nearest;
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
	{
		const char *nearest = nearest_column(spec->text,
											 RelationGetDescr(spec->rel));

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						spec->text, RelationGetRelationName(spec->rel)),
				 nearest ? errhint("Did you mean \"%s\"?", nearest) : 0));
	}
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
 * analyse turns the text into an expression.  EXPR_KIND_OTHER allows all that
 * is refused here: the messages of core would speak of a trigger.
 */
static void
analyse(LsCompile *c)
{
	ParseNamespaceItem *item;

	c->pstate = make_parsestate(NULL);
	if (c->spec->use != LS_EXPR_COLUMN)
		c->pstate->p_sourcetext = c->spec->text;
	c->pstate->p_pre_columnref_hook = variable_ref;
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
 * check_row_security refuses a role that would see through an expression rows
 * which a policy hides from it: an expression is given every row.
 */
static void
check_row_security(LsCompile *c)
{
	if (check_enable_rls(RelationGetRelid(c->spec->rel), c->spec->role,
						 true) != RLS_ENABLED)
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

/* check_functions checks that the role may call all functions. */
static void
check_functions(LsCompile *c)
{
	ListCell   *lc;

	(void) gather_functions(c->analysed, &c->functions);
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

/* ---------- immutability ---------- */

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
 * find_mutable finds what is not immutable, arguments before the functions
 * they are given to: in date_trunc('day', now()) the matter is now().
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

/* zone_hint says how to do without the time zone of the session. */
static const char *
zone_hint(Oid function)
{
	Oid		   *types;
	int			ntypes;
	Oid			result = get_func_signature(function, &types, &ntypes);

	for (int i = 0; i < ntypes; i++)
		if (types[i] == TIMESTAMPTZOID)
			return ZONE_HINT;
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
	if (is_datetime(cast->resulttype))
		return READ_HINT;
	return is_datetime(from) ? DATE_TEXT_HINT : NULL;
}

/* immutable_hint says what to write instead of something mutable. */
static const char *
immutable_hint(const LsMutable *found)
{
	static const char *const hints[][2] = {
		{"now", CLOCK_HINT},
		{"transaction_timestamp", CLOCK_HINT},
		{"statement_timestamp", CLOCK_HINT},
		{"clock_timestamp", CLOCK_HINT},
		{"timeofday", CLOCK_HINT},
		{"age", CLOCK_HINT},
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
		return is_datetime(exprType(found->node)) ? CLOCK_HINT : NULL;
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
 * check_immutable refuses what could give another result tomorrow or in
 * another session.  It is asked of the planned expression, as inlining can
 * show a function to be better or worse than it is marked; but what is named
 * must be in the text.
 */
static void
check_immutable(LsCompile *c, Node *planned)
{
	LsMutable	cause = {.column = c->spec->use == LS_EXPR_COLUMN};
	LsMutable	found = cause;
	int			location = -1;
	const char *hint;

	if (!find_mutable(planned, &cause))
	{
		if (!found.column && contain_mutable_functions(planned))
			refuse(c, "what is not immutable", -1, NULL);
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
					describe(&found), named(c),
					OidIsValid(found.function) &&
					func_volatile(found.function) == PROVOLATILE_VOLATILE ?
					"volatile" : "stable"),
			 errdetail("Only what is immutable gives the same score at any time and in any session."),
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(c->pstate, location)));
}

/* ---------- what it takes to run it ---------- */

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
 * calls_foreign tells whether an expression may run other code than that of
 * PostgreSQL itself.  Nodes that it does not know may.
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

/* is_leaky tells whether a function may complain about its arguments. */
static bool
is_leaky(Oid function, void *context pg_attribute_unused())
{
	return !get_func_leakproof(function);
}

/*
 * lacks_collation tells whether the arguments of a function do not agree on
 * the collation: then even a leakproof one complains.
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

/* ---------- compiling ---------- */

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

/* unfold replaces constants, so that functions of them cannot be folded. */
static Node *
unfold(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Const))
		return make_param(1, (Const *) node);
	return expression_tree_mutator(node, unfold, context);
}

/*
 * watch_functions makes up for what a cached expression forgets: a function
 * of constants becomes a constant, and is not missed when it is replaced.
 */
static void
watch_functions(LsCompile *c, LsExpr *expr)
{
	ListCell   *lc;

	foreach(lc, c->functions)
	{
		if (lfirst_oid(lc) >= FirstNormalObjectId)
		{
			expr->watched = GetCachedExpression(unfold(c->analysed, NULL));
			(void) gather_functions(expr->watched->expr, &c->functions);
			break;
		}
	}
}

/*
 * build plans the expression and puts together what is kept of it.  Until all
 * is well its context belongs to the transaction, which frees it after an
 * error.
 */
static LsExpr *
build(LsCompile *c)
{
	MemoryContext own = AllocSetContextCreate(CurTransactionContext,
											  "leadscore expression",
											  ALLOCSET_SMALL_SIZES);
	LsExpr	   *expr = MemoryContextAllocZero(own, sizeof(LsExpr));
	Node	   *planned = c->analysed;
	Node	   *bare;
	MemoryContext old;

#if PG_VERSION_NUM >= 180000
	planned = expand_generated_columns_in_expr(planned, c->spec->rel, 1);
#endif
	expr->context = own;
	expr->release.func = release_cached;
	expr->release.arg = expr;
	MemoryContextRegisterResetCallback(own, &expr->release);

	old = MemoryContextSwitchTo(own);
	expr->use = c->spec->use;
	expr->text = pstrdup(c->spec->text);
	expr->where = pstrdup(c->spec->where);
	expr->role = c->spec->role;
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
		expr->cached = GetCachedExpression(planned);
		planned = expr->cached->expr;
		check_immutable(c, planned);
		watch_functions(c, expr);
		convert_saop_to_hashed_saop(planned);
		(void) gather_functions(planned, &c->functions);
		expr->builtin = !calls_foreign(planned, NULL);
		expr->safe = expr->builtin && !can_fail(planned, NULL);
		expr->state_context = AllocSetContextCreate(own,
													"leadscore expression state",
													ALLOCSET_SMALL_SIZES);
	}
	get_typlenbyval(exprType(planned), &expr->typlen, &expr->typbyval);

	old = MemoryContextSwitchTo(own);
	expr->functions = list_copy(c->functions);
	MemoryContextSwitchTo(old);
	return expr;
}

/*
 * ls_expr_compile compiles an expression or raises an error that says what is
 * wrong with it.  The caller holds a lock on the relation; an active snapshot
 * is needed for functions of users.
 */
LsExpr *
ls_expr_compile(const LsExprSpec *spec, MemoryContext context)
{
	LsCompile	c = {.spec = spec};
	LsIdentity	saved;
	ErrorContextCallback callback;
	MemoryContext work;
	MemoryContext old;
	LsExpr	   *expr;

	callback.callback = compile_error;
	callback.arg = &c;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	ls_become_untrusted(spec->role, &saved);
	pin_settings();
	work = AllocSetContextCreate(CurTransactionContext,
								 "leadscore compilation",
								 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);

	check_row_security(&c);
	analyse(&c);
	check_columns(&c);
	check_functions(&c);
	expr = build(&c);
	MemoryContextSetParent(expr->context, context);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	ls_return(&saved);
	error_context_stack = callback.previous;
	return expr;
}

/*
 * guarded runs something in a subtransaction and gives the error it raised,
 * or NULL.  Whoever cancels the statement or ends the session is not stopped.
 */
static ErrorData *
guarded(void (*body) (void *), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* must_pass tells whether an error is not about the expression at all. */
static bool
must_pass(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_ASSERT_FAILURE ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

/* try_compile is ls_expr_compile() for guarded(). */
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

	*error = guarded(try_compile, &try);
	if (*error && must_pass(*error))
		ReThrowError(*error);
	return *error ? NULL : try.expr;
}

/*
 * ls_expr_valid tells whether nothing that was built into an expression, such
 * as the body of a function, has changed.  Changes of the relation are for
 * the caller to notice.
 */
bool
ls_expr_valid(const LsExpr *expr)
{
	return (expr->cached == NULL || expr->cached->is_valid) &&
		(expr->watched == NULL || expr->watched->is_valid);
}

/* ls_expr_free frees an expression; so does deleting the caller's context. */
void
ls_expr_free(LsExpr *expr)
{
	MemoryContextDelete(expr->context);
}

/* ls_expr_uses_function tells whether a change of a function concerns it. */
bool
ls_expr_uses_function(const LsExpr *expr, Oid function)
{
	return list_member_oid(expr->functions, function);
}

/* ---------- evaluating ---------- */

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
 * run_as_role makes the state of an expression, where it needs one, and runs
 * it as its role, for guarded().  A state remembers what it is in the middle
 * of: it is run once at a time, and not again after an error.
 */
static void
run_as_role(void *arg)
{
	LsRun	   *run = arg;
	LsExpr	   *expr = run->expr;
	LsIdentity	saved;

	if (expr->busy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("%s must not be evaluated by a function of its own",
						expr->where)));
	expr->busy = run->entered = true;
	ls_become_untrusted(expr->role, &saved);
	if (!has_state(expr))
	{
		MemoryContext old;

		expr->state = NULL;
		MemoryContextReset(expr->state_context);
		old = MemoryContextSwitchTo(expr->state_context);
		expr->state = ExecInitExpr((Expr *) expr->cached->expr, NULL);
		expr->transaction = ls_transaction_number();
		MemoryContextSwitchTo(old);
	}
	if (run->econtext)
		run->value = ExecEvalExprSwitchContext(expr->state, run->econtext,
											   &run->isnull);
	ls_return(&saved);
	expr->busy = false;
}

/* eval_guarded runs an expression, or only makes its state, under guard. */
static ErrorData *
eval_guarded(LsRun *run)
{
	ErrorData  *error = guarded(run_as_role, run);

	if (error == NULL)
		return NULL;
	if (run->entered)
	{
		run->expr->busy = false;
		run->expr->state = NULL;
	}
	if (must_pass(error))
		ReThrowError(error);
	return error;
}

/*
 * is_complaint tells whether an error is one with which the functions of
 * PostgreSQL itself turn down their arguments, as opposed to one that means
 * trouble.
 */
static bool
is_complaint(int code)
{
	switch (ERRCODE_TO_CATEGORY(code))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_FEATURE_NOT_SUPPORTED: /* extract(week FROM a time) */
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION: /* no collation */
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:	/* JSON nested too deep */
			return true;
		default:
			return false;
	}
}

/* eval_builtin runs an expression that does no harm when it fails. */
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
		if (!is_complaint(geterrcode()))
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
 * in the per-tuple memory or in the tuple; *error is made in the current
 * memory context.
 */
LsExprResult
ls_expr_eval(LsExpr *expr, ExprContext *econtext,
			 Datum *value, bool *isnull, ErrorData **error)
{
	LsRun		run = {.expr = expr, .isnull = true};
	ErrorData  *failure = NULL;
	ErrorContextCallback callback;

	if (expr->attno != 0)
	{
		*value = slot_getattr(econtext->ecxt_scantuple, expr->attno, isnull);
		return LS_EXPR_OK;
	}

	callback.callback = eval_error;
	callback.arg = expr;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (expr->builtin && !has_state(expr))
		failure = eval_guarded(&run);
	run.econtext = econtext;
	if (failure != NULL)
		 /* cannot be run at all */ ;
	else if (!expr->builtin)
		failure = eval_guarded(&run);
	else if (!expr->safe)
		failure = eval_builtin(&run);
	else
		run.value = ExecEvalExprSwitchContext(expr->state, econtext,
											  &run.isnull);
	error_context_stack = callback.previous;

	*value = run.value;
	*isnull = run.isnull || failure != NULL;
	if (failure == NULL)
		return LS_EXPR_OK;
	*error = failure;
	return LS_EXPR_FAILED;
}
