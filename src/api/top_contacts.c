/*-------------------------------------------------------------------------
 *
 * top_contacts.c
 *		The contacts with the highest scores.
 *
 * A contact that is not due and has nothing pending is within the model's drift of its
 * stored score, whatever its rules.  So a contact is evaluated only where its stored
 * score and the drift leave room for it among the best that have been found:
 *
 *		highest		rows of the score table from the highest stored score down to the first
 *					that is too low, as far as all rows have a top_score
 *					(tables/top_scores.c)
 *		due			contacts whose instant in due_<model> has come, unless they are many
 *		pending		contacts of whom something is pending
 *		all			where that is not enough, all rows one after the other
 *
 * Of one that is not among the highest the score is evaluated first, from its state and what
 * is pending of it; its stage and grade only where that leaves room for it.
 *
 * Where stored scores may be further from the exact ones, as rules have changed and the
 * rows have not been written yet, or as a clock is held, all rows are evaluated.  What
 * is found is the same in each case, and that of live_<model>.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "api/live_scores.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/relation.h"
#include "base/table_scan.h"
#include "definitions/job_table.h"
#include "definitions/lead_tables.h"
#include "definitions/model_change.h"
#include "rules/score_columns.h"
#include "tables/due_table.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_top);

#define TOP_COLUMNS	4
#define MOST		10000		/* contacts that can be asked for */
#define CHUNK		1000		/* contacts read at a time */
#define DUE_PART	16			/* with one of so many that are due, all rows are read */
#define SCORE		2			/* column of the score table */

/* One of the best that have been found */
typedef struct Best
{
	LsKeyType  *key;
	Datum		contact;
	double		score;
	char	   *grade;			/* NULL: none */
	char	   *stage;
} Best;

typedef struct Search
{
	LsModel    *model;
	LsAdvance  *advance;
	TimestampTz at;
	bool		near;			/* stored scores are within the drift of the exact ones */
	bool		any_pending;
	bool		twice;			/* a contact may be offered a second time */
	double		offered_above;	/* rows with a higher top_score have been offered */
	double		complete_from;	/* all rows with this score have a top_score */
	LsScore    *score;			/* scratch space */
	LsSlotRoom	slots;
	MemoryContext kept;
	MemoryContext one;			/* reset for each contact */
	int			k;
	int			n;				/* found so far: at most k */
	Best	   *best;
	binaryheap *heap;			/* of Best *, the last of them first */
} Search;

/* by_rank puts the contact that comes later in the result before the other. */
static int
by_rank(Datum a, Datum b, void *arg)
{
	const Best *x = (const Best *) DatumGetPointer(a);
	const Best *y = (const Best *) DatumGetPointer(b);

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return ls_key_compare(x->key, x->contact, y->contact);
}

/* in_order sorts the result: the best first. */
static int
in_order(const void *a, const void *b)
{
	return by_rank(PointerGetDatum(a), PointerGetDatum(b), NULL);
}

static Best *
last_of(Search *search)
{
	return (Best *) DatumGetPointer(binaryheap_first(search->heap));
}

/*
 * has_room tells whether a contact with a stored score may be among the best.  One that
 * is not a number is refused when the row is read.
 */
static bool
has_room(Search *search, double stored)
{
	return search->n < search->k || !search->near ||
		isnan(stored) || ls_score_highest(search->model, stored) >= last_of(search)->score;
}

static bool
was_found(Search *search, Datum contact)
{
	for (int i = 0; i < search->n; i++)
		if (ls_key_compare(&search->model->key, search->best[i].contact, contact) == 0)
			return true;
	return false;
}

/* forget frees what a contact refers to that is no longer among the best. */
static void
forget(Search *search, Best *best)
{
	if (!search->model->key.typbyval)
		pfree(DatumGetPointer(best->contact));
	if (best->grade)
		pfree(best->grade);
	pfree(best->stage);
}

/*
 * may_rank tells whether a contact may be among the best, by its state and what is pending
 * of it (NULL: nothing); see ls_contact_snapshot_evaluate().
 */
