/*-------------------------------------------------------------------------
 *
 * live_scores.h
 *		Contacts as they are at an instant.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LIVE_SCORES_H
#define LEADSCORE_LIVE_SCORES_H

#include "postgres.h"

#include "counting/contact_snapshot.h"

extern void ls_live_advance(LsAdvance *advance, LsScoreRow *row, TimestampTz at);

#endif							/* LEADSCORE_LIVE_SCORES_H */
