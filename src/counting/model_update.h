/*-------------------------------------------------------------------------
 *
 * model_update.h
 *		Models that a transaction has changed, brought up to date before it commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MODEL_UPDATE_H
#define LEADSCORE_MODEL_UPDATE_H

#include "postgres.h"

extern void ls_model_update_before_commit(void);
extern void ls_model_update_if_asked(void);
extern int64 ls_model_update_refresh(void);

/* one of several models, which must not stop the others */
extern bool ls_model_update_stops(const ErrorData *error);
extern bool ls_model_update_try(const char *model, void (*body) (void *), void *arg);
extern bool ls_model_update_is_sound(const char *model);

#endif							/* LEADSCORE_MODEL_UPDATE_H */
