/*
 * connection.h
 *
 * The connections of this listener: what is known of each, how long it may make no
 * progress, and how it is ended.
 */
#ifndef FAST_INGEST_CONNECTION_H
#define FAST_INGEST_CONNECTION_H

#include "lib/ilist.h"

#include "http/server/request.h"
#include "http/server/tls.h"

/* What is spoken on a connection. */
typedef enum
{
	CONNECTION_HTTP,
	CONNECTION_HTTPS,
	NUM_CONNECTION_KINDS
} ConnectionKind;

/* See tls_handshake.c. */
typedef enum
{
	HANDSHAKE_NONE, /* it is done, or the connection has no TLS */
	HANDSHAKE_ACTIVE,
	HANDSHAKE_WAITING
} TlsHandshakeState;

typedef struct Connection
{
	dlist_node node; /* in BusyConnections or in the list of idle connections */
	struct MHD_Connection *mhd;
	int fd;
	int64 since;	  /* when it last made progress (see clock.h) */
	bool cut;		  /* we have shut it down; libmicrohttpd will notice */
	bool served;	  /* a request has ended on it */
	Request *request; /* NULL between requests */

	/* for TLS only */
	struct gnutls_session_int *session;
	TlsIdentity *identity;
	TlsHandshakeState handshake;
	dlist_node handshake_node;
} Connection;

/*
 * The connections that have a request, or have had none yet. The first one has gone
 * longest without progress. All other connections are idle.
 */
extern dlist_head BusyConnections;

/* Put a new connection on the list of busy ones; take one that was closed off its list. */
extern void ConnectionEnter(Connection *connection, int64 now);
extern void ConnectionLeave(Connection *connection);

/* Note that a connection made progress: its request has begun, was answered or has ended. */
extern void ConnectionTouch(Connection *connection, int64 now);

/*
 * Shut down a connection that is not suspended; libmicrohttpd notices and cleans up. If a
 * request is being received, its client is sent that status and message first. Does
 * nothing if the connection was cut before. message must need no escaping in JSON.
 */
extern void ConnectionCut(Connection *connection, unsigned int status, const char *message);

/*
 * Cut the connections that have made no progress for too long: busy ones after
 * fast_ingest.request_timeout, with 408, and idle ones after
 * fast_ingest.keepalive_timeout, silently. Returns the milliseconds until the next one is
 * due, or -1 if there is none.
 */
extern long ConnectionsSweep(int64 now);

/* Cut every connection that does not wait for a reply. */
extern void ConnectionsDrain(void);

#endif
