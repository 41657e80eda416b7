/*-------------------------------------------------------------------------
 *
 * top_scores.c
 *		Which rows of score_<model> have a top_score.
 *
 * Column top_score has a partial index, by which top() finds the highest stored scores.
 * It is null but for a few thousand rows, so that nearly all updates stay HOT, and it
 * is the score rounded up on a grid, so that it seldom changes where it is not.  A row
 * that is true at an instant to come has the highest of all.
 *
 * top_scores has two scores for a model.  A row is written with a top_score if its score
 * is at least written_from; a row that was written before keeps what it has.  From
 * complete_from on all rows have one.
 *
 *		raise		both are set to a higher score: what was promised still holds for
 *					those who see the former ones
 *		lower		1. written_from is lowered under a lock on the score table, for which
 *					writers with the former one have to end, and new ones compile the model
 *					again.  That is committed.
 *					2. rows that lack it get theirs, and complete_from is lowered by the
 *					same commit.  It does not wait for rows that others have locked: these
 *					are left to the next attempt.
 *
 * Whoever holds the lock from before the first until the end does both at once.  A
 * snapshot that sees complete_from sees these rows as well.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/top_scores.h"

#include <math.h>

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/relation.h"
#include "base/table_scan.h"
#include "base/transaction.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "rules/disclosure.h"
#include "rules/score_columns.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_keep_top_scores);

#define SCORE		2			/* column of the score table */
#define MOST(wanted) ((wanted) * 5) /* rows that may have one, before there are too many */

/* ---------- what is kept of a model ---------- */

/* set_scores sets both scores of a model. */
static void
set_scores(const char *model, double written, double complete)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_sql_add(&args, FLOAT8OID, Float8GetDatum(written));
	ls_sql_add(&args, FLOAT8OID, Float8GetDatum(complete));
	ls_extension_execute("INSERT INTO leadscore_internal.top_scores VALUES ($1, $2, $3)"
						 " ON CONFLICT (model) DO UPDATE SET written_from = $2, complete_from = $3", &args);
	/* compiled models have it */
	CacheInvalidateRelcacheByRelid(ls_lead_score_table(model, false));
}

/*
 * ls_top_scores_forget has a model begin anew, as rows were written to its score table
 * by others.
 */
void
ls_top_scores_forget(const char *model)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_extension_execute("DELETE FROM leadscore_internal.top_scores WHERE model = $1", &args);
}

/* ---------- from which score on ---------- */

static int
descending(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x < y) - (x > y);
}

/*
 * read_highest reads the highest stored scores, at most n, into an array with room for
 * twice as many; returns how many there are.
 */
static int
read_highest(Relation rel, double *scores, int n)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = ls_table_beginscan(rel, GetActiveSnapshot());
	double		lowest = -INFINITY;
	int			found = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		score = slot_getattr(slot, SCORE, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull || !(DatumGetFloat8(score) > lowest))
			continue;
		scores[found++] = DatumGetFloat8(score);
		if (found < 2 * n)
			continue;
		qsort(scores, found, sizeof(double), descending);
		found = n;
		lowest = scores[n - 1];
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	qsort(scores, found, sizeof(double), descending);
	return Min(found, n);
}

/*
 * choose_score chooses the score of the wanted-th contact; a higher one where too many
 * have that; infinity if there is none.
 */
static double
choose_score(Relation rel, int wanted)
{
	int			n = MOST(wanted) + 1;
	double	   *scores = palloc(sizeof(double) * 2 * n);
	int			found = read_highest(rel, scores, n);
	int			last = Min(wanted, found) - 1;
	double		from;

	if (found == n && scores[found - 1] == scores[last])
		for (from = scores[last]; last >= 0 && scores[last] == from;)
			last--;
	from = last >= 0 ? scores[last] : INFINITY;
	pfree(scores);
	return from;
}

