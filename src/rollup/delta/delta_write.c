/*
 * delta_write.c
 *
 * Counts the rows of a statement in memory, and writes the counts as deltas.
 */
#include "postgres.h"

#include "rollup/delta/delta_write.h"

#include "rollup/delta/delta_private.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/grow_array.h"
#include "base/seed.h"
#include "base/text_map.h"
#include "base/text_slice.h"
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "partition/event_columns.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/breakdown/rollup_text.h"

/* Most strings of a delta: their numbers are uint16. */
#define MAX_STRINGS PG_UINT16_MAX

/* Most elements of arrays that are counted in a delta. */
#define MAX_ELEMENTS (1024 * 1024)

/* What identifies a group of a section. */
typedef struct
{
	uint64 strings; /* the numbers of event_name, scope and key */
	uint64 bucket;
} GroupKey;

typedef struct
{
	GroupKey key;
	uint32 number; /* in the section */
	char status;
} GroupEntry;

static inline uint32
hash_group(GroupKey key)
{
	return (uint32) hash_bytes_extended((const unsigned char *) &key, sizeof(key), ProcessSeed());
}

#define SH_PREFIX groups
#define SH_ELEMENT_TYPE GroupEntry
#define SH_KEY_TYPE GroupKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_group(key)
#define SH_EQUAL(table, a, b) ((a).strings == (b).strings && (a).bucket == (b).bucket)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* An event that is being counted, whose values are in the memory of its row. */
typedef struct
{
	Slice name;
	Slice user_id;
	bool has_user;
	int32 user; /* number in the delta; -1: none */
	TimestampTz ts;
} CountedEvent;

/*
 * Begin an empty delta
 */
static void
begin_delta(DeltaBuilder *builder)
{
	MemoryContext caller;

	MemoryContextReset(builder->memory);
	caller = MemoryContextSwitchTo(builder->memory);
	builder->strings = TextMapCreate(builder->memory, 64);
	builder->users = TextMapCreate(builder->memory, 256);
	initStringInfo(&builder->string_bytes);
	builder->ends = NULL;
	builder->hashes = NULL;
	builder->nstrings = builder->nusers = builder->end_room = builder->hash_room = 0;
	builder->events = builder->elements = 0;
	builder->first = TIME_END;
	builder->last = TIME_BEGIN;
	for (int i = 0; i < builder->nsections; i++)
	{
		SectionBuilder *section = &builder->sections[i];

		section->lookup = groups_create(builder->memory, 16, NULL);
		section->groups = NULL;
		section->members = NULL;
		section->ngroups = section->nmembers = section->group_room = section->member_room = 0;
	}
	MemoryContextSwitchTo(caller);
}

/*
 * The number of an event_name, key or scope in the delta
 */
static uint16
number_string(DeltaBuilder *builder, Slice text)
{
	char cut[ROLLUP_TEXT_SIZE];
	TextMapEntry *entry;
	bool found;

	if (text.len > ROLLUP_TEXT_SIZE)
	{
		text.len = RollupText(text.data, text.len, cut);
		text.data = cut;
	}
	entry = TextMapAdd(builder->strings, text, &found);
	if (!found)
	{
		builder->ends = GrowArray(builder->memory, builder->ends, builder->nstrings,
								  &builder->end_room, sizeof(uint32));
		entry->number = builder->nstrings++;
		appendBinaryStringInfo(&builder->string_bytes, text.data, (int) text.len);
		builder->ends[entry->number] = builder->string_bytes.len;
	}
	return (uint16) entry->number;
}

static int32
number_user(DeltaBuilder *builder, Slice user_id)
{
	bool found;
	TextMapEntry *entry = TextMapAdd(builder->users, user_id, &found);

	if (!found)
	{
		builder->hashes = GrowArray(builder->memory, builder->hashes, builder->nusers,
									&builder->hash_room, sizeof(UserHash));
		entry->number = builder->nusers++;
		builder->hashes[entry->number] = UserHashOf(builder->hasher, user_id.data, user_id.len);
	}
	return (int32) entry->number;
}

static Slice
detoast_text(Datum value)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	return (Slice){VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)};
}

/*
 * Count an event for a scope and a key of a breakdown
 */
static void
count_key(DeltaBuilder *builder, SectionBuilder *section, const CountedEvent *event, Slice scope,
		  Slice key)
{
	int64 bucket = TimeFloor(event->ts, section->breakdown->width);
	int64 day = BucketStart(event->ts, LEVEL_DAY);
	DeltaGroup group = {0};
	GroupEntry *entry;
	bool found;

	group.event_name = number_string(builder, event->name);
	group.scope = number_string(builder, scope);
	group.key = number_string(builder, key);
	group.day = (int32) (day / USECS_PER_DAY);
	group.minute = (uint16) ((bucket - day) / USECS_PER_MINUTE);

	entry = groups_insert(
		section->lookup,
		(GroupKey){((uint64) group.event_name << 32) | ((uint64) group.scope << 16) | group.key,
				   ((uint64) (uint32) group.day << 16) | group.minute},
		&found);
	if (!found)
	{
		section->groups = GrowArray(builder->memory, section->groups, section->ngroups,
									&section->group_room, sizeof(DeltaGroup));
		entry->number = section->ngroups++;
		section->groups[entry->number] = group;
	}
	section->groups[entry->number].events++;
	section->groups[entry->number].nrefs += event->user >= 0;
	section->members = GrowArray(builder->memory, section->members, section->nmembers,
								 &section->member_room, sizeof(SectionEvent));
	section->members[section->nmembers++] =
		(SectionEvent){entry->number, event->user, (uint32) (event->ts - bucket)};
}

