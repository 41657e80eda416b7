/*-------------------------------------------------------------------------
 *
 * score.c
 *		The functions score(), explain(), replay() and verify().
 *
 * They read with the snapshot of the calling statement: state, rules and events alike,
 * so that inside a transaction the answers show what its own changes would do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "api/arguments.h"
#include "api/score.h"
#include "base/clock.h"
#include "base/compat.h"
#include "counting/contact_snapshot.h"
#include "counting/event_reader.h"
#include "counting/replay.h"
#include "definitions/job_table.h"
#include "rules/model_compile.h"
#include "scoring/contact_score.h"
#include "scoring/state.h"
#include "tables/purged_table.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_score);
PG_FUNCTION_INFO_V1(ls_replay);
PG_FUNCTION_INFO_V1(ls_explain);
PG_FUNCTION_INFO_V1(ls_verify);
PG_FUNCTION_INFO_V1(ls_state_text);

#define EXPLAIN_COLUMNS 8
#define VERIFY_COLUMNS 4

/* A question about one contact */
typedef struct Question
{
	LsModel    *model;
	Datum		contact;
	TimestampTz at;
	LsScoreRow	row;
	LsReplay   *replay;			/* NULL: the state of the row has the answer */
} Question;

/*
 * ask reads the arguments of score() and explain(), and the contact's state, or its
 * events for an instant before the last of them.  False where there is no answer.
 */
static bool
ask(FunctionCallInfo fcinfo, Question *question)
{
	LsModel    *model;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return false;
	model = ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	question->model = model;
	question->contact = ls_argument_contact(fcinfo, model);
	question->at = ls_argument_instant(fcinfo, 2);
	if (!ls_contact_snapshot_find(model, question->contact, &question->row))
		return false;
	question->replay = ls_contact_snapshot_recall(model, &question->row, question->at);
	return true;
}

/* ls_score is leadscore.score(). */
Datum
ls_score(PG_FUNCTION_ARGS)
{
	Question	q;
	LsScore    *score;
	double		size;

	if (!ask(fcinfo, &q))
		PG_RETURN_NULL();
	if (q.replay)
		PG_RETURN_FLOAT8(ls_replay_score(q.replay, q.at, &size));
	score = ls_score_make(q.model, false);
	ls_score_evaluate(q.model, &q.row.state, q.at, score);
	PG_RETURN_FLOAT8(score->score);
}

/* ls_replay is leadscore.replay(). */
Datum
ls_replay(PG_FUNCTION_ARGS)
{
	LsModel    *model;
	TimestampTz at;
	LsReplay   *replay;
	Datum		contact;
	double		score,
				size;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	at = ls_argument_instant(fcinfo, 2);
	replay = ls_replay_make(model);
	contact = ls_argument_contact(fcinfo, model);
	if (!ls_replay_contact(replay, contact))
	{
		/* a suspended model has no events */
		if (model->suspended)
			ls_rule_error_report(model);
		PG_RETURN_NULL();
	}
	ls_replay_tell(replay, contact, at, true);
	score = ls_replay_score(replay, at, &size);
	ls_rule_error_report(model);
	PG_RETURN_FLOAT8(score);
}

