/*-------------------------------------------------------------------------
 *
 * extension.h
 *		The extension's own objects: schemas, tables, owner, version.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EXTENSION_H
#define LEADSCORE_EXTENSION_H

#include "postgres.h"

#include "access/htup.h"

#include "base/sql.h"

extern Oid	ls_extension_owner(void);
extern bool ls_extension_has_schema(Oid schema);
extern char *ls_extension_version(Oid extension);
extern void ls_extension_require_update(void);
extern Oid	ls_extension_base_table(const char *name, bool missing_ok);
extern Oid	ls_extension_table(const char *name, bool missing_ok);
extern HeapTuple ls_extension_relation(const char *schema, const char *name);
extern bool ls_extension_lacks_rows(const char *name);
extern uint64 ls_extension_execute(const char *sql, LsSqlArguments *args);
extern SPITupleTable *ls_extension_query(const char *sql, LsSqlArguments *args);
extern TriggerData *ls_extension_trigger_data(FunctionCallInfo fcinfo, TriggerEvent when,
											  int commands, const char *table);

#endif							/* LEADSCORE_EXTENSION_H */
