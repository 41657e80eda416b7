/*-------------------------------------------------------------------------
 *
 * user.h
 *		The user that the code runs as.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_USER_H
#define LEADSCORE_USER_H

#include "postgres.h"
/*
 * The current user, saved to be restored.  After an error nothing has to be restored:
 * aborting the (sub)transaction restores user and settings.
 */
typedef struct LsUser
{
	Oid			userid;
	int			sec_context;
	int			guc_nest;		/* 0: none was begun */
	bool		engine;
	bool		read_only;
} LsUser;
extern void ls_user_switch(Oid role, LsUser *saved);
extern void ls_user_switch_untrusted(Oid role, LsUser *saved);
extern void ls_user_switch_to_compute(Oid role, LsUser *saved);
extern void ls_user_switch_to_owner(Oid owner, LsUser *saved);
extern void ls_user_stay(LsUser *saved);
extern void ls_user_restore(const LsUser *saved);
extern bool ls_user_is_engine(void);

extern void ls_user_begin_subtransaction(void);
extern void ls_user_end_subtransaction(bool aborted);
extern void ls_user_end_transaction(void);

#endif							/* LEADSCORE_USER_H */
