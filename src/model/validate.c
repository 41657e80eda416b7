/*-------------------------------------------------------------------------
 *
 * validate.c
 *		What happens when a DBA writes models, categories, stages and grades.
 *
 * A row without meaning is refused; at the end of a statement the models concerned get
 * a new version and have new rules backfilled.  definition_view.c calls these functions
 * for what users write.
 *
 *-------------------------------------------------------------------------
 */
#include "model/validate.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/decay.h"
#include "base/suggest.h"
#include "definitions/daily_tables.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/model_tables.h"
#include "definitions/rights.h"
#include "jobs/job_run.h"
#include "model/anonymous_visitors.h"
#include "model/category.h"
#include "model/key_change.h"
#include "model/rule_history.h"
#include "tables/deferred.h"

/* ---------- for all tables ---------- */

/* ls_validate_word_list joins words for a message. */
char *
ls_validate_word_list(List *words)
{
	StringInfoData s;
	ListCell   *lc;

	initStringInfo(&s);
	foreach(lc, words)
		appendStringInfo(&s, "%s\"%s\"", s.len > 0 ? ", " : "",
						 (const char *) lfirst(lc));
	return s.data;
}

/* ls_validate_category refuses a category that the model does not have. */
void
ls_validate_category(const char *model, const char *category, const char *where)
{
	List	   *names = ls_lead_category_names(model);
	const char *nearest;
	ListCell   *lc;

	foreach(lc, names)
		if (strcmp(lfirst(lc), category) == 0)
			return;
	nearest = ls_suggest_word(category, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("category \"%s\" of %s does not exist", category, where),
			 errdetail("The model's categories are %s.", ls_validate_word_list(names)),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) :
			 errhint("Set category to one of them.")));
}

/*
 * ls_validate_expression compiles an expression over a table, or raises an error where it
 * is wrong.  The table is unlocked, as it may have to be locked more strongly later,
 * together with others.
 */
LsExpr *
ls_validate_expression(LsExprSpec *spec, Oid relation)
{
	LsExpr	   *expr;

	spec->rel = try_relation_open(relation, AccessShareLock);
	if (spec->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table that %s reads no longer exists", spec->where)));
	spec->advise = true;
	expr = ls_expr_compile(spec, CurrentMemoryContext);
	relation_close(spec->rel, AccessShareLock);
	return expr;
}

/*
 * ls_validate_finite refuses infinity, NaN, and numbers so large that products and sums
 * with them may become infinite.
 */
void
ls_validate_finite(const char *column, double value, const char *where)
{
	if (!isfinite(value))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s of %s must be a finite number", column, where)));
	if (fabs(value) > LS_LARGEST_NUMBER)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s of %s must be between %g and %g", column, where,
						-LS_LARGEST_NUMBER, LS_LARGEST_NUMBER)));
}

/* ---------- stages, grades, categories, models ---------- */

static Datum
column_value(const LsCheckedRow *row, const char *column, bool *isnull)
{
	return heap_getattr(row->tuple, SPI_fnumber(row->desc, column), row->desc, isnull);
}

