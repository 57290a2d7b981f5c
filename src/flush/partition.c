/*
 * partition.c
 *
 * A partition is created as a table of its own and then attached: ATTACH takes
 * no lock that stops inserts, as CREATE TABLE ... PARTITION OF would.
 *
 * Indexes exist on partitions only. The unique one on event_key because an
 * index of the parent would have to contain ts: the day is the scope in which a
 * key is unique. Those of both kinds because pg_dump writes down partitions,
 * which are the user's, but not the parent, which is the extension's: attaching
 * a partition would make the parent's indexes before the dump makes its own.
 *
 * It is made as the owner of events (see catalog.h), whoever of those that may act
 * for the owner asks for it.
 */
#include "postgres.h"

#include "flush/partition.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/defrem.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "spi.h"

#define EVENTS "fast_ingest.events"

PG_FUNCTION_INFO_V1(fi_create_partition);

/*
 * Which partition takes a time? InvalidOid where none does.
 */
static Oid
partition_of(Relation events, TimestampTz ts)
{
	PartitionKey key = RelationGetPartitionKey(events);
	PartitionDesc desc = RelationGetPartitionDesc(events, true);
	Datum value = TimestampTzGetDatum(ts);
	bool is_equal;
	int bound;
	int index;

	if (desc->nparts == 0)
		return InvalidOid;
	bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, desc->boundinfo, 1,
										  &value, &is_equal);
	index = desc->boundinfo->indexes[bound + 1];
	if (index < 0)
		index = desc->boundinfo->default_index;
	return index < 0 ? InvalidOid : desc->oids[index];
}

static TimestampTz
day_start(int32 day)
{
	return ((int64) day - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * USECS_PER_DAY;
}

bool
PartitionExists(int32 day)
{
	Relation events = table_open(ExtensionTable("events"), AccessShareLock);
	bool exists = OidIsValid(partition_of(events, day_start(day))) &&
				  OidIsValid(partition_of(events, day_start(day + 1) - 1));

	table_close(events, AccessShareLock);
	return exists;
}

static void run_format(int expected_result, const char *format, ...) pg_attribute_printf(2, 3);

static void
run_format(int expected_result, const char *format, ...)
{
	va_list args;
	char statement[1024];

	va_start(args, format);
	vsnprintf(statement, sizeof(statement), format, args);
	va_end(args);
	(void) SpiRun(statement, expected_result);
}

/*
 * A day as YYYYMMDD or YYYY-MM-DD
 */
static char *
day_text(int32 day, const char *separator)
{
	int year;
	int month;
	int date;

	j2date(day + UNIX_EPOCH_JDATE, &year, &month, &date);
	return psprintf("%04d%s%02d%s%02d", year, separator, month, separator, date);
}

char *
PartitionDayText(int32 day)
{
	return day_text(day, "-");
}

/*
 * The triggers of fast_ingest.events once more: they do not fire for a statement
 * that names the partition
 */
static void
create_triggers(const char *partition)
{
	static const char *const triggers[][3] = {
		{"inserted", "INSERT", "REFERENCING NEW TABLE AS new_rows"},
		{"updated", "UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"},
		{"deleted", "DELETE", "REFERENCING OLD TABLE AS old_rows"},
		{"truncated", "TRUNCATE", ""},
	};
	const char *schema = ExtensionSchema();

	for (int i = 0; i < (int) lengthof(triggers); i++)
		run_format(SPI_OK_UTILITY,
				   "CREATE TRIGGER fi_%s AFTER %s ON fast_ingest.%s %s"
				   " FOR EACH STATEMENT EXECUTE FUNCTION %s.fi_events_%s()",
				   triggers[i][0], triggers[i][1], quote_identifier(partition), triggers[i][2],
				   schema, i == 1 || i == 2 ? "changed" : triggers[i][0]);
}

void
PartitionCreate(int32 day)
{
	Oid events = ExtensionTable("events");
	SavedUser user;
	char *name;

	if (!OwnsRelation(events))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, "fast_ingest.events");
	user = ExtensionBecomeEventsOwner();

	/* two makers meet here, others pass */
	(void) SpiRun("LOCK TABLE " EVENTS " IN SHARE UPDATE EXCLUSIVE MODE", SPI_OK_UTILITY);
	CommandCounterIncrement();
	if (PartitionExists(day))
	{
		ExtensionBecomeUser(user);
		return;
	}

	name = ChooseRelationName("events", NULL, day_text(day, ""), get_rel_namespace(events), false);
	run_format(SPI_OK_UTILITY, "CREATE TABLE fast_ingest.%s (LIKE " EVENTS " INCLUDING ALL)",
			   quote_identifier(name));
	run_format(SPI_OK_UTILITY,
			   "CREATE INDEX ON fast_ingest.%s USING brin (ts)"
			   " WITH (autosummarize = on, pages_per_range = 32)",
			   quote_identifier(name));
	run_format(SPI_OK_UTILITY,
			   "CREATE UNIQUE INDEX ON fast_ingest.%s (event_key) WHERE event_key IS NOT NULL",
			   quote_identifier(name));
	run_format(SPI_OK_UTILITY,
			   "ALTER TABLE " EVENTS " ATTACH PARTITION fast_ingest.%s"
			   " FOR VALUES FROM ('%s 00:00:00+00') TO ('%s 00:00:00+00')",
			   quote_identifier(name), day_text(day, "-"), day_text(day + 1, "-"));
	/* only now: minor versions before August 2025 attach no table with such triggers */
	create_triggers(name);
	ExtensionBecomeUser(user);
}

/*
 * fi_create_partition(day date) RETURNS regclass
 */
Datum
fi_create_partition(PG_FUNCTION_ARGS)
{
	DateADT date = PG_GETARG_DATEADT(0);
	int32 day;
	Relation events;
	Oid partition;

	if (DATE_NOT_FINITE(date) || date < date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE ||
		date > date2j(9999, 12, 30) - POSTGRES_EPOCH_JDATE)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("day is out of range for a partition: %s",
						DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(date))))));
	day = date + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);

	SPI_connect();
	PartitionCreate(day);
	SPI_finish();

	CommandCounterIncrement();
	events = table_open(ExtensionTable("events"), AccessShareLock);
	partition = partition_of(events, day_start(day));
	table_close(events, AccessShareLock);
	PG_RETURN_OID(partition);
}
