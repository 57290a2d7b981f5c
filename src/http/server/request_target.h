/*
 * request_target.h
 *
 * The target of a request: what stands between its method and its version (RFC 9112,
 * section 3.2).
 */
#ifndef FAST_INGEST_REQUEST_TARGET_H
#define FAST_INGEST_REQUEST_TARGET_H

#include <stdbool.h>
#include <stddef.h>

/* More parameters than any request has use for. */
#define TARGET_MAX_PARAMETERS 100

/* The end of a target, or NULL if it holds what no target may. */
extern const char *TargetEnd(const char *target);

/*
 * Check a target, and prepare its parameters for libmicrohttpd: empty ones are taken out, and
 * all of them if there are too many or if something is wrong. Returns what is wrong, or NULL.
 */
extern const char *TargetPrepare(char *target, bool *too_many);

/*
 * Replace what need not be escaped in a path by the characters that it stands for (RFC 3986,
 * section 6.2.2.2); any other escape stays. Returns the length.
 */
extern size_t TargetUnescapePath(char *path);

/* The path of a target without its parameters: * of the target *. */
extern const char *TargetPath(const char *target);

#endif
