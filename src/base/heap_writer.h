/*-------------------------------------------------------------------------
 *
 * heap_writer.h
 *		A table of ours, written row by row through the executor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_HEAP_WRITER_H
#define LEADSCORE_HEAP_WRITER_H

#include "postgres.h"

#include "access/skey.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

/* Columns of the key by which rows are found, at most */
#define LS_TARGET_MAX_KEYS 3

typedef struct LsTarget
{
	Relation	rel;
	bool		runs_code;		/* its owner's functions may be run by writing */
	bool		queues_triggers;	/* AFTER triggers for each row */
	Oid			key_index;		/* invalid where rows are only inserted */
	ScanKeyData keys[LS_TARGET_MAX_KEYS];	/* to find rows by it; made ... */
	int			nkeys;			/* ... when a row is first looked for, 0 until then */
	EState	   *estate;
	ResultRelInfo *info;
	TupleTableSlot *search;		/* columns of the key, to look for; NULL, */
	TupleTableSlot *found;		/* as is this, where rows are only inserted */
	TupleTableSlot *written;
} LsTarget;

extern void ls_target_check(Relation rel, const Oid *types, int ncolumns);
extern void ls_target_open(LsTarget *target, Oid relid, int nkey,
						   const Oid *types, int ncolumns);
extern void ls_target_close(LsTarget *target);
extern bool ls_target_find(LsTarget *target);
extern bool ls_target_find_free(LsTarget *target, bool *exists);
extern void ls_target_insert(LsTarget *target);
extern void ls_target_update(LsTarget *target);
extern void ls_target_delete(LsTarget *target);

#endif							/* LEADSCORE_HEAP_WRITER_H */
