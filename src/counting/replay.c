/*-------------------------------------------------------------------------
 *
 * replay.c
 *		The score from the events alone: what verify compares with.
 *
 * Written from the meaning of a score (docs/reference/meaning.md) and not from the
 * engine: of the rest it uses only which rules a row matches, and the formulas of
 * decay.  It stores every matching event and evaluates all of them.  Only categories
 * and grades (ls_replay_evaluate, for days) are computed as the engine computes them.
 *
 * Of purged events there are only contributions.  A contact that has some is evaluated
 * from a state, made of these and of the events that still exist: then verify checks
 * which events are counted, and not the formulas.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/replay.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "counting/replay_keyed.h"
#include "scoring/keyed_values.h"
#include "scoring/state.h"
#include "tables/purged_table.h"

/* What a rule matched */
typedef struct Matched
{
	TimestampTz at;
	int64		bucket;			/* of bucketed rules */
	double		weight;
	LsRowValue	value;			/* of keyed rules */
} Matched;

typedef struct Matches
{
	int			n;
	int			room;
	Matched    *events;
} Matches;

struct LsReplay
{
	LsModel    *model;
	MemoryContext context;
	bool		known;			/* the contact has a row somewhere */
	TimestampTz created_at;
	int			nall;			/* all events of the contact */
	int			roomall;
	TimestampTz *all;
	Matches    *matches;		/* by rule */
	LsReplayRows *rows;			/* by rule: of keyed ones */
	bool	   *holds;			/* by rule: profile rules */
	double	   *weights;
	List	   *purged;			/* of LsPurged: of purged events */
	bool		has_contact;
};

static double
bounded(double value)
{
	return ls_decay_clamp(value, -DBL_MAX, DBL_MAX);
}

/* ls_replay_clear resets the replay for the next contact. */
void
ls_replay_clear(LsReplay *replay)
{
	int			n = Max(1, replay->model->nrules);
	MemoryContext old;

	MemoryContextReset(replay->context);
	old = MemoryContextSwitchTo(replay->context);
	replay->known = replay->has_contact = false;
	replay->purged = NIL;
	replay->created_at = DT_NOBEGIN;
	replay->nall = replay->roomall = 0;
	replay->all = NULL;
	replay->matches = palloc0(sizeof(Matches) * n);
	replay->rows = palloc0(sizeof(LsReplayRows) * n);
	replay->holds = palloc0(sizeof(bool) * n);
	replay->weights = palloc0(sizeof(double) * n);
	MemoryContextSwitchTo(old);
}

LsReplay *
ls_replay_make(LsModel *model)
{
	LsReplay   *replay = palloc0(sizeof(LsReplay));

	replay->model = model;
	replay->context = AllocSetContextCreate(CurrentMemoryContext,
											"leadscore replay",
											ALLOCSET_DEFAULT_SIZES);
	ls_replay_clear(replay);
	return replay;
}

/* keep_match keeps what counts for a rule. */
static void
keep_match(const LsModel *model, const LsRule *rule, Matches *matches, const LsReplayEvent *event)
{
	if (matches->n >= matches->room)
	{
		matches->room = Max(8, matches->room * 2);
		matches->events = matches->events ?
			repalloc_huge(matches->events, sizeof(Matched) * matches->room) :
			palloc(sizeof(Matched) * matches->room);
	}
	matches->events[matches->n].at = event->at;
	matches->events[matches->n].bucket = rule->bucketed ? ls_rule_bucket(model, rule, event->at) : 0;
	matches->events[matches->n].value = event->value;
	matches->events[matches->n++].weight = event->weight;
}

static void
keep_event(LsReplay *replay, const LsEvent *event)
{
	if (replay->nall >= replay->roomall)
	{
		replay->roomall = Max(16, replay->roomall * 2);
		replay->all = replay->all ?
			repalloc_huge(replay->all, sizeof(TimestampTz) * replay->roomall) :
			palloc(sizeof(TimestampTz) * replay->roomall);
	}
	replay->all[replay->nall++] = event->at;
	for (int i = 0; i < event->nmatches; i++)
	{
		const LsMatch *match = &event->matches[i];
		int			rule = match->rule - replay->model->rules;

		if (match->roles)
			ls_replay_keyed_keep(&replay->rows[rule], event->at, match);
		else
			keep_match(replay->model, match->rule, &replay->matches[rule],
					   &(LsReplayEvent) {.at = event->at, .weight = match->weight});
	}
}

