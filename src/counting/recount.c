/*-------------------------------------------------------------------------
 *
 * recount.c
 *		From events to state: attach, new rules, rescore, retraction.
 *
 * Whatever is counted here is read with a snapshot taken under a lock that
 * keeps further writers away: of one contact's row where one contact is
 * counted, of the tables where many are.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/recount.h"

#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "definitions/restore_state.h"
#include "base/clock.h"
#include "base/relation.h"
#include "base/sql.h"
#include "counting/event_reader.h"
#include "counting/merge_pending.h"
#include "counting/rule_versions.h"
#include "counting/suspension.h"
#include "ddl/ddl.h"
#include "definitions/job_table.h"
#include "definitions/locks.h"
#include "definitions/rights.h"
#include "rules/source_locks.h"
#include "tables/pending_table.h"
#include "tables/purged_table.h"
#include "tables/rule_error.h"
#include "tables/score_writer.h"

PG_FUNCTION_INFO_V1(ls_rescore_model);
PG_FUNCTION_INFO_V1(ls_rescore_online);

/* ---------- one contact ---------- */

/* ls_profile_of fills in what a row of the contact table says. */
void
ls_profile_of(LsModel *model, Datum contact, TupleTableSlot *slot,
			  ExprContext *econtext, LsState *profile)
{
	profile->has_contact = true;
	profile->created_at = ls_reader_created(model, slot);
	econtext->ecxt_scantuple = slot;
	for (int i = 0; i < model->nprofiles; i++)
	{
		double		weight;

		if (ls_profile_match(model, model->profiles[i], contact, econtext, &weight))
			ls_state_set_profile(profile, model->profiles[i]->version, true, weight);
	}
}

/* read_contact adds what a reader has of its contact to a state. */
static void
read_contact(LsModel *model, LsReader *reader, Datum contact, TimestampTz now,
			 LsState *state)
{
	ExprContext *econtext;
	TupleTableSlot *slot;
	LsEvent		event;

	slot = ls_reader_contact(reader, &econtext);
	if (slot)
		ls_profile_of(model, contact, slot, econtext, state);
	while (ls_reader_event(reader, &event))
		ls_state_add(model, state, &event, now);
}

static void
count_one(LsModel *model, Datum contact, TimestampTz now, LsState *state, int what)
{
	LsReaderSpec spec = {.model = model, .what = what,
	.source = -1, .one = true, .contact = contact};
	LsReader   *reader = ls_reader_open(&spec);
	Datum		found;

	if (what & LS_READ_EVENTS)
		ls_purged_add(model, contact, state);
	while (ls_reader_next(reader, &found))
		read_contact(model, reader, found, now, state);
	ls_reader_close(reader);
}

/*
 * ls_count_contact counts all that is known of one contact, purged events included:
 * what was purged by a clock that is ahead may be later than now.
 */
void
ls_count_contact(LsModel *model, Datum contact, TimestampTz now, LsState *state)
{
	count_one(model, contact, now, state, LS_READ_EVENTS | LS_READ_CONTACTS);
}

/* ls_count_profile looks at one contact's row. */
void
ls_count_profile(LsModel *model, Datum contact, TimestampTz now, LsState *state)
{
	count_one(model, contact, now, state, LS_READ_CONTACTS);
}

/* ---------- many ---------- */

/*
 * model_to_count gives the newest model to one who will count by it.  Its score
 * table is locked first: whoever changes the rules holds a stronger lock until
 * they are committed.
 *
 * Where relation is none, the lock keeps writers of other tables from being
 * between their rules and the rows that we change: they would take away what
 * their rules do not know.  Where one relation comes or goes the rules are what
 * they were.
 */
