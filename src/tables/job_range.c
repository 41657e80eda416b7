/*-------------------------------------------------------------------------
 *
 * job_range.c
 *		The rows of lead_job_part: ranges of contacts that the processes of a job share.
 *
 * Where it pays, the phases count and refresh of a job are cut into ranges of
 * the contacts' keys, which several processes work through.  Nobody owns a range:
 * a chunk takes any that is free and has not ended, goes on where the last chunk
 * of it ended, and writes down how far it came, all in one transaction.  So a
 * process that dies, or is slow, leaves nothing behind that others would have to
 * find out about, and when few ranges are left they still go to whoever is free.
 *
 * The bounds come from a sample of the score table.  Contacts that have no row
 * there are in a range like all others: the first has no beginning, the last no
 * end.
 *
 * Locks, in the order in which a chunk takes them, and why there is no circle:
 *	- the tables, as each transaction of a worker does, without waiting;
 *	- the row of a range: SKIP LOCKED.  Nobody ever waits for one: who deletes
 *	  ranges of a job that is not over passes over those that are taken, or keeps
 *	  away, by a lock on the score table, all who could have taken one;
 *	- the rows of contacts in that range, as any chunk (recount.c).  Ranges do not
 *	  overlap, so two chunks have no contact in common;
 *	- the row of the job, last: SKIP LOCKED.  Where another has it, the progress of
 *	  this chunk is shown by the next one, as it is the sum of what the ranges have.
 *	So two processes of a job never wait for each other; each alone waits for
 *	writers, as the one process of a job without ranges does.
 *
 * From phase to phase a job is moved by the worker (or run_job()) alone, once all
 * ranges have ended.  A chunk that is still being done has its range locked and
 * not ended, for all others, until it commits; so none is under way then.  Who
 * has read the job before it was moved finds no range of that phase any more.
 *
 * lead_job.position is, as without ranges, the contact up to which everything is
 * done: that of the first range that has not ended.  Were the ranges lost, one
 * process could go on from there.
 *
 * What fails is one range: it is left alone until its retry_at, the others go on.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/job_range.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "rules/model_compile.h"

#define PARTS_A_PROCESS		8	/* so that all end at about the same time */
#define FEWEST_CONTACTS		2000	/* done before another process is there */
#define PART_CONTACTS		250 /* in a range, at least */
#define SAMPLE				10000	/* keys, to find bounds among */

/* ls_parts_pay tells whether so many contacts are shared by several processes. */
bool
ls_parts_pay(double contacts)
{
	return ls_job_workers > 1 && ls_job_rate == 0 && contacts >= FEWEST_CONTACTS;
}

/* name_job adds what names a job and its phase: $1 and $2. */
static void
name_job(LsSqlArguments *args, const LsJob *job)
{
	ls_sql_add(args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(args, job->phase);
}

#define OF_JOB		"job_id OPERATOR(pg_catalog.=) $1"
#define OF_PHASE	OF_JOB " AND phase OPERATOR(pg_catalog.=) $2"
#define IS_DUE		"(retry_at IS NULL OR retry_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp())"

/* ---------- making and removing ---------- */

/* find_bounds gives so many contacts, at most, between which there are about as many each. */
static List *
find_bounds(LsModel *model, double contacts, int wanted)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *bounds = NIL;
	uint64		last = 0;
	LsUser	saved;

	ls_user_switch_to_owner(ls_relation_owner(model->score_table), &saved);
	SPI_connect();
	(void) ls_sql_run(psprintf("SELECT t.contact_id FROM %s t TABLESAMPLE pg_catalog.system (%.6f)"
						   " ORDER BY t.contact_id", ls_relation_qualified_name(model->score_table),
						   Min(100.0, 100.0 * SAMPLE / contacts)), NULL);
	for (int i = 1; i <= wanted; i++)
	{
		uint64		at = SPI_processed * i / (wanted + 1);
		bool		isnull;
		Datum		key;
		MemoryContext old;

		if (at == last)
			continue;
		last = at;
		key = SPI_getbinval(SPI_tuptable->vals[at], SPI_tuptable->tupdesc, 1, &isnull);
		old = MemoryContextSwitchTo(caller);
		bounds = lappend(bounds, ls_key_text(&model->key, key));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	ls_user_restore(&saved);
	return bounds;
}

static void
make_part(const LsJob *job, const char *phase, int number, const char *first, const char *last)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(&args, phase);
	ls_sql_add(&args, INT4OID, Int32GetDatum(number));
	ls_sql_add_text(&args, job->model);
	ls_sql_add_text(&args, first);
	ls_sql_add_text(&args, last);
	ls_sql_add(&args, INT8OID, Int64GetDatum(job->done));
	ls_sql_execute("INSERT INTO leadscore_internal.lead_job_part (job_id, phase, part, model, first, last, done_before)"
			   " VALUES ($1, $2, $3, $4, $5, $6, $7)", &args);
}

