/*
 * tls_handshake.h
 *
 * TLS connections whose handshake is not done yet.
 *
 * libmicrohttpd asks such a connection again and again, without a pause, while it waits
 * for its peer. So that clients who begin a handshake and leave it there cost their
 * memory only, a connection is suspended until its socket has something for it.
 */
#ifndef FAST_INGEST_TLS_HANDSHAKE_H
#define FAST_INGEST_TLS_HANDSHAKE_H

#include "http/server/request.h"

/* Make what TlsHandshakeWake waits with; its descriptor, or -1. */
extern int TlsHandshakeInit(void);

/* A connection was opened; it was closed. To be called by libmicrohttpd. */
extern void TlsHandshakeBegin(Connection *connection);
extern void TlsHandshakeForget(Connection *connection);

/* Before libmicrohttpd runs: let go on those whose sockets are ready. */
extern void TlsHandshakeWake(void);

/* After it ran: suspend those that are not done. */
extern void TlsHandshakeWait(void);

/* Let all go on, so that libmicrohttpd can stop. */
extern void TlsHandshakeWakeAll(void);

#endif
