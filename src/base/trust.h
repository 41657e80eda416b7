/*-------------------------------------------------------------------------
 *
 * trust.h
 *		Whose functions may run with the rights of a role.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TRUST_H
#define LEADSCORE_TRUST_H

#include "postgres.h"

extern bool ls_role_trusted(Oid other, Oid role);
extern bool ls_function_builtin(Oid function);
extern bool ls_function_trusted(Oid function, Oid role);
extern Oid	ls_function_owner(Oid function);
extern Oid	ls_table_owner(Oid relid);

#endif							/* LEADSCORE_TRUST_H */
