/*-------------------------------------------------------------------------
 *
 * source_locks.h
 *		Locks on what a model is computed from, for readers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SOURCE_LOCKS_H
#define LEADSCORE_SOURCE_LOCKS_H

#include "postgres.h"

#include "rules/model_compile.h"
/* ACCESS SHARE on a model's event tables, before contacts are recomputed */
extern void ls_lock_to_read(LsModel *model);
extern bool ls_lock_to_read_if_free(LsModel *model);
extern void ls_lock_before_writing(const char *name);

#endif							/* LEADSCORE_SOURCE_LOCKS_H */
