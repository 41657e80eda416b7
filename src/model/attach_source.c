/*-------------------------------------------------------------------------
 *
 * attach_source.c
 *		Event tables: attached to models as sources, and detached.
 *
 *-------------------------------------------------------------------------
 */
#include "model/attach_source.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "base/reachable_code.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/suggest.h"
#include "counting/recount.h"
#include "counting/rule_versions.h"
#include "definitions/ancestor.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/source_triggers.h"
#include "jobs/job_run.h"
#include "model/anonymous_visitors.h"
#include "rules/expression.h"
#include "tables/purged_table.h"

PG_FUNCTION_INFO_V1(ls_attach);
PG_FUNCTION_INFO_V1(ls_detach);

/* check_privilege refuses a table on which the caller may not create triggers. */
static void
check_privilege(Oid relid)
{
	AclResult	result;

	ls_source_check_relation(relid);
	result = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

/* check_select makes sure that the model's owner may read a column. */
static void
check_select(Oid relid, const char *column, Oid role)
{
	AttrNumber	attno = ls_source_find_column(relid, column);

	if (pg_class_aclcheck(relid, role, ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck(relid, attno, role, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\", which owns the model, may not read column \"%s\" of relation \"%s\"",
						GetUserNameFromId(role, false), column, get_rel_name(relid)),
				 errhint("Grant it SELECT.")));
}

/* compile_column checks that a column can be cast to a type. */
static LsExpr *
compile_column(Relation rel, const char *column, Oid type, Oid role,
			   ErrorData **error)
{
	LsExprSpec	spec = {0};

	spec.use = LS_EXPR_COLUMN;
	spec.rel = rel;
	spec.text = column;
	spec.role = role;
	spec.where = psprintf("column \"%s\" of relation \"%s\"", column,
						  RelationGetRelationName(rel));
	spec.type = type;
	return error ? ls_expr_try_compile(&spec, CurrentMemoryContext, error) :
		ls_expr_compile(&spec, CurrentMemoryContext);
}

/* contact_fits tells whether a column's type casts to the key's implicitly. */
static bool
contact_fits(Oid type, Oid key)
{
	return can_coerce_type(1, &type, &key, COERCION_IMPLICIT);
}

/* check_visitor checks the visitor column of a source. */
static void
check_visitor(const LsModelRow *model, const LsSourceRow *source)
{
	const char *visitors = ls_lead_visitors_model(model->model);
	AttrNumber	attno = ls_source_find_column(source->relation, source->visitor);
	Oid			type = get_atttype(source->relation, attno);

	ls_visitors_check(model, source);
	if (visitors && !contact_fits(type, ls_lead_key_type(visitors)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, visitors of model \"%s\" are of type %s",
						source->visitor, get_rel_name(source->relation), format_type_be(type),
						model->model, format_type_be(ls_lead_key_type(visitors))),
				 errhint("Give the column that type, or have a generated column of that type name the visitors.")));
	check_select(source->relation, source->visitor, model->owner);
}

/* schema_error is the error where the role may not use the schema of a table. */
static ErrorData *
schema_error(Oid relid, Oid role)
{
	Oid			schema = get_rel_namespace(relid);
	ErrorData  *error;

	if (ls_schema_aclcheck(schema, role) == ACLCHECK_OK)
		return NULL;
	error = palloc0(sizeof(ErrorData));
	error->elevel = ERROR;
	error->sqlerrcode = ERRCODE_INSUFFICIENT_PRIVILEGE;
	error->message = psprintf("role \"%s\", which owns the model, may not use schema \"%s\" of relation \"%s\"",
							  GetUserNameFromId(role, false), get_namespace_name(schema),
							  get_rel_name(relid));
	error->hint = pstrdup("Grant it USAGE.");
	error->assoc_context = CurrentMemoryContext;
	return error;
}

/*
 * reach_error is the error where the model's owner may not read a source, or where
 * reading it would run code that the owner must not run; else NULL.
 */
