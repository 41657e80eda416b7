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

/* A column of rules that has an expression */
typedef struct LsRuleText
{
	const char *column;
	LsRuleTextRow row;
	size_t		offset;			/* in LsRuleRow */
} LsRuleText;

#define LS_RULE_NTEXTS 10

extern const LsRuleText ls_current_names_texts[LS_RULE_NTEXTS];
extern char *ls_current_names_text(const LsRuleRow *rule, int text);
extern char *ls_current_names_text_source(const LsRuleRow *rule, int text);

#endif							/* LEADSCORE_CURRENT_NAMES_H */
