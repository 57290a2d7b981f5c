/*
 * health.c
 *
 * The answer needs no API key, so it names streams and says in our own words what is wrong. What
 * a target answered, or where it is, is for fi_streams().
 */
#include "postgres.h"

#include "http/answer/health.h"

#include <microhttpd.h>

#include "utils/json.h"

#include "http/server/server.h"
#include "shared/stream_slot.h"

/*
 * Write what is wrong with a stream. False if nothing is.
 */
static bool
describe_trouble(StreamSlot *slot, char *reason, size_t size)
{
	uint64 retained = pg_atomic_read_u64(&slot->retained_bytes);
	uint64 limit = pg_atomic_read_u64(&slot->retained_limit);

	switch ((StreamState) pg_atomic_read_u32(&slot->state))
	{
		case STREAM_LOST:
			strlcpy(reason, "its position is lost, and events are missing in the target", size);
			return true;
		case STREAM_BLOCKED:
			strlcpy(reason, "only a person can tell what the target has", size);
			return true;
		default:
			break;
	}
	if (limit == 0 || retained < limit / 2)
		return false;
	snprintf(reason, size, "it holds %d %% of max_retained_wal",
			 (int) Min((double) retained * 100 / limit, 999));
	return true;
}

/*
 * Append the streams with trouble as members of an array; returns how many there are
 */
static int
append_troubles(StringInfo body)
{
	StreamServed served;
	char reason[128];
	int n = 0;

	for (int i = 0; i < fi_max_streams; i++)
	{
		StreamSlot *slot = &StreamSlots[i];

		if (!StreamSlotServed(slot, &served) || !describe_trouble(slot, reason, sizeof(reason)))
			continue;
		appendStringInfoString(body, n++ > 0 ? ",{\"name\":" : "{\"name\":");
		escape_json(body, served.name);
		appendStringInfoString(body, ",\"state\":");
		escape_json(body, StreamStateName(pg_atomic_read_u32(&slot->state)));
		appendStringInfoString(body, ",\"reason\":");
		escape_json(body, reason);
		appendStringInfoChar(body, '}');
	}
	return n;
}

void
HealthHandle(Request *request)
{
	Reply reply = ReplyConstant(MHD_HTTP_OK, "{\"status\":\"ok\"}");

	if (fi_max_streams > 0)
	{
		StringInfoData body;

		initStringInfo(&body);
		appendStringInfoString(&body, "{\"status\":\"degraded\",\"streams\":[");
		if (append_troubles(&body) > 0)
		{
			appendStringInfoString(&body, "]}");
			reply = ReplyText(MHD_HTTP_OK, body.data, body.len);
		}
		pfree(body.data);
	}
	ServerAnswer(request, reply);
}
