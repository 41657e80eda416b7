/*-------------------------------------------------------------------------
 *
 * table_layout.c
 *		What the tables of a model look like.
 *
 * Whatever is stored about a contact is stored under its key, in the key's own type,
 * and compared by the type's own operator: one key can have several texts.  A column
 * with the key's type is listed here, so that its type is changed with the contact
 * table's (model_tables.c) and its rows are found when a person is erased (erase.c).
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/table_layout.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "utils/syscache.h"

#include "base/leadscore.h"
#include "base/relation.h"
#include "definitions/extension.h"

#define CONTACT_COMMENT "contact: the key of the contact table"
#define OFTEN_VACUUMED "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05"

static const LsIndexLayout by_contact[] = {
	{"contact", "(contact_id)"},
	{NULL}
};

/*
 * due_<model>: its key is the order in which the worker takes contacts, and the
 * only index; rows move often.
 */
static const LsColumnLayout due_columns[] = {
	{"due_at", TIMESTAMPTZOID, "",
	"when the contact is to be looked at: early at worst, never late"},
	{"drift", BOOLOID, "",
	"whether only numbers will have drifted, and no stage or grade changed"},
	{"contact_id", LS_TYPE_KEY, "", CONTACT_COMMENT},
	{NULL}
};
static const LsTableLayout due = {
	.prefix = "due_",
	.comment = "when time will change the contacts of model %s: at most one row a contact, kept by leadscore",
	.columns = due_columns,
	.key = "due_at, drift, contact_id",
	.options = OFTEN_VACUUMED,
};

/*
 * pending_<model>: changes that writers enqueue which must not wait for a contact's
 * row.  It is filled and emptied all the time.
 */
static const LsColumnLayout pending_columns[] = {
	{"contact_id", LS_TYPE_KEY, " NOT NULL", CONTACT_COMMENT},
	{"rules_version", INT8OID, " NOT NULL",
	"version of the rules that the events were matched with"},
	{"noted_at", TIMESTAMPTZOID, " NOT NULL", "when it was put aside"},
	{"profile", BOOLOID, " NOT NULL",
	"whether it is the contact''s row that has changed"},
	{"delta", BYTEAOID, "",
	"internal: what the events add up to; null: the contact has to be recomputed"},
	{NULL}
};
static const LsTableLayout pending = {
	.prefix = "pending_",
	.comment = "what has still to be folded into the scores of model %s; scores that are asked for include it",
	.columns = pending_columns,
	.options = "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0,"
	" autovacuum_vacuum_insert_threshold = -1",
	.external = "delta",
	.indexes = by_contact,
	.restored = true,
};

/*
 * profile_<model>: what the rows of contacts said, and since when, as far as profile
 * rules use it.  Rows are only added.
 */
static const LsColumnLayout profile_columns[] = {
	{"contact_id", LS_TYPE_KEY, "", CONTACT_COMMENT},
	{"since", TIMESTAMPTZOID, "",
	"from when on; -infinity: always, as far as is known"},
	{"backfilled", BOOLOID, " NOT NULL",
	"whether rules were backfilled, and not the contact changed"},
	{"has_contact", BOOLOID, " NOT NULL",
	"whether the contact table had the contact"},
	{"created_at", TIMESTAMPTZOID, "",
	"the contact''s beginning, where the model has a column for it"},
	{"versions", INT8ARRAYOID, " NOT NULL",
	"profile rules that held, as the column versions of lead_rule_history names them"},
	{"weights", FLOAT8ARRAYOID, " NOT NULL",
	"what the points of each were multiplied with"},
	{NULL}
};
static const LsTableLayout profile = {
	.prefix = "profile_",
	.comment = "what profile rules of model %s said of contacts, from when on; kept by leadscore",
	.columns = profile_columns,
	.key = "contact_id, since",
};

