/*-------------------------------------------------------------------------
 *
 * reachable_code.c
 *		What is reached when an expression runs, and whose code may run.
 *
 * Rules, keys and event tables are evaluated with the rights of the model's owner,
 * whichever session writes the event.  So every function that takes part must
 * belong to a role that has these rights anyway: otherwise the owner of a cast, of
 * a domain or of an event table would gain them.  A function takes part without
 * being named in an expression: behind an operator or a cast, in the CHECK of a
 * domain, as input or output function of a type, as support function of an operator
 * class, in the body of another function, or in an index, constraint, partition key
 * or policy of the table that is read.
 *
 * What initdb made is trusted.  The body of a function is walked where it is SQL;
 * what a function in another language calls cannot be known, but that function itself
 * belongs to a role that is trusted.
 *
 *-------------------------------------------------------------------------
 */
#include "base/reachable_code.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_language.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "executor/functions.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rowsecurity.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/relation.h"
#include "base/transaction.h"
#include "base/trusted_code.h"
#include "base/user.h"

static void add_function(LsReach *reach, Oid function, Node *call);
static void add_table(LsReach *reach, Oid relid);

/* add puts an OID into one of the lists.  False: there is nothing to look into. */
static bool
add(List **list, Oid oid)
{
	if (oid < FirstNormalObjectId || list_member_oid(*list, oid))
		return false;
	*list = lappend_oid(*list, oid);
	return true;
}

/* ---------- catalogs ---------- */

/* stored_expression walks an expression that a catalog row holds, or not. */
static void
stored_expression(LsReach *reach, int cache, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(cache, tuple, column, &isnull);

	if (!isnull)
		ls_reach_expression(reach, stringToNode(TextDatumGetCString(value)));
}

/* operator_class adds the support functions of an operator class that is not built in. */
static void
operator_class(LsReach *reach, Oid opclass)
{
	HeapTuple	tuple;
	Form_pg_opclass form;
	CatCList   *members;

	if (opclass < FirstNormalObjectId)
		return;
	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	members = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(form->opcfamily));
	for (int i = 0; i < members->n_members; i++)
		add_function(reach, ((Form_pg_amproc) GETSTRUCT(&members->members[i]->tuple))->amproc,
					 NULL);
	ReleaseSysCacheList(members);
	ReleaseSysCache(tuple);
}

/* comparison adds the functions with which values of a type are compared. */
static void
comparison(LsReach *reach, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR |
											  TYPECACHE_GT_OPR | TYPECACHE_CMP_PROC |
											  TYPECACHE_HASH_PROC);
	Oid			operators[] = {entry->eq_opr, entry->lt_opr, entry->gt_opr};

	add_function(reach, entry->cmp_proc, NULL);
	add_function(reach, entry->hash_proc, NULL);
	for (size_t i = 0; i < lengthof(operators); i++)
		if (OidIsValid(operators[i]))
			add_function(reach, get_opcode(operators[i]), NULL);
}

/* ---------- types ---------- */

