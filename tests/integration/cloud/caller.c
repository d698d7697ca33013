/* SPDX-License-Identifier: Apache-2.0 */
/* A command of the stand-in's, as a file on a front-end: it hands its words, environment, descriptors, directory and
 * umask to crew.py, which runs there, and ends with the status that comes back. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

static int fail(const char *what)
{
    perror(what);
    return 255;
}

/* How many, and each with its 0. */
static void put_all(FILE *out, char **strings)
{
    uint32_t count = 0;
    while (strings[count])
        count++;
    fwrite(&count, sizeof count, 1, out);
    for (uint32_t i = 0; i < count; i++)
        fwrite(strings[i], strlen(strings[i]) + 1, 1, out);
}

static int send_descriptors(int to)
{
    int fds[4] = {0, 1, 2, open(".", O_PATH | O_DIRECTORY)};
    uint32_t mask = umask(0);
    char control[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec data = {&mask, sizeof mask};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(head), fds, sizeof fds);
    return sendmsg(to, &message, MSG_NOSIGNAL) == sizeof mask ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int crew = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char name[65] = "";
    unsigned char status;

    (void)argc;
    for (int fd = 0; fd < 3; fd++) /* one that is closed can't be sent */
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", O_RDWR);
    if (gethostname(name, sizeof name) || snprintf(address.sun_path, sizeof address.sun_path, CREW, name) < 0)
        return fail("gethostname");
    if (crew < 0 || connect(crew, (struct sockaddr *)&address, sizeof address))
        return fail("the stand-in does not answer");
    if (send_descriptors(crew))
        return fail("the stand-in takes no descriptors");
    FILE *out = fdopen(dup(crew), "w");
    if (!out)
        return fail("the stand-in");
    put_all(out, argv);
    put_all(out, environ);
    if (fclose(out) || shutdown(crew, SHUT_WR))
        return fail("the stand-in does not listen");
    return read(crew, &status, 1) == 1 ? status : 255;
}
