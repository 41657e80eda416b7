/*-------------------------------------------------------------------------
 *
 * guard.c
 *		The guard of the tables of models, and SQL that passes it.
 *
 * Rows that are written through the executor (heap_writer.c) do not fire it: it is a
 * trigger for each statement.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/guard.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/error.h"

PG_FUNCTION_INFO_V1(ls_guard);

static bool passes = false;		/* a statement of ours is under way */

/*
 * ls_guard refuses what others write to the tables of models, but for INSERT and COPY
 * by who has the rights of the table's owner: they are of a restore.
 */
Datum
ls_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE,
											   LS_FIRED_INSERT | LS_FIRED_UPDATE |
											   LS_FIRED_DELETE | LS_FIRED_TRUNCATE);

	if (!passes && !(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
					 has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is kept by leadscore and cannot be written",
						RelationGetRelationName(trigger->tg_relation)),
				 strncmp(RelationGetRelationName(trigger->tg_relation), "outbox_", 7) == 0 ?
				 errhint("Use leadscore.take(), done(), failed(), retry() or discard().") :
				 errhint("Scores follow from events and rules: change those, or use leadscore.rescore().")));
	return PointerGetDatum(NULL);
}

/* ls_guard_passes tells whether it is a statement of ours that fires a trigger. */
bool
ls_guard_passes(void)
{
	return passes;
}

/*
 * ls_guard_run runs one statement past the guard, within SPI, as the role that the
 * caller has switched to, and gives the number of rows.  snapshot is what it is to
 * see, NULL: all that is committed by now, or the transaction's.
 */
uint64
ls_guard_run(const char *sql, LsSqlArguments *args, Snapshot snapshot)
{
	SPIPlanPtr	plan = SPI_prepare(sql, args->n, args->types);
	ErrorContextCallback context;
	bool		passed = passes;
	int			result;

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	passes = true;
	ls_error_hint_retry(&context);
	PG_TRY();
	{
		result = snapshot ?
			SPI_execute_snapshot(plan, args->values, args->nulls, snapshot, InvalidSnapshot,
								 false, true, 0) :
			SPI_execute_plan(plan, args->values, args->nulls, false, 0);
	}
	PG_FINALLY();
	{
		passes = passed;
	}
	PG_END_TRY();
	error_context_stack = context.previous;
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(result));
	return SPI_processed;
}

/* ls_guard_execute does so for one on the newest rows, at any isolation level. */
uint64
ls_guard_execute(const char *sql, LsSqlArguments *args)
{
	uint64		rows;

	SPI_connect();
	rows = ls_guard_run(sql, args, GetLatestSnapshot());
	SPI_finish();
	return rows;
}
