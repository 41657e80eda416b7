/*-------------------------------------------------------------------------
 *
 * model_compile.h
 *		Compiled models: what a definition means, ready to be applied to rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MODEL_COMPILE_H
#define LEADSCORE_MODEL_COMPILE_H

#include "postgres.h"

#include "access/attmap.h"
#include "executor/tuptable.h"
#include "pgtime.h"
#include "utils/timestamp.h"

#include "base/decay.h"
#include "base/key.h"
#include "definitions/current_names.h"
#include "definitions/lead_tables.h"
#include "rules/expression.h"

typedef enum LsKind
{
	LS_EVENT,
	LS_ABSENCE,
	LS_SEQUENCE,
	LS_PROFILE,
	LS_COMBO
} LsKind;

#define LS_NKINDS	(LS_COMBO + 1)
extern const char *const ls_model_kind_names[LS_NKINDS];

/* How often an expression failed, and how it did the first time */
typedef struct LsFailures
{
	int64		number;			/* not yet reported */
	int			code;
	char	   *message;
	char	   *contact;		/* contact of the row, NULL: not known */
} LsFailures;

/* The rows that count, follow or cancel, as LsRuleTextRow says */
typedef struct LsRuleRows
{
	bool		read;			/* the rule has such rows */
	int			source;			/* index, or -1: every source, or none */
	char	   *event;			/* NULL: any */
} LsRuleRows;

typedef struct LsRule
{
	int64		rule_id;
	char	   *name;
	LsKind		kind;
	int			category;		/* index */
	int			source;			/* index, or -1: every source, or none */
	char	   *event;			/* NULL: any */
	LsExpr	   *condition;		/* NULL: always; it and the weight are the first ones below */
	LsExpr	   *weight;			/* NULL: 1 */
	bool		uncompiled;		/* its texts are compiled when the first event reaches it */
	double		points;
	bool		once;
	bool		enabled;
	bool		disqualifies;
	bool		draft;			/* shown, but gives no points yet */
	int64		at_least;
	LsDecay		decay;
	bool		bucketed;
	bool		local;			/* buckets lie in the model's time zone */
	int64		period;
	int64		time_frame;		/* 0: none */
	int64		span;			/* 0: none; else in periods */
	int64		frame;			/* 0: none; time_frame in periods */
	double		max_points;		/* infinity: none */
	double		max_per_period; /* infinity: none */
	int64		idle;
	TimestampTz events_from;
	TimestampTz events_before;
	int64		version;		/* of what it matches: key of its slot; 0: none */
	bool		skip;			/* matches no row: not backfilled, broken, not wanted */
	bool		backfilling;	/* a job backfills it: it matches, but gives no points */
	bool		watched;		/* an action waits for it to come into force */
	bool		plain;			/* each event adds points, without limits and periods */
	bool		keyed;			/* what a row counts depends on other rows: the next lines */
	bool		has_per;		/* rows count, cancel and follow by value */
	bool		latest_only;	/* of rows of equal value: per without max_per */
	bool		cancels;		/* some rows cancel others */
	bool		tagged;
	bool		negated;		/* sequence: what counts is that none follows */
	int64		max_gap;		/* of a sequence */
	double		max_per;		/* infinity: none */
	struct LsRule *follows;		/* the sequence whose counted events are followed; NULL: rows are */
	int			half_life;		/* index, of a sum that decays; else -1 */
	ErrorData  *broken;			/* why it could not be compiled */
	bool		broken_reported;
	LsFailures	failures;
	LsRuleRows	rows[LS_NROWS]; /* of the kinds that are read from sources */
	const char *texts[LS_RULE_NTEXTS];	/* what is meant, NULL: none */
	LsExpr	   *exprs[LS_RULE_NTEXTS];	/* ... compiled */
} LsRule;

/*
 * A half-life of rules of one category, and what it gives for the instants last asked
 * for: several rules ask for the same ones.
 */
