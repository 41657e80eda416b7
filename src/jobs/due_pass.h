/*-------------------------------------------------------------------------
 *
 * due_pass.h
 *		What time alone changes: the contacts of a model that are due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DUE_PASS_H
#define LEADSCORE_DUE_PASS_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "base/slice.h"

/*
 * A way through what is due in one model, in batches, each of which may be a
 * transaction of its own.  Made by ls_pass_begin() in the current memory
 * context, which has to outlive the batches.
 */
typedef struct LsPass
{
	char	   *model;
	TimestampTz until;			/* what was due then, and not later */
	int64		done;			/* contacts looked at */
	int64		changed;		/* rows written */
	int64		transitions;	/* of stage */
	int64		skipped;		/* locked by somebody, left to a later pass */
	bool		one_by_one;		/* after an error: a contact that fails is
								 * recorded and put off, the others go on */
	LsSlice		slice;			/* a batch ends early where it is over ... */
	bool		cut;			/* ... as the last one did */
	struct LsDueRow *place;		/* where the last batch ended, or NULL */
} LsPass;

extern LsPass *ls_pass_begin(const char *model);
extern int	ls_pass_batch(LsPass *pass, int limit, bool skip_locked);
extern int64 ls_pass_all(const char *model);

/* the earliest due instant of a model; DT_NOEND: nothing will be due */
extern TimestampTz ls_pass_next_due(const char *model);
/* how many are due now, counted up to a limit */
extern int64 ls_pass_count(const char *model, int64 limit);

#endif							/* LEADSCORE_DUE_PASS_H */
