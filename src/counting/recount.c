/*-------------------------------------------------------------------------
 *
 * recount.c
 *		From events to state: attach, new rules, rescore, retraction.
 *
 * What is recomputed or backfilled here is read with a snapshot taken under a lock
 * that keeps further writers away: of one contact's row where one contact is
 * recomputed, of the tables where many are.
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

#include "base/clock.h"
#include "base/relation.h"
#include "base/sql.h"
#include "counting/batch.h"
#include "counting/contact_pass.h"
#include "counting/event_reader.h"
#include "counting/rule_versions.h"
#include "counting/suspension.h"
#include "definitions/job_table.h"
#include "definitions/locks.h"
#include "definitions/restore_state.h"
#include "rules/source_locks.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"
#include "tables/purged_table.h"
#include "tables/rule_error.h"
#include "tables/score_table.h"
#include "tables/top_scores.h"
#include "tables/score_writer.h"

#define READ_ALL	(LS_READ_EVENTS | LS_READ_CONTACTS | LS_READ_SCORES | LS_READ_PURGED)

/* ---------- one contact ---------- */

/* ls_recount_read_profile fills a state from a row of the contact table. */
void
ls_recount_read_profile(LsModel *model, Datum contact, TupleTableSlot *slot,
						ExprContext *econtext, LsState *profile)
{
	profile->has_contact = true;
	profile->created_at = ls_reader_created(model, slot);
	econtext->ecxt_scantuple = slot;
	for (int i = 0; i < model->nprofiles; i++)
	{
		double		weight;

		if (ls_match_profile(model, model->profiles[i], contact, econtext, &weight))
			ls_state_set_profile(profile, model->profiles[i]->version, true, weight);
	}
}

/* read_contact adds the reader's rows of its contact to a state. */
static void
read_contact(LsModel *model, LsReader *reader, Datum contact, TimestampTz now,
			 LsState *state)
{
	ExprContext *econtext;
	TupleTableSlot *slot;
	LsEvent		event;

	slot = ls_reader_contact(reader, &econtext);
	if (slot)
		ls_recount_read_profile(model, contact, slot, econtext, state);
	while (ls_reader_event(reader, &event))
		ls_state_add(model, state, &event, now);
}

static void
compute_one(LsModel *model, Datum contact, TimestampTz now, LsState *state, int what)
{
	LsReaderSpec spec = {.model = model, .what = what,
	.source = -1, .one = true, .contact = contact};
	LsReader   *reader = ls_reader_open(&spec);
	Datum		found;

	if (what & LS_READ_EVENTS)
		ls_purged_merge(model, contact, state);
	while (ls_reader_next(reader, &found))
		read_contact(model, reader, found, now, state);
	ls_reader_close(reader);
}

/*
 * ls_recount_contact computes the state of one contact, purged events included: events
 * purged under a clock that was ahead may be later than now.
 */
void
ls_recount_contact(LsModel *model, Datum contact, TimestampTz now, LsState *state)
{
	compute_one(model, contact, now, state, LS_READ_EVENTS | LS_READ_CONTACTS);
}

/* ls_recount_profile computes the state of one contact from its row only. */
void
ls_recount_profile(LsModel *model, Datum contact, TimestampTz now, LsState *state)
{
	compute_one(model, contact, now, state, LS_READ_CONTACTS);
}

/* ---------- many ---------- */

/*
 * acquire_newest gives the newest version of a model, to recompute with it.  Its score
 * table is locked first: a session that changes the rules holds a stronger lock until
 * it commits.
 *
 * Without a relation the lock also keeps out writers of other tables, which may have
 * read the former rules already: they would drop slots that these do not have.  For the
 * rows of one relation the rules are unchanged.
 */
