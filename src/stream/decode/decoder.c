/*
 * decoder.c
 *
 * Reading WAL. The decoding context is made once and kept: it reads on from where it stands.
 *
 * It is made in a transaction, which ends at once. Made outside of one, it would mark the
 * process (PROC_IN_LOGICAL_DECODING) as one whose snapshots vacuum need not respect, as those
 * of a walsender, and the worker runs SQL beside decoding.
 *
 * Decoding fills the catalog caches as of the time of the transaction that is decoded. So they
 * are emptied before the first one (by the output plugin) and after the last one.
 */
#include "postgres.h"

#include "stream/decode/decoder_private.h"

#include <sys/stat.h>

#include "access/timeline.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "replication/decode.h"
#include "replication/slot.h"
#include "storage/fd.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/clock.h"
#include "base/compat.h"
#include "db/transaction.h"
#include "worker/worker.h"

#define STANDBY_LOG_INTERVAL 60000 /* ms */
#define STANDBY_PATIENCE 1000	   /* ms until a standby is said to be waited for */

static bool allows_plugin = false;
static XLogRecPtr read_limit = InvalidXLogRecPtr;

bool
DecoderIsOurs(void)
{
	return allows_plugin;
}

/*
 * Servers with output_plugin_libraries let only those libraries decode: this process names
 * ours, for itself. Files of the spool are made in decoding callbacks, which must not look for
 * tablespaces; the limit of the stream applies to them.
 */
void
DecoderAllowPlugin(bool allowed)
{
	allows_plugin = allowed;
	if (!allowed)
		return;
	if (GetConfigOption("output_plugin_libraries", true, false) != NULL)
		SetConfigOption("output_plugin_libraries", DECODER_PLUGIN, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("temp_tablespaces", "", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("temp_file_limit", "-1", PGC_SUSET, PGC_S_OVERRIDE);
}

void
DecoderCheckHorizon(void)
{
	if ((MyProc->statusFlags & PROC_IN_LOGICAL_DECODING) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("vacuum would not respect the snapshots of a stream worker")));
}

XLogRecPtr
WalFlushPosition(uint32 *timeline)
{
	TimeLineID current;
	XLogRecPtr position = FlushedWal(&current);

	if (timeline != NULL)
		*timeline = current;
	return position;
}

void
WalTimelines(Stream *stream)
{
	uint32 current;
	List *history;
	ListCell *cell;

	(void) WalFlushPosition(&current);
	history = readTimeLineHistory(current);
	stream->timelines = palloc(list_length(history) * sizeof(StreamTimeline));
	stream->ntimelines = 0;
	foreach (cell, history)
	{
		const TimeLineHistoryEntry *entry = lfirst(cell);

		stream->timelines[stream->ntimelines++] = (StreamTimeline){entry->tli, entry->begin};
	}
	list_free_deep(history);
}

/*
 * PostgreSQL's reader waits for WAL that is not there yet. Ours says so.
 */
int
DecoderReadPage(XLogReaderState *reader, XLogRecPtr page, int len, XLogRecPtr record, char *buffer)
{
	int count;

	if (page + len > read_limit)
		return -1;
	count = read_local_xlog_page(reader, page, len, record, buffer);
	/* more of the page may be flushed, and is not to be read yet */
	return count > 0 && page + count > read_limit ? (int) (read_limit - page) : count;
}

/*
 * Decoding ends transactions, and leaves neither the memory context nor the resource owner of
 * its caller.
 */
bool
DecoderReadRecord(LogicalDecodingContext *context, XLogRecPtr limit,
				  bool (*before)(XLogReaderState *reader, void *arg), void *arg)
{
	static ResourceOwner owner = NULL;
	ResourceOwner former_owner = CurrentResourceOwner;
	MemoryContext caller = MemoryContextSwitchTo(context->context);
	char *error = NULL;
	XLogRecord *record;
	bool goes_on;

	if (owner == NULL)
		owner = ResourceOwnerCreate(NULL, "fast_ingest decoder");
	CurrentResourceOwner = owner;
	read_limit = limit;
	record = XLogReadRecord(context->reader, &error);
	if (error != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("could not read WAL of replication slot \"%s\": %s",
							   NameStr(context->slot->data.name), error)));
	goes_on = record != NULL && (before == NULL || before(context->reader, arg));
	if (goes_on)
		LogicalDecodingProcessRecord(context, context->reader);
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = former_owner;
	return goes_on;
}

