/*-------------------------------------------------------------------------
 *
 * rule_failure.c
 *		Expressions that fail: which errors are theirs, how they are told.
 *
 * A rule that fails on a row is skipped for the row, and the statement goes on.
 * While rows are looked at failures are only counted; ls_rules_report() tells of
 * them when a statement, or a batch, is done: as a warning, and as a row of
 * lead_rule_error, of each at most one a minute for each rule and session, until
 * the model is changed.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/error.h"
#include "base/leadscore.h"
#include "base/user.h"
#include "definitions/contact_table.h"
#include "definitions/extension.h"
#include "rules/disclosure.h"
#include "tables/pending_table.h"
#include "tables/score_table.h"

/* how often one session warns of what still fails, and writes it down */
#define REPORT_EVERY	(60 * LS_SECOND)

/* how many old rows are deleted on such an occasion */
#define PURGE_ROWS		100

/* ---------- noting ---------- */

static void
set_text(LsModel *model, char **to, const char *text)
{
	if (*to)
		pfree(*to);
	*to = text ? MemoryContextStrdup(model->context, text) : NULL;
}

/*
 * note_failure counts a failure, on the row of a contact (NULL: not known).  The
 * first is kept to be reported; the others must not cost anything, least of all
 * memory.
 */
static void
note_failure(LsModel *model, LsFailures *failures, ErrorData *error, const Datum *contact)
{
	if (failures->number++ > 0)
		return;
	model->nfailing++;
	failures->code = error->sqlerrcode;
	set_text(model, &failures->message, error->message);
	set_text(model, &failures->contact, contact ? ls_key_text(&model->key, *contact) : NULL);
}

/* ---------- internal errors ---------- */

/* how long nothing of a model is stored after one, unless it is compiled again */
#define FAULT_LASTS		(60 * LS_SECOND)

/*
 * ls_model_set_fault notes that something is not as it should be in what a model is
 * made of, if that is what an error says.  What it computes is not trusted then: rows
 * that come are left to be counted later (pending_table.c), nothing is stored, until the
 * model is compiled again: when it, or a function of it, is changed, by another
 * session, and after a while by this one.
 */
void
ls_model_set_fault(LsModel *model, const ErrorData *error)
{
	MemoryContext old;

	if (model->fault || ls_error_class(error->sqlerrcode) != LS_ERROR_INTERNAL)
		return;
	old = MemoryContextSwitchTo(model->context);
	model->fault = palloc0(sizeof(ErrorData));
	model->fault->sqlerrcode = error->sqlerrcode;
	model->fault->message = pstrdup(error->message ? error->message : "");
	model->fault_at = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
}

/* ls_model_fault_over tells whether a model is to be compiled again after one. */
bool
ls_model_fault_over(const LsModel *model)
{
	TimestampTz now;

	if (likely(model->fault == NULL))
		return false;
	now = GetCurrentTimestamp();
	return now < model->fault_at || now - model->fault_at >= FAULT_LASTS;
}

/* fault_report says so, as a warning or an error. */
static void
fault_report(const LsModel *model, int level)
{
	bool		told = ls_may_see_table(model->owner, InvalidOid);

	ereport(level,
			(errcode(model->fault->sqlerrcode),
			 errmsg("model \"%s\" is suspended", model->name),
			 told ? errdetail("Nothing of it is stored after an internal error: %s.", model->fault->message) :
			 errdetail("Nothing of it is stored after an internal error, SQLSTATE %s.",
					   unpack_sql_state(model->fault->sqlerrcode)),
			 errhint("Rows that come meanwhile are counted later. It goes on when the model or a function of it is changed, and is tried again after a minute.")));
}

/*
 * ls_model_leaves tells whether a contact was left to be counted later, as an internal
 * error has come up, maybe while it was counted.  An application's statement is not to
 * fail for that (deferrable); whoever comes to count is told.
 */
bool
ls_model_leaves(LsModel *model, Datum contact, bool deferrable)
{
	if (likely(model->fault == NULL))
		return false;
	if (!deferrable)
		fault_report(model, ERROR);
	ls_pending_add_one(model, contact, NULL, false);
	return true;
}

/* ls_rule_failed notes that a rule could not be evaluated on a row. */
void
ls_rule_failed(LsModel *model, LsRule *rule, ErrorData *error, const Datum *contact)
{
	if (ls_rule_error == LS_RULE_ERROR_ERROR)
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 ls_may_see_rule(model, rule) ?
				 errmsg("rule \"%s\" of model \"%s\" failed: %s",
						rule->name, model->name, error->message) :
				 errmsg("rule \"%s\" of model \"%s\" failed with SQLSTATE %s",
						rule->name, model->name, unpack_sql_state(error->sqlerrcode)),
				 errhint("With leadscore.rule_error = 'warning' the rule is skipped for such rows.")));
	ls_model_set_fault(model, error);
	note_failure(model, &rule->failures, error, contact);
}

