/*
 * server.c
 *
 * The callbacks of libmicrohttpd.
 *
 * A callback must not raise a PostgreSQL error: the longjmp would skip the rest of
 * libmicrohttpd's functions. Callbacks allocate with malloc and only sort what arrives
 * (see request.h).
 *
 * libmicrohttpd's own timeouts are off. They count from the last byte, so one byte
 * now and then would keep a connection open for ever, and they do not apply to suspended
 * connections. Ours count from the beginning of a request (see connection.c).
 */
#include "postgres.h"

#include "http/server/server.h"

#include <microhttpd.h>
#include <unistd.h>

#include "storage/fd.h"

#include "base/settings.h"
#include "http/server/connection.h"
#include "http/server/library.h"
#include "http/server/request_count.h"
#include "http/server/request_target.h"
#include "http/server/tls_handshake.h"

/*
 * A connection's memory for its head and read buffer. It is larger than our limit of the
 * head, so that we refuse a head that is too large, not libmicrohttpd. It is larger than
 * 32 kB because libmicrohttpd gets such memory by mmap if it is at least 4/3 pages: whole
 * pages of zeros, as HeadMoveBlanks needs them. libmicrohttpd zeroes it after each request.
 */
#define CONNECTION_MEMORY (2 * MAX_REQUEST_HEAD_SIZE + 4096)

/*
 * libmicrohttpd does not wait while a connection's read buffer is full but holds nothing to
 * hand on, for example a chunk's line that does not end. After so many runs without a
 * callback we wait. The wait is short, so it does no harm if there was something to do.
 */
#define MAX_FRUITLESS_RUNS 50
#define FRUITLESS_PAUSE 5 /* ms */

/* libmicrohttpd's limit of connections is higher than ours by so many: ours comes first. */
#define SPARE_CONNECTIONS 16

dlist_head ServerReadyQueue = DLIST_STATIC_INIT(ServerReadyQueue);
int64 ServerNow = 0;

static const ServerCallbacks *callbacks;
static struct MHD_Daemon *daemons[NUM_CONNECTION_KINDS]; /* NULL if the kind has no port */
static int handshake_fd = -1;
static size_t page_size; /* of the connections' memory; 0 if it does not come from mmap */

static int connection_count = 0;

/* connections handed over for which on_connection was not called: 1.0 calls it in its next run */
static int entering_count = 0;

static bool draining = false;
static bool resumed = false;   /* a connection, since the last run */
static int fruitless_runs = 0; /* in a row, without a callback */

static Connection *
find_connection(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/*
 * Count and report a request that has ended; completed: libmicrohttpd sent all of its reply
 */
static void
report_end(Request *request, bool completed)
{
	/* a reply in the middle of a request is sent at once, by us or by libmicrohttpd */
	bool sent = completed || (request->state == REQUEST_RECEIVING && RequestStatus(request) != 0);

	RequestCountEnded(request, sent);
	callbacks->request_ended(request, sent);
}

static void
end_request(Connection *connection, bool completed)
{
	report_end(connection->request, completed);
	if (connection->request->reply.stream != NULL)
		connection->request->reply.stream->end(connection->request);
	RequestFree(connection->request);
	connection->request = NULL;
	connection->served = true;
	ConnectionTouch(connection, ServerNow);
}

/*
 * A connection was opened. Returns NULL if there is no memory; then it is shut down, and
 * libmicrohttpd notices and closes it.
 */
static Connection *
open_connection(struct MHD_Connection *mhd)
{
	int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	const union MHD_ConnectionInfo *tls;
	Connection *connection = calloc(1, sizeof(Connection));

	connection_count++;
	entering_count = Max(entering_count - 1, 0);
	ReserveExternalFD();
	if (connection == NULL)
	{
		(void) shutdown(fd, SHUT_RDWR);
		return NULL;
	}
	connection->mhd = mhd;
	connection->fd = fd;
	ConnectionEnter(connection, ServerNow);
	tls = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (tls != NULL)
	{
		connection->session = tls->tls_session;
		connection->identity = TlsEnter(connection->session);
		TlsHandshakeBegin(connection);
	}
	return connection;
}

/*
 * A connection was closed; NULL if open_connection had no memory
 */
static void
close_connection(Connection *connection)
{
	connection_count--;
	ReleaseExternalFD();
	if (connection == NULL)
		return;
	if (connection->request != NULL)
		end_request(connection, false);
	TlsHandshakeForget(connection);
	TlsLeave(connection->identity);
	ConnectionLeave(connection);
	free(connection);
}

/*
 * Callback: a connection was opened or closed
 */
static void
on_connection(void *cls, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	fruitless_runs = 0;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = open_connection(mhd);
	else
	{
		close_connection(*context);
		*context = NULL;
	}
}

/*
 * Callback: the request line was read. The result is handed to all later callbacks of the
 * request
 */
static void *
on_request_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	Connection *connection = find_connection(mhd);

	fruitless_runs = 0;
	if (connection == NULL || connection->request != NULL)
		return NULL;
	connection->request = RequestCreate(connection, mhd);
	if (connection->request != NULL)
	{
		Request *request = connection->request;
		bool too_many;

		request->target = uri;
		request->target_end = TargetEnd(uri);
		if (LibraryRemains() == HEAD_0_9 && page_size > 0)
			HeadMoveBlanks(unconstify(char *, uri), request->target_end, page_size);
		request->malformed = TargetPrepare(unconstify(char *, uri), &too_many);
		if (too_many)
			request->refusal = REFUSAL_TOO_MANY_PARAMETERS;
	}
	ConnectionTouch(connection, ServerNow);
	return connection->request;
}

