/*-------------------------------------------------------------------------
 *
 * live_plan.h
 *		Queries of live_<model>, before they are planned.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LIVE_PLAN_H
#define LEADSCORE_LIVE_PLAN_H

extern void ls_live_plan_define(void);

#endif							/* LEADSCORE_LIVE_PLAN_H */
