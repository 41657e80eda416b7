/*-------------------------------------------------------------------------
 *
 * model_compile.c
 *		Models compiled from the catalog.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "definitions/locks.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/relation.h"
#include "definitions/current_names.h"
#include "definitions/extension.h"
#include "definitions/model_tables.h"
#include "rules/score_columns.h"

/* Where a model is being loaded from, handed down while it is compiled */
typedef struct Load
{
	LsModel    *model;
	LsModelRow *row;
	Snapshot	snapshot;
	const LsModelDefinition *definition;	/* NULL: that of the catalog */
	bool		lazily;			/* expressions of rules may wait until they are run */
} Load;

/* ---------- what the rows of lead_rule mean ---------- */

static int64
usec(const Interval *interval)
{
	int64		result;

	if (interval == NULL || !ls_lead_interval_usec(interval, &result))
		return 0;
	return result;
}

const char *const ls_model_kind_names[LS_NKINDS] = {"event", "absence", "sequence", "profile", "combo"};

static LsKind
kind_of(const char *kind)
{
	LsKind		found = LS_NKINDS - 1;

	while (found > LS_EVENT && strcmp(kind, ls_model_kind_names[found]) != 0)
		found--;
	return found;
}

static LsDecayKind
decay_of(const char *decay)
{
	if (strcmp(decay, "half_life") == 0)
		return LS_DECAY_HALF_LIFE;
	if (strcmp(decay, "linear") == 0)
		return LS_DECAY_LINEAR;
	if (strcmp(decay, "step") == 0)
		return LS_DECAY_STEP;
	return LS_DECAY_NONE;
}

/* derive_keyed fills in which of a rule's rows depend on others. */
static void
derive_keyed(const LsRuleRow *row, LsRule *rule)
{
	bool		counting = rule->kind == LS_EVENT || rule->kind == LS_SEQUENCE;

	rule->max_per = row->max_per_null ? INFINITY : row->max_per;
	rule->has_per = counting && row->per != NULL;
	rule->latest_only = rule->has_per && row->max_per_null;
	rule->cancels = counting && ls_lead_rule_cancels(row);
	rule->tagged = counting && row->tag != NULL;
	rule->negated = rule->kind == LS_SEQUENCE && row->negated;
	rule->max_gap = usec(row->max_gap);
	rule->keyed = rule->has_per || rule->cancels || rule->tagged || rule->kind == LS_SEQUENCE;
}

/*
 * ls_model_derive_rule fills in what follows from a rule's own columns; what needs
 * the model (category, source, expressions) is left alone.
 */
void
ls_model_derive_rule(const LsRuleRow *row, LsRule *rule)
{
	rule->rule_id = row->rule_id;
	rule->kind = kind_of(row->kind);
	rule->points = row->points;
	rule->enabled = row->enabled;
	rule->disqualifies = row->disqualifies;
	rule->draft = row->draft;
	rule->at_least = row->at_least;
	rule->once = row->award ? strcmp(row->award, "once") == 0 :
		row->at_least > 1 || rule->kind == LS_ABSENCE;
	rule->decay.kind = decay_of(row->decay);
	rule->decay.interval = usec(row->decay_interval);
	rule->decay.keep = row->decay_keep;
	rule->time_frame = usec(row->time_frame);
	rule->max_points = row->max_points_null ? INFINITY : row->max_points;
	rule->max_per_period = row->max_per_period_null ? INFINITY : row->max_per_period;
	rule->idle = usec(row->idle);
	rule->events_from = row->events_from;
	rule->events_before = row->events_before;
	rule->backfilling = row->backfilling_version != 0;
	rule->version = ls_lead_rule_version(row);
	derive_keyed(row, rule);

	rule->bucketed = ls_rule_counts_events(rule) &&
		(rule->time_frame > 0 || !isinf(rule->max_per_period) ||
		 rule->decay.kind == LS_DECAY_LINEAR || rule->decay.kind == LS_DECAY_STEP);
	if (rule->bucketed)
	{
		rule->period = row->period ? usec(row->period) :
			ls_decay_default_period(&rule->decay, rule->time_frame);
		if (rule->period <= 0)
			return;
		rule->local = rule->period >= LS_DAY;
		rule->span = ls_decay_span_periods(ls_decay_span(&rule->decay, rule->time_frame),
										   rule->period);
		rule->frame = ls_decay_span_periods(rule->time_frame, rule->period);
	}
}

