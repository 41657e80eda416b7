/*-------------------------------------------------------------------------
 *
 * erase.c
 *		Everything about one contact removed, as a law may require.
 *
 * The rows of event and contact tables are the application's own, and have to be
 * deleted before: otherwise the contact would be scored again.  Counts over many
 * contacts (funnel_daily_<model>) name none and stay.
 *
 * Contacts merged into a contact, and visitors identified as it, are the same person
 * and are erased with it.  Their identity rows are deleted first: that waits for
 * sessions that write to one of the contacts, in the common lock order, and rows that
 * they have written are seen afterwards.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "api/arguments.h"
#include "base/transaction.h"
#include "counting/event_reader.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/rights.h"
#include "rules/model_compile.h"
#include "rules/source_locks.h"
#include "tables/identity_table.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"
#include "tables/score_writer.h"

PG_FUNCTION_INFO_V1(ls_erase_contact);

/* Tables of a model that have rows of a contact, without identity tables */
static const char *const model_tables[] = {
	"due_", "pending_", "purged_", "profile_", "history_", "outbox_", "worker_error_",
	"daily_", "score_"
};

/*
 * Texts that name a contact, in tables of all models: $1 is the model.  A key can have
 * several texts, and some may have been written before an equal key got its row; so
 * keys are compared.
 */
static const char *const texts_sql =
	"SELECT contact FROM leadscore_internal.lead_rule_error"
	" WHERE model OPERATOR(pg_catalog.=) $1"
	" UNION SELECT pg_catalog.unnest(ARRAY[first, last, position])"
	" FROM leadscore_internal.lead_job_range WHERE model OPERATOR(pg_catalog.=) $1";

/*
 * Messages may quote the key; a short key is looked for in quotes only, as many words
 * contain it.
 */
#define QUOTES_IT(column) \
	"EXISTS (SELECT FROM pg_catalog.unnest($2) t(t) WHERE" \
	" pg_catalog.strpos(" column ", t) OPERATOR(pg_catalog.>) 0" \
	" AND pg_catalog.length(t) OPERATOR(pg_catalog.>) 3" \
	" OR pg_catalog.strpos(" column ", '\"' OPERATOR(pg_catalog.||) t OPERATOR(pg_catalog.||) '\"')" \
	" OPERATOR(pg_catalog.>) 0)"

/* What is done in the tables of all models: $1 the model, $2 texts of the contact */
static const char *const statements[] = {
	"DELETE FROM leadscore_internal.lead_rule_error"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND (contact OPERATOR(pg_catalog.=) ANY ($2) OR " QUOTES_IT("message") ")",
	"DELETE FROM leadscore_internal.lead_worker_error"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND " QUOTES_IT("message"),
	/* a job with the contact as a bound or position restarts its phase */
	"WITH gone AS (DELETE FROM leadscore_internal.lead_job_range"
	" WHERE job_id OPERATOR(pg_catalog.=) ANY (ARRAY("
	"SELECT job_id FROM leadscore_internal.lead_job_range WHERE model OPERATOR(pg_catalog.=) $1"
	" AND ARRAY[first, last, position] OPERATOR(pg_catalog.&&) $2)) RETURNING job_id, model, phase, done)"
	" INSERT INTO leadscore_internal.lead_job_range (job_id, range, model, phase, done)"
	" SELECT job_id, 1, model, phase, pg_catalog.sum(done) FROM gone GROUP BY job_id, model, phase",
	"UPDATE leadscore_internal.lead_job_range SET error = NULL"
	" WHERE model OPERATOR(pg_catalog.=) $1 AND " QUOTES_IT("error"),
};

/* has_rows tells whether the latest snapshot sees rows of a contact. */
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

/* check_gone refuses to erase a contact that would be scored again. */
static void
check_gone(LsModel *model, Datum contact)
{
	Oid			table = InvalidOid;

	if (model->unreadable)
		ls_rule_failure_refuse_suspended(model);
	if (model->visitors_of == NULL && has_rows(model, contact, LS_READ_CONTACTS, -1))
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
				 errhint("Delete them first; purged contributions are erased with the contact.")));
}

/* refuse_merged refuses to erase a contact that is merged into another. */
static void
refuse_merged(LsModel *model, Datum contact)
{
	Datum		target;

	if (!ls_identity_find(model, contact, LS_IDENTITY_NEWEST, &target))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("contact \"%s\" of model \"%s\" was merged into \"%s\"",
					ls_key_text(&model->key, contact), model->name,
					ls_key_text(&model->key, target)),
			 errhint("Call leadscore.unmerge() first, or erase \"%s\".",
					 ls_key_text(&model->key, target))));
}

