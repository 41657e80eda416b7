/*-------------------------------------------------------------------------
 *
 * rule_history.h
 *		Versions of rules and models, recorded when they change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RULE_HISTORY_H
#define LEADSCORE_RULE_HISTORY_H

#include "postgres.h"

/* records a model's definition without its rules, if that has changed */
extern void ls_rule_history_record(const char *model);
/* records that names in a rule have changed */
extern void ls_rule_renamed(const char *model, int64 rule_id);

#endif							/* LEADSCORE_RULE_HISTORY_H */
