/*-------------------------------------------------------------------------
 *
 * arguments.h
 *		Arguments of the functions that users call: model and contact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ARGUMENTS_H
#define LEADSCORE_ARGUMENTS_H

#include "postgres.h"

#include "fmgr.h"

#include "rules/model_compile.h"

extern LsModel *ls_argument_model(FunctionCallInfo fcinfo, const char *name,
								  const char *also);
extern LsModel *ls_argument_acquire(const char *name, const char *also);
extern TimestampTz ls_argument_instant(FunctionCallInfo fcinfo, int n);
extern TimestampTz ls_argument_until(TimestampTz until);
extern Datum ls_argument_contact(FunctionCallInfo fcinfo, LsModel *model);
extern Datum ls_argument_key(FunctionCallInfo fcinfo, int n, LsModel *model);

#endif							/* LEADSCORE_ARGUMENTS_H */
