/*-------------------------------------------------------------------------
 *
 * rename.c
 *		Columns, attributes and labels that are renamed, followed by what names them.
 *
 * Models name columns of tables (keys, sources), and rules and stages have texts
 * that name columns, attributes of composite types, tables and labels of enums.
 * These are the owner's words, and stay words.  Before a command renames something,
 * what the words mean is noted; after it they are written so that they mean the
 * same (rename_text.c), in the versions of the past, too.  Nothing is recomputed:
 * the rule matches what it did, under the same version.
 *
 * What cannot be written so that it means the same disables its rule, with a warning that
 * tells the new name; so do rules that name a function, type, operator or schema
 * which has another name or place now.
 *
 * scenario								what is done
 * column of a table, or of its parent	names of sources and keys, texts
 * attribute of a composite type, or
 *   column of a table whose rows are
 *   values of a column					texts
 * table								texts that qualify columns
 * label of an enum						literals in texts; events of rules of sources whose
 *										event column has the type; keys that are kept as text
 * command fails, subtransaction aborts	the notes go with its memory
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/rename.h"

#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

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

/* A column that the row of a model or of a source names */
typedef struct Named
{
	char	   *source;			/* NULL: the model itself */
	const char *column;			/* of lead_model or lead_source */
	Oid			relid;
	AttrNumber	attno;
	char	   *name;
} Named;

/* What is noted of a model before something is renamed */
typedef struct Noted
{
	LsModelRow *row;
	List	   *named;			/* of Named */
	List	   *texts;			/* of LsRenamedText */
	List	   *calls;			/* of functions by actions */
	List	   *keys;			/* kept as text */
	bool		keyed;			/* the label may be a part of these */
	List	   *sources;		/* names of those whose events are labels of the type */
	List	   *others;			/* names of those whose events are not */
} Noted;

/* A command that renames something, between its beginning and its end */
typedef struct Command
{
	struct Command *outer;
	const Node *stmt;
	MemoryContext context;
	MemoryContextCallback forget;
	LsRename	rename;
	List	   *models;			/* of Noted */
} Command;

static Command *commands = NULL;	/* the innermost first */

/* ---------- which models mind ---------- */

/* leads_to tells whether values of a type may have parts of another. */
static bool
leads_to(Oid type, Oid part)
{
	LsReach		reach = {NIL};

	ls_reach_type(&reach, type);
	return list_member_oid(reach.types, part);
}

/* event_type gives the base type of the column with the events of a source. */
static Oid
event_type(const LsSourceRow *source)
{
	AttrNumber	attno = source->event ? get_attnum(source->relation, source->event) : 0;

	return attno > 0 ? getBaseType(get_atttype(source->relation, attno)) : InvalidOid;
}

static bool
rule_mentions(const LsRuleRow *rule, const char *name)
{
	return ls_expr_mentions(rule->condition, name) || ls_expr_mentions(rule->weight, name) ||
		ls_expr_mentions(rule->followed_condition, name);
}

/* texts_mention tells whether a text of a model may have a name in it. */
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

/* tables_lead_to tells whether a column of a table of a model has a type as a part. */
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
 * uses_type tells whether texts of a model can have values of what is renamed, or of
 * what it is a part of.  Other models are not to be locked, however their texts read.
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

/* minds tells whether a model may have to follow what is renamed. */
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
		if (leads_to(get_atttype(ls_lead_score_table(row->model, false), 1), rename->object))
			return true;
		foreach(lc, ls_lead_sources(row->model, NULL))
			if (event_type(lfirst(lc)) == rename->object)
				return true;
	}
	return (texts_mention(row, rename->old_name) || texts_mention(row, rename->new_name)) &&
		(rename->kind == LS_RENAME_OTHER || uses_type(row, rename));
}

/* rows_that_mind gives the rows of the models that do, in the order in which models are locked. */
static List *
rows_that_mind(const LsRename *rename)
{
	List	   *rows = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_models(NULL))
		if (minds(lfirst(lc), rename))
			rows = lappend(rows, lfirst(lc));
	list_sort(rows, ls_lead_row_order);
	return rows;
}

/*
 * ls_rename_models gives the names of the models whose definitions a command will
 * change by renaming something.
 */
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

/* note_column notes which column a name is that of. */
static void
note_column(Noted *noted, const char *source, const char *column, Oid relid, const char *name)
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
	noted->named = lappend(noted->named, named);
}