/* purged_<model>: what purged events contributed.  Rows are only added. */
static const LsColumnLayout purged_columns[] = {
	{"contact_id", LS_TYPE_KEY, " NOT NULL", CONTACT_COMMENT},
	{"source", TEXTOID, " COLLATE \"C\" NOT NULL", "source whose rows were purged"},
	{"until", TIMESTAMPTZOID, " NOT NULL",
	"time of the latest of the events that were purged together"},
	{"rules_version", INT8OID, " NOT NULL",
	"version of the rules that the events were matched with"},
	{"state", BYTEAOID, " NOT NULL", "internal: what the events add up to"},
	{NULL}
};
static const LsTableLayout purged = {
	.prefix = "purged_",
	.comment = "contributions of purged events to the scores of model %s",
	.columns = purged_columns,
	.indexes = by_contact,
};

/*
 * merged_<model> and identity_<model>: contacts and visitors whose rows count for
 * another contact, with their former values, which are restored when they are
 * separated.
 */
#define BEFORE_COLUMNS \
	{"stage", TEXTOID, "", \
	"stage that it was in before; null: it had no score"}, \
	{"stage_since", TIMESTAMPTZOID, "", \
	"since when it was in that stage"}, \
	{"prior_stage", TEXTOID, "", \
	"internal: sticky stage that it had before it was disqualified"}, \
	{"stage_override", INT4OID, "", \
	"internal: how that stage was overridden; 0: it was not"}, \
	{NULL}

static const LsColumnLayout merged_columns[] = {
	{"source_id", LS_TYPE_KEY, "", "contact that was merged: its events count for another"},
	{"target_id", LS_TYPE_KEY, " NOT NULL", "contact for whom they count"},
	{"merged_into", LS_TYPE_KEY, " NOT NULL",
	"contact into which it was merged, which may have been merged itself since"},
	{"merged_at", TIMESTAMPTZOID, " NOT NULL", "when it was merged"},
	{"merged_by", NAMEOID, " NOT NULL", "role that merged it"},
	BEFORE_COLUMNS
};
static const LsIndexLayout merged_indexes[] = {
	{"target", "(target_id)"},
	{NULL}
};
static const LsTableLayout merged = {
	.prefix = "merged_",
	.comment = "contacts of model %s that were merged into others, written by leadscore.merge_contacts()",
	.columns = merged_columns,
	.key = "source_id",
	.indexes = merged_indexes,
};

static const LsColumnLayout identity_columns[] = {
	{"visitor", LS_TYPE_VISITOR, "", "key of the visitor, as anonymous events have it"},
	{"contact_id", LS_TYPE_KEY, " NOT NULL", "contact that the visitor is"},
	{"identified_at", TIMESTAMPTZOID, " NOT NULL", "when that was said"},
	{"identified_by", NAMEOID, " NOT NULL", "role that said so"},
	BEFORE_COLUMNS
};
static const LsTableLayout identity = {
	.prefix = "identity_",
	.comment = "visitors of whom model %s knows which contact they are, written by leadscore.identify()",
	.columns = identity_columns,
	.key = "visitor",
	.indexes = by_contact,
};

/*
 * history_<model>: changes of stage.  Rows are only added, except that those older
 * than leadscore.history_retention are deleted: rows come in the order of
 * recorded_at.
 */
static const LsColumnLayout history_columns[] = {
	{"contact_id", LS_TYPE_KEY, " NOT NULL", CONTACT_COMMENT},
	{"from_stage", TEXTOID, "", "stage that it left; null: its first"},
	{"to_stage", TEXTOID, " NOT NULL", "stage that it entered"},
	{"score", FLOAT8OID, " NOT NULL", "its score at that instant"},
	{"changed_at", TIMESTAMPTZOID, " NOT NULL", "when it happened"},
	{"recorded_at", TIMESTAMPTZOID, " NOT NULL", "when it was written down"},
	{"cause", TEXTOID, " NOT NULL",
	"why: event, time, rule, profile, manual, merge or backfill"},
	{"reason", TEXTOID, "",
	"what was given as the reason of a stage override"},
	{NULL}
};
static const LsIndexLayout history_indexes[] = {
	{"contact", "(contact_id, changed_at)"},
	{"recorded", "USING brin (recorded_at) WITH (autosummarize = on)"},
	{NULL}
};
static const LsTableLayout history = {
	.prefix = "history_",
	.comment = "every change of stage in model %s: when it happened, when it was recorded, and why",
	.columns = history_columns,
	.indexes = history_indexes,
};

