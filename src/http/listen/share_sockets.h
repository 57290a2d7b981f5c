/*
 * share_sockets.h
 *
 * The listeners of a server, which are siblings, serve the same ports.
 *
 * The first one binds a port and hands its listening sockets to the others when they
 * ask. So all of them accept from the same queue, and no connection is lost when one of
 * them ends. (With SO_REUSEPORT each would have its own queue, which is lost with it, and
 * any process of the same user, such as another server, could bind the port, too.)
 *
 * They ask over Unix sockets in pg_stat_tmp, which only the server's user can enter and
 * base backups leave out.
 *
 * The siblings also count their connections together, against
 * fast_ingest.max_connections.
 */
#ifndef FAST_INGEST_SHARE_SOCKETS_H
#define FAST_INGEST_SHARE_SOCKETS_H

#include "http/listen/listen_socket.h"
#include "http/server/connection.h"

/* Become the listener of that number, from 0. An ERROR if the Unix socket cannot be made. */
extern void SiblingsInit(int number);

/* The descriptor that is readable when a sibling asks; -1 if there are no siblings. */
extern int SiblingsFd(void);

/* Give the listening sockets of all kinds to the siblings that ask. */
extern void SiblingsServe(const ListenSockets sockets[NUM_CONNECTION_KINDS]);

/* Tell the siblings that sockets of a kind are open here. */
extern void SiblingsTell(ConnectionKind kind);

/*
 * Ask the siblings for listening sockets of a kind; false if none of them gives any. Waits for
 * a sibling that has the port open, but not long.
 */
extern bool SiblingsAsk(ConnectionKind kind, ListenSockets *sockets);

/*
 * May one more connection be opened beside so many open ones here? If so, it is counted at
 * once.
 */
extern bool SiblingsMayOpen(int open);

/* Tell the siblings how many connections are open here. */
extern void SiblingsReport(int open);

/* Has a sibling so few connections that it should accept the next one of a kind? */
extern bool SiblingsGoFirst(ConnectionKind kind, int open);

#endif
