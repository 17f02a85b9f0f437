/* Makes one system call of a process fail, or every one from the n-th to the last: to be preloaded.

   A call counts if its file lies below a watched folder, or if its socket was bound there; calls are
   counted by kind, over all threads. Nothing is counted before `faults_arm` or `faults_listen`, which
   the process calls itself once its imports are done. A call that fails is not made: the disk is as
   it was before. Each is written to the report's descriptor: kind, number, errno, path.

       gcc -shared -fPIC -O1 -o shim.so shim.c -ldl
*/
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum kind { OPEN, READ, WRITE, SYNC, TRUNCATE, FALLOCATE, MMAP, ACCEPT, RECV, SEND, RENAME,
            UNLINK, STAT, FLOCK, KINDS };
static const char *const NAMES[KINDS] = {
    "open", "read", "write", "sync", "truncate", "fallocate", "mmap", "accept", "recv", "send",
    "rename", "unlink", "stat", "flock"};

typedef void (*listener_t)(int kind, long number, const char *path, const char *stack);

enum { FOLDERS = 4, PATH = 4096, FRAMES = 24 };
static char folders[FOLDERS][PATH];
static int watched;
static atomic_int armed;
static int fail_kind = -1, fail_errno, report = -1;
static long fail_first, fail_last;
static char fail_name[256];
static atomic_long counted[KINDS];
static atomic_long failed;
static listener_t listener;
static __thread int inside;

/* ── for the process ─────────────────────────────────────────────────────────────────────── */

/* Count what concerns files and sockets below this folder. */
void faults_watch(const char *folder) {
    if (watched < FOLDERS)
        snprintf(folders[watched++], PATH, "%s", folder);
}

/* Fail the calls `first` to `last` of a kind, of files whose name ends in `name` ("" is any), or of
   the open file with the inode 7 ("#7"), whatever became of its name. */
void faults_arm(const char *kind, long first, long last, int error, const char *name, int descriptor) {
    for (int each = 0; each < KINDS; each++)
        if (!strcmp(NAMES[each], kind))
            fail_kind = each;
    fail_first = first;
    fail_last = last;
    fail_errno = error;
    report = descriptor;
    snprintf(fail_name, sizeof fail_name, "%s", name);
    armed = 1;
}

/* Tell `hears` of each call that counts, with its path and the frames of SQLite that made it. */
void faults_listen(listener_t hears) {
    listener = hears;
    armed = 1;
}

/* Count and fail no more. */
void faults_disarm(void) { armed = 0; }

/* How many calls have failed by now. */
long faults_failed(void) { return failed; }

/* ── which calls count ───────────────────────────────────────────────────────────────────── */

static int ours(const char *path) {
    for (int each = 0; each < watched; each++) {
        size_t length = strlen(folders[each]);
        if (!strncmp(path, folders[each], length) && (path[length] == '/' || !path[length]))
            return 1;
    }
    return 0;
}

static int path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, (size_t)PATH - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, "socket:", 7))
        return 1;
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    if (syscall(SYS_getsockname, descriptor, &address, &size))
        return 0;
    if (address.sun_family == AF_INET || address.sun_family == AF_INET6) {
        snprintf(path, PATH, "%s/tcp", folders[0]);
        return 1;
    }
    if (address.sun_family != AF_UNIX || size <= offsetof(struct sockaddr_un, sun_path))
        return 0;
    snprintf(path, PATH, "%.*s", (int)sizeof address.sun_path, address.sun_path);
    return 1;
}

static void stack_of(char *text, size_t room) {
    void *frames[FRAMES];
    int depth = backtrace(frames, FRAMES);
    size_t used = 0;
    text[0] = 0;
    for (int each = 0; each < depth; each++) {
        Dl_info found;
        if (!dladdr(frames[each], &found) || !found.dli_fname || !strstr(found.dli_fname, "sqlite3.so"))
            continue;
        used += snprintf(text + used, room - used, "%s%lx", used ? " " : "",
                         (unsigned long)((char *)frames[each] - (char *)found.dli_fbase));
        if (used >= room)
            return;
    }
}

