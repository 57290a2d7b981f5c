/*
 * head.c
 *
 * libmicrohttpd 0.9.75 takes line ends without CR, folded lines, spaces before a
 * colon, several Content-Lengths (of which it believes the first), and reads a
 * body of an unknown Transfer-Encoding for ever. MHD_OPTION_STRICT_FOR_CLIENT
 * adds two checks to that, of which one ends the connection without an answer.
 *
 * It parses a head in place: the head's bytes are all there still, one after the
 * other, but for NULs in the place of
 *
 *	- the space behind the method, and the one before the version
 *	- each line's CR and LF
 *	- the first colon of each line
 *
 * and for the target, which is unescaped. A folded line's name is overwritten
 * with NULs. So each byte that should be one of these is checked to be a NUL,
 * and no other may be. All reading stays within the size that it was given.
 */
#include "http/head.h"

#include <string.h>
#include <strings.h>

#define VERSION_LENGTH 8 /* HTTP/1.1 */
#define EXCESS_PARAMETERS 100

typedef struct
{
	int hosts;
	int lengths;
	int encodings;
	bool chunked;
} Framing;

/*
 * May a character be part of a name? (RFC 9110, section 5.6.2)
 */
static bool
is_token_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		   (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_control(unsigned char c)
{
	return (c < ' ' && c != '\t') || c == 0x7f;
}

static bool
is_token(const char *text)
{
	const char *p = text;

	while (is_token_char((unsigned char) *p))
		p++;
	return p > text && *p == '\0';
}

const char *
HeadCheckTarget(const char *target)
{
	const char *p = target;

	while ((unsigned char) *p > ' ' && *p != 0x7f)
		p++;
	return p > target && *p == '\0' ? p : NULL;
}

const char *
HeadExcessParameters(const char *target)
{
	const char *parameters = strchr(target, '?');
	int n = 0;

	for (const char *p = parameters; p != NULL; p = strchr(p + 1, '&'))
		n++;
	return n > EXCESS_PARAMETERS ? parameters + 1 : NULL;
}

/*
 * Take note of the fields that say where a body ends
 */
static void
note_field(Framing *framing, const char *name, const char *value)
{
	if (strcasecmp(name, "Host") == 0)
		framing->hosts++;
	else if (strcasecmp(name, "Content-Length") == 0)
		framing->lengths++;
	else if (strcasecmp(name, "Transfer-Encoding") == 0)
	{
		framing->encodings++;
		framing->chunked = strcasecmp(value, "chunked") == 0;
	}
}

/*
 * Check the lines from p on; the last is the empty one that ends the head
 */
static const char *
check_lines(const char *p, const char *end, Framing *framing)
{
	for (;;)
	{
		const char *name = p;
		const char *value;

		while (p < end && is_token_char((unsigned char) *p))
			p++;
		if (p == name)
		{
			if (end - p == 2 && p[0] == '\0' && p[1] == '\0')
				return NULL;
			return "a line of the headers does not begin with a name";
		}
		if (p == end || *p != '\0')
			return "the name of a header holds what no name may";
		value = p + 1;
		while (value < end && (*value == ' ' || *value == '\t'))
			value++;
		for (p = value; p < end && *p != '\0'; p++)
			if (is_control((unsigned char) *p))
				return "a header holds a control character";
		if (end - p < 4 || p[1] != '\0')
			return "a line of the headers does not end with CR LF";
		note_field(framing, name, value);
		p += 2;
	}
}

const char *
HeadCheck(const char *method, const char *target, const char *target_end, const char *version,
		  size_t size, bool *chunked)
{
	Framing framing = {0};
	const char *end = method + size;
	const char *wrong;

	*chunked = false;
	if (!is_token(method) || target != method + strlen(method) + 1)
		return "the request line does not begin with a method and one space";
	if (target_end == NULL || version != target_end + 1)
		return "the request's target holds a space, a control character or nothing";
	if (version < method || version + VERSION_LENGTH + 2 > end || version[VERSION_LENGTH] != '\0' ||
		version[VERSION_LENGTH + 1] != '\0')
		return "the request line does not end with a version and CR LF";

	wrong = check_lines(version + VERSION_LENGTH + 2, end, &framing);
	if (wrong != NULL)
		return wrong;
	if (framing.hosts > 1 || (framing.hosts == 0 && strcmp(version, "HTTP/1.0") != 0))
		return "expected one Host header";
	if (framing.lengths > 1)
		return "Content-Length is given more than once";
	if (framing.encodings > 0 && framing.lengths > 0)
		return "both Transfer-Encoding and Content-Length are given";
	if (framing.encodings > 1 || (framing.encodings == 1 && !framing.chunked))
		return "Transfer-Encoding is not supported: expected chunked";
	if (framing.encodings == 1 && strcmp(version, "HTTP/1.0") == 0)
		return "Transfer-Encoding is not allowed in HTTP/1.0";
	*chunked = framing.chunked;
	return NULL;
}
