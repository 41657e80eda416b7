/*-------------------------------------------------------------------------
 *
 * capture.c
 *		Triggers on event and contact tables: rows in, changes out.
 *
 * What a statement inserts is added to the scores when its AFTER trigger fires.  What
 * it updates or deletes is subtracted where that is exact; else, and where it truncates,
 * the contacts concerned are deferred, and recomputed from their events when the
 * outermost statement has fired all of its triggers.  Recomputing them at once would be wrong: INSERT ... ON CONFLICT DO
 * UPDATE and MERGE fire the UPDATE trigger before the INSERT trigger, so that rows
 * already in the table would be counted and then added.
 *
 * Rows deleted from a source that keeps their points become purged contributions
 * instead, and TRUNCATE reads the table before it is emptied (purge.c).
 *
 * The way of one INSERT:
 *	1. BEFORE: statements under way + 1 (base/statement.c)
 *	2. AFTER: locks RowExclusive on the score tables, models by oid
 *	3. each row is matched with the rules of each source and added to what is deferred
 *	   about its contact (tables/deferred.c)
 *	4. statements under way - 1; at 0, deferred changes are applied (flush_deferred.c):
 *	   contacts in the order of their key: lock, merge, evaluate, write
 *
 * If a source is queued, and under a transaction snapshot, changes of scores are
 * enqueued (pending_table.c), to be merged later.
 *
 * Rows of a table may be written through its ancestors that feed nothing themselves
 * (ancestor.c).  Then the ancestors' statement triggers fire, whose transition tables
 * do not tell the table of a row.  So each row of such a table is captured by a row
 * trigger, however it was written, and statement triggers skip it; what is deferred is
 * applied when a statement trigger fires, which the ancestors have, too.  What a
 * subscription applies fires no statement triggers at all (replication.c): it is
 * enqueued row by row.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/capture.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/sql.h"
#include "base/statement.h"
#include "base/transaction.h"
#include "capture/flush_deferred.h"
#include "capture/purge.h"
#include "capture/table_cache.h"
#include "counting/model_update.h"
#include "counting/recount.h"
#include "counting/suspension.h"
#include "definitions/model_change.h"
#include "definitions/restore_state.h"
#include "rules/model_compile.h"
#include "scoring/state.h"
#include "tables/purged_table.h"
#include "tables/rule_error.h"

PG_FUNCTION_INFO_V1(ls_enter);
PG_FUNCTION_INFO_V1(ls_capture);
PG_FUNCTION_INFO_V1(ls_leave);

/* how many captures are kept with a table */
#define MAX_KEPT	4

/* of LsCapture: tables with row triggers whose rows were captured */
static LsTransactionList row_captures;

/* ---------- rows ---------- */

/* is_restored tells whether rows of a model are still to be restored from a dump. */
static bool
is_restored(const LsModel *model)
{
	LsModelRow *row = ls_lead_model(model->name, NULL);

	return row && ls_restore_under_way(row);
}

/* make_capture makes what it takes to capture rows of a table. */
static LsCapture *
make_capture(LsTable *table)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore capture",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LsCapture  *capture = palloc0(sizeof(LsCapture));
	int			most = 1;

	for (int i = 0; i < table->nbindings; i++)
		if (table->bindings[i].source)
			most = Max(most, table->bindings[i].source->max_matches);
	capture->context = context;
	capture->table = table;
	capture->econtext = CreateStandaloneExprContext();
	capture->models = palloc(sizeof(LsCapturedModel) * Max(1, table->nmodels));
	capture->matches = palloc(sizeof(LsMatch) * most);
	MemoryContextSwitchTo(old);
	return capture;
}

/*
 * take_capture gives a capture that is kept with a table, or makes one: each level of
 * nested statements on the table has its own.  While it is in use it belongs to the
 * current memory context: so it goes with that if an error ends its use.
 */
static LsCapture *
take_capture(LsTable *table)
{
	LsCapture  *capture = table->captures;

	if (capture == NULL)
		return make_capture(table);
	table->captures = capture->next;
	table->ncaptures--;
	MemoryContextSetParent(capture->context, CurrentMemoryContext);
	return capture;
}

