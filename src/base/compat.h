/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between PostgreSQL 15 and 19, and nowhere else.
 *
 * The code is written against the newest name of each API; older servers get
 * it emulated here.
 *
 * One change of behaviour is not emulated but avoided: from 19 on
 * eval_const_expressions() looks up whether a column is NOT NULL, in a query that
 * expression_planner_with_deps() does not have (expression_plan.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_COMPAT_H
#define LEADSCORE_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/smgr.h"
#include "utils/acl.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* the Makefile checks this first; this is for other ways to build */
#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "leadscore supports PostgreSQL 15 to 19"
#endif

/* 18: an attribute in front */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 17: RestrictSearchPath() is core's own name for what maintenance commands do */
#if PG_VERSION_NUM < 170000
static inline void
RestrictSearchPath(void)
{
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}
#endif

/* 19: the caches of system catalogs are an enum */
#if PG_VERSION_NUM < 190000
typedef int LsSysCacheId;
#else
typedef SysCacheIdentifier LsSysCacheId;
#endif

/* 16: one object_aclcheck() for every catalog */
#if PG_VERSION_NUM < 160000
#define ls_function_aclcheck(oid, role) pg_proc_aclcheck(oid, role, ACL_EXECUTE)
#define ls_schema_aclcheck(oid, role) pg_namespace_aclcheck(oid, role, ACL_USAGE)
#else
#define ls_function_aclcheck(oid, role) \
	object_aclcheck(ProcedureRelationId, oid, role, ACL_EXECUTE)
#define ls_schema_aclcheck(oid, role) \
	object_aclcheck(NamespaceRelationId, oid, role, ACL_USAGE)
#endif

/* 16: DecodeDateTime() reports more about what is wrong */
static inline int
ls_decode_datetime(char **field, int *ftype, int nf, int *dtype,
				   struct pg_tm *tm, fsec_t *fsec, int *tz)
{
#if PG_VERSION_NUM < 160000
	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz);
#else
	DateTimeErrorExtra extra;

	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &extra);
#endif
}

/* 16: a list of result relations, of which we have none */
#if PG_VERSION_NUM < 160000
#define ls_eval_plan_qual_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#else
#define ls_eval_plan_qual_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#endif

/*
 * 16, 19: what the index entries of a new row are inserted for; 18: a row that is
 * updated
 */
static inline List *
ls_insert_index_tuples(ResultRelInfo *info, TupleTableSlot *slot, EState *estate,
					   bool *conflicts, List *arbiters)
{
#if PG_VERSION_NUM < 160000
	return ExecInsertIndexTuples(info, slot, estate, false, true, conflicts, arbiters);
#elif PG_VERSION_NUM < 190000
	return ExecInsertIndexTuples(info, slot, estate, false, true, conflicts, arbiters, false);
#else
	return ExecInsertIndexTuples(info, estate, EIIT_NO_DUPE_ERROR, slot, arbiters, conflicts);
#endif
}

/* 16: which index entries an updated row needs; 19: options */
#if PG_VERSION_NUM < 160000
typedef bool LsUpdatedIndexes;
#define ls_has_updated_indexes(updated) (updated)
#else
typedef TU_UpdateIndexes LsUpdatedIndexes;
#define ls_has_updated_indexes(updated) ((updated) != TU_None)
#endif

/* 16: the name of a relation's files; 17: which process a temporary one is of */
static inline SMgrRelation
ls_smgr_open(Oid tablespace, Oid number)
{
#if PG_VERSION_NUM < 160000
	return smgropen((RelFileNode) {tablespace, MyDatabaseId, number}, InvalidBackendId);
#elif PG_VERSION_NUM < 170000
	return smgropen((RelFileLocator) {tablespace, MyDatabaseId, number}, InvalidBackendId);
#else
	return smgropen((RelFileLocator) {tablespace, MyDatabaseId, number}, INVALID_PROC_NUMBER);
#endif
}

/* 16: the name of a relation's files */
static inline bool
ls_read_recent_buffer(Relation rel, BlockNumber block, Buffer buffer)
{
#if PG_VERSION_NUM < 160000
	return ReadRecentBuffer(rel->rd_node, MAIN_FORKNUM, block, buffer);
#else
	return ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, block, buffer);
#endif
}

static inline TM_Result
ls_table_tuple_update(Relation rel, ItemPointer place, TupleTableSlot *slot, CommandId command,
					  bool wait, LsUpdatedIndexes *updated)
{
	TM_FailureData failure;
	LockTupleMode mode;

#if PG_VERSION_NUM < 190000
	return table_tuple_update(rel, place, slot, command, InvalidSnapshot, InvalidSnapshot,
							  wait, &failure, &mode, updated);
#else
	return table_tuple_update(rel, place, slot, command, 0, InvalidSnapshot, InvalidSnapshot,
							  wait, &failure, &mode, updated);
#endif
}

