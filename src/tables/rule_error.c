/*-------------------------------------------------------------------------
 *
 * rule_error.c
 *		Failures of expressions, reported and recorded.
 *
 * While rows are evaluated failures are only counted (rule_failure.c).
 * ls_rule_error_report() reports them at the end of a statement or a batch: as a
 * warning, and as a row of lead_rule_error, each at most once a minute for each rule
 * and session, until the model is changed.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/rule_error.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

#include "base/sql.h"
#include "definitions/contact_table.h"
#include "definitions/extension.h"
#include "rules/disclosure.h"
#include "scoring/score_row.h"
#include "tables/score_table.h"

/* how often one session reports and records the same failure */
#define REPORT_EVERY	(60 * LS_SECOND)

/* how many old rows are deleted when one is recorded */
#define PURGE_ROWS		100

typedef enum What
{
	RULE,
	BROKEN_RULE,
	STAGE,
	KEYS						/* of a source, or of the contact table */
} What;

/* What one session has reported, for as long as it lives */
typedef struct ReportKey
{
	Oid			score_table;	/* of the model */
	int32		what;
	int64		rule_id;		/* 0: none */
	uint64		name;			/* hash of it, where it has no number */
} ReportKey;

typedef struct Report
{
	ReportKey	key;
	int64		version;		/* of the model */
	TimestampTz warned_at;
	TimestampTz recorded_at;
	int64		unwarned;		/* failures not recorded yet */
	int64		unrecorded;
} Report;

static HTAB *reports = NULL;

/*
 * report_of finds what the session has reported about something.  A change of the model
 * resets it, so that the session that changed it is told if it still fails.
 */
