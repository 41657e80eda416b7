/*-------------------------------------------------------------------------
 *
 * identity_table.c
 *		Identity resolution: merged contacts and identified visitors.
 *
 * A row of merged_<model> says for which contact the events of a merged contact count,
 * one of identity_<model> says that of an identified visitor.  While there is such a
 * row, the contact or visitor has no row in its score table.  In the order in which
 * contacts are locked, this row takes the place of the missing one: a session that
 * writes events of such a contact locks it (FOR KEY SHARE) until its transaction ends,
 * and a session that changes it waits.
 *
 * The events are not added to any score.  Instead a recompute of the target contact is
 * enqueued in pending_<model>.  That locks nothing, so the target's place in the lock
 * order does not matter.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/identity_table.h"

#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/relation.h"
#include "base/table_scan.h"
#include "tables/pending_table.h"

/* columns of merged_<model>, and of identity_<model> */
#define MERGED_SOURCE		1
#define MERGED_TARGET		2
#define IDENTITY_VISITOR	1
#define IDENTITY_CONTACT	2

/* ls_identity_has_merges tells whether contacts of a model may have been merged. */
bool
ls_identity_has_merges(LsModel *model)
{
	return ls_relation_has_pages(model->merged_table);
}

/* ls_identity_has_visitors tells whether visitors of a model may have been identified. */
bool
ls_identity_has_visitors(LsModel *model)
{
	return ls_relation_has_pages(model->identity_table);
}

/*
 * ls_identity_place gives the condition that finds the row which says for which contact
 * a contact, or a visitor if the model is of visitors, counts: "table WHERE column =
 * $1".
 */
char *
ls_identity_place(LsModel *model)
{
	return psprintf("%s WHERE %s %s $1",
					ls_relation_qualified_name(model->visitors_of ? model->identity_table : model->merged_table),
					model->visitors_of ? "visitor" : "source_id", ls_key_equals(&model->key));
}

/* begin starts a scan by one of the two key columns, after checking their types. */
static void
begin(LsModel *model, LsTableScan *scan, Oid table, LOCKMODE mode, int column, Datum key)
{
	bool		merged = table == model->merged_table;
	Oid			types[] = {merged || model->visitors_of ? model->key.type : model->visitor_key.type,
	model->visitors_of ? model->target_type : model->key.type};
	TupleDesc	desc;

	ls_table_scan_open(scan, table, mode, &model->key);
	desc = RelationGetDescr(scan->rel);
	if (desc->natts < 2 || TupleDescAttr(desc, 0)->atttypid != types[0] ||
		TupleDescAttr(desc, 1)->atttypid != types[1])
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables of model \"%s\" do not have the columns that leadscore gave them",
						model->name),
				 errhint("Undo what was done to them, or drop the model.")));
	ls_table_scan_by(scan, column, BTEqualStrategyNumber, &key);
}

/* copy copies a key of the current row. */
static Datum
copy(const LsTableScan *scan, int column)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(scan->rel), column - 1);

	return datumCopy(scan->values[column - 1], att->attbyval, att->attlen);
}

/*
 * ls_identity_find finds for which contact the rows of a contact, or of a visitor if
 * the model is of visitors, count.  False: for itself.  A visitor's target is the
 * contact as which it was identified, which may have been merged itself.
 */
bool
ls_identity_find(LsModel *model, Datum contact, LsIdentityLook look, Datum *target)
{
	Oid			table = model->visitors_of ? model->identity_table : model->merged_table;
	LsTableScan scan;
	bool		found;

	if (!ls_relation_has_pages(table))
		return false;
	if (look != LS_IDENTITY_SEEN)
		PushActiveSnapshot(GetLatestSnapshot());
	begin(model, &scan, table, look == LS_IDENTITY_LOCKED ? RowShareLock : AccessShareLock, 1, contact);
	found = ls_table_scan_next(&scan) &&
		(look != LS_IDENTITY_LOCKED || ls_table_scan_lock(&scan, LockTupleKeyShare));
	if (found)
		*target = copy(&scan, 2);
	ls_table_scan_close(&scan, NoLock);
	if (look != LS_IDENTITY_SEEN)
		PopActiveSnapshot();
	return found;
}