/*
 * ls_key_failed notes a row of a source, or of the contact table where it is NULL, of
 * which no key can be made.  That is never an error either: it is nobody's.
 */
void
ls_key_failed(LsModel *model, LsSource *source, ErrorData *error)
{
	ls_model_set_fault(model, error);
	note_failure(model, source ? &source->failures : &model->key_failures, error, NULL);
}

/*
 * ls_stage_failed notes that a stage's condition could not be evaluated.  That
 * is never an error: it is looked at when rows are read, too.
 */
void
ls_stage_failed(LsModel *model, LsStage *stage, ErrorData *error)
{
	ls_model_set_fault(model, error);
	note_failure(model, &stage->failures, error, NULL);
}

/* ---------- how often it is told ---------- */

typedef enum What
{
	RULE,
	BROKEN_RULE,
	STAGE,
	KEYS						/* of a source, or of the contact table */
} What;

/* What failed, for all the time that a session lives */
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
	int64		unwarned;		/* failures since then */
	int64		unrecorded;
} Report;

static HTAB *reports = NULL;

/*
 * report_of finds what the session has told already of something.  When the model
 * was changed, whoever changed it wants to know whether it still fails.
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

/* is_time tells whether something is to be told again, and notes that it is. */
static bool
is_time(TimestampTz *told_at)
{
	TimestampTz now = GetCurrentTimestamp();

	/* the clock may have been put back */
	if (*told_at != 0 && now >= *told_at && now - *told_at < REPORT_EVERY)
		return false;
	*told_at = now;
	return true;
}

/* ---------- telling ---------- */

/*
 * stored_text gives the text of a contact's key as the score table has it, where it has
 * a row: of several texts that the key can have, this is the one that is shown.
 */
static const char *
stored_text(LsModel *model, const char *text)
{
	LsScoreRow	row;
	bool		found;

	if (text == NULL || model->key.foreign_text)
		return text;
	PushActiveSnapshot(GetLatestSnapshot());
	found = ls_row_find(model, ls_key_read(&model->key, text), &row);
	PopActiveSnapshot();
	return found ? ls_key_text(&model->key, row.contact) : text;
}

/*
 * ls_rule_error_write writes failures down for the view rule_errors; rule_id is 0 for
 * what is not a rule.  They have the time of the day, by which they are deleted.
 */
void
ls_rule_error_write(const char *model, int64 rule_id, const char *name, int64 number,
					const ErrorData *error, const char *contact)
{
	static const char *sql =
		"INSERT INTO leadscore_internal.lead_rule_error"
		" VALUES ($1, CASE WHEN $2 OPERATOR(pg_catalog.<>) 0 THEN $2 END, $3, pg_catalog.clock_timestamp(), $4, $5, $6, $7)";
	LsSqlArguments args = {0};
	LsUser	saved;

	ls_sql_add_text(&args, model);
	ls_sql_add(&args, INT8OID, Int64GetDatum(rule_id));
	ls_sql_add_text(&args, name);
	ls_sql_add(&args, INT8OID, Int64GetDatum(number));
	ls_sql_add_text(&args, unpack_sql_state(error->sqlerrcode));
	ls_sql_add_text(&args, error->message);
	ls_sql_add_text(&args, contact);
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute(sql, &args);
	ls_user_restore(&saved);
}

/*
 * ls_rule_failure_purge deletes rows of lead_rule_error that are no longer to be kept, but
 * none that another session is deleting, nor what tells why a rule that still sleeps fell
 * asleep.
 */
int64
ls_rule_failure_purge(int limit)
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

/* record writes failures down, where this transaction may write. */
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
	/* there may be no worker; a transaction snapshot may not see what is deleted already */
	if (!IsolationUsesXactSnapshot())
		(void) ls_rule_failure_purge(PURGE_ROWS);
}

/*
 * warn_of_rule warns of a rule that failed, or cannot be evaluated at all.  What it
 * read is told to those only who may read it as well.
 */
static void
warn_of_rule(LsModel *model, LsRule *rule, int64 number)
{
	const LsFailures *failures = &rule->failures;

	if (ls_may_see_rule(model, rule))
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
				 errhint("Who manages the model finds more in the view leadscore.rule_errors.")));
}

