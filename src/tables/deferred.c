/*-------------------------------------------------------------------------
 *
 * deferred.c
 *		What a transaction has still to do about contacts.
 *
 * There is one set for each model and what becomes of it (LsDeferredKind), in which
 * a contact is found by its key.  What is to be done about a contact belongs to the
 * subtransaction that has left it.  Where one within that leaves something as well,
 * the former is kept below the latter.  So a subtransaction that aborts drops what
 * is newer than it, and one that commits gives what it has to its parent, where it
 * is added to what is below.
 *
 * capture/flush_deferred.c does what is deferred.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/deferred.h"

#include "access/xact.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "base/statement.h"

typedef struct DeferredEntry
{
	LsDeferred *item;
	uint32		hash;
	char		status;
} DeferredEntry;

#define SH_PREFIX deferred
#define SH_ELEMENT_TYPE DeferredEntry
#define SH_KEY_TYPE LsDeferred *
#define SH_KEY item
#define SH_HASH_KEY(tb, key) ls_key_hash((LsKeyType *) (tb)->private_data, (key)->contact)
#define SH_EQUAL(tb, a, b) \
	(ls_key_compare((LsKeyType *) (tb)->private_data, (a)->contact, (b)->contact) == 0)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static LsDeferredSet *sets = NULL;	/* in the order in which models are locked */

/* use_model has a set go by another version of its model, and keep that. */
static void
use_model(LsDeferredSet *set, LsModel *model)
{
	if (set->model)
		ls_model_release(set->model);
	set->model = model;
	model->refcount++;
	set->hash->private_data = &model->key;
}

/* make_set makes a set and puts it where its model is locked. */
static LsDeferredSet *
make_set(LsDeferredSet **at, LsModel *model, LsDeferredKind kind, const LsSource *source)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext,
												  "leadscore deferred",
												  ALLOCSET_DEFAULT_SIZES);
	LsDeferredSet *set = MemoryContextAllocZero(context, sizeof(LsDeferredSet));

	set->context = context;
	set->kind = kind;
	set->source = source ? MemoryContextStrdup(context, source->name) : NULL;
	set->hash = deferred_create(context, 16, NULL);
	use_model(set, model);
	set->next = *at;
	*at = set;
	return set;
}

/* ls_deferred_set finds or makes one of a model; source is that of purged rows. */
LsDeferredSet *
ls_deferred_set(LsModel *model, LsDeferredKind kind, const LsSource *source)
{
	LsDeferredSet **at = &sets;

	for (; *at && (*at)->model->rank <= model->rank; at = &(*at)->next)
	{
		LsDeferredSet *set = *at;

		if (set->model->score_table != model->score_table || set->kind != kind ||
			(source && strcmp(set->source, source->name) != 0))
			continue;
		if (set->model != model)
			use_model(set, model);
		return set;
	}
	return make_set(at, model, kind, source);
}

/* take_room gives room for one more. */
static void *
take_room(LsDeferredRoom *room, Size size)
{
	if (room->n == 0)
	{
		int			batch = Min(256, Max(1, room->batch * 4));

		room->unused = palloc(size * batch);
		room->n = room->batch = batch;
	}
	return room->unused + size * --room->n;
}

/* make_room makes sure that the list of items has room for one more. */
static void
make_room(LsDeferredSet *set)
{
	int			room = Max(16, set->room * 2);

	if (set->n < set->room)
		return;
	set->items = set->items ?
		repalloc_huge(set->items, sizeof(LsDeferred *) * (Size) room) :
		palloc(sizeof(LsDeferred *) * room);
	set->room = room;
}

/* begin_item begins what this subtransaction leaves about a contact. */
static void
begin_item(LsDeferredSet *set, LsDeferred *item, SubTransactionId subid)
{
	LsDeferred *below = NULL;

	if (item->subid != InvalidSubTransactionId)
	{
		below = palloc(sizeof(LsDeferred));
		*below = *item;
	}
	item->below = below;
	item->events = item->profile = NULL;
	item->recompute = item->recompute_profile = item->merge_pending = false;
	item->subid = subid;
	set->items[set->n++] = item;
}

/*
 * ls_deferred_contact gives what this subtransaction leaves to be done about a
 * contact, for the caller to add to; it is allocated in the set's context.
 */
LsDeferred *
ls_deferred_contact(LsDeferredSet *set, Datum contact)
{
	LsKeyType  *key = &set->model->key;
	SubTransactionId subid = GetCurrentSubTransactionId();
	MemoryContext old = MemoryContextSwitchTo(set->context);
	LsDeferred	probe;
	DeferredEntry *entry;
	LsDeferred *item;
	uint32		hash = ls_key_hash(key, contact);
	bool		found;

	probe.contact = contact;
	entry = deferred_lookup_hash(set->hash, &probe, hash);
	item = entry ? entry->item : NULL;
	if (item == NULL || item->subid != subid)
		make_room(set);
	if (item == NULL)
	{
		/* nothing may fail once it is in the hash */
		item = take_room(&set->items_room, sizeof(LsDeferred));
		item->contact = datumCopy(contact, key->typbyval, key->typlen);
		item->subid = InvalidSubTransactionId;
		(void) deferred_insert_hash(set->hash, item, hash, &found);
	}
	if (item->subid != subid)
		begin_item(set, item, subid);
	MemoryContextSwitchTo(old);
	return item;
}

/* ls_deferred_state gives a state of nothing, for events or a profile. */
LsState *
ls_deferred_state(LsDeferredSet *set)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);
	LsState    *state = take_room(&set->states_room, sizeof(LsState));

	MemoryContextSwitchTo(old);
	ls_state_init(state);
	return state;
}

/*
 * ls_deferred_recompute has a contact recomputed when the outermost statement ends,
 * where one is under way: its rows may be in the tables already and will be added.
 * False where there is none.
 */
