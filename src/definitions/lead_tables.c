/*-------------------------------------------------------------------------
 *
 * lead_tables.c
 *		The rows that a DBA writes, read into structs.
 *
 * They are read by scans and not by SQL: a cache that lives as long as the
 * session must never be filled from a transaction's snapshot, and a NULL
 * snapshot gives these scans the newest state.  The tables are small.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/lead_tables.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "common/int.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/decay.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "definitions/contact_table.h"
#include "definitions/current_names.h"
#include "definitions/extension.h"

/* a row that is being read */
typedef struct Row
{
	HeapTuple	tuple;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
} Row;

/* a table, with the columns that are never null in a row that is there */
typedef struct BaseTable
{
	const char *name;
	void	   *(*reader) (Row *row);
	uint64		required;
	bool		used;			/* this session has opened it */
} BaseTable;

#define REQUIRED(attno)		(UINT64CONST(1) << (attno))

/* refuse_table says that a base table is not as leadscore made it. */
static void
refuse_table(Oid relid, const char *detail)
{
	const char *name = get_rel_name(relid);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s.%s\" does not have the columns that leadscore gave it",
					LEADSCORE_INTERNAL, name ? name : "?"),
			 errdetail("%s", detail),
			 errhint("Undo what was done to it by hand.")));
}

/* rows_of prepares to read rows of a table. */
static Row
rows_of(TupleDesc desc)
{
	Row			row = {.desc = desc};

	row.values = palloc(sizeof(Datum) * desc->natts);
	row.nulls = palloc(sizeof(bool) * desc->natts);
	return row;
}

/* set_row sets the row that is read. */
static void
set_row(Row *row, HeapTuple tuple)
{
	row->tuple = tuple;
	heap_deform_tuple(tuple, row->desc, row->values, row->nulls);
}

/* row_of prepares to read one row. */
static Row
row_of(HeapTuple tuple, TupleDesc desc)
{
	Row			row = rows_of(desc);

	set_row(&row, tuple);
	return row;
}

/* field reads a column, which must be of the type that it was made with. */
static Datum
field(Row *row, int attno, Oid type, bool *isnull)
{
	if (attno > row->desc->natts)
		refuse_table(row->tuple->t_tableOid,
					 psprintf("It has %d columns, where there were at least %d.",
							  row->desc->natts, attno));
	if (TupleDescAttr(row->desc, attno - 1)->atttypid != type)
		refuse_table(row->tuple->t_tableOid,
					 psprintf("Column %d, \"%s\", was of type %s.", attno,
							  NameStr(TupleDescAttr(row->desc, attno - 1)->attname),
							  format_type_be(type)));
	*isnull = row->nulls[attno - 1];
	return row->values[attno - 1];
}

/*
 * check_required refuses a row in which a column is null that is never null.  A row
 * that a user is writing may have such a null; those are not read by scans.
 */
static void
check_required(Row *row, uint64 required)
{
	for (int attno = 1; required >> attno != 0; attno++)
		if ((required & REQUIRED(attno)) != 0 && attno <= row->desc->natts &&
			row->nulls[attno - 1])
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("column \"%s\" of a row of table \"%s.%s\" is null",
							NameStr(TupleDescAttr(row->desc, attno - 1)->attname),
							LEADSCORE_INTERNAL, get_rel_name(row->tuple->t_tableOid)),
					 errdetail("leadscore does not write such a row."),
					 errhint("Give the column its value back, or delete the row as a superuser.")));
}

