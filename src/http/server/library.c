/*
 * library.c
 *
 * libmicrohttpd refuses some requests by itself. Its reply is a line of HTML without an id,
 * and 0.9 sends the head of its reply twice if a Content-Length is not a number. Before it
 * does so, it writes a message to its log. If the message is about a head that it has just
 * read, we check that head as if it had been handed to us, and reply before libmicrohttpd
 * does. What the message says does not matter.
 *
 * libmicrohttpd does not say which connection a message is about. The connection is the one
 * that has a complete head which we have not seen. If the message is about chunks of a body, we
 * cannot know the connection.
 */
#include "postgres.h"

#include "http/server/library.h"

#include <microhttpd.h>

#include "base/settings.h"
#include "http/server/connection.h"
#include "http/server/request_identity.h"

#if MHD_VERSION < 0x00097500
#error "fast_ingest needs libmicrohttpd 0.9.75 or later"
#endif

static HeadRemains remains = HEAD_UNKNOWN;

void
LibraryInit(void)
{
	remains = HeadRemainsOf(MHD_get_version());
}

HeadRemains
LibraryRemains(void)
{
	return remains;
}

bool
LibraryIsKnown(char *error, size_t error_size)
{
	if (remains != HEAD_UNKNOWN)
		return true;
	snprintf(error, error_size,
			 "does not know libmicrohttpd %s and may take requests for others: expected "
			 "version " HEAD_KNOWN_VERSIONS " (it was built with %x.%x.%x)",
			 MHD_get_version(), MHD_VERSION >> 24, MHD_VERSION >> 16 & 0xff,
			 MHD_VERSION >> 8 & 0xff);
	return false;
}

/*
 * Reply to a request whose head libmicrohttpd refuses, and end its connection
 */
static void
refuse_head(Request *request)
{
	const char *version = request->target_end != NULL ? request->target_end + 1 : "";
	const char *wrong;

	RequestReadFraming(request);
	RequestIdentify(request, "");
	wrong = HeadCheckFraming(&request->framing, version);
	if (wrong != NULL)
		ConnectionCut(request->connection, MHD_HTTP_BAD_REQUEST, wrong);
	else if (request->framing.length > MAX_BODY_BYTES)
		ConnectionCut(request->connection, MHD_HTTP_CONTENT_TOO_LARGE,
					  "body is larger than fast_ingest.max_body_size");
	else if (remains == HEAD_0_9) /* libmicrohttpd has no room for its cookies */
		ConnectionCut(request->connection, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
					  "headers are too large");
}

/*
 * Has libmicrohttpd read all of a request's head, but neither handed it over nor answered it?
 */
static bool
is_held_back(const Request *request)
{
	return !request->head_seen && RequestStatus(request) == 0 &&
		   MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE) != NULL;
}

void
LibraryNoteMessage(void *cls, const char *format, va_list args)
{
	dlist_iter iter;

	dlist_foreach (iter, &BusyConnections)
	{
		Request *request = dlist_container(Connection, node, iter.cur)->request;

		if (request != NULL && is_held_back(request))
		{
			refuse_head(request);
			return;
		}
	}
}
