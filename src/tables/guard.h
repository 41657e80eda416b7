/*-------------------------------------------------------------------------
 *
 * guard.h
 *		The guard of the tables of models, and SQL that passes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_GUARD_H
#define LEADSCORE_GUARD_H

#include "postgres.h"

#include "utils/snapshot.h"

#include "base/sql.h"

extern bool ls_guard_passes(void);
extern uint64 ls_guard_run(const char *sql, LsSqlArguments *args, Snapshot snapshot);
extern uint64 ls_guard_execute(const char *sql, LsSqlArguments *args);

#endif							/* LEADSCORE_GUARD_H */
