/*-------------------------------------------------------------------------
 *
 * damaged_row.c
 *		Rows of score_<model> that cannot be read.
 *
 * A row that was changed by hand must not stop sessions that write events.  All that it
 * says follows from the events and from purged contributions, but for the stage: so the
 * session that comes to it next recomputes it, and reports that.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/damaged_row.h"

#include "rules/disclosure.h"
#include "tables/rule_error.h"

/* tell warns the session that came to the row. */
static void
tell(const LsModel *model, const ErrorData *damage)
{
	bool		may_see = ls_may_see_table(model->owner, model->score_table);

	ereport(WARNING,
			(errcode(damage->sqlerrcode),
			 may_see ? errmsg("%s", damage->message) :
			 errmsg("a row of table \"score_%s\" is damaged", model->name),
			 may_see && damage->detail ? errdetail("%s", damage->detail) : 0,
			 errhint("The contact is recomputed from its events, and its stage determined afresh.")));
}

/* ls_damaged_row_report reports a damaged row that is about to be made a true one. */
void
ls_damaged_row_report(LsModel *model, Datum contact, const ErrorData *damage)
{
	tell(model, damage);
	ls_rule_error_write(model->name, 0, "row", 1, damage, ls_key_text(&model->key, contact));
}
