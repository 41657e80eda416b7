/*-------------------------------------------------------------------------
 *
 * dependency.c
 *		What each part of a model depends on, and which parts an object concerns.
 *
 * The list of a model has for each rule and each condition of a stage the objects
 * that it reaches (reachable_code.c), as found when it was compiled.  Each session
 * caches it under the version of the model's definition: a command that changes what
 * a part means gives the model a new version, in every session, so a list of the
 * newest version is right for as long as that is the newest.  The objects of a
 * command are looked up in the list made before it, as a dropped object is in no list
 * made after it.
 *
 * To make a list every rule is compiled.  Most commands need none: an object can be
 * used by a rule only if the rule's text names it, or names something that uses it
 * according to pg_depend, or an SQL function whose body is text and names it.  Only
 * where it is used by something that takes part without being named (a type, a cast,
 * a domain's constraint, an index) is the list made.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/dependency.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_event_trigger.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/relation.h"
#include "base/transaction.h"
#include "definitions/source_triggers.h"
#include "rules/model_compile.h"

static List *cache = NIL;		/* of LsDependencies, in CacheMemoryContext */

/* ---------- lists ---------- */

/* add_part adds a rule or a stage with what its expressions lead to. */
static LsDependent *
add_part(LsDependencies *list, LsExpr *const *exprs, int n, bool broken)
{
	LsDependent *part = palloc0(sizeof(LsDependent));

	for (int i = 0; i < n; i++)
		if (exprs[i])
			ls_reach_merge(&part->reach, &exprs[i]->reach);
	part->broken = broken;
	list->parts = lappend(list->parts, part);
	return part;
}

/* take copies what a compiled model depends on. */
static LsDependencies *
take(const LsModel *model)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext,
												  "leadscore dependencies",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LsDependencies *list = palloc0(sizeof(LsDependencies));

	list->context = context;
	list->model = pstrdup(model->name);
	list->version = model->version;
	ls_reach_merge(&list->reach, &model->reach);
	for (int i = 0; i < model->nrules; i++)
	{
		const LsRule *rule = &model->rules[i];

		add_part(list, rule->exprs, LS_RULE_NTEXTS, rule->broken != NULL)->rule_id = rule->rule_id;
	}
	for (int i = 0; i < model->nstages; i++)
	{
		const LsStage *stage = &model->stages[i];

		if (stage->condition || stage->broken)
			add_part(list, &stage->condition, 1, stage->broken != NULL)->stage =
				pstrdup(stage->name);
	}
	MemoryContextSwitchTo(CacheMemoryContext);
	cache = lappend(cache, list);
	MemoryContextSwitchTo(old);
	return list;
}

/* A list being made in a subtransaction */
typedef struct Make
{
	const char *name;
	LsDependencies *list;
} Make;

static void
make_list(void *arg)
{
	Make	   *make = arg;
	LsModel    *model = ls_model_acquire(make->name, NULL);
	MemoryContext old;

	if (model == NULL)
		return;
	old = MemoryContextSwitchTo(CacheMemoryContext);
	make->list = take(model);
	MemoryContextSwitchTo(old);
	ls_model_release(model);
}

/* ls_dependencies_forget forgets the list of a model. */
void
ls_dependencies_forget(const char *model)
{
	ListCell   *lc;

	foreach(lc, cache)
	{
		LsDependencies *list = lfirst(lc);

		if (strcmp(list->model, model) != 0)
			continue;
		cache = foreach_delete_current(cache, lc);
		MemoryContextDelete(list->context);
	}
}

/*
 * ls_dependencies gives the list of a model, which is made if make is true and there
 * is none; NULL where there is none, or the model cannot be compiled.
 */
LsDependencies *
ls_dependencies(const LsModelRow *row, bool make)
{
	Make		arg = {row->model, NULL};
	ErrorData  *error;
	ListCell   *lc;

	foreach(lc, cache)
	{
		LsDependencies *list = lfirst(lc);

		if (list->version == row->rules_version && strcmp(list->model, row->model) == 0)
			return list;
	}
	if (!make)
		return NULL;
	ls_dependencies_forget(row->model);
	error = ls_subtransaction_run(make_list, &arg);
	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error ? NULL : arg.list;
}

/* ls_dependencies_rule gives what a rule depends on; NULL: not known. */
LsDependent *
ls_dependencies_rule(const LsDependencies *list, int64 rule_id)
{
	ListCell   *lc;

	foreach(lc, list->parts)
		if (((LsDependent *) lfirst(lc))->rule_id == rule_id)
			return lfirst(lc);
	return NULL;
}

