/*
 * seed.h
 *
 * Seeds of hash tables whose keys clients choose. Without the seed a client cannot choose
 * keys that all fall into one bucket.
 */
#ifndef FAST_INGEST_SEED_H
#define FAST_INGEST_SEED_H

/* Draw a seed; an ERROR if the system has no random numbers. */
extern uint64 RandomSeed(void);

/* The seed of this process's own tables, drawn by the first call; an ERROR as above. */
extern uint64 ProcessSeed(void);

#endif
