/*-------------------------------------------------------------------------
 *
 * replication.c
 *		Rows that logical replication applies, and subscriptions.
 *
 * What a subscription applies, in the initial copy of a table or later, fires no
 * statement triggers, but row triggers that are enabled for replicas.  So each table
 * that has rows has such a trigger: it fires for applied rows and in sessions that set
 * session_replication_role to replica, where the statement triggers (capture.c) do not
 * fire, and never where they do.  Each row is thus captured once.
 *
 * Changes are enqueued (pending_table.c), to be merged later.  So an apply worker waits
 * for no contact's row and takes part in no deadlock.
 *
 * TRUNCATE is applied with its statement triggers: one more fires before it for
 * replicas, and the one after it for all sessions.
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
#include "base/leadscore.h"
#include "base/sql.h"
#include "capture/capture.h"
#include "definitions/extension.h"

PG_FUNCTION_INFO_V1(ls_apply);
PG_FUNCTION_INFO_V1(ls_subscribed);

/*
 * ls_apply is leadscore_internal.apply(), AFTER each row of a replica; and of ordinary
 * sessions, too, if the table may be written through an ancestor that feeds nothing.
 * Otherwise statement triggers capture the rows of ordinary sessions.
 */
Datum
ls_apply(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER | TRIGGER_EVENT_ROW,
											   LS_FIRED_INSERT | LS_FIRED_UPDATE | LS_FIRED_DELETE);

	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		ls_capture_replicated(trigger);
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

/*
 * refuse_own_tables throws an error if a subscription would write a table of leadscore.
 */
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
 * ls_subscribed is leadscore_internal.subscribed(), an event trigger: it refuses tables
 * of leadscore that a publication FOR ALL TABLES contains.
 */
Datum
ls_subscribed(PG_FUNCTION_ARGS)
{
	if (adds_tables(ls_sql_command(fcinfo)))
		refuse_own_tables();
	PG_RETURN_NULL();
}
