/*-------------------------------------------------------------------------
 *
 * rename.c
 *		Texts and events follow renamed columns, attributes and labels.
 *
 * Models name columns of tables (keys, sources), and rules and stages have texts that
 * name columns, attributes of composite types, tables and labels of enums.  These are
 * stored as the owner wrote them.  Before a command renames something, the meaning of
 * each text is recorded; after it the text is rewritten to mean the same
 * (expression_rename.c), in past versions, too.  Nothing is recomputed: the rule
 * matches the same events, under the same version.
 *
 * A text that cannot be rewritten to mean the same disables its rule, with a warning
 * that has the new name; so does a function, type, operator or schema in a text that
 * was renamed or moved.
 *
 * scenario								what is done
 * column of a table, or of its parent	names of sources and keys, texts
 * attribute of a composite type, or
 *   column of a table whose rows are
 *   values of a column					texts
 * table								texts that qualify columns
 * label of an enum						literals in texts; events of rules of sources whose
 *										event column has the type; keys that are stored as text
 * command fails, subtransaction aborts	the recorded meanings are freed with its memory
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/rename.h"

#include "definitions/current_names.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/leadscore.h"
#include "base/reachable_code.h"
#include "base/relation.h"
#include "base/sql.h"
#include "ddl/rename_internal.h"
#include "ddl/sync_internal.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/source_triggers.h"
#include "model/definition_view.h"
#include "model/model.h"
#include "model/rule_history.h"
#include "rules/model_compile.h"

/* A column that the row of a model or of a source names */
typedef struct Named
{
	char	   *source;			/* NULL: the model itself */
	const char *column;			/* of lead_model or lead_source */
	Oid			relid;
	AttrNumber	attno;
	char	   *name;
} Named;

/* What is recorded of a model before something is renamed */
typedef struct Recorded
{
	LsModelRow *row;
	List	   *named;			/* of Named */
	List	   *texts;			/* of LsRenamedText */
	List	   *calls;			/* of functions by actions */
	List	   *keys;			/* of the keys that are stored as text */
	List	   *sources;		/* names of sources whose events are labels of the type */
	List	   *others;			/* names of sources whose events are not */
} Recorded;

/* A command that renames something, while it runs */
typedef struct Command
{
	struct Command *outer;
	const Node *stmt;
	MemoryContext context;
	MemoryContextCallback forget;
	LsRename	rename;
	List	   *models;			/* of Recorded */
} Command;

static Command *commands = NULL;	/* the innermost first */

/* ---------- which models are concerned ---------- */

/* leads_to tells whether values of a type may contain values of another. */
static bool
leads_to(Oid type, Oid part)
{
	LsReach		reach = {NIL};

	ls_reach_type(&reach, type);
	return list_member_oid(reach.types, part);
}

/* event_type gives the base type of the event column of a source. */
static Oid
event_type(const LsSourceRow *source)
{
	AttrNumber	attno = source->event ? get_attnum(source->relation, source->event) : 0;

	return attno > 0 ? getBaseType(get_atttype(source->relation, attno)) : InvalidOid;
}

static bool
rule_mentions(const LsRuleRow *rule, const char *name)
{
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (ls_expr_mentions(ls_current_names_text(rule, i), name))
			return true;
	return false;
}

/* texts_mention tells whether a text of a model may contain a name. */
static bool
texts_mention(const LsModelRow *row, const char *name)
{
	ListCell   *lc;

	foreach(lc, ls_lead_rules(row->model, NULL))
		if (rule_mentions(lfirst(lc), name))
			return true;
	foreach(lc, ls_lead_rule_versions(row->model, NULL))
		if (rule_mentions(&((LsRuleVersion *) lfirst(lc))->rule, name))
			return true;
	foreach(lc, ls_lead_stages(row->model, NULL))
		if (ls_expr_mentions(((LsStageRow *) lfirst(lc))->condition, name))
			return true;
	foreach(lc, ls_lead_actions(row->model, NULL))
		if (ls_expr_mentions(((LsActionRow *) lfirst(lc))->function, name))
			return true;
	return false;
}

