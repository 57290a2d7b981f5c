/*
 * tls_handshake.c
 *
 * Suspends and resumes connections in their TLS handshake.
 *
 * A connection is ACTIVE while libmicrohttpd handles it. It is WAITING while it is suspended;
 * then its socket is in an epoll set of our own, for one event.
 */
#include "postgres.h"

#include "http/server/tls_handshake.h"

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_AT_A_TIME 64

static int epoll_fd = -1;
static dlist_head active = DLIST_STATIC_INIT(active);
static dlist_head waiting = DLIST_STATIC_INIT(waiting);

int
TlsHandshakeInit(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd;
}

/*
 * Is the handshake done? GnuTLS describes a session only after its handshake.
 */
static bool
is_handshake_done(Connection *connection)
{
	char *description = gnutls_session_get_desc(connection->session);
	bool done = description != NULL || connection->request != NULL;

	gnutls_free(description);
	return done;
}

void
TlsHandshakeBegin(Connection *connection)
{
	connection->handshake = HANDSHAKE_ACTIVE;
	dlist_push_tail(&active, &connection->handshake_node);
}

void
TlsHandshakeForget(Connection *connection)
{
	if (connection->handshake == HANDSHAKE_NONE)
		return;
	connection->handshake = HANDSHAKE_NONE;
	dlist_delete(&connection->handshake_node);
	(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
}

static void
resume_connection(Connection *connection)
{
	connection->handshake = HANDSHAKE_ACTIVE;
	dlist_delete(&connection->handshake_node);
	dlist_push_tail(&active, &connection->handshake_node);
	MHD_resume_connection(connection->mhd);
}

void
TlsHandshakeWake(void)
{
	struct epoll_event events[EVENTS_AT_A_TIME];
	int n;

	if (dlist_is_empty(&waiting))
		return;
	do
	{
		n = epoll_wait(epoll_fd, events, EVENTS_AT_A_TIME, 0);
		for (int i = 0; i < n; i++)
			resume_connection(events[i].data.ptr);
	} while (n == EVENTS_AT_A_TIME);
}

/*
 * Suspend a connection until its socket is ready. Shut it down if that is not possible.
 */
static void
suspend_connection(Connection *connection)
{
	bool writes = gnutls_record_get_direction(connection->session) != 0;
	struct epoll_event event = {.events = EPOLLONESHOT | (writes ? EPOLLOUT : EPOLLIN),
								.data.ptr = connection};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) != 0 &&
		(errno != ENOENT || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0))
	{
		(void) shutdown(connection->fd, SHUT_RDWR);
		return;
	}
	connection->handshake = HANDSHAKE_WAITING;
	dlist_delete(&connection->handshake_node);
	dlist_push_tail(&waiting, &connection->handshake_node);
	MHD_suspend_connection(connection->mhd);
}

void
TlsHandshakeWait(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &active)
	{
		Connection *connection = dlist_container(Connection, handshake_node, iter.cur);

		if (is_handshake_done(connection))
			TlsHandshakeForget(connection);
		else
			suspend_connection(connection);
	}
}

void
TlsHandshakeWakeAll(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &waiting)
		resume_connection(dlist_container(Connection, handshake_node, iter.cur));
}
