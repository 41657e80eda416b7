/*-------------------------------------------------------------------------
 *
 * state.c
 *		Accumulators of events: adding, merging, compacting.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/state.h"

#include <math.h>

#include "access/detoast.h"
#include "lib/stringinfo.h"

#include "base/compat.h"
#include "scoring/keyed_values.h"

/* slots that fit a chunk of memory without waste, more than most rules match */
#define FEW_SLOTS		10

LsSlotMore	ls_state_nothing_more;

/* ls_state_init makes the state of no events. */
void
ls_state_init(LsState *state)
{
	memset(state, 0, sizeof(LsState));
	state->created_at = DT_NOBEGIN;
	state->first = DT_NOEND;
	state->last = DT_NOBEGIN;
	state->due = DT_NOEND;
}

/* ls_state_slot_more gives a slot's rarer members for writing. */
LsSlotMore *
ls_state_slot_more(LsSlot *slot)
{
	if (ls_state_slot_is_short(slot))
		slot->more = palloc0(sizeof(LsSlotMore));
	return slot->more;
}

/* ls_state_slot finds a rule's slot, or makes one. */
LsSlot *
ls_state_slot(LsState *state, int64 version, bool create)
{
	int			low = 0,
				high = state->nslots;

	/* rules mostly come in the order of their slots */
	if (state->next_slot < high && state->slots[state->next_slot].version == version)
		return &state->slots[state->next_slot++];
	if (high > 0 && state->slots[high - 1].version < version)
		low = high;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (state->slots[middle].version < version)
			low = middle + 1;
		else
			high = middle;
	}
	state->next_slot = low + 1;
	if (low < state->nslots && state->slots[low].version == version)
		return &state->slots[low];
	if (!create)
		return NULL;

	if (state->nslots >= state->maxslots)
	{
		state->maxslots = state->maxslots ? state->maxslots * 2 : FEW_SLOTS;
		state->slots = state->slots ?
			repalloc(state->slots, sizeof(LsSlot) * state->maxslots) :
			palloc(sizeof(LsSlot) * state->maxslots);
	}
	if (low < state->nslots)
		memmove(&state->slots[low + 1], &state->slots[low],
				sizeof(LsSlot) * (state->nslots - low));
	state->nslots++;
	ls_state_slot_init(&state->slots[low], version);
	return &state->slots[low];
}

/* make_slot is ls_state_slot() for rules that come in the order of their slots. */
static inline LsSlot *
make_slot(LsState *state, int64 version)
{
	if (state->next_slot < state->nslots && state->slots[state->next_slot].version == version)
		return &state->slots[state->next_slot++];
	return ls_state_slot(state, version, true);
}

/* remove_slot forgets a rule's slot. */
static void
remove_slot(LsState *state, int64 version)
{
	LsSlot	   *slot = ls_state_slot(state, version, false);
	int			at;

	if (slot == NULL)
		return;
	at = slot - state->slots;
	memmove(slot, slot + 1, sizeof(LsSlot) * (state->nslots - at - 1));
	state->nslots--;
}

/*
 * ls_state_slot_phases gives the number of phases of a rule with step decay: buckets
 * whose numbers differ by a multiple of it lose their value at the same instants.
 */
int64
ls_state_slot_phases(const LsRule *rule)
{
	return rule->decay.kind == LS_DECAY_STEP ?
		Max(1, rule->decay.interval / rule->period) : 1;
}

static LsBucket *
find_bucket(LsSlot *slot, int64 bucket)
{
	LsSlotMore *more = ls_state_slot_more(slot);
	int			low = 0,
				high = more->nbuckets;

	/* events mostly come in their order */
	if (high > 0 && more->buckets[high - 1].bucket < bucket)
		low = high;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (more->buckets[middle].bucket < bucket)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < more->nbuckets && more->buckets[low].bucket == bucket)
		return &more->buckets[low];

	if (more->nbuckets >= more->maxbuckets)
	{
		more->maxbuckets = more->maxbuckets ? more->maxbuckets * 2 : 4;
		more->buckets = more->buckets ?
			repalloc(more->buckets, sizeof(LsBucket) * more->maxbuckets) :
			palloc(sizeof(LsBucket) * more->maxbuckets);
	}
	memmove(&more->buckets[low + 1], &more->buckets[low],
			sizeof(LsBucket) * (more->nbuckets - low));
	more->nbuckets++;
	memset(&more->buckets[low], 0, sizeof(LsBucket));
	more->buckets[low].bucket = bucket;
	return &more->buckets[low];
}

