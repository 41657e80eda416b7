/*-------------------------------------------------------------------------
 *
 * leadscore.c
 *		Module load: settings, and what is called when transactions end and caches are
 *		invalidated.
 *
 *-------------------------------------------------------------------------
 */
#include "base/leadscore.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/syscache.h"

#include "api/live_plan.h"
#include "background/launcher.h"
#include "background/shared_state.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/heap_writer.h"
#include "base/reachable_code.h"
#include "base/statement.h"
#include "base/transaction.h"
#include "base/user.h"
#include "capture/capture.h"
#include "capture/table_cache.h"
#include "counting/contact_snapshot.h"
#include "counting/edge_events.h"
#include "counting/model_update.h"
#include "counting/recount.h"
#include "ddl/resume.h"
#include "definitions/job_table.h"
#include "model/definition_view.h"
#include "rules/model_compile.h"
#include "tables/deferred.h"
#include "tables/purged_table.h"
#include "tables/score_writer.h"

LEADSCORE_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static void
relation_changed(Datum arg, Oid relid)
{
	ls_model_cache_forget(relid);
	ls_table_cache_forget(relid);
	ls_heap_writer_forget(relid);
}

/* object_changed handles invalidations of functions and types that expressions reach. */
static void
object_changed(Datum arg, LsSysCacheId cache, uint32 hash)
{
	if (ls_reach_watches(hash))
		ls_model_cache_forget_reach();
}

/*
 * roles_changed handles invalidations of roles: one may have lost privileges of
 * another.
 */
static void
roles_changed(Datum arg, LsSysCacheId cache, uint32 hash)
{
	ls_model_cache_forget_reach();
	ls_model_cache_forget_rights(false);
}

/*
 * schemas_changed handles invalidations of schemas: a role may have lost its
 * privileges.
 */
static void
schemas_changed(Datum arg, LsSysCacheId cache, uint32 hash)
{
	ls_model_cache_forget_rights(true);
}

static void
transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			ls_capture_before_commit();
			ls_resume_before_commit();
			ls_model_update_before_commit();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			if (ls_transaction_end() && event == XACT_EVENT_COMMIT)
				ls_shared_state_wake_up(MyDatabaseId);
			ls_user_end_transaction();
			ls_resume_end_transaction();
			ls_statement_end_transaction();
			ls_deferred_end_transaction();
			ls_table_cache_end_transaction();
			ls_model_cache_end_transaction();
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
			ls_user_begin_subtransaction();
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
		case SUBXACT_EVENT_ABORT_SUB:
			ls_user_end_subtransaction(event == SUBXACT_EVENT_ABORT_SUB);
			ls_transaction_end_subtransaction(mine, parent, event == SUBXACT_EVENT_COMMIT_SUB);
			ls_statement_end_subtransaction(mine, parent, event == SUBXACT_EVENT_COMMIT_SUB);
			ls_deferred_end_subtransaction(mine, parent, event == SUBXACT_EVENT_COMMIT_SUB);
			break;
		default:
			break;
	}
}

/* what the score writer reads through callbacks */
static const LsScoreWriterCallbacks writer_callbacks = {
	.count_all = ls_recount_contact,
	.count_profile = ls_recount_profile,
	.find_events = ls_edge_events_find,
	.stage_context = ls_contact_snapshot_fill_context,
};

void
_PG_init(void)
{
	ls_score_writer_define(&writer_callbacks);
	ls_clock_define();
	ls_rule_failure_define();
	ls_purged_define();
	ls_launcher_define();
	ls_job_define();
	ls_definitions_define();
	ls_live_plan_define();
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