/* add_all collects the first columns of rows that have a contact in the second. */
static void
add_all(LsModel *model, Oid table, Datum contact, Datum **keys, int *n)
{
	LsTableScan scan;
	List	   *found = NIL;
	ListCell   *lc;

	begin(model, &scan, table, AccessShareLock, 2, contact);
	while (ls_table_scan_next(&scan))
	{
		Datum	   *key = palloc(sizeof(Datum));

		*key = copy(&scan, 1);
		found = lappend(found, key);
	}
	ls_table_scan_close(&scan, NoLock);
	if (found == NIL)
		return;
	*keys = *keys ? repalloc(*keys, sizeof(Datum) * (*n + list_length(found))) :
		palloc(sizeof(Datum) * list_length(found));
	foreach(lc, found)
		(*keys)[(*n)++] = *(Datum *) lfirst(lc);
}

/*
 * ls_identity_of gives the merged contacts and the visitors whose rows count for a
 * contact beside its own, as the active snapshot sees it.
 */
void
ls_identity_of(LsModel *model, Datum contact, LsIdentities *identities)
{
	Datum		target;

	memset(identities, 0, sizeof(LsIdentities));
	identities->taken = ls_identity_find(model, contact, LS_IDENTITY_SEEN, &target);
	if (identities->taken || model->visitors_of)
		return;
	if (ls_identity_has_merges(model))
		add_all(model, model->merged_table, contact, &identities->sources, &identities->nsources);
	if (!ls_identity_has_visitors(model))
		return;
	add_all(model, model->identity_table, contact, &identities->visitors, &identities->nvisitors);
	for (int i = 0; i < identities->nsources; i++)
		add_all(model, model->identity_table, identities->sources[i], &identities->visitors,
				&identities->nvisitors);
}

/*
 * ls_identity_enqueue enqueues a recompute of a contact, after a change of a contact or
 * visitor whose rows count for it.
 */
void
ls_identity_enqueue(LsModel *model, Datum target)
{
	LsModel    *owner;

	if (model->visitors_of == NULL)
	{
		ls_pending_add_one(model, target, NULL, false);
		return;
	}
	owner = ls_model_acquire(model->visitors_of, NULL);
	if (owner == NULL)
		return;					/* dropped, with its visitors */
	ls_pending_add_one(owner, target, NULL, false);
	ls_model_release(owner);
}

/*
 * ls_identity_may_be_pending tells, once for all contacts, whether something may be
 * pending of identified visitors.
 */
bool
ls_identity_may_be_pending(LsModel *model)
{
	return model->visitors_of == NULL && ls_identity_has_visitors(model) &&
		ls_pending_any_visitors(model);
}

/*
 * ls_identity_of_visitor finds the contact as which a visitor of the model is identified,
 * as the active snapshot sees it.  False: none.
 */
bool
ls_identity_of_visitor(LsModel *model, Datum visitor, Datum *contact)
{
	LsTableScan scan;
	bool		found;

	begin(model, &scan, model->identity_table, AccessShareLock, IDENTITY_VISITOR, visitor);
	found = ls_table_scan_next(&scan);
	if (found)
		*contact = copy(&scan, IDENTITY_CONTACT);
	ls_table_scan_close(&scan, NoLock);
	return found;
}

/* is_pending tells whether the active snapshot sees anything pending of a visitor. */
static bool
is_pending(LsModel *model, Datum visitor)
{
	LsTableScan scan;
	bool		found;

	ls_table_scan_open(&scan, model->visitors_table, AccessShareLock, &model->visitor_key);
	ls_table_scan_by(&scan, 1, BTEqualStrategyNumber, &visitor);
	found = ls_table_scan_next(&scan);
	ls_table_scan_close(&scan, NoLock);
	return found;
}

/*
 * ls_identity_pending tells whether the active snapshot sees anything pending of merged
 * contacts or visitors whose rows count for a contact.
 */
bool
ls_identity_pending(LsModel *model, Datum contact)
{
	LsIdentities identities;
	LsPending	pending;
	bool		found = false;

	if (model->visitors_of || (!ls_identity_has_merges(model) && !ls_identity_has_visitors(model)))
		return false;
	ls_identity_of(model, contact, &identities);
	ls_pending_init(&pending);
	for (int i = 0; i < identities.nsources && pending.nrows == 0; i++)
		ls_pending_read(model, identities.sources[i], &pending);
	found = pending.nrows > 0;
	for (int i = 0; i < identities.nvisitors && !found && ls_pending_any_visitors(model); i++)
		found = is_pending(model, identities.visitors[i]);
	return found;
}
