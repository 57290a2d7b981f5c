/*
 * validate.c
 *
 * Required fields, lengths, channels and times. Each message names the field, the value and
 * what is allowed.
 */
#include "event/validate.h"

#include <stdio.h>
#include <string.h>

#define QUOTED_LENGTH 64

const char *
QuoteValue(const char *data, size_t len)
{
	static char buffers[2][QUOTED_LENGTH + 8];
	static int next = 0;
	char *buffer = buffers[next];

	next = 1 - next;
	if (len <= QUOTED_LENGTH)
		snprintf(buffer, sizeof(buffers[0]), "\"%.*s\"", (int) len, data);
	else
	{
		len = QUOTED_LENGTH;
		while (len > 0 && ((unsigned char) data[len] & 0xC0) == 0x80)
			len--;
		snprintf(buffer, sizeof(buffers[0]), "\"%.*s...\"", (int) len, data);
	}
	return buffer;
}

/*
 * Check one text field, which must not be empty; max_len 0 allows any length
 */
static bool
check_text(const char *name, const Slice *value, bool required, size_t max_len, char *error)
{
	if (value->data == NULL)
	{
		if (required)
			snprintf(error, EVENT_ERROR_SIZE, "%s is required", name);
		return !required;
	}
	if (value->len == 0)
	{
		snprintf(error, EVENT_ERROR_SIZE, "%s is \"\": expected non-empty text", name);
		return false;
	}
	if (max_len > 0 && value->len > max_len)
	{
		snprintf(error, EVENT_ERROR_SIZE, "%s %s is %zu bytes long: at most %zu are allowed", name,
				 QuoteValue(value->data, value->len), value->len, max_len);
		return false;
	}
	return true;
}

/*
 * Is the channel one of fast_ingest.channels?
 */
static bool
check_channel(const Slice *channel, char *const *channels, char *error)
{
	int used;

	if (channels == NULL)
		return true;
	for (char *const *c = channels; *c != NULL; c++)
		if (strlen(*c) == channel->len && memcmp(*c, channel->data, channel->len) == 0)
			return true;

	used = snprintf(error, EVENT_ERROR_SIZE, "channel %s is not allowed: expected one of ",
					QuoteValue(channel->data, channel->len));
	for (char *const *c = channels; *c != NULL; c++)
	{
		size_t room = EVENT_ERROR_SIZE - used;

		if (strlen(*c) + sizeof(", ...") > room)
		{
			snprintf(error + used, room, "...");
			break;
		}
		used += snprintf(error + used, room, "%s%s", *c, c[1] != NULL ? ", " : "");
	}
	return false;
}

/*
 * Is the time one that fast_ingest.max_age and fast_ingest.max_future allow?
 */
static bool
check_time(const Event *event, const EventRules *rules, char *error)
{
	int64_t oldest = rules->max_age > 0 ? rules->now - rules->max_age : 0;
	int64_t newest = rules->now + rules->max_future;

	if (event->time <= 0)
		snprintf(error, EVENT_ERROR_SIZE, "timestamp %.*s is not positive",
				 (int) event->timestamp.len, event->timestamp.data);
	else if (event->time < oldest)
		snprintf(error, EVENT_ERROR_SIZE,
				 "timestamp %.*s is too old: the oldest allowed is %lld (fast_ingest.max_age)",
				 (int) event->timestamp.len, event->timestamp.data, (long long) oldest / 1000000);
	else if (event->time > newest)
		snprintf(error, EVENT_ERROR_SIZE,
				 "timestamp %.*s is in the future: the latest allowed is %lld "
				 "(fast_ingest.max_future)",
				 (int) event->timestamp.len, event->timestamp.data, (long long) newest / 1000000);
	else
		return true;
	return false;
}

bool
EventValidate(Event *event, const EventRules *rules, char error[EVENT_ERROR_SIZE])
{
	bool website = rules->form == EVENT_FORM_WEBSITE;
	const char *name_field = website ? "event_type" : "event_name";

	if (website)
		event->channel = (Slice){"web", 3};
	if (!check_text(name_field, &event->event_name, true, MAX_NAME_LENGTH, error) ||
		!check_text("channel", &event->channel, true, 0, error) ||
		!check_text("user_id", &event->user_id, !website, MAX_NAME_LENGTH, error) ||
		!check_text("site_id", &event->site_id, website, 0, error) ||
		!check_text("idempotency_key", &event->idempotency_key, false, 0, error))
		return false;
	if (!website && !check_channel(&event->channel, rules->channels, error))
		return false;

	if (event->has_timestamp)
		return check_time(event, rules, error);
	if (!website)
	{
		snprintf(error, EVENT_ERROR_SIZE, "timestamp is required");
		return false;
	}
	event->time = rules->now;
	return true;
}
