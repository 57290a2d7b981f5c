/*
 * merge_private.h
 *
 * The inside of a merger, for merge_gather.c, which gathers groups, merge_key_limit.c, which
 * limits their keys, and merge_write.c, which merges them into the rollup.
 */
#ifndef FAST_INGEST_MERGE_PRIVATE_H
#define FAST_INGEST_MERGE_PRIVATE_H

#include "utils/memutils.h"

#include "base/text_map.h"
#include "rollup/refresh/merge.h"
#include "rollup/sets/minute_times.h"
#include "rollup/users/user_map.h"

/* What identifies a group. It is hashed as bytes, so it must have no padding. */
typedef struct
{
	const Breakdown *breakdown;
	TimestampTz bucket;
	uint32 event_name;
	uint32 scope;
	uint32 key;
	uint16 is_other;	  /* keys of scope, or of all scopes (""), counted together: key is "" */
	uint16 is_other_name; /* names that are counted together: event_name is "" */
} MergeGroupKey;

struct MergeGroup
{
	Merger *merger;
	MergeGroupKey key;
	TimestampTz limit_bucket; /* in which its key is limited, once groups are sorted */
	int64 events;
	uint32 *users;
	uint32 nusers;
	uint32 room;
	MinuteTime *times; /* if the breakdown keeps times: of the events; users has nobody then */
	uint32 ntimes;
	uint32 time_room;
};

struct Merger
{
	RollupState *state;
	MemoryContext parent;
	MemoryContext memory; /* holds all below up to nrefs; reset by a flush */
	TextMap *texts;
	Slice *text_list;
	uint32 ntexts;
	uint32 text_room;
	UserMap *users;
	UserHash *user_list;
	uint32 nusers;
	uint32 user_room;
	struct mgroups_hash *groups;
	MergeGroup **group_list;
	uint32 ngroups;
	uint32 group_room;
	uint64 nrefs;
	int64 merged;	   /* groups */
	TimeRange touched; /* the first and the last bucket so far */
};

/* Forget what was gathered. */
extern void MergerReset(Merger *merger);

/* A text by its number, as a text datum in the current memory context. */
extern Datum MergerTextDatum(const Merger *merger, uint32 number);

/* Find or add the group of an identity. */
extern MergeGroup *MergerGroupOf(Merger *merger, MergeGroupKey id);

/* Move the events and users of a group to another one; the group stays, without events. */
extern void MergeGroupMove(MergeGroup *group, MergeGroup *other);

/*
 * Limit the event_names of each day to fast_ingest.max_event_names, and the keys of each bucket
 * by the breakdown's max_keys (see key_limit.h). Events of names and keys beyond the limit move
 * to groups of others; their own groups stay, without events. Needs SPI.
 */
extern void MergerLimitKeys(Merger *merger);

#endif