typedef struct LsHalfLife
{
	int			category;
	int64		interval;
	TimestampTz fall_at;
	int64		number;			/* of the last landmark not after fall_at ... */
	TimestampTz landmark;		/* ... and its instant */
	double		fall;			/* ls_decay_half_life_fall(fall_at) */
	TimestampTz rise_at;
	TimestampTz rise_landmark;	/* the last one not after rise_at */
	double		rise;			/* ls_decay_half_life_rise(rise_at) */
} LsHalfLife;

typedef struct LsName
{
	const char *data;
	int			len;
} LsName;

/*
 * What rules gave for the last row of an event name, for the next one of a statement of
 * many rows, be it the same statement or a later one.  They are PostgreSQL's own immutable
 * functions of some columns: so they give the same where these are the same, byte by byte.
 */
typedef struct LsRowMemory
{
	bool		none;			/* nothing is remembered: rules are of others' functions */
	bool		filled;
	int			misses;			/* rows since one that was as remembered */
	int			pause;			/* rows to come for which it is not tried */
	int			ncolumns;		/* that rules of that name read */
	AttrNumber *columns;
	Datum	   *values;			/* of the row, passed by reference in room */
	bool	   *nulls;
	char	   *room;
	TimestampTz from;			/* events from then on, and ... */
	TimestampTz before;			/* ... before then reach the same rules */
	int			nmatches;
	struct LsMatch *matches;
} LsRowMemory;

/* A rule that a row may match */
typedef struct LsCandidate
{
	LsRule	   *rule;
	int			roles;			/* what the row may be to it */
	bool		named;			/* some event of the source has it among its own as well */
} LsCandidate;

typedef struct LsEventName
{
	LsName		name;
	uint32		hash;
	char		status;			/* simplehash */
	int			nrules;
	LsCandidate *rules;
	LsRowMemory *memory;		/* NULL: not made yet */
} LsEventName;

typedef struct LsSource
{
	char	   *name;
	Oid			relation;
	char	   *contact_column;
	char	   *time_column;
	char	   *event_column;	/* NULL: none */
	AttrNumber	contact_attno;
	AttrNumber	visitor_attno;
	pg_tz	   *tz;
	LsExpr	   *contact;		/* of the key's type */
	LsExpr	   *event;			/* text, or NULL */
	AttrNumber	time_attno;
	Oid			time_type;
	struct lsevent_hash *by_event;	/* rules that name an event */
	int			nanonymous;		/* rules that do not */
	LsCandidate *anonymous;
	int			max_matches;
	Bitmapset  *columns;		/* attribute numbers that rules need */
	bool		rules_wait;		/* rules may be compiled when they are reached ... */
	List	   *own_columns;	/* ... that do not mention these names */
	ErrorData  *broken;
	LsFailures	failures;		/* rows without a usable key */
	bool		unread;			/* nothing of it is wanted at present */
	char	   *visitor_column; /* NULL: none */
	char	   *unless_column;	/* of visitors: rows where it is set are not theirs */
	AttrNumber	unless_attno;
	bool		keep;			/* events that are deleted stay in the scores */
	bool		queued;			/* changes are enqueued for the worker */
	bool		index_known;	/* that of its first events was looked for: */
	Oid			first_index;	/* by contact and time; invalid: none */
	struct _SPI_plan *by_contact;	/* the reader's saved plans */
	struct _SPI_plan *by_visitor;
} LsSource;

typedef struct LsCategory
{
	char	   *name;
	double		weight;
	double		min_points;
	double		max_points;
	int			ngrades;		/* ascending */
	double	   *grade_min;
	char	  **grades;
} LsCategory;

typedef struct LsStage
{
	char	   *name;
	int32		position;
	double		enter_at;
	double		leave_below;
	bool		sticky;
	LsExpr	   *condition;
	ErrorData  *broken;
	LsFailures	failures;
} LsStage;

