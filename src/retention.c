/*-------------------------------------------------------------------------
 *
 * retention.c
 *		Deletes what is older than it is to be kept.
 *
 *-------------------------------------------------------------------------
 */
#include "retention.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "feed.h"
#include "job_part.h"
#include "leadscore.h"

/*
 * ls_purge_history deletes rows of lead_stage_history that were recorded so
 * many days ago, as the extension's owner, found by the index on recorded_at.
 * A day that is still to be written needs those of its own, in whatever zone.
 */
int64
ls_purge_history(int days, int limit)
{
	LsArguments args = {0};

	ls_add(&args, TIMESTAMPTZOID,
		   TimestampTzGetDatum(ls_clock() - (int64) days * USECS_PER_DAY));
	ls_add(&args, INT4OID, Int32GetDatum(limit));
	return (int64) ls_execute("DELETE FROM leadscore_internal.lead_stage_history"
							  " WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
							  "SELECT h.ctid FROM leadscore_internal.lead_stage_history h"
							  " WHERE recorded_at OPERATOR(pg_catalog.<) $1"
							  " AND NOT EXISTS (SELECT FROM leadscore_internal.lead_day d"
							  " WHERE d.model OPERATOR(pg_catalog.=) h.model AND h.changed_at"
							  " OPERATOR(pg_catalog.>) (d.written_to OPERATOR(pg_catalog.-) 1)) LIMIT $2))",
							  &args);
}

/* ls_purge_jobs deletes rows of lead_job that ended so many days ago, and ranges of those that are over. */
int64
ls_purge_jobs(int days, int limit)
{
	LsArguments args = {0};

	if (!ls_jobs_exist())
		return 0;
	(void) ls_parts_sweep(NULL);
	ls_add(&args, TIMESTAMPTZOID,
		   TimestampTzGetDatum(GetCurrentTimestamp() - (int64) days * USECS_PER_DAY));
	ls_add(&args, INT4OID, Int32GetDatum(limit));
	return (int64) ls_execute("DELETE FROM leadscore_internal.lead_job"
							  " WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
							  "SELECT ctid FROM leadscore_internal.lead_job"
							  " WHERE finished_at OPERATOR(pg_catalog.<) $1 LIMIT $2))", &args);
}
