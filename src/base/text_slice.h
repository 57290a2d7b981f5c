/*
 * text_slice.h
 *
 * Texts with a length and no NUL behind them. Needs no server.
 */
#ifndef FAST_INGEST_TEXT_SLICE_H
#define FAST_INGEST_TEXT_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A text in memory that somebody else owns; data is NULL where there is none. */
typedef struct
{
	const char *data;
	size_t len;
} Slice;

/* Does a text of that length equal a NUL-terminated one? */
static inline bool
IsText(const char *text, size_t len, const char *other)
{
	return len == strlen(other) && memcmp(text, other, len) == 0;
}

#endif
