/*-------------------------------------------------------------------------
 *
 * job_run.c
 *		Runs jobs: step by step in the worker, or all at once.
 *
 * A job must not miss a writer that has older rules than the newest: such a writer adds
 * nothing to the slots that are being backfilled, or writes a score that is no longer
 * true after the job has passed.  Writers lock the score table until they end, and read
 * the rules after that.  So after each change of the rules the job asks which
 * transactions hold that lock, and goes on when all of them have ended.  It takes no
 * lock for that, so no other session waits for it or queues behind it.
 *
 * The scenarios:
 *	- The process is killed in the middle of a chunk: what the chunk wrote, and the
 *	  job's position, were to be committed together; the chunk is repeated.
 *	- The server crashes after a chunk, whose commit was not waited for: likewise.  What
 *	  another session has committed after it, and waited for, is on disk with it.
 *	- It is killed while it waits for writers: the next process asks again which
 *	  there are.  All that wrote then and still do are among them.
 *	- A rule that is being backfilled is changed: it waits for a backfill again
 *	  (validate_rule.c), what was computed of it is a slot that no rule has, and
 *	  another job has been requested.
 *	- A rule that is being backfilled is deleted, its source detached: likewise.
 *	- Rules change while rows are refreshed: the refresh has the newest rules, and
 *	  the change has requested a refresh of its own.
 *	- A contact is deleted or inserted, an event retracted, while a chunk computes it:
 *	  one waits for the contact's row, which the other has locked.  Any recompute of
 *	  the contact then includes the rules that a job backfills.
 *	- A dump is restored with a job in it: the scores are as the job left them, and it
 *	  goes on.
 *	- Several processes work on it: see job_table.c.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs/job_run.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/relation.h"
#include "base/sql.h"
#include "base/user.h"
#include "counting/recount.h"
#include "counting/rule_versions.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/rights.h"
#include "definitions/source_triggers.h"
#include "rules/model_compile.h"
#include "rules/source_locks.h"
#include "tables/pending_table.h"

PG_FUNCTION_INFO_V1(ls_run_job);

/* The duration of a chunk, whose contacts are locked until it ends */
#define CHUNK_MS		40
#define FIRST_LIMIT		100
#define LEAST_LIMIT		10
#define MOST_LIMIT		5000
/* If a source has no index on contacts, each chunk scans it */
#define FEW_CHUNKS		50

/* Ranges that several processes share */
#define RANGES_A_PROCESS	8	/* many, so that all processes end at about the same time */
#define FEWEST_CONTACTS		2000	/* fewer are done before another process has started */
#define RANGE_CONTACTS		250 /* at least, in a range */
#define SAMPLE				10000	/* keys from which bounds are chosen */

typedef struct Remembered
{
	char		model[NAMEDATALEN];
	LsJobRun	run;
} Remembered;

static bool
is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* recomputes_all tells whether a job recomputes all of a contact. */
static bool
recomputes_all(const LsJob *job)
{
	return is(job->kind, "attach") || is(job->kind, "rescore");
}

/* ---------- waiting for writers ---------- */

/* record_writers finds the transactions that hold a writer's lock on the score table. */
static void
record_writers(LsJobRun *run, Oid score_table)
{
	VirtualTransactionId *writers;
	LOCKTAG		tag;
	int			n;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, score_table);
	writers = GetLockConflicts(&tag, ShareRowExclusiveLock, &n);
	if (run->writers)
		pfree(run->writers);
	run->writers = MemoryContextAlloc(TopMemoryContext,
									  sizeof(VirtualTransactionId) * Max(1, n));
	memcpy(run->writers, writers, sizeof(VirtualTransactionId) * n);
	run->nwriters = n;
	run->looked = true;
}

/*
 * writers_ended tells whether the transactions that were writing when the phase began
 * have ended.
 */
static bool
writers_ended(LsJobRun *run, const LsJob *job)
{
	if (!run->looked)
		record_writers(run, ls_lead_score_table(job->model, false));
	while (run->nwriters > 0 &&
		   VirtualXactLock(run->writers[run->nwriters - 1], false))
		run->nwriters--;
	return run->nwriters == 0;
}

