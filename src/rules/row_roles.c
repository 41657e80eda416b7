/*-------------------------------------------------------------------------
 *
 * row_roles.c
 *		What a row is to a rule whose rows depend on other rows.
 *
 * Of such a rule a row may count, follow another that counts, and cancel earlier ones, all
 * at once: it gives one match with what it is.  Each of these has its own source, event and
 * condition, and where the rule has per a value, under which rows count, follow and cancel.
 *
 * Values of one rule are of one type (ls_rule_types_error).  They become 16 bytes that are
 * equal where the values are: a value passed by value; a uuid; a text of up to 15 bytes and
 * its length; else the first 127 bits of the SHA-256 of a text, or two hashes of the value.
 * None depends on what a dump does not keep, such as the number of an enum's label.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

/* the longest text that is a value as it is */
#define LONGEST_PLAIN	15
/* in the last byte of a value that is not a plain text */
#define HASHED			0x80

/* A row and a rule */
typedef struct Trial
{
	LsModel    *model;
	LsRule	   *rule;
	uint64		row;
	ExprContext *econtext;
	Datum		contact;
} Trial;

/* the texts of a rule by the rows that they are about */
static const int conditions[LS_NROWS] = {LS_TEXT_CONDITION, LS_TEXT_FOLLOWED_CONDITION,
LS_TEXT_CANCELLED_CONDITION};
static const int values[LS_NROWS] = {LS_TEXT_PER, LS_TEXT_FOLLOWED_PER, LS_TEXT_CANCELLED_PER};

/* ---------- values ---------- */

/* value_of_bytes makes a value of the 16 bytes of one. */
static LsRowValue
value_of_bytes(const unsigned char *bytes)
{
	LsRowValue	value = {0, 0};

	for (int i = 0; i < 8; i++)
	{
		value.high = value.high << 8 | bytes[i];
		value.low = value.low << 8 | bytes[i + 8];
	}
	return value;
}

/* value_of_text makes a value of a text. */
static LsRowValue
value_of_text(const char *text, int length)
{
	unsigned char bytes[16] = {0};

	if (length <= LONGEST_PLAIN)
	{
		memcpy(bytes, text, length);
		bytes[15] = length;
	}
	else
	{
		Datum		given = PointerGetDatum(cstring_to_text_with_len(text, length));
		struct varlena *hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, given));

		memcpy(bytes, VARDATA_ANY(hash), sizeof(bytes));
		bytes[15] |= HASHED;
	}
	return value_of_bytes(bytes);
}

/* value_of_label makes a value of a label of an enum. */
static LsRowValue
value_of_label(Oid number)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(number));
	LsRowValue	value;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for enum label %u", number);
	value = value_of_text(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel),
						  strlen(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel)));
	ReleaseSysCache(tuple);
	return value;
}

/* number_of gives the bits of a value of a type that is passed by value. */
static uint64
number_of(Datum value, Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return DatumGetBool(value);
		case CHAROID:
			return (unsigned char) DatumGetChar(value);
		case INT2OID:
			return (uint64) (int64) DatumGetInt16(value);
		case INT4OID:
		case DATEOID:
			return (uint64) (int64) DatumGetInt32(value);
		case OIDOID:
			return DatumGetObjectId(value);
		default:
			return (uint64) DatumGetInt64(value);
	}
}

