/*
 * event_client.c
 *		Sends a known number of distinct events over keep-alive connections to
 *		127.0.0.1, or writes the same events as rows for COPY.
 *
 * usage: event_client -p PORT -n REQUESTS [-e EVENTS] [-c CONNECTIONS] [-f FIRST] [-t SECONDS]
 *		  event_client -w -n REQUESTS [-e EVENTS] [-f FIRST]
 *
 * -e 1 sends single events to /events, more than one sends arrays of that many
 * to /events/bulk.  The requests are numbered from FIRST on and the number is
 * part of each of their events, so that no two events of any requests with
 * different numbers are equal.  -w writes to standard output, in the text
 * format of COPY, the rows which the same requests would store.
 *
 * Every answer must be a 202 that accepted all events of its request.  The last
 * line of the output is "client key=value ...": requests, accepted events,
 * other answers, seconds from the first byte to the last answer, and latency in
 * microseconds.  The exit code is 1 when an answer was another one (the first
 * is printed), a connection broke, or -t SECONDS (default 60) were over.
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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_TIME 1723420800 /* 2024-08-12 00:00:00 UTC: all events are of that day */
#define REQUESTS_A_SECOND 100
#define MAX_CONNECTIONS 64
#define MAX_EVENTS 1000
#define EVENT_ROOM 512 /* more than any event or row needs */
#define HEAD_ROOM 256
#define ANSWER_ROOM 8192

/*
 * Where the digits are in an event's text: the 3 digits of the user that come
 * from the request's number, and the 8 digits of the product that are the
 * number.  The digits after them are the event's place in its request.
 */
typedef struct Place
{
	size_t user;
	size_t product;
	size_t time;
} Place;

/* A request (or the rows of one) in memory, ready but for the digits */
typedef struct Template
{
	char *text;
	size_t size;
	Place places[MAX_EVENTS];
} Template;

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

static int port = 0;
static int n_connections = 1;
static int n_events = 1;
static long n_requests = 0;
static long first_request = 10000000;
static int seconds_allowed = 60;
static int write_rows = 0;

static long n_started = 0;
static long n_answered = 0;
static long n_accepted = 0;
static long n_refused = 0;
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

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/*
 * Write the i-th event of a request to `text`, as JSON or as a row for COPY, and
 * note where its digits are.  Returns its length.
 */
static size_t
write_event(char *text, int i, Place *place)
{
	static const char *const names[] = {"product_view", "add_to_cart", "page_view", "purchase",
										"search"};
	static const char *const channels[] = {"web", "mobile", "email"};
	static const char *const json_tags[] = {"\"electronics\",\"homepage\",\"flash_sale\"",
											"\"books\",\"search\",\"gift\"",
											"\"garden\",\"newsletter\",\"returning\""};
	static const char *const row_tags[] = {"electronics,homepage,flash_sale", "books,search,gift",
										   "garden,newsletter,returning"};
	int size;

	if (write_rows)
		size = sprintf(
			text,
			"%s\t%s\tuser_###%03d\t2024-08-12 ##:##:##+00\tcmp_%03d\tsite_%d\t/products/%d\t{%s}\t"
			"{\"product_id\":\"prod-########%03d\",\"price\":129.99,\"currency\":\"TRY\",\"referrer\":\"google\"}\n",
			names[i % 5], channels[i % 3], i, i % 50, i % 7, i % 200, row_tags[i % 3], i);
	else
		size = sprintf(
			text,
			"{\"event_name\":\"%s\",\"channel\":\"%s\",\"user_id\":\"user_###%03d\",\"timestamp\":##########,"
			"\"campaign_id\":\"cmp_%03d\",\"site_id\":\"site_%d\",\"path\":\"/products/%d\",\"tags\":[%s],"
			"\"metadata\":{\"product_id\":\"prod-########%03d\",\"price\":129.99,\"currency\":\"TRY\",\"referrer\":\"google\"}}",
			names[i % 5], channels[i % 3], i, i % 50, i % 7, i % 200, json_tags[i % 3], i);

	place->user = (size_t) (strstr(text, "user_###") + 5 - text);
	place->product = (size_t) (strstr(text, "prod-########") + 5 - text);
	place->time = (size_t) (strstr(text, write_rows ? "##:##:##" : "##########") - text);
	return (size_t) size;
}

/* Build the request, or the rows, in memory of its own, which is never freed */
static void
build_template(Template *template)
{
	char *body = malloc((size_t) n_events * EVENT_ROOM + 2);
	char head[HEAD_ROOM] = "";
	size_t head_size;
	size_t size = 0;

	if (body == NULL)
		fail("out of memory");

	if (!write_rows && n_events > 1)
		body[size++] = '[';
	for (int i = 0; i < n_events; i++)
	{
		Place *place = &template->places[i];
		size_t length;

		if (!write_rows && i > 0)
			body[size++] = ',';
		length = write_event(body + size, i, place);
		place->user += size;
		place->product += size;
		place->time += size;
		size += length;
	}
	if (!write_rows && n_events > 1)
		body[size++] = ']';

	if (!write_rows)
		snprintf(head, sizeof(head),
				 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
				 "Content-Length: %zu\r\n\r\n",
				 n_events > 1 ? "/events/bulk" : "/events", port, size);
	head_size = strlen(head);

	template->size = head_size + size;
	template->text = malloc(template->size);
	if (template->text == NULL)
		fail("out of memory");
	memcpy(template->text, head, head_size);
	memcpy(template->text + head_size, body, size);
	for (int i = 0; i < n_events; i++)
	{
		template->places[i].user += head_size;
		template->places[i].product += head_size;
		template->places[i].time += head_size;
	}
	free(body);
}

