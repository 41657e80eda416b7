/*-------------------------------------------------------------------------
 *
 * spill.c
 *		Deferred changes for which there is no room in memory.
 *
 * A spill is a sort of deferred changes by contact: what is spilled several times about
 * a contact is read one after the other.  Events are spilled as the states that they
 * add up to, in which rules are known by what they match, so that what was spilled does
 * not depend on a version of the model.
 *
 * A spill belongs to the subtransaction that has made it, until that ends or what is in
 * it was written.  It has a memory context and a resource owner of its own, below those
 * of the transaction: neither the end of a statement, whose trigger has made it, nor
 * that of the subtransaction closes its temporary files before it is closed here.  An
 * abort does not end the sort, which would still write to files, but lets go of what it
 * holds.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/spill.h"

#include "access/tupdesc.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/tuplesort.h"

#include "base/compat.h"

struct LsSpill
{
	LsSpill    *next;			/* of all of the transaction */
	LsSpill    *chained;		/* of the same set: a subtransaction gave it to its parent */
	SubTransactionId subid;
	MemoryContext context;
	MemoryContext item_context; /* of the bytes of an item that is added */
	ResourceOwner owner;
	Tuplesortstate *sort;
	TupleTableSlot *added;
	TupleTableSlot *found;
	bool		held;			/* found is still to be given */
};

/* columns of what is sorted */
enum
{
	SPILLED_CONTACT,
	SPILLED_FLAGS,
	SPILLED_EVENTS,
	SPILLED_GONE,
	SPILLED_PROFILE,
	NSPILLED
};

/* flags */
#define RECOMPUTE			0x01
#define RECOMPUTE_PROFILE	0x02
#define MERGE_PENDING		0x04
#define UPDATES				0x08

static LsSpill *spills = NULL;

/* ---------- opening and closing ---------- */

/* What is in force elsewhere while a spill is used */
typedef struct Elsewhere
{
	ResourceOwner owner;
	LsUser		user;
} Elsewhere;

/* enter and leave stand around a use of the sort, which compares keys and opens files. */
static void
enter(LsSpill *spill, const LsKeyType *key, Elsewhere *elsewhere)
{
	elsewhere->owner = CurrentResourceOwner;
	CurrentResourceOwner = spill->owner;
	ls_key_enter(key, &elsewhere->user);
}

static void
leave(const LsKeyType *key, const Elsewhere *elsewhere)
{
	ls_key_leave(key, &elsewhere->user);
	CurrentResourceOwner = elsewhere->owner;
}

/* make_columns describes the columns of what is sorted. */
static TupleDesc
make_columns(const LsKeyType *key)
{
	TupleDesc	columns = CreateTemplateTupleDesc(NSPILLED);

	TupleDescInitEntry(columns, SPILLED_CONTACT + 1, "contact", key->type, -1, 0);
	TupleDescInitEntryCollation(columns, SPILLED_CONTACT + 1, key->collation);
	TupleDescInitEntry(columns, SPILLED_FLAGS + 1, "flags", INT4OID, -1, 0);
	TupleDescInitEntry(columns, SPILLED_EVENTS + 1, "events", BYTEAOID, -1, 0);
	TupleDescInitEntry(columns, SPILLED_GONE + 1, "gone", BYTEAOID, -1, 0);
	TupleDescInitEntry(columns, SPILLED_PROFILE + 1, "profile", BYTEAOID, -1, 0);
	TupleDescFinalize(columns);
	return columns;
}

/* make_sort makes the sort of a spill, which uses so much memory (in kB). */
static void
make_sort(LsSpill *spill, LsKeyType *key, int memory)
{
	TupleDesc	columns = make_columns(key);
	AttrNumber	column = SPILLED_CONTACT + 1;
	bool		nulls_first = false;
	Elsewhere	elsewhere;

	spill->added = MakeSingleTupleTableSlot(columns, &TTSOpsVirtual);
	spill->found = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
	enter(spill, key, &elsewhere);
	spill->sort = tuplesort_begin_heap(columns, 1, &column, &key->lt_operator, &key->collation,
									   &nulls_first, memory, NULL, TUPLESORT_NONE);
	leave(key, &elsewhere);
}

