/*
 * event_columns.h
 *
 * The columns of fast_ingest.events, and of its partitions, that the rollup counts
 * by: event_name, user_id and ts. A partition may have them at other positions.
 */
#ifndef FAST_INGEST_EVENT_COLUMNS_H
#define FAST_INGEST_EVENT_COLUMNS_H

#include "access/attnum.h"
#include "datatype/timestamp.h"
#include "utils/relcache.h"

/*
 * The number of a column of that name and type; a varchar is as good as a text. An ERROR
 * (42804) if the relation has no such column, or has it with another type.
 */
extern AttrNumber EventColumn(Relation relation, const char *name, Oid type);

/* An ERROR (22008) if the ts of an event is infinite. */
extern void EventCheckTime(TimestampTz ts);

#endif