/*
 * ls_parts_make cuts a phase that begins into ranges.  The caller has the job's
 * row locked.
 */
void
ls_parts_make(const LsJob *job, const char *phase, double contacts)
{
	LsModel    *model = ls_model_acquire_to_write(job->model);
	int			wanted = Min(ls_job_workers * PARTS_A_PROCESS, contacts / PART_CONTACTS);
	const char *first = NULL;
	int			number = 0;
	LsUser	saved;
	List	   *bounds;
	ListCell   *lc;

	if (model == NULL)
		return;
	ls_user_switch(ls_extension_owner(), &saved);
	bounds = find_bounds(model, contacts, wanted - 1);
	foreach(lc, bounds)
	{
		make_part(job, phase, ++number, first, lfirst(lc));
		first = lfirst(lc);
	}
	if (bounds != NIL)
		make_part(job, phase, ++number, first, NULL);
	ls_user_restore(&saved);
	ls_model_release(model);
}

/*
 * ls_parts_end removes the ranges of a phase that has ended, and tells the job
 * how many contacts they were.
 */
void
ls_parts_end(LsJob *job)
{
	LsSqlArguments args = {0};
	LsUser	saved;
	bool		isnull;
	Datum		done;

	name_job(&args, job);
	ls_user_switch(ls_extension_owner(), &saved);
	SPI_connect();
	(void) ls_sql_run("SELECT (pg_catalog.max(done_before) OPERATOR(pg_catalog.+) pg_catalog.sum(done))::pg_catalog.int8"
				  " FROM leadscore_internal.lead_job_part WHERE " OF_PHASE, &args);
	done = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		job->done = DatumGetInt64(done);
	(void) ls_sql_run("DELETE FROM leadscore_internal.lead_job_part WHERE " OF_PHASE, &args);
	SPI_finish();
	ls_user_restore(&saved);
}

#define LEFT_OVER \
	" FROM leadscore_internal.lead_job_part p JOIN leadscore_internal.lead_job j" \
	" ON j.job_id OPERATOR(pg_catalog.=) p.job_id" \
	" WHERE ($1 IS NULL OR p.model OPERATOR(pg_catalog.=) $1)" \
	" AND NOT (j." LS_OPEN_JOBS ")"

/*
 * ls_parts_sweep removes what is left of jobs that are over, of a model or of all,
 * but for what is being worked on: that chunk does no harm.  True where there was
 * any, and another sweep may find the rest.
 */
bool
ls_parts_sweep(const char *model)
{
	LsSqlArguments args = {0};
	LsUser	saved;
	bool		any;

	ls_sql_add_text(&args, model);
	ls_user_switch(ls_extension_owner(), &saved);
	any = ls_sql_execute("SELECT" LEFT_OVER " LIMIT 1", &args) > 0;
	if (any)
		ls_sql_execute("DELETE FROM leadscore_internal.lead_job_part WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
				   "SELECT p.ctid" LEFT_OVER " FOR UPDATE OF p SKIP LOCKED))", &args);
	ls_user_restore(&saved);
	return any;
}

