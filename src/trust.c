/*-------------------------------------------------------------------------
 *
 * trust.c
 *		Whose functions may run with the rights of a role.
 *
 * Expressions, casts, and the constraints of domains run functions.  Where they
 * are evaluated as a model's owner, a function of somebody who does not have that
 * role's privileges would lend them to its owner, so such functions are looked
 * for before.  Functions in C, and those of the server itself, can be written by
 * superusers only, and are trusted whoever owns them.
 *
 *-------------------------------------------------------------------------
 */
#include "trust.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* What is looked for, and where it was looked for already */
typedef struct Search
{
	Oid			role;
	List	   *types;			/* seen */
	Oid			found;			/* the function; invalid: none */
} Search;

static bool search_type(Oid type, Search *search);

/*
 * ls_role_trusted tells whether a role may do all that another may, so that
 * code of the former does no harm when it runs as the latter.
 */
bool
ls_role_trusted(Oid other, Oid role)
{
	return superuser_arg(other) || has_privs_of_role(other, role);
}

/* read_function gives the language and the owner of a function. */
static void
read_function(Oid function, Oid *language, Oid *owner)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function with OID %u does not exist", function)));
	form = (Form_pg_proc) GETSTRUCT(tuple);
	*language = form->prolang;
	*owner = form->proowner;
	ReleaseSysCache(tuple);
}

/* ls_function_builtin tells whether a function is in C, or the server's own. */
bool
ls_function_builtin(Oid function)
{
	Oid			language,
				owner;

	read_function(function, &language, &owner);
	return language == INTERNALlanguageId || language == ClanguageId;
}

/* ls_function_trusted tells whether a function may run as a role. */
bool
ls_function_trusted(Oid function, Oid role)
{
	Oid			language,
				owner;

	read_function(function, &language, &owner);
	return language == INTERNALlanguageId || language == ClanguageId ||
		ls_role_trusted(owner, role);
}

static bool
search_function(Oid function, void *context)
{
	Search	   *search = context;

	if (ls_function_trusted(function, search->role))
		return false;
	search->found = function;
	return true;
}

static bool
search_node(Node *node, void *context)
{
	Search	   *search = context;

	if (node == NULL)
		return false;
	if (check_functions_in_node(node, search_function, search))
		return true;
	if (IsA(node, CoerceToDomain) &&
		search_type(((CoerceToDomain *) node)->resulttype, search))
		return true;
	if (IsA(node, CoerceViaIO) &&
		search_type(((CoerceViaIO *) node)->resulttype, search))
		return true;
	return expression_tree_walker(node, search_node, context);
}

/* search_constraints looks at the CHECK constraints of a domain. */
static bool
search_constraints(Oid type, Search *search)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	scan = systable_beginscan(rel, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_constraint_conbin,
										 RelationGetDescr(rel), &isnull);

		found = !isnull && search_node(stringToNode(TextDatumGetCString(value)), search);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* search_columns looks at the types of the columns of a composite type. */
static bool
search_columns(Oid type, Search *search)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, -1);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			search_type(TupleDescAttr(desc, i)->atttypid, search))
			return true;
	return false;
}

/* search_type looks at what runs when a value of a type is read or written. */
static bool
search_type(Oid type, Search *search)
{
	Oid			input,
				output,
				element;
	bool		varlena;

	if (list_member_oid(search->types, type))
		return false;
	search->types = lappend_oid(search->types, type);
	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
			return search_constraints(type, search) ||
				search_type(getBaseType(type), search);
		case TYPTYPE_COMPOSITE:
			return search_columns(type, search);
		case TYPTYPE_RANGE:
			return search_type(get_range_subtype(type), search);
		case TYPTYPE_MULTIRANGE:
			return search_type(get_multirange_range(type), search);
		case TYPTYPE_BASE:
			break;
		default:
			return false;
	}
	element = get_base_element_type(type);
	if (OidIsValid(element))
		return search_type(element, search);
	getTypeInputInfo(type, &input, &element);
	getTypeOutputInfo(type, &output, &varlena);
	return search_function(input, search) || search_function(output, search);
}

/*
 * ls_expression_untrusted gives a function that an expression runs and that must
 * not be run as a role; invalid where there is none.
 */
Oid
ls_expression_untrusted(Node *node, Oid role)
{
	Search		search = {.role = role};

	(void) search_node(node, &search);
	return search.found;
}

/* ls_type_untrusted does so for what reads and writes values of a type. */
Oid
ls_type_untrusted(Oid type, Oid role)
{
	Search		search = {.role = role};

	(void) search_type(type, &search);
	return search.found;
}
