/*-------------------------------------------------------------------------
 *
 * what_if_trial.c
 *		Contacts under the committed rules and under those of a transaction.
 *
 * Before is the definition that was committed when the statement began, read with a
 * snapshot that sees nothing of the transaction itself.  After is the definition that
 * the statement sees.  Both are evaluated now, so that the rules are the only
 * difference.
 *
 * Where every rule is backfilled both follow from states.  A rule that has still to be
 * backfilled is not in the states: then the score after is replayed from the events, of
 * all contacts or of a sample.
 *
 * A sample is the contacts whose keys have the lowest hashes: as good as a random one,
 * and the same in each call.
 *
 *-------------------------------------------------------------------------
 */
#include "api/what_if_trial.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "counting/contact_snapshot.h"
#include "counting/event_reader.h"
#include "counting/replay.h"
#include "rules/score_columns.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"

#define DEFAULT_SAMPLE 1000

struct LsTrial
{
	LsModel    *before;
	LsModel    *after;
	bool		loaded_before;	/* to be released by us */
	bool		loaded_after;
	bool		replayed;		/* the score after is replayed from the events */
	bool		recounted;		/* states no longer have what the rules before need */
	bool		pending;		/* there are pending changes */
	Snapshot	committed;		/* sees nothing of this transaction */
	TimestampTz now;
	LsReplay   *replay;
	LsScore    *score;			/* of the replay */
	LsAdvance  *advance_before;
	LsAdvance  *advance_after;
	int			sample;			/* 0: all */
	int64		population;
	int64		tried;
};

/* A contact and its row, NULL where it has to be read */
typedef struct Entry
{
	Datum		contact;
	HeapTuple	tuple;
	TupleDesc	desc;
} Entry;

/* ---------- the rules ---------- */

/*
 * committed_snapshot gives a copy of the active snapshot as of before the first command
 * of this transaction.
 */
static Snapshot
committed_snapshot(void)
{
	SnapshotData snapshot = *GetActiveSnapshot();

	snapshot.curcid = FirstCommandId;
	snapshot.copied = false;	/* a static snapshot, to be copied */
	snapshot.active_count = 0;
	snapshot.regd_count = 0;
	return RegisterSnapshot(&snapshot);
}

/*
 * read_rules reads the rules after the change.  True if some of them have to be
 * backfilled before states have them.
 */
static bool
read_rules(const char *model, bool publish, LsModelDefinition *definition)
{
	bool		uncounted = false;
	ListCell   *lc;

	definition->rules = ls_lead_rules(model, GetActiveSnapshot());
	foreach(lc, definition->rules)
	{
		LsRuleRow  *row = lfirst(lc);

		if (publish)
			row->draft = false;
		if (row->enabled && !row->draft &&
			(row->backfilled_version_null || row->backfilling_version != 0))
			uncounted = true;
	}
	return uncounted;
}

/* lacks tells whether the state of a model lacks rules of another. */
static bool
lacks(LsModel *model, const LsModel *other)
{
	for (int i = 0; i < other->nrules; i++)
		if (other->rules[i].version != 0 &&
			ls_model_rule_by_version(model, other->rules[i].version) == NULL)
			return true;
	return false;
}

/* ls_trial_make prepares a trial of a model's rules. */
LsTrial *
ls_trial_make(LsModel *asked, const LsTrialSpec *spec)
{
	LsTrial    *trial = palloc0(sizeof(LsTrial));
	LsModelDefinition definition = {0};

	trial->committed = committed_snapshot();
	trial->before = ls_model_load(asked->name, trial->committed);
	trial->loaded_before = trial->before != NULL;
	if (trial->before == NULL)
		trial->before = asked;	/* created in this transaction */
	trial->replayed = read_rules(asked->name, spec->publish, &definition);
	trial->loaded_after = trial->replayed || spec->publish;
	if (trial->replayed)
		ls_lead_rules_as_backfilled(definition.rules);
	trial->after = trial->loaded_after ?
		ls_model_load_definition(asked->name, GetActiveSnapshot(), &definition) : asked;
	trial->recounted = lacks(asked, trial->before);
	trial->pending = ls_contact_snapshot_any_pending(asked);
	trial->now = ls_clock_of_statement();
	trial->sample = spec->sample > 0 ? spec->sample :
		trial->replayed && !spec->full ? DEFAULT_SAMPLE : 0;
	if (trial->replayed)
		trial->replay = ls_replay_make(trial->after);
	trial->score = ls_score_make(trial->after, false);
	trial->advance_before = ls_contact_snapshot_advance_make(trial->before);
	trial->advance_after = ls_contact_snapshot_advance_make(trial->after);
	return trial;
}

