/*-------------------------------------------------------------------------
 *
 * key_change.c
 *		Other columns for contacts and events.
 *
 * The type of a column is changed online with a second column, which is filled beside
 * it and renamed to its name in the end.  Models follow the old column, which is
 * renamed.  So the DBA points them at the new one:
 *
 *		UPDATE leadscore.lead_model SET key = 'id' ...
 *		UPDATE leadscore.lead_source SET contact = 'guest' ...
 *
 * Both columns are compared under locks that keep writers of the tables away.  The key
 * must have the same values: then the scores, and everything else stored for a contact,
 * stay valid under keys of the new type, and nothing is recomputed.  Columns of a
 * source may have other values; then the model is recomputed.
 *
 *-------------------------------------------------------------------------
 */
#include "model/key_change.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "parser/parse_oper.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/leadscore.h"
#include "base/sql.h"
#include "base/user.h"
#include "counting/local_rows.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/model_tables.h"
#include "jobs/job_run.h"
#include "model/anonymous_visitors.h"
#include "model/attach_source.h"
#include "model/model.h"
#include "rules/disclosure.h"

#define SHOWN	100				/* characters of a value that an error quotes */

/* ---------- values of two columns ---------- */

/* qualified_operator writes an operator. */
static char *
qualified_operator(Oid operator)
{
	return psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(get_func_namespace(get_opcode(operator)))),
					get_opname(operator));
}

/*
 * equality gives the operator that compares values of two types: that of the default
 * btree operator family, or that of pg_catalog.  NULL: they are compared as text.
 */
static char *
equality(Oid left, Oid right)
{
	TypeCacheEntry *type = lookup_type_cache(right, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	Oid			operator = InvalidOid;
	Operator	found;

	if (OidIsValid(type->btree_opf))
		operator = get_opfamily_member(type->btree_opf, left, right, BTEqualStrategyNumber);
	if (OidIsValid(operator))
		return qualified_operator(operator);
	if (left == right && OidIsValid(type->eq_opr))
		return qualified_operator(type->eq_opr);
	found = oper(NULL, list_make2(makeString("pg_catalog"), makeString("=")), left, right, true, -1);
	if (found == NULL)
		return NULL;
	ReleaseSysCache(found);
	return "OPERATOR(pg_catalog.=)";
}

/* collation_of writes the collation with which values are compared. */
static char *
collation_of(Oid relation, AttrNumber attno)
{
	Oid			type,
				collation;
	int32		typmod;

	get_atttypetypmodcoll(relation, attno, &type, &typmod, &collation);
	return OidIsValid(collation) ?
		psprintf(" COLLATE %s", generate_collation_name(collation)) : "";
}

/* other_values is the condition that holds where the values of two columns differ. */
static char *
other_values(Oid relation, const char *was, const char *is)
{
	AttrNumber	was_attno = get_attnum(relation, was);
	AttrNumber	is_attno = get_attnum(relation, is);
	char	   *operator = equality(getBaseType(get_atttype(relation, was_attno)),
									getBaseType(get_atttype(relation, is_attno)));
	const char *cast = operator ? "" : "::pg_catalog.text";
	char	   *a = psprintf("t.%s", quote_identifier(was));
	char	   *b = psprintf("t.%s", quote_identifier(is));

	return psprintf("(%s%s %s %s%s%s) IS NOT TRUE AND (%s IS DISTINCT FROM NULL OR %s IS DISTINCT FROM NULL)",
					a, cast, operator ? operator : "OPERATOR(pg_catalog.=)", b, cast,
					operator ? collation_of(relation, is_attno) : "", a, b);
}

/* How rows differ in two columns */
typedef struct Compared
{
	int64		others;			/* rows whose values differ */
	char	   *was;			/* a value of one of them; NULL for null */
	char	   *is;
} Compared;

/*
 * compare runs a query that returns Compared, as the owner of a model, on the newest
 * rows.
 */
static void
compare(const LsModelRow *model, Oid relation, const char *sql, Compared *compared)
{
	LsSqlArguments args = {.read_only = true, .newest = true};
	SPITupleTable *rows;
	LsUser		saved;

	memset(compared, 0, sizeof(Compared));
	ls_user_switch_to_compute(model->owner, &saved);
	PG_TRY();
	{
		rows = ls_sql_query(sql, &args);
	}
	PG_CATCH();
	{
		ls_disclosure_throw(ls_disclosure_may_see_table(model->owner, relation) ? NULL :
							get_rel_name(relation));
	}
	PG_END_TRY();
	if (rows->numvals > 0)
	{
		compared->others = DatumGetInt64(ls_sql_value(rows, 0, 1, NULL));
		compared->was = ls_sql_text(rows, 0, 2);
		compared->is = ls_sql_text(rows, 0, 3);
	}
	ls_user_restore(&saved);
}

/* ---------- the key of contacts ---------- */

/* shown formats a value for a message. */
static char *
shown(const char *value)
{
	return value ? psprintf("\"%s\"", value) : "null";
}

/* check_same refuses a key column that has other values than the old one. */
static void
check_same(const LsModelRow *model, const char *key)
{
	Compared	compared;
	char	   *sql = psprintf("SELECT pg_catalog.count(*) OVER (),"
							   " pg_catalog.left(t.%s::pg_catalog.text, %d),"
							   " pg_catalog.left(t.%s::pg_catalog.text, %d)"
							   " FROM %s t WHERE %s LIMIT 1",
							   quote_identifier(model->key), SHOWN, quote_identifier(key), SHOWN,
							   ls_local_rows(model->contacts, model->owner),
							   other_values(model->contacts, model->key, key));

	compare(model, model->contacts, sql, &compared);
	if (compared.others == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg_plural("%lld row of table \"%s\" has another value in column \"%s\" than in column \"%s\"",
						   "%lld rows of table \"%s\" have another value in column \"%s\" than in column \"%s\"",
						   compared.others, (long long) compared.others,
						   get_rel_name(model->contacts), key, model->key),
			 !ls_disclosure_may_see_table(model->owner, model->contacts) ? 0 :
			 errdetail("In one of them, \"%s\" is %s and \"%s\" is %s.",
					   model->key, shown(compared.was), key, shown(compared.is)),
			 errhint("The scores of model \"%s\" go on under a key with the same values only.  Give the column these values, or drop the model and make it again.",
					 model->model)));
}

