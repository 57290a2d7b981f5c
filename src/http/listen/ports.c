/*
 * ports.c
 *
 * Opens the listening sockets and accepts connections.
 */
#include "postgres.h"

#include "http/listen/ports.h"

#include <sys/epoll.h>

#include "utils/memutils.h"

#include "http/admit/api_key_check.h"
#include "http/server/server.h"
#include "http/listen/share_sockets.h"
#include "http/listen/listen_socket.h"
#include "http/server/tls.h"
#include "base/clock.h"
#include "base/settings.h"
#include "worker/worker.h"

#define PORT_RETRY 1000	  /* ms between two tries of a port that is taken */
#define SIBLING_RETRY 100 /* ms, before it is taken for somebody else's */
#define SIBLING_TRIES 10
#define YIELD_TIME 1 /* ms in which other listeners go first */
#define MAX_YIELDS 20
#define EXHAUSTED_PAUSE 1000 /* ms without accepting, when out of descriptors */
#define ACCEPTS_PER_TURN 64

typedef struct
{
	const char *setting;
	const char *name;  /* for people */
	const int *number; /* 0: not to be opened */
	int64 again;	   /* when to try to open it */
	int failures;	   /* in a row */
	char logged[WORKER_ERROR_SIZE];
} ListenPort;

static ListenPort ports[NUM_LISTEN_KINDS] = {
	[LISTEN_HTTP] = {.setting = "fast_ingest.port", .name = "port", .number = &fi_port},
	[LISTEN_HTTPS] = {.setting = "fast_ingest.ssl_port",
					  .name = "TLS port",
					  .number = &fi_ssl_port},
};
static ListenSockets sockets[NUM_LISTEN_KINDS];

static Pair *pair;
static int accept_epoll = -1;
static bool accepting = true;  /* are the sockets in accept_epoll? */
static int yields = 0;		   /* turns in a row that were left to siblings */
static int64 accept_again = 0; /* when to put them there again */

/*
 * Begin or cease to wait for connections of a port. The listening sockets have an epoll
 * descriptor of their own in the listener's wait set: sets of PostgreSQL cannot lose a
 * member, and making a new one needs descriptors, which may be what we are out of.
 */
static void
watch(ListenKind kind, bool on)
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
	for (int kind = 0; kind < NUM_LISTEN_KINDS; kind++)
		watch(kind, on);
	accepting = on;
}

/*
 * Accept nothing for so many milliseconds
 */
static void
pause_accepting(long milliseconds)
{
	accept_again = MonotonicAfter(ServerNow, milliseconds);
	set_accepting(false);
}

/*
 * Publish that we listen, on one port at least, or why we do not
 */
static void
set_state(const char *reason)
{
	bool open = false;

	for (int kind = 0; kind < NUM_LISTEN_KINDS; kind++)
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
		set_state("fast_ingest.port and fast_ingest.ssl_port are both 0");
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
 * Bind a port, or get its sockets of a sibling
 */
static bool
open_sockets(ListenKind kind, char error[WORKER_ERROR_SIZE])
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
 * Say once why a port is not open, and when it is tried again
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
	set_state(error);
	port->again = MonotonicAfter(MonotonicNow(), PORT_RETRY);
}

/*
 * Try to listen. While listeners start together it is one of them that has a port.
 */
static void
open_port(ListenKind kind)
{
	ListenPort *port = &ports[kind];
	char error[WORKER_ERROR_SIZE];

	if (!ServerKnowsLibrary(error, sizeof(error)))
		report_failure(
			port, error,
			"The port of %s stays closed until one of these versions is installed and the "
			"server is started again.");
	else if (kind == LISTEN_HTTPS && !TlsLoaded() && !TlsLoad(error, sizeof(error)))
		report_failure(port, error,
					   "The port of %s stays closed until it can be loaded, which is tried "
					   "every second.");
	else if (open_sockets(kind, error))
	{
		ereport(LOG, (errmsg("fast_ingest listens on %s %s %d", fi_listen_addresses, port->name,
							 *port->number)));
		if (pair == &Shared->pairs[0])
			AccessWarn(&sockets[kind], kind == LISTEN_HTTPS);
		if (accepting)
			watch(kind, true);
		SiblingsTell(kind);
		set_state(NULL);
		port->logged[0] = '\0';
		port->failures = 0;
	}
	else if (fi_listeners > 1 && port->failures++ < SIBLING_TRIES)
		port->again = MonotonicAfter(MonotonicNow(), SIBLING_RETRY);
	else
		report_failure(port, error,
					   "Is another server on that port? It is tried again every second; %s names "
					   "another one.");
}

static bool
is_closed(ListenKind kind)
{
	return *ports[kind].number != 0 && sockets[kind].n == 0;
}

void
PortsOpen(void)
{
	for (int kind = 0; kind < NUM_LISTEN_KINDS; kind++)
		if (is_closed(kind) && ports[kind].again <= ServerNow)
			open_port(kind);
	if (!accepting && accept_again <= ServerNow)
		set_accepting(true);
}

long
PortsNextTry(void)
{
	long next = accepting ? -1 : MonotonicLeft(ServerNow, accept_again);

	for (int kind = 0; kind < NUM_LISTEN_KINDS; kind++)
	{
		if (is_closed(kind))
		{
			long left = MonotonicLeft(ServerNow, ports[kind].again);

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
 * Accept what waits at a socket. Other listeners with fewer connections get a moment to
 * go first; what they leave, being busy or worse, is accepted.
 */
static void
accept_connections(pgsocket listener, ListenKind kind, bool patient)
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
			ServerAddConnection(fd, kind, &address, address_len);
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

	for (int kind = 0; kind < NUM_LISTEN_KINDS; kind++)
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
	/* a sibling's copies keep what is closed here in the epoll set */
	if (accepting)
		set_accepting(false);
	for (int kind = 0; kind < NUM_LISTEN_KINDS; kind++)
		ListenClose(&sockets[kind]);
}
