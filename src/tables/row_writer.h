/*-------------------------------------------------------------------------
 *
 * row_writer.h
 *		A table of a model, open to be written to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ROW_WRITER_H
#define LEADSCORE_ROW_WRITER_H

#include "postgres.h"

#include "base/heap_writer.h"
#include "rules/model_compile.h"

typedef struct LsRowWriter
{
	LsModel    *model;
	LsHeapWriter rows;
} LsRowWriter;

extern LsRowWriter *ls_row_writer_open(LsModel *model, const char *prefix, Oid table, int nkey);
extern void ls_row_writer_clear(LsRowWriter *writer);
extern void ls_row_writer_set_text(LsRowWriter *writer, int column, const char *value);
extern void ls_row_writer_add(LsRowWriter *writer);
extern void ls_row_writer_close(LsRowWriter *writer);

static inline void
ls_row_writer_set(LsRowWriter *writer, int column, Datum value)
{
	writer->rows.written->tts_values[column] = value;
	writer->rows.written->tts_isnull[column] = false;
}

#endif							/* LEADSCORE_ROW_WRITER_H */
