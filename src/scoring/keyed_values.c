/*-------------------------------------------------------------------------
 *
 * keyed_values.c
 *		Rows of keyed rules: which of them count, from the order in which they happened.
 *
 * Rows wait in a slot until they are settled: then those that have happened by the clock
 * are gone through in the order of their instants, over all keyed rules of the state, as
 * the events that one sequence has counted are rows of another.  What comes late and
 * cannot be decided from what is kept of earlier rows makes the contact be recomputed
 * (ls_state_can_merge); a recompute settles all rows in order.  README.md of this folder
 * has the table of what is kept, and of what cannot be decided.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/keyed_values.h"

#include "common/int.h"
#include "miscadmin.h"

/* A keyed rule while rows are settled */
typedef struct Run
{
	LsRule	   *rule;
	LsSlot	   *slot;
	LsKeyed    *keyed;
	int			depth;			/* how many sequences it follows, one after the other */
	int			next;			/* row */
	TimestampTz pending;		/* when the next row of E that none follows counts; DT_NOEND: none */
	bool		changed;		/* what its values have counted */
} Run;

typedef struct Settling
{
	LsModel    *model;
	Run		   *runs;
	int			n;
	bool		undecided;		/* a row came late that cannot be decided */
} Settling;

/* ---------- rows that wait ---------- */

/* ls_keyed_values_of gives what is kept of a slot's rows, made if there is nothing. */
LsKeyed *
ls_keyed_values_of(LsSlot *slot)
{
	LsSlotMore *more = ls_state_slot_more(slot);

	if (more->keyed == NULL)
		more->keyed = palloc0(sizeof(LsKeyed));
	return more->keyed;
}

static LsKeyedRow *
new_row(LsKeyed *keyed)
{
	if (keyed->nrows == keyed->maxrows)
	{
		keyed->maxrows = Max(2, keyed->maxrows * 2);
		keyed->rows = keyed->rows ?
			repalloc_huge(keyed->rows, sizeof(LsKeyedRow) * (Size) keyed->maxrows) :
			palloc(sizeof(LsKeyedRow) * keyed->maxrows);
	}
	return &keyed->rows[keyed->nrows++];
}

/* copy_tags copies tags into the current memory context. */
static LsTags
copy_tags(LsTags from)
{
	LsTags		to = {from.n, NULL};

	if (from.n > 0)
		to.names = palloc(sizeof(char *) * from.n);
	for (int i = 0; i < from.n; i++)
		to.names[i] = pstrdup(from.names[i]);
	return to;
}

static LsTags
tags_of(const LsRowRoles *roles)
{
	return (LsTags) {roles->ntags, roles->tags};
}

/* add_row adds a copy of a row. */
static void
add_row(LsKeyed *keyed, TimestampTz at, double weight, const LsRowRoles *roles)
{
	LsKeyedRow *row = new_row(keyed);
	LsTags		tags = copy_tags(tags_of(roles));

	row->at = at;
	row->weight = weight;
	row->roles = *roles;
	row->roles.ntags = tags.n;
	row->roles.tags = tags.names;
}

/* ls_keyed_values_wait has a row wait until it is settled. */
void
ls_keyed_values_wait(LsSlot *slot, TimestampTz at, const LsMatch *match)
{
	add_row(ls_keyed_values_of(slot), at, match->weight, match->roles);
}

/* ---------- values ---------- */

static int
compare_values(const LsRowValue *a, const LsRowValue *b)
{
	if (a->high != b->high)
		return a->high > b->high ? 1 : -1;
	return (a->low > b->low) - (a->low < b->low);
}

