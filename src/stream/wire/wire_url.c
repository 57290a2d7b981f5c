/*
 * wire_url.c
 *
 * libcurl's own parser decides what is a URL.
 */
#include "postgres.h"

#include <curl/curl.h>

#include "stream/wire/wire_url.h"

static bool
has_part(CURLU *parts, CURLUPart part)
{
	char *text = NULL;
	bool found = curl_url_get(parts, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return found;
}

/*
 * What is wrong with a URL, or NULL
 */
static const char *
find_fault(CURLU *parts, const char *url)
{
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return "it must begin with http:// or https://";
	for (const char *p = url; *p != '\0'; p++)
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7F)
			return "it has a character that must be escaped";
	if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK)
		return "it has no valid host or port";
	if (has_part(parts, CURLUPART_USER) || has_part(parts, CURLUPART_PASSWORD))
		return "user and password do not belong into it";
	if (has_part(parts, CURLUPART_FRAGMENT))
		return "it has a fragment";
	return NULL;
}

void
WireUrlCheck(const char *url)
{
	CURLU *parts = curl_url();
	const char *fault;

	if (parts == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	fault = find_fault(parts, url);
	curl_url_cleanup(parts);
	if (fault == NULL)
		return;
	/* a URL with an @ may hold a password */
	if (strchr(url, '@') != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid url of a stream"),
						errdetail("The URL is not valid: %s.", fault),
						errhint("Give them as arguments username and secret, or secret_file.")));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid url of a stream: \"%s\"", url),
					errdetail("The URL is not valid: %s.", fault),
					errhint("Give one such as \"https://host:8443/\".")));
}

char *
WireUrlJoin(const char *url, const char *path, const char *query)
{
	StringInfoData out;
	const char *host = strstr(url, "://") + 3;
	const char *own_query = strchr(host, '?');
	const char *end = own_query != NULL ? own_query : url + strlen(url);

	initStringInfo(&out);
	appendBinaryStringInfo(&out, url, end - url);
	if (memchr(host, '/', end - host) == NULL)
		appendStringInfoChar(&out, '/');
	if (path != NULL)
	{
		while (*path == '/')
			path++;
		if (out.data[out.len - 1] != '/')
			appendStringInfoChar(&out, '/');
		appendStringInfoString(&out, path);
	}
	if (own_query != NULL)
		appendStringInfoString(&out, own_query);
	if (query != NULL)
		appendStringInfo(&out, "%s%s", own_query == NULL ? "?" : "&", query);
	return out.data;
}

void
WireUrlEscape(StringInfo out, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (const char *p = text; *p != '\0'; p++)
	{
		unsigned char c = *p;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("-._~", c) != NULL)
			appendStringInfoChar(out, c);
		else
		{
			appendStringInfoChar(out, '%');
			appendStringInfoChar(out, digits[c >> 4]);
			appendStringInfoChar(out, digits[c & 15]);
		}
	}
}