/* ---------- working ---------- */

/*
 * ls_part_take takes a range that is free, to the end of the transaction; unless
 * at_once, not one that failed just now; that which is to be avoided only if there
 * is no other.  What is read of it is what the last chunk has committed.
 */
bool
ls_part_take(const LsJob *job, bool at_once, int avoid, LsPart *part)
{
	MemoryContext caller = CurrentMemoryContext;
	LsSqlArguments args = {0};
	LsUser	saved;
	bool		found;
	bool		isnull;

	name_job(&args, job);
	ls_sql_add(&args, INT4OID, Int32GetDatum(avoid));
	ls_user_switch(ls_extension_owner(), &saved);
	SPI_connect();
	found = ls_sql_run(psprintf("SELECT part, coalesce(position, first), last FROM leadscore_internal.lead_job_part"
							" WHERE " OF_PHASE " AND NOT ended%s"
							" ORDER BY part OPERATOR(pg_catalog.=) $3, part"
							" LIMIT 1 FOR UPDATE SKIP LOCKED",
							at_once ? "" : " AND " IS_DUE), &args) > 0;
	if (found)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];

		part->number = DatumGetInt32(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		part->position = ls_spi_text(tuple, 2, caller);
		part->last = ls_spi_text(tuple, 3, caller);
	}
	SPI_finish();
	ls_user_restore(&saved);
	return found;
}

/*
 * show writes into the job's row what the ranges add up to, if nobody has it.  It
 * is locked first and summed up then, so that progress never goes back.
 */
static void
show(const LsJob *job)
{
	LsSqlArguments args = {0};

	if (!ls_job_lock(job))
		return;
	name_job(&args, job);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()));
	ls_sql_execute("UPDATE leadscore_internal.lead_job j SET done = p.done, total = greatest(j.total, p.done),"
			   " position = coalesce(p.position, j.position), updated_at = $3,"
			   " attempts = p.attempts, retry_at = p.retry_at, error = p.error,"
			   " remaining = " LS_JOB_REMAINING("$3", "j.started_at", "greatest(j.total, p.done)", "p.done")
			   " FROM (SELECT (pg_catalog.max(done_before) OPERATOR(pg_catalog.+)"
			   " pg_catalog.sum(done))::pg_catalog.int8 AS done,"
			   " (pg_catalog.array_agg(coalesce(position, first) ORDER BY part)"
			   " FILTER (WHERE NOT ended))[1] AS position,"
			   " pg_catalog.max(attempts) AS attempts, pg_catalog.min(retry_at) AS retry_at,"
			   " (pg_catalog.array_agg(error ORDER BY part) FILTER (WHERE error IS NOT NULL))[1] AS error"
			   " FROM leadscore_internal.lead_job_part WHERE " OF_PHASE ") p"
			   " WHERE j." OF_JOB, &args);
}

/* ls_part_progress writes down how far the range is that this transaction has taken. */
void
ls_part_progress(const LsJob *job, const LsPart *part, const char *position,
				 bool ended, int64 contacts)
{
	LsSqlArguments args = {0};
	LsUser	saved;

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add(&args, INT4OID, Int32GetDatum(part->number));
	ls_sql_add_text(&args, ended ? part->last : position);
	ls_sql_add(&args, BOOLOID, BoolGetDatum(ended));
	ls_sql_add(&args, INT8OID, Int64GetDatum(contacts));
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute("UPDATE leadscore_internal.lead_job_part SET position = $3, ended = $4,"
			   " done = done OPERATOR(pg_catalog.+) $5, updated_at = pg_catalog.clock_timestamp(),"
			   " attempts = 0, retry_at = NULL, error = NULL"
			   " WHERE " OF_JOB " AND part OPERATOR(pg_catalog.=) $2", &args);
	show(job);
	ls_user_restore(&saved);
}

/*
 * ls_part_failed writes down why a range does not go on.  Where another has taken
 * it meanwhile he will see for himself.
 */
