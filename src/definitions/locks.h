/*-------------------------------------------------------------------------
 *
 * locks.h
 *		Locks, in the order in which every session takes them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LOCKS_H
#define LEADSCORE_LOCKS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

#include "definitions/lead_tables.h"

/* for all commands that change a model, before anything else */
extern void ls_lock_definitions(const char *model);
extern bool ls_lock_definitions_if_free(const char *model);
extern void ls_lock_own_definitions(void);
extern bool ls_lock_definitions_held(void);
extern LsModelRow *ls_lock_model(const char *model);
extern LsModelRow *ls_lock_held_model(const char *model);
extern void ls_lock_model_name(const char *model);
/* on a table with its partitions and children */
extern void ls_lock_with_parts(Oid relation, LOCKMODE mode);
/* SHARE ROW EXCLUSIVE on tables, with their partitions and children */
extern void ls_lock_tables(List *roots);
/* ... on a model's event tables and its contact table */
extern void ls_lock_sources(const char *model);
extern void ls_lock_sources_and(const char *model, Oid relation);
extern bool ls_lock_sources_if_free(const char *model);
/*
 * ... and stronger where triggers are dropped: with a source, or (NULL) with the
 * model
 */
extern void ls_lock_for_removal(const char *model, const char *source);
/* ACCESS EXCLUSIVE, as DROP TABLE and DETACH PARTITION take it */
extern void ls_lock_against_all(List *relations);
/* ... one that is attached to others or detached, SHARE ROW EXCLUSIVE on those */
extern void ls_lock_from_above(List *above, Oid part);

extern uint64 ls_lock_rank(const char *model);
extern int	ls_lock_rank_order(const ListCell *a, const ListCell *b);
extern int	ls_lock_row_order(const ListCell *a, const ListCell *b);

#endif							/* LEADSCORE_LOCKS_H */
