/*-------------------------------------------------------------------------
 *
 * score_table.c
 *		The rows of score_<model>.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/score_table.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/sql.h"
#include "base/table_scan.h"
#include "rules/score_columns.h"
#include "scoring/contact_score.h"
#include "tables/top_scores.h"

PG_FUNCTION_INFO_V1(ls_guard);

#define AT(model, column) LS_SCORE_AT(model, LS_SCORE_##column)

/*
 * ls_guard refuses writes of users to the tables of models, except INSERT and COPY by
 * members of the role that owns the table: these restore a dump.
 */
Datum
ls_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE,
											   LS_FIRED_INSERT | LS_FIRED_UPDATE |
											   LS_FIRED_DELETE | LS_FIRED_TRUNCATE);

	if (!ls_sql_is_writing() && !(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
								  has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is maintained by leadscore and cannot be written",
						RelationGetRelationName(trigger->tg_relation)),
				 strncmp(RelationGetRelationName(trigger->tg_relation), "outbox_", 7) == 0 ?
				 errhint("Use leadscore.outbox_take(), outbox_done(), outbox_failed(), outbox_retry() or outbox_discard().") :
				 errhint("Scores follow from events and rules: change those, or use leadscore.rescore().")));
	if (!ls_sql_is_writing() && strncmp(RelationGetRelationName(trigger->tg_relation), "score_", 6) == 0)
		ls_top_scores_forget(RelationGetRelationName(trigger->tg_relation) + 6);
	return PointerGetDatum(NULL);
}

/* ---------- rows ---------- */

/* damaged refuses a row that leadscore has not written like that. */
static void
damaged(LsModel *model, const Datum *values, const bool *nulls, int column,
		const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 nulls[0] ? errmsg("a row of table \"score_%s\" is damaged", model->name) :
			 errmsg("the row of contact \"%s\" in table \"score_%s\" is damaged",
					ls_key_text(&model->key, values[0]), model->name),
			 errdetail("Column \"%s\" is %s.",
					   get_attname(model->score_table, column + 1, false), what)));
}

/* check_number refuses a number that is null or not finite. */
static void
check_number(LsModel *model, const Datum *values, const bool *nulls, int column)
{
	if (nulls[column])
		damaged(model, values, nulls, column, "null");
	if (!isfinite(DatumGetFloat8(values[column])))
		damaged(model, values, nulls, column, "not finite");
}

/*
 * check_values checks the values of a row, as ls_score_columns_check checks its
 * columns.
 */
static void
check_values(LsModel *model, const Datum *values, const bool *nulls)
{
	if (nulls[0])
		damaged(model, values, nulls, 0, "null");
	check_number(model, values, nulls, 1);
	for (int i = 0; i < model->ncategories; i++)
		if (LS_SCORE_CATEGORY_AT(model, i) != LS_SCORE_NOWHERE)
			check_number(model, values, nulls, LS_SCORE_CATEGORY_AT(model, i));
	for (int i = 0; i < LS_SCORE_COLUMNS; i++)
	{
		int			at = LS_SCORE_AT(model, i);

		if (nulls[at])
		{
			if (i != LS_SCORE_GRADE && i != LS_SCORE_LAST_EVENT_AT)
				damaged(model, values, nulls, at, "null");
		}
		else if (ls_score_columns[i].type == TIMESTAMPTZOID &&
				 TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(values[at])))
			damaged(model, values, nulls, at, "not finite");
	}
	if (!ls_clock_has_shown(DatumGetTimestampTz(values[AT(model, SCORED_AT)])))
		damaged(model, values, nulls, AT(model, SCORED_AT), "not an instant that has been");
}

