/*-------------------------------------------------------------------------
 *
 * identity.c
 *		Contacts merged and unmerged, visitors identified.
 *
 * States add up, so a merge needs only this: from now on the source's rows count for
 * the target, which is recomputed from the events of both, so that limits, once and
 * minimum counts are right; and the source has no row in the score table any more.
 * unmerge() is the reverse.  Contacts merged into the source move with it, and return
 * with it.
 *
 * Rows are locked in the common order: those of visitors before those of the model, by
 * key; for a contact without a row in score_<model>, its row of merged_<model>
 * (identity_table.c).  What was read before is checked again under the locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/relation.h"
#include "base/sql.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/model_access.h"
#include "definitions/rights.h"
#include "model/anonymous_visitors.h"
#include "rules/source_locks.h"
#include "tables/identity_table.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"
#include "tables/score_writer.h"
#include "tables/stage_history.h"

PG_FUNCTION_INFO_V1(ls_merge_contacts);
PG_FUNCTION_INFO_V1(ls_unmerge);
PG_FUNCTION_INFO_V1(ls_identify);
PG_FUNCTION_INFO_V1(ls_unidentify);
PG_FUNCTION_INFO_V1(ls_identities);
PG_FUNCTION_INFO_V1(ls_history_of);

/* Keys, sorted */
typedef struct Keys
{
	int			n;
	Datum	   *keys;
} Keys;

/* ---------- models ---------- */

/* check_model gives the row of a model whose contacts the caller may merge. */
static LsModelRow *
check_model(FunctionCallInfo fcinfo)
{
	LsModelRow *row = ls_rights_model(ls_sql_text_argument(fcinfo, 0, "model"), GetUserId());

	ls_visitors_refuse(row);
	ls_lock_before_writing(row->model);
	return ls_lock_held_model(row->model);
}

static void
close_writer(LsModel *model, LsScoreWriter *writer)
{
	ls_score_writer_close(writer);
	ls_rule_error_report(model);
	ls_model_release(model);
}

/* ---------- identity rows ---------- */

/*
 * merged_into gives all contacts that were merged into a contact, directly or not: they
 * move with it in merge_contacts() and unmerge().
 */
static Keys
merged_into(LsModel *model, Datum contact)
{
	LsSqlArguments args = {.newest = true};
	SPITupleTable *rows;
	Keys		found;

	ls_sql_add(&args, model->key.type, contact);
	rows = ls_sql_query_as_owner(model->score_table,
								 psprintf("WITH RECURSIVE below AS (SELECT m.source_id FROM %1$s m"
										  " WHERE m.merged_into %2$s $1 UNION ALL SELECT m.source_id FROM %1$s m"
										  " JOIN below b ON m.merged_into %2$s b.source_id)"
										  " SELECT source_id FROM below",
										  ls_relation_qualified_name(model->merged_table),
										  ls_key_equals(&model->key)), &args);
	found.n = rows->numvals;
	found.keys = palloc(sizeof(Datum) * Max(1, found.n));
	for (int i = 0; i < found.n; i++)
		found.keys[i] = ls_sql_value(rows, i, 1, NULL);
	return found;
}

/* count_for sets the target of some merged contacts. */
static void
count_for(LsModel *model, const Keys *keys, Datum target)
{
	for (int i = 0; i < keys->n; i++)
	{
		LsSqlArguments args = {.newest = true};

		ls_sql_add(&args, model->key.type, keys->keys[i]);
		ls_sql_add(&args, model->key.type, target);
		ls_sql_execute_as_owner(model->score_table,
								psprintf("UPDATE %s SET target_id = $2 WHERE source_id %s $1",
										 ls_relation_qualified_name(model->merged_table),
										 ls_key_equals(&model->key)), &args);
	}
}

/* add_stage_state adds the stage of a contact as arguments, for unmerge() to restore. */
static void
add_stage_state(LsSqlArguments *args, const LsStageState *stage_state)
{
	ls_sql_add_text(args, stage_state ? stage_state->stage : NULL);
	ls_sql_add(args, TIMESTAMPTZOID, TimestampTzGetDatum(stage_state ? stage_state->since : 0));
	if (stage_state == NULL)
		args->nulls[args->n - 1] = 'n';
	ls_sql_add_text(args, stage_state ? stage_state->prior_stage : NULL);
	ls_sql_add(args, INT4OID, Int32GetDatum(stage_state ? stage_state->override : LS_OVERRIDE_NONE));
}

