/* The head of the one-file executable. Behind it lies the bundle as a .tar.gz, and then a trailer.
 *
 * It unpacks the bundle once, beside those of other versions, and becomes the program inside (exec).
 * There is one process, with the id that was started: a signal, SIGKILL too, hits the server itself,
 * and nothing is left serving. PyInstaller's own one-file mode keeps a parent process, unpacks at
 * every start, and cannot start at all where the temp directory forbids execution.
 *
 * Places, in this order:
 *   $TMPDIR or /tmp       unless it is mounted noexec; in it phoenix-compat-<uid>
 *   the data directory    --data-dir, PHOENIX_COMPAT_DATA_DIR or ./data; in it .program
 *
 * A place is used only if it belongs to this user and nobody else may write to it. Whoever runs from
 * it holds a shared lock on its folder: later versions remove what nobody holds, and cleaners of /tmp
 * leave locked folders alone. Before each start all files are looked for, and unpacked again if one
 * is missing.
 *
 *   cc -O2 -static launcher.c -lz
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define NAME "phoenix-compat"
#define MAGIC "PHXCFILE"
#define DIGEST_LENGTH 16  /* hexadecimal digits of the payload's hash; it names the folder */
#define BLOCK 512         /* of tar */
#define LOCK_TIMEOUT_S 30
#define LOCK_PAUSE_NS 50000000L

struct trailer { /* the last bytes of the file, all of it text */
    char magic[8];
    char offset[16]; /* where the payload begins, hexadecimal */
    char digest[DIGEST_LENGTH];
};

struct payload {
    int file;
    off_t offset;
    char digest[DIGEST_LENGTH + 1];
};

static char why[PATH_MAX + 200]; /* why the place that was tried last cannot be used */

static int no(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return -1;
}

static char told[4 * PATH_MAX]; /* what is printed if no place can be used */

static void tell(const char *format, ...)
{
    size_t used = strlen(told);
    va_list arguments;
    char line[2 * PATH_MAX];

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    snprintf(told + used, sizeof told - used, NAME ": %s\n", line);
}

/* ---- the payload ---- */

static int open_payload(struct payload *payload)
{
    struct trailer trailer;
    char offset[sizeof trailer.offset + 1] = "";

    payload->file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (payload->file < 0)
        return no("cannot read its own file through /proc/self/exe: %s", strerror(errno));
    if (lseek(payload->file, -(off_t)sizeof trailer, SEEK_END) < 0
        || read(payload->file, &trailer, sizeof trailer) != sizeof trailer
        || memcmp(trailer.magic, MAGIC, sizeof trailer.magic) != 0)
        return no("its file is not whole; download it again");
    memcpy(offset, trailer.offset, sizeof trailer.offset);
    payload->offset = strtoll(offset, NULL, 16);
    memcpy(payload->digest, trailer.digest, DIGEST_LENGTH);
    payload->digest[DIGEST_LENGTH] = '\0';
    return 0;
}

static int copy_file(gzFile archive, int folder, const char *name, mode_t mode, long size)
{
    char buffer[BLOCK * 128];
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);

    if (file < 0)
        return no("%s: %s", name, strerror(errno));
    while (size > 0) {
        long padded = (size + BLOCK - 1) / BLOCK * BLOCK;
        int wanted = padded < (long)sizeof buffer ? (int)padded : (int)sizeof buffer;
        long kept = size < wanted ? size : wanted;

        if (gzread(archive, buffer, wanted) != wanted) {
            close(file);
            return no("its file is damaged; download it again");
        }
        for (long done = 0, written; done < kept; done += written)
            if ((written = write(file, buffer + done, kept - done)) < 0) {
                close(file);
                return no("%s: %s", name, strerror(errno));
            }
        size -= kept;
    }
    return close(file) == 0 ? 0 : no("%s: %s", name, strerror(errno));
}

/* One member of the archive: 1, 0 at the archive's end, -1 on failure. */
static int unpack_member(gzFile archive, int folder, FILE *list)
{
    unsigned char header[BLOCK];
    char name[257], link[101] = "";
    long size;
    mode_t mode;

    if (gzread(archive, header, BLOCK) != BLOCK)
        return no("its file is damaged; download it again");
    if (header[0] == '\0') {
        while (gzread(archive, header, BLOCK) > 0) /* to the end, where the checksum is */
            ;
        return gzeof(archive) && gzclose_r(archive) == Z_OK
            ? 0 : no("its file is damaged; download it again");
    }
    if (header[345] != '\0') /* ustar: a prefix of up to 155, a name of up to 100 */
        snprintf(name, sizeof name, "%.155s/%.100s", header + 345, header);
    else
        snprintf(name, sizeof name, "%.100s", header);
    mode = strtol((char *)header + 100, NULL, 8);
    size = strtol((char *)header + 124, NULL, 8);
    switch (header[156]) {
    case '5':
        return mkdirat(folder, name, 0700) == 0 ? 1 : no("%s: %s", name, strerror(errno));
    case '2':
        memcpy(link, header + 157, 100);
        return symlinkat(link, folder, name) == 0 ? 1 : no("%s: %s", name, strerror(errno));
    default:
        fprintf(list, "%ld %s\n", size, name);
        return copy_file(archive, folder, name, mode & 0700, size) == 0 ? 1 : -1;
    }
}

