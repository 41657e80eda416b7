/*-------------------------------------------------------------------------
 *
 * row_writer.c
 *		Rows added to a table of a model, many of them.
 *
 * A pass may move thousands of contacts.  SQL would set up an executor for each
 * row, which takes as long as all else that is done about a contact: so the table
 * is opened once, and rows are inserted without SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/row_writer.h"

#include "utils/builtins.h"

#include "definitions/extension.h"
#include "definitions/table_layout.h"


/*
 * ls_row_writer_open gets ready to add rows about contacts of a model to the
 * table with a prefix.
 */
LsRowWriter *
ls_row_writer_open(LsModel *model, const char *prefix)
{
	LsRowWriter *writer = palloc0(sizeof(LsRowWriter));

	writer->model = model;
	ls_heap_writer_open(&writer->rows, ls_extension_table(psprintf("%s%s", prefix, model->name), false), 0);
	ls_table_layout_check(writer->rows.rel, prefix, model->key.type);
	return writer;
}

void
ls_row_writer_close(LsRowWriter *writer)
{
	ls_heap_writer_close(&writer->rows);
	pfree(writer);
}

/* ls_row_writer_clear begins a row, all of whose columns are null. */
void
ls_row_writer_clear(LsRowWriter *writer)
{
	ExecClearTuple(writer->rows.written);
	memset(writer->rows.written->tts_isnull, true, sizeof(bool) * RelationGetDescr(writer->rows.rel)->natts);
}

void
ls_row_writer_set(LsRowWriter *writer, int column, Datum value)
{
	writer->rows.written->tts_values[column] = value;
	writer->rows.written->tts_isnull[column] = false;
}

/* ls_row_writer_set_text sets a column of type text, NULL standing for NULL. */
void
ls_row_writer_set_text(LsRowWriter *writer, int column, const char *value)
{
	if (value)
		ls_row_writer_set(writer, column, CStringGetTextDatum(value));
}

/* ls_row_writer_add adds the row that was set. */
void
ls_row_writer_add(LsRowWriter *writer)
{
	ExecStoreVirtualTuple(writer->rows.written);
	ls_heap_writer_insert(&writer->rows);
}
