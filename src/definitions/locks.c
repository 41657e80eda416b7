/*-------------------------------------------------------------------------
 *
 * locks.c
 *		Locks, in the order in which every session takes them.
 *
 * First the definitions of models, then event and contact tables, then score tables, then
 * rows; see docs/architecture.md.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/locks.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/relation.h"
#include "base/transaction.h"
#include "definitions/ancestor.h"
#include "definitions/lead_tables.h"
#include "definitions/rights.h"

/* How long one table is waited for while others are held */
#define PATIENCE_MS		100
#define ATTEMPTS		50
#define FEW_ATTEMPTS	2

/* Not the class of an advisory lock that SQL can take, nor those of launcher.c */
#define LS_NAME_CLASS	22

/* ---------- definitions ---------- */

/* The transaction that has locked the definitions of some model */
static uint64 locked_in = 0;

/*
 * lock_definitions locks the definitions of a model: for visitors, of the model that
 * defines theirs.  The lock is on the score table's OID, since the name can be that
 * of another model by the time it is locked.
 */
static bool
lock_definitions(const char *model, bool wait)
{
	/* each round but the last is one in which a model was dropped and another made */
	for (;;)
	{
		Oid			table = ls_lead_score_table(ls_lead_defining_model(model, NULL), true);
		LOCKTAG		tag;

		CHECK_FOR_INTERRUPTS();
		if (!OidIsValid(table))
			return true;		/* the caller will find that it does not exist any more */
		SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, table, 0);
		if (LockAcquire(&tag, ExclusiveLock, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
			return false;
		AcceptInvalidationMessages();
		locked_in = ls_transaction_number();
		if (ls_lead_score_table(ls_lead_defining_model(model, NULL), true) == table)
			return true;
		LockRelease(&tag, ExclusiveLock, false);
	}
}

/*
 * ls_lock_definitions is taken first by every command that changes a model: its
 * rules, stages, sources, the model itself.  One transaction holds it at a time, so
 * that two never wait for each other's rows or tables.  Writers of events and readers
 * do not take it.
 *
 * Only roles that may change the model take it, so that no other role can keep its
 * owner waiting.  A command that needs several models locks them in the order of
 * their ranks.  It is no lock on a table: a statement has locked the table that it
 * writes to, less strongly, before any trigger of ours could.
 */
void
ls_lock_definitions(const char *model)
{
	(void) lock_definitions(model, true);
}

/*
 * ls_lock_definitions_if_free locks definitions without waiting, for a caller that
 * holds other locks already.
 */
bool
ls_lock_definitions_if_free(const char *model)
{
	return lock_definitions(model, false);
}

/*
 * ls_lock_own_definitions locks the definitions of all models that the caller
 * manages.
 */
void
ls_lock_own_definitions(void)
{
	List	   *models = ls_lead_models(NULL);
	ListCell   *lc;

	list_sort(models, ls_lock_row_order);
	foreach(lc, models)
		if (ls_rights_may_manage_model(lfirst(lc), GetUserId()))
			ls_lock_definitions(((LsModelRow *) lfirst(lc))->model);
}

/* ls_lock_definitions_held tells whether this transaction has locked some. */
bool
ls_lock_definitions_held(void)
{
	return locked_in == ls_transaction_number();
}

/*
 * ls_lock_model_name keeps others from making or dropping a model of that name
 * until the transaction ends.
 */
void
ls_lock_model_name(const char *model)
{
	uint64		hash = DatumGetUInt64(hash_any_extended((const unsigned char *) model,
														strlen(model), 0));
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 LS_NAME_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	AcceptInvalidationMessages();
}

/*
 * ls_lock_model locks the definitions of a model that the caller is about to change,
 * and gives its row.  The privileges are checked before it waits, and again after.
 */
LsModelRow *
ls_lock_model(const char *model)
{
	(void) ls_rights_model(model, GetUserId());
	ls_lock_definitions(model);
	return ls_rights_model(model, GetUserId());
}

/*
 * ls_lock_held_model gives the row of a model to which the caller adds something, and
 * keeps it from being dropped until the transaction ends.  The privileges, which have
 * been checked before, are checked again after it waits.
 */
LsModelRow *
ls_lock_held_model(const char *model)
{
	Oid			table = ls_lead_score_table(model, true);

	if (OidIsValid(table))
		LockRelationOid(table, AccessShareLock);
	return ls_rights_model(model, GetUserId());
}

/* ---------- several tables ---------- */

/*
 * Statements write to several tables in any order, by cascades and triggers.  So a
 * session that needs locks on several tables should not hold one of them while it
 * waits for another: the first is waited for, holding none; the others for a moment
 * only.  If one is not granted in that time, all are released, and it is the first in
 * the next attempt.
 *
 * In a transaction that holds more locks already it may be that no attempt helps.  In
 * the end each table is waited for in turn, so that a deadlock is detected, or the
 * longest statement waited for.
 */
typedef struct Wanted
{
	Oid			relation;
	LOCKMODE	mode;
} Wanted;

typedef struct Attempt
{
	List	   *wanted;			/* of Wanted, in the order of statements */
	int			first;
	int			at;				/* the one that is being waited for */
	bool		patient;		/* the first is waited for as long as it takes */
} Attempt;

/* patience gives how long we still wait: for less than deadlock_timeout. */
static int
patience(TimestampTz since)
{
	long		waited = TimestampDifferenceMilliseconds(since, GetCurrentTimestamp());

	return Max(1, Min(PATIENCE_MS, DeadlockTimeout / 2) - (int) Min(waited, PATIENCE_MS));
}

static void
lock_one(Attempt *attempt, int n)
{
	Wanted	   *wanted = list_nth(attempt->wanted, n);

	attempt->at = n;
	LockRelationOid(wanted->relation, wanted->mode);
}

static void
lock_all(void *arg)
{
	Attempt    *attempt = arg;
	TimestampTz since = GetCurrentTimestamp();

	if (!attempt->patient)
		LockTimeout = patience(since);
	lock_one(attempt, attempt->first);
	since = GetCurrentTimestamp();
	for (int i = 0; i < list_length(attempt->wanted); i++)
	{
		LockTimeout = patience(since);
		if (i != attempt->first)
			lock_one(attempt, i);
	}
}

/* try_to_lock makes one attempt; if it fails, its locks are released. */
static bool
try_to_lock(Attempt *attempt, TimestampTz begun)
{
	int			timeout = LockTimeout;
	ErrorData  *error = ls_subtransaction_run(lock_all, attempt);

	LockTimeout = timeout;
	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE ||
		(timeout > 0 && TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), timeout)))
		ReThrowError(error);
	FreeErrorData(error);
	attempt->first = attempt->at;
	return false;
}

