/*-------------------------------------------------------------------------
 *
 * capture.c
 *		Triggers on event and contact tables: rows in, changes out.
 *
 * What a statement inserts is added to the scores when its AFTER trigger
 * fires.  What it updates, deletes or truncates cannot be added: the contacts
 * concerned are noted, and counted again from their events when the outermost
 * statement has fired all of its triggers.  Counting them at once would be
 * wrong: INSERT ... ON CONFLICT DO UPDATE and MERGE fire the UPDATE trigger
 * before the INSERT trigger, so that rows already in the table would be
 * counted and then added.  BEFORE STATEMENT triggers count statements in,
 * AFTER STATEMENT triggers count them out; what an aborted subtransaction had
 * counted in is taken back.
 *
 * What goes from a source that keeps it is not noted but kept, and TRUNCATE reads
 * the table before it is emptied (purge.c).
 *
 * The way of one INSERT:
 *	1. BEFORE: statements under way + 1
 *	2. AFTER: locks RowExclusive on the score tables, models by oid
 *	3. each row is shown to the rules of each source; a delta per contact
 *	4. contacts in the order of their key: lock, merge, evaluate, write
 *	5. statements under way - 1; at 0, noted contacts are counted again
 *
 * Where a source is queued, and under a transaction snapshot, 4 and 5 put aside
 * what they would do (pending_table.c); it is folded in later by others.
 *
 * Rows of a table that is a part of others which feed nothing (ancestor.c) may be
 * written through those.  Their statement triggers fire then, in which a row does
 * not tell from which table it is.  So each such row is taken up by a trigger for
 * each row, however it was written, and the statement triggers pass over it; what
 * the rows add up to is applied as 4 and 5 are, when a statement trigger fires,
 * which the tables above have too.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/capture.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "definitions/restore_state.h"
#include "base/clock.h"
#include "base/compat.h"
#include "capture/deferred.h"
#include "capture/purge.h"
#include "capture/table_cache.h"
#include "counting/recount.h"
#include "definitions/model_change.h"
#include "jobs/before_commit.h"
#include "rules/model_compile.h"
#include "scoring/state.h"
#include "tables/pending_table.h"
#include "tables/purged_table.h"
#include "tables/score_writer.h"

PG_FUNCTION_INFO_V1(ls_enter);
PG_FUNCTION_INFO_V1(ls_capture);
PG_FUNCTION_INFO_V1(ls_leave);

/* What a statement brings to one contact of one model */
typedef struct Delta
{
	Datum		contact;
	LsState    *profile;		/* what its row says, or NULL */
	bool		count_profile;	/* put aside: its row is to be looked at ... */
	bool		count_all;		/* ... or all to be counted again */
	LsState		state;
} Delta;

static bool
has_events(const Delta *delta)
{
	return delta->state.events > 0 || delta->state.nfuture > 0;
}

typedef struct DeltaEntry
{
	Datum		contact;
	Delta	   *delta;
	uint32		hash;
	char		status;
} DeltaEntry;

#define SH_PREFIX delta
#define SH_ELEMENT_TYPE DeltaEntry
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

/* A statement's rows on their way */
typedef struct Capture
{
	Relation	rel;
	LsTable    *table;
	MemoryContext context;
	EState	   *estate;
	ExprContext *econtext;
	LsMatch    *matches;
	delta_hash **deltas;		/* by model */
	bool	   *aside;			/* by model: what is done is put aside */
	LsPurge   **purges;			/* by binding: rows that go and are kept */
	Delta	   *unused;			/* room for further deltas */
	int			nunused;
	int			batch;
	bool	   *restoring;		/* by model: rows and scores may come from a dump,
								 * or it is suspended: contacts are only noted */
	TimestampTz now;
	SubTransactionId subid;		/* of rows that came one by one */
} Capture;

/* of rows that came one by one, in TopTransactionContext */
static List *row_captures = NIL;

/* ---------- rows ---------- */

/*
 * note_aside notes whether what happens to a table is put aside for a model: as
 * its source says, as this transaction might not write what others wrote since
 * it began, or as the scores may be restored from a dump as well, later on.
 */
