/*-------------------------------------------------------------------------
 *
 * purged_table.h
 *		The rows of purged_<model>: contributions of events that were purged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PURGED_TABLE_H
#define LEADSCORE_PURGED_TABLE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "rules/model_compile.h"
#include "scoring/state.h"

/* leadscore.on_delete */
typedef enum LsOnDelete
{
	LS_ON_DELETE_SOURCE,		/* as the source says */
	LS_ON_DELETE_RETRACT,
	LS_ON_DELETE_KEEP
} LsOnDelete;

extern int	ls_on_delete;

/* One row: contributions of events of one contact that were purged together */
typedef struct LsPurged
{
	char	   *source;
	TimestampTz until;			/* the latest of these events */
	LsState		state;			/* never folded */
} LsPurged;

extern bool ls_keeps(const LsModel *model, const LsSource *source);

/* rows are only inserted, so nobody waits for anybody */
typedef struct LsPurgedTable LsPurgedTable;
extern LsPurgedTable *ls_purged_open(LsModel *model);
extern void ls_purged_insert(LsPurgedTable *table, Datum contact, const char *source,
						   const LsState *state);
extern void ls_purged_close(LsPurgedTable *table);

extern bool ls_purged_any(LsModel *model);

/* what the active snapshot sees purged of a contact; of LsPurged */
extern List *ls_purged_rows(LsModel *model, Datum contact);
extern void ls_purged_add(LsModel *model, Datum contact, LsState *state);

/* purged contributions of a source that is not attached count for nothing meanwhile */
extern bool ls_purged_has_source(const char *model, const char *source);
extern int64 ls_purged_forget_source(const char *model, const char *source);
extern char *ls_purged_query(LsModel *model, const char *rest);

/* notices of what is not there any more */
extern void ls_purged_report(LsModel *model, const char *detail);
extern void ls_purged_report_rule(LsModel *model, const LsRule *rule);

extern void ls_purged_define(void);

#endif							/* LEADSCORE_PURGED_TABLE_H */
