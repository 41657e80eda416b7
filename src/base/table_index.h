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

extern Oid	ls_table_index_key(Relation rel, int ncolumns);
extern Oid	ls_table_index_key_required(Relation rel, int ncolumns);
extern Oid	ls_table_index_required(Relation rel, AttrNumber column);
extern void ls_table_index_check(Oid table, int nkey);

#endif							/* LEADSCORE_TABLE_INDEX_H */