static void
note_aside(Capture *capture, const LsBinding *binding)
{
	if (IsolationUsesXactSnapshot() || capture->restoring[binding->model] ||
		(binding->source && binding->source->queued))
		capture->aside[binding->model] = true;
}

/* is_restored tells whether something of a model may still come from a dump. */
static bool
is_restored(const LsModel *model)
{
	LsModelRow *row = ls_model_row(model->name, NULL);

	return row && ls_restore_under_way(row);
}

/* begin_capture begins one in a context, and leaves it in the capture's own. */
static void
begin_capture(Capture *capture, TriggerData *trigger, MemoryContext parent)
{
	int			most = 1;

	capture->rel = trigger->tg_relation;
	capture->table = ls_table_acquire(capture->rel);
	capture->context = AllocSetContextCreate(parent,
											 "leadscore statement",
											 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(capture->context);
	capture->estate = CreateExecutorState();
	capture->econtext = CreateExprContext(capture->estate);
	for (int i = 0; i < capture->table->nbindings; i++)
		if (capture->table->bindings[i].source)
			most = Max(most, capture->table->bindings[i].source->max_matches);
	capture->matches = palloc(sizeof(LsMatch) * most);
	capture->deltas = palloc0(sizeof(delta_hash *) * Max(1, capture->table->nmodels));
	capture->aside = palloc0(sizeof(bool) * Max(1, capture->table->nmodels));
	capture->purges = palloc0(sizeof(LsPurge *) * Max(1, capture->table->nbindings));
	capture->restoring = palloc0(sizeof(bool) * Max(1, capture->table->nmodels));
	for (int i = 0; i < capture->table->nmodels; i++)
		capture->restoring[i] = capture->table->models[i]->fault ||
			(capture->table->models[i]->restoring &&
			 is_restored(capture->table->models[i]));
	for (int i = 0; i < capture->table->nbindings; i++)
		note_aside(capture, &capture->table->bindings[i]);
	capture->now = ls_clock();
}

static void
end_capture(Capture *capture, MemoryContext old)
{
	FreeExecutorState(capture->estate);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(capture->context);
	ls_table_release(capture->table);
}

/* new_delta gives room for one, taken by the hundred: a statement may need many. */
static Delta *
new_delta(Capture *capture)
{
	if (capture->nunused == 0)
	{
		capture->batch = Min(256, Max(1, capture->batch * 4));
		capture->nunused = capture->batch;
		capture->unused = palloc0(sizeof(Delta) * capture->nunused);
	}
	return &capture->unused[--capture->nunused];
}

/* delta_of finds or makes what a statement brings to a contact. */
static Delta *
delta_of(Capture *capture, int place, Datum contact)
{
	LsModel    *model = capture->table->models[place];
	DeltaEntry *entry;
	bool		found;

	if (capture->deltas[place] == NULL)
		capture->deltas[place] = delta_create(capture->context, 16, &model->key);
	entry = delta_insert(capture->deltas[place], contact, &found);
	if (!found)
	{
		entry->contact = datumCopy(contact, model->key.typbyval, model->key.typlen);
		entry->delta = new_delta(capture);
		entry->delta->contact = entry->contact;
		ls_state_init(&entry->delta->state);
	}
	return entry->delta;
}

/* add_row adds a new row to the deltas of its contacts. */
static void
add_row(Capture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = capture->table->models[binding->model];
	LsEvent		event;
	bool		scored;

	event.matches = capture->matches;
	MemoryContextSwitchTo(capture->econtext->ecxt_per_tuple_memory);
	scored = ls_source_match(model, binding->source, slot, capture->econtext, &event);
	MemoryContextSwitchTo(capture->context);
	if (!scored)
		return;
	ls_state_add(model, &delta_of(capture, binding->model, event.contact)->state,
				 &event, capture->now);
}

/* add_contact takes up what a new row of the contact table says. */
static void
add_contact(Capture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = capture->table->models[binding->model];
	Datum		contact;
	Delta	   *delta;

	if (!ls_binding_contact(binding, model, slot, capture->econtext, &contact))
		return;
	if (capture->aside[binding->model])
	{
		delta_of(capture, binding->model, contact)->count_profile = true;
		return;
	}
	if (ls_note_nested())
	{
		/* a trigger of the user's may write the same row, before or after us */
		ls_note_profile(model, contact);
		return;
	}
	delta = delta_of(capture, binding->model, contact);
	if (delta->profile == NULL)
		delta->profile = palloc(sizeof(LsState));
	ls_state_init(delta->profile);
	ls_profile_of(model, contact, slot, capture->econtext, delta->profile);
}

/* note_row leaves the contact of a changed row to be counted again. */
static void
note_row(Capture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = capture->table->models[binding->model];
	Datum		contact;

	if (binding->purges_only ||
		!ls_binding_contact(binding, model, slot, capture->econtext, &contact))
		return;
	if (!capture->aside[binding->model] && binding->source)
		ls_note_events(model, contact);
	else if (!capture->aside[binding->model])
		ls_note_profile(model, contact);
	else if (binding->source)
		delta_of(capture, binding->model, contact)->count_all = true;
	else
		delta_of(capture, binding->model, contact)->count_profile = true;
}

/*
 * A transition table is shared with other triggers, hence a read pointer of
 * our own; expressions of rules may run code that reads the same table, hence
 * it is chosen again for every row.
 */
typedef struct Rows
{
	Tuplestorestate *writer;
	int			pointer;
	TupleTableSlot *slot;
} Rows;

static void
open_rows(Rows *rows, Capture *capture, Tuplestorestate *writer)
{
	rows->writer = writer;
	rows->slot = MakeSingleTupleTableSlot(RelationGetDescr(capture->rel),
										  &TTSOpsMinimalTuple);
	rows->pointer = tuplestore_alloc_read_pointer(writer, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(writer, rows->pointer);
	tuplestore_rescan(writer);
}

static bool
next_row(Rows *rows)
{
	CHECK_FOR_INTERRUPTS();
	tuplestore_select_read_pointer(rows->writer, rows->pointer);
	return tuplestore_gettupleslot(rows->writer, true, false, rows->slot);
}

/* show_insert shows a new row to one of those that are bound to the table. */
static void
show_insert(Capture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	TupleTableSlot *row = ls_binding_row(binding, slot);

	ResetExprContext(capture->econtext);
	if (binding->purges_only)
		return;
	if (capture->restoring[binding->model] && capture->aside[binding->model])
		note_row(capture, binding, row);
	else if (binding->source)
		add_row(capture, binding, row);
	else
		add_contact(capture, binding, row);
}

/* show_inserts shows each new row to what is bound to the table. */
static void
show_inserts(Capture *capture, Tuplestorestate *writer)
{
	Rows		rows;

	open_rows(&rows, capture, writer);
	while (next_row(&rows))
		for (int i = 0; i < capture->table->nbindings; i++)
			if (!capture->table->bindings[i].by_row)
				show_insert(capture, &capture->table->bindings[i], rows.slot);
	ExecDropSingleTupleTableSlot(rows.slot);
}

/* keep_row takes up a deleted row of a source that keeps what it gave. */
static bool
keep_row(Capture *capture, int place, TupleTableSlot *slot)
{
	LsBinding  *binding = &capture->table->bindings[place];
	LsModel    *model = capture->table->models[binding->model];

	if (binding->source == NULL || !ls_keeps(model, binding->source))
		return false;
	if (capture->purges[place] == NULL)
		capture->purges[place] = ls_purge_begin(model, binding->source, true);
	ls_purge_row(capture->purges[place], slot, capture->econtext);
	return true;
}

/* show_changes notes the contacts of rows that were deleted or updated. */
static void
show_changes(Capture *capture, Tuplestorestate *writer, bool deleted)
{
	Rows		rows;

	open_rows(&rows, capture, writer);
	while (next_row(&rows))
		for (int i = 0; i < capture->table->nbindings; i++)
		{
			LsBinding  *binding = &capture->table->bindings[i];
			TupleTableSlot *row;

			if (binding->by_row)
				continue;
			row = ls_binding_row(binding, rows.slot);
			ResetExprContext(capture->econtext);
			if (!deleted || !keep_row(capture, i, row))
				note_row(capture, binding, row);
		}
	ExecDropSingleTupleTableSlot(rows.slot);
}

/*
 * show_updates notes the contacts of updated rows, but not for rows that were
 * updated in columns that no rule looks at.  Old and new rows are compared as
 * they come: even if two that do not belong together were, taking the one away
 * and adding the other changes nothing where they are the same to the rules.
 */
static void
show_updates(Capture *capture, Tuplestorestate *old_store,
			 Tuplestorestate *new_store)
{
	Rows		old_rows,
				new_rows;

	if (tuplestore_tuple_count(old_store) != tuplestore_tuple_count(new_store) ||
		ls_has_virtual_columns(RelationGetDescr(capture->rel)))
	{
		show_changes(capture, old_store, false);
		show_changes(capture, new_store, false);
		return;
	}
	open_rows(&old_rows, capture, old_store);
	open_rows(&new_rows, capture, new_store);
	while (next_row(&old_rows) && next_row(&new_rows))
		for (int i = 0; i < capture->table->nbindings; i++)
		{
			LsBinding  *binding = &capture->table->bindings[i];

			ResetExprContext(capture->econtext);
			if (binding->by_row ||
				ls_binding_same(binding, capture->table->models[binding->model],
								old_rows.slot, new_rows.slot))
				continue;
			note_row(capture, binding, ls_binding_row(binding, old_rows.slot));
			note_row(capture, binding, ls_binding_row(binding, new_rows.slot));
		}
	ExecDropSingleTupleTableSlot(old_rows.slot);
	ExecDropSingleTupleTableSlot(new_rows.slot);
}

static int
by_delta_contact(const void *a, const void *b, void *arg)
{
	return ls_key_compare(arg, (*(Delta *const *) a)->contact,
						  (*(Delta *const *) b)->contact);
}

/*
 * put_aside leaves a model's deltas to be folded in later.  Nobody is waited for,
 * and as they add up in any order, they are not sorted.
 */
static void
put_aside(Capture *capture, int place)
{
	LsModel    *model = capture->table->models[place];
	LsPendingTable *table = ls_pending_open(model);
	delta_iterator iterator;
	DeltaEntry *entry;

	delta_start_iterate(capture->deltas[place], &iterator);
	while ((entry = delta_iterate(capture->deltas[place], &iterator)) != NULL)
	{
		const Delta *delta = entry->delta;

		CHECK_FOR_INTERRUPTS();
		if (has_events(delta) && model->fault == NULL)
			ls_pending_add(table, delta->contact, &delta->state, false);
		if (delta->count_all || model->fault)
			ls_pending_add(table, delta->contact, NULL, false);
		if (delta->count_profile)
			ls_pending_add(table, delta->contact, NULL, true);
	}
	ls_pending_close(table);
}

/*
 * apply writes a model's deltas, in the order of contacts.  Statements within
 * others, and those of which something is noted already, leave theirs to the
 * end of the outermost, so that all contacts are locked in one order.
 */
static void
apply(Capture *capture, int place)
{
	LsModel    *model = capture->table->models[place];
	delta_hash *hash = capture->deltas[place];
	bool		from_profile = true;
	Delta	  **sorted;
	delta_iterator iterator;
	DeltaEntry *entry;
	LsScoreWriter *writer;
	int			n = 0;

	sorted = MemoryContextAllocHuge(capture->context,
									sizeof(Delta *) * (Size) hash->members);
	delta_start_iterate(hash, &iterator);
	while ((entry = delta_iterate(hash, &iterator)) != NULL)
	{
		sorted[n++] = entry->delta;
		from_profile &= entry->delta->profile != NULL;
	}
	qsort_arg(sorted, n, sizeof(Delta *), by_delta_contact, &model->key);

	if (ls_note_within())
	{
		/* what was noted comes later, maybe to contacts before these */
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (sorted[i]->profile)
				ls_note_profile(model, sorted[i]->contact);
			if (has_events(sorted[i]))
				ls_note_delta(model, sorted[i]->contact, &sorted[i]->state);
		}
		return;
	}
	writer = ls_score_writer_open(model, from_profile ? "profile" : "event");
	for (int i = 0; i < n; i++)
	{
		LsChange	change = {.kind = LS_CHANGE_EVENTS, .contact = sorted[i]->contact,
		.deferrable = true, .data.events.profile = sorted[i]->profile};

		if (has_events(sorted[i]))
			change.data.events.delta = &sorted[i]->state;
		ls_score_writer_change(writer, &change);
	}
	ls_score_writer_close(writer);
}

/* finish applies what rows have added up to, or puts it aside. */
static void
finish(Capture *capture)
{
	for (int i = 0; i < capture->table->nmodels; i++)
	{
		if (capture->deltas[i] && capture->aside[i])
			put_aside(capture, i);
		else if (capture->deltas[i])
			apply(capture, i);
		ls_rules_report(capture->table->models[i]);
	}
}

/* finish_purges writes down what deleted rows had given that is kept. */
static void
finish_purges(Capture *capture)
{
	for (int i = 0; i < capture->table->nbindings; i++)
		if (capture->purges[i])
			ls_purge_end(capture->purges[i]);
}

/* lock_noted locks what contacts are counted from that were noted since. */
static void
lock_noted(Capture *capture, int noted)
{
	for (int i = 0; i < capture->table->nmodels && ls_note_count() > noted; i++)
		ls_note_lock(capture->table->models[i], noted);
}

/* ---------- rows that come one by one ---------- */

/*
 * row_capture gives the one of a table to which rows are added in this
 * subtransaction.  Memory is left in its context.
 */
static Capture *
row_capture(TriggerData *trigger)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	Capture    *capture;
	ListCell   *lc;

	foreach(lc, row_captures)
	{
		capture = lfirst(lc);
		if (capture->subid != subid ||
			capture->table->relation != RelationGetRelid(trigger->tg_relation))
			continue;
		capture->rel = trigger->tg_relation;
		MemoryContextSwitchTo(capture->context);
		return capture;
	}
	MemoryContextSwitchTo(TopTransactionContext);
	capture = palloc0(sizeof(Capture));
	capture->subid = subid;
	begin_capture(capture, trigger, TopTransactionContext);
	MemoryContextSwitchTo(TopTransactionContext);
	row_captures = lappend(row_captures, capture);
	MemoryContextSwitchTo(capture->context);
	return capture;
}

