/*-------------------------------------------------------------------------
 *
 * capture.h
 *		Triggers on event and contact tables: rows in, changes out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CAPTURE_H
#define LEADSCORE_CAPTURE_H

#include "postgres.h"

#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"

#include "capture/table_cache.h"
#include "tables/deferred.h"

/* One of the models of a table whose rows are captured */
typedef struct LsCapturedModel
{
	bool		pending;		/* enqueued: queued source, transaction snapshot, replica */
	bool		recompute;		/* contacts are recomputed: restore or model fault */
	bool		reads;			/* a contact is to be recomputed from its events, or may be */
	bool		asked;			/* it is known whether ... */
	bool		subtracts;		/* ... events that go can be subtracted */
	bool		out_of_step;	/* of the model, when the capture began */
} LsCapturedModel;

/* The capture of rows of a table; one that has ended is kept with the table's entry */
typedef struct LsCapture
{
	SubTransactionId subid;		/* of the rows of row triggers */
	bool		replica;
	bool		many;			/* it is one statement's, of more than one row */
	Relation	rel;
	LsTable    *table;
	LsCapturedModel *models;	/* as in the table */
	LsMatch    *matches;
	ExprContext *econtext;
	TimestampTz now;
	TupleTableSlot *slots[2];	/* of rows of transition tables, or NULL */
	MemoryContext context;		/* in which all of it is */
	struct LsCapture *next;		/* kept with the same table */
} LsCapture;

extern LsCapture *ls_capture_begin(Relation rel, bool replica);
extern void ls_capture_add(LsCapture *capture, const LsBinding *binding,
						   TupleTableSlot *slot, LsDeferredKind kind);
extern void ls_capture_recompute(LsCapture *capture, const LsBinding *binding,
								 TupleTableSlot *slot, LsDeferredKind kind);
extern void ls_capture_end(LsCapture *capture);

extern void ls_capture_row(TriggerData *trigger);
extern void ls_capture_replicated(TriggerData *trigger);
extern void ls_capture_before_commit(void);

#endif							/* LEADSCORE_CAPTURE_H */
