/*-------------------------------------------------------------------------
 *
 * ancestor.h
 *		Tables above those that feed models, through which their rows may be
 *		written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ANCESTOR_H
#define LEADSCORE_ANCESTOR_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"


extern bool ls_ancestors_by_row(Oid root);
extern bool ls_ancestors_row_trigger(Oid relation);
extern bool ls_ancestors_concerned(const List *changes);
extern List *ls_ancestors_to_lock(List *roots);
extern void ls_ancestors_lock_before(const Node *stmt);
extern void ls_ancestors_refuse(Oid root, bool contacts);
extern void ls_ancestors_warn(const List *changes);
extern void ls_ancestors_sync(void);

#endif							/* LEADSCORE_ANCESTOR_H */
