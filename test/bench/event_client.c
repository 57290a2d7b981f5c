/*
 * event_client.c
 *		Sends a known number of distinct events over keep-alive connections to
 *		127.0.0.1, or writes the same events as rows for COPY.
 *
 * usage: event_client -p PORT -n REQUESTS [-e EVENTS] [-c CONNECTIONS] [-f FIRST] [-t SECONDS]
 *					   [-r RATE] [-a] [-u USERS [-o] [-k SITES] [-s TIME -d SECONDS]]
 *		  event_client -w -n REQUESTS [-e EVENTS] [-f FIRST]
 *
 * -e 1 sends single events to /events, more than one sends arrays of that many
 * to /events/bulk.  The requests are numbered from FIRST on and the number is
 * part of each of their events, so that no two events of any requests with
 * different numbers are equal.  -w writes to standard output, in the text
 * format of COPY, the rows which the same requests would store.
 *
 * -r sends that many events a second, or as many as are answered if those are
 * fewer.  SIGTERM begins no more requests and ends when the last is answered.
 *
 * -a overloads: 503 and 429 with Retry-After are answers, too, counted as
 * turned_away; the latencies are those of accepted requests, from when they were
 * sent; and a request that is due while every connection waits is not made up for.
 *
 * -u sends events to query: 10 names, 5 channels and 20
 * paths of one site (requests of 100 events hold them all), of that many users,
 * drawn at random or, with -o, one after the other; with -k of that many sites,
 * drawn so that the first has a tenth of what 1,000 have.  They happen when they are
 * sent, or with -s and -d in those seconds from that Unix time on, the first
 * request's first.
 *
 * Every answer must be a 202 that accepted all events of its request.  The last
 * line of the output is "client key=value ...": requests, accepted events,
 * other answers, seconds from the first byte to the last answer, and latency in
 * microseconds (with -r from when the request was due).  The exit code is 1 when
 * an answer was another one (the first is printed), a connection broke, or -t
 * SECONDS (default 60) were over.
 *
 * It costs the server's cores as little as possible: each connection has one
 * request ready in memory, in which only the digits that differ are written anew.
 */
#define _GNU_SOURCE /* strcasestr */

#include <sys/epoll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "request.h"

#define MAX_CONNECTIONS 1024
#define ANSWER_ROOM 8192

typedef struct Connection
{
	int fd;
	int busy; /* a request is under way */
	Template request;
	size_t sent;
	double started; /* of the request under way */
	char answer[ANSWER_ROOM];
	size_t received;
} Connection;

static int n_connections = 1;
static long n_requests = 0;
static long first_request = 10000000;
static int seconds_allowed = 60;
static int overload = 0;
static double rate = 0; /* requests a second; 0: as many as are answered */

static volatile sig_atomic_t stop = 0;
static double started;
static long n_started = 0;
static long n_missed = 0;
static long n_answered = 0;
static long n_accepted = 0;
static long n_refused = 0;
static long n_turned_away = 0;
static long n_latencies = 0;
static float *latencies;

static void
fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "event_client: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