/* value_of makes a value of what an expression gave.  False where that is NULL. */
static bool
value_of(const LsExpr *expr, Datum given, LsRowValue *value)
{
	struct varlena *text;
	ArrayType  *hashes;

	switch (expr->form)
	{
		case LS_FORM_DATUM:
			*value = (LsRowValue) {0, number_of(given, expr->type)};
			break;
		case LS_FORM_UUID:
			*value = value_of_bytes(DatumGetUUIDP(given)->data);
			break;
		case LS_FORM_TEXT:
			text = PG_DETOAST_DATUM_PACKED(given);
			*value = value_of_text(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
			break;
		case LS_FORM_LABEL:
			*value = value_of_label(DatumGetObjectId(given));
			break;
		case LS_FORM_HASHES:
			hashes = DatumGetArrayTypeP(given);
			if (ARR_HASNULL(hashes))
				return false;
			memcpy(value, (char *) hashes + ARR_OVERHEAD_NONULLS(1), sizeof(LsRowValue));
			break;
	}
	return true;
}

/* ---------- tags ---------- */

/* add_tag adds a tag unless it is there. */
static void
add_tag(LsRowRoles *roles, Datum given)
{
	char	   *tag = TextDatumGetCString(given);

	for (int i = 0; i < roles->ntags; i++)
		if (strcmp(roles->tags[i], tag) == 0)
			return;
	roles->tags[roles->ntags++] = tag;
}

/* set_tags takes the tags of what an expression gave. */
static void
set_tags(const LsExpr *expr, Datum given, LsRowRoles *roles)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (expr->type == TEXTOID)
	{
		roles->tags = palloc(sizeof(char *));
		add_tag(roles, given);
		return;
	}
	deconstruct_array(DatumGetArrayTypeP(given), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	roles->tags = palloc(sizeof(char *) * Max(1, n));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			add_tag(roles, elements[i]);
}

/* ---------- roles ---------- */

/* evaluate runs an expression of the rule on the row.  False where it fails. */
static bool
evaluate(const Trial *trial, LsExpr *expr, Datum *value, bool *isnull)
{
	ErrorData  *error = NULL;

	if (ls_expr_eval_on_row(expr, trial->row, trial->econtext, value, isnull, &error) == LS_EXPR_OK)
		return true;
	ls_rule_failed(trial->model, trial->rule, error, &trial->contact);
	return false;
}

/* read_role tells whether the row is one of these to the rule, and under which value. */
static bool
read_role(const Trial *trial, LsRuleTextRow row, LsRowValue *value)
{
	LsRule	   *rule = trial->rule;
	LsExpr	   *per = rule->exprs[values[row]];
	bool		isnull;
	Datum		given;

	if (!ls_match_condition(trial->model, rule, rule->exprs[conditions[row]], trial->row,
							trial->econtext, trial->contact))
		return false;
	if (!rule->has_per)
		return true;
	return per && evaluate(trial, per, &given, &isnull) && !isnull && value_of(per, given, value);
}

/* read_counted reads weight and tags of a row that counts. */
static bool
read_counted(const Trial *trial, LsRowRoles *roles, double *weight)
{
	LsRule	   *rule = trial->rule;
	bool		isnull;
	Datum		given;

	if (!ls_match_weight(trial->model, rule, trial->row, trial->econtext, trial->contact, weight))
		return false;
	if (!rule->tagged)
		return true;
	if (!evaluate(trial, rule->exprs[LS_TEXT_TAG], &given, &isnull))
		return false;
	if (!isnull)
		set_tags(rule->exprs[LS_TEXT_TAG], given, roles);
	return true;
}

/* read_roles reads all that the row is to the rule, of what it may be. */
static void
read_roles(const Trial *trial, int may, LsRowRoles *roles, double *weight)
{
	LsRowValue *const of[LS_NROWS] = {&roles->counts, &roles->follows, &roles->cancels};

	for (int i = 0; i < LS_NROWS; i++)
		if ((may & LS_ROLE(i)) && read_role(trial, i, of[i]))
			roles->roles |= LS_ROLE(i);
	if ((roles->roles & LS_ROLE_COUNTS) && !read_counted(trial, roles, weight))
		roles->roles = 0;
}

/*
 * ls_row_roles_try adds the match of the row in econtext with a rule, if it is something to
 * it.  Where an expression fails it is nothing.
 */
void
ls_row_roles_try(LsModel *model, const LsCandidate *candidate, uint64 row, ExprContext *econtext,
				 LsEvent *event)
{
	LsRule	   *rule = candidate->rule;
	Trial		trial = {model, rule, row, econtext, event->contact};
	MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	LsRowRoles *roles = palloc0(sizeof(LsRowRoles));
	uint64		failed = model->nfailed;
	int			may = candidate->roles;
	double		weight = 0;

	if (event->at < rule->events_from || event->at >= rule->events_before)
		may &= ~LS_ROLE_COUNTS;
	read_roles(&trial, may, roles, &weight);
	MemoryContextSwitchTo(old);
	if (roles->roles == 0 || model->nfailed != failed)
		return;
	event->matches[event->nmatches].rule = rule;
	event->matches[event->nmatches].roles = roles;
	event->matches[event->nmatches++].weight = weight;
}

/* ls_row_roles_copy copies what a match has, or NULL, into the current memory context. */
LsRowRoles *
ls_row_roles_copy(const LsRowRoles *roles)
{
	LsRowRoles *copy;

	if (roles == NULL)
		return NULL;
	copy = palloc(sizeof(LsRowRoles));
	*copy = *roles;
	copy->tags = roles->ntags > 0 ? palloc(sizeof(char *) * roles->ntags) : NULL;
	for (int i = 0; i < roles->ntags; i++)
		copy->tags[i] = pstrdup(roles->tags[i]);
	return copy;
}
