/*-------------------------------------------------------------------------
 *
 * validate_keyed.c
 *		What is refused of rules whose rows depend on other rows.
 *
 * validate_rule.c has said which columns go with the rule's kind; here is which of them
 * go with one another.
 *
 *-------------------------------------------------------------------------
 */
#include "model/validate.h"

#include "rules/model_compile.h"

/* refuse raises the error that a column has no meaning in a rule. */
static void
refuse(const char *column, const char *where, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("column \"%s\" is not allowed in %s", column, where),
			 errdetail("%s", why),
			 errhint("%s", hint)));
}

/* check_max_per checks what max_per goes with. */
static void
check_max_per(const LsRuleRow *row, bool once, const char *where)
{
	if (row->max_per_null)
		return;
	if (row->per == NULL)
		refuse("max_per", where, "It limits what the rows of one value of per give, and per is not set.",
			   "Set per to the expression that tells which rows belong together, or use max_points to limit all of them.");
	if (once)
		refuse("max_per", where, "Its award is once: its points are given once, whatever the values.",
			   "Leave max_per NULL, or set award to \"each\".");
	if (!row->max_per_period_null)
		refuse("max_per", where, "It has max_per_period, too: the two limits cannot be combined.",
			   "Leave one of max_per and max_per_period NULL.");
}

/* check_cancelled checks what columns about rows that cancel go with. */
static void
check_cancelled(const LsRuleRow *row, const char *where)
{
	if (row->cancelled_per == NULL)
		return;
	if (row->per == NULL && row->follows == NULL)
		refuse("cancelled_per", where, "It is compared with per, which is not set.",
			   "Set per as well, or leave cancelled_per NULL: without per an event cancels all before it.");
	if (!ls_lead_rule_cancels(row))
		refuse("cancelled_per", where, "Nothing tells which rows cancel others.",
			   "Set cancelled_by, cancelled_condition or cancelled_source.");
}

/* check_sequence checks the columns of a sequence. */
static void
check_sequence(const LsRuleRow *row, const char *where)
{
	if (row->max_gap == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s needs max_gap", where),
				 errhint("Set max_gap to the time within which the second event has to follow the first.")));
	if (row->followed_per && row->per == NULL && row->follows == NULL)
		refuse("followed_per", where, "It is compared with per, which is not set.",
			   "Set per as well, or leave followed_per NULL: without per any event of the contact may follow.");
}

/* check_follows checks that a sequence that follows another has no rows of its own. */
static void
check_follows(const LsRuleRow *row, const char *where)
{
	const struct
	{
		const char *column;
		bool		given;
	}			columns[] = {
		{"source", row->source != NULL},
		{"event", row->event != NULL},
		{"condition", row->condition != NULL},
		{"weight", row->weight != NULL},
		{"tag", row->tag != NULL},
		{"events_from", row->events_from != DT_NOBEGIN},
		{"events_before", row->events_before != DT_NOEND}
	};

	if (row->per)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"per\" is not supported yet in a rule that follows another"),
				 errdetail("It is set in %s.", where),
				 errhint("Leave it NULL: that of sequence \"%s\" is used.", row->follows)));
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (columns[i].given)
			refuse(columns[i].column, where,
				   psprintf("It follows sequence \"%s\": what that has counted stands in the place of its first event.",
							row->follows),
				   "Leave it NULL.");
}

/* ls_validate_keyed checks the columns of a rule that go with one another. */
void
ls_validate_keyed(const LsRuleRow *row, LsKind kind, bool once, const char *where)
{
	check_max_per(row, once, where);
	check_cancelled(row, where);
	if (kind == LS_SEQUENCE)
		check_sequence(row, where);
	if (row->follows)
		check_follows(row, where);
}
