/*-------------------------------------------------------------------------
 *
 * pending_table.c
 *		The rows of pending_<model>: changes enqueued, to be merged later.
 *
 * A session that must not wait for the row of a contact, or cannot write it (under a
 * transaction snapshot, when another transaction has written it since), enqueues its
 * change: a state of events to be added, or a recompute of the contact.  States add up
 * in any order, so nothing is lost by that, and queries of scores include what is
 * pending.
 *
 * What a snapshot sees of pending_<model> fits what it sees of the events: both were
 * committed together.  Hence the rule for every recompute of a contact from its events:
 * what the same snapshot sees pending of it is included in the result, and must be
 * deleted.  Pending rows are deleted only under the lock of the contact's row, and only
 * those that this snapshot sees.  Where there is no row yet, of two sessions that
 * delete the same rows the second waits for the first, and finds none.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/pending_table.h"

#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/datum.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/heap_writer.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/statement.h"
#include "base/table_scan.h"
#include "definitions/extension.h"
#include "definitions/table_layout.h"

/* columns of pending_<model> */
enum
{
	PENDING_CONTACT,
	PENDING_RULES_VERSION,
	PENDING_NOTED_AT,
	PENDING_PROFILE,
	PENDING_DELTA
};

/* open_to_read opens the table for a scan. */
static void
open_to_read(LsModel *model, LsTableScan *scan)
{
	ls_table_scan_open(scan, model->pending_table, AccessShareLock, &model->key);
	ls_table_layout_check(scan->rel, "pending_", model->key.type);
}

/* ---------- enqueueing ---------- */

/* ls_pending_open opens the table to enqueue changes. */
LsRowWriter *
ls_pending_open(LsModel *model)
{
	return ls_row_writer_open(model, "pending_", model->pending_table, 0);
}

/*
 * ls_pending_add enqueues a change of a contact: events or, where delta is NULL, a
 * recompute of the contact, or of its profile only.
 */
void
ls_pending_add(LsRowWriter *table, Datum contact, const LsState *delta,
			   bool profile)
{
	bytea	   *bytes = delta ? ls_state_encode(delta) : NULL;

	ls_row_writer_clear(table);
	ls_row_writer_set(table, PENDING_CONTACT, contact);
	ls_row_writer_set(table, PENDING_RULES_VERSION, Int64GetDatum(table->model->version));
	ls_row_writer_set(table, PENDING_NOTED_AT, TimestampTzGetDatum(ls_clock()));
	ls_row_writer_set(table, PENDING_PROFILE, BoolGetDatum(profile));
	if (bytes)
		ls_row_writer_set(table, PENDING_DELTA, PointerGetDatum(bytes));
	ls_row_writer_add(table);
	if (bytes)
		pfree(bytes);
}

/* ls_pending_add_one opens the table, enqueues for one contact, and closes it. */
void
ls_pending_add_one(LsModel *model, Datum contact, const LsState *delta, bool profile)
{
	LsRowWriter *table = ls_pending_open(model);

	ls_pending_add(table, contact, delta, profile);
	ls_row_writer_close(table);
}

/*
 * ls_pending_replaces tells whether a change was enqueued instead of being written,
 * because an internal error has occurred, maybe in the evaluation of this contact
 * (rule_failure.c).  A change of an application's statement (deferrable) must not fail
 * for that; for others the error is thrown.
 */
bool
ls_pending_replaces(LsModel *model, Datum contact, bool deferrable)
{
	if (likely(model->fault == NULL))
		return false;
	if (!deferrable)
		ls_rule_failure_report_fault(model, ERROR);
	ls_pending_add_one(model, contact, NULL, false);
	return true;
}

/* ---------- reading ---------- */

void
ls_pending_init(LsPending *pending)
{
	memset(pending, 0, sizeof(LsPending));
	pending->instant = DT_NOBEGIN;
	ls_state_init(&pending->delta);
}

/* add_row adds the scanned row to what is pending. */
static void
add_row(LsModel *model, LsPending *pending, const LsTableScan *scan)
{
	TimestampTz noted_at = DatumGetTimestampTz(scan->values[PENDING_NOTED_AT]);
	bool		profile = DatumGetBool(scan->values[PENDING_PROFILE]);
	LsState		delta;

	pending->nrows++;
	if (ls_clock_has_shown(noted_at))
		pending->instant = Max(pending->instant, noted_at);
	if (scan->nulls[PENDING_DELTA])
	{
		pending->count_profile |= profile;
		pending->count_all |= !profile;
		return;
	}
	ls_state_decode(DatumGetByteaPCopy(scan->values[PENDING_DELTA]), &delta);
	ls_state_merge(model, &pending->delta, &delta);
	pending->instant = Max(pending->instant, delta.last);
	pending->has_delta = true;
}

