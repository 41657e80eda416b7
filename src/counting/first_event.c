/*-------------------------------------------------------------------------
 *
 * first_event.c
 *		The earliest event of a contact, by an index.
 *
 * Where events that go are subtracted from a state, only its earliest event may have to be
 * looked for.  That is one descent of the index that users are told to create, where
 * nothing but the contact's own rows of plain tables counts for it.  In other cases the
 * contact is recomputed by the reader (event_reader.c).
 *
 *-------------------------------------------------------------------------
 */
#include "counting/first_event.h"

#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/table_scan.h"
#include "tables/identity_table.h"
#include "tables/purged_table.h"

/* may_read tells whether the model's owner may read a table, whatever roles give him that. */
static bool
may_read(const LsModel *model, Relation rel)
{
	return pg_class_aclcheck(RelationGetRelid(rel), model->owner, ACL_SELECT) == ACLCHECK_OK &&
		ls_schema_aclcheck(RelationGetNamespace(rel), model->owner) == ACLCHECK_OK;
}

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
		contact > RelationGetNumberOfAttributes(rel) || source->time_type != TIMESTAMPTZOID)
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

/* first_of finds the earliest event of a source; DT_NOEND: there is none. */
static bool
first_of(LsModel *model, LsSource *source, Datum contact, TimestampTz *first)
{
	LsTableScan scan;
	Oid			index = InvalidOid;

	*first = DT_NOEND;
	if (!ls_table_scan_try_open(&scan, source->relation, AccessShareLock, &model->key))
		return false;
	if (may_read(model, scan.rel))
		index = index_of(model, source, scan.rel);
	if (OidIsValid(index))
	{
		ls_table_scan_begin(&scan, index);
		ls_table_scan_add(&scan, source->contact->attno, BTEqualStrategyNumber, contact);
		/* what has no instant is no event */
		ls_table_scan_add(&scan, source->time_attno, BTGreaterStrategyNumber,
						  TimestampTzGetDatum(DT_NOBEGIN));
		if (ls_table_scan_next(&scan))
			*first = DatumGetTimestampTz(scan.values[source->time_attno - 1]);
	}
	ls_table_scan_close(&scan, NoLock);
	return OidIsValid(index);
}

/*
 * ls_first_event finds the earliest event of a contact that the active snapshot sees.
 * False if that takes more than its own rows, or an index is missing.
 */
bool
ls_first_event(LsModel *model, Datum contact, TimestampTz *first)
{
	if (model->visitors_of || ls_identity_has_visitors(model) || ls_identity_has_merges(model) ||
		ls_purged_any(model))
		return false;
	*first = DT_NOEND;
	for (int i = 0; i < model->nsources; i++)
	{
		TimestampTz earliest;

		if (!first_of(model, &model->sources[i], contact, &earliest))
			return false;
		*first = Min(*first, earliest);
	}
	return *first != DT_NOEND;
}
