/*-------------------------------------------------------------------------
 *
 * relation.h
 *		Tables whose definition is looked at, without waiting for a lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RELATION_H
#define LEADSCORE_RELATION_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/htup.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

extern Relation ls_relation_open(Oid relation, bool *locked);
extern void ls_relation_close(Relation rel, bool locked);
extern List *ls_relation_tree(Oid relation);
extern List *ls_relation_parents(Oid relation);
extern bool ls_relation_part(Oid classid, Oid objid, Oid *relid, Oid *domain);
extern Oid	ls_relation_part_table(Oid classid, Oid objid);
extern List *ls_relation_dependents(Oid classid, Oid objid);
extern Oid	ls_relation_find_owner(Oid relid);
extern Oid	ls_relation_owner(Oid relid);
extern bool ls_relation_may_read(Oid relid, Oid role);
extern bool ls_relation_lacks_pages(Form_pg_class row);
extern bool ls_relation_has_pages(Oid table);
extern AttrNumber ls_relation_column(Relation rel, const char *name);
extern void ls_relation_read_types(Oid relation, int most, Oid *types);
extern double ls_relation_estimate_rows(Oid relation);
extern bool ls_relation_has_index(Oid table);
extern AttrNumber ls_relation_index_not_null(HeapTuple index);
extern char *ls_relation_qualified_name(Oid relid);

extern bool ls_relation_queues_triggers(Relation rel);
extern bool ls_relation_runs_own_code(Relation rel);
extern bool ls_relation_runs_code(Relation rel);

#endif							/* LEADSCORE_RELATION_H */
