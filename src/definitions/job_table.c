/*-------------------------------------------------------------------------
 *
 * job_table.c
 *		The rows of lead_job and lead_job_range: what is done in the background,
 *		and how far it is.
 *
 * Requesting a job only inserts rows, which waits for no lock.  Jobs of a model are
 * done one after the other, in the order of their numbers.  One that begins takes
 * over the waiting jobs that ask for no more than it does: the changes for which they
 * were requested are committed, and it sees them.
 *
 * A job that is open has one key range or more in its phase: one of all contacts, or
 * in the phases backfill and refresh, where that pays, several, which several
 * processes work through.  Progress, errors and retries are those of ranges; the view
 * lead_job adds them up.  No process owns a range: a chunk takes any that is free and
 * has not ended, goes on where the last chunk of it ended, and records its progress,
 * all in one transaction.  So a process that dies, or is slow, leaves nothing behind
 * that other processes would have to detect, and when few ranges are left they still
 * go to any process that is free.
 *
 * Locks, in the order in which a step takes them, and why there is no circle:
 *	- the tables, as each transaction of a worker does, without waiting;
 *	- the row of a range: SKIP LOCKED, so no process waits for one: a session that
 *	  ends a job locks the score table against all that could have taken one;
 *	- the rows of contacts in that range, as any chunk (recount.c).  Ranges do not
 *	  overlap, so two chunks have no contact in common;
 *	- to move the job to its next phase, once all ranges have ended, the row of the
 *	  first range: SKIP LOCKED; and the row of the job, which only the holder of
 *	  that range writes.
 *	So two processes of a job never wait for each other; each only waits for
 *	writers.
 *
 * A chunk that is still being done has its range locked and not ended, for all
 * others, until it commits; so none is under way when a job is moved.  A process that
 * has read the job before it was moved finds no range of that phase any more.
 *
 * What fails is one range: it is left alone until its retry_at, the others go on.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/job_table.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/transaction.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"

int			ls_job_rate = 0;
int			ls_job_workers = 2;
static int	inline_limit = 100000;

/* ls_job_pays tells whether so many rows are left to a job. */
bool
ls_job_pays(double rows)
{
	return rows > inline_limit;
}

/* query_number gives the number that a query yields, or 0. */
static int64
query_number(const char *sql, LsSqlArguments *args)
{
	SPITupleTable *rows = ls_extension_query(sql, args);

	return rows->numvals > 0 ? DatumGetInt64(ls_sql_value(rows, 0, 1, NULL)) : 0;
}

/* ---------- requesting ---------- */

/* ls_job_request requests a job and gives its number. */
int64
ls_job_request(const char *model, const char *kind, const char *source)
{
	LsSqlArguments args = {0};
	int64		job;

	ls_sql_add_text(&args, model);
	ls_sql_add_text(&args, kind);
	ls_sql_add_text(&args, source);
	ls_sql_add_text(&args, GetUserNameFromId(GetUserId(), false));
	/* one of this transaction's own; all work on a model ends with a refresh */
	job = query_number("SELECT job_id FROM leadscore_internal.lead_job WHERE model = $1"
					   " AND ($2 = 'refresh' OR kind = $2 AND source IS NOT DISTINCT FROM $3)"
					   " AND state = 'waiting' AND xmin = pg_current_xact_id()::xid LIMIT 1", &args);
	if (job == 0)
		job = query_number("WITH j AS (INSERT INTO leadscore_internal.lead_job (model, kind, source, requested_by)"
						   " VALUES ($1, $2, $3, $4::name) RETURNING job_id, model, phase),"
						   " r AS (INSERT INTO leadscore_internal.lead_job_range (job_id, range, model, phase)"
						   " SELECT job_id, 1, model, phase FROM j)"
						   " SELECT job_id FROM j", &args);
	ls_transaction_wake_worker();
	return job;
}

/* ---------- reading ---------- */

