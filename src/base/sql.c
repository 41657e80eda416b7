/*-------------------------------------------------------------------------
 *
 * sql.c
 *		SQL statements of the extension's own, and arguments of its functions.
 *
 *-------------------------------------------------------------------------
 */
#include "base/sql.h"

#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/error.h"

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
 * ls_sql_run runs one statement, within SPI, and gives the number of rows that it
 * touched.  The caller has taken the identity that it is to run under.
 */
uint64
ls_sql_run(const char *sql, LsSqlArguments *args)
{
	LsSqlArguments none = {0};
	ErrorContextCallback context;
	int			result;

	if (args == NULL)
		args = &none;
	ls_error_hint_retry(&context);
	result = SPI_execute_with_args(sql, args->n, args->types, args->values,
								   args->nulls, false, 0);
	error_context_stack = context.previous;
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(result));
	return SPI_processed;
}

/* ls_sql_execute does so for those who need nothing of it but the number. */
uint64
ls_sql_execute(const char *sql, LsSqlArguments *args)
{
	uint64		processed;

	SPI_connect();
	processed = ls_sql_run(sql, args);
	SPI_finish();
	return processed;
}

/* ls_sql_column_text gives a column of what SPI found, as text, or NULL. */
char *
ls_sql_column_text(HeapTuple tuple, int column, MemoryContext context)
{
	char	   *value = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

/*
 * ls_sql_trigger_data gives what a trigger function is called with, and refuses to be
 * called in any other way than by the triggers that leadscore makes: when says
 * before, after or instead of, and whether for a row; commands which statements.
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

/* ls_sql_optional_argument gives a text argument, or NULL. */
char *
ls_sql_optional_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* ls_sql_text_argument gives a text argument that must not be NULL. */
char *
ls_sql_text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
	return ls_sql_optional_argument(fcinfo, n);
}
