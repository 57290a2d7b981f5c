/*
 * restored.h
 *
 * Is all of the rollup there, or is a restore still putting it in?
 *
 * A dump brings its data table by table, each in a transaction of its own, and what a
 * refresh makes of half of it stays wrong: numbers of users that are not there yet are
 * given out again, hours are closed of which rows are missing. So the data has a mark at
 * its begin, and the same at its end. pg_dump orders tables by schema and name, and puts
 * sequences behind all tables: the row of fast_ingest.data_begin comes before the rollup,
 * fast_ingest.data_end after the last row of the last partition. CREATE EXTENSION makes
 * a number for both. Where they are not the same, a restore is under way.
 *
 * pg_restore with several jobs keeps no order, but the small tables come late: a rollup
 * without its state, which a refresh writes with the first rows, is not all there either.
 */
#ifndef FAST_INGEST_RESTORED_H
#define FAST_INGEST_RESTORED_H

#include "utils/snapshot.h"

/*
 * What a restore has last ended with. A refresh asks before it takes the snapshot to check: a
 * restore may end in between.
 */
extern int64 RestoredUpTo(void);

/* An ERROR if a snapshot shows data that begins with something else, or a part of it. */
extern void RestoredCheck(int64 restored, Snapshot snapshot);

#endif
