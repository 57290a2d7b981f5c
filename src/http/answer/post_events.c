/*
 * post_events.c
 *
 * Stages the events of a request's body. The records of a request are published together,
 * in one lane and with one ticket.
 */
#include "postgres.h"

#include "http/answer/post_events.h"

#include <microhttpd.h>

#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "base/clock.h"
#include "base/settings.h"
#include "base/unix_time.h"
#include "event/parse.h"
#include "event/tuple.h"
#include "http/admit/api_key_check.h"
#include "http/admit/rate_limit_check.h"
#include "http/admit/refusal.h"
#include "http/answer/await_commit.h"
#include "http/answer/events_reply.h"
#include "http/answer/post_events_options.h"
#include "http/server/server.h"

/* Every record has at least so much room: for a message, if the database refuses the event. */
#define REFUSAL_ROOM 240

/* A request whose events are being staged. */
typedef struct
{
	PostEventsOptions options;
	EventRules rules;
	bool bulk;
	const ApiKey *key; /* NULL if none is required */
	Lane lane;
	int accepted;
	int rejected;
	size_t needed;	/* bytes of staging for all valid events */
	bool full;		/* the ring has no room for all events */
	bool forbidden; /* the API key does not allow the last event */
	RateCharges charges;
	StringInfoData errors; /* the members of "errors" */
	char first_error[EVENT_ERROR_SIZE];
} Staging;

static Pair *my_pair;
static RingProducer producers[NUM_LANES];
static TupleDesc staged_desc;
static MemoryContext request_context;
static MemoryContext event_context;
static MemoryContext settings_context;
static EventRules setting_rules; /* the part of the rules that comes from settings */
static const char *closed_reason = NULL;

void
PostEventsInit(Pair *pair, Ring **rings)
{
	my_pair = pair;
	staged_desc = EventTupleDesc();
	for (int lane = 0; lane < NUM_LANES; lane++)
		RingAttachProducer(&producers[lane], rings[lane]);
	AwaitCommitInit(pair, producers);
	request_context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest request", ALLOCSET_DEFAULT_SIZES);
	event_context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest event", ALLOCSET_DEFAULT_SIZES);
	settings_context =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest rules", ALLOCSET_SMALL_SIZES);
	PostEventsReadSettings();
}

