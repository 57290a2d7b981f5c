/*
 * connections.c
 *
 * Two lists of connections, since idle ones have a time of their own: proxies keep theirs
 * longer than a request may take. One that had no request yet is not idle, its first one has
 * to come. libmicrohttpd shows no request before its first line is there, until then it is
 * idle.
 */
#include "postgres.h"

#include "http/server/connections.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include "http/server/server.h"
#include "base/clock.h"
#include "base/settings.h"

dlist_head BusyConnections = DLIST_STATIC_INIT(BusyConnections);
static dlist_head idle = DLIST_STATIC_INIT(idle);

void
ConnectionEnter(Connection *connection)
{
	connection->since = ServerNow;
	dlist_push_tail(&BusyConnections, &connection->node);
}

void
ConnectionLeave(Connection *connection)
{
	dlist_delete(&connection->node);
}

void
ConnectionTouch(Connection *connection)
{
	bool is_idle = connection->request == NULL && connection->served;

	connection->since = ServerNow;
	dlist_delete(&connection->node);
	dlist_push_tail(is_idle ? &idle : &BusyConnections, &connection->node);
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
		ReplyAndCut(connection->fd, connection->session, status, message, RequestLogId(request));
	}
	else
	{
		if (connection->session != NULL && connection->handshake == HANDSHAKE_NONE &&
			request == NULL)
			TlsGoodbye(connection->session);
		(void) shutdown(connection->fd, SHUT_RDWR);
	}
}

/* Is the connection's time not its client's to use? */
static bool
is_suspended(Connection *connection)
{
	return connection->request != NULL && (connection->request->state == REQUEST_READY ||
										   connection->request->state == REQUEST_WAITING);
}

static long
sweep(dlist_head *list, int timeout)
{
	while (!dlist_is_empty(list))
	{
		Connection *oldest = dlist_head_element(Connection, node, list);
		int64 due = MonotonicAfter(oldest->since, timeout);

		if (due > ServerNow)
			return MonotonicLeft(ServerNow, due);
		if (!is_suspended(oldest))
			ConnectionCut(oldest, MHD_HTTP_REQUEST_TIMEOUT,
						  "the request did not arrive within fast_ingest.request_timeout");
		ConnectionTouch(oldest);
	}
	return -1;
}

long
ConnectionsSweep(void)
{
	long busy_left = sweep(&BusyConnections, fi_request_timeout);
	long idle_left = sweep(&idle, fi_keepalive_timeout);

	if (busy_left < 0 || idle_left < 0)
		return Max(busy_left, idle_left);
	return Min(busy_left, idle_left);
}

static void
drain(dlist_head *list)
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
	drain(&BusyConnections);
	drain(&idle);
}
