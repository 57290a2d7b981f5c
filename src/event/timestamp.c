/*
 * timestamp.c
 *
 * Unix seconds, Unix milliseconds and RFC 3339 to microseconds since 1970.
 * Digits are read exactly: no time passes through a double unless the client
 * wrote an exponent.
 */
#include "event/timestamp.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MICROSECONDS INT64_C(1000000)
#define FIRST_MILLISECONDS INT64_C(100000000000)
/* 9999-12-31T23:59:59Z: later times are refused before they can overflow */
#define MAX_SECONDS INT64_C(253402300799)

/*
 * Read up to six digits of a fraction as microseconds; further digits are cut
 */
static const char *
read_fraction(const char *p, const char *end, int64_t *microseconds)
{
	int64_t unit = MICROSECONDS / 10;

	*microseconds = 0;
	for (; p < end && isdigit((unsigned char) *p); p++)
	{
		*microseconds += (*p - '0') * unit;
		unit /= 10;
	}
	return p;
}

bool
TimestampFromNumber(const char *text, size_t len, int64_t *microseconds)
{
	const char *p = text;
	const char *end = text + len;
	bool negative = false;
	int64_t whole = 0;
	int64_t fraction = 0;
	bool has_fraction = false;

	if (p < end && *p == '-')
	{
		negative = true;
		p++;
	}
	for (; p < end && isdigit((unsigned char) *p); p++)
	{
		whole = whole * 10 + (*p - '0');
		if (whole > MAX_SECONDS * 1000)
			return false;
	}
	if (p < end && *p == '.')
	{
		has_fraction = true;
		p = read_fraction(p + 1, end, &fraction);
	}
	if (p < end)
	{
		char copy[64];
		double value;

		if (len >= sizeof(copy))
			return false;
		memcpy(copy, text, len);
		copy[len] = '\0';
		value = strtod(copy, NULL);
		if (!isfinite(value) || fabs(value) > (double) MAX_SECONDS)
			return false;
		*microseconds = (int64_t) llround(value * MICROSECONDS);
		return true;
	}

	if (!has_fraction && whole > FIRST_MILLISECONDS)
		*microseconds = whole * 1000;
	else if (whole > MAX_SECONDS)
		return false;
	else
		*microseconds = whole * MICROSECONDS + fraction;
	if (negative)
		*microseconds = -*microseconds;
	return true;
}

/*
 * Read exactly n digits
 */
static bool
read_digits(const char **p, const char *end, int n, int *value)
{
	*value = 0;
	if (end - *p < n)
		return false;
	for (int i = 0; i < n; i++, (*p)++)
	{
		if (!isdigit((unsigned char) **p))
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

static bool
read_char(const char **p, const char *end, const char *allowed)
{
	if (*p >= end || strchr(allowed, **p) == NULL || **p == '\0')
		return false;
	(*p)++;
	return true;
}

/*
 * Days from 1970-01-01 of a date in the Gregorian calendar: years are counted
 * from March, so that the leap day is the last of its year.
 */
static int64_t
days_from_date(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

bool
TimestampFromRfc3339(const char *text, size_t len, int64_t *microseconds)
{
	const char *p = text;
	const char *end = text + len;
	int year;
	int month;
	int day;
	int hour;
	int minute;
	int second;
	int64_t fraction = 0;
	int64_t offset = 0;
	int64_t seconds;

	if (!read_digits(&p, end, 4, &year) || !read_char(&p, end, "-") ||
		!read_digits(&p, end, 2, &month) || !read_char(&p, end, "-") ||
		!read_digits(&p, end, 2, &day) || !read_char(&p, end, "Tt ") ||
		!read_digits(&p, end, 2, &hour) || !read_char(&p, end, ":") ||
		!read_digits(&p, end, 2, &minute) || !read_char(&p, end, ":") ||
		!read_digits(&p, end, 2, &second))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
		hour > 23 || minute > 59 || second > 60)
		return false;

	if (p < end && *p == '.')
	{
		if (++p >= end || !isdigit((unsigned char) *p))
			return false;
		p = read_fraction(p, end, &fraction);
	}

	if (p < end && (*p == '+' || *p == '-'))
	{
		int sign = *p++ == '-' ? -1 : 1;
		int offset_hour;
		int offset_minute;

		if (!read_digits(&p, end, 2, &offset_hour) || !read_char(&p, end, ":") ||
			!read_digits(&p, end, 2, &offset_minute) || offset_hour > 23 || offset_minute > 59)
			return false;
		offset = sign * (offset_hour * 3600 + offset_minute * 60);
	}
	else if (!read_char(&p, end, "Zz"))
		return false;
	if (p != end)
		return false;

	seconds =
		days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
	*microseconds = seconds * MICROSECONDS + fraction;
	return true;
}
