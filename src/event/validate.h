/*
 * validate.h
 *
 * The rules for an event, beyond the types of its fields.
 */
#ifndef FAST_INGEST_VALIDATE_H
#define FAST_INGEST_VALIDATE_H

#include "event/event.h"

/*
 * Check an event whose fields have been parsed, and set the fields that follow from its
 * form. On a violation false, with a message in error that names the field, the value and
 * what is allowed.
 */
extern bool EventValidate(Event *event, const EventRules *rules, char error[EVENT_ERROR_SIZE]);

/*
 * Quote text in UTF-8 for a message, cut to a readable length at a character boundary. The
 * result is in a static buffer, which the call after the next one reuses.
 */
extern const char *QuoteValue(const char *data, size_t len);

#endif
