/* SPDX-License-Identifier: Apache-2.0
 * A host of another architecture, as programs there see it: what is below the system's directories runs, of what was brought
 * along only programs of that architecture. Loaded into every program of the host by ld.so.preload; MACHINE is the ELF
 * number that the host has. A file of it is one of ours whose number was changed (core.py's foreign()), and is started as a
 * copy with the right one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NATIVE "/run/one-native"

typedef int execve_fn(const char *, char *const *, char *const *);

static int is_of_the_system(const char *path) {
  static const char *const tops[] = {"/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/root/.pyenv/", NATIVE "/"};
  for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
    if (strncmp(path, tops[i], strlen(tops[i])) == 0) return 1;
  return 0;
}

static int copy(int from, const char *to, unsigned short machine) {
  char buffer[65536];
  char temporary[PATH_MAX];
  snprintf(temporary, sizeof temporary, "%s.%d", to, (int)getpid());
  int out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (out < 0) return -1;
  lseek(from, 0, SEEK_SET);
  ssize_t got;
  while ((got = read(from, buffer, sizeof buffer)) > 0)
    if (write(out, buffer, (size_t)got) != got) break;
  int failed = got != 0 || pwrite(out, &machine, sizeof machine, offsetof(Elf64_Ehdr, e_machine)) != sizeof machine;
  close(out);
  return failed ? -1 : rename(temporary, to);
}

int execve(const char *path, char *const argv[], char *const envp[]) {
  execve_fn *next = (execve_fn *)dlsym(RTLD_NEXT, "execve");
  char real[PATH_MAX], native[PATH_MAX];
  Elf64_Ehdr header;
  int file = realpath(path, real) && !is_of_the_system(real) && access(real, X_OK) == 0 ? open(real, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0 || read(file, &header, sizeof header) != sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    if (file >= 0) close(file);
    return next(path, argv, envp);
  }
  struct stat found;
  if (header.e_machine != MACHINE || fstat(file, &found) < 0) {
    close(file);
    errno = ENOEXEC;
    return -1;
  }
  snprintf(native, sizeof native, NATIVE "/%lu-%ld", (unsigned long)found.st_ino, (long)found.st_mtime);
  int made = access(native, X_OK) == 0 ? 0 : copy(file, native, OURS);
  close(file);
  return made < 0 ? -1 : next(native, argv, envp);
}

/* The C library's own calls do not come by execve's name. */
extern char **environ;
int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }
