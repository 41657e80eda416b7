/*-------------------------------------------------------------------------
 *
 * reachable_code.h
 *		What is reached when an expression runs, and whose code may run.
 *
 * A reach is the list of everything that an expression, a type or a table leads to.
 * It is used to check the owners of the functions in it, and to find what depends on
 * an object that a command has changed (dependency.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_REACHABLE_CODE_H
#define LEADSCORE_REACHABLE_CODE_H

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
	List	   *operators;
	List	   *casts;
	List	   *collations;
	List	   *configurations; /* of text search, those of initdb as well */
} LsReach;

extern void ls_reach_expression(LsReach *reach, Node *node);
extern void ls_reach_type(LsReach *reach, Oid type);

extern void ls_reach_merge(LsReach *reach, const LsReach *other);
extern bool ls_reach_equal(const LsReach *a, const LsReach *b);

extern Oid	ls_reach_type_untrusted(Oid type, Oid role);
extern ErrorData *ls_reach_table_error(LsReach *reach, Oid relid, Oid role);
extern ErrorData *ls_reach_key_error(LsReach *reach, Oid key, Oid contacts, Oid role);
extern void ls_reach_check(const LsReach *reach, Oid role);
extern void ls_reach_check_call(Oid function, Oid role);

extern void ls_reach_watch(const LsReach *reach);
extern bool ls_reach_watches(uint32 hash);

#endif							/* LEADSCORE_REACHABLE_CODE_H */