static ErrorData *
reach_error(const LsModelRow *model, const LsSourceRow *source)
{
	LsReach		reach = {NIL};
	ErrorData  *error = schema_error(source->relation, model->owner);

	if (error == NULL)
		error = ls_reach_key_error(&reach, ls_lead_key_type(model->model), model->contacts,
								   model->owner);
	return error ? error : ls_reach_table_error(&reach, source->relation, model->owner);
}

/* check_columns checks the columns that a source names. */
static void
check_columns(const LsModelRow *model, const LsSourceRow *source)
{
	Oid			relid = source->relation;
	Oid			key = ls_lead_key_type(model->model);
	Oid			type = get_atttype(relid, ls_source_find_column(relid, source->contact));
	ErrorData  *error = reach_error(model, source);
	Relation	rel;

	if (error)
		ThrowErrorData(error);
	if (!contact_fits(type, key))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, contacts of model \"%s\" are of type %s",
						source->contact, get_rel_name(relid), format_type_be(type),
						model->model, format_type_be(key)),
				 errdetail("The column needs the type of the key, or one that casts to it implicitly.")));
	ls_source_check_time_column(relid, source->occurred_at);
	check_select(relid, source->contact, model->owner);
	check_select(relid, source->occurred_at, model->owner);
	if (source->event)
		check_select(relid, source->event, model->owner);

	if (source->visitor)
		check_visitor(model, source);

	rel = relation_open(relid, AccessShareLock);
	ls_expr_free(compile_column(rel, source->contact, key, model->owner, NULL));
	if (source->event)
		ls_expr_free(compile_column(rel, source->event, TEXTOID, model->owner, NULL));
	relation_close(rel, NoLock);
}

/*
 * check_overlap refuses a source whose rows would count twice: the same columns under
 * another name, or a table and its partition or child.  With is_attached the source of
 * the same name is the source itself.
 */
static void
check_overlap(const LsSourceRow *source, List *tree, bool is_attached)
{
	ListCell   *lc;

	foreach(lc, ls_lead_sources(source->model, NULL))
	{
		LsSourceRow *other = lfirst(lc);
		ListCell   *mc;

		if (strcmp(other->source, source->source) == 0)
		{
			if (is_attached)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("source \"%s\" of model \"%s\" already exists",
							source->source, source->model),
					 errhint("Give this one another name with source => '...'.")));
		}
		if (other->relation == source->relation)
		{
			if (ls_same_text(other->contact, source->contact) &&
				ls_same_text(other->occurred_at, source->occurred_at) &&
				ls_same_text(other->event, source->event))
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_OBJECT),
						 errmsg("\"%s\" already feeds model \"%s\" with these columns, as source \"%s\"",
								get_rel_name(source->relation), source->model, other->source)));
			continue;
		}
		foreach(mc, ls_relation_tree(other->relation))
			if (list_member_oid(tree, lfirst_oid(mc)))
				ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("\"%s\" cannot feed model \"%s\" beside \"%s\", which is source \"%s\"",
							get_rel_name(source->relation), source->model,
							get_rel_name(other->relation), other->source),
					 errdetail("Both have the rows of \"%s\", which would count twice.",
							   get_rel_name(lfirst_oid(mc))),
					 errhint("Attach the topmost table only.")));
	}
}

/* What a rule R reads is all attached. */
#define ALL_ATTACHED \
	" NOT EXISTS (SELECT FROM pg_catalog.unnest(ARRAY[r.source, r.followed_source, r.cancelled_source]) AS s (name)" \
	" WHERE s.name IS NOT NULL AND NOT EXISTS (SELECT FROM leadscore_internal.lead_source l" \
	" WHERE l.model OPERATOR(pg_catalog.=) r.model AND l.source OPERATOR(pg_catalog.=) s.name))"

/*
 * wake_rules has the rules that read a source backfilled, if what else they read is
 * attached, too.  True if some do read something else.
 */
