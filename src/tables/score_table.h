/*-------------------------------------------------------------------------
 *
 * score_table.h
 *		The rows of score_<model>, in SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_TABLE_H
#define LEADSCORE_SCORE_TABLE_H

#include "postgres.h"

#include "base/sql.h"
#include "rules/model_compile.h"
#include "scoring/score_row.h"

extern bool ls_instant_has_been(TimestampTz at);
extern void ls_row_restored(Oid pending_table);
extern bool ls_row_writing(void);
extern int	ls_row_natts(const LsModel *model);
extern void ls_row_check_tables(LsModel *model, Snapshot snapshot, int64 version,
								bool of_the_past);
extern void ls_row_check(const LsModel *model, TupleDesc desc);
extern void ls_row_read(LsModel *model, const Datum *values,
						 const bool *nulls, LsScoreRow *row);
extern bool ls_row_is_there(LsModel *model, Datum contact);
extern ErrorData *ls_row_try_read(LsModel *model, Datum *values, const bool *nulls,
								  LsScoreRow *row);
extern void ls_row_read_tuple(LsModel *model, HeapTuple tuple, TupleDesc desc,
							  LsScoreRow *row);
extern void ls_row_values(LsModel *model, const LsScoreRow *row,
						  Datum *values, bool *nulls);
extern bool ls_row_find(LsModel *model, Datum contact, LsScoreRow *row);
extern bool ls_row_select(LsModel *model, Datum contact, LsScoreRow *row,
						  bool lock);
extern void ls_row_attempt(LsModel *model, Datum contact, Oid table, int attempts);
extern bool ls_row_insert(LsModel *model, Datum *values, bool *nulls);
extern void ls_row_update(LsModel *model, Datum *values, bool *nulls);
extern void ls_row_delete(LsModel *model, Datum contact);
extern const char *ls_row_key_operator(LsModel *model);
extern const char *ls_row_operator(const LsKeyType *key);
extern uint64 ls_row_run(struct _SPI_plan *plan, Datum *values, const bool *nulls,
						 int nvalues, Snapshot snapshot);
extern uint64 ls_row_execute(const char *sql, LsSqlArguments *args);
extern struct _SPI_plan *ls_row_plan(struct _SPI_plan **plan, const char *sql,
									 int nargs, Oid *types);
extern void ls_row_free(void *plans, Size size);
extern void ls_row_free_plans(LsModel *model);

#endif							/* LEADSCORE_SCORE_TABLE_H */
