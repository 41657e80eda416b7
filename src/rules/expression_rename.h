/*-------------------------------------------------------------------------
 *
 * expression_rename.h
 *		Texts of expressions that follow what is renamed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EXPRESSION_RENAME_H
#define LEADSCORE_EXPRESSION_RENAME_H

#include "postgres.h"

#include "nodes/nodes.h"
#include "nodes/pg_list.h"

#include "rules/expression.h"

typedef enum LsRenameKind
{
	LS_RENAME_NAME,				/* of a column, an attribute or a table */
	LS_RENAME_LABEL,			/* of an enum type */
	LS_RENAME_OTHER				/* which texts do not follow */
} LsRenameKind;

/* What a command renames */
typedef struct LsRename
{
	LsRenameKind kind;
	Oid			object;			/* table or type; InvalidOid where texts do not follow */
	List	   *relations;		/* of which a column is renamed, or which are renamed */
	char	   *old_name;
	char	   *new_name;
	char	   *done;			/* for messages: what has been renamed to what */
} LsRename;

/* A text in the rows of one model, and what it means */
typedef struct LsRenamedText
{
	const char *column;			/* of lead_rule, or condition of lead_stage */
	LsExprUse	use;
	Oid			relid;			/* whose columns it may use */
	bool		profile;		/* of profile rules ... */
	char	   *source;			/* ... or of those of this source ... */
	char	   *stage;			/* ... or of this stage */
	char	   *text;
	Node	   *meaning;		/* before the command; NULL: it could not be read */
	List	   *literals;		/* of char *: text of each constant in it */
	char	   *renamed;		/* after the command; NULL: it cannot follow */
} LsRenamedText;

extern bool ls_expr_mentions(const char *text, const char *name);
extern void ls_expr_rename_read(LsExprSpec *spec, LsRenamedText *text);
extern void ls_expr_rename_write(LsExprSpec *spec, LsRenamedText *text, const LsRename *rename);

#endif							/* LEADSCORE_EXPRESSION_RENAME_H */
