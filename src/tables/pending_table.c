/*-------------------------------------------------------------------------
 *
 * pending_table.c
 *		The rows of pending_<model>: what is put aside, to be folded in later.
 *
 * Who must not wait for the row of a contact, or may not write it (under a
 * transaction snapshot, where another transaction has written it since), puts
 * what he brings aside: a state of events to be added, or the word that the
 * contact has to be recomputed.  As states add up in any order, nothing is
 * lost by that, and scores that are asked for include what is pending.
 *
 * What a snapshot sees of pending_<model> fits what it sees of the events: both
 * were committed together.  Hence the rule for all who count a contact from
 * its events: what the same snapshot sees pending of it is counted with them,
 * and must be taken away.  Rows are taken away only under the lock of the
 * contact's row, by SQL with that snapshot; where there is no row yet, two who
 * take the same rows wait for each other, and the second finds none.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/pending_table.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/heap_writer.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "base/table_index.h"
#include "base/statement.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "tables/score_table.h"

/* columns of pending_<model> */
enum
{
	PENDING_CONTACT = 1,
	PENDING_RULES_VERSION,
	PENDING_NOTED_AT,
	PENDING_PROFILE,
	PENDING_DELTA,
	PENDING_NCOLUMNS = PENDING_DELTA
};

struct LsPendingTable
{
	LsModel    *model;
	LsTarget	target;
};

typedef struct LsPendingPlans
{
	SPIPlanPtr	again;
	SPIPlanPtr	take;
	SPIPlanPtr	clear;
} LsPendingPlans;

/* column_types gives the types of the table's columns. */
static void
column_types(const LsModel *model, Oid *types)
{
	types[PENDING_CONTACT - 1] = model->key.type;
	types[PENDING_RULES_VERSION - 1] = INT8OID;
	types[PENDING_NOTED_AT - 1] = TIMESTAMPTZOID;
	types[PENDING_PROFILE - 1] = BOOLOID;
	types[PENDING_DELTA - 1] = BYTEAOID;
}

/* open_to_read opens the table, of which there is one. */
static Relation
open_to_read(const LsModel *model)
{
	Relation	rel = table_open(model->pending_table, AccessShareLock);
	Oid			types[PENDING_NCOLUMNS];

	column_types(model, types);
	ls_target_check(rel, types, PENDING_NCOLUMNS);
	return rel;
}

/* ---------- putting aside ---------- */

/* ls_pending_open gets ready to put something aside. */
LsPendingTable *
ls_pending_open(LsModel *model)
{
	LsPendingTable *table = palloc0(sizeof(LsPendingTable));
	Oid			types[PENDING_NCOLUMNS];

	table->model = model;
	column_types(model, types);
	ls_target_open(&table->target, model->pending_table, 0, types, PENDING_NCOLUMNS);
	return table;
}

/*
 * ls_pending_add puts aside what happened to a contact: events, or, where delta
 * is NULL, something after which it, or its profile, has to be recomputed.
 */
void
ls_pending_add(LsPendingTable *table, Datum contact, const LsState *delta,
			   bool profile)
{
	TupleTableSlot *slot = table->target.written;
	bytea	   *bytes = delta ? ls_state_encode(delta) : NULL;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, sizeof(bool) * PENDING_NCOLUMNS);
	slot->tts_values[PENDING_CONTACT - 1] = contact;
	slot->tts_values[PENDING_RULES_VERSION - 1] = Int64GetDatum(table->model->version);
	slot->tts_values[PENDING_NOTED_AT - 1] = TimestampTzGetDatum(ls_clock());
	slot->tts_values[PENDING_PROFILE - 1] = BoolGetDatum(profile);
	slot->tts_isnull[PENDING_DELTA - 1] = bytes == NULL;
	slot->tts_values[PENDING_DELTA - 1] = PointerGetDatum(bytes);
	ExecStoreVirtualTuple(slot);
	ls_target_insert(&table->target);
	if (bytes)
		pfree(bytes);
}

void
ls_pending_close(LsPendingTable *table)
{
	ls_target_close(&table->target);
	pfree(table);
}

/* ls_pending_add_one does all three for one contact. */
void
ls_pending_add_one(LsModel *model, Datum contact, const LsState *delta, bool profile)
{
	LsPendingTable *table = ls_pending_open(model);

	ls_pending_add(table, contact, delta, profile);
	ls_pending_close(table);
}

/* ---------- reading ---------- */

void
ls_pending_init(LsPending *pending)
{
	memset(pending, 0, sizeof(LsPending));
	pending->instant = DT_NOBEGIN;
	ls_state_init(&pending->delta);
}

