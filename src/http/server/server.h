/*
 * server.h
 *
 * libmicrohttpd, and everything that it calls back: from accepted sockets to
 * complete requests, from replies to bytes. It runs inside the listener's own
 * event loop.
 */
#ifndef FAST_INGEST_SERVER_H
#define FAST_INGEST_SERVER_H

#include <sys/socket.h>

#include "http/server/request.h"
#include "http/listen/listen_socket.h"

/* Complete requests, suspended, in the order in which they came. */
extern dlist_head ServerReadyQueue;

/* The time of this turn of the loop (see clock.h); set by the listener, used for all deadlines.
 */
extern int64 ServerNow;

/* Start; false when libmicrohttpd does not. */
extern bool ServerStart(void);

/*
 * How the libmicrohttpd that runs leaves heads behind. It need not be the one that this was built
 * with. If its version is not known, no request may come in: false, with what to say.
 */
extern HeadRemains ServerRemains(void);
extern bool ServerKnowsLibrary(char *error, size_t error_size);

/* The descriptors that become readable when ServerRun has something to do; how many. */
#define MAX_SERVER_FDS 3
extern int ServerFds(int fds[MAX_SERVER_FDS]);

/*
 * Hand over an accepted socket. If there are too many it is closed, where there is no TLS
 * to be agreed upon with an answer 503.
 */
extern void ServerAddConnection(int fd, ListenKind kind, const struct sockaddr_storage *address,
								socklen_t address_len);

/* Read and write what can be read and written without blocking. */
extern void ServerRun(void);

/*
 * How many milliseconds may the descriptors be waited for? 0 if there is work that
 * it does not show, -1 if there is none.
 */
extern long ServerPatience(void);

/* Answer a suspended request. Takes over the reply. */
extern void ServerAnswer(Request *request, Reply reply);

/* Begin to drain: idle connections end, half requests are answered with 503. */
extern void ServerDrain(void);

/* Stop; every request must have been answered. Abandon: the process ends all the same. */
extern void ServerStop(void);
extern void ServerAbandon(void);

/* How many connections are open. */
extern int ServerConnectionCount(void);

#endif