static char *
text_value(const LsCheckedRow *row, const char *column)
{
	bool		isnull;
	Datum		value = column_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* float_value gives a number, or what stands for NULL. */
static double
float_value(const LsCheckedRow *row, const char *column, double missing)
{
	bool		isnull;
	Datum		value = column_value(row, column, &isnull);

	return isnull ? missing : DatumGetFloat8(value);
}

static bool
bool_value(const LsCheckedRow *row, const char *column)
{
	bool		isnull;
	Datum		value = column_value(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

static int32
int_value(const LsCheckedRow *row, const char *column)
{
	bool		isnull;
	Datum		value = column_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

/*
 * ls_validate_owner finds the model of a new row, and checks that the caller may manage
 * it; kind and name are those of the row.
 */
LsModelRow *
ls_validate_owner(const LsDefinition *change, LsCheckedRow *row, const char *kind,
				  const char *column)
{
	char	   *model = text_value(row, "model");
	char	   *name = text_value(row, column);
	const char *article = *kind == 'a' ? "an" : "a";
	LsModelRow *found;

	if (model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s %s needs a model", article, kind),
				 errhint("Set model to the name given to leadscore.create_model().")));
	(void) ls_lock_model(model);
	found = ls_lock_held_model(model);
	ls_visitors_refuse(found);
	if (name == NULL || name[strspn(name, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(name ? ERRCODE_INVALID_NAME : ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s %s of model \"%s\" needs a name", article, kind, model),
				 errhint("Set column %s.", column)));
	row->where = psprintf("%s \"%s\" of model \"%s\"", kind, name, model);
	if (change->old)
	{
		LsCheckedRow old = {change->old, row->desc, NULL};

		if (strcmp(text_value(&old, "model"), model) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s cannot be moved to model \"%s\"",
							psprintf("%s \"%s\" of model \"%s\"", kind,
									 text_value(&old, column), text_value(&old, "model")),
							model),
					 errhint("Delete it and insert it for the other model.")));
	}
	return found;
}

/* ls_validate_delete checks that the caller manages the model of a row. */
void
ls_validate_delete(const LsDefinition *row)
{
	LsCheckedRow old = {row->old, row->desc, NULL};
	char	   *model = text_value(&old, "model");

	/* rows that were restored without their model */
	if (ls_lead_model(model, NULL) == NULL && ls_rights_may_manage_all())
		return;
	(void) ls_lock_model(model);
	ls_visitors_refuse(ls_lock_held_model(model));
}

/* check_bound refuses a bound that no score ever reaches, and NaN. */
static void
check_bound(const LsCheckedRow *row, const char *column)
{
	double		value = float_value(row, column, 0);

	if (isnan(value) || (isinf(value) && value > 0))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s of %s must be a number below infinity", column, row->where)));
	if (!isinf(value))
		ls_validate_finite(column, value, row->where);
}

/* check_limits checks a pair of limits, each a finite number or NULL. */
static void
check_limits(const LsCheckedRow *row, const char *low, const char *high)
{
	bool		no_low,
				no_high;
	double		min = DatumGetFloat8(column_value(row, low, &no_low));
	double		max = DatumGetFloat8(column_value(row, high, &no_high));

	if (!no_low)
		ls_validate_finite(low, min, row->where);
	if (!no_high)
		ls_validate_finite(high, max, row->where);
	if (!no_low && !no_high && min > max)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s of %s must not be above its %s", low, row->where, high)));
}

/* check_stage_condition compiles a condition over contact, score and categories. */
static void
check_stage_condition(const LsCheckedRow *row, const LsModelRow *model)
{
	LsExprSpec	spec = {0};

	spec.use = LS_EXPR_CONDITION;
	spec.text = text_value(row, "condition");
	spec.role = model->owner;
	spec.where = psprintf("condition of %s", row->where);
	spec.variables = ls_lead_stage_variables(model->model);
	ls_expr_free(ls_validate_expression(&spec, model->contacts));
}

/* is_open tells whether every contact has reached a stage. */
static bool
is_open(const LsStageRow *stage)
{
	return isinf(stage->enter_at) && stage->enter_at < 0 && stage->condition == NULL;
}

/*
 * check_first_stage makes sure that every contact has reached a model's lowest stage,
 * since there is always a stage.
 */
static void
check_first_stage(const char *model)
{
	List	   *stages = ls_lead_stages(model, NULL);
	LsStageRow *first = stages ? linitial(stages) : NULL;

	if (first == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" needs a stage", model)));
	if (is_open(first))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the lowest stage of model \"%s\" must be open to every contact", model),
			 errdetail("The stage with the lowest position, \"%s\", has %s.", first->stage,
					   first->condition ? "a condition" :
					   psprintf("enter_at %g", first->enter_at)),
			 errhint("Keep a stage with enter_at '-infinity' and without condition below all others.")));
}

/* delete_stage refuses to delete the first stage. */
static void
delete_stage(const LsCheckedRow *row)
{
	char	   *model = text_value(row, "model");
	char	   *stage = text_value(row, "stage");
	LsStageRow *first;
	List	   *stages;

	stages = ls_lead_stages(model, NULL);
	first = stages ? linitial(stages) : NULL;
	if (first && strcmp(first->stage, stage) == 0 && is_open(first))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the first stage \"%s\" of model \"%s\" cannot be deleted", stage, model),
				 errdetail("Contacts that have reached no other stage are in it."),
				 errhint("It can be renamed; leadscore.drop_model() deletes the model with all stages.")));
}

