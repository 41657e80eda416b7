/*-------------------------------------------------------------------------
 *
 * table_index.h
 *		The indexes by which rows of a model's tables are found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TABLE_INDEX_H
#define LEADSCORE_TABLE_INDEX_H

#include "postgres.h"

#include "utils/rel.h"

#include "rules/model_compile.h"

extern Oid	ls_key_index(Relation rel, int ncolumns);
extern Oid	ls_key_index_required(Relation rel, int ncolumns);
extern Oid	ls_contact_index_required(Relation rel);
extern void ls_indexes_check(const LsModel *model);

#endif							/* LEADSCORE_TABLE_INDEX_H */
