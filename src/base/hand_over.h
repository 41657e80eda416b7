/*-------------------------------------------------------------------------
 *
 * hand_over.h
 *		Tables of a model that get another owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_HAND_OVER_H
#define LEADSCORE_HAND_OVER_H

#include "postgres.h"

extern void ls_hand_over_check(Oid relid, Oid owner);

#endif							/* LEADSCORE_HAND_OVER_H */
