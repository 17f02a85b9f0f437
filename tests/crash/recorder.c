/* What a program does to the files of one folder, and what it sends, written down in one order.
 *
 * Loaded by LD_PRELOAD. Each record is a header and its data, appended to the file named by
 * CRASH_RECORD_LOG; only files below CRASH_RECORD_FOLDER are of interest. Every call is made and
 * written down under one lock, so that the order of records is the order of calls. An acknowledgement
 * is written down before it is sent: what was told must already be on the disk.
 *
 * A sync fails with EIO, without being made, while the file CRASH_RECORD_FAULTS/wal (or /main, /other)
 * is not empty: each failure takes one byte off it.
 *
 * Memory maps are not seen: SQLite maps the -shm alone, which is lost at a crash. copy_file_range and
 * sendfile into the folder are refused, as on a file system that cannot; programs then read and write.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, LINK, TOLD, MARK, SYNC_FOLDER };
enum { FILES = 4096, NOT_OURS = 0, A_FILE = 1, A_FOLDER = 2 };

struct record {
    uint32_t bytes; /* of data */
    uint8_t kind, failed;
    uint16_t created;
    uint32_t pid;
    int32_t fd;
    int64_t at;
};

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static unsigned char ours[FILES];
static char names[FILES][NAME_MAX + 1];
static const char *folder, *faults;
static size_t folder_length;
static int out = -1;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("CRASH_RECORD_LOG");
    folder = getenv("CRASH_RECORD_FOLDER");
    faults = getenv("CRASH_RECORD_FAULTS");
    if (!log || !folder) return;
    folder_length = strlen(folder);
    int opened = REAL(open64)(log, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (opened < 0) abort();
    out = fcntl(opened, F_DUPFD_CLOEXEC, 1000); /* out of the way of whoever counts descriptors */
    if (out < 0) abort();
    REAL(close)(opened);
}

static void put(int kind, int fd, int64_t at, int failed, int created, const void *data, size_t bytes) {
    struct record head = {bytes, kind, failed, created, getpid(), fd, at};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)data, bytes}};
    if (REAL(writev)(out, parts, 2) != (ssize_t)(sizeof head + bytes)) abort();
}

/* The name within the folder, or NULL; the folder itself is "". */
static const char *within(const char *path) {
    char whole[PATH_MAX];
    if (out < 0 || !path) return NULL;
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole)) return NULL;
        size_t length = strlen(whole);
        if (length + strlen(path) + 2 > sizeof whole) return NULL;
        if (strncmp(whole, folder, folder_length) || whole[folder_length]) return NULL;
        return path;
    }
    if (strncmp(path, folder, folder_length)) return NULL;
    if (!path[folder_length]) return path + folder_length;
    return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

static int kind_of(int fd) { return fd >= 0 && fd < FILES ? ours[fd] : NOT_OURS; }

static int opened(int fd, const char *path, int flags, int there) {
    const char *name = within(path);
    if (fd < 0 || fd >= FILES) return fd;
    ours[fd] = NOT_OURS;
    if (!name) return fd;
    if (!*name || (flags & O_DIRECTORY)) {
        ours[fd] = A_FOLDER;
        return fd;
    }
    size_t length = strlen(name);
    if (length > 4 && !strcmp(name + length - 4, "-shm")) return fd;
    ours[fd] = A_FILE;
    snprintf(names[fd], sizeof names[fd], "%s", name);
    put(OPEN, fd, 0, 0, !there, name, length);
    if (there && (flags & O_TRUNC)) put(TRUNCATE, fd, 0, 0, 0, "", 0);
    return fd;
}

static int there(const char *path) {
    int before = errno, found = !faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW);
    errno = before;
    return found;
}

static mode_t mode_of(int flags, va_list more) {
    return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;
}

#define OPENER(name)                                              \
    int name(const char *path, int flags, ...) {                  \
        va_list more;                                             \
        va_start(more, flags);                                    \
        mode_t mode = mode_of(flags, more);                       \
        va_end(more);                                             \
        if (!within(path)) {                                      \
            int fd = REAL(name)(path, flags, mode);               \
            if (fd >= 0 && fd < FILES) ours[fd] = NOT_OURS;       \
            return fd;                                            \
        }                                                         \
        pthread_mutex_lock(&order);                               \
        int before = there(path);                                 \
        int fd = opened(REAL(name)(path, flags, mode), path, flags, before); \
        pthread_mutex_unlock(&order);                             \
        return fd;                                                \
    }
OPENER(open)
OPENER(open64)

