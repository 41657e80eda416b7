/*-------------------------------------------------------------------------
 *
 * pending_table.h
 *		The rows of pending_<model>: changes that wait to be merged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PENDING_TABLE_H
#define LEADSCORE_PENDING_TABLE_H

#include "postgres.h"

#include "base/table_scan.h"
#include "rules/model_compile.h"
#include "scoring/state.h"
#include "tables/row_writer.h"


/* All that is pending of one contact */
typedef struct LsPending
{
	int64		nrows;
	bool		count_all;		/* the contact has to be recomputed */
	bool		count_profile;	/* the contact's row has to be evaluated again */
	bool		has_delta;
	LsState		delta;			/* events to be added */
	TimestampTz instant;		/* when last enqueued; DT_NOBEGIN: nothing is pending */
} LsPending;

/* What reads what is pending of one contact after the other, in the order of their keys */
typedef struct LsPendingWalk
{
	LsModel    *model;
	MemoryContext context;		/* in which it was opened */
	LsTableScan scan;
	bool		has_row;		/* the scan stands on the first row of the next contact */
} LsPendingWalk;

/* Rows are only inserted, so no session waits for another. */
extern LsRowWriter *ls_pending_open(LsModel *model);
extern void ls_pending_add(LsRowWriter *table, Datum contact,
						   const LsState *delta, bool profile);

/* opens and closes the table */
extern void ls_pending_add_one(LsModel *model, Datum contact,
							   const LsState *delta, bool profile);

/* true: enqueued, as the row cannot be written at present */
extern bool ls_pending_replaces(LsModel *model, Datum contact, bool deferrable);

extern void ls_pending_init(LsPending *pending);
extern void ls_pending_read(LsModel *model, Datum contact, LsPending *pending);
extern void ls_pending_take(LsModel *model, Datum contact, LsPending *pending);
extern void ls_pending_walk_open(LsPendingWalk *walk, LsModel *model);
extern bool ls_pending_walk_next(LsPendingWalk *walk, Datum *contact, LsPending *pending);
extern void ls_pending_walk_close(LsPendingWalk *walk);
extern bool ls_pending_any(LsModel *model);
extern bool ls_pending_any_visitors(LsModel *model);
extern bool ls_pending_none(const char *model);
extern int	ls_pending_contacts(LsModel *model, const Datum *after, int limit,
								Datum *contacts);
extern int	ls_pending_visitors(LsModel *model, const Datum *after, int limit,
								Datum *visitors);
extern int64 ls_pending_clear(LsModel *model);
extern void ls_pending_again(LsModel *model);
extern void ls_pending_restored(Oid table);

#endif							/* LEADSCORE_PENDING_TABLE_H */
