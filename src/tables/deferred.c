/*-------------------------------------------------------------------------
 *
 * deferred.c
 *		The changes of contacts that a transaction has deferred.
 *
 * There is one set for each model and kind of change (LsDeferredKind), in which a
 * contact is found by its key.  An item, the deferred change of a contact, belongs to
 * the subtransaction that deferred it.  When a subtransaction within that one defers
 * something about the same contact, the outer item is stored below the inner one.  So
 * an aborted subtransaction drops the items that are its own, and a committed one gives
 * them to its parent, where they are added to the items below.
 *
 * What is to be written to a score table is mostly one event of a contact: an item holds
 * that as it is, for the state of the contact's row, and a state of its own for what more
 * events add up to.
 *
 * capture/flush_deferred.c applies what is deferred.
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

/* take_room allocates one element from a chunk of many. */
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

/* ls_deferred_state makes an empty state, for events or a profile. */
LsState *
ls_deferred_state(LsDeferredSet *set)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);
	LsState    *state = take_room(&set->states_room, sizeof(LsState));

	MemoryContextSwitchTo(old);
	ls_state_init(state);
	return state;
}

/* ---------- events ---------- */

/* keep_event copies an event; the contact is the item's. */
static LsEvent *
keep_event(const LsEvent *event)
{
	Size		size = sizeof(LsMatch) * event->nmatches;
	LsEvent    *kept = palloc(sizeof(LsEvent) + size);

	*kept = *event;
	kept->matches = (LsMatch *) (kept + 1);
	if (size > 0)
		memcpy(kept->matches, event->matches, size);
	return kept;
}

/* sum_up_event makes a state of the only event, or of none, to which others can be added. */
static void
sum_up_event(LsDeferredSet *set, LsEvent **event, LsState **events)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);
	LsState    *state = ls_deferred_state(set);

	if (*event)
	{
		ls_state_add(set->model, state, *event, (*event)->at);
		pfree(*event);
		*event = NULL;
	}
	*events = state;
	MemoryContextSwitchTo(old);
}

static void
sum_up(LsDeferredSet *set, LsDeferred *item)
{
	sum_up_event(set, &item->event, &item->events);
}

static bool
has_gone(const LsDeferred *item)
{
	return item->gone_event || item->gone;
}

/* forget_gone has a contact recomputed instead of events subtracted. */
static void
forget_gone(LsDeferred *item)
{
	if (!has_gone(item))
		return;
	item->recompute = true;
	item->gone_event = NULL;
	item->gone = NULL;
}

/* forget_updates forgets the events of updated rows: the contact is recomputed. */
static void
forget_updates(LsDeferred *item)
{
	if (!item->updates)
		return;
	item->recompute = true;
	item->updates = false;
	item->event = NULL;
	item->events = NULL;
}

/*
 * ls_deferred_sum_up makes states of all events: those are kept with the rules of one
 * version of the model, states know rules by what they match.  Events that go are to be
 * matched as they were when they came: with other rules their contacts are recomputed.
 */
void
ls_deferred_sum_up(LsDeferredSet *set)
{
	for (int i = 0; i < set->n; i++)
		for (LsDeferred *item = set->items[i]; item; item = item->below)
		{
			if (item->event)
				sum_up(set, item);
			forget_gone(item);
		}
}

/*
 * ls_deferred_leave_recompute tells whether a contact is, or may be, recomputed, for
 * which the caller provides: the item adds new events only.
 */
bool
ls_deferred_leave_recompute(LsDeferred *item)
{
	bool		recompute;

	forget_gone(item);
	forget_updates(item);
	recompute = item->recompute;
	item->recompute = false;
	return recompute;
}

/* add_event adds an event to an item. */
static void
add_event(LsDeferredSet *set, LsDeferred *item, const LsEvent *event, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (set->kind == LS_DEFERRED_WRITE && event->at <= now &&
		item->event == NULL && item->events == NULL)
	{
		item->event = keep_event(event);
		item->event->contact = item->contact;
	}
	else
	{
		if (item->events == NULL)
			sum_up(set, item);
		ls_state_add(set->model, item->events, event, now);
	}
	MemoryContextSwitchTo(old);
}

