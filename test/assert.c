/*
 * assert.c
 *
 * Where an assertion of code for the server ends in programs that have no server. A
 * PostgreSQL that was built without assertions never comes here. No header of its own
 * is included: the arguments after the first are others from version to version.
 */
#include <stdio.h>
#include <stdlib.h>

void ExceptionalCondition(const char *condition);

void
ExceptionalCondition(const char *condition)
{
	fprintf(stderr, "assertion failed: %s\n", condition);
	abort();
}
