/*-------------------------------------------------------------------------
 *
 * table_cache.c
 *		The session's cache of which models a table feeds, and how.
 *
 * An entry is made from the catalog when a trigger first fires on a table, and again
 * after an invalidation of the table or of one of its models.  It is marked valid
 * before it is loaded, so that an invalidation that arrives meanwhile is not lost.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/table_cache.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/error.h"
#include "base/relation.h"
#include "base/table_scan.h"
#include "base/transaction.h"
#include "counting/suspension.h"
#include "definitions/ancestor.h"
#include "rules/disclosure.h"

/* how often an entry is loaded until it is used though invalidated */
#define MAX_ATTEMPTS	20

static HTAB *tables = NULL;		/* of Entry, by relation */
static List *orphans = NIL;		/* of LsTable: invalid but in use */
static int	nused = 0;			/* uses of all entries */

typedef struct Entry
{
	Oid			relation;
	LsTable    *table;
} Entry;

static void
free_table(LsTable *table)
{
	for (int i = 0; i < table->nmodels; i++)
		table->models[i]->pins--;
	for (int i = 0; i < table->nbindings; i++)
		if (table->bindings[i].mapped)
			ExecDropSingleTupleTableSlot(table->bindings[i].mapped);
	MemoryContextDelete(table->context);
}

static bool
current(LsTable *table)
{
	for (int i = 0; i < table->nmodels; i++)
		if (table->models[i]->stale || ls_rule_failure_fault_over(table->models[i]))
			return false;
	return table->valid && table->loaded;
}

/* is_below tells whether a table is another, or a partition or child of it. */
static bool
is_below(Oid relation, Oid root)
{
	return relation == root ||
		list_member_oid(ls_relation_tree(root), relation);
}

static int
by_rank(const void *a, const void *b)
{
	uint64		x = (*(LsModel *const *) a)->rank;
	uint64		y = (*(LsModel *const *) b)->rank;

	return (x > y) - (x < y);
}

static int
model_place(LsTable *table, LsModel *model)
{
	for (int i = 0; i < table->nmodels; i++)
		if (table->models[i] == model)
			return i;
	return -1;
}

static void
bind(LsTable *table, LsModel *model, LsSource *source, Relation rel)
{
	Oid			root = source ? source->relation : model->contacts;
	LsBinding  *binding;
	Relation	layout;
	bool		locked;

	if (!is_below(RelationGetRelid(rel), root))
		return;
	binding = &table->bindings[table->nbindings++];
	binding->model = model_place(table, model);
	binding->source = source;
	binding->purges_only = model->unreadable;
	binding->by_row = ls_ancestors_by_row(root);
	if (root == RelationGetRelid(rel))
		return;
	layout = ls_relation_open(root, &locked);
	if (layout == NULL)
		return;
	binding->map = convert_tuples_by_name(CreateTupleDescCopy(RelationGetDescr(rel)),
										  CreateTupleDescCopy(RelationGetDescr(layout)));
	if (binding->map)
		binding->mapped = MakeSingleTupleTableSlot(binding->map->outdesc,
												   &TTSOpsVirtual);
	ls_relation_close(layout, locked);
}

/*
 * concerns tells whether a table feeds a model.  That includes a model that is not
 * enabled: the entry has to be invalidated when it is enabled.
 */
static bool
concerns(LsModelRow *row, Oid relation)
{
	ListCell   *lc;

	if (is_below(relation, row->contacts))
		return true;
	foreach(lc, ls_lead_sources(row->model, NULL))
		if (is_below(relation, ((LsSourceRow *) lfirst(lc))->relation))
			return true;
	return false;
}

/* What is read while an entry is loaded, in a subtransaction */
typedef struct Attempt
{
	Oid			relation;
	List	   *rows;			/* of LsModelRow */
	LsModelRow *row;
	LsModel    *model;			/* NULL: the table does not feed it */
} Attempt;

static void
read_rows(void *arg)
{
	((Attempt *) arg)->rows = ls_lead_models(NULL);
}

/*
 * check_indexes ensures that the tables of a model have the indexes without which a
 * write would fail.  What is enqueued needs none; a merge or a query reports it.
 */
static void
check_indexes(const LsModel *model)
{
	ls_table_scan_check_index(model->score_table, 1);
	ls_table_scan_check_index(model->due_table, 3);
	ls_table_scan_check_index(model->profile_table, 2);
	if (ls_relation_has_pages(model->purged_table))
		ls_table_scan_check_index(model->purged_table, 0);
}

