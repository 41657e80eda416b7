/*-------------------------------------------------------------------------
 *
 * live_rows.h
 *		Rows of a table, read by their ctid.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LIVE_ROWS_H
#define LEADSCORE_LIVE_ROWS_H

#include "postgres.h"

#include "storage/itemptr.h"
#include "utils/rel.h"

typedef struct LsLiveRows LsLiveRows;

extern LsLiveRows *ls_live_rows_make(Relation rel);
extern bool ls_live_rows_read(LsLiveRows *rows, ItemPointer at, Datum **values, bool **nulls);
extern void ls_live_rows_clear(LsLiveRows *rows);

#endif							/* LEADSCORE_LIVE_ROWS_H */