/*
 * Callback: unescape a path, or the name or value of a parameter
 */
static size_t
on_escaped(void *cls, struct MHD_Connection *mhd, char *text)
{
	Connection *connection = find_connection(mhd);

	if (connection != NULL && connection->request != NULL && connection->request->target == text)
		return TargetUnescapePath(text);
	return MHD_http_unescape(text);
}

/*
 * Callback: the reply was sent, or the connection broke
 */
static void
on_completed(void *cls, struct MHD_Connection *mhd, void **context,
			 enum MHD_RequestTerminationCode code)
{
	Request *request = *context;

	fruitless_runs = 0;
	*context = NULL;
	if (request == NULL)
		return;
	if (request->state == REQUEST_READY || request->state == REQUEST_WAITING)
		dlist_delete(&request->node);
	end_request(request->connection, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

/*
 * Put a complete request on the ready queue; libmicrohttpd leaves it alone until it is answered
 */
static void
suspend_request(Request *request)
{
	request->state = REQUEST_READY;
	dlist_push_tail(&ServerReadyQueue, &request->node);
	MHD_suspend_connection(request->mhd);
}

/*
 * Callback: read from a stream what is to be sent next. libmicrohttpd asks when it has handed
 * over to the system all that it got before, so the client reads.
 */
static ssize_t
on_stream(void *cls, uint64_t position, char *buffer, size_t size)
{
	Request *request = cls;
	long n = request->reply.stream->read(request, buffer, size);

	fruitless_runs = 0;
	ConnectionTouch(request->connection, ServerNow);
	if (n == STREAM_ENDS)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == STREAM_BREAKS)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == STREAM_WAITS)
	{
		request->stream_waits = true;
		MHD_suspend_connection(request->mhd);
	}
	request->reply.len += n;
	return n;
}

/*
 * Send the reply of an answered request
 */
static enum MHD_Result
send_reply(Request *request)
{
	Reply *reply = &request->reply;
	struct MHD_Response *response = ReplyResponse(reply, on_stream, request);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, REQUEST_ID_HEADER, request->id);
	if (reply->status == MHD_HTTP_SERVICE_UNAVAILABLE)
		MHD_add_response_header(response, "Retry-After", RETRY_AFTER_SECONDS);
	callbacks->add_headers(request, response);
	/* readers may disagree about where a chunked body ends: nothing may follow it */
	if (reply->close || request->framing.chunked || draining)
		MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(request->mhd, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

/*
 * Callback: called with the head, with each piece of the body, at the end, and again when a
 * suspended request was answered
 */
static enum MHD_Result
on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
		   const char *version, const char *upload_data, size_t *upload_data_size, void **context)
{
	Request *request = *context;

	fruitless_runs = 0;
	if (request == NULL)
		return MHD_NO;
	if (request->state == REQUEST_ANSWERED)
		return send_reply(request);

	if (!request->head_seen)
	{
		request->head_seen = true;
		if (!callbacks->check_head(request, url, method, version))
		{
			request->reply.close = true;
			suspend_request(request);
		}
		return MHD_YES;
	}
	if (*upload_data_size > 0)
	{
		request->received += *upload_data_size;
		RequestAppend(request, upload_data, *upload_data_size, MAX_BODY_BYTES,
					  (size_t) fi_max_request_memory * 1024);
		*upload_data_size = 0;
		if (request->discarded > 2 * MAX_BODY_BYTES)
			ConnectionCut(request->connection, MHD_HTTP_CONTENT_TOO_LARGE,
						  "body is larger than fast_ingest.max_body_size");
		return MHD_YES;
	}
	RequestEndBody(request);
	suspend_request(request);
	return MHD_YES;
}