static LsModel *
acquire_newest(const char *name, Oid relation)
{
	Oid			table = ls_lead_score_table(name, true);
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
 * A batch of the contacts that a reader finds.  counting is the model whose rules are
 * matched, which may skip some; rows are evaluated with batch.model.
 */
typedef struct Recount
{
	LsBatch		batch;
	LsModel    *counting;
	int64	   *versions;		/* the rules to backfill, or NULL: all */
	int			nversions;
	bool		whole;			/* what is read replaces the state */
	bool		count_all;		/* every contact found is recomputed */
	bool		asked;			/* the snapshot is asked once for all contacts ... */
	bool		purged;			/* ... whether there may be purged contributions */
	LsChunk    *chunk;			/* beside writers: the locked contacts of a chunk; or NULL */
	bool		within_rows;	/* the chunk ends with a locked row, before the range does */
	Datum	   *locked;			/* ascending */
	int			nlocked;
	int			next_locked;
} Recount;

/*
 * row_then tells whether a contact's row was locked before its events were read.
 * Contacts come in the order of their key.
 */
static LsRowThen
row_then(Recount *pass, Datum contact)
{
	LsKeyType  *key = &pass->batch.model->key;

	if (pass->chunk == NULL)
		return LS_ROW_HELD;
	for (; pass->next_locked < pass->nlocked; pass->next_locked++)
	{
		int			order = ls_key_compare(key, pass->locked[pass->next_locked], contact);

		if (order >= 0)
			return order == 0 ? LS_ROW_THERE : LS_ROW_NONE;
	}
	return LS_ROW_NONE;
}

/*
 * merge_purged adds the purged contributions of a contact.  Where the snapshot of the
 * batch sees any, a table has pages, and has had them since the first contact.
 */
static void
merge_purged(Recount *pass, Datum contact, LsState *state)
{
	LsModel    *model = pass->counting;

	if (!pass->asked)
		pass->purged = ls_purged_any(model) || ls_identity_has_visitors(model);
	pass->asked = true;
	if (pass->purged)
		ls_purged_merge(model, contact, state);
}

static LsOutcome
change_contact(LsBatch *batch, LsScoreWriter *writer, Datum contact)
{
	Recount    *pass = (Recount *) batch;
	LsReader   *reader = batch->reader;
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
		merge_purged(pass, contact, &state);
		read_contact(pass->counting, reader, contact, now, &state);
		change.kind = LS_CHANGE_REPLACE;
		change.data.replace.state = &state;
		change.data.replace.row_then = row_then(pass, contact);
		change.data.replace.test_entry = pass->chunk != NULL;
	}
	else if (pass->count_all)
		change.kind = LS_CHANGE_RECOMPUTE;
	else
	{
		if (pass->versions)
			merge_purged(pass, contact, &state);
		slot = ls_reader_contact(reader, &econtext);
		if (slot)
			ls_recount_read_profile(batch->model, contact, slot, econtext, &profile);
		while (ls_reader_event(reader, &event))
			ls_state_add(pass->counting, &state, &event, now);
		if (pass->versions)
		{
			/* what a rule that is left out has counted is what another one follows */
			ls_state_advance(pass->counting, &state, now);
			if (slot)
				ls_state_take_profile(pass->counting, &state, &profile);
			change.kind = LS_CHANGE_RULES;
			change.data.rules.slots = &state;
			change.data.rules.versions = pass->versions;
			change.data.rules.nversions = pass->nversions;
			change.data.rules.row_then = row_then(pass, contact);
			change.data.rules.state_only = pass->chunk == NULL;
		}
		else
		{
			bool		events = state.events > 0 || state.nfuture > 0;

			if (!events && slot == NULL)
				return LS_UNCHANGED;
			change.kind = LS_CHANGE_EVENTS;
			change.data.events.delta = events ? &state : NULL;
			change.data.events.profile = slot ? &profile : NULL;
			change.data.events.only_if_changed = !events;
		}
	}
	return ls_score_writer_change(writer, &change);
}

static void
run(Recount *pass)
{
	ls_batch_run(&pass->batch);
	if (pass->batch.model != pass->counting)
		ls_rule_error_report(pass->counting);
}

/* recount_of gives a batch of the contacts that have rows of a kind, with all rules. */
static Recount
recount_of(LsModel *model, const char *cause, int what)
{
	Recount		pass = {.counting = model,
		.batch = {.model = model, .cause = cause, .change = change_contact,
	.spec = {.model = model, .what = what, .source = -1}}};

	return pass;
}

/* ls_recount_contact_table gives every contact of the contact table its score row. */
void
ls_recount_contact_table(const char *name, const char *cause)
{
	LsModel    *model = acquire_newest(name, InvalidOid);
	Recount		pass = recount_of(model, cause, LS_READ_CONTACTS);

	run(&pass);
	ls_model_release(model);
}

/*
 * recount_source adds the events of a source, or recomputes the contacts that have
 * some.
 */
