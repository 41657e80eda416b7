/*-------------------------------------------------------------------------
 *
 * event_reader.c
 *		Rows of event tables, contact table and score table, by contact.
 *
 * A reader runs one query for each table, as the model's owner and with the active
 * snapshot, and merges their results by contact: for one contact by the index that
 * users are told to create, for all contacts sorted.  Queries name only the columns
 * that rules need, at the attribute numbers that the table has them, so that compiled
 * expressions work on the result.
 *
 * It is here that the rows of merged contacts and of identified visitors become rows of
 * the contact for which they count (identity_table.h).
 *
 *-------------------------------------------------------------------------
 */
#include "counting/event_reader.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/pg_operator.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "base/relation.h"
#include "base/user.h"
#include "counting/local_rows.h"
#include "counting/ordered_events.h"
#include "counting/row_cursor.h"
#include "rules/disclosure.h"
#include "tables/identity_table.h"
#include "tables/purged_table.h"

#define BATCH_OF_ONE	100
#define BATCH_OF_ALL	1000

/* One table's rows */
typedef struct Stream
{
	int			what;
	LsSource   *source;			/* of events */
	char	   *hidden;			/* its name, if hidden from the caller */
	LsRowCursor *cursor;
	TupleTableSlot *slot;		/* the current row */
	Datum		key;			/* of the row in slot */
	bool		key_is_copy;
	bool		known;			/* the contact is spec.contact or in the last column */
	Datum		param;			/* the key whose rows are selected */
	bool		ended;
} Stream;

struct LsReader
{
	LsReaderSpec spec;
	MemoryContext context;
	EState	   *estate;
	ExprContext *econtext;		/* of rows */
	ExprContext *keycontext;	/* of the current keys of streams */
	int			nstreams;
	Stream	   *streams;
	LsMatch    *matches;
	LsOrderedEvents ordered;	/* of the contact, those of keyed rules */
	LsIdentities identities;	/* of the one contact */
	bool		merges;			/* contacts may have been merged */
	bool		visitors;		/* visitors may have been identified */
	Datum		contact;
	bool		has_contact;	/* contact is set */
};

static void
append_operator(StringInfo sql, Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(sql, "OPERATOR(%s.%s)",
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname));
	ReleaseSysCache(tuple);
}

/*
 * append_key writes the column that holds the contact, as the key's type; for a
 * comparison that an index can serve (strategy), in the column's own type.  Returns the
 * operator of the comparison.
 */
static Oid
append_key(StringInfo sql, LsKeyType *key, Oid relation, const char *column,
		   StrategyNumber strategy)
{
	AttrNumber	attno = get_attnum(relation, column);
	Oid			type,
				collation,
				operator = InvalidOid;
	int32		typmod;

	get_atttypetypmodcoll(relation, attno, &type, &typmod, &collation);
	appendStringInfo(sql, "t.%s", quote_identifier(column));
	if (type != key->type)
	{
		Oid			mixed = strategy != InvalidStrategy ?
			get_opfamily_member(key->opfamily, type, key->type, strategy) : InvalidOid;

		if (OidIsValid(mixed))
			operator = mixed;
		else
			appendStringInfo(sql, "::%s", format_type_be_qualified(key->type));
	}
	if (OidIsValid(key->collation) && collation != key->collation)
		appendStringInfo(sql, " COLLATE %s",
						 generate_collation_name(key->collation));
	if (!OidIsValid(operator) && strategy != InvalidStrategy)
		operator = ls_key_operator(key, strategy);
	return operator;
}

/* append_bound compares the contact with a parameter. */
static void
append_bound(StringInfo sql, LsKeyType *key, Oid relation, const char *column,
			 StrategyNumber strategy, int parameter)
{
	Oid			operator = append_key(sql, key, relation, column, strategy);

	appendStringInfoChar(sql, ' ');
	append_operator(sql, operator);
	appendStringInfo(sql, " $%d", parameter);
}

/*
 * append_range restricts a query to the reader's range of contacts, and returns the
 * number of parameters.
 */