static LsModel *
model_to_count(const char *name, Oid relation)
{
	Oid			table = ls_score_table(name, true);
	LsModel    *model;

	if (OidIsValid(table))
		LockRelationOid(table, OidIsValid(relation) ? RowExclusiveLock : ShareRowExclusiveLock);
	model = ls_model_acquire(name, NULL);
	if (model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", name)));
	return model;
}

/*
 * A pass over contacts, in the order of their key, in which each is changed.
 * counting is the model whose rules are matched, which may leave some out;
 * model is the one that rows are evaluated with.
 */
typedef struct Pass
{
	LsModel    *model;
	LsModel    *counting;
	LsReaderSpec spec;
	const char *cause;
	int64	   *versions;		/* of the only rules that are backfilled, or NULL */
	int			nversions;
	bool		whole;			/* what is read replaces the state */
	bool		count_all;		/* every contact found is recomputed */
	bool		online;			/* others write: these contacts are locked */
	bool		within_rows;	/* they have rows up to where the pass ends */
	Datum	   *locked;			/* ascending */
	int			nlocked;
	int			next_locked;
	int64		contacts;
} Pass;

/*
 * row_then tells whether a contact's row was locked before its events were read.
 * Contacts come in the order of their key.
 */
static LsRowThen
row_then(Pass *pass, Datum contact)
{
	LsKeyType  *key = &pass->model->key;

	if (!pass->online)
		return LS_ROW_HELD;
	for (; pass->next_locked < pass->nlocked; pass->next_locked++)
	{
		int			order = ls_key_compare(key, pass->locked[pass->next_locked], contact);

		if (order >= 0)
			return order == 0 ? LS_ROW_THERE : LS_ROW_NONE;
	}
	return LS_ROW_NONE;
}

static void
change_contact(Pass *pass, LsReader *reader, LsScoreWriter *writer, Datum contact)
{
	LsChange	change = {.contact = contact};
	LsState		state,
				profile;
	TimestampTz now = ls_clock();
	ExprContext *econtext;
	TupleTableSlot *slot;
	LsEvent		event;

	ls_state_init(&state);
	ls_state_init(&profile);
	if (pass->whole)
	{
		ls_purged_add(pass->counting, contact, &state);
		read_contact(pass->counting, reader, contact, now, &state);
		change.kind = LS_CHANGE_REPLACE;
		change.data.replace.state = &state;
		change.data.replace.row_then = row_then(pass, contact);
		change.data.replace.test_entry = pass->online;
	}
	else if (pass->count_all)
		change.kind = LS_CHANGE_RECOMPUTE;
	else
	{
		if (pass->versions)
			ls_purged_add(pass->counting, contact, &state);
		slot = ls_reader_contact(reader, &econtext);
		if (slot)
			ls_profile_of(pass->model, contact, slot, econtext, &profile);
		while (ls_reader_event(reader, &event))
			ls_state_add(pass->counting, &state, &event, now);
		if (pass->versions)
		{
			if (slot)
				ls_state_take_profile(pass->counting, &state, &profile);
			change.kind = LS_CHANGE_RULES;
			change.data.rules.slots = &state;
			change.data.rules.versions = pass->versions;
			change.data.rules.nversions = pass->nversions;
			change.data.rules.row_then = row_then(pass, contact);
			change.data.rules.state_only = !pass->online;
		}
		else
		{
			bool		events = state.events > 0 || state.nfuture > 0;

			if (!events && slot == NULL)
				return;
			change.kind = LS_CHANGE_EVENTS;
			change.data.events.delta = events ? &state : NULL;
			change.data.events.profile = slot ? &profile : NULL;
			change.data.events.only_if_changed = !events;
		}
	}
	ls_score_writer_change(writer, &change);
	pass->contacts++;
}

/* A way through contacts with what it needs, opened and closed in one piece */
typedef struct Walk
{
	LsScoreWriter *writer;
	LsReader   *reader;
	MemoryContext context;		/* of one contact */
	MemoryContext caller;
} Walk;

static void
begin_walk(Walk *walk, LsModel *model, const char *cause, const LsReaderSpec *spec)
{
	walk->context = AllocSetContextCreate(CurrentMemoryContext,
										  "leadscore walk",
										  ALLOCSET_DEFAULT_SIZES);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	walk->writer = ls_score_writer_open(model, cause);
	walk->reader = ls_reader_open(spec);
	walk->caller = MemoryContextSwitchTo(walk->context);
}

static void
end_walk(Walk *walk)
{
	MemoryContextSwitchTo(walk->caller);
	ls_reader_close(walk->reader);
	ls_score_writer_close(walk->writer);
	PopActiveSnapshot();
	MemoryContextDelete(walk->context);
}

static void
run_pass(Pass *pass)
{
	Walk		walk;
	Datum		contact;

	begin_walk(&walk, pass->model, pass->cause, &pass->spec);
	while (ls_reader_next(walk.reader, &contact))
	{
		change_contact(pass, walk.reader, walk.writer, contact);
		MemoryContextReset(walk.context);
	}
	end_walk(&walk);
	ls_rule_error_report(pass->counting);
	if (pass->model != pass->counting)
		ls_rule_error_report(pass->model);
}

/* ls_recount_contacts gives every contact of the contact table its row. */
void
ls_recount_contacts(const char *name, const char *cause)
{
	LsModel    *model = model_to_count(name, InvalidOid);
	Pass		pass = {0};

	pass.model = pass.counting = model;
	pass.cause = cause;
	pass.spec = (LsReaderSpec) {.model = model, .what = LS_READ_CONTACTS, .source = -1};
	run_pass(&pass);
	ls_model_release(model);
}

/* ls_recount_source adds the rows of a source, or of one table below it. */
void
ls_recount_source(const char *name, const char *source, Oid relation,
				  const char *cause)
{
	LsModel    *model;
	LsSource   *found;
	Pass		pass = {0};

	if (ls_suspension_defers(name))
		return;
	/* rules that wait for a job are not backfilled by what one part has */
	if (!OidIsValid(relation))
		ls_recount_assign(name, source, false);
	model = model_to_count(name, relation);
	found = ls_source_by_name(model, source);
	if (found == NULL)
		elog(ERROR, "model \"%s\" has no source \"%s\"", name, source);
	pass.model = pass.counting = model;
	pass.cause = cause;
	pass.spec = (LsReaderSpec) {.model = model, .what = LS_READ_EVENTS,
	.source = found - model->sources, .relation = relation};
	run_pass(&pass);
	ls_model_release(model);
}

/* ls_recount_relation recomputes the contacts that occur in a table. */
void
ls_recount_relation(const char *name, const char *source, Oid relation)
{
	LsModel    *model;
	LsSource   *found;
	Pass		pass = {0};

	if (ls_suspension_defers(name))
		return;
	model = model_to_count(name, relation);
	found = ls_source_by_name(model, source);
	if (found == NULL)
		elog(ERROR, "model \"%s\" has no source \"%s\"", name, source);
	pass.model = pass.counting = model;
	pass.cause = "backfill";
	pass.count_all = true;
	pass.spec = (LsReaderSpec) {.model = model, .what = LS_READ_EVENTS,
	.source = found - model->sources, .relation = relation};
	run_pass(&pass);
	ls_model_release(model);
}

/* ---------- rules ---------- */

static int64 *
version_array(List *versions)
{
	int64	   *array = palloc(sizeof(int64) * list_length(versions));

	for (int i = 0; i < list_length(versions); i++)
		array[i] = *(int64 *) list_nth(versions, i);
	return array;
}

/*
 * leave_out makes a model match the given versions only, and tells what has to
 * be read for them.
 */
static int
leave_out(LsModel *model, List *versions)
{
	int			what = 0;

	for (int i = 0; i < model->nrules; i++)
	{
		LsRule	   *rule = &model->rules[i];
		bool		wanted = false;
		ListCell   *lc;

		foreach(lc, versions)
			wanted |= *(int64 *) lfirst(lc) == rule->version;
		if (!wanted)
			rule->skip = true;
		if (rule->skip)
			continue;
		what |= rule->kind == LS_PROFILE ? LS_READ_CONTACTS : LS_READ_EVENTS;
	}
	/* a source none of whose rules are wanted is not read at all */
	for (int i = 0; i < model->nsources; i++)
	{
		LsSource   *source = &model->sources[i];

		ls_source_index(model, source);
		if (source->max_matches == 0 && source->broken == NULL)
			source->unread = true;
	}
	return what;
}

static void
lock_for_rules(LsModel *model, int what)
{
	List	   *roots = NIL;

	for (int i = 0; i < model->nsources && (what & LS_READ_EVENTS); i++)
		if (!model->sources[i].unread)
			roots = list_append_unique_oid(roots, model->sources[i].relation);
	if (what & LS_READ_CONTACTS)
		roots = list_append_unique_oid(roots, model->contacts);
	ls_lock_tables(roots);
}

/* backfill_rules backfills the rules that were given these versions. */
static void
backfill_rules(const char *name, List *versions)
{
	LsModel    *counting = ls_model_load(name, NULL);
	int			what = leave_out(counting, versions);
	Pass		pass = {0};

	lock_for_rules(counting, what);
	if (what != 0)
	{
		pass.model = model_to_count(name, InvalidOid);
		/* contacts that are only pending have no row to which slots could be added */
		(void) ls_fold_all(name, true);
		pass.counting = counting;
		pass.cause = "rule";
		pass.versions = version_array(versions);
		pass.nversions = list_length(versions);
		/* what a rule matched before may have been purged, with all else of a contact */
		if (what & LS_READ_EVENTS)
			what |= LS_READ_PURGED;
		pass.spec = (LsReaderSpec) {.model = counting, .what = what, .source = -1};
		run_pass(&pass);
		ls_model_release(pass.model);
	}
	ls_model_release(counting);
}

/*
 * ls_recount_rules backfills the rules of a model that wait for it, for its visitors
 * as well.
 *
 * What is shown in the score table stays as it is until the transaction
 * commits, so that it can be compared with what the new rules say.
 */
void
ls_recount_rules(const char *name)
{
	List	   *versions;
	const char *visitors = ls_visitors_model(name);

	if (ls_suspension_defers(name))
		return;
	versions = ls_recount_assign(name, NULL, false);
	if (versions == NIL)
		return;
	if (visitors)
		backfill_rules(visitors, versions);
	backfill_rules(name, versions);
}

/* ---------- parts of jobs ---------- */

/*
 * next_keys reads the next contacts that have a row, up to a number (0: all) or
 * a contact, and locks their rows where asked to.
 */
static Datum *
next_keys(LsModel *model, const LsReaderSpec *range, int limit, const char *lock, int *n)
{
	LsSqlArguments args = {0};
	SPITupleTable *rows;
	StringInfoData sql;
	Datum	   *keys;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT t.contact_id FROM %s t WHERE true",
					 ls_relation_qualified_name(model->score_table));
	if (range->after)
		ls_sql_add(&args, model->key.type, *range->after);
	if (range->upto)
		ls_sql_add(&args, model->key.type, *range->upto);
	ls_reader_append_range(&sql, range);
	appendStringInfoString(&sql, " ORDER BY t.contact_id");
	if (limit > 0)
		appendStringInfo(&sql, " LIMIT %d", limit);
	appendStringInfoString(&sql, lock);
	rows = ls_sql_query_as_owner(model->score_table, sql.data, &args);
	*n = rows->numvals;
	keys = palloc(sizeof(Datum) * Max(1, *n));
	for (int i = 0; i < *n; i++)
		keys[i] = ls_sql_value(rows, i, 1, NULL);
	return keys;
}

