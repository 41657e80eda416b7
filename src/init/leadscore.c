/*-------------------------------------------------------------------------
 *
 * leadscore.c
 *		Module load, settings, the clock, and whose rights are used.
 *
 *-------------------------------------------------------------------------
 */
#include "base/leadscore.h"

#include <limits.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "background/launcher.h"
#include "base/compat.h"
#include "base/reach.h"
#include "base/relation.h"
#include "capture/capture.h"
#include "capture/deferred.h"
#include "capture/table_cache.h"
#include "counting/recount.h"
#include "definitions/catalog.h"
#include "definitions/job_table.h"
#include "definitions/model_change.h"
#include "jobs/before_commit.h"
#include "model/definition_view.h"
#include "model/suspension.h"
#include "rules/model_compile.h"
#include "tables/purged_table.h"

LEADSCORE_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(ls_clock_now);

int			ls_rule_error = LS_RULE_ERROR_WARNING;

/* what RestrictSearchPath() sets */
#define LS_SEARCH_PATH	"pg_catalog, pg_temp"

static char *clock_setting = NULL;
static TimestampTz held_clock = DT_NOBEGIN;	/* DT_NOBEGIN: the clock runs */
static uint64 transaction_number = 1;

static const struct config_enum_entry rule_error_options[] = {
	{"warning", LS_RULE_ERROR_WARNING, false},
	{"error", LS_RULE_ERROR_ERROR, false},
	{NULL, 0, false}
};

static const struct config_enum_entry on_delete_options[] = {
	{"source", LS_ON_DELETE_SOURCE, false},
	{"retract", LS_ON_DELETE_RETRACT, false},
	{"keep", LS_ON_DELETE_KEEP, false},
	{NULL, 0, false}
};

/*
 * check_clock accepts a timestamp, or nothing for the running clock.  Settings
 * are checked outside transactions too, hence no timestamptz_in().
 */
static bool
check_clock(char **newval, void **extra, GucSource source)
{
	TimestampTz *held = ls_guc_malloc(sizeof(TimestampTz));
	char		buf[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf,
				dtype,
				tz;
	struct pg_tm tm;
	fsec_t		fsec;

	if (held == NULL)
		return false;
	*held = DT_NOBEGIN;
	*extra = held;
	if (*newval == NULL || **newval == '\0')
		return true;

	if (ParseDateTime(*newval, buf, sizeof(buf), field, ftype,
					  MAXDATEFIELDS, &nf) != 0 ||
		ls_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) != 0 ||
		dtype != DTK_DATE ||
		tm2timestamp(&tm, fsec, &tz, held) != 0)
	{
		GUC_check_errdetail("Give a timestamp such as 2026-01-01 00:00:00+00, or nothing for the running clock.");
		return false;
	}
	return true;
}

static void
assign_clock(const char *newval, void *extra)
{
	held_clock = extra ? *(TimestampTz *) extra : DT_NOBEGIN;
}

/*
 * ls_clock is the only place where time is read.
 */
TimestampTz
ls_clock(void)
{
	return held_clock != DT_NOBEGIN ? held_clock : GetCurrentTimestamp();
}

/*
 * ls_statement_clock gives one instant to everything that a statement asks.
 *
 * It is the clock at the first use under a snapshot: statement_timestamp()
 * would lie before what the transaction itself has just written where several
 * statements come in one string or from a procedural language.
 */
TimestampTz
ls_statement_clock(void)
{
	static TimestampTz instant;
	static TimestampTz statement;
	static uint64 transaction;
	static CommandId command;
	static uint64 completions;
	Snapshot	snapshot;

	if (held_clock != DT_NOBEGIN || !ActiveSnapshotSet())
		return ls_clock();
	snapshot = GetActiveSnapshot();
	if (transaction != transaction_number ||
		statement != GetCurrentStatementStartTimestamp() ||
		command != snapshot->curcid ||
		completions != snapshot->snapXactCompletionCount)
	{
		instant = ls_clock();
		transaction = transaction_number;
		statement = GetCurrentStatementStartTimestamp();
		command = snapshot->curcid;
		completions = snapshot->snapXactCompletionCount;
	}
	return instant;
}