static int
append_range(StringInfo sql, const LsReaderSpec *spec, Oid relation, const char *column)
{
	int			n = 0;

	if (spec->after)
	{
		appendStringInfoString(sql, " AND ");
		append_bound(sql, &spec->model->key, relation, column, BTGreaterStrategyNumber, ++n);
	}
	if (spec->upto)
	{
		appendStringInfoString(sql, " AND ");
		append_bound(sql, &spec->model->key, relation, column, BTLessEqualStrategyNumber, ++n);
	}
	return n;
}

/* ls_reader_append_range restricts a query of the score table to the reader's range. */
void
ls_reader_append_range(StringInfo sql, const LsReaderSpec *spec)
{
	(void) append_range(sql, spec, spec->model->score_table, "contact_id");
}

/* range_values gives the parameters of append_range, with their types. */
static void
range_values(const LsReaderSpec *spec, Oid *types, Datum *values)
{
	int			n = 0;

	types[0] = types[1] = spec->model->key.type;
	if (spec->after)
		values[n++] = *spec->after;
	if (spec->upto)
		values[n++] = *spec->upto;
}

/*
 * append_columns lists the needed columns of a table at their attribute numbers, and
 * NULL in the place of the others.
 */
static void
append_columns(StringInfo sql, Oid layout, Bitmapset *needed)
{
	Relation	rel = relation_open(layout, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		appendStringInfoString(sql, i > 0 ? ", " : "");
		if (!att->attisdropped &&
			bms_is_member(att->attnum - FirstLowInvalidHeapAttributeNumber, needed))
			appendStringInfo(sql, "t.%s", quote_identifier(NameStr(att->attname)));
		else
			appendStringInfoString(sql, "NULL");
	}
	relation_close(rel, AccessShareLock);
}

/* Which rows, of those that count for the contacts that are read */
typedef enum Whose
{
	LS_OWN_ROWS,
	LS_ROWS_OF_MERGED,			/* of contacts that were merged into them */
	LS_ROWS_OF_VISITORS,		/* of visitors identified as them */
	LS_ROWS_OF_MERGED_VISITORS	/* of visitors identified as the merged ones */
} Whose;

/* What a stream reads */
typedef struct TableQuery
{
	Whose		whose;
	Oid			layout;			/* the columns are those of this table */
	Oid			relation;
	const char *key_column;
	const char *time_column;	/* NULL: none */
	const char *visitor_column; /* NULL: none */
	const char *unless_column;	/* rows where this is not null are left out */
	Bitmapset  *columns;
} TableQuery;

/* append_equals compares a column with a value of the key's type. */
static void
append_equals(StringInfo sql, LsKeyType *key, Oid relation, const char *column,
			  const char *value)
{
	Oid			operator = append_key(sql, key, relation, column, BTEqualStrategyNumber);

	appendStringInfoChar(sql, ' ');
	append_operator(sql, operator);
	appendStringInfo(sql, " %s", value);
}

/* query_one gives the query of the rows of one contact, or of one visitor. */
static char *
query_one(LsModel *model, const TableQuery *query)
{
	bool		visitors = query->whose != LS_OWN_ROWS;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, query->layout, query->columns);
	appendStringInfo(&sql, " FROM %s t WHERE ", ls_local_rows(query->relation, model->owner));
	append_equals(&sql, visitors ? &model->visitor_key : &model->key, query->relation,
				  visitors ? query->visitor_column : query->key_column, "$1");
	if (visitors || query->unless_column)
		appendStringInfo(&sql, " AND t.%s IS NOT DISTINCT FROM NULL",
						 quote_identifier(visitors ? query->key_column : query->unless_column));
	return sql.data;
}

/*
 * append_own restricts a query to rows that count for the contact that they name.  IS
 * NOT NULL would be false of a composite key with a null in it; IS DISTINCT FROM NULL
 * tests the value.
 */
static void
append_own(StringInfo sql, LsReader *reader, const TableQuery *query)
{
	LsModel    *model = reader->spec.model;

	appendStringInfo(sql, " FROM %s t WHERE t.%s IS DISTINCT FROM NULL", ls_local_rows(query->relation, model->owner),
					 quote_identifier(query->key_column));
	if (query->unless_column)
		appendStringInfo(sql, " AND t.%s IS NOT DISTINCT FROM NULL", quote_identifier(query->unless_column));
	if (model->visitors_of ? reader->visitors : reader->merges)
	{
		appendStringInfo(sql, " AND NOT EXISTS (SELECT FROM %s a WHERE ",
						 ls_relation_qualified_name(model->visitors_of ? model->identity_table : model->merged_table));
		append_equals(sql, &model->key, query->relation, query->key_column,
					  model->visitors_of ? "a.visitor" : "a.source_id");
		appendStringInfoChar(sql, ')');
	}
	(void) append_range(sql, &reader->spec, query->relation, query->key_column);
}

