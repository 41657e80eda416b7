/*-------------------------------------------------------------------------
 *
 * replication.c
 *		Rows that logical replication brings, and its subscriptions.
 *
 * What a subscription applies fires no statement triggers, neither when it
 * copies a table at first nor later, but row triggers that are enabled for
 * replicas.  So there is one of them on each table that has rows: it fires for
 * what is applied and in sessions that set session_replication_role to replica,
 * where the statement triggers (capture.c) do not, and never where they do.
 * Each row is thus seen once.
 *
 * It puts aside what a row brings, to be folded in later (pending_table.c).  So who
 * applies waits for nobody: neither for the rows of contacts, nor in circles.
 *
 * TRUNCATE is applied with its statement triggers: one more fires before it for
 * replicas, and that after it for all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/clock.h"
#include "base/leadscore.h"
#include "base/sql.h"
#include "capture/capture.h"
#include "capture/purge.h"
#include "capture/table_cache.h"
#include "definitions/extension.h"
#include "rules/model_compile.h"
#include "scoring/state.h"
#include "tables/pending_table.h"
#include "tables/purged_table.h"

PG_FUNCTION_INFO_V1(ls_apply);
PG_FUNCTION_INFO_V1(ls_subscribed);

/* A row on its way */
typedef struct Apply
{
	LsTable    *table;
	EState	   *estate;
	ExprContext *econtext;
} Apply;

/* aside_for tells whether what happens to a binding can be put aside. */
static bool
aside_for(const Apply *apply, const LsBinding *binding)
{
	return OidIsValid(apply->table->models[binding->model]->pending_table);
}

/* mark leaves the contact of a row to be counted again, or its row looked at. */
static void
mark(Apply *apply, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = apply->table->models[binding->model];
	Datum		contact;

	if (!binding->purges_only &&
		ls_binding_contact(binding, model, ls_binding_row(binding, slot),
						   apply->econtext, &contact))
		ls_pending_add_one(model, contact, NULL, binding->source == NULL);
}

/* add leaves the event that a new row is to be added. */
static void
add(Apply *apply, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = apply->table->models[binding->model];
	LsEvent		event;
	LsState		delta;

	if (binding->purges_only)
		return;
	event.matches = palloc(sizeof(LsMatch) * Max(1, binding->source->max_matches));
	if (!ls_source_match(model, binding->source, ls_binding_row(binding, slot),
						 apply->econtext, &event))
		return;
	if (model->fault)
	{
		ls_pending_add_one(model, event.contact, NULL, false);
		return;
	}
	ls_state_init(&delta);
	ls_state_add(model, &delta, &event, ls_clock());
	ls_pending_add_one(model, event.contact, &delta, false);
}

/* keep takes up a deleted row of a source that keeps what it gave.  False: it does not. */
static bool
keep(Apply *apply, LsBinding *binding, TupleTableSlot *slot)
{
	LsModel    *model = apply->table->models[binding->model];
	LsPurge    *purge;

	if (binding->source == NULL || !ls_keeps(model, binding->source))
		return false;
	purge = ls_purge_begin(model, binding->source, true);
	ls_purge_row(purge, ls_binding_row(binding, slot), apply->econtext);
	ls_purge_end(purge);
	return true;
}

/* show shows what happened to a row to one of those whom it concerns. */
static void
show(Apply *apply, LsBinding *binding, TriggerData *trigger)
{
	TupleTableSlot *old = trigger->tg_trigslot;
	TupleTableSlot *new = trigger->tg_newslot;

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		if (!ls_has_virtual_columns(old->tts_tupleDescriptor) &&
			ls_binding_same(binding, apply->table->models[binding->model], old, new))
			return;
		mark(apply, binding, old);
		mark(apply, binding, new);
	}
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && binding->source &&
			 !apply->table->models[binding->model]->restoring &&
			 !apply->table->models[binding->model]->fault)
		add(apply, binding, old);
	else if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ||
			 !keep(apply, binding, old))
		mark(apply, binding, old);
}

/* apply_row shows it to all of them. */
static void
apply_row(TriggerData *trigger)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Apply		apply;

	apply.table = ls_table_acquire(trigger->tg_relation);
	apply.estate = CreateExecutorState();
	apply.econtext = CreateExprContext(apply.estate);
	for (int i = 0; i < apply.table->nbindings; i++)
		if (aside_for(&apply, &apply.table->bindings[i]))
			show(&apply, &apply.table->bindings[i], trigger);
	for (int i = 0; i < apply.table->nmodels; i++)
		ls_rules_report(apply.table->models[i]);
	FreeExecutorState(apply.estate);
	ls_table_release(apply.table);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * ls_apply fires AFTER a row was written by a replica.  It is enabled for others,
 * too, where a table may be written through one that feeds nothing; what they write
 * to others the statement triggers see to.
 */
Datum
ls_apply(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER | TRIGGER_EVENT_ROW,
										   LS_FIRED_INSERT | LS_FIRED_UPDATE | LS_FIRED_DELETE);

	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		apply_row(trigger);
	else
		ls_capture_row(trigger);
	return PointerGetDatum(NULL);
}

/* ---------- subscriptions ---------- */

/* adds_tables tells whether a command may add tables to a subscription. */
static bool
adds_tables(Node *command)
{
	if (IsA(command, CreateSubscriptionStmt))
		return true;
	if (!IsA(command, AlterSubscriptionStmt))
		return false;
	switch (((AlterSubscriptionStmt *) command)->kind)
	{
		case ALTER_SUBSCRIPTION_OPTIONS:
		case ALTER_SUBSCRIPTION_CONNECTION:
		case ALTER_SUBSCRIPTION_DROP_PUBLICATION:
		case ALTER_SUBSCRIPTION_ENABLED:
		case ALTER_SUBSCRIPTION_SKIP:
			return false;
		default:
			return true;
	}
}

/* refuse says which table of ours a subscription would write, if any. */
static void
refuse_own_tables(void)
{
	SPITupleTable *rows =
		ls_extension_query("SELECT c.relname, s.subname FROM pg_subscription_rel r"
						   " JOIN pg_class c ON c.oid = r.srrelid"
						   " JOIN pg_subscription s ON s.oid = r.srsubid"
						   " WHERE c.relnamespace ="
						   " ANY (ARRAY['" LEADSCORE_SCHEMA "', '" LEADSCORE_INTERNAL "']::regnamespace[])"
						   " ORDER BY 1 LIMIT 1", NULL);

	if (rows->numvals > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("subscription \"%s\" would write leadscore's own table \"%s\"",
						ls_sql_text(rows, 0, 2), ls_sql_text(rows, 0, 1)),
				 errdetail("Each server keeps the scores of its own models; those of the publisher would be mixed with them."),
				 errhint("Publish the contact and event tables only, not FOR ALL TABLES or schemas %s and %s. A replication slot that was made at the publisher has to be dropped there.",
						 LEADSCORE_SCHEMA, LEADSCORE_INTERNAL)));
}

/*
 * ls_subscribed looks at what was subscribed to: what a publication FOR ALL
 * TABLES has of ours must not be written here.
 */
Datum
ls_subscribed(PG_FUNCTION_ARGS)
{
	if (adds_tables(ls_sql_command(fcinfo)))
		refuse_own_tables();
	PG_RETURN_NULL();
}
