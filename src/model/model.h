/*-------------------------------------------------------------------------
 *
 * model.h
 *		Models: created over contact tables, and dropped.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MODEL_H
#define LEADSCORE_MODEL_H

#include "postgres.h"

#include "utils/relcache.h"

#include "definitions/lead_tables.h"
#include "definitions/model_tables.h"

extern void ls_model_check_key(Relation rel, LsModelTables *new);
extern void ls_model_drop(const LsModelRow *model);
extern void ls_model_rekey(const LsModelRow *model, Oid type, Oid collation);
extern void ls_model_accept_restored(const LsModelRow *model);
extern void ls_model_settle(const LsModelRow *model);
extern void ls_models_detach(List *rows);
extern void ls_model_new_owner(const LsModelRow *model);

#endif							/* LEADSCORE_MODEL_H */