static bool
wake_rules(const LsSourceRow *source)
{
	LsSqlArguments args = {0};
	bool		others;

	ls_sql_add_text(&args, source->model);
	ls_sql_add_text(&args, source->source);
	others = ls_extension_execute("UPDATE leadscore_internal.lead_rule r"
								  " SET backfilled_version = NULL, backfilling_version = NULL"
								  " WHERE model = $1 AND $2 IN (source, followed_source, cancelled_source)"
								  " AND (source IS DISTINCT FROM $2 OR followed_source <> $2 OR cancelled_source <> $2)"
								  " AND" ALL_ATTACHED, &args) > 0;
	ls_extension_execute("UPDATE leadscore_internal.lead_rule"
						 " SET backfilled_version = NULL, backfilling_version = NULL"
						 " WHERE model = $1 AND source = $2 AND COALESCE(followed_source, $2) = $2"
						 " AND COALESCE(cancelled_source, $2) = $2", &args);
	CommandCounterIncrement();
	return ls_rule_versions_follow(source->model) || others;
}

/* add_source inserts the row of lead_source and puts triggers on the source's tables. */
static void
add_source(const LsSourceRow *source, List *tree)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, source->model);
	ls_sql_add_text(&args, source->source);
	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(source->relation));
	ls_sql_add_text(&args, source->contact);
	ls_sql_add_text(&args, source->occurred_at);
	ls_sql_add_text(&args, source->event);
	ls_sql_add_text(&args, source->time_zone);
	ls_sql_add_text(&args, source->visitor);
	ls_sql_add_text(&args, source->keep ? "keep" : "retract");
	ls_sql_add_text(&args, source->queued ? "queued" : "immediate");
	ls_extension_execute("INSERT INTO leadscore_internal.lead_source"
						 " (model, source, relation, contact, occurred_at, event, time_zone,"
						 " visitor, on_delete, mode)"
						 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", &args);
	ls_source_add_tree(source->model, source->source, tree);
}

/* choice reads an argument that is one of two words; true for the second. */
static bool
choice(FunctionCallInfo fcinfo, int n, const char *name, const char *first,
	   const char *second)
{
	char	   *word = ls_sql_text_argument(fcinfo, n, name);
	const char *nearest;

	if (strcmp(word, first) != 0 && strcmp(word, second) != 0)
	{
		nearest = ls_suggest_word(word, list_make2(unconstify(char *, first), unconstify(char *, second)));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%s\"", name, word),
				 errdetail("It is \"%s\" or \"%s\".", first, second),
				 nearest ? errhint("Did you mean \"%s\"?", nearest) : 0));
	}
	return strcmp(word, second) == 0;
}

/* purged_of tells whether there are purged contributions of a source. */
static bool
purged_of(const char *model, const char *source)
{
	const char *visitors = ls_lead_visitors_model(model);

	return ls_purged_of_source(model, source) ||
		(visitors && ls_purged_of_source(visitors, source));
}

/*
 * tell_purged gives a NOTICE that purged contributions of a source count again: the
 * rows that they stand for may be in the table again.  True where there are any.
 */
static bool
tell_purged(const LsSourceRow *source)
{
	if (!purged_of(source->model, source->source))
		return false;
	ereport(NOTICE,
			(errmsg("purged contributions of source \"%s\" to model \"%s\" count again",
					source->source, source->model),
			 source->keep ? 0 :
			 errdetail("From now on, what is deleted is taken out of the scores."),
			 errhint("If these events are in the table again, call leadscore.detach('%s', '%s', purged => 'forget') and attach it once more.",
					 source->model, source->source)));
	return true;
}

/* advise_index gives a NOTICE where no index serves a search by a column. */
static void
advise_index(const LsSourceRow *source, const char *column)
{
	if (ls_source_column_has_index(source->relation, get_attnum(source->relation, column)))
		return;
	ereport(NOTICE,
			(errmsg("no index of \"%s\" begins with column \"%s\"",
					get_rel_name(source->relation), column),
			 errdetail("Whenever a contact has to be recomputed, the whole table is read."),
			 errhint("Create one with CREATE INDEX ON %s (%s, %s).",
					 ls_relation_qualified_name(source->relation),
					 quote_identifier(column),
					 quote_identifier(source->occurred_at))));
}

/*
 * advise_event gives a NOTICE where the event column has a type or collation whose
 * equality is not that of text: events are told apart as text.
 */
