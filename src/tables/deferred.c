/*-------------------------------------------------------------------------
 *
 * deferred.c
 *		The changes of contacts that a transaction has deferred.
 *
 * There is one set for each model, kind of change (LsDeferredKind) and subtransaction, in
 * which a contact is found by its key.  So an aborted subtransaction drops its own sets,
 * and a committed one gives them to its parent, where they are added to the parent's.
 *
 * What is to be written to a score table is mostly one event of a contact: an item holds
 * that as it is, for the state of the contact's row, and a state of its own for what more
 * events add up to.
 *
 * A statement may touch more contacts than there is memory for.  When the sets take more
 * than work_mem, what this subtransaction has deferred is spilled (spill.c), and
 * accumulation goes on in an empty set.  When the set is flushed, what was spilled is
 * read in the order of the contacts, and what it says of one contact is added up.  So
 * an item can be relied on until the next row is captured, where sets are spilled.
 *
 * capture/flush_deferred.c applies what is deferred.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/deferred.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/memnodes.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "base/statement.h"
#include "tables/spill.h"

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

/* sum_up_all makes states of all events. */
static void
sum_up_all(LsDeferredSet *set)
{
	for (int i = 0; i < set->n; i++)
		if (set->items[i]->event)
			sum_up(set, set->items[i]);
}

