/*
 * wait_for_extension.h
 *
 * The workers run wherever the library is preloaded, also before CREATE EXTENSION. A worker
 * that uses the extension's tables waits for it.
 */
#ifndef FAST_INGEST_WAIT_FOR_EXTENSION_H
#define FAST_INGEST_WAIT_FOR_EXTENSION_H

#include "shared/worker_slot.h"

/*
 * Look for the extension in the database that this worker is connected to, in a transaction
 * of its own. False if the library cannot work with what is there; then the worker's slot
 * says why.
 */
extern bool ExtensionFind(WorkerSlot *slot);

#endif