static void
sign_text(StringInfo to, const char *value)
{
	if (value)
		appendStringInfo(to, "%zu:%s,", strlen(value), value);
	else
		appendStringInfoString(to, "-,");
}

/*
 * sign_keyed adds which rows count together, cancel each other and follow each other; nothing
 * for a rule without any of these, so that its signature stays what it was.
 */
static void
sign_keyed(StringInfo to, const LsRuleRow *row, const LsRule *rule)
{
	const char *const texts[] = {row->per, row->tag, row->cancelled_by, row->cancelled_condition,
		row->cancelled_source, row->cancelled_per, row->followed_by, row->followed_condition,
	row->followed_source, row->followed_per, row->follows};
	bool		any = false;

	for (int i = 0; i < (int) lengthof(texts); i++)
		any = any || texts[i];
	if (!any && rule->kind != LS_SEQUENCE)
		return;
	for (int i = 0; i < (int) lengthof(texts); i++)
		sign_text(to, texts[i]);
	appendStringInfo(to, INT64_FORMAT ",%d,%d,", usec(row->max_gap), row->negated, !row->max_per_null);
	if (!row->max_per_null && rule->decay.kind != LS_DECAY_NONE)
		appendStringInfo(to, "%.17g,%.17g,", rule->points, row->max_per);
}

/*
 * ls_model_rule_signature gives what a rule's slots depend on: rules of the same
 * signature match the same rows and keep the same sums, so that a change of anything
 * else needs no backfill.
 */
char *
ls_model_rule_signature(const LsRuleRow *row)
{
	LsRule		rule = {0};
	StringInfoData s;

	ls_model_derive_rule(row, &rule);
	initStringInfo(&s);
	sign_text(&s, row->kind);
	sign_text(&s, rule.kind == LS_PROFILE ? NULL : row->source);
	sign_text(&s, row->event);
	sign_text(&s, row->condition);
	sign_text(&s, row->weight);
	appendStringInfo(&s, INT64_FORMAT "," INT64_FORMAT ",%d,%d,",
					 rule.events_from, rule.events_before,
					 rule.once, rule.bucketed);
	if (rule.bucketed)
		appendStringInfo(&s, INT64_FORMAT "," INT64_FORMAT ",",
						 rule.period, rule.span);
	/* a decayed sum depends on how it decays, and so do compacted buckets */
	if (rule.bucketed ? rule.span == 0 : rule.decay.kind != LS_DECAY_NONE)
		appendStringInfo(&s, "%d," INT64_FORMAT ",%.17g,", rule.decay.kind,
						 rule.decay.interval, rule.decay.keep);
	if (rule.bucketed && rule.span == 0 && !isinf(rule.max_per_period))
		appendStringInfo(&s, "%.17g,%.17g,", rule.points, rule.max_per_period);
	sign_keyed(&s, row, &rule);
	return s.data;
}

/* ---------- compiling ---------- */

static void
need_column(Bitmapset **columns, AttrNumber attno)
{
	*columns = bms_add_member(*columns, attno - FirstLowInvalidHeapAttributeNumber);
}

static LsExpr *
compile_column(LsModel *model, Relation rel, const char *column, Oid type,
			   ErrorData **error)
{
	LsExprSpec	spec = {0};

	spec.use = LS_EXPR_COLUMN;
	spec.rel = rel;
	spec.text = column;
	spec.role = model->owner;
	spec.where = psprintf("column \"%s\" of table \"%s\"", column,
						  RelationGetRelationName(rel));
	spec.type = type;
	return ls_rule_try_expression(model, &spec, error);
}

/*
 * time_column finds a column with instants: timestamptz, timestamp or date,
 * or a domain over one.
 */
static AttrNumber
time_column(Relation rel, const char *column, Oid *type)
{
	AttrNumber	attno = ls_relation_column(rel, column);

	if (attno <= 0)
		return InvalidAttrNumber;
	*type = getBaseType(TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid);
	if (*type != TIMESTAMPTZOID && *type != TIMESTAMPOID && *type != DATEOID)
		return InvalidAttrNumber;
	return attno;
}

/*
 * load_unless finds the column that is set on rows with a contact: these are not a
 * visitor's.
 */