static char *
text_field(Row *row, int attno)
{
	bool		isnull;
	Datum		value = field(row, attno, TEXTOID, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static double
float_field(Row *row, int attno, double missing, bool *isnull)
{
	bool		null;
	Datum		value = field(row, attno, FLOAT8OID, &null);

	if (isnull)
		*isnull = null;
	return null ? missing : DatumGetFloat8(value);
}

static int32
int_field(Row *row, int attno, int32 missing, bool *isnull)
{
	bool		null;
	Datum		value = field(row, attno, INT4OID, &null);

	if (isnull)
		*isnull = null;
	return null ? missing : DatumGetInt32(value);
}

static int64
bigint_field(Row *row, int attno, int64 missing, bool *isnull)
{
	bool		null;
	Datum		value = field(row, attno, INT8OID, &null);

	if (isnull)
		*isnull = null;
	return null ? missing : DatumGetInt64(value);
}

static TimestampTz
instant_field(Row *row, int attno, TimestampTz missing)
{
	bool		null;
	Datum		value = field(row, attno, TIMESTAMPTZOID, &null);

	return null ? missing : DatumGetTimestampTz(value);
}

static Oid
oid_field(Row *row, int attno, Oid type)
{
	bool		null;
	Datum		value = field(row, attno, type, &null);

	return null ? InvalidOid : DatumGetObjectId(value);
}

static bool
bool_field(Row *row, int attno, bool missing)
{
	bool		null;
	Datum		value = field(row, attno, BOOLOID, &null);

	return null ? missing : DatumGetBool(value);
}

static Interval *
interval_field(Row *row, int attno)
{
	bool		null;
	Datum		value = field(row, attno, INTERVALOID, &null);
	Interval   *copy;

	if (null)
		return NULL;
	copy = palloc(sizeof(Interval));
	*copy = *DatumGetIntervalP(value);
	return copy;
}

/*
 * scan_table gives the structs that a reader makes of the rows of one of our tables,
 * of one model where model is not NULL.
 */
static List *
scan_table(BaseTable *table, const char *model, Snapshot snapshot)
{
	Relation	rel;
	List	   *rows = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Row			row;

	if (!table->used && ls_extension_lacks_rows(table->name))
		return NIL;
	table->used = true;
	rel = table_open(ls_extension_base_table(table->name, false), AccessShareLock);
	if (model)
	{
		int			attno = SPI_fnumber(RelationGetDescr(rel), "model");

		if (attno <= 0)
			refuse_table(RelationGetRelid(rel), "Column \"model\" is gone.");
		ScanKeyInit(&key, attno, BTEqualStrategyNumber, F_TEXTEQ,
					CStringGetTextDatum(model));
	}
	scan = systable_beginscan(rel, InvalidOid, false, snapshot,
							  model ? 1 : 0, &key);
	row = rows_of(RelationGetDescr(rel));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		set_row(&row, tuple);
		check_required(&row, table->required);
		rows = lappend(rows, table->reader(&row));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return rows;
}

/*
 * read_owner finds the owner of a model.  The role that owned the contact table when
 * the model was made, or last accepted, wrote its rules and actions; they are not run
 * with the rights of another owner, unless that role has the new owner's privileges.
 * This is checked whenever a row is read, as not every change of an owner can be
 * noticed: REASSIGN OWNED fires no event trigger.
 *
 * A dump has the contact table by name and OIDs of roles as numbers.  Where the
 * table is another one than that with which the owner was accepted, the row was
 * restored while its triggers were disabled: the session that did so has accepted
 * it. pg_upgrade keeps the OIDs of both.
 */
static void
read_owner(LsModelRow *m, Oid accepted, Oid accepted_contacts)
{
	m->owner = ls_relation_find_owner(m->contacts);
	m->accepted = accepted_contacts == m->contacts ? accepted : InvalidOid;
	m->suspended = OidIsValid(m->owner) && OidIsValid(m->accepted) && accepted != m->owner &&
		!has_privs_of_role(accepted, m->owner);
}

static void *
read_model(Row *row)
{
	LsModelRow *m = palloc0(sizeof(LsModelRow));

	m->model = text_field(row, 1);
	m->contacts = oid_field(row, 3, REGCLASSOID);
	read_owner(m, oid_field(row, 2, OIDOID), oid_field(row, 17, OIDOID));
	m->key = text_field(row, 4);
	m->created_at = text_field(row, 5);
	m->time_zone = text_field(row, 6);
	m->max_drift = float_field(row, 7, 0.5, NULL);
	m->max_drift_ratio = float_field(row, 8, 0.005, NULL);
	m->min_score = float_field(row, 9, -INFINITY, NULL);
	m->max_score = float_field(row, 10, INFINITY, NULL);
	m->switched_on = bool_field(row, 11, true);
	m->rules_version = bigint_field(row, 12, 0, NULL);
	m->daily = bool_field(row, 13, false);
	m->visitors_of = text_field(row, 14);
	m->restoring = bool_field(row, 15, false);
	m->dump_number = bigint_field(row, 16, 0, NULL);
	m->unreadable = ls_contacts_error(m);
	m->enabled = m->switched_on && !m->suspended && m->unreadable == NULL;
	return m;
}

/* read_visitors reads only whose visitors a model scores. */
static void *
read_visitors(Row *row)
{
	LsModelRow *m = palloc0(sizeof(LsModelRow));

	m->model = text_field(row, 1);
	m->visitors_of = text_field(row, 14);
	return m;
}

static void *
read_category(Row *row)
{
	LsCategoryRow *c = palloc0(sizeof(LsCategoryRow));

	c->category = text_field(row, 2);
	c->position = int_field(row, 3, 0, NULL);
	c->weight = float_field(row, 4, 1.0, NULL);
	c->min_points = float_field(row, 5, -INFINITY, NULL);
	c->max_points = float_field(row, 6, INFINITY, NULL);
	return c;
}

static void *
read_source(Row *row)
{
	LsSourceRow *s = palloc0(sizeof(LsSourceRow));

	s->model = text_field(row, 1);
	s->source = text_field(row, 2);
	s->relation = oid_field(row, 3, REGCLASSOID);
	s->contact = text_field(row, 4);
	s->occurred_at = text_field(row, 5);
	s->event = text_field(row, 6);
	s->time_zone = text_field(row, 7);
	s->visitor = text_field(row, 8);
	s->keep = strcmp(text_field(row, 9), "keep") == 0;
	s->queued = strcmp(text_field(row, 10), "queued") == 0;
	return s;
}

/* list_field gives the words of a text[], NULL for those that are null. */
static List *
list_field(Row *row, int attno)
{
	bool		isnull;
	Datum		value = field(row, attno, TEXTARRAYOID, &isnull);
	List	   *words = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
		words = lappend(words, nulls[i] ? NULL : TextDatumGetCString(elements[i]));
	return words;
}

/*
 * later_fields reads the columns since LS_RULE_PER + behind, which stand further behind in
 * lead_rule_history.
 */
static void
later_fields(Row *row, LsRuleRow *rule, int behind)
{
	rule->per = text_field(row, LS_RULE_PER + behind);
	rule->max_per = float_field(row, LS_RULE_MAX_PER + behind, INFINITY, &rule->max_per_null);
	rule->tag = text_field(row, LS_RULE_TAG + behind);
	rule->cancelled_by = text_field(row, LS_RULE_CANCELLED_BY + behind);
	rule->cancelled_condition = text_field(row, LS_RULE_CANCELLED_CONDITION + behind);
	rule->cancelled_source = text_field(row, LS_RULE_CANCELLED_SOURCE + behind);
	rule->cancelled_per = text_field(row, LS_RULE_CANCELLED_PER + behind);
	rule->followed_per = text_field(row, LS_RULE_FOLLOWED_PER + behind);
	rule->follows = text_field(row, LS_RULE_FOLLOWS + behind);
	rule->holds_from = text_field(row, LS_RULE_HOLDS_FROM + behind);
	rule->holds_until = text_field(row, LS_RULE_HOLDS_UNTIL + behind);
	rule->members = list_field(row, LS_RULE_MEMBERS + behind);
	(void) field(row, LS_RULE_MEMBERS + behind, TEXTARRAYOID, &rule->members_null);
	rule->unless = list_field(row, LS_RULE_UNLESS + behind);
	(void) field(row, LS_RULE_UNLESS + behind, TEXTARRAYOID, &rule->unless_null);
}

static void
rule_fields(Row *row, LsRuleRow *rule, int behind)
{
	rule->rule_id = bigint_field(row, LS_RULE_ID, 0, NULL);
	rule->model = text_field(row, LS_RULE_MODEL);
	rule->name = text_field(row, LS_RULE_NAME);
	rule->category = text_field(row, LS_RULE_CATEGORY);
	rule->kind = text_field(row, LS_RULE_KIND);
	rule->source = text_field(row, LS_RULE_SOURCE);
	rule->event = text_field(row, LS_RULE_EVENT);
	rule->condition = text_field(row, LS_RULE_CONDITION);
	rule->points = float_field(row, LS_RULE_POINTS, 0, &rule->points_null);
	rule->weight = text_field(row, LS_RULE_WEIGHT);
	rule->award = text_field(row, LS_RULE_AWARD);
	rule->time_frame = interval_field(row, LS_RULE_TIME_FRAME);
	rule->at_least = int_field(row, LS_RULE_AT_LEAST, 1, &rule->at_least_null);
	rule->decay = text_field(row, LS_RULE_DECAY);
	rule->decay_interval = interval_field(row, LS_RULE_DECAY_INTERVAL);
	rule->decay_keep = float_field(row, LS_RULE_DECAY_KEEP, 0,
								   &rule->decay_keep_null);
	rule->max_points = float_field(row, LS_RULE_MAX_POINTS, INFINITY,
								   &rule->max_points_null);
	rule->max_per_period = float_field(row, LS_RULE_MAX_PER_PERIOD, INFINITY,
									   &rule->max_per_period_null);
	rule->period = interval_field(row, LS_RULE_PERIOD);
	rule->idle = interval_field(row, LS_RULE_IDLE);
	rule->max_gap = interval_field(row, LS_RULE_MAX_GAP);
	rule->followed_by = text_field(row, LS_RULE_FOLLOWED_BY);
	rule->followed_condition = text_field(row, LS_RULE_FOLLOWED_CONDITION);
	rule->followed_source = text_field(row, LS_RULE_FOLLOWED_SOURCE);
	rule->negated = bool_field(row, LS_RULE_NEGATED, false);
	rule->disqualifies = bool_field(row, LS_RULE_DISQUALIFIES, false);
	rule->enabled = bool_field(row, LS_RULE_ENABLED, true);
	rule->events_from = instant_field(row, LS_RULE_EVENTS_FROM, DT_NOBEGIN);
	rule->events_before = instant_field(row, LS_RULE_EVENTS_BEFORE, DT_NOEND);
	rule->backfilled_version = bigint_field(row, LS_RULE_BACKFILLED_VERSION, 0,
											&rule->backfilled_version_null);
	rule->draft = bool_field(row, LS_RULE_DRAFT, false);
	rule->backfilling_version = bigint_field(row, LS_RULE_BACKFILLING_VERSION, 0, NULL);
	later_fields(row, rule, behind);
}

/* ls_lead_read_rule reads a row of lead_rule from a trigger. */
void
ls_lead_read_rule(HeapTuple tuple, TupleDesc desc, LsRuleRow *rule)
{
	Row			row = row_of(tuple, desc);

	rule_fields(&row, rule, 0);
}

static void *
read_rule(Row *row)
{
	LsRuleRow  *r = palloc0(sizeof(LsRuleRow));

	rule_fields(row, r, 0);
	return r;
}

static void *
read_rule_version(Row *row)
{
	LsRuleVersion *v = palloc0(sizeof(LsRuleVersion));
	Datum	   *versions;
	bool		isnull;

	rule_fields(row, &v->rule, LS_RULE_NHISTORY_COLUMNS);
	v->from = instant_field(row, LS_RULE_VALID_FROM, DT_NOBEGIN);
	v->to = instant_field(row, LS_RULE_VALID_TO, DT_NOEND);
	deconstruct_array(DatumGetArrayTypeP(field(row, LS_RULE_VERSIONS, INT8ARRAYOID, &isnull)),
					  INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &versions, NULL, &v->nversions);
	v->versions = palloc(sizeof(int64) * Max(1, v->nversions));
	for (int i = 0; i < v->nversions; i++)
		v->versions[i] = DatumGetInt64(versions[i]);
	return v;
}

static void *
read_model_version(Row *row)
{
	LsModelVersion *v = palloc0(sizeof(LsModelVersion));
	Datum	   *values[4];
	bool	   *nulls[4];
	int			n[4];

	v->min_score = float_field(row, 2, -INFINITY, NULL);
	v->max_score = float_field(row, 3, INFINITY, NULL);
	v->time_zone = text_field(row, 4);
	for (int i = 0; i < 4; i++)
	{
		bool		isnull;
		ArrayType  *array = DatumGetArrayTypeP(field(row, 5 + i, i == 0 ? TEXTARRAYOID : FLOAT8ARRAYOID, &isnull));

		if (i == 0)
			deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
							  &values[i], &nulls[i], &n[i]);
		else
			deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
							  TYPALIGN_DOUBLE, &values[i], &nulls[i], &n[i]);
	}
	for (int i = 0; i < Min(Min(n[0], n[1]), Min(n[2], n[3])); i++)
	{
		LsCategoryRow *c = palloc0(sizeof(LsCategoryRow));

		c->category = TextDatumGetCString(values[0][i]);
		c->position = i + 1;
		c->weight = DatumGetFloat8(values[1][i]);
		c->min_points = nulls[2][i] ? -INFINITY : DatumGetFloat8(values[2][i]);
		c->max_points = nulls[3][i] ? INFINITY : DatumGetFloat8(values[3][i]);
		v->categories = lappend(v->categories, c);
	}
	v->from = instant_field(row, 9, DT_NOBEGIN);
	v->to = instant_field(row, 10, DT_NOEND);
	return v;
}