static void
report_rule(LsModel *model, LsRule *rule)
{
	Report	   *report = report_of(model, rule->broken ? BROKEN_RULE : RULE, rule->rule_id, "");

	report->unwarned += rule->failures.number;
	/* of a suspended model report_suspended has said it of all */
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
	else if (ls_may_see_stage(model, stage))
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
				 errhint("Who manages the model finds more in the view leadscore.rule_errors.")));
	record(model, failures, report, 0, psprintf("stage %s", stage->name));
}

/* report_keys warns of rows that are nobody's. */
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
				 errmsg_plural(INT64_FORMAT " row of table \"%s\" counts for nobody in model \"%s\"",
							   INT64_FORMAT " rows of table \"%s\" count for nobody in model \"%s\"",
							   report->unwarned, report->unwarned, get_rel_name(relation), model->name),
				 ls_may_see_table(model->owner, relation) || failures->code == ERRCODE_PROGRAM_LIMIT_EXCEEDED ?
				 errdetail("No contact can be made of column \"%s\": %s.",
						   source ? source->contact_column : model->key_column, failures->message) :
				 errdetail("No contact can be made of column \"%s\": SQLSTATE %s.",
						   source ? source->contact_column : model->key_column,
						   unpack_sql_state(failures->code))));
		report->unwarned = 0;
	}
	record(model, failures, report, 0, name);
}

/* suspended_hint says what to do about a model of which nothing is run. */
static int
suspended_hint(const LsModel *model)
{
	if (model->unreadable)
		return errhint("%s", model->suspended->hint);
	if (!model->former)
		return errhint("Mend that, then call leadscore.rescore('%s').",
					   model->visitors_of ? model->visitors_of : model->name);
	return errhint("Look at its rules, stages and actions, and accept them with UPDATE leadscore.lead_model SET enabled = true WHERE model = '%s'.",
				   model->visitors_of ? model->visitors_of : model->name);
}

/* suspended_detail says why, to those who may be told. */
static int
suspended_detail(const LsModel *model)
{
	if (!model->former && !ls_may_see_table(model->owner, InvalidOid))
		return errdetail("Nothing of it is run: SQLSTATE %s.", unpack_sql_state(model->suspended->sqlerrcode));
	if (model->unreadable)
		return errdetail("Nothing is counted, and the scores stay as they are: %s.",
						 model->suspended->message);
	return errdetail("Nothing of it is run: %s.", model->suspended->message);
}

/*
 * ls_check_not_suspended refuses to compare what a model has stored with what its
 * rules give while they are not run.
 */
void
ls_check_not_suspended(const LsModel *model)
{
	if (model->suspended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is suspended", model->name),
				 suspended_detail(model),
				 suspended_hint(model)));
	if (model->fault)
		fault_report(model, ERROR);
}

static void
report_suspended(const LsModel *model)
{
	ereport(WARNING,
			(errcode(model->suspended->sqlerrcode),
			 errmsg("model \"%s\" is suspended", model->name),
			 suspended_detail(model),
			 suspended_hint(model)));
}

/*
 * ls_rules_report warns of the rules and stages that failed since the last
 * report, and once of those rules that could not be compiled.
 */
void
ls_rules_report(LsModel *model)
{
	/* it may be mended before the transaction commits, and is told then */
	if (model->unreadable && ls_contacts_undecided)
		return;
	if (!model->broken_reported)
	{
		model->broken_reported = true;
		if (model->suspended)
			report_suspended(model);
		for (int i = 0; i < model->nrules; i++)
			if (model->rules[i].broken && model->rules[i].version != 0)
				ls_rule_failed(model, &model->rules[i], model->rules[i].broken, NULL);
		for (int i = 0; i < model->nstages && model->suspended == NULL; i++)
			if (model->stages[i].broken)
				ls_stage_failed(model, &model->stages[i], model->stages[i].broken);
	}
	if (unlikely(model->fault != NULL) && !model->fault_reported)
	{
		model->fault_reported = true;
		fault_report(model, WARNING);
	}
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

int			ls_rule_error = LS_RULE_ERROR_WARNING;
int			ls_rule_error_retention = 30;

static const struct config_enum_entry rule_error_options[] = {
	{"warning", LS_RULE_ERROR_WARNING, false},
	{"error", LS_RULE_ERROR_ERROR, false},
	{NULL, 0, false}
};

void
ls_rule_failure_define(void)
{
	DefineCustomEnumVariable("leadscore.rule_error",
							 "What happens to a statement when a rule fails on one of its rows.",
							 "warning: the rule is skipped for the row and the failure is recorded; error: the statement fails.",
							 &ls_rule_error, LS_RULE_ERROR_WARNING,
							 rule_error_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.rule_error_retention",
							"How many days failures of rules are kept, which rule_errors sums up.",
							"-1: for ever.",
							&ls_rule_error_retention, 30, -1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}