/* ls_validate_stage refuses stages without meaning, and to delete the first one. */
HeapTuple
ls_validate_stage(const LsDefinition *change)
{
	bool		update = change->old != NULL;
	LsCheckedRow row = {change->new, change->desc, NULL};
	LsCheckedRow old = {change->old, change->desc, NULL};
	LsModelRow *model;
	List	   *stages;
	char	   *condition;

	if (change->new == NULL)
	{
		ls_validate_delete(change);
		delete_stage(&old);
		return NULL;
	}
	model = ls_validate_owner(change, &row, "stage", "stage");
	if (strcmp(text_value(&row, "stage"), "disqualified") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("stage name \"disqualified\" is reserved"),
				 errdetail("Contacts are in it while a rule with disqualifies is in force."),
				 errhint("Choose another name, and set disqualifies in the rules that lead to it.")));
	check_bound(&row, "enter_at");
	check_bound(&row, "leave_below");
	if (float_value(&row, "leave_below", -INFINITY) > float_value(&row, "enter_at", INFINITY))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("leave_below of %s must not be above its enter_at", row.where),
				 errhint("Leave leave_below NULL for a little below enter_at.")));

	/* the order of stages is checked at the end of the statement */
	stages = update ? NIL : ls_lead_stages(model->model, NULL);
	if (stages && int_value(&row, "position") < ((LsStageRow *) linitial(stages))->position)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("position of %s must be above that of the first stage", row.where),
				 errdetail("The first stage, \"%s\", has position %d.",
						   ((LsStageRow *) linitial(stages))->stage,
						   ((LsStageRow *) linitial(stages))->position)));

	/*
	 * a condition that broke since it was written must not keep its row from being
	 * changed
	 */
	condition = text_value(&row, "condition");
	if (condition && (!update || text_value(&old, "condition") == NULL ||
					  strcmp(condition, text_value(&old, "condition")) != 0))
		check_stage_condition(&row, model);
	return row.tuple;
}

/* ls_validate_grade refuses grades without meaning. */
HeapTuple
ls_validate_grade(const LsDefinition *change)
{
	LsCheckedRow row = {change->new, change->desc, NULL};
	LsModelRow *model;
	char	   *category;

	if (change->new == NULL)
	{
		ls_validate_delete(change);
		return NULL;
	}
	model = ls_validate_owner(change, &row, "grade", "grade");
	category = text_value(&row, "category");
	if (category == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s needs a category", row.where),
				 errdetail("The model's categories are %s.",
						   ls_validate_word_list(ls_lead_category_names(model->model)))));
	ls_validate_category(model->model, category, row.where);
	check_bound(&row, "min_points");
	return row.tuple;
}

/* next_position gives a row without a position the one after all others. */
static void
next_position(LsCheckedRow *row, const char *model)
{
	int			column = SPI_fnumber(row->desc, "position");
	int32		last = 0;
	Datum		position;
	bool		isnull;
	ListCell   *lc;

	(void) column_value(row, "position", &isnull);
	if (!isnull)
		return;
	foreach(lc, ls_lead_categories(model, NULL))
		last = Max(last, ((LsCategoryRow *) lfirst(lc))->position);
	isnull = false;
	position = Int32GetDatum(last + 1);
	row->tuple = heap_modify_tuple_by_cols(row->tuple, row->desc, 1, &column, &position, &isnull);
}

/* ls_validate_category_row refuses categories without meaning. */
HeapTuple
ls_validate_category_row(const LsDefinition *change)
{
	LsCheckedRow row = {change->new, change->desc, NULL};
	LsCheckedRow old = {change->old, change->desc, NULL};
	LsModelRow *model;
	char	   *name;

	if (change->new == NULL)
	{
		ls_validate_delete(change);
		ls_category_check_removal(text_value(&old, "model"), text_value(&old, "category"));
		return NULL;
	}
	model = ls_validate_owner(change, &row, "category", "category");
	name = text_value(&row, "category");
	if (change->old == NULL)
		ls_category_check_new(model, name);
	else if (strcmp(text_value(&old, "category"), name) != 0)
		ls_category_check_rename(model, text_value(&old, "category"), name);
	next_position(&row, model->model);
	ls_validate_finite("weight", float_value(&row, "weight", 1), row.where);
	check_limits(&row, "min_points", "max_points");
	return row.tuple;
}