/*
 * append_others restricts a query to rows that count for another contact, and gives the
 * expression of that contact.
 */
static const char *
append_others(StringInfo sql, LsReader *reader, const TableQuery *query)
{
	LsModel    *model = reader->spec.model;
	const char *equals = ls_key_equals(&model->key);
	const char *whom = query->whose == LS_ROWS_OF_VISITORS ? "i.contact_id" : "m.target_id";
	int			n = 0;

	appendStringInfo(sql, ", %s FROM %s t", whom, ls_local_rows(query->relation, model->owner));
	if (query->whose != LS_ROWS_OF_MERGED)
	{
		appendStringInfo(sql, " JOIN %s i ON (", ls_relation_qualified_name(model->identity_table));
		append_equals(sql, &model->visitor_key, query->relation, query->visitor_column,
					  "i.visitor");
		appendStringInfoChar(sql, ')');
	}
	if (query->whose != LS_ROWS_OF_VISITORS)
	{
		appendStringInfo(sql, " JOIN %s m ON (", ls_relation_qualified_name(model->merged_table));
		if (query->whose == LS_ROWS_OF_MERGED)
			append_equals(sql, &model->key, query->relation, query->key_column, "m.source_id");
		else
			appendStringInfo(sql, "i.contact_id %s m.source_id", equals);
		appendStringInfoChar(sql, ')');
	}
	appendStringInfoString(sql, " WHERE true");
	if (query->whose != LS_ROWS_OF_MERGED)
		appendStringInfo(sql, " AND t.%s IS NOT DISTINCT FROM NULL", quote_identifier(query->key_column));
	if (query->whose == LS_ROWS_OF_VISITORS && reader->merges)
		appendStringInfo(sql, " AND NOT EXISTS (SELECT FROM %s a WHERE a.source_id %s i.contact_id)",
						 ls_relation_qualified_name(model->merged_table), equals);
	for (int i = 0; i < 2; i++)
	{
		if (i == 0 ? reader->spec.after == NULL : reader->spec.upto == NULL)
			continue;
		appendStringInfo(sql, " AND %s ", whom);
		append_operator(sql, ls_key_operator(&model->key, i == 0 ? BTGreaterStrategyNumber :
											 BTLessEqualStrategyNumber));
		appendStringInfo(sql, " $%d", ++n);
	}
	return whom;
}

/*
 * wants_order tells whether it pays to sort the events of a contact: a state is the same
 * in any order, but buckets of which there are many are made one after the other then.
 */
static bool
wants_order(const LsModel *model)
{
	for (int i = 0; i < model->nrules; i++)
		if (model->rules[i].bucketed && !model->rules[i].skip)
			return true;
	return false;
}

/*
 * query_all gives the query of the rows of all contacts, in the order of those for
 * which they count.
 */
static char *
query_all(LsReader *reader, const TableQuery *query)
{
	LsModel    *model = reader->spec.model;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, query->layout, query->columns);
	if (query->whose == LS_OWN_ROWS)
	{
		append_own(&sql, reader, query);
		appendStringInfoString(&sql, " ORDER BY ");
		(void) append_key(&sql, &model->key, query->relation, query->key_column, InvalidStrategy);
	}
	else
	{
		const char *whom = append_others(&sql, reader, query);

		appendStringInfo(&sql, " ORDER BY %s", whom);
	}
	appendStringInfoString(&sql, " USING ");
	append_operator(&sql, model->key.lt_operator);
	if (query->time_column && wants_order(model))
		appendStringInfo(&sql, ", t.%s", quote_identifier(query->time_column));
	return sql.data;
}

/*
 * open_portal opens the cursor of a query.  The plan for one contact is saved, as it is
 * needed for each row that is updated or deleted.  Rows of a range are better read in
 * the order of an index than sorted, which the planner finds where it expects that they
 * are not all wanted.
 */
