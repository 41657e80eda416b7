/*-------------------------------------------------------------------------
 *
 * sync_objects.c
 *		Which rules and stages of a model a command on other objects concerns.
 *
 * What a command made, altered, moved or dropped is looked up in the list of what the
 * model depends on (dependency.c), and by its names in the texts: what is new is in
 * no list.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/sync_internal.h"

#include "catalog/pg_cast.h"

/* has_any tells whether one of the objects of a command is in a reach. */
static bool
has_any(const Ddl *ddl, const LsReach *reach)
{
	ListCell   *lc;

	foreach(lc, ddl->objects)
		if (ls_dependency_has(reach, lfirst(lc)))
			return true;
	return false;
}

/* in_parts tells whether an object is in the reach of a rule or stage of a list. */
static bool
in_parts(const LsDependencies *list, const LsObject *object)
{
	ListCell   *lc;

	foreach(lc, list->parts)
		if (ls_dependency_has(&((LsDependent *) lfirst(lc))->reach, object))
			return true;
	return false;
}

/* waits tells whether a rule waits for what it uses. */
static bool
waits(const LsRuleRow *rule)
{
	return !rule->backfilled_version_null && rule->backfilled_version == 0;
}

/*
 * ls_sync_find_concerned finds out whether the objects of a command concern a model,
 * or a rule that is disabled may have waited for them.
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
	/* what the key, a source or a table leads to is every rule's */
	foreach(lc, work->list ? ddl->objects : NIL)
		if (ls_dependency_has(&work->list->reach, lfirst(lc)) && !in_parts(work->list, lfirst(lc)))
			work->all = true;
	if (work->all)
		return true;
	foreach(lc, ls_lead_rules(work->row->model, NULL))
		if (waits(lfirst(lc)) || ls_sync_concerns_rule(work, lfirst(lc)))
			return true;
	foreach(lc, ls_lead_stages(work->row->model, NULL))
		if (ls_sync_concerns_stage(work, lfirst(lc)))
			return true;
	return false;
}

/* touched tells whether something happened to a table that a rule reads. */
static bool
touched(const Work *work, const LsRuleRow *rule)
{
	ListCell   *lc;

	if (strcmp(rule->kind, "profile") == 0)
		return work->contacts;
	if (rule->source == NULL)
		return work->sources != NIL;
	foreach(lc, work->sources)
		if (strcmp(lfirst(lc), rule->source) == 0 ||
			(rule->followed_source && strcmp(lfirst(lc), rule->followed_source) == 0))
			return true;
	return false;
}

/* part_concerned tells whether a part of a list is concerned, as far as that tells. */
static bool
part_concerned(const Work *work, const LsDependent *part)
{
	return work->list && (part == NULL || part->broken || has_any(work->ddl, &part->reach));
}

/* ls_sync_concerns_rule tells whether a rule has to be read again. */
bool
ls_sync_concerns_rule(const Work *work, const LsRuleRow *rule)
{
	if (work->all || touched(work, rule))
		return true;
	if (work->ddl->objects == NIL || (rule->condition == NULL && rule->weight == NULL))
		return false;
	return ls_dependency_rule_names(rule, work->ddl->users.names) ||
		part_concerned(work, work->list ? ls_dependencies_rule(work->list, rule->rule_id) : NULL);
}

/* ls_sync_concerns_stage does so for the condition of a stage. */
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
 * redefined tells whether an expression, named in the texts that names() looks at, may
 * give other values: something in it was redefined, or it leads to other objects than
 * before.  Where it is not known to which it led, one that it names and that is gone
 * has given its place to another.
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

/* gave_way tells whether a name in a text may be another object's than before. */
static bool
gave_way(const Work *work, const char *one, const char *other)
{
	ListCell   *lc;

	if (work->before)
		return false;
	foreach(lc, work->ddl->objects)
	{
		const LsObject *object = lfirst(lc);

		if ((object->gone || object->moved) &&
			(ls_dependency_text_names(one, object->names) || ls_dependency_text_names(other, object->names)))
			return true;
	}
	return false;
}

/* ls_sync_redefined tells whether a rule that can be read means something else now. */
bool
ls_sync_redefined(const Work *work, const LsRuleRow *rule, const LsReach *now)
{
	const LsDependent *before = work->before ?
		ls_dependencies_rule(work->before, rule->rule_id) : NULL;

	return redefined(work, before, now) || gave_way(work, rule->condition, rule->weight);
}

/* ls_sync_redefined_stage tells so of the condition of a stage. */
bool
ls_sync_redefined_stage(const Work *work, const LsStageRow *stage, const LsReach *now)
{
	const LsDependent *before = work->before ?
		ls_dependencies_stage(work->before, stage->stage) : NULL;

	return redefined(work, before, now) || gave_way(work, stage->condition, NULL);
}

/* ls_sync_moved gives the object that a command has given another name, or NULL. */
const LsObject *
ls_sync_moved(const Work *work)
{
	ListCell   *lc;

	foreach(lc, work->ddl->objects)
		if (((LsObject *) lfirst(lc))->became)
			return lfirst(lc);
	return NULL;
}
