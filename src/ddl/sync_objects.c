/*-------------------------------------------------------------------------
 *
 * sync_objects.c
 *		Which rules and stages of a model are concerned by objects that are not tables.
 *
 * An object that a command created, altered, moved or dropped is looked up in the list
 * of the model's dependencies (dependency.c), and by its names in the texts, as a new
 * object is in no list.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/sync_internal.h"

#include "catalog/pg_cast.h"

#include "base/leadscore.h"
#include "definitions/current_names.h"

/* has_any tells whether a reach contains one of the objects of a command. */
static bool
has_any(const Ddl *ddl, const LsReach *reach)
{
	ListCell   *lc;

	foreach(lc, ddl->objects)
		if (ls_dependency_has(reach, lfirst(lc)))
			return true;
	return false;
}

/* in_parts tells whether the reach of a rule or stage contains an object. */
static bool
in_parts(const LsDependencies *list, const LsObject *object)
{
	ListCell   *lc;

	foreach(lc, list->parts)
		if (ls_dependency_has(&((LsDependent *) lfirst(lc))->reach, object))
			return true;
	return false;
}

/*
 * ls_sync_find_concerned tells whether the objects of a command concern a model, or may
 * be what a disabled rule is waiting for.
 */
bool
ls_sync_find_concerned(Work *work)
{
	const Ddl  *ddl = work->ddl;
	ListCell   *lc;

	work->before = work->list = ls_dependencies(work->row, false);
	if (ddl->objects == NIL)
		return false;
	if (work->list == NULL && ddl->users.unnamed)
	{
		work->list = ls_dependencies(work->row, true);
		work->all = work->all || work->list == NULL;
	}
	/* the key, sources and tables concern every rule */
	foreach(lc, work->list ? ddl->objects : NIL)
		if (ls_dependency_has(&work->list->reach, lfirst(lc)) && !in_parts(work->list, lfirst(lc)))
			work->all = true;
	if (work->all)
		return true;
	/* a disabled rule may be waiting for an object that it uses */
	foreach(lc, ls_lead_rules(work->row->model, NULL))
		if (ls_lead_rule_is_disabled(lfirst(lc)) || ls_sync_concerns_rule(work, lfirst(lc)))
			return true;
	foreach(lc, ls_lead_stages(work->row->model, NULL))
		if (ls_sync_concerns_stage(work, lfirst(lc)))
			return true;
	return false;
}

/* touched tells whether a table that a rule reads has changed. */
static bool
touched(const Work *work, const LsRuleRow *rule)
{
	ListCell   *lc;

	if (strcmp(rule->kind, "profile") == 0)
		return work->contacts;
	if (strcmp(rule->kind, "absence") == 0 && rule->source == NULL)
		return work->sources != NIL;
	foreach(lc, work->sources)
		if (ls_same_text(lfirst(lc), rule->source) ||
			ls_same_text(lfirst(lc), rule->followed_source) ||
			ls_same_text(lfirst(lc), rule->cancelled_source))
			return true;
	return false;
}

/*
 * part_concerned tells whether a rule or stage is concerned according to the dependency
 * list.
 */
static bool
part_concerned(const Work *work, const LsDependent *part)
{
	return work->list && (part == NULL || part->broken || has_any(work->ddl, &part->reach));
}

/* has_text tells whether a rule has an expression. */
static bool
has_text(const LsRuleRow *rule)
{
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (ls_current_names_text(rule, i))
			return true;
	return false;
}

/* ls_sync_concerns_rule tells whether a rule has to be compiled again. */
bool
ls_sync_concerns_rule(const Work *work, const LsRuleRow *rule)
{
	if (work->all || touched(work, rule))
		return true;
	if (work->ddl->objects == NIL || !has_text(rule))
		return false;
	return ls_dependency_rule_names(rule, work->ddl->users.names) ||
		part_concerned(work, work->list ? ls_dependencies_rule(work->list, rule->rule_id) : NULL);
}

/*
 * ls_sync_concerns_stage tells whether the condition of a stage has to be compiled
 * again.
 */
bool
ls_sync_concerns_stage(const Work *work, const LsStageRow *stage)
{
	if (stage->condition == NULL)
		return false;
	if (work->all || work->contacts)
		return true;
	if (work->ddl->objects == NIL)
		return false;
	return ls_dependency_text_names(stage->condition, work->ddl->users.names) ||
		part_concerned(work, work->list ? ls_dependencies_stage(work->list, stage->stage) : NULL);
}

/*
 * redefined tells whether an expression may give other values than before: an object
 * that it uses was redefined, or it uses other objects now.
 */
static bool
redefined(const Work *work, const LsDependent *before, const LsReach *now)
{
	ListCell   *lc;

	foreach(lc, work->ddl->objects)
	{
		const LsObject *object = lfirst(lc);

		if (object->redefined &&
			(object->classid == CastRelationId ? list_member_oid(now->casts, object->objid) :
			 ls_dependency_has(now, object)))
			return true;
	}
	return before && !before->broken && !ls_reach_equal(&before->reach, now);
}

/*
 * gave_way tells whether a name in a text may stand for another object than before.  That
 * matters where the dependencies before the command are not known.
 */
static bool
gave_way(const Work *work, const char *text)
{
	ListCell   *lc;

	if (work->before)
		return false;
	foreach(lc, work->ddl->objects)
	{
		const LsObject *object = lfirst(lc);

		if ((object->gone || object->moved) && ls_dependency_text_names(text, object->names))
			return true;
	}
	return false;
}

/* ls_sync_redefined tells whether a rule that can be compiled means something else now. */
bool
ls_sync_redefined(const Work *work, const LsRuleRow *rule, const LsReach *now)
{
	const LsDependent *before = work->before ?
		ls_dependencies_rule(work->before, rule->rule_id) : NULL;

	if (redefined(work, before, now))
		return true;
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (gave_way(work, ls_current_names_text(rule, i)))
			return true;
	return false;
}

/*
 * ls_sync_redefined_stage tells whether the condition of a stage means something else
 * now.
 */
bool
ls_sync_redefined_stage(const Work *work, const LsStageRow *stage, const LsReach *now)
{
	const LsDependent *before = work->before ?
		ls_dependencies_stage(work->before, stage->stage) : NULL;

	return redefined(work, before, now) || gave_way(work, stage->condition);
}

/* ls_sync_moved gives the object that a command has renamed or moved, or NULL. */
const LsObject *
ls_sync_moved(const Work *work)
{
	ListCell   *lc;

	foreach(lc, work->ddl->objects)
		if (((LsObject *) lfirst(lc))->became)
			return lfirst(lc);
	return NULL;
}
