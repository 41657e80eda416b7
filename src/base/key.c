/*-------------------------------------------------------------------------
 *
 * key.c
 *		Keys of models: made of values of any type and of text, compared, shown.
 *
 * Nothing else turns a value into a key, or a key into text.
 *
 * What reads, writes, casts and compares values may be a user's own code: the
 * constraint of a domain inside a composite type, the function of a cast, an operator
 * class.  It runs as the model's owner, in a context in which it can do nothing but
 * compute, whichever session needs the key: that of a writer of events, of another
 * tenant, of a superuser, or the worker.  And it has to belong to a role that has the
 * privileges of the model's owner, or it would lend them to another role.  Types
 * whose functions are in C need none of this, as only superusers write these.
 *
 * The text of a key is the same in every session: settings that say how values
 * are written are pinned, and again where that text is read.  Text that a caller
 * gives is read with the caller's own settings, as a literal is.
 *
 *-------------------------------------------------------------------------
 */
#include "base/key.h"

#include "access/detoast.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/reachable_code.h"
#include "base/trusted_code.h"
#include "base/user.h"

#define SHOWN	100				/* bytes of a text that an error quotes */

/* ---------- types ---------- */

/* is_plain tells whether text of a type is the same under any settings. */
static bool
is_plain(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case NAMEOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case MACADDR8OID:
			return true;
	}
	return get_typtype(type) == TYPTYPE_ENUM;
}

/* How values of a type are compared: by its default operator classes */
typedef struct TypeOrder
{
	Oid			type;
	Oid			eq_operator;
	Oid			lt_operator;
	Oid			cmp;
	Oid			hash;
	Oid			btree_family;
} TypeOrder;

/*
 * those of the types that most keys have, which initdb has made: the type cache of a
 * new session reads four catalogs for them
 */
static const TypeOrder known_orders[] = {
	{INT4OID, 96, 97, F_BTINT4CMP, F_HASHINT4, INTEGER_BTREE_FAM_OID},
	{INT8OID, 410, 412, F_BTINT8CMP, F_HASHINT8, INTEGER_BTREE_FAM_OID},
	{TEXTOID, 98, 664, F_BTTEXTCMP, F_HASHTEXT, TEXT_BTREE_FAM_OID},
	{UUIDOID, 2972, 2974, F_UUID_CMP, F_UUID_HASH, 2968},
};

/* known_order finds a type among these; NULL: it is none of them. */
static const TypeOrder *
known_order(Oid type)
{
	for (size_t i = 0; i < lengthof(known_orders); i++)
		if (known_orders[i].type == type)
			return &known_orders[i];
	return NULL;
}

/* find_order finds how values of a base type are compared, by the type cache. */
static void
find_order(Oid type, TypeOrder *order)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR |
											  TYPECACHE_CMP_PROC | TYPECACHE_HASH_PROC |
											  TYPECACHE_BTREE_OPFAMILY);

	order->type = type;
	order->eq_operator = entry->eq_opr;
	order->lt_operator = entry->lt_opr;
	order->cmp = entry->cmp_proc;
	order->hash = entry->hash_proc;
	order->btree_family = entry->btree_opf;
}

/* order_of gives how values of a base type are compared. */
static TypeOrder
order_of(Oid type)
{
	const TypeOrder *known = known_order(type);
	TypeOrder	order;

#ifndef USE_ASSERT_CHECKING
	if (known)
		return *known;
#endif
	find_order(type, &order);
	Assert(known == NULL || memcmp(known, &order, sizeof(TypeOrder)) == 0);
	(void) known;
	return order;
}

/* ls_key_equality gives the operator by which values of a base type are equal. */
Oid
ls_key_equality(Oid type)
{
	return order_of(type).eq_operator;
}

/* inspect_text looks at what reading and writing a type's text may run. */
static void
inspect_text(Oid type, LsKeyType *key)
{
	Oid			input,
				output,
				ioparam;
	bool		varlena;

	switch (get_typtype(type))
	{
		case TYPTYPE_BASE:
			break;
		case TYPTYPE_ENUM:
			return;
		default:
			/* domains, and what may hold one now or once it is altered */
			key->foreign_text = key->styled = true;
			return;
	}
	if (OidIsValid(get_element_type(type)))
	{
		inspect_text(get_element_type(type), key);
		return;
	}
	if (known_order(type))
		return;					/* plain, and its functions are in C */
	getTypeInputInfo(type, &input, &ioparam);
	getTypeOutputInfo(type, &output, &varlena);
	if (!ls_trust_function_builtin(input) || !ls_trust_function_builtin(output))
		key->foreign_text = true;
	if (!is_plain(type))
		key->styled = true;
}

