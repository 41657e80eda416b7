/*-------------------------------------------------------------------------
 *
 * definition_view.c
 *		Definitions as users see and write them.
 *
 * Models, rules, stages and so on are in base tables, which only this module writes
 * and, with INSERT and COPY, a restore.  Users have a view of each, over a function
 * that gives the rows of the models that the caller manages, or whose scores the caller
 * may read.  Such a view is not automatically updatable, and a lock on it does not
 * reach the base table, which writers of events read.
 *
 * A statement that writes to a view goes through three triggers:
 *
 * 1. before an UPDATE or DELETE, the definitions of the caller's own models are
 *    locked.  Only then is the view scanned, and it shows the newest rows: of two
 *    sessions that change the same rule, the second sees what the first wrote.
 * 2. INSTEAD OF each row, a row without meaning is refused, and the base row is
 *    written.  INSERT locks the definitions of the row's model here.
 * 3. after the statement, each model concerned gets a new version, and new rules are
 *    backfilled, once.
 *
 * A trigger of a view has no transition tables, hence the list of models of which the
 * statement has changed rows.
 *
 *-------------------------------------------------------------------------
 */
#include "model/definition_view.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/heap_writer.h"
#include "base/leadscore.h"
#include "base/sql.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/rights.h"
#include "model/category.h"
#include "model/key_change.h"
#include "model/validate.h"
#include "rules/model_compile.h"

PG_FUNCTION_INFO_V1(ls_definition_rows);
PG_FUNCTION_INFO_V1(ls_enter_definitions);
PG_FUNCTION_INFO_V1(ls_write_definition);
PG_FUNCTION_INFO_V1(ls_leave_definitions);
PG_FUNCTION_INFO_V1(ls_rule_period);

#define INSERTS		1
#define UPDATES		2
#define DELETES		4

/* What is done with the rows of each table */
typedef struct Kind
{
	const char *table;
	int			nkey;			/* the primary key is the first nkey columns */
	int			writes;			/* commands that users may run */
	const char *hint;			/* what to do instead of other commands */
	const char *sequence;		/* for the first column; NULL: none */
	HeapTuple	(*check) (const LsDefinition *row);
	void		(*written) (const LsDefinition *row);	/* may be NULL */
	void		(*changed) (const char *model); /* once per statement; may be NULL */
	/* ... before that, with the numbers of the rows; may be NULL */
	void		(*advise) (const char *model, int64 *ids, int n);
} Kind;

static const Kind kinds[] = {
	{"lead_model", 1, UPDATES,
		"Models are made by leadscore.create_model() and dropped by leadscore.drop_model().",
	NULL, ls_validate_model, ls_validate_model_written, NULL, NULL},
	{"lead_category", 2, INSERTS | UPDATES | DELETES, NULL,
	NULL, ls_validate_category_row, ls_category_written, ls_category_changed, NULL},
	{"lead_source", 2, UPDATES,
		"Sources are attached by leadscore.attach() and detached by leadscore.detach().",
	NULL, ls_key_change_check_source, ls_key_change_source_written, NULL, NULL},
	{"lead_rule", 1, INSERTS | UPDATES | DELETES, NULL,
	"lead_rule_rule_id_seq", ls_validate_rule, ls_rule_written, ls_validate_rules_changed, ls_rules_advise},
	{"lead_stage", 2, INSERTS | UPDATES | DELETES, NULL,
	NULL, ls_validate_stage, NULL, ls_validate_stage_changed, NULL},
	{"lead_grade", 3, INSERTS | UPDATES | DELETES, NULL,
	NULL, ls_validate_grade, NULL, ls_model_change_record, NULL},
	{"lead_action", 1, INSERTS | UPDATES | DELETES, NULL,
	"lead_action_action_id_seq", ls_validate_action, NULL, ls_model_change_record, NULL},
};

/* A model of which a statement has changed rows */
typedef struct Changed
{
	SubTransactionId subid;
	const Kind *kind;
	char	   *model;
	int			nids;			/* of rows, where there is advice about them */
	int			room;
	int64	   *ids;
} Changed;

static LsTransactionList changes;	/* of Changed */

/* ---------- reading ---------- */

