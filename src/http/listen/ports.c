/*
 * ports.c
 *
 * Opens the listening sockets and accepts connections.
 */
#include "postgres.h"

#include "http/listen/ports.h"

#include <microhttpd.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "utils/memutils.h"

#include "base/clock.h"
#include "base/settings.h"
#include "http/listen/listen_socket.h"
#include "http/listen/share_sockets.h"
#include "http/server/library.h"
#include "http/server/request_count.h"
#include "http/server/server.h"
#include "http/server/tls.h"

#define PORT_RETRY 1000 /* ms between two tries to open a port */

/*
 * While listeners start together, a port that is taken may be a sibling's that will soon hand
 * over its sockets. So the first tries follow each other faster, and nothing is reported.
 */
#define SIBLING_RETRY 100 /* ms */
#define SIBLING_TRIES 10

#define YIELD_TIME 1		 /* ms for other listeners to accept first */
#define MAX_YIELDS 20		 /* turns in a row */
#define EXHAUSTED_PAUSE 1000 /* ms without accepting when descriptors or memory ran out */
#define ACCEPTS_PER_TURN 64

typedef struct
{
	const char *setting;
	const char *name;				/* for messages */
	const int *number;				/* 0: the port is off */
	int64 retry_at;					/* when to try to open it again */
	int failures;					/* in a row */
	char logged[WORKER_ERROR_SIZE]; /* the last error that was logged, or "" */
} ListenPort;

static ListenPort ports[NUM_CONNECTION_KINDS] = {
	[CONNECTION_HTTP] = {.setting = "fast_ingest.port", .name = "port", .number = &fi_port},
	[CONNECTION_HTTPS] = {.setting = "fast_ingest.ssl_port",
						  .name = "TLS port",
						  .number = &fi_ssl_port},
};
static ListenSockets sockets[NUM_CONNECTION_KINDS];

static Pair *pair;
static int accept_epoll = -1;
static bool accepting = true; /* are the sockets in accept_epoll? */
static int64 accept_at = 0;	  /* when to put them there again */
static int yields = 0;		  /* turns in a row in which siblings accepted first */

/*
 * Begin or cease to wait for connections of a port. The listening sockets have an epoll
 * descriptor of their own in the listener's wait set, because nothing can be removed from a
 * PostgreSQL wait set, and a new set needs descriptors, which may have run out.
 */
static void
watch_port(ConnectionKind kind, bool on)
{
	for (int i = 0; i < sockets[kind].n; i++)
	{
		struct epoll_event event = {.events = EPOLLIN};

		if (epoll_ctl(accept_epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, sockets[kind].fds[i],
					  &event) != 0)
			ereport(LOG, (errmsg("fast_ingest could not change what it listens to: %m")));
	}
}

static void
set_accepting(bool on)
{
	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
		watch_port(kind, on);
	accepting = on;
}

/*
 * Accept no connections for so many milliseconds
 */
static void
pause_accepting(long milliseconds)
{
	accept_at = MonotonicAfter(ServerNow, milliseconds);
	set_accepting(false);
}

/*
 * Publish that we listen on at least one port, or why we do not
 */
static void
publish_state(const char *reason)
{
	bool open = false;

	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
		open |= sockets[kind].n > 0;
	WorkerSetState(&pair->listener, open ? WORKER_RUNNING : WORKER_WAITING, open ? NULL : reason);
}

int
PortsInit(Pair *listeners_pair)
{
	pair = listeners_pair;
	accept_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (accept_epoll < 0)
		ereport(ERROR,
				(errcode_for_socket_access(), errmsg("could not create an epoll descriptor: %m")));
	if (fi_port == 0 && fi_ssl_port == 0)
	{
		publish_state("fast_ingest.port and fast_ingest.ssl_port are both 0");
		ereport(LOG, (errmsg("fast_ingest listens on no port"),
					  errdetail("Both fast_ingest.port and fast_ingest.ssl_port are 0.")));
	}
	return accept_epoll;
}

const char *
PortsName(void)
{
	static char name[64];

	if (fi_port == 0 && fi_ssl_port == 0)
		return "no port";
	if (fi_ssl_port == 0)
		snprintf(name, sizeof(name), "port %d", fi_port);
	else if (fi_port == 0)
		snprintf(name, sizeof(name), "TLS port %d", fi_ssl_port);
	else
		snprintf(name, sizeof(name), "port %d and TLS port %d", fi_port, fi_ssl_port);
	return name;
}

/*
 * Bind a port, or get its sockets from a sibling
 */
static bool
open_sockets(ConnectionKind kind, char error[WORKER_ERROR_SIZE])
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest sockets", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool open = ListenOpen(&sockets[kind], fi_listen_addresses, *ports[kind].number, error,
						   WORKER_ERROR_SIZE) ||
				SiblingsAsk(kind, &sockets[kind]);

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return open;
}

/*
 * Note why a port cannot be opened, log it once, and set when to try again
 */
static void
report_failure(ListenPort *port, const char *error, const char *hint)
{
	if (strcmp(port->logged, error) != 0)
	{
		ereport(LOG, (errmsg("fast_ingest %s", error), errhint(hint, port->setting)));
		WorkerSetError(&pair->listener, error);
	}
	strlcpy(port->logged, error, sizeof(port->logged));
	publish_state(error);
	port->retry_at = MonotonicAfter(MonotonicNow(), PORT_RETRY);
}

/*
 * Log what others can see and do if sockets can be reached from other machines
 */