static bool
may_rank(Search *search, LsScoreRow *row, const LsPending *pending)
{
	LsScore    *score = search->score;

	if (search->n < search->k ||
		!ls_contact_snapshot_evaluate(search->model, row, pending, search->at, score))
		return true;
	/* but for rounding, as sums may be added up in another order */
	return !score->disqualified &&
		!(score->score + 1e-9 * fmax(1, score->size) < last_of(search)->score);
}

/*
 * may_rank_stored tells whether a row of the table may, as far as nothing is pending: with
 * what is pending the contact is offered by itself.
 */
static bool
may_rank_stored(Search *search, const Datum *values, const bool *nulls)
{
	LsScoreRow	row;

	if (search->n < search->k)
		return true;
	ls_score_table_read_state(search->model, values, nulls, &row.state, &search->slots);
	row.scored_at = DatumGetTimestampTz(values[LS_SCORE_AT(search->model, LS_SCORE_SCORED_AT)]);
	return may_rank(search, &row, NULL);
}

/* offer evaluates a contact, and keeps it if it is among the best. */
static void
offer(Search *search, LsScoreRow *row)
{
	LsModel    *model = search->model;
	bool		full = search->n == search->k;
	Best		found = {.key = &model->key};
	Best	   *place;
	MemoryContext old;

	ls_live_advance(search->advance, row, search->at);
	found.contact = row->contact;
	found.score = row->score;
	if (row->disqualified ||
		(full && by_rank(PointerGetDatum(&found), PointerGetDatum(last_of(search)), NULL) >= 0) ||
		(search->twice && was_found(search, row->contact)))
		return;
	old = MemoryContextSwitchTo(search->kept);
	found.contact = datumCopy(row->contact, model->key.typbyval, model->key.typlen);
	found.grade = row->grade ? pstrdup(row->grade) : NULL;
	found.stage = pstrdup(row->stage);
	MemoryContextSwitchTo(old);
	place = full ? last_of(search) : &search->best[search->n++];
	if (full)
		forget(search, place);
	*place = found;
	if (full)
		binaryheap_replace_first(search->heap, PointerGetDatum(place));
	else
		binaryheap_add(search->heap, PointerGetDatum(place));
}

/* offer_stored offers a contact whose row was read. */
static void
offer_stored(Search *search, LsScoreRow *row)
{
	if (!search->any_pending || ls_contact_snapshot_merge(search->model, row, true))
		offer(search, row);
}

/* offer_by_key offers a contact by its key, if it is known. */
static void
offer_by_key(Search *search, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(search->one);
	LsScoreRow	row;
	Datum		target;

	if (search->model->visitors_of == NULL &&
		ls_identity_find(search->model, contact, LS_IDENTITY_SEEN, &target))
		contact = target;
	if (ls_contact_snapshot_find_current(search->model, contact, &row))
		offer(search, &row);
	MemoryContextSwitchTo(old);
	MemoryContextReset(search->one);
}

/* ---------- where contacts come from ---------- */