/* What is known of a model, for the rows of one scan */
typedef struct Seen
{
	char	   *model;
	bool		visible;
} Seen;

static bool
row_is_visible(List **seen, const char *name)
{
	Seen	   *one;
	ListCell   *lc;

	foreach(lc, *seen)
	{
		one = lfirst(lc);
		if (strcmp(one->model, name) == 0)
			return one->visible;
	}
	one = palloc(sizeof(Seen));
	one->model = pstrdup(name);
	one->visible = ls_rights_may_see_definitions(name);
	*seen = lappend(*seen, one);
	return one->visible;
}

/*
 * reading_snapshot is the snapshot that rows are read with: the statement's, or the
 * latest where this transaction has locked definitions.  Other sessions do not change
 * those then, but what they committed while the lock was waited for is newer than the
 * statement's snapshot.
 */
static Snapshot
reading_snapshot(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Snapshot	latest;
	CommandId	command = snapshot->curcid;

	if (IsolationUsesXactSnapshot() || !ls_lock_definitions_held())
		return RegisterSnapshot(snapshot);
	/* not what the statement itself has written */
	latest = RegisterSnapshot(GetLatestSnapshot());
	latest->curcid = command;
	return latest;
}

/* shown gives a row as users see it: a model that is suspended is not enabled. */
static HeapTuple
shown(Relation rel, HeapTuple tuple, const char *name)
{
	LsModelRow *model;
	int			column;
	Datum		enabled = BoolGetDatum(false);
	bool		isnull = false;

	if (RelationGetRelid(rel) != ls_extension_base_table("lead_model", false))
		return tuple;
	model = ls_lead_model(name, NULL);
	if (model == NULL || !model->suspended)
		return tuple;
	column = SPI_fnumber(RelationGetDescr(rel), "enabled");
	return heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 1, &column, &enabled, &isnull);
}

/*
 * ls_definition_rows gives the rows of a base table that the caller may see.  Its
 * result type, the table's row type, tells which table.
 */
Datum
ls_definition_rows(PG_FUNCTION_ARGS)
{
	Oid			type = get_func_rettype(fcinfo->flinfo->fn_oid);
	Oid			table = get_typ_typrelid(type);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *seen = NIL;
	Snapshot	snapshot;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			column;

	if (!OidIsValid(table) ||
		get_rel_namespace(table) != get_namespace_oid(LEADSCORE_INTERNAL, true))
		elog(ERROR, "function %u does not give rows of one of leadscore's tables",
			 fcinfo->flinfo->fn_oid);
	InitMaterializedSRF(fcinfo, 0);
	snapshot = reading_snapshot();
	rel = table_open(table, AccessShareLock);
	column = SPI_fnumber(RelationGetDescr(rel), "model");
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		model = heap_getattr(tuple, column, RelationGetDescr(rel), &isnull);

		CHECK_FOR_INTERRUPTS();
		if (!isnull && row_is_visible(&seen, TextDatumGetCString(model)))
			tuplestore_puttuple(result->setResult,
								shown(rel, tuple, TextDatumGetCString(model)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return (Datum) 0;
}

/* ---------- for all triggers ---------- */

#define ALL_CHANGES	(LS_FIRED_INSERT | LS_FIRED_UPDATE | LS_FIRED_DELETE)

/* begin_trigger finds the table that a trigger belongs to. */
static const Kind *
begin_trigger(FunctionCallInfo fcinfo, TriggerEvent when, int commands,
			  TriggerData **td)
{
	*td = ls_sql_trigger_data(fcinfo, when, commands);
	if (RelationGetForm((*td)->tg_relation)->relkind == RELKIND_VIEW &&
		RelationGetNamespace((*td)->tg_relation) == get_namespace_oid(LEADSCORE_SCHEMA, true))
		for (int i = 0; i < (int) lengthof(kinds); i++)
			if (strcmp(RelationGetRelationName((*td)->tg_relation), kinds[i].table) == 0)
				return &kinds[i];
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("this function is for the triggers of leadscore's own views")));
	return NULL;
}

/*
 * ls_enter_definitions is leadscore_internal.enter_definitions(), the trigger before an
 * UPDATE or DELETE.
 */
