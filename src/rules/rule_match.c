/*-------------------------------------------------------------------------
 *
 * rule_match.c
 *		Which rules a row matches, its time and its contact.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include <math.h>

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"

/* ---------- event names ---------- */

static inline bool
same_name(LsName a, LsName b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

#define SH_PREFIX lsevent
#define SH_ELEMENT_TYPE LsEventName
#define SH_KEY_TYPE LsName
#define SH_KEY name
#define SH_HASH_KEY(tb, key) \
	hash_bytes((const unsigned char *) (key).data, (key).len)
#define SH_EQUAL(tb, a, b) same_name(a, b)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* event_index maps event names to the rules that name them, each once. */
static lsevent_hash *
event_index(LsModel *model, const LsCandidate *rules, const char *const *events, int nrules)
{
	lsevent_hash *index = lsevent_create(model->context, Max(nrules, 4), NULL);

	for (int i = 0; i < nrules; i++)
	{
		LsName		name = {events[i], strlen(events[i])};
		bool		found;
		LsEventName *entry = lsevent_insert(index, name, &found);

		if (!found)
		{
			entry->nrules = 0;
			entry->memory = NULL;
			entry->rules = MemoryContextAlloc(model->context, sizeof(LsCandidate));
		}
		else if (entry->rules[entry->nrules - 1].rule == rules[i].rule)
		{
			entry->rules[entry->nrules - 1].roles |= rules[i].roles;
			continue;
		}
		else
			entry->rules = repalloc(entry->rules,
									sizeof(LsCandidate) * (entry->nrules + 1));
		entry->rules[entry->nrules++] = rules[i];
	}
	return index;
}

/* What ls_match_index_source() finds */
typedef struct Sorting
{
	LsSource   *source;
	LsCandidate *named;
	const char **events;		/* that they name */
	int			nnamed;
} Sorting;

/* index_rule finds what rows of a source may be to a rule: by their event, or whatever that is. */
static void
index_rule(Sorting *sorting, int source, LsRule *rule)
{
	LsCandidate any = {.rule = rule};
	int			first = sorting->nnamed;

	for (int i = 0; i < LS_NROWS; i++)
	{
		const LsRuleRows *rows = &rule->rows[i];

		if (!rows->read || (rows->source != source && rows->source != -1))
			continue;
		if (rows->event == NULL)
			any.roles |= LS_ROLE(i);
		else if (sorting->source->event)
		{
			sorting->named[sorting->nnamed] = (LsCandidate) {.rule = rule, .roles = LS_ROLE(i)};
			sorting->events[sorting->nnamed++] = rows->event;
		}
	}
	for (int i = first; i < sorting->nnamed; i++)
		sorting->named[i].roles |= any.roles;
	any.named = sorting->nnamed > first;
	if (any.roles != 0)
		sorting->source->anonymous[sorting->source->nanonymous++] = any;
}

/*
 * ls_match_index_source sorts a source's rules by the event that they name, so that
 * only those that may match a row are evaluated on it.
 */
void
ls_match_index_source(LsModel *model, LsSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(model->context);
	int			most = Max(1, model->nrules) * LS_NROWS;
	Sorting		sorting = {.source = source};

	sorting.named = palloc(sizeof(LsCandidate) * most);
	sorting.events = palloc(sizeof(char *) * most);
	source->anonymous = palloc(sizeof(LsCandidate) * Max(1, model->nrules));
	source->nanonymous = 0;
	for (int i = 0; i < model->nrules; i++)
		if (!model->rules[i].skip)
			index_rule(&sorting, source - model->sources, &model->rules[i]);
	source->by_event = event_index(model, sorting.named, sorting.events, sorting.nnamed);
	source->max_matches = source->nanonymous + sorting.nnamed;
	pfree(sorting.named);
	pfree(sorting.events);
	MemoryContextSwitchTo(old);
}

/* ---------- instants ---------- */

/*
 * ls_match_instant reads a timestamptz, timestamp or date, the latter two in a time
 * zone as AT TIME ZONE does.  False for what is no finite instant.
 */
bool
ls_match_instant(Datum value, Oid type, pg_tz *tz, TimestampTz *t)
{
	Timestamp	local;
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;

	if (type == TIMESTAMPTZOID)
	{
		*t = DatumGetTimestampTz(value);
		return !TIMESTAMP_NOT_FINITE(*t);
	}
	if (type == DATEOID)
	{
		DateADT		date = DatumGetDateADT(value);

		if (DATE_NOT_FINITE(date) || date >= (TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE))
			return false;
		local = (int64) date * USECS_PER_DAY;
	}
	else
		local = DatumGetTimestamp(value);
	if (TIMESTAMP_NOT_FINITE(local) ||
		timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;
	offset = DetermineTimeZoneOffset(&tm, tz);
	*t = local + (int64) offset * LS_SECOND;
	return IS_VALID_TIMESTAMP(*t);
}

/* ls_rule_bucket numbers the period of a bucketed rule that an instant is in. */
int64
ls_rule_bucket(const LsModel *model, const LsRule *rule, TimestampTz t)
{
	return ls_decay_bucket(rule->local ? ls_clock_local(t, model->tz) : t, rule->period);
}

/*
 * ls_rule_bucket_start gives the first instant of a period of a bucketed rule;
 * DT_NOEND where it lies beyond the end of time.
 */
TimestampTz
ls_rule_bucket_start(const LsModel *model, const LsRule *rule, int64 bucket)
{
	int64		local;
	TimestampTz a,
				b;

	if (pg_mul_s64_overflow(bucket, rule->period, &local) ||
		pg_add_s64_overflow(local, LS_ORIGIN, &local) ||
		local >= END_TIMESTAMP - 2 * LS_DAY || local < MIN_TIMESTAMP + 2 * LS_DAY)
		return DT_NOEND;
	if (!rule->local)
		return local;
	/* with the offsets that hold before and after, which seldom differ */
	a = local - (ls_clock_local(local - LS_DAY, model->tz) - (local - LS_DAY));
	b = local - (ls_clock_local(local + LS_DAY, model->tz) - (local + LS_DAY));
	if (a == b ||
		(ls_rule_bucket(model, rule, a) >= bucket &&
		 ls_rule_bucket(model, rule, a - 1) < bucket))
		return a;
	/* midnight was left out, or came twice */
	a = Min(a, b) - LS_DAY;
	b = Max(a, b) + LS_DAY;
	while (b - a > 1)
	{
		TimestampTz middle = a + (b - a) / 2;

		if (ls_rule_bucket(model, rule, middle) >= bucket)
			b = middle;
		else
			a = middle;
	}
	return b;
}

/*
 * ls_match_next_zone_change gives the next instant at which the clocks of a zone are
 * changed; DT_NOEND: never.
 */
TimestampTz
ls_match_next_zone_change(TimestampTz t, pg_tz *tz)
{
	pg_time_t	from = timestamptz_to_time_t(t);
	long int	before_offset,
				after_offset;
	int			before_dst,
				after_dst;
	pg_time_t	boundary;

	if (pg_next_dst_boundary(&from, &before_offset, &before_dst, &boundary,
							 &after_offset, &after_dst, tz) != 1)
		return DT_NOEND;
	return time_t_to_timestamptz(boundary);
}

/* ---------- matching ---------- */

/* rows that were matched so far, so that each has a number of its own */
static uint64 rows = 0;

/* ls_match_condition tells whether a condition (NULL: none) holds on the row in econtext. */
bool
ls_match_condition(LsModel *model, LsRule *rule, LsExpr *condition, uint64 row,
				   ExprContext *econtext, Datum contact)
{
	ErrorData  *error = NULL;
	Datum		value;
	bool		isnull;

	if (condition == NULL)
		return true;
	if (ls_expr_eval_on_row(condition, row, econtext, &value, &isnull, &error) != LS_EXPR_OK)
	{
		ls_rule_failed(model, rule, error, &contact);
		return false;
	}
	return !isnull && DatumGetBool(value);
}

/* ls_match_weight gives the weight of the row in econtext.  False where that fails. */
bool
ls_match_weight(LsModel *model, LsRule *rule, uint64 row, ExprContext *econtext, Datum contact,
				double *weight)
{
	ErrorData  *error = NULL;
	ErrorData	infinite = {0};
	Datum		value;
	bool		isnull;

	*weight = 1.0;
	if (rule->weight == NULL)
		return true;
	if (ls_expr_eval_on_row(rule->weight, row, econtext, &value, &isnull, &error) != LS_EXPR_OK)
	{
		ls_rule_failed(model, rule, error, &contact);
		return false;
	}
	*weight = isnull ? 0.0 : DatumGetFloat8(value);
	/* not so for NaN */
	if (fabs(*weight) <= LS_LARGEST_NUMBER)
		return true;
	infinite.sqlerrcode = ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
	infinite.message = psprintf("the weight is not a number between %g and %g",
								-LS_LARGEST_NUMBER, LS_LARGEST_NUMBER);
	ls_rule_failed(model, rule, &infinite, &contact);
	return false;
}

/*
 * matches evaluates a rule's condition and weight on the row in econtext, and
 * gives the weight where the rule matches.
 */
static bool
matches(LsModel *model, LsRule *rule, uint64 row, ExprContext *econtext, Datum contact,
		double *weight)
{
	return ls_match_condition(model, rule, rule->condition, row, econtext, contact) &&
		ls_match_weight(model, rule, row, econtext, contact, weight);
}

/* has_rule tells whether a rule is among those that name the row's event. */
static bool
has_rule(const LsEventName *entry, const LsRule *rule)
{
	for (int i = 0; entry && i < entry->nrules; i++)
		if (entry->rules[i].rule == rule)
			return true;
	return false;
}

/* try_rules tries rules but those that are tried as they name the row's event (but). */
static void
try_rules(LsModel *model, const LsCandidate *rules, int nrules, const LsEventName *but, uint64 row,
		  ExprContext *econtext, LsEvent *event)
{
	for (int i = 0; i < nrules; i++)
	{
		LsRule	   *rule = rules[i].rule;
		double		weight = 1.0;

		if (rule->skip || (!rule->keyed && (event->at < rule->events_from ||
											event->at >= rule->events_before)))
			continue;
		if (unlikely(rule->uncompiled))
			ls_rule_compile_late(model, rule);
		if (rule->skip)
			continue;
		if (unlikely(rule->keyed))
		{
			if (!rules[i].named || !has_rule(but, rule))
				ls_row_roles_try(model, &rules[i], row, econtext, event);
			continue;
		}
		if ((rule->condition || rule->weight) &&
			!matches(model, rule, row, econtext, event->contact, &weight))
			continue;
		event->matches[event->nmatches].rule = rule;
		event->matches[event->nmatches].roles = NULL;
		event->matches[event->nmatches++].weight = weight;
	}
}

/* ---------- rows like the one before ---------- */

/* Up to how many bytes of columns passed by reference are remembered */
#define MOST_REMEMBERED		1024

/* After so many rows in a row that are not as remembered it is not tried for a while */
#define MOST_MISSES			8
#define PAUSE				100

/*
 * add_columns adds the columns that rules read.  False where that does not tell what they
 * match.  Rows of keyed rules mostly differ in their value.
 */
static bool
add_columns(Bitmapset **columns, const LsCandidate *rules, int nrules)
{
	for (int i = 0; i < nrules; i++)
	{
		const LsRule *rule = rules[i].rule;

		if (rule->skip)
			continue;
		if (rule->uncompiled || rule->keyed || !ls_rule_is_fixed(rule))
			return false;
		ls_rule_need_columns(columns, rule->condition);
		ls_rule_need_columns(columns, rule->weight);
	}
	return true;
}

/* make_memory makes the memory of an event name. */
static LsRowMemory *
make_memory(const LsModel *model, const LsSource *source, const LsEventName *entry)
{
	MemoryContext old = MemoryContextSwitchTo(model->context);
	LsRowMemory *memory = palloc0(sizeof(LsRowMemory));
	Bitmapset  *columns = NULL;
	int			column = -1;

	memory->none = !add_columns(&columns, source->anonymous, source->nanonymous) ||
		!add_columns(&columns, entry->rules, entry->nrules);
	memory->columns = palloc(sizeof(AttrNumber) * (bms_num_members(columns) + 1));
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	attno = column + FirstLowInvalidHeapAttributeNumber;

		memory->none |= attno <= 0;
		memory->columns[memory->ncolumns++] = attno;
	}
	memory->values = palloc(sizeof(Datum) * (memory->ncolumns + 1));
	memory->nulls = palloc(sizeof(bool) * (memory->ncolumns + 1));
	memory->room = palloc(memory->none ? 1 : MOST_REMEMBERED);
	memory->matches = palloc(sizeof(LsMatch) * (source->max_matches + 1));
	bms_free(columns);
	MemoryContextSwitchTo(old);
	return memory;
}

/* same_value tells whether a value is the one that is remembered, byte by byte. */
static inline bool
same_value(Form_pg_attribute att, Datum value, Datum remembered)
{
	Size		size;

	if (att->attbyval)
		return value == remembered;
	size = datumGetSize(remembered, false, att->attlen);
	return datumGetSize(value, false, att->attlen) == size &&
		memcmp(DatumGetPointer(value), DatumGetPointer(remembered), size) == 0;
}

/* is_as_remembered tells whether a row matches what the one remembered has matched. */
static bool
is_as_remembered(const LsRowMemory *memory, TupleTableSlot *slot, TimestampTz at)
{
	if (!memory->filled || at < memory->from || at >= memory->before)
		return false;
	for (int i = 0; i < memory->ncolumns; i++)
	{
		AttrNumber	attno = memory->columns[i];
		bool		isnull;
		Datum		value = slot_getattr(slot, attno, &isnull);

		if (isnull != memory->nulls[i] ||
			(!isnull && !same_value(TupleDescAttr(slot->tts_tupleDescriptor, attno - 1), value,
									memory->values[i])))
			return false;
	}
	return true;
}

/* recall gives a row the matches of the one remembered, if it is like that. */
static bool
recall(LsRowMemory *memory, TupleTableSlot *slot, LsEvent *event)
{
	if (!is_as_remembered(memory, slot, event->at))
	{
		if (memory->filled && ++memory->misses >= MOST_MISSES)
		{
			memory->misses = 0;
			memory->pause = PAUSE;
		}
		return false;
	}
	memory->misses = 0;
	event->nmatches = memory->nmatches;
	memcpy(event->matches, memory->matches, sizeof(LsMatch) * memory->nmatches);
	return true;
}

/* remember_value remembers the value of a column.  False where it has no room. */
static bool
remember_value(LsRowMemory *memory, int i, TupleTableSlot *slot, Size *used)
{
	AttrNumber	attno = memory->columns[i];
	Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, attno - 1);
	Datum		value = slot_getattr(slot, attno, &memory->nulls[i]);
	Size		size;

	memory->values[i] = value;
	if (memory->nulls[i] || att->attbyval)
		return true;
	/* what is stored elsewhere may be another value there later */
	if (att->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(value)))
		return false;
	size = datumGetSize(value, false, att->attlen);
	*used = MAXALIGN(*used);
	if (*used + size > MOST_REMEMBERED)
		return false;
	memory->values[i] = PointerGetDatum(memcpy(memory->room + *used, DatumGetPointer(value), size));
	*used += size;
	return true;
}