/* ---------- phases ---------- */

/* chunk_floor gives the smallest number of contacts in a chunk. */
static int
chunk_floor(const LsJob *job)
{
	double		contacts = ls_relation_estimate_rows(ls_lead_score_table(job->model, false));
	ListCell   *lc;

	foreach(lc, ls_lead_sources(job->model, NULL))
	{
		LsSourceRow *source = lfirst(lc);

		if (!ls_source_column_has_index(source->relation, get_attnum(source->relation, source->contact)))
			return Max(LEAST_LIMIT, Min(MOST_LIMIT * 10.0, contacts / FEW_CHUNKS));
	}
	return LEAST_LIMIT;
}

/*
 * recompute_pending enqueues recomputes of contacts that have pending changes: if their
 * events are deleted meanwhile the job does not find them, and the pending changes must
 * not be merged after that.
 */
static void
recompute_pending(const char *name)
{
	LsModel    *model = ls_model_acquire_to_write(name);

	if (model == NULL)
		return;
	ls_pending_again(model);
	ls_model_release(model);
}

/* begin gives the rules that wait for a backfill the versions of the backfill. */
static void
begin(LsJob *job)
{
	double		contacts = ls_relation_estimate_rows(ls_lead_score_table(job->model, false));
	bool		only_refresh = is(job->kind, "refresh");

	ls_job_take_over(job);
	ls_job_begin(job, only_refresh ? contacts : contacts * 2);
	if (recomputes_all(job))
		recompute_pending(job->model);
	if (!only_refresh)
	{
		ls_rule_versions_publish(job->model, is(job->kind, "rescore"));
		ls_model_change_version(job->model);
	}
	ls_job_advance(job, only_refresh ? "drain" : "wait", NIL);
}

/*
 * publish sets the rules that were backfilled in force, and requests a rescore of the
 * model's visitors, which have the same rules.
 */
static void
publish(LsJob *job)
{
	const char *visitors = ls_lead_visitors_model(job->model);
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, job->model);
	ls_extension_execute("UPDATE leadscore_internal.lead_rule"
						 " SET backfilled_version = backfilling_version, backfilling_version = NULL"
						 " WHERE model = $1 AND backfilling_version IS NOT NULL", &args);
	ls_model_change_version(job->model);
	if (visitors)
		(void) ls_job_request(visitors, "rescore", NULL);
}

/*
 * find_bounds gives contacts that divide the score table into ranges of about the same
 * size, from a sample.  Contacts without a row are in a range as well: the first has no
 * lower bound, the last no upper one.
 */
static List *
find_bounds(const char *name, double contacts)
{
	LsModel    *model = ls_model_acquire_to_write(name);
	int			ranges = Min(ls_job_workers * RANGES_A_PROCESS, contacts / RANGE_CONTACTS);
	SPITupleTable *rows;
	List	   *bounds = NIL;
	uint64		last = 0;

	if (model == NULL)
		return NIL;
	rows = ls_sql_query_as_owner(model->score_table,
								 psprintf("SELECT t.contact_id FROM %s t TABLESAMPLE pg_catalog.system (%.6f)"
										  " ORDER BY t.contact_id", ls_relation_qualified_name(model->score_table),
										  Min(100.0, 100.0 * SAMPLE / contacts)), NULL);
	for (int i = 1; i < ranges; i++)
	{
		uint64		at = rows->numvals * i / ranges;

		if (at == last)
			continue;
		last = at;
		bounds = lappend(bounds, ls_key_text(&model->key, ls_sql_value(rows, at, 1, NULL)));
	}
	ls_model_release(model);
	return bounds;
}

/* start_phase begins the backfill or the refresh, in several ranges if that pays. */
static void
start_phase(const LsJob *job, const LsJobRun *run)
{
	bool		backfill = is(job->phase, "wait");
	double		contacts = ls_relation_estimate_rows(ls_lead_score_table(job->model, false));
	/* without an index every chunk scans all rows, in whichever process */
	bool		shared = ls_job_workers > 1 && ls_job_rate == 0 && contacts >= FEWEST_CONTACTS &&
		!(backfill && run->floor > LEAST_LIMIT);

	ls_job_advance(job, backfill ? "backfill" : "refresh", shared ? find_bounds(job->model, contacts) : NIL);
}