Datum
ls_enter_definitions(PG_FUNCTION_ARGS)
{
	TriggerData *td;

	(void) begin_trigger(fcinfo, TRIGGER_EVENT_BEFORE,
						 LS_FIRED_UPDATE | LS_FIRED_DELETE, &td);
	ls_lock_own_definitions();
	return PointerGetDatum(NULL);
}

/* ---------- a row ---------- */

/*
 * convert gives a row with the columns of another row type, matched by name.  Columns
 * that it lacks come from base, or are NULL.
 */
static HeapTuple
convert(HeapTuple tuple, TupleDesc from, TupleDesc to, HeapTuple base)
{
	Datum	   *values = palloc(sizeof(Datum) * to->natts);
	bool	   *nulls = palloc(sizeof(bool) * to->natts);

	for (int i = 0; i < to->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(to, i);
		int			column = att->attisdropped ? SPI_ERROR_NOATTRIBUTE :
			SPI_fnumber(from, NameStr(att->attname));

		values[i] = (Datum) 0;
		nulls[i] = true;
		if (column > 0)
			values[i] = heap_getattr(tuple, column, from, &nulls[i]);
		else if (base)
			values[i] = heap_getattr(base, i + 1, to, &nulls[i]);
	}
	return heap_form_tuple(to, values, nulls);
}

/* refuse raises the error for a command that a view does not allow, with a hint. */
static void
refuse(const Kind *kind, const TriggerData *td)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 TRIGGER_FIRED_BY_INSERT(td->tg_event) ?
			 errmsg("cannot insert into view \"%s\"", kind->table) :
			 TRIGGER_FIRED_BY_UPDATE(td->tg_event) ?
			 errmsg("cannot update view \"%s\"", kind->table) :
			 errmsg("cannot delete from view \"%s\"", kind->table),
			 errhint("%s", kind->hint)));
}

static char *
model_of(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		model = heap_getattr(tuple, SPI_fnumber(desc, "model"), desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(model);
}

/* changed_model finds or adds the entry of a model in the list of changes. */
static Changed *
changed_model(const Kind *kind, const char *model)
{
	Changed    *change;
	ListCell   *lc;

	foreach(lc, changes.members)
	{
		change = lfirst(lc);
		if (change->kind == kind && strcmp(change->model, model) == 0)
			return change;
	}
	change = palloc0(sizeof(Changed));
	change->kind = kind;
	change->model = pstrdup(model);
	ls_transaction_list_add(&changes, change);
	return change;
}

/* record_change adds the model of a row to the list of changes. */
static void
record_change(const Kind *kind, const LsDefinition *row)
{
	HeapTuple	tuple = row->new ? row->new : row->old;
	char	   *model = model_of(tuple, row->desc);
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Changed    *change = changed_model(kind, model);
	bool		isnull;

	if (kind->advise && row->new)
	{
		if (change->nids == change->room)
		{
			change->room = Max(8, change->room * 2);
			change->ids = change->ids ?
				repalloc_huge(change->ids, sizeof(int64) * change->room) :
				palloc(sizeof(int64) * change->room);
		}
		change->ids[change->nids++] = DatumGetInt64(heap_getattr(tuple, 1, row->desc, &isnull));
	}
	MemoryContextSwitchTo(old);
}

/*
 * refuse_snapshot raises the error that a model is not what the transaction's snapshot
 * shows.
 */
static void
refuse_snapshot(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent change of model \"%s\"", name),
			 errhint(LS_RETRY_HINT)));
}

/*
 * ls_definition_check_snapshot refuses to change a row that the transaction's snapshot
 * does not show.
 */
void
ls_definition_check_snapshot(const char *name)
{
	LsModelRow *before;
	LsModelRow *now;

	if (!IsolationUsesXactSnapshot())
		return;
	before = ls_lead_model(name, GetTransactionSnapshot());
	now = ls_lead_model(name, NULL);
	if (before && now && before->rules_version == now->rules_version)
		return;
	refuse_snapshot(name);
}

/*
 * find_row looks for the row of the base table that is to be changed.  False where it
 * is gone, or the same command has changed it, as where it is joined to several rows.
 * A row that was changed since the transaction began is refused: names in it may have
 * been changed.
 */