/* add_row adds one row to what is pending; it may lie in a buffer. */
static void
add_row(LsModel *model, LsPending *pending, TimestampTz noted_at, bool profile,
		bytea *bytes)
{
	LsState		delta;

	pending->nrows++;
	if (ls_instant_has_been(noted_at))
		pending->instant = Max(pending->instant, noted_at);
	if (bytes == NULL)
	{
		pending->count_profile |= profile;
		pending->count_all |= !profile;
		return;
	}
	ls_state_decode(bytes, &delta);
	if (!ls_state_merge(model, &pending->delta, &delta))
		pending->count_all = true;
	pending->instant = Max(pending->instant, delta.last);
	pending->has_delta = true;
}

/* empty tells whether a table has never had a row, or been vacuumed since. */
static bool
empty(Relation rel)
{
	return RelationGetNumberOfBlocks(rel) == 0;
}

/* ls_pending_none tells, at next to no cost, that nothing is pending of a model. */
bool
ls_pending_none(const char *model)
{
	return !ls_relation_has_pages(ls_extension_table(psprintf("pending_%s", model), true));
}

/*
 * ls_by_contact_begin starts to read a table by contact, with the active
 * snapshot; strategy BTEqual, or BTGreater.
 */
IndexScanDesc
ls_by_contact_begin(LsModel *model, Relation rel, Relation *index,
					const Datum *contact, StrategyNumber strategy)
{
	IndexScanDesc scan;
	ScanKeyData search;
	Oid			family,
				type;

	*index = index_open(ls_contact_index_required(rel), AccessShareLock);
	family = (*index)->rd_opfamily[0];
	type = (*index)->rd_opcintype[0];	/* may be that of all arrays, or enums */
	scan = ls_index_beginscan(rel, *index, GetActiveSnapshot(), contact ? 1 : 0);
	if (contact)
		ScanKeyEntryInitialize(&search, 0, 1, strategy, type, (*index)->rd_indcollation[0],
							   get_opcode(get_opfamily_member(family, type, type, strategy)),
							   *contact);
	index_rescan(scan, contact ? &search : NULL, contact ? 1 : 0, NULL, 0);
	return scan;
}

/* ls_by_contact_next gives the next row; the index compares keys. */
bool
ls_by_contact_next(LsModel *model, IndexScanDesc scan, TupleTableSlot *slot)
{
	LsUser	saved;
	bool		found;

	CHECK_FOR_INTERRUPTS();
	ls_key_enter(&model->key, &saved);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	ls_key_leave(&model->key, &saved);
	return found;
}

/*
 * ls_pending_read adds up what the active snapshot sees pending about a contact,
 * and leaves it there.
 */