/*
 * lock_chunk chooses the contacts of a chunk and locks their rows: as many as
 * are free.  Who holds a row is waited for only where it is the first, so that
 * nobody waits for us meanwhile.  The chunk ends with the last that is locked, or
 * where all are, with the last that there is, or that it may come to.
 */
static void
lock_chunk(Pass *pass, LsChunk *chunk)
{
	LsReaderSpec *range = &pass->spec;
	const Datum *last = range->upto;
	int			n,
				same = 0;
	Datum	   *keys = next_keys(pass->model, range, chunk->limit, "", &n);

	if (n > 0)
		range->upto = &keys[n - 1];
	pass->locked = next_keys(pass->model, range, 0, " FOR NO KEY UPDATE SKIP LOCKED",
							 &pass->nlocked);
	while (same < n && same < pass->nlocked &&
		   ls_key_compare(&pass->model->key, keys[same], pass->locked[same]) == 0)
		same++;
	if (n > 0 && same == 0)
	{
		range->upto = &keys[0];
		pass->locked = next_keys(pass->model, range, 0, " FOR NO KEY UPDATE", &pass->nlocked);
		same = 1;
	}
	pass->within_rows = same < n || n == chunk->limit;
	range->upto = pass->within_rows ? &keys[same - 1] : last;
	if (pass->within_rows)
		chunk->position = ls_key_text(&pass->model->key, *range->upto);
	chunk->ended = !pass->within_rows;
}