/* keep_capture gives a capture back to its table, without anything of its rows. */
static void
keep_capture(LsCapture *capture)
{
	LsTable    *table = capture->table;

	if (table->ncaptures >= MAX_KEPT)
	{
		MemoryContextDelete(capture->context);
		return;
	}
	for (size_t i = 0; i < lengthof(capture->slots); i++)
		if (capture->slots[i])
			ExecClearTuple(capture->slots[i]);
	ReScanExprContext(capture->econtext);
	capture->rel = NULL;
	MemoryContextSetParent(capture->context, table->context);
	capture->next = table->captures;
	table->captures = capture;
	table->ncaptures++;
}

/* ls_capture_begin prepares to capture rows of a table, in the current memory context. */
LsCapture *
ls_capture_begin(Relation rel, bool replica)
{
	LsTable    *table = ls_table_cache_acquire(rel);
	LsCapture  *capture = take_capture(table);

	capture->rel = rel;
	capture->replica = replica;
	capture->many = false;
	capture->now = ls_clock();
	for (int i = 0; i < table->nmodels; i++)
	{
		LsCapturedModel *model = &capture->models[i];

		model->reads = model->asked = false;
		model->out_of_step = table->models[i]->out_of_step;
		model->recompute = table->models[i]->fault ||
			(table->models[i]->restoring && is_restored(table->models[i]));
		model->pending = replica || model->recompute || IsolationUsesXactSnapshot();
	}
	for (int i = 0; i < table->nbindings; i++)
	{
		const LsSource *source = table->bindings[i].source;

		if (source)
			capture->models[table->bindings[i].model].pending |= source->queued;
	}
	return capture;
}

/* ls_capture_end reports failures of rules, and releases the table. */
void
ls_capture_end(LsCapture *capture)
{
	LsTable    *table = capture->table;

	for (int i = 0; i < table->nmodels; i++)
	{
		/* a rule was found to be broken when an event reached it */
		if (table->models[i]->out_of_step && !capture->models[i].out_of_step)
			ls_suspension_missed(table->models[i]->name);
		ls_rule_error_report(table->models[i]);
	}
	keep_capture(capture);
	ls_table_cache_release(table);
}

/* kind_of tells where the changes that rows cause go. */
static LsDeferredKind
kind_of(const LsCapture *capture, const LsBinding *binding)
{
	return capture->models[binding->model].pending ? LS_DEFERRED_PENDING : LS_DEFERRED_WRITE;
}

/* ls_capture_add defers the event of a row. */
void
ls_capture_add(LsCapture *capture, const LsBinding *binding, TupleTableSlot *slot,
			   LsDeferredKind kind)
{
	LsModel    *model = capture->table->models[binding->model];
	MemoryContext old = MemoryContextSwitchTo(capture->econtext->ecxt_per_tuple_memory);
	LsEvent		event;

	event.matches = capture->matches;
	if (capture->many ?
		ls_match_source_of_many(model, binding->source, slot, capture->econtext, &event) :
		ls_match_source(model, binding->source, slot, capture->econtext, &event))
	{
		ls_deferred_add(ls_deferred_set(model, kind, kind == LS_DEFERRED_PURGED ?
										binding->source : NULL),
						&event, capture->now);
		/* it may turn out that the contact has to be recomputed */
		if (unlikely(ls_match_is_keyed(&event)))
			capture->models[binding->model].reads = true;
	}
	MemoryContextSwitchTo(old);
}

/* add_contact defers what a new row of the contact table says. */
static void
add_contact(LsCapture *capture, const LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = capture->table->models[binding->model];
	LsDeferredKind kind = kind_of(capture, binding);
	LsDeferredSet *set;
	LsDeferred *item;
	MemoryContext old;
	Datum		contact;

	if (!ls_table_cache_contact(binding, model, slot, capture->econtext, &contact))
		return;
	set = ls_deferred_set(model, kind, NULL);
	item = ls_deferred_contact(set, contact);
	/* a user's trigger may update the same row, before or after this one */
	if (kind == LS_DEFERRED_PENDING || ls_statement_nested())
	{
		item->recompute_profile = true;
		return;
	}
	item->profile = ls_deferred_state(set);
	old = MemoryContextSwitchTo(set->context);
	ls_recount_read_profile(model, contact, slot, capture->econtext, item->profile);
	MemoryContextSwitchTo(old);
}

