/* The bundle that is appended to the launcher: a .tar.gz, and a trailer with its offset.
 *
 * The archive is created by archive.py: ustar with files, folders and symbolic links. The gzip checksum
 * protects against damage, not against attackers. Until it has been verified, the unpacked files are
 * in a folder with a temporary name.
 */
#define _GNU_SOURCE
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define LIST ".files" /* in each unpacked bundle: type, size and name of all that is in it */
#define MAGIC "PHXCFILE"
#define BLOCK 512 /* the block size of tar */
#define END 'E'   /* not a tar type: the end of the archive */

struct trailer { /* the last bytes of the executable, all text */
    char magic[8];
    char offset[16]; /* of the payload, hexadecimal */
    char digest[DIGEST_LENGTH];
};

struct member { /* a member of the archive */
    char name[257]; /* ustar: a prefix of up to 155, a slash, a name of up to 100 */
    char link[101];
    char type; /* '0' file, '2' symbolic link, '5' folder, or END */
    mode_t mode;
    long size;
};

char error_text[PATH_MAX + 200];

int fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error_text, sizeof error_text, format, arguments);
    va_end(arguments);
    return -1;
}

int fail_errno(const char *what)
{
    return fail("%s: %s", what, strerror(errno));
}

static int fail_damaged(void)
{
    return fail("the executable is damaged; download it again");
}

int open_payload(struct payload *payload)
{
    struct trailer trailer;
    char offset[sizeof trailer.offset + 1] = "", *end;
    off_t size;

    payload->file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (payload->file < 0)
        return fail_errno("cannot read the executable through /proc/self/exe");
    size = lseek(payload->file, -(off_t)sizeof trailer, SEEK_END);
    if (size < 0 || read(payload->file, &trailer, sizeof trailer) != sizeof trailer
        || memcmp(trailer.magic, MAGIC, sizeof trailer.magic) != 0)
        return fail("the executable is incomplete; download it again");
    memcpy(offset, trailer.offset, sizeof trailer.offset);
    memcpy(payload->digest, trailer.digest, DIGEST_LENGTH);
    payload->digest[DIGEST_LENGTH] = '\0';
    payload->offset = strtoll(offset, &end, 16);
    if (*end != '\0' || payload->offset <= 0 || payload->offset >= size
        || strspn(payload->digest, "0123456789abcdef") != DIGEST_LENGTH)
        return fail_damaged();
    return 0;
}

/* Parse an octal number of a tar header. Returns -1 when it is invalid. */
static long octal(const char *field, size_t width)
{
    long number = 0;
    size_t i = 0;

    for (; i < width && field[i] >= '0' && field[i] <= '7'; i++)
        number = number * 8 + (field[i] - '0');
    return i > 0 && i < width && (field[i] == '\0' || field[i] == ' ') ? number : -1;
}

/* True for a relative name without `..` and control characters, as the list of files needs. */
static int is_plain(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (*c > 0 && *c < ' ')
            return 0;
    return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL;
}

static int read_member(gzFile archive, struct member *member)
{
    char header[BLOCK];
    size_t end;
    long mode;

    if (gzread(archive, header, BLOCK) != BLOCK)
        return fail_damaged();
    member->type = header[0] == '\0' ? END : header[156];
    if (member->type == END)
        return 0;
    if (header[345] != '\0')
        snprintf(member->name, sizeof member->name, "%.155s/%.100s", header + 345, header);
    else
        snprintf(member->name, sizeof member->name, "%.100s", header);
    end = strlen(member->name);
    if (end > 1 && member->name[end - 1] == '/') /* of a folder: a link would pass for it */
        member->name[end - 1] = '\0';
    snprintf(member->link, sizeof member->link, "%.100s", header + 157);
    mode = octal(header + 100, 8);
    member->size = octal(header + 124, 12);
    member->mode = mode & 0700; /* only for this user */
    return mode >= 0 && member->size >= 0 && is_plain(member->name) ? 0 : fail_damaged();
}

static int write_all(int file, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(file, bytes, count);

        if (written < 0)
            return -1;
        bytes += written;
        count -= written;
    }
    return 0;
}

