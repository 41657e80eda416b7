/*-------------------------------------------------------------------------
 *
 * what_if_trial.h
 *		Contacts under the committed rules and under those of a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_WHAT_IF_TRIAL_H
#define LEADSCORE_WHAT_IF_TRIAL_H

#include "postgres.h"

#include "rules/model_compile.h"

/* The arguments of a trial */
typedef struct LsTrialSpec
{
	int			sample;			/* number of contacts; 0: default */
	bool		full;			/* all contacts, even where events have to be read */
	bool		publish;		/* drafts count as published */
} LsTrialSpec;

/* A contact under one of the definitions */
typedef struct LsSeen
{
	double		score;
	char	   *stage;
	char	   *grade;			/* NULL: none */
} LsSeen;

typedef struct LsTried
{
	Datum		contact;
	LsSeen		before;
	LsSeen		after;
} LsTried;

typedef struct LsTrial LsTrial;

typedef void (*LsTrialTaker) (LsTrial *trial, const LsTried *tried, void *arg);

extern LsTrial *ls_trial_make(LsModel *asked, const LsTrialSpec *spec);
extern void ls_trial_run(LsTrial *trial, LsTrialTaker take, void *arg);
extern LsModel *ls_trial_model(const LsTrial *trial);
extern int64 ls_trial_population(const LsTrial *trial);
extern int64 ls_trial_tried(const LsTrial *trial);
extern void ls_trial_end(LsTrial *trial);

#endif							/* LEADSCORE_WHAT_IF_TRIAL_H */
