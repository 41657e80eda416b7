/*-------------------------------------------------------------------------
 *
 * live_scores.c
 *		The views live_<model>: contacts as they are at an instant.
 *
 * Such a view is a UNION ALL of the tables that have rows of contacts, each read for
 * its key and ctid:
 *
 *		score_<model>		the contacts that have a row
 *		pending_<model>		contacts that have nothing but pending changes
 *		identity_<model>	contacts whose visitors have nothing but pending changes
 *
 * The arms have no conditions of their own, so that the planner flattens the UNION ALL
 * and pushes conditions and joins on the key down to each table, whose indexes serve
 * them.  Each other column is a call of leadscore_internal.live_column(), so that those
 * are evaluated that a query uses, for the rows that are left; the first call for a row
 * evaluates it, the others take what it left.  A call of live_shows() as a condition makes
 * sure that each contact is shown once.  Its support function has the planner put a
 * condition on the other arms that is tested once: while nothing is pending they are not
 * read.
 *
 * The argument is a ctid and not a row: the function reads the row itself, with the
 * snapshot of the query, so that a caller cannot pass a forged row.
 *
 *-------------------------------------------------------------------------
 */
#include "api/live_scores.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "nodes/makefuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "api/arguments.h"
#include "api/live_rows.h"
#include "base/clock.h"
#include "base/statement.h"
#include "base/table_scan.h"
#include "counting/replay.h"
#include "definitions/lead_tables.h"
#include "rules/model_compile.h"
#include "rules/score_columns.h"
#include "scoring/stage.h"
#include "tables/pending_table.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_live);
PG_FUNCTION_INFO_V1(ls_live_column);
PG_FUNCTION_INFO_V1(ls_live_shows);
PG_FUNCTION_INFO_V1(ls_live_any_pending);
PG_FUNCTION_INFO_V1(ls_live_support);

/* A table of contacts whose rows are read by their ctid */
typedef struct Place
{
	Oid			table;			/* InvalidOid: none yet */
	AttrNumber	contact;		/* column of the key; InvalidAttrNumber: not of the key's type */
	LsLiveRows *rows;
} Place;

/*
 * What is kept from row to row of a query, by all calls in it: what is the same for one
 * model under one snapshot, and the row that was evaluated last.  It is made again under
 * another snapshot, and after an error in the midst of a row.
 */
typedef struct Live
{
	slist_node	node;			/* in lives */
	MemoryContext query;		/* in which it was allocated: that of the calls */
	MemoryContextCallback gone; /* of it */
	Oid			score_table;
	int			generation;		/* how often it was made */
	/* made under a snapshot, in a context of its own */
	MemoryContext context;
	LsStatement statement;
	bool		busy;
	LsModel    *model;
	TupleDesc	desc;			/* of the score table */
	bool		any_pending;
	bool		any_new;		/* of contacts that may have no row */
	bool		is_simple;		/* a row is evaluated by itself: evaluate_simple() */
	LsAdvance  *advance;		/* NULL: not needed yet */
	LsScore    *score;
	LsSlotRoom	slots;
	Place		places[3];
	/* the row evaluated last */
	MemoryContext of_row;
	Oid			table;			/* InvalidOid: none */
	ItemPointerData at;
	TimestampTz instant;
	bool		shown;			/* as a contact */
	bool		has_stage;		/* the stage is evaluated */
	bool		wants_stage;	/* for each row, as one was asked for it */
	bool		has_grade;
	LsScoreRow	row;
} Live;

/* What a call keeps */
typedef struct Call
{
	Live	   *live;
	int			generation;		/* of it, when the call was checked */
	TimestampTz instant;		/* that of the query */
	int			column;			/* that was checked */
} Call;

static slist_head lives = SLIST_STATIC_INIT(lives);

/* ---------- what is kept ---------- */

/* forget_live removes what is kept when the query's memory is. */
static void
forget_live(void *arg)
{
	slist_delete(&lives, &((Live *) arg)->node);
}

