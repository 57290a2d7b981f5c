/*
 * timestamp.c
 *
 * Reads Unix times and date-times. It shifts decimal digits and never uses a double, so no
 * time loses precision.
 */
#include "event/timestamp.h"

#include <string.h>
#include <strings.h>

#define MICROSECONDS INT64_C(1000000)
/* The digits before the decimal point of the largest Unix time, which is in nanoseconds. */
#define MAX_WHOLE_DIGITS 19
/* Larger exponents are read as about this one: no body has so many digits. */
#define MAX_EXPONENT INT64_C(1000000000000)

/* 0.<digits> * 10^point. The first digit is not 0. */
typedef struct
{
	bool negative;
	char digits[MAX_WHOLE_DIGITS]; /* the first ones; the others are not needed */
	int n;
	int64_t point;
} Decimal;

static bool
is_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

/*
 * Read the exponent behind an "e"; false if there is none
 */
static bool
read_exponent(const char *p, const char *end, int64_t *exponent)
{
	bool negative = p < end && *p == '-';

	*exponent = 0;
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (!is_digit(p, end))
		return false;
	for (; is_digit(p, end); p++)
		if (*exponent < MAX_EXPONENT)
			*exponent = *exponent * 10 + (*p - '0');
	if (negative)
		*exponent = -*exponent;
	return p == end;
}

/*
 * Read a decimal number; false if the whole text is not one
 */
static bool
read_decimal(const char *p, const char *end, Decimal *decimal)
{
	bool has_digit = false;
	bool has_point = false;
	int64_t exponent;

	*decimal = (Decimal){0};
	if (p < end && (*p == '-' || *p == '+'))
		decimal->negative = *p++ == '-';
	for (; is_digit(p, end) || (p < end && *p == '.' && !has_point); p++)
	{
		if (*p == '.')
		{
			has_point = true;
			continue;
		}
		has_digit = true;
		if (*p == '0' && decimal->n == 0)
		{
			decimal->point -= has_point;
			continue;
		}
		decimal->point += !has_point;
		if (decimal->n < MAX_WHOLE_DIGITS)
			decimal->digits[decimal->n++] = *p;
	}
	if (!has_digit || p == end)
		return has_digit;
	if ((*p != 'e' && *p != 'E') || !read_exponent(p + 1, end, &exponent))
		return false;
	decimal->point += exponent;
	return true;
}

/*
 * The whole part of decimal * 10^shift. It must have at most MAX_WHOLE_DIGITS digits
 */
static uint64_t
compute_whole_part(const Decimal *decimal, int shift)
{
	uint64_t whole = 0;

	for (int i = 0; i < decimal->point + shift; i++)
		whole = whole * 10 + (uint64_t) (i < decimal->n ? decimal->digits[i] - '0' : 0);
	return whole;
}

/*
 * Read a Unix time, whose unit follows from its size
 */
static bool
read_unix_time(const Decimal *decimal, int64_t *microseconds, const char **wrong)
{
	uint64_t whole;
	int shift;

	*microseconds = 0;
	if (decimal->n == 0)
		return true;
	if (decimal->point > MAX_WHOLE_DIGITS)
	{
		*wrong = "is too large a number";
		return false;
	}
	whole = compute_whole_part(decimal, 0);
	if (whole > UINT64_C(100000000000000000))
		shift = -3;
	else if (whole > UINT64_C(100000000000000))
		shift = 0;
	else if (whole > UINT64_C(100000000000))
		shift = 3;
	else
		shift = 6;
	*microseconds = (int64_t) compute_whole_part(decimal, shift);
	if (decimal->negative)
		*microseconds = -*microseconds;
	return true;
}

/*
 * Read exactly n digits whose value is from low to high
 */
