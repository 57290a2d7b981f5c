/*
 * time_zone.c
 *
 * Finds time zones by name. pg_tzset() accepts more than the names of the time zone database:
 * it reads any other text as a POSIX rule, in which UTC+3 and x/a3 are three hours behind
 * UTC, the opposite of what a client expects. It also keeps every zone it has made until the
 * process ends. So it only gets names of files of the time zone database, which are the names
 * that pg_timezone_names shows.
 */
#include "postgres.h"

#include "rollup/calendar/calendar.h"

#include <unistd.h>

/*
 * PostgreSQL's function that opens a file of the database, in any case of the name. It returns
 * -1 if there is none. The canonical name needs TZ_STRLEN_MAX + 1 bytes. The header that
 * declares it, pgtz.h, is not installed.
 */
extern int pg_open_tzfile(const char *name, char *canonname);

/* The directory of the zones with leap seconds, which PostgreSQL does not accept. */
#define WITH_LEAP_SECONDS "right/"

/*
 * Is there a file of that name in the database, and is it a time zone? The database also has
 * directories, tables and lists.
 */
static bool
is_zone_file(const char *name, char *canonical)
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
	/* searching the directories takes a tenth of a millisecond */
	static pg_tz *last = NULL;
	char canonical[TZ_STRLEN_MAX + 1];

	if (last == NULL || pg_strcasecmp(name, pg_get_timezone_name(last)) != 0)
	{
		pg_tz *zone;

		if (strlen(name) > TZ_STRLEN_MAX ||
			pg_strncasecmp(name, WITH_LEAP_SECONDS, strlen(WITH_LEAP_SECONDS)) == 0 ||
			!is_zone_file(name, canonical))
			return NULL;
		zone = pg_tzset(canonical);
		if (zone == NULL || !pg_tz_acceptable(zone))
			return NULL;
		last = zone;
	}
	return last;
}
