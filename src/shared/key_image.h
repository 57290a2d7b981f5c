/*
 * key_image.h
 *
 * The API keys that are valid, in shared memory, as an image of table
 * fast_ingest.api_keys (see key_publish.h for when it is made).
 *
 * Who may do what
 * ---------------
 * The image is written and read under the table's lock, which is held only to copy
 * it. generation counts the images; it changes under the lock and is read without.
 * A listener has a copy of its own, and takes another one when the generation is not
 * that of its copy. So checking a key costs one atomic read and no lock.
 *
 * An image can be given up in favour of a later one: who publishes what it has
 * read without the lock of writers says which generation it began with.
 *
 * No address is kept in an image, only distances from its begin.
 */
#ifndef FAST_INGEST_KEY_IMAGE_H
#define FAST_INGEST_KEY_IMAGE_H

#include "base/sha256.h"

/* Texts in order; n is -1 where the key is not restricted. */
typedef struct
{
	int32 n;
	uint32 items; /* distance of the first one's place */
} KeyList;

typedef struct
{
	uint64 id;
	Sha256Digest digest;
	Sha256Digest tenant; /* of its name: events of one tenant are kept apart from others' */
	uint32 scopes;
	int32 rate_limit; /* events per second; 0: none, -1: that of the settings */
	int32 burst;	  /* events; -1: that of the settings */
	KeyList site_ids;
	KeyList channels;
	KeyList origins;
} ApiKey;

/* A list as it is read from a row: n texts, or n = -1. */
typedef struct
{
	int n;
	const char **texts;
	size_t *lens;
} KeyTexts;

/* An image being made. */
typedef struct
{
	int nkeys;
	size_t used;
	char *data; /* the keys, in order of their ids once it is finished; then the lists */
} KeyImage;

/* For shared_state.c: ask for shared memory; make it, or find it. */
extern void KeyImageRequest(void);
extern void KeyImageStartup(void);

/*
 * Make an image in the current memory context. Add: false if there is no more room,
 * and then the image is as it was.
 */
extern KeyImage *KeyImageCreate(int nkeys);
extern bool KeyImageAdd(KeyImage *image, const ApiKey *key, const KeyTexts *site_ids,
						const KeyTexts *channels, const KeyTexts *origins);
extern void KeyImageFinish(KeyImage *image);

/* The generation of the image that is published, and whether there is one. */
extern uint64 KeyImageGeneration(void);
extern bool KeyImageIsLoaded(void);

/*
 * Publish an image; NULL says that the keys are not known any more. With an expected
 * generation it does nothing and returns false if another one is published. What is
 * published already stays, with its generation. Raises no error.
 */
#define ANY_GENERATION PG_UINT64_MAX
extern bool KeyImagePublish(const KeyImage *image, uint64 expected);

/*
 * Take it on oneself to look at the table; false if some process did so less than
 * interval (ms) ago.
 */
extern bool KeyImageClaimLook(int64 now, int interval);

/*
 * The listener's copy. Attach: once, makes room. Refresh: brings it up to date and
 * returns its generation; false in loaded where the keys are not known. Find: the key
 * that the client sent, NULL if it is not valid; what it points to is the copy's until
 * the next refresh. Neither raises an error.
 */
extern void KeyImageAttach(void);
extern uint64 KeyImageRefresh(bool *loaded);
extern const ApiKey *KeyImageFind(uint64 id, const Sha256Digest *digest);

/* Is the text among those of a key of the copy, or the key not restricted? */
extern bool KeyAllows(const KeyList *list, const char *text, size_t len);

#endif
