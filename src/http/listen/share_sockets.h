/*
 * share_sockets.h
 *
 * The listeners of a server serve the same ports: what they share and how.
 *
 * Whoever comes first binds a port, which nobody else can do from then on, and
 * hands the listening sockets to the others when they ask. So all of them accept
 * from the same queue, and none takes connections with it when it ends. (With
 * SO_REUSEPORT each would have a queue of its own that ends with it, and any
 * process of the same user could join in, another server above all.)
 *
 * They ask over sockets in pg_stat_tmp, which belongs to the server's user alone and
 * is in no base backup.
 */
#ifndef FAST_INGEST_SHARE_SOCKETS_H
#define FAST_INGEST_SHARE_SOCKETS_H

#include "http/listen/listen_socket.h"

/* Become the listener of that number, counted from 0. */
extern void SiblingsInit(int number);

/* Readable when a sibling asks; -1 where there are no siblings. */
extern int SiblingsFd(void);

/* Give the listening sockets, of all kinds, to those who ask. */
extern void SiblingsServe(const ListenSockets sockets[NUM_LISTEN_KINDS]);

/* Tell that sockets of a kind are open here. */
extern void SiblingsTell(ListenKind kind);

/* Ask the siblings for listening sockets of a kind; false if none of them has any. */
extern bool SiblingsAsk(ListenKind kind, ListenSockets *sockets);

/* May one more connection be opened? There are open ones here. */
extern bool SiblingsMayOpen(int open);

/* Tell how many connections are open here. */
extern void SiblingsReport(int open);

/* Has another listener so few connections that it shall take the next one of a kind? */
extern bool SiblingsGoFirst(ListenKind kind, int open);

#endif
