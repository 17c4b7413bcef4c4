/* Preloaded into a server: every sync to disk is counted, and takes longer by as much as the shared file says.

   The file named by SLOW_SYNC holds two 64-bit numbers: syncs so far, and microseconds to add to each. It is shared
   with the benchmark, which reads the one and sets the other while the server runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct shared {
    uint64_t syncs, added_us;
};

static struct shared *shared;
static int (*real_fsync)(int), (*real_fdatasync)(int);

__attribute__((constructor)) static void open_shared(void) {
    const char *path = getenv("SLOW_SYNC");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        shared = mapped;
    close(file);
}

static int slowly(int result) {
    if (!shared)
        return result;
    int error = errno;
    uint64_t added_us = __atomic_load_n(&shared->added_us, __ATOMIC_RELAXED);
    struct timespec left = {(time_t)(added_us / 1000000), (long)(added_us % 1000000) * 1000};
    while (added_us && nanosleep(&left, &left) && errno == EINTR) /* PostgreSQL's processes wake each other by signals */
        ;
    __atomic_fetch_add(&shared->syncs, 1, __ATOMIC_RELAXED);
    errno = error;
    return result;
}

int fsync(int file) { return slowly(real_fsync(file)); }
int fdatasync(int file) { return slowly(real_fdatasync(file)); }