static void
advise_event(const LsSourceRow *source)
{
	HeapTuple	tuple;
	Oid			type;
	Oid			collation;
	int32		typmod;
	bool		outside;

	if (source->event == NULL)
		return;
	get_atttypetypmodcoll(source->relation, get_attnum(source->relation, source->event),
						  &type, &typmod, &collation);
	type = getBaseType(type);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return;
	outside = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace != PG_CATALOG_NAMESPACE &&
		((Form_pg_type) GETSTRUCT(tuple))->typtype != TYPTYPE_ENUM;
	ReleaseSysCache(tuple);
	if (!outside && (!OidIsValid(collation) || get_collation_isdeterministic(collation)))
		return;
	ereport(NOTICE,
			(outside ?
			 errmsg("events in column \"%s\" of relation \"%s\" are compared as text, not as %s",
					source->event, get_rel_name(source->relation), format_type_be(type)) :
			 errmsg("events in column \"%s\" of relation \"%s\" are compared as text, not by their collation",
					source->event, get_rel_name(source->relation)),
			 errdetail("An event of a rule is one that has the same characters, also in case."),
			 errhint("To have others count as well, write a condition over the column in place of the event.")));
}

/* advise gives the NOTICEs about a new source, or new columns of one. */
static void
advise(const LsSourceRow *source)
{
	advise_event(source);
	advise_index(source, source->contact);
	if (source->visitor)
		advise_index(source, source->visitor);
}

/* ls_attach_check checks the new columns of an attached source. */
void
ls_attach_check(const LsModelRow *model, const LsSourceRow *source)
{
	check_columns(model, source);
	check_overlap(source, ls_relation_tree(source->relation), true);
	advise(source);
}

/*
 * add_visitors attaches the table to the model of the visitors as well, with the
 * visitor column as its contact.  NULL where the source has no visitors.
 */
static char *
add_visitors(const LsModelRow *model, const LsSourceRow *source, List *tree)
{
	LsSourceRow theirs = *source;

	if (source->visitor == NULL)
		return NULL;
	theirs.model = ls_visitors_make(model, source);
	theirs.contact = source->visitor;
	theirs.visitor = NULL;
	add_source(&theirs, tree);
	return theirs.model;
}

/*
 * ls_attach is leadscore.attach(): new rows of a table count from now on, and existing
 * rows are backfilled.
 */
Datum
ls_attach(PG_FUNCTION_ARGS)
{
	LsSourceRow source = {0};
	LsModelRow *model;
	List	   *tree;
	char	   *visitors;
	bool		others;
	bool		purged;
	double		rows;

	source.model = ls_sql_text_argument(fcinfo, 0, "model");
	ls_sql_require_argument(fcinfo, 1, "events");
	source.relation = PG_GETARG_OID(1);
	source.contact = ls_sql_text_argument(fcinfo, 2, "contact");
	source.occurred_at = ls_sql_text_argument(fcinfo, 3, "occurred_at");
	source.event = ls_sql_optional_argument(fcinfo, 4);
	source.source = ls_sql_optional_argument(fcinfo, 5);
	if (!PG_ARGISNULL(6))
		source.time_zone = ls_source_check_time_zone(ls_sql_optional_argument(fcinfo, 6));
	source.visitor = ls_sql_optional_argument(fcinfo, 7);
	source.keep = choice(fcinfo, 8, "on_delete", "retract", "keep");
	source.queued = choice(fcinfo, 9, "mode", "immediate", "queued");
	PreventCommandIfReadOnly("attach()");
	model = ls_lock_model(source.model);
	ls_visitors_refuse(model);

	/* checked again under the lock */
	check_privilege(source.relation);
	/* all sources: a session that writes to one of them may write to this one next */
	ls_lock_sources_and(source.model, source.relation);
	tree = ls_source_lock_tree(source.relation, ShareRowExclusiveLock);
	check_privilege(source.relation);
	if (source.source == NULL)
		source.source = get_rel_name(source.relation);
	if (*source.source == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("source must not be empty")));
	check_columns(model, &source);
	ls_source_check_tree(source.relation, tree, model->owner);
	check_overlap(&source, tree, false);
	ls_ancestors_refuse(source.relation, false);
	advise(&source);

	add_source(&source, tree);
	visitors = add_visitors(model, &source, tree);
	ls_ancestors_sync();
	others = wake_rules(&source);
	ls_model_change_record(source.model);
	CommandCounterIncrement();
	purged = tell_purged(&source);
	rows = ls_relation_estimate_rows(source.relation);
	if (ls_job_pays(rows))
	{
		ls_job_run_announce(source.model, "attach", source.source, rows);
		if (visitors)
			(void) ls_job_request(visitors, "attach", source.source);
		PG_RETURN_VOID();
	}
	if (purged)
	{
		/* contacts with nothing but purged contributions are not found in the table */
		(void) ls_recount_rescore(source.model, "backfill");
		PG_RETURN_VOID();
	}
	if (visitors)
		LockRelationOid(ls_lead_score_table(visitors, false), ShareRowExclusiveLock);
	ls_recount_source(source.model, source.source, InvalidOid, "backfill");
	if (visitors)
		ls_recount_source(visitors, source.source, InvalidOid, "backfill");
	if (others)
		(void) ls_job_run_backfill(source.model);
	PG_RETURN_VOID();
}

