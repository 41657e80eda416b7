/*-------------------------------------------------------------------------
 *
 * state_bytes.h
 *		Numbers, instants and sums as the bytes of a state have them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STATE_BYTES_H
#define LEADSCORE_STATE_BYTES_H

#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/decay.h"
#include "scoring/state.h"

extern void ls_state_bytes_malformed(void);

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
 * These write where there is room (their callers reckon it), and give the place after what they
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
			ls_state_bytes_malformed();
		byte = *from->at++;
		value |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	ls_state_bytes_malformed();
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
static inline int
get_length(Cursor *from, int bytes, Size size)
{
	uint64		n = get_unsigned(from);

	if (n > (uint64) (from->end - from->at) / bytes ||
		n >= MaxAllocSize / size - LS_SPARE_SLOTS)
		ls_state_bytes_malformed();
	return (int) n;
}

/* get_count reads a number of events. */
static pg_attribute_always_inline int64
get_count(Cursor *from)
{
	uint64		n = get_unsigned(from);

	if (n > PG_INT64_MAX)
		ls_state_bytes_malformed();
	return (int64) n;
}

/* instant gives the instant at an offset from another, if a timestamp can have it. */
static pg_attribute_always_inline TimestampTz
instant(TimestampTz from, int64 difference)
{
	TimestampTz t;

	if (pg_add_s64_overflow(from, difference, &t) || !IS_VALID_TIMESTAMP(t))
		ls_state_bytes_malformed();
	return t;
}

static pg_attribute_always_inline void
get_bytes(Cursor *from, void *to, int n)
{
	if (from->end - from->at < n)
		ls_state_bytes_malformed();
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
		ls_state_bytes_malformed();
	sum->lo = lo;
}

extern char *ls_state_bytes_put_buckets(char *to, const LsBucket *buckets, int n);
extern LsBucket *ls_state_bytes_get_buckets(Cursor *from, bool phases, int *n);

#endif							/* LEADSCORE_STATE_BYTES_H */
