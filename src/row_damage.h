/*-------------------------------------------------------------------------
 *
 * row_damage.h
 *		Rows of score_<model> that cannot be read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ROW_DAMAGE_H
#define LEADSCORE_ROW_DAMAGE_H

#include "postgres.h"

#include "store.h"

extern bool ls_row_repair(LsModel *model, const LsChange *change, const ErrorData *damage,
						  LsChange *repaired);

#endif							/* LEADSCORE_ROW_DAMAGE_H */
