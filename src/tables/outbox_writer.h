/*-------------------------------------------------------------------------
 *
 * outbox_writer.h
 *		Rows of outbox_<model>: the actions that events of transitions trigger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_OUTBOX_WRITER_H
#define LEADSCORE_OUTBOX_WRITER_H

#include "postgres.h"

#include "scoring/transition.h"
#include "tables/row_writer.h"

extern bool ls_outbox_writer_concerns(const LsModel *model, const LsTransitionEvent *event);
extern void ls_outbox_writer_add(LsRowWriter *outbox, Datum contact, const LsTransitionEvent *event);
extern void ls_outbox_writer_pass_ids(Oid table);

#endif							/* LEADSCORE_OUTBOX_WRITER_H */