static void
warn_of_exposure(const ListenSockets *exposed, bool tls)
{
	if (ListenIsLocal(exposed) || (tls && fi_require_api_key))
		return;
	if (!fi_require_api_key)
		ereport(WARNING,
				(errmsg("fast_ingest can be reached from elsewhere, and needs no API keys"),
				 errdetail("Whoever reaches port %d can store events and read metrics%s.",
						   tls ? fi_ssl_port : fi_port,
						   tls ? "" : ", and whoever listens on the way can read both"),
				 errhint("Set fast_ingest.require_api_key, or listen on localhost only.")));
	else
		ereport(WARNING,
				(errmsg("fast_ingest can be reached from elsewhere without TLS"),
				 errdetail("Whoever listens on the way to port %d can read API keys and events.",
						   fi_port),
				 errhint("Set fast_ingest.ssl_port, and fast_ingest.port to 0; or put a proxy with "
						 "TLS before it, and listen on localhost only.")));
}

/*
 * Try to open a port
 */
static void
open_port(ConnectionKind kind)
{
	ListenPort *port = &ports[kind];
	char error[WORKER_ERROR_SIZE];

	if (!LibraryIsKnown(error, sizeof(error)))
		report_failure(
			port, error,
			"The port of %s stays closed until one of these versions is installed and the "
			"server is started again.");
	else if (kind == CONNECTION_HTTPS && !TlsLoaded() && !TlsLoad(error, sizeof(error)))
		report_failure(port, error,
					   "The port of %s stays closed until it can be loaded, which is tried "
					   "every second.");
	else if (open_sockets(kind, error))
	{
		ereport(LOG, (errmsg("fast_ingest listens on %s %s %d", fi_listen_addresses, port->name,
							 *port->number)));
		if (pair == &Shared->pairs[0])
			warn_of_exposure(&sockets[kind], kind == CONNECTION_HTTPS);
		if (accepting)
			watch_port(kind, true);
		SiblingsTell(kind);
		publish_state(NULL);
		port->logged[0] = '\0';
		port->failures = 0;
	}
	else if (fi_listeners > 1 && port->failures++ < SIBLING_TRIES)
		port->retry_at = MonotonicAfter(MonotonicNow(), SIBLING_RETRY);
	else
		report_failure(port, error,
					   "Is another server on that port? It is tried again every second; %s names "
					   "another one.");
}

static bool
is_closed(ConnectionKind kind)
{
	return *ports[kind].number != 0 && sockets[kind].n == 0;
}

void
PortsOpen(void)
{
	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
		if (is_closed(kind) && ports[kind].retry_at <= ServerNow)
			open_port(kind);
	if (!accepting && accept_at <= ServerNow)
		set_accepting(true);
}

long
PortsNextTry(void)
{
	long next = accepting ? -1 : MonotonicLeft(ServerNow, accept_at);

	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
	{
		if (is_closed(kind))
		{
			long left = MonotonicLeft(ServerNow, ports[kind].retry_at);

			next = next < 0 ? left : Min(next, left);
		}
	}
	return next;
}

void
PortsReadSettings(void)
{
	char error[WORKER_ERROR_SIZE];

	if (!TlsLoaded() || TlsLoad(error, sizeof(error)))
		return;
	WorkerSetError(&pair->listener, error);
	ereport(LOG, (errmsg("fast_ingest %s", error),
				  errdetail("It goes on with the certificate and the key that it has."),
				  errhint("Mend the file and reload the configuration again.")));
}

/*
 * Hand an accepted connection to the server, unless too many are open. Then it is closed; a
 * client of HTTP is told why, but one of HTTPS is not, since there is no TLS session yet.
 */
static void
enter_connection(int fd, ConnectionKind kind, const struct sockaddr_storage *address,
				 socklen_t address_len)
{
	if (SiblingsMayOpen(ServerConnectionCount()))
	{
		ServerAddConnection(fd, kind, address, address_len);
		return;
	}
	RequestCountRefusedConnection();
	if (kind == CONNECTION_HTTP)
		ReplyAndCut(fd, NULL, MHD_HTTP_SERVICE_UNAVAILABLE,
					"too many connections: fast_ingest.max_connections are open", NULL);
	close(fd);
}

/*
 * Accept the connections that wait at a socket. patient: listeners that have fewer
 * connections get a moment to accept them first. We accept those that they leave.
 */
static void
accept_connections(pgsocket listener, ConnectionKind kind, bool patient)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++)
	{
		struct sockaddr_storage address;
		socklen_t address_len;
		bool exhausted;
		pgsocket fd;

		if (patient && SiblingsGoFirst(kind, ServerConnectionCount()))
		{
			yields++;
			pause_accepting(YIELD_TIME);
			return;
		}
		fd = ListenAccept(listener, &address, &address_len, &exhausted);
		if (fd != PGINVALID_SOCKET)
		{
			enter_connection(fd, kind, &address, address_len);
			continue;
		}
		if (exhausted)
		{
			ereport(LOG, (errmsg("fast_ingest cannot accept a connection: %m"),
						  errdetail("It pauses for a second.")));
			pause_accepting(EXHAUSTED_PAUSE);
		}
		return;
	}
}

void
PortsAccept(void)
{
	bool patient = yields < MAX_YIELDS;
	int before = yields;

	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
		for (int i = 0; i < sockets[kind].n && accepting; i++)
			accept_connections(sockets[kind].fds[i], kind, patient);
	if (yields == before)
		yields = 0;
}

void
PortsServeSiblings(void)
{
	SiblingsServe(sockets);
}

void
PortsClose(void)
{
	/* a sibling's copy of a socket would keep it in the epoll set after it is closed here */
	if (accepting)
		set_accepting(false);
	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
		ListenClose(&sockets[kind]);
}
