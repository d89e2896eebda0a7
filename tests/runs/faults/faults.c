/* Calls that change files below a folder are counted, or those that read them; the chosen one fails half-way, or ends
 * the process there. Loaded before the library of C; a program arms it through fault_arm and reads the number of calls
 * by fault_calls. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long chosen, calls;
static int failure, counts_reads;

void fault_arm(const char *path, long number, int error, int reads) {
    snprintf(folder, sizeof folder, "%s", path);
    chosen = number;
    failure = error;
    counts_reads = reads;
    calls = 0;
}

long fault_calls(void) { return calls; }

static int is_below(const char *path) { return folder[0] && strncmp(path, folder, strlen(folder)) == 0; }

static int has_path(int directory, const char *path) {
    char link[64], base[PATH_MAX];
    if (path[0] == '/') return is_below(path);
    if (directory == AT_FDCWD) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0) return 0;
    base[length] = 0;
    return is_below(base);
}

static int has_descriptor(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static void end(void) { kill(getpid(), SIGKILL); pause(); }

/* Whether this call, which changes files, is to fail; takes_space: a full disk stays full. */
static int fails(int takes_space) {
    if (counts_reads) return 0;
    long number = ++calls;
    if (chosen == 0) return 0;
    if (number == chosen && failure == 0) end();
    if (number == chosen || (number > chosen && failure == ENOSPC && takes_space)) {
        errno = failure;
        return 1;
    }
    return 0;
}

/* Whether this call, which reads files, is to fail. */
static int fails_to_read(void) {
    if (!counts_reads || ++calls != chosen) return 0;
    errno = failure;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int fails_to_open(int flags) {
    return flags & (O_WRONLY | O_RDWR | O_CREAT) ? fails(!!(flags & O_CREAT)) : fails_to_read();
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
        if (has_path(AT_FDCWD, path) && fails_to_open(flags)) return -1; \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
        if (has_path(directory, path) && fails_to_open(flags)) return -1; \
        return REAL(name)(directory, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int descriptor, const void *content, size_t count) {
    if (!has_descriptor(descriptor)) return REAL(write)(descriptor, content, count);
    if (chosen != 0 && !counts_reads && calls + 1 == chosen && count > 1) {
        ssize_t written = REAL(write)(descriptor, content, count / 2);
        /* A disk that becomes full takes a part, and then nothing. */
        if (failure == ENOSPC) { ++calls; return written; }
    }
    if (fails(1)) return -1;
    return REAL(write)(descriptor, content, count);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (has_descriptor(descriptor) && fails(1)) return -1;
    return REAL(writev)(descriptor, parts, count);
}

int fsync(int descriptor) { return has_descriptor(descriptor) && fails(1) ? -1 : REAL(fsync)(descriptor); }
int rename(const char *from, const char *to) { return has_path(AT_FDCWD, to) && fails(1) ? -1 : REAL(rename)(from, to); }
int unlink(const char *path) { return has_path(AT_FDCWD, path) && fails(0) ? -1 : REAL(unlink)(path); }
int unlinkat(int directory, const char *path, int flags) {
    return has_path(directory, path) && fails(0) ? -1 : REAL(unlinkat)(directory, path, flags);
}
int rmdir(const char *path) { return has_path(AT_FDCWD, path) && fails(0) ? -1 : REAL(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { return has_path(AT_FDCWD, path) && fails(1) ? -1 : REAL(mkdir)(path, mode); }
int chmod(const char *path, mode_t mode) { return has_path(AT_FDCWD, path) && fails(0) ? -1 : REAL(chmod)(path, mode); }
int ftruncate64(int descriptor, off64_t length) {
    return has_descriptor(descriptor) && fails(0) ? -1 : REAL(ftruncate64)(descriptor, length);
}

ssize_t read(int descriptor, void *content, size_t count) {
    return has_descriptor(descriptor) && fails_to_read() ? -1 : REAL(read)(descriptor, content, count);
}
ssize_t pread64(int descriptor, void *content, size_t count, off64_t offset) {
    return has_descriptor(descriptor) && fails_to_read() ? -1 : REAL(pread64)(descriptor, content, count, offset);
}
DIR *opendir(const char *path) { return has_path(AT_FDCWD, path) && fails_to_read() ? NULL : REAL(opendir)(path); }
DIR *fdopendir(int descriptor) { return has_descriptor(descriptor) && fails_to_read() ? NULL : REAL(fdopendir)(descriptor); }
int stat64(const char *path, struct stat64 *about) {
    return has_path(AT_FDCWD, path) && fails_to_read() ? -1 : REAL(stat64)(path, about);
}
int lstat64(const char *path, struct stat64 *about) {
    return has_path(AT_FDCWD, path) && fails_to_read() ? -1 : REAL(lstat64)(path, about);
}
int fstatat64(int directory, const char *path, struct stat64 *about, int flags) {
    return has_path(directory, path) && fails_to_read() ? -1 : REAL(fstatat64)(directory, path, about, flags);
}