/*
 * end_phase starts the next phase if all ranges of this one have ended; a range of
 * another process has not ended until that commits.  If another transaction has locked
 * the definitions, the backfill is published by a later step.
 */
static bool
end_phase(LsJob *job, LsJobRun *run, bool at_once)
{
	bool		backfill = is(job->phase, "backfill");
	LsJobRange	first;

	if (!ls_job_range_take_ended(job, at_once, &first))
		return false;
	ForceSyncCommit();
	if (run->range == 0)
		run->range = first.number;
	if (backfill && !ls_lock_definitions_if_free(job->model))
		return false;
	if (backfill)
		publish(job);
	ls_job_advance(job, backfill ? "drain" : "end", NIL);
	return true;
}

/* do_chunk processes the next contacts of a range. */
static void
do_chunk(LsJob *job, LsJobRun *run, const LsJobRange *range, int64 *contacts)
{
	LsChunk		chunk = {0};

	chunk.model = job->model;
	chunk.cause = recomputes_all(job) && is(job->phase, "backfill") ? "backfill" : "rule";
	chunk.whole = recomputes_all(job);
	chunk.limit = run->limit;
	chunk.position = range->position;
	chunk.last = range->last;
	if (is(job->phase, "backfill"))
		ls_recount_chunk(&chunk);
	else
		ls_recount_refresh_chunk(&chunk);
	*contacts = chunk.contacts;
	ls_job_range_progress(job, range, chunk.position, chunk.ended, chunk.contacts);
	if (chunk.ended && !run->helper)
		(void) end_phase(job, run, true);
}

/* ls_job_run_of gives what the process remembers of a model's job between steps. */
LsJobRun *
ls_job_run_of(const char *model)
{
	static List *all = NIL;
	MemoryContext old;
	Remembered *one;
	ListCell   *lc;

	foreach(lc, all)
		if (is(((Remembered *) lfirst(lc))->model, model))
			return &((Remembered *) lfirst(lc))->run;
	old = MemoryContextSwitchTo(TopMemoryContext);
	one = palloc0(sizeof(Remembered));
	strlcpy(one->model, model, NAMEDATALEN);
	all = lappend(all, one);
	MemoryContextSwitchTo(old);
	return &one->run;
}

/* turn_to resets what was remembered of another job, or of another phase. */
static void
turn_to(LsJobRun *run, const LsJob *job)
{
	if (run->job_id != job->job_id)
	{
		run->job_id = job->job_id;
		run->floor = chunk_floor(job);
		run->limit = Max(run->floor, FIRST_LIMIT);
		run->not_before = 0;
		run->phase[0] = '\0';
	}
	if (!is(run->phase, job->phase))
		run->looked = false;
	strlcpy(run->phase, job->phase, sizeof(run->phase));
}

/* do_step takes a range of a job and does the next step. */
static LsJobNext
do_step(LsJob *job, LsJobRun *run, bool at_once, int64 *contacts)
{
	bool		chunks = is(job->phase, "backfill") || is(job->phase, "refresh");
	LsJobRange	range;

	if (run->helper && !chunks)
		return LS_JOB_WAIT;
	if (!ls_job_range_take(job, at_once, run->avoid, &range))
		return !run->helper && end_phase(job, run, at_once) ? LS_JOB_MORE : LS_JOB_WAIT;
	run->range = range.number;
	/* a transaction that has locked the definitions comes first */
	if (is(job->phase, "start") ? !ls_lock_definitions_if_free(job->model) :
		!chunks && !writers_ended(run, job))
		return LS_JOB_WAIT;
	if (!chunks)
		ForceSyncCommit();
	if (chunks)
		do_chunk(job, run, &range, contacts);
	else if (is(job->phase, "start"))
		begin(job);
	else
		start_phase(job, run);
	return LS_JOB_MORE;
}

