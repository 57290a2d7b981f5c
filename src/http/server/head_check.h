/*
 * head_check.h
 *
 * Strictness about the head of a request, where libmicrohttpd is lenient: what
 * two readers of the same bytes could take differently is refused, so that no
 * proxy before this server sees other requests than it does.
 */
#ifndef FAST_INGEST_HEAD_CHECK_H
#define FAST_INGEST_HEAD_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a libmicrohttpd leaves the bytes of a head behind: see head_check.c. */
typedef enum
{
	HEAD_UNKNOWN, /* no head can be checked */
	HEAD_0_9,
	HEAD_1_0
} HeadRemains;

/* Those of a version of libmicrohttpd, as MHD_get_version() names it. */
#define HEAD_KNOWN_VERSIONS "0.9.75 to 0.9.77, 1.0.0 or 1.0.1"
extern HeadRemains HeadRemainsOf(const char *version);

/* What the fields of a head say about where its body ends. */
typedef struct
{
	int hosts;
	int lengths;
	int encodings;
	bool chunked;
	bool wrong_length; /* a Content-Length is no number */
	uint64_t length;   /* UINT64_MAX is that and anything above */
} HeadFraming;

/*
 * Take note of a field, with the value as libmicrohttpd sees it, then take the blanks
 * behind the value away: they are no part of it (RFC 9110, section 5.5).
 */
extern void HeadNoteField(HeadFraming *framing, const char *name, char *value);

/*
 * libmicrohttpd 0.9 refuses Content-Length and Transfer-Encoding with blanks behind the value
 * before anybody else sees them. When it has read the request line, move these blanks to the
 * value's front, where it skips them, in what has been received of the other lines.
 *
 * libmicrohttpd does not say how much that is. Its memory must be whole pages, and zero where
 * nothing was received: the page in which the request line ends is all its own, and all before
 * the first NUL was received. Nothing behind either is touched. To be called before the target
 * is changed; target_end is what TargetEnd returned. Nothing is done if the request does not
 * begin a page, which it does in such a memory unless empty lines come before it.
 */
extern void HeadMoveBlanks(char *target, const char *target_end, size_t page_size);

/* What is wrong with the fields together, or NULL. */
extern const char *HeadCheckFraming(const HeadFraming *framing, const char *version);

/*
 * Check the bytes of a head, from its method on, as libmicrohttpd leaves them
 * behind. target_end is what TargetEnd returned. Returns what is wrong, or NULL.
 */
extern const char *HeadCheck(HeadRemains remains, const char *method, const char *target,
							 const char *target_end, const char *version, size_t size);

#endif