static void
load_unless(Load *load, LsSource *source, Relation rel)
{
	const LsSourceRow *row = ls_lead_source(ls_lead_sources(load->model->visitors_of, load->snapshot),
											source->name);

	if (row)
	{
		source->unless_column = row->contact;
		source->unless_attno = ls_relation_column(rel, row->contact);
	}
	if (source->unless_attno > 0)
		need_column(&source->columns, source->unless_attno);
	else if (source->broken == NULL)
		source->broken = ls_rule_make_error(ERRCODE_UNDEFINED_COLUMN,
									  "its contact column no longer exists");
}

/*
 * depends_on_roles tells whether changes of roles may change what a role may read of
 * a table.
 */
static bool
depends_on_roles(Relation rel, Oid role)
{
	return rel->rd_rel->relrowsecurity || rel->rd_rel->relowner != role;
}

static void
load_source(Load *load, LsSourceRow *row, LsSource *source)
{
	LsModel    *model = load->model;
	bool		locked;
	Relation	rel = ls_relation_open(row->relation, &locked);

	source->name = row->source;
	source->relation = row->relation;
	source->contact_column = row->contact;
	source->time_column = row->occurred_at;
	source->event_column = row->event;
	source->contact_attno = rel ? ls_relation_column(rel, row->contact) : InvalidAttrNumber;
	source->visitor_attno = rel && row->visitor ? ls_relation_column(rel, row->visitor) : InvalidAttrNumber;
	if (source->visitor_attno > 0 && OidIsValid(model->identity_table))
		source->visitor_column = row->visitor;
	source->keep = row->keep;
	source->queued = row->queued;
	source->tz = row->time_zone ? pg_tzset(row->time_zone) : model->tz;
	if (source->tz == NULL)
		source->tz = model->tz;
	source->broken = model->unreadable ? NULL : model->suspended;
	if (rel == NULL)
		source->broken = ls_rule_make_error(ERRCODE_UNDEFINED_TABLE,
									  "its table no longer exists");
	if (source->broken)
	{
		if (rel)
			ls_relation_close(rel, locked);
		return;
	}
	model->by_roles = model->by_roles || depends_on_roles(rel, model->owner);
	if (ls_schema_aclcheck(RelationGetNamespace(rel), model->owner) != ACLCHECK_OK)
	{
		source->broken = ls_rule_make_error(ERRCODE_INSUFFICIENT_PRIVILEGE,
									  "its owner may not use the schema of the table");
		ls_relation_close(rel, locked);
		return;
	}
	source->broken = ls_reach_table_error(&model->reach, row->relation, model->owner);
	if (source->broken)
	{
		ls_relation_close(rel, locked);
		return;
	}
	source->contact = compile_column(model, rel, row->contact, model->key.type,
									 &source->broken);
	if (source->contact && row->event)
		source->event = compile_column(model, rel, row->event, TEXTOID,
									   &source->broken);
	ls_rule_let_wait(model, source, rel);
	source->time_attno = time_column(rel, row->occurred_at, &source->time_type);
	if (source->time_attno == InvalidAttrNumber)
		source->broken = ls_rule_make_error(ERRCODE_UNDEFINED_COLUMN,
									  psprintf("column \"%s\" with the time of events no longer exists",
											   row->occurred_at));
	else
		need_column(&source->columns, source->time_attno);
	ls_rule_need_columns(&source->columns, source->contact);
	ls_rule_need_columns(&source->columns, source->event);
	if (source->visitor_column)
		need_column(&source->columns, source->visitor_attno);
	if (model->visitors_of)
		load_unless(load, source, rel);
	ls_relation_close(rel, locked);
}

/* load_rows finds which rows of which sources a rule looks at. */
static void
load_rows(Load *load, LsRuleRow *row, LsRule *rule)
{
	char	   *const events[] = {row->event, row->followed_by, row->cancelled_by};
	const bool	read[] = {
		rule->kind == LS_ABSENCE || rule->kind == LS_EVENT ||
		(rule->kind == LS_SEQUENCE && row->follows == NULL),
		rule->kind == LS_SEQUENCE, rule->cancels
	};

	for (int i = 0; i < LS_NROWS; i++)
	{
		const char *name = ls_current_names_row_source(row, i);
		LsSource   *source = name ? ls_model_source_by_name(load->model, name) : NULL;

		rule->rows[i].source = source ? source - load->model->sources : -1;
		rule->rows[i].event = events[i];
		/* visitors have no row of a source that is not theirs */
		rule->rows[i].read = read[i] && (source || i == LS_ROW_OWN);
	}
}

