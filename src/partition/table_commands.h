/*
 * table_commands.h
 *
 * Commands of users on fast_ingest.events: some are refused, and new partitions get what
 * they need.
 */
#ifndef FAST_INGEST_TABLE_COMMANDS_H
#define FAST_INGEST_TABLE_COMMANDS_H

/* Watch for these commands; called by _PG_init. */
extern void TableCommandsInit(void);

#endif