/*
 * add_decaying adds a half-life sum that is held at the landmark of at.  The sum of
 * both is held at that of the later one.
 */
static void
add_decaying(const LsRule *rule, LsSlot *slot, TimestampTz at, const LsSum *sum)
{
	LsSum		grown = *sum;
	int64		landmarks;

	if (slot->last == DT_NOBEGIN)
	{
		slot->sum = grown;
		return;
	}
	landmarks = ls_decay_floor_div(at, rule->decay.interval) -
		ls_decay_floor_div(slot->last, rule->decay.interval);
	if (landmarks > 0)
		ls_decay_sum_shift(&slot->sum, landmarks);
	else
		ls_decay_sum_shift(&grown, -landmarks);
	ls_decay_sum_merge(&slot->sum, &grown);
}

/* rise_at gives a half-life, with the weight with which an event at an instant enters a sum. */
static inline const LsHalfLife *
rise_at(LsHalfLife *half_life, TimestampTz at)
{
	if (half_life->rise_at == at)
		return half_life;
	half_life->rise_at = at;
	if (!ls_decay_is_of_landmark(at, half_life->rise_landmark, half_life->interval))
		half_life->rise_landmark = ls_decay_landmark(at, half_life->interval);
	half_life->rise = ls_decay_half_life_rise(at, half_life->rise_landmark, half_life->interval);
	return half_life;
}

/* add_half_life is add_to_slot() for a rule with a half-life that is none of once. */
static inline void
add_half_life(LsModel *model, const LsRule *rule, LsSlot *slot, TimestampTz at, double w)
{
	const LsHalfLife *half_life = rise_at(&model->half_lives[rule->half_life], at);
	/* 0 and not -0 */
	LsSum		grown = {ls_decay_finite(0.0 + w * half_life->rise), 0};

	/* mostly the latest event came after the same landmark */
	if (likely(ls_decay_is_of_landmark(slot->last, half_life->rise_landmark, half_life->interval)))
		ls_decay_sum_add(&slot->sum, grown.hi);
	else
		add_decaying(rule, slot, at, &grown);
	slot->count++;
	slot->last = Max(slot->last, at);
}

/* ls_state_slot_add adds one event of weight w. */
void
ls_state_slot_add(LsModel *model, LsRule *rule, LsSlot *slot, TimestampTz at, double w)
{
	if (ls_state_needs_buckets(rule))
	{
		LsBucket   *bucket = find_bucket(slot, ls_rule_bucket(model, rule, at));

		bucket->count++;
		if (!rule->once)
			ls_decay_sum_add(&bucket->sum, w);
	}
	else if (!rule->once && rule->kind != LS_ABSENCE)
	{
		if (rule->decay.kind == LS_DECAY_HALF_LIFE)
		{
			int64		interval = rule->decay.interval;
			double		rise = ls_decay_half_life_rise(at, ls_decay_landmark(at, interval), interval);
			/* 0 and not -0 */
			LsSum		grown = {ls_decay_finite(0.0 + w * rise), 0};

			add_decaying(rule, slot, at, &grown);
		}
		else
			ls_decay_sum_add(&slot->sum, w);
	}
	slot->count++;
	slot->last = Max(slot->last, at);
}

static void
add_future(LsSlot *slot, TimestampTz at, double weight)
{
	LsSlotMore *more = ls_state_slot_more(slot);
	int			i;

	more->future = more->future ?
		repalloc(more->future, sizeof(LsFuture) * (more->nfuture + 1)) :
		palloc(sizeof(LsFuture));
	/* in one order, whatever that in which they come */
	for (i = more->nfuture; i > 0 && (more->future[i - 1].at > at ||
									  (more->future[i - 1].at == at && more->future[i - 1].weight > weight)); i--)
		more->future[i] = more->future[i - 1];
	more->future[i].at = at;
	more->future[i].weight = weight;
	more->nfuture++;
}