/*
 * outbox_<model>: what actions have to deliver.  An action is copied as it was when
 * the event happened, so that a later change of it does not change what has
 * happened.  The indexes are of pending rows: for consumers, for consumers of one
 * action, which do not read another action's backlog, and for the worker.
 */
static const LsColumnLayout outbox_columns[] = {
	{"outbox_id", INT8OID, "",
	"number of the row: the same at every delivery, for those who must do a thing once"},
	{"action", TEXTOID, " COLLATE \"C\" NOT NULL", "name of the action"},
	{"contact_id", LS_TYPE_KEY, " NOT NULL", CONTACT_COMMENT},
	{"occasion", TEXTOID, " NOT NULL",
	"what happened: stage_entered, stage_left, score_rises, score_falls or rule_in_force"},
	{"stage", TEXTOID, " COLLATE \"C\"",
	"stage that was entered or left; the one that the contact is in, on other occasions"},
	{"from_stage", TEXTOID, " COLLATE \"C\"",
	"stage that it left; null: it stayed in its own"},
	{"to_stage", TEXTOID, " COLLATE \"C\"",
	"stage that it entered; null: it stayed in its own"},
	{"score_level", FLOAT8OID, "", "score that was reached, or is no longer reached"},
	{"rule", TEXTOID, " COLLATE \"C\"", "name of the rule that came in force"},
	{"score", FLOAT8OID, " NOT NULL", "score at that instant"},
	{"cause", TEXTOID, " NOT NULL",
	"why: event, time, rule, profile, manual, merge or backfill"},
	{"happened_at", TIMESTAMPTZOID, " NOT NULL", "when it happened"},
	{"recorded_at", TIMESTAMPTZOID, " NOT NULL", "when it was written down"},
	{"deliver", TEXTOID, " COLLATE \"C\" NOT NULL",
	"how it is delivered: outbox, notify or function"},
	{"channel", TEXTOID, "", "channel of the NOTIFY; null: leadscore"},
	{"function", TEXTOID, "", "function that is called"},
	{"timeout", INTERVALOID, " NOT NULL",
	"how long a call of the function may take"},
	{"max_attempts", INT4OID, " NOT NULL", "how often delivery is tried"},
	{"payload", JSONBOID, " NOT NULL",
	"all of it as JSON: what a NOTIFY or a function is given"},
	{"status", TEXTOID, " COLLATE \"C\" NOT NULL",
	"ready: to be delivered; done: delivered; dead: given up after max_attempts"},
	{"available_at", TIMESTAMPTZOID, " NOT NULL",
	"when it may be taken: at once, when a lease ends, or at the next attempt"},
	{"taken_by", TEXTOID, "", "consumer that has it, or had it when it was done"},
	{"attempts", INT4OID, " NOT NULL", "how often delivery was begun"},
	{"last_error", TEXTOID, "", "why the latest attempt failed"},
	{"finished_at", TIMESTAMPTZOID, "", "when it was done, or given up"},
	{NULL}
};
static const LsIndexLayout outbox_indexes[] = {
	{"ready", "(available_at, outbox_id)"
	" WHERE status OPERATOR(pg_catalog.=) 'ready' AND deliver OPERATOR(pg_catalog.=) 'outbox'"},
	{"ready_action", "(action, available_at, outbox_id)"
	" WHERE status OPERATOR(pg_catalog.=) 'ready' AND deliver OPERATOR(pg_catalog.=) 'outbox'"},
	{"worker", "(deliver, available_at, outbox_id)"
	" WHERE status OPERATOR(pg_catalog.=) 'ready' AND deliver OPERATOR(pg_catalog.<>) 'outbox'"},
	{"finished", "(status, finished_at) WHERE status OPERATOR(pg_catalog.<>) 'ready'"},
	{NULL}
};
static const LsTableLayout outbox = {
	.prefix = "outbox_",
	.comment = "what there is to be told of what happened in model %s, written in the transaction in which it happened",
	.columns = outbox_columns,
	.key = "outbox_id",
	.options = OFTEN_VACUUMED,
	.indexes = outbox_indexes,
	.restored = true,
};

