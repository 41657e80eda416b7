/*-------------------------------------------------------------------------
 *
 * score_writer.h
 *		Reads and writes score_<model>: the only writer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_WRITER_H
#define LEADSCORE_SCORE_WRITER_H

#include "postgres.h"

#include "scoring/transition.h"
#include "tables/subtract_events.h"

typedef enum LsOutcome
{
	LS_UNCHANGED,
	LS_CHANGED,
	LS_SKIPPED					/* another session has locked the row */
} LsOutcome;

/* fills in a state from the tables, as of now */
typedef void (*LsCounter) (LsModel *model, Datum contact, TimestampTz now, LsState *state);

/*
 * What has to be read under a row's lock, with a snapshot newer than the lock, is read
 * by callbacks, which are set when the module is loaded.
 */
typedef struct LsScoreWriterCallbacks
{
	LsCounter	count_all;		/* events and profile */
	LsCounter	count_profile;
	LsFindEvents find_events;
	/* gives the stages' conditions the contact's row */
	void		(*stage_context) (LsModel *model, Datum contact, ExprContext *econtext);
} LsScoreWriterCallbacks;

typedef struct LsScoreWriter LsScoreWriter;

extern void ls_score_writer_define(const LsScoreWriterCallbacks *callbacks);
extern LsScoreWriter *ls_score_writer_open(LsModel *model, const char *cause);
extern LsOutcome ls_score_writer_change(LsScoreWriter *writer, const LsChange *change);
extern int64 ls_score_writer_transitions(const LsScoreWriter *writer);
extern bool ls_score_writer_has_read_events(const LsScoreWriter *writer);
extern void ls_score_writer_close(LsScoreWriter *writer);
extern bool ls_score_writer_would_change(LsScoreWriter *writer, LsScoreRow *row);

#endif							/* LEADSCORE_SCORE_WRITER_H */