/* live_model gives the model of a score table to a caller that may read it. */
static LsModel *
live_model(Oid table)
{
	char	   *name = OidIsValid(table) ? get_rel_name(table) : NULL;

	if (name == NULL || strncmp(name, "score_", 6) != 0 ||
		table != ls_lead_score_table(name + 6, true))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("this is not the score table of a model, nor its row type")));
	return ls_argument_acquire(name + 6, psprintf("live_%s", name + 6));
}

/*
 * is_simple tells whether nothing but its row takes part in the evaluation of a contact:
 * nothing is pending, and no stage has a condition.
 */
static bool
is_simple(const Live *live)
{
	for (int i = 0; i < live->model->nstages; i++)
		if (live->model->stages[i].condition || live->model->stages[i].broken)
			return false;
	return !live->any_pending;
}

/* make makes what is kept under the active snapshot, in place of what was. */
static void
make(Live *live)
{
	Relation	rel;
	MemoryContext old;

	live->busy = true;
	live->table = InvalidOid;
	live->of_row = NULL;
	live->advance = NULL;
	memset(live->places, 0, sizeof(live->places));
	if (live->context)
		MemoryContextReset(live->context);
	else
		live->context = AllocSetContextCreate(live->query, "leadscore live scores",
											  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(live->context);
	live->statement = ls_statement_active();
	live->model = live_model(live->score_table);
	rel = table_open(live->score_table, AccessShareLock);
	live->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	table_close(rel, NoLock);
	ls_score_columns_check(live->model, live->desc);
	live->any_pending = ls_contact_snapshot_any_pending(live->model);
	live->any_new = ls_pending_any(live->model) || ls_pending_any_visitors(live->model);
	live->is_simple = is_simple(live);
	live->score = ls_score_make(live->model, false);
	live->slots.context = live->context;
	live->slots.slots = NULL;
	live->slots.n = 0;
	live->of_row = AllocSetContextCreate(live->context, "leadscore live score", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(old);
	live->generation++;
	live->busy = false;
}

/* find_live finds what the other calls of a query keep for a model, or begins it. */
static Live *
find_live(MemoryContext query, Oid score_table)
{
	slist_iter	iter;
	Live	   *live;

	slist_foreach(iter, &lives)
	{
		live = slist_container(Live, node, iter.cur);
		if (live->query == query && live->score_table == score_table)
			return live;
	}
	live = MemoryContextAllocZero(query, sizeof(Live));
	live->query = query;
	live->score_table = score_table;
	live->busy = true;
	live->gone.func = forget_live;
	live->gone.arg = live;
	MemoryContextRegisterResetCallback(query, &live->gone);
	slist_push_head(&lives, &live->node);
	return live;
}

/*
 * get_call gives what a call keeps, which is good for the active snapshot.  fresh tells
 * whether the call has to check its arguments.
 */
static inline Call *
get_call(FunctionCallInfo fcinfo, Oid score_table, bool *fresh)
{
	Call	   *call = fcinfo->flinfo->fn_extra;
	LsStatement statement = ls_statement_active();
	Live	   *live;

	if (unlikely(call == NULL || call->live->score_table != score_table))
	{
		live = find_live(fcinfo->flinfo->fn_mcxt, score_table);
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Call));
		call->live = live;
		call->instant = ls_clock_of_statement();
		fcinfo->flinfo->fn_extra = call;
	}
	live = call->live;
	if (unlikely(live->busy || live->model->stale ||
				 !ls_statement_same_snapshot(&live->statement, &statement)))
		make(live);
	*fresh = call->generation != live->generation;
	call->generation = live->generation;
	return call;
}

/* ---------- rows ---------- */

/*
 * find_place finds a table among those whose rows are read, or adds it.  Its lock is
 * held until the transaction ends, as that of a table which a query reads.
 */