/*
 * text_factor tells how much longer than its values the text of a type can be, where
 * that is easily said; else 0.
 */
static int
text_factor(Oid type, const LsKeyType *key)
{
	if (type == BYTEAOID)
		return 3;				/* two digits a byte, and \x */
	if (TypeCategory(type) == TYPCATEGORY_STRING && get_typtype(type) == TYPTYPE_BASE &&
		!key->foreign_text)
		return 1;
	return type == INETOID || type == CIDROID ? 20 : 0;
}

/* compares_in_c tells whether values of a type are compared by functions in C alone. */
static bool
compares_in_c(Oid type)
{
	TypeCacheEntry *entry;
	TupleDesc	desc;
	bool		in_c = true;

	type = getBaseType(type);
	if (known_order(type))
		return true;
	entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_CMP_PROC |
							  TYPECACHE_HASH_PROC);
	if ((OidIsValid(entry->eq_opr) && !ls_trust_function_builtin(get_opcode(entry->eq_opr))) ||
		(OidIsValid(entry->cmp_proc) && !ls_trust_function_builtin(entry->cmp_proc)) ||
		(OidIsValid(entry->hash_proc) && !ls_trust_function_builtin(entry->hash_proc)))
		return false;
	switch (get_typtype(type))
	{
		case TYPTYPE_COMPOSITE:
			desc = lookup_rowtype_tupdesc_copy(type, -1);
			for (int i = 0; in_c && i < desc->natts; i++)
				in_c = TupleDescAttr(desc, i)->attisdropped ||
					compares_in_c(TupleDescAttr(desc, i)->atttypid);
			return in_c;
		case TYPTYPE_RANGE:
			/* its operator class may be another than its subtype's */
			lookup_type_cache(type, TYPECACHE_RANGE_INFO);
			return ls_trust_function_builtin(entry->rng_cmp_proc_finfo.fn_oid) &&
				compares_in_c(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return compares_in_c(get_multirange_range(type));
	}
	return !OidIsValid(get_element_type(type)) || compares_in_c(get_element_type(type));
}

/*
 * ls_key_type looks up how the keys in a column of a table are compared, read and
 * written, for a model and its owner.
 */
void
ls_key_type(Oid table, AttrNumber column, Oid owner, const char *model, LsKeyType *key)
{
	Oid			type,
				collation;
	int32		typmod;
	Oid			base;
	TypeOrder	order;
	Oid			function;
	bool		varlena;

	get_atttypetypmodcoll(table, column, &type, &typmod, &collation);
	/* the tables are the owner's, who may have dropped the column */
	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the tables of model \"%s\" do not have the columns that leadscore gave them",
						model),
				 errhint("Undo what was done to them, or drop the model.")));
	base = getBaseType(type);
	order = order_of(base);
	if (!OidIsValid(order.cmp) || !OidIsValid(order.hash))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("type %s has no default btree and hash operator classes",
						format_type_be(base))));
	memset(key, 0, sizeof(LsKeyType));
	key->type = base;
	key->collation = OidIsValid(collation) ? collation : get_typcollation(base);
	get_typlenbyvalalign(base, &key->typlen, &key->typbyval, &key->typalign);
	key->integer = key->typbyval && (base == INT4OID || base == INT8OID);
	key->eq_operator = order.eq_operator;
	key->lt_operator = order.lt_operator;
	key->opfamily = order.btree_family;
	key->owner = owner;
	key->model = pstrdup(model);
	key->foreign_order = !compares_in_c(base);
	inspect_text(base, key);
	key->text_factor = text_factor(base, key);
	fmgr_info_cxt(order.cmp, &key->cmp, CurrentMemoryContext);
	fmgr_info_cxt(order.hash, &key->hash, CurrentMemoryContext);
	getTypeInputInfo(base, &function, &key->ioparam);
	fmgr_info_cxt(function, &key->input, CurrentMemoryContext);
	getTypeOutputInfo(base, &function, &varlena);
	fmgr_info_cxt(function, &key->output, CurrentMemoryContext);
}

