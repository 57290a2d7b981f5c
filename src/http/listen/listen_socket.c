/*
 * listen_socket.c
 *
 * Opens and closes listening sockets, and accepts connections.
 */
#include "postgres.h"

#include "http/listen/listen_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "utils/builtins.h"
#include "utils/varlena.h"

/*
 * Make a socket that listens on an address; -1 with errno set on failure
 */
static int
open_socket(const struct addrinfo *address)
{
	int on = 1;
	int save_errno;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* SO_REUSEADDR: bind even if old connections are in TIME_WAIT, but never to a port in use */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(address->ai_family != AF_INET6 ||
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;

	save_errno = errno;
	close(fd);
	errno = save_errno;
	return -1;
}

/*
 * Listen on all addresses of one host; false with a message on failure
 */
static bool
listen_on_host(ListenSockets *sockets, const char *host, int port, char *error, size_t error_size)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *addresses = NULL;
	char service[16];
	int result;
	bool usable = true;

	snprintf(service, sizeof(service), "%d", port);
	result = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, service, &hints, &addresses);
	if (result != 0)
	{
		snprintf(error, error_size,
				 "could not resolve host \"%s\" of fast_ingest.listen_addresses: %s", host,
				 gai_strerror(result));
		return false;
	}
	for (struct addrinfo *a = addresses; a != NULL && usable; a = a->ai_next)
	{
		int fd;
		char name[NI_MAXHOST] = "?";

		if (sockets->n >= MAX_LISTEN_SOCKETS)
			break;
		(void) getnameinfo(a->ai_addr, a->ai_addrlen, name, sizeof(name), NULL, 0, NI_NUMERICHOST);
		fd = open_socket(a);
		if (fd >= 0)
			sockets->fds[sockets->n++] = fd;
		else if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT)
			ereport(LOG, (errmsg("fast_ingest cannot listen on %s: %m", name)));
		else
		{
			snprintf(error, error_size, "could not listen on %s port %d: %s", name, port,
					 strerror(errno));
			usable = false;
		}
	}
	freeaddrinfo(addresses);
	return usable;
}

bool
ListenOpen(ListenSockets *sockets, const char *hosts, int port, char *error, size_t error_size)
{
	char *copy = pstrdup(hosts);
	List *names;
	ListCell *cell;

	sockets->n = 0;
	if (!SplitGUCList(copy, ',', &names) || names == NIL)
	{
		snprintf(error, error_size, "fast_ingest.listen_addresses \"%s\" is not a list of hosts",
				 hosts);
		return false;
	}
	foreach (cell, names)
	{
		if (!listen_on_host(sockets, lfirst(cell), port, error, error_size))
		{
			ListenClose(sockets);
			return false;
		}
	}
	if (sockets->n == 0)
		snprintf(error, error_size, "no address of fast_ingest.listen_addresses \"%s\" is usable",
				 hosts);
	return sockets->n > 0;
}

void
ListenClose(ListenSockets *sockets)
{
	for (int i = 0; i < sockets->n; i++)
		close(sockets->fds[i]);
	sockets->n = 0;
}

/*
 * Is a socket bound to an address that only this machine can reach?
 */
static bool
is_loopback(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *) &address, &len) != 0)
		return false;
	if (address.ss_family == AF_INET)
		return ntohl(((struct sockaddr_in *) &address)->sin_addr.s_addr) >> 24 == 127;
	return address.ss_family == AF_INET6 &&
		   IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *) &address)->sin6_addr);
}

bool
ListenIsLocal(const ListenSockets *sockets)
{
	for (int i = 0; i < sockets->n; i++)
		if (!is_loopback(sockets->fds[i]))
			return false;
	return true;
}

pgsocket
ListenAccept(pgsocket listener, struct sockaddr_storage *address, socklen_t *address_len,
			 bool *exhausted)
{
	pgsocket fd;

	*address_len = sizeof(*address);
	fd = accept4(listener, (struct sockaddr *) address, address_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	*exhausted =
		fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
	return fd < 0 ? PGINVALID_SOCKET : fd;
}
