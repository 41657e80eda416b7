/*-------------------------------------------------------------------------
 *
 * keyed_codec.c
 *		The bytes of what a state keeps of the rows of keyed rules.
 *
 * Values stand behind their length, as readers of scores pass over them: they are read
 * when a change needs them.  Reading trusts no bytes, see state_codec.c.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/keyed_values.h"

#include "mb/pg_wchar.h"

/* flags of a value: what of it follows */
#define VALUE_FIRST		0x01	/* the latest row of E */
#define VALUE_SECOND	0x02	/* the one before it */
#define VALUE_FOLLOWER	0x04
#define VALUE_BOTH		0x08
#define VALUE_CANCELLED	0x10
#define VALUE_COUNTED	0x20
#define VALUE_TAGS		0x40
#define VALUE_NONE		0x80	/* its value is zero */

/* ---------- sizes ---------- */

static Size
tags_size(LsTags tags)
{
	Size		size = LS_MAX_NUMBER;

	for (int i = 0; i < tags.n; i++)
		size += LS_MAX_NUMBER + strlen(tags.names[i]);
	return size;
}

static Size
slot_size(const LsSlot *slot)
{
	return 4 * LS_MAX_NUMBER + 2 + LS_MAX_SUM +
		((Size) slot->more->nbuckets + slot->more->ncompacted) * LS_MAX_BUCKET + 2 * LS_MAX_NUMBER;
}

static Size
value_size(const LsKeyedValue *value)
{
	Size		size = 2 + sizeof(LsRowValue) + 5 * LS_MAX_NUMBER + 2 * sizeof(double) +
		slot_size(&value->counted) + tags_size(value->first[0].tags) + tags_size(value->first[1].tags);

	for (int i = 0; i < value->ntags; i++)
		size += LS_MAX_NUMBER + strlen(value->tags[i].name) + slot_size(&value->tags[i].slot);
	return size + LS_MAX_NUMBER;
}

static Size
values_size(const LsKeyed *keyed)
{
	Size		size = LS_MAX_NUMBER;

	for (int i = 0; i < keyed->nvalues; i++)
		size += value_size(&keyed->values[i]);
	return size;
}

/* ls_keyed_codec_size gives how many bytes values and rows take at most. */
Size
ls_keyed_codec_size(const LsKeyed *keyed)
{
	Size		size = 3 * LS_MAX_NUMBER + (keyed->bytes ? (Size) keyed->length : values_size(keyed));

	for (int i = 0; i < keyed->nrows; i++)
	{
		const LsRowRoles *roles = &keyed->rows[i].roles;

		size += 1 + LS_MAX_NUMBER + sizeof(double) + 3 * sizeof(LsRowValue) +
			tags_size((LsTags) {roles->ntags, roles->tags});
	}
	return size;
}

/* ---------- writing ---------- */

static char *
put_tags(char *to, LsTags tags)
{
	to = put_unsigned(to, tags.n);
	for (int i = 0; i < tags.n; i++)
	{
		int			length = strlen(tags.names[i]);

		to = put_unsigned(to, length);
		to = put_bytes(to, tags.names[i], length);
	}
	return to;
}

static char *
put_counted(char *to, const LsSlot *slot, TimestampTz base)
{
	int			form = sum_form(&slot->sum, slot->count);
	const LsSlotMore *more = slot->more;

	*to++ = (char) (form | (more->nbuckets > 0 ? 4 : 0) | (more->ncompacted > 0 ? 8 : 0));
	to = put_unsigned(to, slot->count);
	to = put_signed(to, slot->last == DT_NOBEGIN ? 0 : base - slot->last);
	to = put_sum(to, &slot->sum, form);
	if (more->nbuckets > 0)
		to = ls_state_bytes_put_buckets(to, more->buckets, more->nbuckets);
	if (more->ncompacted > 0)
	{
		to = put_signed(to, more->compacted_to);
		to = ls_state_bytes_put_buckets(to, more->compacted, more->ncompacted);
	}
	return to;
}

static char *
put_first(char *to, const LsFirst *first, TimestampTz base)
{
	to = put_signed(to, base - first->at);
	to = put_bytes(to, &first->weight, sizeof(double));
	return put_tags(to, first->tags);
}

static int
flags_of_value(const LsKeyedValue *value)
{
	return (value->first[0].at != DT_NOBEGIN ? VALUE_FIRST : 0) |
		(value->first[1].at != DT_NOBEGIN ? VALUE_SECOND : 0) |
		(value->follower != DT_NOBEGIN ? VALUE_FOLLOWER : 0) |
		(value->both != DT_NOBEGIN ? VALUE_BOTH : 0) |
		(value->cancelled != DT_NOBEGIN ? VALUE_CANCELLED : 0) |
		(value->counted.count > 0 ? VALUE_COUNTED : 0) |
		(value->ntags > 0 ? VALUE_TAGS : 0) |
		(value->value.high == 0 && value->value.low == 0 ? VALUE_NONE : 0);
}

