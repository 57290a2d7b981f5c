/*
 * pages.c
 *
 * The files are part of the library, as they are and compressed: sending one reads no file and
 * makes no copy.
 */
#include "postgres.h"

#include "http/pages/pages.h"

#include <microhttpd.h>

#include "http/pages/conditions.h"
#include "http/server/server.h"

/*
 * A file and its forms. pages_files.S defines the symbols: link-time optimization would tear apart
 * assembler in a C file.
 */
#define DECLARE_PAGE(name) \
	extern const char name[], name##_end[], name##_gzip[], name##_gzip_end[], name##_etag[]
DECLARE_PAGE(page_dashboard);
DECLARE_PAGE(page_docs);
DECLARE_PAGE(page_open_api);
extern const char page_dashboard_policy[], page_docs_policy[];

typedef struct
{
	const char *plain, *plain_end;
	const char *gzip, *gzip_end;
	const char *type;
	const char *etag;
	const ReplyHeader *headers;
} Page;

/*
 * no-cache: a browser asks each time whether it has the file of this version of the library
 */
#define COMMON_HEADERS(etag) \
	{"ETag", etag}, {"Cache-Control", "no-cache"}, {"Vary", "Accept-Encoding"}, \
	{ \
		"X-Content-Type-Options", "nosniff" \
	}
#define PAGE_HEADERS(etag, policy) \
	COMMON_HEADERS(etag), {"Content-Security-Policy", policy}, \
	{ \
		"Referrer-Policy", "no-referrer" \
	}

static const ReplyHeader dashboard_headers[] = {
	PAGE_HEADERS(page_dashboard_etag, page_dashboard_policy), {NULL}};
static const ReplyHeader docs_headers[] = {PAGE_HEADERS(page_docs_etag, page_docs_policy), {NULL}};
static const ReplyHeader open_api_headers[] = {COMMON_HEADERS(page_open_api_etag), {NULL}};

#define FORMS(name) name, name##_end, name##_gzip, name##_gzip_end
static const Page dashboard = {FORMS(page_dashboard), "text/html; charset=utf-8",
							   page_dashboard_etag, dashboard_headers};
static const Page docs = {FORMS(page_docs), "text/html; charset=utf-8", page_docs_etag,
						  docs_headers};
static const Page open_api = {FORMS(page_open_api), "application/json", page_open_api_etag,
							  open_api_headers};

/* What the head of a request says, however many lines say it. */
typedef struct
{
	AcceptedCodings codings;
	const char *etag;
	bool has_file;
} Conditions;

/*
 * Callback: read one header
 */
static enum MHD_Result
read_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Conditions *conditions = cls;

	if (value != NULL && pg_strcasecmp(name, "Accept-Encoding") == 0)
		AcceptEncodingRead(value, &conditions->codings);
	else if (value != NULL && pg_strcasecmp(name, "If-None-Match") == 0)
		conditions->has_file |= EntityTagIsListed(value, conditions->etag);
	return MHD_YES;
}

static Reply
make_page_reply(const Request *request, const Page *page)
{
	Conditions conditions = {.codings = ACCEPTED_CODINGS_NONE, .etag = page->etag};
	Reply reply = {.status = MHD_HTTP_OK, .type = page->type, .headers = page->headers};

	(void) MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, read_header, &conditions);
	/* libmicrohttpd sends no body with 304, only its length, which must be that of 200 */
	if (conditions.has_file)
		reply.status = MHD_HTTP_NOT_MODIFIED;
	if (AcceptedCodingsPreferGzip(&conditions.codings))
	{
		reply.body = page->gzip;
		reply.len = page->gzip_end - page->gzip;
		reply.encoding = "gzip";
	}
	else
	{
		reply.body = page->plain;
		reply.len = page->plain_end - page->plain;
	}
	return reply;
}

void
PagesHandle(Request *request)
{
	const Page *page = request->route == ROUTE_DASHBOARD ? &dashboard
					   : request->route == ROUTE_DOCS	 ? &docs
														 : &open_api;

	ServerAnswer(request, make_page_reply(request, page));
}