/* tables_lead_to tells whether a column of a model's tables contains values of a type. */
static bool
tables_lead_to(const LsModelRow *row, Oid type)
{
	List	   *tables = list_make1_oid(row->contacts);
	ListCell   *lc;

	foreach(lc, ls_lead_sources(row->model, NULL))
		tables = list_append_unique_oid(tables, ((LsSourceRow *) lfirst(lc))->relation);
	foreach(lc, tables)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_noerror(get_rel_type_id(lfirst_oid(lc)), -1, true);
		bool		found = false;

		for (int i = 0; desc && i < desc->natts && !found; i++)
			found = !TupleDescAttr(desc, i)->attisdropped &&
				leads_to(TupleDescAttr(desc, i)->atttypid, type);
		if (desc)
			ReleaseTupleDesc(desc);
		if (found)
			return true;
	}
	return false;
}

/*
 * uses_type tells whether texts of a model can use values of the renamed object, or of
 * the object that it belongs to.  Models that cannot are not locked, whatever their
 * texts mention.
 */
static bool
uses_type(const LsModelRow *row, const LsRename *rename)
{
	LsDependencies *dependencies = ls_dependencies(row, true);
	List	   *types = rename->kind == LS_RENAME_LABEL ? list_make1_oid(rename->object) : NIL;
	ListCell   *lc;

	foreach(lc, rename->relations)
		types = lappend_oid(types, get_rel_type_id(lfirst_oid(lc)));
	foreach(lc, types)
		if ((dependencies && list_member_oid(dependencies->reach.types, lfirst_oid(lc))) ||
			tables_lead_to(row, lfirst_oid(lc)))
			return true;
	return false;
}

/* minds tells whether a model may have to follow a rename. */
static bool
minds(const LsModelRow *row, const LsRename *rename)
{
	ListCell   *lc;
	ListCell   *rc;

	if (!ls_tables_complete(row->model) || !OidIsValid(row->owner))
		return false;
	foreach(lc, rename->relations)
		foreach(rc, ls_source_relation_rows(lfirst_oid(lc)))
			if (strcmp(((LsRelationRow *) lfirst(rc))->model, row->model) == 0)
				return true;
	if (rename->kind == LS_RENAME_LABEL)
	{
		if (leads_to(ls_lead_key_type(row->model), rename->object))
			return true;
		foreach(lc, ls_lead_sources(row->model, NULL))
			if (event_type(lfirst(lc)) == rename->object)
				return true;
		if (ls_dependencies_has_values(row, rename->object))
			return true;
	}
	return (texts_mention(row, rename->old_name) || texts_mention(row, rename->new_name)) &&
		(rename->kind == LS_RENAME_OTHER || uses_type(row, rename));
}

/*
 * rows_that_mind gives the rows of the models that may have to follow a rename, in lock
 * order.
 */
static List *
rows_that_mind(const LsRename *rename)
{
	List	   *rows = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_models(NULL))
		if (minds(lfirst(lc), rename))
			rows = lappend(rows, lfirst(lc));
	list_sort(rows, ls_lock_row_order);
	return rows;
}

/* ls_rename_models gives the names of the models whose definitions a rename will change. */
List *
ls_rename_models(const Node *stmt)
{
	LsRename	rename;
	List	   *names = NIL;
	ListCell   *lc;

	if (!ls_rename_command(stmt, &rename) || rename.kind == LS_RENAME_OTHER)
		return NIL;
	foreach(lc, rows_that_mind(&rename))
		names = lappend(names, ((LsModelRow *) lfirst(lc))->model);
	return names;
}

/* ---------- before ---------- */

/* record_column records which column a name stands for. */
static void
record_column(Recorded *recorded, const char *source, const char *column, Oid relid, const char *name)
{
	AttrNumber	attno = name ? get_attnum(relid, name) : InvalidAttrNumber;
	Named	   *named;

	if (attno <= 0)
		return;
	named = palloc(sizeof(Named));
	named->source = source ? pstrdup(source) : NULL;
	named->column = column;
	named->relid = relid;
	named->attno = attno;
	named->name = pstrdup(name);
	recorded->named = lappend(recorded->named, named);
}