static void
note_columns(Noted *noted)
{
	const LsModelRow *row = noted->row;
	ListCell   *lc;

	note_column(noted, NULL, "key", row->contacts, row->key);
	note_column(noted, NULL, "created_at", row->contacts, row->created_at);
	foreach(lc, ls_lead_sources(row->model, NULL))
	{
		const LsSourceRow *source = lfirst(lc);

		note_column(noted, source->source, "contact", source->relation, source->contact);
		note_column(noted, source->source, "occurred_at", source->relation, source->occurred_at);
		note_column(noted, source->source, "event", source->relation, source->event);
		note_column(noted, source->source, "visitor", source->relation, source->visitor);
	}
}

/* same tells whether two names, either of which may be missing, are equal. */
static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* make_spec tells as what a text is read; the table is to be opened. */
static void
make_spec(const LsModelRow *row, const LsRenamedText *text, LsExprSpec *spec)
{
	ListCell   *lc;

	memset(spec, 0, sizeof(LsExprSpec));
	spec->use = text->use;
	spec->role = row->owner;
	spec->where = psprintf("model \"%s\"", row->model);
	if (text->stage == NULL)
		return;
	spec->variables = palloc(sizeof(char *) * (1 + list_length(ls_lead_categories(row->model, NULL))));
	spec->variables[spec->nvariables++] = "score";
	foreach(lc, ls_lead_categories(row->model, NULL))
		spec->variables[spec->nvariables++] = ((LsCategoryRow *) lfirst(lc))->category;
}

/* note_text notes what a text means, unless the same stands elsewhere already. */
static void
note_text(Noted *noted, const LsRenamedText *like, const char *value)
{
	LsRenamedText *text;
	LsExprSpec	spec;
	bool		locked;
	ListCell   *lc;

	if (value == NULL || !OidIsValid(like->relid))
		return;
	foreach(lc, noted->texts)
	{
		text = lfirst(lc);
		if (strcmp(text->column, like->column) == 0 && text->profile == like->profile &&
			same(text->source, like->source) && same(text->stage, like->stage) &&
			strcmp(text->text, value) == 0)
			return;
	}
	text = palloc(sizeof(LsRenamedText));
	*text = *like;
	text->source = like->source ? pstrdup(like->source) : NULL;
	text->stage = like->stage ? pstrdup(like->stage) : NULL;
	text->text = pstrdup(value);
	make_spec(noted->row, text, &spec);
	spec.rel = ls_relation_open(text->relid, &locked);
	if (spec.rel == NULL)
		return;
	ls_expr_rename_read(&spec, text);
	ls_relation_close(spec.rel, locked);
	noted->texts = lappend(noted->texts, text);
}

/* table_of gives the table of a source, or InvalidOid. */
static Oid
table_of(const LsModelRow *row, const char *source)
{
	ListCell   *lc;

	foreach(lc, ls_lead_sources(row->model, NULL))
		if (source && strcmp(((LsSourceRow *) lfirst(lc))->source, source) == 0)
			return ((LsSourceRow *) lfirst(lc))->relation;
	return InvalidOid;
}

/* describe_text tells which texts of the same place a rule's column has. */
static LsRenamedText
describe_text(const LsModelRow *row, const LsRuleRow *rule, const char *column)
{
	LsRenamedText text = {.column = column, .use = LS_EXPR_CONDITION};

	text.profile = strcmp(rule->kind, "profile") == 0;
	if (strcmp(column, "weight") == 0)
		text.use = LS_EXPR_WEIGHT;
	if (strcmp(column, "followed_condition") == 0 && rule->followed_source)
		text.source = rule->followed_source;
	else if (!text.profile)
		text.source = rule->source;
	text.relid = text.profile ? row->contacts : table_of(row, text.source);
	return text;
}

/* The columns of rules that have texts, and those that have events */
static const char *const text_columns[] = {"condition", "weight", "followed_condition"};

/* text_in gives the text that a rule has in one of its columns. */
static char *
text_in(const LsRuleRow *rule, int column)
{
	return column == 0 ? rule->condition : column == 1 ? rule->weight : rule->followed_condition;
}

static void
note_rule(Noted *noted, const LsRuleRow *rule)
{
	for (int i = 0; i < (int) lengthof(text_columns); i++)
	{
		LsRenamedText like = describe_text(noted->row, rule, text_columns[i]);

		note_text(noted, &like, text_in(rule, i));
	}
}

