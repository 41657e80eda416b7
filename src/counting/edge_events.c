/*-------------------------------------------------------------------------
 *
 * edge_events.c
 *		The earliest and the latest events of a contact, by an index.
 *
 * Where events that go are subtracted from a state, only the earliest and the latest
 * ones that are left may have to be looked for, the latter of the contact and of rules.
 * They are read by the index that users are told to create, forward or backward, where
 * nothing but the contact's own rows of plain tables counts for it.  In other cases, and
 * if they are many, the contact is recomputed by the reader (event_reader.c).
 *
 *-------------------------------------------------------------------------
 */
#include "counting/edge_events.h"

#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/relation.h"
#include "base/table_scan.h"
#include "tables/identity_table.h"
#include "tables/purged_table.h"

/*
 * Rows that follow one another by time without a zone may be so far out of order as
 * instants: zones are never a week from UTC.
 */
#define LOCAL_SLACK		(2 * LS_WEEK)

/*
 * look_for_index looks for an index of a source by contact and time; InvalidOid: there is
 * none, or the source has more rows than the table itself, or not all of these.
 */
static Oid
look_for_index(const LsModel *model, const LsSource *source, Relation rel)
{
	Form_pg_class form = rel->rd_rel;
	AttrNumber	contact = source->contact ? source->contact->attno : InvalidAttrNumber;
	Form_pg_attribute att;

	if (form->relkind != RELKIND_RELATION || form->relhassubclass || form->relrowsecurity ||
		form->relam != HEAP_TABLE_AM_OID || source->broken || contact <= 0 ||
		contact > RelationGetNumberOfAttributes(rel))
		return InvalidOid;
	att = TupleDescAttr(RelationGetDescr(rel), contact - 1);
	if (att->attcollation != model->key.collation ||
		get_opclass_family(GetDefaultOpClass(att->atttypid, BTREE_AM_OID)) != model->key.opfamily)
		return InvalidOid;
	return ls_table_scan_pair_index(rel, contact, source->time_attno);
}

/*
 * index_of gives that index.  It is looked for once: a change of the table makes the
 * model stale, and while the table is locked no index of it is dropped.
 */
static Oid
index_of(const LsModel *model, LsSource *source, Relation rel)
{
	if (!source->index_known || model->stale)
		source->first_index = look_for_index(model, source, rel);
	source->index_known = true;
	return source->first_index;
}

/* begin_walk begins to read the events of a contact that have an instant, in their order or back. */
static void
begin_walk(LsTableScan *scan, const LsSource *source, Oid index, Datum contact, bool backward)
{
	StrategyNumber strategy = backward ? BTLessStrategyNumber : BTGreaterStrategyNumber;
	Datum		end;

	if (source->time_type == DATEOID)
		end = DateADTGetDatum(backward ? DATEVAL_NOEND : DATEVAL_NOBEGIN);
	else
		end = TimestampTzGetDatum(backward ? DT_NOEND : DT_NOBEGIN);
	ls_table_scan_begin(scan, index);
	scan->backward = backward;
	ls_table_scan_add(scan, source->contact->attno, BTEqualStrategyNumber, contact);
	ls_table_scan_add(scan, source->time_attno, strategy, end);
}

/* slack_of tells how far rows of a source may be out of the order of their instants. */
static int64
slack_of(const LsSource *source)
{
	return source->time_type == TIMESTAMPTZOID ? 0 : LOCAL_SLACK;
}

/* find_first finds the earliest event of a source, if it is earlier than what was found. */
static bool
find_first(LsTableScan *scan, const LsSource *source, LsLostEvents *lost)
{
	TimestampTz at;

	for (int i = 0; ls_table_scan_next(scan); i++)
	{
		if (i == LS_LOST_EVENTS_MOST)
			return false;
		if (!ls_match_instant(scan->values[source->time_attno - 1], source->time_type,
							  source->tz, &at))
			continue;
		if (lost->first != DT_NOEND && at - slack_of(source) >= lost->first)
			break;
		lost->first = Min(lost->first, at);
		if (slack_of(source) == 0)
			break;
	}
	return true;
}

/* match_row matches the row of a scan. */
static bool
match_row(LsModel *model, LsSource *source, LsTableScan *scan, TupleTableSlot *slot,
		  ExprContext *econtext, LsEvent *event)
{
	MemoryContext old;
	bool		result;

	ResetExprContext(econtext);
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	ExecStoreHeapTuple(scan->tuple, slot, false);
	result = ls_match_source(model, source, slot, econtext, event);
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * find_last finds the latest events of a source, as many as are needed.  A rule that
 * fails may not have failed before.
 */
static bool
find_last(LsModel *model, LsSource *source, LsTableScan *scan, TimestampTz t,
		  LsLostEvents *lost)
{
	ExprContext *econtext = CreateStandaloneExprContext();
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(scan->rel), &TTSOpsHeapTuple);
	LsEvent		event = {.matches = palloc(sizeof(LsMatch) * Max(source->max_matches, 1))};
	TimestampTz upto = DT_NOEND;
	uint64		failed = model->nfailed;
	int			number = source - model->sources;
	bool		found = true;

	for (int i = 0; found && !ls_state_subtract_knows(lost, number, upto) &&
		 ls_table_scan_next(scan); i++)
	{
		found = i < LS_LOST_EVENTS_MOST;
		if (!match_row(model, source, scan, slot, econtext, &event))
			continue;
		found = found && event.at <= t && model->nfailed == failed;
		if (found)
			ls_state_add(model, &lost->found, &event, t);
		upto = event.at + slack_of(source);
	}
	ExecDropSingleTupleTableSlot(slot);
	FreeExprContext(econtext, true);
	return found;
}

/* find_in finds what is lost among the events of a source. */
static bool
find_in(LsModel *model, LsSource *source, Datum contact, TimestampTz t, LsLostEvents *lost)
{
	LsTableScan scan;
	Oid			index = InvalidOid;
	bool		found;

	if (!ls_table_scan_try_open(&scan, source->relation, AccessShareLock, &model->key))
		return false;
	if (ls_relation_may_read(source->relation, model->owner))
		index = index_of(model, source, scan.rel);
	found = OidIsValid(index);
	if (found && lost->lost_first)
	{
		begin_walk(&scan, source, index, contact, false);
		found = find_first(&scan, source, lost);
	}
	if (found && ls_lost_events_latest(lost))
	{
		begin_walk(&scan, source, index, contact, true);
		found = find_last(model, source, &scan, t, lost);
	}
	ls_table_scan_close(&scan, NoLock);
	return found;
}

/*
 * ls_edge_events_find finds those events of a contact that a state has lost, with the
 * active snapshot.  False if that takes more than the contact's own rows, or too many of
 * them, an index is missing, or one is later than t.
 */
bool
ls_edge_events_find(LsModel *model, Datum contact, TimestampTz t, LsLostEvents *lost)
{
	if (model->visitors_of || ls_identity_has_visitors(model) || ls_identity_has_merges(model) ||
		ls_purged_any(model))
		return false;
	for (int i = 0; i < model->nsources; i++)
		if (!find_in(model, &model->sources[i], contact, t, lost))
			return false;
	return true;
}
