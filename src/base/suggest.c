/*-------------------------------------------------------------------------
 *
 * suggest.c
 *		The word that was probably meant.
 *
 *-------------------------------------------------------------------------
 */
#include "base/suggest.h"

#include "utils/varlena.h"

/* transposed tells whether two words have the same letters in another order. */
static bool
transposed(const char *a, const char *b)
{
	int			counts[256] = {0};

	for (; *a; a++)
		counts[(unsigned char) *a]++;
	for (; *b; b++)
		counts[(unsigned char) *b]--;
	for (int i = 0; i < 256; i++)
		if (counts[i] != 0)
			return false;
	return true;
}

/*
 * ls_suggest_word finds the word that was probably meant, or NULL: of those that are as
 * far away, one with the same letters, or else the first.
 */
const char *
ls_suggest_word(const char *word, List *words)
{
	const char *best = NULL;
	int			length = strlen(word);
	int			limit = Max(2, Min(length, 63) / 3) + 1;
	ListCell   *lc;

	if (length > 200)
		return NULL;
	foreach(lc, words)
		if (pg_strcasecmp(word, lfirst(lc)) == 0)
			return lfirst(lc);
	foreach(lc, words)
	{
		const char *candidate = lfirst(lc);
		int			distance;

		if (strlen(candidate) > 200)
			continue;
		distance = varstr_levenshtein_less_equal(word, length, candidate,
												 strlen(candidate), 1, 1, 1,
												 limit, true);
		if (distance < limit ||
			(best && distance == limit && transposed(word, candidate) && !transposed(word, best)))
		{
			limit = distance;
			best = candidate;
		}
	}
	return best;
}
