/*-------------------------------------------------------------------------
 *
 * expression_rename.c
 *		One text of a rule or stage, rewritten when what it names is renamed.
 *
 * What a text means is read before the command, under the old names: a tree in which
 * columns are numbers and labels are OIDs.  After the command words of the text that
 * are the old name are replaced so that it means the same again, as equal() tells,
 * which does not look at places in the text.  So it does not matter what else has
 * this name: a function, a type, a variable, an alias.
 *
 * Literals are recognised by their constants: one whose text has changed with the
 * command, as that of an enum's label does, is rewritten.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/expression_rename.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "common/kwlookup.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/transaction.h"
#include "base/user.h"

/* Token numbers that are hard-wired into the core lexer, as PL/pgSQL uses them */
#define TOKEN_IDENT		258
#define TOKEN_UIDENT	259
#define TOKEN_SCONST	261
#define TOKEN_USCONST	262

/* With more words than this not every choice among them is tried */
#define MAX_WORDS		10

/* A word or literal of a text */
typedef struct Token
{
	int			start;
	int			end;
	int			kind;
	int			name;			/* where the name begins of which it is a part */
	bool		ends_name;
	bool		column;			/* it ends the name of a column */
	char	   *replacement;	/* NULL: none, or it depends */
} Token;

/* A text that is being rewritten */
typedef struct Rewrite
{
	LsExprSpec *spec;
	LsRenamedText *text;
	List	   *tokens;			/* of Token: those that may have to be replaced */
	List	   *words;			/* those of them that are the old name */
	const char *new_name;		/* as an identifier */
} Rewrite;

/* ---------- what a text means ---------- */

/*
 * ls_expr_mentions tells whether a name may occur in a text.  Where it may be
 * written with escapes, it may.
 */
bool
ls_expr_mentions(const char *text, const char *name)
{
	size_t		length = strlen(name);

	if (text == NULL)
		return false;
	if (strpbrk(text, "\\") || strpbrk(name, "\"'"))
		return true;
	for (; *text; text++)
		if (pg_strncasecmp(text, name, length) == 0)
			return true;
	return false;
}

/* A tree whose constants are written as text, for ls_subtransaction_run() */
typedef struct Writing
{
	Node	   *tree;
	Oid			role;
	List	   *literals;
} Writing;

/* add_literal writes a constant as text; a null stands for constants without a text. */
static bool
add_literal(Node *node, void *context)
{
	Writing    *writing = context;

	if (node == NULL)
		return false;
	if (IsA(node, Const))
	{
		Const	   *constant = (Const *) node;
		Oid			output;
		bool		varlena;
		char	   *text = NULL;

		if (!constant->constisnull)
		{
			getTypeOutputInfo(constant->consttype, &output, &varlena);
			text = OidOutputFunctionCall(output, constant->constvalue);
		}
		writing->literals = lappend(writing->literals, text);
		return false;
	}
	return expression_tree_walker(node, add_literal, context);
}

static void
write_literals(void *arg)
{
	Writing    *writing = arg;
	LsUser		saved;

	ls_user_switch_to_compute(writing->role, &saved);
	(void) add_literal(writing->tree, writing);
	ls_user_restore(&saved);
}

/* literals_of gives the text of each constant in a tree, in the order of a walk. */
static List *
literals_of(Node *tree, Oid role)
{
	Writing		writing = {tree, role, NIL};

	return ls_subtransaction_try(write_literals, &writing) ? NIL : writing.literals;
}

/* ls_expr_rename_read records what a text means before the command. */
void
ls_expr_rename_read(LsExprSpec *spec, LsRenamedText *text)
{
	ErrorData  *error;

	spec->text = text->text;
	text->meaning = ls_expr_read(spec, &error);
	if (text->meaning)
		text->literals = literals_of(text->meaning, spec->role);
}

/* ---------- its words ---------- */

/* read_word gives the name that an identifier with escapes stands for, or NULL. */
static char *
read_word(const char *text, int start, int end)
{
	List	   *raw = raw_parser(pnstrdup(text +start, end - start), RAW_PARSE_PLPGSQL_EXPR);
	Node	   *node = linitial_node(RawStmt, raw)->stmt;
	ColumnRef  *name;

	node = linitial_node(ResTarget, ((SelectStmt *) node)->targetList)->val;
	if (!IsA(node, ColumnRef))
		return NULL;
	name = (ColumnRef *) node;
	return list_length(name->fields) == 1 ? strVal(linitial(name->fields)) : NULL;
}