static void
handle_stop(int signo)
{
	(void) signo;
	stop = 1;
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* Send what the socket takes of the request */
static void
send_more(Connection *c)
{
	while (c->sent < c->request.size)
	{
		ssize_t n = send(c->fd, c->request.text + c->sent, c->request.size - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			fail("could not send: %s", strerror(errno));
		c->sent += (size_t) n;
	}
}

/* When the next request may be sent */
static double
due(void)
{
	return rate > 0 ? started + (double) (n_started + n_missed) * event_form.n_events / rate : 0;
}

/* Every connection waits: what has come due is not sent */
static void
miss_requests(double time)
{
	while (due() < time)
		n_missed++;
}

/* Begin the next request, if one is left and due */
static void
start_request(Connection *c)
{
	double time = now();

	c->busy = n_started < n_requests && due() <= time;
	if (!c->busy)
		return;
	c->started = rate > 0 && !overload ? due() : time;
	fill_template(&c->request, first_request + n_started, n_started);
	n_started++;
	c->sent = 0;
	c->received = 0;
	send_more(c);
}

/*
 * The number after `name` in the text between `from` and its end, or -1.
 * The text is terminated by a zero byte.
 */
static long
number_after(const char *from, const char *name)
{
	const char *found = strcasestr(from, name);

	return found != NULL ? strtol(found + strlen(name), NULL, 10) : -1;
}

/* Count a whole answer: is it a 202, and for as many events as were sent? */
static void
judge_answer(Connection *c, const char *body)
{
	long accepted = event_form.n_events > 1 ? number_after(body, "\"accepted\":") : 1;

	n_answered++;
	if (strncmp(c->answer, "HTTP/1.1 202 ", 13) == 0 && accepted == event_form.n_events)
	{
		n_accepted += accepted;
		latencies[n_latencies++] = (float) ((now() - c->started) * 1e6);
	}
	else if (overload &&
			 (strncmp(c->answer, "HTTP/1.1 503 ", 13) == 0 ||
			  strncmp(c->answer, "HTTP/1.1 429 ", 13) == 0) &&
			 number_after(c->answer, "\r\nretry-after:") > 0)
		n_turned_away++;
	else
	{
		if (n_refused == 0)
			fprintf(stderr, "event_client: answer was %.*s ... %.300s\n",
					(int) strcspn(c->answer, "\r"), c->answer, body);
		n_refused++;
	}
}

/* Read what is there of the answer; when it is whole, go on with the next request */
static void
receive_more(Connection *c)
{
	ssize_t n = recv(c->fd, c->answer + c->received, ANSWER_ROOM - 1 - c->received, 0);
	char *end;
	size_t head_size;
	long body_size;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0)
		fail("could not receive: %s", strerror(errno));
	if (n == 0)
		fail("the server closed the connection");
	c->received += (size_t) n;
	c->answer[c->received] = '\0';

	end = strstr(c->answer, "\r\n\r\n");
	if (end == NULL)
	{
		if (c->received == ANSWER_ROOM - 1)
			fail("the answer's head is too long");
		return;
	}
	head_size = (size_t) (end + 4 - c->answer);
	body_size = number_after(c->answer, "\r\ncontent-length:");
	if (body_size < 0 || head_size + (size_t) body_size > ANSWER_ROOM - 1)
		fail("the answer has no usable Content-Length:\n%s", c->answer);
	if (c->received < head_size + (size_t) body_size)
		return;
	if (c->sent < c->request.size)
		fail("answered before the request was sent:\n%s", c->answer);

	judge_answer(c, end + 4);
	start_request(c);
}

static void
open_connection(Connection *c)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_port = htons((unsigned short) event_form.port),
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		fail("could not connect to 127.0.0.1:%d: %s", event_form.port, strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int
compare_floats(const void *a, const void *b)
{
	float x = *(const float *) a;
	float y = *(const float *) b;

	return (x > y) - (x < y);
}

/* Returns the exit code */
static int
send_requests(void)
{
	static Connection connections[MAX_CONNECTIONS];
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	double seconds;

	if (epoll_fd < 0)
		fail("epoll_create1: %s", strerror(errno));
	latencies = calloc((size_t) n_requests, sizeof(float));
	if (latencies == NULL)
		fail("out of memory");

	for (int i = 0; i < n_connections; i++)
	{
		if (!build_template(&connections[i].request))
			fail("out of memory");
		open_connection(&connections[i]);
	}

	signal(SIGTERM, handle_stop);
	started = now();
	for (int i = 0; i < n_connections; i++)
	{
		Connection *c = &connections[i];
		struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};

		if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
			epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
			fail("could not watch a connection: %s", strerror(errno));
		start_request(c);
	}

	while (n_answered < n_requests)
	{
		struct epoll_event events[MAX_CONNECTIONS];
		int n = epoll_wait(epoll_fd, events, MAX_CONNECTIONS, rate > 0 ? 1 : 1000);

		if (stop)
			n_requests = n_started;
		for (int i = 0; i < n; i++)
		{
			Connection *c = events[i].data.ptr;

			if (c->busy && (events[i].events & EPOLLOUT))
				send_more(c);
			if (c->busy && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
				receive_more(c);
		}
		for (int i = 0; rate > 0 && i < n_connections; i++)
		{
			if (!connections[i].busy)
				start_request(&connections[i]);
		}
		if (rate > 0 && overload)
			miss_requests(now());
		if (now() - started > seconds_allowed)
			fail("%ld of %ld requests answered after %d seconds", n_answered, n_requests,
				 seconds_allowed);
	}
	seconds = now() - started;

	qsort(latencies, (size_t) n_latencies, sizeof(float), compare_floats);
	printf("client requests=%ld accepted=%ld refused=%ld turned_away=%ld seconds=%.6f "
		   "p50_us=%.0f p99_us=%.0f\n",
		   n_answered, n_accepted, n_refused, n_turned_away, seconds,
		   n_latencies > 0 ? latencies[n_latencies / 2] : 0,
		   n_latencies > 0 ? latencies[n_latencies * 99 / 100] : 0);
	return n_refused > 0;
}

/* Returns the exit code */
static int
print_rows(void)
{
	Template rows;

	if (!build_template(&rows))
		fail("out of memory");
	for (long i = 0; i < n_requests; i++)
	{
		fill_template(&rows, first_request + i, i);
		if (fwrite(rows.text, 1, rows.size, stdout) != rows.size)
			fail("could not write: %s", strerror(errno));
	}
	return fflush(stdout) != 0;
}

int
main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "p:n:e:c:f:t:wr:au:ok:s:d:")) != -1)
	{
		switch (option)
		{
			case 'p':
				event_form.port = atoi(optarg);
				break;
			case 'n':
				n_requests = atol(optarg);
				break;
			case 'e':
				event_form.n_events = atoi(optarg);
				break;
			case 'c':
				n_connections = atoi(optarg);
				break;
			case 'f':
				first_request = atol(optarg);
				break;
			case 't':
				seconds_allowed = atoi(optarg);
				break;
			case 'w':
				event_form.write_rows = 1;
				break;
			case 'r':
				rate = atof(optarg);
				break;
			case 'a':
				overload = 1;
				break;
			case 'u':
				event_form.n_users = atoi(optarg);
				break;
			case 'o':
				event_form.users_in_turn = 1;
				break;
			case 'k':
				event_form.n_sites = atoi(optarg);
				break;
			case 's':
				event_form.from = atol(optarg);
				break;
			case 'd':
				event_form.duration = atol(optarg);
				break;
			default:
				return 2;
		}
	}
	if (n_requests < 1 || event_form.n_events < 1 || event_form.n_events > MAX_EVENTS ||
		n_connections < 1 || n_connections > MAX_CONNECTIONS ||
		(!event_form.write_rows && (event_form.port < 1 || event_form.port > 65535)))
	{
		fprintf(stderr, "event_client: need -n REQUESTS, -p PORT or -w, -e 1 to %d, -c 1 to %d\n",
				MAX_EVENTS, MAX_CONNECTIONS);
		return 2;
	}
	if (event_form.n_users < 0 || event_form.n_users > MAX_USERS ||
		(event_form.n_users > 0 && (event_form.write_rows || event_form.n_events < 100)) ||
		event_form.n_sites < 1 || event_form.n_sites > MAX_SITES ||
		(event_form.n_users == 0 &&
		 (event_form.users_in_turn || event_form.duration != 0 || event_form.n_sites != 1)))
	{
		fprintf(
			stderr,
			"event_client: -u is 1 to %d, with -e 100 or more and without -w; -o, -k (1 to %d) and -d are for -u\n",
			MAX_USERS, MAX_SITES);
		return 2;
	}
	if (event_form.duration > 0)
		event_form.n_slices = n_requests;

	if (n_connections > n_requests)
		n_connections = (int) n_requests;

	return event_form.write_rows ? print_rows() : send_requests();
}