/*
 * lock_wanted makes some attempts, and in the end waits for each table; if not
 * patient it only makes the attempts, and tells whether one succeeded.
 */
static bool
lock_wanted(List *wanted, bool patient)
{
	Attempt		attempt = {.wanted = wanted, .patient = patient};
	TimestampTz begun = GetCurrentTimestamp();
	ListCell   *lc;

	if (wanted == NIL)
		return true;
	for (int i = 0; i < (patient ? ATTEMPTS : FEW_ATTEMPTS); i++)
	{
		if (try_to_lock(&attempt, begun))
			return true;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(pg_prng_uint64_range(&pg_global_prng_state, 100, 5000));
	}
	if (patient)
		foreach(lc, wanted)
			LockRelationOid(((Wanted *) lfirst(lc))->relation, ((Wanted *) lfirst(lc))->mode);
	return patient;
}

/* want adds a table to those wanted, unless it is temporary. */
static List *
want(List *list, Oid relation, LOCKMODE mode)
{
	Wanted	   *wanted;
	ListCell   *lc;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)) ||
		get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
		return list;
	foreach(lc, list)
	{
		wanted = lfirst(lc);
		if (wanted->relation != relation)
			continue;
		wanted->mode = Max(wanted->mode, mode);
		return list;
	}
	wanted = palloc(sizeof(Wanted));
	wanted->relation = relation;
	wanted->mode = mode;
	return lappend(list, wanted);
}

/* want_tree adds tables with what is below them, a table before its parts. */
static List *
want_tree(List *roots)
{
	List	   *wanted = NIL;
	ListCell   *lc;
	ListCell   *tc;

	list_sort(roots, list_oid_cmp);
	foreach(lc, roots)
		foreach(tc, ls_relation_tree(lfirst_oid(lc)))
			wanted = want(wanted, lfirst_oid(tc), ShareRowExclusiveLock);
	return wanted;
}

/* ls_lock_with_parts waits for a table, then for those below it; it may be gone. */
void
ls_lock_with_parts(Oid relation, LOCKMODE mode)
{
	LockRelationOid(relation, mode);
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		(void) find_all_inheritors(relation, mode, NULL);
	else
		UnlockRelationOid(relation, mode);
}

/*
 * ls_lock_tables locks tables, with their partitions and children, against other
 * writers.
 */
void
ls_lock_tables(List *roots)
{
	ListCell   *lc;

	(void) lock_wanted(want_tree(roots), true);
	/* partitions that were attached meanwhile */
	foreach(lc, roots)
		ls_lock_with_parts(lfirst_oid(lc), ShareRowExclusiveLock);
}