/* ls_pending_none tells, at next to no cost, that nothing is pending of a model. */
bool
ls_pending_none(const char *model)
{
	return !ls_relation_has_pages(ls_extension_table(psprintf("pending_%s", model), true));
}

/*
 * ls_pending_read adds up what the active snapshot sees pending of a contact, and
 * deletes nothing.
 */
void
ls_pending_read(LsModel *model, Datum contact, LsPending *pending)
{
	LsTableScan scan;

	open_to_read(model, &scan);
	if (!ls_table_scan_empty(&scan))
	{
		ls_table_scan_by(&scan, PENDING_CONTACT + 1, BTEqualStrategyNumber, &contact);
		while (ls_table_scan_next(&scan))
			add_row(model, pending, &scan);
	}
	ls_table_scan_close(&scan, AccessShareLock);
}

/* go_to_next has a walk stand on the next row, if there is one. */
static void
go_to_next(LsPendingWalk *walk)
{
	MemoryContext old = MemoryContextSwitchTo(walk->context);

	walk->has_row = ls_table_scan_next(&walk->scan);
	MemoryContextSwitchTo(old);
}

/*
 * ls_pending_walk_open begins to read what the active snapshot sees pending of all
 * contacts.  The current memory context lasts until it is closed.
 */
void
ls_pending_walk_open(LsPendingWalk *walk, LsModel *model)
{
	walk->model = model;
	walk->context = CurrentMemoryContext;
	walk->has_row = false;
	open_to_read(model, &walk->scan);
	if (ls_table_scan_empty(&walk->scan))
		return;
	ls_table_scan_by(&walk->scan, PENDING_CONTACT + 1, BTGreaterStrategyNumber, NULL);
	go_to_next(walk);
}

/*
 * ls_pending_walk_next adds up what is pending of the next contact, in the current memory
 * context.  False: there is none.
 */
bool
ls_pending_walk_next(LsPendingWalk *walk, Datum *contact, LsPending *pending)
{
	LsKeyType  *key = &walk->model->key;

	/* there are no rows without a key, but for those that were damaged: they come last */
	if (!walk->has_row || walk->scan.nulls[PENDING_CONTACT])
		return false;
	*contact = datumCopy(walk->scan.values[PENDING_CONTACT], key->typbyval, key->typlen);
	ls_pending_init(pending);
	do
	{
		add_row(walk->model, pending, &walk->scan);
		go_to_next(walk);
	} while (walk->has_row && !walk->scan.nulls[PENDING_CONTACT] &&
			 ls_key_compare(key, walk->scan.values[PENDING_CONTACT], *contact) == 0);
	return true;
}

void
ls_pending_walk_close(LsPendingWalk *walk)
{
	ls_table_scan_close(&walk->scan, AccessShareLock);
}

/* What is remembered about a table of pending rows */
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
	LsTableScan scan;

	if (!OidIsValid(table))
		return false;
	if (known->table == table && ls_statement_same_snapshot(&known->statement, &statement))
		return known->any;
	known->table = InvalidOid;
	ls_table_scan_open(&scan, table, AccessShareLock, &model->key);
	known->any = false;
	if (!ls_table_scan_empty(&scan))
	{
		ls_table_scan_by(&scan, PENDING_CONTACT + 1, BTGreaterStrategyNumber, NULL);
		known->any = ls_table_scan_next(&scan);
	}
	ls_table_scan_close(&scan, AccessShareLock);
	known->table = table;
	known->statement = statement;
	return known->any;
}

/*
 * ls_pending_any tells whether the active snapshot sees anything pending.  It is called
 * for each row that a query reads, hence the answer is remembered.
 */
bool
ls_pending_any(LsModel *model)
{
	static Known known;

	return sees_any(model, model->pending_table, &known);
}

/*
 * ls_pending_any_visitors tells whether the active snapshot sees anything pending of
 * the model's visitors.
 */
bool
ls_pending_any_visitors(LsModel *model)
{
	static Known known;

	return sees_any(model, model->visitors_table, &known);
}

