/*-------------------------------------------------------------------------
 *
 * profile_table.c
 *		The rows of profile_<model>: what profile rules said, and from when on.
 *
 * A state has what the contact's row says now.  What it said before is recorded here
 * whenever it changes, so that scores of the past are exact.  A contact has as many
 * rows as its profile has changed, and none if it has never changed since there are
 * profile rules: then only the present profile is known.
 *
 * Rows are written under the lock of the contact's row in score_<model>.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/profile_table.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/heap_writer.h"
#include "base/table_scan.h"
#include "definitions/table_layout.h"

/* columns of profile_<model> */
enum
{
	PROFILE_CONTACT = 1,
	PROFILE_SINCE,
	PROFILE_BACKFILLED,
	PROFILE_HAS_CONTACT,
	PROFILE_CREATED_AT,
	PROFILE_VERSIONS,
	PROFILE_WEIGHTS,
	PROFILE_NCOLUMNS = PROFILE_WEIGHTS
};

/* ---------- what a row says ---------- */

/*
 * ls_profile_is_recorded tells whether a model records what the contact's row says: it
 * has rules that read it, or that read the instant at which the contact was first seen.
 */
bool
ls_profile_is_recorded(const LsModel *model)
{
	return model->nprofiles > 0 ||
		(model->created_column != NULL && model->nabsences > 0);
}

/* ls_profile_of_state gives what a state says of the contact's row. */
void
ls_profile_of_state(const LsModel *model, const LsState *state, LsProfile *profile)
{
	profile->has_contact = state->has_contact;
	profile->created_at = state->created_at;
	profile->n = 0;
	profile->versions = palloc(sizeof(int64) * Max(1, model->nprofiles));
	profile->weights = palloc(sizeof(double) * Max(1, model->nprofiles));
	for (int i = 0; i < model->nprofiles; i++)
	{
		int64		version = model->profiles[i]->version;
		LsSlot	   *slot;

		if (model->profiles[i]->skip || version == 0)
			continue;
		slot = ls_state_slot((LsState *) state, version, false);
		if (slot == NULL || slot->count == 0)
			continue;
		profile->versions[profile->n] = version;
		profile->weights[profile->n++] = ls_decay_sum_value(&slot->sum);
	}
}

bool
ls_profile_equal(const LsProfile *a, const LsProfile *b)
{
	return a->has_contact == b->has_contact && a->created_at == b->created_at &&
		a->n == b->n &&
		memcmp(a->versions, b->versions, sizeof(int64) * a->n) == 0 &&
		memcmp(a->weights, b->weights, sizeof(double) * a->n) == 0;
}

/* ---------- writing ---------- */

LsRowWriter *
ls_profile_table_open(LsModel *model)
{
	return ls_row_writer_open(model, "profile_", model->profile_table, PROFILE_SINCE);
}

