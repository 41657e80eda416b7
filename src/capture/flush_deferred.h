/*-------------------------------------------------------------------------
 *
 * flush_deferred.h
 *		Applies what statements have deferred.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_FLUSH_DEFERRED_H
#define LEADSCORE_FLUSH_DEFERRED_H

#include "postgres.h"

#include "rules/model_compile.h"

extern void ls_flush_lock(LsModel *model);
extern void ls_flush_rows(void);
extern void ls_flush_statement(void);
extern void ls_flush_before_commit(void);

#endif							/* LEADSCORE_FLUSH_DEFERRED_H */