/*
 * moved tells whether a deleted row went to another partition, by an UPDATE: then
 * it is not deleted to those who keep what deleted rows gave.
 */
static bool
moved(const HeapTuple tuple)
{
	return HeapTupleHeaderIndicatesMovedPartitions(tuple->t_data);
}

/*
 * show_row shows what happened to a row.  Where no statement is known to be under
 * way, other rows of it may be in the table already: none of them can be added.
 */
static void
show_row(Capture *capture, int place, TriggerData *trigger)
{
	LsBinding  *binding = &capture->table->bindings[place];
	TupleTableSlot *old = trigger->tg_trigslot;
	TupleTableSlot *new = trigger->tg_newslot;

	ResetExprContext(capture->econtext);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && ls_note_under_way())
		show_insert(capture, binding, old);
	else if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		TupleTableSlot *row = ls_binding_row(binding, old);

		if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || moved(trigger->tg_trigtuple) ||
			!keep_row(capture, place, row))
			note_row(capture, binding, row);
	}
	else if (ls_has_virtual_columns(RelationGetDescr(capture->rel)) ||
			 !ls_binding_same(binding, capture->table->models[binding->model], old, new))
	{
		note_row(capture, binding, ls_binding_row(binding, old));
		note_row(capture, binding, ls_binding_row(binding, new));
	}
}