/*
 * ls_deferred_add defers an event, matched with the rules of the set's model.  One that
 * is not known to have taken effect when it is written waits in a state.
 */
void
ls_deferred_add(LsDeferredSet *set, const LsEvent *event, TimestampTz now)
{
	LsDeferred *item = ls_deferred_contact(set, event->contact);

	/* stages are tested at new events only, so these are not mixed with others */
	forget_updates(item);
	add_event(set, item, event, now);
}

/* ls_deferred_replace defers the event of an updated row. */
void
ls_deferred_replace(LsDeferredSet *set, const LsEvent *event, TimestampTz now)
{
	LsDeferred *item = ls_deferred_contact(set, event->contact);

	if (!item->updates && (item->event || item->events))
		item->recompute = true;
	if (item->recompute)
		return;
	item->updates = true;
	add_event(set, item, event, now);
}

/*
 * ls_deferred_subtract defers that an event goes.  A contact that is recomputed anyway
 * needs none of them.
 */
void
ls_deferred_subtract(LsDeferredSet *set, const LsEvent *event)
{
	LsDeferred *item = ls_deferred_contact(set, event->contact);
	MemoryContext old = MemoryContextSwitchTo(set->context);

	for (int i = 0; i < event->nmatches; i++)
		if (!(event->matches[i].weight >= 0))
			item->recompute = true;
	if (item->recompute)
		forget_gone(item);
	else if (!has_gone(item))
	{
		item->gone_event = keep_event(event);
		item->gone_event->contact = item->contact;
	}
	else
	{
		if (item->gone == NULL)
			sum_up_event(set, &item->gone_event, &item->gone);
		ls_state_add(set->model, item->gone, event, event->at);
	}
	MemoryContextSwitchTo(old);
}

/* ---------- sets and items ---------- */

/* use_model replaces the set's version of its model, and retains the new one. */
static void
use_model(LsDeferredSet *set, LsModel *model)
{
	if (set->model)
	{
		ls_deferred_sum_up(set);
		ls_model_release(set->model);
	}
	set->model = model;
	model->refcount++;
	if (set->hash)
		set->hash->private_data = &model->key;
}

/* make_set makes a set, at its place in the lock order of models. */
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
	use_model(set, model);
	set->next = *at;
	*at = set;
	return set;
}

/* ls_deferred_set finds or makes a set; source is that of purged contributions. */
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

/* make_room ensures that the list of items has room for one more. */
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

/* begin_item starts an item of this subtransaction, above that of an outer one. */
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
	item->event = item->gone_event = NULL;
	item->events = item->gone = item->profile = NULL;
	item->recompute = item->recompute_profile = item->merge_pending = item->updates = false;
	item->subid = subid;
	set->items[set->n++] = item;
}

/* hash_few makes the hash table of a set that gets more than a few contacts. */
static void
hash_few(LsDeferredSet *set)
{
	deferred_hash *hash = deferred_create(set->context, 16, NULL);
	bool		found;

	hash->private_data = &set->model->key;
	for (int i = 0; i < set->nfew; i++)
		(void) deferred_insert(hash, set->few[i], &found);
	set->hash = hash;
}

/*
 * find_item finds the item of a contact, which may be void.  Else, if a hash table is to
 * have it, its hash.
 */
static LsDeferred *
find_item(LsDeferredSet *set, Datum contact, uint32 *hash)
{
	LsDeferred	probe;
	DeferredEntry *entry;

	if (set->hash == NULL)
	{
		for (int i = 0; i < set->nfew; i++)
			if (ls_key_compare(&set->model->key, set->few[i]->contact, contact) == 0)
				return set->few[i];
		if (set->nfew < LS_DEFERRED_FEW)
			return NULL;
		hash_few(set);
	}
	*hash = ls_key_hash(&set->model->key, contact);
	probe.contact = contact;
	entry = deferred_lookup_hash(set->hash, &probe, *hash);
	return entry ? entry->item : NULL;
}

