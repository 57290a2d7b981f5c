/*
 * tap.h
 *
 * The Test Anything Protocol for the unit tests.
 */
#ifndef FAST_INGEST_TAP_H
#define FAST_INGEST_TAP_H

#include <stdio.h>
#include <stdlib.h>

static int tap_tests = 0;
static int tap_failed = 0;

/* Report one check; if it fails, print its place. */
#define ok(condition, ...) \
	do \
	{ \
		int passed = (condition); \
		tap_failed += !passed; \
		printf("%sok %d - ", passed ? "" : "not ", ++tap_tests); \
		printf(__VA_ARGS__); \
		printf("\n"); \
		if (!passed) \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
	} while (0)

/* Print the plan; returns the exit status. */
static inline int
tap_done(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failed > 0;
}

#endif