/*
 * write_alias inserts the row by which a contact, or a visitor, counts for another
 * contact.
 */
static void
write_alias(LsModel *model, Datum one, Datum target, const LsStageState *stage_state)
{
	LsSqlArguments args = {.newest = true};
	bool		visitor = model->visitors_of != NULL;

	ls_sql_add(&args, model->key.type, one);
	ls_sql_add(&args, visitor ? model->target_type : model->key.type, target);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	ls_sql_add(&args, TEXTOID, CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)));
	add_stage_state(&args, stage_state);
	ls_sql_execute_as_owner(model->score_table,
							psprintf("INSERT INTO %s (%s, stage, stage_since, prior_stage, stage_override)"
									 " VALUES (%s, $3, $4::name, $5, $6, $7, $8)",
									 ls_relation_qualified_name(visitor ? model->identity_table : model->merged_table),
									 visitor ? "visitor, contact_id, identified_at, identified_by" :
									 "source_id, target_id, merged_into, merged_at, merged_by",
									 visitor ? "$1, $2" : "$1, $2, $2"), &args);
}

/* has_stage tells whether the model still has a stage. */
static bool
has_stage(const LsModel *model, const char *stage)
{
	for (int i = 0; i < model->nstages; i++)
		if (strcmp(model->stages[i].name, stage) == 0)
			return true;
	return false;
}

/*
 * take_back deletes the identity row of a contact, and gives the stage that it had
 * before; NULL where the model no longer has that stage.
 */
static LsStageState *
take_back(LsModel *model, Datum contact)
{
	LsSqlArguments args = {.newest = true};
	LsStageState *stage_state = NULL;
	SPITupleTable *rows;

	ls_sql_add(&args, model->key.type, contact);
	rows = ls_sql_query_as_owner(model->score_table,
								 psprintf("DELETE FROM %s RETURNING stage, stage_since, prior_stage, stage_override",
										  ls_identity_place(model)), &args);
	if (rows->numvals == 1)
	{
		char	   *prior = ls_sql_text(rows, 0, 3);

		stage_state = palloc0(sizeof(LsStageState));
		stage_state->stage = ls_sql_text(rows, 0, 1);
		stage_state->since = DatumGetTimestampTz(ls_sql_value(rows, 0, 2, NULL));
		stage_state->prior_stage = prior && has_stage(model, prior) ? prior : NULL;
		stage_state->override = DatumGetInt32(ls_sql_value(rows, 0, 4, NULL));
	}
	if (stage_state && (stage_state->stage == NULL ||
						(strcmp(stage_state->stage, LS_DISQUALIFIED) != 0 &&
						 !has_stage(model, stage_state->stage))))
		return NULL;
	return stage_state;
}

/* ---------- locks ---------- */

/*
 * hold_row locks the row of a contact, merges pending changes into it, and reads it.
 * False where there is none.
 */
static bool
hold_row(LsModel *model, LsScoreWriter *writer, Datum contact, LsScoreRow *row)
{
	LsChange	change = {.kind = LS_CHANGE_PENDING, .contact = contact};

	(void) ls_score_writer_change(writer, &change);
	CommandCounterIncrement();
	return ls_score_table_find_newest(model, contact, row);
}

/* hold_identity locks the identity row of a contact. */
static void
hold_identity(LsModel *model, Datum contact)
{
	LsSqlArguments args = {.newest = true};

	ls_sql_add(&args, model->key.type, contact);
	ls_sql_execute_as_owner(model->score_table,
							psprintf("SELECT 1 FROM %s FOR UPDATE", ls_identity_place(model)), &args);
}

/* hold_all locks the rows of contacts, or their identity rows, in lock order. */
static void
hold_all(LsModel *model, LsScoreWriter *writer, const Keys *keys, Datum one, Datum other)
{
	int			n = keys->n + 2;
	Datum	   *all = palloc(sizeof(Datum) * n);
	LsScoreRow	row;
	Datum		target;

	memcpy(all, keys->keys, sizeof(Datum) * keys->n);
	all[keys->n] = one;
	all[keys->n + 1] = other;
	qsort_arg(all, n, sizeof(Datum), ls_key_order, &model->key);
	for (int i = 0; i < n; i++)
	{
		if (ls_identity_find(model, all[i], LS_IDENTITY_NEWEST, &target))
			hold_identity(model, all[i]);
		else
			(void) hold_row(model, writer, all[i], &row);
	}
}

