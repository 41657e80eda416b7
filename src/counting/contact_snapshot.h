/*-------------------------------------------------------------------------
 *
 * contact_snapshot.h
 *		A contact as a snapshot sees it: its row, and what is pending of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CONTACT_SNAPSHOT_H
#define LEADSCORE_CONTACT_SNAPSHOT_H

#include "postgres.h"

#include "counting/replay.h"
#include "rules/model_compile.h"
#include "scoring/score_row.h"
#include "tables/pending_table.h"

/* What advances one contact after the other to an instant, and is made once for all */
typedef struct LsAdvance
{
	LsModel    *model;
	ExprContext *econtext;		/* for conditions of stages */
	LsScore    *score;
	LsScore    *curved;			/* with its curve; NULL: not needed yet */
} LsAdvance;

extern void ls_contact_snapshot_fill_context(LsModel *model, Datum contact, ExprContext *econtext);
extern ExprContext *ls_contact_snapshot_make_context(LsModel *model, EState *estate, Datum contact);
extern bool ls_contact_snapshot_any_pending(LsModel *model);
extern bool ls_contact_snapshot_find(LsModel *model, Datum contact, LsScoreRow *row);
extern bool ls_contact_snapshot_merge_state(LsModel *model, LsScoreRow *row);
extern bool ls_contact_snapshot_evaluate(LsModel *model, LsScoreRow *row, const LsPending *pending,
										 TimestampTz at, LsScore *score);
extern bool ls_contact_snapshot_merge(LsModel *model, LsScoreRow *row, bool exists);
extern LsReplay *ls_contact_snapshot_recall(LsModel *model, LsScoreRow *row, TimestampTz at);
extern LsAdvance *ls_contact_snapshot_advance_make(LsModel *model);
extern void ls_contact_snapshot_advance(LsAdvance *advance, LsScoreRow *row, TimestampTz t);
extern List *ls_contact_snapshot_forecast(LsModel *model, LsScoreRow *row, TimestampTz now,
										  TimestampTz until, bool grades);
extern bool ls_contact_snapshot_find_current(LsModel *model, Datum contact, LsScoreRow *row);

#endif							/* LEADSCORE_CONTACT_SNAPSHOT_H */
