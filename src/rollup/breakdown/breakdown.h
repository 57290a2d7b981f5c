/*
 * breakdown.h
 *
 * What the rollup is broken down by. A breakdown is a row of
 * fast_ingest.breakdowns: a name, the SQL expression over a row of
 * fast_ingest.events that gives its key, and the finest level it is kept at. Events
 * whose key is NULL are not in it.
 *
 * The scope of a key is the website of a page: pages of two websites are two
 * rows of the rollup, which GET /stats tells apart and fi_metrics adds up.
 */
#ifndef FAST_INGEST_BREAKDOWN_H
#define FAST_INGEST_BREAKDOWN_H

#include "nodes/primnodes.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "base/time_ranges.h"

/* Built-in breakdowns. The first has no row: it is what channels add up to. */
#define BREAKDOWN_TOTAL 0
#define BREAKDOWN_CHANNEL 1
#define BREAKDOWN_SITE 2
#define BREAKDOWN_PAGE 3

typedef struct
{
	int16 id;
	BucketLevel finest;
	int max_keys; /* of one event_name in one bucket of the finest level, but at least an hour */
	char *name;
	char *key_sql;
	char *scope_sql; /* NULL: the scope is "" */
	Expr *key;		 /* of type text, over the relation it was compiled for */
	Expr *scope;
} Breakdown;

typedef struct
{
	Oid relation; /* what the expressions and attribute numbers are of */
	AttrNumber event_name;
	AttrNumber user_id;
	AttrNumber ts;
	int n;
	Breakdown *items; /* by id */
} BreakdownList;

/*
 * The breakdowns that rows inserted from here on count in, compiled for
 * fast_ingest.events or a partition of it. Valid until the next catalog
 * invalidation; the caller has a lock on the relation, and RowExclusiveLock on
 * fast_ingest.breakdowns if it counts by them.
 */
extern const BreakdownList *BreakdownsFor(Relation relation);

/* The breakdowns that a snapshot shows, not compiled, in the current memory context. */
extern BreakdownList *BreakdownsRead(Snapshot snapshot);

/*
 * Compile an expression over a relation's rows to a text. An ERROR for one that
 * is more than an immutable scalar expression.
 */
extern Expr *BreakdownCompile(const char *expression, Relation relation);

/* One of them by name or id, or NULL. */
extern const Breakdown *BreakdownByName(const BreakdownList *list, const char *name);
extern const Breakdown *BreakdownById(const BreakdownList *list, int id);

/* A built-in one; an ERROR if it is missing. */
extern const Breakdown *BreakdownBuiltIn(const BreakdownList *list, int id);

#endif
