/*-------------------------------------------------------------------------
 *
 * contact_pass.h
 *		Passes over contacts that are due, or of which something is pending.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CONTACT_PASS_H
#define LEADSCORE_CONTACT_PASS_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "base/time_slice.h"

typedef enum LsPassKind
{
	LS_PASS_DUE,				/* what was due when it began, and not later */
	LS_PASS_PENDING				/* what is pending is merged */
} LsPassKind;

#define LS_PASS_KINDS	2

/*
 * A pass in batches, each of which may be a transaction of its own.  Made by
 * ls_contact_pass_begin() in the current memory context, which has to outlive the
 * batches.
 */
typedef struct LsPass
{
	LsPassKind	kind;
	char	   *model;
	TimestampTz until;
	bool		state_only;		/* scores and stages are left as they are */
	bool		one_by_one;		/* after an error: in subtransactions */
	LsSlice		slice;			/* a batch ends early when it is over */
	struct LsDueRow *place;		/* where the last batch ended, or NULL */
	int64		done;			/* contacts processed */
	int64		changed;		/* rows written */
	int64		transitions;	/* of stage */
} LsPass;

extern LsPass *ls_contact_pass_begin(LsPassKind kind, const char *model);
extern int	ls_contact_pass_batch(LsPass *pass, int limit, bool skip_locked);
extern int64 ls_contact_pass_merge_all(const char *model, bool state_only);
extern int64 ls_contact_pass_all(const char *model);

/* the earliest due instant of a model; DT_NOEND: nothing will be due */
extern TimestampTz ls_contact_pass_next_due(const char *model);
/* the number of contacts that are due now, up to a limit */
extern int64 ls_contact_pass_count(const char *model, int64 limit);

#endif							/* LEADSCORE_CONTACT_PASS_H */
