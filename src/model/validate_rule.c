/*-------------------------------------------------------------------------
 *
 * validate_rule.c
 *		What is refused when a rule is written.
 *
 * A rule that is in lead_rule can be evaluated: whatever would make it meaningless is
 * refused here, by name and with a hint.  Rows of a dump go into the base table
 * unchecked, since an error there would lose every rule of the table.
 *
 * This is the only place that knows which column goes with which kind; the
 * rest of the code relies on it.
 *
 *-------------------------------------------------------------------------
 */
#include "model/validate.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/decay.h"
#include "base/leadscore.h"
#include "base/suggest.h"
#include "definitions/current_names.h"
#include "definitions/locks.h"
#include "model/anonymous_visitors.h"
#include "rules/model_compile.h"

/* in the order of LsKind, LsDecayKind; LS_EACH and LS_ONCE */
static const char *const decay_words[] = {"none", "half_life", "linear", "step"};
static const char *const award_words[] = {"each", "once"};

#define ABSENCE		(1 << LS_ABSENCE)
#define SEQUENCE	(1 << LS_SEQUENCE)
#define PROFILE		(1 << LS_PROFILE)
#define EVENT		(1 << LS_EVENT)
#define COMBO		(1 << LS_COMBO)
#define COUNTING	(EVENT | SEQUENCE)

/* The columns that only some kinds of rules have. */
static const struct
{
	int			column;
	int			kinds;
}			kind_columns[] = {
	{LS_RULE_SOURCE, COUNTING | ABSENCE},
	{LS_RULE_EVENT, COUNTING | ABSENCE},
	{LS_RULE_EVENTS_FROM, COUNTING | ABSENCE},
	{LS_RULE_EVENTS_BEFORE, COUNTING | ABSENCE},
	{LS_RULE_WEIGHT, COUNTING | PROFILE},
	{LS_RULE_AWARD, COUNTING | ABSENCE},
	{LS_RULE_AT_LEAST, COUNTING | COMBO},
	{LS_RULE_TIME_FRAME, COUNTING},
	{LS_RULE_DECAY, COUNTING},
	{LS_RULE_DECAY_INTERVAL, COUNTING},
	{LS_RULE_DECAY_KEEP, COUNTING},
	{LS_RULE_PERIOD, COUNTING},
	{LS_RULE_MAX_PER_PERIOD, COUNTING},
	{LS_RULE_IDLE, ABSENCE},
	{LS_RULE_MAX_GAP, SEQUENCE},
	{LS_RULE_FOLLOWED_BY, SEQUENCE},
	{LS_RULE_FOLLOWED_CONDITION, SEQUENCE},
	{LS_RULE_FOLLOWED_SOURCE, SEQUENCE},
	{LS_RULE_NEGATED, SEQUENCE},
	{LS_RULE_FOLLOWED_PER, SEQUENCE},
	{LS_RULE_FOLLOWS, SEQUENCE},
	{LS_RULE_PER, COUNTING},
	{LS_RULE_MAX_PER, EVENT},
	{LS_RULE_TAG, COUNTING},
	{LS_RULE_CANCELLED_BY, COUNTING},
	{LS_RULE_CANCELLED_CONDITION, COUNTING},
	{LS_RULE_CANCELLED_SOURCE, COUNTING},
	{LS_RULE_CANCELLED_PER, COUNTING},
	{LS_RULE_HOLDS_FROM, PROFILE},
	{LS_RULE_HOLDS_UNTIL, PROFILE},
	{LS_RULE_MEMBERS, COMBO},
	{LS_RULE_UNLESS, COMBO},
	{LS_RULE_CONDITION, COUNTING | ABSENCE | PROFILE},
	{LS_RULE_MAX_POINTS, COUNTING | ABSENCE | PROFILE},
};