/* domain_checks walks the constraints of a domain. */
static void
domain_checks(LsReach *reach, Oid domain)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(domain));
	scan = systable_beginscan(rel, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_constraint_conbin,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
		{
			Node	   *check = stringToNode(TextDatumGetCString(value));

			ls_reach_expression(reach, check);
			/* such functions of the server can do anything as the role that runs them */
			if (contain_mutable_functions(check))
				reach->domains = list_append_unique_oid(reach->domains, domain);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* attribute_types adds the types of the columns of a composite type. */
static void
attribute_types(LsReach *reach, Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_noerror(type, -1, true);

	if (desc == NULL)
		return;
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			ls_reach_type(reach, TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
}

/* range_type adds what a range type is made of. */
static void
range_type(LsReach *reach, Oid type)
{
	HeapTuple	tuple = SearchSysCache1(RANGETYPE, ObjectIdGetDatum(type));
	Form_pg_range form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_range) GETSTRUCT(tuple);
	ls_reach_type(reach, form->rngsubtype);
	add_function(reach, form->rngcanonical, NULL);
	add_function(reach, form->rngsubdiff, NULL);
	operator_class(reach, form->rngsubopc);
	ReleaseSysCache(tuple);
}

/*
 * ls_reach_type adds what reading, writing and comparing values of a type runs.
 */
void
ls_reach_type(LsReach *reach, Oid type)
{
	HeapTuple	tuple;
	Form_pg_type form;

	if (!add(&reach->types, type))
		return;
	check_stack_depth();
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_type) GETSTRUCT(tuple);
	add_function(reach, form->typinput, NULL);
	add_function(reach, form->typoutput, NULL);
	add_function(reach, form->typreceive, NULL);
	add_function(reach, form->typsend, NULL);
	add_function(reach, form->typmodin, NULL);
	add_function(reach, form->typsubscript, NULL);
	if (OidIsValid(form->typelem))
		ls_reach_type(reach, form->typelem);
	switch (form->typtype)
	{
		case TYPTYPE_DOMAIN:
			ls_reach_type(reach, form->typbasetype);
			domain_checks(reach, type);
			break;
		case TYPTYPE_COMPOSITE:
			attribute_types(reach, type);
			break;
		case TYPTYPE_RANGE:
			range_type(reach, type);
			break;
		case TYPTYPE_MULTIRANGE:
			ls_reach_type(reach, get_multirange_range(type));
			break;
		default:
			break;
	}
	if (form->typisdefined && form->typtype != TYPTYPE_PSEUDO)
		comparison(reach, type);
	ReleaseSysCache(tuple);
}

/* ---------- functions ---------- */

/* The body of an SQL function, to be parsed in a subtransaction */
typedef struct Body
{
	LsReach    *reach;
	HeapTuple	tuple;
	Node	   *call;
} Body;

/* parse_body walks the body of an SQL function that is stored as text. */
static void
parse_body(void *arg)
{
	Body	   *body = arg;
	Oid			collation = body->call ? exprInputCollation(body->call) : InvalidOid;
	int			nest = NewGUCNestLevel();
	SQLFunctionParseInfoPtr info;
	bool		isnull;
	Datum		value;
	char	   *source;
	ListCell   *lc;

	value = SysCacheGetAttr(PROCOID, body->tuple, Anum_pg_proc_proconfig, &isnull);
	if (!isnull)
		ProcessGUCArray(DatumGetArrayTypeP(value), PGC_USERSET, PGC_S_SESSION,
						GUC_ACTION_SAVE);
	value = SysCacheGetAttr(PROCOID, body->tuple, Anum_pg_proc_prosrc, &isnull);
	source = TextDatumGetCString(value);
	info = prepare_sql_fn_parse_info(body->tuple, body->call, collation);
	foreach(lc, pg_parse_query(source))
		ls_reach_expression(body->reach,
							(Node *) pg_analyze_and_rewrite_withcb(lfirst_node(RawStmt, lc), source,
																   (ParserSetupHook) sql_fn_parser_setup,
																   info, NULL));
	AtEOXact_GUC(true, nest);
}

/*
 * sql_body walks the body of an SQL function.  One that cannot be parsed cannot
 * be run either.
 */
static void
sql_body(LsReach *reach, HeapTuple tuple, Node *call)
{
	Body		body = {reach, tuple, call};
	bool		isnull;

	(void) SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &isnull);
	if (!isnull)
	{
		stored_expression(reach, PROCOID, tuple, Anum_pg_proc_prosqlbody);
		return;
	}
	(void) ls_subtransaction_try(parse_body, &body);
}

/* aggregate adds the functions that an aggregate consists of. */
static void
aggregate(LsReach *reach, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(function));
	Form_pg_aggregate form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	add_function(reach, form->aggtransfn, NULL);
	add_function(reach, form->aggfinalfn, NULL);
	add_function(reach, form->aggcombinefn, NULL);
	add_function(reach, form->aggserialfn, NULL);
	add_function(reach, form->aggdeserialfn, NULL);
	add_function(reach, form->aggmtransfn, NULL);
	add_function(reach, form->aggminvtransfn, NULL);
	add_function(reach, form->aggmfinalfn, NULL);
	ReleaseSysCache(tuple);
}

