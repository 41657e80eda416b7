/*-------------------------------------------------------------------------
 *
 * state_subtract.c
 *		Taking events out of a state, where what is left is known exactly.
 *
 * Counts, sums and periods are subtracted.  What a state has of its latest and earliest
 * events is not a sum: it is known where the events that go leave a later, or an earlier
 * one behind.  In all other cases the contact has to be recomputed from its events:
 *	- a slot, or the state, loses its latest event, but not its last one;
 *	- a period is compacted, was dropped, or was the newest;
 *	- so little is left of a sum that what was rounded may show, or the sum is so large;
 *	- the state does not have what is to be subtracted.
 *
 * How rounding is bounded: a compensated sum loses at most 2^-77 of its size with each
 * addition.  Weights that are subtracted are not negative, so the weights of one sign in
 * a sum only become more until it is computed afresh; with sums of at most LARGEST_SUM
 * all that was ever rounded stays far below what verify() tolerates.  A count that
 * returns to zero takes its sum with it: zero is exactly zero.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/state_subtract.h"

#include <math.h>

#include "base/compat.h"

/* sums of weights beyond this are computed afresh */
#define LARGEST_SUM		1e8

/* ... and those of which less than this part of what goes would be left */
#define SMALLEST_REST	1e-6

/*
 * keeps_latest tells whether the latest of some events stays when ngone of them go, the
 * latest of those at gone.  The events come from two sets with the given latest ones.
 */
static bool
keeps_latest(TimestampTz a, TimestampTz b, TimestampTz gone, int64 ngone)
{
	TimestampTz latest = Max(a, b);

	/* where both sets have one at the same instant, there are at least two */
	return gone < latest || (gone == latest && ngone < (a == latest) + (b == latest));
}

/* keeps_first is the same for the earliest event. */
static bool
keeps_first(TimestampTz a, TimestampTz b, TimestampTz gone, int64 ngone)
{
	TimestampTz first = Min(a, b);

	return gone > first || (gone == first && ngone < (a == first) + (b == first));
}

/* last_of gives the latest event of a state's slot; DT_NOBEGIN: none, or no state. */
static TimestampTz
last_of(const LsState *state, int64 version)
{
	LsSlot	   *slot = state ? ls_state_slot((LsState *) state, version, false) : NULL;

	return slot && slot->count > 0 ? slot->last : DT_NOBEGIN;
}

/*
 * keeps_latest_events tells whether the state and each of its slots keeps its latest
 * event, or none at all.
 */
static bool
keeps_latest_events(const LsState *state, const LsState *added, const LsState *gone)
{
	int64		events = state->events + (added ? added->events : 0);

	if (gone->events != events &&
		!keeps_latest(state->last, added ? added->last : DT_NOBEGIN, gone->last, gone->events))
		return false;
	for (int i = 0; i < gone->nslots; i++)
	{
		const LsSlot *slot = &gone->slots[i];
		LsSlot	   *mine = ls_state_slot((LsState *) state, slot->version, false);
		LsSlot	   *new = added ? ls_state_slot((LsState *) added, slot->version, false) : NULL;
		int64		count = (mine ? mine->count : 0) + (new ? new->count : 0);

		if (slot->count > count)
			return false;
		if (slot->count < count &&
			!keeps_latest(last_of(state, slot->version), last_of(added, slot->version),
						  slot->last, slot->count))
			return false;
	}
	return true;
}

/* subtract_sum subtracts a sum of weights, none of them negative. */
static bool
subtract_sum(LsSum *sum, const LsSum *gone)
{
	if (!(fabs(sum->hi) <= LARGEST_SUM) || !(gone->hi >= 0 && gone->hi <= LARGEST_SUM))
		return false;
	ls_decay_sum_add(sum, -gone->hi);
	if (gone->lo != 0.0)
		ls_decay_sum_add(sum, -gone->lo);
	return gone->hi == 0 || fabs(sum->hi) >= gone->hi * SMALLEST_REST;
}

/* subtract_decaying subtracts a sum that is held at an earlier landmark, or the same. */
static bool
subtract_decaying(const LsRule *rule, LsSlot *slot, const LsSlot *gone)
{
	LsSum		fallen = gone->sum;

	ls_decay_sum_shift(&fallen, ls_decay_floor_div(slot->last, rule->decay.interval) -
					   ls_decay_floor_div(gone->last, rule->decay.interval));
	return subtract_sum(&slot->sum, &fallen);
}

