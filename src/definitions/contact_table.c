/*-------------------------------------------------------------------------
 *
 * contact_table.c
 *		Whether a model can rely on its contact table.
 *
 * A model reads its contact table as its owner.  Where the owner does not see all of
 * it, contacts would seem to be deleted; where nothing keeps the key unique, one
 * would have two rows.  So such a model is suspended, which is checked whenever its
 * row is read (lead_tables.c): privileges and indexes change in many ways, some of
 * which fire no event trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/contact_table.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/key.h"
#include "base/relation.h"

/*
 * Whether a command of this transaction may have changed whether models are
 * suspended, so that they have to be looked at before it commits (resume.c)
 */
bool		ls_contacts_undecided = false;

/*
 * ls_contact_table_rows_hidden tells whether row security hides rows of a table from
 * a role that reads it.  Unlike check_enable_rls() it does not depend on the context:
 * our own statements bypass row security that is forced on its owner.
 */
bool
ls_contact_table_rows_hidden(Oid relation, Oid role)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class form;
	bool		hidden;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	hidden = form->relrowsecurity && !has_bypassrls_privilege(role) &&
		(form->relforcerowsecurity || !has_privs_of_role(role, form->relowner));
	ReleaseSysCache(tuple);
	return hidden;
}

/*
 * is_unique tells whether an index keeps the values of a column distinct in the sense
 * in which the score table's key does.
 */
static bool
is_unique(Oid indexid, const Form_pg_attribute column, Oid equality)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	Form_pg_index index;
	Oid			collation;
	Oid			opclass;
	Oid			input;
	bool		fits;
	bool		primary;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	index = (Form_pg_index) GETSTRUCT(tuple);
	collation = ((oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															   Anum_pg_index_indcollation,
															   &isnull)))->values[0];
	fits = index->indisunique && index->indimmediate && index->indisvalid &&
		index->indislive && index->indnkeyatts == 1 &&
		index->indkey.values[0] == column->attnum &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	primary = index->indisprimary;
	ReleaseSysCache(tuple);
	if (!fits)
		return false;
	/* what a primary key compares by cannot be chosen */
	if (primary)
		return true;
	opclass = get_index_column_opclass(indexid, 1);
	input = get_opclass_input_type(opclass);
	if (get_opfamily_member(get_opclass_family(opclass), input, input,
							BTEqualStrategyNumber) != equality)
		return false;
	/* a case-insensitive column may be unique by case only */
	return !OidIsValid(column->attcollation) || collation == column->attcollation ||
		get_collation_isdeterministic(column->attcollation);
}

/*
 * ls_contact_table_column_unique tells whether a table has an index that keeps a
 * column unique: valid, on the plain column, neither partial nor deferrable.
 */
bool
ls_contact_table_column_unique(Relation rel, AttrNumber attno)
{
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	Oid			equality = ls_key_equality(getBaseType(column->atttypid));
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
		if (is_unique(lfirst_oid(lc), column, equality))
			return true;
	return false;
}

/* problem makes the error; mend is the hint. */
static ErrorData *
problem(int code, char *message, const char *mend)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));

	error->elevel = ERROR;
	error->sqlerrcode = code;
	error->message = message;
	error->hint = psprintf("%s  The model then goes on by itself.", mend);
	return error;
}

/* may_read tells whether a role may read a column. */
static bool
may_read(Oid relation, const char *column, Oid role)
{
	AttrNumber	attno = column ? get_attnum(relation, column) : InvalidAttrNumber;

	return attno <= 0 ||
		pg_attribute_aclcheck(relation, attno, role, ACL_SELECT) == ACLCHECK_OK;
}

/* rights_error says why the owner of a model cannot read its contact table. */
static ErrorData *
rights_error(const LsModelRow *model)
{
	Oid			relation = model->contacts;
	const char *table = get_rel_name(relation);
	Oid			schema = get_rel_namespace(relation);
	const char *role;

	if (!ls_contact_table_rows_hidden(relation, model->owner) &&
		ls_schema_aclcheck(schema, model->owner) == ACLCHECK_OK &&
		(pg_class_aclcheck(relation, model->owner, ACL_SELECT) == ACLCHECK_OK ||
		 (may_read(relation, model->key, model->owner) &&
		  may_read(relation, model->created_at, model->owner))))
		return NULL;
	role = GetUserNameFromId(model->owner, true);
	if (role == NULL || table == NULL)
		return NULL;
	if (ls_contact_table_rows_hidden(relation, model->owner))
		return problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("row-level security of its contact table \"%s\" hides rows from its owner, role \"%s\"",
								table, role),
					   psprintf("Give the role BYPASSRLS, or use ALTER TABLE %s NO FORCE ROW LEVEL SECURITY.",
								ls_relation_qualified_name(relation)));
	if (ls_schema_aclcheck(schema, model->owner) != ACLCHECK_OK)
		return problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("its owner, role \"%s\", may not use schema \"%s\" of its contact table",
								role, get_namespace_name(schema)),
					   psprintf("Use GRANT USAGE ON SCHEMA %s TO %s.",
								quote_identifier(get_namespace_name(schema)), quote_identifier(role)));
	return problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
				   psprintf("its owner, role \"%s\", may not read its contact table \"%s\"", role, table),
				   psprintf("Use GRANT SELECT ON %s TO %s.",
							ls_relation_qualified_name(relation), quote_identifier(role)));
}

/* key_error says what is wrong with the column that identifies contacts. */
static ErrorData *
key_error(const LsModelRow *model)
{
	bool		locked;
	Relation	rel = ls_relation_open(model->contacts, &locked);
	AttrNumber	attno = rel ? ls_relation_column(rel, model->key) : InvalidAttrNumber;
	bool		unique = attno <= 0 || ls_contact_table_column_unique(rel, attno);

	if (rel)
		ls_relation_close(rel, locked);
	if (unique)
		return NULL;
	return problem(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   psprintf("there is no unique constraint on column \"%s\" of its contact table \"%s\"",
							model->key, get_rel_name(model->contacts)),
				   psprintf("Create an index with CREATE UNIQUE INDEX ON %s (%s).",
							ls_relation_qualified_name(model->contacts), quote_identifier(model->key)));
}

/*
 * ls_contacts_error says why a model cannot rely on its contact table, or gives NULL:
 * it can, or it has none, or that is still being restored.
 */
ErrorData *
ls_contacts_error(const LsModelRow *model)
{
	ErrorData  *error;

	if (model->visitors_of || model->restoring || !OidIsValid(model->owner))
		return NULL;
	error = rights_error(model);
	return error ? error : key_error(model);
}
