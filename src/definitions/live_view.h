/*-------------------------------------------------------------------------
 *
 * live_view.h
 *		The view live_<model>: made, and re-created.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LIVE_VIEW_H
#define LEADSCORE_LIVE_VIEW_H

#include "postgres.h"

#include "definitions/model_tables.h"

/* Properties of a dropped view, besides its columns */
typedef struct LsLiveView
{
	List	   *commands;		/* of char *: give it that again ... */
	List	   *columns;		/* ... if it still has these, or NULL for any */
} LsLiveView;

extern void ls_live_view_make(const LsModelTables *tables);
extern LsLiveView *ls_live_view_drop(const char *model);
extern void ls_live_view_restore(const LsModelTables *tables, const LsLiveView *view);

/* refuses to go on where others' objects depend on a relation, or a column of it */
extern void ls_live_view_refuse_dependents(Oid relation, AttrNumber column, const char *what);

#endif							/* LEADSCORE_LIVE_VIEW_H */
