/*-------------------------------------------------------------------------
 *
 * identity_table.h
 *		Identity resolution: contacts that were merged, visitors that are identified.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_IDENTITY_TABLE_H
#define LEADSCORE_IDENTITY_TABLE_H

#include "postgres.h"

#include "rules/model_compile.h"

/* How the row which says whose a contact is, is looked for */
typedef enum LsIdentityLook
{
	LS_IDENTITY_SEEN,			/* as the active snapshot sees it */
	LS_IDENTITY_NEWEST,			/* as it is now ... */
	LS_IDENTITY_LOCKED			/* ... and locked until the transaction ends */
} LsIdentityLook;

/* All that is counted for one contact beside its own rows */
typedef struct LsIdentities
{
	bool		taken;			/* nothing: its rows count for another */
	int			nsources;		/* contacts that were merged into it */
	Datum	   *sources;
	int			nvisitors;		/* of it and of these */
	Datum	   *visitors;
} LsIdentities;

extern bool ls_identity_has_merges(LsModel *model);
extern bool ls_identity_has_visitors(LsModel *model);
extern char *ls_identity_place(LsModel *model);
extern bool ls_identity_find(LsModel *model, Datum contact, LsIdentityLook look,
							 Datum *target);
extern void ls_identity_of(LsModel *model, Datum contact, LsIdentities *identities);
extern void ls_identity_enqueue(LsModel *model, Datum target);
extern bool ls_identity_may_be_pending(LsModel *model);
extern bool ls_identity_pending(LsModel *model, Datum contact);

#endif							/* LEADSCORE_IDENTITY_TABLE_H */