/* ls_capture_row fires AFTER a row of a table that may be written through others. */
void
ls_capture_row(TriggerData *trigger)
{
	MemoryContext old = CurrentMemoryContext;
	int			noted = ls_note_count();
	Capture    *capture = row_capture(trigger);

	for (int i = 0; i < capture->table->nbindings; i++)
		if (capture->table->bindings[i].by_row)
			show_row(capture, i, trigger);
	lock_noted(capture, noted);
	MemoryContextSwitchTo(old);
}

/* finish_row_captures applies what came one by one in this subtransaction. */
static void
finish_row_captures(void)
{
	MemoryContext old = CurrentMemoryContext;
	SubTransactionId subid = GetCurrentSubTransactionId();
	List	   *mine = NIL;
	ListCell   *lc;

	foreach(lc, row_captures)
	{
		Capture    *capture = lfirst(lc);

		if (capture->subid != subid)
			continue;
		row_captures = foreach_delete_current(row_captures, lc);
		mine = lappend(mine, capture);
	}
	foreach(lc, mine)
	{
		Capture    *capture = lfirst(lc);

		MemoryContextSwitchTo(capture->context);
		finish_purges(capture);
		finish(capture);
		end_capture(capture, old);
		pfree(capture);
	}
}

/* ---------- triggers ---------- */

