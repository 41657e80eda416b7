/*-------------------------------------------------------------------------
 *
 * lead_tables.h
 *		The rows that a DBA writes, as they are stored in the tables.
 *
 * Reading takes a snapshot: NULL is the newest committed state (and the
 * transaction's own), which is what writers of scores need; readers give the
 * snapshot that they read with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LEAD_TABLES_H
#define LEADSCORE_LEAD_TABLES_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

typedef struct LsModelRow
{
	char	   *model;
	Oid			owner;			/* of the contact table; InvalidOid: there is none */
	Oid			accepted;		/* role of the accepted rules; InvalidOid: the row was restored */
	bool		suspended;		/* the rules are another owner's, and not accepted */
	Oid			contacts;
	char	   *key;
	char	   *created_at;		/* NULL: none */
	char	   *time_zone;
	double		max_drift;
	double		max_drift_ratio;
	double		min_score;		/* -infinity: none */
	double		max_score;		/* infinity: none */
	struct ErrorData *unreadable;	/* why it cannot rely on its contact table; NULL: it can */
	bool		enabled;		/* and neither of these */
	bool		switched_on;	/* suspended or not */
	int64		rules_version;
	bool		daily;
	char	   *visitors_of;	/* model whose visitors it scores; NULL: none */
	bool		restoring;		/* something of it may still come from a dump */
	int64		dump_number;	/* which dump_seq has when all has come */
} LsModelRow;

typedef struct LsCategoryRow
{
	char	   *category;
	int32		position;
	double		weight;
	double		min_points;		/* -infinity: none */
	double		max_points;		/* infinity: none */
} LsCategoryRow;

typedef struct LsSourceRow
{
	char	   *model;
	char	   *source;
	Oid			relation;
	char	   *contact;
	char	   *occurred_at;
	char	   *event;			/* NULL: none */
	char	   *time_zone;		/* NULL: the model's */
	char	   *visitor;		/* NULL: none */
	bool		keep;			/* events that are deleted stay in the scores */
	bool		queued;			/* changes are enqueued for the worker */
} LsSourceRow;

/* NULL pointers stand for NULL; the nulls of numbers have flags */
typedef struct LsRuleRow
{
	int64		rule_id;
	char	   *model;
	char	   *name;
	char	   *category;
	char	   *kind;
	char	   *source;
	char	   *event;
	char	   *condition;
	double		points;
	bool		points_null;
	char	   *weight;
	char	   *award;
	Interval   *time_frame;
	int32		at_least;
	bool		at_least_null;
	char	   *decay;
	Interval   *decay_interval;
	double		decay_keep;
	bool		decay_keep_null;
	double		max_points;
	bool		max_points_null;
	double		max_per_period;
	bool		max_per_period_null;
	Interval   *period;
	Interval   *idle;
	Interval   *max_gap;
	char	   *followed_by;
	char	   *followed_condition;
	char	   *followed_source;
	bool		negated;
	bool		disqualifies;
	bool		enabled;
	TimestampTz events_from;	/* DT_NOBEGIN: none */
	TimestampTz events_before;	/* DT_NOEND: none */
	int64		backfilled_version; /* 0: to be backfilled, or cannot be */
	bool		backfilled_version_null;
	bool		draft;
	int64		backfilling_version;	/* 0: no job is backfilling it */
	char	   *per;
	double		max_per;
	bool		max_per_null;
	char	   *tag;
	char	   *cancelled_by;
	char	   *cancelled_condition;
	char	   *cancelled_source;
	char	   *cancelled_per;
	char	   *followed_per;
	char	   *follows;
	char	   *holds_from;
	char	   *holds_until;
	List	   *members;		/* of char *, NULL for a null; NIL: none, or null */
	bool		members_null;
	List	   *unless;
	bool		unless_null;
} LsRuleRow;

/* ls_lead_rule_is_disabled tells whether a rule cannot be backfilled. */
static inline bool
ls_lead_rule_is_disabled(const LsRuleRow *rule)
{
	return !rule->backfilled_version_null && rule->backfilled_version == 0;
}

/* ls_lead_rule_cancels tells whether some rows cancel others of a rule. */
static inline bool
ls_lead_rule_cancels(const LsRuleRow *rule)
{
	return rule->cancelled_by || rule->cancelled_condition || rule->cancelled_source;
}

/* ls_lead_rule_version gives the version under which a rule is matched; 0: under none. */
static inline int64
ls_lead_rule_version(const LsRuleRow *rule)
{
	return rule->backfilling_version ? rule->backfilling_version : rule->backfilled_version;
}

/* A version of a rule, from when to when it was in force */
typedef struct LsRuleVersion
{
	LsRuleRow	rule;
	TimestampTz from;
	TimestampTz to;				/* DT_NOEND: it still is */
	int			nversions;
	int64	   *versions;		/* under which it was backfilled */
} LsRuleVersion;

/* What decides a score beside the rules, from when to when */
typedef struct LsModelVersion
{
	double		min_score;
	double		max_score;
	char	   *time_zone;
	List	   *categories;		/* of LsCategoryRow */
	TimestampTz from;
	TimestampTz to;				/* DT_NOEND: it still is */
} LsModelVersion;

typedef struct LsStageRow
{
	char	   *stage;
	int32		position;
	double		enter_at;
	double		leave_below;
	bool		leave_below_null;
	bool		sticky;
	char	   *condition;
} LsStageRow;

