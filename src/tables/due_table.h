/*-------------------------------------------------------------------------
 *
 * due_table.h
 *		The rows of due_<model>: when each contact is next to be evaluated.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DUE_TABLE_H
#define LEADSCORE_DUE_TABLE_H

#include "postgres.h"

#include "scoring/next_change.h"
#include "tables/row_writer.h"

typedef struct LsDueCursor LsDueCursor;
typedef struct LsDueMoves LsDueMoves;

extern LsRowWriter *ls_due_table_open(LsModel *model);
extern bool ls_due_table_has(LsRowWriter *table, const LsDueRow *row);
extern void ls_due_table_move(LsRowWriter *table, const LsDueRow *from,
							  const LsDueRow *to);

extern LsDueMoves *ls_due_moves_make(LsRowWriter *table);
extern void ls_due_moves_add(LsDueMoves *moves, const LsDueRow *from, const LsDueRow *to);
extern void ls_due_moves_flush(LsDueMoves *moves);

extern int	ls_due_table_read(const char *model, const LsDueRow *after,
							  TimestampTz until, int limit, LsDueRow *rows);
extern int64 ls_due_table_count(const char *model, TimestampTz until, int64 limit);

extern LsDueCursor *ls_due_cursor_open(LsModel *model, TimestampTz until);
extern bool ls_due_cursor_next(LsDueCursor *cursor, LsDueRow *row);
extern void ls_due_cursor_close(LsDueCursor *cursor);

#endif							/* LEADSCORE_DUE_TABLE_H */
