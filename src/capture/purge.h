/*-------------------------------------------------------------------------
 *
 * purge.h
 *		Rows of event tables that go: kept, or their contacts counted again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PURGE_H
#define LEADSCORE_PURGE_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "rules/model_compile.h"

/* rows that go from one source of one model, or from its contact table */
typedef struct LsPurge LsPurge;

extern LsPurge *ls_purge_begin(LsModel *model, LsSource *source, bool keep);
extern void ls_purge_row(LsPurge *purge, TupleTableSlot *slot, ExprContext *econtext);
extern void ls_purge_end(LsPurge *purge);

/* before tables are dropped */
extern bool ls_feeds(Oid relation);
extern List *ls_drops_fed(const DropStmt *stmt);
extern void ls_purge_before(const Node *stmt);
extern bool ls_purge_read(Relation rel, const List *dropped);
extern bool ls_purge_dropped(Oid relation);

#endif							/* LEADSCORE_PURGE_H */
