/*-------------------------------------------------------------------------
 *
 * trusted_code.c
 *		Whose functions may run with the rights of a role.
 *
 * Expressions, casts, and the constraints of domains run functions.  Where they are
 * evaluated as a model's owner, a function of a role that does not have that role's
 * privileges would lend them to its owner, so such functions are looked for first
 * (reachable_code.c).  Functions in C, and those of the server itself, can be written
 * by superusers only, and are trusted whichever role owns them.
 *
 *-------------------------------------------------------------------------
 */
#include "base/trusted_code.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/syscache.h"

/*
 * ls_trust_role tells whether a role may do all that another may, so that
 * code of the former does no harm when it runs as the latter.
 */
bool
ls_trust_role(Oid other, Oid role)
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

/* ls_trust_function_builtin tells whether a function is in C, or the server's own. */
bool
ls_trust_function_builtin(Oid function)
{
	Oid			language,
				owner;

	read_function(function, &language, &owner);
	return language == INTERNALlanguageId || language == ClanguageId;
}

/* ls_trust_function tells whether a function may run as a role. */
bool
ls_trust_function(Oid function, Oid role)
{
	Oid			language,
				owner;

	read_function(function, &language, &owner);
	return language == INTERNALlanguageId || language == ClanguageId ||
		ls_trust_role(owner, role);
}

/* ls_trust_function_owner gives the owner of a function. */
Oid
ls_trust_function_owner(Oid function)
{
	Oid			language,
				owner;

	read_function(function, &language, &owner);
	return owner;
}