/* refuse_changed raises the error that contacts were merged concurrently. */
static void
refuse_changed(const LsModel *model)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("contacts of model \"%s\" were merged or unmerged at the same time", model->name),
			 errhint("Try again.")));
}

/* check_same raises an error where the merged contacts changed before they were locked. */
static void
check_same(LsModel *model, const Keys *before, const Keys *now)
{
	bool		same = before->n == now->n;

	for (int i = 0; same && i < now->n; i++)
	{
		bool		known = false;

		for (int j = 0; j < before->n && !known; j++)
			known = ls_key_compare(&model->key, now->keys[i], before->keys[j]) == 0;
		same = known;
	}
	if (!same)
		refuse_changed(model);
}

/* ---------- changes ---------- */

/* recompute recomputes a contact from the events of all that count for it now. */
static void
recompute(LsScoreWriter *writer, Datum contact, const LsStageState *stage_state)
{
	LsChange	change = {.kind = LS_CHANGE_RECOMPUTE, .contact = contact,
	.data.recompute.stage = stage_state};

	CommandCounterIncrement();
	(void) ls_score_writer_change(writer, &change);
	CommandCounterIncrement();
}

/* remove_row deletes the row of a contact that counts for another now. */
static void
remove_row(LsScoreWriter *writer, Datum contact)
{
	LsChange	change = {.kind = LS_CHANGE_REMOVE, .contact = contact};

	CommandCounterIncrement();
	(void) ls_score_writer_change(writer, &change);
	CommandCounterIncrement();
}

/* ---------- merging contacts ---------- */

/* refuse_unknown refuses a contact that does not exist. */
static void
refuse_unknown(LsModel *model, Datum contact)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("model \"%s\" has no contact \"%s\"", model->name,
					ls_key_text(&model->key, contact)),
			 errhint("A contact has a score when the contact table or an attached table has a row of it.")));
}

/* refuse_merged refuses contacts that were merged already. */
static void
refuse_merged(LsModel *model, Datum target, Datum source)
{
	Datum		other;

	if (ls_identity_find(model, source, LS_IDENTITY_NEWEST, &other))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" of model \"%s\" was already merged into \"%s\"",
						ls_key_text(&model->key, source), model->name,
						ls_key_text(&model->key, other)),
				 errhint("Call leadscore.unmerge('%s', ...) first, or merge \"%s\".",
						 model->name, ls_key_text(&model->key, other))));
	if (ls_identity_find(model, target, LS_IDENTITY_NEWEST, &other))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" of model \"%s\" was itself merged into \"%s\"",
						ls_key_text(&model->key, target), model->name,
						ls_key_text(&model->key, other)),
				 errhint("Merge into \"%s\".", ls_key_text(&model->key, other))));
}

/* ls_merge_contacts is leadscore.merge_contacts(). */
Datum
ls_merge_contacts(PG_FUNCTION_ARGS)
{
	LsModel    *model;
	LsScoreWriter *writer;
	Datum		target,
				source;
	Keys		along,
				now;
	LsScoreRow	row;
	LsStageState stage_state;

	PreventCommandIfReadOnly("merge_contacts()");
	model = ls_model_to_change(check_model(fcinfo)->model, true);
	ls_sql_require_argument(fcinfo, 1, "target");
	ls_sql_require_argument(fcinfo, 2, "source");
	target = ls_argument_key(fcinfo, 1, model);
	source = ls_argument_key(fcinfo, 2, model);
	ls_key_require_fit(&model->key, target);
	ls_key_require_fit(&model->key, source);
	if (ls_key_compare(&model->key, target, source) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("contact \"%s\" cannot be merged into itself",
						ls_key_text(&model->key, source))));
	refuse_merged(model, target, source);
	along = merged_into(model, source);

	writer = ls_score_writer_open(model, "merge");
	hold_all(model, writer, &along, target, source);
	refuse_merged(model, target, source);
	now = merged_into(model, source);
	check_same(model, &along, &now);
	if (!hold_row(model, writer, target, &row))
		refuse_unknown(model, target);
	if (!hold_row(model, writer, source, &row))
		refuse_unknown(model, source);
	stage_state = ls_score_row_stage_state(&row);

	write_alias(model, source, target, &stage_state);
	count_for(model, &along, target);
	remove_row(writer, source);
	recompute(writer, target, NULL);
	close_writer(model, writer);
	PG_RETURN_VOID();
}

