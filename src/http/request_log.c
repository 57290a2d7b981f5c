/*
 * request_log.c
 *
 * A line is made inside libmicrohttpd, while the request still exists. The listener's loop
 * writes it, because ereport can raise an error.
 */
#include "postgres.h"

#include "http/request_log.h"

#include <microhttpd.h>

#include "lib/ilist.h"

#include "base/clock.h"
#include "base/settings.h"
#include "http/admit/route.h"
#include "http/server/request_identity.h"

#define LINE_SIZE 640 /* more than the longest line needs */

typedef struct
{
	dlist_node node;
	char text[FLEXIBLE_ARRAY_MEMBER];
} LogLine;

static dlist_head lines = DLIST_STATIC_INIT(lines);
static uint64 lost_lines = 0; /* for want of memory, since the last write */

/*
 * Does fast_ingest.log_requests select the request?
 */
static bool
is_wanted(bool failed, int64 duration)
{
	switch ((LogRequests) fi_log_requests)
	{
		case LOG_REQUESTS_OFF:
			return false;
		case LOG_REQUESTS_ERRORS:
			return failed;
		case LOG_REQUESTS_SLOW:
			return failed || duration >= MonotonicAfter(0, fi_log_min_duration_request);
		case LOG_REQUESTS_ALL:
			break;
	}
	return true;
}

/*
 * Print the milliseconds between two moments, or "-" if it did not come to one of them
 */
static const char *
print_duration(int64 begin, int64 end, char text[32])
{
	if (begin == 0 || end == 0)
		return "-";
	snprintf(text, 32, "%.3f", (double) (end - begin) / 1000);
	return text;
}

static const char *
print_key_id(uint64 key_id, char text[32])
{
	if (key_id == 0)
		return "-";
	snprintf(text, 32, "%0*llx", API_KEY_ID_DIGITS, (unsigned long long) key_id);
	return text;
}

/*
 * Print the line of a request that has ended. Returns its length
 */
static int
print_line(Request *request, unsigned int status, bool sent, int64 now, char text[LINE_SIZE])
{
	char duration[32];
	char staged[32];
	char committed[32];
	char key[32];
	char client[IP_ADDRESS_TEXT_SIZE];
	const char *id = RequestId(request); /* before its client is read */

	return snprintf(
		text, LINE_SIZE,
		"fast_ingest request id=%s method=%s route=%s status=%u sent=%s bytes=" UINT64_FORMAT
		" reply_bytes=%zu events=%d rejected=%d duration_ms=%s staged_ms=%s commit_ms=%s"
		" client=%s key=%s",
		id, request->method ? request->method : "-",
		request->route < NUM_ROUTES ? RoutePaths[request->route] : "-", status, sent ? "yes" : "no",
		request->received, RequestReplyBytes(request), request->accepted + request->rejected,
		request->rejected, print_duration(request->began, now, duration),
		print_duration(request->began, request->staged, staged),
		print_duration(request->staged, request->committed, committed),
		IpAddressPrint(&request->client, client), print_key_id(request->access.key_id, key));
}

/*
 * Keep a line for RequestLogWrite
 */
static void
keep_line(const char *text, int len)
{
	LogLine *line = malloc(offsetof(LogLine, text) + len + 1);

	if (line == NULL)
	{
		lost_lines++;
		return;
	}
	memcpy(line->text, text, len + 1);
	dlist_push_tail(&lines, &line->node);
}

void
RequestLogAdd(Request *request, bool sent)
{
	char text[LINE_SIZE];
	unsigned int status;
	int64 now;

	if (fi_log_requests == LOG_REQUESTS_OFF)
		return;
	now = MonotonicNow();
	status = RequestStatus(request);
	if (is_wanted(!sent || status >= MHD_HTTP_BAD_REQUEST, now - request->began))
		keep_line(text, print_line(request, status, sent, now, text));
}

void
RequestLogWrite(void)
{
	while (!dlist_is_empty(&lines))
	{
		LogLine *line = dlist_container(LogLine, node, dlist_pop_head_node(&lines));
		char text[LINE_SIZE];

		strlcpy(text, line->text, sizeof(text));
		free(line);
		ereport(LOG, (errmsg_internal("%s", text), errhidestmt(true), errhidecontext(true)));
	}
	if (lost_lines > 0)
	{
		uint64 n = lost_lines;

		lost_lines = 0;
		ereport(LOG,
				(errmsg("fast_ingest could not log " UINT64_FORMAT " requests: out of memory", n)));
	}
}