void
ls_part_failed(const LsJob *job, int number, const char *error)
{
	LsSqlArguments args = {0};
	LsUser	saved;
	bool		isnull;

	name_job(&args, job);
	ls_sql_add(&args, INT4OID, Int32GetDatum(number));
	ls_user_switch(ls_extension_owner(), &saved);
	SPI_connect();
	if (ls_sql_run("SELECT attempts FROM leadscore_internal.lead_job_part WHERE " OF_PHASE
			   " AND part OPERATOR(pg_catalog.=) $3 AND NOT ended"
			   " FOR UPDATE SKIP LOCKED", &args) > 0)
	{
		int			attempts = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
														   SPI_tuptable->tupdesc, 1, &isnull)) + 1;

		ls_sql_add_text(&args, error);
		ls_sql_add(&args, TIMESTAMPTZOID,
			   TimestampTzGetDatum(GetCurrentTimestamp() + ls_clock_back_off(attempts)));
		ls_sql_add(&args, INT4OID, Int32GetDatum(attempts));
		(void) ls_sql_run("UPDATE leadscore_internal.lead_job_part SET error = $4, retry_at = $5, attempts = $6"
					  " WHERE " OF_PHASE " AND part OPERATOR(pg_catalog.=) $3", &args);
		show(job);
	}
	SPI_finish();
	ls_user_restore(&saved);
}

/* ls_parts_open counts the ranges that have not ended, whoever has taken them. */
void
ls_parts_open(const LsJob *job, LsPartsOpen *open)
{
	LsSqlArguments args = {0};
	LsUser	saved;
	bool		isnull;

	name_job(&args, job);
	ls_user_switch(ls_extension_owner(), &saved);
	SPI_connect();
	(void) ls_sql_run("SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE " IS_DUE ")"
				  " FROM leadscore_internal.lead_job_part WHERE " OF_PHASE " AND NOT ended", &args);
	open->all = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	open->due = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	SPI_finish();
	ls_user_restore(&saved);
}

/* ---------- what is left ---------- */

#define JOB_THAT_COUNTS_ALL \
	"(SELECT job_id, phase, position FROM leadscore_internal.lead_job" \
	" WHERE model OPERATOR(pg_catalog.=) $1 AND " LS_OPEN_JOBS \
	" AND kind OPERATOR(pg_catalog.=) ANY (ARRAY['attach', 'rescore'])" \
	" AND phase OPERATOR(pg_catalog.=) ANY (ARRAY['start', 'wait', 'count'])" \
	" ORDER BY job_id DESC LIMIT 1) j"
#define POSITION_OF_JOB "CASE WHEN j.phase OPERATOR(pg_catalog.=) 'count' THEN j.position END"

/*
 * ls_job_left tells, as the active snapshot sees it, of which contacts a job has
 * still to count all that is known.  What is stored of them may not be what the
 * events give.
 */
List *
ls_job_left(const char *model)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(model);
	List	   *all = NIL;
	LsUser	saved;

	ls_user_switch(ls_extension_owner(), &saved);
	SPI_connect();
	if (SPI_execute_with_args("SELECT CASE WHEN p.part IS NULL THEN " POSITION_OF_JOB
							  " ELSE coalesce(p.position, p.first) END, p.last"
							  " FROM " JOB_THAT_COUNTS_ALL
							  " LEFT JOIN leadscore_internal.lead_job_part p"
							  " ON p.job_id OPERATOR(pg_catalog.=) j.job_id"
							  " AND p.phase OPERATOR(pg_catalog.=) j.phase"
							  " WHERE p.ended IS NOT TRUE",
							  1, &type, &value, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the jobs of model \"%s\"", model);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		LsJobLeft  *left = palloc(sizeof(LsJobLeft));

		left->after = ls_spi_text(SPI_tuptable->vals[i], 1, caller);
		left->upto = ls_spi_text(SPI_tuptable->vals[i], 2, caller);
		all = lappend(all, left);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	ls_user_restore(&saved);
	return all;
}