static void *
read_stage(Row *row)
{
	LsStageRow *s = palloc0(sizeof(LsStageRow));

	s->stage = text_field(row, 2);
	s->position = int_field(row, 3, 0, NULL);
	s->enter_at = float_field(row, 4, -INFINITY, NULL);
	s->leave_below = float_field(row, 5, 0, &s->leave_below_null);
	s->sticky = bool_field(row, 6, false);
	s->condition = text_field(row, 7);
	return s;
}

static void *
read_grade(Row *row)
{
	LsGradeRow *g = palloc0(sizeof(LsGradeRow));

	g->category = text_field(row, 2);
	g->grade = text_field(row, 3);
	g->min_points = float_field(row, 4, -INFINITY, NULL);
	return g;
}

static void
action_fields(Row *row, LsActionRow *action)
{
	action->action_id = bigint_field(row, 1, 0, NULL);
	action->model = text_field(row, 2);
	action->name = text_field(row, 3);
	action->occasion = text_field(row, 4);
	action->stage = text_field(row, 5);
	action->score_level = float_field(row, 6, 0, &action->score_level_null);
	action->rule = text_field(row, 7);
	action->causes = list_field(row, 8);
	action->deliver = text_field(row, 9);
	action->channel = text_field(row, 10);
	action->function = text_field(row, 11);
	action->timeout = interval_field(row, 12);
	action->max_attempts = int_field(row, 13, 0, NULL);
	action->enabled = bool_field(row, 14, true);
}