/*
 * ls_key_check checks a column that is to be the key of a model, and locks what is
 * changed for it.
 */
void
ls_key_check(const LsModelRow *model, const char *key)
{
	LsModelTables new;
	Relation	rel;

	ls_visitors_refuse(model);
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("key of model \"%s\" must not be null", model->model)));
	ls_lock_for_removal(model->model, NULL);
	ls_tables_read(model, &new);
	new.row.key = pstrdup(key);
	rel = relation_open(model->contacts, AccessShareLock);
	ls_model_check_key(rel, &new);
	relation_close(rel, NoLock);
	check_same(model, key);
}

/* let_go detaches sources whose contacts do not fit the new key of a model. */
static void
let_go(const LsModelRow *model)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, ls_lead_sources(model->model, NULL))
	{
		LsSourceRow *source = lfirst(lc);
		char	   *problem = ls_attach_problem(model, source);

		if (problem == NULL)
			continue;
		(void) ls_attach_remove(model->model, source->source);
		ereport(WARNING,
				(errmsg("source \"%s\" was detached from model \"%s\": %s",
						source->source, model->model, problem),
				 errhint("Attach it with a column that has contacts as the new key has them.")));
		ls_attach_tell_purged(model->model, source->source);
		any = true;
	}
	if (any)
		ls_job_run_rescore(model->model, NULL);
}

/*
 * turn_keys changes the type of the keys in a model's tables.  A job that goes through
 * contacts in the order of the old type restarts.
 */
static void
turn_keys(const LsModelRow *model, Oid type, Oid was, Oid collation)
{
	Oid			family = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;

	ls_model_rekey(model, type, collation);
	if (ls_job_open(model->model) &&
		(family != lookup_type_cache(was, TYPECACHE_BTREE_OPFAMILY)->btree_opf ||
		 OidIsValid(collation)))
		(void) ls_job_request(model->model, "rescore", "*");
}

/*
 * ls_key_written changes the model's tables after another column was written for its
 * key.  Nothing is recomputed.
 */
void
ls_key_written(const char *name)
{
	LsModelRow *model = ls_lead_model(name, NULL);
	LsSqlArguments args = {0};
	Oid			type,
				collation,
				was,
				was_collation;
	int32		typmod;

	ls_sql_add_text(&args, name);
	ls_sql_add_text(&args, model->key);
	ls_extension_execute("UPDATE leadscore_internal.lead_model SET key = $2 WHERE visitors_of = $1", &args);
	CommandCounterIncrement();
	get_atttypetypmodcoll(model->contacts, get_attnum(model->contacts, model->key),
						  &type, &typmod, &collation);
	get_atttypetypmodcoll(ls_lead_score_table(name, false), 1, &was, &typmod, &was_collation);
	type = getBaseType(type);
	if (type != was || collation != was_collation)
		turn_keys(model, type, was, collation);
	ls_model_change_version(name);
	let_go(model);
}

/* ---------- the columns of sources ---------- */

static char *
text_of(HeapTuple tuple, TupleDesc desc, const char *column)
{
	return SPI_getvalue(tuple, desc, SPI_fnumber(desc, column));
}

/* refuse_attached refuses to change what attach() was told, columns excepted. */
static void
refuse_attached(const LsDefinition *change, const LsSourceRow *source)
{
	static const char *const columns[] = {"model", "source", "relation", "time_zone",
	"on_delete", "mode"};

	for (int i = 0; i < (int) lengthof(columns); i++)
		if (!ls_same_text(text_of(change->old, change->desc, columns[i]),
						  text_of(change->new, change->desc, columns[i])))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s of source \"%s\" of model \"%s\" cannot be changed",
							columns[i], source->source, source->model),
					 errhint("Detach the source with leadscore.detach(), and attach it again with leadscore.attach().")));
}