/*
 * rows_error gives the error that rows which follow or cancel cannot be read, or those that
 * count; NULL: they can.
 */
static ErrorData *
rows_error(const LsModel *model, const LsRuleRow *row, const LsRule *rule)
{
	for (int i = 0; i < LS_NROWS; i++)
	{
		int			source = rule->rows[i].source;
		bool		wanted = i == LS_ROW_OWN || (i == LS_ROW_FOLLOWER ? rule->kind == LS_SEQUENCE :
												 rule->cancels);

		if (wanted && source >= 0 && model->sources[source].broken)
			return model->sources[source].broken;
		if (wanted && source < 0 && model->visitors_of == NULL && ls_current_names_row_source(row, i))
			return ls_rule_make_error(ERRCODE_UNDEFINED_OBJECT, "its source is not attached");
	}
	return NULL;
}

/* load_rule prepares a rule. */
static void
load_rule(Load *load, LsRuleRow *row, LsRule *rule)
{
	LsModel    *model = load->model;
	ErrorData  *error;

	rule->name = row->name;
	rule->event = row->event;
	ls_model_derive_rule(row, rule);
	rule->category = -1;
	for (int i = 0; i < model->ncategories; i++)
		if (strcmp(model->categories[i].name, row->category) == 0)
			rule->category = i;
	load_rows(load, row, rule);
	rule->source = rule->rows[LS_ROW_OWN].source;
	rule->skip = (rule->version == 0 && !load->definition) || rule->kind == LS_COMBO;
	if ((rule->bucketed && rule->period <= 0) ||
		(rule->kind == LS_ABSENCE && rule->idle <= 0) ||
		(rule->kind == LS_SEQUENCE && rule->max_gap <= 0) ||
		(rule->decay.kind != LS_DECAY_NONE && rule->decay.interval <= 0))
		rule->broken = ls_rule_make_error(ERRCODE_INVALID_PARAMETER_VALUE,
									"one of its intervals is not greater than 0");
	if (model->visitors_of && row->source && rule->source < 0)
		rule->skip = true;		/* visitors have no source for it */
	else if (rule->category < 0 || (row->source && rule->source < 0))
		rule->broken = ls_rule_make_error(ERRCODE_UNDEFINED_OBJECT,
									"its source is not attached");
	else if ((error = rows_error(model, row, rule)) != NULL)
		rule->broken = error;
	if (model->suspended && !model->unreadable)
		rule->broken = model->suspended;
	if (rule->broken)
		rule->skip = true;
}

/*
 * compile_rule compiles the texts of a rule, unless these can wait.  A profile rule of a
 * contact table that cannot be read is not evaluated, and its stored result stays.
 */
static void
compile_rule(Load *load, const LsRuleRow *row, LsRule *rule)
{
	LsModel    *model = load->model;

	if (rule->broken || (model->unreadable && rule->kind == LS_PROFILE) || !ls_rule_take_texts(row, rule))
		return;
	rule->uncompiled = true;
	model->nuncompiled++;
	if (!load->lazily || ls_lead_rule_is_disabled(row) || !ls_rule_can_wait(model, rule))
		ls_rule_compile(model, rule);
}

/*
 * out_of_step tells whether a rule is enabled that cannot be read, or disabled though
 * it can: roles lose and get privileges without an event trigger.
 */
static bool
out_of_step(const LsRuleRow *row, const LsRule *rule)
{
	bool		disabled = ls_lead_rule_is_disabled(row);

	if (rule->broken)
		return !disabled && rule->broken->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
	return disabled && rule->kind != LS_COMBO;
}

