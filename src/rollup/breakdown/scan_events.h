/*
 * scan_events.h
 *
 * Reads rows of fast_ingest.events as a breakdown sees them, for queries that the rollup
 * cannot answer and for times that the refresh counts again.
 */
#ifndef FAST_INGEST_SCAN_EVENTS_H
#define FAST_INGEST_SCAN_EVENTS_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/users/user_hash.h"

/*
 * A row as a breakdown sees it, valid while it is visited. Texts are as the rollup stores them
 * (see rollup_text.h), without a NUL.
 */
typedef struct
{
	TimestampTz ts;
	const char *event_name;
	const char *scope;
	const char *key;
	int event_name_len;
	int scope_len;
	int key_len;
	bool has_user;
	UserHash user;
} ScannedEvent;

typedef void (*ScannedEventVisitor)(const ScannedEvent *row, void *arg);

/* A condition on rows: the text that an SQL expression gives is one of some values. */
typedef struct
{
	const char *sql; /* of type text; of an array of texts: one of its elements */
	bool is_array;
	int nvalues; /* at least 1 */
	const char *const *values;
} EventCondition;

/* Which rows are read. */
typedef struct
{
	const char *event_name; /* NULL: of all names */
	int nconditions;
	const EventCondition *conditions;
	TimeRange range;
} EventSelection;

/*
 * Call a visitor for the rows that are selected, that have a key in a breakdown, and that the
 * active snapshot shows. If the key is an array, a row is visited once for each different element
 * that is not NULL. Without a breakdown (NULL) rows need no key, and theirs is empty. The visitor
 * may use SPI. Needs SPI. An ERROR of the breakdown's expression is passed on.
 */
extern void ScanEvents(const Breakdown *breakdown, const EventSelection *selection,
					   ScannedEventVisitor visitor, void *arg);

/*
 * The same, with PostgreSQL's parallel workers where the planner wants them: for many rows of which
 * few are selected. The visitor runs inside of the statement, with the rights of the owner of
 * events: it must not use SPI, write, or call what users have defined.
 */
extern void ScanEventsInParallel(const Breakdown *breakdown, const EventSelection *selection,
								 ScannedEventVisitor visitor, void *arg);

#endif