/*
 * is_other tells whether a row of lead_model changed, apart from its version and two
 * other columns, which may be NULL.
 */
static bool
is_other(HeapTuple a, HeapTuple b, TupleDesc desc, const char *but, const char *nor)
{
	for (int i = 1; i <= desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i - 1);

		if (attr->attisdropped || strcmp(NameStr(attr->attname), "rules_version") == 0 ||
			(but && strcmp(NameStr(attr->attname), but) == 0) ||
			(nor && strcmp(NameStr(attr->attname), nor) == 0))
			continue;
		if (ls_lead_row_differs(a, b, desc, i))
			return true;
	}
	return false;
}

/* refuse_made refuses to change what create_model() was told. */
static void
refuse_made(const LsCheckedRow *old, const LsCheckedRow *new)
{
	static const char *const columns[] = {"contacts", "created_at", "time_zone", "visitors_of"};

	for (int i = 0; i < (int) lengthof(columns); i++)
		if (ls_lead_row_differs(old->tuple, new->tuple, new->desc, SPI_fnumber(new->desc, columns[i])))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s of %s cannot be changed", columns[i], new->where),
					 errhint("Drop the model with leadscore.drop_model(), and create it again with leadscore.create_model().")));
}

/* key_changed tells whether another column is to be the key. */
static bool
key_changed(const LsCheckedRow *old, const LsCheckedRow *new)
{
	return ls_lead_row_differs(old->tuple, new->tuple, new->desc, SPI_fnumber(new->desc, "key"));
}

/* is_for_visitors tells whether a change also concerns the model of the visitors. */
static bool
is_for_visitors(const LsCheckedRow *old, const LsCheckedRow *new)
{
	return float_value(old, "max_drift", 0) != float_value(new, "max_drift", 0) ||
		float_value(old, "max_drift_ratio", 0) != float_value(new, "max_drift_ratio", 0) ||
		float_value(old, "min_score", -INFINITY) != float_value(new, "min_score", -INFINITY) ||
		float_value(old, "max_score", INFINITY) != float_value(new, "max_score", INFINITY) ||
		bool_value(old, "enabled") != bool_value(new, "enabled");
}

/*
 * accept_owner gives the row with the new owner as accepted, where a member of the new
 * owner's role enables a suspended model.
 */
static void
accept_owner(const LsModelRow *found, const LsCheckedRow *old, LsCheckedRow *row)
{
	int			column = SPI_fnumber(row->desc, "accepted_owner");
	Datum		owner = ObjectIdGetDatum(found->owner);
	bool		isnull = false;

	/* the view shows it as not enabled */
	if (!found->suspended || bool_value(old, "enabled") || !bool_value(row, "enabled"))
		return;
	row->tuple = heap_modify_tuple_by_cols(row->tuple, row->desc, 1, &column, &owner, &isnull);
}

static void
set_enabled(LsCheckedRow *row, bool enabled)
{
	int			column = SPI_fnumber(row->desc, "enabled");
	Datum		value = BoolGetDatum(enabled);
	bool		isnull = false;

	row->tuple = heap_modify_tuple_by_cols(row->tuple, row->desc, 1, &column, &value, &isnull);
}

/*
 * leave_to_model has visitors stay enabled or disabled as their model is, where a
 * statement without WHERE enables both.
 */
static void
leave_to_model(const LsModelRow *found, LsCheckedRow *old, LsCheckedRow *row)
{
	LsModelRow *model = ls_lead_model(found->visitors_of, NULL);

	if (!found->suspended &&
		(model == NULL || bool_value(row, "enabled") != model->switched_on))
		return;
	set_enabled(old, found->switched_on);
	set_enabled(row, found->switched_on);
}

