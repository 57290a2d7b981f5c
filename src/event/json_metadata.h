/*
 * json_metadata.h
 *
 * metadata as jsonb, built while the parser reads it: its text is never read a
 * second time.
 */
#ifndef FAST_INGEST_JSON_METADATA_H
#define FAST_INGEST_JSON_METADATA_H

#include "event/parse.h"

/* Forget what was built, and begin anew in the current memory context. */
extern void MetadataReset(void);

/*
 * Add a token. Raises an ERROR for a number that numeric cannot hold. The text
 * is not copied: it must live until MetadataFinish.
 */
extern void MetadataAdd(MetadataToken token, const char *text);

/* The jsonb of all tokens, as a Datum in the current memory context. */
extern Datum MetadataFinish(void);

#endif