/* ---------- order ---------- */

/* ls_key_equals writes the operator by which keys are equal, for SQL. */
const char *
ls_key_equals(const LsKeyType *key)
{
	char	   *name = get_opname(key->eq_operator);
	Oid			schema = get_func_namespace(get_opcode(key->eq_operator));

	return psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(schema)), name);
}

/*
 * ls_key_enter and ls_key_leave stand around code that compares keys elsewhere, as an
 * index scan does, unless it already runs as the model's owner.
 */
void
ls_key_enter(const LsKeyType *key, LsUser *saved)
{
	if (unlikely(key->foreign_order))
		ls_user_switch_to_compute(key->owner, saved);
}

void
ls_key_leave(const LsKeyType *key, const LsUser *saved)
{
	if (unlikely(key->foreign_order))
		ls_user_restore(saved);
}

/* number gives a key that is an integer. */
static inline int64
number(const LsKeyType *key, Datum value)
{
	return key->typlen == sizeof(int32) ? DatumGetInt32(value) : DatumGetInt64(value);
}

int
ls_key_compare(LsKeyType *key, Datum a, Datum b)
{
	LsUser		saved;
	int			order;

	if (key->integer)
		return number(key, a) < number(key, b) ? -1 : number(key, a) > number(key, b);
	ls_key_enter(key, &saved);
	order = DatumGetInt32(FunctionCall2Coll(&key->cmp, key->collation, a, b));
	ls_key_leave(key, &saved);
	return order;
}

/* One of the items that are sorted by an integer */
typedef struct Numbered
{
	int64		number;
	void	   *item;
} Numbered;

#define ST_SORT sort_numbered
#define ST_ELEMENT_TYPE Numbered
#define ST_COMPARE(a, b) ((a)->number < (b)->number ? -1 : (a)->number > (b)->number)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

static int
by_key(const void *a, const void *b, void *arg)
{
	return ls_key_compare(arg, **(Datum *const *) a, **(Datum *const *) b);
}

/*
 * ls_key_sort sorts pointers to structs that begin with a key.  Integers, which most
 * keys are, are sorted beside their structs and not in them, and compared in place.
 */
