/*-------------------------------------------------------------------------
 *
 * model_access.h
 *		Tables of models that the caller may read, or take from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MODEL_ACCESS_H
#define LEADSCORE_MODEL_ACCESS_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "base/key.h"
#include "definitions/lead_tables.h"

/* A table of a model */
typedef struct LsModelTable
{
	LsModelRow *model;
	Oid			table;
	LsKeyType	key;			/* of its column contact_id */
} LsModelTable;

extern List *ls_model_tables_for(const char *prefix, const char *model, AclMode rights);
extern bool ls_model_table_lock(const LsModelTable *table, LOCKMODE mode, bool wait);
extern bool ls_model_table_take(const LsModelTable *table, LOCKMODE mode);

#endif							/* LEADSCORE_MODEL_ACCESS_H */