/* count_rows counts the rows that have a top_score and a score of at least from. */
static int
count_rows(LsModel *model, LsTableScan *scan, Oid index, double from, int most)
{
	int			n = 0;

	ls_table_scan_begin(scan, index);
	scan->backward = true;
	while (n <= most && ls_table_scan_next(scan) &&
		   DatumGetFloat4(scan->values[model->score_top]) >= from)
		n += !scan->nulls[SCORE - 1] && DatumGetFloat8(scan->values[SCORE - 1]) >= from;
	return n;
}

/*
 * ls_top_scores_choose raises the score from which on rows have a top_score, or tells
 * which step comes next to lower it.  read: all rows were read for it.
 */
LsTopStep
ls_top_scores_choose(LsModel *model, int wanted, double *from, bool *read)
{
	LsTopScores kept = ls_score_columns_top(model->name, NULL);
	LsTopStep	step = LS_TOP_NOTHING;
	LsTableScan scan;
	Oid			index;
	int			n;

	*read = false;
	*from = kept.written_from;
	if (model->score_top == LS_SCORE_NOWHERE)
		return LS_TOP_NOTHING;
	ls_table_scan_open(&scan, model->score_table, AccessShareLock, &model->key);
	index = ls_table_scan_value_index(scan.rel, model->score_top + 1);
	if (!OidIsValid(index))
		step = LS_TOP_NOTHING;
	else if (kept.written_from < kept.complete_from)
		step = LS_TOP_COMPLETE;
	else if (!isinf(kept.written_from) &&
			 (n = count_rows(model, &scan, index, kept.written_from, MOST(wanted))) >= wanted / 2 &&
			 n <= MOST(wanted))
		step = LS_TOP_NOTHING;
	else if (ls_relation_estimate_rows(model->score_table) >= MOST(wanted))
	{
		*read = true;
		*from = choose_score(scan.rel, wanted);
		if (*from < kept.written_from)
			step = LS_TOP_BEGIN;
		else if (*from > kept.written_from)
			set_scores(model->name, *from, *from);
	}
	ls_table_scan_close(&scan, NoLock);
	return step;
}

/* ---------- lowered ---------- */

/*
 * ls_top_scores_begin has rows be written with a top_score from a lower score on.  The
 * caller has locked the score table against writers.
 */
void
ls_top_scores_begin(const char *model, double from)
{
	LsTopScores kept = ls_score_columns_top(model, NULL);

	if (from < kept.written_from)
		set_scores(model, from, kept.complete_from);
}

static int
by_key(const void *a, const void *b, void *key)
{
	return ls_key_compare(key, *(const Datum *) a, *(const Datum *) b);
}

/* find_lacking gives the contacts whose rows lack a top_score, in the order of their keys. */
static Datum *
find_lacking(LsModel *model, Relation rel, int *n)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = ls_table_beginscan(rel, GetActiveSnapshot());
	TimestampTz now = GetCurrentTimestamp();
	int			room = 1024;
	Datum	   *keys = palloc(sizeof(Datum) * room);

	*n = 0;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		nulls[4];
		Datum		score = slot_getattr(slot, SCORE, &nulls[0]);
		Datum		scored_at = slot_getattr(slot, LS_SCORE_AT(model, LS_SCORE_SCORED_AT) + 1, &nulls[1]);
		Datum		key;

		CHECK_FOR_INTERRUPTS();
		if (nulls[0] || nulls[1] || (DatumGetFloat8(score) < model->top_from && DatumGetTimestampTz(scored_at) <= now))
			continue;
		(void) slot_getattr(slot, model->score_top + 1, &nulls[2]);
		key = slot_getattr(slot, 1, &nulls[3]);
		if (!nulls[2] || nulls[3])
			continue;
		if (*n == room)
			keys = repalloc_huge(keys, sizeof(Datum) * (room *= 2));
		keys[(*n)++] = datumCopy(key, model->key.typbyval, model->key.typlen);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	qsort_arg(keys, *n, sizeof(Datum), by_key, &model->key);
	return keys;
}