LsModel *
ls_trial_model(const LsTrial *trial)
{
	return trial->after;
}

/* ls_trial_population gives the number of contacts. */
int64
ls_trial_population(const LsTrial *trial)
{
	return trial->population;
}

/* ls_trial_tried gives the number of contacts that were tried. */
int64
ls_trial_tried(const LsTrial *trial)
{
	return trial->tried;
}

void
ls_trial_end(LsTrial *trial)
{
	ls_rule_error_report(trial->after);
	if (trial->loaded_before)
		ls_model_release(trial->before);
	if (trial->loaded_after)
		ls_model_release(trial->after);
	UnregisterSnapshot(trial->committed);
}

/* ---------- one contact ---------- */

static bool
read_item(LsModel *model, const Entry *item, LsScoreRow *row)
{
	if (item->tuple == NULL)
		return ls_score_table_find(model, item->contact, row);
	ls_score_table_read_tuple(model, item->tuple, item->desc, row);
	return true;
}

/* read_current reads a contact's row, and merges what is pending of it. */
static bool
read_current(const LsTrial *trial, LsModel *model, const Entry *item, LsScoreRow *row)
{
	if (!read_item(model, item, row))
		return false;
	if (trial->pending)
		(void) ls_contact_snapshot_merge(model, row, true);
	return true;
}

/* see evaluates a contact now; pending changes are merged into its row. */
static void
see(const LsTrial *trial, LsAdvance *advance, LsScoreRow *row, LsSeen *seen)
{
	ls_contact_snapshot_advance(advance, row, Max(trial->now, ls_score_row_instant(row)));
	seen->score = row->score;
	seen->stage = row->stage;
	seen->grade = row->grade;
}

/* see_before evaluates a contact under the committed rules. */
static bool
see_before(LsTrial *trial, const Entry *item, LsSeen *seen)
{
	Entry		unread = {item->contact, NULL, NULL};
	LsScoreRow	row;
	bool		found = false;

	if (trial->recounted)
	{
		PushActiveSnapshot(trial->committed);
		found = read_current(trial, trial->before, &unread, &row);
		PopActiveSnapshot();
	}
	if (!found && !read_current(trial, trial->before, item, &row))
		return false;
	see(trial, trial->advance_before, &row, seen);
	return true;
}

/* see_replayed evaluates a replayed contact, with the stage of its row. */
static void
see_replayed(LsTrial *trial, LsScoreRow *row, LsSeen *seen)
{
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = ls_contact_snapshot_make_context(trial->after, estate, row->contact);
	LsStageState stage = ls_score_row_stage_state(row);
	TimestampTz t = Max(trial->now, ls_score_row_instant(row));

	ls_replay_evaluate(trial->replay, t, trial->score);
	(void) ls_stage_step(trial->after, trial->score, econtext, &stage, t);
	seen->score = trial->score->score;
	seen->stage = stage.stage;
	seen->grade = ls_score_grade(trial->after, trial->score);
	FreeExecutorState(estate);
}

/* see_after evaluates a contact under the rules of the transaction. */
static bool
see_after(LsTrial *trial, const Entry *item, LsSeen *seen)
{
	LsScoreRow	row;

	if (trial->replayed)
	{
		if (!read_item(trial->after, item, &row))
			return false;
		see_replayed(trial, &row, seen);
		return true;
	}
	if (!read_current(trial, trial->after, item, &row))
		return false;
	see(trial, trial->advance_after, &row, seen);
	return true;
}