/* run_chunk changes the contacts of a chunk, as a snapshot sees them that is
 * newer than the locks. */
static void
run_chunk(Pass *pass, LsChunk *chunk)
{
	Walk		walk;
	Datum		contact;

	begin_walk(&walk, pass->model, pass->cause, &pass->spec);
	while (ls_reader_next(walk.reader, &contact))
	{
		change_contact(pass, walk.reader, walk.writer, contact);
		MemoryContextReset(walk.context);
		/* contacts that had no row come without number */
		if (pass->contacts < chunk->limit * 4 || pass->within_rows)
			continue;
		chunk->position = MemoryContextStrdup(walk.caller, ls_key_text(&pass->model->key, contact));
		chunk->ended = false;
		break;
	}
	end_walk(&walk);
	chunk->contacts = Max(pass->contacts, pass->nlocked);
	ls_rule_error_report(pass->counting);
	if (pass->model != pass->counting)
		ls_rule_error_report(pass->model);
}

/* backfilling_versions lists the versions of the rules that a job is backfilling. */
static List *
backfilling_versions(LsModel *model)
{
	List	   *versions = NIL;

	for (int i = 0; i < model->nrules; i++)
		if (model->rules[i].backfilling)
			versions = lappend(versions, &model->rules[i].version);
	return versions;
}

