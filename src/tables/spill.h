/*-------------------------------------------------------------------------
 *
 * spill.h
 *		Deferred changes for which there is no room in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SPILL_H
#define LEADSCORE_SPILL_H

#include "postgres.h"

#include "base/key.h"
#include "tables/deferred.h"

typedef struct LsSpill LsSpill;

extern LsSpill *ls_spill_open(LsKeyType *key, int memory);
extern LsSpill *ls_spill_chain(LsSpill *first, LsSpill *rest);
extern void ls_spill_add(LsSpill *spill, LsKeyType *key, const LsDeferred *item);
extern void ls_spill_sort(LsSpill *spill, LsKeyType *key);
extern bool ls_spill_next(LsSpill *spill, LsKeyType *key, const Datum *contact,
						  LsDeferred *item);
extern void ls_spill_close(LsSpill *spill);

extern void ls_spill_end_transaction(void);
extern void ls_spill_end_subtransaction(SubTransactionId mine,
										SubTransactionId parent, bool committed);

#endif							/* LEADSCORE_SPILL_H */
