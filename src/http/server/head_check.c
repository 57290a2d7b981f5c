/*
 * head_check.c
 *
 * libmicrohttpd 0.9 accepts line ends without CR, folded lines, spaces before a colon, and
 * several Content-Lengths, of which it uses the first. It reads a body with an unknown
 * Transfer-Encoding for ever. MHD_OPTION_STRICT_FOR_CLIENT adds two checks, one of which ends
 * the connection without a reply. With that option libmicrohttpd 1.0 refuses most of this by
 * itself.
 *
 * Both versions parse a head in place. Afterwards the head's bytes are all still there, in
 * order, except for NULs in the place of
 *
 *	- the space behind the method, and the one before the version
 *	- the first colon of each line
 *	- with 0.9 each line's CR and LF, that of the empty line too
 *	- with 1.0 the CR behind the version, and of each other line the first of the
 *	  blanks behind the value, or its CR where there are none
 *
 * and except for the target, which is unescaped. 0.9.75 overwrites the name of a folded line
 * with NULs; 0.9.77 overwrites the line end before it with blanks, as RFC 9112 (section 5.2)
 * allows. So we check that each of these places holds a NUL, and no other byte is one. Nothing
 * beyond the given size is read.
 *
 * The fields that say where a body ends are read as libmicrohttpd has parsed them, because
 * libmicrohttpd acts on these.
 */
#include "http/server/head_check.h"

#include <string.h>
#include <strings.h>

#define VERSION_LENGTH 8 /* HTTP/1.1 */

HeadRemains
HeadRemainsOf(const char *version)
{
	static const struct
	{
		const char *version;
		HeadRemains remains;
	} known[] = {{"0.9.75", HEAD_0_9},
				 {"0.9.76", HEAD_0_9},
				 {"0.9.77", HEAD_0_9},
				 {"1.0.0", HEAD_1_0},
				 {"1.0.1", HEAD_1_0}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(version, known[i].version) == 0)
			return known[i].remains;
	return HEAD_UNKNOWN;
}

/*
 * May the character be part of a token (RFC 9110, section 5.6.2)?
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
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_token(const char *text)
{
	const char *p = text;

	while (is_token_char((unsigned char) *p))
		p++;
	return p > text && *p == '\0';
}

/*
 * Read a Content-Length; false if it is anything but digits
 */
static bool
read_length(const char *value, uint64_t *length)
{
	const char *p = value;

	*length = 0;
	for (; *p >= '0' && *p <= '9'; p++)
	{
		unsigned int digit = (unsigned int) (*p - '0');

		*length = *length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *length * 10 + digit;
	}
	return p > value && *p == '\0';
}

void
HeadNoteField(HeadFraming *framing, const char *name, char *value)
{
	char *end = value + strlen(value);

	if (strcasecmp(name, "Host") == 0)
		framing->hosts++;
	else if (strcasecmp(name, "Content-Length") == 0)
	{
		framing->lengths++;
		framing->wrong_length |= !read_length(value, &framing->length);
	}
	else if (strcasecmp(name, "Transfer-Encoding") == 0)
	{
		framing->encodings++;
		framing->chunked = strcasecmp(value, "chunked") == 0;
	}
	while (end > value && is_blank(end[-1]))
		*--end = '\0';
}

/*
 * If the line, which ends at cr, is a field that libmicrohttpd reads itself, and its value is
 * one word, move the blanks behind the value to its front
 */
static void
move_blanks(char *line, char *cr)
{
	static const char *const names[] = {"Content-Length:", "Transfer-Encoding:"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		size_t len = strlen(names[i]);
		char *begin = line + len;
		char *end = cr;

		if ((size_t) (cr - line) < len || strncasecmp(line, names[i], len) != 0)
			continue;
		while (begin < end && is_blank(*begin))
			begin++;
		while (end > begin && is_blank(end[-1]))
			end--;
		for (const char *p = begin; p < end; p++)
			if (!is_token_char((unsigned char) *p))
				return;
		memmove(cr - (end - begin), begin, (size_t) (end - begin));
		memset(line + len, ' ', (size_t) (cr - line) - len - (size_t) (end - begin));
	}
}

/*
 * Find the CR of a line that ends with CR LF; NULL if there is none before end, or if the byte
 * behind the LF is not known
 */
static char *
find_line_end(char *line, char *end)
{
	char *p = line;

	while (p < end && *p != '\0' && *p != '\r' && *p != '\n')
		p++;
	return end - p > 2 && p[0] == '\r' && p[1] == '\n' && p[2] != '\0' ? p : NULL;
}

