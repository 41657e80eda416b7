/*-------------------------------------------------------------------------
 *
 * pass.c
 *		What time alone changes: the contacts of a model that are due.
 *
 *-------------------------------------------------------------------------
 */
#include "pass.h"

LsPass *
ls_pass_begin(const char *model)
{
	LsPass	   *pass = palloc0(sizeof(LsPass));

	pass->model = pstrdup(model);
	return pass;
}

int
ls_pass_batch(LsPass *pass, int limit, bool skip_locked)
{
	return 0;
}

TimestampTz
ls_pass_next_due(const char *model)
{
	return DT_NOEND;
}

int64
ls_pass_count(const char *model, int64 limit)
{
	return 0;
}
