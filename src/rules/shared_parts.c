/*-------------------------------------------------------------------------
 *
 * shared_parts.c
 *		What rules of a model have in common, so that it is computed once.
 *
 * Rules over the same table often have the same condition: it is compiled once, and
 * evaluated once a row (ls_expr_eval_on_row).  Rules of a category often decay with the
 * same half-life: 2^(age / half-life) is computed once an instant, and what they give
 * goes on as one piece of a curve.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include <math.h>

#include "common/hashfn.h"

/* An expression by its text, while a model is compiled */
typedef struct ExpressionKey
{
	LsExprUse	use;
	Oid			relation;
	const char *text;
} ExpressionKey;

typedef struct SharedExpression
{
	ExpressionKey key;
	char		status;			/* simplehash */
	LsExpr	   *expr;
} SharedExpression;

#define SH_PREFIX lsshared
#define SH_ELEMENT_TYPE SharedExpression
#define SH_KEY_TYPE ExpressionKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) \
	(hash_bytes((const unsigned char *) (key).text, strlen((key).text)) ^ (key).relation ^ (uint32) (key).use)
#define SH_EQUAL(tb, a, b) \
	((a).use == (b).use && (a).relation == (b).relation && strcmp((a).text, (b).text) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * ls_shared_parts_find gives what an earlier rule has compiled from a text for a table,
 * to be used once more; NULL if none has.
 */
LsExpr *
ls_shared_parts_find(LsModel *model, LsExprUse use, Oid relation, const char *text)
{
	ExpressionKey key = {use, relation, text};
	SharedExpression *shared = model->shared ? lsshared_lookup(model->shared, key) : NULL;

	if (shared == NULL)
		return NULL;
	shared->expr->users++;
	return shared->expr;
}

/* ls_shared_parts_add records what was compiled, for rules after this one. */
void
ls_shared_parts_add(LsModel *model, LsExprUse use, Oid relation, const char *text, LsExpr *expr)
{
	ExpressionKey key = {use, relation, text};
	bool		found;

	if (model->shared == NULL)
		model->shared = lsshared_create(model->context, 32, NULL);
	lsshared_insert(model->shared, key, &found)->expr = expr;
}

/* half_life gives the index of a rule's half-life, added if it is the first. */
static int
half_life(LsModel *model, const LsRule *rule)
{
	LsHalfLife *new;
	int			i = 0;

	while (i < model->nhalf_lives && (model->half_lives[i].category != rule->category ||
									  model->half_lives[i].interval != rule->decay.interval))
		i++;
	if (i < model->nhalf_lives)
		return i;
	new = &model->half_lives[model->nhalf_lives++];
	new->category = rule->category;
	new->interval = rule->decay.interval;
	/* what holds at 0, which is a landmark */
	new->fall = new->rise = 1.0;
	return i;
}

/* is_plain tells whether a rule is evaluated by add_plain() of rule_points.c. */
static bool
is_plain(const LsRule *rule)
{
	return rule->kind == LS_EVENT && !rule->keyed && rule->enabled && !rule->draft && !rule->backfilling &&
		!rule->disqualifies && !rule->once && !rule->bucketed && rule->at_least <= 1 &&
		isinf(rule->max_points) && !rule->broken;
}

/*
 * ls_shared_parts_set finds the half-lives of a model whose rules are read, and its
 * plain rules.  One that turns out to be broken later matches and gives nothing from
 * then on (skip).
 */
void
ls_shared_parts_set(LsModel *model)
{
	model->half_lives = palloc0(sizeof(LsHalfLife) * Max(1, model->nrules));
	for (int i = 0; i < model->nrules; i++)
	{
		LsRule	   *rule = &model->rules[i];

		rule->plain = is_plain(rule);
		rule->half_life = -1;
		if (ls_rule_counts_events(rule) && !rule->bucketed && rule->category >= 0 && !rule->broken &&
			rule->decay.kind == LS_DECAY_HALF_LIFE)
			rule->half_life = half_life(model, rule);
	}
}
