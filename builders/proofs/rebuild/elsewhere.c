// SPDX-License-Identifier: GPL-2.0-or-later
//
// For LD_PRELOAD: another box in the eyes of a build's programs. readdir(3) tells the names of a
// folder in the opposite order, uname(2) another release of the kernel, and what asks for the
// number of processors hears of one more.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

struct listing {
    DIR *dir;
    struct dirent64 **entries;
    size_t count, left;
    struct listing *next;
};

static struct listing *listings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void drop(DIR *dir)
{
    for (struct listing **at = &listings; *at; at = &(*at)->next) {
        struct listing *it = *at;
        if (it->dir != dir)
            continue;
        *at = it->next;
        while (it->count)
            free(it->entries[--it->count]);
        free(it->entries);
        free(it);
        return;
    }
}

static struct listing *find(DIR *dir)
{
    struct listing *it = listings;
    while (it && it->dir != dir)
        it = it->next;
    return it;
}

// The whole folder; NULL with errno where it can't be read.
static struct listing *list(DIR *dir)
{
    struct dirent64 *(*real)(DIR *) = dlsym(RTLD_NEXT, "readdir64");
    struct listing *it = calloc(1, sizeof *it);
    if (!it)
        return NULL;
    it->dir = dir;
    it->next = listings;
    listings = it;
    for (;;) {
        errno = 0;
        struct dirent64 *entry = real(dir);
        if (!entry)
            break;
        struct dirent64 **grown = realloc(it->entries, (it->count + 1) * sizeof *grown);
        if (!grown)
            break;
        it->entries = grown;
        size_t size = entry->d_reclen > sizeof *entry ? entry->d_reclen : sizeof *entry;
        struct dirent64 *copy = calloc(1, size);
        if (!copy)
            break;
        memcpy(copy, entry, entry->d_reclen);
        it->entries[it->count++] = copy;
    }
    if (errno) {
        int failed = errno;
        drop(dir);
        errno = failed;
        return NULL;
    }
    it->left = it->count;
    return it;
}

struct dirent64 *readdir64(DIR *dir)
{
    int before = errno;
    struct dirent64 *entry = NULL;
    pthread_mutex_lock(&lock);
    struct listing *it = find(dir);
    if (!it)
        it = list(dir);
    if (it) {
        errno = before;
        if (it->left)
            entry = it->entries[--it->left];
    }
    pthread_mutex_unlock(&lock);
    return entry;
}

// On 64 bits both are the same (readdir(3)).
_Static_assert(sizeof(struct dirent) == sizeof(struct dirent64), "a 64-bit ABI");

struct dirent *readdir(DIR *dir)
{
    return (struct dirent *)readdir64(dir);
}

long telldir(DIR *dir)
{
    long at = 0;
    pthread_mutex_lock(&lock);
    struct listing *it = find(dir);
    if (it)
        at = (long)(it->count - it->left);
    pthread_mutex_unlock(&lock);
    return at;
}

void seekdir(DIR *dir, long at)
{
    pthread_mutex_lock(&lock);
    struct listing *it = find(dir);
    if (it && at >= 0 && (size_t)at <= it->count)
        it->left = it->count - (size_t)at;
    pthread_mutex_unlock(&lock);
}

void rewinddir(DIR *dir)
{
    void (*real)(DIR *) = dlsym(RTLD_NEXT, "rewinddir");
    pthread_mutex_lock(&lock);
    drop(dir);
    real(dir);
    pthread_mutex_unlock(&lock);
}

int closedir(DIR *dir)
{
    int (*real)(DIR *) = dlsym(RTLD_NEXT, "closedir");
    pthread_mutex_lock(&lock);
    drop(dir);
    pthread_mutex_unlock(&lock);
    return real(dir);
}

int uname(struct utsname *told)
{
    int (*real)(struct utsname *) = dlsym(RTLD_NEXT, "uname");
    int failed = real(told);
    if (!failed)
        strcpy(told->release, RELEASE);
    return failed;
}

// One more than the process may use, which so can be told on a box with one too.
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    int (*real)(pid_t, size_t, cpu_set_t *) = dlsym(RTLD_NEXT, "sched_getaffinity");
    int failed = real(pid, size, set);
    if (failed)
        return failed;
    for (size_t cpu = 0; cpu < size * 8; cpu++)
        if (!CPU_ISSET_S(cpu, size, set)) {
            CPU_SET_S(cpu, size, set);
            break;
        }
    return 0;
}

int get_nprocs(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

int get_nprocs_conf(void)
{
    return get_nprocs();
}

long sysconf(int name)
{
    long (*real)(int) = dlsym(RTLD_NEXT, "sysconf");
    if (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF)
        return get_nprocs();
    return real(name);
}