static char *
put_value(char *to, const LsKeyedValue *value, TimestampTz base)
{
	int			flags = flags_of_value(value);

	*to++ = (char) flags;
	if (!(flags & VALUE_NONE))
		to = put_bytes(to, &value->value, sizeof(LsRowValue));
	if (flags & VALUE_FIRST)
	{
		*to++ = (char) value->followed;
		to = put_first(to, &value->first[0], base);
	}
	if (flags & VALUE_SECOND)
		to = put_first(to, &value->first[1], base);
	if (flags & VALUE_FOLLOWER)
		to = put_signed(to, base - value->follower);
	if (flags & VALUE_BOTH)
		to = put_signed(to, base - value->both);
	if (flags & VALUE_CANCELLED)
		to = put_signed(to, base - value->cancelled);
	if (flags & VALUE_COUNTED)
		to = put_counted(to, &value->counted, base);
	if (flags & VALUE_TAGS)
	{
		to = put_unsigned(to, value->ntags);
		for (int i = 0; i < value->ntags; i++)
		{
			int			length = strlen(value->tags[i].name);

			to = put_unsigned(to, length);
			to = put_bytes(to, value->tags[i].name, length);
			to = put_counted(to, &value->tags[i].slot, base);
		}
	}
	return to;
}

/*
 * ls_keyed_codec_put_values writes the values, behind their length and the instant relative
 * to which theirs are written: bytes that were not read go on as they are.
 */
char *
ls_keyed_codec_put_values(char *to, const LsKeyed *keyed, TimestampTz base)
{
	char	   *bytes;
	char	   *end;

	if (keyed->bytes)
	{
		to = put_signed(to, base - keyed->base);
		to = put_unsigned(to, keyed->length);
		return put_bytes(to, keyed->bytes, keyed->length);
	}
	bytes = MemoryContextAllocHuge(CurrentMemoryContext, values_size(keyed));
	end = put_unsigned(bytes, keyed->nvalues);
	for (int i = 0; i < keyed->nvalues; i++)
		end = put_value(end, &keyed->values[i], base);
	to = put_signed(to, 0);
	to = put_unsigned(to, end - bytes);
	to = put_bytes(to, bytes, end - bytes);
	pfree(bytes);
	return to;
}

/* ls_keyed_codec_put_rows writes the rows that wait. */
char *
ls_keyed_codec_put_rows(char *to, const LsKeyed *keyed, TimestampTz base)
{
	to = put_unsigned(to, keyed->nrows);
	for (int i = 0; i < keyed->nrows; i++)
	{
		const LsKeyedRow *row = &keyed->rows[i];
		int			roles = row->roles.roles;

		*to++ = (char) roles;
		to = put_signed(to, base - row->at);
		to = put_bytes(to, &row->weight, sizeof(double));
		if (roles & LS_ROLE_COUNTS)
			to = put_bytes(to, &row->roles.counts, sizeof(LsRowValue));
		if (roles & LS_ROLE_FOLLOWS)
			to = put_bytes(to, &row->roles.follows, sizeof(LsRowValue));
		if (roles & LS_ROLE_CANCELS)
			to = put_bytes(to, &row->roles.cancels, sizeof(LsRowValue));
		to = put_tags(to, (LsTags) {row->roles.ntags, row->roles.tags});
	}
	return to;
}

/* ---------- reading ---------- */

/* get_instant reads an instant that was written as a difference. */
static TimestampTz
get_instant(Cursor *from, TimestampTz base)
{
	int64		before = get_signed(from);

	if (before == PG_INT64_MIN)
		ls_state_bytes_malformed();
	return instant(base, -before);
}

static char *
get_name(Cursor *from)
{
	int			length = get_length(from, 1, 1);
	char	   *name = palloc0(length + 1);

	get_bytes(from, name, length);
	if (!pg_verifymbstr(name, length, true))
		ls_state_bytes_malformed();
	return name;
}

static LsTags
get_tags(Cursor *from)
{
	LsTags		tags = {get_length(from, 1, sizeof(char *)), NULL};

	if (tags.n > 0)
		tags.names = palloc(sizeof(char *) * tags.n);
	for (int i = 0; i < tags.n; i++)
		tags.names[i] = get_name(from);
	return tags;
}

static double
get_weight(Cursor *from)
{
	double		weight;

	get_bytes(from, &weight, sizeof(double));
	if (!isfinite(weight))
		ls_state_bytes_malformed();
	return weight;
}

