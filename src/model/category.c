/*-------------------------------------------------------------------------
 *
 * category.c
 *		Categories of existing models: added, renamed, removed.
 *
 * A category is a column of score_<model>, of live_<model>, and of daily_<model> where
 * there is one; the model of the visitors has the same.  The columns follow the row of
 * lead_category in the same transaction.  A new column has a missing value in existing
 * rows, so that only catalogs are read and written.
 *
 * Rules, grades and the conditions of stages name categories.  They follow a category
 * that is renamed; a category that is named is not removed.
 *
 *-------------------------------------------------------------------------
 */
#include "model/category.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/heap.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/decay.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "definitions/live_view.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/model_tables.h"
#include "model/rule_history.h"
#include "rules/expression_rename.h"

/* has_days tells whether a model, or that of its visitors, has a daily_<model> table. */
static bool
has_days(const char *model)
{
	const char *visitors = ls_lead_visitors_model(model);

	return OidIsValid(ls_extension_table(psprintf("daily_%s", model), true)) ||
		(visitors && OidIsValid(ls_extension_table(psprintf("daily_%s", visitors), true)));
}

/* check_free refuses a category name that the model cannot have. */
static void
check_free(const char *model, const char *category)
{
	List	   *names = ls_lead_category_names(model);
	ListCell   *lc;

	ls_tables_check_category(category);
	foreach(lc, names)
		if (strcmp(lfirst(lc), category) == 0)
			ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("category \"%s\" of model \"%s\" already exists", category, model)));
	if (strcmp(category, "day") == 0 && has_days(model))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("model \"%s\" cannot have a category \"day\"", model),
				 errdetail("Its contacts are kept by day, in a table which has another column of this name.")));
}

/* ---------- conditions of stages ---------- */

/*
 * The variables that a condition may use, before a change and after it.  Variables at
 * the same position are the same.
 */
typedef struct Variables
{
	List	   *before;
	List	   *after;
} Variables;

/* no condition can name this */
static char nameless[] = "";

/*
 * variables_of lists a model's variables, with one category under another name (NULL:
 * none).
 */
static Variables
variables_of(const char *model, const char *from, const char *to)
{
	Variables	v = {ls_lead_stage_variables(model), NIL};
	ListCell   *lc;

	foreach(lc, v.before)
	{
		bool		changed = from && strcmp(lfirst(lc), from) == 0;

		v.after = lappend(v.after, changed ? (to ? pstrdup(to) : nameless) : lfirst(lc));
	}
	if (from == NULL)
	{
		v.before = lappend(v.before, nameless);
		v.after = lappend(v.after, pstrdup(to));
	}
	return v;
}

/*
 * reread gives the text of a stage's condition that means the same under the new names
 * of variables, NULL where there is none.  A condition that cannot be read now is left
 * as it is.
 */
static char *
reread(const LsModelRow *model, const LsStageRow *stage, const Variables *v, LsRename *rename)
{
	LsRenamedText text = {.column = "condition", .use = LS_EXPR_CONDITION,
		.relid = model->contacts, .stage = stage->stage, .text = stage->condition};
	LsExprSpec	spec = {.use = LS_EXPR_CONDITION, .role = model->owner};

	spec.where = psprintf("condition of stage \"%s\" of model \"%s\"", stage->stage, model->model);
	spec.rel = relation_open(model->contacts, AccessShareLock);
	spec.variables = v->before;
	ls_expr_rename_read(&spec, &text);
	spec.variables = v->after;
	if (text.meaning)
		ls_expr_rename_write(&spec, &text, rename);
	else
		text.renamed = text.text;
	relation_close(spec.rel, AccessShareLock);
	return text.renamed;
}

/* stage_that_minds gives a stage whose condition would mean something else; NULL: none. */
static const char *
stage_that_minds(const LsModelRow *model, const char *from, const char *to)
{
	Variables	v = variables_of(model->model, from, to);
	LsRename	rename = {.kind = from && to ? LS_RENAME_NAME : LS_RENAME_OTHER};
	ListCell   *lc;

	rename.old_name = unconstify(char *, from);
	rename.new_name = unconstify(char *, to);
	foreach(lc, ls_lead_stages(model->model, NULL))
	{
		LsStageRow *stage = lfirst(lc);

		if (stage->condition && reread(model, stage, &v, &rename) == NULL)
			return stage->stage;
	}
	return NULL;
}

