/*-------------------------------------------------------------------------
 *
 * row_damage.c
 *		Rows of score_<model> that cannot be read.
 *
 * A row that somebody has changed by hand must not stop those who write events.  All
 * that it says follows from the events and from what was kept of purged ones, but for
 * the stage: so whoever comes to it next counts its contact anew, and says so.
 *
 *-------------------------------------------------------------------------
 */
#include "row_damage.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "disclose.h"
#include "feed.h"
#include "leadscore.h"
#include "note.h"

/* record writes down that a row was damaged, for the view rule_errors. */
static void
record(LsModel *model, Datum contact, const ErrorData *damage)
{
	LsArguments args = {0};
	LsIdentity	saved;

	ls_add_text(&args, model->name);
	ls_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()));
	ls_add_text(&args, unpack_sql_state(damage->sqlerrcode));
	ls_add_text(&args, damage->message);
	ls_add_text(&args, ls_key_text(&model->key, contact));
	ls_become(ls_extension_owner(), &saved);
	ls_execute("INSERT INTO leadscore_internal.lead_rule_error"
			   " (model, rule_id, name, failed_at, failures, sqlstate, message, contact)"
			   " VALUES ($1, NULL, 'row', $2, 1, $3, $4, $5)", &args);
	ls_return(&saved);
}

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
	if (change->whole == NULL && !change->count_all && ls_note_under_way())
	{
		ls_note_events(model, change->contact);
		return false;
	}
	tell(model, damage);
	record(model, change->contact, damage);
	*repaired = *change;
	repaired->delta = repaired->profile = repaired->slots = NULL;
	repaired->due = NULL;
	repaired->count_all = change->whole == NULL;
	repaired->count_profile = repaired->only_if_changed = repaired->state_only = false;
	return true;
}