static void
open_portal(LsReader *reader, Stream *stream, const TableQuery *query,
			SPIPlanPtr *kept)
{
	LsModel    *model = reader->spec.model;
	bool		one = reader->spec.one;
	int			nbounds = (reader->spec.after != NULL) + (reader->spec.upto != NULL);
	SPIPlanPtr	plan = one && kept ? *kept : NULL;
	Oid			types[2];
	Datum		bounds[2];

	range_values(&reader->spec, types, bounds);
	if (one && query->whose != LS_OWN_ROWS)
		types[0] = model->visitor_key.type;
	if (plan == NULL)
	{
		plan = SPI_prepare_cursor(one ? query_one(model, query) : query_all(reader, query),
								  one ? 1 : nbounds, types,
								  one || nbounds == 0 || query->whose != LS_OWN_ROWS ? 0 : CURSOR_OPT_FAST_PLAN);
		if (plan == NULL)
			elog(ERROR, "could not prepare a query of table \"%s\": %s",
				 get_rel_name(query->relation), SPI_result_code_string(SPI_result));
		if (one && kept)
		{
			SPI_keepplan(plan);
			*kept = plan;
		}
	}
	stream->cursor = ls_row_cursor_open(plan, one ? &stream->param : bounds, one ? BATCH_OF_ONE : BATCH_OF_ALL);
}

/* open_stream opens the cursor of a user's table, as the model's owner. */
static void
open_stream(LsReader *reader, Stream *stream, const TableQuery *query,
			SPIPlanPtr *kept)
{
	Oid			owner = reader->spec.model->owner;
	LsUser		saved;

	if (!ls_disclosure_may_see_table(owner, query->relation))
		stream->hidden = get_rel_name(query->relation);
	ls_user_switch_to_compute(owner, &saved);
	PG_TRY();
	{
		open_portal(reader, stream, query, kept);
	}
	PG_CATCH();
	{
		ls_disclosure_throw(stream->hidden);
	}
	PG_END_TRY();
	ls_user_restore(&saved);
}

/* is_model_table tells whether a stream reads a table of the model. */
static bool
is_model_table(const Stream *stream)
{
	return (stream->what & (LS_READ_SCORES | LS_READ_PURGED)) != 0;
}

/* open_model_table opens the cursor of a table of the model, as that table's owner. */
static void
open_model_table(LsReader *reader, Stream *stream)
{
	LsModel    *model = reader->spec.model;
	StringInfoData range;
	char	   *sql;
	SPIPlanPtr	plan;
	Oid			types[2];
	Datum		bounds[2];
	LsUser		saved;
	int			n;

	initStringInfo(&range);
	n = append_range(&range, &reader->spec, model->score_table, "contact_id");
	if (!reader->spec.any_order)
	{
		appendStringInfoString(&range, " ORDER BY t.contact_id USING ");
		append_operator(&range, model->key.lt_operator);
	}
	range_values(&reader->spec, types, bounds);
	ls_user_switch_to_owner(ls_relation_owner(model->score_table), &saved);
	if (reader->spec.limit > 0)
		appendStringInfo(&range, " LIMIT %d", reader->spec.limit);
	sql = stream->what == LS_READ_PURGED ? ls_purged_query(model, range.data) :
		psprintf("SELECT * FROM %s t WHERE true%s", ls_relation_qualified_name(model->score_table), range.data);
	plan = SPI_prepare(sql, n, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a query of the tables of model \"%s\"",
			 model->name);
	stream->cursor = ls_row_cursor_open(plan, bounds, BATCH_OF_ALL);
	ls_user_restore(&saved);
}

/*
 * fetch reads the next rows of a stream, as the role that may read the table: a cast of
 * the key runs a function of another role.  False at the end.
 */
static bool
fetch(const LsReader *reader, Stream *stream)
{
	volatile bool any = false;
	LsUser		saved;

	if (is_model_table(stream))
		ls_user_switch_to_owner(ls_relation_owner(reader->spec.model->score_table), &saved);
	else
		ls_user_switch_to_compute(reader->spec.model->owner, &saved);
	PG_TRY();
	{
		any = ls_row_cursor_fetch(stream->cursor);
	}
	PG_CATCH();
	{
		ls_disclosure_throw(stream->hidden);
	}
	PG_END_TRY();
	ls_user_restore(&saved);
	return any;
}

