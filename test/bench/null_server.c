/*
 * null_server.c
 *		The reference for the figures of `make bench`: a libmicrohttpd server
 *		that reads every request, answers 202 and stores nothing.
 *
 * It has the shape of the listener with an acknowledgement after the commit:
 * one thread, an event loop outside of libmicrohttpd, the body collected into
 * memory, the request suspended when the body is complete and resumed in the
 * next turn of the loop.  What fast_ingest does in addition, it does for
 * parsing and storing.
 *
 * usage: null_server [seconds]
 *
 * Listens on a free port of 127.0.0.1, prints its number on the first line of
 * its output, and ends at SIGTERM or after that many seconds (default 3600).
 */
#include <sys/epoll.h>

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WAITING 1024
#define MAX_BODY (20 * 1024 * 1024)

typedef struct Request
{
	struct MHD_Connection *connection;
	char *body;
	size_t size;
	size_t capacity;
	int complete; /* the body is here, the request was suspended */
} Request;

/* the requests suspended in this turn; MAX_WAITING is the connection limit too */
static Request *waiting[MAX_WAITING];
static int n_waiting = 0;

static struct MHD_Response *accepted;
static struct MHD_Response *bulk_accepted;
static volatile sig_atomic_t stop = 0;

static void
handle_stop(int signo)
{
	(void) signo;
	stop = 1;
}

/*
 * Append a part of the body.  Returns MHD_NO, which closes the connection,
 * when it grows over MAX_BODY or memory is short.
 */
static enum MHD_Result
append_body(Request *request, const char *data, size_t size)
{
	if (request->size + size > request->capacity)
	{
		size_t capacity = 2 * (request->size + size);
		char *body;

		if (capacity > 2 * (size_t) MAX_BODY)
			return MHD_NO;
		body = realloc(request->body, capacity);
		if (body == NULL)
			return MHD_NO;
		request->body = body;
		request->capacity = capacity;
	}
	memcpy(request->body + request->size, data, size);
	request->size += size;
	return MHD_YES;
}

/*
 * libmicrohttpd's access handler: called with the head, with each part of the
 * body, at its end, and again after the resume.
 */
static enum MHD_Result
handle_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
			   const char *version, const char *upload_data, size_t *upload_data_size,
			   void **req_cls)
{
	Request *request = *req_cls;

	(void) cls;
	(void) method;
	(void) version;

	if (request == NULL)
	{
		request = calloc(1, sizeof(Request));
		if (request == NULL)
			return MHD_NO;
		request->connection = connection;
		*req_cls = request;
		return MHD_YES;
	}

	if (*upload_data_size > 0)
	{
		size_t size = *upload_data_size;

		*upload_data_size = 0;
		return append_body(request, upload_data, size);
	}

	if (!request->complete)
	{
		request->complete = 1;
		waiting[n_waiting++] = request;
		MHD_suspend_connection(connection);
		return MHD_YES;
	}

	return MHD_queue_response(connection, MHD_HTTP_ACCEPTED,
							  strcmp(url, "/events/bulk") == 0 ? bulk_accepted : accepted);
}

static void
free_request(void *cls, struct MHD_Connection *connection, void **req_cls,
			 enum MHD_RequestTerminationCode code)
{
	Request *request = *req_cls;

	(void) cls;
	(void) connection;
	(void) code;

	if (request != NULL)
	{
		free(request->body);
		free(request);
		*req_cls = NULL;
	}
}

/* The answers are those of the contract; a bulk request is taken to hold 1,000 events */
static struct MHD_Response *
make_response(char *json)
{
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer(strlen(json), json, MHD_RESPMEM_PERSISTENT);
	if (response == NULL ||
		MHD_add_response_header(response, "Content-Type", "application/json") != MHD_YES)
	{
		fprintf(stderr, "null_server: out of memory\n");
		exit(1);
	}
	return response;
}

/*
 * Run libmicrohttpd when its epoll descriptor is ready, then resume what it
 * suspended, until asked to stop.
 */
static void
serve(struct MHD_Daemon *daemon)
{
	int mhd_fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	int loop_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	if (loop_fd < 0 || epoll_ctl(loop_fd, EPOLL_CTL_ADD, mhd_fd, &event) != 0)
	{
		perror("null_server: epoll");
		exit(1);
	}

	while (!stop)
	{
		MHD_UNSIGNED_LONG_LONG timeout = 1000;

		if (MHD_get_timeout(daemon, &timeout) != MHD_YES || timeout > 1000)
			timeout = 1000;
		if (epoll_wait(loop_fd, &event, 1, (int) timeout) < 0 && errno != EINTR)
		{
			perror("null_server: epoll_wait");
			exit(1);
		}

		MHD_run(daemon);
		if (n_waiting > 0)
		{
			for (int i = 0; i < n_waiting; i++)
				MHD_resume_connection(waiting[i]->connection);
			n_waiting = 0;
			MHD_run(daemon);
		}
	}

	/* a suspended connection must be resumed before the daemon is stopped */
	for (int i = 0; i < n_waiting; i++)
		MHD_resume_connection(waiting[i]->connection);
	close(loop_fd);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = handle_stop};
	struct MHD_Daemon *daemon;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	alarm(argc > 1 ? (unsigned int) atoi(argv[1]) : 3600);

	accepted = make_response("{\"status\":\"accepted\"}");
	bulk_accepted = make_response("{\"status\":\"accepted\",\"accepted\":1000}");

	daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
							  NULL, handle_request, NULL, MHD_OPTION_SOCK_ADDR, &address,
							  MHD_OPTION_CONNECTION_LIMIT, (unsigned int) MAX_WAITING,
							  MHD_OPTION_NOTIFY_COMPLETED, free_request, NULL, MHD_OPTION_END);
	if (daemon == NULL)
	{
		fprintf(stderr, "null_server: could not listen on 127.0.0.1\n");
		return 1;
	}

	printf("%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
	fflush(stdout);

	serve(daemon);

	MHD_stop_daemon(daemon);
	MHD_destroy_response(accepted);
	MHD_destroy_response(bulk_accepted);
	return 0;
}
