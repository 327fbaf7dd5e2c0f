/*
 * httpload - closed-loop load generator for an HTTP/1.1 server over persistent connections.
 *            One file, one thread, epoll, no dependencies.
 *
 *     gcc -O2 -Wall -o httpload httpload.c
 *     ./httpload PORT SCRIPT REQUESTS WARMUP SERVER_PID
 *
 * SCRIPT contains the requests as bytes:
 *
 *     connection                     a new connection; its requests are sent repeatedly, in order
 *     request STATUS LENGTH EXPECT   a request, with the status and a text that its response must
 *     <LENGTH bytes><newline>        have, followed by the request itself
 *
 * Each connection sends its next request when the response to the previous one is complete.
 * REQUESTS responses are measured after WARMUP others. Every response is checked, and the first
 * wrong one ends the run with exit status 1. The result is one JSON object on stdout. Responses
 * need a Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_ANSWER 65536
#define IDLE_MS 20000

struct request {
    char *bytes, expect[128];
    size_t length;
    int status;
};

struct connection {
    int fd, requests, next;
    struct request *script;
    size_t filled;
    double sent_at_s;
    char answer[MAX_ANSWER + 1];
};

static struct connection **connections;
static int connection_count, ep;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("httpload: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static double now_s(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t)) fail("clock_gettime: %s", strerror(errno));
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double server_cpu_s(int pid)
{
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock)) fail("there is no process %d", pid);
    return now_s(clock);
}

static void *grown(void *array, int count, size_t size)
{
    if (count & (count - 1)) return array; /* the capacity doubles at powers of two */
    array = realloc(array, size * (size_t)(count ? 2 * count : 1));
    if (!array) fail("out of memory");
    return array;
}

static void read_script(const char *path)
{
    FILE *file = fopen(path, "rb");
    char line[256];
    if (!file) fail("cannot read %s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, file)) {
        if (!strcmp(line, "connection\n")) {
            connections = grown(connections, connection_count, sizeof *connections);
            connections[connection_count] = calloc(1, sizeof **connections);
            if (!connections[connection_count++]) fail("out of memory");
            continue;
        }
        struct request request = {0};
        if (sscanf(line, "request %d %zu %127[^\n]", &request.status, &request.length,
                   request.expect) != 3 || !connection_count)
            fail("%s: not a line of a script: %s", path, line);
        request.bytes = malloc(request.length + 1);
        if (!request.bytes || fread(request.bytes, 1, request.length + 1, file) != request.length + 1)
            fail("%s: a request is shorter than it says", path);
        struct connection *last = connections[connection_count - 1];
        last->script = grown(last->script, last->requests, sizeof request);
        last->script[last->requests++] = request;
    }
    fclose(file);
    for (int i = 0; i < connection_count; i++)
        if (!connections[i]->requests) fail("%s: a connection has no requests", path);
    if (!connection_count) fail("%s: no connections", path);
}

static void open_all(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0 || connect(c->fd, (void *)&address, sizeof address))
            fail("cannot connect to port %d: %s", port, strerror(errno));
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll: %s", strerror(errno));
    }
}

static void ask(struct connection *c)
{
    struct request *request = &c->script[c->next];
    c->sent_at_s = now_s(CLOCK_MONOTONIC);
    c->filled = 0;
    if (send(c->fd, request->bytes, request->length, MSG_NOSIGNAL) != (ssize_t)request->length)
        fail("a request could not be sent: %s", strerror(errno));
}

/* True when the response is complete. An invalid response ends the run. */
static int is_answered(struct connection *c)
{
    const struct request *request = &c->script[c->next];
    c->answer[c->filled] = 0;
    char *body = strstr(c->answer, "\r\n\r\n");
    if (!body) return 0;
    body += 4;
    char *field = strcasestr(c->answer, "\r\nContent-Length:");
    size_t length = field && field < body ? strtoul(field + 17, NULL, 10) : 0;
    size_t have = c->filled - (size_t)(body - c->answer);
    if (have < length) return 0;
    if (atoi(c->answer + 9) != request->status || !strstr(c->answer, request->expect))
        fail("expected %d with %s, got:\n%s", request->status, request->expect, c->answer);
    if (have > length) fail("the response is longer than its Content-Length:\n%s", c->answer);
    return 1;
}

static int by_size(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv)
{
    if (argc != 6) fail("usage: httpload PORT SCRIPT REQUESTS WARMUP SERVER_PID");
    int pid = atoi(argv[5]);
    long measured = atol(argv[3]), warmup = atol(argv[4]), answered = 0, sent = 0;
    double begin_s = 0, cpu_s = 0, server_s = 0;
    if (measured < 1 || warmup < 0) fail("REQUESTS must be at least 1, WARMUP at least 0");
    double *latencies_us = malloc(sizeof(double) * (size_t)measured);
    if (!latencies_us) fail("out of memory");
    ep = epoll_create1(0);
    read_script(argv[2]);
    open_all(atoi(argv[1]));
    long total = warmup + measured;
    for (int i = 0; i < connection_count && sent < total; i++, sent++) ask(connections[i]);
    while (answered < total) {
        struct epoll_event events[256];
        int count = epoll_wait(ep, events, 256, IDLE_MS);
        if (count == 0) fail("nothing was answered for %d s", IDLE_MS / 1000);
        if (count < 0) fail("epoll: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->filled == MAX_ANSWER) fail("an answer is longer than %d bytes", MAX_ANSWER);
            ssize_t got = recv(c->fd, c->answer + c->filled, MAX_ANSWER - c->filled, 0);
            if (got <= 0) fail("the server closed a connection");
            c->filled += (size_t)got;
            if (!is_answered(c)) continue;
            if (answered >= warmup)
                latencies_us[answered - warmup] = (now_s(CLOCK_MONOTONIC) - c->sent_at_s) * 1e6;
            if (answered++ == warmup) {
                begin_s = now_s(CLOCK_MONOTONIC);
                cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
                server_s = server_cpu_s(pid);
            }
            c->next = (c->next + 1) % c->requests;
            if (sent < total) {
                sent++;
                ask(c);
            }
        }
    }
    double seconds = now_s(CLOCK_MONOTONIC) - begin_s;
    cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
    server_s = server_cpu_s(pid) - server_s;
    qsort(latencies_us, (size_t)measured, sizeof *latencies_us, by_size);
    /* The first response starts the clock and is not counted. */
    long ops = measured > 1 ? measured - 1 : 1;
    printf("{\"connections\":%d,\"ops\":%ld,\"seconds\":%.4f,\"ops_per_s\":%.1f,"
           "\"server_cpu_s\":%.4f,\"server_cpu_us_per_op\":%.3f,\"server_cpu_pct\":%.1f,"
           "\"client_cpu_s\":%.4f,\"client_cpu_pct\":%.1f,"
           "\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}}\n",
           connection_count, ops, seconds, (double)ops / seconds, server_s, server_s / ops * 1e6,
           server_s / seconds * 100, cpu_s, cpu_s / seconds * 100, latencies_us[measured / 2],
           latencies_us[measured * 9 / 10], latencies_us[measured * 99 / 100],
           latencies_us[measured - 1]);
    return 0;
}