/* ls_capture_recompute defers a recompute of the contact of a row. */
void
ls_capture_recompute(LsCapture *capture, const LsBinding *binding, TupleTableSlot *slot,
					 LsDeferredKind kind)
{
	LsModel    *model = capture->table->models[binding->model];
	LsDeferred *item;
	Datum		contact;

	if (binding->purges_only ||
		!ls_table_cache_contact(binding, model, slot, capture->econtext, &contact))
		return;
	item = ls_deferred_contact(ls_deferred_set(model, kind, NULL), contact);
	if (binding->source == NULL)
		item->recompute_profile = true;
	else
		item->recompute = capture->models[binding->model].reads = true;
}

/* recompute_row defers a recompute for a changed row. */
static void
recompute_row(LsCapture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	ls_capture_recompute(capture, binding, ls_table_cache_row(binding, slot),
						 kind_of(capture, binding));
}

/*
 * lacks_columns tells whether rows of a transition table may lack what a binding reads.
 * PostgreSQL keeps a row that goes to a partition of another layout, by INSERT or as it
 * moves, as it was before the partition's stored generated columns were computed.
 */
static bool
lacks_columns(const LsCapture *capture, const LsBinding *binding)
{
	const TupleConstr *constraints = RelationGetDescr(capture->rel)->constr;
	LsModel    *model = capture->table->models[binding->model];
	const Bitmapset *columns;
	int			column = -1;

	if (likely(capture->rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || constraints == NULL ||
			   !constraints->has_generated_stored))
		return false;
	ls_rule_compile_rest(model);
	columns = binding->source ? binding->source->columns : model->contact_columns;
	while ((column = bms_next_member(columns, column)) >= 0)
		if (get_attgenerated(binding->source ? binding->source->relation : model->contacts,
							 column + FirstLowInvalidHeapAttributeNumber) != '\0')
			return true;
	return false;
}

/*
 * matches_as_before tells whether rows of a table match now what they matched when they
 * came: PostgreSQL's own functions are not replaced, and no rule of the model is broken
 * or still to be backfilled.
 */
static bool
matches_as_before(const LsCapture *capture, int number)
{
	const LsTable *table = capture->table;
	LsModel    *model = table->models[number];

	if (model->visitors_of || OidIsValid(model->identity_table) || model->suspended ||
		ls_has_virtual_columns(RelationGetDescr(capture->rel)))
		return false;
	for (int i = 0; i < table->nbindings; i++)
	{
		const LsSource *source = table->bindings[i].source;

		if (table->bindings[i].model == number && source &&
			(source->broken || source->unread || !ls_expr_is_fixed(source->contact) ||
			 !ls_expr_is_fixed(source->event)))
			return false;
	}
	ls_rule_compile_rest(model);
	for (int i = 0; i < model->nrules; i++)
	{
		const LsRule *rule = &model->rules[i];

		if (rule->kind != LS_PROFILE &&
			(rule->broken || rule->backfilling || !ls_rule_is_fixed(rule)))
			return false;
	}
	return true;
}

/*
 * can_subtract tells whether events of rows that go may be subtracted: when they are
 * added as well at the end of the outermost statement.
 */
static bool
can_subtract(LsCapture *capture, const LsBinding *binding)
{
	LsCapturedModel *model = &capture->models[binding->model];

	if (binding->source == NULL || binding->purges_only || binding->by_row || model->pending)
		return false;
	if (!model->asked)
		model->subtracts = matches_as_before(capture, binding->model);
	model->asked = true;
	return model->subtracts;
}

/*
 * match_changed matches a row that goes, or comes in the place of another one.  False if
 * its contact has to be recomputed: a rule that fails may not have failed before, and what
 * a row gives to a keyed rule is not known without the others.
 */
