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

#include "rules/model_compile.h"

extern void ls_damaged_row_report(LsModel *model, Datum contact, const ErrorData *damage);

#endif							/* LEADSCORE_DAMAGED_ROW_H */
