/*
 * json_metadata.h
 *
 * Metadata as jsonb, built while the parser reads it, so its text is read once.
 *
 * This header is the seam between the parser, which needs no server, and jsonb, which
 * does: a fuzz target brings a MetadataAdd of its own.
 */
#ifndef FAST_INGEST_JSON_METADATA_H
#define FAST_INGEST_JSON_METADATA_H

#include "event/event.h"

/* A piece of metadata. The braces of metadata itself are not among them. */
typedef enum
{
	METADATA_BEGIN_OBJECT,
	METADATA_END_OBJECT,
	METADATA_BEGIN_ARRAY,
	METADATA_END_ARRAY,
	METADATA_KEY,
	METADATA_STRING,
	METADATA_NUMBER,
	METADATA_TRUE,
	METADATA_FALSE,
	METADATA_NULL
} MetadataToken;

/*
 * Add a token; text is that of a key, a string or a number, else NULL. The text is not
 * copied: it must live until MetadataFinish. Begins and ends must be balanced when
 * MetadataFinish is called.
 *
 * Allocates in the current memory context. A number that numeric cannot hold sets
 * metadata->error; then all further tokens are ignored.
 */
extern void MetadataAdd(Metadata *metadata, MetadataToken token, const char *text);

/*
 * The jsonb value of all tokens, in the current memory context; NULL with metadata->error set if
 * a token or the whole cannot be stored.
 */
extern struct varlena *MetadataFinish(Metadata *metadata);

#endif