/* advance moves a stream to its next row that has a contact. */
static void
advance(LsReader *reader, Stream *stream)
{
	LsModel    *model = reader->spec.model;
	LsExpr	   *expr = stream->what == LS_READ_EVENTS ? stream->source->contact :
		model->contact_key;
	bool		isnull = true;

	if (stream->key_is_copy)
		pfree(DatumGetPointer(stream->key));
	stream->key_is_copy = false;
	while (isnull)
	{
		CHECK_FOR_INTERRUPTS();
		if (!ls_row_cursor_has_row(stream->cursor) && !fetch(reader, stream))
		{
			stream->ended = true;
			return;
		}
		stream->slot = ls_row_cursor_next(stream->cursor);
		if (is_model_table(stream) || (stream->known && !reader->spec.one))
		{
			stream->key = slot_getattr(stream->slot, stream->known ?
									   stream->slot->tts_tupleDescriptor->natts : 1,
									   &isnull);
			continue;
		}
		if (stream->known)
		{
			stream->key = reader->spec.contact;
			isnull = false;
			continue;
		}
		ResetExprContext(reader->keycontext);
		reader->keycontext->ecxt_scantuple = stream->slot;
		isnull = !ls_match_contact(model, stream->source, reader->keycontext, &stream->key);
	}
	/* a converted key must outlive the context in which it was converted */
	if (!is_model_table(stream) && !stream->known && expr->attno == 0 &&
		!model->key.typbyval)
	{
		stream->key = datumCopy(stream->key, false, model->key.typlen);
		stream->key_is_copy = true;
	}
	ResetExprContext(reader->keycontext);
}

/*
 * add_stream opens a table.  of is the key whose rows are selected if the contact is
 * known otherwise; NULL: that of the reader's contact.
 */
static void
add_stream(LsReader *reader, int what, LsSource *source, const TableQuery *query,
		   SPIPlanPtr *kept, const Datum *of)
{
	Stream	   *stream = &reader->streams[reader->nstreams++];

	stream->what = what;
	stream->source = source;
	stream->known = of != NULL;
	stream->param = of ? *of : reader->spec.contact;
	if (is_model_table(stream))
		open_model_table(reader, stream);
	else
		open_stream(reader, stream, query, kept);
	advance(reader, stream);
}

/* add_others adds the streams of rows that count for other contacts, of all contacts. */
static void
add_others(LsReader *reader, LsSource *source, TableQuery *query)
{
	Datum		none = (Datum) 0;
	bool		visitors = query->visitor_column && reader->visitors;

	for (query->whose = LS_ROWS_OF_MERGED; query->whose <= LS_ROWS_OF_MERGED_VISITORS; query->whose++)
		if (query->whose == LS_ROWS_OF_MERGED ? reader->merges :
			visitors && (query->whose == LS_ROWS_OF_VISITORS || reader->merges))
			add_stream(reader, LS_READ_EVENTS, source, query, NULL, &none);
}

/*
 * name_now gives the present name of a column of a locked table: the column may have
 * been renamed after the model was compiled, before the lock was granted.
 */
static char *
name_now(Oid relation, AttrNumber attno, char *name)
{
	char	   *now = name && attno > 0 ? get_attname(relation, attno, true) : NULL;

	return now ? now : name;
}

