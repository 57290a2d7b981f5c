/*
 * library_errors.c
 *
 * libmicrohttpd answers some requests by itself: with a line of HTML, without an id, and 0.9
 * sends the head of its answer twice where a Content-Length is no number. It says so before,
 * to its log. If it is about a head that it has just read, that head is checked as if it had
 * been handed to us, and what is wrong with it is answered by hand. Nothing depends on what
 * the message says.
 *
 * It does not say which connection a message is about. One with a complete head that we have
 * not seen is the one; whose chunks it complains of cannot be known.
 */
#include "postgres.h"

#include "http/server/library_errors.h"

#include <microhttpd.h>

#include "http/server/connections.h"
#include "http/server/server.h"
#include "base/settings.h"

static void
refuse_head(Request *request)
{
	const char *version = request->target_end != NULL ? request->target_end + 1 : "";
	const char *wrong;

	RequestIdentify(request, "");
	wrong = HeadCheckFraming(&request->framing, version);
	if (wrong != NULL)
		ConnectionCut(request->connection, MHD_HTTP_BAD_REQUEST, wrong);
	else if (request->framing.length > MAX_BODY_BYTES)
		ConnectionCut(request->connection, MHD_HTTP_CONTENT_TOO_LARGE,
					  "body is larger than fast_ingest.max_body_size");
	else if (ServerRemains() == HEAD_0_9) /* there is no room for its cookies */
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
		   MHD_get_connection_info(request->connection->mhd,
								   MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE) != NULL;
}

void
LibraryErrorHear(void *cls, const char *format, va_list args)
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