static void
add_future_event(LsState *state, TimestampTz at)
{
	int			i;

	state->future = state->future ?
		repalloc(state->future, sizeof(TimestampTz) * (state->nfuture + 1)) :
		palloc(sizeof(TimestampTz));
	for (i = state->nfuture; i > 0 && state->future[i - 1] > at; i--)
		state->future[i] = state->future[i - 1];
	state->future[i] = at;
	state->nfuture++;
}

static void
add_event(LsState *state, TimestampTz at)
{
	state->events++;
	state->first = Min(state->first, at);
	state->last = Max(state->last, at);
}

/* ls_state_add adds an event, or lets it wait if it is in the future. */
void
ls_state_add(LsModel *model, LsState *state, const LsEvent *event,
			 TimestampTz now)
{
	bool		later = event->at > now;

	if (later)
		add_future_event(state, event->at);
	else
		add_event(state, event->at);
	for (int i = 0; i < event->nmatches; i++)
	{
		const LsMatch *match = &event->matches[i];
		LsSlot	   *slot = make_slot(state, match->rule->version);

		if (unlikely(match->roles))
		{
			state->has_lists = true;
			ls_keyed_values_wait(slot, event->at, match);
		}
		else if (later)
		{
			state->has_lists = true;
			add_future(slot, event->at, match->weight);
		}
		else if (match->rule->half_life >= 0 && !match->rule->once)
			add_half_life(model, match->rule, slot, event->at, match->weight);
		else
		{
			state->has_lists |= ls_state_needs_buckets(match->rule);
			ls_state_slot_add(model, match->rule, slot, event->at, match->weight);
		}
	}
}

#ifdef USE_ASSERT_CHECKING
static bool
all_short(const LsState *state)
{
	for (int i = 0; i < state->nslots; i++)
		if (!ls_state_slot_is_short(&state->slots[i]))
			return false;
	return true;
}
#endif

/* ls_state_of_event makes a state of one event, which is not in the future. */
LsState *
ls_state_of_event(LsModel *model, const LsEvent *event)
{
	LsState    *state = palloc(sizeof(LsState));

	ls_state_init(state);
	ls_state_add(model, state, event, event->at);
	return state;
}

/* ls_state_advance adds events of the future that have taken effect by the clock. */
void
ls_state_advance(LsModel *model, LsState *state, TimestampTz now)
{
	int			due = 0;

	while (due < state->nfuture && state->future[due] <= now)
		add_event(state, state->future[due++]);
	state->nfuture -= due;
	if (due > 0)
		memmove(state->future, state->future + due,
				sizeof(TimestampTz) * state->nfuture);
	Assert(state->has_lists || all_short(state));
	for (int i = 0; state->has_lists && i < state->nslots; i++)
	{
		LsSlot	   *slot = &state->slots[i];
		LsRule	   *rule;

		if (slot->more->nfuture == 0 || slot->more->future[0].at > now)
			continue;
		rule = ls_model_rule_by_version(model, slot->version);
		if (rule && rule->keyed)
			continue;
		for (due = 0; due < slot->more->nfuture && slot->more->future[due].at <= now; due++)
			if (rule)
				ls_state_slot_add(model, rule, slot, slot->more->future[due].at,
								  slot->more->future[due].weight);
		slot->more->nfuture -= due;
		memmove(slot->more->future, slot->more->future + due,
				sizeof(LsFuture) * slot->more->nfuture);
	}
	if (state->has_lists)
		ls_keyed_values_settle(model, state, now);
}

/*
 * ls_state_known_from gives the instant before which a state does not tell what a score was:
 * that of its latest event, or when a sequence last counted that nothing had followed.
 */
TimestampTz
ls_state_known_from(const LsState *state)
{
	TimestampTz from = state->last;

	for (int i = 0; state->has_lists && i < state->nslots; i++)
		if (state->slots[i].more->keyed)
			from = Max(from, state->slots[i].last);
	return from;
}

/* phase_of numbers the phase of a bucket. */
static int64
phase_of(const LsRule *rule, int64 bucket)
{
	int64		phases = ls_state_slot_phases(rule);

	return bucket - ls_decay_floor_div(bucket, phases) * phases;
}

/*
 * ls_state_slot_held gives the bucket as of which the sum of a phase is held: the last
 * one of the phase that is not after compacted_to.
 */