/* read_job reads the first of the jobs that a condition selects, or NULL. */
static LsJob *
read_job(const char *condition, LsSqlArguments *args)
{
	SPITupleTable *rows =
		ls_extension_query(psprintf("SELECT job_id, model, state, kind, source, phase"
									" FROM leadscore_internal.lead_job WHERE %s", condition), args);
	LsJob	   *job;

	if (rows->numvals == 0)
		return NULL;
	job = palloc0(sizeof(LsJob));
	job->job_id = DatumGetInt64(ls_sql_value(rows, 0, 1, NULL));
	job->model = ls_sql_text(rows, 0, 2);
	job->state = ls_sql_text(rows, 0, 3);
	job->kind = ls_sql_text(rows, 0, 4);
	job->source = ls_sql_text(rows, 0, 5);
	job->phase = ls_sql_text(rows, 0, 6);
	return job;
}

/* ls_job_open gives the job of a model that is next, or being done; or NULL. */
LsJob *
ls_job_open(const char *model)
{
	LsSqlArguments args = {0};
	LsModelRow *row;

	/* mostly there never was one, which is cheap to see */
	if (!ls_relation_has_pages(ls_extension_base_table("lead_job", false)))
		return NULL;
	/* those of a suspended model wait until it is resumed */
	row = ls_lead_model(model, NULL);
	if (row && row->unreadable)
		return NULL;
	ls_sql_add_text(&args, model);
	return read_job("model = $1 AND " LS_OPEN_JOBS " ORDER BY job_id LIMIT 1", &args);
}

/*
 * ls_job_is_seen tells whether the active snapshot sees a job of a model that is open:
 * stored rows may not be as its rules want them yet.
 */
bool
ls_job_is_seen(const char *model)
{
	LsSqlArguments args = {.read_only = true};

	if (!ls_relation_has_pages(ls_extension_base_table("lead_job", false)))
		return false;
	ls_sql_add_text(&args, model);
	return ls_extension_query("SELECT 1 FROM leadscore_internal.lead_job WHERE model = $1 AND " LS_OPEN_JOBS
							  " LIMIT 1", &args)->numvals > 0;
}

/* ls_job_read reads a job by its number; NULL: there is none. */
LsJob *
ls_job_read(int64 job_id)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(job_id));
	return read_job("job_id = $1", &args);
}

/* ls_job_lock reads a job by its number, and locks its row. */
LsJob *
ls_job_lock(int64 job_id)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(job_id));
	return read_job("job_id = $1 FOR UPDATE", &args);
}

/* ---------- from phase to phase ---------- */

/* add_job adds the job's number and phase: $1 and $2. */
static void
add_job(LsSqlArguments *args, const LsJob *job)
{
	ls_sql_add(args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(args, job->phase);
}

#define OF_PHASE	"job_id = $1 AND phase = $2"

/* ls_job_begin records that a job begins, and how many contacts it has to do. */
void
ls_job_begin(const LsJob *job, double total)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add(&args, INT8OID, Int64GetDatum((int64) total));
	ls_extension_execute("UPDATE leadscore_internal.lead_job SET state = 'running', total = $2,"
						 " started_at = clock_timestamp()"
						 " WHERE job_id = $1", &args);
}

/* insert_range inserts a range of the contacts after one up to another. */
static void
insert_range(const LsJob *job, const char *phase, int number, const char *first, const char *last)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add(&args, INT4OID, Int32GetDatum(number));
	ls_sql_add_text(&args, job->model);
	ls_sql_add_text(&args, phase);
	ls_sql_add_text(&args, first);
	ls_sql_add_text(&args, last);
	ls_extension_execute("INSERT INTO leadscore_internal.lead_job_range (job_id, range, model, phase, first, last)"
						 " VALUES ($1, $2, $3, $4, $5, $6)", &args);
}

/* removes the ranges of jobs; what they add up to goes to the job */
#define REMOVE_RANGES(condition) \
	"WITH r AS (DELETE FROM leadscore_internal.lead_job_range r USING leadscore_internal.lead_job j" \
	" WHERE j.job_id = r.job_id AND j." LS_OPEN_JOBS " AND " condition \
	" RETURNING r.job_id, r.done, r.updated_at)," \
	" s AS (SELECT job_id, sum(done)::int8 AS done," \
	" max(updated_at) AS updated_at FROM r GROUP BY job_id)" \
	" UPDATE leadscore_internal.lead_job j SET done = j.done + s.done,"
#define OF_REMOVED " FROM s WHERE j.job_id = s.job_id"

