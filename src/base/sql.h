/*-------------------------------------------------------------------------
 *
 * sql.h
 *		SQL statements of the extension's own, and arguments of its functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SQL_H
#define LEADSCORE_SQL_H

#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"

/* Arguments of a statement of our own, and which rows it sees */
#define LS_MAX_ARGUMENTS 10
typedef struct LsSqlArguments
{
	int			n;
	Oid			types[LS_MAX_ARGUMENTS];
	Datum		values[LS_MAX_ARGUMENTS];
	char		nulls[LS_MAX_ARGUMENTS];
	bool		read_only;		/* read-only: rows of the active snapshot; else the newest */
	bool		newest;			/* the newest ones at any isolation level */
	bool		by_index;		/* by index, whatever statistics say */
} LsSqlArguments;

extern void ls_sql_add(LsSqlArguments *args, Oid type, Datum value);
extern void ls_sql_add_text(LsSqlArguments *args, const char *value);
extern uint64 ls_sql_execute(const char *sql, LsSqlArguments *args);
extern SPITupleTable *ls_sql_query(const char *sql, LsSqlArguments *args);
extern uint64 ls_sql_execute_as_owner(Oid table, const char *sql, LsSqlArguments *args);
extern SPITupleTable *ls_sql_query_as_owner(Oid table, const char *sql, LsSqlArguments *args);
extern bool ls_sql_is_writing(void);
extern Datum ls_sql_value(const SPITupleTable *rows, uint64 row, int column, bool *isnull);
extern char *ls_sql_text(const SPITupleTable *rows, uint64 row, int column);

/* the commands that may fire a trigger function of ours */
#define LS_FIRED_INSERT		(1 << TRIGGER_EVENT_INSERT)
#define LS_FIRED_DELETE		(1 << TRIGGER_EVENT_DELETE)
#define LS_FIRED_UPDATE		(1 << TRIGGER_EVENT_UPDATE)
#define LS_FIRED_TRUNCATE	(1 << TRIGGER_EVENT_TRUNCATE)
extern TriggerData *ls_sql_trigger_data(FunctionCallInfo fcinfo, TriggerEvent when,
										int commands);
extern Node *ls_sql_command(FunctionCallInfo fcinfo);
extern void ls_sql_require_argument(FunctionCallInfo fcinfo, int n, const char *name);
extern char *ls_sql_text_argument(FunctionCallInfo fcinfo, int n, const char *name);
extern char *ls_sql_optional_argument(FunctionCallInfo fcinfo, int n);
extern Oid	ls_sql_function(const char *text, char **schema, char **name);

#endif							/* LEADSCORE_SQL_H */
