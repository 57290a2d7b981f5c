/*
 * metrics_private.h
 *
 * A run answers one query: it counts events in groups. The steps of a run are the functions
 * below in their order; MetricsCompute takes them, and so do questions that need more than one
 * run. Everything lives in the memory context of the answer. All steps need SPI.
 *
 *     MetricsSession session;
 *     MetricsRun run;
 *
 *     MetricsSessionBegin(&session);
 *     MetricsRunBegin(&run, query);
 *     (run.step, run.kept and run.unites may be changed here)
 *     MetricsRunCount(&run);
 *     (read the counts)
 *     MetricsSessionEnd(&session);
 *
 * All runs of a session read the same snapshot. The query must live as long as the run.
 */
#ifndef FAST_INGEST_METRICS_PRIVATE_H
#define FAST_INGEST_METRICS_PRIVATE_H

#include "base/compat.h"
#include "base/text_map.h"
#include "db/act_as_owner.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/breakdown/scan_events.h"
#include "rollup/calendar/calendar.h"
#include "rollup/metrics/cover_range.h"
#include "rollup/metrics/group_count.h"
#include "rollup/metrics/metrics.h"
#include "rollup/metrics/read_rollup.h"
#include "rollup/state/rollup_state.h"

/* What an answer has a series of counts for. */
typedef enum
{
	BY_NONE, /* all events */
	BY_EVENT,
	BY_KEY /* of the breakdown */
} SeriesKind;

/* What else is to be read than the run's event_name and breakdown: a key, a scope, or both. */
typedef struct
{
	const char *scope; /* NULL: any */
	const char *key;   /* NULL: any */
} RunTarget;

/* A row of the rollup whose events are counted, and whose users are not yet. */
typedef struct
{
	GroupCount *count;
	ItemPointerData place;
} CountedRow;

typedef struct
{
	const MetricsQuery *query;
	SeriesKind by;
	bool by_time; /* the range is divided into steps; otherwise each series has one count */
	CalendarStep step;
	const char *step_name; /* for errors; NULL: it is group_by */
	pg_tz *zone;
	TimeRange range; /* that is answered: has no bounds where the query has none */
	RollupState state;

	/* what is read */
	const Breakdown *breakdown; /* whose rows */
	const Breakdown *channels;	/* which have counted every event */
	const char *event_name;		/* as the rollup has it: see RollupText; NULL: all names */
	bool all_raw;				/* the rollup does not know the answer */
	int ntargets;				/* rows of these only; 0: of all keys */
	RunTarget *targets;
	int nconditions; /* that raw rows must meet: the filters of the query */
	EventCondition *conditions;
	const TimeRangeList *raw_ranges; /* times to count again, or counted among others */

	/* how it is counted */
	bool unites;   /* the sets of groups are needed, not only the numbers of their users */
	TextMap *kept; /* the series that are told apart, unless NULL; all others are one */
	int limit;	   /* how many series are answered, of the most events: the users of others are not
					* read; 0: all are answered */

	/* what is counted: a series has a GroupCount for each group of times */
	TimeGroups *times;
	TextMap *series;   /* by name or key: GroupCount[]; NULL if BY_NONE */
	GroupCount *total; /* BY_NONE: the only series; otherwise of all that are told no apart */
	bool *has_deltas;  /* of each piece of times */
	UnresolvedUsers users;
	CountedRow *rows; /* with a limit */
	int nrows;
	uint32 row_room;
	const TimeRange *packed; /* the minutes that are being read from an hour's rows */
	int npacked;
	MetricsSources sources;
} MetricsRun;

/* The user, the settings and the memory context to return to. */
typedef struct
{
	MemoryContext caller;
	SavedUser user;
	int level;
} MetricsSession;

/*
 * Connect to SPI as the owner of the rollup, in a new memory context for answers, which is a
 * child of the caller's; and return to the caller's. The answer stays.
 */
extern void MetricsSessionBegin(MetricsSession *session);
extern void MetricsSessionEnd(MetricsSession *session);

