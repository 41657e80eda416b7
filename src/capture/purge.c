/*-------------------------------------------------------------------------
 *
 * purge.c
 *		Rows of event tables that go: kept, or their contacts counted again.
 *
 * Where a source keeps what is deleted, rows that go are shown to the rules as
 * new ones are, and what they give goes to kept_<model>.
 *
 * TRUNCATE and DROP TABLE take all rows of a table, under a lock that nobody
 * gets past.  So they read the table before it goes, and then only put aside: a
 * row of kept_<model>, or one of pending_<model> that has the contact counted
 * again.  They wait for no other table and for no contact, so they never wait in
 * a circle with those who write to the other tables of a model.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/purge.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "capture/deferred.h"
#include "capture/table_cache.h"
#include "tables/pending_table.h"
#include "tables/purged_table.h"
#include "tables/rule_error.h"

/* as many contacts are counted again at once, others by the worker */
#define FEW_CONTACTS	10000

/* What goes of one contact */
typedef struct PurgeEntry
{
	Datum		contact;
	LsState    *state;			/* NULL where it is not kept */
	uint32		hash;
	char		status;
} PurgeEntry;

#define SH_PREFIX purge
#define SH_ELEMENT_TYPE PurgeEntry
#define SH_KEY_TYPE Datum
#define SH_KEY contact
#define SH_HASH_KEY(tb, key) ls_key_hash((LsKeyType *) (tb)->private_data, key)
#define SH_EQUAL(tb, a, b) \
	(ls_key_compare((LsKeyType *) (tb)->private_data, a, b) == 0)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct LsPurge
{
	LsModel    *model;
	LsSource   *source;			/* NULL: the contact table */
	bool		keep;
	MemoryContext context;
	purge_hash *contacts;
	LsMatch    *matches;
	TimestampTz now;
};

/* ---------- rows ---------- */

/*
 * ls_purge_begin gets ready for rows that go; keep tells whether what they gave
 * stays.
 */
LsPurge *
ls_purge_begin(LsModel *model, LsSource *source, bool keep)
{
	LsPurge    *purge = palloc0(sizeof(LsPurge));

	purge->model = model;
	purge->source = source;
	purge->keep = keep;
	purge->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore purge",
										   ALLOCSET_DEFAULT_SIZES);
	purge->contacts = purge_create(purge->context, 16, &model->key);
	purge->matches = MemoryContextAlloc(purge->context, sizeof(LsMatch) *
										Max(1, source ? source->max_matches : 0));
	purge->now = ls_clock();
	return purge;
}

/* look_at finds out whose row it is, and what the rules say.  False: nobody's. */
static bool
look_at(LsPurge *purge, TupleTableSlot *slot, ExprContext *econtext, LsEvent *event)
{
	event->matches = purge->matches;
	if (purge->source)
		return ls_source_match(purge->model, purge->source, slot, econtext, event);
	econtext->ecxt_scantuple = slot;
	return ls_row_contact(purge->model, NULL, econtext, &event->contact);
}

/* ls_purge_row takes up a row, as the source has it. */
void
ls_purge_row(LsPurge *purge, TupleTableSlot *slot, ExprContext *econtext)
{
	LsKeyType  *key = &purge->model->key;
	MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	LsEvent		event;
	bool		scored = look_at(purge, slot, econtext, &event);

	MemoryContextSwitchTo(purge->context);
	if (scored)
	{
		bool		found;
		PurgeEntry *entry = purge_insert(purge->contacts, event.contact, &found);

		if (!found)
		{
			entry->contact = datumCopy(event.contact, key->typbyval, key->typlen);
			entry->state = purge->keep ? palloc(sizeof(LsState)) : NULL;
			if (entry->state)
				ls_state_init(entry->state);
		}
		if (entry->state)
			ls_state_add(purge->model, entry->state, &event, purge->now);
	}
	MemoryContextSwitchTo(old);
}

