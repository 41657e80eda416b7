/*-------------------------------------------------------------------------
 *
 * resume.h
 *		Models that are suspended or resumed when a transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RESUME_H
#define LEADSCORE_RESUME_H

#include "postgres.h"

extern void ls_resume_before_commit(void);
extern void ls_resume_end_transaction(void);

#endif							/* LEADSCORE_RESUME_H */
