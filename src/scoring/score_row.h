/*-------------------------------------------------------------------------
 *
 * score_row.h
 *		A contact's row of score_<model>, in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_ROW_H
#define LEADSCORE_SCORE_ROW_H

#include "postgres.h"

#include "scoring/contact_score.h"
#include "scoring/stage.h"
#include "scoring/state.h"

typedef struct LsScoreRow
{
	Datum		contact;
	double		score;
	double	   *categories;
	char	   *grade;			/* NULL: none */
	char	   *stage;
	TimestampTz stage_since;
	bool		disqualified;
	TimestampTz scored_at;
	int64		rules_version;
	LsState		state;
} LsScoreRow;

/*
 * ls_score_row_instant is the earliest instant at which a row can be evaluated: its
 * state may have later events than the score that it shows.
 */
static inline TimestampTz
ls_score_row_instant(const LsScoreRow *row)
{
	return Max(row->scored_at, row->state.last);
}

/* ls_score_row_is_known tells whether anything is left of a contact. */
static inline bool
ls_score_row_is_known(const LsScoreRow *row)
{
	return row->state.events > 0 || row->state.nfuture > 0 || row->state.has_contact;
}

extern void ls_score_row_start(LsModel *model, Datum contact, LsScoreRow *row, TimestampTz t);
extern void ls_score_row_take_score(LsModel *model, LsScoreRow *row, const LsScore *score);
extern bool ls_score_row_is_of_other_rules(LsModel *model, const LsScoreRow *row,
										   const LsScore *at_stored);
extern bool ls_score_row_is_outdated(LsModel *model, const LsScoreRow *row, const LsScore *now);
extern LsStageState ls_score_row_stage_state(const LsScoreRow *row);
extern void ls_score_row_set_stage_state(LsScoreRow *row, const LsStageState *state);

#endif							/* LEADSCORE_SCORE_ROW_H */
