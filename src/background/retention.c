/*-------------------------------------------------------------------------
 *
 * retention.c
 *		Deletes what is older than it is to be kept.
 *
 *-------------------------------------------------------------------------
 */
#include "background/retention.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "background/daily.h"
#include "base/clock.h"
#include "base/relation.h"
#include "base/user.h"
#include "definitions/model_access.h"
#include "tables/score_table.h"

int			ls_rule_error_retention = 30;

/*
 * ls_purge_history deletes rows of history_<model> that were recorded so many days
 * ago, found by the index on recorded_at.  A day that is still to be written needs
 * those of its own, in whatever zone.  Nobody is waited for.
 */
int64
ls_purge_history(const char *model, int days, int limit)
{
	List	   *tables = ls_model_tables_for("history_", model, ACL_NO_RIGHTS);
	LsSqlArguments args = {0};
	LsUser	saved;
	int64		rows;

	if (tables == NIL || !ls_model_table_lock(linitial(tables), RowExclusiveLock, false))
		return 0;
	ls_sql_add(&args, TIMESTAMPTZOID,
		   TimestampTzGetDatum(Min(ls_clock() - (int64) days * USECS_PER_DAY,
								   ls_daily_needs(model))));
	ls_sql_add(&args, INT4OID, Int32GetDatum(limit));
	ls_user_switch_to_owner(ls_relation_owner(((LsModelTable *) linitial(tables))->table), &saved);
	rows = ls_row_execute(psprintf("DELETE FROM leadscore.history_%1$s"
								   " WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
								   "SELECT ctid FROM leadscore.history_%1$s"
								   " WHERE recorded_at OPERATOR(pg_catalog.<) $1 LIMIT $2))",
								   model), &args);
	ls_user_restore(&saved);
	return rows;
}

/* purge runs a DELETE of at most so many rows ($2) from before so many days ($1). */
static int64
purge(const char *sql, int days, int limit)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, TIMESTAMPTZOID,
		   TimestampTzGetDatum(GetCurrentTimestamp() - (int64) days * USECS_PER_DAY));
	ls_sql_add(&args, INT4OID, Int32GetDatum(limit));
	return (int64) ls_sql_execute(sql, &args);
}

/*
 * ls_purge_rule_errors deletes rows of lead_rule_error that were recorded so many
 * days ago, but none that somebody else is deleting, nor what tells why a rule that
 * still sleeps fell asleep.
 */
int64
ls_purge_rule_errors(int days, int limit)
{
	return purge("DELETE FROM leadscore_internal.lead_rule_error"
				 " WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
				 "SELECT e.ctid FROM leadscore_internal.lead_rule_error e"
				 " WHERE e.failed_at OPERATOR(pg_catalog.<) $1"
				 " AND NOT EXISTS (SELECT FROM leadscore_internal.lead_rule r"
				 " WHERE r.rule_id OPERATOR(pg_catalog.=) e.rule_id"
				 " AND r.counted_version OPERATOR(pg_catalog.=) 0)"
				 " ORDER BY e.failed_at LIMIT $2 FOR UPDATE OF e SKIP LOCKED))", days, limit);
}

/* ls_purge_jobs deletes rows of lead_job that ended so many days ago. */
int64
ls_purge_jobs(int days, int limit)
{
	return purge("DELETE FROM leadscore_internal.lead_job"
				 " WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
				 "SELECT ctid FROM leadscore_internal.lead_job"
				 " WHERE finished_at OPERATOR(pg_catalog.<) $1 LIMIT $2))", days, limit);
}
