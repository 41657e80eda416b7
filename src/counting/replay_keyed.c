/*-------------------------------------------------------------------------
 *
 * replay_keyed.c
 *		What counts for a keyed rule, from its rows alone.
 *
 * Written from the meaning of a rule (docs/reference/meaning.md), step by step, and from
 * no code of the states: all rows are at hand, sorted by value and instant.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/replay_keyed.h"

/* Rows or events, ascending by value, instant and weight */
typedef struct Sorted
{
	int			n;
	LsReplayEvent *events;
} Sorted;

/* ls_replay_keyed_keep keeps a row of a keyed rule. */
void
ls_replay_keyed_keep(LsReplayRows *rows, TimestampTz at, const LsMatch *match)
{
	if (rows->n == rows->room)
	{
		rows->room = Max(8, rows->room * 2);
		rows->rows = rows->rows ?
			repalloc_huge(rows->rows, sizeof(LsReplayRow) * (Size) rows->room) :
			palloc(sizeof(LsReplayRow) * rows->room);
	}
	rows->rows[rows->n].at = at;
	rows->rows[rows->n].weight = match->weight;
	rows->rows[rows->n++].roles = ls_row_roles_copy(match->roles);
}

/* ls_replay_keyed_compare puts values into an order. */
int
ls_replay_keyed_compare(const LsRowValue *a, const LsRowValue *b)
{
	if (a->high != b->high)
		return a->high < b->high ? -1 : 1;
	return a->low < b->low ? -1 : a->low > b->low;
}

static int
by_value(const void *a, const void *b)
{
	const LsReplayEvent *x = a;
	const LsReplayEvent *y = b;
	int			order = ls_replay_keyed_compare(&x->value, &y->value);

	if (order != 0)
		return order;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->weight < y->weight ? -1 : x->weight > y->weight;
}

static Sorted
room_for(int n)
{
	return (Sorted) {0, MemoryContextAllocHuge(CurrentMemoryContext,
											   sizeof(LsReplayEvent) * (Size) Max(n, 1))};
}

static void
sort(Sorted *sorted)
{
	if (sorted->n > 1)
		qsort(sorted->events, sorted->n, sizeof(LsReplayEvent), by_value);
}

/* rows_of gives the rows up to t that are one thing to a rule. */
static Sorted
rows_of(const LsReplayRows *rows, int role, TimestampTz t)
{
	Sorted		sorted = room_for(rows->n);

	for (int i = 0; i < rows->n; i++)
	{
		const LsRowRoles *roles = rows->rows[i].roles;
		LsReplayEvent *event = &sorted.events[sorted.n];

		if (!(roles->roles & role) || rows->rows[i].at > t)
			continue;
		event->value = role == LS_ROLE_COUNTS ? roles->counts :
			role == LS_ROLE_FOLLOWS ? roles->follows : roles->cancels;
		event->at = rows->rows[i].at;
		event->weight = rows->rows[i].weight;
		event->both = (roles->roles & LS_ROLE_COUNTS) && (roles->roles & LS_ROLE_FOLLOWS);
		sorted.n++;
	}
	sort(&sorted);
	return sorted;
}

