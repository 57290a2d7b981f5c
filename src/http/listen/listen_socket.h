/*
 * listen_socket.h
 *
 * Listening sockets.
 */
#ifndef FAST_INGEST_LISTEN_SOCKET_H
#define FAST_INGEST_LISTEN_SOCKET_H

#include <sys/socket.h>

#define MAX_LISTEN_SOCKETS 16

typedef struct
{
	int n;
	pgsocket fds[MAX_LISTEN_SOCKETS];
} ListenSockets;

/*
 * Listen on every address that a comma-separated list of hosts names. An
 * address that this machine does not have is logged and left out. If the port
 * is taken on any address, a host cannot be resolved, or no address is left, the whole
 * call fails: false with a message in error, and no socket open. Allocates in the current
 * memory context.
 */
extern bool ListenOpen(ListenSockets *sockets, const char *hosts, int port, char *error,
					   size_t error_size);

/* Close all sockets. */
extern void ListenClose(ListenSockets *sockets);

/* Can nobody but this machine reach the sockets? */
extern bool ListenIsLocal(const ListenSockets *sockets);

/*
 * Accept one connection as a non-blocking socket, with the client's address. Returns
 * PGINVALID_SOCKET with errno set if there is none; exhausted then says whether descriptors
 * or memory ran out.
 */
extern pgsocket ListenAccept(pgsocket listener, struct sockaddr_storage *address,
							 socklen_t *address_len, bool *exhausted);

#endif