/* ---------- detach ---------- */

/* ls_attach_problem gives the reason why a source can no longer feed its model, or NULL. */
char *
ls_attach_problem(const LsModelRow *model, const LsSourceRow *source)
{
	Relation	rel = try_relation_open(source->relation, AccessShareLock);
	AttrNumber	attno;
	Oid			key;

	if (rel == NULL)
		return "its table no longer exists";
	relation_close(rel, AccessShareLock);

	attno = get_attnum(source->relation, source->occurred_at);
	if (attno <= 0)
		return psprintf("column \"%s\" no longer exists", source->occurred_at);
	if (!ls_source_is_time_type(get_atttype(source->relation, attno)))
		return psprintf("column \"%s\" is of type %s", source->occurred_at,
						format_type_be(get_atttype(source->relation, attno)));
	attno = get_attnum(source->relation, source->contact);
	if (attno <= 0)
		return psprintf("column \"%s\" no longer exists", source->contact);
	key = ls_lead_key_type(model->model);
	if (!contact_fits(get_atttype(source->relation, attno), key))
		return psprintf("column \"%s\" is of type %s, contacts are of type %s",
						source->contact,
						format_type_be(get_atttype(source->relation, attno)),
						format_type_be(key));
	if (source->event && get_attnum(source->relation, source->event) <= 0)
		return psprintf("column \"%s\" no longer exists", source->event);
	return NULL;
}

/*
 * ls_attach_error is the error that reading a source's columns raises, such as missing
 * privileges, or NULL.  It may be temporary, so the source stays attached.
 */
ErrorData *
ls_attach_error(const LsModelRow *model, const LsSourceRow *source)
{
	Relation	rel = relation_open(source->relation, AccessShareLock);
	ErrorData  *error = reach_error(model, source);
	LsExpr	   *expr;

	if (error)
	{
		relation_close(rel, AccessShareLock);
		return error;
	}
	expr = compile_column(rel, source->contact, ls_lead_key_type(model->model),
						  model->owner, &error);
	if (expr)
		ls_expr_free(expr);
	if (error == NULL && source->event)
	{
		expr = compile_column(rel, source->event, TEXTOID, model->owner, &error);
		if (expr)
			ls_expr_free(expr);
	}
	relation_close(rel, AccessShareLock);
	return error;
}

/*
 * ls_attach_remove removes a source from a model, and gives the number of rules that
 * are left without it.  The caller has to recompute the model, and the model of its
 * visitors if the source has any.
 */