/* tail_of gives where the UESCAPE ends that may follow a token. */
static int
tail_of(core_yy_extra_type *extra, core_yyscan_t scanner, int end, int *next, core_YYSTYPE *value,
		YYLTYPE *at)
{
	*next = core_yylex(value, at, scanner);
	if (*next != TOKEN_IDENT || strcmp(value->str, "uescape") != 0)
		return end;
	*next = core_yylex(value, at, scanner);
	end = *at + strlen(extra->scanbuf + *at);
	*next = core_yylex(value, at, scanner);
	return end;
}

/* add_token records a token if it is a literal or the old name. */
static void
add_token(Rewrite *rewrite, const Token *token, const char *word, const char *old_name)
{
	Token	   *copy;
	bool		literal = token->kind == TOKEN_SCONST || token->kind == TOKEN_USCONST;

	if (!literal && (old_name == NULL || word == NULL || strcmp(word, old_name) != 0))
		return;
	copy = palloc(sizeof(Token));
	*copy = *token;
	rewrite->tokens = lappend(rewrite->tokens, copy);
	if (!literal)
		rewrite->words = lappend(rewrite->words, copy);
}

/*
 * scan finds the tokens of a text that may have to be replaced.  No word is a
 * keyword here: any of them may be the name of a column.
 */
static void
scan(Rewrite *rewrite, const char *old_name)
{
	static const ScanKeywordList no_keywords = {"", NULL, NULL, 0, 0};
	const char *text = rewrite->text->text;
	core_yy_extra_type extra;
	core_yyscan_t scanner = scanner_init(text, &extra, &no_keywords, NULL);
	core_YYSTYPE value;
	YYLTYPE		at;
	int			name = -1;		/* a dot has come after a part of it */
	int			next;

	ls_scan_standard_strings(&extra);
	next = core_yylex(&value, &at, scanner);
	while (next != 0)
	{
		Token		token = {.start = at, .kind = next, .name = name >= 0 ? name : at};
		char	   *word = next == TOKEN_IDENT ? pstrdup(value.str) : NULL;

		token.end = at + strlen(extra.scanbuf + at);
		if (next == TOKEN_UIDENT || next == TOKEN_USCONST)
			token.end = tail_of(&extra, scanner, token.end, &next, &value, &at);
		else
			next = core_yylex(&value, &at, scanner);
		if (token.kind == TOKEN_UIDENT)
			word = read_word(text, token.start, token.end);
		token.ends_name = next != '.';
		if (token.kind != '.')
			name = word && next == '.' ? token.name : -1;
		if (word || token.kind == TOKEN_SCONST || token.kind == TOKEN_USCONST)
			add_token(rewrite, &token, word, old_name);
	}
	scanner_finish(scanner);
}

/* ---------- which of them are replaced ---------- */

/* A walk over the constants of a tree, in the order of literals_of() */
typedef struct Walk
{
	Rewrite    *rewrite;
	List	   *now;			/* their texts, of which one is left for each constant */
	int			n;
} Walk;

/* replace_literal marks the token that a constant was made of to be rewritten. */
static void
replace_literal(Walk *walk, const Const *constant)
{
	const char *was = list_nth(walk->rewrite->text->literals, walk->n);
	const char *is = list_nth(walk->now, walk->n);
	ListCell   *lc;

	if (was == NULL || is == NULL || strcmp(was, is) == 0)
		return;
	foreach(lc, walk->rewrite->tokens)
	{
		Token	   *token = lfirst(lc);

		if (token->start == constant->location &&
			(token->kind == TOKEN_SCONST || token->kind == TOKEN_USCONST))
			token->replacement = quote_literal_cstr(is);
	}
}

/* mark records the columns and constants of a tree, which are in the text. */
static bool
mark(Node *node, void *context)
{
	Walk	   *walk = context;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, Const))
	{
		if (walk->n < list_length(walk->now))
			replace_literal(walk, (Const *) node);
		walk->n++;
		return false;
	}
	if (IsA(node, Var))
	{
		foreach(lc, walk->rewrite->words)
		{
			Token	   *token = lfirst(lc);

			if (token->name == ((Var *) node)->location && token->ends_name)
				token->column = true;
		}
	}
	return expression_tree_walker(node, mark, context);
}