/* key_of reads a contact where a chunk begins or has to end. */
static const Datum *
key_of(LsModel *model, const char *contact)
{
	Datum	   *key;

	if (contact == NULL)
		return NULL;
	key = palloc(sizeof(Datum));
	*key = ls_key_read(&model->key, contact);
	return key;
}

/*
 * ls_recount_chunk counts the next contacts of a job from their events, all that
 * is known of them or the rules that the job backfills.
 *
 * The rows are locked first, and the events read with a snapshot that is newer:
 * what is committed by then is counted, and what is not will be added by those
 * who wait for the row.  They know the rules, as the job has waited for those
 * who do not.  A row that comes meanwhile is counted by itself.
 */
void
ls_recount_chunk(LsChunk *chunk)
{
	LsModel    *model = ls_model_acquire_to_write(chunk->model);
	Pass		pass = {0};
	List	   *versions;

	if (model == NULL)
		return;
	versions = backfilling_versions(model);
	/* before the snapshot, as TRUNCATE minds none; who holds a table may want ours */
	if (!ls_lock_to_read_if_free(model))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a table that feeds model \"%s\" is locked", model->name)));
	pass.model = pass.counting = model;
	pass.cause = chunk->cause;
	pass.online = true;
	pass.whole = chunk->whole;
	pass.spec = (LsReaderSpec) {.model = model, .source = -1,
	.what = LS_READ_EVENTS | LS_READ_CONTACTS | LS_READ_SCORES | LS_READ_PURGED};
	if (!chunk->whole && versions != NIL)
	{
		pass.counting = ls_model_load(chunk->model, NULL);
		pass.spec.model = pass.counting;
		pass.spec.what = leave_out(pass.counting, versions);
		pass.versions = version_array(versions);
		pass.nversions = list_length(versions);
		/* what it counts may have been purged meanwhile, with all else of a contact */
		if (pass.spec.what != 0 && ls_purged_any(model))
			pass.spec.what |= LS_READ_SCORES;
	}
	chunk->ended = true;
	if (chunk->whole || (versions != NIL && pass.spec.what != 0))
	{
		pass.spec.after = key_of(model, chunk->position);
		pass.spec.upto = key_of(model, chunk->last);
		lock_chunk(&pass, chunk);
		run_chunk(&pass, chunk);
	}
	if (pass.counting != model)
		ls_model_release(pass.counting);
	ls_model_release(model);
}