static void
load_categories(Load *load)
{
	LsModel    *model = load->model;
	List	   *rows = load->definition && load->definition->limits ? load->definition->limits->categories :
		ls_lead_categories(model->name, load->snapshot);
	List	   *grades = ls_lead_grades(model->name, load->snapshot);
	ListCell   *lc,
			   *gc;

	model->categories = palloc0(sizeof(LsCategory) * Max(1, list_length(rows)));
	foreach(lc, rows)
	{
		LsCategoryRow *row = lfirst(lc);
		LsCategory *category = &model->categories[model->ncategories++];

		category->name = row->category;
		category->weight = row->weight;
		category->min_points = row->min_points;
		category->max_points = row->max_points;
		category->grades = palloc0(sizeof(char *) * Max(1, list_length(grades)));
		category->grade_min = palloc0(sizeof(double) * Max(1, list_length(grades)));
		foreach(gc, grades)
		{
			LsGradeRow *grade = lfirst(gc);

			if (strcmp(grade->category, row->category) != 0)
				continue;
			category->grades[category->ngrades] = grade->grade;
			category->grade_min[category->ngrades++] = grade->min_points;
		}
	}
}

static void
load_stages(Load *load, Relation contacts)
{
	LsModel    *model = load->model;
	List	   *rows = ls_lead_stages(model->name, load->snapshot);
	List	   *names = list_make1("score");
	ListCell   *lc;

	for (int i = 0; i < model->ncategories; i++)
		names = lappend(names, model->categories[i].name);

	model->stages = palloc0(sizeof(LsStage) * Max(1, list_length(rows)));
	foreach(lc, rows)
	{
		LsStageRow *row = lfirst(lc);
		LsStage    *stage = &model->stages[model->nstages++];
		LsExprSpec	spec = {0};

		stage->name = row->stage;
		stage->position = row->position;
		stage->enter_at = row->enter_at;
		stage->sticky = row->sticky;
		stage->leave_below = row->leave_below;
		if (row->leave_below_null)
			stage->leave_below = isinf(row->enter_at) ? row->enter_at :
				row->enter_at - Min(model->max_drift, fabs(row->enter_at) / 2);
		if (row->condition)
			stage->broken = model->suspended;
		if (row->condition == NULL || contacts == NULL || stage->broken)
			continue;
		spec.use = LS_EXPR_CONDITION;
		spec.rel = contacts;
		spec.text = row->condition;
		spec.role = model->owner;
		spec.where = psprintf("condition of stage \"%s\" of model \"%s\"",
							  row->stage, model->name);
		spec.variables = names;
		stage->condition = ls_rule_try_expression(model, &spec, &stage->broken);
		if (stage->broken && load->snapshot &&
			(spec.text = ls_current_names_of_stage(model->name, row->stage)) !=NULL)
			stage->condition = ls_rule_try_expression(model, &spec, &stage->broken);
		ls_rule_need_columns(&model->contact_columns, stage->condition);
		if (stage->condition && !bms_is_empty(stage->condition->columns))
			model->stages_read_contact = true;
	}
}

static void
load_contacts(Load *load, Relation contacts)
{
	LsModel    *model = load->model;

	if (model->visitors_of)
	{
		model->contacts_broken = ls_rule_make_error(ERRCODE_UNDEFINED_TABLE,
											  "visitors have no contact table");
		return;
	}
	if (model->suspended)
	{
		model->contacts_broken = model->suspended;
		return;
	}
	if (contacts == NULL)
	{
		model->contacts_broken = ls_rule_make_error(ERRCODE_UNDEFINED_TABLE,
											  "the contact table no longer exists");
		return;
	}
	model->contact_key = compile_column(model, contacts, model->key_column,
										model->key.type, &model->contacts_broken);
	model->key_attno = ls_relation_column(contacts, model->key_column);
	ls_rule_need_columns(&model->contact_columns, model->contact_key);
	if (model->created_column)
	{
		model->created_attno = time_column(contacts, model->created_column,
										   &model->created_type);
		if (model->created_attno != InvalidAttrNumber)
			need_column(&model->contact_columns, model->created_attno);
	}
}

static void
load_rules(Load *load)
{
	LsModel    *model = load->model;
	List	   *rows = load->definition ? load->definition->rules :
		ls_lead_rules(model->name, load->snapshot);
	ListCell   *lc;

	model->staged = model->nstages > 1;
	model->rules = palloc0(sizeof(LsRule) * Max(1, list_length(rows)));
	model->absences = palloc0(sizeof(LsRule *) * Max(1, list_length(rows)));
	model->profiles = palloc0(sizeof(LsRule *) * Max(1, list_length(rows)));
	foreach(lc, rows)
		load_rule(load, lfirst(lc), &model->rules[model->nrules++]);
	foreach(lc, rows)
		ls_rule_link(model, rows, lfirst(lc), &model->rules[foreach_current_index(lc)]);
	foreach(lc, rows)
	{
		LsRule	   *rule = &model->rules[foreach_current_index(lc)];

		compile_rule(load, lfirst(lc), rule);
		if (model->visitors_of == NULL && load->definition == NULL && !load->row->suspended &&
			!model->unreadable)
			model->out_of_step = model->out_of_step || out_of_step(lfirst(lc), rule);
		model->staged = model->staged || (rule->disqualifies && !rule->draft);
		if (rule->kind == LS_ABSENCE)
			model->absences[model->nabsences++] = rule;
		if (rule->kind == LS_PROFILE)
			model->profiles[model->nprofiles++] = rule;
	}
	ls_shared_parts_set(model);
}

