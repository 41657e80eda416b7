/*-------------------------------------------------------------------------
 *
 * kept.c
 *		The rows of kept_<model>: what events that were purged had given.
 *
 * Where what is deleted is to stay in the scores, what the deleted rows add up
 * to is kept: a state, a row for each contact and source of a statement.  The
 * contact's own row already has it and is not touched, so there is nothing to
 * lock.  Whoever counts a contact from its events adds what is kept of it.
 *
 * What a snapshot sees kept fits what it sees of the events: a row went and
 * its worth came with the same commit.
 *
 * States are kept as they were gathered and never folded, so that they can be
 * added to any state in any order, limits per period included.  Slots go by what
 * a rule matched then; what rules that are written later match is not kept.
 *
 *-------------------------------------------------------------------------
 */
#include "kept.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "alias.h"
#include "feed.h"
#include "leadscore.h"
#include "pending.h"
#include "score_table.h"
#include "target.h"

int			ls_on_delete = LS_ON_DELETE_SOURCE;

/* columns of kept_<model> */
enum
{
	KEPT_CONTACT = 1,
	KEPT_SOURCE,
	KEPT_UNTIL,
	KEPT_RULES_VERSION,
	KEPT_STATE,
	KEPT_NCOLUMNS = KEPT_STATE
};

struct LsKeptTable
{
	LsModel    *model;
	LsTarget	target;
};

/* ls_keeps tells whether what is deleted from a source stays in the scores. */
bool
ls_keeps(const LsModel *model, const LsSource *source)
{
	if (ls_on_delete == LS_ON_DELETE_RETRACT)
		return false;
	return ls_on_delete == LS_ON_DELETE_KEEP || source->keep;
}

/* ---------- writing ---------- */

/* column_types gives the types of the table's columns. */
static void
column_types(const LsModel *model, Oid *types)
{
	types[KEPT_CONTACT - 1] = model->key.type;
	types[KEPT_SOURCE - 1] = TEXTOID;
	types[KEPT_UNTIL - 1] = TIMESTAMPTZOID;
	types[KEPT_RULES_VERSION - 1] = INT8OID;
	types[KEPT_STATE - 1] = BYTEAOID;
}

LsKeptTable *
ls_kept_open(LsModel *model)
{
	LsKeptTable *table = palloc0(sizeof(LsKeptTable));
	Oid			types[KEPT_NCOLUMNS];

	table->model = model;
	column_types(model, types);
	ls_target_open(&table->target, model->kept_table, 0, types, KEPT_NCOLUMNS);
	return table;
}

/* until gives the latest event of a state, dated later than the clock or not. */
static TimestampTz
until(const LsState *state)
{
	TimestampTz latest = state->last;

	if (state->nfuture > 0)
		latest = Max(latest, state->future[state->nfuture - 1]);
	return latest;
}

/* ls_kept_insert keeps what events of a contact add up to. */
void
ls_kept_insert(LsKeptTable *table, Datum contact, const char *source,
			   const LsState *state)
{
	TupleTableSlot *slot = table->target.written;
	bytea	   *bytes = ls_state_encode(state);
	text	   *name = cstring_to_text(source);

	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, sizeof(bool) * KEPT_NCOLUMNS);
	slot->tts_values[KEPT_CONTACT - 1] = contact;
	slot->tts_values[KEPT_SOURCE - 1] = PointerGetDatum(name);
	slot->tts_values[KEPT_UNTIL - 1] = TimestampTzGetDatum(until(state));
	slot->tts_values[KEPT_RULES_VERSION - 1] = Int64GetDatum(table->model->version);
	slot->tts_values[KEPT_STATE - 1] = PointerGetDatum(bytes);
	ExecStoreVirtualTuple(slot);
	ls_target_insert(&table->target);
	pfree(bytes);
	pfree(name);
}

void
ls_kept_close(LsKeptTable *table)
{
	ls_target_close(&table->target);
	pfree(table);
}

/* ls_kept_forget_source has what a source's purged events gave leave with it. */
void
ls_kept_forget_source(const char *model, const char *source)
{
	LsArguments args = {0};
	Oid			table = ls_table_oid(psprintf("kept_%s", model), false);
	LsIdentity	saved;

	ls_add_text(&args, source);
	ls_switch_to_owner(ls_relation_owner(table), &saved);
	ls_row_execute(psprintf("DELETE FROM leadscore.kept_%s"
							" WHERE source OPERATOR(pg_catalog.=) $1", model), &args);
	ls_return(&saved);
}

/* ---------- reading ---------- */

static LsKept *
read_row(TupleTableSlot *slot)
{
	LsKept	   *kept = palloc(sizeof(LsKept));

	slot_getallattrs(slot);
	kept->source = TextDatumGetCString(slot->tts_values[KEPT_SOURCE - 1]);
	kept->until = DatumGetTimestampTz(slot->tts_values[KEPT_UNTIL - 1]);
	ls_state_decode(DatumGetByteaPCopy(slot->tts_values[KEPT_STATE - 1]), &kept->state);
	return kept;
}