/* ls_lead_read_action reads a row of lead_action from a trigger. */
void
ls_lead_read_action(HeapTuple tuple, TupleDesc desc, LsActionRow *action)
{
	Row			row = row_of(tuple, desc);

	action_fields(&row, action);
}

static void *
read_action(Row *row)
{
	LsActionRow *a = palloc0(sizeof(LsActionRow));

	action_fields(row, a);
	return a;
}

/* ---------- the tables ---------- */

#define REQUIRED_OF_RULE \
	(REQUIRED(LS_RULE_ID) | REQUIRED(LS_RULE_MODEL) | REQUIRED(LS_RULE_NAME) | \
	REQUIRED(LS_RULE_CATEGORY) | REQUIRED(LS_RULE_KIND) | REQUIRED(LS_RULE_POINTS) | \
	REQUIRED(LS_RULE_AT_LEAST) | REQUIRED(LS_RULE_DECAY) | REQUIRED(LS_RULE_NEGATED) | \
	REQUIRED(LS_RULE_DISQUALIFIES) | REQUIRED(LS_RULE_ENABLED) | REQUIRED(LS_RULE_DRAFT))

#define REQUIRED_OF_MODEL \
	(REQUIRED(1) | REQUIRED(2) | REQUIRED(3) | REQUIRED(4) | REQUIRED(6) | REQUIRED(7) | \
	REQUIRED(8) | REQUIRED(11) | REQUIRED(12) | REQUIRED(13))

