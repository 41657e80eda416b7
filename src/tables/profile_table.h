/*-------------------------------------------------------------------------
 *
 * profile_table.h
 *		The rows of profile_<model>: what profile rules said, and from when on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PROFILE_TABLE_H
#define LEADSCORE_PROFILE_TABLE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "rules/model_compile.h"
#include "scoring/state.h"
#include "tables/row_writer.h"

/* What the contact's row says, as a state has it */
typedef struct LsProfile
{
	bool		has_contact;
	TimestampTz created_at;		/* DT_NOBEGIN: none */
	int			n;				/* rules that hold */
	int64	   *versions;		/* of what they match, ascending */
	double	   *weights;
} LsProfile;

/* A row of profile_<model> */
typedef struct LsProfileRow
{
	TimestampTz since;			/* DT_NOBEGIN: always, as far as is known */
	bool		backfilled;		/* the rules were backfilled, the contact did not change */
	LsProfile	profile;
} LsProfileRow;


extern bool ls_profile_is_recorded(const LsModel *model);
extern void ls_profile_of_state(const LsModel *model, const LsState *state,
								LsProfile *profile);
extern bool ls_profile_equal(const LsProfile *a, const LsProfile *b);

extern LsRowWriter *ls_profile_table_open(LsModel *model);
extern void ls_profile_table_add(LsRowWriter *table, Datum contact,
								 const LsProfile *before, const LsProfileRow *row);

/* of one contact, as the active snapshot sees them, by since; of LsProfileRow */
extern List *ls_profile_rows(LsModel *model, Datum contact);

#endif							/* LEADSCORE_PROFILE_TABLE_H */