/* value_of finds a value among those of a rule, or makes it. */
static LsKeyedValue *
value_of(LsKeyed *keyed, const LsRowValue *value)
{
	int			low = 0,
				high = keyed->nvalues;
	LsKeyedValue *found;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (compare_values(&keyed->values[middle].value, value) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < keyed->nvalues && compare_values(&keyed->values[low].value, value) == 0)
		return &keyed->values[low];

	if (keyed->nvalues == keyed->maxvalues)
	{
		keyed->maxvalues = Max(2, keyed->maxvalues * 2);
		keyed->values = keyed->values ?
			repalloc_huge(keyed->values, sizeof(LsKeyedValue) * (Size) keyed->maxvalues) :
			palloc(sizeof(LsKeyedValue) * keyed->maxvalues);
	}
	found = &keyed->values[low];
	memmove(found + 1, found, sizeof(LsKeyedValue) * (keyed->nvalues - low));
	keyed->nvalues++;
	memset(found, 0, sizeof(LsKeyedValue));
	found->value = *value;
	found->first[0].at = found->first[1].at = DT_NOBEGIN;
	found->followed = LS_FOLLOWED;
	found->follower = found->both = found->cancelled = DT_NOBEGIN;
	ls_state_slot_init(&found->counted, 1);
	return found;
}

/* copy_value gives a copy of a value its own lists. */
static void
copy_value(LsKeyedValue *value)
{
	const LsKeyedTag *tags = value->tags;

	ls_state_slot_own(&value->counted);
	for (int i = 0; i < 2; i++)
		value->first[i].tags = copy_tags(value->first[i].tags);
	if (value->ntags == 0)
		return;
	value->tags = palloc(sizeof(LsKeyedTag) * value->ntags);
	for (int i = 0; i < value->ntags; i++)
	{
		value->tags[i].name = pstrdup(tags[i].name);
		value->tags[i].slot = tags[i].slot;
		ls_state_slot_own(&value->tags[i].slot);
	}
}

/* ls_keyed_values_copy gives a copy that shares nothing with the original. */
LsKeyed *
ls_keyed_values_copy(const LsKeyed *from)
{
	LsKeyed    *to = palloc(sizeof(LsKeyed));

	*to = *from;
	to->nrows = to->maxrows = 0;
	to->rows = NULL;
	for (int i = 0; i < from->nrows; i++)
		add_row(to, from->rows[i].at, from->rows[i].weight, &from->rows[i].roles);
	if (from->bytes)
		to->bytes = memcpy(palloc(Max(from->length, 1)), from->bytes, from->length);
	to->maxvalues = from->nvalues;
	if (from->nvalues > 0)
		to->values = memcpy(MemoryContextAllocHuge(CurrentMemoryContext,
												   sizeof(LsKeyedValue) * (Size) from->nvalues),
							from->values, sizeof(LsKeyedValue) * (Size) from->nvalues);
	for (int i = 0; i < to->nvalues; i++)
		copy_value(&to->values[i]);
	return to;
}

/*
 * ls_keyed_values_merge adds what a slot keeps of further rows.  Rows wait to be settled;
 * of two slots that were both settled, values of the first go on.
 */
void
ls_keyed_values_merge(LsSlot *to, const LsSlot *from)
{
	LsKeyed    *keyed;

	if (from->more->keyed == NULL)
		return;
	keyed = ls_keyed_values_of(to);
	if (keyed->nvalues == 0 && keyed->bytes == NULL)
	{
		LsKeyed    *copy = ls_keyed_values_copy(from->more->keyed);

		for (int i = 0; i < keyed->nrows; i++)
			add_row(copy, keyed->rows[i].at, keyed->rows[i].weight, &keyed->rows[i].roles);
		to->more->keyed = copy;
		return;
	}
	for (int i = 0; i < from->more->keyed->nrows; i++)
		add_row(keyed, from->more->keyed->rows[i].at, from->more->keyed->rows[i].weight,
				&from->more->keyed->rows[i].roles);
}

/* ---------- what counts ---------- */

/* slot_of_tag finds what is counted of a tag, or makes it. */
static LsSlot *
slot_of_tag(LsKeyedValue *value, const char *name)
{
	int			at = 0;

	while (at < value->ntags && strcmp(value->tags[at].name, name) < 0)
		at++;
	if (at == value->ntags || strcmp(value->tags[at].name, name) != 0)
	{
		value->tags = value->tags ?
			repalloc(value->tags, sizeof(LsKeyedTag) * (value->ntags + 1)) :
			palloc(sizeof(LsKeyedTag));
		memmove(&value->tags[at + 1], &value->tags[at], sizeof(LsKeyedTag) * (value->ntags - at));
		value->ntags++;
		value->tags[at].name = pstrdup(name);
		ls_state_slot_init(&value->tags[at].slot, 1);
	}
	return &value->tags[at].slot;
}