/* first_from gives the place of the first one of a value that is not before an instant. */
static int
first_from(const Sorted *sorted, const LsRowValue *value, TimestampTz at)
{
	int			low = 0,
				high = sorted->n;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const LsReplayEvent *event = &sorted->events[middle];
		int			order = ls_replay_keyed_compare(&event->value, value);

		if (order < 0 || (order == 0 && event->at < at))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* is_in tells whether one of a value is at a place, not after an instant. */
static bool
is_in(const Sorted *sorted, int place, const LsRowValue *value, TimestampTz until)
{
	return place < sorted->n && sorted->events[place].at <= until &&
		ls_replay_keyed_compare(&sorted->events[place].value, value) == 0;
}

/* follow_rows has each row that follows one of E within max_gap count once. */
static Sorted
follow_rows(const LsRule *rule, const Sorted *first, const Sorted *followers)
{
	Sorted		counted = room_for(followers->n);

	for (int i = 0; i < followers->n; i++)
	{
		const LsReplayEvent *follower = &followers->events[i];
		int			before = first_from(first, &follower->value, follower->at) - 1;

		if (before < 0 || !is_in(first, before, &follower->value, follower->at) ||
			follower->at - first->events[before].at > rule->max_gap)
			continue;
		counted.events[counted.n] = first->events[before];
		counted.events[counted.n++].at = follower->at;
	}
	return counted;
}

/* is_followed tells whether a row follows one of E, or another one of E comes within max_gap. */
static bool
is_followed(const LsRule *rule, const Sorted *first, const Sorted *followers, const LsReplayEvent *event)
{
	TimestampTz until = event->at + rule->max_gap;

	if (is_in(first, first_from(first, &event->value, event->at + 1), &event->value, until))
		return true;
	for (int i = first_from(followers, &event->value, event->at);
		 is_in(followers, i, &event->value, until); i++)
		/* one that is a row of E, too, follows earlier ones only */
		if (!followers->events[i].both || followers->events[i].at > event->at)
			return true;
	return false;
}

/* unfollowed has each row of E count that none follows, once an instant, when max_gap has passed. */
static Sorted
unfollowed(const LsRule *rule, const Sorted *first, const Sorted *followers, TimestampTz t)
{
	Sorted		counted = room_for(first->n);

	for (int i = 0; i < first->n; i++)
	{
		const LsReplayEvent *event = &first->events[i];

		/* the last of an instant has the greatest weight */
		if (is_in(first, i + 1, &event->value, event->at) ||
			t - event->at < rule->max_gap || is_followed(rule, first, followers, event))
			continue;
		counted.events[counted.n] = *event;
		counted.events[counted.n++].at = event->at + rule->max_gap;
	}
	return counted;
}

/* paired gives what a rule counts at t before anything is cancelled: step (2). */
static Sorted
paired(const LsModel *model, const LsRule *rule, const LsReplayRows *all, TimestampTz t)
{
	const LsReplayRows *rows = &all[rule - model->rules];
	Sorted		first;
	Sorted		followers;
	Sorted		counted;

	if (rule->follows)
	{
		first = paired(model, rule->follows, all, t);
		for (int i = 0; i < first.n; i++)
		{
			first.events[i].weight = 1;
			first.events[i].both = false;
			if (!rule->has_per)
				first.events[i].value = (LsRowValue) {0, 0};
		}
	}
	else
		first = rows_of(rows, LS_ROLE_COUNTS, t);
	if (rule->kind != LS_SEQUENCE)
		return first;
	sort(&first);
	followers = rows_of(rows, LS_ROLE_FOLLOWS, t);
	counted = rule->negated ? unfollowed(rule, &first, &followers, t) :
		follow_rows(rule, &first, &followers);
	sort(&counted);
	return counted;
}

/* without_cancelled removes what a row cancels at t: step (3). */
static void
without_cancelled(const LsReplayRows *rows, TimestampTz t, Sorted *counted)
{
	Sorted		cancelling = rows_of(rows, LS_ROLE_CANCELS, t);
	int			kept = 0;

	for (int i = 0; i < counted->n; i++)
	{
		const LsReplayEvent *event = &counted->events[i];

		if (!is_in(&cancelling, first_from(&cancelling, &event->value, event->at), &event->value, t))
			counted->events[kept++] = *event;
	}
	counted->n = kept;
}

/* latest_of_each keeps the latest of each value: step (4). */
static void
latest_of_each(Sorted *counted)
{
	int			kept = 0;

	for (int i = 0; i < counted->n; i++)
		if (i + 1 == counted->n ||
			ls_replay_keyed_compare(&counted->events[i].value, &counted->events[i + 1].value) != 0)
			counted->events[kept++] = counted->events[i];
	counted->n = kept;
}

/*
 * ls_replay_keyed_events gives what counts for a keyed rule at t, before its time frame,
 * ascending by value; all has the rows of the model's rules.
 */
int
ls_replay_keyed_events(const LsModel *model, const LsRule *rule, const LsReplayRows *all,
					   TimestampTz t, LsReplayEvent **events)
{
	Sorted		counted = paired(model, rule, all, t);

	if (rule->cancels)
		without_cancelled(&all[rule - model->rules], t, &counted);
	if (rule->latest_only)
		latest_of_each(&counted);
	*events = counted.events;
	return counted.n;
}