/* ---------- what is refused ---------- */

/* ls_category_check_new checks a category that is to be added. */
void
ls_category_check_new(const LsModelRow *model, const char *category)
{
	const char *stage;

	check_free(model->model, category);
	if (list_length(ls_lead_category_names(model->model)) >= LS_MAX_CATEGORIES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a model has between 1 and %d categories", LS_MAX_CATEGORIES)));
	stage = stage_that_minds(model, NULL, category);
	if (stage)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_COLUMN),
				 errmsg("category \"%s\" of model \"%s\" would hide a column that the condition of stage \"%s\" uses",
						category, model->model, stage),
				 errhint("Choose another name, or write the column with the name of its table.")));
}

/* ls_category_check_rename checks the new name of a category. */
void
ls_category_check_rename(const LsModelRow *model, const char *from, const char *to)
{
	const char *stage;

	check_free(model->model, to);
	stage = stage_that_minds(model, from, to);
	if (stage)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_COLUMN),
				 errmsg("category \"%s\" of model \"%s\" cannot be renamed to \"%s\"",
						from, model->model, to),
				 errdetail("The condition of stage \"%s\" cannot be written with that name.", stage),
				 errhint("Change the condition first.")));
}

/* named_by describes what names a category, for a message; NULL: nothing. */
static char *
named_by(const LsModelRow *model, const char *category)
{
	const char *stage;
	ListCell   *lc;

	foreach(lc, ls_lead_rules(model->model, NULL))
		if (strcmp(((LsRuleRow *) lfirst(lc))->category, category) == 0)
			return psprintf("rule \"%s\"", ((LsRuleRow *) lfirst(lc))->name);
	foreach(lc, ls_lead_grades(model->model, NULL))
		if (strcmp(((LsGradeRow *) lfirst(lc))->category, category) == 0)
			return psprintf("grade \"%s\"", ((LsGradeRow *) lfirst(lc))->grade);
	stage = stage_that_minds(model, category, NULL);
	return stage ? psprintf("the condition of stage \"%s\"", stage) : NULL;
}

/* ls_category_check_removal refuses to remove a category that is named. */
void
ls_category_check_removal(const char *name, const char *category)
{
	LsModelRow *model = ls_lead_model(name, NULL);
	char	   *user = model ? named_by(model, category) : NULL;

	if (user)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("category \"%s\" of model \"%s\" cannot be removed because it is used by %s",
						category, name, user),
				 errhint("Give its rules, grades and conditions of stages another category, or delete them.")));
}

/* ---------- columns ---------- */

/* with_visitors gives a model and that of its visitors, in the order of locks. */
static List *
with_visitors(const char *model)
{
	char	   *visitors = ls_lead_visitors_model(model);
	List	   *models = list_make1(pstrdup(model));

	return visitors ? lcons(visitors, models) : models;
}

/* tables_of gives the tables of all these models that have a column for each category. */
static List *
tables_of(List *models)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, models)
	{
		Oid			days = ls_extension_table(psprintf("daily_%s", (char *) lfirst(lc)), true);

		tables = lappend_oid(tables, ls_lead_score_table(lfirst(lc), false));
		if (OidIsValid(days))
			tables = lappend_oid(tables, days);
	}
	return tables;
}

/* no_points gives the value of a category without points. */
static double
no_points(const LsCategoryRow *category)
{
	return ls_decay_clamp(0, category->min_points, category->max_points);
}

/* make_views recreates live_<model> with the columns of the score tables. */
static void
make_views(List *models)
{
	ListCell   *lc;

	foreach(lc, models)
	{
		LsModelTables tables;

		ls_tables_read(ls_lead_model(lfirst(lc), NULL), &tables);
		ls_live_view_make(&tables);
	}
}

