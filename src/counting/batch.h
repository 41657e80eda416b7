/*-------------------------------------------------------------------------
 *
 * batch.h
 *		Contacts changed one after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_BATCH_H
#define LEADSCORE_BATCH_H

#include "postgres.h"

#include "base/time_slice.h"
#include "counting/event_reader.h"
#include "tables/score_writer.h"

/*
 * Contacts in the order of their key, each of which is changed by one score writer.  It
 * is the first member of a struct of its users, for their callbacks.
 */
typedef struct LsBatch
{
	LsModel    *model;
	const char *cause;			/* of changes of stage */

	/* the source of contacts: a reader, opened by this ... */
	LsReaderSpec spec;			/* (model is NULL: there is no reader) */
	LsReader   *reader;
	/* ... or this callback; false: there are no more */
	bool		(*next) (struct LsBatch *batch, Datum *contact);

	/* changes one contact, in a context that is reset after it */
	LsOutcome	(*change) (struct LsBatch *batch, LsScoreWriter *writer, Datum contact);
	/* if set, each contact is a subtransaction, and this records its error */
	void		(*failed) (struct LsBatch *batch, Datum contact, const ErrorData *error);

	LsSlice		slice;			/* the batch ends when this is over, ... */
	bool		cut;			/* ... as it was, before the next contact */
	bool		over;			/* set by change: this was the last contact */
	MemoryContext caller;		/* context for what outlives one contact */
	int64		done;
	int64		changed;
	int64		transitions;	/* of stage */
} LsBatch;

extern void ls_batch_run(LsBatch *batch);

#endif							/* LEADSCORE_BATCH_H */
