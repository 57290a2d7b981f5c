/*
 * clickhouse_answer.h
 *
 * What an answer of ClickHouse says, of any version from 18.16 on. A pure function of bytes
 * that another system chose. Links without a server.
 */
#ifndef FAST_INGEST_CLICKHOUSE_ANSWER_H
#define FAST_INGEST_CLICKHOUSE_ANSWER_H

#include <stdbool.h>

#include "base/text_slice.h"
#include "stream/wire/wire_message.h"

typedef enum
{
	CLICKHOUSE_OK,
	CLICKHOUSE_ROW,		/* it could not read a row, and has written none */
	CLICKHOUSE_NOTHING, /* something else is wrong, and it has written nothing */
	CLICKHOUSE_RUNNING, /* a query with this query_id is running */
	CLICKHOUSE_DOUBT	/* something is wrong, and it may have written rows */
} ClickHouseMeaning;

typedef struct
{
	ClickHouseMeaning meaning;
	int code;						 /* of the exception; 0: none was found */
	char message[WIRE_MESSAGE_SIZE]; /* has no value of an event in it */
} ClickHouseAnswer;

/*
 * Read an answer: its HTTP status, header X-ClickHouse-Exception-Code (data NULL if there is
 * none) and body. The answer to an INSERT is good only with an empty body.
 */
extern void ClickHouseAnswerRead(int status, Slice code, Slice body, bool is_insert,
								 ClickHouseAnswer *answer);

/* One line of an answer in format TabSeparated: its fields. */
#define CLICKHOUSE_MAX_FIELDS 8

typedef struct
{
	int nfields;
	Slice fields[CLICKHOUSE_MAX_FIELDS];
} ClickHouseLine;

/*
 * Read the line at *position and move *position behind it. Fields are unescaped in place:
 * the text is changed. False at the end, and for a line that has too many fields or no end.
 */
extern bool ClickHouseLineRead(char *text, size_t len, size_t *position, ClickHouseLine *line);

/* A field that is a number in decimal digits; false if it is none or too great. */
extern bool ClickHouseNumber(Slice field, unsigned long long *number);

/*
 * Read "YEAR.MONTH..." of a version as YEAR * 100 + MONTH: 2303 for "23.3.1.2823". 0 if it is
 * not one.
 */
extern int ClickHouseVersion(Slice text);

#endif