/*
 * ls_deferred_contact gives this subtransaction's item of a contact, for the caller to
 * add to; it is allocated in the set's context.
 */
LsDeferred *
ls_deferred_contact(LsDeferredSet *set, Datum contact)
{
	LsKeyType  *key = &set->model->key;
	SubTransactionId subid = GetCurrentSubTransactionId();
	MemoryContext old = MemoryContextSwitchTo(set->context);
	uint32		hash = 0;
	LsDeferred *item = find_item(set, contact, &hash);
	bool		found;

	if (item == NULL || item->subid != subid)
		make_room(set);
	if (item == NULL)
	{
		/* nothing may fail once it can be found */
		item = take_room(&set->items_room, sizeof(LsDeferred));
		item->contact = datumCopy(contact, key->typbyval, key->typlen);
		item->subid = InvalidSubTransactionId;
		if (set->hash)
			(void) deferred_insert_hash(set->hash, item, hash, &found);
		else
			set->few[set->nfew++] = item;
	}
	if (item->subid != subid)
		begin_item(set, item, subid);
	MemoryContextSwitchTo(old);
	return item;
}

/*
 * ls_deferred_recompute defers a recompute of a contact to the end of the outermost
 * statement, as rows of that may be in the tables that are still to be added.  False if
 * no statement is under way.
 */
bool
ls_deferred_recompute(LsModel *model, Datum contact)
{
	if (!ls_statement_under_way())
		return false;
	ls_deferred_contact(ls_deferred_set(model, LS_DEFERRED_WRITE, NULL), contact)->recompute = true;
	return true;
}

/* ls_deferred_recompute_model defers a recompute of all contacts of a model likewise. */
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

static bool
has_events(const LsDeferred *item)
{
	return item->event || item->events;
}

/* drop_item drops the innermost item of a contact; the one below takes its place. */
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

/* discard_item drops an item and frees its events. */
static void
discard_item(LsDeferred *item)
{
	if (item->event)
		pfree(item->event);
	if (item->events && item->events->slots)
		pfree(item->events->slots);
	if (item->gone_event)
		pfree(item->gone_event);
	if (item->gone && item->gone->slots)
		pfree(item->gone->slots);
	drop_item(item);
}

/*
 * add_below adds a subtransaction's item to the item below, that of its parent.  If
 * that fails halfway, the contact is recomputed.
 */
static void
add_below(LsDeferredSet *set, LsDeferred *item)
{
	LsDeferred *below = item->below;
	bool		recompute;

	/* what goes is subtracted where all of it was deferred at one level */
	forget_gone(item);
	forget_gone(below);
	forget_updates(item);
	forget_updates(below);
	recompute = item->recompute || below->recompute;
	below->recompute = true;
	if (has_events(below) && has_events(item))
	{
		if (below->event)
			sum_up(set, below);
		if (item->event)
			sum_up(set, item);
		ls_state_merge(set->model, below->events, item->events);
	}
	else if (has_events(item))
	{
		below->event = item->event;
		below->events = item->events;
		item->event = NULL;
		item->events = NULL;
	}
	below->recompute = recompute;
	below->recompute_profile |= item->recompute_profile;
	below->merge_pending |= item->merge_pending;
	if (item->profile)
		below->profile = item->profile;
	discard_item(item);
}

/* give_to_parent gives a subtransaction's items to its parent. */
static void
give_to_parent(LsDeferredSet *set, SubTransactionId mine, SubTransactionId parent)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	for (int i = set->n - 1; i >= 0 && set->items[i]->subid >= mine; i--)
	{
		LsDeferred *item = set->items[i];

		/*
		 * of the other kinds, two items of a contact may coexist, and need not be
		 * mergeable
		 */
		if (set->kind == LS_DEFERRED_WRITE && item->below && item->below->subid == parent)
		{
			add_below(set, item);
			set->items[i] = set->items[--set->n];
		}
		else
			item->subid = parent;
	}
	if (set->whole >= mine)
		set->whole = parent;
	MemoryContextSwitchTo(old);
}