static void
explain_rule(ReturnSetInfo *result, LsModel *model, LsRule *rule,
			 const LsContribution *c)
{
	Datum		values[EXPLAIN_COLUMNS];
	bool		nulls[EXPLAIN_COLUMNS] = {0};

	values[0] = Int64GetDatum(rule->rule_id);
	values[1] = CStringGetTextDatum(rule->name);
	nulls[2] = rule->category < 0;
	values[2] = nulls[2] ? 0 :
		CStringGetTextDatum(model->categories[rule->category].name);
	values[3] = CStringGetTextDatum(ls_model_kind_names[rule->kind]);
	values[4] = Int64GetDatum(c->matched);
	nulls[5] = c->last_match == DT_NOBEGIN;
	values[5] = TimestampTzGetDatum(c->last_match);
	values[6] = Float8GetDatum(c->raw);
	values[7] = Float8GetDatum(c->points);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static int
by_category_and_id(const void *a, const void *b)
{
	const LsRule *x = *(LsRule *const *) a;
	const LsRule *y = *(LsRule *const *) b;

	if (x->category != y->category)
		return x->category - y->category;
	return (x->rule_id > y->rule_id) - (x->rule_id < y->rule_id);
}

/* ls_score_explain_rules gives a row for each rule, by category. */
void
ls_score_explain_rules(ReturnSetInfo *result, LsModel *model, const LsContribution *all)
{
	LsRule	  **rules = palloc(sizeof(LsRule *) * Max(1, model->nrules));

	for (int i = 0; i < model->nrules; i++)
		rules[i] = &model->rules[i];
	qsort(rules, model->nrules, sizeof(LsRule *), by_category_and_id);
	for (int i = 0; i < model->nrules; i++)
		explain_rule(result, model, rules[i], &all[rules[i] - model->rules]);
}

/* ls_explain is leadscore.explain(): one row for each rule. */
Datum
ls_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Question	q;
	LsModel    *model;
	LsScore    *score;
	LsContribution *all;

	InitMaterializedSRF(fcinfo, 0);
	if (!ask(fcinfo, &q))
		PG_RETURN_NULL();
	model = q.model;
	if (q.replay)
		all = ls_replay_rules(q.replay, q.at);
	else
	{
		score = ls_score_make(model, true);
		ls_score_evaluate(model, &q.row.state, q.at, score);
		all = score->contributions;
	}
	ls_score_explain_rules(result, model, all);
	PG_RETURN_NULL();
}

/* agrees compares a score with the replayed one. */
static bool
agrees(double score, double replayed, double size)
{
	return fabs(score - replayed) <= 1e-9 * Max(1.0, size);
}

/*
 * is_pending tells whether a row only has to be written again: the rules have changed
 * since, and the events that they need are in the state.
 */
static bool
is_pending(LsModel *model, LsReplay *replay, const LsScoreRow *row)
{
	LsScore    *score;
	double		replayed,
				size;

	if (row->rules_version == model->version)
		return false;
	score = ls_score_make(model, false);
	ls_score_evaluate(model, &row->state, ls_score_row_instant(row), score);
	replayed = ls_replay_score(replay, score->at, &size);
	return agrees(score->score, replayed, size);
}

/*
 * verify_state compares the present value of the state with that of the events, as a
 * missed event may be later than the row.  Where the clock is behind events in the
 * state, both are evaluated at the last of them.
 */
static bool
verify_state(LsModel *model, LsReplay *replay, LsScoreRow *row,
			 double *stored, double *replayed)
{
	TimestampTz now = Max(ls_clock_of_statement(),
						  Max(ls_score_row_instant(row), ls_replay_begins(replay)));
	LsScore    *score = ls_score_make(model, false);
	double		size;

	ls_state_advance(model, &row->state, now);
	ls_score_evaluate(model, &row->state, now, score);
	*stored = score->score;
	*replayed = ls_replay_score(replay, now, &size);
	return agrees(*stored, *replayed, size);
}

/*
 * is_pending_only tells whether pending changes alone make a contact's row, or its
 * absence, differ from the events.
 */
static bool
is_pending_only(LsModel *model, LsReplay *replay, Datum contact, LsScoreRow *row)
{
	LsScoreRow	made;
	double		completed,
				replayed;

	if (!ls_contact_snapshot_any_pending(model))
		return false;
	if (row == NULL)
	{
		row = &made;
		if (!ls_contact_snapshot_find(model, contact, row))
			return false;
	}
	else if (!ls_contact_snapshot_merge_state(model, row))
		return false;
	if (!ls_score_row_is_known(row))
		return !ls_replay_known(replay);
	return ls_replay_known(replay) &&
		verify_state(model, replay, row, &completed, &replayed);
}

