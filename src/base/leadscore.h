/*-------------------------------------------------------------------------
 *
 * leadscore.h
 *		What every room shares: settings, the clock, whose rights are used.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_H
#define LEADSCORE_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

/* what users name: functions, views, and the tables and views of each model */
#define LEADSCORE_SCHEMA	"leadscore"
/* base tables of definitions, and functions that nobody calls by name */
#define LEADSCORE_INTERNAL	"leadscore_internal"

/* leadscore.rule_error */
typedef enum LsRuleError
{
	LS_RULE_ERROR_WARNING,
	LS_RULE_ERROR_ERROR
} LsRuleError;

typedef enum LsErrorClass
{
	LS_ERROR_OF_EXPRESSION,		/* it fails on the row, and is skipped there */
	LS_ERROR_OF_STATEMENT,		/* it came up meanwhile: the statement fails */
	LS_ERROR_OF_DATA,			/* something is damaged: so does it */
	LS_ERROR_INTERNAL			/* something is not as it should be */
} LsErrorClass;

extern int	ls_rule_error;

extern TimestampTz ls_clock(void);
extern TimestampTz ls_statement_clock(void);

/*
 * Whose rights the code uses, saved to be put back.  An error needs no
 * putting back: aborting the (sub)transaction restores user and settings.
 */
typedef struct LsIdentity
{
	Oid			userid;
	int			sec_context;
	int			guc_nest;		/* 0: none was begun */
	bool		engine;
	bool		read_only;
} LsIdentity;

extern void ls_become(Oid role, LsIdentity *saved);
extern void ls_become_untrusted(Oid role, LsIdentity *saved);
extern void ls_become_to_compute(Oid role, LsIdentity *saved);
extern void ls_switch_to_owner(Oid owner, LsIdentity *saved);
extern void ls_stay(LsIdentity *saved);
extern void ls_return(const LsIdentity *saved);
extern bool ls_is_engine(void);
extern Oid	ls_relation_owner(Oid relid);
extern Oid	ls_extension_owner(void);
extern bool ls_is_own_schema(Oid schema);
/* what to do about a serialization failure */
#define LS_RETRY_HINT \
	"Another transaction changed what this one needs after this one began. Retry the transaction, or use READ COMMITTED."
extern void ls_hint_retry(ErrorContextCallback *context);
extern ErrorData *ls_guarded(void (*body) (void *), void *arg);
extern ErrorData *ls_caught(void (*body) (void *), void *arg);
extern LsErrorClass ls_error_class(int sqlerrcode);
extern bool ls_error_passes(int sqlerrcode);

extern uint64 ls_transaction_number(void);
extern bool ls_has_pages(Oid table);
extern bool ls_has_key(Oid table);
extern char *ls_extension_version(Oid extension);

#endif							/* LEADSCORE_H */
