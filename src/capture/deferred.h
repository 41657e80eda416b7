/*-------------------------------------------------------------------------
 *
 * deferred.h
 *		What is left to the end of the outermost statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DEFERRED_H
#define LEADSCORE_DEFERRED_H

#include "postgres.h"

#include "rules/model_compile.h"
#include "scoring/state.h"

/* statements */
extern void ls_note_enter(void);
extern void ls_note_leave(void);
extern bool ls_note_under_way(void);
extern bool ls_note_nested(void);
extern bool ls_note_within(void);

/* notes */
extern int	ls_note_count(void);
extern void ls_note_events(LsModel *model, Datum contact);
extern void ls_note_profile(LsModel *model, Datum contact);
extern void ls_note_delta(LsModel *model, Datum contact, const LsState *delta);
extern void ls_note_fold_later(LsModel *model, Datum contact);
extern bool ls_note_defer_contact(LsModel *model, Datum contact);
extern bool ls_note_defer_count(const char *model);
extern void ls_note_lock(LsModel *model, int noted);

/* transactions */
extern void ls_note_before_commit(void);
extern void ls_note_end_transaction(void);
extern void ls_note_end_subtransaction(SubTransactionId mine,
									   SubTransactionId parent, bool committed);

#endif							/* LEADSCORE_DEFERRED_H */