int64
ls_state_slot_held(const LsRule *rule, int64 compacted_to, int64 phase)
{
	return compacted_to - phase_of(rule, compacted_to - phase);
}

/*
 * find_phase finds the compacted sum of a phase, or makes one.  They stand in the order of
 * their phases, whatever the order in which periods are compacted.
 */
static LsBucket *
find_phase(LsSlotMore *more, int64 phase)
{
	int			at = 0;

	while (at < more->ncompacted && more->compacted[at].bucket < phase)
		at++;
	if (at < more->ncompacted && more->compacted[at].bucket == phase)
		return &more->compacted[at];
	more->compacted = more->compacted ?
		repalloc(more->compacted, sizeof(LsBucket) * (more->ncompacted + 1)) :
		palloc(sizeof(LsBucket));
	memmove(&more->compacted[at + 1], &more->compacted[at],
			sizeof(LsBucket) * (more->ncompacted - at));
	more->ncompacted++;
	memset(&more->compacted[at], 0, sizeof(LsBucket));
	more->compacted[at].bucket = phase;
	return &more->compacted[at];
}

/*
 * ls_state_bucket_value gives the value of a bucket before its decay: points,
 * where a limit applies to each period, else the weights that points will multiply.
 */
double
ls_state_bucket_value(const LsRule *rule, const LsBucket *bucket)
{
	double		weight = ls_decay_sum_value(&bucket->sum);

	if (isinf(rule->max_per_period))
		return weight;
	return ls_decay_clamp(rule->points * weight,
						  -rule->max_per_period, rule->max_per_period);
}

/* compact_bucket adds a bucket to the sum of its phase. */
static void
compact_bucket(const LsRule *rule, LsSlot *slot, const LsBucket *bucket)
{
	int64		phase = phase_of(rule, bucket->bucket);
	int64		held_at = ls_state_slot_held(rule, slot->more->compacted_to, phase);
	LsBucket   *compacted = find_phase(slot->more, phase);

	Assert(held_at >= bucket->bucket);
	compacted->count += bucket->count;
	ls_decay_sum_add(&compacted->sum, ls_state_bucket_value(rule, bucket) *
			   ls_decay(&rule->decay, (held_at - bucket->bucket) * rule->period));
}

/* compact_to moves the bucket up to which sums are compacted. */
static void
compact_to(const LsRule *rule, LsSlot *slot, int64 to)
{
	for (int i = 0; i < slot->more->ncompacted; i++)
	{
		int64		phase = slot->more->compacted[i].bucket;
		int64		moved = ls_state_slot_held(rule, to, phase) -
			ls_state_slot_held(rule, slot->more->compacted_to, phase);

		ls_decay_sum_scale(&slot->more->compacted[i].sum, ls_decay(&rule->decay, moved * rule->period));
	}
	slot->more->compacted_to = to;
}

/*
 * compact_slot drops buckets outside of the span, or compacts those that are far
 * back.
 */
static void
compact_slot(const LsRule *rule, LsSlot *slot)
{
	int64		newest;
	int			old = 0;

	if (slot->more->nbuckets == 0)
		return;
	newest = slot->more->buckets[slot->more->nbuckets - 1].bucket;
	while (newest - slot->more->buckets[old].bucket >=
		   (rule->span > 0 ? rule->span : LS_MAX_PERIODS + 1))
		old++;
	if (old == 0)
		return;
	if (rule->span == 0)
	{
		compact_to(rule, slot, slot->more->buckets[old - 1].bucket);
		for (int i = 0; i < old; i++)
			compact_bucket(rule, slot, &slot->more->buckets[i]);
	}
	slot->more->nbuckets -= old;
	memmove(slot->more->buckets, slot->more->buckets + old, sizeof(LsBucket) * slot->more->nbuckets);
}

/* ls_state_compact bounds the length of every slot. */
void
ls_state_compact(LsModel *model, LsState *state)
{
	for (int i = 0; state->has_lists && i < state->nslots; i++)
	{
		LsSlot	   *slot = &state->slots[i];
		LsRule	   *rule;

		if (slot->more->nbuckets <= 1)
			continue;
		rule = ls_model_rule_by_version(model, slot->version);
		if (rule)
			compact_slot(rule, slot);
	}
}

