/*-------------------------------------------------------------------------
 *
 * table_layout.h
 *		What the tables of a model look like.
 *
 * The score table and the days are not among them: their columns depend on the
 * model's categories.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TABLE_LAYOUT_H
#define LEADSCORE_TABLE_LAYOUT_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/rel.h"

/* types that differ from model to model: of the key, of the keys of visitors */
#define LS_TYPE_KEY		ANYELEMENTOID
#define LS_TYPE_VISITOR	ANYNONARRAYOID

typedef struct LsColumnLayout
{
	const char *name;
	Oid			type;
	const char *definition;		/* what follows the type */
	const char *comment;
} LsColumnLayout;

/* An index, with its own part of the name */
typedef struct LsIndexLayout
{
	const char *name;
	const char *definition;		/* what follows ON table */
} LsIndexLayout;

typedef struct LsTableLayout
{
	const char *prefix;
	const char *comment;		/* %s: the model */
	const LsColumnLayout *columns;	/* up to one without a name */
	const char *key;			/* columns of the primary key; NULL: none */
	const char *options;		/* storage parameters; NULL: none */
	const char *external;		/* column that does not compress; NULL: none */
	const LsIndexLayout *indexes;	/* up to one without a name; NULL: none */
	bool		restored;		/* whether restored rows have to be checked */
} LsTableLayout;

extern const LsTableLayout *const ls_table_layouts[];	/* up to NULL */
extern const LsTableLayout *ls_table_layout(const char *prefix);
extern void ls_table_layout_check(Relation rel, const char *prefix, Oid key_type);
extern void ls_table_layout_check_unopened(const char *model, const char *prefix, Oid key_type);

#endif							/* LEADSCORE_TABLE_LAYOUT_H */