static void
record_columns(Recorded *recorded)
{
	const LsModelRow *row = recorded->row;
	ListCell   *lc;

	record_column(recorded, NULL, "key", row->contacts, row->key);
	record_column(recorded, NULL, "created_at", row->contacts, row->created_at);
	foreach(lc, ls_lead_sources(row->model, NULL))
	{
		const LsSourceRow *source = lfirst(lc);

		record_column(recorded, source->source, "contact", source->relation, source->contact);
		record_column(recorded, source->source, "occurred_at", source->relation, source->occurred_at);
		record_column(recorded, source->source, "event", source->relation, source->event);
		record_column(recorded, source->source, "visitor", source->relation, source->visitor);
	}
}

/* make_spec tells how a text is parsed; the caller opens the table. */
static void
make_spec(const LsModelRow *row, const LsRenamedText *text, LsExprSpec *spec)
{
	memset(spec, 0, sizeof(LsExprSpec));
	spec->use = text->use;
	spec->role = row->owner;
	spec->where = psprintf("model \"%s\"", row->model);
	if (text->stage)
		spec->variables = ls_lead_stage_variables(row->model);
}

/* find_text finds the recorded text that is parsed like another, or NULL. */
static LsRenamedText *
find_text(const Recorded *recorded, const LsRenamedText *like, const char *value)
{
	ListCell   *lc;

	foreach(lc, recorded->texts)
	{
		LsRenamedText *text = lfirst(lc);

		if (strcmp(text->column, like->column) == 0 && text->profile == like->profile &&
			ls_same_text(text->source, like->source) && ls_same_text(text->stage, like->stage) &&
			ls_same_text(text->text, value))
			return text;
	}
	return NULL;
}

/* record_text records what a text means, unless an equal text is recorded already. */
static void
record_text(Recorded *recorded, const LsRenamedText *like, const char *value)
{
	LsRenamedText *text;
	LsExprSpec	spec;
	bool		locked;

	if (value == NULL || !OidIsValid(like->relid) || find_text(recorded, like, value))
		return;
	text = palloc(sizeof(LsRenamedText));
	*text = *like;
	text->source = like->source ? pstrdup(like->source) : NULL;
	text->stage = like->stage ? pstrdup(like->stage) : NULL;
	text->text = pstrdup(value);
	make_spec(recorded->row, text, &spec);
	spec.rel = ls_relation_open(text->relid, &locked);
	if (spec.rel == NULL)
		return;
	ls_expr_rename_read(&spec, text);
	ls_relation_close(spec.rel, locked);
	recorded->texts = lappend(recorded->texts, text);
}

/* table_of gives the table of a source, or InvalidOid. */
static Oid
table_of(const LsModelRow *row, const char *source)
{
	const LsSourceRow *found = ls_lead_source(ls_lead_sources(row->model, NULL), source);

	return found ? found->relation : InvalidOid;
}

/* describe_text tells how one of the texts of a rule is parsed. */
static LsRenamedText
describe_text(const LsModelRow *row, const LsRuleRow *rule, int number)
{
	const char *column = ls_current_names_texts[number].column;
	LsRenamedText text = {.column = column, .use = ls_rule_text_use(number)};

	text.profile = strcmp(rule->kind, "profile") == 0;
	if (!text.profile)
		text.source = ls_current_names_text_source(rule, number);
	text.relid = text.profile ? row->contacts : table_of(row, text.source);
	return text;
}

static void
record_rule(Recorded *recorded, const LsRuleRow *rule)
{
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
	{
		LsRenamedText like = describe_text(recorded->row, rule, i);

		record_text(recorded, &like, ls_current_names_meant(rule, i));
	}
}

/* record_texts records the texts of rules, in all versions, and of stages. */
static void
record_texts(Recorded *recorded)
{
	const LsModelRow *row = recorded->row;
	ListCell   *lc;

	if (row->visitors_of)
		return;					/* recorded with the model whose visitors it scores */
	foreach(lc, ls_lead_rules(row->model, NULL))
		record_rule(recorded, lfirst(lc));
	foreach(lc, ls_lead_rule_versions(row->model, NULL))
		record_rule(recorded, &((LsRuleVersion *) lfirst(lc))->rule);
	foreach(lc, ls_lead_stages(row->model, NULL))
	{
		const LsStageRow *stage = lfirst(lc);
		LsRenamedText like = {.column = "condition", .use = LS_EXPR_CONDITION};

		like.stage = stage->stage;
		like.relid = row->contacts;
		record_text(recorded, &like, stage->condition);
	}
}

/*
 * record_labels records sources and keys that contain the label.  Event tables and
 * score table are locked: a session that is writing events or backfilling rules would
 * see the new label with the old rules.
 */