typedef struct LsGradeRow
{
	char	   *category;
	char	   *grade;
	double		min_points;
} LsGradeRow;

typedef struct LsActionRow
{
	int64		action_id;
	char	   *model;
	char	   *name;
	char	   *occasion;
	char	   *stage;			/* NULL: any, or none */
	double		score_level;
	bool		score_level_null;
	char	   *rule;
	List	   *causes;			/* of char *, NULL for a null; NIL: none */
	char	   *deliver;
	char	   *channel;		/* NULL: leadscore */
	char	   *function;
	Interval   *timeout;
	int32		max_attempts;	/* 0: null */
	bool		enabled;
} LsActionRow;

/* columns of leadscore_internal.lead_rule, in the table's order */
enum LsRuleColumn
{
	LS_RULE_ID = 1,
	LS_RULE_MODEL,
	LS_RULE_NAME,
	LS_RULE_CATEGORY,
	LS_RULE_KIND,
	LS_RULE_SOURCE,
	LS_RULE_EVENT,
	LS_RULE_CONDITION,
	LS_RULE_POINTS,
	LS_RULE_WEIGHT,
	LS_RULE_AWARD,
	LS_RULE_TIME_FRAME,
	LS_RULE_AT_LEAST,
	LS_RULE_DECAY,
	LS_RULE_DECAY_INTERVAL,
	LS_RULE_DECAY_KEEP,
	LS_RULE_MAX_POINTS,
	LS_RULE_MAX_PER_PERIOD,
	LS_RULE_PERIOD,
	LS_RULE_IDLE,
	LS_RULE_MAX_GAP,
	LS_RULE_FOLLOWED_BY,
	LS_RULE_FOLLOWED_CONDITION,
	LS_RULE_FOLLOWED_SOURCE,
	LS_RULE_NEGATED,
	LS_RULE_DISQUALIFIES,
	LS_RULE_ENABLED,
	LS_RULE_EVENTS_FROM,
	LS_RULE_EVENTS_BEFORE,
	LS_RULE_DESCRIPTION,
	LS_RULE_BACKFILLED_VERSION,
	LS_RULE_DRAFT,
	LS_RULE_BACKFILLING_VERSION,
	LS_RULE_PER,
	LS_RULE_MAX_PER,
	LS_RULE_TAG,
	LS_RULE_CANCELLED_BY,
	LS_RULE_CANCELLED_CONDITION,
	LS_RULE_CANCELLED_SOURCE,
	LS_RULE_CANCELLED_PER,
	LS_RULE_FOLLOWED_PER,
	LS_RULE_FOLLOWS,
	LS_RULE_HOLDS_FROM,
	LS_RULE_HOLDS_UNTIL,
	LS_RULE_MEMBERS,
	LS_RULE_UNLESS,
	LS_RULE_NCOLUMNS = LS_RULE_UNLESS
};

/* columns of lead_rule_history, which stand before LS_RULE_PER */
enum LsRuleHistoryColumn
{
	LS_RULE_VALID_FROM = LS_RULE_PER,
	LS_RULE_VALID_TO,
	LS_RULE_VERSIONS = LS_RULE_VALID_TO + 3,
	LS_RULE_HISTORY_ID
};

#define LS_RULE_NHISTORY_COLUMNS (LS_RULE_HISTORY_ID - LS_RULE_VALID_FROM + 1)

/*
 * Lists of pointers to the rows above, palloc'd in the current context.  A model
 * of visitors has the categories, rules, stages and grades of the model it belongs to.
 */
extern LsModelRow *ls_lead_model(const char *model, Snapshot snapshot);
extern List *ls_lead_models(Snapshot snapshot);
extern List *ls_lead_categories(const char *model, Snapshot snapshot);
extern List *ls_lead_sources(const char *model, Snapshot snapshot);	/* NULL: all */
extern LsSourceRow *ls_lead_source(const List *sources, const char *name);
extern List *ls_lead_rules(const char *model, Snapshot snapshot);
extern void ls_lead_rules_as_backfilled(List *rows);
extern List *ls_lead_rule_versions(const char *model, Snapshot snapshot);
extern List *ls_lead_model_versions(const char *model, Snapshot snapshot);
extern List *ls_lead_stages(const char *model, Snapshot snapshot);
extern List *ls_lead_grades(const char *model, Snapshot snapshot);
extern List *ls_lead_actions(const char *model, Snapshot snapshot);
extern void ls_lead_read_action(HeapTuple tuple, TupleDesc desc, LsActionRow *row);
extern void ls_lead_check_row(const char *table, HeapTuple tuple, TupleDesc desc);
extern void ls_lead_read_rule(HeapTuple tuple, TupleDesc desc, LsRuleRow *row);

extern Oid	ls_lead_score_table(const char *model, bool missing_ok);
extern Oid	ls_lead_key_type(const char *model);

extern const char *ls_lead_defining_model(const char *model, Snapshot snapshot);
extern bool ls_lead_row_differs(HeapTuple a, HeapTuple b, TupleDesc desc, int column);
extern char *ls_lead_visitors_model(const char *model);
extern bool ls_lead_interval_usec(const Interval *interval, int64 *usec);
extern List *ls_lead_category_names(const char *model);
extern List *ls_lead_stage_variables(const char *model);

#endif							/* LEADSCORE_LEAD_TABLES_H */
