/*
 * next_flight.h
 *
 * Which rows are sent next.
 */
#ifndef FAST_INGEST_NEXT_FLIGHT_H
#define FAST_INGEST_NEXT_FLIGHT_H

#include "stream/run/stream_run.h"

/*
 * Begin with something to send, of whatever kind is due, or do what has to come before that.
 * False: there is nothing to do at present.
 */
extern bool NextFlightBegin(StreamRun *run);

/* Read again the rows of the batch that a former process began, as soon as that is possible. */
extern void NextFlightRecover(StreamRun *run);

#endif
