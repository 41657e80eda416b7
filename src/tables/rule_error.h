/*-------------------------------------------------------------------------
 *
 * rule_error.h
 *		Failures of expressions, reported and recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RULE_ERROR_H
#define LEADSCORE_RULE_ERROR_H

#include "postgres.h"

#include "rules/model_compile.h"

extern void ls_rule_error_report(LsModel *model);
extern void ls_rule_error_write(const char *model, int64 rule_id, const char *name,
								int64 number, const ErrorData *error, const char *contact);
extern int64 ls_rule_error_purge(int limit);

#endif							/* LEADSCORE_RULE_ERROR_H */
