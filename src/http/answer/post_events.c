/*
 * post_events.c
 *
 * From a request's body to staged records. A request's records are published
 * together, in one lane and with one ticket.
 */
#include "postgres.h"

#include "http/answer/post_events.h"

#include <microhttpd.h>

#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "event/json_metadata.h"
#include "base/unix_time.h"
#include "event/tuple.h"
#include "http/answer/await_commit.h"
#include "http/answer/post_events_head.h"
#include "http/answer/events_reply.h"
#include "http/server/server.h"
#include "base/clock.h"
#include "base/settings.h"
#include "worker/worker.h"

/* Every record has room for the message of the error that refuses it. */
#define REFUSAL_ROOM 240

/* A request being parsed. */
typedef struct
{
	PostEventsHead head;
	bool bulk;
	const ApiKey *key; /* NULL where none is needed */
	Lane lane;
	int accepted;
	int rejected;
	size_t needed; /* bytes of staging for all valid events */
	bool full;
	bool forbidden; /* the last event that was rejected, by the key */
	StringInfoData errors;
	char first_error[EVENT_ERROR_SIZE];
	char metadata_error[EVENT_ERROR_SIZE]; /* of the current event, or "" */
} Ingest;

static Pair *my_pair;
static RingProducer producers[NUM_LANES];
static TupleDesc staged_desc;
static MemoryContext request_context;
static MemoryContext event_context;
static MemoryContext settings_context;
static EventRules rules;
static const char *closed_reason = NULL;

void
PostEventsInit(Pair *pair, Ring **rings)
{
	my_pair = pair;
	staged_desc = EventTupleDesc();
	for (int lane = 0; lane < NUM_LANES; lane++)
		RingAttachProducer(&producers[lane], rings[lane]);
	AwaitInit(pair, producers);
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
	rules.max_age = (int64) fi_max_age * USECS_PER_SEC;
	rules.max_future = (int64) fi_max_future * USECS_PER_SEC;
	rules.fold_unknown = fi_unknown_fields == UNKNOWN_FIELDS_METADATA;
	rules.channels = NULL;
	if (SplitGUCList(pstrdup(fi_channels), ',', &names) && names != NIL)
	{
		rules.channels = palloc0((list_length(names) + 1) * sizeof(char *));
		foreach (cell, names)
			rules.channels[n++] = lfirst(cell);
	}
	MemoryContextSwitchTo(caller);
}

static void
begin_event(void *arg)
{
	Ingest *ingest = arg;

	MemoryContextSwitchTo(event_context);
	MetadataReset();
	ingest->metadata_error[0] = '\0';
}

/*
 * Turn an error about an event's metadata into a message; any other goes on
 */
static void
catch_metadata_error(Ingest *ingest)
{
	ErrorData *error;

	MemoryContextSwitchTo(event_context);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		PG_RE_THROW();
	FlushErrorState();
	snprintf(ingest->metadata_error, EVENT_ERROR_SIZE, "metadata cannot be stored: %s",
			 error->message);
}

/*
 * Take a piece of metadata; only numbers can be impossible
 */
static void
add_metadata(void *arg, MetadataToken token, const char *text)
{
	Ingest *ingest = arg;

	if (ingest->metadata_error[0] != '\0')
		return;
	if (token != METADATA_NUMBER)
	{
		MetadataAdd(token, text);
		return;
	}
	PG_TRY();
	{
		MetadataAdd(token, text);
	}
	PG_CATCH();
	{
		catch_metadata_error(ingest);
	}
	PG_END_TRY();
}

static void
rollback_reservations(void)
{
	for (int lane = 0; lane < NUM_LANES; lane++)
		RingRollback(&producers[lane]);
}

/*
 * Move the events of the request so far to the lane of other days, where its next one belongs
 */