/* 19: options instead of the last argument */
static inline TM_Result
ls_table_tuple_delete(Relation rel, ItemPointer place, CommandId command)
{
	TM_FailureData failure;

#if PG_VERSION_NUM < 190000
	return table_tuple_delete(rel, place, command, InvalidSnapshot, InvalidSnapshot, true,
							  &failure, false);
#else
	return table_tuple_delete(rel, place, command, 0, InvalidSnapshot, InvalidSnapshot, true,
							  &failure);
#endif
}

/* A new row needs entries in all indexes */
static inline List *
ls_new_index_tuples(ResultRelInfo *info, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM < 160000
	return ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL);
#elif PG_VERSION_NUM < 190000
	return ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(info, estate, 0, slot, NIL, NULL);
#endif
}

/*
 * same_keys tells that most indexes have an entry with the same keys already, which may
 * be dead: room is looked for among such entries before a page is split.
 */
static inline List *
ls_update_index_tuples(ResultRelInfo *info, TupleTableSlot *slot, EState *estate,
					   bool same_keys, LsUpdatedIndexes updated)
{
#if PG_VERSION_NUM < 160000
	return ExecInsertIndexTuples(info, slot, estate, same_keys, false, NULL, NIL);
#elif PG_VERSION_NUM < 190000
	return ExecInsertIndexTuples(info, slot, estate, same_keys, false, NULL, NIL,
								 updated == TU_Summarizing);
#else
	return ExecInsertIndexTuples(info, estate, (same_keys ? EIIT_IS_UPDATE : 0) |
								 (updated == TU_Summarizing ? EIIT_ONLY_SUMMARIZING : 0),
								 slot, NIL, NULL);
#endif
}

/* 19: the visibility map is looked at, too */
static inline void
ls_heap_page_prune(Relation rel, Buffer buffer)
{
#if PG_VERSION_NUM < 190000
	heap_page_prune_opt(rel, buffer);
#else
	Buffer		map = InvalidBuffer;

	heap_page_prune_opt(rel, buffer, &map, false);
	if (BufferIsValid(map))
		ReleaseBuffer(map);
#endif
}

static inline bool
ls_check_index_constraints(ResultRelInfo *info, TupleTableSlot *slot, EState *estate,
						   ItemPointer conflict, List *arbiters)
{
#if PG_VERSION_NUM < 180000
	return ExecCheckIndexConstraints(info, slot, estate, conflict, arbiters);
#else
	ItemPointerData none;

	ItemPointerSetInvalid(&none);
	return ExecCheckIndexConstraints(info, slot, estate, conflict, &none, arbiters);
#endif
}

/* 19: strings are standard ones, whatever is set */
#if PG_VERSION_NUM < 190000
#define ls_scan_standard_strings(extra) \
	((extra)->standard_conforming_strings = true, \
	 (extra)->escape_string_warning = false)
#define ls_standard_strings() (standard_conforming_strings)
#else
#define ls_standard_strings() (true)
#define ls_scan_standard_strings(extra) ((void) 0)
#endif

/* 19: the planner is told what EXPLAIN has asked for */
#if PG_VERSION_NUM < 190000
#define LS_PLANNER_PARAMETERS \
	Query *query, const char *text, int options, ParamListInfo params
#define LS_PLANNER_ARGUMENTS query, text, options, params
#else
#define LS_PLANNER_PARAMETERS \
	Query *query, const char *text, int options, ParamListInfo params, \
	struct ExplainState *explain
#define LS_PLANNER_ARGUMENTS query, text, options, params, explain
#endif

/* 17: how long a transaction may take; for a list of settings */
#if PG_VERSION_NUM < 170000
#define LS_TRANSACTION_TIMEOUT
#else
#define LS_TRANSACTION_TIMEOUT {"transaction_timeout", "0"},
#endif

/* 18: index scans are counted for the caller; 19: flags */
#if PG_VERSION_NUM < 180000
#define ls_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan(rel, index, snapshot, nkeys, 0)
#elif PG_VERSION_NUM < 190000
#define ls_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#else
#define ls_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan(rel, index, snapshot, NULL, nkeys, 0, SO_NONE)
#endif

/* 16: one function asks for the owners of all kinds of objects */
#if PG_VERSION_NUM < 160000
#define ls_class_ownercheck(oid, role) pg_class_ownercheck(oid, role)
#define ls_namespace_ownercheck(oid, role) pg_namespace_ownercheck(oid, role)
#define ls_extension_ownercheck(oid, role) pg_extension_ownercheck(oid, role)
#define ls_database_ownercheck(oid, role) pg_database_ownercheck(oid, role)
#define ls_type_ownercheck(oid, role) pg_type_ownercheck(oid, role)
#else
#define ls_class_ownercheck(oid, role) object_ownercheck(RelationRelationId, oid, role)
#define ls_namespace_ownercheck(oid, role) object_ownercheck(NamespaceRelationId, oid, role)
#define ls_extension_ownercheck(oid, role) object_ownercheck(ExtensionRelationId, oid, role)
#define ls_database_ownercheck(oid, role) object_ownercheck(DatabaseRelationId, oid, role)
#define ls_type_ownercheck(oid, role) object_ownercheck(TypeRelationId, oid, role)
#endif

