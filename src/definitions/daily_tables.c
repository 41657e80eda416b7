/*-------------------------------------------------------------------------
 *
 * daily_tables.c
 *		Days of a model: its midnights, and the tables that days are written to.
 *
 * lead_day has the last day that is written.  funnel_daily_<model> is made with the
 * model, daily_<model> where it is asked for, with a partition for each month.  Both
 * are re-created where their owner has dropped them.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/daily_tables.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/clock.h"
#include "base/decay.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "definitions/extension.h"
#include "definitions/model_tables.h"

/*
 * ls_daily_midnight gives the instant at which a day begins in a zone, as AT TIME ZONE
 * does; where clocks skip midnight, the first instant after that.
 */
TimestampTz
ls_daily_midnight(DateADT day, pg_tz *tz)
{
	struct pg_tm tm = {0};

	j2date(day + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	return day * LS_DAY + DetermineTimeZoneOffset(&tm, tz) * LS_SECOND;
}

/* ls_daily_date gives the day of an instant. */
DateADT
ls_daily_date(TimestampTz t, pg_tz *tz)
{
	return (DateADT) ls_decay_floor_div(ls_clock_local(t, tz), LS_DAY);
}

/* ls_daily_zone gives the time zone of a model's days. */
pg_tz *
ls_daily_zone(const LsModelRow *row)
{
	pg_tz	   *tz = pg_tzset(row->time_zone);

	return tz ? tz : pg_tzset("GMT");
}

/* ls_daily_written_to reads the last day of a model that is written, as it is now. */
bool
ls_daily_written_to(const char *model, DateADT *day)
{
	Relation	rel = table_open(ls_extension_base_table("lead_day", false), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;
	bool		isnull;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		*day = DatumGetDateADT(heap_getattr(tuple, 2, RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
ls_daily_begun(const char *model)
{
	DateADT		unused;

	return ls_daily_written_to(model, &unused);
}

/* ls_daily_next gives the midnight at which a model's next day is written. */
TimestampTz
ls_daily_next(const char *model)
{
	LsModelRow *row = ls_lead_model(model, NULL);
	DateADT		day;

	if (row == NULL || !row->enabled || !ls_daily_written_to(model, &day))
		return DT_NOEND;
	return ls_daily_midnight(day + 2, ls_daily_zone(row));
}

/*
 * ls_daily_needs gives the instant from which on the history of a model is needed for
 * days that are still to be written; DT_NOEND: none ever will be.
 */
TimestampTz
ls_daily_needs(const char *model)
{
	LsModelRow *row = ls_lead_model(model, NULL);
	DateADT		day;

	return row && ls_daily_written_to(model, &day) ? ls_daily_midnight(day, ls_daily_zone(row)) : DT_NOEND;
}

/* ---------- tables ---------- */

/* ls_daily_make_funnel makes funnel_daily_<model> if it does not exist. */
void
ls_daily_make_funnel(const LsModelRow *row)
{
	static const char *const comments[][2] = {
		{"day", "the day, in the time zone of the model"},
		{"stage", "stage that contacts were in when the day ended, or entered or left during it"},
		{"grade", "grade that they had when the day ended; null: none"},
		{"contacts", "how many contacts were in the stage when the day ended"},
		{"entered", "how often the stage was entered during the day"},
		{"left", "how often the stage was left during the day"},
		{"score_sum", "sum of the scores that the contacts in the stage had when the day ended"},
	};
	char	   *name = psprintf("funnel_daily_%s", row->model);

	if (OidIsValid(ls_extension_table(name, true)))
		return;
	ls_extension_execute(psprintf("CREATE TABLE leadscore.%s (day pg_catalog.date NOT NULL,"
								  " stage pg_catalog.text NOT NULL, grade pg_catalog.text,"
								  " contacts pg_catalog.int8 NOT NULL, entered pg_catalog.int8 NOT NULL,"
								  " \"left\" pg_catalog.int8 NOT NULL, score_sum pg_catalog.float8 NOT NULL,"
								  " UNIQUE NULLS NOT DISTINCT (day, stage, grade))", name), NULL);
	ls_tables_publishable(name);
	ls_extension_execute(psprintf("COMMENT ON TABLE leadscore.%s IS"
								  " 'stages and grades of model %s at the end of each day'",
								  name, row->model), NULL);
	for (int i = 0; i < (int) lengthof(comments); i++)
		ls_tables_comment(name, comments[i][0], comments[i][1]);
	ls_tables_give_one(name, row->owner);
}

/* ls_daily_begin makes a model's days begin with the current one. */
void
ls_daily_begin(const LsModelRow *row)
{
	LsSqlArguments args = {0};

	ls_daily_make_funnel(row);
	ls_sql_add_text(&args, row->model);
	ls_sql_add(&args, DATEOID, DateADTGetDatum(ls_daily_date(ls_clock(), ls_daily_zone(row)) - 1));
	ls_extension_execute("INSERT INTO leadscore_internal.lead_day (model, written_to) VALUES ($1, $2)"
						 " ON CONFLICT (model) DO NOTHING", &args);
}

/* ls_daily_make_table makes daily_<model> if it does not exist. */
void
ls_daily_make_table(const LsModelRow *row)
{
	char	   *name = psprintf("daily_%s", row->model);
	LsModelTables tables;
	StringInfoData sql;

	if (OidIsValid(ls_extension_table(name, true)))
		return;
	ls_tables_read(row, &tables);
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE leadscore.%s (day pg_catalog.date NOT NULL,"
					 " contact_id %s%s NOT NULL, score pg_catalog.float8 NOT NULL", name,
					 ls_tables_type(tables.key_type),
					 ls_tables_collation(tables.key_type, tables.key_collation));
	for (int i = 0; i < tables.ncategories; i++)
	{
		if (strcmp(tables.categories[i], "day") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("the contacts of model \"%s\" cannot be kept by day", row->model),
					 errdetail("It has a category \"day\", which is the name of another column of table \"%s.%s\".",
							   LEADSCORE_SCHEMA, name)));
		appendStringInfo(&sql, ", %s pg_catalog.float8 NOT NULL",
						 quote_identifier(tables.categories[i]));
	}
	appendStringInfoString(&sql, ", grade pg_catalog.text, stage pg_catalog.text NOT NULL,"
						   " PRIMARY KEY (day, contact_id)) PARTITION BY RANGE (day)");
	ls_extension_execute(sql.data, NULL);
	ls_extension_execute(psprintf("COMMENT ON TABLE leadscore.%s IS"
								  " 'contacts of model %s at the end of each day'",
								  name, row->model), NULL);
	ls_tables_comment(name, "day", "the day, in the time zone of the model");
	ls_tables_comment(name, "contact_id", "contact: the key of the contact table");
	ls_tables_comment(name, "score", "score when the day ended");
	for (int i = 0; i < tables.ncategories; i++)
		ls_tables_comment(name, tables.categories[i],
						  "points of the category, within its limits, when the day ended");
	ls_tables_comment(name, "grade", "grade when the day ended; null: none");
	ls_tables_comment(name, "stage", "stage that the contact was in when the day ended");
	ls_tables_give_one(name, row->owner);
}

/* has_partition tells whether there is a partition for a row of a day. */
static bool
has_partition(Oid parent, DateADT day)
{
	Relation	rel = table_open(parent, AccessShareLock);
	PartitionKey key = RelationGetPartitionKey(rel);
	PartitionBoundInfo bounds;
	Datum		value = DateADTGetDatum(day);
	bool		found = false;
	bool		equal;

	if (key == NULL || key->strategy != PARTITION_STRATEGY_RANGE ||
		key->partnatts != 1 || key->parttypid[0] != DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not partitioned by days", RelationGetRelationName(rel)),
				 errhint("Drop it: it is made again.")));
	bounds = RelationGetPartitionDesc(rel, true)->boundinfo;
	if (bounds)
	{
		int			place = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
														  bounds, 1, &value, &equal);

		found = bounds->indexes[place + 1] >= 0 || partition_bound_has_default(bounds);
	}
	table_close(rel, NoLock);
	return found;
}

/* copy_grants gives a partition the privileges granted on its parent. */
static void
copy_grants(Oid parent, Oid partition)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	old = SearchSysCache1(RELOID, ObjectIdGetDatum(parent));
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(partition));
	Datum		values[Natts_pg_class] = {0};
	bool		nulls[Natts_pg_class] = {0};
	bool		replaces[Natts_pg_class] = {0};
	bool		isnull;
	Datum		acl;

	if (!HeapTupleIsValid(old) || !HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u or %u", parent, partition);
	acl = SysCacheGetAttr(RELOID, old, Anum_pg_class_relacl, &isnull);
	if (!isnull)
	{
		values[Anum_pg_class_relacl - 1] = acl;
		replaces[Anum_pg_class_relacl - 1] = true;
		tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replaces);
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
		recordDependencyOnNewAcl(RelationRelationId, partition, 0,
								 ((Form_pg_class) GETSTRUCT(tuple))->relowner,
								 DatumGetAclPCopy(acl));
	}
	ReleaseSysCache(old);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

/* copy_checks gives a partition the check constraints of its parent. */
static void
copy_checks(Oid parent, const char *partition)
{
	LsSqlArguments args = {0};
	SPITupleTable *rows;

	ls_sql_add(&args, OIDOID, ObjectIdGetDatum(parent));
	rows = ls_sql_query_as_owner(parent, "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
								 " WHERE conrelid = $1 AND contype = 'c'", &args);
	for (uint64 i = 0; i < rows->numvals; i++)
		ls_sql_execute_as_owner(parent, psprintf("ALTER TABLE leadscore.%s ADD CONSTRAINT %s %s", partition,
												 quote_identifier(ls_sql_text(rows, i, 1)),
												 ls_sql_text(rows, i, 2)), NULL);
}

/*
 * ls_daily_make_partition makes the partition of daily_<model> that a day belongs to,
 * if there is none.  It is made by itself and then attached, which does not wait for
 * readers of other partitions.  Its name may be taken by the table of another model.
 */
void
ls_daily_make_partition(const char *model, DateADT day)
{
	Oid			parent = ls_extension_table(psprintf("daily_%s", model), false);
	char	   *name;
	int			year,
				month,
				next,
				unused;

	if (has_partition(parent, day))
		return;
	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &unused);
	name = psprintf("daily_%s_%04d%02d", model, year, month);
	for (int i = 1; OidIsValid(ls_extension_table(name, true)); i++)
		name = psprintf("daily_%s_%04d%02d_%d", model, year, month, i);
	next = year * 12 + month;	/* months from 0 on, and the one after */
	ls_extension_execute(psprintf("CREATE TABLE leadscore.%s (LIKE leadscore.daily_%s INCLUDING COMMENTS)",
								  name, model), NULL);
	ls_extension_execute(psprintf("COMMENT ON TABLE leadscore.%s IS"
								  " 'contacts of model %s at the end of each day of %04d-%02d'",
								  name, model, year, month), NULL);
	ls_tables_give_one(name, ls_relation_owner(parent));
	copy_grants(parent, ls_extension_table(name, false));
	copy_checks(parent, name);
	ls_sql_execute_as_owner(parent, psprintf("ALTER TABLE leadscore.daily_%s ATTACH PARTITION leadscore.%s"
											 " FOR VALUES FROM ('%04d-%02d-01') TO ('%04d-%02d-01')",
											 model, name, year, month, next / 12, next % 12 + 1), NULL);
}
