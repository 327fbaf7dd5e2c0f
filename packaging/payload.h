/* Shared by the two halves of the one-file executable: the payload and the error text. */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <sys/types.h>

#define NAME "phoenix-compat"
#define STARTED_AS "_PHOENIX_COMPAT_STARTED_AS" /* see cli/serve.py */
#define DIGEST_LENGTH 16 /* hexadecimal digits of the payload's hash, the name of its folder */

struct payload { /* the bundle in our own executable */
    int file;
    off_t offset;
    char digest[DIGEST_LENGTH + 1];
};

extern char error_text[]; /* the reason of the last failure */

/* Set error_text, with a format as for printf. Always returns -1. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Set error_text to `what` and the text of errno. Always returns -1. */
int fail_errno(const char *what);

/* Find the payload. Returns 0, or -1 when the file is incomplete. */
int open_payload(struct payload *payload);

/* Unpack the payload into an empty folder, and sync it to disk. Returns 0 or -1. */
int unpack(const struct payload *payload, int folder);

/* True when a folder belongs to this user alone and still has all that was unpacked, by type and size. */
int is_complete(int folder);

#endif
