/*
 * breakdown.h
 *
 * What the rollup is broken down by. A breakdown is a row of fast_ingest.breakdowns: it
 * has a name, an SQL expression that computes a key from a row of fast_ingest.events, and the
 * finest level at which the rollup has rows of it. Events whose key is NULL are not counted.
 *
 * A key may have a scope: that of a page is its website. Pages of two websites with the same
 * path are two rows of the rollup, which GET /stats tells apart and fi_metrics adds up.
 */
#ifndef FAST_INGEST_BREAKDOWN_H
#define FAST_INGEST_BREAKDOWN_H

#include "nodes/primnodes.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "base/time_ranges.h"

/* Built-in breakdowns. The total has no row in the table: it is the sum of all channels. */
#define BREAKDOWN_TOTAL 0
#define BREAKDOWN_CHANNEL 1
#define BREAKDOWN_SITE 2
#define BREAKDOWN_PAGE 3

/*
 * The rows of a breakdown that count all event_names together, by scope and key, have this id: of
 * closed days only. Their event_name is "" and has no meaning. In SQL it is ~breakdown.
 */
#define BREAKDOWN_OF_ALL_NAMES(id) (~(id))

/* The total of all event_names has rows of hours, too, which only count users. */
#define BREAKDOWN_ALL_NAMES BREAKDOWN_OF_ALL_NAMES(BREAKDOWN_TOTAL)

/* The least id of a breakdown that is not built in. */
#define FIRST_ADDED_BREAKDOWN 100

/* Microseconds of a quarter of an hour, on which the days and hours of all time zones begin. */
#define QUARTER_WIDTH (15 * USECS_PER_MINUTE)

typedef struct
{
	int16 id;
	BucketLevel finest;
	int64 width;   /* of the finest bucket, microseconds: that of the level, or a quarter of an hour
					* of level minute */
	int fine_days; /* how many closed days have rows below the level day; 0: all of them */
	TimestampTz fine_since; /* no day before it has any, whatever fine_days says */
	TimestampTz fine_from;	/* beginning of a day: what follows from both: days before it have rows
							 * of the level day only, see breakdown_buckets.h */
	bool keeps_times;		/* of the events of each minute: a range may begin and end within one */
	bool is_array;			/* the key is an array of text: an event has any number of keys */
	int max_keys;			/* that are kept apart: see key_limit.h */
	char *name;
	char *key_sql;
	char *scope_sql; /* NULL: the scope is "" */
	Expr *key;		 /* compiled, of type text, or text[] if is_array; NULL if only read */
	Expr *scope;	 /* the same; NULL without scope_sql, too */
} Breakdown;

typedef struct
{
	Oid relation; /* to which the expressions and column numbers belong */
	AttrNumber event_name;
	AttrNumber user_id;
	AttrNumber ts;
	int n;
	Breakdown *items; /* ordered by id */
} BreakdownList;

/*
 * The latest committed breakdowns, compiled for fast_ingest.events or a partition of it. Valid
 * until the next catalog invalidation. The caller has a lock on the relation, and
 * RowExclusiveLock on fast_ingest.breakdowns if it counts inserted rows by them. An ERROR
 * (55000) for a breakdown that cannot be compiled any more, and 42804 as EventColumn.
 */
extern const BreakdownList *BreakdownsFor(Relation relation);

/*
 * The breakdowns that a snapshot shows, not compiled, in the current memory context. fine_from
 * depends on RollupState.days_closed in the same snapshot; TIME_BEGIN where nobody reads it.
 */
extern BreakdownList *BreakdownsRead(Snapshot snapshot, TimestampTz days_closed);

/* What fine_from is while days that begin before days_closed are closed. */
extern TimestampTz BreakdownFineFrom(const Breakdown *breakdown, TimestampTz days_closed);

/*
 * Compile an expression over the columns of a relation, and cast it to text, or to text[] if it is
 * an array, in the current memory context. An ERROR (22023) if it is anything but an immutable
 * scalar expression, and those of PostgreSQL if it cannot be parsed or analyzed.
 */
extern Expr *BreakdownCompile(const char *expression, bool is_array, Relation relation);

/* Is the type of an expression an array? The same errors. */
extern bool BreakdownIsArray(const char *expression, Relation relation);

/* The expression of a breakdown by a member of metadata, whatever characters its name has. */
extern char *BreakdownMetadataSql(const char *member);

/* The breakdown with a name or an id; NULL if there is none. */
extern const Breakdown *BreakdownByName(const BreakdownList *list, const char *name);
extern const Breakdown *BreakdownById(const BreakdownList *list, int id);

/* A built-in breakdown. An ERROR (XX001) if its row is missing. */
extern const Breakdown *BreakdownBuiltIn(const BreakdownList *list, int id);

#endif