/* 19: flags */
#if PG_VERSION_NUM < 190000
#define ls_table_beginscan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL)
#else
#define ls_table_beginscan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL, SO_NONE)
#endif

/* 17, 16: parts of ALTER TABLE that are new, or not told apart any more */
#if PG_VERSION_NUM < 170000
#define LS_AT_SET_EXPRESSION(type) false
#else
#define LS_AT_SET_EXPRESSION(type) ((type) == AT_SetExpression)
#endif
#if PG_VERSION_NUM < 160000
#define LS_AT_ADD_COLUMN(type) \
	((type) == AT_AddColumn || (type) == AT_AddColumnRecurse)
#else
#define LS_AT_ADD_COLUMN(type) ((type) == AT_AddColumn)
#endif

/* 16: the memory that a check hook of a setting passes on is guc_malloc'd */
#if PG_VERSION_NUM < 160000
#define ls_guc_malloc(size) malloc(size)
#else
#define ls_guc_malloc(size) guc_malloc(LOG, size)
#endif

/* 16: the triggers that a partition has from its parent can be told */
#if PG_VERSION_NUM < 160000
#define ls_set_trigger_firing(rel, name, fires, lockmode) \
	EnableDisableTrigger(rel, name, fires, true, lockmode)
#else
#define ls_set_trigger_firing(rel, name, fires, lockmode) \
	EnableDisableTrigger(rel, name, InvalidOid, fires, true, false, lockmode)
#endif

/* 18: generated columns may be virtual, and are NULL in transition tables */
#if PG_VERSION_NUM < 180000
#define ls_has_virtual_columns(desc) ((void) (desc), false)
#else
#define ls_has_virtual_columns(desc) \
	((desc)->constr != NULL && (desc)->constr->has_generated_virtual)
#endif

/* 18: a deferrable primary key has to be asked for */
#if PG_VERSION_NUM < 180000
#define ls_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#else
#define ls_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#endif

/* ConditionalLockDatabaseObject(), which early minor versions have not */
static inline bool
ls_try_lock_object(Oid classid, Oid objid, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, classid, objid, 0);
	if (LockAcquire(&tag, mode, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

/* 18: virtual generated columns; the relation is the expression's only one */
static inline Node *
ls_expand_generated_columns(Node *node, Relation rel)
{
#if PG_VERSION_NUM < 180000
	return node;
#else
	return expand_generated_columns_in_expr(node, rel, 1);
#endif
}

/* 17: a wait event of an extension has a name in pg_stat_activity */
static inline uint32
ls_wait_event(const char *name)
{
#if PG_VERSION_NUM < 170000
	return PG_WAIT_EXTENSION;
#else
	return WaitEventExtensionNew(name);
#endif
}

/* 19: a tranche is made with its name, which every process then knows */
static inline void
ls_name_tranche(int tranche, const char *name)
{
#if PG_VERSION_NUM < 190000
	LWLockRegisterTranche(tranche, name);
#endif
}

static inline int
ls_new_tranche(const char *name)
{
#if PG_VERSION_NUM < 190000
	int			tranche = LWLockNewTrancheId();

	LWLockRegisterTranche(tranche, name);
	return tranche;
#else
	return LWLockNewTrancheId(name);
#endif
}

/*
 * The role as which the current process is taken by a session that signals it:
 * pg_terminate_backend() and DROP DATABASE WITH (FORCE) look here.  It gives the
 * process no privileges.  An Oid is read and written at once, hence no lock.
 */
static inline void
ls_set_process_role(Oid role)
{
	MyProc->roleId = role;
}

/* 19: DROP DATABASE and its like may end a worker that is in their way */
#ifndef BGWORKER_INTERRUPTIBLE
#define BGWORKER_INTERRUPTIBLE 0
#endif

/* 18: the module says its name and version */
#ifdef PG_MODULE_MAGIC_EXT
#define LEADSCORE_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "leadscore", .version = LEADSCORE_VERSION)
#else
#define LEADSCORE_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 19: tells why there is no operator */
#if PG_VERSION_NUM < 190000
#define ls_operators_named(names, kind) OpernameGetCandidates(names, kind, false)
#else
#define ls_operators_named(names, kind) \
	OpernameGetCandidates(names, kind, false, &(int) {0})
#endif

/* 19: a descriptor that was made column by column has to be finished */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(desc) ((void) (desc))
#endif

#endif							/* LEADSCORE_COMPAT_H */