/* Columns that no rule can have yet */
static const int unsupported_columns[] = {
	LS_RULE_TAG,
	LS_RULE_HOLDS_FROM, LS_RULE_HOLDS_UNTIL,
	LS_RULE_MEMBERS, LS_RULE_UNLESS
};

/* A rule under examination. */
typedef struct RuleCheck
{
	bool		update;
	TupleDesc	desc;
	Datum	   *values;			/* of the new row ... */
	bool	   *nulls;
	LsRuleRow	row;			/* ... and read */
	LsRuleRow	old;			/* of an UPDATE */
	LsModelRow *model;
	const char *where;			/* rule "x" of model "y" */
	LsKind		kind;
	bool		once;
	LsDecay		decay;
	int64		time_frame;		/* 0: none */
	List	   *sources;		/* of the model */
	LsSourceRow *of[LS_NROWS];	/* source of each kind of rows; NULL: none, every, or not attached */
	bool		dormant;		/* a source of it is not attached any more */
} RuleCheck;

/* ---------- words, defaults and columns of a rule ---------- */

static bool
is_null(const RuleCheck *check, int column)
{
	return check->nulls[column - 1];
}

static void
set_value(RuleCheck *check, int column, Datum value)
{
	check->values[column - 1] = value;
	check->nulls[column - 1] = false;
}

/* read_row reads the new row again after a change. */
static void
read_row(RuleCheck *check)
{
	ls_lead_read_rule(heap_form_tuple(check->desc, check->values, check->nulls),
					  check->desc, &check->row);
}

/*
 * find_word gives a word's position in its list, or raises an error that lists the
 * words.
 */
static int
find_word(const RuleCheck *check, const char *column, const char *word,
		  const char *const *words, int nwords)
{
	List	   *allowed = NIL;
	const char *nearest;

	for (int i = 0; i < nwords; i++)
	{
		if (strcmp(words[i], word) == 0)
			return i;
		if (words != ls_model_kind_names || i != LS_COMBO)
			allowed = lappend(allowed, unconstify(char *, words[i]));
	}
	nearest = ls_suggest_word(word, allowed);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s \"%s\" of %s does not exist", column, word, check->where),
			 errdetail("It can be %s.", ls_validate_word_list(allowed)),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) : 0));
	return -1;
}

/* has_decay tells whether points of rules of this kind can fall with age. */
static bool
has_decay(const RuleCheck *check)
{
	const char *kind = check->row.kind;

	return kind == NULL || strcmp(kind, "event") == 0 || strcmp(kind, "sequence") == 0;
}

/* set_defaults fills in what is NULL and does not depend on the model. */
static void
set_defaults(RuleCheck *check)
{
	if (is_null(check, LS_RULE_KIND))
		set_value(check, LS_RULE_KIND, CStringGetTextDatum("event"));
	if (is_null(check, LS_RULE_AT_LEAST) && strcmp(check->row.kind ? check->row.kind : "", "combo") != 0)
		set_value(check, LS_RULE_AT_LEAST, Int32GetDatum(1));
	if (is_null(check, LS_RULE_DECAY))
		set_value(check, LS_RULE_DECAY,
				  CStringGetTextDatum(is_null(check, LS_RULE_DECAY_INTERVAL) || !has_decay(check) ?
									  "none" : "half_life"));
	if (is_null(check, LS_RULE_NEGATED))
		set_value(check, LS_RULE_NEGATED, BoolGetDatum(false));
	if (is_null(check, LS_RULE_DISQUALIFIES))
		set_value(check, LS_RULE_DISQUALIFIES, BoolGetDatum(false));
	if (is_null(check, LS_RULE_ENABLED))
		set_value(check, LS_RULE_ENABLED, BoolGetDatum(true));
	if (is_null(check, LS_RULE_DRAFT))
		set_value(check, LS_RULE_DRAFT, BoolGetDatum(false));
	read_row(check);
}

