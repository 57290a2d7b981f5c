/*
 * delta_private.h
 *
 * A delta in memory, for delta_write.c, which counts events in it, and delta_store.c, which
 * writes it.
 */
#ifndef FAST_INGEST_DELTA_PRIVATE_H
#define FAST_INGEST_DELTA_PRIVATE_H

#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "utils/relcache.h"

#include "base/text_map.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/delta/delta_format.h"

/* An event that counts in a section. */
typedef struct
{
	uint32 group;
	int32 user;	   /* -1: none */
	uint32 offset; /* in its bucket, microseconds, if the breakdown keeps times */
} SectionEvent;

typedef struct
{
	const Breakdown *breakdown;
	ExprState *key;
	ExprState *scope;
	struct groups_hash *lookup;
	DeltaGroup *groups;
	SectionEvent *members;
	uint32 ngroups;
	uint32 nmembers;
	uint32 group_room;
	uint32 member_room;
} SectionBuilder;

typedef struct
{
	const BreakdownList *breakdowns;
	Relation table;
	ExprContext *context;
	UserHasher *hasher;
	MemoryContext memory; /* holds all below; reset for each delta */
	int nsections;
	SectionBuilder *sections;
	TextMap *strings;
	StringInfoData string_bytes;
	uint32 *ends;
	uint32 nstrings;
	uint32 end_room;
	TextMap *users;
	UserHash *hashes;
	uint32 nusers;
	uint32 hash_room;
	int events;
	int elements;
	TimestampTz first;
	TimestampTz last;
} DeltaBuilder;

/*
 * Insert the delta, unless nothing is counted in it. Whoever inserts events needs no privilege on
 * the table. It is ours and has no index, so that inserting into the heap is all there is to do.
 */
extern void DeltaStore(const DeltaBuilder *builder);

#endif
