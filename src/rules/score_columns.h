/*-------------------------------------------------------------------------
 *
 * score_columns.h
 *		Where the columns of a compiled model are in its score table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_COLUMNS_H
#define LEADSCORE_SCORE_COLUMNS_H

#include "postgres.h"

#include "access/tupdesc.h"

#include "rules/model_compile.h"

/* columns of score_<model>: contact_id, score, a column a category, then */
enum
{
	LS_SCORE_GRADE,
	LS_SCORE_STAGE,
	LS_SCORE_STAGE_SINCE,
	LS_SCORE_DISQUALIFIED,
	LS_SCORE_HAS_CONTACT,
	LS_SCORE_LAST_EVENT_AT,
	LS_SCORE_SCORED_AT,
	LS_SCORE_RULES_VERSION,
	LS_SCORE_STATE,
	LS_SCORE_COLUMNS
};

typedef struct LsScoreColumn
{
	const char *name;
	Oid			type;
} LsScoreColumn;

extern const LsScoreColumn ls_score_columns[LS_SCORE_COLUMNS];

/* where a row has them */
#define LS_SCORE_CATEGORY_AT(model, category) ((model)->score_columns[category])
#define LS_SCORE_AT(model, column) ((model)->score_columns[(model)->ncategories + (column)])
#define LS_SCORE_NOWHERE (-1)	/* the table has no such column (any more) */

/*
 * From which stored score on rows of a score table are written with their top_score, and
 * from which on all have it; infinity: none.
 */
typedef struct LsTopScores
{
	double		written_from;
	double		complete_from;
} LsTopScores;

extern LsTopScores ls_score_columns_top(const char *model, Snapshot snapshot);
extern void ls_score_columns_check_tables(LsModel *model, Snapshot snapshot, int64 version,
										  bool of_the_past);
extern void ls_score_columns_check(const LsModel *model, TupleDesc desc);
extern void ls_score_columns_spread(LsModel *model, TupleDesc desc, Datum *values, bool *nulls);

#endif							/* LEADSCORE_SCORE_COLUMNS_H */
