/*-------------------------------------------------------------------------
 *
 * merge_pending.h
 *		What is pending, folded into the rows of score_<model>.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MERGE_PENDING_H
#define LEADSCORE_MERGE_PENDING_H

#include "postgres.h"

#include "base/slice.h"

/* A way through the contacts of which something is pending */
typedef struct LsFold
{
	char	   *model;
	int64		done;
	int64		changed;
	int64		transitions;
	int64		skipped;		/* locked by somebody, left to a later one */
	bool		one_by_one;		/* each by itself, as one of them fails */
	bool		state_only;		/* what is shown is left as it is */
	LsSlice		slice;			/* a batch ends early where it is over */
	bool		has_place;
	Datum		place;			/* contact with which the last batch ended */
} LsFold;

extern LsFold *ls_fold_begin(const char *model);
extern int	ls_fold_batch(LsFold *fold, int limit, bool skip_locked);
extern int64 ls_fold_all(const char *model, bool state_only);

#endif							/* LEADSCORE_MERGE_PENDING_H */