static void
recount_source(const char *name, const char *source, Oid relation, const char *cause, bool count_all)
{
	LsModel    *model = acquire_newest(name, relation);
	LsSource   *found = ls_model_source_by_name(model, source);
	Recount		pass = recount_of(model, cause, LS_READ_EVENTS);

	if (found == NULL)
		elog(ERROR, "model \"%s\" has no source \"%s\"", name, source);
	pass.count_all = count_all;
	pass.batch.spec.source = found - model->sources;
	pass.batch.spec.relation = relation;
	run(&pass);
	ls_model_release(model);
}

/* ls_recount_source adds the events of a source, or of one partition or child of it. */
void
ls_recount_source(const char *name, const char *source, Oid relation,
				  const char *cause)
{
	if (ls_suspension_defers(name))
		return;
	/* rules that wait for a job are not backfilled from one table below a source */
	if (!OidIsValid(relation))
		ls_rule_versions_assign(name, source, false);
	recount_source(name, source, relation, cause, false);
}

/* ls_recount_relation recomputes the contacts that have rows in a table. */
void
ls_recount_relation(const char *name, const char *source, Oid relation)
{
	if (!ls_suspension_defers(name))
		recount_source(name, source, relation, "backfill", true);
}

/* ---------- rules ---------- */

/*
 * match_only restricts a batch to some rules: those that counting, which skips the
 * others, matches.
 */
static void
match_only(Recount *pass, LsModel *counting, List *versions)
{
	pass->counting = pass->batch.spec.model = counting;
	pass->nversions = list_length(versions);
	pass->versions = palloc(sizeof(int64) * pass->nversions);
	for (int i = 0; i < pass->nversions; i++)
		pass->versions[i] = *(int64 *) list_nth(versions, i);
}

/* is_wanted tells whether a rule has one of some versions, or one that has follows it. */
static bool
is_wanted(const LsModel *model, const LsRule *rule, List *versions)
{
	ListCell   *lc;

	foreach(lc, versions)
		if (*(int64 *) lfirst(lc) == rule->version)
			return true;
	for (int i = 0; rule->kind == LS_SEQUENCE && i < model->nrules; i++)
		if (model->rules[i].follows == rule && is_wanted(model, &model->rules[i], versions))
			return true;
	return false;
}

/*
 * leave_out makes a model match the given versions only, and what these follow, and returns what has to be
 * read for them.
 */