/* read_purged reads the purged contributions of a contact. */
static void
read_purged(LsReplay *replay, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(replay->context);

	replay->purged = ls_purged_rows(replay->model, contact);
	replay->known = replay->purged != NIL;
	MemoryContextSwitchTo(old);
}

/* take_up stores what a reader gives of a contact. */
static void
take_up(LsReplay *replay, LsReader *reader, Datum contact)
{
	LsModel    *model = replay->model;
	MemoryContext old = MemoryContextSwitchTo(replay->context);
	ExprContext *econtext;
	TupleTableSlot *slot = ls_reader_contact(reader, &econtext);
	LsEvent		event;

	if (slot)
	{
		replay->known = replay->has_contact = true;
		replay->created_at = ls_reader_created(model, slot);
		for (int i = 0; i < model->nrules; i++)
			if (model->rules[i].kind == LS_PROFILE)
				replay->holds[i] = ls_match_profile(model, &model->rules[i], contact,
													econtext, &replay->weights[i]);
	}
	while (ls_reader_event(reader, &event))
	{
		replay->known = true;
		keep_event(replay, &event);
	}
	MemoryContextSwitchTo(old);
}

/* ls_replay_read stores all that is known of a reader's contact. */
void
ls_replay_read(LsReplay *replay, LsReader *reader, Datum contact)
{
	read_purged(replay, contact);
	take_up(replay, reader, contact);
}

/* ls_replay_contact reads one contact.  False if it is unknown. */
bool
ls_replay_contact(LsReplay *replay, Datum contact)
{
	LsReaderSpec spec = {.model = replay->model, .what = LS_READ_EVENTS | LS_READ_CONTACTS,
	.source = -1, .one = true, .contact = contact};
	LsReader   *reader;
	Datum		found;

	ls_replay_clear(replay);
	if (replay->model->suspended)
		return false;
	reader = ls_reader_open(&spec);
	read_purged(replay, contact);
	while (ls_reader_next(reader, &found))
		take_up(replay, reader, found);
	ls_reader_close(reader);
	return replay->known;
}

/* ls_replay_recall replaces the contact's present row by a former one. */
void
ls_replay_recall(LsReplay *replay, bool has_contact, TimestampTz created_at)
{
	replay->known = replay->known || has_contact;
	replay->has_contact = has_contact;
	replay->created_at = created_at;
}

/*
 * ls_replay_hold replaces what a profile rule, given by its index, says of the contact.
 */
void
ls_replay_hold(LsReplay *replay, int rule, bool holds, double weight)
{
	replay->holds[rule] = holds;
	replay->weights[rule] = weight;
}

LsModel *
ls_replay_model(const LsReplay *replay)
{
	return replay->model;
}

bool
ls_replay_known(const LsReplay *replay)
{
	return replay->known;
}

/* ---------- the meaning of a score ---------- */

static int64
age_of(const LsRule *rule, const Matched *event, TimestampTz t, int64 bucket)
{
	if (!rule->bucketed)
		return t - event->at;
	return Max(0, bucket - event->bucket) * rule->period;
}

/*
 * by_period_and_instant orders events by time; by period first, as periods repeat when
 * a clock is set back.
 */
static int
by_period_and_instant(const void *a, const void *b)
{
	const Matched *x = a;
	const Matched *y = b;

	if (x->bucket != y->bucket)
		return x->bucket > y->bucket ? 1 : -1;
	return (x->at > y->at) - (x->at < y->at);
}

static void
add_points(LsContribution *c, LsSum *sum, double points)
{
	ls_decay_sum_add(sum, points);
	c->size = bounded(c->size + fabs(points));
}

/*
 * sum_events adds up points x w x d(age), within each period to its limit.
 */
