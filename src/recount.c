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
#include "recount.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "check.h"
#include "leadscore.h"
#include "reader.h"
#include "store.h"

PG_FUNCTION_INFO_V1(ls_rescore_model);

#define LOCK_ATTEMPTS 50

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
read_contact(LsModel *model, LsReader *reader, Datum contact, LsState *state)
{
	TimestampTz now = ls_clock();
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
count_one(LsModel *model, Datum contact, LsState *state, int what)
{
	LsReaderSpec spec = {model, what, -1, InvalidOid, true, contact};
	LsReader   *reader = ls_reader_open(&spec);
	Datum		found;

	while (ls_reader_next(reader, &found))
		read_contact(model, reader, found, state);
	ls_reader_close(reader);
}

/* ls_count_contact counts all that is known of one contact. */
void
ls_count_contact(LsModel *model, Datum contact, LsState *state)
{
	count_one(model, contact, state, LS_READ_EVENTS | LS_READ_CONTACTS);
}

/* ls_count_profile looks at one contact's row. */
void
ls_count_profile(LsModel *model, Datum contact, LsState *state)
{
	count_one(model, contact, state, LS_READ_CONTACTS);
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

static LsStore *
open_store(LsModel *model, const char *cause)
{
	return ls_store_open(model, cause, ls_count_contact, ls_count_profile);
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
	int64	   *versions;		/* of the only rules that are counted, or NULL */
	int			nversions;
	bool		whole;			/* what is read replaces the state */
	bool		count_all;		/* every contact found is counted anew */
	int64		contacts;
} Pass;

static void
change_contact(Pass *pass, LsReader *reader, LsStore *store, Datum contact)
{
	LsChange	change = {0};
	LsState		state,
				profile;
	TimestampTz now = ls_clock();
	ExprContext *econtext;
	TupleTableSlot *slot;
	LsEvent		event;

	ls_state_init(&state);
	ls_state_init(&profile);
	change.contact = contact;
	if (pass->whole)
	{
		read_contact(pass->counting, reader, contact, &state);
		change.whole = &state;
		change.only_if_changed = true;
	}
	else if (pass->count_all)
		change.count_all = true;
	else
	{
		slot = ls_reader_contact(reader, &econtext);
		if (slot)
		{
			ls_profile_of(pass->model, contact, slot, econtext, &profile);
			change.profile = &profile;
		}
		while (ls_reader_event(reader, &event))
			ls_state_add(pass->counting, &state, &event, now);
		if (pass->versions)
		{
			if (slot)
				ls_store_set_profile(pass->counting, &state, &profile);
			change.profile = NULL;
			change.slots = &state;
			change.versions = pass->versions;
			change.nversions = pass->nversions;
			change.state_only = true;
		}
		else if (state.events > 0 || state.nfuture > 0)
			change.delta = &state;
		change.test_entry = change.delta != NULL;
		change.only_if_changed = change.delta == NULL;
		if (change.delta == NULL && change.profile == NULL && change.slots == NULL)
			return;
	}
	ls_store_change(store, &change);
	pass->contacts++;
}

/* A way through contacts with what it needs, opened and closed in one piece */
typedef struct Walk
{
	LsStore    *store;
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
	walk->store = open_store(model, cause);
	walk->reader = ls_reader_open(spec);
	walk->caller = MemoryContextSwitchTo(walk->context);
}

static void
end_walk(Walk *walk)
{
	MemoryContextSwitchTo(walk->caller);
	ls_reader_close(walk->reader);
	ls_store_close(walk->store);
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
		change_contact(pass, walk.reader, walk.store, contact);
		MemoryContextReset(walk.context);
	}
	end_walk(&walk);
	ls_rules_report(pass->counting);
	if (pass->model != pass->counting)
		ls_rules_report(pass->model);
}

/* ls_recount_contacts gives every contact of the contact table its row. */
void
ls_recount_contacts(const char *name, const char *cause)
{
	LsModel    *model = model_to_count(name, InvalidOid);
	Pass		pass = {0};

	pass.model = pass.counting = model;
	pass.cause = cause;
	pass.spec = (LsReaderSpec) {model, LS_READ_CONTACTS, -1, InvalidOid, false, 0};
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

	ls_recount_assign(name, false);
	model = model_to_count(name, relation);
	found = ls_source_by_name(model, source);
	if (found == NULL)
		elog(ERROR, "model \"%s\" has no source \"%s\"", name, source);
	pass.model = pass.counting = model;
	pass.cause = cause;
	pass.spec = (LsReaderSpec) {model, LS_READ_EVENTS, found - model->sources,
	relation, false, 0};
	run_pass(&pass);
	ls_model_release(model);
}

/* ls_recount_relation counts anew the contacts that occur in a table. */
void
ls_recount_relation(const char *name, const char *source, Oid relation)
{
	LsModel    *model = model_to_count(name, relation);
	LsSource   *found = ls_source_by_name(model, source);
	Pass		pass = {0};

	if (found == NULL)
		elog(ERROR, "model \"%s\" has no source \"%s\"", name, source);
	pass.model = pass.counting = model;
	pass.cause = "backfill";
	pass.count_all = true;
	pass.spec = (LsReaderSpec) {model, LS_READ_EVENTS, found - model->sources,
	relation, false, 0};
	run_pass(&pass);
	ls_model_release(model);
}

/* ---------- rules ---------- */

static void
set_counted_version(int64 rule_id, int64 version)
{
	static const char *sql =
		"UPDATE leadscore.lead_rule SET counted_version = $2"
		" WHERE rule_id OPERATOR(pg_catalog.=) $1";
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(rule_id), Int64GetDatum(version)};
	LsIdentity	saved;

	ls_become(ls_extension_owner(), &saved);
	SPI_connect();
	ls_rule_internal_update = true;
	PG_TRY();
	{
		SPI_execute_with_args(sql, 2, types, values, NULL, false, 0);
	}
	PG_FINALLY();
	{
		ls_rule_internal_update = false;
	}
	PG_END_TRY();
	SPI_finish();
	ls_return(&saved);
}

