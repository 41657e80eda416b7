/*-------------------------------------------------------------------------
 *
 * disclosure.h
 *		Which sessions may be sent values of the rows that a model reads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DISCLOSURE_H
#define LEADSCORE_DISCLOSURE_H

#include "postgres.h"

#include "base/compat.h"
#include "rules/model_compile.h"

extern bool ls_disclosure_may_see_table(Oid owner, Oid relid);
extern bool ls_disclosure_may_see_rule(const LsModel *model, const LsRule *rule);
extern bool ls_disclosure_may_see_stage(const LsModel *model, const LsStage *stage);
extern const char *ls_disclosure_reason(bool may_see, const ErrorData *error);
pg_noreturn extern void ls_disclosure_throw(const char *table);
extern void ls_disclosure_context(void *arg);

#endif							/* LEADSCORE_DISCLOSURE_H */