/* ls_clock_now is leadscore.clock(). */
Datum
ls_clock_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ls_statement_clock());
}

/* ls_transaction_number tells one top-level transaction from the next. */
uint64
ls_transaction_number(void)
{
	return transaction_number;
}

/*
 * Whether it is leadscore itself that writes to its tables.  An error takes it
 * back to what it was when the subtransaction began.
 */
static bool engine = false;
static List *engine_before = NIL;	/* of int, a subtransaction each, innermost last */

/* ls_is_engine tells whether leadscore itself is at work on its tables. */
bool
ls_is_engine(void)
{
	return engine;
}

static void
begin_subtransaction(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	engine_before = lappend_int(engine_before, engine);
	MemoryContextSwitchTo(old);
}

static void
end_subtransaction(bool aborted)
{
	if (engine_before == NIL)
		return;
	if (aborted)
		engine = llast_int(engine_before);
	engine_before = list_delete_last(engine_before);
}

static void
end_transaction(void)
{
	engine = false;
	list_free(engine_before);
	engine_before = NIL;
}

/*
 * switch_to takes the rights of another role, with search_path pinned, and says
 * what has to be put back.  A new level of settings is begun where functions of
 * that role's may leave others behind, or the path is not pinned yet.
 */
static void
switch_to(Oid role, int flags, LsIdentity *saved)
{
	int			context;
	bool		pinned = namespace_search_path != NULL &&
		strcmp(namespace_search_path, LS_SEARCH_PATH) == 0;

	saved->read_only = XactReadOnly;
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	context = saved->sec_context | SECURITY_LOCAL_USERID_CHANGE | flags;
	SetUserIdAndSecContext(role, context);
	saved->engine = engine;
	engine = engine && role == saved->userid;
	saved->guc_nest = 0;
	if (pinned && ((flags & SECURITY_RESTRICTED_OPERATION) == 0 ||
				   (role == saved->userid && context == saved->sec_context)))
		return;
	saved->guc_nest = NewGUCNestLevel();
	if (!pinned)
		RestrictSearchPath();
}

/*
 * ls_become takes the rights of another role, for work on our own tables.
 * Row security and the caller's search_path play no part in it.
 */
void
ls_become(Oid role, LsIdentity *saved)
{
	switch_to(role, SECURITY_NOFORCE_RLS, saved);
	engine = true;
}

/*
 * ls_become_untrusted takes the rights of a role whose code is to be run, in a
 * context in which it can neither become anybody else nor leave something behind
 * that is run as somebody else.
 */
void
ls_become_untrusted(Oid role, LsIdentity *saved)
{
	switch_to(role, SECURITY_RESTRICTED_OPERATION, saved);
}

/*
 * ls_switch_to_owner takes the rights of a role that owns tables of a model, to
 * read and write them, as referential integrity does: whatever the owner has put
 * on them (triggers, rules, policies, expressions of indexes) is run as the owner.
 */
void
ls_switch_to_owner(Oid owner, LsIdentity *saved)
{
	switch_to(owner, SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS, saved);
}

/*
 * ls_become_to_compute does so for code that is to give a value and do nothing
 * else, such as the expression of a rule: what is called immutable may write all
 * the same.  What it tells the client is kept from those who are not to see what
 * the role may read.
 */
