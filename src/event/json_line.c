/*
 * json_line.c
 *
 * Called for each value of each event, inside the callbacks of logical decoding: numbers and
 * times are written digit by digit, without sprintf.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "event/json_line.h"

/* Days from 0000-03-01, the day behind the leap day of a year that can be divided by 400. */
#define DAYS_TO_POSTGRES_EPOCH 730425
#define DAYS_OF_400_YEARS 146097
#define DAYS_OF_100_YEARS 36524
#define DAYS_OF_4_YEARS 1461

/*
 * Escape a control character, a quote or a backslash
 */
static void
append_escape(StringInfo line, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
	static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *name = named; *name != '\0'; name += 2)
		if ((unsigned char) name[0] == c)
		{
			escape[1] = name[1];
			appendBinaryStringInfo(line, escape, 2);
			return;
		}
	appendBinaryStringInfo(line, escape, sizeof(escape));
}

void
JsonLineText(StringInfo line, Slice text)
{
	const char *run = text.data;
	const char *end = text.data + text.len;

	if (text.data == NULL)
	{
		appendBinaryStringInfo(line, "null", 4);
		return;
	}
	appendStringInfoChar(line, '"');
	for (const char *p = text.data; p < end; p++)
	{
		unsigned char c = *p;

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		appendBinaryStringInfo(line, run, p - run);
		append_escape(line, c);
		run = p + 1;
	}
	appendBinaryStringInfo(line, run, end - run);
	appendStringInfoChar(line, '"');
}

void
JsonLineUuid(StringInfo line, const uint8 *uuid)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 + 36];
	char *p = text;

	if (uuid == NULL)
	{
		appendBinaryStringInfo(line, "null", 4);
		return;
	}
	*p++ = '"';
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid[i] >> 4];
		*p++ = digits[uuid[i] & 15];
	}
	*p++ = '"';
	appendBinaryStringInfo(line, text, p - text);
}

/*
 * Append a number with at least so many digits
 */
static void
append_number(StringInfo line, uint64 number, int digits)
{
	char text[20];
	int at = sizeof(text);

	do
	{
		text[--at] = '0' + number % 10;
		number /= 10;
		digits--;
	} while (number > 0 || digits > 0);
	appendBinaryStringInfo(line, text + at, sizeof(text) - at);
}

void
JsonLineNumber(StringInfo line, uint64 number)
{
	append_number(line, number, 1);
}

/*
 * Years are counted from March on, so that a leap day is the last day of its year, its four
 * years, and so on.
 */
void
CalendarTimeSplit(TimestampTz ts, CalendarTime *time)
{
	int64 day = ts / USECS_PER_DAY;
	int64 rest = ts % USECS_PER_DAY;
	int64 cycle;
	int left;
	int year;
	int part;

	if (rest < 0)
	{
		rest += USECS_PER_DAY;
		day--;
	}
	day += DAYS_TO_POSTGRES_EPOCH;
	cycle = day / DAYS_OF_400_YEARS;
	if (day % DAYS_OF_400_YEARS < 0)
		cycle--;
	left = (int) (day - cycle * DAYS_OF_400_YEARS);

	part = Min(left / DAYS_OF_100_YEARS, 3);
	left -= part * DAYS_OF_100_YEARS;
	year = (int) (cycle * 400) + part * 100;
	part = left / DAYS_OF_4_YEARS;
	left -= part * DAYS_OF_4_YEARS;
	year += part * 4;
	part = Min(left / 365, 3);
	left -= part * 365;
	year += part;

	/* five months have 153 days, from March and from August on */
	part = (5 * left + 2) / 153;
	time->day = left - (153 * part + 2) / 5 + 1;
	time->month = part < 10 ? part + 3 : part - 9;
	time->year = part < 10 ? year : year + 1;
	time->hour = (int) (rest / USECS_PER_HOUR);
	time->minute = (int) (rest / USECS_PER_MINUTE % 60);
	time->second = (int) (rest / USECS_PER_SEC % 60);
	time->microsecond = (int) (rest % USECS_PER_SEC);
}

void
CalendarTimeAppend(StringInfo line, const CalendarTime *time, char separator)
{
	append_number(line, time->year, 4);
	appendStringInfoChar(line, '-');
	append_number(line, time->month, 2);
	appendStringInfoChar(line, '-');
	append_number(line, time->day, 2);
	appendStringInfoChar(line, separator);
	append_number(line, time->hour, 2);
	appendStringInfoChar(line, ':');
	append_number(line, time->minute, 2);
	appendStringInfoChar(line, ':');
	append_number(line, time->second, 2);
	appendStringInfoChar(line, '.');
	append_number(line, time->microsecond, 6);
}

void
JsonLineTime(StringInfo line, TimestampTz ts)
{
	CalendarTime time;
	bool before_christ;

	if (TIMESTAMP_IS_NOBEGIN(ts) || TIMESTAMP_IS_NOEND(ts))
	{
		appendStringInfoString(line, TIMESTAMP_IS_NOEND(ts) ? "\"infinity\"" : "\"-infinity\"");
		return;
	}
	CalendarTimeSplit(ts, &time);
	before_christ = time.year <= 0;
	if (before_christ)
		time.year = 1 - time.year;
	appendStringInfoChar(line, '"');
	CalendarTimeAppend(line, &time, 'T');
	appendStringInfoString(line, before_christ ? "Z BC\"" : "Z\"");
}