/* check_identity checks model, owner and name of a rule. */
static void
check_identity(RuleCheck *check)
{
	LsRuleRow  *row = &check->row;

	if (row->model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("a rule needs a model"),
				 errhint("Set model to the name given to leadscore.create_model().")));
	if (check->update && strcmp(check->old.model, row->model) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("rule \"%s\" cannot be moved from model \"%s\" to model \"%s\"",
						check->old.name, check->old.model, row->model),
				 errhint("Delete the rule and insert it for the other model.")));
	(void) ls_lock_model(row->model);
	check->model = ls_lock_held_model(row->model);
	ls_visitors_refuse(check->model);
	if (row->name == NULL || row->name[strspn(row->name, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(row->name ? ERRCODE_INVALID_NAME : ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("a rule of model \"%s\" needs a name", row->model),
				 errhint("Set name to what explain() shall show.")));
	check->where = psprintf("rule \"%s\" of model \"%s\"", row->name, row->model);
	if (check->update &&
		(is_null(check, LS_RULE_ID) || check->old.rule_id != row->rule_id))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("rule_id of %s cannot be changed", check->where)));
}

/* check_words checks kind, award and decay. */
static void
check_words(RuleCheck *check)
{
	LsRuleRow  *row = &check->row;

	check->kind = find_word(check, "kind", row->kind,
							ls_model_kind_names, LS_NKINDS);
	if (check->kind == LS_COMBO)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("rules of kind %s are not supported yet", row->kind),
				 errdetail("The kind of %s is %s.", check->where, row->kind)));
	check->decay.kind = find_word(check, "decay", row->decay,
								  decay_words, lengthof(decay_words));
	check->once = row->award ?
		find_word(check, "award", row->award, award_words, lengthof(award_words)) == 1 :
		row->at_least > 1 || check->kind == LS_ABSENCE;
}

/* is_given tells whether a column differs from its default. */
static bool
is_given(const RuleCheck *check, int column)
{
	switch (column)
	{
		case LS_RULE_AT_LEAST:
			return !is_null(check, column) && check->row.at_least != 1;
		case LS_RULE_DECAY:
			return check->decay.kind != LS_DECAY_NONE;
		case LS_RULE_NEGATED:
			return check->row.negated;
		default:
			return !is_null(check, column);
	}
}

/* kinds_text lists kinds for a message. */
static char *
kinds_text(int kinds)
{
	StringInfoData s;
	int			left = 0;

	for (int i = 0; i < LS_NKINDS; i++)
		left += (kinds >> i) & 1;
	initStringInfo(&s);
	for (int i = 0; i < LS_NKINDS; i++)
	{
		if (!(kinds & (1 << i)))
			continue;
		left--;
		appendStringInfo(&s, "%s%s", ls_model_kind_names[i],
						 left == 0 ? "" : left == 1 ? " and " : ", ");
	}
	return s.data;
}

/* refuse_unawarded refuses a column that has no meaning with award once. */
static void
refuse_unawarded(const RuleCheck *check, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("column \"%s\" is not allowed in a rule of award once", column),
			 check->row.award ?
			 errdetail("The award of %s is once: its points are given whatever the events weigh.",
					   check->where) :
			 errdetail("Where award is NULL, at_least > 1 makes the award of %s once.",
					   check->where),
			 errhint("Leave %s NULL, or set award to \"each\".", column)));
}

