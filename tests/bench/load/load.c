/* The load generator of the chat benchmarks: many sockets, one thread, one epoll.
 *
 * Reads commands from standard input, fields apart by tabs; answers the last three with a line of JSON:
 *   socket  PORT  NAMESPACE  AUTH  HELLO|-  deflate|plain        one more socket; they are numbered from 0
 *   pair    SENDER  READER  CONV  TEMPLATE                     who sends to whom; @CID@ and @NUM@ are put in
 *   connect AT_ONCE  SECONDS                                     open all sockets that are new
 *   closed  IN_FLIGHT  MESSAGES  SECONDS  RECEIPTS               every pair keeps IN_FLIGHT messages under way
 *   open    PER_SECOND  MESSAGES  SECONDS  RECEIPTS              messages at fixed times, whatever the answers do
 * SECONDS is for how long nothing may happen before the rest counts as lost.
 *
 * A message is over when it is acknowledged and delivered. Its number stands in its text as @NUM@ (10 digits
 * between "~n" and "~"), so that the reader sees what was lost, came twice or out of order. Latencies of `open`
 * are from the time at which a message should have left (so a stall is not forgiven: no coordinated omission).
 */
#define _GNU_SOURCE
#include "messages.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

troubles trouble;
static long not_ready, connecting;
static int epoll_fd, timer_fd;
static bool stdin_ready, timer_rang;
static uint64_t seed[2];

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t random_bits(void) /* xorshift128+ */
{
    uint64_t a = seed[0], b = seed[1];
    seed[0] = b;
    a ^= a << 23;
    seed[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return seed[1] + b;
}

void complain(const char *what, const void *detail, size_t size)
{
    if (trouble.first[0]) return; /* the first explains the others */
    size_t at = (size_t)snprintf(trouble.first, sizeof trouble.first, "%s: ", what);
    for (size_t i = 0; detail && i < size && at < sizeof trouble.first - 1; i++) {
        uint8_t c = ((const uint8_t *)detail)[i];
        trouble.first[at++] = c < 32 || c == '"' || c == '\\' || c > 126 ? '\'' : (char)c;
    }
    trouble.first[at] = 0;
}

void on_state(sock *s)
{
    (void)s;
    connecting--;
    not_ready--;
    tally.last_progress = now_ns();
}

static void pump(int timeout_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &stdin_ready) {
            stdin_ready = true;
        } else if (events[i].data.ptr == &timer_rang) {
            uint64_t times;
            timer_rang = read(timer_fd, &times, sizeof times) > 0;
        } else {
            wire_ready(events[i].data.ptr, events[i].events);
        }
    }
}

/* --- commands ----------------------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void connect_all(long at_once, double patience)
{
    static long begun;
    uint64_t started = now_ns();
    long first = begun, ready = 0, deflated = 0;
    not_ready = socket_count - begun;
    connecting = 0;
    tally.last_progress = started;
    while (not_ready > 0 && (double)(now_ns() - tally.last_progress) < patience * 1e9) {
        while (begun < socket_count && connecting < at_once) connecting++, wire_connect(sockets[begun++]);
        pump(50);
    }
    for (long i = first; i < socket_count; i++) {
        ready += sockets[i]->state == READY;
        deflated += sockets[i]->deflate_accepted;
    }
    printf("{\"ready\":%ld,\"asked\":%ld,\"deflate_accepted\":%ld,\"seconds\":%.3f,\"first_trouble\":\"%s\"}\n", ready,
           socket_count - first, deflated, (double)(now_ns() - started) / 1e9, trouble.first);
}

static void tell(uint64_t started, double cpu, long messages)
{
    uint64_t settled = now_ns() + 50000000; /* what comes twice comes soon after */
    while (now_ns() < settled) pump(10);
    double seconds = (double)((tally.last_over > started ? tally.last_over : now_ns()) - started) / 1e9;
    printf("{\"asked\":%ld,\"sent\":%ld,\"acked\":%ld,\"ok\":%ld,\"delivered\":%ld,", messages, tally.sent,
           tally.acked, tally.ok, tally.delivered);
    printf("\"unanswered\":%ld,\"refused\":%ld,\"lost\":%ld,", tally.sent - tally.acked,
           tally.acked - tally.ok + tally.receipts_refused, tally.sent - tally.delivered);
    printf("\"doubled\":%ld,\"reordered\":%ld,\"unasked\":%ld,", tally.doubled, tally.reordered, tally.unasked);
    printf("\"closed\":%ld,\"kicked\":%ld,\"refused_connection\":%ld,\"not_understood\":%ld,\"compressed\":%ld,",
           trouble.closed, trouble.kicked, trouble.refused_connection, trouble.not_understood, trouble.compressed);
    histogram_print("ack_ms", &tally.ack_latency);
    histogram_print("delivered_ms", &tally.delivery_latency);
    histogram_print("late_ms", &tally.lateness);
    printf("\"receipts_ok\":%ld,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"first_trouble\":\"%s\"}\n",
           tally.receipts_ok, seconds, cpu, trouble.first);
}

