/*-------------------------------------------------------------------------
 *
 * purged_table.c
 *		The rows of purged_<model>: what purged events contributed.
 *
 * Where deleted events are to stay in the scores, the sum of what they contributed is
 * inserted here: a state for each contact and source of a statement.  The contact's
 * score includes it already and is not touched, so nothing has to be locked.  A contact
 * that is recomputed from its events gets it added.
 *
 * What a snapshot sees here fits what it sees of the events: a row was deleted and its
 * contribution inserted by the same commit.
 *
 * States are never compacted, so that they can be added to any state in any order,
 * limits per period included.  Slots are those of what the rules matched at the purge;
 * rules that are written later find nothing there.
 *
 * A rule that is backfilled gets another version, even if it matches the same events: a
 * column got another type, or its source was attached again.  The history of rules has
 * all versions under which a rule was backfilled as it reads, and slots of these are
 * taken for those of the present version.
 *
 * Rows outlast their source: while it is not attached they count for nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/purged_table.h"

#include "access/stratnum.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/relation.h"
#include "base/sql.h"
#include "base/table_scan.h"
#include "base/transaction.h"
#include "definitions/extension.h"
#include "definitions/table_layout.h"
#include "tables/identity_table.h"

static int	on_delete = LS_ON_DELETE_SOURCE;

/* columns of purged_<model> */
enum
{
	PURGED_CONTACT,
	PURGED_SOURCE,
	PURGED_UNTIL,
	PURGED_RULES_VERSION,
	PURGED_STATE
};

/*
 * warn_ignored warns, once a transaction for a model and its visitors, that the
 * caller's setting is ignored.
 */
static void
warn_ignored(LsModel *model)
{
	if (model->visitors_of || model->warned_in == ls_transaction_number())
		return;
	model->warned_in = ls_transaction_number();
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("leadscore.on_delete is ignored for model \"%s\"", model->name),
			 errdetail("Only members of the role that owns the model decide whether contributions of deleted events are kept."),
			 errhint("What attach() was told applies; the owner can let others decide by a SECURITY DEFINER function that sets it and deletes.")));
}

/*
 * ls_purged_is_kept tells whether what is deleted from a source becomes purged
 * contributions. Any role that may delete may set leadscore.on_delete, but it is
 * ignored unless that role is a member of the role that owns the model.
 */
bool
ls_purged_is_kept(const LsModel *model, const LsSource *source)
{
	bool		keep = on_delete == LS_ON_DELETE_KEEP;

	if (on_delete == LS_ON_DELETE_SOURCE || keep == source->keep)
		return source->keep;
	if (has_privs_of_role(GetUserId(), model->owner))
		return keep;
	warn_ignored(unconstify(LsModel *, model));
	return source->keep;
}

/* ---------- writing ---------- */

LsRowWriter *
ls_purged_open(LsModel *model)
{
	return ls_row_writer_open(model, "purged_", model->purged_table, 0);
}

/* until gives the latest event of a state, even one dated after the clock. */
static TimestampTz
until(const LsState *state)
{
	TimestampTz latest = state->last;

	if (state->nfuture > 0)
		latest = Max(latest, state->future[state->nfuture - 1]);
	return latest;
}

/* ls_purged_add inserts the purged contributions of a contact. */
void
ls_purged_add(LsRowWriter *table, Datum contact, const char *source,
			  const LsState *state)
{
	bytea	   *bytes = ls_state_encode(state);
	text	   *name = cstring_to_text(source);

	ls_row_writer_clear(table);
	ls_row_writer_set(table, PURGED_CONTACT, contact);
	ls_row_writer_set(table, PURGED_SOURCE, PointerGetDatum(name));
	ls_row_writer_set(table, PURGED_UNTIL, TimestampTzGetDatum(until(state)));
	ls_row_writer_set(table, PURGED_RULES_VERSION, Int64GetDatum(table->model->version));
	ls_row_writer_set(table, PURGED_STATE, PointerGetDatum(bytes));
	ls_row_writer_add(table);
	pfree(bytes);
	pfree(name);
}

/*
 * of_source executes a statement about the contributions of a source, and returns the
 * number of rows.
 */
static int64
of_source(const char *sql, const char *model, const char *source)
{
	LsSqlArguments args = {.newest = true};

	ls_sql_add_text(&args, source);
	return ls_sql_execute_as_owner(ls_extension_table(psprintf("purged_%s", model), false), sql, &args);
}

