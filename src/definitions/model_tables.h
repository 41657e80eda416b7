/*-------------------------------------------------------------------------
 *
 * model_tables.h
 *		The tables and views of a model: how they are made, changed, dropped.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MODEL_TABLES_H
#define LEADSCORE_MODEL_TABLES_H

#include "postgres.h"

#include "definitions/lead_tables.h"

/* What a model's tables and views are made from */
typedef struct LsModelTables
{
	LsModelRow	row;
	Oid			key_type;		/* not a domain */
	Oid			key_collation;
	char	  **categories;
	int			ncategories;
} LsModelTables;

extern bool ls_tables_show_column(const char *name);
extern bool ls_tables_is_of(const char *name, const char *model);
extern void ls_tables_check_free(const char *model);
extern void ls_tables_make(const LsModelTables *new);
extern void ls_tables_make_identity(const LsModelTables *model, Oid type,
									Oid collation);
extern void ls_tables_rekey(const LsModelTables *new);
extern bool ls_tables_lock_if_free(const char *model);
extern void ls_tables_check_owner(void);
extern bool ls_tables_belong(const char *model, Oid owner);
extern void ls_tables_depend(const LsModelRow *row);
extern void ls_tables_check_made(Oid relid);
extern void ls_tables_update(const LsModelRow *row);
extern void ls_tables_give(const LsModelRow *row);
extern void ls_tables_drop(const char *model);

/* InvalidOid: all of a dump is there */
extern Oid	ls_tables_without_index(const char *model);

/* for callers that make one of them */
extern void ls_tables_read(const LsModelRow *row, LsModelTables *tables);
extern char *ls_tables_type(Oid type);
extern char *ls_tables_collation(Oid type, Oid collation);
extern void ls_tables_comment(const char *table, const char *column,
							  const char *comment);
extern void ls_tables_publishable(const char *table);
extern void ls_tables_give_one(const char *name, Oid owner);
extern void ls_tables_give_view(const char *name, Oid owner);
extern void ls_tables_comment_columns(const LsModelTables *new, const char *prefix,
									  bool internals);
/* of a model or category: with what stands before and after it, an identifier */
#define LS_MAX_NAME		41
#define LS_MAX_CATEGORIES	32

extern bool ls_tables_name_is_valid(const char *word);
extern bool ls_tables_complete(const char *model);
extern void ls_tables_check_category(const char *name);

#endif							/* LEADSCORE_MODEL_TABLES_H */