/* forget_gone has a contact recomputed instead of events subtracted. */
static void
forget_gone(LsDeferred *item)
{
	if (!ls_deferred_has_gone(item))
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
 * ls_deferred_leave_recompute tells whether a contact is, or may be, recomputed, for
 * which the caller provides: the item adds new events only, of which it is known that they
 * can be added.
 */
bool
ls_deferred_leave_recompute(LsDeferred *item)
{
	bool		recompute;

	forget_gone(item);
	forget_updates(item);
	if (item->keyed)
	{
		item->recompute = true;
		item->event = NULL;
		item->events = NULL;
		item->keyed = false;
	}
	recompute = item->recompute;
	item->recompute = false;
	return recompute;
}

/* add_event adds an event to an item. */
static void
add_event(LsDeferredSet *set, LsDeferred *item, const LsEvent *event, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	item->keyed |= ls_match_is_keyed(event);
	if (set->kind == LS_DEFERRED_WRITE && event->at <= now &&
		item->event == NULL && item->events == NULL)
	{
		item->event = ls_match_copy_event(event);
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
	else if (!ls_deferred_has_gone(item))
	{
		item->gone_event = ls_match_copy_event(event);
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

/*
 * ls_deferred_use_model replaces the set's version of its model, and retains the new
 * one.  Events are kept with the rules of one version, states know rules by what they
 * match.
 */
void
ls_deferred_use_model(LsDeferredSet *set, LsModel *model)
{
	if (set->model)
	{
		sum_up_all(set);
		ls_model_release(set->model);
		set->remodelled = true;
		/* what goes was to be matched as it was when it came */
		set->recompute_gone = true;
	}
	set->model = model;
	model->refcount++;
	if (set->hash)
		set->hash->private_data = &model->key;
}

/* make_set makes a set, at its place in the lock order of models. */
static LsDeferredSet *
make_set(LsDeferredSet **at, LsModel *model, LsDeferredKind kind, const char *source)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext,
												  "leadscore deferred",
												  ALLOCSET_DEFAULT_SIZES);
	LsDeferredSet *set = MemoryContextAllocZero(context, sizeof(LsDeferredSet));

	set->context = context;
	set->kind = kind;
	set->source = source ? MemoryContextStrdup(context, source) : NULL;
	set->subid = GetCurrentSubTransactionId();
	set->all_of_profile = true;
	ls_deferred_use_model(set, model);
	set->next = *at;
	*at = set;
	return set;
}

/* is_set_of tells whether a set is that of a model, kind and source. */
static bool
is_set_of(const LsDeferredSet *set, const LsModel *model, LsDeferredKind kind,
		  const char *source)
{
	return set->model->score_table == model->score_table && set->kind == kind &&
		(source == NULL || strcmp(set->source, source) == 0);
}

/* ls_deferred_set finds or makes a set; source is that of purged contributions. */
LsDeferredSet *
ls_deferred_set(LsModel *model, LsDeferredKind kind, const LsSource *source)
{
	SubTransactionId mine = GetCurrentSubTransactionId();
	const char *name = source ? source->name : NULL;
	LsDeferredSet **at = &sets;

	for (; *at && (*at)->model->rank <= model->rank; at = &(*at)->next)
	{
		LsDeferredSet *set = *at;

		if (set->subid != mine || !is_set_of(set, model, kind, name))
			continue;
		if (set->model != model)
			ls_deferred_use_model(set, model);
		return set;
	}
	return make_set(at, model, kind, name);
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
 * find_item finds the item of a contact.  Else, if a hash table is to have it, its hash.
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
 * ls_deferred_contact gives the item of a contact, for the caller to add to; it is
 * allocated in the set's context.
 */
LsDeferred *
ls_deferred_contact(LsDeferredSet *set, Datum contact)
{
	LsKeyType  *key = &set->model->key;
	MemoryContext old;
	uint32		hash = 0;
	LsDeferred *item;
	bool		found;

	old = MemoryContextSwitchTo(set->context);
	item = find_item(set, contact, &hash);
	if (item == NULL)
	{
		/* nothing may fail once it can be found */
		make_room(set);
		item = take_room(&set->items_room, sizeof(LsDeferred));
		memset(item, 0, sizeof(LsDeferred));
		item->contact = datumCopy(contact, key->typbyval, key->typlen);
		if (set->hash)
			(void) deferred_insert_hash(set->hash, item, hash, &found);
		else
			set->few[set->nfew++] = item;
		set->items[set->n++] = item;
	}
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
	set->whole = true;
	ls_model_release(model);
	return true;
}

/* add_events adds what events add up to, likewise of those that go, to an item's. */
static void
add_events(LsDeferredSet *set, LsEvent **event, LsState **events, LsEvent *added_event,
		   const LsState *added)
{
	if (*events == NULL)
		sum_up_event(set, event, events);
	if (added_event)
		ls_state_add(set->model, *events, added_event, added_event->at);
	else
		ls_state_merge(set->model, *events, added);
}

/*
 * add_to_item adds what is deferred about the same contact to an item, which takes over
 * what it has none of.  Which of two profiles is newer may not be known.
 */
static void
add_to_item(LsDeferredSet *set, LsDeferred *item, LsDeferred *added)
{
	/* stages are tested at new events only, so these are not mixed with others */
	if (ls_deferred_has_events(item) && ls_deferred_has_events(added) && item->updates != added->updates)
	{
		forget_updates(item);
		forget_updates(added);
	}
	if (!ls_deferred_has_events(item))
	{
		item->event = added->event;
		item->events = added->events;
		item->updates = added->updates;
	}
	else if (ls_deferred_has_events(added))
		add_events(set, &item->event, &item->events, added->event, added->events);
	if (!ls_deferred_has_gone(item))
	{
		item->gone_event = added->gone_event;
		item->gone = added->gone;
	}
	else if (ls_deferred_has_gone(added))
		add_events(set, &item->gone_event, &item->gone, added->gone_event, added->gone);
	item->recompute |= added->recompute;
	item->recompute_profile |= added->recompute_profile ||
		(item->profile && added->profile);
	item->merge_pending |= added->merge_pending;
	item->keyed |= added->keyed;
	if (item->profile == NULL)
		item->profile = added->profile;
}

/* copy_events copies events for an item. */
static void
copy_events(LsDeferredSet *set, const LsDeferred *item, LsEvent **event, LsState **events)
{
	if (*event)
	{
		*event = ls_match_copy_event(*event);
		(*event)->contact = item->contact;
	}
	else if (*events)
	{
		LsState    *copy = ls_deferred_state(set);

		ls_state_merge(set->model, copy, *events);
		*events = copy;
	}
}

/* copy_item gives a set an item that is stored elsewhere. */
static void
copy_item(LsDeferredSet *set, const LsDeferred *from)
{
	LsDeferred *item = ls_deferred_contact(set, from->contact);
	LsDeferred	copy = *from;
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (from->profile)
	{
		copy.profile = ls_deferred_state(set);
		ls_state_decode(ls_state_encode(from->profile), copy.profile);
	}
	copy_events(set, item, &copy.event, &copy.events);
	copy_events(set, item, &copy.gone_event, &copy.gone);
	add_to_item(set, item, &copy);
	MemoryContextSwitchTo(old);
}

/*
 * join_sets adds a subtransaction's set to its parent's.  Should that fail halfway, the
 * subtransaction aborts although a part of it has been added.
 */
static void
join_sets(LsDeferredSet *to, LsDeferredSet *from)
{
	bool		doubtful = to->doubtful || from->doubtful;

	to->doubtful = true;
	if (to->model != from->model)
		ls_deferred_use_model(to, from->model);
	for (int i = 0; i < from->n; i++)
		copy_item(to, from->items[i]);
	to->spills = ls_spill_chain(to->spills, from->spills);
	from->spills = NULL;
	to->all_of_profile &= from->all_of_profile;
	to->whole |= from->whole;
	to->recompute_gone |= from->recompute_gone;
	to->doubtful = doubtful;
}

/* remove_set frees a set, and takes it out of its list. */
static void
remove_set(LsDeferredSet **at)
{
	LsDeferredSet *set = *at;

	*at = set->next;
	ls_deferred_free(set);
}

/* parent_of gives the set to which a set is added; NULL: none. */
static LsDeferredSet *
parent_of(const LsDeferredSet *set, SubTransactionId parent)
{
	/* other tables may have two rows of a contact */
	if (set->kind != LS_DEFERRED_WRITE)
		return NULL;
	for (LsDeferredSet *to = sets; to; to = to->next)
		if (to->subid == parent && is_set_of(to, set->model, set->kind, NULL))
			return to;
	return NULL;
}

/* give_to_parent gives a subtransaction's sets to its parent. */
static void
give_to_parent(SubTransactionId mine, SubTransactionId parent)
{
	for (LsDeferredSet **at = &sets; *at;)
	{
		LsDeferredSet *set = *at;
		LsDeferredSet *to = set->subid >= mine ? parent_of(set, parent) : NULL;

		if (to)
		{
			join_sets(to, set);
			remove_set(at);
			continue;
		}
		if (set->subid >= mine)
			set->subid = parent;
		at = &set->next;
	}
}

/* ---------- memory ---------- */

/* a set that takes less (in bytes) is not spilled */
#define LEAST_SPILLED	(64 * 1024L)

/* largest gives the place of this subtransaction's largest set, if that is worth it. */
static LsDeferredSet **
largest(void)
{
	Size		size = LEAST_SPILLED;
	LsDeferredSet **found = NULL;

	for (LsDeferredSet **at = &sets; *at; at = &(*at)->next)
		if ((*at)->subid == GetCurrentSubTransactionId() && (*at)->context->mem_allocated > size)
		{
			size = (*at)->context->mem_allocated;
			found = at;
		}
	return found;
}

/*
 * ls_deferred_full tells whether the sets take more memory than they may, and some of it
 * can be freed.  It is asked for each row.
 */
bool
ls_deferred_full(void)
{
	Size		total = 0;

	for (const LsDeferredSet *set = sets; set; set = set->next)
		total += set->context->mem_allocated;
	return unlikely(total > (Size) work_mem * 1024) && largest() != NULL;
}

/* spill_memory gives the memory (in kB) of a spill: an equal share of work_mem for each set, and one more. */
static int
spill_memory(void)
{
	int			n = 1;

	for (const LsDeferredSet *set = sets; set; set = set->next)
		n++;
	return Max(LEAST_SPILLED / 1024, work_mem / n);
}

/* to_spill makes a state of an only event, in the current memory context. */
static void
to_spill(LsDeferredSet *set, LsEvent **event, LsState **events)
{
	if (*event == NULL)
		return;
	*events = ls_state_of_event(set->model, *event);
	*event = NULL;
}

/* spill_items spills what a set has in memory. */
static void
spill_items(LsDeferredSet *set)
{
	LsKeyType  *key = &set->model->key;
	MemoryContext context = AllocSetContextCreate(set->context, "leadscore spilled events",
												  ALLOCSET_DEFAULT_SIZES);

	if (set->spills == NULL)
		set->spills = ls_spill_open(key, spill_memory());
	for (int i = 0; i < set->n; i++)
	{
		LsDeferred	item = *set->items[i];
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		set->all_of_profile &= ls_deferred_item_of_profile(&item);
		to_spill(set, &item.event, &item.events);
		to_spill(set, &item.gone_event, &item.gone);
		if (!ls_deferred_is_void(&item))
			ls_spill_add(set->spills, key, &item);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
}

/* spill_set spills what a set has in memory, and puts an empty one in its place. */
static void
spill_set(LsDeferredSet **at)
{
	LsDeferredSet *set = *at;
	LsDeferredSet *empty;

	spill_items(set);
	empty = make_set(at, set->model, set->kind, set->source);
	empty->whole = set->whole;
	empty->doubtful = set->doubtful;
	empty->recompute_gone = set->recompute_gone;
	empty->all_of_profile = set->all_of_profile;
	empty->remodelled = set->remodelled;
	empty->spills = set->spills;
	set->spills = NULL;
	remove_set(&empty->next);
}

/*
 * ls_deferred_spill spills the largest set of this subtransaction.  Those of outer ones
 * must not be touched, as this one may fail in the midst of it.
 */
void
ls_deferred_spill(void)
{
	LsDeferredSet **at = largest();

	if (at)
		spill_set(at);
}

/* ---------- flushing ---------- */

/* ls_deferred_any tells whether anything is deferred. */
bool
ls_deferred_any(void)
{
	return sets != NULL;
}

/*
 * reconsider has what outer subtransactions have left behind of a model recomputed.  Its
 * rows are in the tables: what is written now may include it.  And what goes now may have
 * come with it.
 */
static void
reconsider(LsDeferredSet *taken)
{
	for (LsDeferredSet *set = sets; set; set = set->next)
		if (set->subid < taken->subid && is_set_of(set, taken->model, LS_DEFERRED_WRITE, NULL))
			set->doubtful = taken->recompute_gone = true;
}

/* ls_deferred_doubt has the contacts recomputed of which more was deferred, and read meanwhile. */
void
ls_deferred_doubt(const LsModel *model)
{
	for (LsDeferredSet *set = sets; set; set = set->next)
		if (set->subid == GetCurrentSubTransactionId() && is_set_of(set, model, LS_DEFERRED_WRITE, NULL))
			set->doubtful = set->recompute_gone = true;
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
	SubTransactionId mine = GetCurrentSubTransactionId();
	LsDeferredSet *taken = NULL;
	LsDeferredSet **last = &taken;

	for (LsDeferredSet **at = &sets; *at;)
	{
		LsDeferredSet *set = *at;

		if ((set->kind == LS_DEFERRED_WRITE) != scores || set->subid != mine)
		{
			at = &set->next;
			continue;
		}
		*at = set->next;
		set->next = NULL;
		*last = set;
		last = &set->next;
		MemoryContextSetParent(set->context, CurrentMemoryContext);
		if (scores && mine != TopSubTransactionId)
			reconsider(set);
	}
	return taken;
}

void
ls_deferred_free(LsDeferredSet *set)
{
	ls_spill_close(set->spills);
	ls_model_release(set->model);
	MemoryContextDelete(set->context);
}

/* ls_deferred_of_profile tells whether all of a set comes from the contact table. */
bool
ls_deferred_of_profile(const LsDeferredSet *set)
{
	if (!set->all_of_profile)
		return false;
	for (int i = 0; i < set->n; i++)
		if (!ls_deferred_item_of_profile(set->items[i]))
			return false;
	return true;
}

/*
 * ls_deferred_read starts to read a set that was taken.  Changes of scores come in the
 * order of their contacts, the others in any.
 */
void
ls_deferred_read(LsDeferredSet *set)
{
	LsKeyType  *key = &set->model->key;

	set->read = 0;
	if (set->spills)
	{
		spill_items(set);
		set->n = 0;
		set->read_context = AllocSetContextCreate(set->context, "leadscore read item",
												  ALLOCSET_DEFAULT_SIZES);
		ls_spill_sort(set->spills, key);
	}
	else if (set->kind == LS_DEFERRED_WRITE && set->n > 1)
		ls_key_sort(key, (void **) set->items, set->n);
}

/*
 * next_spilled reads all that was spilled about the next contact, and adds it up.
 * Purged contributions keep slots that a newer version of the model would drop.
 */
static bool
next_spilled(LsDeferredSet *set, LsDeferred *item)
{
	LsKeyType  *key = &set->model->key;
	MemoryContext old = MemoryContextSwitchTo(set->read_context);
	LsDeferred	more;
	bool		found;

	MemoryContextReset(set->read_context);
	found = ls_spill_next(set->spills, key, NULL, item);
	if (found && (set->kind != LS_DEFERRED_PURGED || !set->remodelled))
		while (ls_spill_next(set->spills, key, &item->contact, &more))
			add_to_item(set, item, &more);
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * ls_deferred_next gives the next item of a set that is read, until the next call.
 * False: there is none.
 */
bool
ls_deferred_next(LsDeferredSet *set, LsDeferred *item)
{
	if (set->spills)
	{
		if (!next_spilled(set, item))
			return false;
	}
	else if (set->read < set->n)
		*item = *set->items[set->read++];
	else
		return false;
	if (unlikely(set->doubtful || set->recompute_gone))
		forget_gone(item);
	if (unlikely(set->doubtful))
	{
		item->recompute |= ls_deferred_has_events(item);
		item->recompute_profile |= item->profile != NULL;
		item->profile = NULL;
	}
	return true;
}

/* ---------- transactions ---------- */

void
ls_deferred_end_transaction(void)
{
	sets = NULL;
	ls_spill_end_transaction();
}

/* drop_sets drops the sets that are newer than the start of a subtransaction. */
static void
drop_sets(SubTransactionId mine)
{
	for (LsDeferredSet **at = &sets; *at;)
	{
		LsDeferredSet *set = *at;

		if (set->subid < mine)
		{
			at = &set->next;
			continue;
		}
		/* an abort releases its files */
		set->spills = NULL;
		remove_set(at);
	}
}

void
ls_deferred_end_subtransaction(SubTransactionId mine, SubTransactionId parent,
							   bool committed)
{
	if (committed)
		give_to_parent(mine, parent);
	else
		drop_sets(mine);
	ls_spill_end_subtransaction(mine, parent, committed);
}
