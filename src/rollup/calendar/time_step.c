/*
 * time_step.c
 *
 * PostgreSQL's type interval is not used to read a step: to it, 1M is a minute. A week is found
 * before the one that begins on Sunday, which is as wide.
 */
#include "postgres.h"

#include "rollup/calendar/time_step.h"

#include <ctype.h>

/* Digits of the longest number that is read. */
#define MAX_DIGITS 10

static const struct
{
	const char *name;
	const char *unit; /* another name; NULL if there is none */
	int64 width;
} steps[] = {
	[STEP_MINUTE] = {"1m", "minute", USECS_PER_MINUTE},
	[STEP_5_MINUTES] = {"5m", NULL, 5 * USECS_PER_MINUTE},
	[STEP_15_MINUTES] = {"15m", NULL, 15 * USECS_PER_MINUTE},
	[STEP_HOUR] = {"1h", "hour", USECS_PER_HOUR},
	[STEP_6_HOURS] = {"6h", NULL, 6 * USECS_PER_HOUR},
	[STEP_DAY] = {"1d", "day", USECS_PER_DAY},
	[STEP_WEEK] = {"1w", "week", 7 * USECS_PER_DAY},
	[STEP_SUNDAY_WEEK] = {"1w", NULL, 7 * USECS_PER_DAY},
	[STEP_MONTH] = {"1mo", "month", 31 * USECS_PER_DAY},
};

/* Units of Grafana. The names of steps use the same but one, and agree with them. */
static const struct
{
	const char *name;
	int64 width;
} units[] = {{"ms", 1000},
			 {"s", USECS_PER_SEC},
			 {"m", USECS_PER_MINUTE},
			 {"h", USECS_PER_HOUR},
			 {"d", USECS_PER_DAY},
			 {"w", 7 * USECS_PER_DAY},
			 {"M", 31 * USECS_PER_DAY},
			 {"mo", 31 * USECS_PER_DAY},
			 {"y", 366 * USECS_PER_DAY}};

/*
 * Read an interval of a number and a unit, as microseconds; 0 if it is not one. A little more
 * than a month stands for what is longer.
 */
static int64
read_interval(const char *text)
{
	int64 longest = steps[STEP_MONTH].width;
	int64 number = 0;
	int digits = 0;

	while (isdigit((unsigned char) text[digits]) && digits < MAX_DIGITS)
		number = number * 10 + (text[digits++] - '0');
	for (int i = 0; i < (int) lengthof(units); i++)
		if (strcmp(text + digits, units[i].name) == 0)
			return Min(number, longest / units[i].width + 1) * units[i].width;
	return 0;
}

bool
TimeStepRead(const char *text, CalendarStep *step)
{
	int64 interval;

	for (int i = 0; i < (int) lengthof(steps); i++)
		if (steps[i].unit != NULL && strcmp(text, steps[i].unit) == 0)
		{
			*step = i;
			return true;
		}
	interval = read_interval(text);
	if (interval <= 0)
		return false;
	*step = STEP_MINUTE;
	while (*step < STEP_MONTH && steps[*step].width < interval)
		(*step)++;
	return true;
}

const char *
TimeStepName(CalendarStep step)
{
	return steps[step].name;
}

CalendarStep
TimeStepChoose(TimestampTz low, TimestampTz high, int64 least_width)
{
	CalendarStep step = STEP_MINUTE;
	/* all times together are more than an int64 holds */
	uint64 width = (uint64) high - (uint64) low;

	while (step < STEP_MONTH && (steps[step].width < least_width ||
								 (int64) (width / AUTO_STEP_POINTS) > steps[step].width))
		step++;
	return step;
}
