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

extern bool ls_contact_any_pending(LsModel *model);
extern bool ls_contact_find(LsModel *model, Datum contact, LsScoreRow *row);
extern bool ls_contact_complete(LsModel *model, LsScoreRow *row);
extern bool ls_contact_start(LsModel *model, Datum contact, LsScoreRow *row);
extern bool ls_contact_bring(LsModel *model, LsScoreRow *row, bool exists);
extern LsReplay *ls_contact_recall(LsModel *model, LsScoreRow *row, TimestampTz at);
extern void ls_contact_show(LsModel *model, LsScoreRow *row, TimestampTz t);
extern List *ls_contact_foretell(LsModel *model, LsScoreRow *row, TimestampTz now,
								 TimestampTz until, bool grades);
extern bool ls_contact_stand(LsModel *model, Datum contact, LsScoreRow *row);

#endif							/* LEADSCORE_CONTACT_SNAPSHOT_H */
