/*-------------------------------------------------------------------------
 *
 * source_triggers.h
 *		Tables that feed models: which can, which do, and their triggers.
 *
 * lead_relation lists every table that has our triggers for a model: the contact
 * table and those attached, each with its partitions and children.  After a command
 * the tables are compared with it, to find those that were added and removed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SOURCE_TRIGGERS_H
#define LEADSCORE_SOURCE_TRIGGERS_H

#include "postgres.h"

#include "commands/trigger.h"

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"



/* a row of lead_relation */
typedef struct LsRelationRow
{
	char	   *model;
	char	   *source;			/* NULL: contacts */
	Oid			relation;
} LsRelationRow;

/* triggers: one set serves all models and both roles of a table */
extern void ls_source_keep_triggers(Oid relid, bool by_row);
extern void ls_source_remove_triggers(Oid relid, bool (*is_one) (const char *name));
extern void ls_source_remove_unused_triggers(Oid relid);

extern List *ls_source_relation_rows(Oid relation);	/* InvalidOid: all */
extern List *ls_source_recorded_relations(const char *model, const char *source);
extern void ls_source_record_relation(const char *model, const char *source, Oid relid);
extern void ls_source_forget_relation(const char *model, const char *source, Oid relid);
extern void ls_source_add_tree(const char *model, const char *source, List *tree);
extern List *ls_source_lock_tree(Oid relid, LOCKMODE lockmode);

extern void ls_source_check_relation(Oid relid);
extern void ls_source_check_tree(Oid relid, List *tree, Oid role);
extern char *ls_source_check_time_zone(const char *name);
extern void ls_source_check_time_column(Oid relid, const char *column);
extern AttrNumber ls_source_find_column(Oid relid, const char *column);
extern bool ls_source_column_has_index(Oid relid, AttrNumber attno);
extern bool ls_source_is_time_type(Oid type);
extern bool ls_source_feeds(Oid relation);

#endif							/* LEADSCORE_SOURCE_TRIGGERS_H */