static void
get_counted(Cursor *from, LsSlot *slot, TimestampTz base)
{
	unsigned char flags;

	ls_state_slot_init(slot, 1);
	get_bytes(from, &flags, 1);
	slot->count = get_count(from);
	slot->last = get_instant(from, base);
	get_sum(from, &slot->sum, flags & 3, slot->count);
	if (flags & (4 | 8))
		ls_state_slot_more(slot);
	if (flags & 4)
	{
		slot->more->buckets = ls_state_bytes_get_buckets(from, false, &slot->more->nbuckets);
		slot->more->maxbuckets = Max(slot->more->nbuckets, 1);
	}
	if (flags & 8)
	{
		slot->more->compacted_to = get_signed(from);
		slot->more->compacted = ls_state_bytes_get_buckets(from, true, &slot->more->ncompacted);
	}
}

static void
get_first(Cursor *from, LsFirst *first, TimestampTz base)
{
	first->at = get_instant(from, base);
	first->weight = get_weight(from);
	first->tags = get_tags(from);
}

static void
get_value_tags(Cursor *from, LsKeyedValue *value, TimestampTz base)
{
	value->ntags = get_length(from, 4, sizeof(LsKeyedTag));
	value->tags = palloc(sizeof(LsKeyedTag) * Max(value->ntags, 1));
	for (int i = 0; i < value->ntags; i++)
	{
		value->tags[i].name = get_name(from);
		get_counted(from, &value->tags[i].slot, base);
	}
}

static void
get_value(Cursor *from, LsKeyedValue *value, TimestampTz base)
{
	unsigned char flags;
	unsigned char followed = LS_FOLLOWED;

	memset(value, 0, sizeof(LsKeyedValue));
	value->first[0].at = value->first[1].at = DT_NOBEGIN;
	value->follower = value->both = value->cancelled = DT_NOBEGIN;
	ls_state_slot_init(&value->counted, 1);
	get_bytes(from, &flags, 1);
	if (!(flags & VALUE_NONE))
		get_bytes(from, &value->value, sizeof(LsRowValue));
	if (flags & VALUE_FIRST)
	{
		get_bytes(from, &followed, 1);
		if (followed > LS_FOLLOWED)
			ls_state_bytes_malformed();
		get_first(from, &value->first[0], base);
	}
	value->followed = followed;
	if (flags & VALUE_SECOND)
		get_first(from, &value->first[1], base);
	if (flags & VALUE_FOLLOWER)
		value->follower = get_instant(from, base);
	if (flags & VALUE_BOTH)
		value->both = get_instant(from, base);
	if (flags & VALUE_CANCELLED)
		value->cancelled = get_instant(from, base);
	if (flags & VALUE_COUNTED)
		get_counted(from, &value->counted, base);
	if (flags & VALUE_TAGS)
		get_value_tags(from, value, base);
}

/* ls_keyed_codec_get_values passes over the values, which are read when they are needed. */
void
ls_keyed_codec_get_values(Cursor *from, LsKeyed *keyed, TimestampTz base)
{
	keyed->base = get_instant(from, base);
	keyed->length = get_length(from, 1, 1);
	keyed->bytes = palloc(Max(keyed->length, 1));
	get_bytes(from, keyed->bytes, keyed->length);
}

/* ls_keyed_codec_read reads values that were passed over. */
void
ls_keyed_codec_read(LsKeyed *keyed)
{
	Cursor		from = {(const unsigned char *) keyed->bytes,
	(const unsigned char *) keyed->bytes + keyed->length};
	int			n = get_length(&from, 1, sizeof(LsKeyedValue));

	keyed->values = palloc(sizeof(LsKeyedValue) * Max(n, 1));
	keyed->maxvalues = Max(n, 1);
	for (keyed->nvalues = 0; keyed->nvalues < n; keyed->nvalues++)
		get_value(&from, &keyed->values[keyed->nvalues], keyed->base);
	if (from.at != from.end)
		ls_state_bytes_malformed();
	pfree(keyed->bytes);
	keyed->bytes = NULL;
}

/* ls_keyed_codec_get_rows reads the rows that wait. */
void
ls_keyed_codec_get_rows(Cursor *from, LsKeyed *keyed, TimestampTz base)
{
	int			n = get_length(from, 11, sizeof(LsKeyedRow));

	keyed->rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(LsKeyedRow) * (Size) Max(n, 1));
	keyed->nrows = keyed->maxrows = n;
	for (int i = 0; i < n; i++)
	{
		LsKeyedRow *row = &keyed->rows[i];
		unsigned char roles;
		LsTags		tags;

		memset(row, 0, sizeof(LsKeyedRow));
		get_bytes(from, &roles, 1);
		row->roles.roles = roles;
		row->at = get_instant(from, base);
		row->weight = get_weight(from);
		if (roles & LS_ROLE_COUNTS)
			get_bytes(from, &row->roles.counts, sizeof(LsRowValue));
		if (roles & LS_ROLE_FOLLOWS)
			get_bytes(from, &row->roles.follows, sizeof(LsRowValue));
		if (roles & LS_ROLE_CANCELS)
			get_bytes(from, &row->roles.cancels, sizeof(LsRowValue));
		tags = get_tags(from);
		row->roles.ntags = tags.n;
		row->roles.tags = tags.names;
	}
}