typedef struct LsModel
{
	MemoryContext context;
	int			refcount;		/* uses in this transaction */
	int			pins;			/* tables that capture has prepared */
	bool		stale;
	char	   *name;
	Oid			owner;
	struct ErrorData *suspended;	/* why no expression is run; NULL: they are */
	bool		former;			/* ... as the rules are the former owner's */
	struct ErrorData *fault;	/* an internal error came up: nothing is stored ... */
	TimestampTz fault_at;		/* ... for a while since then */
	bool		fault_reported;
	bool		unreadable;		/* ... as it cannot rely on its contact table */
	bool		by_roles;		/* whether its tables can be read depends on roles */
	Oid			contacts;
	Oid			score_table;
	char	   *key_column;
	char	   *created_column; /* NULL: none */
	AttrNumber	key_attno;
	AttrNumber	created_attno;
	Oid			created_type;
	ErrorData  *contacts_broken;
	LsReach		reach;			/* what its expressions, key and tables reach */
	pg_tz	   *tz;
	double		max_drift;
	double		max_drift_ratio;
	double		min_score;
	double		max_score;
	bool		restoring;		/* something of it may come from a dump */
	bool		enabled;
	int64		version;
	LsKeyType	key;
	LsExpr	   *contact_key;	/* key column of the contact table */
	LsFailures	key_failures;	/* its rows without a usable key */
	int			ncategories;
	LsCategory *categories;
	int			nsources;
	LsSource   *sources;
	int			nrules;
	LsRule	   *rules;			/* ascending by version */
	int			found;			/* index of the last one found by version */
	int			nuncompiled;	/* rules that are still to be compiled */
	struct lsshared_hash *shared;	/* their expressions, until all are compiled */
	int			nhalf_lives;
	LsHalfLife *half_lives;		/* no two are of the same category and length */
	int			nabsences;
	LsRule	  **absences;		/* rules that give points for inactivity */
	int			nprofiles;
	LsRule	  **profiles;
	int			nfailing;		/* rules and stages with failures to report */
	uint64		nfailed;		/* failures so far */
	bool		broken_reported;
	bool		rules_unreported;	/* rules may be broken that were not reported */
	uint64		warned_in;		/* transaction that was warned about purged contributions */
	bool		out_of_step;	/* rules are to be disabled, or enabled */
	int			nstages;
	LsStage    *stages;			/* ascending by position */
	bool		stages_read_contact;
	bool		staged;			/* a contact can change its stage */
	Bitmapset  *contact_columns;	/* that profile rules and stages need */
	List	   *actions;		/* of LsActionRow *: wait for events of contacts */
	bool		watches_rules;	/* ... of rules that come in force */
	int			nlevels;		/* ... of scores that reach or leave these */
	double	   *levels;			/* ascending */
	Oid			due_table;
	Oid			pending_table;
	Oid			profile_table;
	Oid			purged_table;
	char	   *visitors_of;	/* whose visitors it scores; NULL: none */
	uint64		rank;			/* in the order in which models are locked */
	Oid			merged_table;	/* invalid: it scores visitors */
	Oid			identity_table; /* of visitors, and the model they belong to */
	Oid			visitors_table; /* pending_<model> of visitors; InvalidOid: none */
	LsKeyType	visitor_key;	/* of the latter */
	Oid			target_type;	/* of the key of contacts that visitors are identified with */
	struct _SPI_plan *contact_by_key;	/* the reader's saved plan */
	int			score_natts;	/* columns of score_table, dropped ones included */
	int		   *score_columns;	/* columns of the categories, and the rest */
	int			score_top;		/* column top_score, or LS_SCORE_NOWHERE */
	double		top_from;		/* scores from which rows are written with it; infinity: none */
	int			score_nlive;	/* columns without the dropped ones ... */
	int		   *score_live;		/* ... and where these are */
	int			nformer;
	struct LsFormer *former_versions;	/* of its rules, see purged_table.c; NULL: not looked up */
} LsModel;