/* The errno with which this call of a file of ours has to fail; 0 where it is to be made. */
static int verdict(enum kind kind, const char *path) {
    long number = atomic_fetch_add(&counted[kind], 1) + 1;
    if (listener) {
        char stack[1024];
        stack_of(stack, sizeof stack);
        listener(kind, number, path, stack);
        return 0;
    }
    if ((int)kind != fail_kind || number < fail_first || number > fail_last)
        return 0;
    atomic_fetch_add(&failed, 1);
    if (report >= 0) {
        char line[PATH + 128];
        int length = snprintf(line, sizeof line, "%s %ld %d %s\n", NAMES[kind], number, fail_errno, path);
        syscall(SYS_write, report, line, (size_t)length);
    }
    return fail_errno;
}

static int named(const char *path, int descriptor) {
    if (fail_name[0] == '#') {
        struct stat found;
        return descriptor >= 0 && !syscall(SYS_fstat, descriptor, &found)
            && found.st_ino == (ino_t)atoll(fail_name + 1);
    }
    size_t length = strlen(path), wanted = strlen(fail_name);
    return !wanted || (length >= wanted && !strcmp(path + length - wanted, fail_name));
}

static int judged(enum kind kind, const char *path, int descriptor) {
    if (!ours(path) || !named(path, descriptor))
        return 0;
    inside = 1;
    int error = verdict(kind, path);
    inside = 0;
    return error;
}

static int by_descriptor(enum kind kind, int descriptor) {
    char path[PATH];
    if (!armed || inside)
        return 0;
    int before = errno, error = 0;
    if (path_of(descriptor, path))
        error = judged(kind, path, descriptor);
    errno = before;
    return error;
}

static int by_name(enum kind kind, int folder, const char *name) {
    char path[2 * PATH];
    if (!armed || inside || !name)
        return 0;
    int before = errno, error = 0;
    if (name[0] == '/' || folder == AT_FDCWD)
        snprintf(path, sizeof path, "%s", name);
    else if (path_of(folder, path)) {
        size_t length = strlen(path);
        snprintf(path + length, sizeof path - length, "/%s", name);
    } else
        path[0] = 0;
    error = judged(kind, path, -1);
    errno = before;
    return error;
}

/* ── the calls ───────────────────────────────────────────────────────────────────────────── */

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL(error, result) \
    do { \
        int verdict_ = (error); \
        if (verdict_) { \
            errno = verdict_; \
            return result; \
        } \
    } while (0)
#define BY_DESCRIPTOR(kind, type, name, parameters, arguments) \
    type name parameters { \
        REAL(name); \
        FAIL(by_descriptor(kind, fd), (type)-1); \
        return real arguments; \
    }
#define BY_NAME(kind, type, name, parameters, folder, arguments) \
    type name parameters { \
        REAL(name); \
        FAIL(by_name(kind, folder, path), (type)-1); \
        return real arguments; \
    }
#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        FAIL(by_name(OPEN, AT_FDCWD, path), -1); \
        return real(path, flags, mode); \
    }
#define OPENS_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        FAIL(by_name(OPEN, folder, path), -1); \
        return real(folder, path, flags, mode); \
    }
#define CONTROLS(name) \
    int name(int fd, int command, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, command); \
        void *argument = va_arg(more, void *); \
        va_end(more); \
        if ((command == F_SETLK || command == F_SETLKW) && \
            ((struct flock *)argument)->l_type != F_UNLCK) /* an unlock does not fail */ \
            FAIL(by_descriptor(FLOCK, fd), -1); \
        return real(fd, command, argument); \
    }
#define MAPS(name) \
    void *name(void *address, size_t length, int protection, int flags, int fd, off_t offset) { \
        REAL(name); \
        if (fd >= 0) \
            FAIL(by_descriptor(MMAP, fd), MAP_FAILED); \
        return real(address, length, protection, flags, fd, offset); \
    }
#define ALLOCATES(name) \
    int name(int fd, off_t offset, off_t length) { \
        REAL(name); \
        int error = by_descriptor(FALLOCATE, fd); \
        return error ? error : real(fd, offset, length); /* its result is the error */ \
    }
#define RENAMES(name, parameters, folder, arguments) \
    int name parameters { \
        REAL(name); \
        FAIL(by_name(RENAME, folder, path), -1); \
        return real arguments; \
    }

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

