/* What the two halves of the one-file executable share: the payload, and why something failed. */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <sys/types.h>

#define NAME "phoenix-compat"
#define DIGEST_LENGTH 16 /* hexadecimal digits of the payload's hash; it names the folder */

struct payload { /* the bundle, in our own file */
    int file;
    off_t offset;
    char digest[DIGEST_LENGTH + 1];
};

extern char why[]; /* why the last thing that failed did */

/* Note why, as printf does. Always -1, so that a function may return it. */
int no(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Note what could not be done, and errno. Always -1. */
int failed(const char *what);

/* Find the payload. 0, or -1 when the file is not whole. */
int open_payload(struct payload *payload);

/* Unpack it into an empty folder, and see it on the disk. 0 or -1. */
int unpack(const struct payload *payload, int folder);

/* Whether all that was unpacked into a folder is still there, by size. */
int is_whole(int folder);

#endif
