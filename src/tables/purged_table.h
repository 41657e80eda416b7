/*-------------------------------------------------------------------------
 *
 * purged_table.h
 *		The rows of purged_<model>: what purged events contributed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PURGED_TABLE_H
#define LEADSCORE_PURGED_TABLE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "rules/model_compile.h"
#include "scoring/state.h"
#include "tables/row_writer.h"

/* leadscore.on_delete */
typedef enum LsOnDelete
{
	LS_ON_DELETE_SOURCE,		/* as the source is attached */
	LS_ON_DELETE_RETRACT,
	LS_ON_DELETE_KEEP
} LsOnDelete;

/* One row: contributions of events of one contact that were purged together */
typedef struct LsPurged
{
	char	   *source;
	TimestampTz until;			/* the latest of these events */
	LsState		state;			/* never compacted */
} LsPurged;

extern bool ls_purged_is_kept(const LsModel *model, const LsSource *source);

/* rows are only inserted, so sessions do not wait for each other */
extern LsRowWriter *ls_purged_open(LsModel *model);
extern void ls_purged_add(LsRowWriter *table, Datum contact, const char *source,
						  const LsState *state);

extern bool ls_purged_any(LsModel *model);

/* what the active snapshot sees of a contact; of LsPurged */
extern List *ls_purged_rows(LsModel *model, Datum contact);
extern void ls_purged_merge(LsModel *model, Datum contact, LsState *state);

/* those of a source that is not attached are ignored */
extern bool ls_purged_of_source(const char *model, const char *source);
extern int64 ls_purged_forget_source(const char *model, const char *source);
extern char *ls_purged_query(LsModel *model, const char *rest);

/* notices about purged events */
extern void ls_purged_report(LsModel *model, const char *detail);
extern void ls_purged_report_rule(LsModel *model, const LsRule *rule);

extern void ls_purged_define(void);

#endif							/* LEADSCORE_PURGED_TABLE_H */