/* check_columns refuses the columns that rules of this kind do not have. */
static void
check_columns(const RuleCheck *check)
{
	for (int i = 0; i < (int) lengthof(kind_columns); i++)
	{
		int			column = kind_columns[i].column;
		const char *name = NameStr(TupleDescAttr(check->desc, column - 1)->attname);

		if ((kind_columns[i].kinds & (1 << check->kind)) || !is_given(check, column))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" is not allowed in a rule of kind %s",
						name, ls_model_kind_names[check->kind]),
				 errdetail("It is set in %s, but belongs to rules of kind %s.",
						   check->where, kinds_text(kind_columns[i].kinds)),
				 column == LS_RULE_AT_LEAST ? errhint("Leave it at 1.") :
				 column == LS_RULE_DECAY ? errhint("Leave it \"none\".") :
				 column == LS_RULE_NEGATED ? errhint("Leave it false.") :
				 errhint("Leave it NULL.")));
	}
	for (int i = 0; i < (int) lengthof(unsupported_columns); i++)
		if (!is_null(check, unsupported_columns[i]))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" is not supported yet",
							NameStr(TupleDescAttr(check->desc, unsupported_columns[i] - 1)->attname)),
					 errdetail("It is set in %s.", check->where)));
	if ((check->kind == LS_EVENT || check->kind == LS_SEQUENCE) && check->once)
	{
		if (check->row.weight)
			refuse_unawarded(check, "weight");
		if (!check->row.max_per_period_null)
			refuse_unawarded(check, "max_per_period");
	}
	ls_validate_keyed(&check->row, check->kind, check->once, check->where);
}

/* ---------- numbers and times ---------- */

/* check_limit refuses a number that is negative. */
static void
check_limit(const RuleCheck *check, const char *column, bool null, double value)
{
	if (null)
		return;
	ls_validate_finite(column, value, check->where);
	if (value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s of %s must be at least 0", column, check->where),
				 errhint("It limits points below zero as well: %g stands for -%g to %g.",
						 -value, -value, -value)));
}

static void
check_numbers(const RuleCheck *check)
{
	const LsRuleRow *row = &check->row;

	if (row->points_null)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s needs points", check->where),
				 errhint("A rule that only disqualifies, or that an action waits for, has points 0.")));
	ls_validate_finite("points", row->points, check->where);
	if (row->at_least < 1)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("at_least of %s must be at least 1", check->where)));
	check_limit(check, "max_points", row->max_points_null, row->max_points);
	check_limit(check, "max_per_period", row->max_per_period_null, row->max_per_period);
	check_limit(check, "max_per", row->max_per_null, row->max_per);
	if (!row->decay_keep_null && !(row->decay_keep >= 0 && row->decay_keep <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("decay_keep of %s must be between 0 and 1", check->where),
				 errdetail("It is the part of the points that is left after each decay_interval.")));
}

/* usec_text writes a length of time in its largest whole unit. */
static char *
usec_text(int64 usec)
{
	static const struct
	{
		int64		usec;
		const char *name;
	}			units[] = {
		{LS_WEEK, "week"}, {LS_DAY, "day"}, {LS_HOUR, "hour"},
		{LS_MINUTE, "minute"}, {LS_SECOND, "second"}, {1000, "millisecond"}, {1, "microsecond"}
	};
	int			i = 0;

	while (usec % units[i].usec != 0)
		i++;
	return psprintf(INT64_FORMAT " %s%s", usec / units[i].usec, units[i].name,
					usec == units[i].usec ? "" : "s");
}

/*
 * check_interval gives an interval's microseconds, 0 for NULL.  A number without a unit
 * is read as seconds, which is hardly ever meant: a NOTICE points out short ones.
 */
static int64
check_interval(const RuleCheck *check, const char *column, const Interval *interval,
			   const Interval *before)
{
	int64		usec;

	if (interval == NULL)
		return 0;
	if (!ls_lead_interval_usec(interval, &usec))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("%s of %s is too long", column, check->where)));
	if (usec <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of %s must be greater than 0", column, check->where)));
	if (usec < LS_MINUTE && !(before && memcmp(before, interval, sizeof(Interval)) == 0))
		ereport(NOTICE,
				(errmsg("%s of %s is %s", column, check->where, usec_text(usec)),
				 errdetail("An interval without a unit is a number of seconds."),
				 errhint("Write the unit if another one was meant, as in '14 days'.")));
	return usec;
}