/* A range of contacts that a job has not reached yet */
typedef struct Left
{
	bool		from_first;
	bool		to_last;
	Datum		after;			/* else: contacts after this one ... */
	Datum		upto;			/* ... up to this one */
} Left;

/* find_left lists these ranges. */
static List *
find_left(LsModel *model)
{
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, ls_job_left(model->name))
	{
		LsJobLeft  *range = lfirst(lc);
		Left	   *left = palloc0(sizeof(Left));

		left->from_first = range->after == NULL;
		left->to_last = range->upto == NULL;
		if (range->after)
			left->after = ls_key_read(&model->key, range->after);
		if (range->upto)
			left->upto = ls_key_read(&model->key, range->upto);
		all = lappend(all, left);
	}
	return all;
}

static bool
is_left(LsModel *model, List *all, Datum contact)
{
	ListCell   *lc;

	foreach(lc, all)
	{
		Left	   *left = lfirst(lc);

		if ((left->from_first || ls_key_compare(&model->key, contact, left->after) > 0) &&
			(left->to_last || ls_key_compare(&model->key, contact, left->upto) <= 0))
			return true;
	}
	return false;
}

/*
 * cannot_be_read tells whether rows of some source cannot be read, so that a contact
 * without other events keeps a row to which no event contributes.
 */
static bool
cannot_be_read(const LsModel *model)
{
	for (int i = 0; i < model->nsources; i++)
		if (model->sources[i].broken)
			return true;
	return false;
}

/*
 * verify_contact compares a stored row, and the state in it, with the events, and
 * reports differences.
 */
static void
verify_contact(ReturnSetInfo *result, LsReplay *replay, Datum contact,
			   LsScoreRow *row, List *left)
{
	LsModel    *model = ls_replay_model(replay);
	Datum		values[VERIFY_COLUMNS];
	bool		nulls[VERIFY_COLUMNS] = {0};
	bool		known = ls_replay_known(replay) || (row && cannot_be_read(model));
	bool		pending = false;
	double		stored = row ? row->score : 0,
				replayed = 0,
				size = 0;

	if (known)
		replayed = ls_replay_score(replay, row ? row->scored_at : ls_clock_of_statement(),
								   &size);
	if (row == NULL && !known)
		return;
	if (row && known)
	{
		if (ls_replay_begins(replay) > row->scored_at)
		{
			/* purged while the clock was ahead: the past state is unknown */
			if (verify_state(model, replay, row, &stored, &replayed))
				return;
		}
		else if (!agrees(stored, replayed, size))
			pending = is_pending(model, replay, row);
		else if (verify_state(model, replay, row, &stored, &replayed))
			return;
	}
	if (!pending)
		pending = is_left(model, left, contact) || is_pending_only(model, replay, contact, row);
	values[0] = CStringGetTextDatum(ls_key_text(&model->key, contact));
	nulls[1] = row == NULL;
	values[1] = Float8GetDatum(stored);
	nulls[2] = !known;
	values[2] = Float8GetDatum(replayed);
	values[3] = CStringGetTextDatum(pending ? "pending" : "wrong");
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ls_verify is leadscore.verify(): no rows mean that all is right. */
Datum
ls_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LsModel    *model = ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	LsReaderSpec spec = {.model = model, .what = LS_READ_EVENTS | LS_READ_CONTACTS | LS_READ_SCORES,
	.source = -1};
	MemoryContext context;
	LsReplay   *replay;
	LsReader   *reader;
	Datum		contact;
	List	   *left;

	InitMaterializedSRF(fcinfo, 0);
	ls_rule_failure_refuse_suspended(model);
	left = find_left(model);
	replay = ls_replay_make(model);
	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore verify",
									ALLOCSET_DEFAULT_SIZES);
	reader = ls_reader_open(&spec);
	while (ls_reader_next(reader, &contact))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		TupleDesc	desc;
		HeapTuple	tuple = ls_reader_score(reader, &desc);
		LsScoreRow	row;

		CHECK_FOR_INTERRUPTS();
		if (tuple)
			ls_score_table_read_tuple(model, tuple, desc, &row);
		ls_replay_clear(replay);
		ls_replay_read(replay, reader, contact);
		verify_contact(result, replay, contact, tuple ? &row : NULL, left);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	ls_reader_close(reader);
	ls_rule_error_report(model);
	ls_purged_report(model, "Their contributions are kept, and were compared as they are.");
	PG_RETURN_NULL();
}

