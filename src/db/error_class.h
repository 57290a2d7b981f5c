/*
 * error_class.h
 *
 * What kind of error it is: worth another try, and fit to be shown?
 */
#ifndef FAST_INGEST_ERROR_CLASS_H
#define FAST_INGEST_ERROR_CLASS_H

#include "utils/elog.h"

/* Room for an error's description, with its NUL; longer ones are cut. */
#define ERROR_DESCRIPTION_SIZE 256

/*
 * Does an error say "not now" rather than "never"? Then the same work is worth another try.
 */
extern bool ErrorIsTransient(int sqlerrcode);

/* Does an error say that a lock could not be obtained: a timeout, or a deadlock? */
extern bool ErrorIsOfLock(int sqlerrcode);

/*
 * Say that users' triggers run in this process and see events, so that their errors may
 * quote one: a flusher at its start, a query worker before it stores events.
 */
extern void ErrorExpectUserTriggers(void);

/*
 * Describe an error for the log and for clients without a key. True: by its message. False:
 * the message may quote an event, so the description has only the error's code and the
 * constraint or column that it is about.
 */
extern bool ErrorDescribe(const ErrorData *error, char description[ERROR_DESCRIPTION_SIZE]);

/*
 * Copy the message or description of an error into so many bytes. A longer one is cut, but
 * not within a character: SQL may show the copy as a text.
 */
extern void ErrorCopyText(char *copy, const char *text, size_t size);

#endif