/*
 * ls_state_can_merge tells whether the state of further events, if there are any, can
 * be merged.  It cannot if one of them belongs to a bucket that was compacted after a
 * limit, which is not invertible: the contact has to be recomputed.
 */
bool
ls_state_can_merge(LsModel *model, LsState *state, const LsState *delta)
{
	if (delta && delta->has_lists && !ls_keyed_values_can_merge(model, state, delta))
		return false;
	for (int i = 0; delta && delta->has_lists && i < delta->nslots; i++)
	{
		const LsSlot *from = &delta->slots[i];
		const LsSlot *to;
		LsRule	   *rule;

		if (from->more->nbuckets == 0)
			continue;
		to = ls_state_slot(state, from->version, false);
		if (to == NULL || to->more->ncompacted == 0 ||
			from->more->buckets[0].bucket > to->more->compacted_to)
			continue;
		rule = ls_model_rule_by_version(model, from->version);
		if (rule && !isinf(rule->max_per_period))
			return false;
	}
	return true;
}

/*
 * ls_state_can_add tells whether an event can be added to a state that may be compacted.
 * It cannot if it belongs to a bucket that was compacted, nor if it has to be settled with
 * other rows, as a delta is.
 */
bool
ls_state_can_add(LsModel *model, LsState *state, const LsEvent *event)
{
	if (ls_match_is_keyed(event))
		return false;
	for (int i = 0; state->has_lists && i < event->nmatches; i++)
	{
		LsRule	   *rule = event->matches[i].rule;
		const LsSlot *slot;

		if (!ls_state_needs_buckets(rule))
			continue;
		slot = ls_state_slot(state, rule->version, false);
		if (slot && slot->more->ncompacted > 0 &&
			ls_rule_bucket(model, rule, event->at) <= slot->more->compacted_to)
			return false;
	}
	return true;
}

/* merge_buckets adds buckets that were never compacted. */
static void
merge_buckets(const LsRule *rule, LsSlot *slot, const LsSlot *delta)
{
	for (int i = 0; i < delta->more->nbuckets; i++)
	{
		const LsBucket *from = &delta->more->buckets[i];
		LsBucket   *to;

		if (slot->more->ncompacted > 0 && from->bucket <= slot->more->compacted_to)
		{
			compact_bucket(rule, slot, from);
			continue;
		}
		to = find_bucket(slot, from->bucket);
		to->count += from->count;
		ls_decay_sum_merge(&to->sum, &from->sum);
	}
}

/* ls_state_slot_merge adds what a slot of further events has counted. */
void
ls_state_slot_merge(LsModel *model, LsRule *rule, LsSlot *to, const LsSlot *from)
{
	merge_buckets(rule, to, from);
	if (from->count == 0)
		return;
	if (!rule->bucketed && rule->decay.kind == LS_DECAY_HALF_LIFE)
		add_decaying(rule, to, from->last, &from->sum);
	else
		ls_decay_sum_merge(&to->sum, &from->sum);
	to->count += from->count;
	to->last = Max(to->last, from->last);
}

/* ls_state_slot_clear forgets what a slot has counted, but not what waits. */
void
ls_state_slot_clear(LsSlot *slot)
{
	slot->count = 0;
	slot->last = DT_NOBEGIN;
	slot->sum.hi = slot->sum.lo = 0;
	if (!ls_state_slot_is_short(slot))
		slot->more->nbuckets = slot->more->ncompacted = 0;
}

/*
 * ls_state_merge adds the state of further events.  A compacted state must be one
 * that can be merged (ls_state_can_merge).
 */
void
ls_state_merge(LsModel *model, LsState *state, const LsState *delta)
{
	state->events += delta->events;
	state->first = Min(state->first, delta->first);
	state->last = Max(state->last, delta->last);
	state->has_lists |= delta->has_lists;
	for (int i = 0; i < delta->nfuture; i++)
		add_future_event(state, delta->future[i]);

	for (int i = 0; i < delta->nslots; i++)
	{
		const LsSlot *from = &delta->slots[i];
		LsRule	   *rule = ls_model_rule_by_version(model, from->version);
		LsSlot	   *to;

		if (rule == NULL)
			continue;
		to = make_slot(state, from->version);
		ls_state_slot_merge(model, rule, to, from);
		if (unlikely(rule->keyed))
			ls_keyed_values_merge(to, from);
		else
			for (int f = 0; f < from->more->nfuture; f++)
				add_future(to, from->more->future[f].at, from->more->future[f].weight);
	}
}

