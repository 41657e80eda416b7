/*-------------------------------------------------------------------------
 *
 * category.h
 *		Categories of existing models: added, renamed, removed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CATEGORY_H
#define LEADSCORE_CATEGORY_H

#include "postgres.h"

#include "definitions/lead_tables.h"
#include "model/validate.h"

/* checks before the row is written; the last argument is the model's own row */
extern void ls_category_check_new(const LsModelRow *model, const char *category);
extern void ls_category_check_rename(const LsModelRow *model, const char *from, const char *to);
extern void ls_category_check_removal(const char *model, const char *category);

extern void ls_category_written(const LsDefinition *row);
extern void ls_category_changed(const char *model);

#endif							/* LEADSCORE_CATEGORY_H */
