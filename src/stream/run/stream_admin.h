/*
 * stream_admin.h
 *
 * What SQL does to streams.
 */
#ifndef FAST_INGEST_STREAM_ADMIN_H
#define FAST_INGEST_STREAM_ADMIN_H

/* Have the workers let go when the extension is dropped; called by _PG_init. */
extern void StreamAdminInit(void);

/* Raise an ERROR where no stream can work, whatever its definition. */
extern void StreamAdminRequire(void);

#endif
