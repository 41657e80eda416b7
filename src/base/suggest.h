/*-------------------------------------------------------------------------
 *
 * suggest.h
 *		The word that was probably meant.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SUGGEST_H
#define LEADSCORE_SUGGEST_H

#include "postgres.h"

#include "nodes/pg_list.h"
extern const char *ls_suggest_word(const char *word, List *words);

#endif							/* LEADSCORE_SUGGEST_H */