/* narrow narrows the instants of events that reach the same rules as one. */
static void
narrow(LsRowMemory *memory, const LsCandidate *rules, int nrules, TimestampTz at)
{
	for (int i = 0; i < nrules; i++)
	{
		const TimestampTz bounds[] = {rules[i].rule->events_from, rules[i].rule->events_before};

		for (size_t j = 0; j < lengthof(bounds); j++)
			if (bounds[j] <= at)
				memory->from = Max(memory->from, bounds[j]);
			else
				memory->before = Min(memory->before, bounds[j]);
	}
}

/* remember remembers what a row of an event name has matched. */
static void
remember(const LsModel *model, const LsSource *source, LsEventName *entry, TupleTableSlot *slot,
		 const LsEvent *event)
{
	LsRowMemory *memory = entry->memory;
	Size		used = 0;

	if (memory == NULL)
		memory = entry->memory = make_memory(model, source, entry);
	memory->filled = false;
	if (memory->none)
		return;
	for (int i = 0; i < memory->ncolumns; i++)
		if (!remember_value(memory, i, slot, &used))
		{
			memory->pause = PAUSE;
			return;
		}
	memory->from = DT_NOBEGIN;
	memory->before = DT_NOEND;
	narrow(memory, source->anonymous, source->nanonymous, event->at);
	narrow(memory, entry->rules, entry->nrules, event->at);
	memory->nmatches = event->nmatches;
	memcpy(memory->matches, event->matches, sizeof(LsMatch) * event->nmatches);
	memory->filled = true;
}