void
ls_key_sort(LsKeyType *key, void **items, int n)
{
	Numbered   *numbered;

	if (!key->integer || n < 2)
	{
		qsort_arg(items, n, sizeof(void *), by_key, key);
		return;
	}
	numbered = palloc_extended(sizeof(Numbered) * (Size) n, MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		numbered[i] = (Numbered) {number(key, *(Datum *) items[i]), items[i]};
	sort_numbered(numbered, n);
	for (int i = 0; i < n; i++)
		items[i] = numbered[i].item;
	pfree(numbered);
}

/* ls_key_order compares keys in an array; arg is their type. */
int
ls_key_order(const void *a, const void *b, void *arg)
{
	return ls_key_compare(arg, *(const Datum *) a, *(const Datum *) b);
}

uint32
ls_key_hash(LsKeyType *key, Datum value)
{
	LsUser		saved;
	uint32		hash;

	ls_key_enter(key, &saved);
	hash = DatumGetUInt32(FunctionCall1Coll(&key->hash, key->collation, value));
	ls_key_leave(key, &saved);
	return hash;
}

/*
 * ls_key_operator gives an operator that compares contacts in the order of the
 * key; a type may use those of another, as varchar those of text.
 */
Oid
ls_key_operator(const LsKeyType *key, StrategyNumber strategy)
{
	Oid			left,
				right;

	op_input_types(key->eq_operator, &left, &right);
	return get_opfamily_member(key->opfamily, left, right, strategy);
}

/* ---------- text ---------- */

/* pin_settings makes text the same in every session. */
static void
pin_settings(void)
{
	static const char *const pinned[][2] = {
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
		{"lc_monetary", "C"},
	};

	for (int i = 0; i < (int) lengthof(pinned); i++)
		(void) set_config_option(pinned[i][0], pinned[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* enter and leave stand around code of users, and what depends on settings. */
static void
enter(const LsKeyType *key, bool foreign, bool pinned, LsUser *saved)
{
	if (foreign)
		ls_user_switch_to_compute(key->owner, saved);
	else
		ls_user_stay(saved);
	if (!pinned)
		return;
	if (saved->guc_nest == 0)
		saved->guc_nest = NewGUCNestLevel();
	pin_settings();
}

static void
leave(const LsUser *saved)
{
	ls_user_restore(saved);
}

/* ls_key_text gives the text of a key, the same in every session. */
char *
ls_key_text(LsKeyType *key, Datum value)
{
	LsUser		saved;
	char	   *text;

	if (!key->foreign_text && !key->styled)
		return OutputFunctionCall(&key->output, value);
	enter(key, key->foreign_text, key->styled, &saved);
	text = OutputFunctionCall(&key->output, value);
	leave(&saved);
	return text;
}

/*
 * ls_key_fits tells whether a value may be a key.  Every row is checked, in whatever
 * way it comes, so that a row without a usable key has none everywhere; whether the
 * value is compressed makes no difference.
 */
bool
ls_key_fits(LsKeyType *key, Datum value)
{
	Size		size;
	char	   *text;
	bool		fits;

	if (key->typlen > 0)
		return key->typlen <= LS_LARGEST_KEY;
	size = key->typlen == -1 ? toast_raw_datum_size(value) - VARHDRSZ :
		strlen(DatumGetCString(value));
	if (size > LS_LARGEST_KEY)
		return false;
	if (key->text_factor > 0 && size * key->text_factor <= LS_LARGEST_KEY_TEXT)
		return true;
	text = ls_key_text(key, value);
	fits = strlen(text) <= LS_LARGEST_KEY_TEXT;
	pfree(text);
	return fits;
}

/* ls_key_require_fit refuses a value given by a caller that cannot be a key. */
void
ls_key_require_fit(LsKeyType *key, Datum value)
{
	if (!ls_key_fits(key, value))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("contact of model \"%s\" is too long", key->model),
				 errdetail("A contact may have up to %d bytes, and %d as text.",
						   LS_LARGEST_KEY, LS_LARGEST_KEY_TEXT)));
}

/* refuse_function says that a function must not run as the model's owner. */
static void
refuse_function(const LsKeyType *key, Oid function, Oid type)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("type %s cannot be used for contacts of model \"%s\"",
					format_type_be(type), key->model),
			 errdetail("Function %s would run as role \"%s\", which owns the model, and belongs to a role that does not have its privileges.",
					   format_procedure(function), GetUserNameFromId(key->owner, false)),
			 type == key->type ? 0 :
			 key->type == TEXTOID ? errhint("Give text.") :
			 errhint("Give a value of type %s, or text.", format_type_be(key->type))));
}

/* check_reading refuses text if reading it would run code of untrusted roles. */
static void
check_reading(const LsKeyType *key)
{
	Oid			function = key->foreign_text ?
		ls_reach_type_untrusted(key->type, key->owner) : InvalidOid;

	if (OidIsValid(function))
		refuse_function(key, function, key->type);
}

static Datum
read_text(LsKeyType *key, const char *text, bool pinned)
{
	LsUser		saved;
	Datum		value;

	if (!key->foreign_text && !pinned)
		return InputFunctionCall(&key->input, pstrdup(text), key->ioparam, -1);
	check_reading(key);
	enter(key, key->foreign_text, pinned, &saved);
	value = InputFunctionCall(&key->input, pstrdup(text), key->ioparam, -1);
	leave(&saved);
	return value;
}

/* ls_key_read reads what ls_key_text wrote. */
Datum
ls_key_read(LsKeyType *key, const char *text)
{
	return read_text(key, text, key->styled);
}

/* ---------- what callers give ---------- */

/*
 * refuse_text says that a text is no contact of a model.  The error of the type's
 * input function has its SQLSTATE and tells why.
 */
