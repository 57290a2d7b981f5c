/*
 * time_zone.c
 *
 * Names of time zones. pg_tzset() takes more than names: what is none, it reads as a rule
 * of POSIX, where UTC+3 or x/a3 are three hours behind UTC, the opposite of what a client
 * expects, and it keeps whatever it has taken for as long as the process lives. So it only
 * sees names of files of the time zone database: those that pg_timezone_names has.
 */
#include "postgres.h"

#include "rollup/metrics/calendar.h"

#include <unistd.h>

/*
 * How core itself looks for a file of the database, whatever the case of the name; -1
 * if there is none. The canonical name needs TZ_STRLEN_MAX + 1 bytes. Its header,
 * pgtz.h, is not installed.
 */
extern int pg_open_tzfile(const char *name, char *canonname);

/* Here are the zones with leap seconds, which PostgreSQL does not take. */
#define WITH_LEAP_SECONDS "right/"

/*
 * Is there a file of that name in the database, and is it a time zone? There are
 * directories, tables and lists as well.
 */
static bool
is_in_database(const char *name, char *canonical)
{
	char magic[4];
	int file = pg_open_tzfile(name, canonical);
	bool is_zone;

	if (file < 0)
		return false;
	is_zone = read(file, magic, sizeof(magic)) == sizeof(magic) &&
			  memcmp(magic, "TZif", sizeof(magic)) == 0;
	(void) close(file);
	return is_zone;
}

pg_tz *
CalendarZone(const char *name)
{
	/* looking through directories takes a tenth of a millisecond */
	static pg_tz *last = NULL;
	char canonical[TZ_STRLEN_MAX + 1];

	if (last == NULL || pg_strcasecmp(name, pg_get_timezone_name(last)) != 0)
	{
		pg_tz *zone;

		if (strlen(name) > TZ_STRLEN_MAX ||
			pg_strncasecmp(name, WITH_LEAP_SECONDS, strlen(WITH_LEAP_SECONDS)) == 0 ||
			!is_in_database(name, canonical))
			return NULL;
		zone = pg_tzset(canonical);
		if (zone == NULL || !pg_tz_acceptable(zone))
			return NULL;
		last = zone;
	}
	return last;
}