/* ---------- rows of sources ---------- */

/* column evaluates a column, which can hardly fail; if it does the value is NULL. */
static Datum
column(LsExpr *expr, ExprContext *econtext, bool *isnull)
{
	ErrorData  *error = NULL;
	Datum		value;

	if (ls_expr_eval(expr, econtext, &value, isnull, &error) != LS_EXPR_OK)
		*isnull = true;
	return value;
}

/*
 * ls_match_contact gives the contact of the row in econtext: of a source, or of the
 * contact table where source is NULL.  False where it has no contact, or one that
 * cannot be a key, such as a cookie of several kilobytes.  All code that reads rows
 * calls this, so that all agree.
 */
bool
ls_match_contact(LsModel *model, LsSource *source, ExprContext *econtext, Datum *contact)
{
	LsExpr	   *expr = source ? source->contact : model->contact_key;
	ErrorData  *error = NULL;
	ErrorData	too_long = {0};
	bool		isnull;

	if (ls_expr_eval(expr, econtext, contact, &isnull, &error) != LS_EXPR_OK)
	{
		ls_rule_failure_of_key(model, source, error);
		return false;
	}
	if (isnull || likely(ls_key_fits(&model->key, *contact)))
		return !isnull;
	too_long.sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	too_long.message = "a contact may have up to " CppAsString2(LS_LARGEST_KEY)
		" bytes, and " CppAsString2(LS_LARGEST_KEY_TEXT) " as text";
	ls_rule_failure_of_key(model, source, &too_long);
	return false;
}