#define ENDED "finished_at = clock_timestamp(), updated_at = greatest(j.updated_at, s.updated_at)"
#define DONE ENDED ", state = 'done', phase = 'end', total = j.done + s.done"

/*
 * ls_job_advance moves a job to another phase, whose contacts are cut into ranges
 * at the given bounds.  The caller has taken the first range of its phase.
 */
void
ls_job_advance(const LsJob *job, const char *phase, List *bounds)
{
	const char *first = NULL;
	int			number = 0;
	LsSqlArguments args = {0};
	ListCell   *lc;

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	if (strcmp(phase, "end") == 0)
	{
		ls_extension_execute(REMOVE_RANGES("j.job_id = $1") " " DONE OF_REMOVED, &args);
		return;
	}
	ls_sql_add_text(&args, phase);
	ls_extension_execute(REMOVE_RANGES("j.job_id = $1")
						 " phase = $2, updated_at = clock_timestamp()" OF_REMOVED, &args);
	foreach(lc, bounds)
	{
		insert_range(job, phase, ++number, first, lfirst(lc));
		first = lfirst(lc);
	}
	insert_range(job, phase, ++number, first, NULL);
}

/*
 * ls_job_take_over ends the waiting jobs that ask for no more than one that begins,
 * which does their work, too.
 */
void
ls_job_take_over(const LsJob *job)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, job->model);
	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(&args, job->kind);
	ls_sql_add_text(&args, job->source);
	ls_extension_execute(REMOVE_RANGES("j.model = $1 AND j.job_id <> $2"
									   " AND j.state = 'waiting'"
									   " AND (j.kind = 'refresh'"
									   " OR j.kind = 'backfill' AND $3 <> 'refresh'"
									   " OR j.kind = $3 AND j.source IS NOT DISTINCT FROM $4)")
						 " " DONE ", taken_over_by = $2" OF_REMOVED, &args);
}

/*
 * ls_job_supersede ends the open jobs of a model for a caller that has done their
 * work at once, under locks.
 */
void
ls_job_supersede(const char *model)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_extension_execute(REMOVE_RANGES("j.model = $1") " " DONE OF_REMOVED, &args);
}

/*
 * ls_job_cancel ends a job that is not done; the caller's locks keep away all that
 * could run it.
 */
void
ls_job_cancel(const LsJob *job)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_extension_execute(REMOVE_RANGES("j.job_id = $1") " " ENDED ", state = 'cancelled'" OF_REMOVED, &args);
}

/* ---------- ranges ---------- */

#define IS_DUE		"(retry_at IS NULL OR retry_at <= clock_timestamp())"

/*
 * take_range takes the first free range of a job's phase until the transaction ends;
 * unless at_once, none that has just failed.  It reads what the last chunk has
 * committed.
 */
static bool
take_range(const LsJob *job, const char *condition, bool at_once, int avoid, LsJobRange *range)
{
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	add_job(&args, job);
	ls_sql_add(&args, INT4OID, Int32GetDatum(avoid));
	rows = ls_extension_query(psprintf("SELECT range, coalesce(position, first), last"
									   " FROM leadscore_internal.lead_job_range WHERE " OF_PHASE " AND %s%s"
									   " ORDER BY range = $3, range LIMIT 1 FOR UPDATE SKIP LOCKED",
									   condition, at_once ? "" : " AND " IS_DUE), &args);
	if (rows->numvals == 0)
		return false;
	range->number = DatumGetInt32(ls_sql_value(rows, 0, 1, NULL));
	range->position = ls_sql_text(rows, 0, 2);
	range->last = ls_sql_text(rows, 0, 3);
	return true;
}

/*
 * ls_job_range_take takes a range that has not ended; the one to be avoided only if
 * there is no other.
 */
bool
ls_job_range_take(const LsJob *job, bool at_once, int avoid, LsJobRange *range)
{
	return take_range(job, "NOT ended", at_once, avoid, range);
}

/*
 * ls_job_range_take_ended takes the first range where all of the phase have ended,
 * and with it the right to move the job.
 */
bool
ls_job_range_take_ended(const LsJob *job, bool at_once, LsJobRange *range)
{
	return take_range(job, "range = 1 AND NOT EXISTS"
					  " (SELECT FROM leadscore_internal.lead_job_range"
					  " WHERE " OF_PHASE " AND NOT ended)", at_once, 0, range);
}