/*
 * ls_job_run_step does the next step of a model's job, in the caller's transaction,
 * which holds a writer's locks.  limit is the number of contacts; 0: see
 * ls_job_run_pace().
 */
LsJobNext
ls_job_run_step(const char *model, LsJobRun *run, int limit, int64 *contacts)
{
	LsJob	   *job = ls_job_open(model);
	LsJobNext	next;

	*contacts = 0;
	/* the range of a step that did not end, as an error was thrown */
	if (run->range > 0)
		run->avoid = run->range;
	run->range = 0;
	run->ranges_due = 0;
	if (job == NULL)
		return LS_JOB_NONE;
	turn_to(run, job);
	if (limit > 0)
		run->limit = limit;
	else if (run->not_before > GetCurrentTimestamp())
		return LS_JOB_WAIT;
	if (!run->helper)
		run->ranges_due = ls_job_ranges_due(job);
	next = do_step(job, run, limit > 0, contacts);
	run->range = 0;
	return next;
}

/*
 * ls_job_run_step_failed records the error of a step of a model's job, in the range
 * that the step has taken, or else in the first.
 */
void
ls_job_run_step_failed(const char *model, const LsJobRun *run, const char *error)
{
	LsJob	   *job = ls_job_open(model);

	if (job)
		ls_job_range_failed(job, Max(1, run->range), error);
}

/*
 * ls_job_run_pace chooses the size of the next chunk by the duration of the last, and
 * when it may begin.
 */
void
ls_job_run_pace(LsJobRun *run, int64 contacts, int64 milliseconds)
{
	if (contacts > 0 && milliseconds < CHUNK_MS / 2)
		run->limit = Min(Max(MOST_LIMIT, run->floor), run->limit * 2);
	else if (milliseconds > CHUNK_MS * 3 / 2)
		run->limit = Max(run->floor, run->limit / 2);
	if (contacts > 0 && ls_job_rate > 0)
		run->not_before = GetCurrentTimestamp() - milliseconds * 1000 +
			contacts * USECS_PER_SEC / ls_job_rate;
}

/* ---------- at once ---------- */

/* refresh_at_once brings the rows of a model up to date, and keeps writers away. */
static void
refresh_at_once(const char *model)
{
	LockRelationOid(ls_lead_score_table(model, false), ShareRowExclusiveLock);
	(void) ls_recount_refresh(model, "rule");
	ls_model_change_refreshed(model);
}

/*
 * ls_job_run_all does at once what a model's job is to do, under locks that keep
 * writers away.  The definitions are locked.
 */
void
ls_job_run_all(const char *model)
{
	LsJob	   *job = ls_job_open(model);
	const char *visitors = ls_lead_visitors_model(model);

	if (job == NULL)
		return;
	if (recomputes_all(job))
		(void) ls_recount_rescore(model, "backfill");
	else
	{
		ls_lock_sources(model);
		ls_recount_rules(model);
	}
	/* rules are backfilled for visitors, too, whose rows only the commit would refresh */
	if (visitors && !is(job->kind, "refresh"))
		refresh_at_once(visitors);
	refresh_at_once(model);
	ls_job_supersede(model);
}

/*
 * defer_backfill defers a backfill of a model to the end of the transaction.  The
 * tables that are read are locked already; the score tables are locked now, as by a
 * backfill.
 */
static void
defer_backfill(const char *model, bool all, bool by_user)
{
	const char *visitors = ls_lead_visitors_model(model);

	if (visitors)
		LockRelationOid(ls_lead_score_table(visitors, false), ShareRowExclusiveLock);
	LockRelationOid(ls_lead_score_table(model, false), ShareRowExclusiveLock);
	ls_model_change_backfill(model, all, by_user);
}

/*
 * ls_job_run_follow does what a command entails: recomputes everything, or backfills
 * the rules that wait for it, and has the rows refreshed.  A command that holds tables
 * has locked them in ACCESS EXCLUSIVE mode, and a session that waits for these may hold
 * others of the model.  So the others are not waited for: a job is requested instead.
 */
