/*
 * decoder_private.h
 *
 * What the decoder, the slots and the output plugin share.
 */
#ifndef FAST_INGEST_DECODER_PRIVATE_H
#define FAST_INGEST_DECODER_PRIVATE_H

#include "stream/decode/decoder.h"

#include "replication/logical.h"

/* The name of our library, and so of its output plugin. */
#define DECODER_PLUGIN "fast_ingest"

/* Found by the plugin in context->output_writer_private; NULL while a slot is being made. */
struct Decoder
{
	DecoderConfig config;
	Spool *spool;
	MemoryContext memory; /* of all of it */
	LogicalDecodingContext *context;
	XLogRecPtr position;

	/* standbys of a failover slot: up to where they have WAL, and what is asked next */
	XLogRecPtr standbys_have;
	XLogRecPtr standbys_wanted;
	int64 standbys_told; /* when the log was told that they lag, see clock.h */
	int64 standbys_late; /* since when they lag; 0: they do not */

	/* of the transaction that the plugin is shown */
	uint64 n;		   /* INSERTs of events so far */
	bool has_historic; /* the catalog caches have been filled by historic snapshots */
	MemoryContext row; /* reset for each row */
	StringInfoData line;
};

/* Allow our output plugin in this process, or not. */
extern void DecoderAllowPlugin(bool allowed);

/* For CreateDecodingContext(): read WAL up to the limit given to DecoderReadRecord(). */
extern int DecoderReadPage(XLogReaderState *reader, XLogRecPtr page, int len, XLogRecPtr record,
						   char *buffer);

#define DECODER_READER \
	XL_ROUTINE(.page_read = DecoderReadPage, .segment_open = wal_segment_open, \
			   .segment_close = wal_segment_close)

/*
 * Read and process the next record. False if it does not end before limit, or if before(), which
 * is called when it has been read, returns false.
 */
extern bool DecoderReadRecord(LogicalDecodingContext *context, XLogRecPtr limit,
							  bool (*before)(XLogReaderState *reader, void *arg), void *arg);

/* An ERROR if the process has been excepted from vacuum's horizon, as walsenders are. */
extern void DecoderCheckHorizon(void);

#endif
