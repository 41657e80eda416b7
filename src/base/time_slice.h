/*-------------------------------------------------------------------------
 *
 * time_slice.h
 *		How long something has been going on, and whether that is enough.
 *
 * Measured by a monotonic clock, which does not follow changes of the system's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TIME_SLICE_H
#define LEADSCORE_TIME_SLICE_H

#include "postgres.h"

#include "portability/instr_time.h"

typedef struct LsSlice
{
	instr_time	began;
	int64		ms;				/* 0: it may go on for ever */
} LsSlice;

static inline LsSlice
ls_slice_begin(int64 ms)
{
	LsSlice		slice;

	INSTR_TIME_SET_CURRENT(slice.began);
	slice.ms = ms;
	return slice;
}

static inline int64
ls_slice_elapsed(const LsSlice *slice)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, slice->began);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

static inline bool
ls_slice_over(const LsSlice *slice)
{
	return slice->ms > 0 && ls_slice_elapsed(slice) >= slice->ms;
}

#endif							/* LEADSCORE_TIME_SLICE_H */