/*
 * drop_pending forgets what is pending of contacts of which nothing was found,
 * after all were counted, with writers kept away.
 */
static void
drop_pending(LsModel *model)
{
	(void) ls_pending_clear(model);
}

/* rescore recomputes everything and gives the number of contacts. */
static int64
rescore(const char *name, const char *cause)
{
	Pass		pass = {0};

	pass.model = pass.counting = model_to_count(name, InvalidOid);
	/* nothing can be read of it, and what it has stays */
	if (pass.model->suspended)
	{
		ls_model_release(pass.model);
		return 0;
	}
	pass.cause = cause;
	pass.whole = true;
	pass.spec = (LsReaderSpec) {.model = pass.model, .source = -1,
	.what = LS_READ_EVENTS | LS_READ_CONTACTS | LS_READ_SCORES | LS_READ_PURGED};
	run_pass(&pass);
	/* what is pending of visitors who are identified is for others */
	if (pass.model->visitors_of)
		(void) ls_fold_all(name, false);
	drop_pending(pass.model);
	ls_model_release(pass.model);
	ls_job_supersede(name);
	return pass.contacts;
}

/* ls_rescore does so for a model and its visitors, and gives that of the former. */
int64
ls_rescore(const char *name, const char *cause)
{
	const char *visitors = ls_visitors_model(name);

	ls_lock_definitions(name);
	if (ls_suspension_defers(name))
		return 0;
	ls_restore_over(name);
	if (visitors)
		ls_restore_over(visitors);
	ls_lock_sources(name);
	ls_recount_assign(name, NULL, true);
	if (visitors)
		(void) rescore(visitors, cause);
	return rescore(name, cause);
}

/* ---------- refresh ---------- */

/*
 * ls_refresh looks at every row of a model and writes those that are not true
 * any more, because the rules changed, or have to be looked at earlier.
 */
int64
ls_refresh(const char *name, const char *cause)
{
	LsModel    *model = model_to_count(name, InvalidOid);
	LsReaderSpec spec = {.model = model, .what = LS_READ_SCORES, .source = -1};
	Walk		walk;
	Datum		contact;
	int64		changed = 0;

	begin_walk(&walk, model, cause, &spec);
	while (ls_reader_next(walk.reader, &contact))
	{
		LsChange	change = {.kind = LS_CHANGE_REFRESH, .contact = contact};
		TupleDesc	desc;
		HeapTuple	tuple = ls_reader_score(walk.reader, &desc);
		LsScoreRow	row;

		ls_row_read_tuple(model, tuple, desc, &row);
		if (ls_score_writer_would_change(walk.writer, &row) &&
			ls_score_writer_change(walk.writer, &change) == LS_CHANGED)
			changed++;
		MemoryContextReset(walk.context);
	}
	end_walk(&walk);
	ls_rule_error_report(model);
	ls_model_release(model);
	return changed;
}

