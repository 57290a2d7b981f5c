/*
 * cycle.h
 *
 * The cycle of a stream: decode, cut a batch, write its intent, post it, note it as done,
 * confirm to the slot what is durable.
 */
#ifndef FAST_INGEST_CYCLE_H
#define FAST_INGEST_CYCLE_H

#include "stream/run/stream_run.h"

/* Do the next thing. Returns for how many milliseconds there is nothing to do. */
extern long CycleStep(StreamRun *run);

#endif
