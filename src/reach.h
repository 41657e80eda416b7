/*-------------------------------------------------------------------------
 *
 * reach.h
 *		What is reached when an expression runs, and whose code may run.
 *
 * A reach is the list of everything that an expression, a type or a table leads
 * to.  So far it is asked whose functions are in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_REACH_H
#define LEADSCORE_REACH_H

#include "postgres.h"

#include "nodes/nodes.h"
#include "nodes/pg_list.h"

/* OIDs, each once; what initdb made is left out */
typedef struct LsReach
{
	List	   *functions;
	List	   *types;
	List	   *relations;
	List	   *domains;		/* whose constraints can do anything */
} LsReach;

extern void ls_reach_expression(LsReach *reach, Node *node);
extern void ls_reach_type(LsReach *reach, Oid type);
extern void ls_reach_function(LsReach *reach, Oid function, Node *call);
extern void ls_reach_table(LsReach *reach, Oid relid);

extern void ls_reach_merge(LsReach *reach, const LsReach *other);

extern Oid	ls_type_untrusted(Oid type, Oid role);
extern ErrorData *ls_reach_error(const LsReach *reach, Oid role);
extern ErrorData *ls_table_reach_error(LsReach *reach, Oid relid, Oid role);
extern ErrorData *ls_key_reach_error(LsReach *reach, Oid key, Oid contacts, Oid role);
extern void ls_check_reach(const LsReach *reach, Oid role);
extern void ls_check_call(Oid function, Oid role);

extern void ls_reach_watch(const LsReach *reach);
extern bool ls_reach_watches(uint32 hash);

#endif							/* LEADSCORE_REACH_H */