void
ls_pending_read(LsModel *model, Datum contact, LsPending *pending)
{
	Relation	rel = open_to_read(model);
	Relation	index;
	TupleTableSlot *slot;
	IndexScanDesc scan;

	if (!empty(rel))
	{
		slot = table_slot_create(rel, NULL);
		scan = ls_by_contact_begin(model, rel, &index, &contact, BTEqualStrategyNumber);
		while (ls_by_contact_next(model, scan, slot))
		{
			slot_getallattrs(slot);
			add_row(model, pending, DatumGetTimestampTz(slot->tts_values[PENDING_NOTED_AT - 1]),
					DatumGetBool(slot->tts_values[PENDING_PROFILE - 1]),
					slot->tts_isnull[PENDING_DELTA - 1] ? NULL :
					DatumGetByteaPCopy(slot->tts_values[PENDING_DELTA - 1]));
		}
		index_endscan(scan);
		index_close(index, AccessShareLock);
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(rel, AccessShareLock);
}

/* What is remembered of a table of pending rows */
typedef struct Known
{
	Oid			table;
	LsStatement statement;
	bool		any;
} Known;

/* sees_any tells whether the active snapshot sees a row in a table of pending rows. */
static bool
sees_any(LsModel *model, Oid table, Known *known)
{
	LsStatement statement = ls_statement_active();
	Relation	rel,
				index;
	IndexScanDesc scan;

	if (!OidIsValid(table))
		return false;
	if (known->table == table && ls_statement_same_snapshot(&known->statement, &statement))
		return known->any;
	known->table = InvalidOid;
	rel = table_open(table, AccessShareLock);
	known->any = false;
	if (!empty(rel))
	{
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		scan = ls_by_contact_begin(model, rel, &index, NULL, BTGreaterStrategyNumber);
		known->any = ls_by_contact_next(model, scan, slot);
		index_endscan(scan);
		index_close(index, AccessShareLock);
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(rel, AccessShareLock);
	known->table = table;
	known->statement = statement;
	return known->any;
}

/*
 * ls_pending_any tells whether the active snapshot sees anything pending.  It is
 * asked once for each row that a query reads, hence it remembers.
 */
bool
ls_pending_any(LsModel *model)
{
	static Known known;

	return sees_any(model, model->pending_table, &known);
}

/* ls_pending_any_visitors tells so of the model's visitors. */
bool
ls_pending_any_visitors(LsModel *model)
{
	static Known known;

	return sees_any(model, model->visitors_table, &known);
}

/*
 * ls_pending_contacts gives the next contacts of which something is pending, in
 * the order of their key, as the active snapshot sees it.  A contact with many
 * rows is passed over by one descent of the index.
 */
int
ls_pending_contacts(LsModel *model, const Datum *after, int limit, Datum *contacts)
{
	LsKeyType  *key = &model->key;
	Relation	rel = open_to_read(model);
	Relation	index;
	int			n = 0;

	if (!empty(rel))
	{
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		while (n < limit)
		{
			IndexScanDesc scan = ls_by_contact_begin(model, rel, &index, after, BTGreaterStrategyNumber);
			bool		found = ls_by_contact_next(model, scan, slot);
			bool		isnull;

			if (found)
				contacts[n] = datumCopy(slot_getattr(slot, PENDING_CONTACT, &isnull),
										key->typbyval, key->typlen);
			index_endscan(scan);
			index_close(index, AccessShareLock);
			if (!found)
				break;
			after = &contacts[n++];
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(rel, AccessShareLock);
	return n;
}

/* ---------- taking away ---------- */

static LsPendingPlans *
plans_of(LsModel *model)
{
	if (model->pending == NULL)
		model->pending = MemoryContextAllocZero(model->context, sizeof(LsPendingPlans));
	return model->pending;
}

void
ls_pending_free_plans(LsModel *model)
{
	ls_row_free(model->pending, sizeof(LsPendingPlans));
}

/* is_empty looks without a scan. */
static bool
is_empty(LsModel *model)
{
	Relation	rel = table_open(model->pending_table, RowExclusiveLock);
	bool		result = empty(rel);

	table_close(rel, NoLock);
	return result;
}

static char *
table_name(LsModel *model)
{
	return psprintf("%s.%s", LEADSCORE_SCHEMA,
					quote_identifier(get_rel_name(model->pending_table)));
}

/*
 * ls_pending_take adds up what the active snapshot sees pending about a contact
 * and takes it away.
 */
void
ls_pending_take(LsModel *model, Datum contact, LsPending *pending)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan;
	LsUser	saved;

	if (is_empty(model))
		return;
	ls_user_switch_to_owner(ls_relation_owner(model->pending_table), &saved);
	SPI_connect();
	plan = ls_row_plan(&plans_of(model)->take,
					   psprintf("DELETE FROM %s WHERE contact_id %s $1 RETURNING profile, delta, noted_at",
								table_name(model), ls_row_key_operator(model)),
					   1, &model->key.type);
	(void) ls_row_run(plan, &contact, NULL, 1, GetActiveSnapshot());
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		bool		profile = DatumGetBool(SPI_getbinval(tuple, desc, 1, &isnull));
		TimestampTz noted_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull));
		Datum		delta = SPI_getbinval(tuple, desc, 2, &isnull);


		add_row(model, pending, noted_at, profile, isnull ? NULL : DatumGetByteaPCopy(delta));
	}
	SPI_finish();
	ls_user_restore(&saved);
}

/*
 * ls_pending_clear takes away all that is pending, for one who counts every
 * contact under a lock that keeps writers away.
 */
int64
ls_pending_clear(LsModel *model)
{
	LsUser	saved;
	uint64		rows;

	if (is_empty(model))
		return 0;
	ls_user_switch_to_owner(ls_relation_owner(model->pending_table), &saved);
	SPI_connect();
	rows = ls_row_run(ls_row_plan(&plans_of(model)->clear,
								  psprintf("DELETE FROM %s", table_name(model)), 0, NULL),
					  NULL, NULL, 0, GetActiveSnapshot());
	SPI_finish();
	ls_user_restore(&saved);
	return rows;
}

/*
 * ls_pending_again has the contacts recomputed of which something is pending,
 * where that may be true no more.
 */
void
ls_pending_again(LsModel *model)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(model->version), TimestampTzGetDatum(ls_clock())};
	LsUser	saved;

	if (is_empty(model))
		return;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	ls_user_switch_to_owner(ls_relation_owner(model->pending_table), &saved);
	SPI_connect();
	(void) ls_row_run(ls_row_plan(&plans_of(model)->again,
								  psprintf("INSERT INTO %s (contact_id, rules_version, noted_at, profile)"
										   " SELECT DISTINCT contact_id, $1, $2, false FROM %s",
										   table_name(model), table_name(model)), 2, types),
					  values, NULL, 2, GetActiveSnapshot());
	SPI_finish();
	ls_user_restore(&saved);
	PopActiveSnapshot();
}