static void
acquire(void *arg)
{
	Attempt    *attempt = arg;

	attempt->model = concerns(attempt->row, attempt->relation) ?
		ls_model_acquire_lazily(attempt->row->model) : NULL;
	/* a dump restores indexes last, and until then changes are enqueued */
	if (attempt->model && attempt->model->enabled && !attempt->model->restoring)
		check_indexes(attempt->model);
}

/*
 * sound runs body, which reads what a writer of events needs, in a subtransaction.  If
 * a model is damaged, the writer is not stopped, as other models may not be: it is
 * warned that the damaged model ignores the event.
 */
static bool
sound(LsTable *table, Attempt *attempt, void (*body) (void *))
{
	uint64		passed_on = ls_expr_passed_on;
	ErrorData  *error = ls_subtransaction_run(body, attempt);
	const LsModelRow *row = attempt->row;
	bool		may_see;

	if (error == NULL)
		return true;
	/* errors of users' data in expressions are not damage */
	if (ls_expr_passed_on != passed_on ||
		ls_error_class(error->sqlerrcode) == LS_ERROR_OF_STATEMENT)
		ReThrowError(error);
	table->incomplete = true;
	may_see = row == NULL || ls_disclosure_may_see_table(row->owner, row->contacts);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 row ? errmsg("ignoring changes of table \"%s\" in model \"%s\": %s",
						  get_rel_name(attempt->relation), row->model, ls_disclosure_reason(may_see, error)) :
			 errmsg("ignoring changes of table \"%s\" in all models: %s",
					get_rel_name(attempt->relation), error->message),
			 may_see && error->hint ? errdetail("%s", error->hint) : 0,
			 row ? errhint("Call leadscore.rescore('%s') when that is done.", row->model) :
			 errhint("Call leadscore.rescore() when that is done.")));
	return false;
}

static void
load(LsTable *table, Relation rel)
{
	MemoryContext old = MemoryContextSwitchTo(table->context);
	Attempt		attempt = {.relation = RelationGetRelid(rel)};
	int			nbindings = 0;
	ListCell   *lc;

	(void) sound(table, &attempt, read_rows);
	table->models = palloc0(sizeof(LsModel *) * Max(1, list_length(attempt.rows)));
	foreach(lc, attempt.rows)
	{
		attempt.row = lfirst(lc);
		attempt.model = NULL;
		if (!sound(table, &attempt, acquire) || attempt.model == NULL)
			continue;
		attempt.model->pins++;
		ls_model_release(attempt.model);
		table->models[table->nmodels++] = attempt.model;
		nbindings += attempt.model->nsources + 1;
	}
	qsort(table->models, table->nmodels, sizeof(LsModel *), by_rank);
	table->bindings = palloc0(sizeof(LsBinding) * Max(1, nbindings));
	for (int i = 0; i < table->nmodels; i++)
	{
		LsModel    *model = table->models[i];

		if (!model->enabled && !model->unreadable)
			continue;
		if (!model->contacts_broken)
			bind(table, model, NULL, rel);
		for (int s = 0; s < model->nsources; s++)
			if (!model->sources[s].broken)
				bind(table, model, &model->sources[s], rel);
	}
	MemoryContextSwitchTo(old);
	table->loaded = true;
}

static LsTable *
make_table(Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext,
												  "leadscore table",
												  ALLOCSET_SMALL_SIZES);
	LsTable    *table = MemoryContextAllocZero(context, sizeof(LsTable));

	table->context = context;
	table->relation = RelationGetRelid(rel);
	table->valid = true;
	return table;
}

/* drop removes an entry from the cache; it is freed when its last use ends. */
static void
drop(Entry *entry)
{
	LsTable    *table = entry->table;
	MemoryContext old;

	entry->table = NULL;
	if (table->uses == 0)
	{
		free_table(table);
		return;
	}
	old = MemoryContextSwitchTo(CacheMemoryContext);
	orphans = lappend(orphans, table);
	MemoryContextSwitchTo(old);
}

