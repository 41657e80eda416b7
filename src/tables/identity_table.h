/*-------------------------------------------------------------------------
 *
 * identity_table.h
 *		Identity resolution: merged contacts and identified visitors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_IDENTITY_TABLE_H
#define LEADSCORE_IDENTITY_TABLE_H

#include "postgres.h"

#include "rules/model_compile.h"

/* How the row that says for which contact another counts is looked up */
typedef enum LsIdentityLook
{
	LS_IDENTITY_SEEN,			/* as the active snapshot sees it */
	LS_IDENTITY_NEWEST,			/* as it is now ... */
	LS_IDENTITY_LOCKED			/* ... and locked until the transaction ends */
} LsIdentityLook;

/* All whose rows count for one contact, beside the contact itself */
typedef struct LsIdentities
{
	bool		taken;			/* nothing: its rows count for another */
	int			nsources;		/* contacts that were merged into it */
	Datum	   *sources;
	int			nvisitors;		/* of the contact and of those merged into it */
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
extern bool ls_identity_of_visitor(LsModel *model, Datum visitor, Datum *contact);
extern bool ls_identity_pending(LsModel *model, Datum contact);

#endif							/* LEADSCORE_IDENTITY_TABLE_H */