/*
 * ls_state_inherit takes over what does not follow from events: the contact's stages,
 * and when it is due.
 */
void
ls_state_inherit(LsState *state, const LsState *before)
{
	state->prior_stage = before->prior_stage;
	state->stage_recorded = before->stage_recorded;
	state->override = before->override;
	state->due = before->due;
	state->due_drift = before->due_drift;
}

/* copy_list copies a list of a slot. */
static void *
copy_list(const void *from, int n, Size size)
{
	return n > 0 ? memcpy(palloc(n * size), from, n * size) : NULL;
}

/* ls_state_slot_own gives a copy of a slot its own lists. */
void
ls_state_slot_own(LsSlot *slot)
{
	const LsSlotMore *from = slot->more;
	LsSlotMore *more;

	if (ls_state_slot_is_short(slot))
		return;
	more = palloc(sizeof(LsSlotMore));
	*more = *from;
	more->maxbuckets = more->nbuckets;
	more->buckets = copy_list(from->buckets, from->nbuckets, sizeof(LsBucket));
	more->compacted = copy_list(from->compacted, from->ncompacted, sizeof(LsBucket));
	more->future = copy_list(from->future, from->nfuture, sizeof(LsFuture));
	if (from->keyed)
		more->keyed = ls_keyed_values_copy(from->keyed);
	slot->more = more;
}

/*
 * ls_state_copy copies a state, so that what changes the copy leaves the other as it is.
 * The prior stage is never changed in place.
 */
void
ls_state_copy(LsState *to, const LsState *from)
{
	*to = *from;
	to->maxslots = from->nslots;
	to->slots = copy_list(from->slots, from->nslots, sizeof(LsSlot));
	to->future = copy_list(from->future, from->nfuture, sizeof(TimestampTz));
	for (int i = 0; i < to->nslots; i++)
		ls_state_slot_own(&to->slots[i]);
}

/* ls_state_replace replaces the slots of some versions by those of another state. */
void
ls_state_replace(LsState *state, const LsState *counted,
				 const int64 *versions, int nversions)
{
	state->has_lists |= counted->has_lists;
	for (int i = 0; i < nversions; i++)
	{
		LsSlot	   *from = ls_state_slot((LsState *) counted, versions[i], false);
		LsSlot	   *to;

		remove_slot(state, versions[i]);
		if (from == NULL)
			continue;
		to = ls_state_slot(state, versions[i], true);
		*to = *from;
		ls_state_slot_own(to);
		/* evaluated with a clock that is ahead, it has what still waits in state */
		state->last = Max(state->last, from->last);
	}
}

/* ls_state_drop_unknown removes slots of versions that no rule of the model has. */
void
ls_state_drop_unknown(LsModel *model, LsState *state)
{
	int			kept = 0;

	for (int i = 0; i < state->nslots; i++)
	{
		if (ls_model_rule_by_version(model, state->slots[i].version) == NULL)
			continue;
		if (kept < i)
			state->slots[kept] = state->slots[i];
		kept++;
	}
	state->nslots = kept;
}

/* ls_state_set_profile records whether a profile rule holds. */
void
ls_state_set_profile(LsState *state, int64 version, bool holds, double weight)
{
	LsSlot	   *slot;

	if (!holds)
	{
		remove_slot(state, version);
		return;
	}
	slot = ls_state_slot(state, version, true);
	slot->count = 1;
	slot->sum.hi = weight;
	slot->sum.lo = 0;
}

/* ls_state_take_profile replaces the profile slots by what the contact's row says. */
void
ls_state_take_profile(LsModel *model, LsState *state, const LsState *profile)
{
	state->has_contact = profile->has_contact;
	state->created_at = profile->created_at;
	for (int i = 0; i < model->nprofiles; i++)
		if (!model->profiles[i]->skip)
			remove_slot(state, model->profiles[i]->version);
	for (int i = 0; i < profile->nslots; i++)
		ls_state_set_profile(state, profile->slots[i].version, true,
							 ls_decay_sum_value(&profile->slots[i].sum));
}
