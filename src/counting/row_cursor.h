/*-------------------------------------------------------------------------
 *
 * row_cursor.h
 *		Rows of a query, one after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ROW_CURSOR_H
#define LEADSCORE_ROW_CURSOR_H

#include "postgres.h"

#include "executor/spi.h"
#include "executor/tuptable.h"

typedef struct LsRowCursor LsRowCursor;

extern LsRowCursor *ls_row_cursor_open(SPIPlanPtr plan, Datum *values, int batch);
extern bool ls_row_cursor_has_row(const LsRowCursor *cursor);
extern bool ls_row_cursor_fetch(LsRowCursor *cursor);
extern TupleTableSlot *ls_row_cursor_next(LsRowCursor *cursor);
extern void ls_row_cursor_close(LsRowCursor *cursor);

#endif							/* LEADSCORE_ROW_CURSOR_H */