static Place *
find_place(Live *live, Oid table)
{
	LsModel    *model = live->model;
	Place	   *place = live->places;
	MemoryContext old;
	Relation	rel;

	while (OidIsValid(place->table) && place->table != table)
		place++;
	if (place->table == table)
		return place;
	if (table != model->score_table && table != model->pending_table &&
		(table != model->identity_table || model->visitors_of))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" has no rows of contacts of model \"%s\"",
						get_rel_name(table) ? get_rel_name(table) : "", model->name)));
	rel = table_open(table, AccessShareLock);
	if (table == model->score_table)
		ls_score_columns_check(model, RelationGetDescr(rel));
	place->contact = get_attnum(table, "contact_id");
	if (place->contact != InvalidAttrNumber &&
		TupleDescAttr(RelationGetDescr(rel), place->contact - 1)->atttypid != model->key.type)
		place->contact = InvalidAttrNumber;
	old = MemoryContextSwitchTo(live->context);
	place->rows = ls_live_rows_make(rel);
	MemoryContextSwitchTo(old);
	place->table = table;
	table_close(rel, NoLock);
	return place;
}

/*
 * first_place tells whether the active snapshot sees a contact in a table, and gives
 * the first ctid: of several rows of one contact that one is shown.
 */
static bool
first_place(LsModel *model, Oid table, Datum contact, ItemPointer first)
{
	LsTableScan scan;
	bool		found = false;

	ls_table_scan_open(&scan, table, AccessShareLock, &model->key);
	ls_table_scan_by(&scan, get_attnum(table, "contact_id"), BTEqualStrategyNumber, &contact);
	while (ls_table_scan_next(&scan))
	{
		if (!found || ItemPointerCompare(&scan.tuple->t_self, first) < 0)
			*first = scan.tuple->t_self;
		found = true;
	}
	ls_table_scan_close(&scan, AccessShareLock);
	return found;
}

/*
 * start_new makes the row of a contact that has no stored one, if this is its first
 * ctid in the arms of the view.
 */
static bool
start_new(LsModel *model, Place *place, ItemPointer at, LsScoreRow *row)
{
	ItemPointerData first;
	Datum	   *values;
	bool	   *nulls;
	Datum		contact;

	if (!ls_live_rows_read(place->rows, at, &values, &nulls) ||
		place->contact == InvalidAttrNumber || nulls[place->contact - 1])
		return false;
	contact = values[place->contact - 1];
	if (first_place(model, model->score_table, contact, &first))
		return false;
	if (place->table != model->pending_table &&
		first_place(model, model->pending_table, contact, &first))
		return false;
	return first_place(model, place->table, contact, &first) &&
		ItemPointerEquals(&first, at) &&
		ls_contact_snapshot_find_current(model, contact, row);
}

/*
 * recall gives a row the scores of an instant before its own, as score() does: the
 * clock has been set back, or is behind that of the session that wrote the row.  The
 * next stage is unknown for an instant in the past: that of the row stays.
 */
static void
recall(LsModel *model, LsScoreRow *row, TimestampTz at)
{
	LsScore    *score = ls_score_make(model, false);
	LsReplay   *replay = ls_contact_snapshot_recall(model, row, at);

	if (replay == NULL)
		ls_score_evaluate(model, &row->state, at, score);
	else
	{
		ls_replay_evaluate(replay, at, score);
		row->state.last = ls_replay_last(replay, at);
		row->state.events = row->state.last == DT_NOBEGIN ? 0 : 1;
		row->state.first = row->state.last;
	}
	ls_score_row_take_score(model, row, score);
}

/* ls_live_advance gives a row what the contact is at an instant. */
void
ls_live_advance(LsAdvance *advance, LsScoreRow *row, TimestampTz at)
{
	if (at >= ls_score_row_instant(row))
		ls_contact_snapshot_advance(advance, row, at);
	else
		recall(advance->model, row, at);
}

/* ---------- evaluation ---------- */

/* stored_stage gives the stage of a row: of the model's stages, mostly. */
static char *
stored_stage(const LsModel *model, Datum value)
{
	text	   *stage = DatumGetTextPP(value);
	Size		length = VARSIZE_ANY_EXHDR(stage);

	for (int i = 0; i < model->nstages; i++)
		if (strncmp(model->stages[i].name, VARDATA_ANY(stage), length) == 0 &&
			model->stages[i].name[length] == '\0')
			return model->stages[i].name;
	return text_to_cstring(stage);
}

