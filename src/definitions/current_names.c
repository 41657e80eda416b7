/*-------------------------------------------------------------------------
 *
 * current_names.c
 *		The newest texts of definitions that are read with an older snapshot.
 *
 * Once a command has renamed a table, column or label, every session sees the new
 * name, whatever its snapshot; the texts of rules that the snapshot shows may have
 * the old one.  A rule that is backfilled under the same version matches the same
 * rows, so its newest texts are read instead; lead_rule_history has them where the
 * rule has been changed since.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/current_names.h"

#include "utils/lsyscache.h"

/* ---------- expressions of rules ---------- */

/* The columns of rules that have expressions */
const LsRuleText ls_current_names_texts[LS_RULE_NTEXTS] = {
	{"condition", LS_ROW_OWN, offsetof(LsRuleRow, condition)},
	{"weight", LS_ROW_OWN, offsetof(LsRuleRow, weight)},
	{"followed_condition", LS_ROW_FOLLOWER, offsetof(LsRuleRow, followed_condition)},
	{"per", LS_ROW_OWN, offsetof(LsRuleRow, per)},
	{"tag", LS_ROW_OWN, offsetof(LsRuleRow, tag)},
	{"cancelled_condition", LS_ROW_CANCELLER, offsetof(LsRuleRow, cancelled_condition)},
	{"cancelled_per", LS_ROW_CANCELLER, offsetof(LsRuleRow, cancelled_per)},
	{"followed_per", LS_ROW_FOLLOWER, offsetof(LsRuleRow, followed_per)},
	{"holds_from", LS_ROW_OWN, offsetof(LsRuleRow, holds_from)},
	{"holds_until", LS_ROW_OWN, offsetof(LsRuleRow, holds_until)},
};

/* text_of gives where a rule has one of these expressions. */
static char **
text_of(LsRuleRow *rule, int text)
{
	return (char **) ((char *) rule + ls_current_names_texts[text].offset);
}

/* ls_current_names_text gives the expression that a rule has in one of these columns, or NULL. */
char *
ls_current_names_text(const LsRuleRow *rule, int text)
{
	return *text_of(unconstify(LsRuleRow *, rule), text);
}

/*
 * ls_current_names_meant gives the expression that is meant, which is the text of per where
 * followed_per or cancelled_per is left out.
 */
char *
ls_current_names_meant(const LsRuleRow *rule, int text)
{
	char	   *own = ls_current_names_text(rule, text);

	if (own)
		return own;
	if ((text == LS_TEXT_FOLLOWED_PER && strcmp(rule->kind, "sequence") == 0) ||
		(text == LS_TEXT_CANCELLED_PER && ls_lead_rule_cancels(rule)))
		return rule->per;
	return NULL;
}

/* ls_current_names_row_source gives the source of rows that count, follow or cancel. */
char *
ls_current_names_row_source(const LsRuleRow *rule, LsRuleTextRow row)
{
	if (row == LS_ROW_FOLLOWER && rule->followed_source)
		return rule->followed_source;
	if (row == LS_ROW_CANCELLER && rule->cancelled_source)
		return rule->cancelled_source;
	return rule->source;
}

/* ls_current_names_text_source gives the source whose rows an expression reads. */
char *
ls_current_names_text_source(const LsRuleRow *rule, int text)
{
	return ls_current_names_row_source(rule, ls_current_names_texts[text].row);
}

/* ---------- rules ---------- */

/* The newest rows of rules and of their versions */
typedef struct Newest
{
	List	   *rules;
	List	   *versions;
} Newest;

static bool
is_among(int64 version, const int64 *versions, int n)
{
	for (int i = 0; i < n; i++)
		if (versions[i] == version)
			return true;
	return false;
}

/* share tells whether two lists of versions have one in common. */
static bool
share(const LsRuleVersion *a, const int64 *versions, int n)
{
	for (int i = 0; i < a->nversions; i++)
		if (is_among(a->versions[i], versions, n))
			return true;
	return false;
}

/*
 * find finds the newest row of a rule, or of its history, under one of some versions.
 */
