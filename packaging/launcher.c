/* The launcher of the one-file executable. The bundle is appended to it; see payload.c.
 *
 * It unpacks the bundle once, into a folder of this version, and then replaces itself with the program
 * inside (exec). So there is only one process, with the id that was started: signals, SIGKILL included,
 * reach the server itself. PyInstaller's own one-file mode keeps a parent process, unpacks at every
 * start, and does not work when the temp directory is mounted noexec.
 *
 * It tries these places in order:
 *   $TMPDIR or /tmp       in the folder phoenix-compat-<uid>, unless it is mounted noexec
 *   the data directory    --data-dir, PHOENIX_COMPAT_DATA_DIR or ./data; in the folder .program
 *
 * Nobody but root and this user may be able to change what runs:
 *   - Each path is opened once. Everything after that goes through the descriptor, exec included.
 *   - The place and every folder above it must belong to root or this user, and must not be writable
 *     for others unless it has the sticky bit. Nobody else can rename them, so the paths by which the
 *     program finds its own files (PyInstaller reads /proc/self/exe) stay what they are.
 *   - Our folder in it and all that was unpacked must belong to this user alone.
 *
 * A running program holds a shared lock on the folder of its version: later versions remove only
 * unlocked folders, and cleaners of /tmp skip locked ones. Each start checks type, size, owner and
 * mode of all files, and unpacks again if one is wrong. A folder gets its final name only when it is
 * complete and synced to disk.
 *
 *   cc -O2 -static launcher.c payload.c -lz
 */
#define _GNU_SOURCE
#include "payload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TIMEOUT_S 30
#define LOCK_PAUSE_NS 50000000L
#define MAX_DEPTH 128 /* of folders: above a place, or in one that is removed */
#define MAX_ASIDE 100 /* incomplete folders of this version that programs still use */
#define UNFINISHED "new"
#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW) /* how folders are opened */

static char report[4 * PATH_MAX]; /* printed when no place can be used */

static void add_report(const char *format, ...)
{
    size_t used = strlen(report);
    va_list arguments;
    char line[2 * PATH_MAX];

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    snprintf(report + used, sizeof report - used, NAME ": %s\n", line);
}

/* ---- folders ---- */

/* The path of an open folder, for texts and for argv[0]. */
static const char *path_of(int folder)
{
    static char path[PATH_MAX];
    char link[64];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    return path;
}

static void close_folder(int folder)
{
    if (folder >= 0)
        close(folder);
}

