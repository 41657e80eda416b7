/*-------------------------------------------------------------------------
 *
 * local_rows.h
 *		The FROM item of a query, without rows of foreign tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LOCAL_ROWS_H
#define LEADSCORE_LOCAL_ROWS_H

#include "postgres.h"

extern char *ls_local_rows(Oid relation, Oid role);

#endif							/* LEADSCORE_LOCAL_ROWS_H */
