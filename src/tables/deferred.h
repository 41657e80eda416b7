/*-------------------------------------------------------------------------
 *
 * deferred.h
 *		What a transaction has still to do about contacts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DEFERRED_H
#define LEADSCORE_DEFERRED_H

#include "postgres.h"

#include "rules/model_compile.h"
#include "scoring/state.h"

/* What becomes of it */
typedef enum LsDeferredKind
{
	LS_DEFERRED_WRITE,			/* score_<model>, when the outermost statement ends */
	LS_DEFERRED_PENDING,		/* pending_<model>, when the statement ends */
	LS_DEFERRED_PURGED			/* purged contributions of a source, likewise */
} LsDeferredKind;

/* What is to be done about one contact.  Small, as a statement may have many of them. */
typedef struct LsDeferred
{
	Datum		contact;
	struct LsDeferred *below;	/* what a subtransaction around has left, or NULL */
	LsState    *events;			/* to be added, or NULL */
	LsState    *profile;		/* what its row says, or NULL */
	SubTransactionId subid;		/* that has left this; invalid: none, it is void */
	bool		recompute;		/* from its events */
	bool		recompute_profile;	/* from its row */
	bool		merge_pending;	/* if no lock is in the way */
} LsDeferred;

/* Room for more of what is small, taken by the hundred */
typedef struct LsDeferredRoom
{
	char	   *unused;
	int			n;
	int			batch;
} LsDeferredRoom;

/* ... and about those of one model, in which the order they came in */
typedef struct LsDeferredSet
{
	struct LsDeferredSet *next; /* of a model that is locked later */
	LsModel    *model;
	LsDeferredKind kind;
	const char *source;			/* of purged contributions */
	SubTransactionId whole;		/* that has left all contacts to be recomputed */
	MemoryContext context;
	struct deferred_hash *hash;
	LsDeferred **items;			/* one twice, if it has something below */
	int			n;
	int			room;
	LsDeferredRoom items_room;
	LsDeferredRoom states_room;
} LsDeferredSet;

extern LsDeferredSet *ls_deferred_set(LsModel *model, LsDeferredKind kind,
									  const LsSource *source);
extern LsDeferred *ls_deferred_contact(LsDeferredSet *set, Datum contact);
extern LsState *ls_deferred_state(LsDeferredSet *set);
extern bool ls_deferred_recompute(LsModel *model, Datum contact);
extern bool ls_deferred_recompute_model(const char *model);

/* for those who do it */
extern LsDeferredSet *ls_deferred_first(void);
extern LsDeferredSet *ls_deferred_take(void);
extern void ls_deferred_free(LsDeferredSet *set);
extern bool ls_deferred_pop(LsDeferredSet *set, LsDeferred *item);
extern void ls_deferred_free_empty(void);

extern void ls_deferred_end_transaction(void);
extern void ls_deferred_end_subtransaction(SubTransactionId mine,
										   SubTransactionId parent, bool committed);

#endif							/* LEADSCORE_DEFERRED_H */