/* count_event counts an event of a value that no row cancels yet. */
static void
count_event(Settling *settling, Run *run, LsKeyedValue *value, const LsFirst *event)
{
	LsRule	   *rule = run->rule;
	LsSlot	   *slot = rule->has_per ? &value->counted : run->slot;

	if (value->cancelled >= event->at)
		return;
	run->changed = true;
	if (rule->latest_only)
	{
		if (slot->count > 0 &&
			(event->at < slot->last || (event->at == slot->last && event->weight <= slot->sum.hi)))
			return;
		ls_state_slot_clear(slot);
		slot->count = 1;
		slot->last = event->at;
		slot->sum.hi = event->weight;
		value->ntags = 0;
	}
	else
	{
		if (slot->more->ncompacted > 0 &&
			ls_rule_bucket(settling->model, rule, event->at) <= slot->more->compacted_to)
			settling->undecided = true;
		ls_state_slot_add(settling->model, rule, slot, event->at, event->weight);
	}
	for (int i = 0; i < event->tags.n; i++)
		ls_state_slot_add(settling->model, rule, slot_of_tag(value, event->tags.names[i]),
						  event->at, event->weight);
}

/* cancel cancels what has counted up to an instant. */
static void
cancel(Settling *settling, Run *run, LsKeyedValue *value, TimestampTz at)
{
	LsSlot	   *slot = run->rule->has_per ? &value->counted : run->slot;

	if (slot->count > 0 && slot->last <= at)
	{
		ls_state_slot_clear(slot);
		value->ntags = 0;
		run->changed = true;
	}
	else if (slot->count > 1 && !run->rule->latest_only && at > value->cancelled)
		settling->undecided = true;
	value->cancelled = Max(value->cancelled, at);
}

/* ---------- sequences ---------- */

/* gap_ends gives when max_gap has passed since an instant; DT_NOEND: never. */
static TimestampTz
gap_ends(const LsRule *rule, TimestampTz at)
{
	TimestampTz ends;

	return pg_add_s64_overflow(at, rule->max_gap, &ends) || !IS_VALID_TIMESTAMP(ends) ? DT_NOEND : ends;
}

static void arrive_first(Settling *settling, Run *run, LsKeyedValue *value, const LsFirst *first,
						 bool both);

/*
 * emit counts an event of a rule, which is a row of E of the rules that follow it.
 */
static void
emit(Settling *settling, Run *run, LsKeyedValue *value, const LsFirst *event)
{
	LsRowValue	own = value->value;

	for (int i = 0; run->rule->kind == LS_SEQUENCE && i < settling->n; i++)
	{
		Run		   *next = &settling->runs[i];
		LsRowValue	none = {0, 0};
		LsFirst		first = *event;

		if (next->rule->follows != run->rule)
			continue;
		first.weight = 1;
		first.tags.n = 0;
		arrive_first(settling, next, value_of(next->keyed, next->rule->has_per ? &own : &none),
					 &first, false);
	}
	count_event(settling, run, value, event);
}

/* remember keeps a row of E of a sequence that is not negated. */
static void
remember(Settling *settling, LsKeyedValue *value, const LsFirst *first)
{
	LsFirst    *latest = value->first;

	/* a row that follows may be one that followed nothing */
	if (Max(value->follower, value->both) > first->at)
		settling->undecided = true;
	for (int i = 0; i < 2; i++)
	{
		if (first->at == latest[i].at)
		{
			if (first->weight > latest[i].weight)
			{
				latest[i].weight = first->weight;
				latest[i].tags = copy_tags(first->tags);
			}
			return;
		}
		if (first->at > latest[i].at)
		{
			if (i == 0)
				latest[1] = latest[0];
			latest[i] = *first;
			latest[i].tags = copy_tags(first->tags);
			return;
		}
	}
}

/* has_counted tells whether rows of E of a negated sequence can no longer be undone. */
static bool
has_counted(const LsKeyedValue *value)
{
	return value->first[0].at != DT_NOBEGIN && value->followed == LS_FOLLOWED_NEVER;
}

/*
 * arrive_first has a row of E of a sequence arrive; both: it follows others, too.
 */
