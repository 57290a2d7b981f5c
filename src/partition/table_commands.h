/*
 * table_commands.h
 *
 * Commands of users on fast_ingest.events.
 */
#ifndef FAST_INGEST_TABLE_COMMANDS_H
#define FAST_INGEST_TABLE_COMMANDS_H

/* See the commands from now on; called by _PG_init. */
extern void TableCommandsHookInit(void);

#endif
