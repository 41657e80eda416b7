/*-------------------------------------------------------------------------
 *
 * rule_history.h
 *		Versions of rules and models, written down as they are changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RULE_HISTORY_H
#define LEADSCORE_RULE_HISTORY_H

#include "postgres.h"

/* writes down what a model says beside its rules, if that has changed */
extern void ls_rule_history_record(const char *model);
/* ... that what a rule names is named otherwise */
extern void ls_rule_renamed(const char *model, int64 rule_id);

#endif							/* LEADSCORE_RULE_HISTORY_H */
