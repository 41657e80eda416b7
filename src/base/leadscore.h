/*-------------------------------------------------------------------------
 *
 * leadscore.h
 *		What every folder uses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_H
#define LEADSCORE_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/transaction.h"
#include "base/user.h"

/* what users name: functions, views, and the tables and views of each model */
#define LEADSCORE_SCHEMA	"leadscore"
/* base tables of definitions, and functions that users do not call */
#define LEADSCORE_INTERNAL	"leadscore_internal"

/* leadscore.rule_error */
typedef enum LsRuleError
{
	LS_RULE_ERROR_WARNING,
	LS_RULE_ERROR_ERROR
} LsRuleError;

extern int	ls_rule_error;

/* ls_same_text tells whether two texts are equal, where NULL equals NULL. */
static inline bool
ls_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

#endif							/* LEADSCORE_H */
