/*
 * request.c
 *
 * The memory of requests. It is malloc'ed: these functions are called inside
 * libmicrohttpd, where palloc must not raise its error.
 */
#include "postgres.h"

#include "http/server/request.h"

#include <microhttpd.h>

#include "base/clock.h"

static int request_count = 0;
static size_t body_memory = 0;
static size_t answer_memory = 0;

/*
 * Callback: read one header
 */
static enum MHD_Result
read_field(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	if (value != NULL)
		HeadNoteField(cls, name, unconstify(char *, value));
	return MHD_YES;
}

void
RequestIdentify(Request *request, const char *method)
{
	request->framing = (HeadFraming){0};
	(void) MHD_get_connection_values(request->connection->mhd, MHD_HEADER_KIND, read_field,
									 &request->framing);
	request->client = LimitClientAddress(request);
	RequestLogHead(request, method);
}

const char *
RequestHeader(const Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection->mhd, MHD_HEADER_KIND, name);
}

const char *
RequestParameter(const Request *request, const char *name)
{
	const char *value = NULL;

	if (MHD_lookup_connection_value_n(request->connection->mhd, MHD_GET_ARGUMENT_KIND, name,
									  strlen(name), &value, NULL) != MHD_YES)
		return NULL;
	return value ? value : "";
}

Request *
RequestCreate(Connection *connection)
{
	Request *request = calloc(1, sizeof(Request));

	if (request == NULL)
		return NULL;
	request->connection = connection;
	request->route = NUM_ROUTES;
	request->began = MonotonicNow();
	request_count++;
	return request;
}

/*
 * Count what the decoder needs among the bodies
 */
static void
count_decoder(Request *request, size_t size)
{
	body_memory += size - request->decoder_size;
	request->decoder_size = size;
}

static void
drop_decoder(Request *request)
{
	DecompressorFree(request->decoder);
	request->decoder = NULL;
	count_decoder(request, 0);
}

void
RequestDropBody(Request *request)
{
	drop_decoder(request);
	body_memory -= request->room;
	free(request->body);
	request->body = NULL;
	request->room = request->len = 0;
}

void
RequestDropInput(Request *request)
{
	RequestDropBody(request);
	free(request->errors);
	request->errors = NULL;
}

void
RequestFree(Request *request)
{
	RequestDropInput(request);
	ReplyFree(&request->reply);
	answer_memory -= request->answer_room;
	free(request->answer);
	free(request);
	request_count--;
}

/*
 * Refuse the request; its body is thrown away as it comes
 */
static void
discard(Request *request, Refusal refusal, size_t len)
{
	if (request->refusal == REFUSAL_NONE)
		request->refusal = refusal;
	request->discarded += request->len + len;
	RequestDropBody(request);
}

typedef struct
{
	Request *request;
	size_t max_len;
	size_t max_memory;
} Room;

/*
 * Take a piece of the body; false if there is no room for it
 */
static bool
take_piece(void *arg, const char *data, size_t len)
{
	const Room *limits = arg;
	Request *request = limits->request;
	size_t needed = request->len + len + 1;

	if (needed - 1 > limits->max_len)
	{
		discard(request, REFUSAL_BODY_TOO_LARGE, len);
		return false;
	}
	if (needed > request->room)
	{
		size_t room = Max(needed, request->room * 2);
		char *body;

		if (body_memory - request->room + room > limits->max_memory ||
			(body = realloc(request->body, room)) == NULL)
		{
			discard(request, REFUSAL_NO_MEMORY, len);
			return false;
		}
		body_memory += room - request->room;
		request->body = body;
		request->room = room;
	}
	memcpy(request->body + request->len, data, len);
	request->len += len;
	request->body[request->len] = '\0';
	return true;
}

/*
 * Take what a piece of a compressed body stands for
 */
static void
take_compressed(Room *limits, const char *data, size_t len)
{
	Request *request = limits->request;
	Decompressor *decoder = request->decoder;
	DecompressResult result;

	if (decoder == NULL && (decoder = DecompressorCreate(request->encoding)) == NULL)
	{
		discard(request, REFUSAL_NO_MEMORY, len);
		return;
	}
	/* a refusal frees what the request owns */
	request->decoder = NULL;
	result = DecompressorFeed(decoder, data, len, take_piece, limits);
	if (request->refusal == REFUSAL_NONE && result == DECODE_DAMAGED)
		discard(request, REFUSAL_DAMAGED, len);
	if (request->refusal == REFUSAL_NONE &&
		(result == DECODE_STOPPED ||
		 body_memory - request->decoder_size + DecompressorSize(decoder) > limits->max_memory))
		discard(request, REFUSAL_NO_MEMORY, len);
	if (request->refusal != REFUSAL_NONE)
	{
		DecompressorFree(decoder);
		return;
	}
	request->decoder = decoder;
	count_decoder(request, DecompressorSize(decoder));
}

void
RequestAppend(Request *request, const char *data, size_t len, size_t max_len, size_t max_memory)
{
	Room limits = {request, max_len, max_memory};

	if (request->refusal != REFUSAL_NONE)
		discard(request, request->refusal, len);
	else if (request->encoding == ENCODING_IDENTITY)
		(void) take_piece(&limits, data, len);
	else
		take_compressed(&limits, data, len);
}

void
RequestEndBody(Request *request)
{
	if (request->decoder != NULL && !DecompressorIsComplete(request->decoder))
		discard(request, REFUSAL_DAMAGED, 0);
	drop_decoder(request);
}

bool
RequestReserveAnswer(Request *request, size_t size, size_t max_memory)
{
	if (answer_memory > max_memory || size > max_memory - answer_memory ||
		(request->answer = malloc(size)) == NULL)
		return false;
	request->answer_room = size;
	answer_memory += size;
	return true;
}

unsigned int
RequestStatus(const Request *request)
{
	const union MHD_ConnectionInfo *info;

	if (request->reply.status != 0)
		return request->reply.status;
	info = MHD_get_connection_info(request->connection->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
	return info != NULL ? info->http_status : 0;
}

size_t
RequestReplyBytes(const Request *request)
{
	return request->head_only ? 0 : request->reply.len;
}

int
RequestCount(void)
{
	return request_count;
}