/* keep_all writes what the rows gave to kept_<model>. */
static void
keep_all(LsPurge *purge)
{
	LsKeptTable *table = ls_kept_open(purge->model);
	purge_iterator iterator;
	PurgeEntry *entry;

	purge_start_iterate(purge->contacts, &iterator);
	while ((entry = purge_iterate(purge->contacts, &iterator)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		ls_kept_insert(table, entry->contact, purge->source->name, entry->state);
	}
	ls_kept_close(table);
}

/*
 * count_all_again has the contacts counted again: by the worker, or, where they
 * are few, when the statement has ended, as far as nobody is in the way.
 */
static void
count_all_again(LsPurge *purge)
{
	bool		few = purge->contacts->members <= FEW_CONTACTS &&
		!IsolationUsesXactSnapshot() && !(purge->source && purge->source->queued);
	LsPendingTable *table = ls_pending_open(purge->model);
	purge_iterator iterator;
	PurgeEntry *entry;

	purge_start_iterate(purge->contacts, &iterator);
	while ((entry = purge_iterate(purge->contacts, &iterator)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		ls_pending_add(table, entry->contact, NULL, purge->source == NULL);
		if (few)
			ls_note_fold_later(purge->model, entry->contact);
	}
	ls_pending_close(table);
}

/* ls_purge_end does what has to be done about all of the rows. */
void
ls_purge_end(LsPurge *purge)
{
	if (purge->contacts->members > 0)
	{
		if (purge->keep)
			keep_all(purge);
		else
			count_all_again(purge);
	}
	MemoryContextDelete(purge->context);
	pfree(purge);
}

/* ---------- whole tables ---------- */

/* A table that is read before it goes */
typedef struct Table
{
	Relation	rel;
	LsTable    *table;
	LsPurge   **purges;			/* by binding; NULL: none */
	EState	   *estate;
	ExprContext *econtext;
} Table;

static void
show_row(Table *t, TupleTableSlot *slot)
{
	for (int i = 0; i < t->table->nbindings; i++)
	{
		LsBinding  *binding = &t->table->bindings[i];

		if (t->purges[i] == NULL)
			continue;
		ResetExprContext(t->econtext);
		ls_purge_row(t->purges[i], binding->map == NULL ? slot :
					 execute_attr_map_slot(binding->map->attrMap, slot, binding->mapped),
					 t->econtext);
	}
}

/*
 * show_rows reads the table with the newest snapshot, whatever the transaction
 * sees: neither TRUNCATE nor DROP asks for that.
 */
static void
show_rows(Table *t)
{
	TupleTableSlot *slot;
	TableScanDesc scan;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	slot = table_slot_create(t->rel, NULL);
	scan = ls_table_beginscan(t->rel, GetActiveSnapshot());
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		show_row(t, slot);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	PopActiveSnapshot();
}

/*
 * wants tells what is to be done about the rows for one binding: for a table
 * that is dropped, what was asked for in dropped only.
 */
static bool
wants(const Table *t, const LsBinding *binding, const List *dropped, bool *keep)
{
	LsModel    *model = t->table->models[binding->model];

	if (dropped == NIL)
	{
		*keep = binding->source && ls_keeps(model, binding->source);
		return *keep || !binding->purges_only;
	}
	/* what is dropped with all of its source is not kept */
	*keep = true;
	return binding->source &&
		!list_member_oid(dropped, binding->source->relation);
}

/*
 * ls_purge_read reads a table that goes, under a lock against everybody, and
 * does what has to be done about its rows.  dropped are the tables that are
 * dropped with it, or NIL, where it is only emptied.  True where what was
 * dropped has been kept for all to whom it was of interest.
 */
bool
ls_purge_read(Relation rel, const List *dropped)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore table that goes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Table		t = {0};
	bool		any = false;
	bool		all = true;
	bool		keep;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	t.rel = rel;
	t.table = ls_table_acquire(rel);
	old = MemoryContextSwitchTo(context);
	t.estate = CreateExecutorState();
	t.econtext = CreateExprContext(t.estate);
	t.purges = palloc0(sizeof(LsPurge *) * Max(1, t.table->nbindings));
	for (int i = 0; i < t.table->nbindings; i++)
		if (wants(&t, &t.table->bindings[i], dropped, &keep))
		{
			t.purges[i] = ls_purge_begin(t.table->models[t.table->bindings[i].model],
										 t.table->bindings[i].source, keep);
			any = true;
		}
		else
			all = all && t.table->bindings[i].source == NULL;
	if (any)
		show_rows(&t);
	for (int i = 0; i < t.table->nbindings; i++)
		if (t.purges[i])
			ls_purge_end(t.purges[i]);
	for (int i = 0; i < t.table->nmodels; i++)
		ls_rule_error_report(t.table->models[i]);
	FreeExecutorState(t.estate);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	ls_table_release(t.table);
	return all;
}
