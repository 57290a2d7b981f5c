/*
 * staging_rings.h
 *
 * The staging rings of all listeners (see ring.h for what a ring is).
 *
 * Events wait for their commit in two lanes, each of which is a ring. Events of today have
 * the first lane for themselves. They never wait for the partition of another day, which may
 * have to be made, or be locked or broken. A request is in one lane as a whole; if it has
 * any event of another day, it is in the second.
 */
#ifndef FAST_INGEST_STAGING_RINGS_H
#define FAST_INGEST_STAGING_RINGS_H

#include "base/settings.h"
#include "shared/types/ring.h"
#include "shared/shared_part.h"

typedef enum
{
	LANE_TODAY,
	LANE_OTHER_DAYS,
	NUM_LANES
} Lane;

/* For each listener; only the first fast_ingest.listeners are in use. */
extern Ring *StagingRings[MAX_LISTENERS][NUM_LANES];

/* Of both rings of a listener: the number of events that wait for their commit. */
extern uint64 PairStagedRecords(Ring **rings);

/* Of both rings of a listener: since when the oldest event waits (see clock.h); 0 without one. */
extern int64 PairOldestStaged(Ring **rings);

extern const SharedPart StagingRingsPart;

#endif