/* ls_unmerge is leadscore.unmerge(). */
Datum
ls_unmerge(PG_FUNCTION_ARGS)
{
	LsModel    *model;
	LsScoreWriter *writer;
	Datum		source,
				target,
				still;
	Keys		back,
				now;
	LsStageState *stage_state;

	PreventCommandIfReadOnly("unmerge()");
	model = ls_model_to_change(check_model(fcinfo)->model, true);
	ls_sql_require_argument(fcinfo, 1, "source");
	source = ls_argument_key(fcinfo, 1, model);
	if (!ls_identity_find(model, source, LS_IDENTITY_NEWEST, &target))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("contact \"%s\" of model \"%s\" is not merged into another",
						ls_key_text(&model->key, source), model->name),
				 errhint("Table leadscore.merged_%s lists those that are.", model->name)));
	back = merged_into(model, source);

	writer = ls_score_writer_open(model, "merge");
	hold_all(model, writer, &back, target, source);
	now = merged_into(model, source);
	check_same(model, &back, &now);
	if (!ls_identity_find(model, source, LS_IDENTITY_NEWEST, &still) ||
		ls_key_compare(&model->key, still, target) != 0)
		refuse_changed(model);

	stage_state = take_back(model, source);
	count_for(model, &back, source);
	recompute(writer, source, stage_state);
	recompute(writer, target, NULL);
	close_writer(model, writer);
	PG_RETURN_VOID();
}

/* ---------- visitors ---------- */

/* open_visitors gives the model of a model's visitors, which is locked first. */
static LsModel *
open_visitors(const char *name)
{
	const char *visitors = ls_lead_visitors_model(name);

	if (visitors == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no visitors", name),
				 errhint("Attach a source with visitor => '...', the column that has the key of a visitor where there is no contact.")));
	return ls_model_to_change(visitors, true);
}

/* make_row inserts a row for a visitor without one, to lock it. */
static bool
make_row(LsModel *visitors, Datum visitor)
{
	LsScoreTable table;
	LsScoreRow	row;
	bool		made;

	ls_score_row_start(visitors, visitor, &row, ls_clock());
	ls_score_table_open(&table, visitors);
	made = ls_score_table_insert(&table, &row);
	ls_score_table_close(&table);
	return made;
}

/* unmake_row deletes a row that make_row() has inserted. */
static void
unmake_row(LsModel *visitors, Datum visitor)
{
	LsScoreTable table;

	ls_score_table_open(&table, visitors);
	ls_score_table_delete(&table, visitor);
	ls_score_table_close(&table);
}

/* counts_for gives the contact that a contact counts for, which may be itself. */
static Datum
counts_for(LsModel *model, Datum contact)
{
	Datum		target;

	return ls_identity_find(model, contact, LS_IDENTITY_NEWEST, &target) ? target : contact;
}

/*
 * is_identified tells whether a visitor is identified as this contact, or as one that
 * is merged with it.  Identified as another, it raises an error.
 */
static bool
is_identified(LsModel *visitors, LsModel *model, Datum visitor, Datum contact)
{
	Datum		other;

	if (!ls_identity_find(visitors, visitor, LS_IDENTITY_NEWEST, &other))
		return false;
	if (ls_key_compare(&model->key, counts_for(model, contact),
					   counts_for(model, other)) == 0)
		return true;
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("visitor \"%s\" of model \"%s\" is already identified as contact \"%s\"",
					ls_key_text(&visitors->key, visitor), model->name,
					ls_key_text(&model->key, other)),
			 errhint("Call leadscore.unidentify() first if that was wrong, or leadscore.merge_contacts() if both contacts are one person.")));
	return false;				/* not reached */
}

/*
 * hold_visitor locks the row of a visitor, inserting one where there is none, so that a
 * session that writes its first event waits.  True if there was one.
 */
