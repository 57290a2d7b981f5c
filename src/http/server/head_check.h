/*
 * head_check.h
 *
 * Checks the head of a request more strictly than libmicrohttpd does. A head that two readers
 * could understand differently is refused, so that a proxy in front of this server never
 * sees other requests than the server does. Needs no server.
 */
#ifndef FAST_INGEST_HEAD_CHECK_H
#define FAST_INGEST_HEAD_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a version of libmicrohttpd leaves the bytes of a head behind: see head_check.c. */
typedef enum
{
	HEAD_UNKNOWN, /* heads cannot be checked */
	HEAD_0_9,
	HEAD_1_0
} HeadRemains;

#define HEAD_KNOWN_VERSIONS "0.9.75 to 0.9.77, 1.0.0 or 1.0.1"

/* Which of them a version of libmicrohttpd is, as MHD_get_version() names it. */
extern HeadRemains HeadRemainsOf(const char *version);

/* What the fields of a head say about where its body ends. */
typedef struct
{
	int hosts;
	int lengths;
	int encodings;
	bool chunked;
	bool wrong_length; /* a Content-Length is no number */
	uint64_t length;   /* UINT64_MAX also stands for any larger number */
} HeadFraming;

/*
 * Note what a field says about the body, with its value as libmicrohttpd has it. Then remove
 * the blanks behind the value, which are no part of it (RFC 9110, section 5.5).
 */
extern void HeadNoteField(HeadFraming *framing, const char *name, char *value);

/*
 * libmicrohttpd 0.9 refuses a Content-Length or Transfer-Encoding that has blanks behind its
 * value, before it calls us with the head. This is called when the request line was read. In the
 * lines that have been received, it moves such blanks to the front of the value, where
 * libmicrohttpd skips them.
 *
 * libmicrohttpd does not tell how many bytes have been received. Its memory must consist of
 * whole pages that are zero where nothing was received. Then the whole page in which the
 * request line ends belongs to it, and all bytes before the first NUL have been received.
 * Nothing beyond either is touched. Nothing is done if the request does not begin at the start of
 * a page, which happens only if empty lines come before it.
 *
 * Must be called before the target is changed. target_end is what TargetEnd returned.
 */
extern void HeadMoveBlanks(char *target, const char *target_end, size_t page_size);

/* What is wrong with the fields together, as constant text, or NULL. */
extern const char *HeadCheckFraming(const HeadFraming *framing, const char *version);

/*
 * Check the size bytes of a head, from its method on, as libmicrohttpd leaves them behind.
 * target_end is what TargetEnd returned. Returns what is wrong, as constant text, or NULL.
 */
extern const char *HeadCheck(HeadRemains remains, const char *method, const char *target,
							 const char *target_end, const char *version, size_t size);

#endif