static bool
read_digits(const char **p, const char *end, int n, int low, int high, int *value)
{
	*value = 0;
	for (int i = 0; i < n; i++, (*p)++)
	{
		if (!is_digit(*p, end))
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return *value >= low && *value <= high;
}

/*
 * Read one character if it is among those allowed
 */
static bool
read_char(const char **p, const char *end, const char *allowed)
{
	if (*p >= end || **p == '\0' || strchr(allowed, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

/*
 * The number of days from 1970-01-01 to a date in the Gregorian calendar. Years are counted
 * from March, so that the leap day is the last day of its year.
 */
static int64_t
count_days(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static int
count_days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/*
 * Does a date begin at p: four digits and a separator, or eight digits?
 */
static bool
is_date(const char *p, const char *end)
{
	const char *begin = p;

	while (is_digit(p, end))
		p++;
	return p - begin == 8 || (p - begin == 4 && p < end && (*p == '-' || *p == '/'));
}

/*
 * Read a date as days since 1970. Returns what is wrong, or NULL
 */
static const char *
read_date(const char **p, const char *end, int64_t *days)
{
	char separator[2] = "";
	int year;
	int month;
	int day;

	if (!is_date(*p, end) || !read_digits(p, end, 4, 0, 9999, &year))
		return "is not a time";
	if (!is_digit(*p, end))
		separator[0] = *(*p)++;
	if (year == 0)
		return "has a year that is not 0001 to 9999";
	if (!read_digits(p, end, 2, 1, 12, &month))
		return "has a month that is not 01 to 12";
	if (separator[0] != '\0' && !read_char(p, end, separator))
		return "has no day";
	if (!read_digits(p, end, 2, 1, 31, &day))
		return "has a day that is not 01 to 31";
	if (day > count_days_in_month(year, month))
		return "is on a day that does not exist";
	*days = count_days(year, month, day);
	return NULL;
}

/*
 * Read a time of day as microseconds. Returns what is wrong, or NULL
 */
static const char *
read_time_of_day(const char **p, const char *end, int64_t *microseconds)
{
	int hour;
	int minute;
	int second = 0;
	int64_t unit = MICROSECONDS;
	bool has_second;
	bool colon;

	if (!read_digits(p, end, 2, 0, 23, &hour))
		return "has an hour that is not 00 to 23";
	colon = read_char(p, end, ":");
	if (!read_digits(p, end, 2, 0, 59, &minute))
		return "has a minute that is not 00 to 59";
	/* second 60 is a leap second; it becomes second 0 of the next minute */
	has_second = colon ? read_char(p, end, ":") : is_digit(*p, end);
	if (has_second && !read_digits(p, end, 2, 0, 60, &second))
		return "has a second that is not 00 to 60";
	*microseconds = (hour * INT64_C(3600) + minute * 60 + second) * MICROSECONDS;

	if (!read_char(p, end, ".,"))
		return NULL;
	if (!has_second)
		return "has a fraction of a minute";
	if (!is_digit(*p, end))
		return "has a fraction without digits";
	for (; is_digit(*p, end); (*p)++)
	{
		unit /= 10;
		*microseconds += (**p - '0') * unit;
	}
	return NULL;
}

/*
 * Read a zone at the end of the text as seconds ahead of UTC. Returns what is wrong, or NULL
 */
static const char *
read_zone(const char *p, const char *end, int64_t *offset)
{
	int sign = 1;
	int field;

	*offset = 0;
	while (read_char(&p, end, " \t"))
		;
	if (p == end)
		return "has no zone";
	if ((end - p == 1 && (*p == 'Z' || *p == 'z')) ||
		(end - p == 3 && (strncasecmp(p, "utc", 3) == 0 || strncasecmp(p, "gmt", 3) == 0)))
		return NULL;
	if (*p != '+' && *p != '-')
		return "has something else than a zone behind the time";
	if (*p++ == '-')
		sign = -1;
	if (!read_digits(&p, end, 2, 0, 23, &field))
		return "has a zone whose hours are not 00 to 23";
	*offset = field * INT64_C(3600);
	for (int unit = 60; unit > 0 && (read_char(&p, end, ":") || is_digit(p, end)); unit /= 60)
	{
		if (!read_digits(&p, end, 2, 0, 59, &field))
			return "has a zone whose minutes are not 00 to 59";
		*offset += field * unit;
	}
	*offset *= sign;
	return p == end ? NULL : "has something behind the zone";
}

static const char *
read_date_time(const char *p, const char *end, int64_t *microseconds)
{
	int64_t days;
	int64_t time;
	int64_t offset;
	const char *wrong = read_date(&p, end, &days);

	if (wrong != NULL)
		return wrong;
	if (p == end)
		return "has no time of day";
	if (!read_char(&p, end, "Tt "))
		return "has something else than a time of day behind the date";
	if ((wrong = read_time_of_day(&p, end, &time)) != NULL ||
		(wrong = read_zone(p, end, &offset)) != NULL)
		return wrong;
	*microseconds = (days * 86400 - offset) * MICROSECONDS + time;
	return NULL;
}

bool
TimestampRead(const char *text, size_t len, int64_t *microseconds, const char **wrong)
{
	static const char blanks[] = " \t\r\n";
	const char *p = text;
	const char *end = text + len;
	Decimal decimal;

	while (read_char(&p, end, blanks))
		;
	while (end > p && end[-1] != '\0' && strchr(blanks, end[-1]) != NULL)
		end--;

	*wrong = NULL;
	if (p == end)
		*wrong = "is empty";
	else if (read_decimal(p, end, &decimal))
		return read_unix_time(&decimal, microseconds, wrong);
	else
		*wrong = read_date_time(p, end, microseconds);
	return *wrong == NULL;
}