/* part_of_word tells whether a character would become a part of a word beside it. */
static bool
part_of_word(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '$' || c == '\'' || c == '"' ||
		c == '&' || IS_HIGHBIT_SET(c);
}

/* replacement_of gives the replacement of a token, or NULL. */
static char *
replacement_of(const Rewrite *rewrite, const Token *token, uint32 chosen, bool qualified)
{
	int			n = 0;
	ListCell   *lc;

	if (token->replacement)
		return token->replacement;
	foreach(lc, rewrite->words)
	{
		if (lfirst(lc) == token)
			break;
		n++;
	}
	if (lc == NULL || !(chosen & ((uint32) 1 << Min(n, 31))))
		return NULL;
	if (qualified && token->column && token->name == token->start)
		return psprintf("%s.%s", quote_identifier(RelationGetRelationName(rewrite->spec->rel)),
						rewrite->new_name);
	return pstrdup(rewrite->new_name);
}

/*
 * attempt replaces the chosen words, and tells whether the text means what it did; or,
 * where that is not known, whether it can be read.
 */
static bool
attempt(Rewrite *rewrite, uint32 chosen, bool qualified)
{
	const char *text = rewrite->text->text;
	StringInfoData s;
	ErrorData  *error;
	Node	   *meaning;
	int			at = 0;
	ListCell   *lc;

	CHECK_FOR_INTERRUPTS();
	initStringInfo(&s);
	foreach(lc, rewrite->tokens)
	{
		Token	   *token = lfirst(lc);
		char	   *replacement = replacement_of(rewrite, token, chosen, qualified);

		if (replacement == NULL)
			continue;
		appendBinaryStringInfo(&s, text + at, token->start - at);
		if (s.len > 0 && part_of_word(s.data[s.len - 1]))
			appendStringInfoChar(&s, ' ');
		appendStringInfoString(&s, replacement);
		at = token->end;
		if (part_of_word(text[at]))
			appendStringInfoChar(&s, ' ');
	}
	appendStringInfoString(&s, text + at);
	rewrite->spec->text = s.data;
	meaning = ls_expr_read(rewrite->spec, &error);
	if (meaning == NULL ||
		(rewrite->text->meaning && !equal(meaning, rewrite->text->meaning)))
		return false;
	rewrite->text->renamed = s.data;
	return true;
}

/* columns_of chooses the words that end the name of a column. */
static uint32
columns_of(const Rewrite *rewrite)
{
	uint32		chosen = 0;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, rewrite->words)
	{
		if (((Token *) lfirst(lc))->column)
			chosen |= (uint32) 1 << Min(n, 31);
		n++;
	}
	return chosen;
}

/* try_others chooses some of the words: each choice, or all but one or two. */
static bool
try_others(Rewrite *rewrite, bool qualified)
{
	int			n = Min(list_length(rewrite->words), 32);
	uint32		all = n == 32 ? PG_UINT32_MAX : ((uint32) 1 << n) - 1;

	if (n <= MAX_WORDS)
	{
		for (uint32 chosen = all; chosen > 0; chosen--)
			if (attempt(rewrite, chosen, qualified))
				return true;
		return false;
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
			if (attempt(rewrite, all & ~((uint32) 1 << i) & ~((uint32) 1 << j), qualified))
				return true;
	return false;
}

/*
 * ls_expr_rename_write rewrites a text so that it means what it did before the command.
 */
void
ls_expr_rename_write(LsExprSpec *spec, LsRenamedText *text, const LsRename *rename)
{
	Rewrite		rewrite = {.spec = spec, .text = text};
		Walk		walk = {.rewrite = &rewrite};

	text->renamed = NULL;
	if (attempt(&rewrite, 0, false) || text->meaning == NULL)
		return;
	if (rename->kind == LS_RENAME_OTHER)
		return;
	scan(&rewrite, rename->kind == LS_RENAME_NAME ? rename->old_name : NULL);
	rewrite.new_name = quote_identifier(rename->new_name);
	if (text->literals != NIL)
		walk.now = literals_of(text->meaning, spec->role);
	(void) mark(text->meaning, &walk);
	if (attempt(&rewrite, columns_of(&rewrite), false) ||
		attempt(&rewrite, PG_UINT32_MAX, false) ||
		attempt(&rewrite, columns_of(&rewrite), true) ||
		attempt(&rewrite, PG_UINT32_MAX, true))
		return;
	(void) (try_others(&rewrite, false) || try_others(&rewrite, true));
}