static LsRule *
rule_by_id(LsModel *model, int64 rule_id)
{
	for (int i = 0; i < model->nrules; i++)
		if (model->rules[i].rule_id == rule_id)
			return &model->rules[i];
	return NULL;
}

/*
 * ls_recount_assign gives the rules that wait to be counted a version of what
 * they match, or 0 where they cannot be counted.  again: try those with 0 too.
 * Returns the versions given.
 */
List *
ls_recount_assign(const char *name, bool again)
{
	Oid			sequence = ls_table_oid("version_seq", false);
	LsModel    *model = NULL;
	List	   *given = NIL;
	ListCell   *lc;

	foreach(lc, ls_rule_rows(name, NULL))
	{
		LsRuleRow  *row = lfirst(lc);
		LsRule	   *rule;
		int64	   *version;

		if (!row->counted_version_null && !(again && row->counted_version == 0))
			continue;
		if (model == NULL)
			model = ls_model_load(name, NULL);
		rule = rule_by_id(model, row->rule_id);
		if (rule == NULL || rule->broken || rule->kind == LS_SEQUENCE)
		{
			if (row->counted_version_null)
				set_counted_version(row->rule_id, 0);
			if (row->counted_version_null && rule && rule->enabled &&
				rule->source >= 0 && rule->broken)
				ereport(WARNING,
						(errcode(rule->broken->sqlerrcode),
						 errmsg("rule \"%s\" of model \"%s\" counts nothing: %s",
								rule->name, name, rule->broken->message),
						 errhint("Mend that, then call leadscore.rescore('%s').", name)));
			continue;
		}
		version = palloc(sizeof(int64));
		*version = nextval_internal(sequence, false);
		set_counted_version(row->rule_id, *version);
		given = lappend(given, version);
	}
	if (model)
		ls_model_release(model);
	if (given != NIL)
		ls_model_changed(name);
	return given;
}

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

/*
 * lock_at_once locks tables of which first is waited for, and the others only
 * taken if nobody is in the way.  Gives the place of one that was not to be
 * had, and then holds none; -1 if all are locked.
 */
static int
lock_at_once(List *tables, int first)
{
	LockRelationOid(list_nth_oid(tables, first), ShareRowExclusiveLock);
	for (int i = 0; i < list_length(tables); i++)
	{
		if (i == first ||
			ConditionalLockRelationOid(list_nth_oid(tables, i), ShareRowExclusiveLock))
			continue;
		for (int j = 0; j < i; j++)
			if (j != first)
				UnlockRelationOid(list_nth_oid(tables, j), ShareRowExclusiveLock);
		UnlockRelationOid(list_nth_oid(tables, first), ShareRowExclusiveLock);
		return i;
	}
	return -1;
}

/*
 * lock_tables locks tables, with what is below them, so that nobody but us
 * writes to them.  As statements write to several tables in any order, by
 * cascades and triggers, we had better not hold one while waiting for another.
 * Where they are too busy for that we wait for each in its turn, a table before
 * its partitions and children, as statements that go through it do.
 */
static void
lock_tables(List *roots)
{
	List	   *tables = NIL;
	int			waited_for = 0;
	ListCell   *lc;

	list_sort(roots, list_oid_cmp);
	foreach(lc, roots)
		tables = list_concat_unique_oid(tables, find_all_inheritors(lfirst_oid(lc), NoLock, NULL));
	for (int i = 0; i < LOCK_ATTEMPTS && tables != NIL && waited_for >= 0; i++)
		waited_for = lock_at_once(tables, waited_for);
	foreach(lc, roots)
	{
		LockRelationOid(lfirst_oid(lc), ShareRowExclusiveLock);
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			(void) find_all_inheritors(lfirst_oid(lc), ShareRowExclusiveLock, NULL);
		else
			UnlockRelationOid(lfirst_oid(lc), ShareRowExclusiveLock);
	}
}

/* ls_lock_sources locks all that a model is counted from. */
void
ls_lock_sources(const char *name)
{
	LsModelRow *row = ls_model_row(name, NULL);
	List	   *roots = NIL;
	ListCell   *lc;

	foreach(lc, ls_source_rows(name, NULL))
		roots = list_append_unique_oid(roots, ((LsSourceRow *) lfirst(lc))->relation);
	if (row)
		roots = list_append_unique_oid(roots, row->contacts);
	lock_tables(roots);
}

