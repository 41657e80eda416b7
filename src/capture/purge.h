/*-------------------------------------------------------------------------
 *
 * purge.h
 *		Tables that are emptied or dropped: purged contributions, or recomputation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PURGE_H
#define LEADSCORE_PURGE_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

extern bool ls_purge_read(Relation rel, const List *dropped);

/* before tables are dropped (drop_partition.c) */
extern List *ls_drop_named(const DropStmt *stmt);
extern void ls_drop_purge(const Node *stmt);
extern bool ls_drop_purged(Oid relation);

#endif							/* LEADSCORE_PURGE_H */
