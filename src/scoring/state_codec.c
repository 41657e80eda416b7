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
#include "scoring/keyed_values.h"
#include "scoring/state_bytes.h"

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
#define SLOT_VALUES		0x40
#define SLOT_ROWS		0x80
#define SLOT_LISTS		(SLOT_BUCKETS | SLOT_FOLDED | SLOT_FUTURE | SLOT_VALUES | SLOT_ROWS)

/* base gives the instant relative to which others are written, so that they are short. */
static inline TimestampTz
base(const LsState *state)
{
	return state->events > 0 ? state->last : 0;
}

/* flags_of_lists tells which lists of a slot follow it. */
static int
flags_of_lists(const LsSlotMore *more)
{
	return (more->nbuckets > 0 ? SLOT_BUCKETS : 0) |
		(more->ncompacted > 0 ? SLOT_FOLDED : 0) |
		(more->nfuture > 0 ? SLOT_FUTURE : 0) |
		(more->keyed && (more->keyed->nvalues > 0 || more->keyed->bytes) ? SLOT_VALUES : 0) |
		(more->keyed && more->keyed->nrows > 0 ? SLOT_ROWS : 0);
}

static char *
put_lists(char *to, const LsSlotMore *more, int lists, TimestampTz base)
{
	if (more->nbuckets > 0)
		to = ls_state_bytes_put_buckets(to, more->buckets, more->nbuckets);
	if (more->ncompacted > 0)
	{
		to = put_signed(to, more->compacted_to);
		to = ls_state_bytes_put_buckets(to, more->compacted, more->ncompacted);
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
	if (lists & SLOT_VALUES)
		to = ls_keyed_codec_put_values(to, more->keyed, base);
	if (lists & SLOT_ROWS)
		to = ls_keyed_codec_put_rows(to, more->keyed, base);
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
			to = put_lists(to, slot->more, lists, from);
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
			(Size) more->nfuture * (LS_MAX_NUMBER + sizeof(double)) +
			(more->keyed ? ls_keyed_codec_size(more->keyed) : 0);
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
			ls_state_bytes_malformed();
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
			ls_state_bytes_malformed();
	}
}

static void
get_lists(Cursor *from, int flags, LsSlot *slot, TimestampTz base)
{
	ls_state_slot_more(slot);
	if (flags & SLOT_BUCKETS)
	{
		slot->more->buckets = ls_state_bytes_get_buckets(from, false, &slot->more->nbuckets);
		slot->more->maxbuckets = Max(slot->more->nbuckets, 1);
	}
	if (flags & SLOT_FOLDED)
	{
		slot->more->compacted_to = get_signed(from);
		slot->more->compacted = ls_state_bytes_get_buckets(from, true, &slot->more->ncompacted);
	}
	if (flags & SLOT_FUTURE)
		get_slot_future(from, slot->more);
	if (flags & SLOT_VALUES)
		ls_keyed_codec_get_values(from, ls_keyed_values_of(slot), base);
	if (flags & SLOT_ROWS)
		ls_keyed_codec_get_rows(from, ls_keyed_values_of(slot), base);
}

/* get_slot reads a slot, with a cursor that can be kept in registers, and gives its flags. */
static inline unsigned char
get_slot(Cursor *from, TimestampTz base, LsSlot *slot, int64 previous)
{
	Cursor		here = *from;
	unsigned char flags;
	int64		version = get_count(&here);

	if (version == 0 || pg_add_s64_overflow(version, previous, &version))
		ls_state_bytes_malformed();
	get_bytes(&here, &flags, 1);
	ls_state_slot_init(slot, version);
	slot->count = get_count(&here);
	if (flags & SLOT_LAST)
	{
		int64		before = get_signed(&here);

		if (before == PG_INT64_MIN)
			ls_state_bytes_malformed();
		slot->last = instant(base, -before);
	}
	get_sum(&here, &slot->sum, flags & SUM_MASK, slot->count);
	*from = here;
	if (flags & SLOT_LISTS)
		get_lists(from, flags, slot, base);
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
		ls_state_bytes_malformed();
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
			ls_state_bytes_malformed();
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
		ls_state_bytes_malformed();
	state->override = override;
	get_slots(&from, state, room);
	if (from.at != from.end)
		ls_state_bytes_malformed();
}

/* ls_state_decode reads what ls_state_encode wrote. */
void
ls_state_decode(const bytea *bytes, LsState *state)
{
	ls_state_decode_in(bytes, state, NULL);
}