static void
record_labels(Recorded *recorded, Oid type)
{
	const LsModelRow *row = recorded->row;
	bool		keyed = leads_to(ls_lead_key_type(row->model), type);
	ListCell   *lc;

	foreach(lc, ls_lead_sources(row->model, NULL))
	{
		const LsSourceRow *source = lfirst(lc);

		if (event_type(source) == type)
			recorded->sources = lappend(recorded->sources, pstrdup(source->source));
		else if (source->event)
			recorded->others = lappend(recorded->others, pstrdup(source->source));
	}
	if (recorded->sources == NIL && !keyed)
		return;
	ls_lock_sources(row->model);
	LockRelationOid(ls_lead_score_table(row->model, false), ShareRowExclusiveLock);
	if (keyed)
		recorded->keys = ls_rename_keys_read(row);
}

/* forget_command removes a command from the list when its memory is freed. */
static void
forget_command(void *arg)
{
	for (Command **command = &commands; *command; command = &(*command)->outer)
		if (*command == arg)
		{
			*command = (*command)->outer;
			return;
		}
}

/*
 * ls_rename_before records what the texts mean that may name what a command is about to
 * rename.  Their models' definitions are locked.
 */
void
ls_rename_before(const Node *stmt)
{
	LsRename	rename;
	List	   *rows;
	MemoryContext context;
	MemoryContext old;
	Command    *command;
	ListCell   *lc;

	if (!ls_rename_command(stmt, &rename))
		return;
	rows = rows_that_mind(&rename);
	if (rows == NIL)
		return;
	context = AllocSetContextCreate(CurTransactionContext, "leadscore rename",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	command = palloc0(sizeof(Command));
	command->context = context;
	command->stmt = stmt;
	command->rename = rename;
	command->rename.old_name = pstrdup(rename.old_name);
	command->rename.new_name = pstrdup(rename.new_name);
	command->rename.done = pstrdup(rename.done);
	command->rename.relations = list_copy(rename.relations);
	foreach(lc, rows)
	{
		Recorded	   *recorded = palloc0(sizeof(Recorded));

		if (rename.kind != LS_RENAME_OTHER)
		{
			ls_lock_definitions(((LsModelRow *) lfirst(lc))->model);
			ls_definition_check_snapshot(((LsModelRow *) lfirst(lc))->model);
		}
		recorded->row = ls_lead_model(((LsModelRow *) lfirst(lc))->model, NULL);
		if (recorded->row == NULL)
			continue;
		record_columns(recorded);
		record_texts(recorded);
		if (rename.kind == LS_RENAME_OTHER)
			recorded->calls = ls_rename_calls_read(recorded->row->model);
		if (rename.kind == LS_RENAME_LABEL)
			record_labels(recorded, rename.object);
		command->models = lappend(command->models, recorded);
	}
	command->forget.func = forget_command;
	command->forget.arg = command;
	command->outer = commands;
	commands = command;
	MemoryContextRegisterResetCallback(context, &command->forget);
	MemoryContextSwitchTo(old);
}

/* ---------- after ---------- */

/* adopt_columns writes the new names of columns to a model and its sources. */
static void
adopt_columns(const Recorded *recorded)
{
	ListCell   *lc;

	foreach(lc, recorded->named)
	{
		const Named *named = lfirst(lc);
		char	   *name = get_attname(named->relid, named->attno, true);
		LsSqlArguments args = {0};

		if (name == NULL || strcmp(name, named->name) == 0)
			continue;
		ls_sql_add_text(&args, recorded->row->model);
		ls_sql_add_text(&args, name);
		if (named->source)
			ls_sql_add_text(&args, named->source);
		ls_extension_execute(psprintf("UPDATE leadscore_internal.%s SET %s = $2 WHERE model = $1%s",
									  named->source ? "lead_source" : "lead_model", named->column,
									  named->source ? " AND source = $3" : ""), &args);
	}
}

/* write_texts finds the new wording of texts. */
static void
write_texts(const Command *command, const Recorded *recorded)
{
	ListCell   *lc;

	foreach(lc, recorded->texts)
	{
		LsRenamedText *text = lfirst(lc);
		LsExprSpec	spec;
		bool		locked;

		make_spec(recorded->row, text, &spec);
		spec.rel = ls_relation_open(text->relid, &locked);
		if (spec.rel == NULL)
			continue;
		ls_expr_rename_write(&spec, text, &command->rename);
		ls_relation_close(spec.rel, locked);
	}
}

/* put_text writes a text to all rules, or versions, that have it. */
static void
put_text(const Recorded *recorded, const char *table, const LsRenamedText *text)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, recorded->row->model);
	ls_sql_add_text(&args, text->text);
	ls_sql_add_text(&args, text->renamed);
	ls_sql_add_text(&args, text->stage ? text->stage : text->source);
	ls_extension_execute(psprintf("UPDATE leadscore_internal.%1$s SET %2$s = $3"
								  " WHERE model = $1 AND %2$s = $2 AND %3$s", table, text->column,
								  text->stage ? "stage = $4" :
								  text->profile ? "$4 IS NULL AND kind = 'profile'" :
								  strncmp(text->column, "followed_", strlen("followed_")) == 0 ?
								  "COALESCE(followed_source, source) = $4" :
								  strncmp(text->column, "cancelled_", strlen("cancelled_")) == 0 ?
								  "COALESCE(cancelled_source, source) = $4" :
								  "source = $4"), &args);
}