/* ls_dependencies_stage gives what the condition of a stage depends on. */
LsDependent *
ls_dependencies_stage(const LsDependencies *list, const char *stage)
{
	ListCell   *lc;

	foreach(lc, list->parts)
	{
		LsDependent *part = lfirst(lc);

		if (part->stage && strcmp(part->stage, stage) == 0)
			return part;
	}
	return NULL;
}

/*
 * ls_dependencies_has_values tells whether rows of a model's rules may be told apart by
 * labels of a type.
 */
bool
ls_dependencies_has_values(const LsModelRow *row, Oid type)
{
	LsDependencies *dependencies = NULL;
	ListCell   *lc;

	foreach(lc, ls_lead_rules(row->model, NULL))
	{
		const LsRuleRow *rule = lfirst(lc);
		LsDependent *part;

		if (rule->per == NULL && rule->followed_per == NULL && rule->cancelled_per == NULL)
			continue;
		dependencies = dependencies ? dependencies : ls_dependencies(row, true);
		part = dependencies ? ls_dependencies_rule(dependencies, rule->rule_id) : NULL;
		if (part && list_member_oid(part->reach.types, type))
			return true;
	}
	return false;
}

/* ---------- objects in lists ---------- */

/* any_of_extension tells whether one of some objects belongs to an extension. */
static bool
any_of_extension(Oid classid, List *objects, Oid extension)
{
	ListCell   *lc;

	foreach(lc, objects)
		if (getExtensionOfObject(classid, lfirst_oid(lc)) == extension)
			return true;
	return false;
}

/* in_schema tells whether one of the functions or types of a reach is in a schema. */
static bool
in_schema(const LsReach *reach, Oid schema)
{
	ListCell   *lc;

	foreach(lc, reach->functions)
		if (get_func_namespace(lfirst_oid(lc)) == schema)
			return true;
	foreach(lc, reach->types)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(lfirst_oid(lc)));
		bool		found = HeapTupleIsValid(tuple) &&
			((Form_pg_type) GETSTRUCT(tuple))->typnamespace == schema;

		if (HeapTupleIsValid(tuple))
			ReleaseSysCache(tuple);
		if (found)
			return true;
	}
	return false;
}

/* may_cast tells whether a new cast may be used where types are as in a reach. */
static bool
may_cast(const LsReach *reach, const LsObject *cast)
{
	Oid			types[] = {cast->source, cast->target};
	bool		builtin = true;

	for (size_t i = 0; i < lengthof(types); i++)
	{
		if (types[i] < FirstNormalObjectId)
			continue;
		builtin = false;
		if (list_member_oid(reach->types, types[i]))
			return true;
	}
	return builtin;
}

/* ls_dependency_has tells whether an object is in a reach. */
bool
ls_dependency_has(const LsReach *reach, const LsObject *object)
{
	Oid			objid = object->objid;

	switch (object->classid)
	{
		case ProcedureRelationId:
			return list_member_oid(reach->functions, objid);
		case TypeRelationId:
			return list_member_oid(reach->types, objid);
		case RelationRelationId:
			return list_member_oid(reach->relations, objid);
		case OperatorRelationId:
			return list_member_oid(reach->operators, objid);
		case CollationRelationId:
			return list_member_oid(reach->collations, objid);
		case CastRelationId:
			return list_member_oid(reach->casts, objid) ||
				(!object->gone && may_cast(reach, object));
		case TSConfigRelationId:
			return list_member_oid(reach->configurations, objid);
		case TSDictionaryRelationId:
			return reach->configurations != NIL;
		case NamespaceRelationId:
			return in_schema(reach, objid);
		case ExtensionRelationId:
			return any_of_extension(ProcedureRelationId, reach->functions, objid) ||
				any_of_extension(TypeRelationId, reach->types, objid) ||
				any_of_extension(OperatorRelationId, reach->operators, objid);
		default:
			return true;
	}
}

/* ---------- names in texts ---------- */

/* ls_dependency_object_name makes the name of an object, as a text has to write it. */
LsObjectName *
ls_dependency_object_name(const char *schema, const char *name, bool is_operator)
{
	LsObjectName *result = palloc0(sizeof(LsObjectName));

	if (schema && strcmp(schema, "pg_catalog") != 0)
		result->schema = pstrdup(schema);
	result->name = pstrdup(name);
	result->is_operator = is_operator;
	return result;
}

/* is_word tells whether a byte can be within an identifier. */
static bool
is_word(unsigned char c)
{
	return isalnum(c) || c == '_' || c == '$' || IS_HIGHBIT_SET(c);
}

/*
 * has_word tells whether an identifier may be in a text, quoted or not.  A false
 * positive, as within a literal, is ruled out by PostgreSQL afterwards.
 */
