/*
 * head.h
 *
 * Strictness about the head of a request, where libmicrohttpd is lenient: what
 * two readers of the same bytes could take differently is refused, so that no
 * proxy before this server sees other requests than it does.
 */
#ifndef FAST_INGEST_HEAD_H
#define FAST_INGEST_HEAD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The end of a request's target, or NULL if it holds what no target may (RFC
 * 9112, section 3.2). To be called before libmicrohttpd unescapes it.
 */
extern const char *HeadCheckTarget(const char *target);

/*
 * Where the parameters of a target begin, if they are more than any request has
 * use for; else NULL.
 */
extern const char *HeadExcessParameters(const char *target);

/*
 * Check the bytes of a head, from its method on, as libmicrohttpd leaves them
 * behind: see head.c. target_end is what HeadCheckTarget returned. Returns
 * what is wrong, or NULL; *chunked says how the body comes.
 */
extern const char *HeadCheck(const char *method, const char *target, const char *target_end,
							 const char *version, size_t size, bool *chunked);

#endif
