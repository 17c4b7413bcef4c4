/*
 * Stands between a program and its disk (LD_PRELOAD): writes down what is done to the files of one folder, and lets
 * the n-th of these calls end in a crash or an error. Sockets are counted too, for a store at the other end of one.
 *
 * Calls and their records are in one order, over all threads and processes: a lock is held around both. `disk.py`
 * builds this, drives it and reads the record; what it forgets to watch is noticed there, when the files differ.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CRASH -1
#define CRASH_HALFWAY -2 /* of a write: its first half arrives */

struct record {
    char kind; /* W write, T truncate, S sync, F failed sync, C create, D make folder, U unlink, R rename, N note */
    uint64_t file;
    uint64_t offset;
    uint32_t path_bytes;
    uint32_t data_bytes;
} __attribute__((packed));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static int trace = -1;
static int calls, fail_at, fail_as, fails_on;

static void enter(void)
{
    struct flock whole = {.l_type = F_WRLCK};
    pthread_mutex_lock(&lock);
    if (trace >= 0)
        while (fcntl(trace, F_SETLKW, &whole) < 0 && errno == EINTR) {}
}

static void leave(void)
{
    int kept = errno;
    struct flock whole = {.l_type = F_UNLCK};
    if (trace >= 0)
        fcntl(trace, F_SETLK, &whole);
    pthread_mutex_unlock(&lock);
    errno = kept;
}

static void put(const void *bytes, size_t left)
{
    const char *from = bytes;
    while (left > 0) {
        long done = syscall(SYS_write, trace, from, left);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            raise(SIGABRT);
        from += done;
        left -= done;
    }
}

static void note(char kind, uint64_t file, uint64_t offset, const char *path, const void *data, size_t bytes)
{
    int kept = errno;
    struct record record = {kind, file, offset, path ? strlen(path) : 0, bytes};
    if (trace >= 0) {
        put(&record, sizeof record);
        put(path, record.path_bytes);
        put(data, bytes);
    }
    errno = kept;
}

/* What is about to be done is the next call: 0 lets it happen, else it fails with this errno. Under the lock. */
static int turn(void)
{
    calls++;
    if (!fail_at || calls < fail_at || (calls > fail_at && !fails_on))
        return 0;
    if (fail_as == CRASH)
        kill(getpid(), SIGKILL);
    return fail_as;
}