static void
sum_events(const LsRule *rule, Matches *matches, TimestampTz t, int64 bucket,
		   LsContribution *c)
{
	LsSum		sum = {0, 0};
	LsSum		in_period = {0, 0};

	for (int i = 0; i < matches->n; i++)
	{
		Matched    *event = &matches->events[i];
		int64		age = age_of(rule, event, t, bucket);
		double		factor = ls_decay(&rule->decay, Max(0, age));

		if (event->at <= t && !(rule->time_frame > 0 && age >= rule->time_frame))
		{
			if (isinf(rule->max_per_period))
				add_points(c, &sum, bounded(rule->points * event->weight * factor));
			else
				ls_decay_sum_add(&in_period, rule->points * event->weight);
		}
		if (isinf(rule->max_per_period) ||
			(i + 1 < matches->n && matches->events[i + 1].bucket == event->bucket))
			continue;
		add_points(c, &sum, factor * ls_decay_clamp(ls_decay_sum_value(&in_period),
											  -rule->max_per_period,
											  rule->max_per_period));
		in_period = (LsSum) {0, 0};
	}
	c->raw = ls_decay_sum_value(&sum);
}

/* by_value puts events of one value together. */
static int
by_value(const void *a, const void *b)
{
	return ls_replay_keyed_compare(&((const Matched *) a)->value, &((const Matched *) b)->value);
}

/* sum_values adds up what the events of each value give, each to its limit. */
static void
sum_values(const LsRule *rule, Matches *matches, TimestampTz t, int64 bucket, LsContribution *c)
{
	LsSum		sum = {0, 0};
	int			next;

	qsort(matches->events, matches->n, sizeof(Matched), by_value);
	for (int i = 0; i < matches->n; i = next)
	{
		LsContribution one = {0};
		Matches		same = {.events = &matches->events[i]};

		for (next = i; next < matches->n && by_value(&matches->events[i], &matches->events[next]) == 0; next++)
			same.n++;
		sum_events(rule, &same, t, bucket, &one);
		ls_decay_sum_add(&sum, ls_decay_clamp(one.raw, -rule->max_per, rule->max_per));
		c->size = bounded(c->size + one.size);
	}
	c->raw = ls_decay_sum_value(&sum);
}

static void
replay_event(LsModel *model, const LsRule *rule, Matches *matches, TimestampTz t,
			 LsContribution *c)
{
	int64		bucket = rule->bucketed ? ls_rule_bucket(model, rule, t) : 0;
	Matched    *latest = NULL;

	if (matches->n > 1)
		qsort(matches->events, matches->n, sizeof(Matched), by_period_and_instant);
	for (int i = 0; i < matches->n; i++)
	{
		Matched    *event = &matches->events[i];

		if (event->at > t)
			continue;
		c->last_match = Max(c->last_match, event->at);
		if (rule->time_frame > 0 && age_of(rule, event, t, bucket) >= rule->time_frame)
			continue;
		c->matched++;
		if (latest == NULL || event->at > latest->at)
			latest = event;
	}
	if (latest == NULL || c->matched < rule->at_least)
		return;
	c->in_force = true;
	if (!rule->once)
	{
		if (isinf(rule->max_per))
			sum_events(rule, matches, t, bucket, c);
		else
			sum_values(rule, matches, t, bucket, c);
		return;
	}
	c->raw = rule->points * ls_decay(&rule->decay, age_of(rule, latest, t, bucket));
	c->size = fabs(c->raw);
}

static void
replay_absence(LsReplay *replay, const LsRule *rule, Matches *matches,
			   TimestampTz t, LsContribution *c)
{
	TimestampTz beginning = replay->created_at;
	TimestampTz since;

	if (beginning == DT_NOBEGIN)
	{
		TimestampTz earliest = DT_NOEND;

		for (int i = 0; i < replay->nall; i++)
			earliest = Min(earliest, replay->all[i]);
		if (earliest > t)
			return;
		beginning = earliest;
	}
	for (int i = 0; i < matches->n; i++)
		if (matches->events[i].at <= t)
			c->last_match = Max(c->last_match, matches->events[i].at);
	since = Max(Max(beginning, c->last_match), rule->events_from);
	if (t >= rule->events_before || t <= since)
		return;
	c->matched = (t - since) / rule->idle;
	c->in_force = c->matched > 0;
	c->raw = !c->in_force ? 0 : rule->once ? rule->points :
		bounded(rule->points * (double) c->matched);
	c->size = fabs(c->raw);
}

