/*-------------------------------------------------------------------------
 *
 * transition.c
 *		What happens to a contact in the course of a change, step by step.
 *
 * Whoever has locked a contact's row first goes the way that the contact has
 * gone since the row was written, with the events that were known then: what
 * time has changed meanwhile is recorded at its own instant, in its order, be it
 * the worker that comes or an event.  Then the change is made, and the contact
 * goes on from the change's own instant to the clock.
 *
 * What happened is kept until the row is written, then written down: changes
 * of stage in the history, and for whoever wants to be told.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/transition.h"

#include "utils/builtins.h"

#include "scoring/next_change.h"

/* ls_course_score makes room for what the steps of a course evaluate. */
LsScore *
ls_course_score(LsModel *model)
{
	LsScore    *score = ls_score_make(model, model->watches_rules);

	ls_score_want_curve(model, score);
	return score;
}

/*
 * ls_course_begin notes what is true before a change; model, row, score and
 * econtext have been filled in.  exists: the row was in the table before.
 */
void
ls_course_begin(LsCourse *course, bool exists)
{
	LsModel    *model = course->model;

	course->at = DT_NOBEGIN;
	course->happened = NIL;
	course->reason = NULL;
	course->last_score = exists ? course->row->score : 0;
	course->in_force = NULL;
	if (!model->watches_rules)
		return;
	course->in_force = palloc0(sizeof(bool) * model->nrules);
	if (!exists)
		return;
	ls_evaluate(model, &course->row->state, ls_score_row_instant(course->row), course->score);
	course->at = course->score->at;
	for (int i = 0; i < model->nrules; i++)
		course->in_force[i] = course->score->contributions[i].in_force;
}

/* come_in_force lists the watched rules that are in force now and were not. */
static List *
come_in_force(LsCourse *course)
{
	LsModel    *model = course->model;
	List	   *rules = NIL;

	for (int i = 0; course->in_force && i < model->nrules; i++)
	{
		bool		now = course->score->contributions[i].in_force;

		if (model->rules[i].watched && now && !course->in_force[i])
			rules = lappend(rules, &model->rules[i]);
		course->in_force[i] = now;
	}
	return rules;
}

/* crosses_level tells whether a level that an action waits for was crossed. */
static bool
crosses_level(const LsCourse *course)
{
	for (int i = 0; i < course->model->nlevels; i++)
		if (ls_reached(course->last_score, course->model->levels[i]) !=
			ls_reached(course->score->score, course->model->levels[i]))
			return true;
	return false;
}

/* arrive takes over where the contact stands now, and notes what happened. */
static void
arrive(LsCourse *course, const LsStageState *standing, TimestampTz at,
	   const char *cause)
{
	LsScoreRow *row = course->row;
	List	   *rules = come_in_force(course);
	bool		moved = strcmp(row->stage, standing->stage) != 0;

	if (moved || rules != NIL || crosses_level(course))
	{
		LsTransitionEvent *occasion = palloc(sizeof(LsTransitionEvent));

		occasion->from_stage = row->stage;
		occasion->to_stage = standing->stage;
		occasion->score_before = course->last_score;
		occasion->score = course->score->score;
		occasion->at = at;
		occasion->rules = rules;
		occasion->cause = cause;
		course->happened = lappend(course->happened, occasion);
	}
	if (moved)
		row->state.stage_recorded = true;
	ls_score_row_set_stage_state(row, standing);
	course->last_score = course->score->score;
	course->at = at;
}

/* evaluate_at brings the score to an instant, if it is not there already. */
static void
evaluate_at(LsCourse *course, TimestampTz at)
{
	ls_evaluate(course->model, &course->row->state, at, course->score);
	course->at = at;
}

/* ls_course_step moves the contact to its stage at an instant. */
void
ls_course_step(LsCourse *course, TimestampTz at, const char *cause)
{
	LsStageState	standing = ls_score_row_stage_state(course->row);

	evaluate_at(course, at);
	(void) ls_stage_step(course->model, course->score, course->econtext,
						 &standing, at);
	arrive(course, &standing, at, cause);
}

/*
 * ls_course_catch_up goes the way that time alone takes the contact from one
 * instant to another.  The score is true at the last of its stations then.
 * cause is time, but where it is a time that nobody has seen: what is counted
 * afterwards must not be told as if it happened now.
 */
void
ls_course_catch_up(LsCourse *course, TimestampTz from, TimestampTz to,
				   const char *cause)
{
	LsPath		path = {course->model, &course->row->state, course->score,
	LS_DUE_STAGE, from};
	LsStageState	standing = ls_score_row_stage_state(course->row);

	if (course->at != from)
		evaluate_at(course, from);
	while (ls_path_next(&path, &standing, to))
	{
		(void) ls_stage_step(course->model, course->score, course->econtext,
							 &standing, path.at);
		arrive(course, &standing, path.at, cause);
	}
}

/*
 * ls_course_entry tells whether the latest event that a change brings, which is
 * at an instant, is in order: not before what the contact did last, nor before
 * its stage last changed.  Gives the instant then, DT_NOBEGIN otherwise.
 */
TimestampTz
ls_course_entry(const LsModel *model, const LsScoreRow *row, TimestampTz at,
				TimestampTz last, TimestampTz t)
{
	if (at == DT_NOBEGIN || !model->staged)
		return DT_NOBEGIN;
	if (row->state.stage_recorded && at < row->stage_since)
		return DT_NOBEGIN;
	return at >= last && at < t ? at : DT_NOBEGIN;
}

/*
 * ls_course_now takes a contact whose row is in the table to where it is now,
 * in memory, for those who only read.
 */
void
ls_course_now(LsCourse *course, TimestampTz now)
{
	LsScoreRow *row = course->row;

	ls_course_begin(course, true);
	if (row->state.due <= now)
		ls_course_catch_up(course, ls_score_row_instant(row), now, "time");
	ls_state_advance(course->model, &row->state, now);
	ls_course_step(course, now, "time");
}

/*
 * ls_course_set_stage overrides the stage of the contact, or where stage is
 * NULL leaves it to its score again.  The score has been brought to at.
 */
void
ls_course_set_stage(LsCourse *course, TimestampTz at, const char *stage)
{
	LsStageState	standing = ls_score_row_stage_state(course->row);

	if (stage)
		(void) ls_stage_set(course->model, course->score, course->econtext, stage,
							&standing, at);
	else
		(void) ls_stage_release(course->model, course->score, course->econtext,
								&standing, at);
	arrive(course, &standing, at, "manual");
}