/* subtract_bucket subtracts from a period, which goes with the last of its events. */
static bool
subtract_bucket(LsSlotMore *more, const LsBucket *gone)
{
	LsBucket   *bucket = NULL;
	int			at = 0;

	while (at < more->nbuckets && more->buckets[at].bucket < gone->bucket)
		at++;
	if (at < more->nbuckets && more->buckets[at].bucket == gone->bucket)
		bucket = &more->buckets[at];
	if (bucket == NULL || bucket->count < gone->count)
		return false;
	if (bucket->count > gone->count)
	{
		bucket->count -= gone->count;
		return subtract_sum(&bucket->sum, &gone->sum);
	}
	/* the newest decides which periods are dropped or compacted */
	if (at == more->nbuckets - 1)
		return false;
	more->nbuckets--;
	memmove(bucket, bucket + 1, sizeof(LsBucket) * (more->nbuckets - at));
	return true;
}

/* subtract_slot subtracts from a slot that has more events than go. */
static bool
subtract_slot(const LsRule *rule, LsSlot *slot, const LsSlot *gone)
{
	slot->count -= gone->count;
	if (ls_state_needs_buckets(rule))
	{
		for (int i = 0; i < gone->more->nbuckets; i++)
			if (!subtract_bucket(slot->more, &gone->more->buckets[i]))
				return false;
		return true;
	}
	if (rule->once || rule->kind == LS_ABSENCE)
		return true;
	if (rule->decay.kind == LS_DECAY_HALF_LIFE)
		return subtract_decaying(rule, slot, gone);
	return subtract_sum(&slot->sum, &gone->sum);
}

/* subtract_slots subtracts from all slots, and drops those without events. */
static bool
subtract_slots(LsModel *model, LsState *state, const LsState *gone)
{
	int			kept = 0;

	for (int i = 0; i < gone->nslots; i++)
	{
		const LsSlot *from = &gone->slots[i];
		LsSlot	   *slot = ls_state_slot(state, from->version, false);
		LsRule	   *rule = ls_model_rule_by_version(model, from->version);

		if (slot == NULL || rule == NULL)
			return false;
		if (slot->count == from->count)
			slot->count = 0;
		else if (!subtract_slot(rule, slot, from))
			return false;
	}
	for (int i = 0; i < state->nslots; i++)
	{
		LsRule	   *rule = ls_model_rule_by_version(model, state->slots[i].version);

		if (rule == NULL)
			return false;
		if (state->slots[i].count == 0)
			continue;
		/* without events there are none of a rule */
		if (state->events == 0 && rule->kind != LS_PROFILE)
			return false;
		if (kept < i)
			state->slots[kept] = state->slots[i];
		kept++;
	}
	state->nslots = kept;
	return true;
}

/*
 * ls_state_subtract makes a state of another one without some events, which may be among
 * those to be added first (NULL: there are none).  None of the events waits for the
 * clock, and no weight of those that go is negative.  If LS_SUBTRACT_FIRST is returned,
 * the earliest event is not known, but all the rest.
 */
LsSubtraction
ls_state_subtract(LsModel *model, LsState *to, const LsState *state,
				  const LsState *added, const LsState *gone)
{
	TimestampTz first = added ? added->first : DT_NOEND;

	if (state->nfuture > 0 || gone->nfuture > 0 || (added && added->nfuture > 0))
		return LS_SUBTRACT_NOT;
	if (state->events + (added ? added->events : 0) < gone->events ||
		!keeps_latest_events(state, added, gone))
		return LS_SUBTRACT_NOT;
	ls_state_copy(to, state);
	if (added && !ls_state_can_merge(model, to, added))
		return LS_SUBTRACT_NOT;
	if (added)
		ls_state_merge(model, to, added);
	to->events -= gone->events;
	if (!subtract_slots(model, to, gone))
		return LS_SUBTRACT_NOT;
	if (to->events == 0)
	{
		to->first = DT_NOEND;
		to->last = DT_NOBEGIN;
		return LS_SUBTRACT_DONE;
	}
	return keeps_first(state->first, first, gone->first, gone->events) ?
		LS_SUBTRACT_DONE : LS_SUBTRACT_FIRST;
}
