/*
 * key_publish.h
 *
 * From table fast_ingest.api_keys to the image in shared memory.
 *
 * Whoever changes the table publishes what it will be, in the moment of the commit:
 * a trigger notes that there is a change; before the commit the table is read, as it
 * will be then, under a lock that is kept to the end; at the commit, that is published.
 * So a key that was revoked is refused from the commit on, whatever workers do, and no
 * image is ever older than the one before.
 *
 * The maintenance worker reads the table at its start, and now and then: for what no
 * trigger sees (a dropped extension, triggers that were disabled).
 *
 * On a standby nobody commits, and there is no maintenance worker. Query workers read
 * the table there, twice a second, whichever has nothing else to do.
 */
#ifndef FAST_INGEST_KEY_PUBLISH_H
#define FAST_INGEST_KEY_PUBLISH_H

#include "shared/shared_state.h"

/* Is it time for the maintenance worker to look? For a query worker, on a standby only? */
extern bool KeyPublishIsDue(void);
extern bool KeyPublishIsDueOnStandby(void);

/*
 * Look at the table, by a worker that is connected to its database and runs no
 * transaction: publish what it holds, unless somebody has locked it. Its errors are in
 * the slot and the log, but for those that only say that somebody else went first.
 */
extern void KeyPublish(WorkerSlot *slot);

/*
 * The extension is not there: so its keys are not, unless they have come since the
 * given generation.
 */
extern void KeyPublishForget(uint64 generation);

#endif
