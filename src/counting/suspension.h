/*-------------------------------------------------------------------------
 *
 * suspension.h
 *		Suspended models: work that is deferred to a job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SUSPENSION_H
#define LEADSCORE_SUSPENSION_H

#include "postgres.h"

#include "definitions/lead_tables.h"
extern bool ls_suspension_waits(const char *model);
extern void ls_suspension_record(const char *model, int64 job, const char *why);
extern bool ls_suspension_request(const LsModelRow *row);
extern bool ls_suspension_defers(const char *model);
extern void ls_suspension_missed(const char *model);
extern void ls_suspension_refuse(const LsModelRow *row);

#endif							/* LEADSCORE_SUSPENSION_H */
