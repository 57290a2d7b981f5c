/*
 * ports.h
 *
 * The ports of a listener, for HTTP and HTTPS. A port that is taken, or has no
 * certificate, is tried again every second; no other port and no plain HTTP takes its
 * place.
 */
#ifndef FAST_INGEST_PORTS_H
#define FAST_INGEST_PORTS_H

#include "shared/shared_state.h"

/*
 * Prepare the listener of that pair; called once. Returns the descriptor that is readable while
 * connections wait.
 */
extern int PortsInit(Pair *pair);

/* Open the ports that are not open, and go on accepting after a pause, if it is time to. */
extern void PortsOpen(void);

/*
 * Called after a reload: load the certificate that the settings name, if one was loaded
 * before. If that fails it is logged, and the old certificate stays.
 */
extern void PortsReadSettings(void);

/* Accept the connections that wait. */
extern void PortsAccept(void);

/* Give the listening sockets to other listeners that ask for them. */
extern void PortsServeSiblings(void);

/* Milliseconds until PortsOpen has something to do, or -1. */
extern long PortsNextTry(void);

/* The ports by name, such as "port 8080". */
extern const char *PortsName(void);

/* Close all ports. */
extern void PortsClose(void);

#endif