static Report *
report_of(const LsModel *model, What what, int64 rule_id, const char *name)
{
	ReportKey	key = {0};
	Report	   *report;
	bool		found;

	if (reports == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(ReportKey);
		ctl.entrysize = sizeof(Report);
		reports = hash_create("leadscore failures", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	key.score_table = model->score_table;
	key.what = what;
	key.rule_id = rule_id;
	key.name = hash_bytes_extended((const unsigned char *) name, strlen(name), 0);
	report = hash_search(reports, &key, HASH_ENTER, &found);
	if (!found || report->version != model->version)
	{
		memset((char *) report + sizeof(ReportKey), 0, sizeof(Report) - sizeof(ReportKey));
		report->version = model->version;
	}
	return report;
}

/* is_time tells whether a failure is to be reported again, and remembers when. */
static bool
is_time(TimestampTz *told_at)
{
	TimestampTz now = GetCurrentTimestamp();

	/* the clock may have been set back */
	if (*told_at != 0 && now >= *told_at && now - *told_at < REPORT_EVERY)
		return false;
	*told_at = now;
	return true;
}

/*
 * stored_text gives the text of a contact's key as in the contact's row of the score
 * table, if there is one: several texts may be equal as keys, and that one is shown.
 */
static const char *
stored_text(LsModel *model, const char *text)
{
	LsScoreRow	row;
	bool		found;

	if (text == NULL || model->key.foreign_text)
		return text;
	found = ls_score_table_find_newest(model, ls_key_read(&model->key, text), &row);
	return found ? ls_key_text(&model->key, row.contact) : text;
}

/*
 * ls_rule_error_write inserts a row of lead_rule_error, which the view rule_errors
 * shows; rule_id is 0 for what is not a rule.  Its instant is the real time, by which
 * it is deleted.
 */
void
ls_rule_error_write(const char *model, int64 rule_id, const char *name, int64 number,
					const ErrorData *error, const char *contact)
{
	static const char *sql =
		"INSERT INTO leadscore_internal.lead_rule_error"
		" VALUES ($1, CASE WHEN $2 <> 0 THEN $2 END, $3, clock_timestamp(), $4, $5, $6, $7)";
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_sql_add(&args, INT8OID, Int64GetDatum(rule_id));
	ls_sql_add_text(&args, name);
	ls_sql_add(&args, INT8OID, Int64GetDatum(number));
	ls_sql_add_text(&args, unpack_sql_state(error->sqlerrcode));
	ls_sql_add_text(&args, error->message);
	ls_sql_add_text(&args, contact);
	ls_extension_execute(sql, &args);
}

/*
 * ls_rule_error_purge deletes rows of lead_rule_error that are older than the
 * retention, except rows that another session is deleting, and errors of a rule that is
 * still disabled.
 */
int64
ls_rule_error_purge(int limit)
{
	LsSqlArguments args = {0};

	if (ls_rule_error_retention < 0)
		return 0;
	ls_sql_add(&args, TIMESTAMPTZOID,
			   TimestampTzGetDatum(GetCurrentTimestamp() - ls_rule_error_retention * USECS_PER_DAY));
	ls_sql_add(&args, INT4OID, Int32GetDatum(limit));
	return ls_extension_execute("DELETE FROM leadscore_internal.lead_rule_error"
								" WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
								"SELECT e.ctid FROM leadscore_internal.lead_rule_error e"
								" WHERE e.failed_at OPERATOR(pg_catalog.<) $1"
								" AND NOT EXISTS (SELECT FROM leadscore_internal.lead_rule r"
								" WHERE r.rule_id OPERATOR(pg_catalog.=) e.rule_id"
								" AND r.backfilled_version OPERATOR(pg_catalog.=) 0)"
								" ORDER BY e.failed_at LIMIT $2 FOR UPDATE OF e SKIP LOCKED))", &args);
}

/* record records failures, unless the transaction is read-only. */
static void
record(LsModel *model, const LsFailures *failures, Report *report, int64 rule_id, const char *name)
{
	ErrorData	error = {0};

	report->unrecorded += failures->number;
	if (XactReadOnly || !is_time(&report->recorded_at))
		return;
	error.sqlerrcode = failures->code;
	error.message = failures->message;
	ls_rule_error_write(model->name, rule_id, name, report->unrecorded, &error,
						stored_text(model, failures->contact));
	report->unrecorded = 0;
	/*
	 * there may be no worker; under a transaction snapshot the DELETE could fail with
	 * 40001
	 */
	if (!IsolationUsesXactSnapshot())
		(void) ls_rule_error_purge(PURGE_ROWS);
}

/*
 * warn_of_rule warns of a rule that failed, or cannot be evaluated at all.  The values
 * that it read are shown only to a role that may read them.
 */
static void
warn_of_rule(LsModel *model, LsRule *rule, int64 number)
{
	const LsFailures *failures = &rule->failures;

	if (ls_disclosure_may_see_rule(model, rule))
		ereport(WARNING,
				(errcode(failures->code),
				 rule->broken ?
				 errmsg("rule \"%s\" of model \"%s\" is skipped: %s",
						rule->name, model->name, failures->message) :
				 errmsg("rule \"%s\" of model \"%s\" failed and was skipped: %s",
						rule->name, model->name, failures->message),
				 failures->contact ?
				 errdetail_plural("It failed on " INT64_FORMAT " row, of contact %s.",
								  "It failed on " INT64_FORMAT " rows, first of contact %s.",
								  number, number, failures->contact) : 0,
				 errhint("See the view leadscore.rule_errors.")));
	else
		ereport(WARNING,
				(errcode(failures->code),
				 errmsg("rule \"%s\" of model \"%s\" failed with SQLSTATE %s and was skipped",
						rule->name, model->name, unpack_sql_state(failures->code)),
				 errhint("Members of the role that owns the model find more in the view leadscore.rule_errors.")));
}

static void
report_rule(LsModel *model, LsRule *rule)
{
	Report	   *report = report_of(model, rule->broken ? BROKEN_RULE : RULE, rule->rule_id, "");

	report->unwarned += rule->failures.number;
	/* for a suspended model report_suspended has warned of all rules */
	if (model->suspended == NULL && is_time(&report->warned_at))
	{
		warn_of_rule(model, rule, report->unwarned);
		report->unwarned = 0;
	}
	record(model, &rule->failures, report, rule->rule_id, rule->name);
}

/* report_stage warns of a stage whose condition failed. */
static void
report_stage(LsModel *model, LsStage *stage)
{
	LsFailures *failures = &stage->failures;
	Report	   *report = report_of(model, STAGE, 0, stage->name);

	if (!is_time(&report->warned_at))
		 /* said already */ ;
	else if (ls_disclosure_may_see_stage(model, stage))
		ereport(WARNING,
				(errcode(failures->code),
				 errmsg("the condition of stage \"%s\" of model \"%s\" failed and counts as false: %s",
						stage->name, model->name, failures->message),
				 errhint("See the view leadscore.rule_errors.")));
	else
		ereport(WARNING,
				(errcode(failures->code),
				 errmsg("the condition of stage \"%s\" of model \"%s\" failed with SQLSTATE %s and counts as false",
						stage->name, model->name, unpack_sql_state(failures->code)),
				 errhint("Members of the role that owns the model find more in the view leadscore.rule_errors.")));
	record(model, failures, report, 0, psprintf("stage %s", stage->name));
}

/* report_keys warns of rows that have no contact. */
static void
report_keys(LsModel *model, LsSource *source)
{
	LsFailures *failures = source ? &source->failures : &model->key_failures;
	Oid			relation = source ? source->relation : model->contacts;
	char	   *name = source ? psprintf("source %s", source->name) : "contacts";
	Report	   *report = report_of(model, KEYS, 0, name);

	report->unwarned += failures->number;
	if (is_time(&report->warned_at))
	{
		ereport(WARNING,
				(errcode(failures->code),
				 errmsg_plural("ignoring " INT64_FORMAT " row of table \"%s\" in model \"%s\"",
							   "ignoring " INT64_FORMAT " rows of table \"%s\" in model \"%s\"",
							   report->unwarned, report->unwarned, get_rel_name(relation), model->name),
				 ls_disclosure_may_see_table(model->owner, relation) || failures->code == ERRCODE_PROGRAM_LIMIT_EXCEEDED ?
				 errdetail("No contact can be made of column \"%s\": %s.",
						   source ? source->contact_column : model->key_column, failures->message) :
				 errdetail("No contact can be made of column \"%s\": SQLSTATE %s.",
						   source ? source->contact_column : model->key_column,
						   unpack_sql_state(failures->code))));
		report->unwarned = 0;
	}
	record(model, failures, report, 0, name);
}

/*
 * ls_rule_error_report warns of the rules and stages that failed since the last
 * report, and once of those that could not be compiled.
 */
void
ls_rule_error_report(LsModel *model)
{
	/* it may be corrected before the transaction commits, and is reported then */
	if (model->unreadable && ls_contacts_undecided)
		return;
	ls_rule_failure_report_broken(model);
	if (model->nfailing == 0)
		return;
	for (int i = 0; i < model->nrules; i++)
	{
		if (model->rules[i].failures.number > 0)
			report_rule(model, &model->rules[i]);
		model->rules[i].failures.number = 0;
	}
	for (int i = 0; i < model->nstages; i++)
	{
		if (model->stages[i].failures.number > 0)
			report_stage(model, &model->stages[i]);
		model->stages[i].failures.number = 0;
	}
	for (int i = -1; i < model->nsources; i++)
	{
		LsSource   *source = i < 0 ? NULL : &model->sources[i];
		LsFailures *failures = source ? &source->failures : &model->key_failures;

		if (failures->number > 0)
			report_keys(model, source);
		failures->number = 0;
	}
	model->nfailing = 0;
}
