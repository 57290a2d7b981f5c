/*
 * key_image.h
 *
 * The valid API keys in shared memory: an image of table fast_ingest.api_keys (see
 * auth/key_publish.h for when it is made).
 *
 * Who may do what
 * ---------------
 * The image is written and read under a lock, which is held only to copy the image.
 * generation counts the images. It changes under the lock and is read without it. A listener
 * has a copy of its own, and replaces it when the generation is not that of the copy. So
 * checking a key takes one atomic read and no lock.
 *
 * An image may be outdated before it is published. A process that reads the table without
 * the lock of those who change it passes the generation with which it began, and its image
 * is dropped if there has been a later one.
 *
 * An image contains no addresses, only distances from its begin.
 */
#ifndef FAST_INGEST_KEY_IMAGE_H
#define FAST_INGEST_KEY_IMAGE_H

#include "base/sha256.h"
#include "base/text_slice.h"
#include "shared/shared_part.h"

/* A sorted list of texts; n is -1 if the key is not restricted. */
typedef struct
{
	int32 n;
	uint32 items; /* distance of the first item */
} KeyList;

typedef struct
{
	uint64 id;
	Sha256Digest digest;
	Sha256Digest tenant; /* of the tenant's name, which is part of each event_key */
	uint32 scopes;		 /* bits of ApiScope (see auth/api_key.h) */
	int32 rate_limit;	 /* events per second; 0: none, -1: as the settings say */
	int32 burst;		 /* events; -1: as the settings say */
	KeyList site_ids;
	KeyList channels;
	KeyList origins;
} ApiKey;

/* A list as read from a row: n texts, or n = -1 if the key is not restricted. */
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
	char *data; /* the keys, then the lists */
} KeyImage;

extern const SharedPart KeyImagePart;

/*
 * Create an image in the current memory context, for nkeys keys or fast_ingest.max_api_keys,
 * whichever is less.
 */
extern KeyImage *KeyImageCreate(int nkeys);

/* Add a key. False if there is no room for it or its lists; then the image is unchanged. */
extern bool KeyImageAdd(KeyImage *image, const ApiKey *key, const KeyTexts *site_ids,
						const KeyTexts *channels, const KeyTexts *origins);

/* Sort the keys, as KeyImageFind() expects them. */
extern void KeyImageFinish(KeyImage *image);

/* The generation of the published image; 0 before the first. */
extern uint64 KeyImageGeneration(void);

/* Are the keys known? */
extern bool KeyImageIsLoaded(void);

/*
 * Publish an image; NULL says that the keys are not known any more. False, and nothing is
 * published, if the generation is not the expected one. An image that equals the published
 * one changes nothing, not even the generation. Raises no error.
 */
#define ANY_GENERATION PG_UINT64_MAX
extern bool KeyImagePublish(const KeyImage *image, uint64 expected);

/*
 * Claim the task of reading the table. False if a process has claimed it less than interval
 * milliseconds ago.
 */
extern bool KeyImageClaimReading(int64 now, int interval);

/*
 * Make room for this process's copy; called once, before the others below. An ERROR if there
 * is not enough memory.
 */
extern void KeyImageAttach(void);

/*
 * Bring the copy up to date; returns its generation, and in loaded whether the keys are
 * known. Raises no error.
 */
extern uint64 KeyImageRefresh(bool *loaded);

/*
 * Find a key in the copy by its id; NULL if there is none or its digest differs. The result
 * belongs to the copy until the next refresh. Raises no error.
 */
extern const ApiKey *KeyImageFind(uint64 id, const Sha256Digest *digest);

/* The text number i of a list of a key of the copy, which owns it. */
extern Slice KeyListText(const KeyList *list, int i);

/* Is a text in a list of a key of the copy, or the key not restricted? */
extern bool KeyAllows(const KeyList *list, const char *text, size_t len);

#endif