static BaseTable model_table = {.name = "lead_model", .reader = read_model, .required = REQUIRED_OF_MODEL};
static BaseTable visitors_table = {.name = "lead_model", .reader = read_visitors, .required = REQUIRED_OF_MODEL};
static BaseTable category_table = {.name = "lead_category", .reader = read_category,
	.required = REQUIRED(1) | REQUIRED(2) | REQUIRED(3) | REQUIRED(4)};
static BaseTable source_table = {.name = "lead_source", .reader = read_source,
	.required = REQUIRED(1) | REQUIRED(2) | REQUIRED(3) | REQUIRED(4) | REQUIRED(5) | REQUIRED(9) |
REQUIRED(10)};
static BaseTable rule_table = {.name = "lead_rule", .reader = read_rule, .required = REQUIRED_OF_RULE};
static BaseTable rule_history_table = {.name = "lead_rule_history", .reader = read_rule_version,
	.required = REQUIRED_OF_RULE | REQUIRED(LS_RULE_VALID_FROM) | REQUIRED(LS_RULE_VERSIONS)};
static BaseTable model_history_table = {.name = "lead_model_history", .reader = read_model_version,
	.required = REQUIRED(1) | REQUIRED(4) | REQUIRED(5) | REQUIRED(6) | REQUIRED(7) | REQUIRED(8) |
REQUIRED(9)};
static BaseTable stage_table = {.name = "lead_stage", .reader = read_stage,
	.required = REQUIRED(1) | REQUIRED(2) | REQUIRED(3) | REQUIRED(4) | REQUIRED(6)};
