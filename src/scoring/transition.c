/*-------------------------------------------------------------------------
 *
 * transition.c
 *		What happens to a contact in a change: from a row to the next, and events.
 *
 * A contact first catches up with the time since its row was written, with the events
 * that were known then: what time has changed meanwhile is dated at its own instant,
 * in order, whether the worker or an event causes the transition.  Then the change is
 * made, and the contact goes on from the change's own instant to the clock.
 *
 * All of it is computed in memory, from a row, a change, what was read for it and the
 * clock: in the same way for the writer, which writes the row and the events that are
 * returned, and for callers that only show a contact, forecast, or try rules out.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/transition.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "scoring/rule_points.h"

/*
 * After how many jumps a search for the next due instant stops, early: in a
 * statement that has a writer waiting, and in the worker.
 */
#define FEW_JUMPS	8
#define MANY_JUMPS	64

/* A state has room for due instants as far away as this: 36,000 years */
#define FAR_AWAY	(INT64CONST(1) << 60)

/* ls_transition_score makes room for what the steps of a transition evaluate. */
LsScore *
ls_transition_score(LsModel *model)
{
	LsScore    *score = ls_score_make(model, model->watches_rules);

	ls_score_want_curve(model, score);
	return score;
}

static bool
same_bytes(const bytea *a, const bytea *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* ---------- steps ---------- */

/* evaluate_at evaluates the score at an instant. */
static void
evaluate_at(LsTransition *tr, TimestampTz at)
{
	ls_score_evaluate(tr->model, &tr->row->state, at, tr->score);
	tr->at = at;
}

/* begin remembers the score and the rules in force before the first step. */
static void
begin(LsTransition *tr)
{
	LsModel    *model = tr->model;

	tr->at = DT_NOBEGIN;
	tr->last_score = tr->exists ? tr->row->score : 0;
	if (!model->watches_rules)
		return;
	tr->in_force = palloc0(sizeof(bool) * model->nrules);
	if (!tr->exists)
		return;
	ls_score_evaluate(model, &tr->row->state, ls_score_row_instant(tr->row), tr->score);
	tr->at = tr->score->at;
	for (int i = 0; i < model->nrules; i++)
		tr->in_force[i] = tr->score->contributions[i].in_force;
}

/* come_in_force lists the watched rules that are in force now and were not. */
static List *
come_in_force(LsTransition *tr)
{
	LsModel    *model = tr->model;
	List	   *rules = NIL;

	for (int i = 0; tr->in_force && i < model->nrules; i++)
	{
		bool		now = tr->score->contributions[i].in_force;

		if (model->rules[i].watched && now && !tr->in_force[i])
			rules = lappend(rules, &model->rules[i]);
		tr->in_force[i] = now;
	}
	return rules;
}

/* crosses_level tells whether a level that an action waits for was crossed. */
static bool
crosses_level(const LsTransition *tr)
{
	for (int i = 0; i < tr->model->nlevels; i++)
		if (ls_decay_reached(tr->last_score, tr->model->levels[i]) !=
			ls_decay_reached(tr->score->score, tr->model->levels[i]))
			return true;
	return false;
}

/* arrive puts the stage state of an instant into the row, and adds an event. */
static void
arrive(LsTransition *tr, const LsStageState *stage, TimestampTz at,
	   const char *cause, const char *reason)
{
	LsScoreRow *row = tr->row;
	List	   *rules = come_in_force(tr);
	bool		moved = strcmp(row->stage, stage->stage) != 0;
	char	   *grade = tr->watch & LS_DUE_GRADE ? ls_score_grade(tr->model, tr->score) : NULL;

	if (moved || rules != NIL || crosses_level(tr) || !ls_same_text(grade, tr->last_grade))
	{
		LsTransitionEvent *event = palloc(sizeof(LsTransitionEvent));

		event->from_stage = row->stage;
		event->to_stage = stage->stage;
		event->from_grade = tr->last_grade;
		event->to_grade = grade;
		event->score_before = tr->last_score;
		event->score = tr->score->score;
		event->at = at;
		event->rules = rules;
		event->cause = cause;
		event->reason = reason;
		tr->events = lappend(tr->events, event);
	}
	if (moved)
		row->state.stage_recorded = true;
	ls_score_row_set_stage_state(row, stage);
	tr->last_score = tr->score->score;
	tr->last_grade = grade;
	tr->at = at;
}

/* stand moves the contact to its stage at the instant of the score. */
static void
stand(LsTransition *tr, TimestampTz at, const char *cause)
{
	LsStageState stage = ls_score_row_stage_state(tr->row);

	(void) ls_stage_step(tr->model, tr->score, tr->econtext, &stage, at);
	arrive(tr, &stage, at, cause, NULL);
}

/* step evaluates the score at an instant, and moves the contact to its stage there. */
static void
step(LsTransition *tr, TimestampTz at, const char *cause)
{
	evaluate_at(tr, at);
	stand(tr, at, cause);
}

/*
 * catch_up goes from one instant to another, by time alone.  The score is evaluated
 * at the last instant at which something changed.  cause is time, unless events were
 * backfilled: what follows from those must not be reported as happening now.
 */
static void
catch_up(LsTransition *tr, TimestampTz from, TimestampTz to, const char *cause)
{
	LsPath		path = {tr->model, &tr->row->state, tr->score, LS_DUE_STAGE | tr->watch, from};
	LsStageState stage = ls_score_row_stage_state(tr->row);

	if (tr->at != from)
		evaluate_at(tr, from);
	while (ls_next_change_advance(&path, &stage, to))
	{
		(void) ls_stage_step(tr->model, tr->score, tr->econtext, &stage, path.at);
		arrive(tr, &stage, path.at, cause, NULL);
	}
}

/*
 * has_drifted evaluates the score at now, and tells whether only numbers can have
 * changed since the row was written, without a look at what was between.
 */
static bool
has_drifted(LsTransition *tr)
{
	LsScoreRow *row = tr->row;
	LsStageState stage = ls_score_row_stage_state(row);

	/* the score that the row shows is that of its own instant */
	if (!tr->exists || row->rules_version != tr->model->version || tr->watch != 0 ||
		row->scored_at < row->state.last ||
		ls_rule_points_may_jump(tr->model, &row->state, row->scored_at, tr->now))
		return false;
	evaluate_at(tr, tr->now);
	return ls_next_change_was_none(tr->model, row->score, row->disqualified, &stage, tr->score);
}

/*
 * catch_up_row goes from the instant of the row to now, if something is due by then.
 * True where the score is evaluated at now after that.
 */
static bool
catch_up_row(LsTransition *tr)
{
	begin(tr);
	if (tr->row->state.due > tr->now)
		return false;
	if (has_drifted(tr))
		return true;
	catch_up(tr, ls_score_row_instant(tr->row), tr->now, "time");
	return false;
}

/* ---------- the state ---------- */

#ifdef USE_ASSERT_CHECKING
/* adds_as_delta tells whether an event was added as its delta would have been. */
static bool
adds_as_delta(LsModel *model, const bytea *before, const LsState *after, const LsEvent *event)
{
	LsState		state;
	LsState		delta;

	ls_state_decode(before, &state);
	ls_state_init(&delta);
	ls_state_add(model, &delta, event, event->at);
	ls_state_merge(model, &state, &delta);
	return same_bytes(ls_state_encode(&state), ls_state_encode(after));
}
#endif

/* add_event adds the only event of a change to the state. */
static void
add_event(LsModel *model, LsState *state, const LsEvent *event, TimestampTz now)
{
#ifdef USE_ASSERT_CHECKING
	bytea	   *before = ls_state_encode(state);
#endif

	Assert(event->at <= now);
	ls_state_add(model, state, event, now);
	Assert(adds_as_delta(model, before, state, event));
}

/*
 * ls_transition_merge merges the state of a row at an instant with what was read, where
 * that is possible (ls_state_can_merge, ls_state_can_add).  A state that was written with
 * the same rules has no slots of others, nor do events bring any.  What was read stays
 * as it is, as the change may have to start again with it.
 */
void
ls_transition_merge(LsModel *model, LsScoreRow *row, const LsCounted *counted, TimestampTz now)
{
	LsState    *state = &row->state;
	LsState		before = *state;

	/* another attempt may need what was read once more */
	if (counted->whole)
		ls_state_copy(state, counted->whole);
	else
	{
		ls_state_advance(model, state, now);
		if (counted->pending)
			ls_state_merge(model, state, counted->pending);
		if (counted->delta)
			ls_state_merge(model, state, counted->delta);
		if (counted->event)
			add_event(model, state, counted->event, now);
		if (counted->slots)
			ls_state_replace(state, counted->slots, counted->versions, counted->nversions);
	}
	if (counted->profile)
		ls_state_take_profile(model, state, counted->profile);
	ls_state_inherit(state, &before);
	/* the only event is not of the future */
	if (counted->whole || counted->pending || counted->delta || counted->slots)
		ls_state_advance(model, state, now);
	ls_state_compact(model, state);
	if (counted->whole || counted->slots || counted->profile ||
		row->rules_version != model->version)
		ls_state_drop_unknown(model, state);
}

/* ---------- due instants ---------- */

/*
 * next_due gives when time will change the row next, from the score's instant;
 * DT_NOEND where that is later than until, or never.  In a series of events it is ahead
 * of a drift.
 */
static TimestampTz
next_due(LsTransition *tr, TimestampTz until, int max_jumps, bool *drift)
{
	LsStageState stage = ls_score_row_stage_state(tr->row);
	LsDue		due = {0};
	TimestampTz at;
	TimestampTz ahead;

	due.model = tr->model;
	due.state = &tr->row->state;
	due.score = tr->score;
	due.stage = &stage;
	due.what = LS_DUE_STAGE | LS_DUE_GRADE | LS_DUE_DRIFT;
	due.stored_score = tr->row->score;
	due.stored_categories = tr->row->categories;
	due.until = until;
	due.max_jumps = max_jumps;
	at = ls_next_change_find(&due, drift);
	if (at == DT_NOEND || !due.gradual || tr->previous == DT_NOBEGIN)
		return at;
	/* another event can be expected by then if the one before was as near */
	ahead = ls_next_change_ahead(&due, tr->now, at);
	return ahead - tr->now >= tr->now - tr->previous ? ahead : at;
}

/*
 * set_due sets when the row is due next.  An earlier due instant is left unchanged:
 * the worker will move it then.
 */
static void
set_due(LsTransition *tr, int max_jumps)
{
	LsState    *state = &tr->row->state;
	bool		keeps = state->due > tr->now && state->due != DT_NOEND;
	TimestampTz next;
	bool		drift;

	next = next_due(tr, keeps ? state->due - 1 : DT_NOEND, max_jumps, &drift);
	if (keeps && next == DT_NOEND)
		return;
	if (next != DT_NOEND && next - tr->now > FAR_AWAY)
	{
		next = tr->now + FAR_AWAY;
		drift = true;
	}
	state->due = next;
	state->due_drift = next != DT_NOEND && drift;
}

/*
 * ls_transition_changes_nothing tells whether a row can be left as it is: a new one
 * would show its readers nothing else.
 */
bool
ls_transition_changes_nothing(LsTransition *tr)
{
	LsScoreRow *row = tr->row;
	LsStageState stage = ls_score_row_stage_state(row);
	LsScore    *at_stored = ls_score_make(tr->model, false);
	bool		drift;

	ls_score_evaluate(tr->model, &row->state, ls_score_row_instant(row), at_stored);
	if (row->state.due <= tr->now || ls_score_row_is_of_other_rules(tr->model, row, at_stored))
		return false;
	ls_score_evaluate(tr->model, &row->state, tr->now, tr->score);
	return !ls_score_row_is_outdated(tr->model, row, tr->score) &&
		!ls_stage_step(tr->model, tr->score, tr->econtext, &stage, tr->now) &&
		next_due(tr, row->state.due - 1, FEW_JUMPS, &drift) == DT_NOEND;
}

/* ---------- a change ---------- */

/* only_if_changed tells whether a change leaves a row unchanged that is up to date. */
static bool
only_if_changed(const LsChange *change)
{
	return change->kind == LS_CHANGE_PENDING || change->kind == LS_CHANGE_REPLACE ||
		change->kind == LS_CHANGE_RULES ||
		(change->kind == LS_CHANGE_REFRESH && !change->data.refresh.known) ||
		(change->kind == LS_CHANGE_EVENTS && change->data.events.only_if_changed);
}

/* adds_events tells whether a change is one of a series. */
static bool
adds_events(const LsChange *change)
{
	return change->kind == LS_CHANGE_PENDING ||
		(change->kind == LS_CHANGE_EVENTS && !change->data.events.gone_event && !change->data.events.gone);
}

/* set_stage sets or removes a stage override. */
static void
set_stage(LsTransition *tr, const char *chosen, const char *reason)
{
	LsStageState stage = ls_score_row_stage_state(tr->row);

	if (tr->score->disqualified)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" of model \"%s\" is disqualified",
						ls_key_text(&tr->model->key, tr->row->contact), tr->model->name),
				 errdetail("A rule that disqualifies is in force."),
				 errhint("Call leadscore.explain() to see which rules are.")));
	ls_stage_set(tr->model, tr->score, tr->econtext, chosen, &stage, tr->now);
	arrive(tr, &stage, tr->now, "manual", reason);
}

