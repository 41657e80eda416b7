/*-------------------------------------------------------------------------
 *
 * look.h
 *		Tables whose definition is looked at, without waiting for anybody.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LOOK_H
#define LEADSCORE_LOOK_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/rel.h"

extern Relation ls_look_open(Oid relation, bool *locked);
extern void ls_look_close(Relation rel, bool locked);
extern List *ls_look_tree(Oid relation);
extern List *ls_look_parents(Oid relation);

#endif							/* LEADSCORE_LOOK_H */
