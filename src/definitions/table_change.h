/*-------------------------------------------------------------------------
 *
 * table_change.h
 *		What a command did to one table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TABLE_CHANGE_H
#define LEADSCORE_TABLE_CHANGE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/* A table that has become a part of another */
typedef struct LsNewPart
{
	Oid			part;
	const RangeVar *name;		/* instead of part, as its caller has named it; or NULL */
	Oid			parent;
} LsNewPart;

/* What a command did to one table */
typedef struct LsTableChange
{
	Oid			relation;
	bool		renamed;		/* one of its columns is */
	bool		added;			/* it has a new column */
	bool		owner;			/* it has another owner */
	bool		rights;			/* which roles see its rows may have changed */
	List	   *joined;			/* of LsNewPart: tables that have become a part of another */
	List	   *columns;		/* names that now denote another column, or none */
} LsTableChange;

#endif							/* LEADSCORE_TABLE_CHANGE_H */
