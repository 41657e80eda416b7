/*-------------------------------------------------------------------------
 *
 * erase.c
 *		Everything about one contact removed, as the law may demand.
 *
 * The rows of event and contact tables are the application's own, and have to
 * be gone before: the contact would be scored again from what is left.  What is
 * counted over many contacts (funnel_daily_<model>) names none and stays.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "alias.h"
#include "ask.h"
#include "catalog.h"
#include "feed.h"
#include "leadscore.h"
#include "lock.h"
#include "reader.h"
#include "score_table.h"

PG_FUNCTION_INFO_V1(ls_erase_contact);

/* Tables of a model, and where they name the contact */
static const struct
{
	const char *prefix;
	const char *column;
}			model_tables[] = {
	{"due_", "contact_id"},
	{"pending_", "contact_id"},
	{"kept_", "contact_id"},
	{"profile_", "contact_id"},
	{"daily_", "contact_id"},
	{"identity_", "contact_id"},
	{"merged_", "source_id"},
	{"merged_", "target_id"},
	{"score_", "contact_id"},
};

/* Messages may quote what could not be read; short keys are in too many words */
#define NAMES_IT(column) \
	"(contact OPERATOR(pg_catalog.=) $2" \
	" OR pg_catalog.strpos(" column ", $2) OPERATOR(pg_catalog.>) 0" \
	" AND pg_catalog.length($2) OPERATOR(pg_catalog.>) 3" \
	" OR pg_catalog.strpos(" column ", '\"' OPERATOR(pg_catalog.||) $2 OPERATOR(pg_catalog.||) '\"')" \
	" OPERATOR(pg_catalog.>) 0)"

/* What is to be done in the tables of all models: $1 the model, $2 the contact */
static const struct
{
	const char *table;
	const char *sql;
}			statements[] = {
	{"lead_stage_history", "DELETE FROM leadscore.lead_stage_history"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND contact OPERATOR(pg_catalog.=) $2"},
	{"lead_outbox", "DELETE FROM leadscore.lead_outbox"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND contact OPERATOR(pg_catalog.=) $2"},
	{"lead_rule_error", "DELETE FROM leadscore.lead_rule_error"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND " NAMES_IT("message")},
	{"lead_worker_error", "DELETE FROM leadscore.lead_worker_error"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND " NAMES_IT("message")},
	/* a job that is under way goes on from there */
	{"lead_job", "UPDATE leadscore.lead_job SET position = NULL"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND position OPERATOR(pg_catalog.=) $2"
	" AND finished_at IS NOT NULL"},
};

/* has_rows tells whether there are rows of a contact, as the newest snapshot sees it. */
static bool
has_rows(LsModel *model, Datum contact, int what, int source)
{
	LsReaderSpec spec = {.model = model, .what = what, .source = source,
	.one = true, .contact = contact};
	LsReader   *reader;
	Datum		found;
	bool		any;

	PushActiveSnapshot(GetLatestSnapshot());
	reader = ls_reader_open(&spec);
	any = ls_reader_next(reader, &found);
	ls_reader_close(reader);
	PopActiveSnapshot();
	return any;
}

/* check_gone refuses to erase a contact that would come back. */
static void
check_gone(LsModel *model, Datum contact)
{
	Oid			table = InvalidOid;

	if (has_rows(model, contact, LS_READ_CONTACTS, -1))
		table = model->contacts;
	for (int i = 0; i < model->nsources && !OidIsValid(table); i++)
		if (has_rows(model, contact, LS_READ_EVENTS, i))
			table = model->sources[i].relation;
	if (OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" of model \"%s\" still has rows in table \"%s\"",
						ls_key_text(&model->key, contact), model->name, get_rel_name(table)),
				 errdetail("It would be scored again from them."),
				 errhint("Delete them before; what a source keeps of deleted rows is erased here.")));
}

/* refuse_merged refuses to erase a contact whose events count for another. */
static void
refuse_merged(LsModel *model, Datum contact)
{
	Datum		target;

	if (!ls_alias_find(model, contact, LS_ALIAS_NOW, &target))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("contact \"%s\" of model \"%s\" was merged into \"%s\"",
					ls_key_text(&model->key, contact), model->name,
					ls_key_text(&model->key, target)),
			 errhint("Call leadscore.unmerge() first, or erase \"%s\".",
					 ls_key_text(&model->key, target))));
}

/* erase removes what there is, and gives the number of rows. */
static int64
erase(LsModel *model, Datum contact)
{
	LsArguments key = {0};
	LsArguments names = {0};
	LsIdentity	saved;
	int64		rows = 0;

	ls_add(&key, model->key.type, contact);
	ls_add_text(&names, model->name);
	ls_add_text(&names, ls_key_text(&model->key, contact));
	ls_become(ls_extension_owner(), &saved);
	for (int i = 0; i < (int) lengthof(model_tables); i++)
	{
		char	   *name = psprintf("%s%s", model_tables[i].prefix, model->name);

		if (OidIsValid(ls_table_oid(name, true)))
			rows += ls_row_execute(psprintf("DELETE FROM leadscore.%s WHERE %s %s $1", name,
											model_tables[i].column,
											ls_row_key_operator(model)), &key);
	}
	for (int i = 0; i < (int) lengthof(statements); i++)
		if (OidIsValid(ls_table_oid(statements[i].table, true)))
			rows += ls_row_execute(statements[i].sql, &names);
	ls_return(&saved);
	return rows;
}

/* ls_erase_contact is leadscore.erase_contact(). */
Datum
ls_erase_contact(PG_FUNCTION_ARGS)
{
	LsModelRow *row;
	LsModel    *model;
	LsScoreRow	unused;
	Datum		contact;
	int64		rows;

	PreventCommandIfReadOnly("erase_contact()");
	row = ls_model_row_for(ls_text_argument(fcinfo, 0, "model"), GetUserId());
	if (PG_ARGISNULL(1))
		(void) ls_text_argument(fcinfo, 1, "contact");
	ls_lock_before_writing(row->model);
	row = ls_model_row_held(row->model, GetUserId());
	model = ls_model_to_change(row->model, false);
	contact = ls_asked_key(fcinfo, 1, model);
	refuse_merged(model, contact);
	/* whoever is at it comes first, and what he wrote is seen */
	(void) ls_row_select(model, contact, &unused, true);
	check_gone(model, contact);
	rows = erase(model, contact);
	ls_model_release(model);
	PG_RETURN_INT64(rows);
}
