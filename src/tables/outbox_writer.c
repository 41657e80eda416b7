/*-------------------------------------------------------------------------
 *
 * outbox_writer.c
 *		Rows of outbox_<model>: the actions that events of transitions trigger.
 *
 * Rows are inserted by the statement that changes the score, so an action that is
 * defined badly must not be an error here, and the payload does not depend on the
 * session's settings.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/outbox_writer.h"

#include <math.h>

#include "commands/sequence.h"
#include "common/shortest_dec.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "base/clock.h"
#include "base/relation.h"
#include "definitions/extension.h"
#include "definitions/restore_state.h"

/* numbers of rows, which are unique across all models */
#define SEQUENCE "outbox_id_seq"

/* columns of outbox_<model>, as table_layout.c has them */
enum
{
	OUTBOX_ID,
	OUTBOX_ACTION,
	OUTBOX_CONTACT,
	OUTBOX_OCCASION,
	OUTBOX_STAGE,
	OUTBOX_FROM_STAGE,
	OUTBOX_TO_STAGE,
	OUTBOX_SCORE_LEVEL,
	OUTBOX_RULE,
	OUTBOX_SCORE,
	OUTBOX_CAUSE,
	OUTBOX_HAPPENED_AT,
	OUTBOX_RECORDED_AT,
	OUTBOX_DELIVER,
	OUTBOX_CHANNEL,
	OUTBOX_FUNCTION,
	OUTBOX_TIMEOUT,
	OUTBOX_MAX_ATTEMPTS,
	OUTBOX_PAYLOAD,
	OUTBOX_STATUS,
	OUTBOX_AVAILABLE_AT,
	OUTBOX_TAKEN_BY,
	OUTBOX_ATTEMPTS,
	OUTBOX_LAST_ERROR,
	OUTBOX_FINISHED_AT
};

/* A row to be inserted */
typedef struct Told
{
	const LsModel *model;
	const LsActionRow *action;
	const LsTransitionEvent *event;
	int64		id;
	const char *contact;
	const char *stage;			/* that triggered the action */
	const char *from_stage;		/* NULL: the stage did not change */
	const char *to_stage;
	TimestampTz recorded_at;
} Told;

/* ---------- which action an event triggers ---------- */

/* moved tells whether an event changed the stage. */
static bool
moved(const LsTransitionEvent *event)
{
	return event->from_stage == NULL ||
		strcmp(event->from_stage, event->to_stage) != 0;
}

/* crossed tells whether one score has reached a level and another has not. */
static bool
crossed(double level, double score, double other)
{
	return ls_decay_reached(score, level) && !ls_decay_reached(other, level);
}

static bool
names_rule(const List *rules, const char *name)
{
	ListCell   *lc;

	foreach(lc, rules)
		if (name && strcmp(((const LsRule *) lfirst(lc))->name, name) == 0)
			return true;
	return false;
}

static bool
names_cause(const List *causes, const char *cause)
{
	ListCell   *lc;

	foreach(lc, causes)
		if (lfirst(lc) && strcmp(lfirst(lc), cause) == 0)
			return true;
	return false;
}

/* is_stage tells whether a stage is that of an action, which may be any stage. */
static bool
is_stage(const LsActionRow *action, const char *stage)
{
	return stage && (action->stage == NULL || strcmp(action->stage, stage) == 0);
}

/* waits tells whether an event triggers an action. */
static bool
waits(const LsActionRow *action, const LsTransitionEvent *event)
{
	const char *what = action->occasion;

	if (!names_cause(action->causes, event->cause))
		return false;
	if (strcmp(what, "stage_entered") == 0)
		return moved(event) && is_stage(action, event->to_stage);
	if (strcmp(what, "stage_left") == 0)
		return moved(event) && is_stage(action, event->from_stage);
	if (strcmp(what, "score_rises") == 0)
		return !action->score_level_null &&
			crossed(action->score_level, event->score, event->score_before);
	if (strcmp(what, "score_falls") == 0)
		return !action->score_level_null &&
			crossed(action->score_level, event->score_before, event->score);
	return names_rule(event->rules, action->rule);
}

/* ls_outbox_writer_concerns tells whether an event triggers an action. */
bool
ls_outbox_writer_concerns(const LsModel *model, const LsTransitionEvent *event)
{
	ListCell   *lc;

	foreach(lc, model->actions)
		if (waits(lfirst(lc), event))
			return true;
	return false;
}

/* ---------- the payload ---------- */

/* add_text adds a member of the payload, unless it is NULL. */
static void
add_text(StringInfo json, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(json, ", \"%s\": ", name);
	escape_json(json, value);
}

