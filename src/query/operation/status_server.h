/*
 * status_server.h
 *
 * The parts of GET /status that are in shared memory: all count since the server started, for all
 * listeners together. None needs a database.
 */
#ifndef FAST_INGEST_STATUS_SERVER_H
#define FAST_INGEST_STATUS_SERVER_H

#include "lib/stringinfo.h"

/* Append the members "http", "latency", "staging" and "rollup", with a comma before each. */
extern void StatusServerAppend(StringInfo text);

#endif
