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

/* same_expression tells whether a compiled expression means the same as a text. */
static bool
same_expression(const LsExpr *expr, Oid relation, uint32 hash, const char *text)
{
	return expr != NULL && expr->text_hash == hash && expr->relation == relation &&
		strcmp(expr->text, text) == 0;
}

/*
 * ls_shared_parts_expression finds what an earlier rule has compiled from the same
 * text for the same table, to be used once more; NULL: none has.
 */
LsExpr *
ls_shared_parts_expression(const LsModel *model, LsExprUse use, Oid relation,
						   const char *text)
{
	uint32		hash = hash_bytes((const unsigned char *) text, strlen(text));

	for (int i = 0; i < model->nrules; i++)
	{
		const LsRule *rule = &model->rules[i];
		LsExpr	   *expr = use == LS_EXPR_CONDITION ? rule->condition : rule->weight;

		if (same_expression(expr, relation, hash, text))
		{
			expr->users++;
			return expr;
		}
	}
	return NULL;
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
	return rule->kind == LS_EVENT && rule->enabled && !rule->draft && !rule->backfilling &&
		!rule->disqualifies && !rule->once && !rule->bucketed && rule->at_least <= 1 &&
		isinf(rule->max_points) && !rule->broken;
}

/* ls_shared_parts_set finds the half-lives of a model, and its plain rules. */
void
ls_shared_parts_set(LsModel *model)
{
	model->half_lives = palloc0(sizeof(LsHalfLife) * Max(1, model->nrules));
	for (int i = 0; i < model->nrules; i++)
	{
		LsRule	   *rule = &model->rules[i];

		rule->plain = is_plain(rule);
		rule->half_life = -1;
		if (rule->kind == LS_EVENT && !rule->bucketed && rule->category >= 0 && !rule->broken &&
			rule->decay.kind == LS_DECAY_HALF_LIFE)
			rule->half_life = half_life(model, rule);
	}
}
