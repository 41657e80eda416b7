/*-------------------------------------------------------------------------
 *
 * replay.h
 *		The score from the events alone: what verify compares with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_REPLAY_H
#define LEADSCORE_REPLAY_H

#include "postgres.h"

#include "counting/event_reader.h"
#include "rules/model_compile.h"
#include "scoring/contact_score.h"

typedef struct LsReplay LsReplay;

extern LsReplay *ls_replay_make(LsModel *model);
extern void ls_replay_clear(LsReplay *replay);
extern void ls_replay_read(LsReplay *replay, LsReader *reader, Datum contact);
extern bool ls_replay_contact(LsReplay *replay, Datum contact);
extern void ls_replay_recall(LsReplay *replay, bool has_contact, TimestampTz created_at);
extern void ls_replay_hold(LsReplay *replay, int rule, bool holds, double weight);
extern void ls_replay_tell(const LsReplay *replay, Datum contact, TimestampTz t,
						   bool always);
extern LsModel *ls_replay_model(const LsReplay *replay);
extern TimestampTz ls_replay_begins(const LsReplay *replay);
extern TimestampTz ls_replay_last(const LsReplay *replay, TimestampTz t);
extern bool ls_replay_known(const LsReplay *replay);
extern double ls_replay_score(LsReplay *replay, TimestampTz t, double *size);
extern void ls_replay_evaluate(LsReplay *replay, TimestampTz t, LsScore *score);
extern LsContribution *ls_replay_rules(LsReplay *replay, TimestampTz t);

#endif							/* LEADSCORE_REPLAY_H */
