/*
 * rollup_text.h
 *
 * Event_names, keys and scopes as the rollup stores them. Clients make them up, so their
 * length has a limit.
 */
#ifndef FAST_INGEST_ROLLUP_TEXT_H
#define FAST_INGEST_ROLLUP_TEXT_H

/* Bytes of the longest text that is stored as it is. */
#define ROLLUP_TEXT_SIZE 255

/*
 * Write a text as the rollup stores it, without a NUL, and return how many bytes it has.
 * A longer text than ROLLUP_TEXT_SIZE is cut at a character, and a hash of the whole text
 * stands at its end, so that two long texts stay different.
 */
extern int RollupText(const char *text, size_t len, char result[ROLLUP_TEXT_SIZE]);

#endif
