/*-------------------------------------------------------------------------
 *
 * daily_snapshot.c
 *		Daily snapshots: what the scores were at each of the model's midnights.
 *
 * A day is written once, after it has ended: to funnel_daily_<model> the number of
 * contacts in each stage with each grade at the midnight that ended it, and to
 * daily_<model>, if it is enabled, every contact.  lead_day has the last day that is
 * written; its row is locked while a day is written, and updated in the same
 * transaction, so that no day is written twice.
 *
 * However late a day is written, it shows what was true at the midnight: a contact
 * whose last event is not later is evaluated from its state, another from its events.
 * The score table is only read, without locking rows.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs/daily_snapshot.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/relation.h"
#include "base/user.h"
#include "counting/contact_snapshot.h"
#include "counting/event_reader.h"
#include "counting/replay.h"
#include "definitions/daily_tables.h"
#include "definitions/extension.h"
#include "definitions/model_tables.h"
#include "rules/model_compile.h"
#include "scoring/contact_score.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"
#include "tables/stage_history.h"

#define MAX_DAYS_BACK	400
#define BATCH			1000

/* One row of funnel_daily_<model> */
typedef struct Cell
{
	char	   *stage;
	char	   *grade;			/* NULL: none */
	int64		contacts;
	int64		entered;
	int64		left;
	LsSum		score_sum;
} Cell;

/* Rows that are to be inserted into daily_<model>, column by column */
typedef struct Batch
{
	MemoryContext context;
	SPIPlanPtr	plan;			/* NULL: not enabled */
	bool		arrays;			/* one INSERT for many rows; else for each row */
	int			ncolumns;
	int			n;
	Datum	  **values;
	bool	   *no_grade;
} Batch;

/* The day that is being written */
typedef struct Day
{
	LsModel    *model;
	DateADT		day;
	TimestampTz from;
	TimestampTz until;			/* the midnight that ended it */
	LsScore    *score;
	char	   *grade;			/* of score; NULL: none */
	LsReplay   *replay;
	bool		merged;			/* events are read along with the scores */
	MemoryContext context;		/* of the day */
	MemoryContext one;			/* of one contact */
	int			ncells;
	int			maxcells;
	Cell	  **cells;			/* by stage and grade */
	Batch		batch;
} Day;

/* The changes of a contact's stage during the day */
typedef struct Moves
{
	int			n;
	char	  **from;
	char	  **to;
	const char *stage;			/* at the end of the day */
} Moves;

/* ---------- rows of daily_<model> ---------- */

/*
 * begin_batch prepares to write contacts.  If the key's type has no array type,
 * contacts are inserted one by one: as text the keys would have to be cast, by
 * functions of the type's owner.
 */
static void
begin_batch(Batch *batch, LsModel *model)
{
	Oid			array = get_array_type(model->key.type);
	int			most = model->ncategories + 5;
	Oid		   *types = palloc(sizeof(Oid) * most);
	StringInfoData sql;

	batch->arrays = OidIsValid(array);
	batch->ncolumns = model->ncategories + 4;
	batch->values = palloc(sizeof(Datum *) * batch->ncolumns);
	for (int i = 0; i < batch->ncolumns; i++)
		batch->values[i] = palloc(sizeof(Datum) * BATCH);
	batch->no_grade = palloc(sizeof(bool) * BATCH);
	batch->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore batch",
										   ALLOCSET_DEFAULT_SIZES);

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO leadscore.daily_%s (day, contact_id, score", model->name);
	for (int i = 0; i < model->ncategories; i++)
		appendStringInfo(&sql, ", %s", quote_identifier(model->categories[i].name));
	appendStringInfoString(&sql, ", grade, stage) SELECT $1");
	for (int i = 1; i <= batch->ncolumns; i++)
		appendStringInfo(&sql, batch->arrays ? ", u.c%d" : ", $%d",
						 batch->arrays ? i : i + 1);
	for (int i = 1; batch->arrays && i <= batch->ncolumns; i++)
		appendStringInfo(&sql, "%s$%d", i == 1 ? " FROM unnest(" : ", ", i + 1);
	for (int i = 1; batch->arrays && i <= batch->ncolumns; i++)
		appendStringInfo(&sql, "%sc%d", i == 1 ? ") AS u (" : ", ", i);
	if (batch->arrays)
		appendStringInfoChar(&sql, ')');

	types[0] = DATEOID;
	types[1] = batch->arrays ? array : model->key.type;
	for (int i = 2; i < most - 2; i++)
		types[i] = batch->arrays ? FLOAT8ARRAYOID : FLOAT8OID;
	types[most - 2] = types[most - 1] = batch->arrays ? TEXTARRAYOID : TEXTOID;
	batch->plan = SPI_prepare(sql.data, most, types);
	if (batch->plan == NULL)
		elog(ERROR, "could not prepare to write days of model \"%s\": %s",
			 model->name, SPI_result_code_string(SPI_result));
}