static int unpack_file(gzFile archive, int folder, const struct member *member)
{
    char buffer[BLOCK * 128];
    int result = 0, file;

    file = openat(folder, member->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  member->mode);
    if (file < 0)
        return fail_errno(member->name);
    for (long left = member->size; left > 0 && result == 0; left -= (long)sizeof buffer) {
        long count = left < (long)sizeof buffer ? left : (long)sizeof buffer;
        int padded = (int)(count + BLOCK - 1) / BLOCK * BLOCK;

        if (gzread(archive, buffer, padded) != padded)
            result = fail_damaged();
        else if (write_all(file, buffer, count) != 0)
            result = fail_errno(member->name);
    }
    if (close(file) != 0 && result == 0)
        result = fail_errno(member->name);
    return result;
}

static int unpack_member(gzFile archive, int folder, const struct member *member, FILE *list)
{
    long size = member->type == '2' ? (long)strlen(member->link) : member->size;

    fprintf(list, "%c %ld %s\n", member->type, size, member->name);
    switch (member->type) {
    case '5':
        return mkdirat(folder, member->name, 0700) == 0 ? 0 : fail_errno(member->name);
    case '2':
        return symlinkat(member->link, folder, member->name) == 0 ? 0 : fail_errno(member->name);
    case '0':
        return unpack_file(archive, folder, member);
    default:
        return fail_damaged();
    }
}

static int unpack_archive(gzFile archive, int folder, FILE *list)
{
    struct member member;
    char rest[BLOCK];
    int read;

    do {
        if (read_member(archive, &member) != 0
            || (member.type != END && unpack_member(archive, folder, &member, list) != 0))
            return -1;
    } while (member.type != END);
    while ((read = gzread(archive, rest, sizeof rest)) > 0) /* read to the end, to verify the checksum */
        ;
    return read == 0 ? 0 : fail_damaged();
}

int unpack(const struct payload *payload, int folder)
{
    int list_file = openat(folder, LIST, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int archive_file = dup(payload->file), result = -1;
    FILE *list = list_file < 0 ? NULL : fdopen(list_file, "w");
    gzFile archive = NULL;

    if (list == NULL)
        fail_errno(LIST);
    else if (archive_file < 0 || lseek(archive_file, payload->offset, SEEK_SET) < 0
             || (archive = gzdopen(archive_file, "rb")) == NULL)
        fail_errno("cannot read the executable");
    else if (gzbuffer(archive, 1 << 17) != 0 || gzdirect(archive)) /* not gzip data */
        fail_damaged();
    else
        result = unpack_archive(archive, folder, list);
    if (archive == NULL && archive_file >= 0)
        close(archive_file);
    if (archive != NULL && gzclose_r(archive) != Z_OK && result == 0)
        result = fail_damaged();
    if (list != NULL && fclose(list) != 0 && result == 0)
        result = fail_errno(LIST);
    if (result == 0 && syncfs(folder) != 0) /* before it gets its final name */
        result = fail_errno("cannot write");
    return result;
}

/* True for what was unpacked from a member of this type and size, and belongs to this user alone. */
static int is_ours(const struct stat *status, char type, long size)
{
    int is_private = (status->st_mode & 022) == 0;

    if (status->st_uid != geteuid())
        return 0;
    switch (type) {
    case '5':
        return S_ISDIR(status->st_mode) && is_private;
    case '2': /* has no mode of its own */
        return S_ISLNK(status->st_mode) && status->st_size == size;
    case '0': /* a second name would be one by which it could be changed */
        return S_ISREG(status->st_mode) && is_private && status->st_nlink == 1
            && status->st_size == size;
    default:
        return 0;
    }
}

int is_complete(int folder)
{
    char line[300], *name;
    int whole, file = openat(folder, LIST, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    FILE *list = file < 0 ? NULL : fdopen(file, "r");
    struct stat status;

    if (list == NULL) {
        if (file >= 0)
            close(file);
        return 0;
    }
    whole = fstat(folder, &status) == 0 && (status.st_mode & 077) == 0 && is_ours(&status, '5', 0)
        && fstat(file, &status) == 0 && is_ours(&status, '0', status.st_size)
        && status.st_size > 0;
    while (whole && fgets(line, sizeof line, list) != NULL) {
        long size = strtol(line + 1, &name, 10);

        line[strcspn(line, "\n")] = '\0';
        whole = *name++ == ' ' && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0
            && is_ours(&status, line[0], size);
    }
    fclose(list);
    return whole;
}
