/*
 * wait_for_extension.h
 *
 * Is there anything for a worker to work with?
 */
#ifndef FAST_INGEST_WAIT_FOR_EXTENSION_H
#define FAST_INGEST_WAIT_FOR_EXTENSION_H

#include "shared/shared_state.h"

/*
 * Look for the extension in the database this worker is connected to, in a
 * transaction of its own. Where it cannot be used, the worker's slot says why.
 */
extern bool ExtensionFind(WorkerSlot *slot);

/* Make the extension stay until the transaction ends; an ERROR if it is not there. */
extern void ExtensionLock(void);

/*
 * Add to the message of an error about something that is missing, if versions
 * may be why.
 */
extern void ExtensionExplain(ErrorData *error);

#endif