static Datum
array_of(Datum *values, bool *nulls, int n, Oid type)
{
	int			from = 1;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &from,
											  type, typlen, typbyval, typalign));
}

/* write_batch inserts the rows of the batch. */
static void
write_batch(Day *day)
{
	Batch	   *batch = &day->batch;
	int			grade = batch->ncolumns - 2;
	Datum	   *values;
	char	   *nulls;
	LsUser		saved;

	if (batch->n == 0)
		return;
	ls_user_switch_to_owner(ls_relation_owner(day->model->score_table), &saved);
	SPI_connect();
	values = palloc(sizeof(Datum) * (batch->ncolumns + 1));
	nulls = palloc(batch->ncolumns + 1);
	memset(nulls, ' ', batch->ncolumns + 1);
	values[0] = DateADTGetDatum(day->day);
	for (int i = 0; i < batch->ncolumns; i++)
		values[i + 1] = !batch->arrays ? batch->values[i][0] :
			array_of(batch->values[i], i == grade ? batch->no_grade : NULL,
					 batch->n, i == 0 ? day->model->key.type :
					 i < grade ? FLOAT8OID : TEXTOID);
	if (!batch->arrays && batch->no_grade[0])
		nulls[grade + 1] = 'n';
	if (SPI_execute_plan(batch->plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write days of model \"%s\"", day->model->name);
	SPI_finish();
	ls_user_restore(&saved);
	MemoryContextReset(batch->context);
	batch->n = 0;
}

/* add_to_batch adds a contact to the batch, and writes the batch when it is full. */
static void
add_to_batch(Day *day, Datum contact, const char *stage)
{
	Batch	   *batch = &day->batch;
	LsModel    *model = day->model;
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	int			grade = batch->ncolumns - 2;
	int			n = batch->n++;

	batch->values[0][n] = datumCopy(contact, model->key.typbyval, model->key.typlen);
	batch->values[1][n] = Float8GetDatum(day->score->score);
	for (int i = 0; i < model->ncategories; i++)
		batch->values[2 + i][n] = Float8GetDatum(day->score->categories[i]);
	batch->no_grade[n] = day->grade == NULL;
	batch->values[grade][n] = batch->no_grade[n] ? 0 :
		CStringGetTextDatum(day->grade);
	batch->values[grade + 1][n] = CStringGetTextDatum(stage);
	MemoryContextSwitchTo(old);
	if (batch->n == BATCH || !batch->arrays)
		write_batch(day);
}

/* ---------- rows of funnel_daily_<model> ---------- */

static int
compare_cell(const Cell *cell, const char *stage, const char *grade)
{
	int			order = strcmp(cell->stage, stage);

	if (order != 0)
		return order;
	return strcmp(cell->grade ? cell->grade : "", grade ? grade : "");
}

/* cell_of finds or makes the row of a stage and a grade. */
static Cell *
cell_of(Day *day, const char *stage, const char *grade)
{
	int			low = 0;
	int			high = day->ncells;
	MemoryContext old;
	Cell	   *cell;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = compare_cell(day->cells[middle], stage, grade);

		if (order == 0)
			return day->cells[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	old = MemoryContextSwitchTo(day->context);
	if (day->ncells == day->maxcells)
	{
		day->maxcells = Max(64, day->maxcells * 2);
		day->cells = day->cells ?
			repalloc(day->cells, sizeof(Cell *) * day->maxcells) :
			palloc(sizeof(Cell *) * day->maxcells);
	}
	memmove(day->cells + low + 1, day->cells + low,
			sizeof(Cell *) * (day->ncells - low));
	cell = day->cells[low] = palloc0(sizeof(Cell));
	day->ncells++;
	cell->stage = pstrdup(stage);
	cell->grade = grade ? pstrdup(grade) : NULL;
	MemoryContextSwitchTo(old);
	return cell;
}

static void
write_cells(Day *day)
{
	char	   *sql = psprintf("INSERT INTO leadscore.funnel_daily_%s"
							   " (day, stage, grade, contacts, entered, \"left\", score_sum)"
							   " VALUES ($1, $2, $3, $4, $5, $6, $7)", day->model->name);

	for (int i = 0; i < day->ncells; i++)
	{
		Cell	   *cell = day->cells[i];
		LsSqlArguments args = {0};

		ls_sql_add(&args, DATEOID, DateADTGetDatum(day->day));
		ls_sql_add_text(&args, cell->stage);
		ls_sql_add_text(&args, cell->grade);
		ls_sql_add(&args, INT8OID, Int64GetDatum(cell->contacts));
		ls_sql_add(&args, INT8OID, Int64GetDatum(cell->entered));
		ls_sql_add(&args, INT8OID, Int64GetDatum(cell->left));
		ls_sql_add(&args, FLOAT8OID, Float8GetDatum(ls_decay_sum_value(&cell->score_sum)));
		ls_sql_execute_as_owner(day->model->score_table, sql, &args);
	}
}

/* ---------- one contact ---------- */

/*
 * read_moves reads the changes of a contact's stage from the history.  If the contact
 * entered its stage before the day, there were none.
 */
static void
read_moves(Day *day, const LsScoreRow *row, Moves *moves)
{
	LsModel    *model = day->model;
	int			n;
	LsStageChange *all;

	memset(moves, 0, sizeof(Moves));
	moves->stage = row->stage;
	if (row->stage_since < day->from)
		return;
	all = ls_stage_history_read(model, row->contact, day->from, &n);
	moves->from = palloc(sizeof(char *) * Max(1, n));
	moves->to = palloc(sizeof(char *) * Max(1, n));
	for (int i = 0; i < n; i++)
	{
		if (all[i].changed_at >= day->until)
		{
			if (moves->n == 0)
				moves->stage = all[i].from_stage;
			break;
		}
		moves->from[moves->n] = all[i].from_stage;
		moves->to[moves->n] = all[i].to_stage;
		moves->stage = moves->to[moves->n++];
	}
	if (moves->stage == NULL)
		moves->stage = model->nstages > 0 ? model->stages[0].name : "unqualified";
}

/*
 * was_there tells whether a contact was known when the day ended: it had had an event,
 * or its row existed.  If rows do not tell when they were created, a contact whose
 * stage has never changed exists since it entered the stage; one whose stage has
 * changed is taken to be older.
 */
static bool
was_there(const Day *day, const LsScoreRow *row)
{
	const LsState *state = &row->state;

	if (state->events > 0 && state->first < day->until)
		return true;
	if (!state->has_contact)
		return false;
	if (state->created_at != DT_NOBEGIN)
		return state->created_at < day->until;
	return state->stage_recorded || row->stage_since < day->until;
}

/* tells_midnight tells whether a state has what was true when the day ended. */
static bool
tells_midnight(const Day *day, const LsState *state)
{
	return state->events == 0 || ls_state_known_from(state) <= day->until;
}

/* evaluate evaluates a contact at the end of the day. */
static void
evaluate(Day *day, LsReader *reader, LsScoreRow *row)
{
	if (tells_midnight(day, &row->state))
		ls_score_evaluate(day->model, &row->state, day->until, day->score);
	else
	{
		ls_replay_clear(day->replay);
		if (day->merged)
			ls_replay_read(day->replay, reader, row->contact);
		else
			(void) ls_replay_contact(day->replay, row->contact);
		ls_replay_evaluate(day->replay, day->until, day->score);
	}
}

/* take_contact adds one contact to the day. */
static void
take_contact(Day *day, LsReader *reader)
{
	TupleDesc	desc;
	HeapTuple	tuple = ls_reader_score(reader, &desc);
	LsScoreRow	row;
	Moves		moves;
	Cell	   *cell;

	if (tuple == NULL)
		return;
	ls_score_table_read_tuple(day->model, tuple, desc, &row);
	if (ls_contact_snapshot_any_pending(day->model))
		(void) ls_contact_snapshot_merge_state(day->model, &row);
	if (tells_midnight(day, &row.state))
		ls_state_advance(day->model, &row.state, day->until);
	if (!was_there(day, &row))
		return;
	read_moves(day, &row, &moves);
	evaluate(day, reader, &row);
	day->grade = ls_score_grade(day->model, day->score);
	cell = cell_of(day, moves.stage, day->grade);
	cell->contacts++;
	ls_decay_sum_add(&cell->score_sum, day->score->score);
	for (int i = 0; i < moves.n; i++)
	{
		if (moves.from[i])
			cell_of(day, moves.from[i], day->grade)->left++;
		cell_of(day, moves.to[i], day->grade)->entered++;
	}
	if (day->batch.plan)
		add_to_batch(day, row.contact, moves.stage);
}

/* ---------- one day ---------- */

/*
 * walk scans the score table once.  A contact that had an event since the midnight is
 * replayed by itself, as there are few, and the rows come as they lie in the table.  If
 * more than a day has passed there may be many such contacts: then all events are read
 * along, which needs the order of the key.
 */
static void
walk(Day *day)
{
	LsReaderSpec spec = {.model = day->model, .what = LS_READ_SCORES, .source = -1};
	LsReader   *reader;
	MemoryContext old;
	Datum		contact;

	day->merged = ls_clock() - day->until > LS_DAY;
	if (day->merged)
		spec.what |= LS_READ_EVENTS | LS_READ_CONTACTS;
	spec.any_order = !day->merged;
	reader = ls_reader_open(&spec);
	old = MemoryContextSwitchTo(day->one);
	while (ls_reader_next(reader, &contact))
	{
		CHECK_FOR_INTERRUPTS();
		take_contact(day, reader);
		MemoryContextReset(day->one);
	}
	MemoryContextSwitchTo(old);
	ls_reader_close(reader);
}

/*
 * write_day writes a day of a model.  Rules and rows are read with one snapshot, so
 * that the rules are those by which the rows were written.
 */
static void
write_day(const LsModelRow *row, DateADT date, TimestampTz until)
{
	LsModel    *model;
	LsSqlArguments args = {0};
	Day			day = {0};
	LsUser		saved;

	ls_daily_make_funnel(row);
	if (row->daily)
	{
		ls_daily_make_table(row);
		ls_daily_make_partition(row->model, date);
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	ls_user_switch(ls_extension_owner(), &saved);
	model = ls_model_acquire(row->model, GetActiveSnapshot());
	if (model == NULL)
		elog(ERROR, "model \"%s\" does not exist", row->model);
	SPI_connect();
	day.model = model;
	day.day = date;
	day.from = ls_daily_midnight(date, model->tz);
	day.until = until;
	day.context = CurrentMemoryContext;
	day.one = AllocSetContextCreate(day.context, "leadscore day", ALLOCSET_DEFAULT_SIZES);
	day.score = ls_score_make(model, false);
	day.replay = ls_replay_make(model);
	ls_user_restore(&saved);
	if (row->daily)
	{
		ls_user_switch_to_owner(ls_relation_owner(model->score_table), &saved);
		begin_batch(&day.batch, model);
		ls_user_restore(&saved);
	}

	walk(&day);
	PopActiveSnapshot();
	write_batch(&day);
	ls_rule_error_report(model);
	write_cells(&day);
	ls_model_release(model);
	SPI_finish();
	ls_sql_add_text(&args, row->model);
	ls_sql_add(&args, DATEOID, DateADTGetDatum(date));
	ls_extension_execute("UPDATE leadscore_internal.lead_day SET written_to = $2"
						 " WHERE model = $1", &args);
	CommandCounterIncrement();
}

/*
 * take_turn locks a model's row of lead_day.  A worker does not wait for it; a session
 * that calls for days waits until a worker has written the current one.  The score
 * table is locked first, as by drop_model().  NULL if the row is locked or does not
 * exist: it is inserted with the model or restored from a dump, and not here.
 */
static LsModelRow *
take_turn(const char *model, bool wait)
{
	Oid			table = ls_lead_score_table(model, true);
	LsSqlArguments args = {0};
	LsModelRow *row;

	if (!OidIsValid(table) || !ConditionalLockRelationOid(table, AccessShareLock))
		return NULL;
	row = ls_lead_model(model, NULL);
	if (row == NULL || !ls_tables_complete(model))
		return NULL;
	ls_sql_add_text(&args, model);
	return ls_extension_execute(psprintf("SELECT FROM leadscore_internal.lead_day"
										 " WHERE model = $1 FOR UPDATE%s",
										 wait ? "" : " SKIP LOCKED"), &args) > 0 ? row : NULL;
}

/*
 * ls_daily_write writes the earliest day of a model that has ended and is not written,
 * in the caller's transaction.
 */
bool
ls_daily_write(const char *model, bool wait)
{
	LsModelRow *row;
	DateADT		day,
				earliest;
	TimestampTz until;
	pg_tz	   *tz;

	if (ls_daily_next(model) > ls_clock())
		return false;
	row = take_turn(model, wait);
	if (row == NULL || !ls_daily_written_to(model, &day))
		return false;
	tz = ls_daily_zone(row);
	day++;
	earliest = ls_daily_date(ls_clock(), tz) - MAX_DAYS_BACK;
	if (day < earliest)
	{
		ereport(LOG,
				(errmsg("skipping days of model \"%s\" before %s",
						model, DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(earliest)))),
				 errdetail("They ended more than %d days ago.", MAX_DAYS_BACK)));
		day = earliest;
	}
	until = ls_daily_midnight(day + 1, tz);
	if (until > ls_clock())
		return false;			/* another session has written it */
	write_day(row, day, until);
	return true;
}
