/*-------------------------------------------------------------------------
 *
 * damaged_row.c
 *		Rows of score_<model> that cannot be read.
 *
 * A row that somebody has changed by hand must not stop those who write events.  All
 * that it says follows from the events and from what was kept of purged ones, but for
 * the stage: so whoever comes to it next counts its contact anew, and says so.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/damaged_row.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/statement.h"
#include "rules/disclosure.h"
#include "tables/deferred.h"

/* tell warns whoever came to the row. */
static void
tell(const LsModel *model, const ErrorData *damage)
{
	bool		may_see = ls_may_see_table(model->owner, model->score_table);

	ereport(WARNING,
			(errcode(damage->sqlerrcode),
			 may_see ? errmsg("%s", damage->message) :
			 errmsg("a row of table \"score_%s\" is damaged", model->name),
			 may_see && damage->detail ? errdetail("%s", damage->detail) : 0,
			 errhint("The contact is counted anew from its events, and its stage found anew.")));
}

/*
 * ls_row_repair gives the change that makes a damaged row a true one, instead of one
 * that was to be made to it.  False: events of a statement under way are not all there,
 * and it is left to the end of that.
 */
bool
ls_row_repair(LsModel *model, const LsChange *change, const ErrorData *damage,
			  LsChange *repaired)
{
	if (change->whole == NULL && !change->count_all && ls_statement_under_way())
	{
		ls_deferred_recompute(model, change->contact);
		return false;
	}
	tell(model, damage);
	ls_rule_error_write(model->name, 0, "row", 1, damage,
						ls_key_text(&model->key, change->contact));
	*repaired = *change;
	repaired->delta = repaired->profile = repaired->slots = NULL;
	repaired->due = NULL;
	repaired->count_all = change->whole == NULL;
	repaired->count_profile = repaired->only_if_changed = repaired->state_only = false;
	return true;
}
