/*
 * request_log.c
 *
 * Making ids and lines. A line is made inside libmicrohttpd, while there is a request,
 * and written by the listener's loop: ereport can raise an error.
 */
#include "postgres.h"

#include "http/request_log.h"

#include <microhttpd.h>

#include "lib/ilist.h"

#include "base/address.h"
#include "http/server/request.h"
#include "base/clock.h"
#include "base/settings.h"

/*
 * What ids may consist of besides letters and digits: what log readers take for part of
 * a value. No @, so that addresses of people do not get into logs.
 */
#define ID_PUNCTUATION "-_.:/+"

#define LINE_SIZE 640 /* more than the longest one has */

typedef struct
{
	dlist_node node;
	char text[FLEXIBLE_ARRAY_MEMBER];
} Line;

static dlist_head lines = DLIST_STATIC_INIT(lines);
static uint64 lost_lines = 0;

/* ids that are made: other processes and other starts have other ones */
static uint64 id_prefix;
static uint64 ids_made = 0;

void
RequestLogInit(void)
{
	if (!pg_strong_random(&id_prefix, sizeof(id_prefix)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random numbers for ids")));
}

static bool
is_acceptable(const char *id)
{
	size_t len = strlen(id);

	if (len == 0 || len >= REQUEST_ID_SIZE)
		return false;
	for (const char *c = id; *c != '\0'; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') &&
			strchr(ID_PUNCTUATION, *c) == NULL)
			return false;
	return true;
}

static void
make_id(RequestLog *log)
{
	snprintf(log->id, sizeof(log->id), "%016llx-%llu", (unsigned long long) id_prefix,
			 (unsigned long long) ++ids_made);
}

/*
 * The constant text of a method; NULL if it is none that is known
 */
static const char *
method_name(const char *method)
{
	static const char *const methods[] = {"GET",	 "HEAD",	"POST",	 "PUT",	 "DELETE",
										  "CONNECT", "OPTIONS", "TRACE", "PATCH"};

	for (int i = 0; i < (int) lengthof(methods); i++)
		if (strcmp(method, methods[i]) == 0)
			return methods[i];
	return NULL;
}

void
RequestLogHead(Request *request, const char *method)
{
	const char *id = RequestHeader(request, REQUEST_ID_HEADER);

	if (id != NULL && is_acceptable(id))
		strlcpy(request->log.id, id, sizeof(request->log.id));
	else
		make_id(&request->log);
	request->log.method = method_name(method);
}

void
RequestLogAddHeader(Request *request, struct MHD_Response *response)
{
	MHD_add_response_header(response, REQUEST_ID_HEADER, request->log.id);
}

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
 * The milliseconds between two moments, or -
 */
static const char *
milliseconds(int64 begin, int64 end, char text[32])
{
	if (begin == 0 || end == 0)
		return "-";
	snprintf(text, 32, "%.3f", (double) (end - begin) / 1000);
	return text;
}

static const char *
key_id(const Access *access, char text[32])
{
	if (access->key_id == 0)
		return "-";
	snprintf(text, 32, "%0*llx", API_KEY_ID_DIGITS, (unsigned long long) access->key_id);
	return text;
}

/*
 * A head that is not complete has no id. Whether the connection still has what came of it
 * is not sure when it ends.
 */
static void
know_without_head(Request *request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	make_id(&request->log);
	if (info != NULL && info->client_addr != NULL)
		(void) ClientAddressOfSocket(info->client_addr, &request->client);
}

const char *
RequestLogId(Request *request)
{
	if (request->log.id[0] == '\0')
		know_without_head(request);
	return request->log.id;
}

/*
 * Make the line of a request that has ended; returns its length
 */
static int
make_line(Request *request, unsigned int status, bool sent, int64 now, char text[LINE_SIZE])
{
	char duration[32];
	char staged[32];
	char committed[32];
	char key[32];
	char client[CLIENT_ADDRESS_TEXT_SIZE];

	const char *id = RequestLogId(request);

	return snprintf(
		text, LINE_SIZE,
		"fast_ingest request id=%s method=%s route=%s status=%u sent=%s bytes=" UINT64_FORMAT
		" reply_bytes=%zu events=%d rejected=%d duration_ms=%s staged_ms=%s commit_ms=%s"
		" client=%s key=%s",
		id, request->log.method ? request->log.method : "-",
		request->route < NUM_ROUTES ? Routes[request->route].path : "-", status,
		sent ? "yes" : "no", request->received, RequestReplyBytes(request),
		request->accepted + request->rejected, request->rejected,
		milliseconds(request->began, now, duration),
		milliseconds(request->began, request->staged, staged),
		milliseconds(request->staged, request->committed, committed),
		ClientAddressPrint(&request->client, client), key_id(&request->access, key));
}

/*
 * Keep a line for RequestLogWrite
 */
static void
keep_line(const char *text, int len)
{
	Line *line = malloc(offsetof(Line, text) + len + 1);

	if (line == NULL)
	{
		lost_lines++;
		return;
	}
	memcpy(line->text, text, len + 1);
	dlist_push_tail(&lines, &line->node);
}

void
RequestLogEnd(Request *request, bool sent)
{
	char text[LINE_SIZE];
	unsigned int status;
	int64 now;

	if (fi_log_requests == LOG_REQUESTS_OFF)
		return;
	now = MonotonicNow();
	status = RequestStatus(request);
	if (is_wanted(!sent || status >= MHD_HTTP_BAD_REQUEST, now - request->began))
		keep_line(text, make_line(request, status, sent, now, text));
}

void
RequestLogWrite(void)
{
	while (!dlist_is_empty(&lines))
	{
		Line *line = dlist_container(Line, node, dlist_pop_head_node(&lines));
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