static int
by_level(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static int
by_action_id(const ListCell *a, const ListCell *b)
{
	int64		x = ((const LsActionRow *) lfirst(a))->action_id;
	int64		y = ((const LsActionRow *) lfirst(b))->action_id;

	return (x > y) - (x < y);
}

/*
 * load_actions records what actions wait for, so that transitions look for nothing
 * else.
 */
static void
load_actions(Load *load)
{
	LsModel    *model = load->model;
	List	   *rows = ls_lead_actions(model->name, load->snapshot);
	int			n = 0;
	ListCell   *lc;

	model->levels = palloc0(sizeof(double) * Max(1, list_length(rows)));
	foreach(lc, rows)
	{
		LsActionRow *row = lfirst(lc);

		if (!row->enabled)
			continue;
		model->actions = lappend(model->actions, row);
		if (!row->score_level_null && isfinite(row->score_level))
			model->levels[n++] = row->score_level;
		for (int i = 0; row->rule && i < model->nrules; i++)
			if (strcmp(model->rules[i].name, row->rule) == 0)
				model->watches_rules = model->rules[i].watched = true;
	}
	list_sort(model->actions, by_action_id);
	qsort(model->levels, n, sizeof(double), by_level);
	for (int i = 0; i < n; i++)
		if (i == 0 || model->levels[i] != model->levels[model->nlevels - 1])
			model->levels[model->nlevels++] = model->levels[i];
}

/* load_identity finds the tables for identity resolution. */
static void
load_identity(LsModel *model, const LsModelRow *row)
{
	const char *definer = row->visitors_of ? row->visitors_of : row->model;
	const char *visitors = row->visitors_of ? row->model : ls_lead_visitors_model(row->model);

	model->visitors_of = row->visitors_of;
	model->rank = ls_lock_rank(row->model);
	if (model->visitors_of == NULL)
		model->merged_table = ls_extension_table(psprintf("merged_%s", definer), false);
	if (visitors)
	{
		/* made before, and dropped after, the row of the model of visitors */
		model->identity_table = ls_extension_table(psprintf("identity_%s", definer), false);
		model->visitors_table = ls_extension_table(psprintf("pending_%s", visitors), true);
	}
	if (!OidIsValid(model->identity_table))
		return;
	ls_key_type(model->identity_table, 1, row->owner, row->model, &model->visitor_key);
	model->target_type = ls_lead_key_type(definer);
}

/*
 * load_trust checks whether the model's owner may compare keys and read contacts: if
 * not, nothing of the model is run.
 */
static void
load_trust(LsModel *model)
{
	if (model->suspended == NULL)
		model->suspended = ls_reach_key_error(&model->reach, model->key.type, model->contacts,
											  model->owner);
	if (model->suspended == NULL && OidIsValid(model->visitors_table))
		model->suspended = ls_reach_key_error(&model->reach, model->visitor_key.type,
											  InvalidOid, model->owner);
}

/* load_row copies a row of lead_model, and earlier limits if given. */
static void
load_row(LsModel *model, const LsModelRow *row, const LsModelVersion *limits)
{
	model->name = row->model;
	model->owner = row->owner;
	model->contacts = row->contacts;
	model->score_table = ls_lead_score_table(row->model, false);
	model->due_table = ls_extension_table(psprintf("due_%s", row->model), false);
	model->pending_table = ls_extension_table(psprintf("pending_%s", row->model), false);
	model->purged_table = ls_extension_table(psprintf("purged_%s", row->model), false);
	model->key_column = row->key;
	model->created_column = row->created_at;
	model->profile_table = ls_extension_table(psprintf("profile_%s", row->model), false);
	model->tz = pg_tzset(limits ? limits->time_zone : row->time_zone);
	if (model->tz == NULL)
		model->tz = pg_tzset("GMT");
	model->max_drift = row->max_drift;
	model->max_drift_ratio = row->max_drift_ratio;
	model->top_from = ls_score_columns_top(row->model, NULL).written_from;
	model->min_score = limits ? limits->min_score : row->min_score;
	model->max_score = limits ? limits->max_score : row->max_score;
	model->restoring = row->restoring;
	if (!ls_tables_belong(row->model, row->owner))
		model->suspended = ls_rule_make_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
										"not all of its tables belong to the owner of its contact table");
	if (row->suspended)
		model->suspended = ls_rule_make_error(ERRCODE_INSUFFICIENT_PRIVILEGE,
										"its contact table has a new owner");
	model->former = row->suspended;
	if (row->unreadable && model->suspended == NULL)
	{
		model->suspended = row->unreadable;
		model->unreadable = true;
	}
	model->enabled = row->enabled && model->suspended == NULL;
	model->version = row->rules_version;
}