static void
refuse_text(const LsKeyType *key, const char *text, const ErrorData *error)
{
	int			length = strlen(text);
	int			shown = length > SHOWN ? pg_mbcliplen(text, length, SHOWN) : length;

	ereport(ERROR,
			(errcode(error->sqlerrcode),
			 errmsg("invalid contact of model \"%s\": \"%.*s%s\"", key->model,
					shown, text, shown < length ? "..." : ""),
			 errdetail("Contacts are of type %s: %s.",
					   format_type_be(key->type), error->message),
			 errhint("Give a value of this type, or text that can be read as one.")));
}

/* ask_text reads text given by a caller, or refuses it. */
static Datum
ask_text(LsKeyType *key, const char *text, bool pinned)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *error;
	Datum		value = 0;

	PG_TRY();
	{
		value = read_text(key, text, pinned);
	}
	PG_CATCH();
	{
		int			class = ERRCODE_TO_CATEGORY(geterrcode());

		if (class != ERRCODE_DATA_EXCEPTION &&
			class != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		refuse_text(key, text, error);
	}
	PG_END_TRY();
	return value;
}

/*
 * call_cast calls the function of a cast, which may take a typmod and whether the
 * cast is explicit.
 */
static Datum
call_cast(LsKeyType *key, Oid function, Datum value, Oid type)
{
	LOCAL_FCINFO(fcinfo, 3);
	bool		foreign = !ls_trust_function_builtin(function);
	LsUser		saved;
	FmgrInfo	flinfo;
	Datum		result;

	if (foreign && (!ls_trust_function(function, key->owner) ||
					ls_function_aclcheck(function, key->owner) != ACLCHECK_OK))
		refuse_function(key, function, type);
	enter(key, foreign, false, &saved);
	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, flinfo.fn_nargs, key->collation, NULL, NULL);
	fcinfo->args[0] = (NullableDatum) {value, false};
	fcinfo->args[1] = (NullableDatum) {Int32GetDatum(-1), false};
	fcinfo->args[2] = (NullableDatum) {BoolGetDatum(false), false};
	result = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("function %s made no contact of model \"%s\" of a value of type %s",
						format_procedure(function), key->model, format_type_be(type))));
	leave(&saved);
	return result;
}

/* write_value writes a value that is no key as text, with pinned settings. */
static char *
write_value(LsKeyType *key, Datum value, Oid type)
{
	Oid			output;
	bool		varlena;
	bool		foreign;
	LsUser		saved;
	char	   *text;

	getTypeOutputInfo(type, &output, &varlena);
	foreign = !ls_trust_function_builtin(output);
	if (foreign && !ls_trust_function(output, key->owner))
		refuse_function(key, output, type);
	enter(key, foreign, !is_plain(type), &saved);
	text = OidOutputFunctionCall(output, value);
	leave(&saved);
	return text;
}

/*
 * ls_key_ask turns a value that a caller gives for a contact into the key's
 * type.  A domain's value is one of its base type, for which nothing is run.
 */
Datum
ls_key_ask(LsKeyType *key, Datum value, Oid type)
{
	Oid			base = getBaseType(type);
	CoercionContext allowed = COERCION_IMPLICIT;
	Oid			function;
	TYPCATEGORY category;

	if (base == key->type || IsBinaryCoercible(base, key->type))
		return value;
	/* between integers nothing is rounded: what does not fit is an error */
	if ((base == INT8OID || base == INT4OID) &&
		(key->type == INT4OID || key->type == INT2OID))
		allowed = COERCION_ASSIGNMENT;
	switch (find_coercion_pathway(key->type, base, allowed, &function))
	{
		case COERCION_PATH_RELABELTYPE:
			return value;
		case COERCION_PATH_FUNC:
			return call_cast(key, function, value, type);
		default:
			break;
	}
	/* other numbers as they are written, so that none is rounded to a contact */
	category = TypeCategory(base);
	if (category == TYPCATEGORY_STRING || base == UNKNOWNOID)
		return ask_text(key, write_value(key, value, base), false);
	if (category != TYPCATEGORY_NUMERIC || TypeCategory(key->type) != TYPCATEGORY_NUMERIC)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("contacts of model \"%s\" are of type %s, not %s", key->model,
						format_type_be(key->type), format_type_be(type)),
				 key->type == TEXTOID ? errhint("Give text.") :
				 errhint("Give a value of type %s, or text.", format_type_be(key->type))));
	return ask_text(key, write_value(key, value, base), key->styled);
}