static bool
find_row(LsHeapWriter *rows, HeapTuple old, CommandId command)
{
	TransactionId xmin;
	CommandId	cmin;
	bool		isnull;

	ExecClearTuple(rows->search);
	heap_deform_tuple(old, RelationGetDescr(rows->rel),
					  rows->search->tts_values, rows->search->tts_isnull);
	ExecStoreVirtualTuple(rows->search);
	if (!ls_heap_writer_find(rows))
		return false;
	xmin = DatumGetTransactionId(slot_getsysattr(rows->found, MinTransactionIdAttributeNumber, &isnull));
	cmin = DatumGetCommandId(slot_getsysattr(rows->found, MinCommandIdAttributeNumber, &isnull));
	if (IsolationUsesXactSnapshot() && !TransactionIdIsCurrentTransactionId(xmin) &&
		XidInMVCCSnapshot(xmin, GetActiveSnapshot()))
		refuse_snapshot(model_of(old, RelationGetDescr(rows->rel)));
	return !TransactionIdIsCurrentTransactionId(xmin) || cmin < command;
}

/* put_row puts a row into the slot from which it is written. */
static void
put_row(LsHeapWriter *rows, HeapTuple tuple)
{
	ExecClearTuple(rows->written);
	heap_deform_tuple(tuple, RelationGetDescr(rows->rel),
					  rows->written->tts_values, rows->written->tts_isnull);
	ExecStoreVirtualTuple(rows->written);
}

/* number_row gives a new row its number, overriding a given one. */
static HeapTuple
number_row(const Kind *kind, HeapTuple tuple, TupleDesc desc)
{
	int			column = 1;
	bool		isnull = false;
	Datum		number;

	if (kind->sequence == NULL)
		return tuple;
	number = Int64GetDatum(nextval_internal(ls_extension_base_table(kind->sequence, false), false));
	return heap_modify_tuple_by_cols(tuple, desc, 1, &column, &number, &isnull);
}

/*
 * read_rows converts the rows that a trigger is given into rows of the base table.
 * False where there is nothing to do.
 */
static bool
read_rows(const TriggerData *td, const Kind *kind, LsHeapWriter *rows, LsDefinition *row)
{
	TupleDesc	view = RelationGetDescr(td->tg_relation);
	HeapTuple	base;

	if (TRIGGER_FIRED_BY_INSERT(td->tg_event))
	{
		row->new = number_row(kind, convert(td->tg_trigtuple, view, row->desc, NULL), row->desc);
		return true;
	}
	row->old = convert(td->tg_trigtuple, view, row->desc, NULL);
	if (!find_row(rows, row->old, GetActiveSnapshot()->curcid))
		return false;
	base = ExecCopySlotHeapTuple(rows->found);
	if (TRIGGER_FIRED_BY_UPDATE(td->tg_event))
		ls_lead_check_row(kind->table, base, row->desc);
	row->old = convert(td->tg_trigtuple, view, row->desc, base);
	if (TRIGGER_FIRED_BY_UPDATE(td->tg_event))
		row->new = convert(td->tg_newtuple, view, row->desc, base);
	return true;
}

/* write_row checks a row and writes it. */
static void
write_row(const Kind *kind, LsDefinition *row, LsHeapWriter *rows)
{
	LsUser		saved;

	if (row->new)
		row->new = kind->check(row);
	else
		(void) kind->check(row);
	ls_definition_check_snapshot(model_of(row->new ? row->new : row->old, row->desc));
	ls_user_switch(ls_extension_owner(), &saved);
	if (row->new)
		put_row(rows, row->new);
	if (row->old == NULL)
		ls_heap_writer_insert(rows);
	else if (row->new)
		ls_heap_writer_update(rows);
	else
		ls_heap_writer_delete(rows);
	ls_user_restore(&saved);
	CommandCounterIncrement();
}

/*
 * ls_write_definition is leadscore_internal.write_definition(), the INSTEAD OF trigger
 * of the views.
 */
