/*-------------------------------------------------------------------------
 *
 * expression_internal.h
 *		What the expression files share while an expression is compiled.
 *
 * expression_parse.c turns the text into an expression, expression_check.c checks it;
 * expression.c calls the two, has it planned, and stores and runs the result.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EXPRESSION_INTERNAL_H
#define LEADSCORE_EXPRESSION_INTERNAL_H

#include "postgres.h"

#include "nodes/primnodes.h"
#include "parser/parse_node.h"

#include "rules/expression.h"

/* What the steps of a compilation share. */
typedef struct LsCompile
{
	const LsExprSpec *spec;
	ParseState *pstate;
	Node	   *analysed;		/* before planning, which inlines functions */
	List	   *functions;		/* that it calls */
	LsReach		reach;			/* ... and all that these reach */
	List	   *clock_words;	/* where literals like 'today' are */
	List	   *numbers;		/* constants, cast as their operators want them */
	Oid			type;			/* of a value ... */
	LsExprForm	form;			/* ... and what comes out of it */
	bool		resolving;		/* names are being looked up */
	bool		named;			/* the message says which expression it is */
} LsCompile;

/* What an expression means that its author may not have meant */
typedef struct LsExprAdvice
{
	char	   *message;
	char	   *hint;			/* or NULL */
} LsExprAdvice;

/* what to write instead of the current time: a word or a function */
#define LS_CLOCK_HINT \
	"A rule is asked about the past too: use time_frame, decay or events_from instead of the current time."

/* expression_parse.c */
extern void ls_expr_compile_error(void *arg);
extern const char *ls_expr_named(LsCompile *c);
extern void ls_expr_refuse(LsCompile *c, const char *what, int location,
						   const char *hint);
extern Node *ls_expr_param(int id, const Const *like);
extern void ls_expr_gather_functions(LsCompile *c, Node *node);
extern void ls_expr_analyse(LsCompile *c);
extern void ls_expr_read_text(LsCompile *c);

/* expression_advice.c */
extern LsExprAdvice *ls_expr_advise(const LsCompile *c);
extern void ls_expr_tell(const LsExprAdvice *advice);

/* expression_check.c */
extern bool ls_expr_is_datetime(Oid type);
extern void ls_expr_check_immutable(LsCompile *c, Node *planned);
extern void ls_expr_classify(LsExpr *expr, Node *planned);

#endif							/* LEADSCORE_EXPRESSION_INTERNAL_H */
