/*
 * request.c
 *
 * The memory of requests. It is malloc'ed: these functions are called inside
 * libmicrohttpd, where palloc must not raise its error.
 */
#include "postgres.h"

#include "http/request.h"

static int request_count = 0;
static size_t body_memory = 0;
static size_t answer_memory = 0;

Request *
RequestCreate(Connection *connection)
{
	Request *request = calloc(1, sizeof(Request));

	if (request == NULL)
		return NULL;
	request->connection = connection;
	request->route = NUM_ROUTES;
	request_count++;
	return request;
}

void
RequestDropBody(Request *request)
{
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

void
RequestAppend(Request *request, const char *data, size_t len, size_t max_len, size_t max_memory)
{
	size_t needed = request->len + len + 1;

	if (request->refusal != REFUSAL_NONE || needed - 1 > max_len)
	{
		discard(request, REFUSAL_BODY_TOO_LARGE, len);
		return;
	}
	if (needed > request->room)
	{
		size_t room = Max(needed, request->room * 2);
		char *body;

		if (body_memory - request->room + room > max_memory ||
			(body = realloc(request->body, room)) == NULL)
		{
			discard(request, REFUSAL_NO_MEMORY, len);
			return;
		}
		body_memory += room - request->room;
		request->body = body;
		request->room = room;
	}
	memcpy(request->body + request->len, data, len);
	request->len += len;
	request->body[request->len] = '\0';
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

int
RequestCount(void)
{
	return request_count;
}
