/*
 * key_publish.h
 *
 * From table fast_ingest.api_keys to the image in shared memory.
 *
 * Who changes the table publishes its new contents at the moment of the commit. A trigger
 * notes that there is a change. Before the commit the table is read as it will be then,
 * under a lock that is kept until the transaction has ended. At the commit the image is
 * published. So a key that was revoked is refused from the commit on, even if no worker is
 * running, and no image is ever older than the one before.
 *
 * The maintenance worker reads the table when it starts, and then every minute, for changes
 * that no trigger sees (a dropped extension, disabled triggers).
 *
 * On a standby nobody commits and there is no maintenance worker. There an idle query worker
 * reads the table twice a second.
 */
#ifndef FAST_INGEST_KEY_PUBLISH_H
#define FAST_INGEST_KEY_PUBLISH_H

#include "shared/worker_slot.h"

/* Must the maintenance worker read the table? */
extern bool KeyPublishIsDue(void);

/* Must this query worker read it? True only on a standby, and for one worker at a time. */
extern bool KeyPublishIsDueOnStandby(void);

/*
 * Read the table in a transaction of its own and publish its contents, unless somebody has
 * locked it. For workers that are connected to the database. Errors are reported in the
 * worker's slot and the log, except when replay on a standby cancels the transaction.
 */
extern void KeyPublish(WorkerSlot *slot);

/*
 * Publish that the keys are not known, because the extension does not exist. Does nothing if
 * an image was published after the given generation.
 */
extern void KeyPublishForget(uint64 generation);

#endif
