/*
 * create_partition.c
 *
 * A partition is created as a table of its own and then attached, because ATTACH
 * PARTITION takes no lock that stops inserts. CREATE TABLE ... PARTITION OF would, and
 * makes the same partition otherwise.
 *
 * A partition takes a whole UTC day. If a user has made one that takes a part of the day,
 * the server's partitions take the rest, so that every event has a place. A default
 * partition does not count: the day's partition is made beside it.
 *
 * Only partitions have indexes. A unique index of the parent would have to contain ts,
 * while a key shall be unique in its day. And pg_dump writes the partitions, which belong
 * to the user, but not the parent, which belongs to the extension: if the parent had
 * indexes, attaching a restored partition would make them there before the dump makes its
 * own.
 *
 * The partition is made as the owner of events (see act_as_owner.h), and any role that has
 * the owner's rights may ask for it.
 */
#include "postgres.h"

#include "partition/create_partition.h"

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
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/unix_time.h"
#include "db/act_as_owner.h"
#include "db/error_class.h"
#include "db/own_tables.h"
#include "db/set_option.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "partition/equip_partition.h"
#include "partition/partition_ranges.h"

#define EVENTS "fast_ingest.events"

PG_FUNCTION_INFO_V1(fi_create_partition);

/* ms to wait for the lock on a default partition, while others wait behind us to read it */
#define DEFAULT_PARTITION_WAIT "1000"

/*
 * The partition that takes a time, or InvalidOid
 */
static Oid
find_partition(TimestampTz ts)
{
	Relation events = table_open(OwnTable("events"), AccessShareLock);
	PartitionKey key = RelationGetPartitionKey(events);
	PartitionDesc desc = RelationGetPartitionDesc(events, true);
	Datum value = TimestampTzGetDatum(ts);
	Oid partition = InvalidOid;

	if (desc->nparts > 0)
	{
		bool is_equal;
		int bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
												  desc->boundinfo, 1, &value, &is_equal);
		int index = desc->boundinfo->indexes[bound + 1];

		if (index < 0)
			index = desc->boundinfo->default_index;
		if (index >= 0)
			partition = desc->oids[index];
	}
	table_close(events, AccessShareLock);
	return partition;
}

/*
 * Find the first part of a day that no partition takes, a default partition aside; false
 * if there is none
 */
static bool
find_gap(int32 day, TimestampTz *low, TimestampTz *high)
{
	TimestampTz *lowers;
	TimestampTz *uppers;
	int n = PartitionRanges(false, &lowers, &uppers);

	*low = DayStart(day);
	*high = DayStart(day + 1);
	for (int i = 0; i < n && lowers[i] < *high; i++)
	{
		if (lowers[i] > *low)
			*high = lowers[i];
		else
			*low = Max(*low, uppers[i]);
	}
	return *low < *high;
}

/*
 * Is the whole day covered by partitions, a default one aside?
 */
static bool
partition_exists(int32 day)
{
	TimestampTz low;
	TimestampTz high;

	return !find_gap(day, &low, &high);
}

/*
 * The default partition, or InvalidOid
 */
static Oid
find_default_partition(void)
{
	Relation events = table_open(OwnTable("events"), AccessShareLock);
	Oid partition = get_default_oid_from_partdesc(RelationGetPartitionDesc(events, true));

	table_close(events, AccessShareLock);
	return partition;
}

/*
 * A time as SQL reads it whatever the session's time zone
 */
