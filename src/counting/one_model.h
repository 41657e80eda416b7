/*-------------------------------------------------------------------------
 *
 * one_model.h
 *		Work on one model that must not stop what is done about others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ONE_MODEL_H
#define LEADSCORE_ONE_MODEL_H

#include "postgres.h"

extern bool ls_stops_all(const ErrorData *error);
extern char *ls_told_of(const char *model, const ErrorData *error);
extern bool ls_up_to_date(const char *model, void (*body) (void *), void *arg);
extern bool ls_is_sound(const char *model);

#endif							/* LEADSCORE_ONE_MODEL_H */
