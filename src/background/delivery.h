/*-------------------------------------------------------------------------
 *
 * delivery.h
 *		Consequences: who is told of what happened to a contact, and how.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DELIVERY_H
#define LEADSCORE_DELIVERY_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/*
 * Delivery, by the worker.  Each of these expects a transaction with an active
 * snapshot; the caller begins and ends it, and catches errors.
 */

/* A call that is to be made */
typedef struct LsDelivery
{
	int64		outbox_id;
	char	   *model;
	char	   *function;
	Interval   *timeout;
	int32		attempts;		/* this one counted */
} LsDelivery;

/* names of models of which something is to be sent or called now */
extern List *ls_action_waiting(void);

/* sends up to so many NOTIFYs of a model when the transaction commits; how many */
extern int	ls_action_notify(const char *model, int limit);

/*
 * Claim the next call in a transaction of its own; call in a second one; where
 * that fails, roll it back and say so in a third.  A claim that is followed by
 * nothing, because of a crash, was an attempt.
 */
extern bool ls_action_claim(const char *model, LsDelivery *delivery);
extern void ls_action_call(const LsDelivery *delivery);

/* whether the process ends because a function went on after its timeout */
extern bool ls_action_overran;

extern void ls_action_failed(const LsDelivery *delivery, const char *error);

/* deletes rows of a model that were done so many days ago, at most limit; how many */
extern int64 ls_action_purge(const char *model, int days, int limit);

#endif							/* LEADSCORE_DELIVERY_H */