static BaseTable grade_table = {.name = "lead_grade", .reader = read_grade,
	.required = REQUIRED(1) | REQUIRED(2) | REQUIRED(3) | REQUIRED(4)};
static BaseTable action_table = {.name = "lead_action", .reader = read_action,
	.required = REQUIRED(1) | REQUIRED(2) | REQUIRED(3) | REQUIRED(4) | REQUIRED(8) | REQUIRED(9) |
REQUIRED(12) | REQUIRED(13) | REQUIRED(14)};

static const BaseTable *const base_tables[] = {
	&model_table, &category_table, &source_table, &rule_table, &rule_history_table,
	&model_history_table, &stage_table, &grade_table, &action_table
};

/*
 * ls_lead_check_row refuses a row in which a column is null that is never null,
 * before the row is compared with another.
 */
void
ls_lead_check_row(const char *table, HeapTuple tuple, TupleDesc desc)
{
	Row			row = row_of(tuple, desc);

	for (size_t i = 0; i < lengthof(base_tables); i++)
		if (strcmp(base_tables[i]->name, table) == 0)
			check_required(&row, base_tables[i]->required);
}

static int
by_category_position(const ListCell *a, const ListCell *b)
{
	const LsCategoryRow *x = lfirst(a);
	const LsCategoryRow *y = lfirst(b);

	return (x->position > y->position) - (x->position < y->position);
}