static int is_inside(const char *path)
{
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* SQLite's shared memory is made anew after a crash: nothing in it counts. */
static int is_kept(const char *path)
{
    size_t length = strlen(path);
    return is_inside(path) && !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static int is_watched(int fd, uint64_t *file)
{
    char link[64], path[PATH_MAX];
    struct stat found;
    if (!folder[0] || fd == trace)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (!is_kept(path) || fstat(fd, &found))
        return 0;
    *file = found.st_ino;
    return 1;
}

/* For disk.py. */
void disk_watch(const char *which, const char *record_at)
{
    trace = *record_at ? open(record_at, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    strncpy(folder, which, sizeof folder - 1);
}

void disk_fail(int at, int as, int on)
{
    calls = 0, fail_at = at, fail_as = as, fails_on = on;
}

int disk_calls(void) { return calls; }

void disk_note(const char *words)
{
    enter();
    note('N', 0, 0, words, NULL, 0);
    leave();
}

static ssize_t write_as(int fd, const void *data, size_t bytes, int64_t offset)
{
    return offset < 0 ? syscall(SYS_write, fd, data, bytes) : syscall(SYS_pwrite64, fd, data, bytes, offset);
}

/* An offset below zero: where the file stands, or its end. */
static ssize_t do_write(int fd, const void *data, size_t bytes, int64_t offset)
{
    uint64_t file;
    if (!is_watched(fd, &file))
        return write_as(fd, data, bytes, offset);
    enter();
    int fault = turn();
    ssize_t done = -1;
    if (fault > 0) {
        errno = fault;
    } else {
        done = write_as(fd, data, fault ? bytes / 2 : bytes, offset);
        if (done > 0)
            note('W', file, offset < 0 ? lseek(fd, 0, SEEK_CUR) - done : offset, NULL, data, done);
    }
    if (fault == CRASH_HALFWAY)
        kill(getpid(), SIGKILL);
    leave();
    return done;
}

ssize_t write(int fd, const void *data, size_t bytes) { return do_write(fd, data, bytes, -1); }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return do_write(fd, data, bytes, offset); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return do_write(fd, data, bytes, offset); }

/* Written one part after the other, which is a short write at worst. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    uint64_t file;
    if (!is_watched(fd, &file))
        return syscall(SYS_writev, fd, parts, count);
    ssize_t all = 0;
    for (int part = 0; part < count; part++) {
        ssize_t done = do_write(fd, parts[part].iov_base, parts[part].iov_len, -1);
        if (done < 0)
            return all ? all : -1;
        all += done;
    }
    return all;
}

/* SQLite syncs its folder when it made a file there, and overlooks an error of that (os_unix.c, unixSync). */
static int is_overlooked(uint64_t file)
{
    struct stat found;
    return !stat(folder, &found) && found.st_ino == file;
}

static int do_sync(int fd, long number)
{
    uint64_t file;
    if (!is_watched(fd, &file))
        return syscall(number, fd);
    enter();
    int fault = turn();
    if (fault > 0 && is_overlooked(file))
        fault = 0;
    if (fault == CRASH_HALFWAY)
        kill(getpid(), SIGKILL);
    int done = fault ? -1 : syscall(number, fd);
    if (fault)
        errno = fault;
    note(done ? 'F' : 'S', file, 0, NULL, NULL, 0);
    leave();
    return done;
}

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

int ftruncate(int fd, off_t length)
{
    uint64_t file;
    if (!is_watched(fd, &file))
        return syscall(SYS_ftruncate, fd, length);
    enter();
    int fault = turn();
    if (fault == CRASH_HALFWAY)
        kill(getpid(), SIGKILL);
    int done = fault ? -1 : syscall(SYS_ftruncate, fd, length);
    if (fault)
        errno = fault;
    if (!done)
        note('T', file, length, NULL, NULL, 0);
    leave();
    return done;
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

/* A path's own call: made at `path`, `number` and its arguments as the system takes them. */
static long do_path(char kind, const char *path, const char *other, long number, long a, long b, long c, long d)
{
    struct stat found;
    if (!is_kept(path))
        return syscall(number, a, b, c, d);
    enter();
    int fault = turn();
    if (fault == CRASH_HALFWAY)
        kill(getpid(), SIGKILL);
    long done = fault ? -1 : syscall(number, a, b, c, d);
    if (fault)
        errno = fault;
    if (done >= 0)
        note(kind, kind != 'U' && !stat(other ? other : path, &found) ? found.st_ino : 0, 0, path, other,
             other ? strlen(other) : 0);
    leave();
    return done;
}

int unlink(const char *path) { return do_path('U', path, NULL, SYS_unlinkat, AT_FDCWD, (long)path, 0, 0); }
int mkdir(const char *path, mode_t mode) { return do_path('D', path, NULL, SYS_mkdirat, AT_FDCWD, (long)path, mode, 0); }

int rename(const char *from, const char *to)
{
    return do_path('R', from, to, SYS_renameat, AT_FDCWD, (long)from, AT_FDCWD, (long)to);
}

static int do_open(int at, const char *path, int flags, mode_t mode)
{
    struct stat found;
    if (is_kept(path) && (flags & O_CREAT) && stat(path, &found))
        return do_path('C', path, NULL, SYS_openat, at, (long)path, flags, mode);
    int fd = syscall(SYS_openat, at, path, flags, mode);
    uint64_t file;
    if (fd >= 0 && (flags & O_TRUNC) && is_watched(fd, &file)) {
        enter();
        note('T', file, 0, NULL, NULL, 0);
        leave();
    }
    return fd;
}

#define MODE(after) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list more; \
        va_start(more, after); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return do_open(at, path, flags, mode); }

/* Sockets count while a folder is watched: whoever is watched talks to its store and its provider alone. */
static int socket_turn(int fd)
{
    if (!folder[0])
        return 0;
    enter();
    int fault = turn();
    leave();
    if (fault > 0) /* a line that broke stays broken, in both directions */
        shutdown(fd, SHUT_RDWR);
    return fault;
}

ssize_t sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to, socklen_t length)
{
    int fault = socket_turn(fd);
    if (fault == CRASH_HALFWAY) {
        syscall(SYS_sendto, fd, data, bytes / 2, flags, to, length);
        kill(getpid(), SIGKILL);
    }
    if (!fault)
        return syscall(SYS_sendto, fd, data, bytes, flags, to, length);
    errno = fault;
    return -1;
}

ssize_t recvfrom(int fd, void *data, size_t bytes, int flags, struct sockaddr *from, socklen_t *length)
{
    int fault = socket_turn(fd);
    if (fault == CRASH_HALFWAY)
        kill(getpid(), SIGKILL);
    if (!fault)
        return syscall(SYS_recvfrom, fd, data, bytes, flags, from, length);
    errno = fault;
    return -1;
}

ssize_t send(int fd, const void *data, size_t bytes, int flags) { return sendto(fd, data, bytes, flags, NULL, 0); }
ssize_t recv(int fd, void *data, size_t bytes, int flags) { return recvfrom(fd, data, bytes, flags, NULL, NULL); }
