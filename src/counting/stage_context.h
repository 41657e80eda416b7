/*-------------------------------------------------------------------------
 *
 * stage_context.h
 *		What the conditions of stages look at: the contact's row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STAGE_CONTEXT_H
#define LEADSCORE_STAGE_CONTEXT_H

#include "postgres.h"

#include "rules/model_compile.h"

extern void ls_stage_context_fill(LsModel *model, Datum contact, ExprContext *econtext);
extern ExprContext *ls_stage_context_make(LsModel *model, EState *estate, Datum contact);

#endif							/* LEADSCORE_STAGE_CONTEXT_H */
