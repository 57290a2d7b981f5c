/*
 * listen_socket.h
 *
 * The sockets that connections arrive at.
 */
#ifndef FAST_INGEST_LISTEN_SOCKET_H
#define FAST_INGEST_LISTEN_SOCKET_H

#include <sys/socket.h>

#define MAX_LISTEN_SOCKETS 16

/* What is spoken at a socket. */
typedef enum
{
	LISTEN_HTTP,
	LISTEN_HTTPS,
	NUM_LISTEN_KINDS
} ListenKind;

typedef struct
{
	int n;
	pgsocket fds[MAX_LISTEN_SOCKETS];
} ListenSockets;

/*
 * Listen on every address that a comma-separated list of hosts names. An
 * address that this machine does not have is logged and left out; a port that
 * is taken on one of them makes the whole call fail. False leaves no socket
 * open and says in error what went wrong.
 */
extern bool ListenOpen(ListenSockets *sockets, const char *hosts, int port, char *error,
					   size_t error_size);

extern void ListenClose(ListenSockets *sockets);

/*
 * Accept one connection as a non-blocking socket. PGINVALID_SOCKET where there
 * is none; *exhausted then says whether this is for want of descriptors or
 * memory.
 */
extern pgsocket ListenAccept(pgsocket listener, struct sockaddr_storage *address,
							 socklen_t *address_len, bool *exhausted);

#endif