static int
by_stage_position(const ListCell *a, const ListCell *b)
{
	const LsStageRow *x = lfirst(a);
	const LsStageRow *y = lfirst(b);

	return (x->position > y->position) - (x->position < y->position);
}

static int
by_grade_minimum(const ListCell *a, const ListCell *b)
{
	const LsGradeRow *x = lfirst(a);
	const LsGradeRow *y = lfirst(b);

	return (x->min_points > y->min_points) - (x->min_points < y->min_points);
}

static int
by_rule_version(const ListCell *a, const ListCell *b)
{
	const LsRuleRow *x = lfirst(a);
	const LsRuleRow *y = lfirst(b);
	int64		xv = ls_lead_rule_version(x);
	int64		yv = ls_lead_rule_version(y);

	if (xv != yv)
		return xv > yv ? 1 : -1;
	return (x->rule_id > y->rule_id) - (x->rule_id < y->rule_id);
}

/* ls_lead_model gives a model's row, or NULL. */
LsModelRow *
ls_lead_model(const char *model, Snapshot snapshot)
{
	List	   *rows = scan_table(&model_table, model, snapshot);

	return rows == NIL ? NULL : linitial(rows);
}

List *
ls_lead_models(Snapshot snapshot)
{
	return scan_table(&model_table, NULL, snapshot);
}

/* ls_lead_defining_model names the model whose definitions a model has. */
const char *
ls_lead_defining_model(const char *model, Snapshot snapshot)
{
	List	   *rows = scan_table(&visitors_table, model, snapshot);
	LsModelRow *row = rows == NIL ? NULL : linitial(rows);

	return row && row->visitors_of ? row->visitors_of : model;
}