static void
arrive_first(Settling *settling, Run *run, LsKeyedValue *value, const LsFirst *first, bool both)
{
	LsFirst    *latest = &value->first[0];
	int64		gap = run->rule->max_gap;

	if (!run->rule->negated)
	{
		remember(settling, value, first);
		return;
	}
	if (first->at < latest->at || Max(value->follower, value->both) > first->at)
	{
		settling->undecided = true;
		return;
	}
	if (first->at == latest->at)
	{
		if (first->weight <= latest->weight)
			return;
		if (has_counted(value))
			settling->undecided = true;
		latest->weight = first->weight;
		latest->tags = copy_tags(first->tags);
		return;
	}
	if (has_counted(value) && first->at - latest->at <= gap)
		settling->undecided = true;
	*latest = *first;
	latest->tags = copy_tags(first->tags);
	value->followed = value->follower == first->at ? LS_FOLLOWED : LS_FOLLOWED_NOT_YET;
	if (value->followed == LS_FOLLOWED_NOT_YET)
		run->pending = Min(run->pending, gap_ends(run->rule, first->at));
}

/* follow_negated has a row arrive that follows rows of E of a negated sequence. */
static void
follow_negated(Settling *settling, Run *run, LsKeyedValue *value, TimestampTz at, bool both)
{
	const LsFirst *latest = &value->first[0];

	if (latest->at != DT_NOBEGIN)
	{
		if (at < latest->at)
			settling->undecided = true;
		else if (at - latest->at <= run->rule->max_gap && !(both && at == latest->at))
		{
			if (has_counted(value))
				settling->undecided = true;
			value->followed = LS_FOLLOWED;
		}
	}
	if (both)
		value->both = Max(value->both, at);
	else
		value->follower = Max(value->follower, at);
}

/* follow has a row arrive that follows rows of E. */
static void
follow(Settling *settling, Run *run, LsKeyedValue *value, TimestampTz at, bool both)
{
	const LsFirst *before = at > value->first[0].at ? &value->first[0] : &value->first[1];

	if (run->rule->negated)
	{
		follow_negated(settling, run, value, at, both);
		return;
	}
	if (before->at != DT_NOBEGIN && at <= before->at)
		settling->undecided = true;
	else if (before->at != DT_NOBEGIN && at - before->at <= run->rule->max_gap)
	{
		LsFirst		event = *before;

		event.at = at;
		emit(settling, run, value, &event);
	}
	if (both)
		value->both = Max(value->both, at);
	else
		value->follower = Max(value->follower, at);
}

/* ---------- settling ---------- */

/* find_pending finds when the next row of E that none follows counts. */
static void
find_pending(Run *run)
{
	run->pending = DT_NOEND;
	for (int i = 0; run->rule->negated && i < run->keyed->nvalues; i++)
	{
		const LsKeyedValue *value = &run->keyed->values[i];

		if (value->followed == LS_FOLLOWED_NOT_YET)
			run->pending = Min(run->pending, gap_ends(run->rule, value->first[0].at));
	}
}

/* count_unfollowed counts the rows of E that none has followed by now. */
static void
count_unfollowed(Settling *settling, Run *run, TimestampTz now)
{
	if (run->pending > now)
		return;
	for (int i = 0; i < run->keyed->nvalues; i++)
	{
		LsKeyedValue *value = &run->keyed->values[i];
		LsFirst		event = value->first[0];

		if (value->followed != LS_FOLLOWED_NOT_YET || gap_ends(run->rule, event.at) > now)
			continue;
		value->followed = LS_FOLLOWED_NEVER;
		event.at = gap_ends(run->rule, event.at);
		emit(settling, run, value, &event);
	}
	find_pending(run);
}