static bool
has_word(const char *text, const char *word)
{
	size_t		n = strlen(word);

	/* written with escapes, it cannot be found by its letters */
	if (strchr(word, '"') || strstr(text, "U&\"") || strstr(text, "u&\""))
		return true;
	for (const char *at = text; *at; at++)
		if (pg_strncasecmp(at, word, n) == 0 &&
			(at == text ||!is_word(at[-1])) &&!is_word(at[n]))
			return true;
	return false;
}

/* names_one tells whether a text may refer to an object by a name. */
static bool
names_one(const char *text, const LsObjectName *name)
{
	if (name->schema && !has_word(text, name->schema))
		return false;
	if (!name->is_operator)
		return has_word(text, name->name);
	return strstr(text, name->name) && (name->schema == NULL || has_word(text, "operator"));
}

/*
 * ls_dependency_text_names tells whether a text may refer to an object by one of some
 * names.
 */
bool
ls_dependency_text_names(const char *text, List *names)
{
	ListCell   *lc;

	if (text == NULL)
		return false;
	foreach(lc, names)
		if (names_one(text, lfirst(lc)))
			return true;
	return false;
}

/*
 * ls_dependency_rule_names tells whether one of the texts of a rule may refer to an
 * object.
 */
bool
ls_dependency_rule_names(const LsRuleRow *rule, List *names)
{
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (ls_dependency_text_names(ls_current_names_text(rule, i), names))
			return true;
	return false;
}

/* ---------- what uses an object ---------- */

static List *
one_name(Oid schema, const NameData *name, bool is_operator)
{
	char	   *in = get_namespace_name(schema);

	return list_make1(ls_dependency_object_name(in ? in : "", NameStr(*name), is_operator));
}

/*
 * ls_dependency_object_names gives the names by which texts refer to an object; NIL:
 * it is used without being named, or does not exist.
 */
List *
ls_dependency_object_names(Oid classid, Oid objid)
{
	int			cache_id = classid == ProcedureRelationId ? PROCOID :
		classid == OperatorRelationId ? OPEROID :
		classid == TypeRelationId ? TYPEOID :
		classid == CollationRelationId ? COLLOID :
		classid == NamespaceRelationId ? NAMESPACEOID :
		classid == TSConfigRelationId ? TSCONFIGOID : -1;
	HeapTuple	tuple = cache_id < 0 ? NULL :
		SearchSysCache1(cache_id, ObjectIdGetDatum(objid));
	void	   *form;
	List	   *names = NIL;

	if (!HeapTupleIsValid(tuple))
		return NIL;
	form = GETSTRUCT(tuple);
	if (classid == ProcedureRelationId)
		names = one_name(((Form_pg_proc) form)->pronamespace, &((Form_pg_proc) form)->proname, false);
	else if (classid == OperatorRelationId)
		names = one_name(((Form_pg_operator) form)->oprnamespace,
						 &((Form_pg_operator) form)->oprname, true);
	else if (classid == TypeRelationId)
		names = one_name(((Form_pg_type) form)->typnamespace, &((Form_pg_type) form)->typname, false);
	else if (classid == CollationRelationId)
		names = one_name(((Form_pg_collation) form)->collnamespace,
						 &((Form_pg_collation) form)->collname, false);
	else if (classid == TSConfigRelationId)
		names = one_name(((Form_pg_ts_config) form)->cfgnamespace,
						 &((Form_pg_ts_config) form)->cfgname, false);
	else
		names = list_make1(ls_dependency_object_name(NULL, NameStr(((Form_pg_namespace) form)->nspname), false));
	ReleaseSysCache(tuple);
	return names;
}

/* Objects whose users are looked for */
typedef struct Search
{
	LsUsers    *users;
	ObjectAddresses *seen;
	List	   *fresh;			/* names that were not looked for in function bodies yet */
} Search;

static void search(Search *s, Oid classid, Oid objid);

/*
 * bodies_naming gives the SQL functions of users whose body may name one of some
 * objects: pg_depend has no entry for those whose body is text.
 */
