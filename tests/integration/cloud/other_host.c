/* SPDX-License-Identifier: Apache-2.0
 * A host of another architecture, or with an older C library, as programs on it see it. What is below the system's
 * directories runs; of what was brought along only what would run there. Loaded into every program by ld.so.preload,
 * built by foreign.py with: MACHINE, the ELF number of the host, and its NAME; OURS, the number of this machine; GLIBC,
 * the minor version of the C library, 0 for the one that is there. A program for MACHINE is one of ours whose number
 * was changed, so that this machine refuses it; a copy with ours is run. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define NATIVE "/run/one-native"

extern char **environ;
typedef int execve_fn(const char *, char *const *, char *const *);
typedef int execvpe_fn(const char *, char *const *, char *const *);
typedef int uname_fn(struct utsname *);
typedef size_t confstr_fn(int, char *, size_t);

static int is_of_the_system(const char *path)
{
    static const char *const tops[] = {"/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/root/.pyenv/", NATIVE "/"};
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
        if (strncmp(path, tops[i], strlen(tops[i])) == 0)
            return 1;
    return 0;
}

/* The highest GLIBC_2.x that the program names. */
static long wanted_glibc(const char *data, size_t size)
{
    static const char mark[] = "GLIBC_2.";
    long highest = 0;
    for (const char *at = data, *end = data + size; (at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1));
         at++) {
        long minor = strtol(at + sizeof mark - 1, NULL, 10);
        highest = minor > highest ? minor : highest;
    }
    return highest;
}

static int write_copy(const char *data, size_t size, const char *to)
{
    char beside[PATH_MAX];
    const Elf64_Half machine = OURS;
    snprintf(beside, sizeof beside, "%s.%d", to, (int)getpid());
    int out = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (out < 0)
        return -1;
    int whole = write(out, data, size) == (ssize_t)size &&
                pwrite(out, &machine, sizeof machine, offsetof(Elf64_Ehdr, e_machine)) == sizeof machine;
    close(out);
    return whole ? rename(beside, to) : -1;
}

/* What shall be started instead of a program that was brought along: the program, its copy, or nothing. */
static const char *chosen(const char *path, const char *data, const struct stat *found, char *native)
{
    if ((size_t)found->st_size < sizeof(Elf64_Ehdr) || memcmp(data, ELFMAG, SELFMAG) != 0)
        return path;
    if (((const Elf64_Ehdr *)data)->e_machine != MACHINE)
        return NULL;
    long wanted = wanted_glibc(data, (size_t)found->st_size);
    if (GLIBC && wanted > GLIBC) {
        dprintf(2, "%s: /lib/libc.so.6: version `GLIBC_2.%ld' not found (required by %s)\n", path, wanted, path);
        _exit(1);
    }
    if (MACHINE == OURS)
        return path;
    snprintf(native, PATH_MAX, NATIVE "/%lu-%ld", (unsigned long)found->st_ino, (long)found->st_mtime);
    return access(native, X_OK) == 0 || write_copy(data, (size_t)found->st_size, native) == 0 ? native : NULL;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    execve_fn *next = (execve_fn *)dlsym(RTLD_NEXT, "execve");
    char real[PATH_MAX], native[PATH_MAX];
    struct stat found;
    if (!realpath(path, real) || is_of_the_system(real) || access(real, X_OK) < 0)
        return next(path, argv, envp);
    int file = open(real, O_RDONLY | O_CLOEXEC);
    void *data = MAP_FAILED;
    if (file >= 0 && fstat(file, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0)
        data = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (file >= 0)
        close(file);
    if (data == MAP_FAILED)
        return next(path, argv, envp);
    const char *start = chosen(path, data, &found, native);
    munmap(data, (size_t)found.st_size);
    if (start)
        return next(start, argv, envp);
    errno = ENOEXEC;
    return -1;
}

/* What the C library does of a file that the kernel refuses: it takes it for a script. */
static int execve_by_shell(const char *file, char *const argv[], char *const envp[])
{
    const char *words[256] = {"/bin/sh", file};
    for (size_t i = 1; argv[0] && argv[i] && i < sizeof words / sizeof *words - 2; i++)
        words[i + 1] = argv[i];
    return execve("/bin/sh", (char **)words, envp);
}

/* The C library's own calls do not come by the name of execve. */
int execvpe(const char *file, char *const argv[], char *const envp[])
{
    if (!strchr(file, '/'))
        return ((execvpe_fn *)dlsym(RTLD_NEXT, "execvpe"))(file, argv, envp);
    int result = execve(file, argv, envp);
    return errno == ENOEXEC ? execve_by_shell(file, argv, envp) : result;
}

int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}
int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

int uname(struct utsname *name)
{
    int result = ((uname_fn *)dlsym(RTLD_NEXT, "uname"))(name);
    if (result == 0)
        snprintf(name->machine, sizeof name->machine, "%s", NAME);
    return result;
}

size_t confstr(int name, char *buffer, size_t size)
{
    if (!GLIBC || name != _CS_GNU_LIBC_VERSION)
        return ((confstr_fn *)dlsym(RTLD_NEXT, "confstr"))(name, buffer, size);
    char text[32];
    int length = snprintf(text, sizeof text, "glibc 2.%d", GLIBC);
    if (buffer && size)
        snprintf(buffer, size, "%s", text);
    return (size_t)length + 1;
}
