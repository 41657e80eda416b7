/*-------------------------------------------------------------------------
 *
 * keyed_values.h
 *		What the state keeps of the rows of a keyed rule: which of them count depends on others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_KEYED_VALUES_H
#define LEADSCORE_KEYED_VALUES_H

#include "postgres.h"

#include "scoring/state.h"
#include "scoring/state_bytes.h"

/* A row that waits to be settled: of a delta, or dated later */
typedef struct LsKeyedRow
{
	TimestampTz at;
	double		weight;
	LsRowRoles	roles;
} LsKeyedRow;

/* What became of the latest row of E of a negated sequence */
typedef enum LsFollowed
{
	LS_FOLLOWED_NOT_YET,		/* it counts when max_gap has passed */
	LS_FOLLOWED_NEVER,			/* it has counted */
	LS_FOLLOWED					/* it does not count */
} LsFollowed;

/* Names of tags, no two equal */
typedef struct LsTags
{
	int			n;
	char	  **names;
} LsTags;

/* A row of E of a sequence */
typedef struct LsFirst
{
	TimestampTz at;				/* DT_NOBEGIN: none */
	double		weight;			/* the greatest of its instant */
	LsTags		tags;
} LsFirst;

/* What the counted events with one tag come to */
typedef struct LsKeyedTag
{
	char	   *name;
	LsSlot		slot;
} LsKeyedTag;

/*
 * What is kept of the rows of one value; of all rows, where the rule has no per.
 *
 * counted: where the rule has a per, what its counted events come to that no row
 * cancels; without one the rule's slot has them.  Where only the latest counts, its
 * instant, and its weight as the sum.
 */
typedef struct LsKeyedValue
{
	LsRowValue	value;
	LsFirst		first[2];		/* of a sequence: the latest two instants, the latest one first */
	LsFollowed	followed;		/* of a negated one: whether the latest is */
	TimestampTz follower;		/* the latest row that only follows; DT_NOBEGIN: none */
	TimestampTz both;			/* ... that is a row of E, too */
	TimestampTz cancelled;		/* the latest that cancels */
	LsSlot		counted;
	int			ntags;
	LsKeyedTag *tags;
} LsKeyedValue;

typedef struct LsKeyed
{
	int			nrows;
	int			maxrows;
	LsKeyedRow *rows;			/* ascending when they are settled */
	int			nvalues;
	int			maxvalues;
	LsKeyedValue *values;		/* ascending by value */
	char	   *bytes;			/* of the values, until somebody needs them; NULL: they are read */
	int			length;
	TimestampTz base;			/* relative to which these are */
} LsKeyed;

extern void ls_keyed_values_wait(LsSlot *slot, TimestampTz at, const LsMatch *match);
extern void ls_keyed_values_merge(LsSlot *to, const LsSlot *from);
extern bool ls_keyed_values_can_merge(LsModel *model, LsState *state, const LsState *delta);
extern void ls_keyed_values_settle(LsModel *model, LsState *state, TimestampTz now);
extern LsKeyed *ls_keyed_values_copy(const LsKeyed *from);

/* keyed_codec.c */
extern Size ls_keyed_codec_size(const LsKeyed *keyed);
extern char *ls_keyed_codec_put_rows(char *to, const LsKeyed *keyed, TimestampTz base);
extern char *ls_keyed_codec_put_values(char *to, const LsKeyed *keyed, TimestampTz base);
extern void ls_keyed_codec_get_values(Cursor *from, LsKeyed *keyed, TimestampTz base);
extern void ls_keyed_codec_get_rows(Cursor *from, LsKeyed *keyed, TimestampTz base);
extern void ls_keyed_codec_read(LsKeyed *keyed);

/* ls_keyed_values_of gives what is kept of a slot's rows, made if there is nothing. */
extern LsKeyed *ls_keyed_values_of(LsSlot *slot);

#endif							/* LEADSCORE_KEYED_VALUES_H */
