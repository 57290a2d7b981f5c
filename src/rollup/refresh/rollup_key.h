/*
 * rollup_key.h
 *
 * What identifies a row of fast_ingest.rollup, but for the parts of a key (see
 * merge_write.c).
 */
#ifndef FAST_INGEST_ROLLUP_KEY_H
#define FAST_INGEST_ROLLUP_KEY_H

#define KEY_COLUMNS "breakdown, level, event_name, bucket, scope, key, is_other, is_other_name"

#endif
