/*-------------------------------------------------------------------------
 *
 * current_names.h
 *		The newest texts of definitions that are read with an older snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CURRENT_NAMES_H
#define LEADSCORE_CURRENT_NAMES_H

#include "postgres.h"

#include "definitions/lead_tables.h"

extern void ls_current_names_of_rules(const char *definer, List *rows);
extern void ls_current_names_of_versions(const char *definer, List *versions);
extern void ls_current_names_of_sources(const char *model, List *rows);
extern LsModelRow *ls_current_names_of_model(LsModelRow *row, Snapshot *snapshot);
extern char *ls_current_names_of_stage(const char *model, const char *stage);

#endif							/* LEADSCORE_CURRENT_NAMES_H */