void
ls_become_to_compute(Oid role, LsIdentity *saved)
{
	bool		hide = client_min_messages < ERROR &&
		!has_privs_of_role(GetOuterUserId(), role);

	ls_become_untrusted(role, saved);
	XactReadOnly = true;
	if (hide && saved->guc_nest == 0)
		saved->guc_nest = NewGUCNestLevel();
	if (hide)
		(void) set_config_option("client_min_messages", "error", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* ls_stay keeps the identity, and begins a level of settings. */
void
ls_stay(LsIdentity *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->read_only = XactReadOnly;
	saved->engine = engine;
	saved->guc_nest = NewGUCNestLevel();
}

/* ls_return goes back to the identity that was saved. */
void
ls_return(const LsIdentity *saved)
{
	XactReadOnly = saved->read_only;
	if (saved->guc_nest > 0)
		AtEOXact_GUC(false, saved->guc_nest);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
	engine = saved->engine;
}

static void
hint_retry(void *arg)
{
	if (geterrcode() == ERRCODE_T_R_SERIALIZATION_FAILURE)
		errhint(LS_RETRY_HINT);
}

/*
 * ls_hint_retry has a serialization failure in what comes next tell what to do:
 * it is raised by a statement that the user does not know.  The caller pops it.
 */
void
ls_hint_retry(ErrorContextCallback *context)
{
	context->previous = error_context_stack;
	context->callback = hint_retry;
	context->arg = NULL;
	error_context_stack = context;
}

/*
 * ls_guarded runs something in a subtransaction and gives the error it raised,
 * or NULL.  The caller passes on those that are none of its own (ls_error_class).
 */
ErrorData *
ls_guarded(void (*body) (void *), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * ls_error_class tells whether an error says something about the expression that
 * was being compiled or run, or came up meanwhile: a transaction that has to be
 * repeated, a server that is out of something or shutting down, a statement that
 * is cancelled or has waited too long, damaged data.  To take the latter for a
 * failure of the expression would give a wrong score, once it has been stored.
 */
LsErrorClass
ls_error_class(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
			return LS_ERROR_OF_STATEMENT;
		case ERRCODE_DATA_CORRUPTED:
		case ERRCODE_INDEX_CORRUPTED:
			return LS_ERROR_OF_DATA;
		case ERRCODE_INTERNAL_ERROR:
			return LS_ERROR_INTERNAL;
	}
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return LS_ERROR_OF_STATEMENT;
	}
	return LS_ERROR_OF_EXPRESSION;
}

/* ls_error_passes tells whether an error is not one of the expression. */
bool
ls_error_passes(int sqlerrcode)
{
	LsErrorClass class = ls_error_class(sqlerrcode);

	return class == LS_ERROR_OF_STATEMENT || class == LS_ERROR_OF_DATA;
}

/*
 * ls_caught does so, but for errors that say nothing about what was run, which are
 * passed on.
 */
ErrorData *
ls_caught(void (*body) (void *), void *arg)
{
	ErrorData  *error = ls_guarded(body, arg);

	if (error && ls_error_passes(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

/*
 * ls_has_pages tells, at next to no cost, whether a table of ours may have rows: it
 * has had one since it was vacuumed.
 */
bool
ls_has_pages(Oid table)
{
	Relation	rel;
	bool		any;

	if (!OidIsValid(table))
		return false;
	rel = try_table_open(table, AccessShareLock);
	if (rel == NULL)
		return false;			/* dropped while we waited */
	any = RelationGetNumberOfBlocks(rel) > 0;
	table_close(rel, NoLock);
	return any;
}

/*
 * ls_has_key tells whether a table has an index: a dump makes it after the rows.
 * Nobody is waited for: this is asked of all models, and one that its owner holds
 * against everybody is no reason for others to wait.
 */
bool
ls_has_key(Oid table)
{
	Relation	rel;
	bool		locked;
	bool		any;

	if (get_rel_relkind(table) != RELKIND_RELATION)
		return false;
	rel = ls_look_open(table, &locked);
	if (rel == NULL)
		return false;
	any = RelationGetIndexList(rel) != NIL;
	ls_look_close(rel, locked);
	return any;
}

/* ls_relation_owner is the role that owns a table or view. */
Oid
ls_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * ls_extension_owner is the role that owns the extension's own tables.  Who owns
 * the extension, or a schema of it, may be another one and no superuser.
 */
Oid
ls_extension_owner(void)
{
	return ls_relation_owner(ls_base_table_oid("lead_model", false));
}

/* ls_extension_version is the version of the extension's SQL, which need not be the library's. */
char *
ls_extension_version(Oid extension)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = "none";

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
												   RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* ls_is_own_schema tells whether a schema is one of the extension's. */
bool
ls_is_own_schema(Oid schema)
{
	return schema == get_namespace_oid(LEADSCORE_SCHEMA, true) ||
		schema == get_namespace_oid(LEADSCORE_INTERNAL, true);
}

static void
relation_changed(Datum arg, Oid relid)
{
	ls_rules_forget(relid);
	ls_capture_forget(relid);
}

/* object_changed hears of functions and types that expressions reach. */
static void
object_changed(Datum arg, LsSysCacheId cache, uint32 hash)
{
	if (ls_reach_watches(hash))
		ls_rules_forget_reach();
}

/* roles_changed hears of roles: one may have lost the privileges of another. */
static void
roles_changed(Datum arg, LsSysCacheId cache, uint32 hash)
{
	ls_rules_forget_reach();
	ls_rules_forget_rights(false);
}

/* schemas_changed hears of schemas: somebody may not use one any more. */
static void
schemas_changed(Datum arg, LsSysCacheId cache, uint32 hash)
{
	ls_rules_forget_rights(true);
}

/*
 * refresh_changed_models brings the stored scores of models that this transaction
 * has changed up to date.  It is done before the commit, so that rules can be
 * changed, looked at and rolled back at no cost.
 */
static void
refresh_changed_models(void)
{
	if (ls_changed_models() == NIL)
		return;
	ls_launcher_poke_at_commit();
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) ls_refresh_changed_models();
	PopActiveSnapshot();
}

static void
transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			ls_capture_before_commit();
			ls_note_before_commit();
			ls_suspension_before_commit();
			if (ls_count_waits())
				ls_count_now();
			refresh_changed_models();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			transaction_number++;
			end_transaction();
			ls_definitions_end_transaction();
			ls_suspension_end_transaction();
			ls_capture_end_transaction();
			ls_note_end_transaction();
			ls_tables_end_transaction();
			ls_rules_end_transaction();
			ls_changed_models_forget();
			ls_launcher_end_transaction(event == XACT_EVENT_COMMIT);
			break;
		default:
			break;
	}
}

static void
subtransaction_event(SubXactEvent event, SubTransactionId mine,
					 SubTransactionId parent, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_START_SUB:
			begin_subtransaction();
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			end_subtransaction(false);
			ls_capture_end_subtransaction(mine, parent, true);
			ls_note_end_subtransaction(mine, parent, true);
			ls_definitions_end_subtransaction(mine, parent, true);
			ls_count_end_subtransaction(mine, parent, true);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			end_subtransaction(true);
			ls_capture_end_subtransaction(mine, parent, false);
			ls_note_end_subtransaction(mine, parent, false);
			ls_definitions_end_subtransaction(mine, parent, false);
			ls_changed_models_again();
			ls_count_end_subtransaction(mine, parent, false);
			break;
		default:
			break;
	}
}

void
_PG_init(void)
{
	DefineCustomStringVariable("leadscore.clock",
							   "Instant at which leadscore's clock is held, for tests.",
							   "Empty: the clock runs.",
							   &clock_setting, "", PGC_SUSET, 0,
							   check_clock, assign_clock, NULL);
	DefineCustomEnumVariable("leadscore.rule_error",
							 "What happens to a statement when a rule fails on one of its rows.",
							 "warning: the rule is skipped for the row and the failure is recorded; error: the statement fails.",
							 &ls_rule_error, LS_RULE_ERROR_WARNING,
							 rule_error_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("leadscore.on_delete",
							 "What deleting events means for the scores.",
							 "source: what attach() was told; retract: they never happened; keep: they happened, and are only not stored any longer.",
							 &ls_on_delete, LS_ON_DELETE_SOURCE,
							 on_delete_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	ls_launcher_define();
	ls_job_define();
	ls_definitions_define();
	MarkGUCPrefixReserved("leadscore");

	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, object_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, object_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schemas_changed, (Datum) 0);
	RegisterXactCallback(transaction_event, NULL);
	RegisterSubXactCallback(subtransaction_event, NULL);
}
