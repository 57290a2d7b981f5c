/*
 * delta_write.c
 *
 * Counts the rows of a statement in memory, and writes the counts as deltas.
 */
#include "postgres.h"

#include "rollup/delta/delta_write.h"

#include "access/heapam.h"
#include "access/table.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
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
#include "rollup/delta/backlog.h"
#include "rollup/delta/delta_format.h"

/* Most strings of a delta: their numbers are uint16. */
#define MAX_STRINGS PG_UINT16_MAX

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

/* An event that counts in a section. */
typedef struct
{
	uint16 group;
	int32 user; /* -1: none */
} SectionEvent;

typedef struct
{
	const Breakdown *breakdown;
	ExprState *key;
	ExprState *scope;
	groups_hash *lookup;
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
	TimestampTz first;
	TimestampTz last;
} DeltaBuilder;

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
	builder->events = 0;
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
 * Evaluate an expression for the row in the context's slot; false for NULL
 */
static bool
evaluate_text(DeltaBuilder *builder, ExprState *state, Slice *text)
{
	bool isnull;
	Datum value = ExecEvalExprSwitchContext(state, builder->context, &isnull);

	if (!isnull)
		*text = detoast_text(value);
	return !isnull;
}

/*
 * Count the event in the context's slot in one breakdown, unless its key is NULL
 */
static void
count_in_section(DeltaBuilder *builder, SectionBuilder *section, Slice event_name, TimestampTz ts,
				 int32 user)
{
	Slice key;
	Slice scope = {"", 0};
	int64 bucket = BucketStart(ts, section->breakdown->finest);
	int64 day = BucketStart(ts, LEVEL_DAY);
	DeltaGroup group = {0};
	GroupEntry *entry;
	bool found;

	if (!evaluate_text(builder, section->key, &key))
		return;
	if (section->scope != NULL && !evaluate_text(builder, section->scope, &scope))
		scope = (Slice){"", 0};
	group.event_name = number_string(builder, event_name);
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
	section->groups[entry->number].nrefs += user >= 0;
	section->members = GrowArray(builder->memory, section->members, section->nmembers,
								 &section->member_room, sizeof(SectionEvent));
	section->members[section->nmembers++] = (SectionEvent){(uint16) entry->number, user};
}

static void
append_padding(StringInfo buffer)
{
	static const char zeros[4] = {0};

	appendBinaryStringInfo(buffer, zeros, (4 - buffer->len % 4) % 4);
}

/*
 * Append a section: its groups, and their users in the order of the groups
 */
static void
append_section(StringInfo buffer, const SectionBuilder *section)
{
	DeltaSection head = {section->breakdown->id, section->ngroups, 0};
	uint32 *next = palloc(section->ngroups * sizeof(uint32));
	uint16 *refs;

	for (uint32 i = 0; i < section->ngroups; i++)
	{
		next[i] = head.nrefs;
		head.nrefs += section->groups[i].nrefs;
	}
	refs = palloc(Max(head.nrefs, 1) * sizeof(uint16));
	for (uint32 i = 0; i < section->nmembers; i++)
	{
		const SectionEvent *member = &section->members[i];

		if (member->user >= 0)
			refs[next[member->group]++] = (uint16) member->user;
	}
	appendBinaryStringInfo(buffer, (char *) &head, sizeof(head));
	appendBinaryStringInfo(buffer, (char *) section->groups,
						   (int) (section->ngroups * sizeof(DeltaGroup)));
	appendBinaryStringInfo(buffer, (char *) refs, (int) (head.nrefs * sizeof(uint16)));
	append_padding(buffer);
	pfree(refs);
	pfree(next);
}

/*
 * Insert the delta, unless it has no events. Whoever inserts events needs no privilege on the
 * table. It is ours and has no index, so that inserting into the heap is all there is to do.
 */
static void
store_delta(DeltaBuilder *builder, Relation table)
{
	StringInfoData buffer;
	DeltaHeader header = {DELTA_VERSION, builder->nusers, builder->nstrings, 0};
	Datum values[4];
	bool isnull[4] = {0};
	HeapTuple tuple;

	if (builder->events == 0)
		return;
	initStringInfo(&buffer);
	appendStringInfoSpaces(&buffer, VARHDRSZ);
	for (int i = 0; i < builder->nsections; i++)
		header.nsections += builder->sections[i].ngroups > 0;
	appendBinaryStringInfo(&buffer, (char *) &header, sizeof(header));
	appendBinaryStringInfo(&buffer, (char *) builder->hashes,
						   (int) (builder->nusers * sizeof(UserHash)));
	appendBinaryStringInfo(&buffer, (char *) builder->ends,
						   (int) (builder->nstrings * sizeof(uint32)));
	appendBinaryStringInfo(&buffer, builder->string_bytes.data, builder->string_bytes.len);
	append_padding(&buffer);
	for (int i = 0; i < builder->nsections; i++)
		if (builder->sections[i].ngroups > 0)
			append_section(&buffer, &builder->sections[i]);
	SET_VARSIZE(buffer.data, buffer.len);

	values[DELTA_COLUMN_EVENTS - 1] = Int32GetDatum(builder->events);
	values[DELTA_COLUMN_FIRST - 1] = TimestampTzGetDatum(builder->first);
	values[DELTA_COLUMN_LAST - 1] = TimestampTzGetDatum(builder->last);
	values[DELTA_COLUMN_GROUPS - 1] = PointerGetDatum(buffer.data);
	tuple = heap_form_tuple(RelationGetDescr(table), values, isnull);
	simple_heap_insert(table, tuple);
	heap_freetuple(tuple);
	pfree(buffer.data);
	BacklogAdd(builder->events);
}

/*
 * Count the row in a slot. Values are detoasted in the current memory context; what stays is
 * allocated in the builder's.
 */
static void
count_event(DeltaBuilder *builder, TupleTableSlot *slot)
{
	const BreakdownList *list = builder->breakdowns;
	bool isnull;
	TimestampTz ts = DatumGetTimestampTz(slot_getattr(slot, list->ts, &isnull));
	Slice event_name;
	Datum value;
	int32 user = -1;

	EventCheckTime(ts);
	event_name = detoast_text(slot_getattr(slot, list->event_name, &isnull));
	value = slot_getattr(slot, list->user_id, &isnull);
	if (!isnull)
		user = number_user(builder, detoast_text(value));
	for (int i = 0; i < builder->nsections; i++)
		count_in_section(builder, &builder->sections[i], event_name, ts, user);

	builder->first = builder->events == 0 ? ts : Min(builder->first, ts);
	builder->last = builder->events == 0 ? ts : Max(builder->last, ts);
	builder->events++;
}

void
DeltaWrite(Relation relation, Tuplestorestate *rows)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest delta", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Relation table = table_open(OwnTable("rollup_delta"), RowExclusiveLock);
	TupleTableSlot *slot =
		MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	DeltaBuilder builder = {0};
	SavedUser user;

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
		if (builder.events == DELTA_MAX_EVENTS ||
			builder.nstrings + 1 + 2 * builder.nsections > MAX_STRINGS)
		{
			store_delta(&builder, table);
			begin_delta(&builder);
		}
		MemoryContextSwitchTo(builder.context->ecxt_per_tuple_memory);
		count_event(&builder, slot);
		MemoryContextSwitchTo(context);
		ResetExprContext(builder.context);
	}
	store_delta(&builder, table);
	ActAsCallerAgain(user);

	UserHasherFree(builder.hasher);
	FreeExprContext(builder.context, true);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
