/*-------------------------------------------------------------------------
 *
 * definition_view.h
 *		Definitions as users see and write them: the views leadscore.lead_model,
 *		lead_category, lead_source, lead_rule, lead_stage, lead_grade, lead_action.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DEFINITION_VIEW_H
#define LEADSCORE_DEFINITION_VIEW_H

#include "postgres.h"

extern bool ls_definition_is_view(Oid relation);
extern void ls_definition_check_snapshot(const char *name);

/* in definition_hooks.c */
extern void ls_definitions_define(void);

#endif							/* LEADSCORE_DEFINITION_VIEW_H */