/* replay_keyed gives what a keyed rule contributes, whose events follow from its rows. */
static void
replay_keyed(LsReplay *replay, const LsRule *rule, TimestampTz t, LsContribution *c)
{
	LsReplayEvent *events;
	int			n = ls_replay_keyed_events(replay->model, rule, replay->rows, t, &events);
	Matches		counted = {0};

	for (int i = 0; i < n; i++)
		keep_match(replay->model, rule, &counted, &events[i]);
	replay_event(replay->model, rule, &counted, t, c);
}

/* replay_rule gives what one rule contributes at t. */
static LsContribution
replay_rule(LsReplay *replay, int i, TimestampTz t)
{
	LsModel    *model = replay->model;
	LsRule	   *rule = &model->rules[i];
	LsContribution c = {0};

	CHECK_FOR_INTERRUPTS();
	c.last_match = DT_NOBEGIN;
	if (rule->skip || rule->backfilling || !rule->enabled)
		return c;
	if (rule->kind == LS_PROFILE)
	{
		c.in_force = replay->holds[i];
		c.matched = c.in_force ? 1 : 0;
		c.raw = c.in_force ? bounded(rule->points * replay->weights[i]) : 0;
		c.size = fabs(c.raw);
	}
	else if (rule->kind == LS_ABSENCE)
		replay_absence(replay, rule, &replay->matches[i], t, &c);
	else if (rule->keyed)
		replay_keyed(replay, rule, t, &c);
	else
		replay_event(model, rule, &replay->matches[i], t, &c);
	if (rule->draft)
	{
		/* listed, but contributes nothing */
		c.in_force = false;
		c.size = 0;
	}
	else
		c.points = ls_decay_clamp(c.raw, -rule->max_points, rule->max_points);
	return c;
}

/* happened tells whether all events of purged contributions had happened at t. */
static bool
happened(const LsPurged *purged, TimestampTz t)
{
	return purged->state.events == 0 || purged->state.last <= t;
}

/* add_matches adds the existing events up to t to a state. */
static void
add_matches(LsReplay *replay, LsState *state, TimestampTz t)
{
	LsModel    *model = replay->model;

	for (int i = 0; i < replay->nall; i++)
	{
		LsEvent		event = {0, replay->all[i], 0, NULL};

		if (event.at <= t)
			ls_state_add(model, state, &event, t);
	}
	for (int i = 0; i < model->nrules; i++)
		for (int m = 0; m < replay->matches[i].n; m++)
		{
			LsMatch		match = {&model->rules[i], replay->matches[i].events[m].weight, NULL};
			LsEvent		event = {0, replay->matches[i].events[m].at, 1, &match};

			if (event.at <= t)
				ls_state_add(model, state, &event, t);
		}
	for (int i = 0; i < model->nrules; i++)
		for (int m = 0; m < replay->rows[i].n; m++)
		{
			LsReplayRow *row = &replay->rows[i].rows[m];
			LsMatch		match = {&model->rules[i], row->weight, row->roles};

			if (row->at <= t)
				ls_keyed_values_wait(ls_state_slot(state, model->rules[i].version, true), row->at, &match);
			state->has_lists = true;
		}
}

/*
 * ls_replay_begins gives the instant of the latest purged event, before which scores
 * are not known exactly.  DT_NOBEGIN: none was purged.
 */
TimestampTz
ls_replay_begins(const LsReplay *replay)
{
	TimestampTz latest = DT_NOBEGIN;
	ListCell   *lc;

	foreach(lc, replay->purged)
		latest = Max(latest, ((const LsPurged *) lfirst(lc))->state.last);
	return latest;
}

/*
 * ls_replay_last gives the instant of the latest known event up to t; DT_NOBEGIN: none.
 */
TimestampTz
ls_replay_last(const LsReplay *replay, TimestampTz t)
{
	TimestampTz last = DT_NOBEGIN;
	ListCell   *lc;

	for (int i = 0; i < replay->nall; i++)
		if (replay->all[i] <= t)
			last = Max(last, replay->all[i]);
	foreach(lc, replay->purged)
		if (happened(lfirst(lc), t))
			last = Max(last, ((const LsPurged *) lfirst(lc))->state.last);
	return last;
}