/*
 * ls_job_range_progress records the progress of the range that this transaction has
 * taken.
 */
void
ls_job_range_progress(const LsJob *job, const LsJobRange *range, const char *position,
					  bool ended, int64 contacts)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add(&args, INT4OID, Int32GetDatum(range->number));
	ls_sql_add_text(&args, ended ? range->last : position);
	ls_sql_add(&args, BOOLOID, BoolGetDatum(ended));
	ls_sql_add(&args, INT8OID, Int64GetDatum(contacts));
	ls_extension_execute("UPDATE leadscore_internal.lead_job_range SET position = $3, ended = $4,"
						 " done = done + $5, updated_at = clock_timestamp(),"
						 " attempts = 0, retry_at = NULL, error = NULL"
						 " WHERE job_id = $1 AND range = $2", &args);
}

/*
 * ls_job_range_failed records the error of a range, or, if all ranges have ended,
 * that of the job in its first range.  A process that has taken it meanwhile will get
 * the error itself.
 */
void
ls_job_range_failed(const LsJob *job, int number, const char *error)
{
	LsSqlArguments args = {0};
	int64		attempts;

	add_job(&args, job);
	ls_sql_add(&args, INT4OID, Int32GetDatum(number));
	attempts = query_number("SELECT attempts::int8 + 1"
							" FROM leadscore_internal.lead_job_range WHERE " OF_PHASE
							" AND range = $3"
							" AND (NOT ended OR range = 1)"
							" FOR UPDATE SKIP LOCKED", &args);
	if (attempts == 0)
		return;
	ls_sql_add_text(&args, error);
	ls_sql_add(&args, TIMESTAMPTZOID,
			   TimestampTzGetDatum(GetCurrentTimestamp() + ls_clock_back_off((int) attempts)));
	ls_sql_add(&args, INT4OID, Int32GetDatum((int) attempts));
	ls_extension_execute("UPDATE leadscore_internal.lead_job_range SET error = $4, retry_at = $5, attempts = $6"
						 " WHERE " OF_PHASE " AND range = $3", &args);
}

/*
 * ls_job_ranges_due counts the ranges that have not ended nor just failed, taken or
 * not.
 */
int64
ls_job_ranges_due(const LsJob *job)
{
	LsSqlArguments args = {0};

	add_job(&args, job);
	return query_number("SELECT count(*) FROM leadscore_internal.lead_job_range"
						" WHERE " OF_PHASE " AND NOT ended AND " IS_DUE, &args);
}

/*
 * ls_job_left gives the contacts that a job has still to recompute in full, as the
 * active snapshot sees it.  Their stored states may differ from what the events give.
 */
List *
ls_job_left(const char *model)
{
	LsSqlArguments args = {.read_only = true};
	SPITupleTable *rows;
	List	   *all = NIL;

	ls_sql_add_text(&args, model);
	rows = ls_extension_query("SELECT coalesce(position, first), last FROM leadscore_internal.lead_job_range"
							  " WHERE NOT ended AND job_id = ("
							  "SELECT max(job_id) FROM leadscore_internal.lead_job"
							  " WHERE model = $1 AND " LS_OPEN_JOBS
							  " AND kind = ANY (ARRAY['attach', 'rescore'])"
							  " AND phase = ANY (ARRAY['start', 'wait', 'backfill']))", &args);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		LsJobLeft  *left = palloc(sizeof(LsJobLeft));

		left->after = ls_sql_text(rows, i, 1);
		left->upto = ls_sql_text(rows, i, 2);
		all = lappend(all, left);
	}
	return all;
}

/* ls_job_define defines the settings. */
void
ls_job_define(void)
{
	DefineCustomIntVariable("leadscore.inline_limit",
							"How many rows are counted at once when a rule changes; more are left to a job.",
							"As estimated from the size of the tables.",
							&inline_limit, 100000, 0, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.job_rate",
							"How many contacts a second a job takes, at most.",
							"0: as many as it can.",
							&ls_job_rate, 0, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.job_workers",
							"How many processes a job uses, at most, the worker included.",
							"Each but the worker takes one of max_worker_processes while the job is under way.",
							&ls_job_workers, 2, 1, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}