/* Arguments for reading the key in a text */
typedef struct Reading
{
	LsModel    *model;
	const char *text;
	Datum		contact;
	bool		same;
} Reading;

static void
read_text(void *arg)
{
	Reading    *reading = arg;

	reading->same = ls_key_compare(&reading->model->key,
								   ls_key_read(&reading->model->key, reading->text),
								   reading->contact) == 0;
}

/*
 * names tells whether a text is one of a contact.  It may have been written for another
 * key type.
 */
static bool
names(LsModel *model, const char *text, Datum contact)
{
	Reading		reading = {model, text, contact, false};

	return ls_subtransaction_try(read_text, &reading) == NULL && reading.same;
}

/* stored_texts gives all texts that stand for contacts of a model. */
static List *
stored_texts(LsModel *model)
{
	List	   *texts = NIL;
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	ls_sql_add_text(&args, model->name);
	rows = ls_extension_query(texts_sql, &args);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		char	   *text = ls_sql_text(rows, i, 1);

		if (text)
			texts = lappend(texts, text);
	}
	return texts;
}

/* texts_of gives the texts of a contact, including the usual one, as an array. */
static Datum
texts_of(LsModel *model, Datum contact)
{
	char	   *own = ls_key_text(&model->key, contact);
	List	   *stored = stored_texts(model);
	Datum	   *texts = palloc(sizeof(Datum) * (list_length(stored) + 2));
	int			n = 0;
	LsScoreRow	row;
	ListCell   *lc;

	texts[n++] = CStringGetTextDatum(own);
	if (ls_score_table_find(model, contact, &row))
		texts[n++] = CStringGetTextDatum(ls_key_text(&model->key, row.contact));
	foreach(lc, stored)
		if (strcmp(lfirst(lc), own) != 0 && names(model, lfirst(lc), contact))
			texts[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* erase deletes all rows of one contact or visitor, and gives their number. */
static int64
erase(LsModel *model, Datum contact)
{
	LsSqlArguments key = {.newest = true};
	LsSqlArguments texts = {.newest = true};
	int64		rows = 0;

	ls_sql_add(&key, model->key.type, contact);
	ls_sql_add_text(&texts, model->name);
	ls_sql_add(&texts, TEXTARRAYOID, texts_of(model, contact));
	for (int i = 0; i < (int) lengthof(model_tables); i++)
	{
		char	   *name = psprintf("%s%s", model_tables[i], model->name);

		if (OidIsValid(ls_extension_table(name, true)))
			rows += ls_sql_execute_as_owner(model->score_table,
											psprintf("DELETE FROM leadscore.%s WHERE contact_id %s $1",
													 name, ls_key_equals(&model->key)), &key);
	}
	/* errors of other contacts may quote it */
	rows += ls_sql_execute_as_owner(model->score_table,
									psprintf("DELETE FROM leadscore.worker_error_%s WHERE " QUOTES_IT("message"),
											 model->name), &texts);
	for (int i = 0; i < (int) lengthof(statements); i++)
		rows += ls_extension_execute(statements[i], &texts);
	return rows;
}

/* ---------- identity resolution ---------- */

/* forget_identity deletes the identity row of a contact or visitor. */
static int64
forget_identity(LsModel *model, Datum contact)
{
	LsSqlArguments args = {.newest = true};

	ls_sql_add(&args, model->key.type, contact);
	return ls_sql_execute_as_owner(model->score_table,
								   psprintf("DELETE FROM %s", ls_identity_place(model)), &args);
}

/*
 * identities_now gives the contacts and visitors that count for a contact, in lock
 * order, under the latest snapshot.
 */
static LsIdentities
identities_now(LsModel *model, Datum contact)
{
	LsIdentities identities;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	ls_identity_of(model, contact, &identities);
	PopActiveSnapshot();
	if (identities.nsources > 0)
		qsort_arg(identities.sources, identities.nsources, sizeof(Datum), ls_key_order, &model->key);
	if (identities.nvisitors > 0)
		qsort_arg(identities.visitors, identities.nvisitors, sizeof(Datum), ls_key_order,
				  &model->visitor_key);
	return identities;
}

/* hold locks the row of a contact, waiting for other transactions. */
static void
hold(LsModel *model, Datum contact)
{
	LsScoreTable table;

	ls_score_table_open(&table, model);
	(void) ls_score_table_lock(&table, contact);
	ls_score_table_close(&table);
}

/*
 * forget_identities deletes the identity rows, and locks the row of the contact, in
 * lock order.
 */
static int64
forget_identities(LsModel *visitors, LsModel *model, Datum contact, const LsIdentities *identities)
{
	int64		rows = 0;
	int			i = 0;

	for (int j = 0; j < identities->nvisitors; j++)
		rows += forget_identity(visitors, identities->visitors[j]);
	for (; i < identities->nsources &&
		 ls_key_compare(&model->key, identities->sources[i], contact) < 0; i++)
		rows += forget_identity(model, identities->sources[i]);
	hold(model, contact);
	for (; i < identities->nsources; i++)
		rows += forget_identity(model, identities->sources[i]);
	return rows;
}

/* erase_person erases a contact with all contacts and visitors that count for it. */
static int64
erase_person(LsModel *visitors, LsModel *model, Datum contact)
{
	List	   *all = NIL;
	int64		rows = 0;
	int			attempts = 0;
	LsIdentities *identities;
	ListCell   *lc;

	/* contacts may be merged into it, or visitors identified, while this waits */
	do
	{
		ls_score_table_attempt(model, contact, model->merged_table, attempts++);
		identities = palloc(sizeof(LsIdentities));
		*identities = identities_now(model, contact);
		rows += forget_identities(visitors, model, contact, identities);
		all = lappend(all, identities);
	} while (identities->nvisitors + identities->nsources > 0);
	check_gone(model, contact);
	foreach(lc, all)
	{
		identities = lfirst(lc);
		for (int i = 0; i < identities->nvisitors; i++)
		{
			check_gone(visitors, identities->visitors[i]);
			rows += erase(visitors, identities->visitors[i]);
		}
		for (int i = 0; i < identities->nsources; i++)
		{
			check_gone(model, identities->sources[i]);
			rows += erase(model, identities->sources[i]);
		}
	}
	return rows + erase(model, contact);
}

/*
 * erase_visitor erases a visitor.  If it was identified, the identity row is deleted
 * and the contact is recomputed, without the purged contributions of the visitor.
 */
static int64
erase_visitor(LsModel *visitors, LsModel *model, Datum visitor)
{
	LsChange	change = {.kind = LS_CHANGE_RECOMPUTE};
	LsScoreWriter *writer;
	Datum		target;
	bool		identified = ls_identity_find(visitors, visitor, LS_IDENTITY_NEWEST, &target);
	int64		rows = 0;

	if (identified)
		rows = forget_identity(visitors, visitor);
	hold(visitors, visitor);
	CommandCounterIncrement();
	check_gone(visitors, visitor);
	rows += erase(visitors, visitor);
	if (!identified)
		return rows;
	writer = ls_score_writer_open(model, "merge");
	if (!ls_identity_find(model, target, LS_IDENTITY_NEWEST, &change.contact))
		change.contact = target;
	(void) ls_score_writer_change(writer, &change);
	ls_score_writer_close(writer);
	return rows;
}

/*
 * hold_job locks the job of a model, so that no session takes a range whose bounds may
 * name a contact that is erased.  A later job waits for this transaction before it has
 * ranges.
 */
static void
hold_job(const char *model)
{
	if (ls_job_open(model))
		LockRelationOid(ls_lead_score_table(model, false), ShareRowExclusiveLock);
}

/* ls_erase_contact is leadscore.erase_contact(). */
Datum
ls_erase_contact(PG_FUNCTION_ARGS)
{
	LsModelRow *row;
	LsModel    *model;
	LsModel    *visitors = NULL;
	const char *name;
	Datum		contact;
	int64		rows;

	PreventCommandIfReadOnly("erase_contact()");
	row = ls_rights_model(ls_sql_text_argument(fcinfo, 0, "model"), GetUserId());
	ls_sql_require_argument(fcinfo, 1, "contact");
	ls_lock_before_writing(row->visitors_of ? row->visitors_of : row->model);
	row = ls_lock_held_model(row->model);
	name = row->visitors_of ? row->model : ls_lead_visitors_model(row->model);
	if (name)
	{
		hold_job(name);
		visitors = ls_model_to_change(name, false);
	}
	hold_job(row->visitors_of ? row->visitors_of : row->model);
	model = ls_model_to_change(row->visitors_of ? row->visitors_of : row->model, false);
	contact = ls_argument_key(fcinfo, 1, row->visitors_of ? visitors : model);
	if (row->visitors_of)
		rows = erase_visitor(visitors, model, contact);
	else
	{
		refuse_merged(model, contact);
		rows = erase_person(visitors, model, contact);
	}
	ls_rule_error_report(model);
	ls_model_release(model);
	if (visitors)
		ls_model_release(visitors);
	PG_RETURN_INT64(rows);
}
