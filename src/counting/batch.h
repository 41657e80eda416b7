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
 * Contacts in the order of their key, each of which is changed by one score writer.
 * It is the first member of a struct of those who say which contacts, and how.
 */
typedef struct LsBatch
{
	LsModel    *model;
	const char *cause;			/* of changes of stage */

	/* where contacts come from: what a reader finds by this ... */
	LsReaderSpec spec;			/* (model is NULL: it is not used) */
	LsReader   *reader;
	/* ... or what this gives; false: there are no more */
	bool		(*next) (struct LsBatch *batch, Datum *contact);

	/* changes one, in memory of its own */
	LsOutcome	(*change) (struct LsBatch *batch, LsScoreWriter *writer, Datum contact);
	/* where given, each is a subtransaction, and this records the error of one */
	void		(*failed) (struct LsBatch *batch, Datum contact, const ErrorData *error);

	LsSlice		slice;			/* it ends where this is over, ... */
	bool		cut;			/* ... as it did, before the next contact */
	bool		over;			/* set by change: this was the last contact */
	MemoryContext caller;		/* what lives longer than one contact */
	int64		done;
	int64		changed;
	int64		skipped;		/* another session held the row */
	int64		transitions;	/* of stage */
} LsBatch;

extern void ls_batch_run(LsBatch *batch);

#endif							/* LEADSCORE_BATCH_H */