/*
 * add_column adds a column to a table, with a value in existing rows, none of which is
 * read or written.  ALTER TABLE ... ADD COLUMN with a default is refused, as a view
 * uses the row type of the table.  So the value is stored as the column's missing
 * value, as pg_upgrade does.  The column cannot be NOT NULL, as that would read all
 * rows.
 */
static void
add_column(Oid table, const LsCategoryRow *category, bool days)
{
	const char *name = ls_relation_qualified_name(table);

	if (days)
	{
		ls_extension_execute(psprintf("ALTER TABLE %s ADD COLUMN %s pg_catalog.float8 NOT NULL DEFAULT %.17g",
									  name, quote_identifier(category->category), no_points(category)), NULL);
		ls_extension_execute(psprintf("ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT",
									  name, quote_identifier(category->category)), NULL);
		return;
	}
	ls_extension_execute(psprintf("ALTER TABLE %s ADD COLUMN %s pg_catalog.float8", name,
								  quote_identifier(category->category)), NULL);
	CommandCounterIncrement();
	SetAttrMissing(table, category->category, psprintf("{%.17g}", no_points(category)));
	CommandCounterIncrement();
}

/* add_columns adds a column to all tables of some models. */
static void
add_columns(List *models, const LsCategoryRow *category)
{
	ListCell   *lc;

	foreach(lc, tables_of(models))
	{
		char	   *table = get_rel_name(lfirst_oid(lc));
		bool		days = strncmp(table, "daily_", 6) == 0;

		add_column(lfirst_oid(lc), category, days);
		ls_tables_comment(table, category->category, days ?
						  "points of the category, within its limits, when the day ended" :
						  "points of the category, within its limits, at scored_at");
	}
	make_views(models);
}

static void
rename_columns(List *models, const char *from, const char *to)
{
	ListCell   *lc;

	foreach(lc, tables_of(models))
		ls_extension_execute(psprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", ls_relation_qualified_name(lfirst_oid(lc)),
									  quote_identifier(from), quote_identifier(to)), NULL);
	foreach(lc, models)
		ls_extension_execute(psprintf("ALTER VIEW leadscore.live_%s RENAME COLUMN %s TO %s", (char *) lfirst(lc),
									  quote_identifier(from), quote_identifier(to)), NULL);
}

static void
drop_columns(List *models, const char *category)
{
	List	   *views = NIL;
	ListCell   *lc;
	ListCell   *vc;

	foreach(lc, tables_of(models))
		ls_live_view_refuse_dependents(lfirst_oid(lc), get_attnum(lfirst_oid(lc), category),
									   psprintf("remove column \"%s\" of table \"%s\"", category,
												get_rel_name(lfirst_oid(lc))));
	foreach(lc, models)
		views = lappend(views, ls_live_view_drop(lfirst(lc)));
	foreach(lc, tables_of(models))
		ls_extension_execute(psprintf("ALTER TABLE %s DROP COLUMN %s", ls_relation_qualified_name(lfirst_oid(lc)),
									  quote_identifier(category)), NULL);
	CommandCounterIncrement();
	forboth(lc, models, vc, views)
	{
		LsModelTables tables;

		ls_tables_read(ls_lead_model(lfirst(lc), NULL), &tables);
		ls_live_view_restore(&tables, lfirst(vc));
	}
}

/* ---------- what names a renamed category ---------- */

/* rename_in_table renames the category in the rows of a base table. */
static void
rename_in_table(const char *table, const char *model, const char *from, const char *to)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_sql_add_text(&args, from);
	ls_sql_add_text(&args, to);
	ls_extension_execute(psprintf("UPDATE leadscore_internal.%s SET category = $3 WHERE model = $1"
								  " AND category = $2", table), &args);
}

