/*
 * server.c
 *
 * The callbacks of libmicrohttpd and the life of its connections.
 *
 * Nothing in a callback may raise a PostgreSQL error: the longjmp would leave
 * libmicrohttpd's frames half done. They allocate by malloc and only sort what
 * arrives (see request.h).
 *
 * libmicrohttpd's own time-outs are off. They count from the last byte, so that
 * one byte now and then would keep a connection for ever, and a suspended
 * connection has none; ours count from the beginning of a request.
 */
#include "postgres.h"

#include "http/server.h"

#include <microhttpd.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/timestamp.h"

#include "monotonic.h"
#include "settings.h"

/*
 * Memory of a connection for head and read buffer. Larger than our limit of
 * the head, so that it is we who refuse one that is too large.
 */
#define CONNECTION_MEMORY (2 * MAX_REQUEST_HEAD_SIZE)

/* Connections beyond our limit that libmicrohttpd still takes: none in practice. */
#define SPARE_CONNECTIONS 16

dlist_head ServerReadyQueue = DLIST_STATIC_INIT(ServerReadyQueue);
int64 ServerNow = 0;

static struct MHD_Daemon *http_daemon = NULL;
static dlist_head connections = DLIST_STATIC_INIT(connections);
static int connection_count = 0;
static bool draining = false;
static bool resumed = false; /* since the last run */

const Route Routes[NUM_ROUTES] = {
	[ROUTE_EVENTS] = {"/events", "POST", "POST"},
	[ROUTE_BULK] = {"/events/bulk", "POST", "POST"},
	[ROUTE_EVENT] = {"/event", "POST", "POST"},
	[ROUTE_HEALTH] = {"/health", "GET", "GET, HEAD"},
	[ROUTE_READY] = {"/ready", "GET", "GET, HEAD"},
	[ROUTE_METRICS] = {"/metrics", "GET", "GET, HEAD"},
	[ROUTE_STATS] = {"/stats", "GET", "GET, HEAD"},
};

/*
 * Note that a connection made progress
 */
static void
touch(Connection *connection)
{
	connection->since = ServerNow;
	dlist_delete(&connection->node);
	dlist_push_tail(&connections, &connection->node);
}

static Connection *
connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/*
 * Callback: a connection was opened or closed
 */
static void
on_connection(void *cls, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	Connection *connection;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		connection_count++;
		ReserveExternalFD();
		connection = calloc(1, sizeof(Connection));
		*context = connection;
		if (connection == NULL)
			return; /* its first request is refused for want of memory */
		connection->mhd = mhd;
		connection->fd =
			MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		connection->since = ServerNow;
		dlist_push_tail(&connections, &connection->node);
		return;
	}

	connection = *context;
	*context = NULL;
	connection_count--;
	ReleaseExternalFD();
	if (connection == NULL)
		return;
	if (connection->request != NULL)
		RequestFree(connection->request);
	dlist_delete(&connection->node);
	free(connection);
}

/*
 * Callback: the request line was read; the result is handed to all later
 * callbacks of the request
 */
static void *
on_request_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	Connection *connection = connection_of(mhd);

	if (connection == NULL || connection->request != NULL)
		return NULL;
	connection->request = RequestCreate(connection);
	touch(connection);
	return connection->request;
}

/*
 * Callback: the answer was sent, or the connection broke
 */
static void
on_completed(void *cls, struct MHD_Connection *mhd, void **context,
			 enum MHD_RequestTerminationCode code)
{
	Request *request = *context;

	*context = NULL;
	if (request == NULL)
		return;
	if (request->state == REQUEST_READY || request->state == REQUEST_WAITING)
		dlist_delete(&request->node);
	request->connection->request = NULL;
	touch(request->connection);
	RequestFree(request);
}

/*
 * Read a Content-Type: JSON, NDJSON or text/plain, in UTF-8
 */
