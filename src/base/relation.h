/*-------------------------------------------------------------------------
 *
 * relation.h
 *		Tables whose definition is looked at, without waiting for anybody.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RELATION_H
#define LEADSCORE_RELATION_H

#include "postgres.h"

#include "catalog/pg_depend.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

extern Relation ls_look_open(Oid relation, bool *locked);
extern void ls_look_close(Relation rel, bool locked);
extern List *ls_look_tree(Oid relation);
extern List *ls_look_parents(Oid relation);
extern bool ls_look_part(Oid classid, Oid objid, Oid *relid, Oid *domain);
extern Oid	ls_look_part_table(Oid classid, Oid objid);
extern List *ls_look_dependents(Oid classid, Oid objid);

#endif							/* LEADSCORE_RELATION_H */
