/*
 * count_conflicts.h
 *
 * How many rows an INSERT ... ON CONFLICT DO NOTHING left out because they were stored
 * already. The number of inserted rows does not tell: rows that a BEFORE trigger
 * dropped are missing there, too.
 */
#ifndef FAST_INGEST_COUNT_CONFLICTS_H
#define FAST_INGEST_COUNT_CONFLICTS_H

/*
 * Count the conflicts of the next run of a statement, which is recognized by its text.
 * The text must live until ConflictCountEnd.
 */
extern void ConflictCountBegin(const char *statement);

/* Stop counting. Returns how many conflicts the run had, which has ended. */
extern uint64 ConflictCountEnd(void);

#endif