#define OPENER_AT(name)                                           \
    int name(int at, const char *path, int flags, ...) {          \
        va_list more;                                             \
        va_start(more, flags);                                    \
        mode_t mode = mode_of(flags, more);                       \
        va_end(more);                                             \
        if (at != AT_FDCWD && path[0] != '/' && kind_of(at) == A_FOLDER) abort(); \
        if (!within(path)) {                                      \
            int fd = REAL(name)(at, path, flags, mode);           \
            if (fd >= 0 && fd < FILES) ours[fd] = NOT_OURS;       \
            return fd;                                            \
        }                                                         \
        pthread_mutex_lock(&order);                               \
        int before = there(path);                                 \
        int fd = opened(REAL(name)(at, path, flags, mode), path, flags, before); \
        pthread_mutex_unlock(&order);                             \
        return fd;                                                \
    }
OPENER_AT(openat)
OPENER_AT(openat64)

int close(int fd) {
    if (kind_of(fd)) ours[fd] = NOT_OURS;
    return REAL(close)(fd);
}

static ssize_t wrote(int fd, const void *data, ssize_t done, int64_t at) {
    if (done > 0) put(WRITE, fd, at, 0, 0, data, done);
    return done;
}

#define WRITER_AT(name, type)                                     \
    ssize_t name(int fd, const void *data, size_t bytes, type at) { \
        if (kind_of(fd) != A_FILE) return REAL(name)(fd, data, bytes, at); \
        pthread_mutex_lock(&order);                               \
        ssize_t done = wrote(fd, data, REAL(name)(fd, data, bytes, at), at); \
        pthread_mutex_unlock(&order);                             \
        return done;                                              \
    }
WRITER_AT(pwrite, off_t)
WRITER_AT(pwrite64, off64_t)

static void told(int fd, const void *data, size_t bytes) {
    struct stat what;
    if (out < 0 || bytes < 10 || !memmem(data, bytes, "\"ok\":true", 9)) return;
    if (fstat(fd, &what) || !S_ISSOCK(what.st_mode)) return;
    pthread_mutex_lock(&order);
    put(TOLD, fd, 0, 0, 0, data, bytes);
    pthread_mutex_unlock(&order);
}

ssize_t write(int fd, const void *data, size_t bytes) {
    if (kind_of(fd) != A_FILE) {
        told(fd, data, bytes);
        return REAL(write)(fd, data, bytes);
    }
    pthread_mutex_lock(&order);
    ssize_t done = REAL(write)(fd, data, bytes);
    int64_t end = lseek(fd, 0, SEEK_CUR);
    wrote(fd, data, done, end - done);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (kind_of(fd) == A_FILE) abort(); /* nobody does; whoever begins to must be written down */
    for (int i = 0; i < count; i++) told(fd, parts[i].iov_base, parts[i].iov_len);
    return REAL(writev)(fd, parts, count);
}

ssize_t send(int fd, const void *data, size_t bytes, int flags) {
    told(fd, data, bytes);
    return REAL(send)(fd, data, bytes, flags);
}