static int
leave_out(LsModel *model, List *versions)
{
	int			what = 0;

	for (int i = 0; i < model->nrules; i++)
	{
		LsRule	   *rule = &model->rules[i];

		if (!is_wanted(model, rule, versions))
			rule->skip = true;
		if (rule->skip)
			continue;
		what |= rule->kind == LS_PROFILE ? LS_READ_CONTACTS : LS_READ_EVENTS;
	}
	/* a source without wanted rules is not read at all */
	for (int i = 0; i < model->nsources; i++)
	{
		LsSource   *source = &model->sources[i];

		ls_match_index_source(model, source);
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

/* backfill_rules backfills the rules of these versions. */
static void
backfill_rules(const char *name, List *versions)
{
	LsModel    *counting = ls_model_load(name, NULL);
	int			what = leave_out(counting, versions);

	lock_for_rules(counting, what);
	if (what != 0)
	{
		LsModel    *model = acquire_newest(name, InvalidOid);
		Recount		pass = recount_of(model, "rule", what);

		/* contacts that have only pending changes have no row to add slots to */
		(void) ls_contact_pass_merge_all(name, true);
		match_only(&pass, counting, versions);
		/* purged events may be all that a contact has */
		if (what & LS_READ_EVENTS)
			pass.batch.spec.what |= LS_READ_PURGED;
		run(&pass);
		ls_model_release(model);
	}
	ls_model_release(counting);
}

/*
 * ls_recount_rules backfills the rules of a model, and of its visitors, that wait for
 * it.
 *
 * What the score table shows stays as it is until the transaction commits, so that it
 * can be compared with what the new rules give.
 */
void
ls_recount_rules(const char *name)
{
	List	   *versions;
	const char *visitors = ls_lead_visitors_model(name);

	if (ls_suspension_defers(name))
		return;
	versions = ls_rule_versions_assign(name, NULL, false);
	if (versions == NIL)
		return;
	if (visitors)
		backfill_rules(visitors, versions);
	backfill_rules(name, versions);
}

/* ---------- chunks of jobs ---------- */

/*
 * next_keys reads the next contacts that have a row, at most limit (0: all), in a
 * range, and locks their rows if requested.
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
 * lock_chunk chooses the contacts of a chunk and locks their rows, as many as are free.
 * Only the first row is waited for, so that no session waits meanwhile for a row that
 * is locked here.  The chunk ends with the last contact before one that is locked by
 * another session; if there is none, after limit contacts or at the end of the range.
 */
static void
lock_chunk(Recount *pass, LsChunk *chunk)
{
	LsModel    *model = pass->batch.model;
	LsReaderSpec *range = &pass->batch.spec;
	const Datum *last = range->upto;
	int			n,
				same = 0;
	Datum	   *keys = next_keys(model, range, chunk->limit, "", &n);

	if (n > 0)
		range->upto = &keys[n - 1];
	pass->locked = next_keys(model, range, 0, " FOR NO KEY UPDATE SKIP LOCKED",
							 &pass->nlocked);
	while (same < n && same < pass->nlocked &&
		   ls_key_compare(&model->key, keys[same], pass->locked[same]) == 0)
		same++;
	if (n > 0 && same == 0)
	{
		range->upto = &keys[0];
		pass->locked = next_keys(model, range, 0, " FOR NO KEY UPDATE", &pass->nlocked);
		same = 1;
	}
	pass->within_rows = same < n || n == chunk->limit;
	range->upto = pass->within_rows ? &keys[same - 1] : last;
	if (pass->within_rows)
		chunk->position = ls_key_text(&model->key, *range->upto);
	chunk->ended = !pass->within_rows;
}

/* end_at records the contact after which the next chunk begins. */
static void
end_at(LsChunk *chunk, LsBatch *batch, Datum contact)
{
	chunk->position = MemoryContextStrdup(batch->caller, ls_key_text(&batch->model->key, contact));
}

/* change_in_chunk changes a contact of a chunk. */
static LsOutcome
change_in_chunk(LsBatch *batch, LsScoreWriter *writer, Datum contact)
{
	Recount    *pass = (Recount *) batch;
	LsOutcome	outcome = change_contact(batch, writer, contact);

	/* there may be any number of contacts without a row */
	if (batch->done >= pass->chunk->limit * 4 && !pass->within_rows)
	{
		end_at(pass->chunk, batch, contact);
		pass->chunk->ended = false;
		batch->over = true;
	}
	return outcome;
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

/* key_of reads the text of a contact that bounds a chunk. */
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
 * ls_recount_chunk computes the next contacts of a job from their events: all of the
 * contact, or the rules that the job backfills.
 *
 * The rows are locked first, and the events read with a newer snapshot: what is
 * committed by then is included, and the rest is added by the sessions that wait for
 * the rows. These have the rules that are backfilled, as the job has waited for writers
 * that have not.  The state of a row that is inserted meanwhile is recomputed from the
 * events.
 */
void
ls_recount_chunk(LsChunk *chunk)
{
	LsModel    *model = ls_model_acquire_to_write(chunk->model);
	Recount		pass;
	List	   *versions;

	if (model == NULL)
		return;
	versions = chunk->whole ? NIL : backfilling_versions(model);
	/*
	 * before the snapshot, which TRUNCATE does not respect; without waiting, as a
	 * session that has locked a table may wait for these rows
	 */
	if (!ls_lock_to_read_if_free(model))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a table that feeds model \"%s\" is locked", model->name)));
	pass = recount_of(model, chunk->cause, chunk->whole ? READ_ALL : 0);
	pass.batch.change = change_in_chunk;
	pass.chunk = chunk;
	pass.whole = chunk->whole;
	if (versions != NIL)
	{
		match_only(&pass, ls_model_load(chunk->model, NULL), versions);
		pass.batch.spec.what = leave_out(pass.counting, versions);
		/* purged events may be all that a contact has */
		if (pass.batch.spec.what != 0 && ls_purged_any(model))
			pass.batch.spec.what |= LS_READ_SCORES;
	}
	chunk->ended = true;
	if (pass.batch.spec.what != 0)
	{
		pass.batch.spec.after = key_of(model, chunk->position);
		pass.batch.spec.upto = key_of(model, chunk->last);
		lock_chunk(&pass, chunk);
		run(&pass);
		chunk->contacts = Max(pass.batch.done, pass.nlocked);
	}
	if (pass.counting != model)
		ls_model_release(pass.counting);
	ls_model_release(model);
}