static void
add_number(StringInfo json, const char *name, double value)
{
	char text[	DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(value, text);
	if (isfinite(value))
		appendStringInfo(json, ", \"%s\": %s", name, text);
	else
		add_text(json, name, text);
}

/* add_instant adds an instant, in UTC. */
static void
add_instant(StringInfo json, const char *name, TimestampTz at)
{
	static const int utc = 0;
	char text[	MAXDATELEN + 1];

	(void) JsonEncodeDateTime(text, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
	add_text(json, name, text);
}

/* payload gives all of a row as JSON. */
static Datum
payload(const Told *told)
{
	const LsTransitionEvent *event = told->event;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"outbox_id\": " INT64_FORMAT, told->id);
	add_text(&json, "model", told->model->name);
	add_text(&json, "action", told->action->name);
	add_text(&json, "contact", told->contact);
	add_text(&json, "occasion", told->action->occasion);
	add_text(&json, "stage", told->stage);
	add_text(&json, "from_stage", told->from_stage);
	add_text(&json, "to_stage", told->to_stage);
	if (!told->action->score_level_null)
		add_number(&json, "score_level", told->action->score_level);
	add_text(&json, "rule", told->action->rule);
	add_number(&json, "score", event->score);
	add_text(&json, "cause", event->cause);
	add_instant(&json, "happened_at", event->at);
	add_instant(&json, "recorded_at", told->recorded_at);
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/* ---------- rows ---------- */

/* add_row inserts a row for one action. */
static void
add_row(LsRowWriter *outbox, Datum contact, const Told *told)
{
	const LsActionRow *action = told->action;
	const LsTransitionEvent *event = told->event;

	ls_row_writer_clear(outbox);
	ls_row_writer_set(outbox, OUTBOX_ID, Int64GetDatum(told->id));
	ls_row_writer_set_text(outbox, OUTBOX_ACTION, action->name);
	ls_row_writer_set(outbox, OUTBOX_CONTACT, contact);
	ls_row_writer_set_text(outbox, OUTBOX_OCCASION, action->occasion);
	ls_row_writer_set_text(outbox, OUTBOX_STAGE, told->stage);
	ls_row_writer_set_text(outbox, OUTBOX_FROM_STAGE, told->from_stage);
	ls_row_writer_set_text(outbox, OUTBOX_TO_STAGE, told->to_stage);
	if (!action->score_level_null)
		ls_row_writer_set(outbox, OUTBOX_SCORE_LEVEL, Float8GetDatum(action->score_level));
	ls_row_writer_set_text(outbox, OUTBOX_RULE, action->rule);
	ls_row_writer_set(outbox, OUTBOX_SCORE, Float8GetDatum(event->score));
	ls_row_writer_set_text(outbox, OUTBOX_CAUSE, event->cause);
	ls_row_writer_set(outbox, OUTBOX_HAPPENED_AT, TimestampTzGetDatum(event->at));
	ls_row_writer_set(outbox, OUTBOX_RECORDED_AT, TimestampTzGetDatum(told->recorded_at));
	ls_row_writer_set_text(outbox, OUTBOX_DELIVER, action->deliver);
	ls_row_writer_set_text(outbox, OUTBOX_CHANNEL, action->channel);
	ls_row_writer_set_text(outbox, OUTBOX_FUNCTION, action->function);
	ls_row_writer_set(outbox, OUTBOX_TIMEOUT, IntervalPGetDatum(action->timeout));
	ls_row_writer_set(outbox, OUTBOX_MAX_ATTEMPTS, Int32GetDatum(action->max_attempts));
	ls_row_writer_set(outbox, OUTBOX_PAYLOAD, payload(told));
	ls_row_writer_set_text(outbox, OUTBOX_STATUS, "ready");
	ls_row_writer_set(outbox, OUTBOX_AVAILABLE_AT, TimestampTzGetDatum(told->recorded_at));
	ls_row_writer_set(outbox, OUTBOX_ATTEMPTS, Int32GetDatum(0));
	ls_row_writer_add(outbox);
}

/* ls_outbox_writer_add inserts the rows of all actions that an event triggers. */
void
ls_outbox_writer_add(LsRowWriter *outbox, Datum contact, const LsTransitionEvent *event)
{
	LsModel    *model = outbox->model;
	Told		told = {0};
	ListCell   *lc;

	told.model = model;
	told.event = event;
	told.contact = ls_key_text(&model->key, contact);
	told.recorded_at = ls_clock();
	if (moved(event))
	{
		told.from_stage = event->from_stage;
		told.to_stage = event->to_stage;
	}
	foreach(lc, model->actions)
	{
		told.action = lfirst(lc);
		if (!waits(told.action, event))
			continue;
		told.stage = strcmp(told.action->occasion, "stage_left") == 0 ?
			event->from_stage : event->to_stage;
		told.id = nextval_internal(ls_extension_base_table(SEQUENCE, false), false);
		add_row(outbox, contact, &told);
	}
}

/* ---------- numbers ---------- */

/* highest_id gives the highest number of a row of a table; 0: the table is empty. */
static int64
highest_id(Oid table)
{
	LsSqlArguments args = {.read_only = true};
	char	   *sql = psprintf("SELECT max(outbox_id) FROM ONLY %s", ls_relation_qualified_name(table));

	return DatumGetInt64(ls_sql_value(ls_sql_query_as_owner(table, sql, &args), 0, 1, NULL));
}

/*
 * ls_outbox_writer_pass_ids advances the sequence of numbers past those of rows that
 * were restored to a table: the sequence is not dumped, and no number may be assigned
 * twice.
 */
void
ls_outbox_writer_pass_ids(Oid table)
{
	ls_restore_number(SEQUENCE, highest_id(table));
}
