/*-------------------------------------------------------------------------
 *
 * user.c
 *		The user that the code runs as.
 *
 *-------------------------------------------------------------------------
 */
#include "base/user.h"


#include "base/compat.h"

/* what RestrictSearchPath() sets */
#define LS_SEARCH_PATH	"pg_catalog, pg_temp"

/*
 * Whether leadscore itself writes to its tables.  An error sets it back to what it
 * was when the subtransaction began.
 */
static bool engine = false;

static List *engine_before = NIL;	/* of int, a subtransaction each, innermost last */

/* ls_user_is_engine tells whether leadscore itself writes to its tables. */
bool
ls_user_is_engine(void)
{
	return engine;
}

void
ls_user_begin_subtransaction(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	engine_before = lappend_int(engine_before, engine);
	MemoryContextSwitchTo(old);
}

void
ls_user_end_subtransaction(bool aborted)
{
	if (engine_before == NIL)
		return;
	if (aborted)
		engine = llast_int(engine_before);
	engine_before = list_delete_last(engine_before);
}

void
ls_user_end_transaction(void)
{
	engine = false;
	list_free(engine_before);
	engine_before = NIL;
}

/*
 * switch_to switches to another role, with search_path pinned, and saves what has to
 * be restored.  A new GUC nest level begins where functions of that role may leave
 * changed settings behind, or the path is not pinned yet.
 */
static void
switch_to(Oid role, int flags, LsUser *saved)
{
	int			context;
	bool		pinned = namespace_search_path != NULL &&
		strcmp(namespace_search_path, LS_SEARCH_PATH) == 0;

	saved->read_only = XactReadOnly;
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	context = saved->sec_context | SECURITY_LOCAL_USERID_CHANGE | flags;
	SetUserIdAndSecContext(role, context);
	saved->engine = engine;
	engine = engine && role == saved->userid;
	saved->guc_nest = 0;
	if (pinned && ((flags & SECURITY_RESTRICTED_OPERATION) == 0 ||
				   (role == saved->userid && context == saved->sec_context)))
		return;
	saved->guc_nest = NewGUCNestLevel();
	if (!pinned)
		RestrictSearchPath();
}

/*
 * ls_user_switch switches to another role, for work on our own tables.  Row security
 * and the caller's search_path have no effect on it.
 */
void
ls_user_switch(Oid role, LsUser *saved)
{
	switch_to(role, SECURITY_NOFORCE_RLS, saved);
	engine = true;
}

/*
 * ls_user_switch_untrusted switches to a role whose code is to run, in a context in
 * which it can neither switch to another user nor leave something behind that runs as
 * another.
 */
void
ls_user_switch_untrusted(Oid role, LsUser *saved)
{
	switch_to(role, SECURITY_RESTRICTED_OPERATION, saved);
}

/*
 * ls_user_switch_to_owner switches to a role that owns tables of a model, to read and
 * write them, as referential integrity does: whatever the owner has put on them
 * (triggers, rules, policies, expressions of indexes) runs as the owner.
 */
void
ls_user_switch_to_owner(Oid owner, LsUser *saved)
{
	switch_to(owner, SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS, saved);
}

/*
 * ls_user_switch_to_compute switches to a role whose code is to give a value and do
 * nothing else, such as the expression of a rule: a function that is marked immutable
 * may write all the same.  Its messages are kept from clients that may not see what
 * the role may read.
 */
void
ls_user_switch_to_compute(Oid role, LsUser *saved)
{
	bool		hide = client_min_messages < ERROR &&
		!has_privs_of_role(GetOuterUserId(), role);

	ls_user_switch_untrusted(role, saved);
	XactReadOnly = true;
	if (hide && saved->guc_nest == 0)
		saved->guc_nest = NewGUCNestLevel();
	if (hide)
		(void) set_config_option("client_min_messages", "error", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* ls_user_stay keeps the user, and begins a GUC nest level. */
void
ls_user_stay(LsUser *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->read_only = XactReadOnly;
	saved->engine = engine;
	saved->guc_nest = NewGUCNestLevel();
}

/* ls_user_restore restores the user that was saved. */
void
ls_user_restore(const LsUser *saved)
{
	XactReadOnly = saved->read_only;
	if (saved->guc_nest > 0)
		AtEOXact_GUC(false, saved->guc_nest);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
	engine = saved->engine;
}
