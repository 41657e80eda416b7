/*-------------------------------------------------------------------------
 *
 * state_subtract.c
 *		Taking events out of a state, where what is left is known exactly.
 *
 * Counts, sums and periods are subtracted.  What a state has of its latest and earliest
 * events is not a sum: it is known where the events that go leave a later, or an earlier
 * one behind.  Else it is lost, and has to be found among the events that are left.  All
 * events of a rule have to be found, which may be a few only, where
 *	- a period is compacted or was dropped, or is the newest of a slot of which one was;
 *	- so little is left of a sum that what was rounded may show, or the sum is so large, or
 *	  a negative weight goes;
 *	- a sum that decays, which is held as of the latest event, would be held so long before
 *	  that the same may show.
 *
 * The contact has to be recomputed where the state does not have what is to be subtracted.
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

/* ... and those that would rise by more than so many halvings */
#define MOST_HALVINGS	20

/* lose notes that the latest event of a rule is lost, or that all are. */
static void
lose(LsLostEvents *lost, LsRule *rule, int64 count, TimestampTz last, bool all)
{
	int			i = 0;

	while (i < lost->nrules && lost->rules[i].rule != rule)
		i++;
	if (i == lost->nrules)
		lost->rules[lost->nrules++] = (LsLostRule) {rule, count, last, false};
	if (all)
		lost->rules[i].all = true;
}

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
 * find_lost finds out of which slots the latest event goes, but not the last one, and
 * whether out of the state.  False if these do not have what is to be subtracted.
 */
