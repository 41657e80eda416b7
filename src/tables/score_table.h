/*-------------------------------------------------------------------------
 *
 * score_table.h
 *		The rows of score_<model>.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_TABLE_H
#define LEADSCORE_SCORE_TABLE_H

#include "postgres.h"

#include "base/heap_writer.h"
#include "rules/model_compile.h"
#include "scoring/score_row.h"

extern void ls_score_table_read_tuple(LsModel *model, HeapTuple tuple, TupleDesc desc,
									  LsScoreRow *row);
extern void ls_score_table_read_values(LsModel *model, const Datum *values, const bool *nulls,
									   LsScoreRow *row);
extern void ls_score_table_read_state(LsModel *model, const Datum *values, const bool *nulls,
									  LsState *state, LsSlotRoom *room);
extern void ls_score_table_shown(LsModel *model, const LsScoreRow *row,
								 Datum *values, bool *nulls);

/* score_<model>, open to be written to */
typedef struct LsScoreTable
{
	LsModel    *model;
	LsHeapWriter rows;
} LsScoreTable;

extern void ls_score_table_open(LsScoreTable *table, LsModel *model);
extern bool ls_score_table_lock(LsScoreTable *table, Datum contact);
extern bool ls_score_table_lock_free(LsScoreTable *table, Datum contact, bool *exists);
extern bool ls_score_table_look_up(LsScoreTable *table, Datum contact);
extern ErrorData *ls_score_table_read(LsScoreTable *table, LsScoreRow *row);
extern bool ls_score_table_insert(LsScoreTable *table, const LsScoreRow *row);
extern bool ls_score_table_replace(LsScoreTable *table, const LsScoreRow *row);
extern void ls_score_table_set_top(LsScoreTable *table);
extern void ls_score_table_update(LsScoreTable *table, const LsScoreRow *row);
extern void ls_score_table_delete(LsScoreTable *table, Datum contact);
extern void ls_score_table_close(LsScoreTable *table);

extern bool ls_score_table_find(LsModel *model, Datum contact, LsScoreRow *row);
extern bool ls_score_table_find_newest(LsModel *model, Datum contact, LsScoreRow *row);
extern void ls_score_table_attempt(LsModel *model, Datum contact, Oid table, int attempts);

#endif							/* LEADSCORE_SCORE_TABLE_H */
