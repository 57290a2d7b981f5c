/*
 * request.c
 *
 * The memory of requests. It is malloc'ed because these functions are called inside
 * libmicrohttpd, where palloc must not raise an error.
 */
#include "postgres.h"

#include "http/server/request.h"

#include <microhttpd.h>

#include "base/clock.h"

static int open_requests = 0;
static size_t body_memory = 0;	 /* of all requests, with what decompresses them */
static size_t answer_memory = 0; /* of all requests */

/* A request being appended to, and the limits of RequestAppend. */
typedef struct
{
	Request *request;
	size_t max_len;
	size_t max_memory;
} LimitedRequest;

/*
 * Callback: read one header
 */
static enum MHD_Result
note_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	if (value != NULL)
		HeadNoteField(cls, name, unconstify(char *, value));
	return MHD_YES;
}

void
RequestReadFraming(Request *request)
{
	request->framing = (HeadFraming){0};
	(void) MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, note_header, &request->framing);
}

const char *
RequestHeader(const Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

/* A parameter that is looked for, and its value once it is found */
typedef struct
{
	const char *name;
	const char *value;
} Search;

static enum MHD_Result
compare_parameter(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Search *search = cls;

	if (strcmp(name, search->name) != 0)
		return MHD_YES;
	search->value = value ? value : "";
	return MHD_NO;
}

/*
 * MHD_lookup_connection_value takes letters of either case for the same. Parameters are read
 * with a difference, so a check of one must not look at another.
 */
const char *
RequestParameter(const Request *request, const char *name)
{
	Search search = {name, NULL};

	(void) MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, compare_parameter,
									 &search);
	return search.value;
}

Request *
RequestCreate(struct Connection *connection, struct MHD_Connection *mhd)
{
	Request *request = calloc(1, sizeof(Request));

	if (request == NULL)
		return NULL;
	request->connection = connection;
	request->mhd = mhd;
	request->route = NUM_ROUTES;
	request->began = MonotonicNow();
	open_requests++;
	return request;
}

/*
 * Count the decompressor's memory among that of the bodies
 */
static void
set_decompressor_size(Request *request, size_t size)
{
	body_memory += size - request->decompressor_size;
	request->decompressor_size = size;
}

static void
free_decompressor(Request *request)
{
	DecompressorFree(request->decompressor);
	request->decompressor = NULL;
	set_decompressor_size(request, 0);
}

void
RequestDropBody(Request *request)
{
	free_decompressor(request);
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
	open_requests--;
}

/*
 * Refuse the request and throw its body away, with len bytes that have just come
 */
static void
discard_body(Request *request, Refusal refusal, size_t len)
{
	if (request->refusal == REFUSAL_NONE)
		request->refusal = refusal;
	request->discarded += request->len + len;
	RequestDropBody(request);
}

/*
 * Callback: append a piece of the body as it is without compression; false, with the request
 * refused, if there is no room for it
 */
static bool
append_piece(void *arg, const char *data, size_t len)
{
	const LimitedRequest *limited = arg;
	Request *request = limited->request;
	size_t needed = request->len + len + 1;

	if (needed - 1 > limited->max_len)
	{
		discard_body(request, REFUSAL_BODY_TOO_LARGE, len);
		return false;
	}
	if (needed > request->room)
	{
		size_t room = Max(needed, request->room * 2);
		char *moved;

		if (body_memory - request->room + room > limited->max_memory ||
			(moved = realloc(request->body, room)) == NULL)
		{
			discard_body(request, REFUSAL_NO_MEMORY, len);
			return false;
		}
		body_memory += room - request->room;
		request->body = moved;
		request->room = room;
	}
	memcpy(request->body + request->len, data, len);
	request->len += len;
	request->body[request->len] = '\0';
	return true;
}

/*
 * Decompress a piece of a body and append the result
 */
static void
append_compressed(LimitedRequest *limited, const char *data, size_t len)
{
	Request *request = limited->request;
	Decompressor *decompressor = request->decompressor;
	DecompressResult result;

	if (decompressor == NULL && (decompressor = DecompressorCreate(request->encoding)) == NULL)
	{
		discard_body(request, REFUSAL_NO_MEMORY, len);
		return;
	}
	/* not the request's while it is fed: a refusal would free it */
	request->decompressor = NULL;
	result = DecompressorFeed(decompressor, data, len, append_piece, limited);
	if (request->refusal == REFUSAL_NONE && result == DECOMPRESS_DAMAGED)
		discard_body(request, REFUSAL_DAMAGED, len);
	if (request->refusal == REFUSAL_NONE &&
		(result == DECOMPRESS_STOPPED ||
		 body_memory - request->decompressor_size + DecompressorSize(decompressor) >
			 limited->max_memory))
		discard_body(request, REFUSAL_NO_MEMORY, len);
	if (request->refusal != REFUSAL_NONE)
	{
		DecompressorFree(decompressor);
		return;
	}
	request->decompressor = decompressor;
	set_decompressor_size(request, DecompressorSize(decompressor));
}

void
RequestAppend(Request *request, const char *data, size_t len, size_t max_len, size_t max_memory)
{
	LimitedRequest limited = {request, max_len, max_memory};

	if (request->refusal != REFUSAL_NONE)
		discard_body(request, request->refusal, len);
	else if (request->encoding == ENCODING_IDENTITY)
		(void) append_piece(&limited, data, len);
	else
		append_compressed(&limited, data, len);
}

void
RequestEndBody(Request *request)
{
	if (request->decompressor != NULL && !DecompressorIsComplete(request->decompressor))
		discard_body(request, REFUSAL_DAMAGED, 0);
	free_decompressor(request);
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
	info = MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
	return info != NULL ? info->http_status : 0;
}

size_t
RequestReplyBytes(const Request *request)
{
	return request->head_only || request->reply.status == MHD_HTTP_NOT_MODIFIED
			   ? 0
			   : request->reply.len;
}

int
RequestsOpen(void)
{
	return open_requests;
}
