/*-------------------------------------------------------------------------
 *
 * anonymous_visitors.h
 *		The model that scores the visitors of another model, by its rules.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ANONYMOUS_VISITORS_H
#define LEADSCORE_ANONYMOUS_VISITORS_H

#include "postgres.h"

#include "definitions/lead_tables.h"

extern void ls_visitors_refuse(const LsModelRow *model);
extern void ls_visitors_check(const LsModelRow *model, const LsSourceRow *source);
extern char *ls_visitors_make(const LsModelRow *model, const LsSourceRow *source);
extern void ls_visitors_follow(const char *model);

#endif							/* LEADSCORE_ANONYMOUS_VISITORS_H */