static bool
read_content_type(const char *value, bool *ndjson)
{
	static const char *const accepted[] = {"application/json", "text/plain", "application/x-ndjson",
										   "application/ndjson"};
	size_t len = strcspn(value, "; \t");
	const char *charset = strcasestr(value + len, "charset=");

	if (charset != NULL)
	{
		charset += strlen("charset=");
		charset += *charset == '"';
		if (pg_strncasecmp(charset, "utf-8", 5) != 0 && pg_strncasecmp(charset, "utf8", 4) != 0)
			return false;
	}
	for (int i = 0; i < (int) lengthof(accepted); i++)
	{
		if (len == strlen(accepted[i]) && pg_strncasecmp(value, accepted[i], len) == 0)
		{
			*ndjson = i >= 2;
			return true;
		}
	}
	return false;
}

/*
 * Find the route of a request, or why it is refused
 */
static void
route_request(Request *request, const char *path, const char *method)
{
	for (int i = 0; i < NUM_ROUTES; i++)
	{
		if (strcmp(Routes[i].path, path) != 0)
			continue;
		request->route = i;
		if (strcmp(Routes[i].method, method) != 0 &&
			!(strcmp(method, "HEAD") == 0 && strcmp(Routes[i].method, "GET") == 0))
			request->refusal = REFUSAL_METHOD;
		return;
	}
	request->refusal = REFUSAL_NOT_FOUND;
}

/*
 * Look at the head of a request
 */
static void
read_head(Request *request, const char *path, const char *method)
{
	struct MHD_Connection *mhd = request->connection->mhd;
	const char *value;

	if (MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size >
		MAX_REQUEST_HEAD_SIZE)
	{
		request->refusal = REFUSAL_HEAD_TOO_LARGE;
		return;
	}
	route_request(request, path, method);
	if (request->refusal != REFUSAL_NONE || strcmp(method, "POST") != 0)
		return;

	value = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Type");
	if (value != NULL && !read_content_type(value, &request->ndjson))
		request->refusal = REFUSAL_CONTENT_TYPE;
	value = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Encoding");
	if (value != NULL && pg_strcasecmp(value, "identity") != 0)
		request->refusal = REFUSAL_CONTENT_ENCODING;
}

static size_t
max_body_bytes(void)
{
	return (size_t) fi_max_body_size * 1024;
}

/*
 * Is there no point in reading the body? A small one of a refused request is
 * read and thrown away, so that the client hears the answer and the connection
 * stays usable.
 */
static bool
skip_body(Request *request)
{
	struct MHD_Connection *mhd = request->connection->mhd;
	const char *value = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Length");
	unsigned long long announced = value ? strtoull(value, NULL, 10) : 0;

	if (announced > max_body_bytes() && request->refusal == REFUSAL_NONE)
		request->refusal = REFUSAL_BODY_TOO_LARGE;
	if (request->refusal == REFUSAL_NONE)
		return false;
	return announced > 2 * max_body_bytes() ||
		   MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Expect") != NULL;
}

/*
 * Take a request out of libmicrohttpd's hands until it is answered
 */
static void
suspend(Request *request)
{
	request->state = REQUEST_READY;
	dlist_push_tail(&ServerReadyQueue, &request->node);
	MHD_suspend_connection(request->connection->mhd);
}

/*
 * Send the reply of an answered request
 */