static void
check_times(RuleCheck *check)
{
	LsRuleRow  *row = &check->row;
	LsRuleRow  *old = &check->old;

	check->time_frame = check_interval(check, "time_frame", row->time_frame, old->time_frame);
	check->decay.interval = check_interval(check, "decay_interval", row->decay_interval,
										   old->decay_interval);
	check->decay.keep = row->decay_keep;
	(void) check_interval(check, "idle", row->idle, old->idle);
	(void) check_interval(check, "max_gap", row->max_gap, old->max_gap);
	if (check->kind == LS_ABSENCE && row->idle == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s needs idle", check->where),
				 errhint("Set idle to the time without events after which a rule of kind absence gives its points.")));

	if ((!is_null(check, LS_RULE_EVENTS_FROM) && TIMESTAMP_NOT_FINITE(row->events_from)) ||
		(!is_null(check, LS_RULE_EVENTS_BEFORE) && TIMESTAMP_NOT_FINITE(row->events_before)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("events_from and events_before of %s must be finite", check->where),
				 errhint("Leave them NULL where events of any time count.")));
	if (row->events_from >= row->events_before)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("events_from of %s must be before its events_before", check->where)));
}

/* check_decay requires decay_interval and decay_keep exactly where they count. */
static void
check_decay(const RuleCheck *check)
{
	const LsRuleRow *row = &check->row;

	if (check->decay.kind == LS_DECAY_NONE && row->decay_interval)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has decay_interval, but decay none", check->where),
				 errhint("Did you mean decay = 'half_life'?")));
	if (check->decay.kind != LS_DECAY_NONE && row->decay_interval == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s has decay %s, but no decay_interval", check->where, row->decay),
				 check->decay.kind == LS_DECAY_HALF_LIFE ?
				 errhint("Set decay_interval to the time in which points fall to a half.") :
				 check->decay.kind == LS_DECAY_LINEAR ?
				 errhint("Set decay_interval to the time in which points fall to nothing.") :
				 errhint("Set decay_interval to the time between two steps.")));
	if (check->decay.kind != LS_DECAY_STEP && !row->decay_keep_null)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has decay_keep, but decay %s", check->where, row->decay),
				 errhint("Leave decay_keep NULL, or set decay to \"step\".")));
	if (check->decay.kind == LS_DECAY_STEP && row->decay_keep_null)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s has decay step, but no decay_keep", check->where),
				 errhint("Set decay_keep to the part of the points, from 0 to 1, that is left after each decay_interval.")));
}

/* long_enough_period proposes a period of which a span has few enough. */
static int64
long_enough_period(int64 span)
{
	static const int64 nice[] = {
		LS_SECOND, 5 * LS_SECOND, 15 * LS_SECOND, 30 * LS_SECOND,
		LS_MINUTE, 5 * LS_MINUTE, 15 * LS_MINUTE, 30 * LS_MINUTE,
		LS_HOUR, 2 * LS_HOUR, 6 * LS_HOUR, 12 * LS_HOUR, LS_DAY
	};

	for (int i = 0; i < (int) lengthof(nice); i++)
		if (ls_decay_span_periods(span, nice[i]) <= LS_MAX_PERIODS)
			return nice[i];
	return LS_WEEK * ls_decay_span_periods(ls_decay_span_periods(span, LS_MAX_PERIODS), LS_WEEK);
}

/* refuse_periods raises the error that a span has too many periods, with a hint. */
static void
refuse_periods(const RuleCheck *check, int64 span, int64 period)
{
	bool		step = check->decay.kind == LS_DECAY_STEP;
	const char *enough = usec_text(long_enough_period(span));

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("%s has too many periods", check->where),
			 errdetail("Its %s has " INT64_FORMAT " periods of %s; up to %d are allowed.",
					   check->time_frame > 0 ? "time_frame" : "decay_interval",
					   ls_decay_span_periods(span, period), usec_text(period), LS_MAX_PERIODS),
			 check->decay.kind == LS_DECAY_HALF_LIFE ?
			 errhint("A short half-life needs no time_frame: leave it NULL, or set period to \"%s\" or more.", enough) :
			 !step ? errhint("Set period to \"%s\" or more.", enough) :
			 ls_decay_span_periods(span, check->decay.interval) > LS_MAX_PERIODS ?
			 errhint("Shorten time_frame, or lengthen decay_interval.") :
			 errhint("Set period to \"%s\", which is the decay_interval.",
					 usec_text(check->decay.interval))));
}