static bool
match_changed(LsCapture *capture, const LsBinding *binding, TupleTableSlot *slot, LsEvent *event)
{
	LsModel    *model = capture->table->models[binding->model];
	MemoryContext old = MemoryContextSwitchTo(capture->econtext->ecxt_per_tuple_memory);
	uint64		failed = model->nfailed;
	bool		matched;

	event->matches = capture->matches;
	matched = ls_match_source(model, binding->source, slot, capture->econtext, event);
	MemoryContextSwitchTo(old);
	return matched && model->nfailed == failed && !ls_match_is_keyed(event);
}

/* subtract_row defers that the event of a row goes. */
static bool
subtract_row(LsCapture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = capture->table->models[binding->model];
	LsEvent		event;

	if (!can_subtract(capture, binding) ||
		!match_changed(capture, binding, ls_table_cache_row(binding, slot), &event))
		return false;
	ls_deferred_subtract(ls_deferred_set(model, LS_DEFERRED_WRITE, NULL), &event);
	/* it may turn out that the contact has to be recomputed */
	capture->models[binding->model].reads = true;
	return true;
}

/* replace_row defers that the event of a row comes in the place of one that goes. */
static bool
replace_row(LsCapture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = capture->table->models[binding->model];
	LsEvent		event;

	if (!match_changed(capture, binding, ls_table_cache_row(binding, slot), &event))
		return false;
	ls_deferred_replace(ls_deferred_set(model, LS_DEFERRED_WRITE, NULL), &event, capture->now);
	return true;
}

/* lock_to_read locks the tables from which deferred contacts will be recomputed. */
static void
lock_to_read(LsCapture *capture)
{
	for (int i = 0; i < capture->table->nmodels; i++)
		if (capture->models[i].reads && !capture->models[i].pending)
			ls_flush_lock(capture->table->models[i]);
}

/*
 * limit_memory spills deferred changes if there are too many, whose locks are taken
 * before: they can be enqueued only while they are in memory.
 */
static inline void
limit_memory(LsCapture *capture)
{
	if (likely(!ls_deferred_full()))
		return;
	lock_to_read(capture);
	ls_deferred_spill();
}

/* show_insert captures an inserted row for one binding of the table. */
static void
show_insert(LsCapture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	if (binding->purges_only)
		return;
	if (capture->models[binding->model].recompute || lacks_columns(capture, binding))
		recompute_row(capture, binding, slot);
	else if (binding->source)
		ls_capture_add(capture, binding, ls_table_cache_row(binding, slot),
					   kind_of(capture, binding));
	else
		add_contact(capture, binding, ls_table_cache_row(binding, slot));
}

/* show_delete captures a deleted row, which may give a purged contribution. */
static void
show_delete(LsCapture *capture, LsBinding *binding, TupleTableSlot *slot)
{
	if (binding->source &&
		ls_purged_is_kept(capture->table->models[binding->model], binding->source))
		ls_capture_add(capture, binding, ls_table_cache_row(binding, slot), LS_DEFERRED_PURGED);
	else if (!subtract_row(capture, binding, slot))
		recompute_row(capture, binding, slot);
}

/* show_update captures an updated row, unless no rule reads what was changed. */
static void
show_update(LsCapture *capture, LsBinding *binding, TupleTableSlot *old, TupleTableSlot *new)
{
	bool		lacks = lacks_columns(capture, binding);

	if (!lacks && !ls_has_virtual_columns(RelationGetDescr(capture->rel)) &&
		ls_table_cache_same(binding, capture->table->models[binding->model], old, new))
		return;
	if (!subtract_row(capture, binding, old))
		recompute_row(capture, binding, old);
	if (lacks || !can_subtract(capture, binding) || !replace_row(capture, binding, new))
		recompute_row(capture, binding, new);
}

/* ---------- statements ---------- */

/*
 * A transition table is shared with other triggers, hence a read pointer of its own;
 * expressions of rules may run code that reads the same table, hence the pointer is
 * selected again for every row.
 */
typedef struct Rows
{
	Tuplestorestate *store;
	int			pointer;
	TupleTableSlot *slot;
} Rows;