static void
make_context(void *arg)
{
	Decoder *decoder = arg;
	XLogRecPtr start;
	MemoryContext caller;

	CheckLogicalDecodingRequirements();
	AcquireSlot(decoder->config.slot_name);
	if (SlotIsInvalidated(&MyReplicationSlot->data))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("replication slot \"%s\" is invalid", decoder->config.slot_name),
						errdetail("The server has removed what it kept for the slot.")));
	/* a transaction whose commit record is at start is decoded */
	start = Max((XLogRecPtr) decoder->config.done_lsn, MyReplicationSlot->data.confirmed_flush);
	caller = MemoryContextSwitchTo(decoder->memory);
	decoder->context = CreateDecodingContext(start, NIL, false, DECODER_READER, NULL, NULL, NULL);
	MemoryContextSwitchTo(caller);
	decoder->context->output_writer_private = decoder;
	decoder->position = MyReplicationSlot->data.restart_lsn;
}

Decoder *
DecoderOpen(const DecoderConfig *config, Spool *spool)
{
	MemoryContext memory =
		AllocSetContextCreate(TopMemoryContext, "fast_ingest decoder", ALLOCSET_DEFAULT_SIZES);
	Decoder *decoder = MemoryContextAllocZero(memory, sizeof(Decoder));
	ErrorData *error;

	decoder->memory = memory;
	decoder->config = *config;
	decoder->config.slot_name = MemoryContextStrdup(memory, config->slot_name);
	decoder->spool = spool;
	decoder->row = AllocSetContextCreate(memory, "fast_ingest decoded row", ALLOCSET_DEFAULT_SIZES);
	DecoderAllowPlugin(true);
	error = RunTransaction("opening a replication slot", make_context, decoder);
	if (error != NULL)
	{
		DecoderAllowPlugin(false);
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		MemoryContextDelete(memory);
		ReThrowError(error);
	}
	DecoderCheckHorizon();
	XLogBeginRead(decoder->context->reader, decoder->position);
	return decoder;
}

bool
DecoderStandbysHave(Decoder *decoder, XLogRecPtr lsn)
{
	int64 now = MonotonicNow();
	bool is_silent = decoder->standbys_told != 0 &&
					 now < MonotonicAfter(decoder->standbys_told, STANDBY_LOG_INTERVAL);

	if (lsn <= decoder->standbys_have)
		return true;
	if (StandbysHave(lsn, is_silent ? DEBUG1 : WARNING))
	{
		decoder->standbys_have = lsn;
		decoder->standbys_told = decoder->standbys_late = 0;
		return true;
	}
	if (!is_silent)
		decoder->standbys_told = now;
	if (decoder->standbys_late == 0)
		decoder->standbys_late = now;
	return false;
}

/*
 * Up to where may WAL be read? Of a failover slot no row may be handed out before its standbys
 * have it, or a promoted one would not know of what the target has. They are asked for one
 * position until they have it, since under load they never have the newest.
 */
static XLogRecPtr
find_limit(Decoder *decoder)
{
	XLogRecPtr flushed = WalFlushPosition(NULL);

	if (decoder->standbys_wanted <= decoder->standbys_have)
		decoder->standbys_wanted = flushed;
	(void) DecoderStandbysHave(decoder, decoder->standbys_wanted);
	return Min(decoder->standbys_have, flushed);
}

/*
 * Back to catalogs as of the present
 */
static void
forget_historic_catalogs(Decoder *decoder)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext caller = CurrentMemoryContext;

	StartTransactionCommand();
	InvalidateSystemCaches();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	decoder->has_historic = false;
}

/*
 * Does the worker have something else to do?
 */
