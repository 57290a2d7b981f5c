/*
 * seed.h
 *
 * Seeds of hash tables whose keys clients choose: who does not know the seed
 * cannot choose keys that fall into one place.
 */
#ifndef FAST_INGEST_SEED_H
#define FAST_INGEST_SEED_H

/* A random number; an ERROR if there is none to be had. */
extern uint64 RandomSeed(void);

/* The seed of this process's own tables. */
extern uint64 ProcessSeed(void);

#endif