/* ---------- flushing ---------- */

/* ls_deferred_any tells whether anything is deferred. */
bool
ls_deferred_any(void)
{
	return sets != NULL;
}

/* is_ours tells whether all of a set was deferred by this subtransaction. */
static bool
is_ours(const LsDeferredSet *set)
{
	SubTransactionId mine = GetCurrentSubTransactionId();

	/* outside of subtransactions there is nothing else */
	if (mine == TopSubTransactionId)
		return true;
	for (int i = 0; i < set->n; i++)
		for (const LsDeferred *item = set->items[i]; item; item = item->below)
			if (item->subid != mine)
				return false;
	return set->whole == InvalidSubTransactionId || set->whole == mine;
}

/* has_ours tells whether some of a set was. */
static bool
has_ours(const LsDeferredSet *set)
{
	SubTransactionId mine = GetCurrentSubTransactionId();

	return (set->n > 0 && set->items[set->n - 1]->subid == mine) || set->whole == mine;
}

/*
 * reconsider has what remains in a set recomputed.  An outer subtransaction has left it
 * behind, and its rows are in the tables: what is written now may include it.
 */
static void
reconsider(LsDeferredSet *set)
{
	for (int i = 0; i < set->n; i++)
		for (LsDeferred *item = set->items[i]; item; item = item->below)
		{
			item->recompute |= has_events(item) || has_gone(item);
			item->recompute_profile |= item->profile != NULL;
			item->profile = NULL;
		}
}

/*
 * split_set moves what this subtransaction has deferred from a set to another, which it
 * makes.  States remain in the memory of the first.
 */
static LsDeferredSet *
split_set(LsDeferredSet *set)
{
	LsDeferredSet *split = NULL;
	LsDeferred	item;
	MemoryContext old;

	(void) make_set(&split, set->model, set->kind, NULL);
	split->source = set->source;
	old = MemoryContextSwitchTo(split->context);
	while (ls_deferred_pop(set, &item))
	{
		LsDeferred *copy = palloc(sizeof(LsDeferred));

		*copy = item;
		copy->below = NULL;
		/* what goes may have come with what outer subtransactions have deferred */
		forget_updates(copy);
		forget_gone(copy);
		make_room(split);
		split->items[split->n++] = copy;
	}
	MemoryContextSwitchTo(old);
	if (set->whole == GetCurrentSubTransactionId())
	{
		split->whole = set->whole;
		set->whole = InvalidSubTransactionId;
	}
	if (set->kind == LS_DEFERRED_WRITE)
		reconsider(set);
	return split;
}

/*
 * ls_deferred_take detaches what this subtransaction has deferred and is to be written
 * to score tables, or else inserted into other tables.  What outer subtransactions have
 * deferred is left to them: it must not be lost if this one aborts.  What is deferred
 * meanwhile goes to new sets.  The detached ones end with the current memory context,
 * or when the caller frees them.
 */
LsDeferredSet *
ls_deferred_take(bool scores)
{
	LsDeferredSet *taken = NULL;
	LsDeferredSet **last = &taken;

	for (LsDeferredSet **at = &sets; *at;)
	{
		LsDeferredSet *set = *at;
		bool		wanted = (set->kind == LS_DEFERRED_WRITE) == scores;

		if (wanted && is_ours(set))
			*at = set->next;
		else
		{
			at = &set->next;
			if (!wanted || !has_ours(set))
				continue;
			set = split_set(set);
		}
		set->next = NULL;
		*last = set;
		last = &set->next;
		MemoryContextSetParent(set->context, CurrentMemoryContext);
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
 * ls_deferred_pop removes the newest item of this subtransaction from a set, and gives
 * it.  False: there is none.
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

/* free_empty frees the sets without items. */
static void
free_empty(void)
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

/* truncate_set drops the items that are newer than the start of a subtransaction. */
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
	free_empty();
}
