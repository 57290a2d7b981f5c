/*
 * conflicts.h
 *
 * How many rows an INSERT ... ON CONFLICT DO NOTHING left out because they were there
 * already. Rows that a BEFORE trigger dropped are missing among the inserted ones, too.
 */
#ifndef FAST_INGEST_CONFLICTS_H
#define FAST_INGEST_CONFLICTS_H

/* Count them in the next run of this statement, which must live as long. */
extern void ConflictsWatch(const char *statement);

/* How many there were in that run, which has ended; the watch is over. */
extern uint64 ConflictsCounted(void);

#endif