/* ls_validate_model refuses drifts and limits of models without meaning. */
HeapTuple
ls_validate_model(const LsDefinition *change)
{
	LsCheckedRow row = {change->new, change->desc, NULL};
	LsCheckedRow old = {change->old, change->desc, NULL};
	char	   *model = text_value(&old, "model");
	LsModelRow *found;
	double		drift = float_value(&row, "max_drift", 0);
	double		ratio = float_value(&row, "max_drift_ratio", 0);

	(void) ls_lock_model(model);
	found = ls_lock_held_model(model);
	if (!is_other(old.tuple, row.tuple, row.desc, NULL, NULL) && !found->suspended)
		return row.tuple;
	accept_owner(found, &old, &row);
	if (found->visitors_of)
		leave_to_model(found, &old, &row);
	if (is_for_visitors(&old, &row))
		ls_visitors_refuse(found);
	row.where = psprintf("model \"%s\"", model);
	if (text_value(&row, "model") == NULL || strcmp(model, text_value(&row, "model")) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be renamed", row.where)));
	refuse_made(&old, &row);
	if (key_changed(&old, &row))
		ls_key_check(found, text_value(&row, "key"));
	ls_validate_finite("max_drift", drift, row.where);
	if (drift < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("max_drift of %s must be at least 0", row.where)));
	if (!(ratio >= 0 && ratio < 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("max_drift_ratio of %s must be at least 0 and below 1", row.where)));
	check_limits(&row, "min_score", "max_score");
	return row.tuple;
}

/* ---------- after a change ---------- */

/* has_waiting tells whether rules of a model are to be backfilled. */
static bool
has_waiting(const char *model)
{
	ListCell   *lc;

	foreach(lc, ls_lead_rules(model, NULL))
		if (((LsRuleRow *) lfirst(lc))->backfilled_version_null)
			return true;
	return false;
}

/* ls_validate_rules_changed gives a model a new version and has new rules backfilled. */
void
ls_validate_rules_changed(const char *model)
{
	ls_rule_references_check(model);
	/* a trigger of an event table wrote them, in the midst of a statement */
	if (has_waiting(model) && !ls_deferred_recompute_model(model))
		(void) ls_job_run_backfill(model);
	else
		ls_model_change_record(model);
}

void
ls_validate_stage_changed(const char *model)
{
	check_first_stage(model);
	ls_model_change_record(model);
}

/* keep_days creates daily_<model>, if daily snapshots are on. */
static void
keep_days(const char *model)
{
	LsModelRow *row = ls_lead_model(model, NULL);

	if (row == NULL || !row->daily)
		return;
	ls_daily_make_table(row);
}

/* accepted gives the owner as whom a model was accepted. */
static Oid
accepted(const LsCheckedRow *row)
{
	bool		isnull;

	return DatumGetObjectId(heap_getattr(row->tuple, SPI_fnumber(row->desc, "accepted_owner"),
										 row->desc, &isnull));
}

/* take_over gives tables that the former owner still has to the accepted one. */
static void
take_over(const char *model)
{

	ls_tables_give(ls_lead_model(model, NULL));
	CommandCounterIncrement();
}

/*
 * ls_validate_model_written does what follows from a changed row of lead_model.  A
 * model that was disabled has missed events and is recomputed.  Daily snapshots do not
 * concern the scores.
 */
void
ls_validate_model_written(const LsDefinition *change)
{
	LsCheckedRow row = {change->new, change->desc, NULL};
	LsCheckedRow old = {change->old, change->desc, NULL};
	char	   *model = text_value(&row, "model");
	bool		resumed = bool_value(&row, "enabled") &&
		(!bool_value(&old, "enabled") || accepted(&row) != accepted(&old));
	const char *visitors;

	if (!is_other(old.tuple, row.tuple, row.desc, NULL, NULL))
		return;
	if (key_changed(&old, &row))
		ls_key_written(model);
	keep_days(model);
	if (!is_other(old.tuple, row.tuple, row.desc, "daily", "key"))
		return;
	if (accepted(&row) != accepted(&old))
		take_over(model);
	ls_rule_history_record(model);
	ls_visitors_follow(model);
	ls_model_change_record(model);
	if (resumed)
		ls_job_run_rescore(model, NULL);
	visitors = ls_lead_visitors_model(model);
	if (visitors && accepted(&row) != accepted(&old))
		ls_job_run_rescore(visitors, NULL);
}
