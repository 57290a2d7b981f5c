/*
 * http_post.c
 *
 * libcurl calls back into this file. A callback must not raise an ERROR, which would jump over
 * libcurl, so what it writes to is allocated before. The caller's WireGoOn is called between
 * libcurl's functions, and may raise one.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>
#include <unistd.h>

#include "stream/wire/compress_body.h"
#include "stream/wire/http_post.h"
#include "stream/wire/wire_url.h"

#include "base/clock.h"

/* Between two calls of the caller's function; half of what http_post.h promises. */
#define GO_ON_INTERVAL 50 /* ms */

#define HEADERS_LIMIT (16 * 1024)
#define UPLOAD_BUFFER (256 * 1024L)
#define RETRY_AFTER_LIMIT (24 * 60 * 60L) /* s */

struct Wire
{
	WireConfig config;
	CURLM *multi;
	MemoryContextCallback on_reset; /* closes it with its memory context */
};

/* A request while libcurl works on it. */
typedef struct
{
	CURL *easy;
	struct curl_slist *headers;
	const char *body; /* as it goes over the wire */
	size_t body_len;
	size_t body_read; /* by libcurl */
	WireReply *reply;
	bool headers_whole; /* the line that ends them was received */
	char error[CURL_ERROR_SIZE];
} Transfer;

/*
 * Initialize libcurl. The process never ends it: exit() does.
 */
static void
init_library(void)
{
	static bool done = false;

	if (!done && curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize libcurl")));
	done = true;
}

static void
close_multi(void *arg)
{
	Wire *wire = arg;

	if (wire->multi != NULL)
		curl_multi_cleanup(wire->multi);
	wire->multi = NULL;
}

/*
 * Check that the server can read a file, and copy its name; NULL stays NULL
 */
static char *
copy_readable(const char *field, const char *path)
{
	if (path == NULL)
		return NULL;
	if (access(path, R_OK) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read %s \"%s\" of a stream: %m", field, path)));
	return pstrdup(path);
}

Wire *
WireOpen(const WireConfig *config)
{
	Wire *wire = palloc0(sizeof(Wire));

	WireUrlCheck(config->url);
	wire->config = *config;
	wire->config.url = pstrdup(config->url);
	wire->config.ca_file = copy_readable("ca_file", config->ca_file);
	wire->config.cert_file = copy_readable("cert_file", config->cert_file);
	wire->config.key_file = copy_readable("key_file", config->key_file);

	init_library();
	wire->on_reset.func = close_multi;
	wire->on_reset.arg = wire;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &wire->on_reset);
	wire->multi = curl_multi_init();
	if (wire->multi == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return wire;
}

void
WireClose(Wire *wire)
{
	close_multi(wire);
}

/* --- callbacks ---------------------------------------------------------- */

/*
 * Append to a text that has its room, and drop what has none
 */
static void
append_within(StringInfo text, const char *data, size_t len)
{
	size_t room = text->maxlen - text->len - 1;

	len = Min(len, room);
	memcpy(text->data + text->len, data, len);
	text->len += len;
	text->data[text->len] = '\0';
}

static size_t
give_body(char *buffer, size_t size, size_t count, void *arg)
{
	Transfer *transfer = arg;
	size_t len = Min(size * count, transfer->body_len - transfer->body_read);

	memcpy(buffer, transfer->body + transfer->body_read, len);
	transfer->body_read += len;
	return len;
}

static size_t
take_body(char *data, size_t size, size_t count, void *arg)
{
	Transfer *transfer = arg;

	append_within(&transfer->reply->body, data, size * count);
	return size * count;
}

/*
 * Take a line of the answer's head. An answer 1xx may stand before the one that counts.
 */
static size_t
take_header(char *data, size_t size, size_t count, void *arg)
{
	Transfer *transfer = arg;
	size_t len = size * count;

	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		transfer->headers_whole = false;
		transfer->reply->headers.len = 0;
	}
	else if ((len == 2 && data[0] == '\r') || (len == 1 && data[0] == '\n'))
		transfer->headers_whole = true;
	else
		append_within(&transfer->reply->headers, data, len);
	return len;
}

/* --- a request ---------------------------------------------------------- */

/*
 * A text with room for so many bytes
 */
static void
init_text(StringInfo text, size_t room)
{
	text->data = palloc(room + 1);
	text->data[0] = '\0';
	text->len = 0;
	text->maxlen = room + 1;
	text->cursor = 0;
}