/*
 * is_in_order tells whether the latest event of a change is in order: not before the
 * contact's latest event, nor before its last change of stage.
 */
static bool
is_in_order(const LsTransition *tr, TimestampTz at, TimestampTz last)
{
	if (at == DT_NOBEGIN || !tr->model->staged)
		return false;
	if (tr->row->state.stage_recorded && at < tr->row->stage_since)
		return false;
	return at >= last && at < tr->now;
}

/* go_on takes the contact from the latest event, which comes after last, to now. */
static void
go_on(LsTransition *tr, const LsChange *change, TimestampTz latest, TimestampTz last)
{
	bool		sets_stage = change->kind == LS_CHANGE_SET_STAGE;

	if (is_in_order(tr, latest, last))
	{
		step(tr, latest, sets_stage ? "event" : tr->cause);
		catch_up(tr, latest, tr->now,
				 strcmp(tr->cause, "backfill") == 0 ? tr->cause : "time");
	}
	step(tr, tr->now, sets_stage || change->kind == LS_CHANGE_DUE ? "time" : tr->cause);
	if (sets_stage)
		set_stage(tr, change->data.set_stage.stage, change->data.set_stage.reason);
}

/*
 * ls_transition_run runs the transition of a contact.  counted is what was read for
 * the change; nothing is written or read here.
 */
