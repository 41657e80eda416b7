/*-------------------------------------------------------------------------
 *
 * current_names.h
 *		The newest texts of definitions that are read with an older snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CURRENT_NAMES_H
#define LEADSCORE_CURRENT_NAMES_H

#include "postgres.h"

#include "definitions/lead_tables.h"

extern void ls_current_names_of_rules(const char *definer, List *rows);
extern void ls_current_names_of_versions(const char *definer, List *versions);
extern void ls_current_names_of_sources(const char *model, List *rows);
extern LsModelRow *ls_current_names_of_model(LsModelRow *row, Snapshot *snapshot);
extern char *ls_current_names_of_stage(const char *model, const char *stage);

/* The row that an expression of a rule reads: one that counts, follows or cancels */
typedef enum LsRuleTextRow
{
	LS_ROW_OWN,
	LS_ROW_FOLLOWER,
	LS_ROW_CANCELLER
} LsRuleTextRow;

#define LS_NROWS (LS_ROW_CANCELLER + 1)

/* A column of rules that has an expression */
typedef struct LsRuleText
{
	const char *column;
	LsRuleTextRow row;
	size_t		offset;			/* in LsRuleRow */
} LsRuleText;

/* places in ls_current_names_texts */
enum LsRuleTextNumber
{
	LS_TEXT_CONDITION,
	LS_TEXT_WEIGHT,
	LS_TEXT_FOLLOWED_CONDITION,
	LS_TEXT_PER,
	LS_TEXT_TAG,
	LS_TEXT_CANCELLED_CONDITION,
	LS_TEXT_CANCELLED_PER,
	LS_TEXT_FOLLOWED_PER,
	LS_TEXT_HOLDS_FROM,
	LS_TEXT_HOLDS_UNTIL,
	LS_RULE_NTEXTS
};

extern const LsRuleText ls_current_names_texts[LS_RULE_NTEXTS];
extern char *ls_current_names_text(const LsRuleRow *rule, int text);
extern char *ls_current_names_meant(const LsRuleRow *rule, int text);
extern char *ls_current_names_row_source(const LsRuleRow *rule, LsRuleTextRow row);
extern char *ls_current_names_text_source(const LsRuleRow *rule, int text);

#endif							/* LEADSCORE_CURRENT_NAMES_H */