static bool
is_interrupted(void)
{
	if (WorkerShutdownRequested || ConfigReloadPending || WorkerOnHold())
		return true;
	CHECK_FOR_INTERRUPTS();
	return false;
}

bool
DecoderRead(Decoder *decoder, int64 spool_limit, long milliseconds)
{
	int64 deadline = MonotonicAfter(MonotonicNow(), milliseconds);
	XLogRecPtr limit = find_limit(decoder);
	bool at_end = false;

	Assert(!IsTransactionState());
	while (SpoolBytes(decoder->spool) <= spool_limit)
	{
		if (!DecoderReadRecord(decoder->context, limit, NULL, NULL))
		{
			at_end = true;
			break;
		}
		decoder->position = decoder->context->reader->EndRecPtr;
		if (is_interrupted() || MonotonicNow() >= deadline)
			break;
	}
	if (decoder->has_historic)
		forget_historic_catalogs(decoder);
	DecoderCheckHorizon();
	return at_end;
}

XLogRecPtr
DecoderPosition(const Decoder *decoder)
{
	return decoder->position;
}

XLogRecPtr
DecoderRestartPosition(const Decoder *decoder)
{
	/* nobody else moves it, but the checkpointer may take it away */
	ReplicationSlot *slot = decoder->context->slot;
	XLogRecPtr restart;

	SpinLockAcquire(&slot->mutex);
	restart = slot->data.restart_lsn;
	SpinLockRelease(&slot->mutex);
	return restart;
}

/*
 * Reading a record of running transactions gives the slot a candidate, which it takes when a
 * position behind that record is confirmed. Until then it takes no other one.
 */
bool
DecoderCanRelease(const Decoder *decoder, int64 bytes)
{
	ReplicationSlot *slot = decoder->context->slot;
	XLogRecPtr position = DecoderPosition(decoder);
	bool result;

	SpinLockAcquire(&slot->mutex);
	result = slot->candidate_restart_valid != InvalidXLogRecPtr &&
			 slot->candidate_restart_valid <= position &&
			 slot->candidate_restart_valid > slot->data.confirmed_flush &&
			 position >= slot->data.restart_lsn + (uint64) bytes;
	SpinLockRelease(&slot->mutex);
	return result;
}

bool
DecoderWaitsForStandby(const Decoder *decoder)
{
	return decoder->standbys_late != 0 &&
		   MonotonicNow() >= MonotonicAfter(decoder->standbys_late, STANDBY_PATIENCE);
}

int64
DecoderSpillBytes(const Decoder *decoder)
{
	char path[MAXPGPATH];
	int64 bytes = 0;
	DIR *folder;
	struct dirent *entry;

	snprintf(path, sizeof(path), "pg_replslot/%s", decoder->config.slot_name);
	folder = AllocateDir(path);
	if (folder == NULL)
		return 0;
	while ((entry = ReadDirExtended(folder, path, LOG)) != NULL)
	{
		char file[MAXPGPATH * 2];
		struct stat status;

		if (strncmp(entry->d_name, "xid", 3) != 0)
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		if (stat(file, &status) == 0)
			bytes += status.st_size;
	}
	FreeDir(folder);
	return bytes;
}

/*
 * PostgreSQL writes the slot only if it moves in WAL, and then tells nobody how much WAL may
 * go unless the slot's xmin moves, too.
 */
void
DecoderConfirm(Decoder *decoder, XLogRecPtr lsn)
{
	XLogRecPtr restart = DecoderRestartPosition(decoder);

	if (lsn <= decoder->context->slot->data.confirmed_flush)
		return;
	LogicalConfirmReceivedLocation(lsn);
	ReplicationSlotMarkDirty();
	if (DecoderRestartPosition(decoder) != restart)
		ReplicationSlotsComputeRequiredLSN();
}

void
DecoderClose(Decoder *decoder, bool drop)
{
	FreeDecodingContext(decoder->context);
	ReplicationSlotRelease();
	if (drop)
		ReplicationSlotDrop(decoder->config.slot_name, true);
	DecoderAllowPlugin(false);
	MemoryContextDelete(decoder->memory);
}
