/*-------------------------------------------------------------------------
 *
 * state_bytes.c
 *		Numbers, instants and sums as the bytes of a state have them.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/state_bytes.h"

/* ls_state_bytes_malformed raises the error that bytes are no state. */
pg_noinline void
ls_state_bytes_malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the state of a contact is damaged"),
			 errhint("Delete the row while the triggers of its table are disabled, and call leadscore.rescore(), which recomputes the contact from its events.")));
}

/* ls_state_bytes_put_buckets writes buckets. */
char *
ls_state_bytes_put_buckets(char *to, const LsBucket *buckets, int n)
{
	int64		previous = 0;

	to = put_unsigned(to, n);
	for (int i = 0; i < n; i++)
	{
		int			form = sum_form(&buckets[i].sum, buckets[i].count);

		to = put_signed(to, buckets[i].bucket - previous);
		previous = buckets[i].bucket;
		to = put_unsigned(to, ((uint64) buckets[i].count << 2) | form);
		to = put_sum(to, &buckets[i].sum, form);
	}
	return to;
}

/* ls_state_bytes_get_buckets reads buckets, ascending but where they are phases. */
LsBucket *
ls_state_bytes_get_buckets(Cursor *from, bool phases, int *n)
{
	LsBucket   *buckets;
	int64		previous = 0;

	*n = get_length(from, 2, sizeof(LsBucket));
	buckets = palloc(sizeof(LsBucket) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		int64		step = get_signed(from);
		uint64		counted;

		if ((i > 0 && step <= 0 && !phases) || pg_add_s64_overflow(previous, step, &previous))
			ls_state_bytes_malformed();
		buckets[i].bucket = previous;
		counted = get_unsigned(from);
		buckets[i].count = counted >> 2;
		get_sum(from, &buckets[i].sum, counted & 3, buckets[i].count);
	}
	return buckets;
}