/*
 * read_keys gives the next keys of a table of pending rows, in their order.  One descent
 * of the index skips the rest of a key's rows.
 */
static int
read_keys(LsTableScan *scan, const LsKeyType *key, const Datum *after, int limit, Datum *keys)
{
	int			n = 0;

	while (n < limit && !ls_table_scan_empty(scan))
	{
		ls_table_scan_by(scan, PENDING_CONTACT + 1, BTGreaterStrategyNumber, after);
		if (!ls_table_scan_next(scan))
			break;
		keys[n] = datumCopy(scan->values[PENDING_CONTACT], key->typbyval, key->typlen);
		after = &keys[n++];
	}
	ls_table_scan_close(scan, AccessShareLock);
	return n;
}

/*
 * ls_pending_contacts gives the next contacts of which something is pending, in the
 * order of their key, as the active snapshot sees it.
 */
int
ls_pending_contacts(LsModel *model, const Datum *after, int limit, Datum *contacts)
{
	LsTableScan scan;

	open_to_read(model, &scan);
	return read_keys(&scan, &model->key, after, limit, contacts);
}

/*
 * ls_pending_visitors gives the next of the model's visitors of which something is
 * pending, in the same way.
 */
int
ls_pending_visitors(LsModel *model, const Datum *after, int limit, Datum *visitors)
{
	LsTableScan scan;

	ls_table_scan_open(&scan, model->visitors_table, AccessShareLock, &model->visitor_key);
	ls_table_layout_check(scan.rel, "pending_", model->visitor_key.type);
	return read_keys(&scan, &model->visitor_key, after, limit, visitors);
}

/* ---------- deleting ---------- */

/* is_empty checks the table's size without a scan, and takes a writer's lock on it. */
static bool
is_empty(LsModel *model)
{
	LockRelationOid(model->pending_table, RowExclusiveLock);
	return !ls_relation_has_pages(model->pending_table);
}

/*
 * ls_pending_take adds up what the active snapshot sees pending of a contact and
 * deletes it.
 */
void
ls_pending_take(LsModel *model, Datum contact, LsPending *pending)
{
	LsRowWriter *table;
	LsTableScan scan;

	if (is_empty(model))
		return;
	table = ls_pending_open(model);
	open_to_read(model, &scan);
	ls_table_scan_by(&scan, PENDING_CONTACT + 1, BTEqualStrategyNumber, &contact);
	while (ls_table_scan_next(&scan))
		if (ls_heap_writer_lock(&table->rows, &scan.tuple->t_self))
		{
			add_row(model, pending, &scan);
			ls_heap_writer_delete(&table->rows);
		}
	ls_table_scan_close(&scan, AccessShareLock);
	ls_row_writer_close(table);
	CommandCounterIncrement();
}

/*
 * ls_pending_clear deletes all that is pending, for a recompute of every contact under
 * a lock that keeps writers away.
 */
int64
ls_pending_clear(LsModel *model)
{
	LsSqlArguments args = {.newest = true};

	if (is_empty(model))
		return 0;
	return ls_sql_execute_as_owner(model->pending_table,
								   psprintf("DELETE FROM %s", ls_relation_qualified_name(model->pending_table)),
								   &args);
}

/*
 * ls_pending_again enqueues a recompute of each contact of which something is pending,
 * as that may not be true any more.
 */
void
ls_pending_again(LsModel *model)
{
	LsSqlArguments args = {.newest = true};

	if (is_empty(model))
		return;
	ls_sql_add(&args, INT8OID, Int64GetDatum(model->version));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(ls_clock()));
	CommandCounterIncrement();
	ls_sql_execute_as_owner(model->pending_table,
							psprintf("INSERT INTO %1$s (contact_id, rules_version, noted_at, profile)"
									 " SELECT DISTINCT contact_id, $1, $2, false FROM %1$s",
									 ls_relation_qualified_name(model->pending_table)), &args);
}

/*
 * ls_pending_restored is for rows that were restored from a dump into a model that
 * exists.  Events that were pending in the dump may have been merged since, and rows
 * without a key cannot be refused; so their contacts are recomputed instead.
 */
void
ls_pending_restored(Oid table)
{
	ls_sql_execute_as_owner(table, psprintf("UPDATE %s SET delta = NULL WHERE delta IS NOT NULL",
											ls_relation_qualified_name(table)), NULL);
}
