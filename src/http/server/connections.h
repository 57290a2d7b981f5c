/*
 * connections.h
 *
 * All connections of this listener, and how they end.
 */
#ifndef FAST_INGEST_CONNECTIONS_H
#define FAST_INGEST_CONNECTIONS_H

#include "http/server/request.h"

/*
 * Those that have a request, or had none yet; the one longest without progress is the first.
 * The others are idle.
 */
extern dlist_head BusyConnections;

/* A connection is there, or is gone. */
extern void ConnectionEnter(Connection *connection);
extern void ConnectionLeave(Connection *connection);

/* Note that a connection made progress: its request began, was answered or ended. */
extern void ConnectionTouch(Connection *connection);

/*
 * End a connection that is not suspended; libmicrohttpd notices and cleans up. The message is
 * for half a request.
 */
extern void ConnectionCut(Connection *connection, unsigned int status, const char *message);

/*
 * End connections that made no progress for fast_ingest.request_timeout, half a request with
 * 408, and silently those that are idle for fast_ingest.keepalive_timeout. Returns the
 * milliseconds until the next one is due, or -1.
 */
extern long ConnectionsSweep(void);

/* Cut those that wait for no answer. */
extern void ConnectionsDrain(void);

#endif
