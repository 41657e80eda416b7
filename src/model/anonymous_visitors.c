/*-------------------------------------------------------------------------
 *
 * anonymous_visitors.c
 *		The model that scores the visitors of another model, by its rules.
 *
 * Anonymous events have the key of a visitor instead of a contact.  Visitors are scored
 * as the contacts of a model of their own, <model>_visitors, which is created when the
 * first source with visitors is attached, and dropped with the model.  It uses the
 * rules, stages, grades and categories of the model that it belongs to, under the same
 * versions.  It has no contact table, so profile rules give visitors no points.  Its
 * sources are those of the model that have a visitor column, restricted to rows without
 * a contact.
 *
 *-------------------------------------------------------------------------
 */
#include "model/anonymous_visitors.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/sql.h"
#include "definitions/daily_tables.h"
#include "definitions/extension.h"
#include "definitions/model_tables.h"
#include "definitions/source_triggers.h"

#define SUFFIX "_visitors"

/* ls_visitors_refuse refuses to change a model of visitors directly. */
void
ls_visitors_refuse(const LsModelRow *model)
{
	if (model->visitors_of == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("model \"%s\" scores the visitors of model \"%s\" and cannot be changed by itself",
					model->model, model->visitors_of),
			 errhint("Change model \"%s\": what it says holds for its visitors.", model->visitors_of)));
}

/* ls_visitors_check refuses a column that cannot identify visitors. */
void
ls_visitors_check(const LsModelRow *model, const LsSourceRow *source)
{
	AttrNumber	attno = ls_source_find_column(source->relation, source->visitor);
	Oid			type = getBaseType(get_atttype(source->relation, attno));
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_CMP_PROC |
											  TYPECACHE_HASH_PROC);

	if (strcmp(source->visitor, source->contact) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" cannot hold both contacts and visitors", source->visitor),
				 errhint("A row is a visitor's where its contact is NULL: name the column that has the visitor then.")));
	if (get_attgenerated(source->relation, attno) == 'v')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("visitors cannot be identified by the virtual generated column \"%s\"",
						source->visitor),
				 errhint("Make it a stored generated column.")));
	if (!OidIsValid(entry->eq_opr) || !OidIsValid(entry->cmp_proc) ||
		!OidIsValid(entry->hash_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("visitors cannot be identified by column \"%s\" of type %s",
						source->visitor, format_type_be(type)),
				 errdetail("The type has no default operator class for hash and btree.")));
	if (ls_lead_visitors_model(model->model) == NULL &&
		strlen(model->model) + strlen(SUFFIX) > LS_MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("the name of model \"%s\" is too long for one that has visitors", model->model),
				 errdetail("They are scored by a model \"%s%s\".", model->model, SUFFIX)));
}

/* write_row inserts the row of lead_model. */
static void
write_row(const LsModelRow *model, const char *name)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model->model);
	ls_sql_add_text(&args, name);
	ls_extension_execute("INSERT INTO leadscore_internal.lead_model (model, accepted_owner, accepted_contacts, contacts, key, time_zone,"
						 " max_drift, max_drift_ratio, min_score, max_score, enabled, visitors_of)"
						 " SELECT $2, accepted_owner, accepted_contacts, contacts, key, time_zone, max_drift, max_drift_ratio,"
						 " min_score, max_score, enabled, $1 FROM leadscore_internal.lead_model"
						 " WHERE model = $1", &args);
}

/*
 * ls_visitors_make gives the name of the model that scores a model's visitors, creating
 * it where there is none.  The type of its key is that of the first visitor column.
 */
char *
ls_visitors_make(const LsModelRow *model, const LsSourceRow *source)
{
	char	   *name = ls_lead_visitors_model(model->model);
	LsModelTables tables;
	int32		typmod;
	ListCell   *lc;

	if (name)
		return name;
	name = psprintf("%s%s", model->model, SUFFIX);
	if (ls_lead_model(name, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", name),
				 errdetail("The visitors of model \"%s\" would need the name.", model->model)));
	ls_tables_check_free(name);
	ls_tables_read(model, &tables);
	if (!OidIsValid(ls_extension_table(psprintf("identity_%s", model->model), true)))
	{
		Oid			type,
					collation;

		get_atttypetypmodcoll(source->relation, get_attnum(source->relation, source->visitor),
							  &type, &typmod, &collation);
		ls_tables_make_identity(&tables, getBaseType(type), collation);
	}
	get_atttypetypmodcoll(ls_extension_table(psprintf("identity_%s", model->model), false), 1,
						  &tables.key_type, &typmod, &tables.key_collation);
	tables.row.model = name;
	tables.row.visitors_of = model->model;
	tables.row.created_at = NULL;
	ls_tables_make(&tables);
	write_row(model, name);
	ls_daily_begin(&tables.row);
	foreach(lc, ls_source_recorded_relations(model->model, NULL))
		ls_source_record_relation(name, NULL, lfirst_oid(lc));
	CommandCounterIncrement();
	return name;
}

/*
 * ls_visitors_follow copies limits, drift, enabled and the accepted owner of a model to
 * the model of its visitors.
 */
void
ls_visitors_follow(const char *model)
{
	LsSqlArguments args = {0};

	if (ls_lead_visitors_model(model) == NULL)
		return;
	ls_sql_add_text(&args, model);
	ls_extension_execute("UPDATE leadscore_internal.lead_model v SET max_drift = m.max_drift,"
						 " max_drift_ratio = m.max_drift_ratio, min_score = m.min_score,"
						 " max_score = m.max_score, enabled = m.enabled,"
						 " accepted_owner = m.accepted_owner, accepted_contacts = m.accepted_contacts"
						 " FROM leadscore_internal.lead_model m WHERE m.model = $1"
						 " AND v.visitors_of = $1", &args);
	CommandCounterIncrement();
}