static void
add_source(LsReader *reader, LsSource *source)
{
	Oid			relation = reader->spec.relation;
	LsIdentities *identities = &reader->identities;
	TableQuery	query = {0};
	SPIPlanPtr *kept;
	bool		fresh;

	if (source->broken || source->unread)
		return;
	query.layout = source->relation;
	query.relation = OidIsValid(relation) ? relation : source->relation;
	LockRelationOid(query.relation, AccessShareLock);
	query.key_column = name_now(source->relation, source->contact_attno, source->contact_column);
	query.time_column = name_now(source->relation, source->time_attno, source->time_column);
	query.visitor_column = name_now(source->relation, source->visitor_attno, source->visitor_column);
	query.unless_column = name_now(source->relation, source->unless_attno, source->unless_column);
	query.columns = source->columns;
	fresh = OidIsValid(relation) || reader->spec.model->stale;
	kept = fresh ? NULL : &source->by_contact;
	add_stream(reader, LS_READ_EVENTS, source, &query, kept, NULL);
	for (int i = 0; i < identities->nsources; i++)
		add_stream(reader, LS_READ_EVENTS, source, &query, kept, &identities->sources[i]);
	query.whose = LS_ROWS_OF_VISITORS;
	kept = fresh ? NULL : &source->by_visitor;
	for (int i = 0; i < identities->nvisitors && query.visitor_column; i++)
		add_stream(reader, LS_READ_EVENTS, source, &query, kept, &identities->visitors[i]);
	if (!reader->spec.one && reader->spec.model->visitors_of == NULL)
		add_others(reader, source, &query);
}

/*
 * find_identities finds the merged contacts and visitors of the reader's contact.  A
 * reader of all contacts joins them in its queries.
 */
static int
find_identities(LsReader *reader)
{
	LsModel    *model = reader->spec.model;
	LsIdentities *identities = &reader->identities;

	reader->merges = ls_identity_has_merges(model);
	reader->visitors = ls_identity_has_visitors(model);
	if (reader->spec.one && (reader->merges || reader->visitors))
		ls_identity_of(model, reader->spec.contact, identities);
	return model->nsources * (4 + identities->nsources + identities->nvisitors) + 3;
}

/*
 * ls_reader_open opens a reader, which sees what the active snapshot sees.  Readers
 * nest: the one opened last is closed first.
 */
LsReader *
ls_reader_open(const LsReaderSpec *spec)
{
	LsModel    *model = spec->model;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore reader",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LsReader   *reader = palloc0(sizeof(LsReader));
	int			most = 1;

	/* the queries have the columns that rules read */
	ls_rule_compile_rest(model);
	reader->spec = *spec;
	reader->context = context;
	reader->estate = CreateExecutorState();
	reader->econtext = CreateExprContext(reader->estate);
	reader->keycontext = CreateExprContext(reader->estate);
	reader->streams = palloc0(sizeof(Stream) * find_identities(reader));
	for (int i = 0; i < model->nsources; i++)
		most = Max(most, model->sources[i].max_matches);
	reader->matches = palloc(sizeof(LsMatch) * most);
	SPI_connect();
	MemoryContextSwitchTo(context);

	for (int i = 0; i < model->nsources && (spec->what & LS_READ_EVENTS) &&
		 !reader->identities.taken; i++)
		if (spec->source < 0 || spec->source == i)
			add_source(reader, &model->sources[i]);
	if ((spec->what & LS_READ_CONTACTS) && model->contact_key && !reader->identities.taken)
	{
		TableQuery	query = {0};

		query.layout = query.relation = model->contacts;
		LockRelationOid(model->contacts, AccessShareLock);
		query.key_column = name_now(model->contacts, model->key_attno, model->key_column);
		query.columns = model->contact_columns;
		add_stream(reader, LS_READ_CONTACTS, NULL, &query,
				   model->stale ? NULL : &model->contact_by_key, NULL);
	}
	if (spec->what & LS_READ_SCORES)
		add_stream(reader, LS_READ_SCORES, NULL, NULL, NULL, NULL);
	if ((spec->what & LS_READ_PURGED) && model->nsources > 0 &&
		(ls_purged_any(model) || reader->visitors))
		add_stream(reader, LS_READ_PURGED, NULL, NULL, NULL, NULL);
	MemoryContextSwitchTo(old);
	return reader;
}

static bool
at_contact(LsReader *reader, Stream *stream)
{
	return !stream->ended &&
		ls_key_compare(&reader->spec.model->key, stream->key, reader->contact) == 0;
}