void
ls_job_run_follow(const char *model, bool all, bool backfill, bool holds_tables)
{
	const char *visitors = ls_lead_visitors_model(model);
	double		rows = all || backfill ? ls_rule_versions_size(model, all) : 0;

	if (!ls_job_pays(rows) && (!holds_tables || ls_lock_sources_if_free(model)))
	{
		ls_lock_sources(model);
		if (all || backfill)
			defer_backfill(model, all, false);
		return;
	}
	if (all)
		ls_job_run_announce(model, "rescore", "*", rows);
	else if (backfill)
		ls_job_run_announce(model, "backfill", NULL, rows);
	else
		(void) ls_job_request(model, "refresh", NULL);
	/* nor does the end of the transaction wait for the score table */
	ls_model_change_refreshed(model);
	if (visitors)
	{
		(void) ls_job_request(visitors, "refresh", NULL);
		ls_model_change_refreshed(visitors);
	}
}

/*
 * ls_job_run_rescore recomputes a model from its events: at once, or by a job if there
 * are many.
 */
void
ls_job_run_rescore(const char *model, const char *source)
{
	double		rows = ls_rule_versions_size(model, true);

	if (ls_job_pays(rows))
		ls_job_run_announce(model, "rescore", source ? source : "*", rows);
	else
		(void) ls_recount_rescore(model, "backfill");
}

/*
 * ls_job_run_backfill backfills the rules that wait for it: before commit, under locks
 * on what they read, or by a job.  True if a job was requested.
 */
bool
ls_job_run_backfill(const char *model)
{
	double		rows = ls_rule_versions_size(model, false);

	if (ls_job_pays(rows))
	{
		ls_model_change_record(model);
		ls_job_run_announce(model, "backfill", NULL, rows);
		return true;
	}
	/* tables are locked first, to avoid deadlocks with writers, which have locked them */
	ls_lock_sources(model);
	ls_model_change_record(model);
	defer_backfill(model, false, true);
	return false;
}

/* ls_job_run_announce requests a job, with a notice. */
void
ls_job_run_announce(const char *model, const char *kind, const char *source, double rows)
{
	int64		job = ls_job_request(model, kind, source);

	ereport(NOTICE,
			(is(kind, "backfill") ?
			 errmsg("rules of model \"%s\" are backfilled in the background by job " INT64_FORMAT,
					model, job) :
			 errmsg("contacts of model \"%s\" are recomputed in the background by job " INT64_FORMAT,
					model, job),
			 is(kind, "backfill") ?
			 errdetail("About %.0f rows have to be read.  The rules contribute nothing until they are backfilled.", rows) :
			 errdetail("About %.0f rows have to be read.", rows),
			 errhint("leadscore.lead_job shows its progress.  Without a worker, leadscore.refresh('%s') does the job at once.",
					 model)));
}

/*
 * ls_run_job is leadscore.run_job(): the next step of a model's job, in this
 * transaction, for databases without a worker.
 */
Datum
ls_run_job(PG_FUNCTION_ARGS)
{
	char	   *model = ls_sql_text_argument(fcinfo, 0, "model");
	LsJobRun   *run;
	LsJob	   *job;
	LsUser		saved;
	int64		contacts;

	PreventCommandIfReadOnly("run_job()");
	ls_sql_require_argument(fcinfo, 1, "contacts");
	if (PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("contacts must be at least 1")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("run_job() cannot be used under a transaction snapshot"),
				 errhint("Use it in a transaction of its own, at READ COMMITTED.")));
	(void) ls_rights_model(model, GetUserId());
	ls_lock_before_writing(model);
	LockRelationOid(ls_lead_score_table(model, false), RowExclusiveLock);
	run = ls_job_run_of(model);
	ls_user_switch(ls_extension_owner(), &saved);
	if (ls_job_run_step(model, run, PG_GETARG_INT32(1), &contacts) == LS_JOB_NONE)
	{
		ls_user_restore(&saved);
		PG_RETURN_NULL();
	}
	ls_user_restore(&saved);
	CommandCounterIncrement();
	job = ls_job_open(model);
	PG_RETURN_TEXT_P(cstring_to_text(job ? job->phase : "end"));
}