static enum MHD_Result
send_reply(Request *request)
{
	struct MHD_Connection *mhd = request->connection->mhd;
	Reply *reply = &request->reply;
	struct MHD_Response *response;
	enum MHD_Result result;

	response = MHD_create_response_from_buffer(reply->len, (void *) reply->body,
											   reply->owned ? MHD_RESPMEM_MUST_FREE
															: MHD_RESPMEM_PERSISTENT);
	if (response == NULL)
		return MHD_NO;
	reply->owned = false;

	if (reply->len > 0)
		MHD_add_response_header(response, "Content-Type",
								reply->type ? reply->type : "application/json");
	if (reply->allow != NULL)
		MHD_add_response_header(response, "Allow", reply->allow);
	if (reply->next_cursor != NULL && reply->next_cursor[0] != '\0')
		MHD_add_response_header(response, "Next-Cursor", reply->next_cursor);
	if (reply->status == MHD_HTTP_SERVICE_UNAVAILABLE)
		MHD_add_response_header(response, "Retry-After", RETRY_AFTER_SECONDS);
	if (reply->close || draining)
		MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(mhd, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

/*
 * Callback: called with the head, with each piece of the body, at the end, and
 * again after a suspended request was answered
 */
static enum MHD_Result
on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
		   const char *version, const char *upload_data, size_t *upload_data_size, void **context)
{
	Request *request = *context;

	if (request == NULL)
		return MHD_NO;
	if (request->state == REQUEST_ANSWERED)
		return send_reply(request);

	if (!request->head_seen)
	{
		request->head_seen = true;
		read_head(request, url, method);
		if (skip_body(request))
		{
			request->reply.close = true;
			suspend(request);
		}
		return MHD_YES;
	}
	if (*upload_data_size > 0)
	{
		RequestAppend(request, upload_data, *upload_data_size, max_body_bytes(),
					  (size_t) fi_max_request_memory * 1024);
		*upload_data_size = 0;
		if (request->discarded > 2 * max_body_bytes() && !request->connection->cut)
		{
			request->connection->cut = true;
			ReplyAndCut(request->connection->fd, MHD_HTTP_CONTENT_TOO_LARGE,
						"body is larger than fast_ingest.max_body_size");
		}
		return MHD_YES;
	}
	suspend(request);
	return MHD_YES;
}

bool
ServerStart(void)
{
	draining = false;
	http_daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
		on_request, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_URI_LOG_CALLBACK,
		on_request_line, NULL, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int) fi_max_connections + SPARE_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t) CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_END);
	return http_daemon != NULL;
}

int
ServerEpollFd(void)
{
	return MHD_get_daemon_info(http_daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

void
ServerAddConnection(int fd, const struct sockaddr_storage *address, socklen_t address_len)
{
	if (connection_count >= fi_max_connections)
	{
		ReplyAndCut(fd, MHD_HTTP_SERVICE_UNAVAILABLE,
					"too many connections: fast_ingest.max_connections are open");
		close(fd);
		return;
	}
	/* on failure it has closed the socket */
	(void) MHD_add_connection(http_daemon, fd, (const struct sockaddr *) address, address_len);
}

void
ServerRun(void)
{
	resumed = false;
	(void) MHD_run(http_daemon);
}

bool
ServerHasWork(void)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	/* MHD_get_timeout knows nothing of connections that have just been resumed */
	return resumed || !dlist_is_empty(&ServerReadyQueue) ||
		   (MHD_get_timeout(http_daemon, &timeout) == MHD_YES && timeout == 0);
}

void
ServerAnswer(Request *request, Reply reply)
{
	reply.close |= request->reply.close;
	request->reply = reply;
	request->state = REQUEST_ANSWERED;
	RequestDropBody(request);
	touch(request->connection);
	MHD_resume_connection(request->connection->mhd);
	resumed = true;
}

/*
 * End a connection that is not suspended; libmicrohttpd notices and cleans up
 */
static void
cut(Connection *connection, unsigned int status, const char *message)
{
	Request *request = connection->request;

	if (connection->cut)
		return;
	connection->cut = true;
	if (request != NULL && request->state == REQUEST_RECEIVING)
		ReplyAndCut(connection->fd, status, message);
	else
		(void) shutdown(connection->fd, SHUT_RDWR);
}

/* Is the connection's time not its client's to use? */
static bool
is_suspended(Connection *connection)
{
	return connection->request != NULL && (connection->request->state == REQUEST_READY ||
										   connection->request->state == REQUEST_WAITING);
}

long
ServerSweep(void)
{
	while (!dlist_is_empty(&connections))
	{
		Connection *oldest = dlist_head_element(Connection, node, &connections);
		int64 due = MonotonicAfter(oldest->since, fi_request_timeout);

		if (due > ServerNow)
			return MonotonicLeft(ServerNow, due);
		if (!is_suspended(oldest))
			cut(oldest, MHD_HTTP_REQUEST_TIMEOUT,
				"the request did not arrive within fast_ingest.request_timeout");
		touch(oldest);
	}
	return -1;
}

void
ServerDrain(void)
{
	dlist_iter iter;

	draining = true;
	dlist_foreach (iter, &connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->request == NULL || connection->request->state == REQUEST_RECEIVING)
			cut(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is shutting down");
	}
}

void
ServerStop(void)
{
	MHD_stop_daemon(http_daemon);
	http_daemon = NULL;
}

int
ServerConnectionCount(void)
{
	return connection_count;
}