static const LsRuleRow *
find(const Newest *newest, int64 rule_id, const int64 *versions, int n)
{
	const LsRuleRow *found = NULL;
	TimestampTz since = DT_NOBEGIN;
	ListCell   *lc;

	foreach(lc, newest->rules)
	{
		const LsRuleRow *rule = lfirst(lc);

		if (rule->rule_id == rule_id && ls_lead_rule_version(rule) != 0 &&
			is_among(ls_lead_rule_version(rule), versions, n))
			return rule;
	}
	foreach(lc, newest->versions)
	{
		const LsRuleVersion *version = lfirst(lc);

		if (version->rule.rule_id == rule_id && share(version, versions, n) &&
			(found == NULL || version->from >= since))
		{
			found = &version->rule;
			since = version->from;
		}
	}
	return found;
}

/* renew gives a rule the newest texts of its expressions. */
static void
renew(LsRuleRow *rule, const LsRuleRow *words)
{
	if (words == NULL)
		return;
	rule->event = words->event;
	rule->followed_by = words->followed_by;
	rule->cancelled_by = words->cancelled_by;
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		*text_of(rule, i) = ls_current_names_text(words, i);
}

/* ls_current_names_of_rules gives rules their newest texts. */
void
ls_current_names_of_rules(const char *definer, List *rows)
{
	Newest		newest = {ls_lead_rules(definer, NULL), NIL};
	ListCell   *lc;

	foreach(lc, rows)
	{
		LsRuleRow  *rule = lfirst(lc);
		int64		version = ls_lead_rule_version(rule);
		const LsRuleRow *words;

		if (version == 0)
			continue;
		words = find(&newest, rule->rule_id, &version, 1);
		if (words == NULL && newest.versions == NIL)
		{
			newest.versions = ls_lead_rule_versions(definer, NULL);
			words = find(&newest, rule->rule_id, &version, 1);
		}
		renew(rule, words);
	}
}

/* ls_current_names_of_versions gives versions of rules their newest texts. */
void
ls_current_names_of_versions(const char *definer, List *versions)
{
	Newest		newest = {ls_lead_rules(definer, NULL), ls_lead_rule_versions(definer, NULL)};
	ListCell   *lc;

	foreach(lc, versions)
	{
		LsRuleVersion *version = lfirst(lc);

		renew(&version->rule, find(&newest, version->rule.rule_id,
								   version->versions, version->nversions));
	}
}

/* ---------- the rest ---------- */

/*
 * column_now gives the newer name of a column where the older one does not exist any
 * more.
 */
static char *
column_now(Oid relid, char *name, char *newest)
{
	return name && newest && get_attnum(relid, name) == InvalidAttrNumber ? newest : name;
}

/* ls_current_names_of_sources gives sources the current names of their columns. */
void
ls_current_names_of_sources(const char *model, List *rows)
{
	List	   *newest = ls_lead_sources(model, NULL);
	ListCell   *lc;

	foreach(lc, rows)
	{
		LsSourceRow *row = lfirst(lc);
		const LsSourceRow *now = ls_lead_source(newest, row->source);

		if (now == NULL || now->relation != row->relation)
			continue;
		row->contact = column_now(row->relation, row->contact, now->contact);
		row->occurred_at = column_now(row->relation, row->occurred_at, now->occurred_at);
		row->event = column_now(row->relation, row->event, now->event);
		row->visitor = column_now(row->relation, row->visitor, now->visitor);
	}
}

/*
 * ls_current_names_of_model gives a model the current names of its columns.  Where
 * the version that a snapshot sees is the newest, all of it is read as it is now, and
 * *snapshot is set to NULL.
 */
LsModelRow *
ls_current_names_of_model(LsModelRow *row, Snapshot *snapshot)
{
	LsModelRow *newest = row && *snapshot ? ls_lead_model(row->model, NULL) : NULL;

	if (newest == NULL)
		return row;
	if (newest->rules_version == row->rules_version)
	{
		*snapshot = NULL;
		return newest;
	}
	if (newest->contacts == row->contacts)
	{
		row->key = column_now(row->contacts, row->key, newest->key);
		row->created_at = column_now(row->contacts, row->created_at, newest->created_at);
	}
	return row;
}

/* ls_current_names_of_stage gives the newest condition of a stage, or NULL. */
char *
ls_current_names_of_stage(const char *model, const char *stage)
{
	ListCell   *lc;

	foreach(lc, ls_lead_stages(model, NULL))
		if (strcmp(((LsStageRow *) lfirst(lc))->stage, stage) == 0)
			return ((LsStageRow *) lfirst(lc))->condition;
	return NULL;
}