/* settle_row has one row arrive. */
static void
settle_row(Settling *settling, Run *run, const LsKeyedRow *row)
{
	bool		first = (row->roles.roles & LS_ROLE_COUNTS) != 0;
	LsFirst		event = {row->at, row->weight, tags_of(&row->roles)};

	if (first)
	{
		LsKeyedValue *value = value_of(run->keyed, &row->roles.counts);

		if (run->rule->kind == LS_SEQUENCE)
			arrive_first(settling, run, value, &event,
						 (row->roles.roles & LS_ROLE_FOLLOWS) != 0);
		else
			emit(settling, run, value, &event);
	}
	if (row->roles.roles & LS_ROLE_FOLLOWS)
		follow(settling, run, value_of(run->keyed, &row->roles.follows), row->at, first);
	if (row->roles.roles & LS_ROLE_CANCELS)
		cancel(settling, run, value_of(run->keyed, &row->roles.cancels), row->at);
}

/*
 * settle_instant settles all that happens at one instant.  A sequence comes before those
 * that follow it; a row that comes when max_gap has just passed is in time.
 */
static void
settle_instant(Settling *settling, TimestampTz at)
{
	for (int i = 0; i < settling->n; i++)
	{
		Run		   *run = &settling->runs[i];

		while (run->next < run->keyed->nrows && run->keyed->rows[run->next].at == at)
			settle_row(settling, run, &run->keyed->rows[run->next++]);
		count_unfollowed(settling, run, at);
	}
}

/* next_instant gives the next instant at which something happens. */
static TimestampTz
next_instant(const Settling *settling)
{
	TimestampTz at = DT_NOEND;

	for (int i = 0; i < settling->n; i++)
	{
		const Run  *run = &settling->runs[i];

		at = Min(at, run->pending);
		if (run->next < run->keyed->nrows)
			at = Min(at, run->keyed->rows[run->next].at);
	}
	return at;
}

static int
by_instant(const void *a, const void *b)
{
	TimestampTz x = ((const LsKeyedRow *) a)->at;
	TimestampTz y = ((const LsKeyedRow *) b)->at;

	return (x > y) - (x < y);
}

static int
by_depth(const void *a, const void *b)
{
	return ((const Run *) a)->depth - ((const Run *) b)->depth;
}

/* make_followers makes the slots of rules that follow those that have some. */
static void
make_followers(LsModel *model, LsState *state)
{
	bool		again = true;

	while (again)
	{
		again = false;
		for (int i = 0; i < model->nrules; i++)
		{
			LsRule	   *rule = &model->rules[i];
			LsSlot	   *slot;

			if (rule->follows == NULL || rule->skip || rule->version == 0 ||
				ls_state_slot(state, rule->follows->version, false) == NULL)
				continue;
			slot = ls_state_slot(state, rule->version, true);
			again = again || slot->more->keyed == NULL;
			(void) ls_keyed_values_of(slot);
		}
	}
}

/* is_idle tells whether nothing of a slot is to be settled by now. */
static bool
is_idle(const LsSlot *slot, TimestampTz now)
{
	const LsKeyed *keyed = slot->more->keyed;

	for (int i = 0; keyed && i < keyed->nrows; i++)
		if (keyed->rows[i].at <= now)
			return false;
	return slot->more->nfuture == 0 || slot->more->future[0].at > now;
}

/* begin prepares the rules of a state for settling; false: there is nothing to settle. */
static bool
begin(Settling *settling, LsState *state, TimestampTz now)
{
	LsModel    *model = settling->model;
	bool		idle = true;

	settling->n = 0;
	for (int i = 0; i < state->nslots && idle; i++)
		if (state->slots[i].more->keyed)
			idle = is_idle(&state->slots[i], now);
	if (idle)
		return false;
	make_followers(model, state);
	settling->runs = palloc(sizeof(Run) * state->nslots);
	for (int i = 0; i < state->nslots; i++)
	{
		LsSlot	   *slot = &state->slots[i];
		LsRule	   *rule = slot->more->keyed ? ls_model_rule_by_version(model, slot->version) : NULL;
		Run		   *run = &settling->runs[settling->n];

		if (rule == NULL || !rule->keyed)
			continue;
		*run = (Run) {.rule = rule, .slot = slot, .keyed = slot->more->keyed};
		for (const LsRule *above = rule->follows; above; above = above->follows)
			run->depth++;
		if (run->keyed->bytes)
			ls_keyed_codec_read(run->keyed);
		if (run->keyed->nrows > 1)
			qsort(run->keyed->rows, run->keyed->nrows, sizeof(LsKeyedRow), by_instant);
		find_pending(run);
		settling->n++;
	}
	if (settling->n > 1)
		qsort(settling->runs, settling->n, sizeof(Run), by_depth);
	return true;
}

