/*
 * tls_handshake.h
 *
 * TLS connections whose handshake is not done.
 *
 * libmicrohttpd polls such a connection without a pause while it waits for its peer. So we
 * suspend the connection until its socket is ready: a client that begins a handshake and
 * does not go on costs memory, but no CPU time.
 */
#ifndef FAST_INGEST_TLS_HANDSHAKE_H
#define FAST_INGEST_TLS_HANDSHAKE_H

#include "http/server/connection.h"

/* Prepare this process; called once. Returns the descriptor that is readable when
 * TlsHandshakeWake has something to do, or -1 with errno set. */
extern int TlsHandshakeInit(void);

/*
 * A TLS connection was opened; a connection was closed. Called inside libmicrohttpd. Forget
 * does nothing for a connection that is not in its handshake.
 */
extern void TlsHandshakeBegin(Connection *connection);
extern void TlsHandshakeForget(Connection *connection);

/* Before libmicrohttpd runs: resume the connections whose sockets are ready. */
extern void TlsHandshakeWake(void);

/* After libmicrohttpd ran: suspend the connections whose handshake is not done. */
extern void TlsHandshakeWait(void);

/* Resume all connections, so that libmicrohttpd can stop. */
extern void TlsHandshakeWakeAll(void);

#endif
