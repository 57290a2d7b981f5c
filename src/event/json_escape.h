/*
 * json_escape.h
 *
 * Escapes in JSON that no text of PostgreSQL can hold: U+0000, and half a surrogate
 * pair. PostgreSQL's parser gives up a whole text for one of them. So they are replaced
 * before it reads the text, each by a mark of the same length that it takes for a
 * character, and what they are part of is refused when it has been read.
 *
 * Links without a server.
 */
#ifndef FAST_INGEST_JSON_ESCAPE_H
#define FAST_INGEST_JSON_ESCAPE_H

#include <stddef.h>

/* Replace all of them in JSON, in place and in one pass. */
extern void EscapesReplace(char *json, size_t len);

/* The first mark of such JSON, or NULL. */
extern const char *EscapeFind(const char *json, const char *end);

/* What a mark is in place of, for messages. */
extern const char *EscapeName(const char *mark);

#endif