static bool
find_lost(LsModel *model, const LsState *state, const LsState *added, const LsState *gone,
		  LsLostEvents *lost)
{
	int64		events = state->events + (added ? added->events : 0);
	TimestampTz last = added ? added->last : DT_NOBEGIN;

	if (gone->events > events || gone->last > Max(state->last, last))
		return false;
	lost->lost_last = gone->events < events &&
		!keeps_latest(state->last, last, gone->last, gone->events);
	for (int i = 0; i < gone->nslots; i++)
	{
		const LsSlot *slot = &gone->slots[i];
		LsSlot	   *mine = ls_state_slot((LsState *) state, slot->version, false);
		LsSlot	   *new = added ? ls_state_slot((LsState *) added, slot->version, false) : NULL;
		int64		count = (mine ? mine->count : 0) + (new ? new->count : 0);
		TimestampTz before = last_of(state, slot->version);
		TimestampTz after = last_of(added, slot->version);

		if (slot->count > count || slot->last > Max(before, after))
			return false;
		if (slot->count < count && !keeps_latest(before, after, slot->last, slot->count))
			lose(lost, ls_model_rule_by_version(model, slot->version), count - slot->count,
				 slot->last, false);
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
	more->nbuckets--;
	memmove(bucket, bucket + 1, sizeof(LsBucket) * (more->nbuckets - at));
	return true;
}

/* has_all_buckets tells whether no period of a slot was dropped or compacted. */
static bool
has_all_buckets(const LsSlot *slot)
{
	int64		count = 0;

	for (int i = 0; i < slot->more->nbuckets; i++)
		count += slot->more->buckets[i].count;
	return count == slot->count;
}

/* subtract_buckets subtracts periods from a slot whose count is without them. */
static bool
subtract_buckets(LsSlot *slot, const LsSlot *gone)
{
	LsSlotMore *more = slot->more;
	int64		newest = more->nbuckets > 0 ? more->buckets[more->nbuckets - 1].bucket : 0;

	for (int i = 0; i < gone->more->nbuckets; i++)
		if (!subtract_bucket(more, &gone->more->buckets[i]))
			return false;
	/* the newest decides which periods are dropped or compacted */
	return (more->nbuckets > 0 && more->buckets[more->nbuckets - 1].bucket == newest) ||
		has_all_buckets(slot);
}

/* is_held_at_last tells whether a rule's sum is as of the latest event of its slot. */
static bool
is_held_at_last(const LsRule *rule)
{
	return !ls_state_needs_buckets(rule) && !rule->once && rule->kind != LS_ABSENCE &&
		rule->decay.kind == LS_DECAY_HALF_LIFE;
}

/* subtract_slot subtracts from a slot that has more events than go. */
static bool
subtract_slot(const LsRule *rule, LsSlot *slot, const LsSlot *gone)
{
	slot->count -= gone->count;
	if (ls_state_needs_buckets(rule))
		return subtract_buckets(slot, gone);
	if (rule->once || rule->kind == LS_ABSENCE)
		return true;
	if (is_held_at_last(rule))
		return subtract_decaying(rule, slot, gone);
	return subtract_sum(&slot->sum, &gone->sum);
}

/* subtract_slots subtracts from all slots, and drops those without events. */
static bool
subtract_slots(LsModel *model, LsState *state, const LsState *gone, LsLostEvents *lost)
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
		{
			if (slot->count > LS_LOST_EVENTS_MOST)
				return false;
			lose(lost, rule, slot->count, slot->last, true);
		}
	}
	for (int i = 0; i < state->nslots; i++)
	{
		LsRule	   *rule = ls_model_rule_by_version(model, state->slots[i].version);

		if (rule == NULL)
			return false;
		if (state->slots[i].count == 0 && state->slots[i].more->keyed == NULL)
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

/* has_keyed tells whether events matched keyed rules: what counts without them follows from the rest. */
static bool
has_keyed(const LsState *state)
{
	for (int i = 0; state->has_lists && i < state->nslots; i++)
		if (state->slots[i].more->keyed)
			return true;
	return false;
}

/*
 * ls_state_subtract makes a state of another one without some events, which may be among
 * those to be added first (NULL: there are none).  None of the events waits for the
 * clock, and no weight of those that go is negative.  Gives what is lost, and has to be
 * found (ls_state_subtract_found).  False if the contact has to be recomputed.
 */
bool
ls_state_subtract(LsModel *model, LsState *to, const LsState *state, const LsState *added,
				  const LsState *gone, LsLostEvents *lost)
{
	memset(lost, 0, sizeof(LsLostEvents));
	lost->first = DT_NOEND;
	ls_state_init(&lost->found);
	lost->rules = palloc(sizeof(LsLostRule) * Max(gone->nslots, 1));
	if (state->nfuture > 0 || gone->nfuture > 0 || (added && added->nfuture > 0) || has_keyed(gone))
		return false;
	if (!find_lost(model, state, added, gone, lost))
		return false;
	ls_state_copy(to, state);
	if (added && !ls_state_can_merge(model, to, added))
		return false;
	if (added)
		ls_state_merge(model, to, added);
	to->events -= gone->events;
	if (!subtract_slots(model, to, gone, lost))
		return false;
	if (to->events == 0)
	{
		to->first = DT_NOEND;
		to->last = DT_NOBEGIN;
	}
	else
		lost->lost_first = !keeps_first(state->first, added ? added->first : DT_NOEND,
										gone->first, gone->events);
	return true;
}

/* halvings_before tells by how many halvings a rule's sum would be held before. */
static int64
halvings_before(const LsRule *rule, TimestampTz now, TimestampTz then)
{
	return is_held_at_last(rule) ? ls_decay_floor_div(now, rule->decay.interval) -
		ls_decay_floor_div(then, rule->decay.interval) : 0;
}

/* has_found tells whether of a rule, of which events are left, was found what is lost. */
static bool
has_found(LsLostEvents *lost, LsLostRule *of, TimestampTz upto)
{
	LsSlot	   *slot = ls_state_slot(&lost->found, of->rule->version, false);

	if (slot == NULL)
		return false;
	if (slot->count >= of->count)
		return true;
	if (!of->all && slot->last >= upto)
		of->all = halvings_before(of->rule, of->last, slot->last) > MOST_HALVINGS;
	return !of->all && slot->last >= upto;
}

/*
 * ls_state_subtract_knows tells whether of the events of a source, which is read backward, all
 * is found that may be lost, where those up to an instant are still to be read.
 */
bool
ls_state_subtract_knows(LsLostEvents *lost, int source, TimestampTz upto)
{
	if (lost->lost_last && lost->found.last < upto)
		return false;
	for (int i = 0; i < lost->nrules; i++)
	{
		LsLostRule *of = &lost->rules[i];

		if ((of->rule->source < 0 || of->rule->source == source) && !has_found(lost, of, upto))
			return false;
	}
	return true;
}

/* take_found takes what was found of a rule into the state. */
static bool
take_found(LsState *state, const LsLostRule *lost, LsState *found)
{
	LsSlot	   *slot = ls_state_slot(state, lost->rule->version, false);
	LsSlot	   *from = ls_state_slot(found, lost->rule->version, false);
	int64		halvings;

	if (slot == NULL || from == NULL || from->count > lost->count || from->last > slot->last)
		return false;
	halvings = halvings_before(lost->rule, slot->last, from->last);
	if (lost->all || halvings > MOST_HALVINGS)
	{
		ls_state_replace(state, found, &lost->rule->version, 1);
		return from->count == lost->count;
	}
	ls_decay_sum_shift(&slot->sum, -halvings);
	slot->last = from->last;
	return true;
}

/*
 * ls_state_subtract_found completes a state with the events that were found.  False if
 * the contact has to be recomputed.
 */
bool
ls_state_subtract_found(LsState *state, LsLostEvents *lost)
{
	if ((lost->lost_first && lost->first == DT_NOEND) ||
		(lost->lost_last && (lost->found.events == 0 || lost->found.last > state->last)))
		return false;
	if (lost->lost_first)
		state->first = lost->first;
	if (lost->lost_last)
		state->last = lost->found.last;
	for (int i = 0; i < lost->nrules; i++)
		if (!take_found(state, &lost->rules[i], &lost->found))
			return false;
	return state->events == 0 || state->first <= state->last;
}