static char *
format_time(TimestampTz ts)
{
	struct pg_tm tm;
	fsec_t fraction;

	if (timestamp2tm(ts, NULL, &tm, &fraction, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return psprintf(fraction == 0 ? "%04d-%02d-%02d %02d:%02d:%02d+00"
								  : "%04d-%02d-%02d %02d:%02d:%02d.%06d+00",
					tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}

/*
 * A day as YYYY-MM-DD
 */
char *
PartitionDayText(int32 day)
{
	return pnstrdup(format_time(DayStart(day)), strlen("YYYY-MM-DD"));
}

/*
 * Choose a free name: events_20240812, or events_20240812_2100 for a part of the day
 */
static char *
choose_name(Oid schema, int32 day, TimestampTz low)
{
	int minutes = (int) ((low - DayStart(day)) / USECS_PER_MINUTE);
	int year;
	int month;
	int date;
	char *label;

	j2date(day + UNIX_EPOCH_JDATE, &year, &month, &date);
	label = psprintf("%04d%02d%02d", year, month, date);
	if (minutes > 0)
		label = psprintf("%s_%02d%02d", label, minutes / 60, minutes % 60);
	return ChooseRelationName("events", NULL, label, schema, false);
}

/*
 * The clause " USING ..." if the table names an access method for its partitions, else ""
 */
static const char *
make_access_method_clause(Oid events)
{
	Relation table = table_open(events, AccessShareLock);
	Oid method = table->rd_rel->relam;

	table_close(table, AccessShareLock);
	return OidIsValid(method) ? psprintf(" USING %s", quote_identifier(get_am_name(method))) : "";
}

/*
 * Make a partition that takes the times of a day from low to before high
 */
static void
create_partition(Oid events, int32 day, TimestampTz low, TimestampTz high)
{
	Oid schema = get_rel_namespace(events);
	char *name = choose_name(schema, day, low);
	const char *method = make_access_method_clause(events);
	Oid partition;

	/* a partition gets its identity columns from its parent */
	SpiRunFormat(SPI_OK_UTILITY,
				 "CREATE TABLE fast_ingest.%s (LIKE " EVENTS
				 " INCLUDING ALL EXCLUDING IDENTITY)%s%s",
				 quote_identifier(name), method, TablespaceClause(events));
	partition = get_relname_relid(name, schema);
	SpiRunFormat(SPI_OK_UTILITY,
				 "CREATE INDEX ON fast_ingest.%s USING brin (ts)"
				 " WITH (autosummarize = on, pages_per_range = 32)%s",
				 quote_identifier(name), TablespaceClause(partition));
	/* ONLY: table_commands.c shall leave the partition to us */
	SpiRunFormat(SPI_OK_UTILITY,
				 "ALTER TABLE ONLY " EVENTS " ATTACH PARTITION fast_ingest.%s"
				 " FOR VALUES FROM ('%s') TO ('%s')",
				 quote_identifier(name), format_time(low), format_time(high));
	/* after ATTACH: minor versions before August 2025 attach no table with such triggers */
	PartitionEquip(partition);
	if (low != DayStart(day) || high != DayStart(day + 1))
		ereport(LOG,
				(errmsg("partition \"%s\" takes a part of the UTC day %s: \"%s\" was made for "
						"%s to %s",
						get_rel_name(find_partition(low > DayStart(day) ? low - 1 : high)),
						PartitionDayText(day), name, format_time(low), format_time(high)),
				 errhint("Let partitions take whole UTC days: write their bounds with the time "
						 "zone, as in '2024-08-12 00:00Z'.")));
}

void
PartitionCreate(int32 day)
{
	Oid events = OwnTable("events");
	SavedUser user;
	TimestampTz low;
	TimestampTz high;

	if (!OwnsRelation(events))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, "fast_ingest.events");
	user = ActAsEventsOwner();

	/* another session that makes a partition waits here, inserts do not */
	(void) SpiRun("LOCK TABLE ONLY " EVENTS " IN SHARE UPDATE EXCLUSIVE MODE", SPI_OK_UTILITY);
	CommandCounterIncrement();
	while (find_gap(day, &low, &high))
	{
		create_partition(events, day, low, high);
		CommandCounterIncrement();
	}
	ActAsCallerAgain(user);
}

static void
create_beside_default(void *arg)
{
	int settings = NewGUCNestLevel();

	SetOption("lock_timeout", DEFAULT_PARTITION_WAIT, GUC_ACTION_SAVE);
	PartitionCreate(*(int32 *) arg);
	AtEOXact_GUC(true, settings);
}

void
PartitionEnsure(int32 day)
{
	ErrorData *error;

	if (partition_exists(day))
		return;
	if (!OidIsValid(find_default_partition()))
	{
		PartitionCreate(day);
		return;
	}
	error = RunSubtransaction(create_beside_default, &day);
	if (error == NULL)
		return;
	if (error->sqlerrcode != ERRCODE_CHECK_VIOLATION && !ErrorIsOfLock(error->sqlerrcode))
		ReThrowError(error);
	ereport(LOG, (errmsg("events of %s go into the default partition: no partition of that day "
						 "could be made beside it: %s",
						 PartitionDayText(day), error->message),
				  errhint("Move the day's rows out of the default partition, and run "
						  "fi_create_partition().")));
}

char *
PartitionOddity(int32 day)
{
	TimestampTz low = DayStart(day);
	TimestampTz high = DayStart(day + 1);
	Oid first = find_partition(low);
	Oid last = find_partition(high - 1);
	Oid by_default = find_default_partition();
	Oid cuts = InvalidOid;

	if (OidIsValid(by_default) && (first == by_default || last == by_default))
		return psprintf("events of %s go into the default partition \"%s\"", PartitionDayText(day),
						get_rel_name(by_default));
	/* of the two, the partition that goes on outside the day */
	if (first == last)
		return NULL;
	if (OidIsValid(first) && find_partition(low - 1) == first)
		cuts = first;
	else if (OidIsValid(last) && find_partition(high) == last)
		cuts = last;
	if (OidIsValid(cuts))
		return psprintf("partition \"%s\" takes a part of the UTC day %s", get_rel_name(cuts),
						PartitionDayText(day));
	return NULL;
}

/*
 * fi_create_partition(day date) RETURNS regclass
 */
Datum
fi_create_partition(PG_FUNCTION_ARGS)
{
	DateADT date = PG_GETARG_DATEADT(0);
	int32 day;

	if (DATE_NOT_FINITE(date) || date < date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE ||
		date > date2j(9999, 12, 30) - POSTGRES_EPOCH_JDATE)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("day is out of range for a partition: %s",
						DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(date))))));
	day = date + UNIX_EPOCH_OFFSET_DAYS;

	SPI_connect();
	PartitionCreate(day);
	SPI_finish();

	CommandCounterIncrement();
	PG_RETURN_OID(find_partition(DayStart(day)));
}
