/*
 * connection.c
 *
 * Connections are in one of two lists, because idle ones have a timeout of their own:
 * proxies keep connections open for longer than a request may take. A connection
 * that has not had a request is not idle: its first request must arrive in time. libmicrohttpd
 * shows a request when its first line has arrived; until then a connection that has had a request
 * counts as idle.
 */
#include "postgres.h"

#include "http/server/connection.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/settings.h"
#include "http/server/request_identity.h"

dlist_head BusyConnections = DLIST_STATIC_INIT(BusyConnections);
static dlist_head idle_connections = DLIST_STATIC_INIT(idle_connections);

void
ConnectionEnter(Connection *connection, int64 now)
{
	connection->since = now;
	dlist_push_tail(&BusyConnections, &connection->node);
}

void
ConnectionLeave(Connection *connection)
{
	dlist_delete(&connection->node);
}

void
ConnectionTouch(Connection *connection, int64 now)
{
	bool is_idle = connection->request == NULL && connection->served;

	connection->since = now;
	dlist_delete(&connection->node);
	dlist_push_tail(is_idle ? &idle_connections : &BusyConnections, &connection->node);
}

void
ConnectionCut(Connection *connection, unsigned int status, const char *message)
{
	Request *request = connection->request;

	if (connection->cut)
		return;
	connection->cut = true;
	if (request != NULL && request->state == REQUEST_RECEIVING)
	{
		request->reply.status = status;
		ReplyAndCut(connection->fd, connection->session, status, message, RequestId(request));
	}
	else
	{
		if (connection->session != NULL && connection->handshake == HANDSHAKE_NONE &&
			request == NULL)
			TlsGoodbye(connection->session);
		(void) shutdown(connection->fd, SHUT_RDWR);
	}
}

/*
 * Is the connection waiting for us, not for its client?
 */
static bool
is_suspended(Connection *connection)
{
	const Request *request = connection->request;

	return request != NULL && (request->state == REQUEST_READY ||
							   request->state == REQUEST_WAITING || request->stream_waits);
}

/*
 * Cut the connections of a list that are due. Returns the milliseconds until the next one
 * is, or -1.
 */
static long
sweep_list(dlist_head *list, int timeout, int64 now)
{
	while (!dlist_is_empty(list))
	{
		Connection *oldest = dlist_head_element(Connection, node, list);
		int64 due = MonotonicAfter(oldest->since, timeout);

		if (due > now)
			return MonotonicLeft(now, due);
		if (!is_suspended(oldest))
			ConnectionCut(oldest, MHD_HTTP_REQUEST_TIMEOUT,
						  "the request did not arrive within fast_ingest.request_timeout");
		ConnectionTouch(oldest, now);
	}
	return -1;
}

long
ConnectionsSweep(int64 now)
{
	long busy_left = sweep_list(&BusyConnections, fi_request_timeout, now);
	long idle_left = sweep_list(&idle_connections, fi_keepalive_timeout, now);

	if (busy_left < 0 || idle_left < 0)
		return Max(busy_left, idle_left);
	return Min(busy_left, idle_left);
}

static void
drain_list(dlist_head *list)
{
	dlist_iter iter;

	dlist_foreach (iter, list)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->request == NULL || connection->request->state == REQUEST_RECEIVING)
			ConnectionCut(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is shutting down");
	}
}

void
ConnectionsDrain(void)
{
	drain_list(&BusyConnections);
	drain_list(&idle_connections);
}
