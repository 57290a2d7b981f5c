/*
 * conditions.c
 *
 * Both headers are lists with commas between their elements, any number of them, with blanks
 * around each.
 */
#include "http/pages/conditions.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/*
 * Read a weight: 0 or 1, with up to three digits behind a point, and not above 1. Returns
 * thousandths, -1 if the text is none
 */
static int
read_weight(const char *text, size_t len)
{
	int weight = 0;
	int digit = 1000;

	if (len == 0 || len > 5 || (text[0] != '0' && text[0] != '1') || (len > 1 && text[1] != '.'))
		return -1;
	for (size_t i = 0; i < len; i++)
	{
		if (i == 1)
			continue;
		if (text[i] < '0' || text[i] > '9')
			return -1;
		weight += (text[i] - '0') * digit;
		digit /= 10;
	}
	return weight <= 1000 ? weight : -1;
}

/*
 * Read what stands behind a coding: nothing, or ;q=WEIGHT with blanks before q
 */
static int
read_parameters(const char *text, size_t len)
{
	size_t blanks;

	if (len == 0)
		return 1000;
	if (text[0] != ';')
		return -1;
	blanks = strspn(text + 1, BLANKS);
	if (1 + blanks > len)
		return -1;
	text += 1 + blanks;
	len -= 1 + blanks;
	if (len < 2 || strncasecmp(text, "q=", 2) != 0)
		return -1;
	return read_weight(text + 2, len - 2);
}

/*
 * Read one element, without blanks around it
 */
static void
read_coding(const char *text, size_t len, AcceptedCodings *codings)
{
	size_t name = strcspn(text, "; \t,");
	size_t behind = name + strspn(text + name, BLANKS);
	int *known = NULL;
	int weight;

	if (name > len || behind > len)
		name = behind = len;
	if ((name == 4 && strncasecmp(text, "gzip", 4) == 0) ||
		(name == 6 && strncasecmp(text, "x-gzip", 6) == 0))
		known = &codings->gzip;
	else if (name == 8 && strncasecmp(text, "identity", 8) == 0)
		known = &codings->identity;
	else if (name == 1 && text[0] == '*')
		known = &codings->any;
	weight = read_parameters(text + behind, len - behind);
	if (known != NULL && weight >= 0 && (*known < 0 || weight < *known))
		*known = weight;
}

void
AcceptEncodingRead(const char *value, AcceptedCodings *codings)
{
	for (;;)
	{
		size_t len;
		size_t next;

		value += strspn(value, BLANKS ",");
		if (*value == '\0')
			return;
		len = next = strcspn(value, ",");
		while (len > 0 && strchr(BLANKS, value[len - 1]) != NULL)
			len--;
		read_coding(value, len, codings);
		value += next;
	}
}

bool
AcceptedCodingsPreferGzip(const AcceptedCodings *codings)
{
	int gzip = codings->gzip >= 0 ? codings->gzip : codings->any;

	return gzip > 0 && gzip >= codings->identity;
}

bool
EntityTagIsListed(const char *value, const char *etag)
{
	size_t etag_len;

	if (strncmp(etag, "W/", 2) == 0)
		etag += 2;
	etag_len = strlen(etag);
	value += strspn(value, BLANKS);
	if (value[0] == '*' && value[1 + strspn(value + 1, BLANKS)] == '\0')
		return true;
	for (;;)
	{
		const char *end;

		value += strspn(value, BLANKS ",");
		if (strncmp(value, "W/", 2) == 0)
			value += 2;
		if (*value != '"' || (end = strchr(value + 1, '"')) == NULL)
			return false;
		end++;
		if ((size_t) (end - value) == etag_len && memcmp(value, etag, etag_len) == 0)
			return true;
		value = end + strspn(end, BLANKS);
		if (*value != ',')
			return false;
	}
}