/* find_entry finds or makes the entry of a table; entries are never removed. */
static Entry *
find_entry(Oid relation)
{
	static Entry *last = NULL;
	Entry	   *entry;
	bool		found;

	if (last && last->relation == relation)
		return last;
	if (tables == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(Entry);
		ctl.hcxt = CacheMemoryContext;
		tables = hash_create("leadscore tables", 16, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(tables, &relation, HASH_ENTER, &found);
	if (!found)
		entry->table = NULL;
	last = entry;
	return entry;
}

/*
 * ls_table_cache_acquire gives the entry of a table, current under locks on the score
 * tables of its models, which are taken here: a change of rules waits for these locks
 * before it commits, so the rules of the entry remain in force.
 *
 * An entry that is not current after many attempts is used nevertheless.  Other
 * sessions can change nothing once all locks are granted, so it is in force; only
 * invalidations of everything (debug_discard_caches) repeat like that.
 */
LsTable *
ls_table_cache_acquire(Relation rel)
{
	Entry	   *entry = find_entry(RelationGetRelid(rel));

	for (int attempts = 1;; attempts++)
	{
		LsTable    *table = entry->table;

		CHECK_FOR_INTERRUPTS();
		if (table && !current(table))
		{
			drop(entry);
			table = NULL;
		}
		if (table == NULL)
		{
			table = make_table(rel);
			entry->table = table;
			load(table, rel);
		}
		for (int i = 0; i < table->nmodels; i++)
			LockRelationOid(table->models[i]->score_table, RowExclusiveLock);
		if (current(table) || attempts == MAX_ATTEMPTS)
		{
			table->uses++;
			nused++;
			for (int i = 0; i < table->nmodels; i++)
				if (table->models[i]->unreadable)
					(void) ls_suspension_defers(table->models[i]->name);
				else if (table->models[i]->out_of_step)
					ls_suspension_missed(table->models[i]->name);
			/* a model that is damaged now may have been repaired next time */
			table->valid = !table->incomplete;
			return table;
		}
	}
}

void
ls_table_cache_release(LsTable *table)
{
	table->uses--;
	nused--;
	if (table->uses == 0 && list_member_ptr(orphans, table))
	{
		orphans = list_delete_ptr(orphans, table);
		free_table(table);
	}
}

/* ls_table_cache_forget marks entries of a relation as invalid; it reads nothing. */
void
ls_table_cache_forget(Oid relation)
{
	HASH_SEQ_STATUS status;
	Entry	   *entry;

	if (tables == NULL)
		return;
	if (relation != InvalidOid)
	{
		entry = hash_search(tables, &relation, HASH_FIND, NULL);
		if (entry && entry->table)
			entry->table->valid = false;
		return;
	}
	hash_seq_init(&status, tables);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->table)
			entry->table->valid = false;
}

/* ls_table_cache_end_transaction resets the use counts, which an error leaves behind. */
void
ls_table_cache_end_transaction(void)
{
	HASH_SEQ_STATUS status;
	Entry	   *entry;
	ListCell   *lc;

	if (nused == 0)
		return;
	nused = 0;
	foreach(lc, orphans)
		free_table(lfirst(lc));
	list_free(orphans);
	orphans = NIL;
	hash_seq_init(&status, tables);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->table)
			entry->table->uses = 0;
}

/* ---------- rows ---------- */

/* ls_table_cache_row converts a row of a table to the source's own row type. */
TupleTableSlot *
ls_table_cache_row(LsBinding *binding, TupleTableSlot *slot)
{
	if (binding->map == NULL)
		return slot;
	return execute_attr_map_slot(binding->map->attrMap, slot, binding->mapped);
}

/* ls_table_cache_contact evaluates the contact of a row.  False if it has none. */
bool
ls_table_cache_contact(const LsBinding *binding, LsModel *model, TupleTableSlot *slot,
					   ExprContext *econtext, Datum *contact)
{
	econtext->ecxt_scantuple = slot;
	return ls_match_contact(model, binding->source, econtext, contact);
}

/*
 * ls_table_cache_same tells whether two rows, as stored, agree in all columns that a
 * binding reads.
 */
bool
ls_table_cache_same(const LsBinding *binding, LsModel *model,
					TupleTableSlot *a, TupleTableSlot *b)
{
	Bitmapset  *columns;
	int			member = -1;

	ls_rule_compile_rest(model);
	columns = binding->source ? binding->source->columns : model->contact_columns;
	if (binding->map)
		return false;
	while ((member = bms_next_member(columns, member)) >= 0)
	{
		AttrNumber	attno = member + FirstLowInvalidHeapAttributeNumber;
		Form_pg_attribute att;
		bool		anull,
					bnull;
		Datum		avalue;
		Datum		bvalue;

		if (attno <= 0)
			return false;		/* a whole-row reference */
		att = TupleDescAttr(a->tts_tupleDescriptor, attno - 1);
		avalue = slot_getattr(a, attno, &anull);
		bvalue = slot_getattr(b, attno, &bnull);
		if (anull != bnull ||
			(!anull && !datum_image_eq(avalue, bvalue, att->attbyval, att->attlen)))
			return false;
	}
	return true;
}