/*
 * Begin a run: what the query asks for, and what answers it in the active snapshot. The errors
 * of MetricsCompute for arguments that are not valid, and for keys that were counted together
 * with others when raw rows are gone.
 */
extern void MetricsRunBegin(MetricsRun *run, const MetricsQuery *query);

/* Raise the error 22023 for the value of an argument that is not valid. */
pg_noreturn extern void MetricsRefuse(const char *name, const char *value, const char *expected);

/* Raise the error 22023 for too many groups of times. */
pg_noreturn extern void MetricsRefuseGroups(const MetricsRun *run);

/*
 * Find what the filters and the series of a query are read from: the breakdown, the targets and
 * the conditions of the run. An error 22023 for a filter or a group_by that there is not.
 */
extern void MetricsRunChoose(MetricsRun *run, const BreakdownList *breakdowns);

/*
 * Make the groups, read and count everything. An error 22023 for too many steps, and 55000 if
 * raw rows are needed that have been dropped.
 */
extern void MetricsRunCount(MetricsRun *run);

/*
 * The range bounded by the first and the last event where the query has no bound, or where empty
 * groups are left out. It may be larger than needed.
 */
extern TimeRange MetricsRunBounds(const MetricsRun *run);

/* Add what a range is read from. */
extern void MetricsRunCover(const MetricsRun *run, TimeRange range, RangeCover *cover);

/* Are the scope and the key of a delta among the targets? */
extern bool MetricsRunHasTarget(const MetricsRun *run, const DeltaRow *row);

/* The two steps of MetricsRunCount. Series are made when they are read. */
extern void MetricsRunMakeGroups(MetricsRun *run);
extern void MetricsRunRead(MetricsRun *run);

/*
 * If the breakdown keeps times, add the minutes to raw_ranges that the range cuts and in which some
 * rows have not all times. Needs the groups, and comes before anything is counted.
 */
extern void MetricsRunCheckCuts(MetricsRun *run);

/*
 * Count the groups of a delta in a bucket that the range cuts: events at the times that are
 * asked for. The breakdown keeps times.
 */
extern void MetricsRunAddCutDelta(MetricsRun *run, const DeltaRow *row);

/* Count the events of the rollup in parts of minutes (see cover_range.h). */
extern void MetricsRunReadCuts(MetricsRun *run, const TimeRangeList *cuts);

/*
 * Find the count of the group that a time, an event_name and a key belong to. A text whose data is
 * NULL stands for the names or keys that are counted together.
 */
extern GroupCount *MetricsRunFind(MetricsRun *run, TimestampTz ts, Slice event_name, Slice key);

/* Find the number of the piece that a time is in; -1 if it is in none. */
extern int MetricsRunPiece(const MetricsRun *run, TimestampTz ts);

/*
 * A breakdown that was added after raw rows had been dropped does not know their events. The
 * channels do: an error if they have counted any in the range.
 */
extern void MetricsRunRequireBreakdown(const MetricsRun *run);

/*
 * The rollup keeps what it counted when raw rows are dropped. Raise an error if raw rows are
 * needed at times without a partition, unless the rollup has counted nothing there.
 */
extern void MetricsRunRequireRawRows(const MetricsRun *run, const TimeRangeList *raw);

/*
 * Mark the series to answer, when their events are counted and before the users of the rollup's
 * rows are. The run has a limit.
 */
extern void MetricsRunMarkLargest(const MetricsRun *run);

/* Make the rows of the answer from the counts. */
extern MetricsAnswer *MetricsRunAnswer(MetricsRun *run);

/*
 * Find the first group of times to answer and the one behind the last: where the query has no
 * bound, those before the first or behind the last event are not answered.
 */
extern void MetricsRunTrim(const MetricsRun *run, int *first, int *last);

/* Compare groups by their order in an answer: largest total first, then by key, NULL first. */
extern int MetricsCompareKeys(int64 left_total, const char *left_key, int64 right_total,
							  const char *right_key);

/* Sort rows of keys in that order. */
extern void MetricsSortRows(MetricsRow *rows, int n);

#endif
