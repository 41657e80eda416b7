/*-------------------------------------------------------------------------
 *
 * settings.h
 *		Settings of launcher and workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SETTINGS_H
#define LEADSCORE_SETTINGS_H

#include "postgres.h"

/* leadscore.enabled, max_workers, naptime, batch_size, action_timeout */
extern bool ls_setting_enabled;
extern int	ls_setting_max_workers;
extern int	ls_setting_naptime;
extern int	ls_setting_batch_size;
extern int	ls_setting_action_timeout;

/* leadscore.history_retention, outbox_retention */
extern int	ls_setting_history_retention;
extern int	ls_setting_outbox_retention;

extern void ls_settings_define(void);

/* settings stored for the database: those of this process, and whether they have changed */
extern void ls_settings_begin(void);
extern bool ls_settings_changed(void);

#endif							/* LEADSCORE_SETTINGS_H */