/* rescore recomputes all contacts and returns their number. */
static int64
rescore(const char *name, const char *cause)
{
	LsModel    *model = acquire_newest(name, InvalidOid);
	Recount		pass = recount_of(model, cause, READ_ALL);

	/* nothing can be read for it, and its scores stay as they are */
	if (model->suspended)
	{
		ls_model_release(model);
		return 0;
	}
	pass.whole = true;
	run(&pass);
	/* what is pending of identified visitors belongs to their contacts */
	if (model->visitors_of)
		(void) ls_contact_pass_merge_all(name, false);
	/* of contacts of which nothing was found; the lock keeps writers away */
	(void) ls_pending_clear(model);
	ls_model_release(model);
	ls_job_supersede(name);
	ls_top_scores_keep(name);
	return pass.batch.done;
}

/*
 * ls_recount_rescore recomputes all contacts and visitors of a model, and returns the
 * number of contacts.
 */
int64
ls_recount_rescore(const char *name, const char *cause)
{
	const char *visitors = ls_lead_visitors_model(name);

	ls_lock_definitions(name);
	if (ls_suspension_defers(name))
		return 0;
	ls_restore_over(name);
	if (visitors)
		ls_restore_over(visitors);
	ls_lock_sources(name);
	ls_rule_versions_assign(name, NULL, true);
	if (visitors)
		(void) rescore(visitors, cause);
	return rescore(name, cause);
}

/* ---------- refresh ---------- */

/* A batch of rows that are refreshed */
typedef struct Refresh
{
	LsBatch		batch;
	LsChunk    *chunk;			/* beside writers; NULL: they are locked out */
} Refresh;

/*
 * refresh_contact refreshes one row.  A chunk ends before a row that another session
 * has locked; if that is the first, it is waited for, and is the chunk.
 */
static LsOutcome
refresh_contact(LsBatch *batch, LsScoreWriter *writer, Datum contact)
{
	LsChunk    *chunk = ((Refresh *) batch)->chunk;
	LsChange	change = {.kind = LS_CHANGE_REFRESH, .contact = contact, .skip_locked = chunk != NULL};
	LsOutcome	outcome = LS_UNCHANGED;
	TupleDesc	desc;
	HeapTuple	tuple = ls_reader_score(batch->reader, &desc);
	LsScoreRow	row;

	ls_score_table_read_tuple(batch->model, tuple, desc, &row);
	/* what the contact's row or the future will say is not known without the lock */
	change.data.refresh.known = !batch->model->stages_read_contact && row.state.nfuture == 0;
	if (ls_score_writer_would_change(writer, &row))
		outcome = ls_score_writer_change(writer, &change);
	if (outcome == LS_SKIPPED)
	{
		batch->over = true;
		chunk->ended = false;
		if (batch->done > 1)
			return outcome;
		change.skip_locked = false;
		outcome = ls_score_writer_change(writer, &change);
	}
	if (chunk)
	{
		chunk->contacts++;
		end_at(chunk, batch, contact);
	}
	return outcome;
}

/* refresh_of gives a batch of all rows of a model. */
static Refresh
refresh_of(LsModel *model, const char *cause, LsChunk *chunk)
{
	Refresh		refresh = {.chunk = chunk,
		.batch = {.model = model, .cause = cause, .change = refresh_contact,
	.spec = {.model = model, .what = LS_READ_SCORES, .source = -1}}};

	return refresh;
}

/*
 * ls_recount_refresh evaluates every row of a model and writes those that are not true
 * any more because the rules changed, or that are due earlier.
 */
int64
ls_recount_refresh(const char *name, const char *cause)
{
	LsModel    *model = acquire_newest(name, InvalidOid);
	Refresh		refresh = refresh_of(model, cause, NULL);

	ls_batch_run(&refresh.batch);
	ls_model_release(model);
	ls_top_scores_keep(name);
	return refresh.batch.changed;
}

/* ls_recount_refresh_chunk refreshes the rows of the next contacts. */
void
ls_recount_refresh_chunk(LsChunk *chunk)
{
	LsModel    *model = ls_model_acquire_to_write(chunk->model);
	Refresh		refresh;

	if (model == NULL)
		return;
	refresh = refresh_of(model, chunk->cause, chunk);
	refresh.batch.spec.after = key_of(model, chunk->position);
	refresh.batch.spec.upto = key_of(model, chunk->last);
	refresh.batch.spec.limit = chunk->limit;
	chunk->ended = true;
	ls_batch_run(&refresh.batch);
	chunk->ended &= refresh.batch.done < chunk->limit;
	ls_model_release(model);
}
