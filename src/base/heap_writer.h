/*-------------------------------------------------------------------------
 *
 * heap_writer.h
 *		A table of the extension's, written row by row through the executor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_HEAP_WRITER_H
#define LEADSCORE_HEAP_WRITER_H

#include "postgres.h"

#include "access/skey.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/table_scan.h"

/* Columns of the key by which rows are found, at most */
#define LS_HEAP_WRITER_KEYS 3

typedef struct LsHeapWriter
{
	Relation	rel;
	MemoryContext context;		/* of the rest, which may be kept when the table is closed */
	struct LsKeptWriter *kept;	/* where it was kept before, or NULL */
	bool		keepable;
	uint64		changes;		/* of relations, until the table was opened */
	int			nkey;			/* as it was opened */
	bool		runs_code;		/* functions of the owner may run when a row is written */
	bool		holds;			/* AFTER triggers wait */
	bool		queues_triggers;	/* AFTER triggers for each row */
	bool		heap;			/* the access method of the table */
	bool		plain;			/* rows can be read without a lock, and replaced */
	bool		all_key;		/* a row has no columns but the key: each version needs its entries */
	Oid		   *indices;		/* those that were opened to insert entries; NULL: never */
	int			nindices;
	bool		indices_open;	/* they are open now */
	bool		indices_kept;	/* they may be opened again with what was found out about them, ... */
	MemoryContext index_context;	/* ... which is here */
	Oid			key_index;		/* invalid where rows are only inserted */
	Relation	index;			/* the same, open since a row was looked for; or NULL */
	ScanKeyData keys[LS_HEAP_WRITER_KEYS];	/* to find rows by it; made ... */
	int			nkeys;			/* ... with it, 0 until then */
	LsRecentPage leaf;			/* of the index, where a row was found, while the table is open */
	LsRecentPage page;			/* of the table, likewise */
	EState	   *estate;
	ResultRelInfo *info;
	bool		nowait;			/* what is read without a lock is not waited for; ... */
	bool		busy;			/* ... another transaction has it, so it was not read or replaced */
	Size		room;			/* that the page of the row found had for more */
	TupleTableSlot *search;		/* columns of the key, to look for; NULL, */
	TupleTableSlot *found;		/* as is this, where rows are only inserted */
	TupleTableSlot *written;
} LsHeapWriter;

extern void ls_heap_writer_forget(Oid table);
extern void ls_heap_writer_open(LsHeapWriter *writer, Oid relid, int nkey);
extern void ls_heap_writer_hold(LsHeapWriter *writer);
extern void ls_heap_writer_release(LsHeapWriter *writer);
extern void ls_heap_writer_close(LsHeapWriter *writer);
extern void ls_heap_writer_run(LsHeapWriter *writer,
							   void (*function) (LsHeapWriter *writer, void *arg), void *arg);
extern bool ls_heap_writer_find(LsHeapWriter *writer);
extern bool ls_heap_writer_read(LsHeapWriter *writer);
extern bool ls_heap_writer_find_seen(LsHeapWriter *writer);
extern bool ls_heap_writer_find_free(LsHeapWriter *writer, bool *exists);
extern bool ls_heap_writer_lock(LsHeapWriter *writer, ItemPointer place);
extern void ls_heap_writer_insert(LsHeapWriter *writer);
extern bool ls_heap_writer_insert_new(LsHeapWriter *writer);
extern bool ls_heap_writer_replace(LsHeapWriter *writer);
extern void ls_heap_writer_update(LsHeapWriter *writer);
extern void ls_heap_writer_delete(LsHeapWriter *writer);

/*
 * ls_heap_writer_can_replace tells whether a row can be read without a lock now, and
 * then replaced.
 */
static inline bool
ls_heap_writer_can_replace(const LsHeapWriter *writer)
{
	return writer->plain && ActiveSnapshotSet() && !IsolationUsesXactSnapshot();
}

#endif							/* LEADSCORE_HEAP_WRITER_H */