/* note_texts notes the texts of rules, as they are and were, and of stages. */
static void
note_texts(Noted *noted)
{
	const LsModelRow *row = noted->row;
	ListCell   *lc;

	if (row->visitors_of)
		return;					/* which the model has whose visitors it scores */
	foreach(lc, ls_lead_rules(row->model, NULL))
		note_rule(noted, lfirst(lc));
	foreach(lc, ls_lead_rule_versions(row->model, NULL))
		note_rule(noted, &((LsRuleVersion *) lfirst(lc))->rule);
	foreach(lc, ls_lead_stages(row->model, NULL))
	{
		const LsStageRow *stage = lfirst(lc);
		LsRenamedText like = {.column = "condition", .use = LS_EXPR_CONDITION};

		like.stage = stage->stage;
		like.relid = row->contacts;
		note_text(noted, &like, stage->condition);
	}
}

/*
 * note_labels notes what is told by the text of a label.  A session that is writing
 * events or counting them would see the new label with the old rules, so none is.
 */
static void
note_labels(Noted *noted, Oid type)
{
	const LsModelRow *row = noted->row;
	ListCell   *lc;

	foreach(lc, ls_lead_sources(row->model, NULL))
	{
		const LsSourceRow *source = lfirst(lc);

		if (event_type(source) == type)
			noted->sources = lappend(noted->sources, pstrdup(source->source));
		else if (source->event)
			noted->others = lappend(noted->others, pstrdup(source->source));
	}
	noted->keyed = leads_to(get_atttype(ls_lead_score_table(row->model, false), 1), type);
	if (noted->sources == NIL && !noted->keyed)
		return;
	ls_lock_sources(row->model);
	LockRelationOid(ls_lead_score_table(row->model, false), ShareRowExclusiveLock);
	if (noted->keyed)
		noted->keys = ls_rename_keys_read(row);
}

/* forget_command takes a command from the list when its memory goes. */
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
 * ls_rename_before notes what the texts of the models mean which may name what a
 * command is about to rename.  Their definitions are locked.
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
		Noted	   *noted = palloc0(sizeof(Noted));

		if (rename.kind != LS_RENAME_OTHER)
		{
			ls_lock_definitions(((LsModelRow *) lfirst(lc))->model);
			ls_definition_check_snapshot(((LsModelRow *) lfirst(lc))->model);
		}
		noted->row = ls_lead_model(((LsModelRow *) lfirst(lc))->model, NULL);
		if (noted->row == NULL)
			continue;
		note_columns(noted);
		note_texts(noted);
		if (rename.kind == LS_RENAME_OTHER)
			noted->calls = ls_rename_calls_read(noted->row->model);
		if (rename.kind == LS_RENAME_LABEL)
			note_labels(noted, rename.object);
		command->models = lappend(command->models, noted);
	}
	command->forget.func = forget_command;
	command->forget.arg = command;
	command->outer = commands;
	commands = command;
	MemoryContextRegisterResetCallback(context, &command->forget);
	MemoryContextSwitchTo(old);
}

/* ---------- after ---------- */

/* adopt_columns has a model and its sources name their columns as these are named now. */
static void
adopt_columns(const Noted *noted)
{
	ListCell   *lc;

	foreach(lc, noted->named)
	{
		const Named *named = lfirst(lc);
		char	   *name = get_attname(named->relid, named->attno, true);
		LsSqlArguments args = {0};

		if (name == NULL || strcmp(name, named->name) == 0)
			continue;
		ls_sql_add_text(&args, noted->row->model);
		ls_sql_add_text(&args, name);
		if (named->source)
			ls_sql_add_text(&args, named->source);
		ls_extension_execute(psprintf("UPDATE leadscore_internal.%s SET %s = $2 WHERE model = $1%s",
									  named->source ? "lead_source" : "lead_model", named->column,
									  named->source ? " AND source = $3" : ""), &args);
	}
}

/* write_texts finds out how texts are written now. */
static void
write_texts(const Command *command, const Noted *noted)
{
	ListCell   *lc;

	foreach(lc, noted->texts)
	{
		LsRenamedText *text = lfirst(lc);
		LsExprSpec	spec;
		bool		locked;

		make_spec(noted->row, text, &spec);
		spec.rel = ls_relation_open(text->relid, &locked);
		if (spec.rel == NULL)
			continue;
		ls_expr_rename_write(&spec, text, &command->rename);
		ls_relation_close(spec.rel, locked);
	}
}

/* put_text writes a text into the rows of rules, or of versions, that have it. */
static void
put_text(const Noted *noted, const char *table, const LsRenamedText *text)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, noted->row->model);
	ls_sql_add_text(&args, text->text);
	ls_sql_add_text(&args, text->renamed);
	ls_sql_add_text(&args, text->stage ? text->stage : text->source);
	ls_extension_execute(psprintf("UPDATE leadscore_internal.%1$s SET %2$s = $3"
								  " WHERE model = $1 AND %2$s = $2 AND %3$s", table, text->column,
								  text->stage ? "stage = $4" :
								  text->profile ? "$4 IS NULL AND kind = 'profile'" :
								  strcmp(text->column, "followed_condition") == 0 ?
								  "COALESCE(followed_source, source) = $4" :
								  "source = $4"), &args);
}