/* read_values reads a row of score_<model>. */
static void
read_values(LsModel *model, const Datum *values, const bool *nulls,
			LsScoreRow *row)
{
	check_values(model, values, nulls);
	row->contact = values[0];
	row->score = DatumGetFloat8(values[1]);
	row->categories = palloc(sizeof(double) * Max(1, model->ncategories));
	for (int i = 0; i < model->ncategories; i++)
		row->categories[i] = LS_SCORE_CATEGORY_AT(model, i) == LS_SCORE_NOWHERE ? 0 :
			DatumGetFloat8(values[LS_SCORE_CATEGORY_AT(model, i)]);
	row->grade = nulls[AT(model, GRADE)] ? NULL :
		TextDatumGetCString(values[AT(model, GRADE)]);
	row->stage = TextDatumGetCString(values[AT(model, STAGE)]);
	row->stage_since = DatumGetTimestampTz(values[AT(model, STAGE_SINCE)]);
	row->disqualified = DatumGetBool(values[AT(model, DISQUALIFIED)]);
	row->scored_at = DatumGetTimestampTz(values[AT(model, SCORED_AT)]);
	row->rules_version = DatumGetInt64(values[AT(model, RULES_VERSION)]);
	ls_state_decode(DatumGetByteaPP(values[AT(model, STATE)]), &row->state);
}

/*
 * try_read reads a row, or gives the error if it is damaged.  Reading is done in memory
 * only, so nothing has to be undone when it fails.
 */
static ErrorData *
try_read(LsModel *model, Datum *values, const bool *nulls, LsScoreRow *row)
{
	MemoryContext context = CurrentMemoryContext;
	int			state = AT(model, STATE);
	ErrorData  *volatile error = NULL;

	if (!nulls[state])
		values[state] = PointerGetDatum(DatumGetByteaPP(values[state]));
	PG_TRY();
	{
		read_values(model, values, nulls, row);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_DATA_CORRUPTED)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	/* an error in a state does not name the contact */
	if (error && error->detail == NULL && !nulls[0])
	{
		error->detail = psprintf("%s.", error->message);
		error->message = psprintf("the row of contact \"%s\" in table \"score_%s\" is damaged",
								  ls_key_text(&model->key, values[0]), model->name);
	}
	return error;
}

/* ls_score_table_read_tuple reads a row of a query's result, or of the table. */
void
ls_score_table_read_tuple(LsModel *model, HeapTuple tuple, TupleDesc desc,
						  LsScoreRow *row)
{
	int			natts = Max(desc->natts, model->score_natts);
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	bool		dense = desc->natts != model->score_natts && desc->natts == model->score_nlive;

	if (!dense)
		ls_score_columns_check(model, desc);
	heap_deform_tuple(tuple, desc, values, nulls);
	if (dense)
		ls_score_columns_spread(model, desc, values, nulls);
	read_values(model, values, nulls, row);
}

/*
 * ls_score_table_read_values reads the values of a row of the table, whose columns the
 * caller has checked.  The contact may refer to them.
 */
void
ls_score_table_read_values(LsModel *model, const Datum *values, const bool *nulls, LsScoreRow *row)
{
	read_values(model, values, nulls, row);
}

/*
 * ls_score_table_read_state reads of the values of a row what its score follows from,
 * its state, into slots that are kept; the rest of the row is left to the caller.
 */
void
ls_score_table_read_state(LsModel *model, const Datum *values, const bool *nulls,
						  LsState *state, LsSlotRoom *room)
{
	check_values(model, values, nulls);
	ls_state_decode_in(DatumGetByteaPP(values[AT(model, STATE)]), state, room);
}

/* ls_score_table_shown gives the columns of a row but for its state, which is NULL. */
void
ls_score_table_shown(LsModel *model, const LsScoreRow *row, Datum *values, bool *nulls)
{
	/* columns that were dropped */
	memset(nulls, true, model->score_natts);
	memset(values, 0, sizeof(Datum) * model->score_natts);
	nulls[0] = nulls[1] = false;
	values[0] = row->contact;
	values[1] = Float8GetDatum(row->score);
	for (int i = 0; i < model->ncategories; i++)
	{
		if (LS_SCORE_CATEGORY_AT(model, i) == LS_SCORE_NOWHERE)
			continue;
		nulls[LS_SCORE_CATEGORY_AT(model, i)] = false;
		values[LS_SCORE_CATEGORY_AT(model, i)] = Float8GetDatum(row->categories[i]);
	}
	for (int i = 0; i < LS_SCORE_COLUMNS; i++)
		nulls[LS_SCORE_AT(model, i)] = i == LS_SCORE_STATE;
	nulls[AT(model, GRADE)] = row->grade == NULL;
	values[AT(model, GRADE)] = row->grade ? CStringGetTextDatum(row->grade) : 0;
	values[AT(model, STAGE)] = CStringGetTextDatum(row->stage);
	values[AT(model, STAGE_SINCE)] = TimestampTzGetDatum(row->stage_since);
	values[AT(model, DISQUALIFIED)] = BoolGetDatum(row->disqualified);
	values[AT(model, HAS_CONTACT)] = BoolGetDatum(row->state.has_contact);
	nulls[AT(model, LAST_EVENT_AT)] = row->state.events == 0;
	values[AT(model, LAST_EVENT_AT)] = TimestampTzGetDatum(row->state.last);
	values[AT(model, SCORED_AT)] = TimestampTzGetDatum(row->scored_at);
	values[AT(model, RULES_VERSION)] = Int64GetDatum(row->rules_version);
}