static void
add_header(Transfer *transfer, const char *header)
{
	struct curl_slist *longer;

	/* it would begin another header; the text is not shown, for it may hold a password */
	if (strpbrk(header, "\r\n") != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a header of a request has a line break in it")));
	longer = curl_slist_append(transfer->headers, header);
	if (longer == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	transfer->headers = longer;
}

/*
 * Compress the body of a request. The caller frees it if it is another one.
 */
static void
prepare_body(Transfer *transfer, const WireRequest *request)
{
	BodyFormat format = request->compression == STREAM_COMPRESS_ZSTD ? BODY_ZSTD : BODY_GZIP;
	size_t room;
	char *out;

	transfer->body = request->body;
	transfer->body_len = request->body_len;
	if (request->compression == STREAM_COMPRESS_NONE || request->body_len == 0)
		return;
	room = BodyCompressBound(format, request->body_len);
	out = MemoryContextAllocHuge(CurrentMemoryContext, room);
	transfer->body_len = BodyCompress(format, request->body, request->body_len, out, room);
	transfer->body = out;
	if (transfer->body_len == 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not compress a body")));
	add_header(transfer, format == BODY_ZSTD ? "Content-Encoding: zstd" : "Content-Encoding: gzip");
}

static void
set_option(CURLcode code)
{
	if (code != CURLE_OK)
		ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
						errmsg("libcurl refuses an option: %s", curl_easy_strerror(code))));
}

#define SET(option, value) set_option(curl_easy_setopt(transfer->easy, option, value))

static void
set_tls_options(Transfer *transfer, const WireConfig *config)
{
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (config->ca_file != NULL)
	{
		SET(CURLOPT_CAINFO, config->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	if (config->cert_file != NULL)
		SET(CURLOPT_SSLCERT, config->cert_file);
	if (config->key_file != NULL)
		SET(CURLOPT_SSLKEY, config->key_file);
	/* or OpenSSL asks for the passphrase of a key at the terminal */
	SET(CURLOPT_KEYPASSWD, "");
}

static void
set_connection_options(Transfer *transfer, const WireConfig *config)
{
	SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, config->connect_timeout);
	SET(CURLOPT_TIMEOUT_MS, config->timeout);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* do not wait for a name server that does not answer */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
}

static void
prepare_transfer(Wire *wire, const WireRequest *request, Transfer *transfer)
{
	char *url = WireUrlJoin(wire->config.url, request->path, request->query);
	bool has_type = false;

	for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
	{
		add_header(transfer, *header);
		has_type |= pg_strncasecmp(*header, "Content-Type:", 13) == 0;
	}
	if (!has_type)
		add_header(transfer, "Content-Type: application/octet-stream");
	add_header(transfer, "Expect:");
	if (request->chunked)
		add_header(transfer, "Transfer-Encoding: chunked");
	prepare_body(transfer, request);

	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	SET(CURLOPT_ERRORBUFFER, transfer->error);
	set_connection_options(transfer, &wire->config);
	set_tls_options(transfer, &wire->config);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_USERAGENT, "fast_ingest");
	SET(CURLOPT_HTTPHEADER, transfer->headers);
	if (request->username != NULL || request->password != NULL)
	{
		SET(CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, request->username != NULL ? request->username : "");
		SET(CURLOPT_PASSWORD, request->password != NULL ? request->password : "");
	}
	SET(CURLOPT_POST, 1L);
	if (!request->chunked)
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) transfer->body_len);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
	SET(CURLOPT_READFUNCTION, give_body);
	SET(CURLOPT_READDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, transfer);
	pfree(url);
}

/*
 * Let libcurl work. It may start a thread that asks a name server, which inherits that all
 * signals are blocked: PostgreSQL's handlers must run in the main thread.
 */
static CURLMcode
perform(CURLM *multi, int *running)
{
	sigset_t all;
	sigset_t before;
	CURLMcode code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = curl_multi_perform(multi, running);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}

/*
 * Run a request to its end. False: the caller's function gave it up.
 */
