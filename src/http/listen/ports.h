/*
 * ports.h
 *
 * The ports that a listener serves, HTTP and HTTPS: opened as soon as that is possible,
 * and accepted from. A port that is taken, or lacks its certificate, is tried again
 * every second, and never another one or another protocol in its place.
 */
#ifndef FAST_INGEST_PORTS_H
#define FAST_INGEST_PORTS_H

#include "shared/shared_state.h"

/* Make the descriptor that is readable while connections wait, for the pair's listener. */
extern int PortsInit(Pair *pair);

/* Open what can be opened, and go on accepting after a pause. */
extern void PortsOpen(void);

/* Take in the certificate that the settings name, once there has been one. */
extern void PortsReadSettings(void);

/* Accept the connections that wait. */
extern void PortsAccept(void);

/* Give the sockets to other listeners that ask. */
extern void PortsServeSiblings(void);

/* Milliseconds until PortsOpen has something to do; -1: there is nothing. */
extern long PortsNextTry(void);

/* "port 8080", say; constant text after PortsInit. */
extern const char *PortsName(void);

/* Accept no more. */
extern void PortsClose(void);

#endif