static void
show_sum(StringInfo out, const LsSum *sum)
{
	appendStringInfo(out, "%.17g", sum->hi);
	if (sum->lo != 0)
		appendStringInfo(out, "%+.9g", sum->lo);
}

static void
show_slot(StringInfo out, const LsSlot *slot)
{
	appendStringInfo(out, "\nslot " INT64_FORMAT ": %lld events",
					 slot->version, (long long) slot->count);
	if (slot->last != DT_NOBEGIN)
		appendStringInfo(out, ", last %s", timestamptz_to_str(slot->last));
	appendStringInfoString(out, ", sum ");
	show_sum(out, &slot->sum);
	for (int i = 0; i < slot->more->nbuckets; i++)
	{
		appendStringInfo(out, "\n  period " INT64_FORMAT ": %lld events, sum ",
						 slot->more->buckets[i].bucket, (long long) slot->more->buckets[i].count);
		show_sum(out, &slot->more->buckets[i].sum);
	}
	for (int i = 0; i < slot->more->ncompacted; i++)
	{
		appendStringInfo(out, "\n  up to period " INT64_FORMAT ", phase " INT64_FORMAT
						 ": %lld events, sum ", slot->more->compacted_to,
						 slot->more->compacted[i].bucket, (long long) slot->more->compacted[i].count);
		show_sum(out, &slot->more->compacted[i].sum);
	}
	for (int i = 0; i < slot->more->nfuture; i++)
		appendStringInfo(out, "\n  later, at %s: weight %.17g",
						 timestamptz_to_str(slot->more->future[i].at),
						 slot->more->future[i].weight);
}

/* ls_state_text is leadscore.state_text(): a state in readable form. */
Datum
ls_state_text(PG_FUNCTION_ARGS)
{
	LsState		state;
	StringInfoData out;

	ls_state_decode(PG_GETARG_BYTEA_PP(0), &state);
	initStringInfo(&out);
	appendStringInfo(&out, "format %d, %s",
					 *(unsigned char *) VARDATA_ANY(PG_GETARG_BYTEA_PP(0)),
					 state.has_contact ? "contact" : "no contact");
	if (state.created_at != DT_NOBEGIN)
		appendStringInfo(&out, " created at %s", timestamptz_to_str(state.created_at));
	appendStringInfo(&out, ", %lld events", (long long) state.events);
	if (state.events > 0)
	{
		appendStringInfo(&out, ", first %s", timestamptz_to_str(state.first));
		appendStringInfo(&out, ", last %s", timestamptz_to_str(state.last));
	}
	if (state.nfuture > 0)
		appendStringInfo(&out, ", %d dated later", state.nfuture);
	if (state.prior_stage)
		appendStringInfo(&out, ", stage before disqualification %s", state.prior_stage);
	if (state.override != LS_OVERRIDE_NONE)
		appendStringInfo(&out, ", stage overridden%s",
						 state.override == LS_OVERRIDE_BELOW ? " and not to be exceeded" :
						 " until reached");
	if (state.due != DT_NOEND)
		appendStringInfo(&out, ", due at %s%s", timestamptz_to_str(state.due),
						 state.due_drift ? " for drift" : "");
	for (int i = 0; i < state.nslots; i++)
		show_slot(&out, &state.slots[i]);
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}