/* ls_purged_of_source tells whether there are contributions of a source. */
bool
ls_purged_of_source(const char *model, const char *source)
{
	return of_source(psprintf("SELECT FROM leadscore.purged_%s"
							  " WHERE source OPERATOR(pg_catalog.=) $1 LIMIT 1", model),
					 model, source) > 0;
}

/* ls_purged_forget_source deletes the purged contributions of a source. */
int64
ls_purged_forget_source(const char *model, const char *source)
{
	return of_source(psprintf("DELETE FROM leadscore.purged_%s"
							  " WHERE source OPERATOR(pg_catalog.=) $1", model),
					 model, source);
}

/* ---------- versions of rules ---------- */

/* A version under which a rule was backfilled before, and its present one */
typedef struct LsFormer
{
	int64		version;
	LsRule	   *rule;
} LsFormer;

static int
by_version(const void *a, const void *b)
{
	int64		x = ((const LsFormer *) a)->version;
	int64		y = ((const LsFormer *) b)->version;

	return (x > y) - (x < y);
}

/*
 * says_of tells whether a row of the history is of a rule as it reads now.  A rule that
 * waits to be backfilled reads as in its last row.
 */
static bool
says_of(const LsRuleVersion *row, const LsRule *rule, int nrules)
{
	if (row->rule.rule_id != rule->rule_id)
		return false;
	if (rule->version >= PG_INT64_MAX - nrules)
		return row->to == DT_NOEND;
	for (int i = 0; i < row->nversions; i++)
		if (row->versions[i] == rule->version)
			return true;
	return false;
}

/*
 * load_former loads the former versions under which the rules of a model were
 * backfilled.
 */
static void
load_former(LsModel *model)
{
	List	   *rows = ls_lead_rule_versions(model->name, NULL);
	LsFormer   *former;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, rows)
		n += ((LsRuleVersion *) lfirst(lc))->nversions;
	former = MemoryContextAlloc(model->context, sizeof(LsFormer) * Max(1, n));
	n = 0;
	foreach(lc, rows)
	{
		LsRuleVersion *row = lfirst(lc);

		for (int i = 0; i < model->nrules; i++)
		{
			LsRule	   *rule = &model->rules[i];

			if (rule->version == 0 || !says_of(row, rule, model->nrules))
				continue;
			for (int j = 0; j < row->nversions; j++)
				if (row->versions[j] != rule->version)
					former[n++] = (LsFormer) {row->versions[j], rule};
			break;
		}
	}
	qsort(former, n, sizeof(LsFormer), by_version);
	model->former_versions = former;
	model->nformer = n;
}

static int
by_slot_version(const void *a, const void *b)
{
	int64		x = ((const LsSlot *) a)->version;
	int64		y = ((const LsSlot *) b)->version;

	return (x > y) - (x < y);
}

/* adopt_slots turns slots of former versions of rules into slots of the present ones. */
static void
adopt_slots(LsModel *model, LsState *state)
{
	bool		changed = false;

	if (model->former_versions == NULL)
		load_former(model);
	for (int i = 0; i < state->nslots && model->nformer > 0; i++)
	{
		LsFormer	key = {state->slots[i].version, NULL};
		LsFormer   *found = bsearch(&key, model->former_versions, model->nformer,
									sizeof(LsFormer), by_version);

		if (found == NULL)
			continue;
		state->slots[i].version = found->rule->version;
		changed = true;
	}
	if (changed)
		qsort(state->slots, state->nslots, sizeof(LsSlot), by_slot_version);
}

/* ---------- reading ---------- */

static LsPurged *
read_row(LsModel *model, const LsTableScan *scan)
{
	LsPurged   *row = palloc(sizeof(LsPurged));

	row->source = TextDatumGetCString(scan->values[PURGED_SOURCE]);
	row->until = DatumGetTimestampTz(scan->values[PURGED_UNTIL]);
	ls_state_decode(DatumGetByteaPCopy(scan->values[PURGED_STATE]), &row->state);
	adopt_slots(model, &row->state);
	return row;
}

/* ls_purged_any tells whether there may be contributions to a model. */
bool
ls_purged_any(LsModel *model)
{
	return ls_relation_has_pages(model->purged_table);
}