/* check_period checks the period of a rule, given or chosen. */
static void
check_period(const RuleCheck *check)
{
	const LsRuleRow *row = &check->row;
	LsDecayKind decay = check->decay.kind;
	int64		period = check_interval(check, "period", row->period, check->old.period);
	int64		span = ls_decay_span(&check->decay, check->time_frame);

	if (check->kind != LS_EVENT && check->kind != LS_SEQUENCE)
		return;
	if (check->time_frame == 0 && row->max_per_period_null &&
		decay != LS_DECAY_LINEAR && decay != LS_DECAY_STEP)
	{
		if (row->period)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"period\" is not allowed in %s", check->where),
					 errdetail("The age of its events is exact: a period goes with time_frame, max_per_period, or decay linear or step."),
					 errhint("Leave it NULL.")));
		return;
	}
	if (row->period && decay == LS_DECAY_STEP && check->decay.interval % period != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("period of %s must divide its decay_interval", check->where),
				 errdetail("decay_interval is %s, period is %s.",
						   usec_text(check->decay.interval), usec_text(period)),
				 errhint("Leave period NULL to have one chosen.")));
	if (row->period == NULL)
		period = ls_decay_default_period(&check->decay, check->time_frame);
	if (span > 0 && ls_decay_span_periods(span, period) > LS_MAX_PERIODS)
		refuse_periods(check, span, period);
}

/* ---------- category, source, expressions ---------- */

static void
check_category(RuleCheck *check)
{
	if (check->row.category == NULL)
	{
		check->row.category = pstrdup(check->kind == LS_PROFILE ? "fit" : "engagement");
		set_value(check, LS_RULE_CATEGORY, CStringGetTextDatum(check->row.category));
	}
	ls_validate_category(check->row.model, check->row.category, check->where);
}

/* the columns that name the source and the event of each kind of rows */
static const char *const source_columns[LS_NROWS] = {"source", "followed_source", "cancelled_source"};

/*
 * refuse_source raises the error that a rule names no source, or one that does not
 * exist.
 */
static void
refuse_source(const RuleCheck *check, const char *column, const char *given)
{
	const char *nearest = NULL;
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, check->sources)
		names = lappend(names, ((LsSourceRow *) lfirst(lc))->source);
	if (given)
		nearest = ls_suggest_word(given, names);
	ereport(ERROR,
			(errcode(given ? ERRCODE_UNDEFINED_OBJECT : ERRCODE_NOT_NULL_VIOLATION),
			 given ? errmsg("%s \"%s\" of %s does not exist", column, given, check->where) :
			 errmsg("%s needs a source", check->where),
			 names ? errdetail("The model's sources are %s.", ls_validate_word_list(names)) :
			 errdetail("No event table is attached to the model."),
			 names == NIL ? errhint("Call leadscore.attach('%s', 'events', contact => '...', occurred_at => '...') first.",
									check->row.model) :
			 nearest ? errhint("Did you mean \"%s\"?", nearest) :
			 errhint("Set %s to the one whose rows the rule %s.", column,
					 column == source_columns[LS_ROW_OWN] ? "counts" : "reads")));
}