/* sum_up has a rule's slot be what its values have counted together. */
static void
sum_up(LsModel *model, Run *run)
{
	ls_state_slot_clear(run->slot);
	for (int i = 0; i < run->keyed->nvalues; i++)
	{
		const LsSlot *counted = &run->keyed->values[i].counted;

		if (counted->count == 0)
			continue;
		if (run->rule->latest_only)
			ls_state_slot_add(model, run->rule, run->slot, counted->last, counted->sum.hi);
		else
			ls_state_slot_merge(model, run->rule, run->slot, counted);
	}
}

static int
by_effect(const void *a, const void *b)
{
	TimestampTz x = ((const LsFuture *) a)->at;
	TimestampTz y = ((const LsFuture *) b)->at;

	return (x > y) - (x < y);
}

/* list_pending has a slot's future be the rows of E that will count if none follows. */
static void
list_pending(Run *run)
{
	LsSlotMore *more = run->slot->more;
	int			n = 0;

	more->future = palloc(sizeof(LsFuture) * Max(run->keyed->nvalues, 1));
	for (int i = 0; i < run->keyed->nvalues; i++)
	{
		const LsKeyedValue *value = &run->keyed->values[i];

		TimestampTz counts = gap_ends(run->rule, value->first[0].at);

		if (value->followed != LS_FOLLOWED_NOT_YET || counts == DT_NOEND)
			continue;
		more->future[n].at = counts;
		more->future[n++].weight = value->first[0].weight;
	}
	qsort(more->future, n, sizeof(LsFuture), by_effect);
	more->nfuture = n;
}

/* end forgets the rows that are settled, and sums up. */
static void
end(Settling *settling)
{
	for (int i = 0; i < settling->n; i++)
	{
		Run		   *run = &settling->runs[i];
		LsKeyed    *keyed = run->keyed;

		memmove(keyed->rows, keyed->rows + run->next, sizeof(LsKeyedRow) * (keyed->nrows - run->next));
		keyed->nrows -= run->next;
		if (run->rule->has_per && run->changed)
			sum_up(settling->model, run);
		if (run->rule->negated)
			list_pending(run);
	}
	pfree(settling->runs);
}

/* settle settles what has happened by an instant; false where something cannot be decided. */
static bool
settle(LsModel *model, LsState *state, TimestampTz until)
{
	Settling	settling = {.model = model};
	TimestampTz at;

	if (!begin(&settling, state, until))
		return true;
	while ((at = next_instant(&settling)) <= until && at != DT_NOEND)
	{
		CHECK_FOR_INTERRUPTS();
		settle_instant(&settling, at);
	}
	end(&settling);
	return !settling.undecided;
}

/* ls_keyed_values_settle settles the rows that have happened by the clock. */
void
ls_keyed_values_settle(LsModel *model, LsState *state, TimestampTz now)
{
	(void) settle(model, state, now);
}

/* may_be_undecided tells whether rows of a rule that come late may matter to others. */
static bool
may_be_undecided(const LsRule *rule)
{
	return rule && rule->keyed && (!rule->latest_only || rule->kind == LS_SEQUENCE);
}

/*
 * ls_keyed_values_can_merge tells whether the rows of a delta can be settled.  It tries,
 * with those that are dated later too: all come in order.
 */
bool
ls_keyed_values_can_merge(LsModel *model, LsState *state, const LsState *delta)
{
	LsState		copy;
	bool		some = false;

	for (int i = 0; i < delta->nslots && !some; i++)
		some = delta->slots[i].more->keyed &&
			may_be_undecided(ls_model_rule_by_version(model, delta->slots[i].version));
	if (!some)
		return true;
	ls_state_copy(&copy, state);
	copy.has_lists = true;
	for (int i = 0; i < delta->nslots; i++)
	{
		const LsSlot *slot = &delta->slots[i];

		if (slot->more->keyed && ls_model_rule_by_version(model, slot->version))
			ls_keyed_values_merge(ls_state_slot(&copy, slot->version, true), slot);
	}
	return settle(model, &copy, DT_NOEND);
}