/* sources_of gives the tables that a model is computed from. */
static List *
sources_of(const char *name)
{
	LsModelRow *row = ls_lead_model(name, NULL);
	List	   *roots = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_sources(name, NULL))
		roots = list_append_unique_oid(roots, ((LsSourceRow *) lfirst(lc))->relation);
	if (row)
		roots = list_append_unique_oid(roots, row->contacts);
	return roots;
}

/* ls_lock_sources locks all tables that a model is computed from. */
void
ls_lock_sources(const char *name)
{
	ls_lock_tables(sources_of(name));
}

/* ls_lock_sources_and also locks a table that is to be one of them. */
void
ls_lock_sources_and(const char *name, Oid relation)
{
	ls_lock_tables(list_append_unique_oid(sources_of(name), relation));
}

/*
 * ls_lock_sources_if_free locks them without waiting, for a caller that has tables
 * locked exclusively: sessions that hold the others may wait for those.
 */
bool
ls_lock_sources_if_free(const char *name)
{
	return lock_wanted(want_tree(sources_of(name)), false);
}

/*
 * ls_lock_for_removal locks all that a model is computed from before a source is
 * detached, or, where source is NULL, the model is dropped with its score tables.
 */
void
ls_lock_for_removal(const char *model, const char *source)
{
	const char *visitors = ls_lead_visitors_model(model);
	List	   *sources = sources_of(model);
	List	   *wanted = NIL;
	ListCell   *lc;

	/* triggers are dropped from the tables above, too */
	foreach(lc, ls_ancestors_to_lock(sources))
		wanted = want(wanted, lfirst_oid(lc), ShareRowExclusiveLock);
	wanted = list_concat(wanted, want_tree(sources));

	/* these are dropped with the model, and may be read in queries with its sources */
	if (source == NULL && visitors)
		wanted = want(wanted, ls_lead_score_table(visitors, true), AccessExclusiveLock);
	if (source == NULL)
		wanted = want(wanted, ls_lead_score_table(model, true), AccessExclusiveLock);
	(void) lock_wanted(wanted, true);
}

/*
 * ls_lock_against_all locks tables as DROP TABLE and DETACH PARTITION will, including
 * the parent of a partition and what is below it.  Those commands lock the parent
 * first, but an INSERT straight into a partition locks the parent second.
 */
void
ls_lock_against_all(List *relations)
{
	List	   *wanted = NIL;
	ListCell   *lc;
	ListCell   *tc;

	foreach(lc, relations)
	{
		if (get_rel_relispartition(lfirst_oid(lc)))
			wanted = want(wanted, get_partition_parent(lfirst_oid(lc), true),
						  AccessExclusiveLock);
		foreach(tc, ls_relation_tree(lfirst_oid(lc)))
			wanted = want(wanted, lfirst_oid(tc), AccessExclusiveLock);
	}
	(void) lock_wanted(wanted, true);
}

/*
 * ls_lock_from_above locks tables whose triggers are made or dropped, the topmost
 * first, and the table that is attached to them or detached.
 */
void
ls_lock_from_above(List *above, Oid part)
{
	List	   *wanted = NIL;
	ListCell   *lc;

	foreach(lc, above)
		wanted = want(wanted, lfirst_oid(lc), ShareRowExclusiveLock);
	foreach(lc, ls_relation_tree(part))
		wanted = want(wanted, lfirst_oid(lc), lfirst_oid(lc) == part ?
					  AccessExclusiveLock : ShareRowExclusiveLock);
	(void) lock_wanted(wanted, true);
}

/*
 * ls_lock_rank is the order in which models are locked: by score table, a model of
 * visitors right before the model that defines it, to which events of identified
 * visitors go.
 */
uint64
ls_lock_rank(const char *model)
{
	const char *definer = ls_lead_defining_model(model, NULL);

	return (uint64) ls_lead_score_table(definer, true) << 1 |
		(strcmp(definer, model) == 0 ? 1 : 0);
}

/* ls_lock_rank_order is the order in which models are locked. */
int
ls_lock_rank_order(const ListCell *a, const ListCell *b)
{
	uint64		x = ls_lock_rank(lfirst(a));
	uint64		y = ls_lock_rank(lfirst(b));

	return (x > y) - (x < y);
}

int
ls_lock_row_order(const ListCell *a, const ListCell *b)
{
	uint64		x = ls_lock_rank(((LsModelRow *) lfirst(a))->model);
	uint64		y = ls_lock_rank(((LsModelRow *) lfirst(b))->model);

	return (x > y) - (x < y);
}