/*
 * row_slot gives a slot for rows of a transition table.  Its descriptor is a copy, which
 * no transaction owns: if the table's columns change, so does its entry in the cache.
 */
static TupleTableSlot *
row_slot(LsCapture *capture, int which)
{
	MemoryContext old;

	if (capture->slots[which] == NULL)
	{
		old = MemoryContextSwitchTo(capture->context);
		capture->slots[which] =
			MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(capture->rel)),
									 &TTSOpsMinimalTuple);
		MemoryContextSwitchTo(old);
	}
	return capture->slots[which];
}

static void
open_rows(Rows *rows, LsCapture *capture, Tuplestorestate *store, int which)
{
	rows->store = store;
	rows->slot = row_slot(capture, which);
	rows->pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(store, rows->pointer);
	tuplestore_rescan(store);
}

static bool
next_row(Rows *rows)
{
	CHECK_FOR_INTERRUPTS();
	tuplestore_select_read_pointer(rows->store, rows->pointer);
	return tuplestore_gettupleslot(rows->store, true, false, rows->slot);
}

/* show_all captures each row for the bindings of the table. */
static void
show_all(LsCapture *capture, Tuplestorestate *store,
		 void (*show) (LsCapture *, LsBinding *, TupleTableSlot *))
{
	Rows		rows;

	capture->many = tuplestore_tuple_count(store) > 1;
	open_rows(&rows, capture, store, 0);
	while (next_row(&rows))
	{
		for (int i = 0; i < capture->table->nbindings; i++)
			if (!capture->table->bindings[i].by_row)
			{
				ResetExprContext(capture->econtext);
				show(capture, &capture->table->bindings[i], rows.slot);
			}
		limit_memory(capture);
	}
}

/*
 * show_updates captures updated rows.  Old and new rows are compared pairwise in the
 * order of the transition tables.  If a pair is not of the same row, skipping it is
 * right nevertheless: to the rules both are equal.
 */
static void
show_updates(LsCapture *capture, Tuplestorestate *old_store, Tuplestorestate *new_store)
{
	Rows		old_rows,
				new_rows;

	if (tuplestore_tuple_count(old_store) != tuplestore_tuple_count(new_store))
	{
		show_all(capture, old_store, recompute_row);
		show_all(capture, new_store, recompute_row);
		return;
	}
	open_rows(&old_rows, capture, old_store, 0);
	open_rows(&new_rows, capture, new_store, 1);
	while (next_row(&old_rows) && next_row(&new_rows))
	{
		for (int i = 0; i < capture->table->nbindings; i++)
			if (!capture->table->bindings[i].by_row)
			{
				ResetExprContext(capture->econtext);
				show_update(capture, &capture->table->bindings[i], old_rows.slot, new_rows.slot);
			}
		limit_memory(capture);
	}
}

/* ---------- rows of row triggers ---------- */

/*
 * row_capture gives the capture of a table in this subtransaction, for rows of row
 * triggers; it ends with the subtransaction.
 */
static LsCapture *
row_capture(TriggerData *trigger)
{
	MemoryContext old;
	LsCapture  *capture;
	ListCell   *lc;

	foreach(lc, row_captures.members)
	{
		capture = lfirst(lc);
		if (capture->subid == GetCurrentSubTransactionId() &&
			capture->table->relation == RelationGetRelid(trigger->tg_relation))
		{
			capture->rel = trigger->tg_relation;
			return capture;
		}
	}
	old = MemoryContextSwitchTo(CurTransactionContext);
	capture = ls_capture_begin(trigger->tg_relation, false);
	ls_transaction_list_add(&row_captures, capture);
	MemoryContextSwitchTo(old);
	return capture;
}

/* end_row_captures ends the captures of this subtransaction. */
static void
end_row_captures(void)
{
	ListCell   *lc;

	foreach(lc, row_captures.members)
	{
		LsCapture  *capture = lfirst(lc);

		if (capture->subid != GetCurrentSubTransactionId())
			continue;
		row_captures.members = foreach_delete_current(row_captures.members, lc);
		ls_capture_end(capture);
	}
}

