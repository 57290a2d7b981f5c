/*
 * restored.h
 *
 * Whether a restore has brought all of the rollup, or only a part of it so far.
 *
 * A restore brings the data table by table, each in a transaction of its own. A refresh of a
 * part of it would do lasting damage: it would give out numbers of users whose rows are still
 * to come, and close hours of which rows are missing. So the data has a mark at its beginning
 * and the same mark at its end. pg_dump orders tables by schema and name, and puts sequences
 * after all tables. Therefore the row of the table fast_ingest.data_begin comes before the
 * rollup, and the value of the sequence fast_ingest.data_end after the last row of the last
 * partition. CREATE EXTENSION sets both to the same number. If they differ, a restore is under
 * way.
 *
 * pg_restore with several jobs keeps no order, but small tables come late. A rollup without
 * its state, which a refresh writes with the first rows, is incomplete, too.
 */
#ifndef FAST_INGEST_RESTORED_H
#define FAST_INGEST_RESTORED_H

#include "utils/snapshot.h"

/*
 * The number at the end of the data. Read it before the snapshot to check is taken: then a
 * restore that ends in between makes the check fail. Read afterwards, it would let a snapshot
 * pass that shows only a part of the data.
 */
extern int64 RestoredUpTo(void);

/*
 * An ERROR (55000) unless a snapshot shows data that begins with the number at its end, and a
 * state if there is a rollup.
 */
extern void RestoredCheck(int64 restored, Snapshot snapshot);

#endif
