/*-------------------------------------------------------------------------
 *
 * replay_keyed.h
 *		What counts for a keyed rule, from its rows alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_REPLAY_KEYED_H
#define LEADSCORE_REPLAY_KEYED_H

#include "postgres.h"

#include "rules/model_compile.h"

/* A row of a keyed rule */
typedef struct LsReplayRow
{
	TimestampTz at;
	double		weight;
	LsRowRoles *roles;
} LsReplayRow;

typedef struct LsReplayRows
{
	int			n;
	int			room;
	LsReplayRow *rows;
} LsReplayRows;

/* What counts: a row, or what a sequence makes of two */
typedef struct LsReplayEvent
{
	LsRowValue	value;
	TimestampTz at;
	double		weight;
	bool		both;			/* of a row: it follows others, too */
} LsReplayEvent;

extern void ls_replay_keyed_keep(LsReplayRows *rows, TimestampTz at, const LsMatch *match);
extern int	ls_replay_keyed_events(const LsModel *model, const LsRule *rule, const LsReplayRows *rows,
								   TimestampTz t, LsReplayEvent **events);
extern int	ls_replay_keyed_compare(const LsRowValue *a, const LsRowValue *b);

#endif							/* LEADSCORE_REPLAY_KEYED_H */
