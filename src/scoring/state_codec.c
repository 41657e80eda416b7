/*-------------------------------------------------------------------------
 *
 * state_codec.c
 *		The bytes of a state, as they are stored.
 *
 * README.md of this folder describes them.  Reading checks every length.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/state.h"

#include <math.h>

#include "access/detoast.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "base/compat.h"

/* flags of a state */
#define HAS_CONTACT		0x01
#define HAS_CREATED		0x02
#define HAS_EVENTS		0x04
#define HAS_FUTURE		0x08
#define HAS_PRIOR		0x10
#define STAGE_RECORDED	0x20
#define HAS_DUE			0x40
#define HAS_OVERRIDE	0x80

/* flags of a slot: how its sum is written, and what follows */
#define SUM_MASK		0x03
#define SLOT_LAST		0x04
#define SLOT_BUCKETS	0x08
#define SLOT_FOLDED		0x10
#define SLOT_FUTURE		0x20
#define SLOT_LISTS		(SLOT_BUCKETS | SLOT_FOLDED | SLOT_FUTURE)

/* how a sum is written */
#define SUM_ZERO		0
#define SUM_COUNT		1		/* it equals the count */
#define SUM_HI			2
#define SUM_HI_LO		3

#define LS_SPARE_SLOTS	8		/* room for rules that match later */

#define LS_MAX_NUMBER	10		/* bytes that a number takes at most */

/* bytes that a sum, a bucket and a slot without lists take at most */
#define LS_MAX_SUM		((int) (sizeof(double) + sizeof(float)))
#define LS_MAX_BUCKET	(2 * LS_MAX_NUMBER + LS_MAX_SUM)
#define LS_MAX_SLOT		(3 * LS_MAX_NUMBER + 1 + LS_MAX_SUM)

/*
 * These write where there is room (largest_size), and give the place after what they
 * wrote: a state is written for every event.
 */
static inline char *
put_bytes(char *to, const void *from, int n)
{
	memcpy(to, from, n);
	return to + n;
}

static inline char *
put_unsigned(char *to, uint64 value)
{
	while (value >= 0x80)
	{
		*to++ = (char) (value | 0x80);
		value >>= 7;
	}
	*to++ = (char) value;
	return to;
}

/* put_signed writes small values of either sign as small unsigned ones. */
static inline char *
put_signed(char *to, int64 value)
{
	return put_unsigned(to, ((uint64) value << 1) ^ (uint64) (value >> 63));
}

/* base gives the instant relative to which others are written, so that they are short. */
static inline TimestampTz
base(const LsState *state)
{
	return state->events > 0 ? state->last : 0;
}

static inline int
sum_form(const LsSum *sum, int64 count)
{
	if (sum->lo != 0)
		return SUM_HI_LO;
	if (sum->hi == 0 && !signbit(sum->hi))
		return SUM_ZERO;
	return sum->hi == (double) count ? SUM_COUNT : SUM_HI;
}

static inline char *
put_sum(char *to, const LsSum *sum, int form)
{
	if (form == SUM_HI || form == SUM_HI_LO)
		to = put_bytes(to, &sum->hi, sizeof(double));
	if (form == SUM_HI_LO)
	{
		float		lo = (float) sum->lo;

		to = put_bytes(to, &lo, sizeof(float));
	}
	return to;
}

static char *
put_buckets(char *to, const LsBucket *buckets, int n)
{
	int64		previous = 0;

	to = put_unsigned(to, n);
	for (int i = 0; i < n; i++)
	{
		int			form = sum_form(&buckets[i].sum, buckets[i].count);

		to = put_signed(to, buckets[i].bucket - previous);
		previous = buckets[i].bucket;
		to = put_unsigned(to, ((uint64) buckets[i].count << 2) | form);
		to = put_sum(to, &buckets[i].sum, form);
	}
	return to;
}

/* flags_of_lists tells which lists of a slot follow it. */
static int
flags_of_lists(const LsSlotMore *more)
{
	return (more->nbuckets > 0 ? SLOT_BUCKETS : 0) |
		(more->ncompacted > 0 ? SLOT_FOLDED : 0) |
		(more->nfuture > 0 ? SLOT_FUTURE : 0);
}

static char *
put_lists(char *to, const LsSlotMore *more)
{
	if (more->nbuckets > 0)
		to = put_buckets(to, more->buckets, more->nbuckets);
	if (more->ncompacted > 0)
	{
		to = put_signed(to, more->compacted_to);
		to = put_buckets(to, more->compacted, more->ncompacted);
	}
	if (more->nfuture > 0)
	{
		to = put_unsigned(to, more->nfuture);
		for (int i = 0; i < more->nfuture; i++)
		{
			to = put_signed(to, more->future[i].at);
			to = put_bytes(to, &more->future[i].weight, sizeof(double));
		}
	}
	return to;
}

