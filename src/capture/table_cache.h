/*-------------------------------------------------------------------------
 *
 * table_cache.h
 *		The session's cache of which models a table feeds, and how: as a source, or as
 *		the contact table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TABLE_CACHE_H
#define LEADSCORE_TABLE_CACHE_H

#include "postgres.h"

#include "access/tupconvert.h"
#include "utils/rel.h"

#include "rules/model_compile.h"

/* A table as one model sees it: as a source, or as its contact table */
typedef struct LsBinding
{
	int			model;			/* index into the table's models */
	LsSource   *source;			/* NULL: the contact table */
	bool		purges_only;	/* suspended model: only purged contributions */
	bool		by_row;			/* rows are captured by the row trigger */
	TupleConversionMap *map;	/* to the source's own columns, or NULL */
	TupleTableSlot *mapped;
} LsBinding;

typedef struct LsTable
{
	Oid			relation;
	MemoryContext context;
	bool		valid;			/* nothing was invalidated since */
	bool		loaded;
	bool		incomplete;		/* a model was left out: load the entry again */
	int			uses;
	int			nmodels;		/* in the order of the oids of their score tables */
	LsModel   **models;
	int			nbindings;
	LsBinding  *bindings;
	struct LsCapture *captures; /* kept for the next statements, in its memory */
	int			ncaptures;
} LsTable;

extern LsTable *ls_table_cache_acquire(Relation rel);
extern void ls_table_cache_release(LsTable *table);
extern void ls_table_cache_forget(Oid relation);
extern void ls_table_cache_end_transaction(void);

/* rows as the source or contact table has them */
extern TupleTableSlot *ls_table_cache_row(LsBinding *binding, TupleTableSlot *slot);
extern bool ls_table_cache_contact(const LsBinding *binding, LsModel *model,
								   TupleTableSlot *slot, ExprContext *econtext,
								   Datum *contact);
extern bool ls_table_cache_same(const LsBinding *binding, LsModel *model,
								TupleTableSlot *a, TupleTableSlot *b);

#endif							/* LEADSCORE_TABLE_CACHE_H */