/* entry_of finds the rules that name the event of the row in econtext; NULL: none does. */
static LsEventName *
entry_of(const LsSource *source, ExprContext *econtext)
{
	struct varlena *text;
	LsName		name;
	Datum		value;
	bool		isnull;

	if (source->event == NULL || source->max_matches <= source->nanonymous)
		return NULL;
	value = column(source->event, econtext, &isnull);
	if (isnull)
		return NULL;
	text = PG_DETOAST_DATUM_PACKED(value);
	name = (LsName) {VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)};
	return lsevent_lookup(source->by_event, name);
}

/* try_all tries the rules that no event names, and those that the row's event names. */
static void
try_all(LsModel *model, const LsSource *source, const LsEventName *entry, ExprContext *econtext,
		LsEvent *event)
{
	uint64		row = ++rows;

	event->nmatches = 0;
	try_rules(model, source->anonymous, source->nanonymous, entry, row, econtext, event);
	if (entry)
		try_rules(model, entry->rules, entry->nrules, NULL, row, econtext, event);
}

#ifdef USE_ASSERT_CHECKING
/* matches_as_recalled tells whether a row matches by itself what was recalled for it. */
static bool
matches_as_recalled(LsModel *model, const LsSource *source, const LsEventName *entry,
					ExprContext *econtext, const LsEvent *event)
{
	uint64		failed = model->nfailed;
	LsEvent		again = *event;
	bool		same;

	again.matches = palloc(sizeof(LsMatch) * (source->max_matches + 1));
	try_all(model, source, entry, econtext, &again);
	same = model->nfailed == failed && again.nmatches == event->nmatches;
	for (int i = 0; same && i < again.nmatches; i++)
		same = again.matches[i].rule == event->matches[i].rule &&
			again.matches[i].weight == event->matches[i].weight;
	return same;
}
#endif

