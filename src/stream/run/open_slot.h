/*
 * open_slot.h
 *
 * The slot is the licence to post.
 */
#ifndef FAST_INGEST_OPEN_SLOT_H
#define FAST_INGEST_OPEN_SLOT_H

#include "stream/run/stream_run.h"

/*
 * Make the slot of a stream if a command allows that, and acquire it if it is where the stream
 * left it. Then run->decoder is set. Else the stream is lost, or it has to be tried again, and
 * its state says why. An ERROR ends the process.
 */
extern void OpenSlot(StreamRun *run);

#endif
