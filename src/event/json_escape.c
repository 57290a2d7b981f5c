/*
 * json_escape.c
 *
 * A mark is the escape of U+FFFD in one of two spellings. If a client has escaped this
 * character, its escape is rewritten in lower case, so that it is not taken for a mark.
 *
 * It does not matter whether an escape is within a string: outside of strings every
 * backslash is an error, which the parser finds at the same byte as without marks.
 */
#include "event/json_escape.h"

#include <stdbool.h>
#include <string.h>

#define ESCAPE_LENGTH 6 /* \uXXXX */
#define REPLACEMENT 0xFFFD

static const char zero_mark[] = "\\uFFFd";
static const char half_pair_mark[] = "\\uFffD";

/*
 * The code unit of the escape \uXXXX at p, or -1 if there is none
 */
static int
read_escape(const char *p, const char *end)
{
	int unit = 0;

	if (end - p < ESCAPE_LENGTH || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < ESCAPE_LENGTH; i++)
	{
		int letter = p[i] | 0x20;

		if (p[i] >= '0' && p[i] <= '9')
			unit = unit * 16 + (p[i] - '0');
		else if (letter >= 'a' && letter <= 'f')
			unit = unit * 16 + (letter - 'a' + 10);
		else
			return -1;
	}
	return unit;
}

static bool
is_high_half(int unit)
{
	return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool
is_low_half(int unit)
{
	return unit >= 0xDC00 && unit <= 0xDFFF;
}

void
EscapesReplace(char *json, size_t len)
{
	char *p = json;
	char *end = json + len;

	while ((p = memchr(p, '\\', end - p)) != NULL)
	{
		int unit = read_escape(p, end);
		const char *spelling = NULL;

		if (unit < 0)
		{
			/* skip the escaped character, which may be a backslash */
			p += end - p < 2 ? 1 : 2;
			continue;
		}
		if (is_high_half(unit) && is_low_half(read_escape(p + ESCAPE_LENGTH, end)))
		{
			p += 2 * ESCAPE_LENGTH;
			continue;
		}
		if (unit == 0)
			spelling = zero_mark;
		else if (is_high_half(unit) || is_low_half(unit))
			spelling = half_pair_mark;
		else if (unit == REPLACEMENT)
			spelling = "\\ufffd";
		if (spelling != NULL)
			memcpy(p, spelling, ESCAPE_LENGTH);
		p += ESCAPE_LENGTH;
	}
}

static bool
is_mark(const char *p, const char *mark)
{
	return memcmp(p, mark, ESCAPE_LENGTH) == 0;
}

const char *
EscapeFind(const char *json, const char *end)
{
	const char *p = json;

	while ((p = memchr(p, '\\', end - p)) != NULL)
	{
		if (end - p >= ESCAPE_LENGTH && (is_mark(p, zero_mark) || is_mark(p, half_pair_mark)))
			return p;
		p += end - p < 2 ? 1 : 2;
	}
	return NULL;
}

const char *
EscapeName(const char *mark)
{
	return is_mark(mark, zero_mark) ? "U+0000" : "half a surrogate pair";
}