/* match_row matches the row in econtext, one of many or not, whose contact is known. */
static bool
match_row(LsModel *model, LsSource *source, ExprContext *econtext, LsEvent *event, bool of_many)
{
	TupleTableSlot *slot = econtext->ecxt_scantuple;
	uint64		failed = model->nfailed;
	LsEventName *entry;
	bool		isnull;
	Datum		value = slot_getattr(slot, source->time_attno, &isnull);

	event->nmatches = 0;
	if (isnull || !ls_match_instant(value, source->time_type, source->tz, &event->at))
		return false;
	entry = entry_of(source, econtext);
	of_many = of_many && entry && !(entry->memory && entry->memory->none);
	if (of_many && entry->memory && entry->memory->pause > 0)
	{
		entry->memory->pause--;
		of_many = false;
	}
	if (of_many && entry->memory && recall(entry->memory, slot, event))
	{
		Assert(matches_as_recalled(model, source, entry, econtext, event));
		return true;
	}
	try_all(model, source, entry, econtext, event);
	/* failures are counted by rows */
	if (of_many && model->nfailed == failed)
		remember(model, source, entry, slot, event);
	return true;
}

/* match_source matches one row of a source, one of many or not. */
static bool
match_source(LsModel *model, LsSource *source, TupleTableSlot *slot, ExprContext *econtext,
			 LsEvent *event, bool of_many)
{
	event->nmatches = 0;
	if (source->broken ||
		(source->unless_column && !slot_attisnull(slot, source->unless_attno)))
		return false;
	econtext->ecxt_scantuple = slot;
	return ls_match_contact(model, source, econtext, &event->contact) &&
		match_row(model, source, econtext, event, of_many);
}

