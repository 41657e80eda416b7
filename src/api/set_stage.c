/*-------------------------------------------------------------------------
 *
 * set_stage.c
 *		Stage overrides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "api/arguments.h"
#include "base/sql.h"
#include "base/statement.h"
#include "base/suggest.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/rights.h"
#include "rules/source_locks.h"
#include "scoring/stage.h"
#include "tables/rule_error.h"
#include "tables/score_writer.h"

PG_FUNCTION_INFO_V1(ls_set_stage);
PG_FUNCTION_INFO_V1(ls_release_stage);

/* check_stage refuses a stage that the model does not have. */
static void
check_stage(const LsModel *model, const char *stage)
{
	List	   *names = NIL;
	const char *nearest;

	if (strcmp(stage, LS_DISQUALIFIED) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a stage override cannot disqualify a contact"),
				 errhint("Write a rule with disqualifies over a column of the contact, and set that.")));
	for (int i = 0; i < model->nstages; i++)
	{
		if (strcmp(model->stages[i].name, stage) == 0)
			return;
		names = lappend(names, model->stages[i].name);
	}
	nearest = ls_suggest_word(stage, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model \"%s\" has no stage \"%s\"", model->name, stage),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) :
			 errhint("Its stages are in leadscore.lead_stage.")));
}

/* override_stage sets or releases the stage of a contact. */
static void
override_stage(FunctionCallInfo fcinfo, const char *stage, const char *reason)
{
	LsModelRow *row = ls_rights_model(ls_sql_text_argument(fcinfo, 0, "model"),
									  GetUserId());
	LsModel    *model;
	LsChange	change = {.kind = LS_CHANGE_SET_STAGE};
	LsScoreWriter *writer;

	ls_sql_require_argument(fcinfo, 1, "contact");
	ls_lock_before_writing(row->model);
	row = ls_lock_held_model(row->model);
	model = ls_model_to_change(row->model, true);
	if (stage)
		check_stage(model, stage);
	change.contact = ls_argument_contact(fcinfo, model);
	ls_key_require_fit(&model->key, change.contact);
	change.data.set_stage.stage = stage;
	change.data.set_stage.reason = reason;
	change.data.set_stage.merge_pending = !ls_statement_under_way();
	writer = ls_score_writer_open(model, "manual");
	(void) ls_score_writer_change(writer, &change);
	ls_score_writer_close(writer);
	ls_rule_error_report(model);
	ls_model_release(model);
}

/* ls_set_stage is leadscore.set_stage(). */
Datum
ls_set_stage(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("set_stage()");
	override_stage(fcinfo, ls_sql_text_argument(fcinfo, 2, "stage"),
				   ls_sql_optional_argument(fcinfo, 3));
	PG_RETURN_VOID();
}

/* ls_release_stage is leadscore.release_stage(). */
Datum
ls_release_stage(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("release_stage()");
	override_stage(fcinfo, NULL, ls_sql_optional_argument(fcinfo, 2));
	PG_RETURN_VOID();
}
