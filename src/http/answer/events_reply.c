/*
 * events_reply.c
 *
 * Makes the replies of POST /events, /events/bulk and /event.
 */
#include "postgres.h"

#include "http/answer/events_reply.h"

#include <microhttpd.h>

#include "utils/json.h"

#include "event/event.h"

void
EventsReplyAppendError(StringInfo errors, int n, int index, const char *message)
{
	if (n >= MAX_REPORTED_ERRORS)
		return;
	appendStringInfo(errors, "%s{\"index\":%d,\"error\":", n > 0 ? "," : "", index);
	escape_json(errors, message);
	appendStringInfoChar(errors, '}');
}

/*
 * Make the reply to a bulk request: what became of its events
 */
static Reply
make_bulk_reply(unsigned int code, const char *status, int accepted, int rejected,
				const char *errors)
{
	StringInfoData body;
	Reply reply;

	initStringInfo(&body);
	appendStringInfo(&body, "{\"status\":\"%s\",\"accepted\":%d", status, accepted);
	if (rejected > 0)
		appendStringInfo(&body, ",\"rejected\":%d,\"errors\":[%s]", rejected, errors ? errors : "");
	appendStringInfoChar(&body, '}');
	reply = ReplyText(code, body.data, body.len);
	pfree(body.data);
	return reply;
}

Reply
EventsReplyRejected(int rejected, const char *errors)
{
	return make_bulk_reply(MHD_HTTP_BAD_REQUEST, "rejected", 0, rejected, errors);
}

Reply
EventsReplyAccepted(Request *request)
{
	switch (request->route)
	{
		case ROUTE_BULK:
			return make_bulk_reply(MHD_HTTP_ACCEPTED, "accepted", request->accepted,
								   request->rejected, request->errors);
		case ROUTE_EVENT:
			return ReplyConstant(MHD_HTTP_NO_CONTENT, "");
		default:
			return ReplyConstant(MHD_HTTP_ACCEPTED, "{\"status\":\"accepted\"}");
	}
}

Reply
EventsReplyRefused(Request *request, Ring *ring)
{
	StringInfoData errors;
	int nrefused = 0;
	char first[EVENT_ERROR_SIZE] = "";

	initStringInfo(&errors);
	if (request->errors != NULL)
		appendStringInfoString(&errors, request->errors);
	for (uint64 position = request->start; position < request->ticket;)
	{
		RingRecord *record = RingRecordAt(ring, &position);
		char message[EVENT_ERROR_SIZE];

		if (record->kind != RECORD_REFUSED)
			continue;
		snprintf(message, sizeof(message), "the database refused the event: %.*s",
				 (int) record->payload_size, RecordPayload(record));
		if (nrefused++ == 0)
			strlcpy(first, message, sizeof(first));
		EventsReplyAppendError(&errors, request->nerrors++, record->index, message);
	}

	if (nrefused == 0)
		return EventsReplyAccepted(request);
	request->accepted -= nrefused;
	request->rejected += nrefused;
	if (request->route != ROUTE_BULK)
		return ReplyError(MHD_HTTP_UNPROCESSABLE_CONTENT, "%s", first);
	if (request->accepted == 0)
		return make_bulk_reply(MHD_HTTP_UNPROCESSABLE_CONTENT, "rejected", 0, request->rejected,
							   errors.data);
	return make_bulk_reply(MHD_HTTP_ACCEPTED, "accepted", request->accepted, request->rejected,
						   errors.data);
}