/* put_slots writes all slots; those without lists, which most are, in a few steps. */
static char *
put_slots(char *to, const LsState *state)
{
	const LsSlot *end = state->slots + state->nslots;
	TimestampTz from = base(state);
	int64		previous = 0;

	to = put_unsigned(to, state->nslots);
	for (const LsSlot *slot = state->slots; slot < end; slot++)
	{
		int			form = sum_form(&slot->sum, slot->count);
		int			lists = ls_state_slot_is_short(slot) ? 0 : flags_of_lists(slot->more);

		to = put_unsigned(to, slot->version - previous);
		previous = slot->version;
		*to++ = (char) (form | lists | (slot->last != DT_NOBEGIN ? SLOT_LAST : 0));
		to = put_unsigned(to, slot->count);
		if (slot->last != DT_NOBEGIN)
			to = put_signed(to, from - slot->last);
		to = put_sum(to, &slot->sum, form);
		if (lists != 0)
			to = put_lists(to, slot->more);
	}
	return to;
}

/* largest_size gives how many bytes a state takes at most. */
static Size
largest_size(const LsState *state)
{
	/* two bytes, the override, and the numbers that ls_state_encode writes */
	Size		size = VARHDRSZ + 3 + 8 * LS_MAX_NUMBER +
		(Size) state->nfuture * LS_MAX_NUMBER + (Size) state->nslots * LS_MAX_SLOT +
		(state->prior_stage ? strlen(state->prior_stage) : 0);

	for (int i = 0; i < state->nslots && state->has_lists; i++)
	{
		const LsSlotMore *more = state->slots[i].more;

		if (ls_state_slot_is_short(&state->slots[i]))
			continue;
		size += 4 * LS_MAX_NUMBER +
			((Size) more->nbuckets + more->ncompacted) * LS_MAX_BUCKET +
			(Size) more->nfuture * (LS_MAX_NUMBER + sizeof(double));
	}
	return size;
}

/* flags_of gives the flags of a state. */
static int
flags_of(const LsState *state)
{
	int			flags = 0;

	if (state->has_contact)
		flags |= HAS_CONTACT;
	if (state->created_at != DT_NOBEGIN)
		flags |= HAS_CREATED;
	if (state->events > 0)
		flags |= HAS_EVENTS;
	if (state->nfuture > 0)
		flags |= HAS_FUTURE;
	if (state->prior_stage)
		flags |= HAS_PRIOR;
	if (state->stage_recorded)
		flags |= STAGE_RECORDED;
	if (state->due != DT_NOEND)
		flags |= HAS_DUE;
	if (state->override != LS_OVERRIDE_NONE)
		flags |= HAS_OVERRIDE;
	return flags;
}

/* ls_state_encode gives the bytes that are stored. */
bytea *
ls_state_encode(const LsState *state)
{
	Size		size = largest_size(state);
	bytea	   *bytes = palloc(size);
	char	   *to = VARDATA(bytes);
	int			flags = flags_of(state);

	/* a row is only written after due is computed */
	Assert(state->due != DT_NOBEGIN);
	*to++ = LS_STATE_FORMAT;
	*to++ = (char) flags;
	if (flags & HAS_CREATED)
		to = put_signed(to, state->created_at);
	if (flags & HAS_EVENTS)
	{
		to = put_unsigned(to, state->events);
		to = put_signed(to, state->last);
		to = put_unsigned(to, state->last - state->first);
	}
	if (flags & HAS_FUTURE)
	{
		to = put_unsigned(to, state->nfuture);
		for (int i = 0; i < state->nfuture; i++)
			to = put_signed(to, state->future[i]);
	}
	if (flags & HAS_PRIOR)
	{
		int			length = strlen(state->prior_stage);

		to = put_unsigned(to, length);
		to = put_bytes(to, state->prior_stage, length);
	}
	if (flags & HAS_DUE)
		to = put_signed(to, (state->due - base(state)) * 2 + state->due_drift);
	if (flags & HAS_OVERRIDE)
		*to++ = (char) state->override;
	to = put_slots(to, state);
	Assert(to <= (char *) bytes + size);
	SET_VARSIZE(bytes, to - (char *) bytes);
	return bytes;
}

/*
 * Reading trusts no bytes: a state may be forged or torn.  The result is one that
 * could have been encoded: sorted lists, valid instants, finite numbers, text of the
 * database's encoding.
 */
typedef struct Cursor
{
	const unsigned char *at;
	const unsigned char *end;
} Cursor;