/*
 * Does the method before the target begin at the start of a page? Reads nothing before that
 * page.
 */
static bool
begins_page(const char *target, size_t page_size)
{
	const char *p = target - 1;

	while ((uintptr_t) p % page_size != 0 && is_token_char((unsigned char) p[-1]))
		p--;
	return (uintptr_t) p % page_size == 0;
}

void
HeadMoveBlanks(char *target, const char *target_end, size_t page_size)
{
	char *line;
	char *end;
	char *cr;

	if (target_end == NULL || !begins_page(target, page_size))
		return;
	line = target + (target_end - target) + 1 + VERSION_LENGTH;
	end = line + (page_size - (uintptr_t) line % page_size);
	if (end - line < 2 || line[0] != '\0' || line[1] != '\0')
		return;
	for (line += 2; (cr = find_line_end(line, end)) != NULL && cr > line; line = cr + 2)
		if (!is_blank(cr[2])) /* it is folded */
			move_blanks(line, cr);
}

const char *
HeadCheckFraming(const HeadFraming *framing, const char *version)
{
	if (framing->lengths > 1)
		return "Content-Length is given more than once";
	if (framing->encodings > 0 && framing->lengths > 0)
		return "both Transfer-Encoding and Content-Length are given";
	if (framing->wrong_length)
		return "Content-Length is not a number: expected digits and nothing else";
	if (framing->encodings > 1 || (framing->encodings == 1 && !framing->chunked))
		return "Transfer-Encoding is not supported: expected chunked";
	if (framing->encodings == 1 && strcmp(version, "HTTP/1.0") == 0)
		return "Transfer-Encoding is not allowed in HTTP/1.0";
	if (framing->hosts > 1 || (framing->hosts == 0 && strcmp(version, "HTTP/1.0") != 0))
		return "expected one Host header";
	return NULL;
}

/*
 * Is the empty line that ends a head at p?
 */
static bool
is_last_line(HeadRemains remains, const char *p, const char *end)
{
	return end - p == 2 &&
		   (remains == HEAD_0_9 ? p[0] == '\0' && p[1] == '\0' : p[0] == '\r' && p[1] == '\n');
}

/*
 * Find the next line; p is at the NUL behind a value. NULL if the line does not end with CR LF.
 * At least the two bytes of the last line must follow.
 */
static const char *
find_next_line(HeadRemains remains, const char *p, const char *end)
{
	if (end - p < 4)
		return NULL;
	if (remains == HEAD_0_9)
		return p[1] == '\0' ? p + 2 : NULL;
	if (p[1] == '\n')
		return p + 2;
	for (p++; end - p >= 4 && is_blank(*p); p++)
		;
	return end - p >= 4 && p[0] == '\r' && p[1] == '\n' ? p + 2 : NULL;
}

/*
 * Check the lines from p to the empty one that ends the head. Returns what is wrong, or NULL
 */
static const char *
check_lines(HeadRemains remains, const char *p, const char *end)
{
	for (;;)
	{
		const char *name = p;

		while (p < end && is_token_char((unsigned char) *p))
			p++;
		if (p == name)
			return is_last_line(remains, p, end)
					   ? NULL
					   : "a line of the headers does not begin with a name";
		if (p == end || *p != '\0')
			return "the name of a header holds what no name may";
		for (p++; p < end && *p != '\0'; p++)
			if (is_control((unsigned char) *p))
				return "a header holds a control character";
		p = find_next_line(remains, p, end);
		if (p == NULL)
			return "a line of the headers does not end with CR LF";
	}
}

const char *
HeadCheck(HeadRemains remains, const char *method, const char *target, const char *target_end,
		  const char *version, size_t size)
{
	const char *end = method + size;

	if (remains == HEAD_UNKNOWN)
		return "the version of libmicrohttpd is not known";
	if (!is_token(method) || target != method + strlen(method) + 1)
		return "the request line does not begin with a method and one space";
	if (target_end == NULL || version != target_end + 1)
		return "the request's target holds a space, a control character or nothing";
	if (version < method || version + VERSION_LENGTH + 2 > end || version[VERSION_LENGTH] != '\0' ||
		version[VERSION_LENGTH + 1] != (remains == HEAD_0_9 ? '\0' : '\n'))
		return "the request line does not end with a version and CR LF";
	return check_lines(remains, version + VERSION_LENGTH + 2, end);
}