static void
try_contact(LsTrial *trial, const Entry *item, LsTrialTaker take, void *arg)
{
	LsTried		tried;

	tried.contact = item->contact;
	if (!see_before(trial, item, &tried.before) || !see_after(trial, item, &tried.after))
		return;
	trial->tried++;
	take(trial, &tried, arg);
}

/* ---------- a sample ---------- */

typedef struct Drawn
{
	uint32		hash;
	Datum		key;
} Drawn;

static int
by_hash(const void *a, const void *b)
{
	const Drawn *x = a;
	const Drawn *y = b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

static int
by_key(const void *a, const void *b, void *arg)
{
	return ls_key_compare(arg, ((const Drawn *) a)->key, ((const Drawn *) b)->key);
}

/* draw gives the keys of a sample in their order, and the number of all contacts. */
static int
draw(LsTrial *trial, Drawn **drawn)
{
	LsKeyType  *type = &trial->after->key;
	Size		most = 2 * (Size) trial->sample;
	Size		room = Min(most, 1024);
	Drawn	   *kept = palloc(sizeof(Drawn) * room);
	Relation	rel = table_open(trial->after->score_table, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = ls_table_beginscan(rel, GetActiveSnapshot());
	uint32		limit = PG_UINT32_MAX;
	Size		n = 0;

	ls_score_columns_check(trial->after, RelationGetDescr(rel));
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		key = slot_getattr(slot, 1, &isnull);
		uint32		hash;

		CHECK_FOR_INTERRUPTS();
		if (isnull)
			continue;
		hash = murmurhash32(ls_key_hash(type, key));
		trial->population++;
		if (hash > limit)
			continue;
		if (n == room)
		{
			room = Min(most, room * 2);
			kept = repalloc_huge(kept, sizeof(Drawn) * room);
		}
		kept[n].hash = hash;
		kept[n++].key = datumCopy(key, type->typbyval, type->typlen);
		if (n < most)
			continue;
		qsort(kept, n, sizeof(Drawn), by_hash);
		for (n = trial->sample; n < most && !type->typbyval; n++)
			pfree(DatumGetPointer(kept[n].key));
		n = trial->sample;
		limit = kept[n - 1].hash;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	qsort(kept, n, sizeof(Drawn), by_hash);
	n = Min(n, (Size) trial->sample);
	qsort_arg(kept, n, sizeof(Drawn), by_key, type);
	*drawn = kept;
	return (int) n;
}

/* ---------- all contacts ---------- */

static void
run_sample(LsTrial *trial, LsTrialTaker take, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore trial",
												  ALLOCSET_DEFAULT_SIZES);
	Drawn	   *drawn;
	int			n = draw(trial, &drawn);

	for (int i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Entry		item = {drawn[i].key, NULL, NULL};

		CHECK_FOR_INTERRUPTS();
		if (trial->replayed)
			(void) ls_replay_contact(trial->replay, item.contact);
		try_contact(trial, &item, take, arg);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

static void
run_all(LsTrial *trial, LsTrialTaker take, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore trial",
												  ALLOCSET_DEFAULT_SIZES);
	LsReaderSpec spec = {.model = trial->after, .source = -1, .what = LS_READ_SCORES |
	(trial->replayed ? LS_READ_EVENTS | LS_READ_CONTACTS : 0)};
	LsReader   *reader = ls_reader_open(&spec);
	Entry		item;

	while (ls_reader_next(reader, &item.contact))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		item.tuple = ls_reader_score(reader, &item.desc);
		if (item.tuple)
		{
			if (trial->replayed)
			{
				ls_replay_clear(trial->replay);
				ls_replay_read(trial->replay, reader, item.contact);
			}
			try_contact(trial, &item, take, arg);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	ls_reader_close(reader);
	trial->population = trial->tried;
	MemoryContextDelete(context);
}

/*
 * ls_trial_run evaluates the contacts, in the order of their keys, and calls take for
 * each, whose arguments are valid during the call.
 */
void
ls_trial_run(LsTrial *trial, LsTrialTaker take, void *arg)
{
	if (trial->sample > 0)
		run_sample(trial, take, arg);
	else
		run_all(trial, take, arg);
}