/*
 * add_function adds a function and what it calls, as far as can be seen.
 * call is the node that calls it, for the types of polymorphic arguments.
 */
static void
add_function(LsReach *reach, Oid function, Node *call)
{
	HeapTuple	tuple;
	Form_pg_proc form;

	if (!add(&reach->functions, function))
		return;
	check_stack_depth();
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	add_function(reach, form->prosupport, NULL);
	if (form->prokind == PROKIND_AGGREGATE)
		aggregate(reach, function);
	else if (form->prolang == SQLlanguageId)
		sql_body(reach, tuple, call);
	ReleaseSysCache(tuple);
}

/* ---------- expressions ---------- */

/* A node whose functions are being added */
typedef struct Caller
{
	LsReach    *reach;
	Node	   *node;
} Caller;

static bool
add_called(Oid function, void *context)
{
	Caller	   *caller = context;

	add_function(caller->reach, function, caller->node);
	return false;
}

/* has_type tells whether a node is one of which exprType() knows the type. */
static bool
has_type(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_Param:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_SubscriptingRef:
		case T_FieldSelect:
		case T_FieldStore:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ConvertRowtypeExpr:
		case T_CaseExpr:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_CoerceToDomain:
		case T_CoerceToDomainValue:
		case T_Aggref:
		case T_WindowFunc:
			return true;
		default:
			return false;
	}
}

static void
add_operator(LsReach *reach, Oid operator)
{
	if (OidIsValid(operator))
		add_function(reach, get_opcode(operator), NULL);
}

/* add_cast adds the cast from a type to another, where users made one. */
static void
add_cast(LsReach *reach, Oid source, Oid target)
{
	if (source != target)
		(void) add(&reach->casts, get_cast_oid(source, target, true));
}

/* add_conversion adds the cast by which a node turns a value into another type. */
static void
add_conversion(LsReach *reach, Node *node)
{
	FuncExpr   *function = (FuncExpr *) node;

	switch (nodeTag(node))
	{
		case T_FuncExpr:
			if (function->args != NIL)
				add_cast(reach, exprType(linitial(function->args)), function->funcresulttype);
			break;
		case T_RelabelType:
			add_cast(reach, exprType((Node *) ((RelabelType *) node)->arg),
					 ((RelabelType *) node)->resulttype);
			break;
		case T_CoerceViaIO:
			add_cast(reach, exprType((Node *) ((CoerceViaIO *) node)->arg),
					 ((CoerceViaIO *) node)->resulttype);
			break;
		case T_ArrayCoerceExpr:
			add_cast(reach, get_element_type(exprType((Node *) ((ArrayCoerceExpr *) node)->arg)),
					 get_element_type(((ArrayCoerceExpr *) node)->resulttype));
			break;
		default:
			break;
	}
}

/* add_objects adds what a node names or uses beside functions and types. */
static void
add_objects(LsReach *reach, Node *node)
{
	const Const *value = (const Const *) node;
	ListCell   *lc;

	add_conversion(reach, node);
	if (has_type(node))
	{
		(void) add(&reach->collations, exprCollation(node));
		(void) add(&reach->collations, exprInputCollation(node));
	}
	switch (nodeTag(node))
	{
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			(void) add(&reach->operators, ((OpExpr *) node)->opno);
			break;
		case T_ScalarArrayOpExpr:
			(void) add(&reach->operators, ((ScalarArrayOpExpr *) node)->opno);
			(void) add(&reach->collations, exprInputCollation(node));
			break;
		case T_RowCompareExpr:
			foreach(lc, ((RowCompareExpr *) node)->opnos)
				(void) add(&reach->operators, lfirst_oid(lc));
			break;
		case T_CollateExpr:
			(void) add(&reach->collations, ((CollateExpr *) node)->collOid);
			break;
		case T_Const:
			if (!value->constisnull &&
				(value->consttype == REGCONFIGOID || value->consttype == REGDICTIONARYOID))
				reach->configurations = list_append_unique_oid(reach->configurations,
															   DatumGetObjectId(value->constvalue));
			break;
		default:
			break;
	}
}