/* Make the template the request of this number */
static void
fill_template(Template *template, long number)
{
	char user[8];
	char product[16];
	char time[16];
	int second = (int) (number / REQUESTS_A_SECOND % 86400);
	size_t time_size;

	/* time passes as it does for clients that send what just happened */
	if (write_rows)
		snprintf(time, sizeof(time), "%02d:%02d:%02d", second / 3600, second / 60 % 60,
				 second % 60);
	else
		snprintf(time, sizeof(time), "%d", FIRST_TIME + second);
	time_size = strlen(time);
	snprintf(user, sizeof(user), "%03d", (int) (number % 1000));
	snprintf(product, sizeof(product), "%08d", (int) (number % 100000000));
	for (int i = 0; i < n_events; i++)
	{
		memcpy(template->text + template->places[i].user, user, 3);
		memcpy(template->text + template->places[i].product, product, 8);
		memcpy(template->text + template->places[i].time, time, time_size);
	}
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

/* Begin the next request, if one is left */
static void
start_request(Connection *c)
{
	c->busy = n_started < n_requests;
	if (!c->busy)
		return;
	fill_template(&c->request, first_request + n_started);
	n_started++;
	c->sent = 0;
	c->received = 0;
	c->started = now();
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
	long accepted = n_events > 1 ? number_after(body, "\"accepted\":") : 1;

	if (strncmp(c->answer, "HTTP/1.1 202 ", 13) == 0 && accepted == n_events)
		n_accepted += accepted;
	else
	{
		if (n_refused == 0)
			fprintf(stderr, "event_client: answer was %.*s ... %.300s\n",
					(int) strcspn(c->answer, "\r"), c->answer, body);
		n_refused++;
	}
	latencies[n_answered++] = (float) ((now() - c->started) * 1e6);
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
								  .sin_port = htons((unsigned short) port),
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		fail("could not connect to 127.0.0.1:%d: %s", port, strerror(errno));
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
	double started;
	double seconds;

	if (epoll_fd < 0)
		fail("epoll_create1: %s", strerror(errno));
	latencies = calloc((size_t) n_requests, sizeof(float));
	if (latencies == NULL)
		fail("out of memory");

	for (int i = 0; i < n_connections; i++)
	{
		build_template(&connections[i].request);
		open_connection(&connections[i]);
	}

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
		int n = epoll_wait(epoll_fd, events, MAX_CONNECTIONS, 1000);

		for (int i = 0; i < n; i++)
		{
			Connection *c = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				send_more(c);
			if (c->busy && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
				receive_more(c);
		}
		if (now() - started > seconds_allowed)
			fail("%ld of %ld requests answered after %d seconds", n_answered, n_requests,
				 seconds_allowed);
	}
	seconds = now() - started;

	qsort(latencies, (size_t) n_answered, sizeof(float), compare_floats);
	printf("client requests=%ld accepted=%ld refused=%ld seconds=%.6f p50_us=%.0f p99_us=%.0f\n",
		   n_answered, n_accepted, n_refused, seconds, latencies[n_answered / 2],
		   latencies[n_answered * 99 / 100]);
	return n_refused > 0;
}

/* Returns the exit code */
static int
print_rows(void)
{
	Template rows;

	build_template(&rows);
	for (long i = 0; i < n_requests; i++)
	{
		fill_template(&rows, first_request + i);
		if (fwrite(rows.text, 1, rows.size, stdout) != rows.size)
			fail("could not write: %s", strerror(errno));
	}
	return fflush(stdout) != 0;
}

int
main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "p:n:e:c:f:t:w")) != -1)
	{
		switch (option)
		{
			case 'p':
				port = atoi(optarg);
				break;
			case 'n':
				n_requests = atol(optarg);
				break;
			case 'e':
				n_events = atoi(optarg);
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
				write_rows = 1;
				break;
			default:
				return 2;
		}
	}
	if (n_requests < 1 || n_events < 1 || n_events > MAX_EVENTS || n_connections < 1 ||
		n_connections > MAX_CONNECTIONS || (!write_rows && (port < 1 || port > 65535)))
	{
		fprintf(stderr, "event_client: need -n REQUESTS, -p PORT or -w, -e 1 to %d, -c 1 to %d\n",
				MAX_EVENTS, MAX_CONNECTIONS);
		return 2;
	}

	if (n_connections > n_requests)
		n_connections = (int) n_requests;

	return write_rows ? print_rows() : send_requests();
}
