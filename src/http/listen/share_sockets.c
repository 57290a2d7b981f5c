/*
 * share_sockets.c
 *
 * Passes listening sockets from listener to listener, and counts their connections
 * together. A listener waits for another one only when it opens a port that the other one
 * has open, and then not long.
 */
#include "postgres.h"

#include "http/listen/share_sockets.h"

#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include "storage/ipc.h"

#include "base/settings.h"
#include "shared/shared_state.h"

#define HANDOVER_WAIT 200 /* ms for a sibling to hand over its sockets */

/* The part of a message that passes descriptors. */
typedef union
{
	struct cmsghdr header;
	char space[CMSG_SPACE(NUM_CONNECTION_KINDS * MAX_LISTEN_SOCKETS * sizeof(int))];
} DescriptorMessage;

/* The rest of the message: how many descriptors there are of each kind, in order of kinds. */
typedef struct
{
	int n[NUM_CONNECTION_KINDS];
} SocketCounts;

static int my_number;
static int ask_fd = -1; /* at which siblings ask */

/*
 * The address at which a listener is asked. It is relative to the data directory, which is
 * the current directory of every process of the server.
 */
static struct sockaddr_un
make_address(int number)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "pg_stat_tmp/fast_ingest.listener.%d",
			 number + 1);
	return address;
}

static void
leave_siblings(int code, Datum arg)
{
	struct sockaddr_un address = make_address(my_number);

	pg_atomic_write_u32(&Shared->pairs[my_number].connections, 0);
	pg_atomic_write_u32(&Shared->pairs[my_number].ports, 0);
	if (ask_fd >= 0)
		(void) unlink(address.sun_path);
}

void
SiblingsInit(int number)
{
	struct sockaddr_un address = make_address(number);

	my_number = number;
	pg_atomic_write_u32(&Shared->pairs[number].connections, 0);
	pg_atomic_write_u32(&Shared->pairs[number].ports, 0);
	before_shmem_exit(leave_siblings, (Datum) 0);
	if (fi_listeners == 1)
		return;

	(void) unlink(address.sun_path); /* a listener that was killed leaves it behind */
	ask_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ask_fd < 0 || bind(ask_fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(ask_fd, MAX_LISTENERS) != 0)
		ereport(ERROR, (errcode_for_socket_access(),
						errmsg("could not listen on \"%s\": %m", address.sun_path)));
}

int
SiblingsFd(void)
{
	return ask_fd;
}

/*
 * Send all listening sockets
 */
static void
send_sockets(int fd, const ListenSockets sockets[NUM_CONNECTION_KINDS])
{
	DescriptorMessage control = {0};
	SocketCounts counts;
	struct iovec data = {.iov_base = &counts, .iov_len = sizeof(counts)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control};
	int *fds = (int *) CMSG_DATA(&control.header);
	int n = 0;

	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
	{
		counts.n[kind] = sockets[kind].n;
		memcpy(fds + n, sockets[kind].fds, sockets[kind].n * sizeof(int));
		n += sockets[kind].n;
	}
	if (n == 0)
		return;
	message.msg_controllen = CMSG_SPACE(n * sizeof(int));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
	/* a sibling that does not get the message asks again */
	(void) sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void
SiblingsServe(const ListenSockets sockets[NUM_CONNECTION_KINDS])
{
	int fd;

	while ((fd = accept4(ask_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		send_sockets(fd, sockets);
		close(fd);
	}
}

/*
 * Have as many descriptors come as were counted? The kernel leaves out those for which this
 * process has no room.
 */
static bool
have_all_come(const SocketCounts *counts, int n)
{
	for (int kind = 0; kind < NUM_CONNECTION_KINDS; kind++)
	{
		if (counts->n[kind] < 0 || counts->n[kind] > MAX_LISTEN_SOCKETS)
			return false;
		n -= counts->n[kind];
	}
	return n == 0;
}

/*
 * Receive what send_sockets() sent, and keep the sockets of one kind; false if there are none
 */
static bool
receive_sockets(int fd, ConnectionKind wanted, ListenSockets *sockets)
{
	DescriptorMessage control = {0};
	SocketCounts counts;
	struct iovec data = {.iov_base = &counts, .iov_len = sizeof(counts)};
	struct msghdr message = {.msg_iov = &data,
							 .msg_iovlen = 1,
							 .msg_control = &control,
							 .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	const int *given;
	bool usable;
	int n;
	int kind = 0;

	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != sizeof(counts))
		return false;
	header = CMSG_FIRSTHDR(&message);
	if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return false;
	given = (const int *) CMSG_DATA(header);
	n = (int) ((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	usable = have_all_come(&counts, n);
	for (int i = 0; i < n; i++)
	{
		while (usable && counts.n[kind] == 0)
			kind++;
		if (usable && kind == (int) wanted)
			sockets->fds[sockets->n++] = given[i];
		else
			close(given[i]);
		if (usable)
			counts.n[kind]--;
	}
	return sockets->n > 0;
}

/*
 * Does a pair's listener serve the port of a kind?
 */
static bool
has_open(Pair *pair, ConnectionKind kind)
{
	return pg_atomic_read_u32(&pair->listener.state) == WORKER_RUNNING &&
		   (pg_atomic_read_u32(&pair->ports) & (1 << kind)) != 0;
}

/*
 * Ask one sibling for its sockets
 */
static bool
ask_sibling(int number, ConnectionKind kind, ListenSockets *sockets)
{
	struct sockaddr_un address = make_address(number);
	struct pollfd answer = {.events = POLLIN};
	bool given;

	answer.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (answer.fd < 0)
		return false;
	given = connect(answer.fd, (struct sockaddr *) &address, sizeof(address)) == 0 &&
			poll(&answer, 1, HANDOVER_WAIT) == 1 && receive_sockets(answer.fd, kind, sockets);
	close(answer.fd);
	return given;
}

void
SiblingsTell(ConnectionKind kind)
{
	(void) pg_atomic_fetch_or_u32(&Shared->pairs[my_number].ports, 1 << kind);
}

bool
SiblingsAsk(ConnectionKind kind, ListenSockets *sockets)
{
	for (int i = 0; i < fi_listeners; i++)
		if (i != my_number && has_open(&Shared->pairs[i], kind) && ask_sibling(i, kind, sockets))
			return true;
	return false;
}

/*
 * Our count goes up before the others are read, with a barrier between. So if two listeners
 * open the last connection at the same time, at least one of them sees the other.
 */
bool
SiblingsMayOpen(int open)
{
	uint64 sum = 0;

	(void) pg_atomic_exchange_u32(&Shared->pairs[my_number].connections, open + 1);
	for (int i = 0; i < fi_listeners; i++)
		sum += pg_atomic_read_u32(&Shared->pairs[i].connections);
	if (sum <= (uint64) fi_max_connections)
		return true;
	SiblingsReport(open);
	return false;
}

void
SiblingsReport(int open)
{
	pg_atomic_write_u32(&Shared->pairs[my_number].connections, open);
}

bool
SiblingsGoFirst(ConnectionKind kind, int open)
{
	for (int i = 0; i < fi_listeners; i++)
	{
		Pair *pair = &Shared->pairs[i];
		int others = (int) pg_atomic_read_u32(&pair->connections);

		/* a small difference does not matter */
		if (i != my_number && has_open(pair, kind) && open > others + others / 8)
			return true;
	}
	return false;
}