/* worker_error_<model>: contacts that the worker failed on */
static const LsColumnLayout worker_error_columns[] = {
	{"contact_id", LS_TYPE_KEY, "", CONTACT_COMMENT},
	{"failures", INT8OID, " NOT NULL", "how many times in a row"},
	{"first_failed_at", TIMESTAMPTZOID, " NOT NULL",
	"the first of these times; like all times here by the real clock"},
	{"last_failed_at", TIMESTAMPTZOID, " NOT NULL", "the last of these times"},
	{"retry_at", TIMESTAMPTZOID, " NOT NULL", "when it will be tried again"},
	{"sqlstate", TEXTOID, " NOT NULL", "code of the latest error"},
	{"message", TEXTOID, " NOT NULL", "message of the latest error"},
	{NULL}
};
static const LsTableLayout worker_error = {
	.prefix = "worker_error_",
	.comment = "contacts of model %s that the worker failed on, and tries again later; a row goes when it has succeeded",
	.columns = worker_error_columns,
	.key = "contact_id",
};

const LsTableLayout *const ls_table_layouts[] = {
	&due, &pending, &profile, &purged, &merged, &identity, &history, &outbox,
	&worker_error, NULL
};

/* ls_table_layout gives the layout of the tables with a prefix. */
const LsTableLayout *
ls_table_layout(const char *prefix)
{
	for (int i = 0; ls_table_layouts[i]; i++)
		if (strcmp(ls_table_layouts[i]->prefix, prefix) == 0)
			return ls_table_layouts[i];
	elog(ERROR, "there are no tables \"%s\" of models", prefix);
}

static bool
is_of_type(const LsColumnLayout *column, Oid type, Oid key_type)
{
	return type == (column->type == LS_TYPE_KEY ? key_type : column->type);
}

static void
refuse(const char *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" does not have the columns that leadscore gave it", table),
			 errhint("Undo what was done to it, or drop the model.")));
}

/*
 * ls_table_layout_check refuses a table whose columns are not those that it was made
 * with: it belongs to the model's owner, who can alter it.
 */
void
ls_table_layout_check(Relation rel, const char *prefix, Oid key_type)
{
	const LsColumnLayout *columns = ls_table_layout(prefix)->columns;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		right = rel->rd_rel->relkind == RELKIND_RELATION;
	int			n = 0;

	for (; columns[n].name && right; n++)
		right = n < desc->natts &&
			is_of_type(&columns[n], TupleDescAttr(desc, n)->atttypid, key_type);
	if (!right || n != desc->natts)
		refuse(RelationGetRelationName(rel));
}

/*
 * ls_table_layout_check_unopened is the same for a table of a model that may not be
 * needed: it is not opened, as a session collects all that there is to know of a table
 * when it first opens it.  Nothing is said of one that is not there.
 */
void
ls_table_layout_check_unopened(const char *model, const char *prefix, Oid key_type)
{
	const LsColumnLayout *columns = ls_table_layout(prefix)->columns;
	char	   *name = psprintf("%s%s", prefix, model);
	HeapTuple	tuple = ls_extension_relation(LEADSCORE_SCHEMA, name);
	Form_pg_class row;
	Oid		   *types;
	int			n = 0;
	bool		right;

	if (!HeapTupleIsValid(tuple))
		return;
	row = (Form_pg_class) GETSTRUCT(tuple);
	types = palloc(sizeof(Oid) * Max(1, row->relnatts));
	ls_relation_read_types(row->oid, row->relnatts, types);
	right = row->relkind == RELKIND_RELATION;
	for (; columns[n].name && right; n++)
		right = n < row->relnatts && is_of_type(&columns[n], types[n], key_type);
	if (!right || n != row->relnatts)
		refuse(name);
	ReleaseSysCache(tuple);
}