/* append_attached restricts rows to those of sources that are attached. */
static void
append_attached(StringInfo sql, const LsModel *model)
{
	appendStringInfoString(sql, " WHERE k.source OPERATOR(pg_catalog.=) ANY (ARRAY[");
	for (int i = 0; i < model->nsources; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "",
						 quote_literal_cstr(model->sources[i].name));
	appendStringInfoString(sql, "]::pg_catalog.text[])");
}

/* append_contacts restricts rows to the keys of contacts. */
static void
append_contacts(StringInfo sql, LsModel *model, const char *visitors)
{
	const char *equals = ls_key_equals(&model->key);
	char	   *merged = ls_relation_qualified_name(model->merged_table);

	appendStringInfo(sql, "SELECT COALESCE(m.target_id, k.contact_id) AS contact_id"
					 " FROM %s k LEFT JOIN %s m ON (m.source_id %s k.contact_id)",
					 ls_relation_qualified_name(model->purged_table), merged, equals);
	append_attached(sql, model);
	if (visitors == NULL || !OidIsValid(model->identity_table))
		return;
	appendStringInfo(sql, " UNION ALL SELECT COALESCE(m.target_id, i.contact_id)"
					 " FROM leadscore.purged_%s k JOIN %s i ON (i.visitor %s k.contact_id)"
					 " LEFT JOIN %s m ON (m.source_id %s i.contact_id)",
					 visitors, ls_relation_qualified_name(model->identity_table),
					 ls_key_equals(&model->visitor_key), merged, equals);
	append_attached(sql, model);
}

/*
 * ls_purged_query gives the query of contacts that have contributions; rest is what
 * follows WHERE and restricts and orders t.contact_id.  Contributions of a merged
 * contact, or of an identified visitor, are those of the contact for which it counts.
 */
char *
ls_purged_query(LsModel *model, const char *rest)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT t.contact_id FROM (");
	if (model->visitors_of == NULL)
		append_contacts(&sql, model, ls_lead_visitors_model(model->name));
	else
	{
		appendStringInfo(&sql, "SELECT k.contact_id FROM %s k",
						 ls_relation_qualified_name(model->purged_table));
		append_attached(&sql, model);
		if (OidIsValid(model->identity_table))
			appendStringInfo(&sql, " AND NOT EXISTS (SELECT FROM %s i WHERE i.visitor %s k.contact_id)",
							 ls_relation_qualified_name(model->identity_table), ls_key_equals(&model->key));
	}
	appendStringInfo(&sql, ") t WHERE true%s", rest);
	return sql.data;
}

/* rows_of gives the rows with one key that the active snapshot sees. */
static List *
rows_of(LsModel *model, Datum contact)
{
	List	   *rows = NIL;
	LsTableScan scan;

	ls_table_scan_open(&scan, model->purged_table, AccessShareLock, &model->key);
	ls_table_layout_check(scan.rel, "purged_", model->key.type);
	if (!ls_table_scan_empty(&scan))
		ls_table_scan_by(&scan, PURGED_CONTACT + 1, BTEqualStrategyNumber, &contact);
	while (scan.index && ls_table_scan_next(&scan))
	{
		LsPurged   *row = read_row(model, &scan);

		if (ls_model_source_by_name(model, row->source))
			rows = lappend(rows, row);
	}
	ls_table_scan_close(&scan, AccessShareLock);
	return rows;
}

/*
 * ls_purged_rows gives the rows that the active snapshot sees of a contact, and of
 * those whose events count for it.
 */
List *
ls_purged_rows(LsModel *model, Datum contact)
{
	LsIdentities identities;
	LsModel    *visitors;
	List	   *rows;

	if (!ls_identity_has_merges(model) && !ls_identity_has_visitors(model))
		return rows_of(model, contact);
	ls_identity_of(model, contact, &identities);
	if (identities.taken)
		return NIL;
	rows = rows_of(model, contact);
	for (int i = 0; i < identities.nsources; i++)
		rows = list_concat(rows, rows_of(model, identities.sources[i]));
	if (identities.nvisitors == 0 || ls_lead_visitors_model(model->name) == NULL)
		return rows;
	visitors = ls_model_acquire(ls_lead_visitors_model(model->name), NULL);
	for (int i = 0; visitors && i < identities.nvisitors; i++)
		rows = list_concat(rows, rows_of(visitors, identities.visitors[i]));
	if (visitors)
		ls_model_release(visitors);
	return rows;
}

