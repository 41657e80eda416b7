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

#include "nodes/nodes.h"

extern bool ls_role_trusted(Oid other, Oid role);
extern bool ls_function_builtin(Oid function);
extern bool ls_function_trusted(Oid function, Oid role);
extern Oid	ls_expression_untrusted(Node *node, Oid role);
extern Oid	ls_type_untrusted(Oid type, Oid role);

#endif							/* LEADSCORE_TRUST_H */