static List *
bodies_naming(List *names)
{
	Relation	rel = table_open(ProcedureRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List	   *found = NIL;
	List	   *bare = NIL;
	HeapTuple	tuple;
	ListCell   *lc;

	/* the schema may be in the function's search_path */
	foreach(lc, names)
		bare = lappend(bare, ls_dependency_object_name(NULL, ((LsObjectName *) lfirst(lc))->name, false));
	foreach(lc, bare)
		((LsObjectName *) lfirst(lc))->is_operator =
			((LsObjectName *) list_nth(names, foreach_current_index(lc)))->is_operator;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
		bool		isnull;
		Datum		body;

		if (form->prolang != SQLlanguageId || form->oid < FirstNormalObjectId)
			continue;
		body = heap_getattr(tuple, Anum_pg_proc_prosrc, RelationGetDescr(rel), &isnull);
		if (!isnull && ls_dependency_text_names(TextDatumGetCString(body), bare))
			found = lappend_oid(found, form->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* search_table continues with a table: one that feeds a model needs no name. */
static void
search_table(Search *s, Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
		relid = IndexGetRelation(relid, true);
	if (!OidIsValid(relid) || ls_source_relation_rows(relid) != NIL)
		s->users->unnamed = true;
	else if (OidIsValid(get_rel_type_id(relid)))
		search(s, TypeRelationId, get_rel_type_id(relid));
}

/* search_user continues with one object that uses another. */
static void
search_user(Search *s, Oid classid, Oid objid)
{
	Oid			relid,
				domain;

	switch (classid)
	{
		case ProcedureRelationId:
		case OperatorRelationId:
		case TypeRelationId:
			search(s, classid, objid);
			break;
		case RelationRelationId:
			search_table(s, objid);
			break;
		case TriggerRelationId:
		case EventTriggerRelationId:
		case LanguageRelationId:
		case AccessMethodRelationId:
		case ExtensionRelationId:
			break;				/* not a part of an expression */
		default:
			if (!ls_relation_part(classid, objid, &relid, &domain))
				s->users->unnamed = true;
			else if (OidIsValid(domain))
				search(s, TypeRelationId, domain);
			else
				search_table(s, relid);
			break;
	}
}

/* search_users continues with what uses an object according to pg_depend. */
static void
search_users(Search *s, Oid classid, Oid objid)
{
	ListCell   *lc;

	foreach(lc, ls_relation_dependents(classid, objid))
	{
		Form_pg_depend form = lfirst(lc);

		search_user(s, form->classid, form->objid);
	}
}

/* search adds an object by which another is used, and what uses it. */
static void
search(Search *s, Oid classid, Oid objid)
{
	ObjectAddress address;
	List	   *names;

	ObjectAddressSet(address, classid, objid);
	if (s->users->unnamed || object_address_present(&address, s->seen))
		return;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	add_exact_object_address(&address, s->seen);
	names = ls_dependency_object_names(classid, objid);
	if (names == NIL)
		s->users->unnamed = true;
	s->fresh = list_concat(s->fresh, names);
	/* what is in a schema is named with it */
	if (classid != NamespaceRelationId)
		search_users(s, classid, objid);
}

/*
 * ls_dependency_object_users adds the names by which some objects (of LsObject) may
 * be used.
 */
void
ls_dependency_object_users(const List *objects, LsUsers *users)
{
	Search		s = {users, new_object_addresses(), NIL};
	ListCell   *lc;

	foreach(lc, objects)
	{
		const LsObject *object = lfirst(lc);

		s.fresh = list_concat(s.fresh, object->names);
		if (!object->gone)
			search(&s, object->classid, object->objid);
		else if (object->names == NIL)
			users->unnamed = true;
	}
	while (s.fresh != NIL && !users->unnamed)
	{
		List	   *names = s.fresh;

		s.fresh = NIL;
		users->names = list_concat(users->names, names);
		foreach(lc, bodies_naming(names))
			search(&s, ProcedureRelationId, lfirst_oid(lc));
	}
	users->names = list_concat(users->names, s.fresh);
	free_object_addresses(s.seen);
}

/* ---------- before a command ---------- */

/* may_use tells whether a rule or stage of a model may use objects with these users. */
static bool
may_use(const LsModelRow *row, const LsUsers *users)
{
	ListCell   *lc;

	if (users->unnamed)
		return true;
	foreach(lc, ls_lead_rules(row->model, NULL))
		if (ls_dependency_rule_names(lfirst(lc), users->names))
			return true;
	foreach(lc, ls_lead_stages(row->model, NULL))
		if (ls_dependency_text_names(((LsStageRow *) lfirst(lc))->condition, users->names))
			return true;
	return false;
}

/*
 * ls_dependencies_prepare makes the lists of the models that may use some objects
 * (NIL: any), before these change.
 */
void
ls_dependencies_prepare(const List *objects)
{
	LsUsers		users = {NIL, objects == NIL};
	ListCell   *lc;

	ls_dependency_object_users(objects, &users);
	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (row->visitors_of == NULL && !row->restoring &&
			ls_dependencies(row, false) == NULL && may_use(row, &users))
			(void) ls_dependencies(row, true);
	}
}