/*
 * evaluate_simple evaluates a row of the score table at an instant, as
 * ls_contact_snapshot_advance() would, where nothing else takes part and nothing is
 * due by then; false: it has to be done there.  The stage is evaluated if a query asks
 * for it.
 */
static bool
evaluate_simple(Live *live, const Datum *values, const bool *nulls, TimestampTz at)
{
	LsModel    *model = live->model;
	LsScoreRow *row = &live->row;
	LsScore    *score = live->score;

	ls_score_table_read_state(model, values, nulls, &row->state, &live->slots);
	row->scored_at = DatumGetTimestampTz(values[LS_SCORE_AT(model, LS_SCORE_SCORED_AT)]);
	if (at < ls_score_row_instant(row) || (live->wants_stage && row->state.due <= at))
		return false;
	ls_state_advance(model, &row->state, at);
	ls_score_evaluate(model, &row->state, at, score);
	row->contact = values[0];
	row->score = score->score;
	row->categories = score->categories;
	row->disqualified = score->disqualified;
	row->scored_at = score->at;
	row->rules_version = DatumGetInt64(values[LS_SCORE_AT(model, LS_SCORE_RULES_VERSION)]);
	live->has_grade = false;
	live->has_stage = live->wants_stage;
	if (live->wants_stage)
	{
		LsStageState stage;

		row->stage = stored_stage(model, values[LS_SCORE_AT(model, LS_SCORE_STAGE)]);
		row->stage_since = DatumGetTimestampTz(values[LS_SCORE_AT(model, LS_SCORE_STAGE_SINCE)]);
		stage = ls_score_row_stage_state(row);
		(void) ls_stage_step(model, score, NULL, &stage, at);
		ls_score_row_set_stage_state(row, &stage);
	}
	return true;
}

/*
 * read_stored reads a row of the score table, with what is pending; false: it shows no
 * contact.
 */
static bool
read_stored(Live *live, const Datum *values, const bool *nulls)
{
	ls_score_table_read_values(live->model, values, nulls, &live->row);
	return !live->any_pending || ls_contact_snapshot_merge(live->model, &live->row, true);
}

/* advance_row advances a row to an instant. */
static void
advance_row(Live *live, TimestampTz at)
{
	if (live->advance == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(live->context);

		live->advance = ls_contact_snapshot_advance_make(live->model);
		MemoryContextSwitchTo(old);
	}
	ls_live_advance(live->advance, &live->row, at);
	live->has_stage = live->has_grade = true;
}

/* evaluate_place evaluates the contact of a row; false: it shows none. */
static bool
evaluate_place(Live *live, Place *place, ItemPointer where, TimestampTz at)
{
	LsModel    *model = live->model;

	if (place->table == model->score_table)
	{
		Datum	   *values;
		bool	   *nulls;

		if (!ls_live_rows_read(place->rows, where, &values, &nulls))
			return false;
		if (live->is_simple && evaluate_simple(live, values, nulls, at))
			return true;
		if (!read_stored(live, values, nulls))
			return false;
	}
	else if ((place->table != model->pending_table && !ls_pending_any_visitors(model)) ||
			 !start_new(model, place, where, &live->row))
		return false;
	advance_row(live, at);
	return true;
}

/*
 * evaluate evaluates the contact of a row, unless that is the last one evaluated, and
 * tells whether the row shows one.
 */
static bool
evaluate(Live *live, Oid table, ItemPointer where, TimestampTz at)
{
	Place	   *place;
	MemoryContext old;

	if (live->table == table && ItemPointerEquals(&live->at, where) && live->instant == at &&
		(live->has_stage || !live->wants_stage || !live->shown))
		return live->shown;
	place = find_place(live, table);
	live->table = InvalidOid;
	live->busy = true;
	MemoryContextReset(live->of_row);
	old = MemoryContextSwitchTo(live->of_row);
	live->shown = evaluate_place(live, place, where, at);
	if (live->shown && !live->model->key.typbyval)
		live->row.contact = datumCopy(live->row.contact, false, live->model->key.typlen);
	ls_live_rows_clear(place->rows);
	MemoryContextSwitchTo(old);
	live->table = table;
	live->at = *where;
	live->instant = at;
	live->busy = false;
	return live->shown;
}