void
PostEventsReadSettings(void)
{
	MemoryContext caller;
	List *names = NIL;
	ListCell *cell;
	int n = 0;

	MemoryContextReset(settings_context);
	caller = MemoryContextSwitchTo(settings_context);
	setting_rules = (EventRules){
		.max_age = (int64) fi_max_age * USECS_PER_SEC,
		.max_future = (int64) fi_max_future * USECS_PER_SEC,
		.fold_unknown = fi_unknown_fields == UNKNOWN_FIELDS_METADATA,
	};
	if (SplitGUCList(pstrdup(fi_channels), ',', &names) && names != NIL)
	{
		setting_rules.channels = palloc0((list_length(names) + 1) * sizeof(char *));
		foreach (cell, names)
			setting_rules.channels[n++] = lfirst(cell);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Callback: the parser begins an event
 */
static void
begin_event(void *arg)
{
	MemoryContextSwitchTo(event_context);
}

static void
rollback_reservations(void)
{
	for (int lane = 0; lane < NUM_LANES; lane++)
		RingRollback(&producers[lane]);
}

/*
 * Move the request to the lane of other days, with its events so far
 */
static void
move_to_other_days(Staging *staging)
{
	RingProducer *from = &producers[LANE_TODAY];

	staging->lane = LANE_OTHER_DAYS;
	for (uint64 position = RingPublished(from->ring); position < from->reserved && !staging->full;)
	{
		RingRecord *record = RingRecordAt(from->ring, &position);
		RingRecord *copy = RingReserve(&producers[LANE_OTHER_DAYS], record->payload_size);

		staging->full = copy == NULL;
		if (copy == NULL)
			break;
		copy->staged_at = record->staged_at;
		copy->day = record->day;
		copy->index = record->index;
		memcpy(RecordPayload(copy), RecordPayload(record), record->payload_size);
	}
	RingRollback(from);
}

/*
 * Form an event's tuple and put it into the ring. Returns why the event cannot be stored, or
 * NULL.
 */
static const char *
stage_event(Staging *staging, int index, Event *event)
{
	MinimalTuple tuple;
	RingRecord *record;
	uint32 room;

	if (event->idempotency_key.data == NULL)
	{
		event->idempotency_key = staging->options.idempotency_key;
		event->key_position = staging->bulk ? index + 1 : 0;
	}

	tuple = EventFormTuple(staged_desc, event, &staging->options.sender,
						   fi_deduplicate == DEDUPLICATE_CONTENT);
	if (tuple == NULL)
		return event->metadata.error;

	if (staging->lane == LANE_TODAY && EVENT_DAY(event->time) != EVENT_DAY(staging->rules.now))
		move_to_other_days(staging);
	room = Max(tuple->t_len, REFUSAL_ROOM);
	staging->needed += RECORD_HEADER_SIZE + room;
	record = staging->full ? NULL : RingReserve(&producers[staging->lane], room);
	if (record == NULL)
	{
		staging->full = true;
		return NULL;
	}
	record->staged_at = ServerNow;
	record->day = EVENT_DAY(event->time);
	record->index = index;
	memcpy(RecordPayload(record), tuple, tuple->t_len);
	return NULL;
}

/*
 * Callback: the parser has read an event
 */
static void
end_event(void *arg, int index, Event *event, const char *error)
{
	Staging *staging = arg;
	char forbidden[EVENT_ERROR_SIZE];

	staging->forbidden = error == NULL && !ApiKeyCheckEvent(staging->key, event, forbidden);
	if (staging->forbidden)
		error = forbidden;
	if (error == NULL)
		error = stage_event(staging, index, event);
	if (error == NULL)
	{
		staging->accepted++;
		RateLimitCountEvent(&staging->charges, request_context, event);
	}
	else
	{
		if (staging->rejected == 0)
			strlcpy(staging->first_error, error, sizeof(staging->first_error));
		EventsReplyAppendError(&staging->errors, staging->rejected++, index, error);
	}
	MemoryContextSwitchTo(request_context);
	MemoryContextReset(event_context);
}

/*
 * Count the events of a request that was understood
 */
static void
add_to_counters(int accepted, int rejected)
{
	CounterAdd(&my_pair->received, accepted + rejected);
	CounterAdd(&my_pair->accepted, accepted);
	CounterAdd(&my_pair->rejected, rejected);
}

/*
 * Answer a request of which nothing is stored. Returns false.
 */
static bool
refuse_request(Request *request, int rejected, Reply reply)
{
	rollback_reservations();
	request->rejected = rejected;
	add_to_counters(0, rejected);
	ServerAnswer(request, reply);
	return false;
}

/*
 * Publish the records of a request, and let it wait for their commit. Returns true. After
 * RingPublish nothing may fail: the events will be stored, and the flusher is only woken if we
 * return.
 */
static bool
publish_events(Request *request, Staging *staging)
{
	RingProducer *producer = &producers[staging->lane];
	bool at_once = fi_acknowledge == ACKNOWLEDGE_STAGE;
	Reply reply = {0};

	request->accepted = staging->accepted;
	request->rejected = staging->rejected;
	if (staging->rejected > 0 && (request->errors = strdup(staging->errors.data)) != NULL)
		request->nerrors = Min(staging->rejected, MAX_REPORTED_ERRORS);
	if (at_once)
		reply = EventsReplyAccepted(request);
	request->dead_lettered = pg_atomic_read_u64(&my_pair->dead_lettered);
	request->lane = staging->lane;
	request->start = RingPublished(producer->ring);
	/* count first: the counters must never show more events stored than accepted */
	add_to_counters(staging->accepted, staging->rejected);
	request->ticket = RingPublish(producer);
	request->staged = MonotonicNow();
	RequestDropBody(request);

	if (at_once)
		ServerAnswer(request, reply);
	else
		AwaitCommit(request);
	return true;
}

/*
 * Can events be committed at all? If not, reason says why.
 */
static bool
can_commit(char reason[WORKER_ERROR_SIZE])
{
	uint32 state = pg_atomic_read_u32(&my_pair->flusher.state);

	if (closed_reason != NULL)
	{
		strlcpy(reason, closed_reason, WORKER_ERROR_SIZE);
		return false;
	}
	if (RecoveryInProgress())
	{
		strlcpy(reason, STANDBY_MESSAGE, WORKER_ERROR_SIZE);
		return false;
	}
	if (state == WORKER_RUNNING || state == WORKER_RETRYING)
		return true;
	WorkerReason(&my_pair->flusher, reason);
	return false;
}

/*
 * Have both lanes less room than the body needs? Staged events take about as much room as their
 * JSON. If a lane is empty every body is parsed, so no body is turned away for ever.
 */
static bool
is_crowded(size_t len)
{
	for (int lane = 0; lane < NUM_LANES; lane++)
	{
		uint64 in_use = RingInUse(&producers[lane]);

		if (in_use == 0 || len <= producers[lane].ring->size - in_use)
			return false;
	}
	return true;
}

/*
 * Parse and stage the events of a request
 */
static bool
stage_events(Request *request, Staging *staging)
{
	EventReceiver receiver = {begin_event, end_event, staging};
	BodyShape shape = !staging->bulk ? BODY_SINGLE : request->ndjson ? BODY_NDJSON : BODY_BULK;
	char error[EVENT_ERROR_SIZE];
	ParseResult parsed =
		ParseEvents(request->body, request->len, shape, &staging->rules, &receiver, error);
	int received = staging->accepted + staging->rejected;

	MemoryContextSwitchTo(request_context);
	if (!RateLimitTake(request, &staging->charges, Max(received, 1)))
	{
		request->refusal = REFUSAL_RATE_LIMIT;
		return refuse_request(request, received, RefusalReply(request));
	}
	if (parsed != PARSE_DONE)
		return refuse_request(
			request, 0,
			ReplyError(parsed == PARSE_TOO_MANY ? MHD_HTTP_CONTENT_TOO_LARGE : MHD_HTTP_BAD_REQUEST,
					   "%s", error));
	if (!staging->bulk && staging->rejected > 0)
		return refuse_request(
			request, 1,
			ReplyError(staging->forbidden ? MHD_HTTP_FORBIDDEN : MHD_HTTP_BAD_REQUEST, "%s",
					   staging->first_error));
	if (staging->accepted == 0 || (staging->options.atomic && staging->rejected > 0))
		return refuse_request(request, received,
							  EventsReplyRejected(staging->rejected, staging->errors.data));
	if (staging->needed > RingLargestRequest(producers[staging->lane].ring))
		return refuse_request(request, received,
							  ReplyError(MHD_HTTP_CONTENT_TOO_LARGE,
										 "events need %zu bytes of staging: at most half of "
										 "fast_ingest.staging_size is allowed",
										 staging->needed));
	if (staging->full)
	{
		RateLimitReturn(request, &staging->charges);
		return refuse_request(request, received,
							  ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "staging is full"));
	}
	return publish_events(request, staging);
}

bool
PostEventsHandle(Request *request)
{
	MemoryContext caller = MemoryContextSwitchTo(request_context);
	Staging staging = {
		.rules = setting_rules,
		.bulk = request->route == ROUTE_BULK,
		.key = request->access.key,
	};
	char reason[WORKER_ERROR_SIZE];
	Reply refusal;
	bool staged;

	MemoryContextReset(request_context);
	rollback_reservations(); /* those of a request that ended by an error */
	initStringInfo(&staging.errors);
	staging.rules.form = request->route == ROUTE_EVENT ? EVENT_FORM_WEBSITE : EVENT_FORM_FULL;
	staging.rules.now = GetCurrentTimestamp() + UNIX_EPOCH_OFFSET;
	staging.rules.max_events = staging.bulk ? fi_max_bulk_events : 1;

	if (!can_commit(reason))
		staged = refuse_request(request, 0, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason));
	else if (!PostEventsOptionsRead(request, &staging.options, &refusal))
		staged = refuse_request(request, 0, refusal);
	else if (request->len == 0)
		staged = refuse_request(request, 0,
								ReplyError(MHD_HTTP_BAD_REQUEST, "body is empty: expected JSON"));
	else if (is_crowded(request->len))
		staged =
			refuse_request(request, 0, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "staging is full"));
	else
		staged = stage_events(request, &staging);
	MemoryContextSwitchTo(caller);
	return staged;
}

void
PostEventsClose(const char *reason)
{
	closed_reason = reason;
}