static bool
hold_visitor(LsModel *visitors, LsScoreWriter *writer, Datum visitor, LsScoreRow *row)
{
	for (int attempts = 0; !hold_row(visitors, writer, visitor, row); attempts++)
	{
		ls_score_table_attempt(visitors, visitor, visitors->score_table, attempts);
		if (make_row(visitors, visitor))
			return false;
	}
	return true;
}

/* identify makes a visitor count for a contact, whose row is locked. */
static void
identify(LsModel *visitors, LsModel *model, Datum visitor, Datum contact)
{
	LsScoreWriter *writer = ls_score_writer_open(visitors, "merge");
	LsScoreRow	row;
	LsStageState stage_state;
	bool		known = hold_visitor(visitors, writer, visitor, &row);
	bool		before = is_identified(visitors, model, visitor, contact);

	if (known)
		stage_state = ls_score_row_stage_state(&row);
	if (!before)
		write_alias(visitors, visitor, contact, known ? &stage_state : NULL);
	if (known)
		remove_row(writer, visitor);
	else
		unmake_row(visitors, visitor);
	close_writer(visitors, writer);
	if (before)
		return;
	writer = ls_score_writer_open(model, "merge");
	recompute(writer, contact, NULL);
	ls_score_writer_close(writer);
}

/* ls_identify is leadscore.identify(). */
Datum
ls_identify(PG_FUNCTION_ARGS)
{
	LsModelRow *row;
	LsModel    *visitors,
			   *model;
	Datum		visitor,
				contact;

	PreventCommandIfReadOnly("identify()");
	row = check_model(fcinfo);
	visitors = open_visitors(row->model);
	model = ls_model_to_change(row->model, true);
	ls_sql_require_argument(fcinfo, 1, "visitor");
	ls_sql_require_argument(fcinfo, 2, "contact");
	visitor = ls_argument_key(fcinfo, 1, visitors);
	contact = ls_argument_key(fcinfo, 2, model);
	ls_key_require_fit(&visitors->key, visitor);
	ls_key_require_fit(&model->key, contact);
	if (is_identified(visitors, model, visitor, contact))
		ls_model_release(visitors);
	else
		identify(visitors, model, visitor, contact);
	ls_rule_error_report(model);
	ls_model_release(model);
	PG_RETURN_VOID();
}

/* ls_unidentify is leadscore.unidentify(). */
Datum
ls_unidentify(PG_FUNCTION_ARGS)
{
	LsModelRow *row;
	LsModel    *visitors,
			   *model;
	LsScoreWriter *writer;
	LsStageState *stage_state;
	Datum		visitor,
				contact;

	PreventCommandIfReadOnly("unidentify()");
	row = check_model(fcinfo);
	visitors = open_visitors(row->model);
	model = ls_model_to_change(row->model, true);
	ls_sql_require_argument(fcinfo, 1, "visitor");
	visitor = ls_argument_key(fcinfo, 1, visitors);
	hold_identity(visitors, visitor);
	if (!ls_identity_find(visitors, visitor, LS_IDENTITY_NEWEST, &contact))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("visitor \"%s\" of model \"%s\" is not identified",
						ls_key_text(&visitors->key, visitor), model->name),
				 errhint("Table leadscore.identity_%s lists the visitors that are.", model->name)));
	writer = ls_score_writer_open(visitors, "merge");
	stage_state = take_back(visitors, visitor);
	recompute(writer, visitor, stage_state);
	close_writer(visitors, writer);
	writer = ls_score_writer_open(model, "merge");
	recompute(writer, contact, NULL);
	close_writer(model, writer);
	PG_RETURN_VOID();
}

/* ---------- identity resolution ---------- */

