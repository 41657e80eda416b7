/*-------------------------------------------------------------------------
 *
 * deferred.h
 *		The changes of contacts that a transaction has deferred.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DEFERRED_H
#define LEADSCORE_DEFERRED_H

#include "postgres.h"

#include "rules/model_compile.h"
#include "scoring/state.h"

/* Where a deferred change goes */
typedef enum LsDeferredKind
{
	LS_DEFERRED_WRITE,			/* score_<model>, when the outermost statement ends */
	LS_DEFERRED_PENDING,		/* pending_<model>, when the statement ends */
	LS_DEFERRED_PURGED			/* purged contributions of a source, likewise */
} LsDeferredKind;

/* The deferred change of one contact.  Small, as a statement may have many of them. */
typedef struct LsDeferred
{
	Datum		contact;		/* first, to be sorted by it */
	LsEvent    *event;			/* the only one, to be added, or NULL */
	LsState    *events;			/* else: what several add up to, or NULL */
	LsEvent    *gone_event;		/* the only one to be subtracted, or NULL */
	LsState    *gone;			/* else: what several add up to, or NULL */
	LsState    *profile;		/* what the contact's row says, or NULL */
	bool		recompute;		/* from its events */
	bool		recompute_profile;	/* from its row */
	bool		merge_pending;	/* if that does not wait for locks */
	bool		updates;		/* events are of updated rows, not of new ones */
	bool		keyed;			/* it may turn out that they cannot be added */
} LsDeferred;

static inline bool
ls_deferred_has_events(const LsDeferred *item)
{
	return item->event || item->events;
}

static inline bool
ls_deferred_has_gone(const LsDeferred *item)
{
	return item->gone_event || item->gone;
}

/* ls_deferred_item_of_profile tells whether an item comes from the contact table only. */
static inline bool
ls_deferred_item_of_profile(const LsDeferred *item)
{
	return item->profile ||
		(item->recompute_profile && !item->recompute &&
		 !ls_deferred_has_events(item) && !ls_deferred_has_gone(item));
}

/* ls_deferred_is_void tells whether there is nothing to be done for an item any more. */
static inline bool
ls_deferred_is_void(const LsDeferred *item)
{
	return !ls_deferred_has_events(item) && !ls_deferred_has_gone(item) &&
		item->profile == NULL && !item->recompute && !item->recompute_profile &&
		!item->merge_pending;
}

/* how many contacts a set finds without a hash table */
#define LS_DEFERRED_FEW	4

/* Small elements, allocated in chunks */
typedef struct LsDeferredRoom
{
	char	   *unused;
	int			n;
	int			batch;
} LsDeferredRoom;

/*
 * The deferred changes of one model and kind, of one subtransaction, in the order in
 * which they came
 */
typedef struct LsDeferredSet
{
	struct LsDeferredSet *next; /* its model is locked later */
	LsModel    *model;
	LsDeferredKind kind;
	const char *source;			/* of purged contributions */
	SubTransactionId subid;
	bool		whole;			/* a recompute of all contacts is deferred */
	bool		doubtful;		/* what is to be added may be in the scores already */
	bool		recompute_gone; /* ... and what is to be subtracted may not be */
	bool		all_of_profile; /* of what was spilled: changes of the contact table */
	bool		remodelled;		/* states may have slots of rules that model does not have */
	MemoryContext context;
	LsDeferred *few[LS_DEFERRED_FEW];	/* the first contacts ... */
	int			nfew;
	struct deferred_hash *hash; /* ... and where there are more, all */
	LsDeferred **items;
	int			n;
	int			room;
	int			read;			/* how many items were given */
	LsDeferredRoom items_room;
	LsDeferredRoom states_room;
	struct LsSpill *spills;		/* what came before and had no room in memory */
	MemoryContext read_context; /* of an item that is read from there */
} LsDeferredSet;

extern LsDeferredSet *ls_deferred_set(LsModel *model, LsDeferredKind kind,
									  const LsSource *source);
extern LsDeferred *ls_deferred_contact(LsDeferredSet *set, Datum contact);
extern void ls_deferred_add(LsDeferredSet *set, const LsEvent *event, TimestampTz now);
extern void ls_deferred_subtract(LsDeferredSet *set, const LsEvent *event);
extern void ls_deferred_replace(LsDeferredSet *set, const LsEvent *event, TimestampTz now);
extern bool ls_deferred_leave_recompute(LsDeferred *item);
extern LsState *ls_deferred_state(LsDeferredSet *set);
extern bool ls_deferred_recompute(LsModel *model, Datum contact);
extern bool ls_deferred_recompute_model(const char *model);

/* memory */
extern bool ls_deferred_full(void);
extern void ls_deferred_spill(void);

/* for flushing */
extern bool ls_deferred_any(void);
extern LsDeferredSet *ls_deferred_take(bool scores);
extern void ls_deferred_use_model(LsDeferredSet *set, LsModel *model);
extern void ls_deferred_doubt(const LsModel *model);
extern void ls_deferred_free(LsDeferredSet *set);
extern bool ls_deferred_of_profile(const LsDeferredSet *set);
extern void ls_deferred_read(LsDeferredSet *set);
extern bool ls_deferred_next(LsDeferredSet *set, LsDeferred *item);

extern void ls_deferred_end_transaction(void);
extern void ls_deferred_end_subtransaction(SubTransactionId mine,
										   SubTransactionId parent, bool committed);

#endif							/* LEADSCORE_DEFERRED_H */
