/*-------------------------------------------------------------------------
 *
 * trusted_code.h
 *		Whose functions may run with the rights of a role.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TRUSTED_CODE_H
#define LEADSCORE_TRUSTED_CODE_H

#include "postgres.h"

extern bool ls_trust_role(Oid other, Oid role);
extern bool ls_trust_function_builtin(Oid function);
extern bool ls_trust_function(Oid function, Oid role);
extern Oid	ls_trust_function_owner(Oid function);

#endif							/* LEADSCORE_TRUSTED_CODE_H */