/*
 * ls_match_source matches one row of a source, whose columns are those of the
 * source's own table.  False for a row that is not scored.
 */
bool
ls_match_source(LsModel *model, LsSource *source, TupleTableSlot *slot,
				ExprContext *econtext, LsEvent *event)
{
	return match_source(model, source, slot, econtext, event, false);
}

/*
 * ls_match_source_of_many is ls_match_source() for one of many rows that come one after
 * the other, of which many may be alike in what rules read.
 */
bool
ls_match_source_of_many(LsModel *model, LsSource *source, TupleTableSlot *slot,
						ExprContext *econtext, LsEvent *event)
{
	return match_source(model, source, slot, econtext, event, true);
}

/*
 * ls_match_source_known matches a row whose contact is already known: one of an
 * identified visitor, or of a merged contact.
 */
bool
ls_match_source_known(LsModel *model, LsSource *source, TupleTableSlot *slot,
					  ExprContext *econtext, Datum contact, LsEvent *event)
{
	event->contact = contact;
	event->nmatches = 0;
	econtext->ecxt_scantuple = slot;
	return !source->broken && match_row(model, source, econtext, event, false);
}

/* ls_match_profile tells whether a profile rule holds on a contact's row. */
bool
ls_match_profile(LsModel *model, LsRule *rule, Datum contact,
				 ExprContext *econtext, double *weight)
{
	return !rule->skip && matches(model, rule, ++rows, econtext, contact, weight);
}

/* ls_match_is_keyed tells whether what an event gives to a rule depends on other rows. */
bool
ls_match_is_keyed(const LsEvent *event)
{
	for (int i = 0; i < event->nmatches; i++)
		if (event->matches[i].roles)
			return true;
	return false;
}

/* ls_match_copy_event copies an event; the contact is still the caller's. */
LsEvent *
ls_match_copy_event(const LsEvent *event)
{
	Size		size = sizeof(LsMatch) * event->nmatches;
	LsEvent    *copy = palloc(sizeof(LsEvent) + size);

	*copy = *event;
	copy->matches = (LsMatch *) (copy + 1);
	if (size > 0)
		memcpy(copy->matches, event->matches, size);
	for (int i = 0; i < copy->nmatches; i++)
		copy->matches[i].roles = ls_row_roles_copy(copy->matches[i].roles);
	return copy;
}