/* rename_in_stages renames the category in the conditions of stages. */
static void
rename_in_stages(const LsModelRow *model, const char *from, const char *to)
{
	Variables	v = variables_of(model->model, to, from);
	LsRename	rename = {.kind = LS_RENAME_NAME};
	List	   *was = v.after;
	ListCell   *lc;

	/* the row is written already */
	v.after = v.before;
	v.before = was;
	rename.old_name = unconstify(char *, from);
	rename.new_name = unconstify(char *, to);
	foreach(lc, ls_lead_stages(model->model, NULL))
	{
		LsStageRow *stage = lfirst(lc);
		char	   *condition = stage->condition ? reread(model, stage, &v, &rename) : NULL;
		LsSqlArguments args = {0};

		if (condition == NULL || strcmp(condition, stage->condition) == 0)
			continue;
		ls_sql_add_text(&args, model->model);
		ls_sql_add_text(&args, stage->stage);
		ls_sql_add_text(&args, condition);
		ls_extension_execute("UPDATE leadscore_internal.lead_stage SET condition = $3"
							 " WHERE model = $1 AND stage = $2", &args);
	}
}

/* rename_everywhere renames a category in everything that names it. */
static void
rename_everywhere(const LsModelRow *model, const char *from, const char *to)
{
	List	   *rules = ls_lead_rules(model->model, NULL);
	ListCell   *lc;

	rename_in_stages(model, from, to);
	rename_in_table("lead_rule", model->model, from, to);
	rename_in_table("lead_grade", model->model, from, to);
	rename_columns(with_visitors(model->model), from, to);
	CommandCounterIncrement();
	foreach(lc, rules)
		if (strcmp(((LsRuleRow *) lfirst(lc))->category, from) == 0)
			ls_rule_renamed(model->model, ((LsRuleRow *) lfirst(lc))->rule_id);
}

/* ---------- after a row ---------- */

/* read_row reads a row of lead_category. */
static LsCategoryRow
read_row(HeapTuple tuple, TupleDesc desc)
{
	LsCategoryRow row = {0};
	bool		no_low,
				no_high;

	row.category = SPI_getvalue(tuple, desc, SPI_fnumber(desc, "category"));
	row.min_points = DatumGetFloat8(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "min_points"), &no_low));
	row.max_points = DatumGetFloat8(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "max_points"), &no_high));
	if (no_low)
		row.min_points = -INFINITY;
	if (no_high)
		row.max_points = INFINITY;
	return row;
}

/* apply changes the tables of a model after a category was added, renamed or removed. */
static void
apply(const LsModelRow *model, const LsCategoryRow *old, const LsCategoryRow *new)
{
	List	   *models = with_visitors(model->model);
	LsUser		saved;

	/* waits for writers; the visitors' tables come first, as they do for writers */
	ls_lock_against_all(tables_of(models));
	if (old && new)
	{
		rename_everywhere(model, old->category, new->category);
		return;
	}
	ls_user_switch(ls_extension_owner(), &saved);
	if (new)
		add_columns(models, new);
	else
		drop_columns(models, old->category);
	ls_user_restore(&saved);
	CommandCounterIncrement();
}

/*
 * ls_category_written changes tables and versions after a row of lead_category was
 * written.  Where the change cannot affect a stored score, no score row is looked at.
 */
void
ls_category_written(const LsDefinition *change)
{
	TupleDesc	desc = change->desc;
	HeapTuple	any = change->new ? change->new : change->old;
	LsModelRow *model = ls_lead_model(SPI_getvalue(any, desc, SPI_fnumber(desc, "model")), NULL);
	LsCategoryRow old = {0};
	LsCategoryRow new = {0};

	/* a row that was restored without its model */
	if (model == NULL)
		return;
	if (change->old)
		old = read_row(change->old, desc);
	if (change->new)
		new = read_row(change->new, desc);
	if (change->old == NULL || change->new == NULL)
	{
		apply(model, change->old ? &old : NULL, change->new ? &new : NULL);
		if (no_points(change->new ? &new : &old) == 0)
		{
			ls_model_change_version(model->model);
			return;
		}
	}
	else if (strcmp(old.category, new.category) != 0)
		apply(model, &old, &new);
	ls_model_change_record(model->model);
}

/* ls_category_changed checks a model's categories at the end of a statement. */
void
ls_category_changed(const char *model)
{
	if (ls_lead_category_names(model) == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a model has between 1 and %d categories", LS_MAX_CATEGORIES),
				 errhint("Call leadscore.drop_model() if the model is no longer wanted.")));
	ls_rule_history_record(model);
}