static pg_noinline void
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the state of a contact is damaged"),
			 errhint("Delete the row while the triggers of its table are disabled, and call leadscore.rescore(), which recomputes the contact from its events.")));
}

/* get_unsigned reads a number; most take a byte. */
static pg_attribute_always_inline uint64
get_unsigned(Cursor *from)
{
	uint64		value = 0;

	if (likely(from->at < from->end && *from->at < 0x80))
		return *from->at++;
	for (int shift = 0; shift < 64; shift += 7)
	{
		unsigned char byte;

		if (from->at >= from->end)
			malformed();
		byte = *from->at++;
		value |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	malformed();
	return 0;
}

static pg_attribute_always_inline int64
get_signed(Cursor *from)
{
	uint64		value = get_unsigned(from);

	return (int64) (value >> 1) ^ -(int64) (value & 1);
}

/*
 * get_length reads the length of a list whose members take at least so many bytes
 * each, and so many in memory.
 */
static int
get_length(Cursor *from, int bytes, Size size)
{
	uint64		n = get_unsigned(from);

	if (n > (uint64) (from->end - from->at) / bytes ||
		n >= MaxAllocSize / size - LS_SPARE_SLOTS)
		malformed();
	return (int) n;
}

/* get_count reads a number of events. */
static pg_attribute_always_inline int64
get_count(Cursor *from)
{
	uint64		n = get_unsigned(from);

	if (n > PG_INT64_MAX)
		malformed();
	return (int64) n;
}

/* instant gives the instant at an offset from another, if a timestamp can have it. */
static pg_attribute_always_inline TimestampTz
instant(TimestampTz from, int64 difference)
{
	TimestampTz t;

	if (pg_add_s64_overflow(from, difference, &t) || !IS_VALID_TIMESTAMP(t))
		malformed();
	return t;
}

static pg_attribute_always_inline void
get_bytes(Cursor *from, void *to, int n)
{
	if (from->end - from->at < n)
		malformed();
	memcpy(to, from->at, n);
	from->at += n;
}

static pg_attribute_always_inline void
get_sum(Cursor *from, LsSum *sum, int form, int64 count)
{
	float		lo = 0;

	sum->hi = form == SUM_COUNT ? (double) count : 0;
	if (form == SUM_HI || form == SUM_HI_LO)
		get_bytes(from, &sum->hi, sizeof(double));
	if (form == SUM_HI_LO)
		get_bytes(from, &lo, sizeof(float));
	if (!isfinite(sum->hi) || !isfinite(lo))
		malformed();
	sum->lo = lo;
}

/* get_buckets reads buckets, ascending but where they are phases. */
static LsBucket *
get_buckets(Cursor *from, bool phases, int *n)
{
	LsBucket   *buckets;
	int64		previous = 0;

	*n = get_length(from, 2, sizeof(LsBucket));
	buckets = palloc(sizeof(LsBucket) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		int64		step = get_signed(from);
		uint64		counted;

		if ((i > 0 && step <= 0 && !phases) || pg_add_s64_overflow(previous, step, &previous))
			malformed();
		buckets[i].bucket = previous;
		counted = get_unsigned(from);
		buckets[i].count = counted >> 2;
		get_sum(from, &buckets[i].sum, counted & 3, buckets[i].count);
	}
	return buckets;
}

/* get_instants reads instants, none before the one before it. */
static TimestampTz *
get_instants(Cursor *from, int *n)
{
	TimestampTz *all;

	*n = get_length(from, 1, sizeof(TimestampTz));
	all = palloc(sizeof(TimestampTz) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		all[i] = instant(0, get_signed(from));
		if (i > 0 && all[i] < all[i - 1])
			malformed();
	}
	return all;
}

static void
get_slot_future(Cursor *from, LsSlotMore *more)
{
	more->nfuture = get_length(from, 9, sizeof(LsFuture));
	more->future = palloc(sizeof(LsFuture) * Max(more->nfuture, 1));
	for (int i = 0; i < more->nfuture; i++)
	{
		LsFuture   *future = &more->future[i];

		future->at = instant(0, get_signed(from));
		get_bytes(from, &future->weight, sizeof(double));
		if (!isfinite(future->weight) || (i > 0 && future->at < future[-1].at))
			malformed();
	}
}

static void
get_lists(Cursor *from, int flags, LsSlot *slot)
{
	ls_state_slot_more(slot);
	if (flags & SLOT_BUCKETS)
	{
		slot->more->buckets = get_buckets(from, false, &slot->more->nbuckets);
		slot->more->maxbuckets = Max(slot->more->nbuckets, 1);
	}
	if (flags & SLOT_FOLDED)
	{
		slot->more->compacted_to = get_signed(from);
		slot->more->compacted = get_buckets(from, true, &slot->more->ncompacted);
	}
	if (flags & SLOT_FUTURE)
		get_slot_future(from, slot->more);
}

/* get_slot reads a slot, with a cursor that can be kept in registers, and gives its flags. */
static inline unsigned char
get_slot(Cursor *from, TimestampTz base, LsSlot *slot, int64 previous)
{
	Cursor		here = *from;
	unsigned char flags;
	int64		version = get_count(&here);

	if (version == 0 || pg_add_s64_overflow(version, previous, &version))
		malformed();
	get_bytes(&here, &flags, 1);
	ls_state_slot_init(slot, version);
	slot->count = get_count(&here);
	if (flags & SLOT_LAST)
	{
		int64		before = get_signed(&here);

		if (before == PG_INT64_MIN)
			malformed();
		slot->last = instant(base, -before);
	}
	get_sum(&here, &slot->sum, flags & SUM_MASK, slot->count);
	*from = here;
	if (flags & SLOT_LISTS)
		get_lists(from, flags, slot);
	return flags;
}

/* slots_for gives room for so many slots, in what is kept if that is given. */
static LsSlot *
slots_for(LsSlotRoom *room, int n)
{
	if (room == NULL)
		return palloc(sizeof(LsSlot) * n);
	if (n > room->n)
	{
		room->n = Max(n, 2 * room->n);
		room->slots = MemoryContextAlloc(room->context, sizeof(LsSlot) * room->n);
	}
	return room->slots;
}

static void
get_slots(Cursor *from, LsState *state, LsSlotRoom *room)
{
	TimestampTz last = base(state);
	int			n = get_length(from, 3, sizeof(LsSlot));
	LsSlot	   *slots = slots_for(room, n + LS_SPARE_SLOTS);
	int64		previous = 0;
	unsigned char flags = 0;

	for (int i = 0; i < n; i++)
	{
		flags |= get_slot(from, last, &slots[i], previous);
		previous = slots[i].version;
	}
	state->has_lists = (flags & SLOT_LISTS) != 0;
	state->slots = slots;
	state->nslots = n;
	state->maxslots = n + LS_SPARE_SLOTS;
}

/* get_prior_stage reads the name of a stage. */
static char *
get_prior_stage(Cursor *from)
{
	int			length = get_length(from, 1, 1);
	char	   *name = palloc0(length + 1);

	get_bytes(from, name, length);
	if (length == 0 || !pg_verifymbstr(name, length, true))
		malformed();
	return name;
}

/*
 * ls_state_decode_in reads what ls_state_encode wrote, with its slots in a room that is
 * kept for the states of a query, one after the other.
 */
void
ls_state_decode_in(const bytea *bytes, LsState *state, LsSlotRoom *room)
{
	Cursor		from = {(const unsigned char *) VARDATA_ANY(bytes),
	(const unsigned char *) VARDATA_ANY(bytes) + VARSIZE_ANY_EXHDR(bytes)};
	unsigned char head[2];
	unsigned char override = LS_OVERRIDE_NONE;

	ls_state_init(state);
	get_bytes(&from, head, 2);
	if (head[0] != LS_STATE_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state of a contact has format %d, which this version does not know",
						head[0]),
				 errhint("Delete the row while the triggers of its table are disabled, and call leadscore.rescore(), which recomputes the contact from its events.")));
	state->has_contact = (head[1] & HAS_CONTACT) != 0;
	state->stage_recorded = (head[1] & STAGE_RECORDED) != 0;
	if (head[1] & HAS_CREATED)
		state->created_at = instant(0, get_signed(&from));
	if (head[1] & HAS_EVENTS)
	{
		state->events = get_count(&from);
		state->last = instant(0, get_signed(&from));
		state->first = instant(state->last, -get_count(&from));
		if (state->events == 0)
			malformed();
	}
	if (head[1] & HAS_FUTURE)
		state->future = get_instants(&from, &state->nfuture);
	if (head[1] & HAS_PRIOR)
		state->prior_stage = get_prior_stage(&from);
	if (head[1] & HAS_DUE)
	{
		int64		due = get_signed(&from);

		state->due_drift = (due & 1) != 0;
		state->due = instant(base(state), ls_decay_floor_div(due, 2));
	}
	if (head[1] & HAS_OVERRIDE)
		get_bytes(&from, &override, 1);
	if (override > LS_OVERRIDE_BELOW)
		malformed();
	state->override = override;
	get_slots(&from, state, room);
	if (from.at != from.end)
		malformed();
}

/* ls_state_decode reads what ls_state_encode wrote. */
void
ls_state_decode(const bytea *bytes, LsState *state)
{
	ls_state_decode_in(bytes, state, NULL);
}