/* is_renamed tells whether the rename changes a text. */
static bool
is_renamed(const LsRenamedText *text)
{
	return text->renamed && strcmp(text->renamed, text->text) != 0;
}

/*
 * write_out_defaults writes out followed_per or cancelled_per where it is left out, stands
 * for the text of per over the rows of another source, and one of the two is renamed.
 */
static void
write_out_defaults(const Recorded *recorded, const char *table, const LsRenamedText *text)
{
	static const char *const columns[][2] = {
		{"followed_per", "followed_source"}, {"cancelled_per", "cancelled_source"}
	};

	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		LsSqlArguments args = {0};

		ls_sql_add_text(&args, recorded->row->model);
		ls_sql_add_text(&args, text->text);
		ls_extension_execute(psprintf("UPDATE leadscore_internal.%1$s SET %2$s = per"
									  " WHERE model = $1 AND per = $2 AND %2$s IS NULL AND %3$s <> source",
									  table, columns[i][0], columns[i][1]), &args);
	}
}

/* is_value tells whether a text is one of those that stand for each other by default. */
static bool
is_value(const LsRenamedText *text)
{
	return !text->stage && text->use == LS_EXPR_VALUE;
}

static void
put_texts(const Recorded *recorded)
{
	ListCell   *lc;

	foreach(lc, recorded->texts)
	{
		const LsRenamedText *text = lfirst(lc);

		if (!is_renamed(text) || !is_value(text))
			continue;
		write_out_defaults(recorded, "lead_rule", text);
		write_out_defaults(recorded, "lead_rule_history", text);
	}

	foreach(lc, recorded->texts)
	{
		const LsRenamedText *text = lfirst(lc);

		if (!is_renamed(text))
			continue;
		if (text->stage)
			put_text(recorded, "lead_stage", text);
		else
		{
			put_text(recorded, "lead_rule", text);
			put_text(recorded, "lead_rule_history", text);
		}
	}
}

/* text_of finds the recorded text that a rule has in a column, or NULL. */
static LsRenamedText *
text_of(const Recorded *recorded, const LsRuleRow *rule, int column)
{
	LsRenamedText like = describe_text(recorded->row, rule, column);

	return find_text(recorded, &like, ls_current_names_meant(rule, column));
}

/* ---------- events that are labels ---------- */

static bool
is_among(const List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
		if (name && strcmp(lfirst(lc), name) == 0)
			return true;
	return false;
}

/*
 * reads_labels tells whether events of a source are labels of the type; source NULL:
 * events of any source.
 */
static bool
reads_labels(const Recorded *recorded, const LsRuleRow *rule, const char *source)
{
	if (strcmp(rule->kind, "profile") == 0)
		return false;
	return source ? is_among(recorded->sources, source) : recorded->sources != NIL;
}

/* reads_others tells whether a rule reads events of other sources as well. */
static bool
reads_others(const Recorded *recorded, const char *source)
{
	return source == NULL && recorded->others != NIL;
}