static Datum
numbers(const void *values, int n, Oid type)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, n));

	for (int i = 0; i < n; i++)
		elements[i] = type == INT8OID ? Int64GetDatum(((const int64 *) values)[i]) :
			Float8GetDatum(((const double *) values)[i]);
	return PointerGetDatum(construct_array(elements, n, type, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static void
fill(TupleTableSlot *slot, Datum contact, const LsProfileRow *row)
{
	const LsProfile *profile = &row->profile;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, sizeof(bool) * PROFILE_NCOLUMNS);
	slot->tts_values[PROFILE_CONTACT - 1] = contact;
	slot->tts_values[PROFILE_SINCE - 1] = TimestampTzGetDatum(row->since);
	slot->tts_values[PROFILE_BACKFILLED - 1] = BoolGetDatum(row->backfilled);
	slot->tts_values[PROFILE_HAS_CONTACT - 1] = BoolGetDatum(profile->has_contact);
	slot->tts_isnull[PROFILE_CREATED_AT - 1] = profile->created_at == DT_NOBEGIN;
	slot->tts_values[PROFILE_CREATED_AT - 1] = TimestampTzGetDatum(profile->created_at);
	slot->tts_values[PROFILE_VERSIONS - 1] = numbers(profile->versions, profile->n, INT8OID);
	slot->tts_values[PROFILE_WEIGHTS - 1] = numbers(profile->weights, profile->n, FLOAT8OID);
	ExecStoreVirtualTuple(slot);
}

/* put writes a row, over that of the same instant if there is one. */
static void
put(LsRowWriter *table, Datum contact, const LsProfileRow *row)
{
	LsHeapWriter *rows = &table->rows;
	bool		exists;

	fill(rows->search, contact, row);
	exists = ls_heap_writer_find(rows);
	fill(rows->written, contact, row);
	if (exists)
		ls_heap_writer_update(rows);
	else
		ls_heap_writer_insert(rows);
}

/* is_first tells whether a contact has no rows yet. */
static bool
is_first(LsRowWriter *table, Datum contact)
{
	bool		first;

	PushActiveSnapshot(GetLatestSnapshot());
	first = ls_profile_rows(table->model, contact) == NIL;
	PopActiveSnapshot();
	return first;
}

/*
 * ls_profile_table_add records what a contact's row says from now on.  If this is the
 * contact's first row, what the contact's row said before is recorded as well.
 */
void
ls_profile_table_add(LsRowWriter *table, Datum contact,
					 const LsProfile *before, const LsProfileRow *row)
{
	if ((before->n > 0 || (before->has_contact && !row->backfilled)) &&
		is_first(table, contact))
	{
		LsProfileRow always = {DT_NOBEGIN, true, *before};

		put(table, contact, &always);
	}
	put(table, contact, row);
}

/* ---------- reading ---------- */

static Datum *
read_numbers(const LsTableScan *scan, int column, int *n)
{
	Datum	   *values;

	deconstruct_array(DatumGetArrayTypeP(scan->values[column - 1]),
					  column == PROFILE_VERSIONS ? INT8OID : FLOAT8OID,
					  sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, NULL, n);
	return values;
}

static LsProfileRow *
read_row(const LsTableScan *scan)
{
	LsProfileRow *row = palloc0(sizeof(LsProfileRow));
	LsProfile  *profile = &row->profile;
	Datum	   *versions,
			   *weights;
	int			nweights;

	row->since = DatumGetTimestampTz(scan->values[PROFILE_SINCE - 1]);
	row->backfilled = DatumGetBool(scan->values[PROFILE_BACKFILLED - 1]);
	profile->has_contact = DatumGetBool(scan->values[PROFILE_HAS_CONTACT - 1]);
	profile->created_at = scan->nulls[PROFILE_CREATED_AT - 1] ? DT_NOBEGIN :
		DatumGetTimestampTz(scan->values[PROFILE_CREATED_AT - 1]);
	versions = read_numbers(scan, PROFILE_VERSIONS, &profile->n);
	weights = read_numbers(scan, PROFILE_WEIGHTS, &nweights);
	profile->n = Min(profile->n, nweights);
	profile->versions = palloc(sizeof(int64) * Max(1, profile->n));
	profile->weights = palloc(sizeof(double) * Max(1, profile->n));
	for (int i = 0; i < profile->n; i++)
	{
		profile->versions[i] = DatumGetInt64(versions[i]);
		profile->weights[i] = DatumGetFloat8(weights[i]);
	}
	return row;
}

/* ls_profile_rows gives the rows of a contact, in the order of time. */
List *
ls_profile_rows(LsModel *model, Datum contact)
{
	LsTableScan scan;
	List	   *rows = NIL;

	ls_table_scan_open(&scan, model->profile_table, AccessShareLock, &model->key);
	ls_table_layout_check(scan.rel, "profile_", model->key.type);
	ls_table_scan_begin(&scan, ls_table_scan_key_index_required(scan.rel, PROFILE_SINCE));
	ls_table_scan_add(&scan, PROFILE_CONTACT, BTEqualStrategyNumber, contact);
	while (ls_table_scan_next(&scan))
		rows = lappend(rows, read_row(&scan));
	ls_table_scan_close(&scan, AccessShareLock);
	return rows;
}
