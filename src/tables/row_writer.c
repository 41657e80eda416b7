/*-------------------------------------------------------------------------
 *
 * row_writer.c
 *		A table of a model, open to be written to.
 *
 * A pass may change thousands of contacts.  SQL would set up an executor for each row,
 * which takes as long as the rest of the change: so the table is opened once, and rows
 * are written without SQL (base/heap_writer.c).
 *
 *-------------------------------------------------------------------------
 */
#include "tables/row_writer.h"

#include "utils/builtins.h"

#include "definitions/table_layout.h"

/*
 * ls_row_writer_open opens the table of a model that has a given prefix.  Rows are
 * found by its first nkey columns; 0: they are only inserted.
 */
LsRowWriter *
ls_row_writer_open(LsModel *model, const char *prefix, Oid table, int nkey)
{
	LsRowWriter *writer = palloc0(sizeof(LsRowWriter));

	writer->model = model;
	ls_heap_writer_open(&writer->rows, table, nkey);
	ls_table_layout_check(writer->rows.rel, prefix, model->key.type);
	return writer;
}

void
ls_row_writer_close(LsRowWriter *writer)
{
	ls_heap_writer_close(&writer->rows);
	pfree(writer);
}

/* ls_row_writer_clear starts a row, all of whose columns are null. */
void
ls_row_writer_clear(LsRowWriter *writer)
{
	ExecClearTuple(writer->rows.written);
	memset(writer->rows.written->tts_isnull, true, sizeof(bool) * RelationGetDescr(writer->rows.rel)->natts);
}

/* ls_row_writer_set_text sets a column of type text, NULL standing for NULL. */
void
ls_row_writer_set_text(LsRowWriter *writer, int column, const char *value)
{
	if (value)
		ls_row_writer_set(writer, column, CStringGetTextDatum(value));
}

/* ls_row_writer_add inserts the row that was set. */
void
ls_row_writer_add(LsRowWriter *writer)
{
	ExecStoreVirtualTuple(writer->rows.written);
	ls_heap_writer_insert(&writer->rows);
}
