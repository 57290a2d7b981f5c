/*
 * reply.c
 *
 * Makes and frees replies.
 */
#include "postgres.h"

#include "http/server/reply.h"

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <sys/socket.h>

#include "base/error_json.h"
#include "http/server/tls.h"

/* libmicrohttpd's buffer for a piece of a stream */
#define STREAM_BLOCK (32 * 1024)

Reply
ReplyConstant(unsigned int status, const char *body)
{
	return (Reply){.status = status, .body = body, .len = strlen(body)};
}

Reply
ReplyText(unsigned int status, const char *body, size_t len)
{
	char *copy = malloc(len);

	if (copy == NULL)
		return ReplyConstant(MHD_HTTP_SERVICE_UNAVAILABLE, ERROR_JSON("out of memory"));
	memcpy(copy, body, len);
	return (Reply){.status = status, .body = copy, .len = len, .owned = true};
}

Reply
ReplyMessage(unsigned int status, const char *begin, const char *text)
{
	StringInfoData body;
	Reply reply;

	initStringInfo(&body);
	AppendMessageJson(&body, begin, text);
	reply = ReplyText(status, body.data, body.len);
	pfree(body.data);
	return reply;
}

Reply
ReplyError(unsigned int status, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return ReplyMessage(status, ERROR_JSON_BEGIN, message);
}

struct MHD_Response *
ReplyResponse(Reply *reply, ReplyReader reader, void *arg)
{
	struct MHD_Response *response =
		reply->stream != NULL
			? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, reader, arg, NULL)
			: MHD_create_response_from_buffer(reply->len, (void *) reply->body,
											  reply->owned ? MHD_RESPMEM_MUST_FREE
														   : MHD_RESPMEM_PERSISTENT);

	if (response == NULL)
		return NULL;
	reply->owned = false;
	if (reply->len > 0 || reply->stream != NULL)
		MHD_add_response_header(response, "Content-Type",
								reply->type ? reply->type : "application/json");
	if (reply->encoding != NULL)
		MHD_add_response_header(response, "Content-Encoding", reply->encoding);
	for (const ReplyHeader *header = reply->headers; header != NULL && header->name != NULL;
		 header++)
		MHD_add_response_header(response, header->name, header->value);
	if (reply->allow != NULL)
		MHD_add_response_header(response, "Allow", reply->allow);
	if (reply->next_cursor != NULL && reply->next_cursor[0] != '\0')
		MHD_add_response_header(response, "Next-Cursor", reply->next_cursor);
	return response;
}

void
ReplyFree(Reply *reply)
{
	if (reply->owned)
		free((char *) reply->body);
	*reply = (Reply){0};
}

void
ReplyAndCut(int fd, struct gnutls_session_int *session, unsigned int status, const char *message,
			const char *id)
{
	char text[768]; /* longer than the longest reply */
	int len;

	len = snprintf(
		text, sizeof(text),
		"HTTP/1.1 %u %s\r\n"
		"Content-Type: application/json\r\n"
		"%s%s%s%s"
		"Connection: close\r\n"
		"Content-Length: %zu\r\n\r\n" ERROR_JSON("%s"),
		status, MHD_get_reason_phrase_for(status),
		status == MHD_HTTP_SERVICE_UNAVAILABLE ? "Retry-After: " RETRY_AFTER_SECONDS "\r\n" : "",
		id ? REQUEST_ID_HEADER ": " : "", id ? id : "", id ? "\r\n" : "",
		strlen(message) + strlen(ERROR_JSON("")), message);
	if (session == NULL)
		(void) send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (gnutls_record_send(session, text, len) == len)
		TlsGoodbye(session);
	(void) shutdown(fd, SHUT_RDWR);
}
