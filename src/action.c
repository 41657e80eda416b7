/*-------------------------------------------------------------------------
 *
 * action.c
 *		Consequences: who is told of what happened to a contact, and how.
 *
 *-------------------------------------------------------------------------
 */
#include "action.h"

void
ls_action_note(LsModel *model, Datum contact, const LsOccasion *occasion)
{
}
