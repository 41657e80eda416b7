/*-------------------------------------------------------------------------
 *
 * state.h
 *		The state of a contact: accumulators of its events, which can be added.
 *
 * A state is a sum over events: adding the states of two sets of events gives the
 * state of both, in any order.  What is not additive (limits, minimum counts, once,
 * clamps) is applied in evaluation only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STATE_H
#define LEADSCORE_STATE_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "base/decay.h"
#include "rules/model_compile.h"

/* First byte of the stored form */
#define LS_STATE_FORMAT 2

/* Whether the stage is overridden, and how it compares with that of the score alone */
typedef enum LsStageOverride
{
	LS_OVERRIDE_NONE,
	LS_OVERRIDE_ABOVE,			/* above: until the score reaches it */
	LS_OVERRIDE_BELOW			/* below: until the score has come down to it */
} LsStageOverride;

typedef struct LsBucket
{
	int64		bucket;
	int64		count;
	LsSum		sum;
} LsBucket;

/* An event of the future, which waits here */
typedef struct LsFuture
{
	TimestampTz at;
	double		weight;
} LsFuture;

/*
 * What few slots have.
 *
 * buckets: ascending, where the rule needs them.  compacted: without a span, what is
 * older than the last 512 periods: a sum per phase, as of the last bucket of its
 * phase not after compacted_to.
 */
typedef struct LsSlotMore
{
	int			nbuckets;
	int			maxbuckets;
	LsBucket   *buckets;
	int			ncompacted;
	int			nfuture;
	LsBucket   *compacted;		/* bucket is the phase */
	int64		compacted_to;
	LsFuture   *future;			/* ascending */
	struct LsKeyed *keyed;		/* of a keyed rule, keyed_values.h; NULL: nothing */
} LsSlotMore;

/*
 * One rule's accumulator, under the version of what the rule matches.  Small, as a
 * statement has those of all of its contacts in memory.
 *
 * sum: of the weights; for a half-life, of the weights grown to the last
 * landmark not after last.  For profile rules the weight of the row.
 */
typedef struct LsSlot
{
	int64		version;
	int64		count;
	TimestampTz last;			/* DT_NOBEGIN: none */
	LsSum		sum;
	LsSlotMore *more;			/* never NULL: read-only, until ls_state_slot_more() */
} LsSlot;

typedef struct LsState
{
	bool		has_contact;	/* there is a row in the contact table */
	bool		stage_recorded; /* its first change of stage is recorded */
	bool		due_drift;		/* at due only numbers change */
	bool		has_lists;		/* some slots may not be short (ls_state_slot_is_short) */
	LsStageOverride override;	/* of the stage that the contact is in */
	int			nfuture;
	int			nslots;
	int			maxslots;
	int			next_slot;		/* the place after the last one found */
	TimestampTz created_at;		/* of the contact's row, DT_NOBEGIN: none */
	int64		events;			/* of all sources, not later than the clock */
	TimestampTz first;			/* DT_NOEND: none */
	TimestampTz last;			/* DT_NOBEGIN: none; nothing before it is known */
	TimestampTz *future;		/* of events dated later, ascending */
	char	   *prior_stage;	/* sticky stage to be restored, or NULL */
	TimestampTz due;			/* the contact's row of due_<model>; DT_NOEND:
								 * it has none; DT_NOBEGIN: not looked for */
	LsSlot	   *slots;			/* ascending by version */
} LsState;

extern void ls_state_init(LsState *state);
extern LsSlot *ls_state_slot(LsState *state, int64 version, bool create);
extern void ls_state_add(LsModel *model, LsState *state, const LsEvent *event,
						 TimestampTz now);
extern LsState *ls_state_of_event(LsModel *model, const LsEvent *event);
extern bool ls_state_can_merge(LsModel *model, LsState *state, const LsState *delta);
extern bool ls_state_can_add(LsModel *model, LsState *state, const LsEvent *event);
extern void ls_state_merge(LsModel *model, LsState *state, const LsState *delta);
extern void ls_state_advance(LsModel *model, LsState *state, TimestampTz now);
extern TimestampTz ls_state_known_from(const LsState *state);
extern void ls_state_compact(LsModel *model, LsState *state);
extern void ls_state_inherit(LsState *state, const LsState *before);
extern void ls_state_copy(LsState *to, const LsState *from);
extern void ls_state_replace(LsState *state, const LsState *counted,
							 const int64 *versions, int nversions);
extern void ls_state_drop_unknown(LsModel *model, LsState *state);
extern void ls_state_set_profile(LsState *state, int64 version, bool holds,
								 double weight);

extern void ls_state_take_profile(LsModel *model, LsState *state, const LsState *profile);

extern bytea *ls_state_encode(const LsState *state);
extern void ls_state_decode(const bytea *bytes, LsState *state);

/* Room for the slots of a state, kept from one state to the next */
typedef struct LsSlotRoom
{
	MemoryContext context;
	LsSlot	   *slots;
	int			n;
} LsSlotRoom;

extern void ls_state_decode_in(const bytea *bytes, LsState *state, LsSlotRoom *room);

/* shared with state_codec.c */
extern LsSlotMore *ls_state_slot_more(LsSlot *slot);

/* shared with keyed_values.c */
extern void ls_state_slot_add(LsModel *model, LsRule *rule, LsSlot *slot, TimestampTz at, double w);
extern void ls_state_slot_merge(LsModel *model, LsRule *rule, LsSlot *to, const LsSlot *from);
extern void ls_state_slot_clear(LsSlot *slot);
extern void ls_state_slot_own(LsSlot *slot);

/* what slots without buckets, compacted sums and future events share, read-only */
extern LsSlotMore ls_state_nothing_more;

/* ls_state_slot_init makes the slot of no events. */
static inline void
ls_state_slot_init(LsSlot *slot, int64 version)
{
	slot->version = version;
	slot->count = 0;
	slot->last = DT_NOBEGIN;
	slot->sum.hi = 0;
	slot->sum.lo = 0;
	slot->more = &ls_state_nothing_more;
}

/* ls_state_slot_is_short tells whether a slot never had any of these. */
static inline bool
ls_state_slot_is_short(const LsSlot *slot)
{
	return slot->more == &ls_state_nothing_more;
}

/* shared with evaluation */
extern double ls_state_bucket_value(const LsRule *rule, const LsBucket *bucket);
extern int64 ls_state_slot_phases(const LsRule *rule);
extern int64 ls_state_slot_held(const LsRule *rule, int64 compacted_to, int64 phase);

/*
 * ls_state_needs_buckets tells whether a rule needs buckets besides its count and
 * latest event.
 */
static inline bool
ls_state_needs_buckets(const LsRule *rule)
{
	return rule->bucketed && !(rule->once && rule->time_frame == 0);
}

#endif							/* LEADSCORE_STATE_H */
