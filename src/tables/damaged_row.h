/*-------------------------------------------------------------------------
 *
 * damaged_row.h
 *		Rows of score_<model> that cannot be read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DAMAGED_ROW_H
#define LEADSCORE_DAMAGED_ROW_H

#include "postgres.h"

#include "tables/score_writer.h"

extern bool ls_row_repair(LsModel *model, const LsChange *change, const ErrorData *damage,
						  LsChange *repaired);

#endif							/* LEADSCORE_DAMAGED_ROW_H */