/* put_event writes the new label into rules, or versions, whose event is the old one. */
static void
put_event(const Recorded *recorded, const LsRename *rename, const char *table, const char *source)
{
	static const char *const columns[][2] = {
		{"event", "source"}, {"followed_by", "COALESCE(followed_source, source)"},
		{"cancelled_by", "COALESCE(cancelled_source, source)"}
	};

	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		LsSqlArguments args = {0};

		ls_sql_add_text(&args, recorded->row->model);
		ls_sql_add_text(&args, rename->old_name);
		ls_sql_add_text(&args, rename->new_name);
		ls_sql_add_text(&args, source);
		ls_extension_execute(psprintf("UPDATE leadscore_internal.%1$s SET %2$s = $3"
									  " WHERE model = $1 AND %2$s = $2 AND %3$s IS NOT DISTINCT FROM $4"
									  " AND kind <> 'profile'",
									  table, columns[i][0], columns[i][1]), &args);
	}
}

static void
put_events(const Recorded *recorded, const LsRename *rename)
{
	List	   *sources = list_copy(recorded->sources);
	ListCell   *lc;

	if (sources != NIL && recorded->others == NIL)
		sources = lappend(sources, NULL);
	foreach(lc, sources)
	{
		put_event(recorded, rename, "lead_rule", lfirst(lc));
		put_event(recorded, rename, "lead_rule_history", lfirst(lc));
	}
}

/* warn_of_event warns that a rule matches other events than before. */
static void
warn_of_event(const Recorded *recorded, const LsRename *rename, const LsRuleRow *rule)
{
	const char *source = rule->source ? rule->source : linitial(recorded->sources);

	if (strcmp(rule->event, rename->new_name) == 0)
		ereport(WARNING,
				(errmsg("rule \"%s\" of model \"%s\" matches events that it did not match before",
						rule->name, recorded->row->model),
				 errdetail("Event \"%s\" of source \"%s\" is now named \"%s\", which the rule names.",
						   rename->old_name, source, rename->new_name),
				 errhint("Change the rule, or delete it, if these events are not meant.")));
	else
		ereport(WARNING,
				(errmsg("rule \"%s\" of model \"%s\" no longer matches events of source \"%s\"",
						rule->name, recorded->row->model, source),
				 errdetail("Event \"%s\" of source \"%s\" is now named \"%s\". The rule reads every source, and in source \"%s\" the event keeps its name.",
						   rename->old_name, source, rename->new_name, (char *) linitial(recorded->others)),
				 errhint("Write one rule for each source, with event \"%s\" for source \"%s\".",
						 rename->new_name, source)));
}

/* counts_otherwise tells whether a rule matches other events than before. */
static bool
counts_otherwise(const Recorded *recorded, const LsRename *rename, const LsRuleRow *rule)
{
	if (rename->kind != LS_RENAME_LABEL || rule->event == NULL ||
		!reads_labels(recorded, rule, rule->source))
		return false;
	return strcmp(rule->event, rename->new_name) == 0 ||
		(strcmp(rule->event, rename->old_name) == 0 && reads_others(recorded, rule->source));
}

/* names_label tells whether the rename changes an event that a rule names. */
static bool
names_label(const Recorded *recorded, const LsRename *rename, const LsRuleRow *rule)
{
	const char *followed = rule->followed_source ? rule->followed_source : rule->source;
	const char *cancelled = rule->cancelled_source ? rule->cancelled_source : rule->source;

	if (rename->kind != LS_RENAME_LABEL)
		return false;
	return (ls_same_text(rule->event, rename->old_name) &&
			reads_labels(recorded, rule, rule->source) &&
			!reads_others(recorded, rule->source)) ||
		(ls_same_text(rule->followed_by, rename->old_name) &&
		 reads_labels(recorded, rule, followed) &&
		 !reads_others(recorded, followed)) ||
		(ls_same_text(rule->cancelled_by, rename->old_name) &&
		 reads_labels(recorded, rule, cancelled) &&
		 !reads_others(recorded, cancelled));
}

/* ---------- rules ---------- */

/* disable_rule disables a rule whose text cannot be rewritten. */
static void
disable_rule(const Recorded *recorded, const LsRename *rename, const LsRuleRow *rule,
			 const LsRenamedText *text)
{
	ErrorData	error = {.sqlerrcode = ERRCODE_UNDEFINED_OBJECT};

	if (ls_lead_rule_is_disabled(rule))
		return;
	error.message = ls_rename_done(rename);
	ls_rule_disable(recorded->row, rule, text->relid, &error);
	ls_model_change_record(recorded->row->model);
}

