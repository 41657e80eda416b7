/*-------------------------------------------------------------------------
 *
 * rename.h
 *		Texts and events follow renamed columns, attributes and labels.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RENAME_H
#define LEADSCORE_RENAME_H

#include "postgres.h"

#include "nodes/nodes.h"
#include "nodes/pg_list.h"

#include "ddl/ddl.h"

extern List *ls_rename_models(const Node *stmt);
extern void ls_rename_before(const Node *stmt);
extern void ls_rename_after(const Node *stmt, Ddl *ddl);

#endif							/* LEADSCORE_RENAME_H */
