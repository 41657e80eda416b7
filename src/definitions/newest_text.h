/*-------------------------------------------------------------------------
 *
 * newest_text.h
 *		The newest words of definitions that are read with an older snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_NEWEST_TEXT_H
#define LEADSCORE_NEWEST_TEXT_H

#include "postgres.h"

#include "definitions/catalog.h"

extern void ls_words_of_rules(const char *definer, List *rows);
extern void ls_words_of_versions(const char *definer, List *versions);
extern void ls_words_of_sources(const char *model, List *rows);
extern LsModelRow *ls_words_of_model(LsModelRow *row, Snapshot *snapshot);
extern char *ls_words_of_stage(const char *model, const char *stage);

#endif							/* LEADSCORE_NEWEST_TEXT_H */