/* Remove a file, or a folder with everything in it. What cannot be removed stays. */
static void remove_tree(int parent, const char *name, int depth)
{
    DIR *entries = NULL;
    struct dirent *entry;
    int folder;

    if (unlinkat(parent, name, 0) == 0 || depth == 0)
        return;
    folder = openat(parent, name, FOLDER | O_CLOEXEC);
    if (folder < 0 || (entries = fdopendir(folder)) == NULL) {
        close_folder(folder);
        return;
    }
    while ((entry = readdir(entries)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_tree(folder, entry->d_name, depth - 1);
    closedir(entries);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static int lock(int folder, int operation)
{
    struct timespec pause = {0, LOCK_PAUSE_NS};

    for (long tries = LOCK_TIMEOUT_S * (1000000000L / LOCK_PAUSE_NS); tries > 0; tries--) {
        if (flock(folder, operation | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail("cannot be locked: %s", strerror(errno));
        nanosleep(&pause, NULL);
    }
    return fail("another start has locked it for %d s", LOCK_TIMEOUT_S);
}

/* Fail unless only root and this user can rename what is in this folder. `root` is /: whoever owns it,
 * in a user namespace perhaps nobody, decides everything anyway. */
static int check_trusted(int folder, const struct stat *status, const struct stat *root)
{
    int by_group = (status->st_mode & S_IWGRP) && status->st_gid != 0;

    if (status->st_uid != 0 && status->st_uid != geteuid() && status->st_uid != root->st_uid)
        return fail("%s belongs to another user", path_of(folder));
    if ((by_group || (status->st_mode & S_IWOTH)) && !(status->st_mode & S_ISVTX))
        return fail("others may write to %s, and it has no sticky bit", path_of(folder));
    return 0;
}

/* Check a folder and all folders above it. */
static int check_path(int place)
{
    struct stat root, status;
    int folder = openat(place, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), above;

    fail("the folders above it cannot be checked"); /* the text, if nothing more is known */
    if (stat("/", &root) != 0)
        return -1;
    for (int depth = 0; folder >= 0 && depth < MAX_DEPTH; depth++) {
        if (fstat(folder, &status) != 0 || check_trusted(folder, &status, &root) != 0)
            break;
        if (status.st_ino == root.st_ino && status.st_dev == root.st_dev) {
            close(folder);
            return 0;
        }
        above = openat(folder, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(folder);
        folder = above;
    }
    close_folder(folder);
    return -1;
}

/* Open a place for our folder. Returns a descriptor, or -1 when programs cannot be kept there. */
static int open_place(const char *path)
{
    struct statvfs mounted;
    /* Symbolic links are followed here alone: what they lead to is checked. */
    int place = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (place < 0 || fstatvfs(place, &mounted) != 0)
        fail("%s", strerror(errno));
    else if (mounted.f_flag & ST_NOEXEC)
        fail("it is mounted noexec, so programs cannot run there");
    else if (check_path(place) == 0)
        return place;
    close_folder(place);
    return -1;
}

/* Open our folder in a place, and create it if missing. */
static int open_own_folder(int place, const char *name)
{
    struct stat status;
    int folder;

    if (mkdirat(place, name, 0700) != 0 && errno != EEXIST)
        return fail("%s", strerror(errno));
    folder = openat(place, name, FOLDER | O_CLOEXEC);
    if (folder < 0)
        return fail("%s", strerror(errno));
    if (fstat(folder, &status) != 0 || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
        close(folder);
        return fail("%s belongs to another user, or others may write to it", name);
    }
    return folder;
}

/* Remove everything but this version, and other versions that are running; `home` is locked. */
static void remove_others(int home, const char *digest)
{
    int listed = openat(home, ".", FOLDER | O_CLOEXEC);
    DIR *entries = listed < 0 ? NULL : fdopendir(listed);
    struct dirent *entry;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        int folder;
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, digest) == 0)
            continue;
        folder = openat(home, entry->d_name, FOLDER | O_CLOEXEC);
        if (folder < 0 || flock(folder, LOCK_EX | LOCK_NB) == 0) /* no folder, or one that is free */
            remove_tree(home, entry->d_name, MAX_DEPTH);
        close_folder(folder);
    }
    if (entries != NULL)
        closedir(entries);
}

/* Rename a folder that is not complete, so that a program that runs from it keeps its files. */
static int set_aside(int home, const char *digest)
{
    char aside[32];

    for (int i = 0; i < MAX_ASIDE; i++) {
        snprintf(aside, sizeof aside, "old-%d", i);
        if (renameat(home, digest, home, aside) == 0)
            return 0;
    }
    return fail_errno(digest);
}

static int make_bundle(int home, const struct payload *payload)
{
    int folder, result;

    remove_tree(home, UNFINISHED, MAX_DEPTH); /* of a start that was killed: `home` is locked */
    if (mkdirat(home, UNFINISHED, 0700) != 0)
        return fail("%s", strerror(errno));
    /* Without O_CLOEXEC, here and below: the lock must survive exec. */
    folder = openat(home, UNFINISHED, FOLDER);
    result = folder < 0 ? fail_errno(UNFINISHED) : unpack(payload, folder);
    if (result == 0 && renameat(home, UNFINISHED, home, payload->digest) != 0)
        result = fail_errno(payload->digest);
    if (result == 0)
        return folder;
    close_folder(folder);
    remove_tree(home, UNFINISHED, MAX_DEPTH);
    return -1;
}

/* Open the unpacked bundle. Returns a descriptor that holds its lock, or -1. `home` is locked. */
static int open_bundle(int home, const struct payload *payload)
{
    int folder = openat(home, payload->digest, FOLDER);

    if (folder < 0 ? errno != ENOENT : !is_complete(folder)) {
        close_folder(folder);
        folder = -1;
        if (set_aside(home, payload->digest) != 0)
            return -1;
    }
    if (folder < 0)
        folder = make_bundle(home, payload);
    if (folder >= 0 && lock(folder, LOCK_SH) != 0) {
        close(folder);
        return -1;
    }
    return folder;
}

/* Run the program from this place (exec). Returns only on failure. */
static void run_from(const char *path, const char *name, const struct payload *payload, char **argv)
{
    char program[PATH_MAX + sizeof NAME + 1], *started_as = argv[0];
    int place = open_place(path), home = -1, folder = -1;

    if (place >= 0 && (home = open_own_folder(place, name)) >= 0 && lock(home, LOCK_EX) == 0
        && (folder = open_bundle(home, payload)) >= 0) {
        remove_others(home, payload->digest);
        snprintf(program, sizeof program, "%s/" NAME, path_of(folder));
        setenv(STARTED_AS, started_as, 1); /* for the commands that the server prints */
        argv[0] = program; /* only a text; what runs is in the folder that was checked */
        syscall(SYS_execveat, folder, NAME, argv, environ, AT_SYMLINK_NOFOLLOW);
        fail("%s", strerror(errno));
        argv[0] = started_as;
    }
    close_folder(folder);
    close_folder(home);
    close_folder(place);
    add_report("cannot unpack in %s: %s", path, error_text);
}

/* ---- the data directory, determined as in the program ---- */

static const char *data_directory(int argc, char **argv)
{
    static const char flag[] = "--data-dir";
    const char *named = getenv("PHOENIX_COMPAT_DATA_DIR");

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], flag, sizeof flag - 1) != 0)
            continue;
        if (argv[i][sizeof flag - 1] == '=')
            named = argv[i] + sizeof flag;
        else if (argv[i][sizeof flag - 1] == '\0' && i + 1 < argc)
            named = argv[i + 1];
    }
    return named != NULL && named[0] != '\0' ? named : "data";
}

static void make_directories(const char *path)
{
    char partial[PATH_MAX];

    for (size_t i = 1; i < sizeof partial && path[i - 1] != '\0'; i++)
        if (path[i] == '/' || path[i] == '\0') {
            snprintf(partial, sizeof partial, "%.*s", (int)i, path);
            mkdir(partial, 0700); /* like the program */
        }
}

int main(int argc, char **argv)
{
    struct payload payload;
    const char *temp = getenv("TMPDIR"), *data = data_directory(argc, argv);
    char name[64];

    if (getauxval(AT_SECURE)) {
        fputs(NAME ": setuid and file capabilities are not supported: the program would not get them\n",
              stderr);
        return 2;
    }
    if (open_payload(&payload) != 0) {
        fprintf(stderr, NAME ": %s\n", error_text);
        return 2;
    }
    snprintf(name, sizeof name, NAME "-%ld", (long)geteuid());
    if (temp == NULL || temp[0] != '/')
        temp = "/tmp";
    run_from(temp, name, &payload, argv);
    make_directories(data);
    run_from(data, ".program", &payload, argv);
    fprintf(stderr, "%s" NAME ": set TMPDIR to a folder of yours where programs may run\n", report);
    return 2;
}