Datum
ls_write_definition(PG_FUNCTION_ARGS)
{
	TriggerData *td;
	const Kind *kind = begin_trigger(fcinfo, TRIGGER_EVENT_INSTEAD | TRIGGER_EVENT_ROW,
									 ALL_CHANGES, &td);
	LsDefinition row = {0};
	LsHeapWriter rows;
	bool		found;

	if (!(kind->writes & (TRIGGER_FIRED_BY_INSERT(td->tg_event) ? INSERTS :
						  TRIGGER_FIRED_BY_DELETE(td->tg_event) ? DELETES : UPDATES)))
		refuse(kind, td);
	ls_heap_writer_open(&rows, ls_extension_base_table(kind->table, false), kind->nkey);
	row.desc = CreateTupleDescCopy(RelationGetDescr(rows.rel));
	found = read_rows(td, kind, &rows, &row);
	if (found)
		write_row(kind, &row, &rows);
	ls_heap_writer_close(&rows);
	if (!found)
		return PointerGetDatum(NULL);
	if (kind->written)
		kind->written(&row);
	record_change(kind, &row);
	if (row.new == NULL)
		return PointerGetDatum(td->tg_trigtuple);
	return PointerGetDatum(convert(row.new, row.desc, RelationGetDescr(td->tg_relation),
								   row.old ? td->tg_newtuple : td->tg_trigtuple));
}

/* ---------- a statement ---------- */

/*
 * ls_leave_definitions is leadscore_internal.leave_definitions(), the trigger after
 * each statement that writes to a view.
 */
Datum
ls_leave_definitions(PG_FUNCTION_ARGS)
{
	TriggerData *td;
	const Kind *kind = begin_trigger(fcinfo, TRIGGER_EVENT_AFTER, ALL_CHANGES, &td);
	List	   *models = NIL;
	ListCell   *lc;

	foreach(lc, changes.members)
	{
		Changed    *change = lfirst(lc);

		if (change->kind != kind)
			continue;
		models = lappend(models, pstrdup(change->model));
		changes.members = foreach_delete_current(changes.members, lc);
		if (change->nids > 0)
			kind->advise(change->model, change->ids, change->nids);
	}
	if (models == NIL)
		return PointerGetDatum(NULL);
	ls_transaction_wake_worker();
	list_sort(models, ls_lock_rank_order);
	foreach(lc, models)
		if (kind->changed && ls_lead_model(lfirst(lc), NULL))
			kind->changed(lfirst(lc));
	return PointerGetDatum(NULL);
}

/* ls_definition_is_view tells whether a relation is one of the views. */
bool
ls_definition_is_view(Oid relation)
{
	char	   *name;

	if (get_rel_relkind(relation) != RELKIND_VIEW ||
		get_rel_namespace(relation) != get_namespace_oid(LEADSCORE_SCHEMA, true))
		return false;
	name = get_rel_name(relation);
	for (int i = 0; i < (int) lengthof(kinds); i++)
		if (strcmp(name, kinds[i].table) == 0)
			return true;
	return false;
}

/* interval_argument reads an interval that may be null. */
static Interval *
interval_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_INTERVAL_P(n);
}

/*
 * ls_rule_period is leadscore_internal.rule_period(), for the view: the length of a
 * rule's periods, computed from its columns.
 */
Datum
ls_rule_period(PG_FUNCTION_ARGS)
{
	LsRuleRow	row = {.at_least = 1};
	LsRule		rule = {0};
	Interval   *period;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	row.kind = TextDatumGetCString(PG_GETARG_DATUM(0));
	row.decay = TextDatumGetCString(PG_GETARG_DATUM(1));
	row.decay_interval = interval_argument(fcinfo, 2);
	row.time_frame = interval_argument(fcinfo, 3);
	row.max_per_period_null = PG_ARGISNULL(4);
	row.max_per_period = row.max_per_period_null ? 0 : PG_GETARG_FLOAT8(4);
	row.period = interval_argument(fcinfo, 5);
	ls_model_derive_rule(&row, &rule);
	if (!rule.bucketed || rule.period <= 0)
		PG_RETURN_NULL();
	period = palloc0(sizeof(Interval));
	period->day = (int32) Min(rule.period / LS_DAY, PG_INT32_MAX);
	period->time = rule.period % LS_DAY;
	PG_RETURN_INTERVAL_P(period);
}