/* ls_kept_any tells whether anything may be kept of a model. */
bool
ls_kept_any(LsModel *model)
{
	Relation	rel = table_open(model->kept_table, AccessShareLock);
	bool		any;

	any = RelationGetNumberOfBlocks(rel) > 0;
	table_close(rel, AccessShareLock);
	return any;
}

/* rows_of gives what the active snapshot sees kept under one key. */
static List *
rows_of(LsModel *model, Datum contact)
{
	Oid			types[KEPT_NCOLUMNS];
	List	   *rows = NIL;
	Relation	rel = table_open(model->kept_table, AccessShareLock);

	column_types(model, types);
	ls_target_check(rel, types, KEPT_NCOLUMNS);
	if (RelationGetNumberOfBlocks(rel) > 0)
	{
		TupleTableSlot *slot = table_slot_create(rel, NULL);
		Relation	index;
		IndexScanDesc scan = ls_by_contact_begin(model, rel, &index, &contact,
												 BTEqualStrategyNumber);

		while (ls_by_contact_next(model, scan, slot))
			rows = lappend(rows, read_row(slot));
		index_endscan(scan);
		index_close(index, AccessShareLock);
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(rel, AccessShareLock);
	return rows;
}

/*
 * ls_kept_rows gives what the active snapshot sees kept of a contact, and of those
 * whose events count for it.
 */
List *
ls_kept_rows(LsModel *model, Datum contact)
{
	LsAliases	aliases;
	LsModel    *visitors;
	List	   *rows;

	if (!ls_alias_merges(model) && !ls_alias_visitors(model))
		return rows_of(model, contact);
	ls_alias_of(model, contact, &aliases);
	if (aliases.taken)
		return NIL;
	rows = rows_of(model, contact);
	for (int i = 0; i < aliases.nsources; i++)
		rows = list_concat(rows, rows_of(model, aliases.sources[i]));
	if (aliases.nvisitors == 0 || ls_visitors_model(model->name) == NULL)
		return rows;
	visitors = ls_model_acquire(ls_visitors_model(model->name), NULL);
	for (int i = 0; visitors && i < aliases.nvisitors; i++)
		rows = list_concat(rows, rows_of(visitors, aliases.visitors[i]));
	if (visitors)
		ls_model_release(visitors);
	return rows;
}

/* ls_kept_add adds what is kept of a contact to a state that was never folded. */
void
ls_kept_add(LsModel *model, Datum contact, LsState *state)
{
	ListCell   *lc;

	foreach(lc, ls_kept_rows(model, contact))
		(void) ls_state_merge(model, state, &((LsKept *) lfirst(lc))->state);
}

/* ---------- notices ---------- */

/*
 * purged gives, for each source of which something is kept, its name and the
 * latest event, as the active snapshot sees it: pairs, in two lists.
 */
static void
purged(LsModel *model, List **sources, List **latest)
{
	MemoryContext caller = CurrentMemoryContext;
	LsIdentity	saved;

	*sources = *latest = NIL;
	if (!ls_kept_any(model))
		return;
	ls_switch_to_owner(ls_relation_owner(model->kept_table), &saved);
	SPI_connect();
	if (SPI_execute(psprintf("SELECT source, pg_catalog.max(until) FROM leadscore.kept_%s"
							 " GROUP BY source ORDER BY source", model->name),
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read what is kept of model \"%s\"", model->name);
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		TimestampTz *at = palloc(sizeof(TimestampTz));
		bool		isnull;

		*at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
		*sources = lappend(*sources, TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull)));
		*latest = lappend(*latest, at);
	}
	SPI_finish();
	ls_return(&saved);
}

/* ls_kept_tell says up to when events of a model may not be there any more. */
void
ls_kept_tell(LsModel *model, const char *detail)
{
	List	   *sources;
	List	   *latest;

	purged(model, &sources, &latest);
	for (int i = 0; i < list_length(sources); i++)
		ereport(NOTICE,
				(errmsg("events of source \"%s\" of model \"%s\" up to %s may have been purged",
						(char *) list_nth(sources, i), model->name,
						timestamptz_to_str(*(TimestampTz *) list_nth(latest, i))),
				 errdetail("%s", detail)));
}

/*
 * ls_kept_tell_rule says which events a rule that matches something new does
 * not count.
 */
void
ls_kept_tell_rule(LsModel *model, const LsRule *rule)
{
	List	   *sources;
	List	   *latest;

	if (rule->kind == LS_PROFILE)
		return;
	purged(model, &sources, &latest);
	for (int i = 0; i < list_length(sources); i++)
		if (rule->source < 0 ||
			strcmp(model->sources[rule->source].name, list_nth(sources, i)) == 0)
			ereport(NOTICE,
					(errmsg("rule \"%s\" of model \"%s\" counts only what is still there of source \"%s\"",
							rule->name, model->name, (char *) list_nth(sources, i)),
					 errdetail("Events up to %s may have been purged, and what they gave was kept only for what rules matched then.",
							   timestamptz_to_str(*(TimestampTz *) list_nth(latest, i)))));
}