ssize_t sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to, socklen_t size) {
    told(fd, data, bytes);
    return REAL(sendto)(fd, data, bytes, flags, to, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    for (size_t i = 0; i < message->msg_iovlen; i++)
        told(fd, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
    return REAL(sendmsg)(fd, message, flags);
}

#define TRUNCATER(name, type)                                     \
    int name(int fd, type size) {                                 \
        if (kind_of(fd) != A_FILE) return REAL(name)(fd, size);   \
        pthread_mutex_lock(&order);                               \
        int done = REAL(name)(fd, size);                          \
        if (!done) put(TRUNCATE, fd, size, 0, 0, "", 0);          \
        pthread_mutex_unlock(&order);                             \
        return done;                                              \
    }
TRUNCATER(ftruncate, off_t)
TRUNCATER(ftruncate64, off64_t)

static void grown(int fd, int64_t size) {
    struct stat what;
    if (!fstat(fd, &what) && what.st_size >= size) put(TRUNCATE, fd, what.st_size, 0, 0, "", 0);
}

#define ALLOCATER(name, type)                                     \
    int name(int fd, type at, type bytes) {                       \
        if (kind_of(fd) != A_FILE) return REAL(name)(fd, at, bytes); \
        pthread_mutex_lock(&order);                               \
        int done = REAL(name)(fd, at, bytes);                     \
        if (!done) grown(fd, at + bytes);                         \
        pthread_mutex_unlock(&order);                             \
        return done;                                              \
    }
ALLOCATER(posix_fallocate, off_t)
ALLOCATER(posix_fallocate64, off64_t)

#define FALLOCATER(name, type)                                    \
    int name(int fd, int mode, type at, type bytes) {             \
        if (kind_of(fd) != A_FILE) return REAL(name)(fd, mode, at, bytes); \
        pthread_mutex_lock(&order);                               \
        int done = REAL(name)(fd, mode, at, bytes);               \
        if (!done) grown(fd, at + bytes);                         \
        pthread_mutex_unlock(&order);                             \
        return done;                                              \
    }
FALLOCATER(fallocate, off_t)
FALLOCATER(fallocate64, off64_t)

/* Whether this sync shall fail; takes one off what shall. */
static int due(int fd) {
    char path[PATH_MAX];
    struct stat what;
    size_t length = strlen(names[fd]);
    const char *which = length > 4 && !strcmp(names[fd] + length - 4, "-wal") ? "wal"
                        : length > 3 && !strcmp(names[fd] + length - 3, ".db") ? "main"
                                                                               : "other";
    if (!faults) return 0;
    snprintf(path, sizeof path, "%s/%s", faults, which);
    int before = errno, fails = !stat(path, &what) && what.st_size > 0;
    if (fails && REAL(truncate64)(path, what.st_size - 1)) abort();
    errno = before;
    return fails;
}

static int synced(int fd, int (*call)(int)) {
    int what = kind_of(fd);
    if (!what) return call(fd);
    pthread_mutex_lock(&order);
    int done = -1;
    if (what == A_FILE && due(fd))
        errno = EIO;
    else
        done = call(fd);
    int before = errno;
    put(what == A_FILE ? SYNC : SYNC_FOLDER, fd, 0, done != 0, 0, "", 0);
    errno = before;
    pthread_mutex_unlock(&order);
    return done;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

/* Two names, or one, with a zero byte between them. */
static void named(int kind, const char *first, const char *second) {
    char both[2 * PATH_MAX];
    const char *a = within(first), *b = second ? within(second) : NULL;
    if (!a && !b) return;
    int bytes = snprintf(both, sizeof both, "%s%c%s", a ? a : "/", 0, b ? b : second ? "/" : "");
    put(kind, -1, 0, 0, 0, both, bytes);
}

#define ON_NAMES(kind, call, first, second)                       \
    if (!within(first) && !within(second)) return call;           \
    pthread_mutex_lock(&order);                                   \
    int done = call;                                              \
    int before = errno;                                           \
    if (!done) named(kind, first, second);                        \
    errno = before;                                               \
    pthread_mutex_unlock(&order);                                 \
    return done;

int rename(const char *from, const char *to) { ON_NAMES(RENAME, REAL(rename)(from, to), from, to) }
int renameat(int a, const char *from, int b, const char *to) {
    ON_NAMES(RENAME, REAL(renameat)(a, from, b, to), from, to)
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    if (flags && (within(from) || within(to))) abort();
    ON_NAMES(RENAME, REAL(renameat2)(a, from, b, to, flags), from, to)
}
int link(const char *from, const char *to) { ON_NAMES(LINK, REAL(link)(from, to), from, to) }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    ON_NAMES(LINK, REAL(linkat)(a, from, b, to, flags), from, to)
}
int unlink(const char *path) { ON_NAMES(UNLINK, REAL(unlink)(path), path, (char *)NULL) }
int unlinkat(int at, const char *path, int flags) {
    ON_NAMES(UNLINK, REAL(unlinkat)(at, path, flags), path, (char *)NULL)
}
int mkdir(const char *path, mode_t mode) { ON_NAMES(MKDIR, REAL(mkdir)(path, mode), path, (char *)NULL) }

/* Nobody changes the journal's files so; whoever begins to must be written down. */
int truncate64(const char *path, off64_t size) {
    if (within(path)) abort();
    return REAL(truncate64)(path, size);
}
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags) {
    if (kind_of(fd) == A_FILE) abort();
    return REAL(pwritev64v2)(fd, parts, count, at, flags);
}

ssize_t copy_file_range(int in, off64_t *from, int to, off64_t *at, size_t bytes, unsigned flags) {
    if (kind_of(to) != A_FILE) return REAL(copy_file_range)(in, from, to, at, bytes, flags);
    errno = EINVAL;
    return -1;
}
#undef sendfile
ssize_t sendfile64(int to, int in, off64_t *from, size_t bytes);
static ssize_t sent(int to, int in, off64_t *from, size_t bytes, const char *name) {
    if (kind_of(to) != A_FILE)
        return ((ssize_t(*)(int, int, off64_t *, size_t))real(name))(to, in, from, bytes);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile(int to, int in, off64_t *from, size_t bytes) { return sent(to, in, from, bytes, "sendfile"); }
ssize_t sendfile64(int to, int in, off64_t *from, size_t bytes) { return sent(to, in, from, bytes, "sendfile64"); }
