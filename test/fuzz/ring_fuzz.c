/*
 * ring_fuzz.c
 *
 * Fuzzes the protocol of the staging ring. An input is the size of a ring, its first
 * position, and a sequence of actions of the producer and the consumer, including their
 * deaths. A model knows which records there must be.
 *
 * For any sequence: a reserved record lies within the buffer and overlaps no record that
 * may still be read; records come out whole, in order and once; free room is given;
 * committed records can be read until they are released.
 */
#include "postgres.h"

#include "shared/types/ring.h"

#define MAX_RECORDS 4096

typedef struct
{
	uint64 begin; /* of the padding before the record */
	uint64 end;
	uint32 payload_size;
} ExpectedRecord;

typedef struct
{
	Ring *ring;
	RingProducer producer;
	RingConsumer consumer;
	ExpectedRecord records[MAX_RECORDS];
	int released; /* records before this one may be overwritten */
	int committed;
	int consumed;
	int published;
	int reserved;
} Model;

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* Where record n begins, or would begin if it is the next one. */
static uint64
begin_of(const Model *model, int n)
{
	return n < model->reserved ? model->records[n].begin : model->producer.reserved;
}

static unsigned char
fill_byte(int n)
{
	return (unsigned char) (n * 7 + 1);
}

/*
 * Abort unless this is record n as it was written
 */
static void
check_record(const Model *model, const RingRecord *record, int n)
{
	const ExpectedRecord *expected = &model->records[n];

	require(record != NULL && record->kind == RECORD_STORED);
	require(record->index == (uint32) n && record->staged_at == n + 1);
	require(record->payload_size == expected->payload_size);
	for (uint32 i = 0; i < record->payload_size; i++)
		require((unsigned char) RecordPayload(record)[i] == fill_byte(n));
}

static void
reserve_record(Model *model, uint32 payload_size)
{
	Ring *ring = model->ring;
	uint64 size = MAXALIGN(RECORD_HEADER_SIZE + (uint64) payload_size);
	uint64 before = model->producer.reserved;
	uint64 to_end = ring->size - before % ring->size;
	uint64 needed = size > to_end ? size + to_end : size;
	uint64 used = before - model->producer.released;
	ExpectedRecord *expected = &model->records[model->reserved];
	RingRecord *record;

	if (model->reserved == MAX_RECORDS || before > PG_UINT64_MAX - needed)
		return;
	record = RingReserve(&model->producer, payload_size);
	require((record != NULL) == (needed <= ring->size - used));
	if (record == NULL)
	{
		require(model->producer.reserved == before);
		return;
	}
	*expected = (ExpectedRecord){before, before + needed, payload_size};
	require(model->producer.reserved == expected->end);
	require((char *) record >= ring->buffer);
	require((char *) record + size <= ring->buffer + ring->size);
	require((uintptr_t) record % MAXIMUM_ALIGNOF == 0);
	record->index = (uint32) model->reserved;
	record->staged_at = model->reserved + 1;
	record->day = 0;
	memset(RecordPayload(record), fill_byte(model->reserved), payload_size);
	model->reserved++;
}

static void
publish_records(Model *model)
{
	uint64 ticket = RingPublish(&model->producer);

	model->published = model->reserved;
	require(ticket == model->producer.reserved && RingPublished(model->ring) == ticket);
}

static void
roll_back_records(Model *model)
{
	RingRollback(&model->producer);
	model->reserved = model->published;
	require(model->producer.reserved == RingPublished(model->ring));
}

static void
consume_records(Model *model, int n)
{
	for (; n > 0; n--)
	{
		RingRecord *record = RingNext(&model->consumer);

		if (model->consumed == model->published)
		{
			require(record == NULL);
			return;
		}
		check_record(model, record, model->consumed);
		require(model->consumer.next == model->records[model->consumed].end);
		model->consumed++;
	}
}

/*
 * Commit up to n of the consumed records
 */
static void
commit_records(Model *model, int n)
{
	n = Min(n, model->consumed - model->committed);
	model->committed += n;
	if (n > 0)
		RingCommit(model->ring, model->records[model->committed - 1].end, n);
}

/*
 * Release up to n of the committed records; for n = 0, once more what was released
 */
static void
release_records(Model *model, int n)
{
	int to = Min(model->released + n, model->committed);

	if (to > 0)
		RingRelease(&model->producer, model->records[to - 1].end);
	if (to > 0 && n == 0)
		RingRelease(&model->producer, model->records[to - 1].begin);
	model->released = to;
}

/*
 * Abort unless all that may be read is there
 */
static void
check_ring(Model *model)
{
	uint64 position = begin_of(model, model->released);

	for (int n = model->released; n < model->published; n++)
	{
		check_record(model, RingRecordAt(model->ring, &position), n);
		require(position == model->records[n].end);
	}
	require(RingStagedRecords(model->ring) == (uint64) (model->published - model->committed));
	require(RingOldestStaged(model->ring) ==
			(model->committed < model->published ? model->committed + 1 : 0));
	require(RingCommitted(model->ring) <= RingPublished(model->ring));
	require(RingPublished(model->ring) - RingCommitted(model->ring) <= model->ring->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Model model;
	uint64 room;
	uint64 start;

	if (size < 4)
		return 0;
	room = 64 + (data[0] | (data[1] & 7) << 8);
	/* begin near 0, or so that positions come close to the largest there is */
	start = data[2] & 1 ? (PG_UINT64_MAX - data[3] * 256) / MAXIMUM_ALIGNOF * MAXIMUM_ALIGNOF
						: data[3] * MAXIMUM_ALIGNOF;

	memset(&model, 0, offsetof(Model, records));
	model.released = model.committed = model.consumed = model.published = model.reserved = 0;
	model.ring = calloc(1, RingShmemSize(room));
	RingInit(model.ring, room, start);
	RingAttachProducer(&model.producer, model.ring);
	RingAttachConsumer(&model.consumer, model.ring);

	for (size_t i = 4; i + 1 < size; i += 2)
	{
		int n = data[i + 1];

		switch (data[i] % 10)
		{
			case 0:
				reserve_record(&model, (uint32) n);
				break;
			case 1:
				reserve_record(&model, (uint32) n * 16);
				break;
			case 2:
				publish_records(&model);
				break;
			case 3:
				roll_back_records(&model);
				break;
			case 4:
				consume_records(&model, n);
				break;
			case 5:
				commit_records(&model, n);
				break;
			case 6:
				release_records(&model, n);
				break;
			case 7: /* the producer died */
				RingAttachProducer(&model.producer, model.ring);
				model.reserved = model.published;
				model.released = model.committed;
				break;
			case 8: /* the consumer died */
				RingAttachConsumer(&model.consumer, model.ring);
				model.consumed = model.committed;
				break;
			case 9: /* a record larger than any ring */
				require(RingReserve(&model.producer, PG_UINT32_MAX - (uint32) n) == NULL);
				break;
		}
		check_ring(&model);
	}
	free(model.ring);
	return 0;
}
