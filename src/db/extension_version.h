/*
 * extension_version.h
 *
 * The version of the library and the version of the SQL objects, which may differ: the
 * objects are older between a server's restart and ALTER EXTENSION UPDATE, and newer where
 * an older library was installed again, or a standby has an older one.
 *
 * Versions with the same first number work together as far as both sides know a thing. An
 * object that is missing is an error of the statement that needs it, and the error says
 * which command repairs it. The library does not work with SQL objects of a later first
 * number: it knows nothing of them, not even how to leave them alone.
 */
#ifndef FAST_INGEST_EXTENSION_VERSION_H
#define FAST_INGEST_EXTENSION_VERSION_H

#include "utils/elog.h"

/* Room for a version and its NUL. */
#define EXTENSION_VERSION_SIZE 32

/* The version of the library: default_version of fast_ingest.control. */
extern const char LibraryVersion[];

/*
 * Read the version of the SQL objects; false if the extension does not exist in this
 * database. Needs a transaction.
 */
extern bool ExtensionVersion(char version[EXTENSION_VERSION_SIZE]);

/* Does the library work with SQL objects of a version? */
extern bool ExtensionVersionIsSupported(const char *version);

/*
 * Remember the version of the SQL objects that this process works with, "" without an
 * extension, for ExtensionExplainError(). Logs once that it is not the library's.
 */
extern void ExtensionNoteVersion(const char *version);

/*
 * Add to the message of an error about a missing object that the versions differ, if they
 * do. The new message is allocated in the current memory context.
 */
extern void ExtensionExplainError(ErrorData *error);

#endif