/* rules_with_purged gives what every rule contributes at t, purged events included. */
static LsContribution *
rules_with_purged(LsReplay *replay, TimestampTz t)
{
	LsModel    *model = replay->model;
	LsScore    *score = ls_score_make(model, true);
	LsState		state;
	ListCell   *lc;

	ls_state_init(&state);
	state.has_contact = replay->has_contact;
	state.created_at = replay->created_at;
	foreach(lc, replay->purged)
		if (happened(lfirst(lc), t))
			ls_state_merge(model, &state, &((LsPurged *) lfirst(lc))->state);
	add_matches(replay, &state, t);
	ls_state_advance(model, &state, t);
	for (int i = 0; i < model->nrules; i++)
		if (model->rules[i].kind == LS_PROFILE && replay->holds[i])
			ls_state_set_profile(&state, model->rules[i].version, true, replay->weights[i]);
	ls_score_evaluate(model, &state, t, score);
	return score->contributions;
}

/*
 * ls_replay_tell reports purged events that a score at t lacks; with always, also those
 * that it includes.
 */
void
ls_replay_tell(const LsReplay *replay, Datum contact, TimestampTz t, bool always)
{
	const LsPurged *latest = NULL;
	const LsPurged *lacking = NULL;
	ListCell   *lc;

	foreach(lc, replay->purged)
	{
		const LsPurged *purged = lfirst(lc);

		if (latest == NULL || purged->until > latest->until)
			latest = purged;
		if (!happened(purged, t) && (lacking == NULL || purged->until > lacking->until))
			lacking = purged;
	}
	if (lacking)
		ereport(NOTICE,
				(errmsg("events of contact \"%s\" from source \"%s\" up to %s have been purged",
						ls_key_text(&replay->model->key, contact), lacking->source,
						timestamptz_to_str(lacking->until)),
				 errdetail("What they had contributed by then is no longer known; the answer is computed from the events that are still there.")));
	else if (latest && always)
		ereport(NOTICE,
				(errmsg("events of contact \"%s\" from source \"%s\" up to %s have been purged",
						ls_key_text(&replay->model->key, contact), latest->source,
						timestamptz_to_str(latest->until)),
				 errdetail("Their contributions are kept, and are included as they are.")));
}

/* ls_replay_rules gives what every rule contributes at t. */
LsContribution *
ls_replay_rules(LsReplay *replay, TimestampTz t)
{
	LsContribution *all;

	if (replay->purged != NIL)
		return rules_with_purged(replay, t);
	all = palloc(sizeof(LsContribution) * Max(1, replay->model->nrules));
	for (int i = 0; i < replay->model->nrules; i++)
		all[i] = replay_rule(replay, i, t);
	return all;
}

/* ls_replay_score gives the score at t, and the total size of the contributions. */
double
ls_replay_score(LsReplay *replay, TimestampTz t, double *size)
{
	LsModel    *model = replay->model;
	LsContribution *all = ls_replay_rules(replay, t);
	LsSum		score = {0, 0};

	*size = 0;
	for (int c = 0; c < model->ncategories; c++)
	{
		LsCategory *category = &model->categories[c];
		LsSum		sum = {0, 0};

		for (int i = 0; i < model->nrules; i++)
		{
			if (model->rules[i].category != c)
				continue;
			ls_decay_sum_add(&sum, all[i].points);
			*size = bounded(*size + all[i].size);
		}
		ls_decay_sum_add(&score, bounded(category->weight *
								   ls_decay_clamp(ls_decay_sum_value(&sum), category->min_points,
														category->max_points)));
	}
	pfree(all);
	return ls_decay_clamp(ls_decay_sum_value(&score), model->min_score, model->max_score);
}

/*
 * ls_replay_evaluate evaluates the contact at t, as ls_score_evaluate does, except for
 * the single contributions.
 */
void
ls_replay_evaluate(LsReplay *replay, TimestampTz t, LsScore *score)
{
	LsModel    *model = replay->model;
	LsContribution *all = ls_replay_rules(replay, t);

	score->at = t;
	memset(score->sums, 0, sizeof(LsSum) * model->ncategories);
	score->size = 0;
	score->disqualified = false;
	for (int i = 0; i < model->nrules; i++)
	{
		LsRule	   *rule = &model->rules[i];

		if (rule->category < 0)
			continue;
		ls_decay_sum_add(&score->sums[rule->category], all[i].points);
		score->size = bounded(score->size + all[i].size);
		if (all[i].in_force && rule->disqualifies)
			score->disqualified = true;
	}
	ls_score_finish(model, score);
	pfree(all);
}
