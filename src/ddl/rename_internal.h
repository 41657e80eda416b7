/*-------------------------------------------------------------------------
 *
 * rename_internal.h
 *		Shared by the files that bring texts in line with renamed objects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RENAME_INTERNAL_H
#define LEADSCORE_RENAME_INTERNAL_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "definitions/lead_tables.h"
#include "rules/expression_rename.h"

/* rename_command.c */
extern bool ls_rename_command(const Node *stmt, LsRename *rename);

/* rename_keys.c */
extern List *ls_rename_keys_read(const LsModelRow *model);
extern void ls_rename_keys_write(const LsModelRow *model, List *keys);

/* rename_warning.c */
extern char *ls_rename_done(const LsRename *rename);
extern void ls_rename_warn_of_unread(const char *model, const char *rule,
									 const LsRenamedText *text, const LsRename *rename);
extern List *ls_rename_calls_read(const char *model);
extern void ls_rename_calls_warn(const char *model, List *calls, const LsRename *rename);

#endif							/* LEADSCORE_RENAME_INTERNAL_H */
