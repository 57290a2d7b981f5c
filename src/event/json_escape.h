/*
 * json_escape.h
 *
 * Escapes in JSON that PostgreSQL cannot store as text: U+0000, and half a surrogate pair.
 * PostgreSQL's parser rejects a whole body because of one. So we replace each one with a mark
 * of the same length before parsing. The parser reads a mark as a character, and parse.c
 * rejects the event that holds it.
 *
 * Links without a server.
 */
#ifndef FAST_INGEST_JSON_ESCAPE_H
#define FAST_INGEST_JSON_ESCAPE_H

#include <stddef.h>

/* Replace all such escapes in len bytes of JSON, in place and in one pass. */
extern void EscapesReplace(char *json, size_t len);

/* The first mark in JSON from which the escapes were replaced, or NULL. */
extern const char *EscapeFind(const char *json, const char *end);

/* What a mark stands for, for messages. */
extern const char *EscapeName(const char *mark);

#endif