uint64
ls_attach_remove(const char *model, const char *source)
{
	List	   *relations = ls_source_recorded_relations(model, source);
	const char *visitors;
	LsSqlArguments args = {0};
	uint64		rules;
	ListCell   *lc;

	ls_sql_add_text(&args, model);
	ls_sql_add_text(&args, source);
	rules = ls_extension_execute("UPDATE leadscore_internal.lead_rule"
								 " SET backfilled_version = 0, backfilling_version = NULL WHERE model = $1"
								 " AND (source = $2 OR followed_source = $2 OR cancelled_source = $2)", &args);
	CommandCounterIncrement();
	(void) ls_rule_versions_follow(model);
	ls_extension_execute("DELETE FROM leadscore_internal.lead_source WHERE model = $1"
						 " AND source = $2", &args);
	ls_extension_execute("DELETE FROM leadscore_internal.lead_relation WHERE model = $1"
						 " AND source = $2", &args);
	CommandCounterIncrement();
	foreach(lc, relations)
		ls_source_remove_unused_triggers(lfirst_oid(lc));
	ls_ancestors_sync();
	visitors = ls_lead_visitors_model(model);
	if (visitors)
		(void) ls_attach_remove(visitors, source);
	ls_model_change_record(model);
	CommandCounterIncrement();
	return rules;
}

/*
 * forget_purged deletes the purged contributions of a source.  True where there were
 * any.
 */
static bool
forget_purged(const char *model, const char *source)
{
	const char *visitors = ls_lead_visitors_model(model);
	int64		rows = ls_purged_forget_source(model, source);

	if (visitors)
		rows += ls_purged_forget_source(visitors, source);
	return rows > 0;
}

/*
 * ls_attach_tell_purged gives a NOTICE that purged contributions of a source remain for
 * the next attach().
 */
void
ls_attach_tell_purged(const char *model, const char *source)
{
	if (!purged_of(model, source))
		return;
	ereport(NOTICE,
			(errmsg("purged contributions of source \"%s\" to model \"%s\" are kept, and count again when the source is attached again",
					source, model),
			 errhint("If they are no longer wanted, call leadscore.detach('%s', '%s', purged => 'forget').",
					 model, source)));
}

/* source_missing refuses to detach a source that a model does not have. */
static void
source_missing(const char *model, const char *source, List *names)
{
	const char *nearest = ls_suggest_word(source, names);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("source \"%s\" of model \"%s\" does not exist", source, model),
			 nearest ? errhint("Did you mean \"%s\"?", nearest) : 0));
}

/*
 * ls_detach is leadscore.detach(): what a source contributed leaves the scores.  Its
 * purged contributions remain for the next attach(), or are deleted with purged =>
 * 'forget', also where the source was detached before.
 */
Datum
ls_detach(PG_FUNCTION_ARGS)
{
	char	   *model = ls_sql_text_argument(fcinfo, 0, "model");
	char	   *source = ls_sql_text_argument(fcinfo, 1, "source");
	bool		forget = choice(fcinfo, 2, "purged", "keep", "forget");
	List	   *names = NIL;
	uint64		rules;
	ListCell   *lc;

	PreventCommandIfReadOnly("detach()");
	ls_visitors_refuse(ls_lock_model(model));
	foreach(lc, ls_lead_sources(model, NULL))
		names = lappend(names, ((LsSourceRow *) lfirst(lc))->source);
	foreach(lc, names)
		if (strcmp(lfirst(lc), source) == 0)
			break;
	if (lc == NULL)
	{
		/* not attached: it contributes nothing */
		if (!forget || !forget_purged(model, source))
			source_missing(model, source, names);
		PG_RETURN_VOID();
	}

	/* all sources at once: a writer to another table may be about to read this one */
	ls_lock_for_removal(model, source);
	rules = ls_attach_remove(model, source);
	if (forget)
		(void) forget_purged(model, source);
	if (rules > 0)
		ereport(NOTICE,
				(errmsg_plural("%llu rule keeps waiting for source \"%s\" and contributes nothing until it is attached again",
							   "%llu rules keep waiting for source \"%s\" and contribute nothing until it is attached again",
							   rules, (unsigned long long) rules, source)));
	ls_attach_tell_purged(model, source);
	ls_job_run_rescore(model, source);
	PG_RETURN_VOID();
}
