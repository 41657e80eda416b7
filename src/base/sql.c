/*-------------------------------------------------------------------------
 *
 * sql.c
 *		SQL statements of the extension's own, and arguments of its functions.
 *
 *-------------------------------------------------------------------------
 */
#include "base/sql.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "base/error.h"
#include "base/relation.h"
#include "base/user.h"

static bool writing = false;	/* a statement of ours runs on tables that refuse other writers */

/* ls_sql_add adds an argument to a statement. */
void
ls_sql_add(LsSqlArguments *args, Oid type, Datum value)
{
	if (args->n >= LS_MAX_ARGUMENTS)
		elog(ERROR, "too many arguments");
	args->types[args->n] = type;
	args->values[args->n] = value;
	args->nulls[args->n++] = ' ';
}

/* ls_sql_add_text adds a text, NULL standing for NULL. */
void
ls_sql_add_text(LsSqlArguments *args, const char *value)
{
	ls_sql_add(args, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0);
	if (value == NULL)
		args->nulls[args->n - 1] = 'n';
}

/*
 * run runs one statement, within SPI and as the current user, and gives the number
 * of rows that it touched.
 */
static uint64
run(const char *sql, LsSqlArguments *args)
{
	LsSqlArguments none = {0};
	ErrorContextCallback context;
	SPIPlanPtr	plan;
	int			result;

	if (args == NULL)
		args = &none;
	ls_error_hint_retry(&context);
	if (!args->newest)
		result = SPI_execute_with_args(sql, args->n, args->types, args->values,
									   args->nulls, args->read_only, 0);
	else if ((plan = SPI_prepare(sql, args->n, args->types)) == NULL)
		result = SPI_result;
	else
		result = SPI_execute_snapshot(plan, args->values, args->nulls, GetLatestSnapshot(),
									  InvalidSnapshot, args->read_only, true, 0);
	error_context_stack = context.previous;
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(result));
	return SPI_processed;
}

/* ls_sql_execute runs a statement of which nothing but the number is needed. */
uint64
ls_sql_execute(const char *sql, LsSqlArguments *args)
{
	uint64		processed;

	SPI_connect();
	processed = run(sql, args);
	SPI_finish();
	return processed;
}

/*
 * ls_sql_query runs a statement and gives the rows that it returns, in the caller's
 * memory context.
 */
SPITupleTable *
ls_sql_query(const char *sql, LsSqlArguments *args)
{
	MemoryContext caller = CurrentMemoryContext;
	SPITupleTable *rows;

	SPI_connect();
	(void) run(sql, args);
	rows = SPI_tuptable;
	if (rows == NULL)
		elog(ERROR, "\"%s\" returned no rows", sql);
	MemoryContextSetParent(rows->tuptabcxt, caller);
	SPI_finish();
	return rows;
}

/*
 * run_as_owner runs a statement on tables of a model with the rights of their owner,
 * past the trigger that refuses other writers.
 */
static void
run_as_owner(Oid table, const char *sql, LsSqlArguments *args, uint64 *processed,
			 SPITupleTable **rows)
{
	bool		was_writing = writing;
	LsUser		saved;

	ls_user_switch_to_owner(ls_relation_owner(table), &saved);
	if (args && args->by_index)
	{
		if (saved.guc_nest == 0)
			saved.guc_nest = NewGUCNestLevel();
		(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	writing = writing || args == NULL || !args->read_only;
	PG_TRY();
	{
		if (rows)
			*rows = ls_sql_query(sql, args);
		else
			*processed = ls_sql_execute(sql, args);
	}
	PG_FINALLY();
	{
		writing = was_writing;
	}
	PG_END_TRY();
	ls_user_restore(&saved);
}

/*
 * ls_sql_execute_as_owner is ls_sql_execute() with the rights of the owner of a
 * model's table.
 */
uint64
ls_sql_execute_as_owner(Oid table, const char *sql, LsSqlArguments *args)
{
	uint64		processed;

	run_as_owner(table, sql, args, &processed, NULL);
	return processed;
}

/*
 * ls_sql_query_as_owner is ls_sql_query() with the rights of the owner of a model's
 * table.
 */
SPITupleTable *
ls_sql_query_as_owner(Oid table, const char *sql, LsSqlArguments *args)
{
	SPITupleTable *rows;

	run_as_owner(table, sql, args, NULL, &rows);
	return rows;
}

/*
 * ls_sql_is_writing tells whether a statement of ours is running, which may write to
 * tables that refuse other writers.
 */
bool
ls_sql_is_writing(void)
{
	return writing;
}

/* ls_sql_value gives a value of a row; isnull may be NULL, where 0 stands for null. */
Datum
ls_sql_value(const SPITupleTable *rows, uint64 row, int column, bool *isnull)
{
	bool		unused;

	return SPI_getbinval(rows->vals[row], rows->tupdesc, column, isnull ? isnull : &unused);
}

/*
 * ls_sql_text gives a value of a row as text, in the current memory context; NULL for
 * null.
 */
char *
ls_sql_text(const SPITupleTable *rows, uint64 row, int column)
{
	return SPI_getvalue(rows->vals[row], rows->tupdesc, column);
}

/*
 * ls_sql_trigger_data gives the trigger data, and refuses calls other than those by
 * triggers that leadscore makes: when says before, after or instead of, and whether
 * for a row; commands which statements.
 */
TriggerData *
ls_sql_trigger_data(FunctionCallInfo fcinfo, TriggerEvent when, int commands)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(td->tg_event & (TRIGGER_EVENT_TIMINGMASK | TRIGGER_EVENT_ROW)) != when ||
		(commands & (1 << (td->tg_event & TRIGGER_EVENT_OPMASK))) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this function is for the triggers that leadscore makes")));
	return td;
}

/*
 * ls_sql_command gives the command that has fired an event trigger, and refuses other
 * calls.
 */
Node *
ls_sql_command(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this function is for leadscore's event triggers")));
	return ((EventTriggerData *) fcinfo->context)->parsetree;
}

/* ls_sql_optional_argument gives a text argument, or NULL. */
char *
ls_sql_optional_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* ls_sql_require_argument refuses an argument that is NULL. */
void
ls_sql_require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
}

/* ls_sql_text_argument gives a text argument that must not be NULL. */
char *
ls_sql_text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	ls_sql_require_argument(fcinfo, n, name);
	return ls_sql_optional_argument(fcinfo, n);
}

/*
 * ls_sql_function finds the function with a qualified name and one argument of type
 * jsonb.  InvalidOid where there is none; schema and name are NULL where the text is no
 * such name at all.
 */
Oid
ls_sql_function(const char *text, char **schema, char **name)
{
	Oid			jsonb = JSONBOID;
	List	   *parts;
	Oid			namespace;
	HeapTuple	tuple;
	Oid			function = InvalidOid;

	*schema = *name = NULL;
	if (!SplitIdentifierString(pstrdup(text), '.', &parts) || list_length(parts) != 2)
		return InvalidOid;
	*schema = linitial(parts);
	*name = lsecond(parts);
	namespace = get_namespace_oid(*schema, true);
	if (!OidIsValid(namespace))
		return InvalidOid;
	tuple = SearchSysCache3(PROCNAMEARGSNSP, PointerGetDatum(*name),
							PointerGetDatum(buildoidvector(&jsonb, 1)),
							ObjectIdGetDatum(namespace));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prokind == PROKIND_FUNCTION)
		function = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return function;
}