static bool
walk(Node *node, void *context)
{
	LsReach    *reach = context;
	Caller		caller = {reach, node};

	if (node == NULL)
		return false;
	(void) check_functions_in_node(node, add_called, &caller);
	if (has_type(node))
		ls_reach_type(reach, exprType(node));
	add_objects(reach, node);
	switch (nodeTag(node))
	{
		case T_SortGroupClause:
			add_operator(reach, ((SortGroupClause *) node)->eqop);
			add_operator(reach, ((SortGroupClause *) node)->sortop);
			break;
		case T_RangeTblEntry:
			if (((RangeTblEntry *) node)->rtekind == RTE_RELATION)
				add_table(reach, ((RangeTblEntry *) node)->relid);
			return false;		/* query_tree_walker() goes into it */
		case T_Query:
			return query_tree_walker((Query *) node, walk, context,
									 QTW_EXAMINE_RTES_BEFORE | QTW_EXAMINE_SORTGROUP);
		default:
			break;
	}
	return expression_tree_walker(node, walk, context);
}

/* ls_reach_expression adds what evaluating an expression, or a query, runs. */
void
ls_reach_expression(LsReach *reach, Node *node)
{
	check_stack_depth();
	(void) walk(node, reach);
}

/* ---------- tables ---------- */

/* table_index adds what an index has computed, or compared. */
static void
table_index(LsReach *reach, Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	oidvector  *classes;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return;
	stored_expression(reach, INDEXRELID, tuple, Anum_pg_index_indexprs);
	stored_expression(reach, INDEXRELID, tuple, Anum_pg_index_indpred);
	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															Anum_pg_index_indclass, &isnull));
	for (int i = 0; i < classes->dim1; i++)
		operator_class(reach, classes->values[i]);
	ReleaseSysCache(tuple);
}

/* table_statistics adds the expressions of extended statistics. */
static void
table_statistics(LsReach *reach, Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetStatExtList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		stored_expression(reach, STATEXTOID, tuple, Anum_pg_statistic_ext_stxexprs);
		ReleaseSysCache(tuple);
	}
}

/* table_partitioning adds what computes the partition of a row. */
static void
table_partitioning(LsReach *reach, Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		PartitionKey key = RelationGetPartitionKey(rel);

		ls_reach_expression(reach, (Node *) key->partexprs);
		for (int i = 0; i < key->partnatts; i++)
		{
			ls_reach_type(reach, key->parttypid[i]);
			add_function(reach, key->partsupfunc[i].fn_oid, NULL);
		}
	}
	if (rel->rd_rel->relispartition)
		ls_reach_expression(reach, (Node *) RelationGetPartitionQual(rel));
}

/* table_policies adds the expressions of row security policies. */
static void
table_policies(LsReach *reach, Relation rel)
{
	ListCell   *lc;

	if (rel->rd_rsdesc == NULL)
		return;
	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);

		ls_reach_expression(reach, (Node *) policy->qual);
		ls_reach_expression(reach, (Node *) policy->with_check_qual);
	}
}

/*
 * add_table adds what planning or running a query on a table evaluates
 * without being asked for it: the planner folds and compares the expressions of
 * constraints, indexes, statistics and partition keys.
 */
static void
add_table(LsReach *reach, Oid relid)
{
	TupleConstr *constr;
	Relation	rel;
	ListCell   *lc;

	if (!add(&reach->relations, relid) ||
		(rel = try_relation_open(relid, AccessShareLock)) == NULL)
		return;
	check_stack_depth();
	if (rel->rd_rel->relkind == RELKIND_VIEW)
		ls_reach_expression(reach, (Node *) get_view_query(rel));
	else
	{
		foreach(lc, RelationGetIndexList(rel))
			table_index(reach, lfirst_oid(lc));
		table_statistics(reach, rel);
		table_partitioning(reach, rel);
	}
	table_policies(reach, rel);
	constr = RelationGetDescr(rel)->constr;
	for (int i = 0; constr && i < constr->num_check; i++)
		ls_reach_expression(reach, stringToNode(constr->check[i].ccbin));
	relation_close(rel, AccessShareLock);
}

