/*-------------------------------------------------------------------------
 *
 * ddl.h
 *		What follows for models when tables, functions and privileges change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DDL_H
#define LEADSCORE_DDL_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

#include "rules/dependency.h"

/* What a command did, as far as it concerns models */
typedef struct Ddl
{
	List	   *changes;		/* of LsTableChange */
	List	   *objects;		/* of LsObject: objects that are not tables */
	LsUsers		users;			/* of the objects */
	List	   *revoked;		/* OIDs of tables on which privileges were revoked */
	bool		everything;		/* any rule may depend on what has changed */
	bool		owners;			/* owners of tables of models were changed */
	bool		granted;		/* a disabled rule may be waiting for what was granted */
	bool		no_wait;		/* do not wait for locks of tables: a job does the rest */
	List	   *dropped;		/* OIDs of relations */
	List	   *dropped_models; /* whose score tables were dropped */
	List	   *bereft;			/* OIDs of tables of models that lost a column to CASCADE */
	List	   *recounted;		/* models with rules to be backfilled */
} Ddl;

/* objects that are not tables, in ddl_object.c */
extern void ls_ddl_object_before(const Node *stmt);
extern void ls_ddl_object_note(Ddl *ddl, Oid classid, Oid objid, const Node *stmt);
extern void ls_ddl_object_dropped(Ddl *ddl, Oid classid, Oid objid, const List *names);
extern char *ls_ddl_object_moved(void);

extern void ls_sync_models(Ddl *ddl);
extern void ls_sync_again(const char *model);
extern void ls_sync_roles(const char *model, bool no_wait);

#endif							/* LEADSCORE_DDL_H */
