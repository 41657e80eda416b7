/*-------------------------------------------------------------------------
 *
 * lock.h
 *		Locks on the tables that a model reads, in an order that all keep.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LOCK_H
#define LEADSCORE_LOCK_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "rules.h"

/* SHARE ROW EXCLUSIVE on tables, with their partitions and children */
extern void ls_lock_tables(List *roots);
/* ... on a model's event tables and its contact table */
extern void ls_lock_sources(const char *model);
/* ACCESS SHARE on a model's event tables, before contacts are counted */
extern void ls_lock_to_read(LsModel *model);
extern bool ls_lock_to_read_if_free(LsModel *model);
extern void ls_lock_before_writing(const char *name);

#endif							/* LEADSCORE_LOCK_H */