/* find_row finds the row of a contact. */
static bool
find_row(Search *search, LsTableScan *scan, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(search->kept);
	bool		found;

	ls_table_scan_find(scan, 1, contact);
	found = ls_table_scan_next(scan);
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * offer_due offers a contact that is due: such a contact has a row.  One of whom something
 * is pending as well is offered as such later.
 */
static void
offer_due(Search *search, LsTableScan *scan, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(search->one);
	LsScoreRow	row;

	if (find_row(search, scan, contact) && may_rank_stored(search, scan->values, scan->nulls))
	{
		ls_score_table_read_values(search->model, scan->values, scan->nulls, &row);
		offer_stored(search, &row);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(search->one);
}

/*
 * ask_due offers the contacts that are due.  False: they are so many that all rows are
 * better read one after the other.
 */
static bool
ask_due(Search *search, LsTableScan *scan)
{
	int64		most = Max(CHUNK, ls_relation_estimate_rows(search->model->score_table) / DUE_PART);
	MemoryContext contexts[2];
	LsDueRow   *last = NULL;
	int64		total = 0;
	int			n = CHUNK;

	for (int i = 0; i < 2; i++)
		contexts[i] = AllocSetContextCreate(search->kept, "leadscore top of due", ALLOCSET_DEFAULT_SIZES);
	for (int chunk = 0; n == CHUNK && total <= most; chunk++)
	{
		/* the last row of a chunk is needed until the next has been read */
		MemoryContext context = contexts[chunk % 2];
		MemoryContext old;
		LsDueRow   *rows;

		MemoryContextReset(context);
		old = MemoryContextSwitchTo(context);
		rows = palloc(sizeof(LsDueRow) * CHUNK);
		n = ls_due_table_read(search->model->name, last, search->at, CHUNK, rows);
		MemoryContextSwitchTo(old);
		search->twice |= n > 0;
		total += n;
		for (int i = 0; i < n && total <= most; i++)
			offer_due(search, scan, rows[i].contact);
		last = n > 0 ? &rows[n - 1] : NULL;
	}
	for (int i = 0; i < 2; i++)
		MemoryContextDelete(contexts[i]);
	return total <= most;
}

/*
 * may_rank_pending tells whether a contact of whom something is pending, and for whom no
 * other rows count, may be among the best.
 */
static bool
may_rank_pending(Search *search, LsTableScan *scan, Datum contact, const LsPending *pending)
{
	LsModel    *model = search->model;
	LsScoreRow	row;

	if (search->n < search->k)
		return true;
	if (!find_row(search, scan, contact))
		ls_score_row_start(model, contact, &row, search->at);
	else
	{
		/* merging may need more room for slots */
		ls_score_table_read_state(model, scan->values, scan->nulls, &row.state, NULL);
		row.scored_at = DatumGetTimestampTz(scan->values[LS_SCORE_AT(model, LS_SCORE_SCORED_AT)]);
		row.rules_version = DatumGetInt64(scan->values[LS_SCORE_AT(model, LS_SCORE_RULES_VERSION)]);
	}
	return may_rank(search, &row, pending);
}

/*
 * ask_pending_rows offers the contacts of whom something is pending, row or none, where no
 * rows of others count for them.
 */
static void
ask_pending_rows(Search *search, LsTableScan *scan)
{
	MemoryContext context = AllocSetContextCreate(search->kept, "leadscore top of pending",
												  ALLOCSET_DEFAULT_SIZES);
	LsPendingWalk walk;
	LsPending	pending;
	Datum		contact;

	ls_pending_walk_open(&walk, search->model);
	for (;;)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		bool		found = ls_pending_walk_next(&walk, &contact, &pending);

		if (found && may_rank_pending(search, scan, contact, &pending))
			offer_by_key(search, contact);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		if (!found)
			break;
	}
	ls_pending_walk_close(&walk);
	MemoryContextDelete(context);
}

/* offer_visitor offers the contact as which a visitor is identified, if he is. */
static void
offer_visitor(Search *search, Datum visitor)
{
	MemoryContext old = MemoryContextSwitchTo(search->kept);
	Datum		contact;

	if (ls_identity_of_visitor(search->model, visitor, &contact))
		offer_by_key(search, contact);
	MemoryContextSwitchTo(old);
}

/*
 * ask_pending_keys offers the contacts of whom something is pending, row or none, or of
 * whose visitors something is, by their keys.
 */
static void
ask_pending_keys(Search *search, bool visitors)
{
	MemoryContext context = AllocSetContextCreate(search->kept, "leadscore top of pending",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LsKeyType  *key = visitors ? &search->model->visitor_key : &search->model->key;
	int			(*read) (LsModel *, const Datum *, int, Datum *) =
	visitors ? ls_pending_visitors : ls_pending_contacts;
	const Datum *after = NULL;
	Datum		last;

	for (;;)
	{
		Datum	   *keys = palloc(sizeof(Datum) * CHUNK);
		int			n = read(search->model, after, CHUNK, keys);

		for (int i = 0; i < n; i++)
			visitors ? offer_visitor(search, keys[i]) : offer_by_key(search, keys[i]);
		if (n < CHUNK)
			break;
		/* of a chunk only its end is needed any more */
		MemoryContextSwitchTo(search->kept);
		last = datumCopy(keys[n - 1], key->typbyval, key->typlen);
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		after = &last;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ask_pending offers all contacts of whom something is pending. */
static void
ask_pending(Search *search, LsTableScan *scan)
{
	LsModel    *model = search->model;
	bool		visitors = ls_identity_may_be_pending(model);

	if (!visitors && !ls_pending_any(model))
		return;
	/* already here: several contacts or visitors may count for one */
	search->twice = true;
	if (visitors || model->visitors_of || ls_identity_has_merges(model) || ls_identity_has_visitors(model))
	{
		if (ls_pending_any(model))
			ask_pending_keys(search, false);
		if (visitors)
			ask_pending_keys(search, true);
	}
	else
		ask_pending_rows(search, scan);
}

/*
 * ask_highest offers the rows with the highest stored scores, by the index of those that
 * have a top_score, and finds out from which score on there are no others.
 */
static void
ask_highest(Search *search, LsTableScan *scan, Oid index)
{
	MemoryContext old = MemoryContextSwitchTo(search->kept);

	search->complete_from = ls_score_columns_top(search->model->name, GetActiveSnapshot()).complete_from;
	if (isinf(search->complete_from))
		return;
	ls_table_scan_begin(scan, index);
	scan->backward = true;
	for (;;)
	{
		LsScoreRow	row;

		if (!ls_table_scan_next(scan))
		{
			search->offered_above = -INFINITY;
			break;
		}
		/* no row from here on has a higher score */
		search->offered_above = DatumGetFloat4(scan->values[search->model->score_top]);
		if (!has_room(search, search->offered_above))
			break;
		/* an infinite one is of a row that was written under a clock that was ahead */
		if (!isinf(search->offered_above) && !scan->nulls[SCORE - 1] &&
			!has_room(search, DatumGetFloat8(scan->values[SCORE - 1])))
			continue;
		MemoryContextSwitchTo(search->one);
		ls_score_table_read_tuple(search->model, scan->tuple, RelationGetDescr(scan->rel), &row);
		offer_stored(search, &row);
		MemoryContextSwitchTo(search->kept);
		MemoryContextReset(search->one);
	}
	MemoryContextSwitchTo(old);
}

/*
 * index_of_highest gives the index of the rows that have a top_score, or InvalidOid where
 * a row may have been written later than the clock shows: there it is the score of an
 * earlier instant that counts.
 */
static Oid
index_of_highest(Search *search, Relation rel)
{
	if (!search->near || ls_clock_is_held() || RecoveryInProgress() ||
		search->model->score_top == LS_SCORE_NOWHERE)
		return InvalidOid;
	return ls_table_scan_value_index(rel, search->model->score_top + 1);
}

/* was_offered tells whether a row in a slot was offered as one of the highest. */
static bool
was_offered(Search *search, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		top;

	if (isinf(search->offered_above) && search->offered_above > 0)
		return false;
	top = slot_getattr(slot, search->model->score_top + 1, &isnull);
	return !isnull && DatumGetFloat4(top) > search->offered_above;
}

/* may_be_best tells whether a row in a slot has to be evaluated. */
static bool
may_be_best(Search *search, TupleTableSlot *slot)
{
	bool		nulls[2];
	Datum		score = slot_getattr(slot, SCORE, &nulls[0]);
	Datum		scored_at;

	if (nulls[0] || has_room(search, DatumGetFloat8(score)))
		return true;
	/* written by a session whose clock was ahead */
	scored_at = slot_getattr(slot, LS_SCORE_AT(search->model, LS_SCORE_SCORED_AT) + 1, &nulls[1]);
	return nulls[1] || DatumGetTimestampTz(scored_at) > search->at;
}

/* ask_all offers all rows: with what is pending they have been offered already. */
static void
ask_all(Search *search, Relation rel)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = ls_table_beginscan(rel, GetActiveSnapshot());
	MemoryContext old;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		LsScoreRow	row;

		CHECK_FOR_INTERRUPTS();
		if (was_offered(search, slot) || !may_be_best(search, slot))
			continue;
		slot_getallattrs(slot);
		old = MemoryContextSwitchTo(search->one);
		if (may_rank_stored(search, slot->tts_values, slot->tts_isnull))
		{
			ls_score_table_read_values(search->model, slot->tts_values, slot->tts_isnull, &row);
			offer_stored(search, &row);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(search->one);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/* ---------- all together ---------- */

/*
 * are_near tells whether the stored scores of contacts that are neither due nor have
 * anything pending are within the drift of the exact ones.
 */
static bool
are_near(LsModel *model)
{
	ListCell   *lc;

	if (!model->enabled || model->suspended || model->unreadable || ls_model_change_waits() ||
		ls_job_is_seen(model->name))
		return false;
	foreach(lc, ls_model_change_stale())
		if (strcmp(lfirst(lc), model->name) == 0)
			return false;
	return true;
}

/*
 * search_best finds the best.  The order in which contacts are offered does not matter;
 * those that are highest leave little room for others.
 */
static void
search_best(Search *search)
{
	LsModel    *model = search->model;
	LsTableScan scan;
	Oid			index;

	search->any_pending = ls_contact_snapshot_any_pending(model);
	ls_table_scan_open(&scan, model->score_table, AccessShareLock, &model->key);
	ls_score_columns_check(model, RelationGetDescr(scan.rel));
	index = index_of_highest(search, scan.rel);
	if (OidIsValid(index))
		ask_highest(search, &scan, index);
	ls_table_scan_end(&scan);
	if (search->near && !ask_due(search, &scan))
	{
		/* a row that was passed over may be of one that is due */
		search->near = false;
		search->offered_above = INFINITY;
	}
	ask_pending(search, &scan);
	/* one without a top_score may be among the best */
	if (has_room(search, search->complete_from))
		ask_all(search, scan.rel);
	ls_table_scan_close(&scan, NoLock);
}

/* make_search prepares to find the best k. */
static Search *
make_search(LsModel *model, int k)
{
	Search	   *search = palloc0(sizeof(Search));

	search->model = model;
	search->advance = ls_contact_snapshot_advance_make(model);
	search->at = ls_clock_of_statement();
	search->near = are_near(model);
	search->kept = AllocSetContextCreate(CurrentMemoryContext, "leadscore top", ALLOCSET_DEFAULT_SIZES);
	search->one = AllocSetContextCreate(CurrentMemoryContext, "leadscore top of one", ALLOCSET_DEFAULT_SIZES);
	search->k = k;
	search->offered_above = search->complete_from = INFINITY;
	search->score = ls_score_make(model, false);
	search->slots.context = search->kept;
	search->best = palloc(sizeof(Best) * k);
	search->heap = binaryheap_allocate(k, by_rank, NULL);
	return search;
}

/* ls_top is leadscore.top(): the contacts with the highest scores. */
Datum
ls_top(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name;
	LsModel    *model;
	Search	   *search;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	model = ls_argument_model(fcinfo, name, psprintf("live_%s", name));
	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of contacts must be between 1 and %d", MOST),
				 errhint("The view leadscore.live_%s has all contacts.", model->name)));
	search = make_search(model, PG_GETARG_INT32(1));
	search_best(search);
	qsort(search->best, search->n, sizeof(Best), in_order);
	for (int i = 0; i < search->n; i++)
	{
		Best	   *best = &search->best[i];
		Datum		values[TOP_COLUMNS];
		bool		nulls[TOP_COLUMNS] = {0};

		values[0] = CStringGetTextDatum(ls_key_text(&model->key, best->contact));
		values[1] = Float8GetDatum(best->score);
		nulls[2] = best->grade == NULL;
		values[2] = best->grade ? CStringGetTextDatum(best->grade) : 0;
		values[3] = CStringGetTextDatum(best->stage);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}