/* ---------- trust ---------- */

/* name_of names a role for a message; it may have been dropped meanwhile. */
static const char *
name_of(Oid role)
{
	const char *name = GetUserNameFromId(role, true);

	return name ? name : "(dropped)";
}

/* type_owner gives the owner of a type; invalid where it is gone. */
static Oid
type_owner(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * object_error is the error where a view or a constraint of a domain was written by
 * a role that is not trusted, or NULL.  It needs no function of that role's: with
 * those of the server it reads files, signals processes and runs SQL that is in
 * text.
 */
static ErrorData *
object_error(const LsReach *reach, Oid role)
{
	const char *object = NULL;
	Oid			owner = InvalidOid;
	ErrorData  *error;
	ListCell   *lc;

	foreach(lc, reach->relations)
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_VIEW)
			continue;
		owner = ls_relation_find_owner(lfirst_oid(lc));
		if (OidIsValid(owner) && !ls_trust_role(owner, role))
			object = psprintf("view \"%s\"", get_rel_name(lfirst_oid(lc)));
	}
	foreach(lc, object ? NIL : reach->domains)
	{
		owner = type_owner(lfirst_oid(lc));
		if (OidIsValid(owner) && !ls_trust_role(owner, role))
			object = psprintf("constraint of domain %s", format_type_be(lfirst_oid(lc)));
	}
	if (object == NULL)
		return NULL;
	error = palloc0(sizeof(ErrorData));
	error->elevel = ERROR;
	error->sqlerrcode = ERRCODE_INSUFFICIENT_PRIVILEGE;
	error->assoc_context = CurrentMemoryContext;
	error->message = psprintf("%s of another role must not run with the rights of role \"%s\"",
							  object, name_of(role));
	error->detail = psprintf("Role \"%s\" owns the model, and who wrote it does not have its privileges.",
							 name_of(role));
	error->hint = "Do without it.";
	return error;
}

/* error_of is the error where a function may not run as a role, or NULL. */
static ErrorData *
error_of(const LsReach *reach, Oid role)
{
	ErrorData  *error;
	const char *function;
	const char *owner;
	ListCell   *lc;

	foreach(lc, reach->functions)
	{
		if (ls_trust_function(lfirst_oid(lc), role))
			continue;
		function = format_procedure(lfirst_oid(lc));
		owner = name_of(ls_trust_function_owner(lfirst_oid(lc)));
		error = palloc0(sizeof(ErrorData));
		error->elevel = ERROR;
		error->sqlerrcode = ERRCODE_INSUFFICIENT_PRIVILEGE;
		error->assoc_context = CurrentMemoryContext;
		error->message = psprintf("function %s of role \"%s\" must not run with the rights of role \"%s\"",
								  function, owner, name_of(role));
		error->detail = psprintf("Role \"%s\" owns the model, and role \"%s\" does not have its privileges.",
								 name_of(role), owner);
		error->hint = psprintf("When the function has been found harmless, use ALTER FUNCTION %s OWNER TO %s; or do without it.",
							   function, quote_identifier(name_of(role)));
		return error;
	}
	return object_error(reach, role);
}

/* ls_reach_check refuses functions that may not run with the rights of a role. */
void
ls_reach_check(const LsReach *reach, Oid role)
{
	ErrorData  *error = error_of(reach, role);

	if (error)
		ThrowErrorData(error);
}

/*
 * ls_reach_type_untrusted gives a function that values of a type lead to and that must
 * not be run as a role; invalid where there is none.
 */
Oid
ls_reach_type_untrusted(Oid type, Oid role)
{
	LsReach		reach = {NIL};
	ListCell   *lc;

	ls_reach_type(&reach, type);
	foreach(lc, reach.functions)
		if (!ls_trust_function(lfirst_oid(lc), role))
			return lfirst_oid(lc);
	foreach(lc, reach.domains)
		if (!ls_trust_role(type_owner(lfirst_oid(lc)), role))
			return F_DOMAIN_IN;
	return InvalidOid;
}