static void
leave_today(Ingest *ingest)
{
	RingProducer *from = &producers[LANE_TODAY];

	ingest->lane = LANE_OTHER_DAYS;
	for (uint64 position = RingPublished(from->ring); position < from->reserved && !ingest->full;)
	{
		RingRecord *record = RingRecordAt(from->ring, &position);
		RingRecord *copy = RingReserve(&producers[LANE_OTHER_DAYS], record->payload_size);

		ingest->full = copy == NULL;
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
 * Form an event's tuple and put it into the ring; the message of an error
 */
static const char *
stage_event(Ingest *ingest, int index, Event *event)
{
	MinimalTuple volatile tuple = NULL;
	RingRecord *record;
	uint32 room;

	if (ingest->metadata_error[0] != '\0')
		return ingest->metadata_error;
	if (event->idempotency_key.data == NULL)
	{
		event->idempotency_key = ingest->head.idempotency_key;
		event->key_position = ingest->bulk ? index + 1 : 0;
	}

	PG_TRY();
	{
		tuple = EventFormTuple(staged_desc, event, &ingest->head.sender,
							   fi_deduplicate == DEDUPLICATE_CONTENT);
	}
	PG_CATCH();
	{
		catch_metadata_error(ingest);
	}
	PG_END_TRY();
	if (tuple == NULL)
		return ingest->metadata_error;

	if (ingest->lane == LANE_TODAY && EVENT_DAY(event->time) != EVENT_DAY(rules.now))
		leave_today(ingest);
	room = Max(tuple->t_len, REFUSAL_ROOM);
	ingest->needed += RECORD_HEADER_SIZE + room;
	record = ingest->full ? NULL : RingReserve(&producers[ingest->lane], room);
	if (record == NULL)
	{
		ingest->full = true;
		return NULL;
	}
	record->staged_at = ServerNow;
	record->day = EVENT_DAY(event->time);
	record->index = index;
	memcpy(RecordPayload(record), tuple, tuple->t_len);
	return NULL;
}

static void
end_event(void *arg, int index, Event *event, const char *error)
{
	Ingest *ingest = arg;
	char forbidden[EVENT_ERROR_SIZE];

	ingest->forbidden = error == NULL && !AccessCheckEvent(ingest->key, event, forbidden);
	if (ingest->forbidden)
		error = forbidden;
	if (error == NULL)
		error = stage_event(ingest, index, event);
	if (error == NULL)
	{
		ingest->accepted++;
		LimitCountEvent(event);
	}
	else
	{
		if (ingest->rejected == 0)
			strlcpy(ingest->first_error, error, sizeof(ingest->first_error));
		EventsReplyAppendError(&ingest->errors, ingest->rejected++, index, error);
	}
	MemoryContextSwitchTo(request_context);
	MemoryContextReset(event_context);
}

/*
 * Count the events of a request that was understood
 */
static void
count_events(int accepted, int rejected)
{
	CounterAdd(&my_pair->received, accepted + rejected);
	CounterAdd(&my_pair->accepted, accepted);
	CounterAdd(&my_pair->rejected, rejected);
}

/*
 * Refuse a request as a whole
 */
static bool
refuse(Request *request, int rejected, Reply reply)
{
	rollback_reservations();
	request->rejected = rejected;
	count_events(0, rejected);
	ServerAnswer(request, reply);
	return false;
}

/*
 * Publish what was reserved for a request, and let it wait for the commit. From then on
 * nothing may fail: the events are stored, and the flusher is woken because we return.
 */
static bool
publish(Request *request, Ingest *ingest)
{
	RingProducer *producer = &producers[ingest->lane];
	bool at_once = fi_acknowledge == ACKNOWLEDGE_STAGE;
	Reply reply = {0};

	request->accepted = ingest->accepted;
	request->rejected = ingest->rejected;
	if (ingest->rejected > 0 && (request->errors = strdup(ingest->errors.data)) != NULL)
		request->nerrors = Min(ingest->rejected, MAX_REPORTED_ERRORS);
	if (at_once)
		reply = EventsReplyAccepted(request);
	request->dead_lettered = pg_atomic_read_u64(&my_pair->dead_lettered);
	request->lane = ingest->lane;
	request->start = RingPublished(producer->ring);
	/* the books before the goods: they must never show more stored than accepted */
	count_events(ingest->accepted, ingest->rejected);
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
 * Can events be committed at all? Says why not.
 */
static bool
check_flusher(char reason[WORKER_ERROR_SIZE])
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
 * Are both lanes so full that a body is not worth reading? Staged events take about as
 * much room as their JSON. With nothing staged every body is read, so that none is
 * turned away for ever.
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

bool
PostEventsRequest(Request *request)
{
	MemoryContext caller = MemoryContextSwitchTo(request_context);
	bool bulk = request->route == ROUTE_BULK;
	Ingest ingest = {0};
	EventReceiver receiver = {begin_event, add_metadata, end_event, &ingest};
	char error[EVENT_ERROR_SIZE];
	char reason[WORKER_ERROR_SIZE];
	Reply refusal;
	ParseResult parsed;
	bool staged;
	BodyShape shape = !bulk ? BODY_SINGLE : request->ndjson ? BODY_NDJSON : BODY_BULK;

	MemoryContextReset(request_context);
	rollback_reservations(); /* what a request left that ended by an error */
	initStringInfo(&ingest.errors);
	ingest.key = request->access.key;
	ingest.bulk = bulk;
	LimitBeginEvents(request_context);
	rules.form = request->route == ROUTE_EVENT ? EVENT_FORM_WEBSITE : EVENT_FORM_FULL;
	rules.now = GetCurrentTimestamp() + UNIX_EPOCH_OFFSET;
	rules.max_events = bulk ? fi_max_bulk_events : 1;

	if (!check_flusher(reason))
		staged = refuse(request, 0, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "%s", reason));
	else if (!PostEventsHeadRead(request, &ingest.head, &refusal))
		staged = refuse(request, 0, refusal);
	else if (request->len == 0)
		staged =
			refuse(request, 0, ReplyError(MHD_HTTP_BAD_REQUEST, "body is empty: expected JSON"));
	else if (is_crowded(request->len))
		staged = refuse(request, 0, ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "staging is full"));
	else
	{
		parsed = ParseEvents(request->body, request->len, shape, &rules, &receiver, error);
		MemoryContextSwitchTo(request_context);
		if (!LimitTake(request, ingest.key, Max(ingest.accepted + ingest.rejected, 1)))
			staged = refuse(request, ingest.accepted + ingest.rejected, LimitRefusal(request));
		else if (parsed != PARSE_DONE)
			staged = refuse(request, 0,
							ReplyError(parsed == PARSE_TOO_MANY ? MHD_HTTP_CONTENT_TOO_LARGE
																: MHD_HTTP_BAD_REQUEST,
									   "%s", error));
		else if (!bulk && ingest.rejected > 0)
			staged = refuse(request, 1,
							ReplyError(ingest.forbidden ? MHD_HTTP_FORBIDDEN : MHD_HTTP_BAD_REQUEST,
									   "%s", ingest.first_error));
		else if (ingest.accepted == 0 || (ingest.head.atomic && ingest.rejected > 0))
			staged = refuse(request, ingest.accepted + ingest.rejected,
							EventsReplyRejected(ingest.rejected, ingest.errors.data));
		else if (ingest.needed > RingLargestRequest(producers[ingest.lane].ring))
			staged = refuse(request, ingest.accepted + ingest.rejected,
							ReplyError(MHD_HTTP_CONTENT_TOO_LARGE,
									   "events need %zu bytes of staging: at most half of "
									   "fast_ingest.staging_size is allowed",
									   ingest.needed));
		else if (ingest.full)
		{
			LimitReturn(request);
			staged = refuse(request, ingest.accepted + ingest.rejected,
							ReplyError(MHD_HTTP_SERVICE_UNAVAILABLE, "staging is full"));
		}
		else
			staged = publish(request, &ingest);
	}
	MemoryContextSwitchTo(caller);
	return staged;
}

void
PostEventsClose(const char *reason)
{
	closed_reason = reason;
}