static void
show(ReturnSetInfo *result, const char *kind, LsKeyType *key, Datum contact)
{
	Datum		values[2] = {CStringGetTextDatum(kind),
	CStringGetTextDatum(ls_key_text(key, contact))};
	bool		nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* canonical gives a contact as in its row of the score table, if there is one. */
static Datum
canonical(LsModel *model, Datum contact)
{
	LsScoreRow	row;

	return ls_score_table_find(model, contact, &row) ? row.contact : contact;
}

/*
 * read_asked reads a contact from the arguments, and the contacts and visitors that
 * count for it; false: an argument is NULL.
 */
static bool
read_asked(FunctionCallInfo fcinfo, LsModel **model, Datum *contact, LsIdentities *identities)
{
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return false;
	*model = ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	*contact = ls_argument_contact(fcinfo, *model);
	ls_identity_of(*model, *contact, identities);
	return true;
}

/* ls_identities is leadscore.identities(). */
Datum
ls_identities(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LsModel    *model;
	LsIdentities identities;
	Datum		contact;

	if (!read_asked(fcinfo, &model, &contact, &identities))
		PG_RETURN_NULL();
	show(result, "contact", &model->key, canonical(model, contact));
	for (int i = 0; i < identities.nsources; i++)
		show(result, "merged", &model->key, identities.sources[i]);
	for (int i = 0; i < identities.nvisitors; i++)
		show(result, "visitor", &model->visitor_key, identities.visitors[i]);
	PG_RETURN_NULL();
}

/* ---------- history of a contact and all that count for it ---------- */

/* A change of stage, and the contact or visitor that it is of */
typedef struct Lived
{
	LsStageChange move;			/* first: they are sorted by it */
	const char *kind;
	char	   *key;
} Lived;

typedef struct Lives
{
	int			n;
	int			size;
	Lived	   *all;
} Lives;

/* add_life adds the changes of stage of one contact or visitor. */
static void
add_life(Lives *lives, LsModel *model, const char *kind, Datum contact)
{
	char	   *key = ls_key_text(&model->key, contact);
	int			n;
	LsStageChange *moves = ls_stage_history_read(model, contact, DT_NOBEGIN, &n);

	if (lives->n + n > lives->size)
	{
		lives->size = Max(64, 2 * (lives->n + n));
		lives->all = lives->all ? repalloc_huge(lives->all, sizeof(Lived) * lives->size) :
			palloc(sizeof(Lived) * lives->size);
	}
	for (int i = 0; i < n; i++)
		lives->all[lives->n++] = (Lived) {moves[i], kind, key};
}

/* may_read_history tells whether the caller may read a model's history_<model>. */
static bool
may_read_history(const LsModel *model)
{
	List	   *tables = ls_model_tables_for("history_", model->name, ACL_SELECT);

	return tables != NIL && ls_model_table_take(linitial(tables), AccessShareLock);
}

/* add_visitors adds the changes of stage of the visitors. */
static void
add_visitors(Lives *lives, LsModel *model, const LsIdentities *identities)
{
	char	   *name = identities->nvisitors > 0 ? ls_lead_visitors_model(model->name) : NULL;
	LsModel    *visitors = name ? ls_model_acquire(name, GetActiveSnapshot()) : NULL;

	if (visitors && may_read_history(visitors))
		for (int i = 0; i < identities->nvisitors; i++)
			add_life(lives, visitors, "visitor", identities->visitors[i]);
	if (visitors)
		ls_model_release(visitors);
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* ls_history_of is leadscore.history_of(). */
Datum
ls_history_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LsModel    *model;
	LsIdentities identities;
	Lives		lives = {0};
	Datum		contact;

	if (!read_asked(fcinfo, &model, &contact, &identities))
		PG_RETURN_NULL();
	if (may_read_history(model))
	{
		add_life(&lives, model, "contact", canonical(model, contact));
		for (int i = 0; i < identities.nsources; i++)
			add_life(&lives, model, "merged", identities.sources[i]);
	}
	add_visitors(&lives, model, &identities);
	if (lives.n > 0)
		qsort(lives.all, lives.n, sizeof(Lived), ls_stage_history_compare);
	for (int i = 0; i < lives.n; i++)
	{
		const LsStageChange *move = &lives.all[i].move;
		Datum		values[9];
		bool		nulls[9] = {0};

		values[0] = CStringGetTextDatum(lives.all[i].kind);
		values[1] = CStringGetTextDatum(lives.all[i].key);
		values[2] = text_or_null(move->from_stage, &nulls[2]);
		values[3] = text_or_null(move->to_stage, &nulls[3]);
		values[4] = Float8GetDatum(move->score);
		values[5] = TimestampTzGetDatum(move->changed_at);
		values[6] = TimestampTzGetDatum(move->recorded_at);
		values[7] = text_or_null(move->cause, &nulls[7]);
		values[8] = text_or_null(move->reason, &nulls[8]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}
