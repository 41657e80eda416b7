/*-------------------------------------------------------------------------
 *
 * key_change.h
 *		Other columns for contacts and events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_KEY_CHANGE_H
#define LEADSCORE_KEY_CHANGE_H

#include "postgres.h"

#include "access/htup.h"

#include "definitions/lead_tables.h"
#include "model/validate.h"

/* another column of the contact table is the key of a model */
extern void ls_key_check(const LsModelRow *model, const char *key);
extern void ls_key_written(const char *model);

/* a source has its contacts, times or events in another column */
extern HeapTuple ls_key_change_check_source(const LsDefinition *row);
extern void ls_key_change_source_written(const LsDefinition *row);

#endif							/* LEADSCORE_KEY_CHANGE_H */