/*
 * ls_purged_merge adds the contributions of a contact to a state that was never
 * compacted.
 */
void
ls_purged_merge(LsModel *model, Datum contact, LsState *state)
{
	ListCell   *lc;

	foreach(lc, ls_purged_rows(model, contact))
		ls_state_merge(model, state, &((LsPurged *) lfirst(lc))->state);
}

/* ---------- notices ---------- */

/*
 * purged gives, for each attached source that has contributions, its name and the
 * instant of the latest purged event, as the active snapshot sees it: pairs, in two
 * lists.
 */
static void
purged(LsModel *model, List **sources, List **latest)
{
	LsSqlArguments args = {.read_only = true};
	SPITupleTable *rows;

	*sources = *latest = NIL;
	if (!ls_purged_any(model))
		return;
	rows = ls_sql_query_as_owner(model->purged_table,
								 psprintf("SELECT source, pg_catalog.max(until) FROM leadscore.purged_%s"
										  " GROUP BY source ORDER BY source", model->name), &args);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		char	   *source = ls_sql_text(rows, i, 1);
		TimestampTz *at = palloc(sizeof(TimestampTz));

		if (ls_model_source_by_name(model, source) == NULL)
			continue;
		*at = DatumGetTimestampTz(ls_sql_value(rows, i, 2, NULL));
		*sources = lappend(*sources, source);
		*latest = lappend(*latest, at);
	}
}

/* ls_purged_report reports up to which instant events of a model may have been purged. */
void
ls_purged_report(LsModel *model, const char *detail)
{
	List	   *sources;
	List	   *latest;

	purged(model, &sources, &latest);
	for (int i = 0; i < list_length(sources); i++)
		ereport(NOTICE,
				(errmsg("events of source \"%s\" of model \"%s\" up to %s may have been purged",
						(char *) list_nth(sources, i), model->name,
						timestamptz_to_str(*(TimestampTz *) list_nth(latest, i))),
				 errdetail("%s", detail)));
}

/* backfilled_before tells whether a rule was backfilled before as it reads now. */
static bool
backfilled_before(LsModel *model, const LsRule *rule)
{
	ListCell   *lc;

	foreach(lc, ls_lead_rule_versions(model->name, NULL))
	{
		LsRuleVersion *row = lfirst(lc);

		if (row->rule.rule_id == rule->rule_id && row->to == DT_NOEND)
			return row->nversions > 0;
	}
	return false;
}

/* reads tells whether a rule reads a source. */
static bool
reads(const LsModel *model, const LsRule *rule, const char *source)
{
	for (int i = 0; i < LS_NROWS; i++)
		if (rule->rows[i].read && (rule->rows[i].source < 0 ||
								   strcmp(model->sources[rule->rows[i].source].name, source) == 0))
			return true;
	return false;
}

/*
 * ls_purged_report_rule reports which events are not counted by a rule that matches
 * something new.
 */
void
ls_purged_report_rule(LsModel *model, const LsRule *rule)
{
	List	   *sources;
	List	   *latest;

	if (rule->kind == LS_PROFILE || !ls_purged_any(model) || backfilled_before(model, rule))
		return;
	purged(model, &sources, &latest);
	for (int i = 0; i < list_length(sources); i++)
		if (reads(model, rule, list_nth(sources, i)))
			ereport(NOTICE,
					(errmsg("rule \"%s\" of model \"%s\" does not match purged events of source \"%s\"",
							rule->name, model->name, (char *) list_nth(sources, i)),
					 errdetail("Events up to %s may have been purged, and their contributions are kept only for rules that matched them then.",
							   timestamptz_to_str(*(TimestampTz *) list_nth(latest, i)))));
}

static const struct config_enum_entry on_delete_options[] = {
	{"source", LS_ON_DELETE_SOURCE, false},
	{"retract", LS_ON_DELETE_RETRACT, false},
	{"keep", LS_ON_DELETE_KEEP, false},
	{NULL, 0, false}
};

void
ls_purged_define(void)
{
	DefineCustomEnumVariable("leadscore.on_delete",
							 "What deleting events means for the scores.",
							 "source: what attach() was told; retract: they never happened; keep: they happened, and are only not stored any longer.",
							 &on_delete, LS_ON_DELETE_SOURCE,
							 on_delete_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
}