/* ---------- the table ---------- */

/* ls_score_table_open opens the table to write rows. */
void
ls_score_table_open(LsScoreTable *table, LsModel *model)
{
	table->model = model;
	ls_heap_writer_open(&table->rows, model->score_table, 1);
	ls_score_columns_check(model, RelationGetDescr(table->rows.rel));
	/* rows that this transaction has written before must be visible */
	CommandCounterIncrement();
}

void
ls_score_table_close(LsScoreTable *table)
{
	ls_heap_writer_close(&table->rows);
	CommandCounterIncrement();
}

/* look_for sets the key of the row to find. */
static void
look_for(LsScoreTable *table, Datum contact)
{
	TupleTableSlot *search = table->rows.search;

	ExecClearTuple(search);
	memset(search->tts_isnull, true, search->tts_tupleDescriptor->natts);
	search->tts_values[0] = contact;
	search->tts_isnull[0] = false;
	ExecStoreVirtualTuple(search);
}

/*
 * ls_score_table_lock locks the row of a contact, if there is one.  Under a transaction
 * snapshot a newer row cannot be updated and is an error: it must not be taken for a
 * missing row, as the change would be lost.
 */
bool
ls_score_table_lock(LsScoreTable *table, Datum contact)
{
	look_for(table, contact);
	return IsolationUsesXactSnapshot() ? ls_heap_writer_find_seen(&table->rows) :
		ls_heap_writer_find(&table->rows);
}

/* ls_score_table_look_up looks for the row of a contact without locking it. */
bool
ls_score_table_look_up(LsScoreTable *table, Datum contact)
{
	look_for(table, contact);
	return ls_heap_writer_read(&table->rows);
}

/*
 * ls_score_table_lock_free locks the row without waiting, at READ COMMITTED.  False if
 * another transaction has locked it.
 */
bool
ls_score_table_lock_free(LsScoreTable *table, Datum contact, bool *exists)
{
	look_for(table, contact);
	return ls_heap_writer_find_free(&table->rows, exists);
}

/* ls_score_table_read reads the row that was found, and gives the error if it is damaged. */
ErrorData *
ls_score_table_read(LsScoreTable *table, LsScoreRow *row)
{
	TupleTableSlot *found = table->rows.found;

	slot_getallattrs(found);
	return try_read(table->model, found->tts_values, found->tts_isnull, row);
}

/*
 * put_top gives a row in the slot from which it is written its top_score, where its score
 * is high enough.  A row that is true at an instant to come, as a clock is held or ahead,
 * does not tell how high the contact's score is until then: it is the highest.
 */
static void
put_top(LsScoreTable *table, double score, TimestampTz scored_at)
{
	const LsModel *model = table->model;
	TupleTableSlot *written = table->rows.written;
	float4		top;

	if (model->score_top == LS_SCORE_NOWHERE)
		return;
	if (unlikely(scored_at > GetCurrentTimestamp()))
		top = INFINITY;
	else if (unlikely(score >= model->top_from))
		top = ls_score_grid(model, score);
	else
		return;
	written->tts_values[model->score_top] = Float4GetDatum(top);
	written->tts_isnull[model->score_top] = false;
}