static void run_closed(long in_flight, long messages, double patience, bool receipts)
{
    begin(messages, receipts);
    tally.closed_loop = true;
    double cpu = cpu_seconds();
    uint64_t started = tally.last_progress = now_ns();
    for (long i = 0; i < pair_count; i++)
        for (long k = 0; k < in_flight && pairs[i].next < pairs[i].first + pairs[i].asked; k++) send_next(&pairs[i], 0);
    while (tally.over < messages && (double)(now_ns() - tally.last_progress) < patience * 1e9) pump(50);
    tally.closed_loop = false;
    tell(started, cpu_seconds() - cpu, messages);
}

static void run_open(double per_second, long messages, double patience, bool receipts)
{
    begin(messages, receipts);
    double cpu = cpu_seconds();
    uint64_t started = tally.last_progress = now_ns();
    long sent = 0;
    while (tally.over < messages && (double)(now_ns() - tally.last_progress) < patience * 1e9) {
        uint64_t now = now_ns(), due = 0;
        while (sent < messages && (due = started + (uint64_t)((double)sent * 1e9 / per_second)) <= now)
            send_next(&pairs[sent % pair_count], due), sent++;
        if (sent < messages) {
            struct itimerspec when = {.it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};
            timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
            tally.last_progress = now; /* silence between two messages is no loss */
        }
        pump(50);
    }
    tell(started, cpu_seconds() - cpu, messages);
}

static void obey(char *line)
{
    char *field[8] = {0};
    int n = 0;
    for (char *rest = line; n < 7 && (field[n] = strsep(&rest, "\t")); n++) {}
    if (strcmp(line, "socket") == 0 && n == 6) add_socket(field + 1);
    else if (strcmp(line, "pair") == 0 && n == 5) add_pair(field + 1);
    else if (strcmp(line, "connect") == 0 && n == 3) connect_all(atol(field[1]), atof(field[2]));
    else if (strcmp(line, "closed") == 0 && n == 5)
        run_closed(atol(field[1]), atol(field[2]), atof(field[3]), atoi(field[4]));
    else if (strcmp(line, "open") == 0 && n == 5)
        run_open(atof(field[1]), atol(field[2]), atof(field[3]), atoi(field[4]));
    else fprintf(stderr, "load: unknown command: %.60s\n", line), exit(2);
    fflush(stdout);
}

int main(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (getrandom(seed, sizeof seed, 0) != sizeof seed) return 1;
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    wire_start(epoll_fd);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &stdin_ready};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &event);
    event.data.ptr = &timer_rang;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
    char *buffer = NULL;
    size_t size = 0, room = 0;
    for (;;) {
        if (!stdin_ready) pump(-1);
        if (!stdin_ready) continue;
        stdin_ready = false;
        if (room - size < 65536) buffer = more(buffer, room += 1 << 20);
        ssize_t n = read(0, buffer + size, room - size);
        if (n <= 0) return 0; /* whoever started us is gone or has enough */
        size += (size_t)n;
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', size - (size_t)(line - buffer)))) {
            *end = 0;
            obey(line);
            line = end + 1;
        }
        size -= (size_t)(line - buffer);
        memmove(buffer, line, size);
    }
}