/* load_model compiles a model for the functions below. */
static LsModel *
load_model(const char *name, Snapshot snapshot, const LsModelDefinition *definition, bool lazily)
{
	const LsModelVersion *limits = definition ? definition->limits : NULL;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore model",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LsModelRow *row = ls_current_names_of_model(ls_lead_model(name, snapshot), &snapshot);
	LsModel    *model;
	Load		load;
	Relation	contacts;
	bool		locked;
	List	   *sources;
	ListCell   *lc;

	if (row == NULL)
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return NULL;
	}
	model = palloc0(sizeof(LsModel));
	model->context = context;
	load_row(model, row, limits);
	ls_key_type(model->score_table, 1, row->owner, name, &model->key);
	load_identity(model, row);
	load_trust(model);

	load.model = model;
	load.row = row;
	load.snapshot = snapshot;
	load.definition = definition;
	load.lazily = lazily;
	model->broken_reported = definition != NULL;
	load_categories(&load);
	ls_score_columns_check_tables(model, snapshot, row->rules_version, limits != NULL);
	contacts = ls_relation_open(model->contacts, &locked);
	model->by_roles = contacts && depends_on_roles(contacts, model->owner);
	load_contacts(&load, contacts);
	load_stages(&load, contacts);
	if (contacts)
		ls_relation_close(contacts, locked);

	sources = ls_lead_sources(name, snapshot);
	model->sources = palloc0(sizeof(LsSource) * Max(1, list_length(sources)));
	foreach(lc, sources)
		load_source(&load, lfirst(lc), &model->sources[model->nsources++]);
	load_rules(&load);
	load_actions(&load);
	for (int i = 0; i < model->nsources; i++)
		ls_match_index_source(model, &model->sources[i]);
	ls_reach_watch(&model->reach);
	MemoryContextSwitchTo(old);
	return model;
}

/*
 * ls_model_load compiles a model from the rows that a snapshot sees; the caller owns
 * it.  NULL if there is none of the name.
 */
LsModel *
ls_model_load(const char *name, Snapshot snapshot)
{
	return load_model(name, snapshot, NULL, false);
}

/*
 * ls_model_load_lazily does not compile the expressions of rules that can wait until
 * an event reaches the rule.
 */
LsModel *
ls_model_load_lazily(const char *name, Snapshot snapshot)
{
	return load_model(name, snapshot, NULL, true);
}

/* ls_model_load_definition compiles a model from another definition. */
LsModel *
ls_model_load_definition(const char *name, Snapshot snapshot, const LsModelDefinition *definition)
{
	return load_model(name, snapshot, definition, false);
}

/* ls_model_search_rule is ls_model_rule_by_version() for any rule. */
LsRule *
ls_model_search_rule(LsModel *model, int64 version)
{
	int			low = 0,
				high = model->nrules - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		LsRule	   *rule = &model->rules[middle];

		if (rule->version == version)
		{
			model->found = middle;
			return rule;
		}
		if (rule->version < version)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

LsSource *
ls_model_source_by_name(LsModel *model, const char *name)
{
	for (int i = 0; i < model->nsources; i++)
		if (strcmp(model->sources[i].name, name) == 0)
			return &model->sources[i];
	return NULL;
}