static struct MHD_Daemon *
start_daemon(unsigned int flags, struct MHD_OptionItem *options)
{
	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG |
			flags,
		0, NULL, NULL, on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER, LibraryNoteMessage, NULL,
		MHD_OPTION_STRICT_FOR_CLIENT, LibraryRemains() == HEAD_1_0 ? 1 : 0,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL,
		MHD_OPTION_UNESCAPE_CALLBACK, on_escaped, NULL, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int) fi_max_connections + SPARE_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t) CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_ARRAY, options,
		MHD_OPTION_END);
}

bool
ServerStart(const ServerCallbacks *the_callbacks)
{
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

	callbacks = the_callbacks;
	draining = false;
	LibraryInit();
	page_size = (size_t) sysconf(_SC_PAGESIZE);
	if (page_size > CONNECTION_MEMORY / 2)
		page_size = 0;
	if (fi_port != 0 && (daemons[CONNECTION_HTTP] = start_daemon(0, none)) == NULL)
		return false;
	if (fi_ssl_port == 0)
		return true;
	daemons[CONNECTION_HTTPS] = start_daemon(MHD_USE_TLS, TlsOptions());
	handshake_fd = TlsHandshakeInit();
	return daemons[CONNECTION_HTTPS] != NULL && handshake_fd >= 0;
}

int
ServerFds(int fds[MAX_SERVER_FDS])
{
	int n = 0;

	for (int i = 0; i < NUM_CONNECTION_KINDS; i++)
		if (daemons[i] != NULL)
			fds[n++] = MHD_get_daemon_info(daemons[i], MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	if (handshake_fd >= 0)
		fds[n++] = handshake_fd;
	return n;
}

void
ServerAddConnection(int fd, ConnectionKind kind, const struct sockaddr_storage *address,
					socklen_t address_len)
{
	entering_count++;
	/* if it fails, it closes the socket */
	(void) MHD_add_connection(daemons[kind], fd, (const struct sockaddr *) address, address_len);
}

void
ServerRun(void)
{
	resumed = false;
	fruitless_runs++;
	if (daemons[CONNECTION_HTTP] != NULL)
		(void) MHD_run(daemons[CONNECTION_HTTP]);
	if (daemons[CONNECTION_HTTPS] != NULL)
	{
		TlsHandshakeWake();
		(void) MHD_run(daemons[CONNECTION_HTTPS]);
		TlsHandshakeWait();
	}
	entering_count = 0; /* a connection that has not come by now has failed */
}

long
ServerPatience(void)
{
	MHD_UNSIGNED_LONG_LONG timeout;
	bool pending = false;

	/* MHD_get_timeout does not look at connections that have just been resumed */
	if (resumed || !dlist_is_empty(&ServerReadyQueue))
		return 0;
	for (int i = 0; i < NUM_CONNECTION_KINDS; i++)
		pending |=
			daemons[i] != NULL && MHD_get_timeout(daemons[i], &timeout) == MHD_YES && timeout == 0;
	if (!pending)
		return -1;
	return fruitless_runs < MAX_FRUITLESS_RUNS ? 0 : FRUITLESS_PAUSE;
}

void
ServerAnswer(Request *request, Reply reply)
{
	reply.close |= request->reply.close;
	request->reply = reply;
	request->state = REQUEST_ANSWERED;
	RequestDropInput(request);
	ConnectionTouch(request->connection, ServerNow);
	MHD_resume_connection(request->mhd);
	resumed = true;
}

void
ServerContinue(Request *request)
{
	request->stream_waits = false;
	ConnectionTouch(request->connection, ServerNow);
	MHD_resume_connection(request->mhd);
	resumed = true;
}

void
ServerDrain(void)
{
	draining = true;
	ConnectionsDrain();
}

void
ServerStop(void)
{
	TlsHandshakeWakeAll();
	for (int i = 0; i < NUM_CONNECTION_KINDS; i++)
	{
		MHD_stop_daemon(daemons[i]);
		daemons[i] = NULL;
	}
}

void
ServerAbandon(void)
{
	dlist_iter iter;

	dlist_foreach (iter, &BusyConnections)
	{
		Request *request = dlist_container(Connection, node, iter.cur)->request;

		if (request != NULL)
			report_end(request, false);
	}
}

int
ServerConnectionCount(void)
{
	return connection_count + entering_count;
}
