/*
 * function_schema.h
 *
 * Where the functions are that people call.
 */
#ifndef FAST_INGEST_FUNCTION_SCHEMA_H
#define FAST_INGEST_FUNCTION_SCHEMA_H

/*
 * The schema of the extension, quoted, for statements that call fi_*(). Needs SPI. The extension
 * must exist.
 */
extern char *FunctionSchema(void);

#endif
