/*-------------------------------------------------------------------------
 *
 * pending_table.h
 *		The rows of pending_<model>: what is put aside, to be folded in later.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PENDING_TABLE_H
#define LEADSCORE_PENDING_TABLE_H

#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"

#include "rules/model_compile.h"
#include "scoring/state.h"

typedef struct LsPendingTable LsPendingTable;

/* What is pending about one contact, all together */
typedef struct LsPending
{
	int64		nrows;
	bool		count_all;		/* it has to be recomputed */
	bool		count_profile;	/* its row has to be looked at again */
	bool		has_delta;
	LsState		delta;			/* events to be added */
	TimestampTz instant;		/* by the clocks that it was put aside by, the
								 * latest; DT_NOBEGIN: nothing is pending */
} LsPending;

/* Rows are only inserted, so nobody waits for anybody. */
extern LsPendingTable *ls_pending_open(LsModel *model);
extern void ls_pending_add(LsPendingTable *table, Datum contact,
						   const LsState *delta, bool profile);
extern void ls_pending_close(LsPendingTable *table);

/* for one who has a table open for a moment only */
extern void ls_pending_add_one(LsModel *model, Datum contact,
							   const LsState *delta, bool profile);

extern void ls_pending_init(LsPending *pending);
extern void ls_pending_read(LsModel *model, Datum contact, LsPending *pending);
extern void ls_pending_take(LsModel *model, Datum contact, LsPending *pending);
extern bool ls_pending_any(LsModel *model);
extern bool ls_pending_any_visitors(LsModel *model);
extern bool ls_pending_none(const char *model);
extern int	ls_pending_contacts(LsModel *model, const Datum *after, int limit,
								Datum *contacts);
extern int64 ls_pending_clear(LsModel *model);
extern void ls_pending_again(LsModel *model);
/* for tables that have an index by contact */
extern IndexScanDesc ls_by_contact_begin(LsModel *model, Relation rel,
										 Relation *index, const Datum *contact,
										 StrategyNumber strategy);
extern bool ls_by_contact_next(LsModel *model, IndexScanDesc scan, TupleTableSlot *slot);
extern void ls_pending_free_plans(LsModel *model);

#endif							/* LEADSCORE_PENDING_TABLE_H */
