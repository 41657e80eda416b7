/*-------------------------------------------------------------------------
 *
 * purged_table.h
 *		The rows of kept_<model>: what events that were purged had given.
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

/* One row: what events of one contact that went together had given */
typedef struct LsKept
{
	char	   *source;
	TimestampTz until;			/* the latest of these events */
	LsState		state;			/* never folded */
} LsKept;

extern bool ls_keeps(const LsModel *model, const LsSource *source);

/* rows are only inserted, so nobody waits for anybody */
typedef struct LsKeptTable LsKeptTable;
extern LsKeptTable *ls_kept_open(LsModel *model);
extern void ls_kept_insert(LsKeptTable *table, Datum contact, const char *source,
						   const LsState *state);
extern void ls_kept_close(LsKeptTable *table);

extern bool ls_kept_any(LsModel *model);

/* what the active snapshot sees kept of a contact; of LsKept */
extern List *ls_kept_rows(LsModel *model, Datum contact);
extern void ls_kept_add(LsModel *model, Datum contact, LsState *state);

/* what is kept of a source that is not attached counts for nothing meanwhile */
extern bool ls_kept_of_source(const char *model, const char *source);
extern int64 ls_kept_forget_source(const char *model, const char *source);
extern char *ls_kept_query(LsModel *model, const char *rest);

/* notices of what is not there any more */
extern void ls_kept_tell(LsModel *model, const char *detail);
extern void ls_kept_tell_rule(LsModel *model, const LsRule *rule);

extern void ls_purged_define(void);

#endif							/* LEADSCORE_PURGED_TABLE_H */