#define ALL_COMMANDS \
	(LS_FIRED_INSERT | LS_FIRED_UPDATE | LS_FIRED_DELETE | LS_FIRED_TRUNCATE)

/* ls_enter fires BEFORE a statement. */
Datum
ls_enter(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE, ALL_COMMANDS);

	if (ls_count_waits())
		ls_count_if_asked();
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		ls_note_enter();
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		(void) ls_purge_read(trigger->tg_relation, NIL);
	return PointerGetDatum(NULL);
}

static void
capture_rows(TriggerData *trigger)
{
	MemoryContext old = CurrentMemoryContext;
	Capture		capture = {0};
	int			noted = ls_note_count();

	begin_capture(&capture, trigger, old);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		show_inserts(&capture, trigger->tg_newtable);
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		show_changes(&capture, trigger->tg_oldtable, true);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		show_updates(&capture, trigger->tg_oldtable, trigger->tg_newtable);
	finish_purges(&capture);
	lock_noted(&capture, noted);
	finish(&capture);
	end_capture(&capture, old);
}

static bool
no_rows(TriggerData *trigger)
{
	Tuplestorestate *rows = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ?
		trigger->tg_newtable : trigger->tg_oldtable;

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		return false;
	if (rows == NULL ||
		(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && trigger->tg_newtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" lacks the transition tables that leadscore.attach() gives it",
						trigger->tg_trigger->tgname)));
	return tuplestore_tuple_count(rows) == 0;
}