/* ls_reach_check_call refuses to call a function as a role. */
void
ls_reach_check_call(Oid function, Oid role)
{
	LsReach		reach = {NIL};
	LsUser		saved;

	ls_user_switch_to_compute(role, &saved);
	add_function(&reach, function, NULL);
	ls_user_restore(&saved);
	ls_reach_check(&reach, role);
}

/*
 * ls_reach_table_error is the error where reading a table, with its partitions and
 * children, would run code of an owner who could not run it as the role otherwise, or
 * NULL.  A table whose owner has the role's privileges is in order.  The functions
 * are added to the reach; those that were in it before are not checked again.
 */
ErrorData *
ls_reach_table_error(LsReach *reach, Oid relid, Oid role)
{
	LsReach		table = {NIL};
	List	   *suspects = NIL;
	LsUser		saved;
	ListCell   *lc;

	foreach(lc, ls_relation_tree(relid))
		if (!ls_trust_role(ls_relation_find_owner(lfirst_oid(lc)), role))
			suspects = lappend_oid(suspects, lfirst_oid(lc));
	if (suspects == NIL)
		return NULL;
	ls_user_switch_to_compute(role, &saved);
	foreach(lc, suspects)
		add_table(&table, lfirst_oid(lc));
	ls_user_restore(&saved);
	ls_reach_merge(reach, &table);
	return error_of(&table, role);
}

/*
 * ls_reach_key_error is the error where a role must not compare keys or read
 * contacts, or NULL; contacts is InvalidOid where there is no such table.
 */
ErrorData *
ls_reach_key_error(LsReach *reach, Oid key, Oid contacts, Oid role)
{
	ErrorData  *error;

	ls_reach_type(reach, key);
	error = error_of(reach, role);
	if (error == NULL && OidIsValid(contacts))
		error = ls_reach_table_error(reach, contacts, role);
	return error;
}

/* ---------- changes ---------- */

/* hashes of the functions and types that compiled models have reached */
static List *watched = NIL;

static void
watch(int cache, Oid oid)
{
	int			hash = (int) GetSysCacheHashValue1(cache, ObjectIdGetDatum(oid));
	MemoryContext old;

	if (list_member_int(watched, hash))
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	watched = lappend_int(watched, hash);
	MemoryContextSwitchTo(old);
}

/* ls_reach_watch has later changes of what is reached recognised. */
void
ls_reach_watch(const LsReach *reach)
{
	ListCell   *lc;

	foreach(lc, reach->functions)
		watch(PROCOID, lfirst_oid(lc));
	foreach(lc, reach->types)
		watch(TYPEOID, lfirst_oid(lc));
}

/*
 * ls_reach_watches tells whether an invalidation may be of something that was
 * reached.  It reads nothing.
 */
bool
ls_reach_watches(uint32 hash)
{
	return hash == 0 || list_member_int(watched, (int) hash);
}

/* ls_reach_merge adds what another reach has. */
void
ls_reach_merge(LsReach *reach, const LsReach *other)
{
	reach->functions = list_concat_unique_oid(reach->functions, other->functions);
	reach->types = list_concat_unique_oid(reach->types, other->types);
	reach->relations = list_concat_unique_oid(reach->relations, other->relations);
	reach->domains = list_concat_unique_oid(reach->domains, other->domains);
	reach->operators = list_concat_unique_oid(reach->operators, other->operators);
	reach->casts = list_concat_unique_oid(reach->casts, other->casts);
	reach->collations = list_concat_unique_oid(reach->collations, other->collations);
	reach->configurations = list_concat_unique_oid(reach->configurations,
												   other->configurations);
}

/* same tells whether two lists have the same OIDs, in whatever order. */
static bool
same(const List *a, const List *b)
{
	return list_length(a) == list_length(b) && list_difference_oid(a, b) == NIL;
}

/* ls_reach_equal tells whether two reaches are of the same objects. */
bool
ls_reach_equal(const LsReach *a, const LsReach *b)
{
	return same(a->functions, b->functions) && same(a->types, b->types) &&
		same(a->relations, b->relations) && same(a->operators, b->operators) &&
		same(a->casts, b->casts) && same(a->collations, b->collations) &&
		same(a->configurations, b->configurations);
}