/* ls_reader_next advances to the next contact, in the order of the key. */
bool
ls_reader_next(LsReader *reader, Datum *contact)
{
	LsKeyType  *key = &reader->spec.model->key;
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	Stream	   *least = NULL;

	ls_ordered_events_clear(&reader->ordered);
	for (int i = 0; i < reader->nstreams && reader->has_contact; i++)
		while (at_contact(reader, &reader->streams[i]))
			advance(reader, &reader->streams[i]);
	for (int i = 0; i < reader->nstreams; i++)
	{
		Stream	   *stream = &reader->streams[i];

		if (!stream->ended &&
			(least == NULL || ls_key_compare(key, stream->key, least->key) < 0))
			least = stream;
	}
	if (reader->has_contact && !key->typbyval)
		pfree(DatumGetPointer(reader->contact));
	reader->has_contact = least != NULL;
	if (least)
		reader->contact = datumCopy(least->key, key->typbyval, key->typlen);
	*contact = reader->contact;
	MemoryContextSwitchTo(old);
	return least != NULL;
}

/* next_event gives the next event of the contact as the tables have them. */
static bool
next_event(LsReader *reader, LsEvent *event)
{
	bool		found = false;

	for (int i = 0; i < reader->nstreams && !found; i++)
	{
		Stream	   *stream = &reader->streams[i];

		if (stream->what != LS_READ_EVENTS)
			continue;
		while (!found && at_contact(reader, stream))
		{
			ResetExprContext(reader->econtext);
			event->matches = reader->matches;
			found = stream->known ?
				ls_match_source_known(reader->spec.model, stream->source,
									  stream->slot, reader->econtext,
									  reader->contact, event) :
				ls_match_source(reader->spec.model, stream->source,
								stream->slot, reader->econtext, event);
			/* callers need the matches, not the row */
			event->contact = reader->contact;
			advance(reader, stream);
		}
	}
	return found;
}

/*
 * ls_reader_event gives the next event of the contact, with the rules that it matches.
 * It is valid until the next call.  Those of keyed rules come last, in the order of time.
 */
bool
ls_reader_event(LsReader *reader, LsEvent *event)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	bool		found;

	while ((found = next_event(reader, event)) && ls_match_is_keyed(event))
		ls_ordered_events_add(&reader->ordered, event);
	if (!found)
		found = ls_ordered_events_next(&reader->ordered, event);
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * ls_reader_contact gives the contact's row in the contact table, if there is
 * one, in the context in which its rules are evaluated.
 */
TupleTableSlot *
ls_reader_contact(LsReader *reader, ExprContext **econtext)
{
	for (int i = 0; i < reader->nstreams; i++)
	{
		Stream	   *stream = &reader->streams[i];

		if (stream->what != LS_READ_CONTACTS || !at_contact(reader, stream))
			continue;
		ResetExprContext(reader->econtext);
		reader->econtext->ecxt_scantuple = stream->slot;
		*econtext = reader->econtext;
		return stream->slot;
	}
	return NULL;
}

/*
 * ls_reader_score gives the contact's row in score_<model>, if there is one, in the
 * current memory context.
 */
HeapTuple
ls_reader_score(LsReader *reader, TupleDesc *desc)
{
	for (int i = 0; i < reader->nstreams; i++)
	{
		Stream	   *stream = &reader->streams[i];

		if (stream->what != LS_READ_SCORES || !at_contact(reader, stream))
			continue;
		*desc = stream->slot->tts_tupleDescriptor;
		return heap_form_tuple(*desc, stream->slot->tts_values, stream->slot->tts_isnull);
	}
	return NULL;
}

void
ls_reader_close(LsReader *reader)
{
	MemoryContext caller = CurrentMemoryContext;

	for (int i = 0; i < reader->nstreams; i++)
		ls_row_cursor_close(reader->streams[i].cursor);
	/* SPI_finish() switches to the reader's own context, which is deleted below */
	SPI_finish();
	MemoryContextSwitchTo(caller);
	FreeExecutorState(reader->estate);
	MemoryContextDelete(reader->context);
}

/* ls_reader_created reads from a contact's row when the contact was first seen. */
TimestampTz
ls_reader_created(LsModel *model, TupleTableSlot *slot)
{
	TimestampTz created;
	Datum		value;
	bool		isnull;

	if (model->created_attno == InvalidAttrNumber)
		return DT_NOBEGIN;
	value = slot_getattr(slot, model->created_attno, &isnull);
	if (isnull || !ls_match_instant(value, model->created_type, model->tz, &created))
		return DT_NOBEGIN;
	return created;
}