/* find_grade gives the grade of the row evaluated last. */
static char *
find_grade(Live *live)
{
	if (!live->has_grade)
	{
		MemoryContext old = MemoryContextSwitchTo(live->of_row);

		live->row.grade = ls_score_grade(live->model, live->score);
		live->has_grade = true;
		MemoryContextSwitchTo(old);
	}
	return live->row.grade;
}

/*
 * ls_live evaluates, at an instant, the contact of a row in one of these tables, and
 * gives it as a row of the score table, without its state; NULL where another row shows
 * the contact, or there is none.  The first argument is a NULL of that row type.  The
 * views of 0.6.0 call it, which a dump may bring.
 */
Datum
ls_live(PG_FUNCTION_ARGS)
{
	bool		fresh;
	Live	   *live = get_call(fcinfo, get_typ_typrelid(get_fn_expr_argtype(fcinfo->flinfo, 0)),
								&fresh)->live;
	TimestampTz at = ls_argument_until(ls_argument_instant(fcinfo, 3));
	Datum	   *values;
	bool	   *nulls;

	if (PG_ARGISNULL(1) || !OidIsValid(PG_GETARG_OID(1)) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	live->wants_stage = true;
	if (!evaluate(live, PG_GETARG_OID(1), (ItemPointer) PG_GETARG_POINTER(2), at))
		PG_RETURN_NULL();
	(void) find_grade(live);
	values = palloc(sizeof(Datum) * live->desc->natts);
	nulls = palloc(sizeof(bool) * live->desc->natts);
	ls_score_table_shown(live->model, &live->row, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(live->desc, values, nulls)));
}

/* ---------- columns ---------- */

/* check_column checks that a call is for a column of the type that it is to give. */
static void
check_column(FunctionCallInfo fcinfo, Live *live, int column)
{
	LsModel    *model = live->model;

	if (column < 0 || column >= live->desc->natts || TupleDescAttr(live->desc, column)->attisdropped ||
		TupleDescAttr(live->desc, column)->atttypid != get_fn_expr_rettype(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"score_%s\" has no column %d of this type", model->name, column + 1)));
	if (column == LS_SCORE_AT(model, LS_SCORE_STAGE) || column == LS_SCORE_AT(model, LS_SCORE_STAGE_SINCE))
		live->wants_stage = true;
}

/* column_value gives a column of the row evaluated last; false: it is NULL. */
static bool
column_value(Live *live, int column, Datum *value)
{
	LsModel    *model = live->model;
	LsScoreRow *row = &live->row;
	int			place = 0;

	if (column < 2)
	{
		*value = column == 1 ? Float8GetDatum(row->score) : datumCopy(row->contact, model->key.typbyval, model->key.typlen);
		return true;
	}
	while (place < model->ncategories + LS_SCORE_COLUMNS && model->score_columns[place] != column)
		place++;
	if (place < model->ncategories)
	{
		*value = Float8GetDatum(row->categories[place]);
		return true;
	}
	switch (place - model->ncategories)
	{
		case LS_SCORE_GRADE:
			if (find_grade(live) == NULL)
				return false;
			*value = CStringGetTextDatum(row->grade);
			return true;
		case LS_SCORE_STAGE:
			*value = CStringGetTextDatum(row->stage);
			return true;
		case LS_SCORE_STAGE_SINCE:
			*value = TimestampTzGetDatum(row->stage_since);
			return true;
		case LS_SCORE_DISQUALIFIED:
			*value = BoolGetDatum(row->disqualified);
			return true;
		case LS_SCORE_HAS_CONTACT:
			*value = BoolGetDatum(row->state.has_contact);
			return true;
		case LS_SCORE_LAST_EVENT_AT:
			*value = TimestampTzGetDatum(row->state.last);
			return row->state.events > 0;
		case LS_SCORE_SCORED_AT:
			*value = TimestampTzGetDatum(row->scored_at);
			return true;
		case LS_SCORE_RULES_VERSION:
			*value = Int64GetDatum(row->rules_version);
			return true;
		default:
			return false;
	}
}

