/*-------------------------------------------------------------------------
 *
 * owner_change.h
 *		Tables of a model that get another owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_OWNER_CHANGE_H
#define LEADSCORE_OWNER_CHANGE_H

#include "postgres.h"

extern void ls_owner_change_check(Oid relid, Oid owner);

#endif							/* LEADSCORE_OWNER_CHANGE_H */
