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
 * A place is used only if no other user can put files there: our folder in it must belong to this user
 * and be writable only for them, and the place must not be world-writable without the sticky bit. A
 * running program holds a shared lock on the folder of its version: later versions remove only
 * unlocked folders, and cleaners of /tmp skip locked ones. Each start checks the sizes of all files,
 * and unpacks again if one is missing. A folder gets its final name only when it is complete and
 * synced to disk.
 *
 *   cc -O2 -static launcher.c payload.c -lz
 */
#define _GNU_SOURCE
#include "payload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TIMEOUT_S 30
#define LOCK_PAUSE_NS 50000000L

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

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    (void)s, (void)type, (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
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

/* Open our folder in a place, and create it if missing. It must be safe from other users. */
static int open_own_folder(const char *home)
{
    struct stat status;
    int folder;

    if (mkdir(home, 0700) != 0 && errno != EEXIST)
        return fail("%s", strerror(errno));
    folder = open(home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return fail("%s", strerror(errno));
    if (fstat(folder, &status) != 0 || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
        close(folder);
        return fail("it belongs to another user, or others may write to it");
    }
    return folder;
}

/* Remove the folders of other versions that are not running; `home` is locked. */
static void remove_others(const char *home, const char *digest)
{
    DIR *entries = opendir(home);
    struct dirent *entry;
    char path[PATH_MAX];

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        int folder;
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, digest) == 0
            || snprintf(path, sizeof path, "%s/%s", home, entry->d_name) >= (int)sizeof path)
            continue;
        folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder >= 0 && flock(folder, LOCK_EX | LOCK_NB) == 0)
            remove_tree(path);
        if (folder >= 0)
            close(folder);
    }
    if (entries != NULL)
        closedir(entries);
}

/* Rename an incomplete folder, so that a program that runs from it keeps its files. */
static int set_aside(const char *home, const char *bundle)
{
    char aside[PATH_MAX];

    if (snprintf(aside, sizeof aside, "%s/old-XXXXXX", home) >= (int)sizeof aside)
        return fail("%s", strerror(ENAMETOOLONG));
    return mkdtemp(aside) != NULL && rename(bundle, aside) == 0 ? 0 : fail_errno(bundle);
}

static int make_bundle(const char *home, const char *bundle, const struct payload *payload)
{
    char fresh[PATH_MAX];
    int folder, result;

    if (snprintf(fresh, sizeof fresh, "%s/new-XXXXXX", home) >= (int)sizeof fresh)
        return fail("%s", strerror(ENAMETOOLONG));
    if (mkdtemp(fresh) == NULL)
        return fail("%s", strerror(errno));
    /* Without O_CLOEXEC, here and below: the lock must survive exec. */
    folder = open(fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    result = folder < 0 ? fail_errno(fresh) : unpack(payload, folder);
    if (result == 0 && rename(fresh, bundle) != 0)
        result = fail_errno(bundle);
    if (result == 0)
        return folder;
    if (folder >= 0)
        close(folder);
    remove_tree(fresh);
    return -1;
}

/* Open the unpacked bundle. Returns a descriptor that holds its lock, or -1. `home` is locked. */
static int open_bundle(const char *home, const char *bundle, const struct payload *payload)
{
    int folder = open(bundle, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

    if (folder >= 0 && !is_complete(folder)) {
        close(folder);
        folder = -1;
        if (set_aside(home, bundle) != 0)
            return -1;
    }
    if (folder < 0)
        folder = make_bundle(home, bundle, payload);
    if (folder >= 0 && lock(folder, LOCK_SH) != 0) {
        close(folder);
        return -1;
    }
    return folder;
}

static int may_hold_programs(const char *place)
{
    struct statvfs mounted;
    struct stat status;

    if (statvfs(place, &mounted) != 0 || stat(place, &status) != 0)
        return fail("%s", strerror(errno));
    if (mounted.f_flag & ST_NOEXEC)
        return fail("it is mounted noexec, so programs cannot run there");
    if ((status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
        return fail("it is world-writable and has no sticky bit");
    return 0;
}

/* Run the program from this place (exec). Returns only on failure. */
static void run_from(const char *place, const char *name, const struct payload *payload,
                     char **argv)
{
    char home[PATH_MAX], bundle[PATH_MAX], program[PATH_MAX], *started_as = argv[0];
    int home_folder = -1, folder = -1;

    if (snprintf(home, sizeof home, "%s/%s", place, name) >= (int)sizeof home
        || snprintf(bundle, sizeof bundle, "%s/%s", home, payload->digest) >= (int)sizeof bundle
        || snprintf(program, sizeof program, "%s/" NAME, bundle) >= (int)sizeof program)
        fail("%s", strerror(ENAMETOOLONG));
    else if (may_hold_programs(place) == 0 && (home_folder = open_own_folder(home)) >= 0
             && lock(home_folder, LOCK_EX) == 0
             && (folder = open_bundle(home, bundle, payload)) >= 0) {
        remove_others(home, payload->digest);
        argv[0] = program;
        execv(program, argv); /* closes home_folder and so releases its lock */
        fail("%s", strerror(errno));
        argv[0] = started_as;
    }
    if (folder >= 0)
        close(folder);
    if (home_folder >= 0)
        close(home_folder);
    add_report("cannot unpack in %s: %s", place, error_text);
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
            mkdir(partial, 0777); /* like the program; the umask applies */
        }
}

int main(int argc, char **argv)
{
    struct payload payload;
    const char *temp = getenv("TMPDIR"), *data = data_directory(argc, argv);
    char name[64], absolute[PATH_MAX];

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
    if (realpath(data, absolute) != NULL)
        run_from(absolute, ".program", &payload, argv);
    else
        add_report("cannot make the data directory %s: %s", data, strerror(errno));
    fprintf(stderr, "%s" NAME ": set TMPDIR to a folder of yours where programs may run\n", report);
    return 2;
}