/* give_rows gives the rows of contacts their top_score; false: others have locked some. */
static bool
give_rows(LsModel *model, const Datum *keys, int n)
{
	LsScoreTable table;
	bool		all = true;

	ls_score_table_open(&table, model);
	for (int i = 0; i < n; i++)
	{
		bool		exists;

		CHECK_FOR_INTERRUPTS();
		if (!ls_score_table_lock_free(&table, keys[i], &exists))
			all = false;
		else if (exists)
			ls_score_table_set_top(&table);
	}
	ls_score_table_close(&table);
	return all;
}

/*
 * ls_top_scores_complete gives rows their top_score that were written before
 * written_from was lowered.  False: some are left, which others have locked.
 */
bool
ls_top_scores_complete(LsModel *model)
{
	LsSqlArguments args = {0};
	Relation	rel;
	Datum	   *keys;
	int			n;
	bool		all;

	if (model->score_top == LS_SCORE_NOWHERE || IsolationUsesXactSnapshot())
		return true;
	rel = table_open(model->score_table, RowExclusiveLock);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	keys = find_lacking(model, rel, &n);
	all = give_rows(model, keys, n);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	if (!all)
		return false;
	ls_sql_add_text(&args, model->name);
	ls_sql_add(&args, FLOAT8OID, Float8GetDatum(model->top_from));
	ls_extension_execute("UPDATE leadscore_internal.top_scores SET complete_from = written_from"
						 " WHERE model = $1 AND written_from = $2", &args);
	return true;
}

/* A model of which so many contacts are to be found, for ls_subtransaction_try() */
typedef struct Keep
{
	const char *model;
	int			wanted;
} Keep;

/* keep does all that is needed at once. */
static void
keep(void *arg)
{
	const Keep *wants = arg;
	Oid			table = ls_lead_score_table(wants->model, true);
	LsModel    *model;
	LsTopStep	step;
	double		from;
	bool		read;

	if (!OidIsValid(table) || IsolationUsesXactSnapshot())
		return;
	LockRelationOid(table, ShareRowExclusiveLock);
	model = ls_model_acquire(wants->model, NULL);
	if (model == NULL)
		return;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	step = ls_top_scores_choose(model, wants->wanted, &from, &read);
	PopActiveSnapshot();
	ls_model_release(model);
	if (step == LS_TOP_BEGIN)
		ls_top_scores_begin(wants->model, from);
	CommandCounterIncrement();
	if (step == LS_TOP_NOTHING || (model = ls_model_acquire(wants->model, NULL)) == NULL)
		return;
	(void) ls_top_scores_complete(model);
	ls_model_release(model);
}

/*
 * ls_top_scores_keep does all that is needed at once.  It locks the score table against
 * writers, unless the caller has done so.  What the owner has put on that table may
 * refuse what changes no score; that does not undo what the caller has written.
 */
void
ls_top_scores_keep(const char *model)
{
	Keep		wants = {model, LS_TOP_SCORES_WANTED};
	ErrorData  *error = ls_subtransaction_try(keep, &wants);
	LsModelRow *row;

	if (error == NULL)
		return;
	row = ls_lead_model(model, NULL);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not mark the highest scores of model \"%s\": %s", model,
					ls_disclosure_reason(row && ls_disclosure_may_see_table(row->owner, row->contacts), error)),
			 errdetail("Its scores are right, but leadscore.top() reads all of them.")));
}

/*
 * ls_keep_top_scores is leadscore_internal.keep_top_scores(): it does what the worker
 * does by itself.
 */
Datum
ls_keep_top_scores(PG_FUNCTION_ARGS)
{
	Keep		wants = {text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1)};

	if (wants.wanted < 1 || wants.wanted > 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of contacts must be between 1 and %d", 1000000)));
	keep(&wants);
	PG_RETURN_VOID();
}