/* source_of reads the new row of a source. */
static LsSourceRow *
source_of(const LsDefinition *change, LsSourceRow *was)
{
	LsSourceRow *source = palloc(sizeof(LsSourceRow));

	*source = *was;
	source->contact = text_of(change->new, change->desc, "contact");
	source->occurred_at = text_of(change->new, change->desc, "occurred_at");
	source->event = text_of(change->new, change->desc, "event");
	source->visitor = text_of(change->new, change->desc, "visitor");
	if (source->contact == NULL || source->occurred_at == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s of source \"%s\" of model \"%s\" must not be null",
						source->contact ? "occurred_at" : "contact",
						source->source, source->model)));
	if ((source->visitor == NULL) != (was->visitor == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("source \"%s\" of model \"%s\" cannot begin or cease to have visitors",
						source->source, source->model),
				 errhint("Detach the source with leadscore.detach(), and attach it again with leadscore.attach().")));
	return source;
}

/* find_source reads the stored row of a source. */
static LsSourceRow *
find_source(const char *model, const char *name)
{
	LsSourceRow *source = ls_lead_source(ls_lead_sources(model, NULL), name);

	if (source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" of model \"%s\" does not exist", name, model)));
	return source;
}

/* ls_key_change_check_source checks the new columns of a source. */
HeapTuple
ls_key_change_check_source(const LsDefinition *change)
{
	char	   *name = text_of(change->old, change->desc, "model");
	LsModelRow *model;
	LsSourceRow *was;
	LsSourceRow *source;

	(void) ls_lock_model(name);
	model = ls_lock_held_model(name);
	was = find_source(name, text_of(change->old, change->desc, "source"));
	refuse_attached(change, was);
	source = source_of(change, was);
	if (ls_same_text(source->contact, was->contact) &&
		ls_same_text(source->occurred_at, was->occurred_at) &&
		ls_same_text(source->event, was->event) && ls_same_text(source->visitor, was->visitor))
		return change->new;
	ls_visitors_refuse(model);
	ls_lock_sources(name);
	ls_attach_check(model, source);
	return change->new;
}

/* differs tells whether two columns of a source have different values in any row. */
static bool
differs(const LsModelRow *model, Oid relation, const char *was, const char *is)
{
	Compared	compared;

	if (ls_same_text(was, is))
		return false;
	if (was == NULL || is == NULL || get_attnum(relation, was) <= 0)
		return true;
	compare(model, relation,
			psprintf("SELECT 1::pg_catalog.int8, NULL::pg_catalog.text, NULL::pg_catalog.text"
					 " FROM %s t WHERE %s LIMIT 1",
					 ls_local_rows(relation, model->owner), other_values(relation, was, is)), &compared);
	return compared.others > 0;
}

/* time_differs is differs() for times: another type may mean another time zone. */
static bool
time_differs(const LsModelRow *model, Oid relation, const char *was, const char *is)
{
	return !ls_same_text(was, is) &&
		(getBaseType(get_atttype(relation, get_attnum(relation, was))) !=
		 getBaseType(get_atttype(relation, get_attnum(relation, is))) ||
		 differs(model, relation, was, is));
}

/* tell_visitors writes the columns of a source to the model of the visitors. */
static void
tell_visitors(const LsSourceRow *source)
{
	const char *visitors = ls_lead_visitors_model(source->model);
	LsSqlArguments args = {0};

	if (visitors == NULL || source->visitor == NULL)
		return;
	ls_sql_add_text(&args, visitors);
	ls_sql_add_text(&args, source->source);
	ls_sql_add_text(&args, source->visitor);
	ls_sql_add_text(&args, source->occurred_at);
	ls_sql_add_text(&args, source->event);
	ls_extension_execute("UPDATE leadscore_internal.lead_source SET contact = $3, occurred_at = $4, event = $5"
						 " WHERE model = $1 AND source = $2", &args);
	CommandCounterIncrement();
}

/*
 * ls_key_change_source_written has the model recomputed after other columns have been
 * written for a source, unless they have the same values.
 */
void
ls_key_change_source_written(const LsDefinition *change)
{
	LsModelRow *model = ls_lead_model(text_of(change->new, change->desc, "model"), NULL);
	LsSourceRow *source = find_source(model->model, text_of(change->new, change->desc, "source"));
	Oid			relation = source->relation;
	char	   *contact = text_of(change->old, change->desc, "contact");
	char	   *occurred_at = text_of(change->old, change->desc, "occurred_at");
	char	   *event = text_of(change->old, change->desc, "event");
	char	   *visitor = text_of(change->old, change->desc, "visitor");

	if (ls_same_text(source->contact, contact) &&
		ls_same_text(source->occurred_at, occurred_at) &&
		ls_same_text(source->event, event) && ls_same_text(source->visitor, visitor))
		return;
	tell_visitors(source);
	ls_model_change_version(model->model);
	if (differs(model, relation, contact, source->contact) ||
		time_differs(model, relation, occurred_at, source->occurred_at) ||
		differs(model, relation, event, source->event) ||
		differs(model, relation, visitor, source->visitor))
		ls_job_run_rescore(model->model, source->source);
}