LsTransitionResult
ls_transition_run(LsTransition *tr, const LsChange *change, const LsCounted *counted)
{
	LsScoreRow *row = tr->row;
	LsState    *state = &row->state;
	bool		state_only = ls_change_is_state_only(change);
	bool		begins_in_stage = !tr->exists && change->kind == LS_CHANGE_RECOMPUTE &&
		change->data.recompute.stage;
	bytea	   *before = NULL;
	TimestampTz last;
	bool		evaluated = false;

	tr->previous = adds_events(change) && tr->exists && state->events > 0 ?
		ls_score_row_instant(row) : DT_NOBEGIN;
	if (begins_in_stage)
	{
		ls_score_row_set_stage_state(row, change->data.recompute.stage);
		state->stage_recorded = true;
	}
	if (!state_only)
		evaluated = catch_up_row(tr);
	if (change->kind == LS_CHANGE_REMOVE)
		return LS_TRANSITION_REMOVE;
	last = state->last;
	if (tr->exists && only_if_changed(change))
		before = ls_state_encode(state);
	ls_transition_merge(tr->model, row, counted, tr->now);
	if (!ls_score_row_is_known(row))
		return LS_TRANSITION_REMOVE;
	if (!tr->exists && !begins_in_stage && counted->latest != DT_NOBEGIN)
		row->stage_since = Min(tr->now, counted->latest);
	if (before && same_bytes(before, ls_state_encode(state)) &&
		(state_only || (tr->events == NIL && ls_transition_changes_nothing(tr))))
		return LS_TRANSITION_NONE;
	if (state_only && tr->exists)
		return LS_TRANSITION_WRITE;
	if (state_only)
		evaluate_at(tr, tr->now);
	else if (evaluated && change->kind == LS_CHANGE_DUE)
		stand(tr, tr->now, "time");
	else
		go_on(tr, change, counted->latest, last);
	ls_score_row_take_score(tr->model, row, tr->score);
	/* a row whose state alone has changed is brought up to date before the commit */
	row->rules_version = state_only ? 0 : tr->model->version;
	set_due(tr, change->kind == LS_CHANGE_DUE ? MANY_JUMPS : FEW_JUMPS);
	return LS_TRANSITION_WRITE;
}

/* ---------- time alone ---------- */

/*
 * ls_transition_read brings a contact whose row is in the table up to now, in memory,
 * for callers that only read.
 */
void
ls_transition_read(LsTransition *tr)
{
	(void) catch_up_row(tr);
	ls_state_advance(tr->model, &tr->row->state, tr->now);
	step(tr, tr->now, "time");
	ls_score_row_take_score(tr->model, tr->row, tr->score);
}

/*
 * ls_transition_forecast goes on from the contact's current row by time alone.  Only
 * events from then on are returned.
 */
void
ls_transition_forecast(LsTransition *tr, TimestampTz until)
{
	tr->events = NIL;
	tr->last_grade = tr->watch & LS_DUE_GRADE ? ls_score_grade(tr->model, tr->score) : NULL;
	catch_up(tr, tr->now, until, "time");
}
