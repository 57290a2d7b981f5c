/*
 * request_target.h
 *
 * The target of a request, which stands between method and version (RFC 9112, section 3.2).
 * Needs no server.
 */
#ifndef FAST_INGEST_REQUEST_TARGET_H
#define FAST_INGEST_REQUEST_TARGET_H

#include <stdbool.h>
#include <stddef.h>

/* The most parameters a target may have. No request needs so many. */
#define TARGET_MAX_PARAMETERS 100

/* The end of a target; NULL if it is empty or holds a blank or a control character. */
extern const char *TargetEnd(const char *target);

/*
 * Check a target, and prepare its parameters for libmicrohttpd: empty ones are removed. All
 * parameters are removed if there are too many of them (sets too_many) or if the target is
 * wrong. Returns what is wrong, as constant text, or NULL.
 */
extern const char *TargetPrepare(char *target, bool *too_many);

/*
 * Unescape the characters of a path that need no escape (RFC 3986, section 6.2.2.2). All other
 * escapes stay as they are. Returns the new length.
 */
extern size_t TargetUnescapePath(char *path);

/* The path of a target without parameters; "*" if the target is "*". */
extern const char *TargetPath(const char *target);

#endif
