/*
 * server.h
 *
 * libmicrohttpd and its callbacks: accepted sockets become complete requests, and
 * replies are sent. It runs inside the listener's own event loop.
 */
#ifndef FAST_INGEST_SERVER_H
#define FAST_INGEST_SERVER_H

#include <sys/socket.h>

#include "http/server/connection.h"

struct MHD_Response;

/*
 * What the listener does with requests. All of these are called inside libmicrohttpd: they
 * must not raise an error, nor allocate memory with palloc.
 */
typedef struct
{
	/*
	 * The head of a request is complete: set its route and how its body is sent, or its
	 * refusal. Returns false if the body is not to be read; then the connection ends with the
	 * reply.
	 */
	bool (*check_head)(Request *request, const char *target, const char *method,
					   const char *version);

	/* The request's reply is about to be sent: add headers to it. */
	void (*add_headers)(Request *request, struct MHD_Response *response);

	/* A request has ended; sent: its client was sent all of the reply. */
	void (*request_ended)(Request *request, bool sent);
} ServerCallbacks;

/* Complete requests in the order in which they were completed; they are suspended. */
extern dlist_head ServerReadyQueue;

/* The time of this turn of the loop (see clock.h): the listener sets it, all deadlines use it. */
extern int64 ServerNow;

/* Start; false if libmicrohttpd does not. */
extern bool ServerStart(const ServerCallbacks *callbacks);

/* The descriptors that become readable when ServerRun has something to do. Returns how many. */
#define MAX_SERVER_FDS 3
extern int ServerFds(int fds[MAX_SERVER_FDS]);

/*
 * Hand over an accepted socket; the server closes it. If libmicrohttpd does not take it, it is
 * closed at once.
 */
extern void ServerAddConnection(int fd, ConnectionKind kind, const struct sockaddr_storage *address,
								socklen_t address_len);

/* Read and write what is possible without blocking, and call back. */
extern void ServerRun(void);

/*
 * How many milliseconds the loop may wait for the descriptors: -1 for as long as it likes, 0 if
 * there is work that the descriptors do not show.
 */
extern long ServerPatience(void);

/* Answer a suspended request. The reply belongs to the request from then on. */
extern void ServerAnswer(Request *request, Reply reply);

/* Go on with a stream that waits. */
extern void ServerContinue(Request *request);

/* Begin to drain: end idle connections, and answer requests that are incomplete with 503. */
extern void ServerDrain(void);

/* Stop. Every request must have been answered. */
extern void ServerStop(void);

/* Report the requests that are open as ended without a reply: the process ends. */
extern void ServerAbandon(void);

/* How many connections are open, or have been handed over and will be. */
extern int ServerConnectionCount(void);

#endif