/* ls_capture fires AFTER a statement. */
Datum
ls_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER, ALL_COMMANDS);

	if (!no_rows(trigger))
		capture_rows(trigger);
	finish_row_captures();
	ls_note_leave();
	return PointerGetDatum(NULL);
}

/* ls_leave fires AFTER a statement on a table above one that feeds a model. */
Datum
ls_leave(PG_FUNCTION_ARGS)
{
	(void) ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER,
						   LS_FIRED_INSERT | LS_FIRED_UPDATE | LS_FIRED_DELETE);
	finish_row_captures();
	ls_note_leave();
	return PointerGetDatum(NULL);
}

/* ls_capture_before_commit: triggers may have been disabled in between. */
void
ls_capture_before_commit(void)
{
	bool		any = row_captures != NIL;

	if (any)
		PushActiveSnapshot(GetTransactionSnapshot());
	finish_row_captures();
	if (any)
		PopActiveSnapshot();
}

void
ls_capture_end_transaction(void)
{
	row_captures = NIL;
}

/* ls_capture_end_subtransaction hands rows on to the parent, or forgets them. */
void
ls_capture_end_subtransaction(SubTransactionId mine, SubTransactionId parent,
							  bool committed)
{
	ListCell   *lc;

	foreach(lc, row_captures)
	{
		Capture    *capture = lfirst(lc);

		if (capture->subid < mine)
			continue;
		if (committed)
			capture->subid = parent;
		else
		{
			row_captures = foreach_delete_current(row_captures, lc);
			ls_table_release(capture->table);
			MemoryContextDelete(capture->context);
		}
	}
}

void
ls_capture_forget(Oid relation)
{
	ls_tables_forget(relation);
}