/* check_rows_source finds the source of rows that count, follow or cancel. */
static void
check_rows_source(RuleCheck *check, LsRuleTextRow row)
{
	const char *name = ls_current_names_row_source(&check->row, row);
	const char *old = check->update ? ls_current_names_row_source(&check->old, row) : NULL;
	LsSourceRow *source = name ? ls_lead_source(check->sources, name) : NULL;

	check->of[row] = source;
	if (name == NULL || (source && get_rel_relkind(source->relation) != '\0'))
		return;
	/* a rule outlives its source, and can still be changed */
	if (check->update && ls_same_text(name, old))
		check->dormant = true;
	else if (source == NULL)
		refuse_source(check, source_columns[row], name);
	else
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table of source \"%s\" of %s no longer exists",
						name, check->where),
				 errhint("Use leadscore.detach('%s', '%s').", check->row.model, name)));
}

/* is_read tells whether a rule has rows that count, follow or cancel. */
static bool
is_read(const RuleCheck *check, LsRuleTextRow row)
{
	switch (row)
	{
		case LS_ROW_FOLLOWER:
			return check->kind == LS_SEQUENCE;
		case LS_ROW_CANCELLER:
			return ls_lead_rule_cancels(&check->row);
		default:
			return check->row.follows == NULL;
	}
}

/* check_source finds the sources of a rule. */
static void
check_source(RuleCheck *check)
{
	LsRuleRow  *row = &check->row;

	if (check->kind == LS_PROFILE)
		return;
	check->sources = ls_lead_sources(row->model, NULL);
	if (row->source == NULL && row->follows == NULL &&
		(check->kind == LS_EVENT || check->kind == LS_SEQUENCE))
	{
		if (list_length(check->sources) != 1)
			refuse_source(check, "source", NULL);
		row->source = ((LsSourceRow *) linitial(check->sources))->source;
		set_value(check, LS_RULE_SOURCE, CStringGetTextDatum(row->source));
	}
	for (int i = 0; i < LS_NROWS; i++)
		if (is_read(check, i))
			check_rows_source(check, i);
}

/* check_rows_event checks that a source has an event column, where rows are told by an event. */
static void
check_rows_event(const RuleCheck *check, LsRuleTextRow row, const char *event)
{
	const LsSourceRow *of = check->of[row];
	ListCell   *lc;

	if (event == NULL || check->dormant)
		return;
	foreach(lc, check->sources)
	{
		LsSourceRow *source = lfirst(lc);

		if ((of == NULL || of == source) && source->event)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 of ? errmsg("source \"%s\" of %s has no event column", of->source, check->where) :
			 errmsg("no source of %s has an event column", check->where),
			 errdetail("The rule asks for event \"%s\".", event),
			 errhint("Use %s instead, or attach the table with its column: leadscore.attach(..., event => '...').",
					 row == LS_ROW_OWN ? "condition" :
					 row == LS_ROW_FOLLOWER ? "followed_condition" : "cancelled_condition")));
}

/* check_event checks the events that a rule names. */
static void
check_event(const RuleCheck *check)
{
	check_rows_event(check, LS_ROW_OWN, check->row.event);
	check_rows_event(check, LS_ROW_FOLLOWER, check->row.followed_by);
	check_rows_event(check, LS_ROW_CANCELLER, check->row.cancelled_by);
}

/* compile_text compiles one text of a rule; NULL: it has none. */
static LsExpr *
compile_text(const RuleCheck *check, int number)
{
	const LsSourceRow *source = check->of[ls_current_names_texts[number].row];
	LsExprSpec	spec = {.use = ls_rule_text_use(number), .role = check->model->owner};

	spec.text = ls_current_names_meant(&check->row, number);
	if (spec.text == NULL || (source == NULL && check->kind != LS_PROFILE))
		return NULL;
	spec.where = psprintf("%s of %s", ls_current_names_texts[number].column, check->where);
	return ls_validate_expression(&spec, check->kind == LS_PROFILE ?
								  check->model->contacts : source->relation);
}

