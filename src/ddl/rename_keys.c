/*-------------------------------------------------------------------------
 *
 * rename_keys.c
 *		Keys that are stored as text, when a label that they contain is renamed.
 *
 * Most keys are in columns of their own type, whose text changes with the label.  What
 * is left are the positions of jobs, whose rows are locked while the label changes,
 * recorded errors, and rows of the outbox.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/rename_internal.h"

#include "utils/datum.h"

#include "base/key.h"
#include "base/transaction.h"
#include "definitions/extension.h"

/* Where keys are stored as text */
static const struct
{
	const char *table;			/* NULL: outbox_<model> */
	const char *column;
	const char *assignment;
}			places[] = {
	{"leadscore_internal.lead_job_range", "first", "first = $3"},
	{"leadscore_internal.lead_job_range", "last", "last = $3"},
	{"leadscore_internal.lead_job_range", "position", "position = $3"},
	{"leadscore_internal.lead_rule_error", "contact", "contact = $3"},
	{NULL, "payload ->> 'contact'",
	"payload = pg_catalog.jsonb_set(payload, '{contact}', pg_catalog.to_jsonb($3))"},
};

/* One text in one of these places */
typedef struct KeyText
{
	int			place;
	char	   *text;
	Datum		key;
	bool		known;			/* it is the text of a key */
} KeyText;

/* Arguments of read_key(), which runs in a subtransaction */
typedef struct Reading
{
	LsKeyType	type;
	KeyText    *text;
} Reading;

/* table_of names the table of a place. */
static const char *
table_of(const LsModelRow *model, int place)
{
	return places[place].table ? places[place].table : psprintf("leadscore.outbox_%s", model->model);
}

/* rows_of is the condition for the rows of model $1 in a place. */
static const char *
rows_of(int place)
{
	return places[place].table ? "model = $1" : "$1 IS NOT NULL";
}

/*
 * lock_ranges locks the ranges of the model's job, waiting for sessions that work on
 * them.
 */
static void
lock_ranges(const char *model)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_extension_execute("SELECT FROM leadscore_internal.lead_job_range WHERE model = $1 FOR UPDATE", &args);
}

/* texts_of lists the texts in a place. */
static List *
texts_of(const LsModelRow *model, int place)
{
	LsSqlArguments args = {0};
	List	   *texts = NIL;
	SPITupleTable *rows;
	char	   *sql = psprintf("SELECT DISTINCT %1$s FROM %2$s WHERE %3$s AND %1$s IS NOT NULL",
							   places[place].column, table_of(model, place), rows_of(place));

	ls_sql_add_text(&args, model->model);
	rows = places[place].table ? ls_extension_query(sql, &args) :
		ls_sql_query_as_owner(ls_lead_score_table(model->model, false), sql, &args);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		KeyText    *text = palloc0(sizeof(KeyText));

		text->place = place;
		text->text = ls_sql_text(rows, i, 1);
		texts = lappend(texts, text);
	}
	return texts;
}

/* key_type finds the type of a model's keys. */
static void
key_type(const LsModelRow *model, LsKeyType *type)
{
	ls_key_type(ls_lead_score_table(model->model, false), 1, model->owner, model->model, type);
}

static void
read_key(void *arg)
{
	Reading    *reading = arg;
	LsKeyType  *type = &reading->type;

	reading->text->key = datumCopy(ls_key_read(type, reading->text->text),
								   type->typbyval, type->typlen);
	reading->text->known = true;
}

/* ls_rename_keys_read reads the keys of all texts before the command, and returns them. */
List *
ls_rename_keys_read(const LsModelRow *model)
{
	List	   *texts = NIL;
	Reading		reading;
	ListCell   *lc;

	lock_ranges(model->model);
	for (int i = 0; i < (int) lengthof(places); i++)
		texts = list_concat(texts, texts_of(model, i));
	key_type(model, &reading.type);
	foreach(lc, texts)
	{
		reading.text = lfirst(lc);
		(void) ls_subtransaction_try(read_key, &reading);
	}
	return texts;
}

/* ls_rename_keys_write writes the new texts of these keys after the command. */
void
ls_rename_keys_write(const LsModelRow *model, List *texts)
{
	LsKeyType	type;
	ListCell   *lc;

	key_type(model, &type);
	foreach(lc, texts)
	{
		KeyText    *text = lfirst(lc);
		LsSqlArguments args = {.newest = true};
		char	   *now = text->known ? ls_key_text(&type, text->key) : text->text;
		char	   *sql;

		if (strcmp(now, text->text) == 0)
			continue;
		ls_sql_add_text(&args, model->model);
		ls_sql_add_text(&args, text->text);
		ls_sql_add_text(&args, now);
		sql = psprintf("UPDATE %s SET %s WHERE %s AND %s = $2", table_of(model, text->place),
					   places[text->place].assignment, rows_of(text->place), places[text->place].column);
		if (places[text->place].table)
			ls_extension_execute(sql, &args);
		else
			ls_sql_execute_as_owner(ls_lead_score_table(model->model, false), sql, &args);
	}
}
