/*-------------------------------------------------------------------------
 *
 * attach_source.h
 *		Event tables: attached to models as sources, and detached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ATTACH_SOURCE_H
#define LEADSCORE_ATTACH_SOURCE_H

#include "postgres.h"

#include "definitions/lead_tables.h"

extern char *ls_attach_problem(const LsModelRow *model, const LsSourceRow *source);
extern ErrorData *ls_attach_error(const LsModelRow *model, const LsSourceRow *source);
extern void ls_attach_check(const LsModelRow *model, const LsSourceRow *source);
extern void ls_attach_tell_purged(const char *model, const char *source);
extern uint64 ls_attach_remove(const char *model, const char *source);

#endif							/* LEADSCORE_ATTACH_SOURCE_H */