static bool
run_transfer(Wire *wire, Transfer *transfer, WireGoOn go_on, void *arg, CURLcode *result)
{
	int64 asked = 0;
	int running = 0;
	CURLMcode code = curl_multi_add_handle(wire->multi, transfer->easy);
	CURLMsg *message;

	while (code == CURLM_OK)
	{
		int64 now = MonotonicNow();

		if (asked == 0 || now >= MonotonicAfter(asked, GO_ON_INTERVAL))
		{
			if (go_on != NULL && !go_on(arg))
				return false;
			asked = now;
		}
		code = perform(wire->multi, &running);
		if (code != CURLM_OK || running == 0)
			break;
		code = curl_multi_poll(wire->multi, NULL, 0, GO_ON_INTERVAL, NULL);
	}

	*result = CURLE_FAILED_INIT;
	if (code != CURLM_OK)
	{
		strlcpy(transfer->error, curl_multi_strerror(code), sizeof(transfer->error));
		*result = CURLE_RECV_ERROR;
	}
	while ((message = curl_multi_info_read(wire->multi, &running)) != NULL)
		if (message->msg == CURLMSG_DONE && message->easy_handle == transfer->easy)
			*result = message->data.result;
	return true;
}

/* --- the reply ---------------------------------------------------------- */

Slice
WireHeader(const WireReply *reply, const char *name)
{
	size_t name_len = strlen(name);
	const char *line = reply->headers.data;
	const char *end = line + reply->headers.len;

	while (line < end)
	{
		const char *next = memchr(line, '\n', end - line);
		const char *stop = next != NULL ? next : end;

		if ((size_t) (stop - line) > name_len && line[name_len] == ':' &&
			pg_strncasecmp(line, name, name_len) == 0)
		{
			const char *value = line + name_len + 1;

			while (value < stop && (*value == ' ' || *value == '\t'))
				value++;
			while (stop > value && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
				stop--;
			return (Slice){value, stop - value};
		}
		line = stop + 1;
	}
	return (Slice){NULL, 0};
}

/*
 * How long the target asks to wait: seconds, or the time of a clock
 */
static long
read_retry_after(const WireReply *reply)
{
	Slice value = WireHeader(reply, "Retry-After");
	char text[64];
	char *end;
	long seconds;

	if (value.data == NULL || value.len == 0 || value.len >= sizeof(text))
		return 0;
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	errno = 0;
	seconds = strtol(text, &end, 10);
	if (*end != '\0')
	{
		time_t moment = curl_getdate(text, NULL);

		if (moment == -1)
			return 0;
		seconds = (long) (moment - time(NULL));
	}
	else if (errno != 0)
		seconds = RETRY_AFTER_LIMIT;
	return Max(0, Min(seconds, RETRY_AFTER_LIMIT)) * 1000;
}

static void
read_result(Transfer *transfer, CURLcode result)
{
	WireReply *reply = transfer->reply;
	long status = 0;
	long request_size = 0;
	const char *why = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(result);

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &request_size);
	/* libcurl takes a connection that ends in the midst of the head for a whole answer */
	if (result == CURLE_OK && transfer->headers_whole && status >= 200)
	{
		reply->outcome = WIRE_ANSWERED;
		reply->status = (int) status;
		reply->retry_after = read_retry_after(reply);
		return;
	}
	if (result == CURLE_OK)
		why = "the connection was closed in the midst of the answer's head";
	reply->outcome = request_size == 0 ? WIRE_NOT_SENT : WIRE_IN_DOUBT;
	WireMessageCopy(reply->message, why, strlen(why));
}

void
WirePost(Wire *wire, const WireRequest *request, WireGoOn go_on, void *arg, WireReply *reply)
{
	Transfer transfer = {.reply = reply};
	CURLcode result;

	memset(reply, 0, sizeof(*reply));
	init_text(&reply->body, request->answer_limit > 0 ? request->answer_limit : WIRE_BODY_LIMIT);
	init_text(&reply->headers, HEADERS_LIMIT);
	PG_TRY();
	{
		prepare_transfer(wire, request, &transfer);
		if (run_transfer(wire, &transfer, go_on, arg, &result))
			read_result(&transfer, result);
		else
		{
			reply->outcome = WIRE_ABANDONED;
			strlcpy(reply->message, "the request was given up", sizeof(reply->message));
		}
		reply->bytes_sent = transfer.body_read;
	}
	PG_FINALLY();
	{
		if (transfer.easy != NULL)
		{
			curl_multi_remove_handle(wire->multi, transfer.easy);
			curl_easy_cleanup(transfer.easy);
		}
		curl_slist_free_all(transfer.headers);
		if (transfer.body != NULL && transfer.body != request->body)
			pfree((char *) transfer.body);
	}
	PG_END_TRY();
}