/* is_label tells whether rows are told apart by a label that is renamed. */
static bool
is_label(const LsRenamedText *text, const LsRename *rename)
{
	return rename->kind == LS_RENAME_LABEL && is_value(text) && text->meaning &&
		getBaseType(exprType(text->meaning)) == rename->object;
}

/* see_to_rule disables, warns of or recomputes a rule after its texts are written. */
static void
see_to_rule(const Recorded *recorded, const LsRename *rename, const LsRuleRow *rule, Ddl *ddl)
{
	bool		renamed = names_label(recorded, rename, rule);
	bool		otherwise = counts_otherwise(recorded, rename, rule);
	bool		recount = otherwise;

	for (int i = 0; i < LS_RULE_NTEXTS; i++)
	{
		LsRenamedText *text = text_of(recorded, rule, i);

		if (text && text->meaning == NULL && text->renamed == NULL)
			ls_rename_warn_of_unread(recorded->row->model, rule->name, text, rename);
		else if (text && text->renamed == NULL)
			disable_rule(recorded, rename, rule, text);
		else if (text)
			renamed = renamed || is_renamed(text);
		recount = recount || (text && is_label(text, rename));
	}
	if (renamed)
		ls_rule_renamed(recorded->row->model, rule->rule_id);
	if (otherwise)
		warn_of_event(recorded, rename, rule);
	if (recount && !ls_lead_rule_is_disabled(rule))
	{
		ls_rule_recompute(rule);
		ddl->recounted = lappend(ddl->recounted, recorded->row->model);
	}
}

/* warn_of_stages warns of conditions of stages that cannot be rewritten. */
static void
warn_of_stages(const Recorded *recorded, const LsRename *rename)
{
	ListCell   *lc;

	foreach(lc, recorded->texts)
	{
		const LsRenamedText *text = lfirst(lc);

		if (text->stage && text->meaning == NULL && text->renamed == NULL)
			ls_rename_warn_of_unread(recorded->row->model, NULL, text, rename);
		else if (text->stage && text->renamed == NULL)
			ereport(WARNING,
					(errmsg("the condition of stage \"%s\" of model \"%s\" can no longer be evaluated: %s",
							text->stage, recorded->row->model, ls_rename_done(rename)),
					 errdetail("It counts as false: contacts leave the stage, and do not enter it."),
					 errhint("Correct it in leadscore.lead_stage.")));
	}
}

/* follow brings a model in line with what a command has renamed. */
static void
follow(const Command *command, const Recorded *recorded, Ddl *ddl)
{
	const char *visitors = ls_lead_visitors_model(recorded->row->model);
	List	   *rules = recorded->row->visitors_of ? NIL : ls_lead_rules(recorded->row->model, NULL);
	ListCell   *lc;

	adopt_columns(recorded);
	write_texts(command, recorded);
	put_texts(recorded);
	if (recorded->row->visitors_of == NULL)
		put_events(recorded, &command->rename);
	CommandCounterIncrement();
	foreach(lc, rules)
		see_to_rule(recorded, &command->rename, lfirst(lc), ddl);
	warn_of_stages(recorded, &command->rename);
	ls_rename_calls_warn(recorded->row->model, recorded->calls, &command->rename);
	ls_rename_keys_write(recorded->row, recorded->keys);
	CommandCounterIncrement();
	CacheInvalidateRelcacheByRelid(ls_lead_score_table(recorded->row->model, false));
	if (visitors)
		CacheInvalidateRelcacheByRelid(ls_lead_score_table(visitors, false));
}

/* ls_rename_after brings models in line with what a command has renamed. */
void
ls_rename_after(const Node *stmt, Ddl *ddl)
{
	Command    *command = commands;
	ListCell   *lc;

	while (command && command->stmt != stmt)
		command = command->outer;
	if (command == NULL)
		return;
	foreach(lc, command->models)
		if (OidIsValid(ls_lead_score_table(((Recorded *) lfirst(lc))->row->model, true)))
			follow(command, lfirst(lc), ddl);
	MemoryContextDelete(command->context);
}