/* ls_spill_open makes an empty spill of the current subtransaction. */
LsSpill *
ls_spill_open(LsKeyType *key, int memory)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "leadscore spill",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LsSpill    *spill = palloc0(sizeof(LsSpill));

	spill->subid = GetCurrentSubTransactionId();
	spill->context = context;
	spill->item_context = AllocSetContextCreate(context, "leadscore spilled item",
												ALLOCSET_DEFAULT_SIZES);
	spill->owner = ResourceOwnerCreate(TopTransactionResourceOwner, "leadscore spill");
	spill->next = spills;
	spills = spill;
	make_sort(spill, key, memory);
	MemoryContextSwitchTo(old);
	return spill;
}

/* ls_spill_chain has two spills, or NULL, and what is chained to them, read as one. */
LsSpill *
ls_spill_chain(LsSpill *first, LsSpill *rest)
{
	LsSpill    *last = first;

	if (first == NULL)
		return rest;
	while (last->chained)
		last = last->chained;
	last->chained = rest;
	return first;
}

/* release frees a spill that is not listed any more, and closes its files. */
static void
release(LsSpill *spill, bool committed)
{
	ResourceOwnerRelease(spill->owner, RESOURCE_RELEASE_BEFORE_LOCKS, committed, false);
	ResourceOwnerRelease(spill->owner, RESOURCE_RELEASE_LOCKS, committed, false);
	ResourceOwnerRelease(spill->owner, RESOURCE_RELEASE_AFTER_LOCKS, committed, false);
	ResourceOwnerDelete(spill->owner);
	MemoryContextDelete(spill->context);
}

/* ls_spill_close ends a spill, and those that are chained to it. */
void
ls_spill_close(LsSpill *spill)
{
	while (spill)
	{
		LsSpill    *chained = spill->chained;
		LsSpill   **at = &spills;
		ResourceOwner old = CurrentResourceOwner;

		CurrentResourceOwner = spill->owner;
		tuplesort_end(spill->sort);
		CurrentResourceOwner = old;
		while (*at != spill)
			at = &(*at)->next;
		*at = spill->next;
		release(spill, true);
		spill = chained;
	}
}

/* ---------- writing ---------- */

static void
set_state(TupleTableSlot *slot, int column, const LsState *state)
{
	slot->tts_isnull[column] = state == NULL;
	if (state)
		slot->tts_values[column] = PointerGetDatum(ls_state_encode(state));
}

/* add_slot adds what is in a slot to a sort. */
static void
add_slot(LsSpill *spill, LsKeyType *key, TupleTableSlot *slot)
{
	Elsewhere	elsewhere;

	enter(spill, key, &elsewhere);
	tuplesort_puttupleslot(spill->sort, slot);
	leave(key, &elsewhere);
}

/* ls_spill_add spills an item, all of whose events are in a state. */
void
ls_spill_add(LsSpill *spill, LsKeyType *key, const LsDeferred *item)
{
	TupleTableSlot *slot = ExecClearTuple(spill->added);
	MemoryContext old = MemoryContextSwitchTo(spill->item_context);

	Assert(item->event == NULL && item->gone_event == NULL);
	slot->tts_isnull[SPILLED_CONTACT] = slot->tts_isnull[SPILLED_FLAGS] = false;
	slot->tts_values[SPILLED_CONTACT] = item->contact;
	slot->tts_values[SPILLED_FLAGS] =
		Int32GetDatum((item->recompute ? RECOMPUTE : 0) |
					  (item->recompute_profile ? RECOMPUTE_PROFILE : 0) |
					  (item->merge_pending ? MERGE_PENDING : 0) |
					  (item->updates ? UPDATES : 0));
	set_state(slot, SPILLED_EVENTS, item->events);
	set_state(slot, SPILLED_GONE, item->gone);
	set_state(slot, SPILLED_PROFILE, item->profile);
	ExecStoreVirtualTuple(slot);
	MemoryContextSwitchTo(old);
	add_slot(spill, key, slot);
	ExecClearTuple(slot);
	MemoryContextReset(spill->item_context);
}

