/*-------------------------------------------------------------------------
 *
 * attach.h
 *		Event tables: attached to models as sources, and detached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ATTACH_H
#define LEADSCORE_ATTACH_H

#include "postgres.h"

#include "definitions/catalog.h"

extern char *ls_source_problem(const LsModelRow *model, const LsSourceRow *source);
extern ErrorData *ls_source_error(const LsModelRow *model, const LsSourceRow *source);
extern void ls_source_check(const LsModelRow *model, const LsSourceRow *source);
extern void ls_source_tell_kept(const char *model, const char *source);
extern uint64 ls_remove_source(const char *model, const char *source);

#endif							/* LEADSCORE_ATTACH_H */
