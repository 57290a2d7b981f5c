/*
 * wire_message.h
 *
 * Messages about a target: they end in fi_streams(), in the log and in shared memory. Links
 * without a server.
 */
#ifndef FAST_INGEST_WIRE_MESSAGE_H
#define FAST_INGEST_WIRE_MESSAGE_H

#include <stddef.h>

/* Room for a message, with its NUL. */
#define WIRE_MESSAGE_SIZE 256

/*
 * Copy a text that a target may have sent into a message of WIRE_MESSAGE_SIZE bytes: one line
 * of printable ASCII, cut off where the room ends.
 */
extern void WireMessageCopy(char *message, const char *text, size_t len);

#endif