/* compile_texts compiles all texts of a rule. */
static void
compile_texts(const RuleCheck *check)
{
	LsExpr	   *exprs[LS_RULE_NTEXTS];
	ErrorData  *error;

	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		exprs[i] = compile_text(check, i);
	error = ls_rule_types_error(exprs, check->where);
	if (error)
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("%s", error->message),
				 errhint("%s", error->hint)));
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (exprs[i])
			ls_expr_free(exprs[i]);
}

/* same_texts tells whether a rule has the texts, sources and kind that it had. */
static bool
same_texts(const LsRuleRow *old, const LsRuleRow *row)
{
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (!ls_same_text(ls_current_names_meant(old, i), ls_current_names_meant(row, i)) ||
			!ls_same_text(ls_current_names_text_source(old, i), ls_current_names_text_source(row, i)))
			return false;
	return ls_same_text(old->kind, row->kind);
}

/*
 * check_expressions compiles the expressions.  One that broke since the rule was written
 * (a column was dropped) must not keep the rule from being disabled, or renamed.
 */
static void
check_expressions(const RuleCheck *check)
{
	const LsRuleRow *row = &check->row;
	const LsRuleRow *old = &check->old;

	if (check->kind == LS_ABSENCE && row->source == NULL && row->condition)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"condition\" is not allowed in a rule of kind absence without source"),
				 errdetail("Without source, %s reads the rows of every source, which have different columns.",
						   check->where),
				 errhint("Set source, or leave condition NULL.")));
	if (check->dormant ||
		(check->update && (old->enabled || !row->enabled) && same_texts(old, row)))
		return;
	compile_texts(check);
}

/* ---------- a rule ---------- */

/*
 * set_backfilled_version decides whether what the states hold for a rule is still
 * right; if not, the rule is backfilled at the end of the statement.
 */
static void
set_backfilled_version(RuleCheck *check)
{
	const LsRuleRow *old = &check->old;
	bool		backfilled = check->update && !old->backfilled_version_null &&
		old->backfilled_version != 0;
	bool		backfilling = check->update && old->backfilling_version != 0;

	if (backfilled || backfilling)
	{
		read_row(check);
		if (strcmp(ls_model_rule_signature(old), ls_model_rule_signature(&check->row)) != 0)
			backfilled = backfilling = false;
	}
	check->nulls[LS_RULE_BACKFILLED_VERSION - 1] = !backfilled;
	check->values[LS_RULE_BACKFILLED_VERSION - 1] = Int64GetDatum(old->backfilled_version);
	check->nulls[LS_RULE_BACKFILLING_VERSION - 1] = !backfilling;
	check->values[LS_RULE_BACKFILLING_VERSION - 1] = Int64GetDatum(old->backfilling_version);
}

/*
 * ls_validate_rule fills in the defaults of a rule and refuses one that could not be
 * evaluated.
 */
HeapTuple
ls_validate_rule(const LsDefinition *change)
{
	RuleCheck	check = {0};

	ls_rule_references_note(change);
	if (change->new == NULL)
	{
		ls_validate_delete(change);
		return NULL;
	}
	check.desc = change->desc;
	check.update = change->old != NULL;
	check.values = palloc(sizeof(Datum) * check.desc->natts);
	check.nulls = palloc(sizeof(bool) * check.desc->natts);
	heap_deform_tuple(change->new, check.desc, check.values, check.nulls);
	ls_lead_read_rule(change->new, check.desc, &check.row);
	if (check.update)
		ls_lead_read_rule(change->old, check.desc, &check.old);

	set_defaults(&check);
	check_identity(&check);
	check_words(&check);
	check_columns(&check);
	check_numbers(&check);
	check_times(&check);
	check_decay(&check);
	check_period(&check);
	check_category(&check);
	check_source(&check);
	check_event(&check);
	check_expressions(&check);
	set_backfilled_version(&check);

	return heap_form_tuple(check.desc, check.values, check.nulls);
}