/*
 * show_row captures the row of a row trigger.  If no statement is known to be under
 * way, other rows of the same statement may be in the table already: inserted rows
 * cannot be added then, but their contacts are recomputed.  A replica's rows are
 * enqueued one by one. A row that is moved to another partition gives no purged
 * contribution.
 */
static void
show_row(LsCapture *capture, LsBinding *binding, const TriggerData *trigger)
{
	ResetExprContext(capture->econtext);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		show_update(capture, binding, trigger->tg_trigslot, trigger->tg_newslot);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) &&
			 !HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data))
		show_delete(capture, binding, trigger->tg_trigslot);
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
			 (capture->replica || ls_statement_under_way()))
		show_insert(capture, binding, trigger->tg_trigslot);
	else
		recompute_row(capture, binding, trigger->tg_trigslot);
}

/* ls_capture_row captures a row of a table that may be written through its ancestors. */
void
ls_capture_row(TriggerData *trigger)
{
	LsCapture  *capture = row_capture(trigger);

	for (int i = 0; i < capture->table->nbindings; i++)
		if (capture->table->bindings[i].by_row)
			show_row(capture, &capture->table->bindings[i], trigger);
	lock_to_read(capture);
	limit_memory(capture);
}

/* ls_capture_replicated captures a row that was written by a replica. */
void
ls_capture_replicated(TriggerData *trigger)
{
	LsCapture  *capture = ls_capture_begin(trigger->tg_relation, true);
	const LsTable *table = capture->table;

	for (int i = 0; i < table->nbindings; i++)
		if (OidIsValid(table->models[table->bindings[i].model]->pending_table))
			show_row(capture, &table->bindings[i], trigger);
	ls_flush_rows();
	ls_capture_end(capture);
}

/* ---------- triggers ---------- */

#define ALL_COMMANDS \
	(LS_FIRED_INSERT | LS_FIRED_UPDATE | LS_FIRED_DELETE | LS_FIRED_TRUNCATE)

/* ls_enter is leadscore_internal.enter(), BEFORE each statement. */
Datum
ls_enter(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE, ALL_COMMANDS);

	if (ls_model_change_waits())
		ls_model_update_if_asked();
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		ls_statement_enter();
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		(void) ls_purge_read(trigger->tg_relation, NIL);
	return PointerGetDatum(NULL);
}

static bool
no_rows(TriggerData *trigger)
{
	Tuplestorestate *rows = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ?
		trigger->tg_newtable : trigger->tg_oldtable;

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		return true;
	if (rows == NULL ||
		(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && trigger->tg_newtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" lacks the transition tables that leadscore.attach() gives it",
						trigger->tg_trigger->tgname)));
	return tuplestore_tuple_count(rows) == 0;
}

/* leave applies what the statement has deferred, and ends captures of row triggers. */
static Datum
leave(void)
{
	ls_flush_statement();
	end_row_captures();
	return PointerGetDatum(NULL);
}

/* ls_capture is leadscore_internal.capture(), AFTER each statement. */
Datum
ls_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER, ALL_COMMANDS);
	LsCapture  *capture;

	if (no_rows(trigger))
		return leave();
	capture = ls_capture_begin(trigger->tg_relation, false);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		show_all(capture, trigger->tg_newtable, show_insert);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		show_all(capture, trigger->tg_oldtable, show_delete);
	else
		show_updates(capture, trigger->tg_oldtable, trigger->tg_newtable);
	lock_to_read(capture);
	(void) leave();
	ls_capture_end(capture);
	return PointerGetDatum(NULL);
}

/*
 * ls_leave is leadscore_internal.leave(), AFTER each statement on a table above one
 * that feeds a model.
 */
Datum
ls_leave(PG_FUNCTION_ARGS)
{
	(void) ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER,
							   LS_FIRED_INSERT | LS_FIRED_UPDATE | LS_FIRED_DELETE);
	return leave();
}

/*
 * ls_capture_before_commit flushes the rest, as triggers may have been disabled
 * meanwhile.
 */
void
ls_capture_before_commit(void)
{
	ls_flush_before_commit();
	end_row_captures();
}