/*
 * Has the delta no room for one more event, or element of an array, in all breakdowns?
 */
static bool
is_full(const DeltaBuilder *builder)
{
	return builder->events == DELTA_MAX_EVENTS || builder->elements >= MAX_ELEMENTS ||
		   builder->nstrings + 1 + 2 * builder->nsections > MAX_STRINGS;
}

/*
 * Note in a delta that it counts an event, or a part of it
 */
static void
begin_event(DeltaBuilder *builder, CountedEvent *event)
{
	event->user = event->has_user ? number_user(builder, event->user_id) : -1;
	builder->first = Min(builder->first, event->ts);
	builder->last = Max(builder->last, event->ts);
}

/*
 * Count the event once for each different element of an array. There may be so many that they take
 * several deltas: then all but the last one have a part of the event, and do not count it in
 * their number of events.
 */
static void
count_elements(DeltaBuilder *builder, SectionBuilder *section, CountedEvent *event, Slice scope,
			   ArrayType *array)
{
	Datum *items;
	bool *isnull;
	int n;
	TextMap *counted = NULL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &isnull, &n);
	if (n > 1)
		counted = TextMapCreate(CurrentMemoryContext, n);
	for (int i = 0; i < n; i++)
	{
		bool found = false;
		Slice key;

		if (isnull[i])
			continue;
		key = detoast_text(items[i]);
		if (counted != NULL)
			(void) TextMapAdd(counted, key, &found);
		if (found)
			continue;
		if (is_full(builder))
		{
			DeltaStore(builder);
			begin_delta(builder);
			begin_event(builder, event);
		}
		count_key(builder, section, event, scope, key);
		builder->elements++;
	}
}

/*
 * Count the event in the context's slot in one breakdown, unless its key is NULL
 */
static void
count_in_section(DeltaBuilder *builder, SectionBuilder *section, CountedEvent *event)
{
	bool isnull;
	Datum key = ExecEvalExprSwitchContext(section->key, builder->context, &isnull);
	Slice scope = {"", 0};

	if (isnull)
		return;
	if (section->scope != NULL)
	{
		Datum value = ExecEvalExprSwitchContext(section->scope, builder->context, &isnull);

		if (!isnull)
			scope = detoast_text(value);
	}
	if (section->breakdown->is_array)
		count_elements(builder, section, event, scope, DatumGetArrayTypeP(key));
	else
		count_key(builder, section, event, scope, detoast_text(key));
}

/*
 * Count the row in a slot. Values are detoasted in the current memory context; what stays is
 * allocated in the builder's.
 */
static void
count_event(DeltaBuilder *builder, TupleTableSlot *slot)
{
	const BreakdownList *list = builder->breakdowns;
	CountedEvent event = {0};
	bool isnull;
	Datum value;

	event.ts = DatumGetTimestampTz(slot_getattr(slot, list->ts, &isnull));
	EventCheckTime(event.ts);
	event.name = detoast_text(slot_getattr(slot, list->event_name, &isnull));
	value = slot_getattr(slot, list->user_id, &isnull);
	event.has_user = !isnull;
	if (event.has_user)
		event.user_id = detoast_text(value);
	begin_event(builder, &event);
	for (int i = 0; i < builder->nsections; i++)
		count_in_section(builder, &builder->sections[i], &event);
	builder->events++;
}

void
DeltaWrite(Relation relation, Tuplestorestate *rows)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest delta", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	TupleTableSlot *slot =
		MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	DeltaBuilder builder = {0};
	SavedUser user;

	builder.table = table_open(OwnTable("rollup_delta"), RowExclusiveLock);
	/* expressions are compiled and evaluated with the rights of the owner of events */
	user = ActAsEventsOwner();
	LockRelationOid(OwnTable("breakdowns"), RowExclusiveLock);
	builder.breakdowns = BreakdownsFor(relation);
	builder.context = CreateStandaloneExprContext();
	builder.context->ecxt_scantuple = slot;
	builder.hasher = UserHasherCreate();
	builder.memory =
		AllocSetContextCreate(context, "fast_ingest delta builder", ALLOCSET_DEFAULT_SIZES);
	builder.nsections = builder.breakdowns->n;
	builder.sections = palloc0(builder.nsections * sizeof(SectionBuilder));
	for (int i = 0; i < builder.nsections; i++)
	{
		const Breakdown *breakdown = &builder.breakdowns->items[i];

		builder.sections[i].breakdown = breakdown;
		builder.sections[i].key = ExecInitExpr(breakdown->key, NULL);
		if (breakdown->scope != NULL)
			builder.sections[i].scope = ExecInitExpr(breakdown->scope, NULL);
	}
	begin_delta(&builder);

	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_full(&builder))
		{
			DeltaStore(&builder);
			begin_delta(&builder);
		}
		MemoryContextSwitchTo(builder.context->ecxt_per_tuple_memory);
		count_event(&builder, slot);
		MemoryContextSwitchTo(context);
		ResetExprContext(builder.context);
	}
	DeltaStore(&builder);
	ActAsCallerAgain(user);

	UserHasherFree(builder.hasher);
	FreeExprContext(builder.context, true);
	ExecDropSingleTupleTableSlot(slot);
	table_close(builder.table, NoLock);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
