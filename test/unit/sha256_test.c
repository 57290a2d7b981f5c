/*
 * sha256_test.c
 *
 * SHA-256 of texts whose digests are published, whole and in pieces.
 */
#include "postgres_fe.h"

#include "base/sha256.h"
#include "tap.h"

static Slice
slice(const char *text)
{
	return (Slice){text, strlen(text)};
}

/*
 * Compare a digest with one in hexadecimal digits
 */
static bool
has_digits(const Sha256Digest *digest, const char *digits)
{
	char text[2 * PG_SHA256_DIGEST_LENGTH + 1];

	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		sprintf(text + 2 * i, "%02x", digest->bytes[i]);
	return strcmp(text, digits) == 0;
}

int
main(void)
{
	static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	Slice pieces[] = {slice("a"), slice(""), slice("bc")};
	Sha256Digest whole = {{0}};
	Sha256Digest again = {{0}};

	ok(Sha256Once(slice("abc"), &whole) && has_digits(&whole, abc), "a text");
	ok(Sha256Once(slice(""), &again) && has_digits(&again, empty), "an empty text");
	ok(!Sha256DigestEquals(&whole, &again), "other digests differ");
	ok(Sha256(Sha256ProcessContext(), pieces, lengthof(pieces), &again) &&
		   Sha256DigestEquals(&whole, &again),
	   "a text in pieces");
	ok(Sha256(Sha256ProcessContext(), NULL, 0, &again) && has_digits(&again, empty),
	   "no piece, with a context that was used before");
	again = whole;
	again.bytes[PG_SHA256_DIGEST_LENGTH - 1] ^= 1;
	ok(!Sha256DigestEquals(&whole, &again), "digests that differ in their last bit differ");
	ok(!Sha256(NULL, pieces, lengthof(pieces), &again), "without a context there is no digest");
	return tap_done();
}