/* ---------- reading ---------- */

/* fetch gets the next tuple of a sort. */
static bool
fetch(LsSpill *spill, LsKeyType *key)
{
	Elsewhere	elsewhere;
	bool		found;

	enter(spill, key, &elsewhere);
	found = tuplesort_gettupleslot(spill->sort, true, false, spill->found, NULL);
	leave(key, &elsewhere);
	return found;
}

static void
perform_sort(LsSpill *spill, LsKeyType *key)
{
	Elsewhere	elsewhere;

	enter(spill, key, &elsewhere);
	tuplesort_performsort(spill->sort);
	leave(key, &elsewhere);
}

/*
 * ls_spill_sort sorts what is in a spill, to be read.  What is chained to it is moved
 * into its sort, so that no more memory is needed than for one.
 */
void
ls_spill_sort(LsSpill *spill, LsKeyType *key)
{
	for (LsSpill *from = spill->chained; from; from = from->chained)
	{
		perform_sort(from, key);
		while (fetch(from, key))
			add_slot(spill, key, from->found);
	}
	ls_spill_close(spill->chained);
	spill->chained = NULL;
	perform_sort(spill, key);
}

static LsState *
get_state(TupleTableSlot *slot, int column)
{
	LsState    *state;
	bool		isnull;
	Datum		bytes = slot_getattr(slot, column + 1, &isnull);

	if (isnull)
		return NULL;
	state = palloc(sizeof(LsState));
	ls_state_decode((bytea *) DatumGetPointer(bytes), state);
	return state;
}

/*
 * ls_spill_next gives the next item, in the current memory context; where a contact is
 * given only if that is of the same contact.
 */
bool
ls_spill_next(LsSpill *spill, LsKeyType *key, const Datum *contact, LsDeferred *item)
{
	bool		isnull;
	Datum		found;
	int			flags;

	if (!spill->held && !fetch(spill, key))
		return false;
	spill->held = true;
	found = slot_getattr(spill->found, SPILLED_CONTACT + 1, &isnull);
	if (contact && ls_key_compare(key, *contact, found) != 0)
		return false;
	flags = DatumGetInt32(slot_getattr(spill->found, SPILLED_FLAGS + 1, &isnull));
	memset(item, 0, sizeof(LsDeferred));
	item->contact = datumCopy(found, key->typbyval, key->typlen);
	item->recompute = (flags & RECOMPUTE) != 0;
	item->recompute_profile = (flags & RECOMPUTE_PROFILE) != 0;
	item->merge_pending = (flags & MERGE_PENDING) != 0;
	item->updates = (flags & UPDATES) != 0;
	item->events = get_state(spill->found, SPILLED_EVENTS);
	item->gone = get_state(spill->found, SPILLED_GONE);
	item->profile = get_state(spill->found, SPILLED_PROFILE);
	spill->held = false;
	return true;
}

/* ---------- transactions ---------- */

void
ls_spill_end_transaction(void)
{
	spills = NULL;
}

void
ls_spill_end_subtransaction(SubTransactionId mine, SubTransactionId parent, bool committed)
{
	for (LsSpill **at = &spills; *at;)
	{
		LsSpill    *spill = *at;

		if (!committed && spill->subid >= mine)
		{
			*at = spill->next;
			release(spill, false);
			continue;
		}
		if (spill->subid >= mine)
			spill->subid = parent;
		at = &spill->next;
	}
}