BY_DESCRIPTOR(READ, ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
BY_DESCRIPTOR(READ, ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
BY_DESCRIPTOR(READ, ssize_t, pread64, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
BY_DESCRIPTOR(READ, ssize_t, readv, (int fd, const struct iovec *data, int count), (fd, data, count))
BY_DESCRIPTOR(WRITE, ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
BY_DESCRIPTOR(WRITE, ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
BY_DESCRIPTOR(WRITE, ssize_t, pwrite64, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
BY_DESCRIPTOR(WRITE, ssize_t, writev, (int fd, const struct iovec *data, int count), (fd, data, count))
BY_DESCRIPTOR(SYNC, int, fsync, (int fd), (fd))
BY_DESCRIPTOR(SYNC, int, fdatasync, (int fd), (fd))
BY_DESCRIPTOR(TRUNCATE, int, ftruncate, (int fd, off_t size), (fd, size))
BY_DESCRIPTOR(TRUNCATE, int, ftruncate64, (int fd, off_t size), (fd, size))
ALLOCATES(posix_fallocate)
ALLOCATES(posix_fallocate64)
MAPS(mmap)
MAPS(mmap64)

BY_DESCRIPTOR(ACCEPT, int, accept, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
BY_DESCRIPTOR(ACCEPT, int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
              (fd, address, size, flags))
BY_DESCRIPTOR(RECV, ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
BY_DESCRIPTOR(RECV, ssize_t, recvfrom,
              (int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length),
              (fd, data, size, flags, from, length))
BY_DESCRIPTOR(RECV, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
BY_DESCRIPTOR(SEND, ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
BY_DESCRIPTOR(SEND, ssize_t, sendto,
              (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length),
              (fd, data, size, flags, to, length))
BY_DESCRIPTOR(SEND, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))

RENAMES(rename, (const char *path, const char *to), AT_FDCWD, (path, to))
RENAMES(renameat, (int from, const char *path, int into, const char *to), from, (from, path, into, to))
BY_NAME(UNLINK, int, unlink, (const char *path), AT_FDCWD, (path))
BY_NAME(UNLINK, int, unlinkat, (int folder, const char *path, int flags), folder, (folder, path, flags))
BY_NAME(UNLINK, int, rmdir, (const char *path), AT_FDCWD, (path))

BY_NAME(STAT, int, stat, (const char *path, struct stat *found), AT_FDCWD, (path, found))
BY_NAME(STAT, int, stat64, (const char *path, struct stat64 *found), AT_FDCWD, (path, found))
BY_NAME(STAT, int, lstat, (const char *path, struct stat *found), AT_FDCWD, (path, found))
BY_NAME(STAT, int, lstat64, (const char *path, struct stat64 *found), AT_FDCWD, (path, found))
BY_NAME(STAT, int, fstatat, (int folder, const char *path, struct stat *found, int flags), folder,
        (folder, path, found, flags))
BY_NAME(STAT, int, fstatat64, (int folder, const char *path, struct stat64 *found, int flags), folder,
        (folder, path, found, flags))
BY_NAME(STAT, int, access, (const char *path, int mode), AT_FDCWD, (path, mode))
BY_NAME(STAT, int, statvfs, (const char *path, struct statvfs *found), AT_FDCWD, (path, found))
BY_NAME(STAT, int, statvfs64, (const char *path, struct statvfs64 *found), AT_FDCWD, (path, found))
BY_DESCRIPTOR(STAT, int, fstat, (int fd, struct stat *found), (fd, found))
BY_DESCRIPTOR(STAT, int, fstat64, (int fd, struct stat64 *found), (fd, found))

/* These two look at the folder with calls inside the C library. */
DIR *opendir(const char *path) {
    REAL(opendir);
    FAIL(by_name(OPEN, AT_FDCWD, path), NULL);
    FAIL(by_name(STAT, AT_FDCWD, path), NULL);
    return real(path);
}
DIR *fdopendir(int fd) {
    REAL(fdopendir);
    FAIL(by_descriptor(STAT, fd), NULL);
    return real(fd);
}

BY_DESCRIPTOR(FLOCK, int, flock, (int fd, int operation), (fd, operation))
CONTROLS(fcntl)
CONTROLS(fcntl64)