/* put_row stores a row in the slot from which it is written. */
static void
put_row(LsScoreTable *table, const LsScoreRow *row)
{
	TupleTableSlot *written = table->rows.written;

	ExecClearTuple(written);
	ls_score_table_shown(table->model, row, written->tts_values, written->tts_isnull);
	written->tts_values[AT(table->model, STATE)] = PointerGetDatum(ls_state_encode(&row->state));
	written->tts_isnull[AT(table->model, STATE)] = false;
	put_top(table, row->score, row->scored_at);
	ExecStoreVirtualTuple(written);
}

/* ls_score_table_insert inserts a new row.  False if there is one already. */
bool
ls_score_table_insert(LsScoreTable *table, const LsScoreRow *row)
{
	put_row(table, row);
	return ls_heap_writer_insert_new(&table->rows);
}

/*
 * ls_score_table_replace updates the row that was read without a lock.  False where
 * another transaction has changed or deleted it since.
 */
bool
ls_score_table_replace(LsScoreTable *table, const LsScoreRow *row)
{
	put_row(table, row);
	return ls_heap_writer_replace(&table->rows);
}

/*
 * ls_score_table_set_top gives the locked row its top_score, if it lacks it, and leaves
 * the rest as it is.
 */
void
ls_score_table_set_top(LsScoreTable *table)
{
	TupleTableSlot *found = table->rows.found;
	TupleTableSlot *written = table->rows.written;
	int			natts = written->tts_tupleDescriptor->natts;
	int			scored_at = AT(table->model, SCORED_AT);

	slot_getallattrs(found);
	if (found->tts_isnull[1] || found->tts_isnull[scored_at] || !found->tts_isnull[table->model->score_top])
		return;
	ExecClearTuple(written);
	memcpy(written->tts_values, found->tts_values, sizeof(Datum) * natts);
	memcpy(written->tts_isnull, found->tts_isnull, sizeof(bool) * natts);
	put_top(table, DatumGetFloat8(found->tts_values[1]), DatumGetTimestampTz(found->tts_values[scored_at]));
	ExecStoreVirtualTuple(written);
	if (!written->tts_isnull[table->model->score_top])
		ls_heap_writer_update(&table->rows);
}

/* ls_score_table_update updates the locked row. */
void
ls_score_table_update(LsScoreTable *table, const LsScoreRow *row)
{
	put_row(table, row);
	ls_heap_writer_update(&table->rows);
}

/*
 * ls_score_table_delete deletes the row of a contact, which this transaction has locked
 * or inserted.
 */
void
ls_score_table_delete(LsScoreTable *table, Datum contact)
{
	CommandCounterIncrement();
	if (ls_score_table_lock(table, contact))
		ls_heap_writer_delete(&table->rows);
}

/* ls_score_table_find reads a contact's row with the active snapshot. */
bool
ls_score_table_find(LsModel *model, Datum contact, LsScoreRow *row)
{
	LsTableScan scan;
	bool		found;

	ls_table_scan_open(&scan, model->score_table, AccessShareLock, &model->key);
	ls_table_scan_by(&scan, 1, BTEqualStrategyNumber, &contact);
	found = ls_table_scan_next(&scan);
	if (found)
		ls_score_table_read_tuple(model, heap_copytuple(scan.tuple), RelationGetDescr(scan.rel), row);
	ls_table_scan_close(&scan, NoLock);
	return found;
}

/* ls_score_table_find_newest reads the newest committed row, whatever the snapshot. */
bool
ls_score_table_find_newest(LsModel *model, Datum contact, LsScoreRow *row)
{
	bool		found;

	PushActiveSnapshot(GetLatestSnapshot());
	found = ls_score_table_find(model, contact, row);
	PopActiveSnapshot();
	return found;
}

/* After how many attempts something else than concurrent transactions is the reason */
#define MAX_ATTEMPTS	100

/*
 * ls_score_table_attempt is called before each attempt to write or delete the rows of a
 * contact in a table.  Attempts are repeated because another transaction has inserted
 * or deleted such a row, which does not happen this often.
 */
void
ls_score_table_attempt(LsModel *model, Datum contact, Oid table, int attempts)
{
	CHECK_FOR_INTERRUPTS();
	if (attempts < MAX_ATTEMPTS)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("could not write the row of contact \"%s\" in table \"%s\"",
					ls_key_text(&model->key, contact), get_rel_name(table)),
			 errhint("A trigger on that table must not suppress what leadscore writes.")));
}