/*
 * A definition to be compiled in the place of the stored one, for evaluating events
 * and not states: every rule matches rows, whether it is backfilled or not.
 */
typedef struct LsModelDefinition
{
	List	   *rules;			/* of LsRuleRow */
	const LsModelVersion *limits;	/* NULL: those of the catalog */
} LsModelDefinition;

/* ls_rule_counts_events tells whether events count for a rule: rows, or what sequences make of them. */
static inline bool
ls_rule_counts_events(const LsRule *rule)
{
	return rule->kind == LS_EVENT || rule->kind == LS_SEQUENCE;
}

/* What a row is to a rule: it may be several of these to a keyed one */
#define LS_ROLE(row)	(1 << (row))
#define LS_ROLE_COUNTS	LS_ROLE(LS_ROW_OWN)	/* a row of E */
#define LS_ROLE_FOLLOWS	LS_ROLE(LS_ROW_FOLLOWER)
#define LS_ROLE_CANCELS	LS_ROLE(LS_ROW_CANCELLER)

/*
 * A value of per, followed_per or cancelled_per: equal where these are equal as their type's =
 * says, text bytewise.
 */
typedef struct LsRowValue
{
	uint64		high;
	uint64		low;
} LsRowValue;

/* What a match has besides where its rule is keyed */
typedef struct LsRowRoles
{
	int			roles;
	LsRowValue	counts;			/* by role: value under which it counts, ... */
	LsRowValue	follows;		/* ... follows, ... */
	LsRowValue	cancels;		/* ... cancels; 0 without per */
	int			ntags;
	char	  **tags;			/* no two equal */
} LsRowRoles;

/* What a row of a source has matched; one match a rule */
typedef struct LsMatch
{
	LsRule	   *rule;
	double		weight;
	LsRowRoles *roles;			/* of a keyed rule; else NULL */
} LsMatch;

/* One row of a source, seen by the rules */
typedef struct LsEvent
{
	Datum		contact;
	TimestampTz at;
	int			nmatches;
	LsMatch    *matches;		/* room for the source's max_matches */
} LsEvent;

extern LsModel *ls_model_acquire(const char *name, Snapshot snapshot);
extern LsModel *ls_model_acquire_lazily(const char *name);
extern LsModel *ls_model_acquire_to_write(const char *name);
extern LsModel *ls_model_to_change(const char *name, bool enabled);
extern LsModel *ls_model_load(const char *name, Snapshot snapshot);
extern LsModel *ls_model_load_lazily(const char *name, Snapshot snapshot);
extern LsModel *ls_model_load_definition(const char *name, Snapshot snapshot,
										 const LsModelDefinition *definition);
extern void ls_model_release(LsModel *model);
extern void ls_model_cache_forget(Oid relation);
extern void ls_model_cache_forget_reach(void);
extern void ls_model_cache_forget_rights(bool schemas);
extern void ls_model_cache_end_transaction(void);

extern void ls_model_derive_rule(const LsRuleRow *row, LsRule *rule);
extern char *ls_model_rule_signature(const LsRuleRow *row);
extern bool ls_match_source(LsModel *model, LsSource *source,
							TupleTableSlot *slot, ExprContext *econtext,
							LsEvent *event);
extern bool ls_match_source_of_many(LsModel *model, LsSource *source,
									TupleTableSlot *slot, ExprContext *econtext,
									LsEvent *event);
extern bool ls_match_source_known(LsModel *model, LsSource *source,
								  TupleTableSlot *slot, ExprContext *econtext,
								  Datum contact, LsEvent *event);
extern bool ls_match_contact(LsModel *model, LsSource *source, ExprContext *econtext,
							 Datum *contact);
extern bool ls_match_profile(LsModel *model, LsRule *rule, Datum contact,
							 ExprContext *econtext, double *weight);
extern void ls_row_roles_try(LsModel *model, const LsCandidate *candidate, uint64 row,
							 ExprContext *econtext, LsEvent *event);