static int unpack(const struct payload *payload, int folder)
{
    int step = 1, list_file = openat(folder, ".files", O_WRONLY | O_CREAT | O_EXCL, 0600);
    FILE *list = list_file < 0 ? NULL : fdopen(list_file, "w");
    gzFile archive = NULL;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* with a position of its own */

    if (list == NULL)
        return no("cannot write: %s", strerror(errno));
    if (file < 0 || lseek(file, payload->offset, SEEK_SET) < 0
        || (archive = gzdopen(file, "rb")) == NULL)
        return no("cannot read its own file: %s", strerror(errno));
    gzbuffer(archive, 1 << 17);
    while (step == 1)
        step = unpack_member(archive, folder, list);
    if (fclose(list) != 0 && step == 0)
        step = no("cannot write: %s", strerror(errno));
    /* A folder that has its name is whole, also after the power went. */
    return step == 0 && syncfs(folder) != 0 ? no("cannot write: %s", strerror(errno)) : step;
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
            return no("cannot be locked: %s", strerror(errno));
        nanosleep(&pause, NULL);
    }
    return no("another start has held it for %d s", LOCK_TIMEOUT_S);
}

/* The folder in a place, made when it is missing; only if nobody else can have put files there. */
static int open_home(const char *home)
{
    struct stat status;
    int folder;

    if (mkdir(home, 0700) != 0 && errno != EEXIST)
        return no("%s", strerror(errno));
    folder = open(home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return no("%s", strerror(errno));
    if (fstat(folder, &status) != 0 || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
        close(folder);
        return no("it belongs to another user, or others may write to it");
    }
    return folder;
}

static int is_whole(int folder)
{
    char line[300];
    int length, whole = 0, file = openat(folder, ".files", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    FILE *list = file < 0 ? NULL : fdopen(file, "r");
    struct stat status;

    if (list == NULL)
        return 0;
    while (fgets(line, sizeof line, list) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%*d %n", &length) != 0
            || fstatat(folder, line + length, &status, AT_SYMLINK_NOFOLLOW) != 0
            || status.st_size != atol(line)) {
            whole = 0;
            break;
        }
        whole = 1;
    }
    fclose(list);
    return whole;
}

/* Remove what is neither this version nor run by anyone; `home` is locked. */
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

/* The unpacked bundle: a descriptor that holds its lock, or -1. `home` is locked. */
static int open_bundle(const char *home, const struct payload *payload, char *path, size_t room)
{
    char fresh[PATH_MAX], aside[PATH_MAX];
    int folder;

    if (snprintf(path, room, "%s/%s", home, payload->digest) >= (int)room - 32
        || snprintf(fresh, sizeof fresh, "%s/new-XXXXXX", home) >= (int)sizeof fresh
        || snprintf(aside, sizeof aside, "%s/old-XXXXXX", home) >= (int)sizeof aside)
        return no("%s", strerror(ENAMETOOLONG));
    /* Without O_CLOEXEC: the program that this becomes keeps the lock. */
    folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (folder < 0 || !is_whole(folder)) {
        if (folder >= 0) {
            /* Whoever runs from it keeps what it has; the name is for the next. */
            close(folder);
            if (mkdtemp(aside) == NULL || rename(path, aside) != 0)
                return no("%s", strerror(errno));
        }
        if (mkdtemp(fresh) == NULL)
            return no("%s", strerror(errno));
        folder = open(fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (folder < 0 || unpack(payload, folder) != 0 || rename(fresh, path) != 0) {
            if (why[0] == '\0')
                no("%s", strerror(errno));
            remove_tree(fresh);
            return -1;
        }
    }
    if (lock(folder, LOCK_SH) != 0)
        return -1;
    return folder;
}

/* Become the program, from this place; back only if that cannot be. */
static void run_from(const char *place, const char *name, const struct payload *payload,
                     char **argv)
{
    char home[PATH_MAX], program[PATH_MAX];
    struct statvfs mounted;
    int home_folder;

    why[0] = '\0';
    if (snprintf(home, sizeof home, "%s/%s", place, name) >= (int)sizeof home)
        no("%s", strerror(ENAMETOOLONG));
    else if (statvfs(place, &mounted) != 0)
        no("%s", strerror(errno));
    else if (mounted.f_flag & ST_NOEXEC)
        no("it is mounted noexec, so no program may run there");
    else if ((home_folder = open_home(home)) >= 0) {
        if (lock(home_folder, LOCK_EX) == 0
            && open_bundle(home, payload, program, sizeof program) >= 0) {
            remove_others(home, payload->digest);
            close(home_folder);
            strcat(program, "/" NAME);
            argv[0] = program;
            execv(program, argv);
            no("%s", strerror(errno));
        }
        close(home_folder);
    }
    tell("cannot unpack in %s: %s", place, why);
}

/* ---- the data directory, as the program itself will find it ---- */

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
            mkdir(partial, 0777); /* as the program makes it; the umask holds */
        }
}

int main(int argc, char **argv)
{
    struct payload payload;
    const char *temp = getenv("TMPDIR"), *data = data_directory(argc, argv);
    char name[64], absolute[PATH_MAX];

    if (open_payload(&payload) != 0) {
        fprintf(stderr, NAME ": %s\n", why);
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
        tell("cannot make the data directory %s: %s", data, strerror(errno));
    fprintf(stderr, "%s" NAME ": set TMPDIR to a folder of your own where programs may run\n", told);
    return 2;
}