/*
 * ls_live_column gives a column, by its number in the score table, of the contact of a
 * row in one of these tables, as it is now.  The first argument is a NULL of its type.
 */
Datum
ls_live_column(PG_FUNCTION_ARGS)
{
	Call	   *call;
	int			column;
	bool		fresh;
	Datum		value;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		PG_RETURN_NULL();
	column = PG_GETARG_INT32(2) - 1;
	call = get_call(fcinfo, PG_GETARG_OID(1), &fresh);
	if (fresh)
		call->column = -1;
	if (call->column != column || column < 0)
	{
		call->column = -1;
		check_column(fcinfo, call->live, column);
		call->column = column;
	}
	if (!evaluate(call->live, PG_GETARG_OID(3), (ItemPointer) PG_GETARG_POINTER(4), call->instant) ||
		!column_value(call->live, column, &value))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(value);
}

/*
 * ls_live_shows tells whether a row in one of these tables shows a contact.  While
 * nothing is pending those of the score table do.
 */
Datum
ls_live_shows(PG_FUNCTION_ARGS)
{
	Call	   *call;
	bool		fresh;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_BOOL(false);
	call = get_call(fcinfo, PG_GETARG_OID(0), &fresh);
	if (!call->live->any_pending && PG_GETARG_OID(1) == PG_GETARG_OID(0))
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(evaluate(call->live, PG_GETARG_OID(1), (ItemPointer) PG_GETARG_POINTER(2),
							call->instant));
}

/* ls_live_any_pending tells whether contacts without a row may have something pending. */
Datum
ls_live_any_pending(PG_FUNCTION_ARGS)
{
	bool		fresh;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(get_call(fcinfo, PG_GETARG_OID(0), &fresh)->live->any_new);
}

/* ---------- planning ---------- */

/* internal_function finds a function beside another one. */
static Oid
internal_function(Oid beside, const char *name, oidvector *types)
{
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(types), ObjectIdGetDatum(get_func_namespace(beside)));
}

/*
 * of_other_table tells whether a call of live_shows() is for the rows of another table
 * than the score table that it names.
 */
static bool
of_other_table(PlannerInfo *root, List *args)
{
	Const	   *score_table = linitial(args);
	Var		   *table = lsecond(args);
	RangeTblEntry *rte;

	if (root == NULL || !IsA(score_table, Const) || score_table->constisnull || !IsA(table, Var) ||
		table->varlevelsup != 0 || table->varattno != TableOidAttributeNumber)
		return false;
	rte = rt_fetch(table->varno, root->parse->rtable);
	return rte->rtekind == RTE_RELATION && rte->relid != DatumGetObjectId(score_table->constvalue);
}

/*
 * simplify splits the condition of another arm: a part that names no column is tested
 * once, before the arm is read.
 */
static Node *
simplify(SupportRequestSimplify *request)
{
	List	   *args = request->fcall->args;
	Oid			types[] = {REGCLASSOID, OIDOID, TIDOID};
	Oid			any_pending;
	Oid			shows_new;

	if (list_length(args) != 3 || !of_other_table(request->root, args))
		return NULL;
	any_pending = internal_function(request->fcall->funcid, "live_any_pending", buildoidvector(types, 1));
	shows_new = internal_function(request->fcall->funcid, "live_shows_new", buildoidvector(types, 3));
	if (!OidIsValid(any_pending) || !OidIsValid(shows_new) || shows_new == request->fcall->funcid)
		return NULL;
	return (Node *) make_andclause(list_make2(
		makeFuncExpr(any_pending, BOOLOID, list_make1(linitial(args)), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
		makeFuncExpr(shows_new, BOOLOID, args, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL)));
}

/* ls_live_support has the planner know of live_shows() and what it is split into. */
Datum
ls_live_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(simplify((SupportRequestSimplify *) request));
	if (IsA(request, SupportRequestSelectivity))
	{
		/* almost every row */
		((SupportRequestSelectivity *) request)->selectivity = 1;
		PG_RETURN_POINTER(request);
	}
	PG_RETURN_POINTER(NULL);
}