/* is_renamed tells whether a text is written otherwise now. */
static bool
is_renamed(const LsRenamedText *text)
{
	return text->renamed && strcmp(text->renamed, text->text) != 0;
}

static void
put_texts(const Noted *noted)
{
	ListCell   *lc;

	foreach(lc, noted->texts)
	{
		const LsRenamedText *text = lfirst(lc);

		if (!is_renamed(text))
			continue;
		if (text->stage)
			put_text(noted, "lead_stage", text);
		else
		{
			put_text(noted, "lead_rule", text);
			put_text(noted, "lead_rule_history", text);
		}
	}
}

/* text_of finds what was noted of the text that a rule has in a column, or NULL. */
static LsRenamedText *
text_of(const Noted *noted, const LsRuleRow *rule, int column)
{
	LsRenamedText like = describe_text(noted->row, rule, text_columns[column]);
	char	   *value = text_in(rule, column);
	ListCell   *lc;

	foreach(lc, noted->texts)
	{
		LsRenamedText *text = lfirst(lc);

		if (value && text->stage == NULL && strcmp(text->column, like.column) == 0 &&
			text->profile == like.profile && same(text->source, like.source) &&
			strcmp(text->text, value) == 0)
			return text;
	}
	return NULL;
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

/* reads_labels tells whether events of a source are labels of the type; NULL: of all sources. */
static bool
reads_labels(const Noted *noted, const LsRuleRow *rule, const char *source)
{
	if (strcmp(rule->kind, "profile") == 0)
		return false;
	return source ? is_among(noted->sources, source) : noted->sources != NIL;
}

/* reads_others tells whether a rule reads events of other sources as well. */
static bool
reads_others(const Noted *noted, const char *source)
{
	return source == NULL && noted->others != NIL;
}

/* put_event writes the new label into rules, or versions, that name the old one as their event. */
static void
put_event(const Noted *noted, const LsRename *rename, const char *table, const char *source)
{
	static const char *const columns[][2] = {
		{"event", "source"}, {"followed_by", "COALESCE(followed_source, source)"}
	};

	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		LsSqlArguments args = {0};

		ls_sql_add_text(&args, noted->row->model);
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
put_events(const Noted *noted, const LsRename *rename)
{
	List	   *sources = list_copy(noted->sources);
	ListCell   *lc;

	if (sources != NIL && noted->others == NIL)
		sources = lappend(sources, NULL);
	foreach(lc, sources)
	{
		put_event(noted, rename, "lead_rule", lfirst(lc));
		put_event(noted, rename, "lead_rule_history", lfirst(lc));
	}
}

/* warn_of_event says that a rule matches other events than it did. */
static void
warn_of_event(const Noted *noted, const LsRename *rename, const LsRuleRow *rule)
{
	const char *source = rule->source ? rule->source : linitial(noted->sources);

	if (strcmp(rule->event, rename->new_name) == 0)
		ereport(WARNING,
				(errmsg("rule \"%s\" of model \"%s\" matches events that it did not match before",
						rule->name, noted->row->model),
				 errdetail("Event \"%s\" of source \"%s\" is now named \"%s\", which the rule names.",
						   rename->old_name, source, rename->new_name),
				 errhint("Change the rule, or delete it, if these events are not meant.")));
	else
		ereport(WARNING,
				(errmsg("rule \"%s\" of model \"%s\" no longer matches events of source \"%s\"",
						rule->name, noted->row->model, source),
				 errdetail("Event \"%s\" of source \"%s\" is now named \"%s\". The rule reads every source, and in source \"%s\" the event keeps its name.",
						   rename->old_name, source, rename->new_name, (char *) linitial(noted->others)),
				 errhint("Write one rule for each source, with event \"%s\" for source \"%s\".",
						 rename->new_name, source)));
}

/* counts_otherwise tells whether a rule matches other events now than before. */
static bool
counts_otherwise(const Noted *noted, const LsRename *rename, const LsRuleRow *rule)
{
	if (rename->kind != LS_RENAME_LABEL || rule->event == NULL ||
		!reads_labels(noted, rule, rule->source))
		return false;
	return strcmp(rule->event, rename->new_name) == 0 ||
		(strcmp(rule->event, rename->old_name) == 0 && reads_others(noted, rule->source));
}

/* names_label tells whether the event of a rule is written otherwise now. */
static bool
names_label(const Noted *noted, const LsRename *rename, const LsRuleRow *rule)
{
	const char *followed = rule->followed_source ? rule->followed_source : rule->source;

	if (rename->kind != LS_RENAME_LABEL)
		return false;
	return (same(rule->event, rename->old_name) && reads_labels(noted, rule, rule->source) &&
			!reads_others(noted, rule->source)) ||
		(same(rule->followed_by, rename->old_name) && reads_labels(noted, rule, followed) &&
		 !reads_others(noted, followed));
}

/* ---------- rules, as they were before ---------- */

/* disable_rule disables a rule whose text cannot follow. */
static void
disable_rule(const Noted *noted, const LsRename *rename, const LsRuleRow *rule,
			 const LsRenamedText *text)
{
	ErrorData	error = {.sqlerrcode = ERRCODE_UNDEFINED_OBJECT};

	if (!rule->backfilled_version_null && rule->backfilled_version == 0)
		return;
	error.message = ls_rename_done(rename);
	ls_rule_disable(noted->row, rule, text->relid, &error);
	ls_model_change_record(noted->row->model);
}

/* see_to_rule does what is to be done about a rule beside its texts. */
static void
see_to_rule(const Noted *noted, const LsRename *rename, const LsRuleRow *rule, Ddl *ddl)
{
	bool		renamed = names_label(noted, rename, rule);

	for (int i = 0; i < (int) lengthof(text_columns); i++)
	{
		LsRenamedText *text = text_of(noted, rule, i);

		if (text && text->meaning == NULL && text->renamed == NULL)
			ls_rename_warn_of_unread(noted->row->model, rule->name, text, rename);
		else if (text && text->renamed == NULL)
			disable_rule(noted, rename, rule, text);
		else if (text)
			renamed = renamed || is_renamed(text);
	}
	if (renamed)
		ls_rule_renamed(noted->row->model, rule->rule_id);
	if (!counts_otherwise(noted, rename, rule))
		return;
	warn_of_event(noted, rename, rule);
	if (rule->backfilled_version_null || rule->backfilled_version != 0)
	{
		ls_rule_recompute(rule);
		ddl->recounted = lappend(ddl->recounted, noted->row->model);
	}
}

/* warn_of_stages says which conditions of stages cannot follow. */
static void
warn_of_stages(const Noted *noted, const LsRename *rename)
{
	ListCell   *lc;

	foreach(lc, noted->texts)
	{
		const LsRenamedText *text = lfirst(lc);

		if (text->stage && text->meaning == NULL && text->renamed == NULL)
			ls_rename_warn_of_unread(noted->row->model, NULL, text, rename);
		else if (text->stage && text->renamed == NULL)
			ereport(WARNING,
					(errmsg("the condition of stage \"%s\" of model \"%s\" can no longer be evaluated: %s",
							text->stage, noted->row->model, ls_rename_done(rename)),
					 errdetail("It counts as false: contacts leave the stage, and do not enter it."),
					 errhint("Correct it in leadscore.lead_stage.")));
	}
}

/* follow has a model follow what a command has renamed. */
static void
follow(const Command *command, const Noted *noted, Ddl *ddl)
{
	const char *visitors = ls_lead_visitors_model(noted->row->model);
	List	   *rules = noted->row->visitors_of ? NIL : ls_lead_rules(noted->row->model, NULL);
	ListCell   *lc;

	adopt_columns(noted);
	write_texts(command, noted);
	put_texts(noted);
	if (noted->row->visitors_of == NULL)
		put_events(noted, &command->rename);
	CommandCounterIncrement();
	foreach(lc, rules)
		see_to_rule(noted, &command->rename, lfirst(lc), ddl);
	warn_of_stages(noted, &command->rename);
	ls_rename_calls_warn(noted->row->model, noted->calls, &command->rename);
	ls_rename_keys_write(noted->row, noted->keys);
	CommandCounterIncrement();
	CacheInvalidateRelcacheByRelid(ls_lead_score_table(noted->row->model, false));
	if (visitors)
		CacheInvalidateRelcacheByRelid(ls_lead_score_table(visitors, false));
}

/* ls_rename_after has models follow what a command has renamed. */
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
		if (OidIsValid(ls_lead_score_table(((Noted *) lfirst(lc))->row->model, true)))
			follow(command, lfirst(lc), ddl);
	MemoryContextDelete(command->context);
}