/* ls_lead_visitors_model names the model that scores a model's visitors, or is NULL. */
char *
ls_lead_visitors_model(const char *model)
{
	ListCell   *lc;

	foreach(lc, scan_table(&visitors_table, NULL, NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (ls_same_text(row->visitors_of, model))
			return row->model;
	}
	return NULL;
}

/* ls_lead_row_differs tells whether two rows of a base table differ in a column. */
bool
ls_lead_row_differs(HeapTuple a, HeapTuple b, TupleDesc desc, int column)
{
	Form_pg_attribute attr = TupleDescAttr(desc, column - 1);
	bool		anull,
				bnull;
	Datum		x = heap_getattr(a, column, desc, &anull);
	Datum		y = heap_getattr(b, column, desc, &bnull);

	return anull != bnull ||
		(!anull && !datum_image_eq(x, y, attr->attbyval, attr->attlen));
}

/* ls_lead_categories gives a model's categories in their order. */
List *
ls_lead_categories(const char *model, Snapshot snapshot)
{
	List	   *rows = scan_table(&category_table, ls_lead_defining_model(model, snapshot),
								  snapshot);

	list_sort(rows, by_category_position);
	return rows;
}

List *
ls_lead_sources(const char *model, Snapshot snapshot)
{
	List	   *rows = scan_table(&source_table, model, snapshot);

	if (snapshot && model && rows != NIL)
		ls_current_names_of_sources(model, rows);
	return rows;
}

/* ls_lead_source gives the source of a name (NULL: none) among those of a model, or NULL. */
LsSourceRow *
ls_lead_source(const List *sources, const char *name)
{
	ListCell   *lc;

	foreach(lc, sources)
		if (ls_same_text(((LsSourceRow *) lfirst(lc))->source, name))
			return lfirst(lc);
	return NULL;
}

/* ls_lead_rules gives a model's rules ascending by the version of their slots. */
List *
ls_lead_rules(const char *model, Snapshot snapshot)
{
	const char *definer = ls_lead_defining_model(model, snapshot);
	List	   *rows = scan_table(&rule_table, definer, snapshot);

	if (snapshot && rows != NIL)
		ls_current_names_of_rules(definer, rows);
	list_sort(rows, by_rule_version);
	return rows;
}

/*
 * ls_lead_rules_as_backfilled has rules be as if all were backfilled: ascending by
 * version, and those that have none under versions that no state has.
 */
void
ls_lead_rules_as_backfilled(List *rows)
{
	int64		unheard = PG_INT64_MAX;
	ListCell   *lc;

	foreach(lc, rows)
	{
		LsRuleRow  *row = lfirst(lc);

		row->backfilled_version = ls_lead_rule_version(row);
		row->backfilling_version = 0;
		if (row->backfilled_version == 0)
			row->backfilled_version = unheard--;
		row->backfilled_version_null = false;
	}
	list_sort(rows, by_rule_version);
}

/* ls_lead_rule_versions gives the rules of a model and their former versions. */
List *
ls_lead_rule_versions(const char *model, Snapshot snapshot)
{
	const char *definer = ls_lead_defining_model(model, snapshot);
	List	   *versions = scan_table(&rule_history_table, definer, snapshot);

	if (snapshot && versions != NIL)
		ls_current_names_of_versions(definer, versions);
	return versions;
}

/*
 * ls_lead_model_versions gives the other settings of a model and their former
 * versions.
 */
List *
ls_lead_model_versions(const char *model, Snapshot snapshot)
{
	return scan_table(&model_history_table, ls_lead_defining_model(model, snapshot), snapshot);
}

/* ls_lead_stages gives a model's stages ascending by position. */
List *
ls_lead_stages(const char *model, Snapshot snapshot)
{
	List	   *rows = scan_table(&stage_table, ls_lead_defining_model(model, snapshot),
								  snapshot);

	list_sort(rows, by_stage_position);
	return rows;
}

/* ls_lead_grades gives a model's grades ascending by min_points. */
List *
ls_lead_grades(const char *model, Snapshot snapshot)
{
	List	   *rows = scan_table(&grade_table, ls_lead_defining_model(model, snapshot),
								  snapshot);

	list_sort(rows, by_grade_minimum);
	return rows;
}

/* ls_lead_actions gives a model's actions. */
List *
ls_lead_actions(const char *model, Snapshot snapshot)
{
	return scan_table(&action_table, model, snapshot);
}

Oid
ls_lead_score_table(const char *model, bool missing_ok)
{
	return ls_extension_table(psprintf("score_%s", model), missing_ok);
}

/* ls_lead_key_type gives the type of a model's contacts, as its score table has it. */
Oid
ls_lead_key_type(const char *model)
{
	return get_atttype(ls_lead_score_table(model, false), 1);
}

/*
 * ls_lead_interval_usec turns an interval into microseconds: years of 365 days,
 * months of 30.  False if out of range.
 */
bool
ls_lead_interval_usec(const Interval *interval, int64 *usec)
{
	int64		days = INT64CONST(365) * (interval->month / 12) +
		INT64CONST(30) * (interval->month % 12) + interval->day;

	return !pg_mul_s64_overflow(days, LS_DAY, usec) &&
		!pg_add_s64_overflow(*usec, interval->time, usec);
}

/* ls_lead_category_names gives the names of a model's categories. */
List *
ls_lead_category_names(const char *model)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_categories(model, NULL))
		names = lappend(names, ((LsCategoryRow *) lfirst(lc))->category);
	return names;
}

/*
 * ls_lead_stage_variables gives the names that a stage's condition may use beside columns
 * of the contact: the score, and the categories.
 */
List *
ls_lead_stage_variables(const char *model)
{
	return lcons("score", ls_lead_category_names(model));
}
