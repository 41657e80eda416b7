/*-------------------------------------------------------------------------
 *
 * key.h
 *		Keys of models: made of values of any type and of text, compared, shown.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_KEY_H
#define LEADSCORE_KEY_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/stratnum.h"
#include "fmgr.h"

#include "base/leadscore.h"

/*
 * The largest size of a key, uncompressed and as text.  It has to go into indexes, of
 * which an entry has room for 2,700 bytes, and into messages.
 */
#define LS_LARGEST_KEY		1000
#define LS_LARGEST_KEY_TEXT	2000

/*
 * The type of a model's contacts, or of its visitors: the base type where the
 * key is a domain.
 */
typedef struct LsKeyType
{
	Oid			type;
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Oid			eq_operator;
	Oid			lt_operator;
	Oid			opfamily;
	Oid			owner;			/* the model's: code of users runs as this role */
	char	   *model;
	bool		foreign_order;	/* comparing runs code that is not in C */
	bool		foreign_text;	/* so may reading and writing text */
	bool		styled;			/* settings say how a value is written */
	int			text_factor;	/* bytes of text to a byte of a value, at most; 0: not known */
	bool		integer;		/* compared as integers of up to eight bytes are, by value */
	FmgrInfo	cmp;
	FmgrInfo	hash;
	FmgrInfo	input;
	FmgrInfo	output;
	Oid			ioparam;
} LsKeyType;

extern void ls_key_type(Oid table, AttrNumber column, Oid owner, const char *model,
						LsKeyType *key);
extern Oid	ls_key_equality(Oid type);
extern int	ls_key_compare(LsKeyType *key, Datum a, Datum b);
extern void ls_key_sort(LsKeyType *key, void **items, int n);
extern int	ls_key_order(const void *a, const void *b, void *arg);
extern uint32 ls_key_hash(LsKeyType *key, Datum value);
extern Oid	ls_key_operator(const LsKeyType *key, StrategyNumber strategy);
extern const char *ls_key_equals(const LsKeyType *key);
extern void ls_key_enter(const LsKeyType *key, LsUser *saved);
extern void ls_key_leave(const LsKeyType *key, const LsUser *saved);
extern char *ls_key_text(LsKeyType *key, Datum value);
extern Datum ls_key_read(LsKeyType *key, const char *text);
extern bool ls_key_fits(LsKeyType *key, Datum value);
extern void ls_key_require_fit(LsKeyType *key, Datum value);
extern Datum ls_key_ask(LsKeyType *key, Datum value, Oid type);

#endif							/* LEADSCORE_KEY_H */
