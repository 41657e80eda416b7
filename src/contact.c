/*-------------------------------------------------------------------------
 *
 * contact.c
 *		A contact as a snapshot sees it: its row, and what is pending of it.
 *
 *-------------------------------------------------------------------------
 */
#include "contact.h"

#include "leadscore.h"
#include "pending.h"
#include "recount.h"
#include "store.h"

/*
 * ls_contact_complete adds what the active snapshot sees pending of a contact to
 * the state of its row.  True if there was something.
 */
bool
ls_contact_complete(LsModel *model, LsScoreRow *row)
{
	TimestampTz now = ls_statement_clock();
	LsPending	pending;

	ls_pending_init(&pending);
	ls_pending_read(model, row->contact, &pending);
	if (pending.nrows == 0)
		return false;
	if (!pending.count_all)
	{
		ls_state_advance(model, &row->state, now);
		if (pending.has_delta)
			pending.count_all = !ls_state_merge(model, &row->state, &pending.delta);
	}
	if (pending.count_all)
	{
		LsState		counted;

		ls_state_init(&counted);
		ls_count_contact(model, row->contact, &counted);
		ls_state_inherit(&counted, &row->state);
		row->state = counted;
	}
	else if (pending.count_profile)
	{
		LsState		profile;

		ls_state_init(&profile);
		ls_count_profile(model, row->contact, &profile);
		ls_store_set_profile(model, &row->state, &profile);
	}
	ls_state_fold(model, &row->state);
	/* when it is due is not known any more */
	row->state.due = DT_NOBEGIN;
	return true;
}

/*
 * ls_contact_start makes the row of a contact that has none, of what is pending.
 * False where nothing is known of the contact.
 */
bool
ls_contact_start(LsModel *model, Datum contact, LsScoreRow *row)
{
	ls_store_start_row(model, contact, row, ls_statement_clock());
	return ls_contact_complete(model, row) &&
		(row->state.events > 0 || row->state.nfuture > 0 || row->state.has_contact);
}

/* ls_contact_find gives a contact's row, completed.  False: it is not known. */
bool
ls_contact_find(LsModel *model, Datum contact, LsScoreRow *row)
{
	if (!ls_row_find(model, contact, row))
		return ls_contact_start(model, contact, row);
	(void) ls_contact_complete(model, row);
	return true;
}