extern bool ls_match_is_keyed(const LsEvent *event);
extern LsEvent *ls_match_copy_event(const LsEvent *event);
extern LsRowRoles *ls_row_roles_copy(const LsRowRoles *roles);
extern bool ls_match_condition(LsModel *model, LsRule *rule, LsExpr *condition, uint64 row,
							   ExprContext *econtext, Datum contact);
extern bool ls_match_weight(LsModel *model, LsRule *rule, uint64 row, ExprContext *econtext,
							Datum contact, double *weight);
extern bool ls_rule_take_texts(const LsRuleRow *row, LsRule *rule);
extern void ls_rule_link(LsModel *model, List *rows, const LsRuleRow *row, LsRule *rule);
extern LsExprUse ls_rule_text_use(int text);
extern ErrorData *ls_rule_types_error(LsExpr *const *exprs, const char *where);
extern bool ls_rule_is_fixed(const LsRule *rule);
extern LsExpr *ls_shared_parts_find(LsModel *model, LsExprUse use, Oid relation,
									const char *text);
extern void ls_shared_parts_add(LsModel *model, LsExprUse use, Oid relation, const char *text,
								LsExpr *expr);
extern void ls_shared_parts_set(LsModel *model);
extern ErrorData *ls_rule_make_error(int code, const char *message);
extern LsExpr *ls_rule_try_expression(LsModel *model, const LsExprSpec *spec,
									  ErrorData **error);
extern void ls_rule_need_columns(Bitmapset **columns, const LsExpr *expr);
extern void ls_rule_let_wait(const LsModel *model, LsSource *source, Relation rel);
extern bool ls_rule_can_wait(const LsModel *model, const LsRule *rule);
extern void ls_rule_compile(LsModel *model, LsRule *rule);
extern void ls_rule_compile_late(LsModel *model, LsRule *rule);
extern void ls_rule_compile_rest(LsModel *model);
extern LsRule *ls_model_search_rule(LsModel *model, int64 version);
extern LsSource *ls_model_source_by_name(LsModel *model, const char *name);
extern void ls_match_index_source(LsModel *model, LsSource *source);
extern void ls_rule_failed(LsModel *model, LsRule *rule, ErrorData *error,
						   const Datum *contact);
extern void ls_rule_failure_of_key(LsModel *model, LsSource *source, ErrorData *error);
extern void ls_rule_failure_of_stage(LsModel *model, LsStage *stage, ErrorData *error);
extern void ls_rule_failure_set_fault(LsModel *model, const ErrorData *error);
extern bool ls_rule_failure_fault_over(const LsModel *model);
extern void ls_rule_failure_refuse_suspended(const LsModel *model);
extern void ls_rule_failure_report_broken(LsModel *model);
extern void ls_rule_failure_report_fault(const LsModel *model, int level);
extern bool ls_match_instant(Datum value, Oid type, pg_tz *tz, TimestampTz *t);
extern int64 ls_rule_bucket(const LsModel *model, const LsRule *rule,
							TimestampTz t);
extern TimestampTz ls_rule_bucket_start(const LsModel *model, const LsRule *rule,
										int64 bucket);
extern TimestampTz ls_match_next_zone_change(TimestampTz t, pg_tz *tz);

/*
 * ls_model_rule_by_version finds the rule whose slot has this version, or NULL.
 * Slots are in the order of rules: mostly it is the one after the last found.
 */
static inline LsRule *
ls_model_rule_by_version(LsModel *model, int64 version)
{
	int			next = model->found + 1;

	if (likely(next < model->nrules && model->rules[next].version == version))
	{
		model->found = next;
		return &model->rules[next];
	}
	return ls_model_search_rule(model, version);
}

extern void ls_rule_failure_define(void);

/* leadscore.rule_error_retention */
extern int	ls_rule_error_retention;

#endif							/* LEADSCORE_MODEL_COMPILE_H */
