/*-------------------------------------------------------------------------
 *
 * outbox_row.h
 *		Writes down in outbox_<model> what there is to be told of a contact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_OUTBOX_ROW_H
#define LEADSCORE_OUTBOX_ROW_H

#include "postgres.h"

#include "action.h"
#include "row_writer.h"

extern bool ls_outbox_concerns(const LsModel *model, const LsOccasion *occasion);
extern void ls_outbox_add(LsRowWriter *outbox, Datum contact, const LsOccasion *occasion);
extern void ls_outbox_pass_ids(Oid table);

#endif							/* LEADSCORE_OUTBOX_ROW_H */