/* refresh_contact makes one row true.  False where somebody holds it. */
static bool
refresh_contact(LsScoreWriter *writer, LsChunk *chunk, LsScoreRow *row, bool wait)
{
	LsChange	change = {.kind = LS_CHANGE_REFRESH, .contact = row->contact, .skip_locked = !wait};

	return !ls_score_writer_would_change(writer, row) ||
		ls_score_writer_change(writer, &change) != LS_SKIPPED;
}

/*
 * ls_refresh_chunk makes the rows of the next contacts true.  It ends before one
 * that somebody holds; where that is the first, it is waited for alone.
 */
void
ls_refresh_chunk(LsChunk *chunk)
{
	LsModel    *model = ls_model_acquire_to_write(chunk->model);
	LsReaderSpec spec = {.model = model, .what = LS_READ_SCORES, .source = -1};
	Walk		walk;
	Datum		contact;
	Datum	   *keys;
	int			n;
	bool		more = true;

	if (model == NULL)
		return;
	spec.after = key_of(model, chunk->position);
	spec.upto = key_of(model, chunk->last);
	keys = next_keys(model, &spec, chunk->limit, "", &n);
	if (n == chunk->limit)
		spec.upto = &keys[n - 1];
	chunk->ended = n < chunk->limit;
	begin_walk(&walk, model, chunk->cause, &spec);
	while (more && ls_reader_next(walk.reader, &contact))
	{
		TupleDesc	desc;
		HeapTuple	tuple = ls_reader_score(walk.reader, &desc);
		LsScoreRow	row;
		bool		free_row;

		ls_row_read_tuple(model, tuple, desc, &row);
		free_row = refresh_contact(walk.writer, chunk, &row, false);
		if (!free_row && chunk->contacts == 0)
			(void) refresh_contact(walk.writer, chunk, &row, true);
		more = free_row;
		chunk->ended &= free_row;
		if (free_row || chunk->contacts == 0)
		{
			chunk->contacts++;
			chunk->position = MemoryContextStrdup(walk.caller, ls_key_text(&model->key, contact));
		}
		MemoryContextReset(walk.context);
	}
	end_walk(&walk);
	ls_rule_error_report(model);
	ls_model_release(model);
}

/* ls_rescore_online is leadscore.rescore() with the choice to do it beside writers. */
Datum
ls_rescore_online(PG_FUNCTION_ARGS)
{
	LsModelRow *row;

	PreventCommandIfReadOnly("rescore()");
	row = ls_model_row_for(TextDatumGetCString(PG_GETARG_DATUM(0)), GetUserId());
	ls_follow_roles(row->model, false);
	/* a job waits until the contact table can be read */
	if (!row->unreadable || !PG_GETARG_BOOL(1))
		ls_suspension_refuse(row);
	if (PG_GETARG_BOOL(1))
		PG_RETURN_INT64(ls_job_request(row->model, "rescore", NULL));
	PG_RETURN_INT64(ls_rescore(row->model, "backfill"));
}

/* ls_rescore_model is leadscore.rescore(). */
Datum
ls_rescore_model(PG_FUNCTION_ARGS)
{
	LsModelRow *row;
	LsModel    *model;
	int64		contacts;

	PreventCommandIfReadOnly("rescore()");
	row = ls_model_row_for(TextDatumGetCString(PG_GETARG_DATUM(0)), GetUserId());
	ls_follow_roles(row->model, false);
	ls_suspension_refuse(row);
	contacts = ls_rescore(row->model, "backfill");
	model = ls_model_acquire(row->model, NULL);
	ls_purged_report(model, "Their contributions are kept, and were added to those of the events that are still there.");
	ls_model_release(model);
	PG_RETURN_INT64(contacts);
}
