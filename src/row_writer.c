/*-------------------------------------------------------------------------
 *
 * row_writer.c
 *		Rows added to a table of a model, many of them.
 *
 * A pass may move thousands of contacts.  SQL would set up an executor for each
 * row, which takes as long as all else that is done about a contact: so the table
 * is opened once, and rows are inserted without SQL.  A table that is not as
 * leadscore made it (its owner has added a trigger, or a column) is written by
 * SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "row_writer.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "leadscore.h"
#include "score_table.h"

/*
 * ls_row_writer_open gets ready to add rows about contacts of a model to the
 * table with a prefix.
 */
LsRowWriter *
ls_row_writer_open(LsModel *model, const char *prefix)
{
	LsRowWriter *writer = palloc0(sizeof(LsRowWriter));

	writer->model = model;
	writer->layout = ls_table_layout(prefix);
	while (writer->layout->columns[writer->ncolumns].name)
		writer->ncolumns++;
	ls_target_open(&writer->target, ls_table_oid(psprintf("%s%s", prefix, model->name), false),
				   NULL);
	ls_table_check(writer->target.rel, writer->layout, model->key.type);
	writer->by_sql = !ls_table_is_plain(writer->target.rel, writer->layout);
	if (writer->by_sql)
	{
		writer->values = palloc(sizeof(Datum) * writer->ncolumns);
		writer->nulls = palloc(sizeof(bool) * writer->ncolumns);
	}
	else
	{
		writer->values = writer->target.written->tts_values;
		writer->nulls = writer->target.written->tts_isnull;
	}
	return writer;
}

void
ls_row_writer_close(LsRowWriter *writer)
{
	ls_target_close(&writer->target);
	pfree(writer);
}

/* ls_row_writer_clear begins a row, all of whose columns are null. */
void
ls_row_writer_clear(LsRowWriter *writer)
{
	ExecClearTuple(writer->target.written);
	memset(writer->nulls, true, sizeof(bool) * writer->ncolumns);
}

void
ls_row_writer_set(LsRowWriter *writer, int column, Datum value)
{
	writer->values[column] = value;
	writer->nulls[column] = false;
}

/* ls_row_writer_set_text sets a column of type text, NULL standing for NULL. */
void
ls_row_writer_set_text(LsRowWriter *writer, int column, const char *value)
{
	if (value)
		ls_row_writer_set(writer, column, CStringGetTextDatum(value));
}

/* insert_text writes an INSERT of all columns of the layout. */
static char *
insert_text(const LsRowWriter *writer)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s.%s%s (", LEADSCORE_SCHEMA,
					 writer->layout->prefix, writer->model->name);
	for (int i = 0; i < writer->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i == 0 ? "" : ", ", writer->layout->columns[i].name);
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < writer->ncolumns; i++)
		appendStringInfo(&sql, "%s$%d", i == 0 ? "" : ", ", i + 1);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* add_by_sql adds the row by SQL, with all that its owner has put on the table. */
static void
add_by_sql(LsRowWriter *writer)
{
	Oid		   *types = palloc(sizeof(Oid) * writer->ncolumns);
	char	   *sql = insert_text(writer);
	SPIPlanPtr	plan;
	LsIdentity	saved;

	for (int i = 0; i < writer->ncolumns; i++)
		types[i] = writer->layout->columns[i].type == LS_TYPE_KEY ?
			writer->model->key.type : writer->layout->columns[i].type;
	ls_become(ls_extension_owner(), &saved);
	SPI_connect();
	plan = SPI_prepare(sql, writer->ncolumns, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	(void) ls_row_run(plan, writer->values, writer->nulls, writer->ncolumns, NULL);
	SPI_finish();
	ls_return(&saved);
}

/* ls_row_writer_add adds the row that was set. */
void
ls_row_writer_add(LsRowWriter *writer)
{
	if (writer->by_sql)
	{
		add_by_sql(writer);
		return;
	}
	ExecStoreVirtualTuple(writer->target.written);
	ls_target_insert(&writer->target);
}