bool
ls_deferred_recompute(LsModel *model, Datum contact)
{
	if (!ls_statement_under_way())
		return false;
	ls_deferred_contact(ls_deferred_set(model, LS_DEFERRED_WRITE, NULL), contact)->recompute = true;
	return true;
}

/* ls_deferred_recompute_model does so with all contacts of a model. */
bool
ls_deferred_recompute_model(const char *name)
{
	LsModel    *model;
	LsDeferredSet *set;

	if (!ls_statement_under_way())
		return false;
	model = ls_model_acquire(name, NULL);
	if (model == NULL)
		return true;
	set = ls_deferred_set(model, LS_DEFERRED_WRITE, NULL);
	if (set->whole == InvalidSubTransactionId)
		set->whole = GetCurrentSubTransactionId();
	ls_model_release(model);
	return true;
}

/* drop_item forgets what the innermost subtransaction has left about a contact. */
static void
drop_item(LsDeferred *item)
{
	LsDeferred *below = item->below;

	if (below == NULL)
	{
		item->subid = InvalidSubTransactionId;
		return;
	}
	*item = *below;
	pfree(below);
}

/* discard_item does so with what needs no more memory either. */
static void
discard_item(LsDeferred *item)
{
	if (item->events && item->events->slots)
		pfree(item->events->slots);
	drop_item(item);
}

/*
 * add_below adds what a subtransaction has left to what its parent had.  Where that
 * fails halfway, the contact is recomputed.
 */
static void
add_below(LsModel *model, LsDeferred *item)
{
	LsDeferred *below = item->below;
	bool		recompute = item->recompute || below->recompute;

	below->recompute = true;
	if (below->events && item->events)
		ls_state_merge(model, below->events, item->events);
	else if (item->events)
	{
		below->events = item->events;
		item->events = NULL;
	}
	below->recompute = recompute;
	below->recompute_profile |= item->recompute_profile;
	below->merge_pending |= item->merge_pending;
	if (item->profile)
		below->profile = item->profile;
	discard_item(item);
}

/*
 * give_to_parent gives the parent what a subtransaction has left.  Invalid: there is
 * none, and all levels become one.
 */
static void
give_to_parent(LsDeferredSet *set, SubTransactionId mine, SubTransactionId parent)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	for (int i = set->n - 1; i >= 0 && set->items[i]->subid >= mine; i--)
	{
		LsDeferred *item = set->items[i];

		/* elsewhere two rows do as well, and need not be mergeable */
		if (set->kind == LS_DEFERRED_WRITE && item->below &&
			(item->below->subid == parent || parent == InvalidSubTransactionId))
		{
			add_below(set->model, item);
			set->items[i] = set->items[--set->n];
		}
		else
			item->subid = parent;
	}
	if (set->whole >= mine && parent != InvalidSubTransactionId)
		set->whole = parent;
	MemoryContextSwitchTo(old);
}

/* ---------- what is done ---------- */

/* ls_deferred_first gives the first set; others follow. */
LsDeferredSet *
ls_deferred_first(void)
{
	return sets;
}

/*
 * ls_deferred_take takes the sets that are to be written to score tables off the
 * others: what comes to be deferred meanwhile goes to new ones.  They end with the
 * current memory context, or when the caller frees them.
 */
LsDeferredSet *
ls_deferred_take(void)
{
	LsDeferredSet *taken = NULL;
	LsDeferredSet **last = &taken;

	for (LsDeferredSet **at = &sets; *at;)
	{
		LsDeferredSet *set = *at;

		if (set->kind != LS_DEFERRED_WRITE)
		{
			at = &set->next;
			continue;
		}
		*at = set->next;
		set->next = NULL;
		*last = set;
		last = &set->next;
		MemoryContextSetParent(set->context, CurrentMemoryContext);
		give_to_parent(set, TopSubTransactionId, InvalidSubTransactionId);
	}
	return taken;
}

void
ls_deferred_free(LsDeferredSet *set)
{
	ls_model_release(set->model);
	MemoryContextDelete(set->context);
}

/*
 * ls_deferred_pop gives the newest item that this subtransaction has left in a set,
 * which forgets it.  False: there is no more.
 */
bool
ls_deferred_pop(LsDeferredSet *set, LsDeferred *item)
{
	if (set->n == 0 || set->items[set->n - 1]->subid != GetCurrentSubTransactionId())
		return false;
	*item = *set->items[--set->n];
	drop_item(set->items[set->n]);
	return true;
}

/* ls_deferred_free_empty frees the sets of which nothing is left. */
void
ls_deferred_free_empty(void)
{
	for (LsDeferredSet **at = &sets; *at;)
	{
		LsDeferredSet *set = *at;

		if (set->n > 0 || set->whole != InvalidSubTransactionId)
			at = &set->next;
		else
		{
			*at = set->next;
			ls_deferred_free(set);
		}
	}
}

/* ---------- transactions ---------- */

void
ls_deferred_end_transaction(void)
{
	sets = NULL;
}

/* truncate_set forgets what is newer than the beginning of a subtransaction. */
static void
truncate_set(LsDeferredSet *set, SubTransactionId mine)
{
	while (set->n > 0 && set->items[set->n - 1]->subid >= mine)
		discard_item(set->items[--set->n]);
	if (set->whole >= mine)
		set->whole = InvalidSubTransactionId;
}

void
ls_deferred_end_subtransaction(SubTransactionId mine, SubTransactionId parent,
							   bool committed)
{
	for (LsDeferredSet *set = sets; set; set = set->next)
	{
		if (committed)
			give_to_parent(set, mine, parent);
		else
			truncate_set(set, mine);
	}
	ls_deferred_free_empty();
}
