/*-------------------------------------------------------------------------
 *
 * event_reader.h
 *		Rows of event tables, contact table and score table, by contact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EVENT_READER_H
#define LEADSCORE_EVENT_READER_H

#include "postgres.h"

#include "access/htup.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"

#include "rules/model_compile.h"

#define LS_READ_EVENTS		0x01
#define LS_READ_CONTACTS	0x02
#define LS_READ_SCORES		0x04
#define LS_READ_PURGED		0x08	/* only the contacts that have purged events */

typedef struct LsReaderSpec
{
	LsModel    *model;
	int			what;			/* LS_READ_... */
	int			source;			/* index, or -1: all */
	Oid			relation;		/* a partition or child of the source, or invalid */
	bool		one;			/* only the rows of this contact: */
	Datum		contact;		/* read if one is set */
	const Datum *after;			/* only contacts after this one, or NULL */
	const Datum *upto;			/* only contacts up to this one, or NULL */
	int			limit;			/* of scores alone: the first ones, 0: all */
	bool		any_order;		/* of scores alone: as they lie in the table */
} LsReaderSpec;

typedef struct LsReader LsReader;

extern LsReader *ls_reader_open(const LsReaderSpec *spec);
extern bool ls_reader_next(LsReader *reader, Datum *contact);
extern bool ls_reader_event(LsReader *reader, LsEvent *event);
extern TupleTableSlot *ls_reader_contact(LsReader *reader, ExprContext **econtext);
extern HeapTuple ls_reader_score(LsReader *reader, TupleDesc *desc);
extern void ls_reader_append_range(StringInfo sql, const LsReaderSpec *spec);
extern void ls_reader_close(LsReader *reader);
extern TimestampTz ls_reader_created(LsModel *model, TupleTableSlot *slot);

#endif							/* LEADSCORE_EVENT_READER_H */