/*
 * ls_lock_to_read locks what a contact is counted from, against those who
 * would drop or empty it.  Done before contacts are locked: they take tables
 * first, too.
 */
void
ls_lock_to_read(LsModel *model)
{
	for (int i = 0; i < model->nsources; i++)
	{
		Oid			relation = model->sources[i].relation;

		if (model->sources[i].broken)
			continue;
		LockRelationOid(relation, AccessShareLock);
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
			(void) find_all_inheritors(relation, AccessShareLock, NULL);
	}
}

/*
 * ls_lock_before_writing does so for one who does not come from one of these
 * tables, before he locks a model's score table.
 */
void
ls_lock_before_writing(const char *name)
{
	LsModel    *model = ls_model_acquire(name, NULL);

	if (model == NULL)
		return;
	LockRelationOid(model->contacts, AccessShareLock);
	ls_lock_to_read(model);
	ls_model_release(model);
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
	lock_tables(roots);
}

/*
 * ls_recount_rules counts the rules of a model that wait for it.
 *
 * What is shown in the score table stays as it is until the transaction
 * commits, so that it can be compared with what the new rules say.
 */
void
ls_recount_rules(const char *name)
{
	List	   *versions = ls_recount_assign(name, false);
	LsModel    *counting;
	Pass		pass = {0};
	int			what;

	if (versions == NIL)
		return;
	counting = ls_model_load(name, NULL);
	what = leave_out(counting, versions);
	lock_for_rules(counting, what);
	if (what != 0)
	{
		pass.model = model_to_count(name, InvalidOid);
		pass.counting = counting;
		pass.cause = "rule";
		pass.versions = version_array(versions);
		pass.nversions = list_length(versions);
		pass.spec = (LsReaderSpec) {counting, what, -1, InvalidOid, false, 0};
		run_pass(&pass);
		ls_model_release(pass.model);
	}
	ls_model_release(counting);
}

/* ls_rescore counts everything anew and gives the number of contacts. */
int64
ls_rescore(const char *name, const char *cause)
{
	Pass		pass = {0};

	ls_lock_sources(name);
	ls_recount_assign(name, true);
	pass.model = pass.counting = model_to_count(name, InvalidOid);
	pass.cause = cause;
	pass.whole = true;
	pass.spec = (LsReaderSpec) {pass.model,
	LS_READ_EVENTS | LS_READ_CONTACTS | LS_READ_SCORES, -1, InvalidOid, false, 0};
	run_pass(&pass);
	ls_model_release(pass.model);
	return pass.contacts;
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
	LsReaderSpec spec = {model, LS_READ_SCORES, -1, InvalidOid, false, 0};
	Walk		walk;
	Datum		contact;
	int64		changed = 0;

	begin_walk(&walk, model, cause, &spec);
	while (ls_reader_next(walk.reader, &contact))
	{
		LsChange	change = {0};
		TupleDesc	desc;
		HeapTuple	tuple = ls_reader_score(walk.reader, &desc);
		LsScoreRow	row;

		ls_row_read_tuple(model, tuple, desc, &row);
		change.contact = contact;
		change.only_if_changed = true;
		if (ls_store_needs_change(walk.store, &row) &&
			ls_store_change(walk.store, &change) == LS_CHANGED)
			changed++;
		MemoryContextReset(walk.context);
	}
	end_walk(&walk);
	ls_rules_report(model);
	ls_model_release(model);
	return changed;
}

/* ls_by_score_table is the order in which models are locked. */
int
ls_by_score_table(const ListCell *a, const ListCell *b)
{
	Oid			x = ls_score_table(lfirst(a), true);
	Oid			y = ls_score_table(lfirst(b), true);

	return (x > y) - (x < y);
}

/*
 * ls_refresh_changed_models brings the stored rows of models that this
 * transaction has changed up to date, just before it commits.
 *
 * The lock makes it final: writers that evaluated with the old rules have
 * ended, and those that wait will see the new ones.
 */
void
ls_refresh_changed_models(void)
{
	List	   *models = ls_changed_models();
	ListCell   *lc;

	ls_changed_models_done();
	list_sort(models, ls_by_score_table);	/* as writers lock them */
	foreach(lc, models)
	{
		const char *name = lfirst(lc);
		Oid			table = ls_score_table(name, true);
		LsModelRow *row;

		if (!OidIsValid(table))
			continue;
		LockRelationOid(table, ShareRowExclusiveLock);
		row = ls_model_row(name, NULL);
		if (row && row->enabled)
			ls_refresh(name, "rule");
	}
}

/* ls_rescore_model is leadscore.rescore(). */
Datum
ls_rescore_model(PG_FUNCTION_ARGS)
{
	LsModelRow *row;

	PreventCommandIfReadOnly("rescore()");
	row = ls_model_row_for(TextDatumGetCString(PG_GETARG_DATUM(0)), GetUserId());
	PG_RETURN_INT64(ls_rescore(row->model, "backfill"));
}
