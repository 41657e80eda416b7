/*-------------------------------------------------------------------------
 *
 * identity_table.h
 *		Who is whose: contacts that were merged, visitors that are identified.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_IDENTITY_TABLE_H
#define LEADSCORE_IDENTITY_TABLE_H

#include "postgres.h"

#include "rules/model_compile.h"

/* How the row which says whose a contact is, is looked for */
typedef enum LsAliasLook
{
	LS_ALIAS_SEEN,				/* as the active snapshot sees it */
	LS_ALIAS_NOW,				/* as it is now ... */
	LS_ALIAS_HELD				/* ... and kept until the transaction ends */
} LsAliasLook;

/* All that is counted for one contact beside its own rows */
typedef struct LsAliases
{
	bool		taken;			/* nothing: its rows count for another */
	int			nsources;		/* contacts that were merged into it */
	Datum	   *sources;
	int			nvisitors;		/* of it and of these */
	Datum	   *visitors;
} LsAliases;

extern bool ls_alias_merges(LsModel *model);
extern bool ls_alias_visitors(LsModel *model);
extern char *ls_alias_place(LsModel *model);
extern bool ls_alias_find(LsModel *model, Datum contact, LsAliasLook look,
						  Datum *target);
extern void ls_alias_of(LsModel *model, Datum contact, LsAliases *aliases);
extern void ls_alias_mark(LsModel *model, Datum target);
extern bool ls_alias_may_be_pending(LsModel *model);
extern bool ls_alias_pending(LsModel *model, Datum contact);

#endif							/* LEADSCORE_IDENTITY_TABLE_H */
