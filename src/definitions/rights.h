/*-------------------------------------------------------------------------
 *
 * rights.h
 *		Which roles may change a model, and which may read it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RIGHTS_H
#define LEADSCORE_RIGHTS_H

#include "postgres.h"

#include "definitions/lead_tables.h"

extern bool ls_rights_may_manage_model(const LsModelRow *model, Oid role);
extern bool ls_rights_may_manage_all(void);
extern bool ls_rights_may_drop_table(Oid relation);
extern bool ls_rights_may_see_definitions(const char *name);
extern void ls_rights_require_managed(const LsModelRow *row, Oid role);
extern bool ls_rights_may_read_model(const LsModelRow *model, Oid role);
/* the row of a model that a role may change, or an error that says why not */
extern LsModelRow *ls_rights_model(const char *model, Oid role);

#endif							/* LEADSCORE_RIGHTS_H */
