/* The load generator of the chat benchmarks: many sockets, one thread, one epoll.
 *
 * Reads commands from standard input, fields apart by tabs, and answers each of the last three kinds with one line of JSON:
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
#include "histogram.h"
#include "wire.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { DIGITS = 10, FIRST_ACK = 1000000, RECEIPT_ACK = 50000000, MOST_PLACES = 4 };

typedef struct {
    long sender, reader;
    char *conv;
    size_t conv_size;
    char *packet; /* "42/ns,1000000[...]" */
    size_t size, ack_at, cid_at[MOST_PLACES], number_at[MOST_PLACES];
    int cids, numbers;
    long next, newest; /* next number to send; the greatest that was delivered */
    long first;        /* first number of this run */
    long room, asked;  /* of `times` and `marks`; messages to send in this run */
    uint64_t *times;
    uint8_t *marks; /* ACKED, DELIVERED */
} pair;

enum { ACKED = 1, DELIVERED = 2, BOTH = 3 };

troubles trouble;
static sock **sockets;
static pair *pairs;
static long socket_count, pair_count, not_ready, connecting;
static int epoll_fd, timer_fd;
static bool stdin_ready, timer_rang, receipts_on, is_closed_loop;
static histogram acked, delivered, late;
static long sent_count, acked_count, ok_count, delivered_count, over_count, doubled, reordered, unasked, receipts_ok,
    receipts_refused;
static uint64_t last_progress, last_over;
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

static void *more(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (!p) abort();
    return p;
}

/* --- what arrives ------------------------------------------------------------------------------------------- */

static void send_next(pair *p, uint64_t intended)
{
    static const char hex[] = "0123456789abcdef";
    char digits[24];
    long number = p->next++;
    snprintf(digits, sizeof digits, "%07ld", FIRST_ACK + number);
    memcpy(p->packet + p->ack_at, digits, 7);
    snprintf(digits, sizeof digits, "%010ld", number);
    for (int i = 0; i < p->numbers; i++) memcpy(p->packet + p->number_at[i], digits, DIGITS);
    uint64_t a = random_bits(), b = random_bits();
    for (int i = 0; i < p->cids; i++) {
        char *cid = p->packet + p->cid_at[i];
        for (int k = 0, at = 0; k < 32; k++, at++) {
            if (at == 8 || at == 13 || at == 18 || at == 23) cid[at++] = '-';
            unsigned nibble = (unsigned)((k < 16 ? a >> (60 - 4 * k) : b >> (124 - 4 * k)) & 15);
            cid[at] = hex[k == 12 ? 4 : k == 16 ? 8 | (nibble & 3) : nibble];
        }
    }
    uint64_t now = now_ns();
    p->times[number - p->first] = intended ? intended : now;
    if (intended) histogram_add(&late, now - intended);
    sent_count++;
    wire_send(sockets[p->sender], p->packet, p->size);
}

static void over(pair *p, long number, uint8_t mark, uint64_t now)
{
    uint8_t *marks = &p->marks[number - p->first];
    *marks |= mark;
    last_progress = now;
    if (*marks != BOTH) return;
    over_count++;
    last_over = now;
    if (is_closed_loop && p->next < p->first + p->asked) send_next(p, 0);
}

/* As real clients do: one receipt under way per reader; what comes meanwhile goes with the next one. */
static void send_receipt(sock *s)
{
    char packet[300];
    if (s->receipt_waits || s->read <= s->told) return;
    s->told = s->read;
    s->receipt_waits = true;
    int length = snprintf(packet, sizeof packet, "42%s%ld[\"rcpt\",{\"conv\":\"%s\",\"delivered\":%ld,\"read\":%ld}]",
                          s->namespace_, RECEIPT_ACK + s->receipts++, pairs[s->pair_reading].conv, s->told, s->told);
    wire_send(s, packet, (size_t)length);
}

static void on_op(sock *s, const char *text, size_t size)
{
    if (s->pair_reading < 0) return;
    pair *p = &pairs[s->pair_reading];
    const char *mark = memmem(text, size, "~n", 2);
    if (!mark || (size_t)(text + size - mark) < DIGITS + 3 || mark[2 + DIGITS] != '~') return; /* not of ours */
    uint64_t now = now_ns();
    long number = strtol(mark + 2, NULL, 10);
    if (number >= p->next || number < 0 || !memmem(text, size, p->conv, p->conv_size)) {
        unasked++;
        complain("delivered, but never sent here", text, size);
        return;
    }
    if (number < p->first || (p->marks[number - p->first] & DELIVERED)) {
        doubled++;
        complain("delivered twice", text, size);
        return;
    }
    if (number < p->newest) {
        reordered++;
        complain("delivered after a later one", text, size);
    } else {
        p->newest = number;
    }
    delivered_count++;
    histogram_add(&delivered, now - p->times[number - p->first]);
    const char *seq = receipts_on ? memmem(text, size, "\"seq\":", 6) : NULL;
    if (seq) { /* the packet ends with "}]": strtol stops there at the latest */
        s->read = strtol(seq + 6, NULL, 10);
        send_receipt(s);
    }
    over(p, number, DELIVERED, now);
}

static void on_ack(sock *s, long id, const char *text, size_t size)
{
    bool ok = memmem(text, size, "\"ok\":true", 9) != NULL;
    if (!ok) complain("answered", text, size);
    if (id >= RECEIPT_ACK) {
        receipts_ok += ok;
        receipts_refused += !ok;
        s->receipt_waits = false;
        if (receipts_on) send_receipt(s);
        return;
    }
    long number = id - FIRST_ACK;
    pair *p = s->pair_sending >= 0 ? &pairs[s->pair_sending] : NULL;
    if (!p || number < p->first || number >= p->next || (p->marks[number - p->first] & ACKED)) {
        unasked++;
        complain("acknowledged twice or never sent", text, size);
        return;
    }
    uint64_t now = now_ns();
    acked_count++;
    ok_count += ok;
    histogram_add(&acked, now - p->times[number - p->first]);
    over(p, number, ACKED, now);
}

/* `text` is "2/ns,17[...]" (an event) or "3/ns,17[...]" (an acknowledgement). */
void on_packet(sock *s, const char *text, size_t size)
{
    size_t at = 1 + s->namespace_size;
    if (size <= at || memcmp(text + 1, s->namespace_, s->namespace_size) != 0) {
        trouble.not_understood++;
        complain("another namespace", text, size);
        return;
    }
    long id = -1;
    if (text[at] >= '0' && text[at] <= '9') id = strtol(text + at, NULL, 10);
    while (at < size && text[at] != '[') at++;
    const char *body = text + at;
    size_t length = size - at;
    if (text[0] == '3') {
        on_ack(s, id, body, length);
    } else if (text[0] == '2') {
        if (length > 5 && memcmp(body, "[\"op\"", 5) == 0) on_op(s, body, length);
        if (length > 7 && memcmp(body, "[\"kick\"", 7) == 0) trouble.kicked++, complain("kicked", body, length);
        if (id >= 0) { /* presence:ping and whatever else asks */
            char answer[100];
            int n = snprintf(answer, sizeof answer, "43%s%ld[]", s->namespace_, id);
            wire_send(s, answer, (size_t)n);
        }
    }
}

void on_state(sock *s)
{
    (void)s;
    connecting--; /* READY or DEAD: a socket that dies later only makes room for nobody */
    not_ready--;
    last_progress = now_ns();
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

static void add_socket(char **field)
{
    sock *s = calloc(1, sizeof *s);
    s->port = atoi(field[0]);
    s->namespace_ = strcmp(field[1], "/") == 0 ? strdup("") : (asprintf(&s->namespace_, "%s,", field[1]), s->namespace_);
    s->namespace_size = strlen(s->namespace_);
    s->auth = strdup(field[2]);
    s->hello = strcmp(field[3], "-") == 0 ? NULL : strdup(field[3]);
    s->offers_deflate = strcmp(field[4], "deflate") == 0;
    s->pair_sending = s->pair_reading = -1;
    sockets = more(sockets, (size_t)(socket_count + 1) * sizeof *sockets);
    sockets[socket_count++] = s;
}

static void find_places(pair *p, const char *word, size_t width, char fill, size_t *places, int *count)
{
    char *found;
    while ((found = memmem(p->packet, p->size, word, 5)) && *count < MOST_PLACES) {
        size_t at = (size_t)(found - p->packet);
        p->packet = more(p->packet, p->size + width + 1);
        memmove(p->packet + at + width, p->packet + at + 5, p->size - at - 5 + 1);
        memset(p->packet + at, fill, width);
        p->size += width - 5;
        places[(*count)++] = at;
    }
}

static void add_pair(char **field)
{
    pairs = more(pairs, (size_t)(pair_count + 1) * sizeof *pairs);
    pair *p = &pairs[pair_count];
    memset(p, 0, sizeof *p);
    p->sender = atol(field[0]), p->reader = atol(field[1]);
    p->conv = strdup(field[2]), p->conv_size = strlen(field[2]);
    sock *s = sockets[p->sender];
    p->size = (size_t)asprintf(&p->packet, "42%s1000000%s", s->namespace_, field[3]);
    p->ack_at = 2 + s->namespace_size;
    /* the number last, with nothing before it that moves afterwards: cids are put in first, numbers after them */
    find_places(p, "@CID@", 36, '0', p->cid_at, &p->cids);
    find_places(p, "@NUM@", DIGITS, '0', p->number_at, &p->numbers);
    for (int i = 0; i < p->cids; i++) /* a number that grew before a cid moved it */
        for (int k = 0; k < p->numbers; k++)
            if (p->number_at[k] < p->cid_at[i]) p->cid_at[i] += DIGITS - 5;
    s->pair_sending = sockets[p->reader]->pair_reading = pair_count++;
}

static void connect_all(long at_once, double patience)
{
    static long begun;
    uint64_t started = now_ns();
    long first = begun, ready = 0, deflated = 0;
    not_ready = socket_count - begun;
    connecting = 0;
    last_progress = started;
    while (not_ready > 0 && (double)(now_ns() - last_progress) < patience * 1e9) {
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

static void begin(long messages, bool receipts)
{
    histogram_clear(&acked), histogram_clear(&delivered), histogram_clear(&late);
    sent_count = acked_count = ok_count = delivered_count = over_count = 0;
    doubled = reordered = unasked = receipts_ok = receipts_refused = 0;
    receipts_on = receipts;
    for (long i = 0; i < pair_count; i++) {
        pair *p = &pairs[i];
        p->first = p->next;
        p->asked = messages / pair_count + (i < messages % pair_count);
        if (p->asked > p->room) {
            p->room = p->asked;
            p->times = more(p->times, (size_t)p->room * sizeof *p->times);
            p->marks = more(p->marks, (size_t)p->room);
        }
        memset(p->marks, 0, (size_t)p->room);
    }
}

static void tell(uint64_t started, double cpu, long messages)
{
    uint64_t settled = now_ns() + 50000000; /* what comes twice comes soon after */
    while (now_ns() < settled) pump(10);
    double seconds = (double)((last_over > started ? last_over : now_ns()) - started) / 1e9;
    printf("{\"asked\":%ld,\"sent\":%ld,\"acked\":%ld,\"ok\":%ld,\"delivered\":%ld,", messages, sent_count, acked_count,
           ok_count, delivered_count);
    printf("\"unanswered\":%ld,\"refused\":%ld,\"lost\":%ld,\"doubled\":%ld,\"reordered\":%ld,\"unasked\":%ld,",
           sent_count - acked_count, acked_count - ok_count + receipts_refused, sent_count - delivered_count, doubled, reordered, unasked);
    printf("\"closed\":%ld,\"kicked\":%ld,\"refused_connection\":%ld,\"not_understood\":%ld,\"compressed\":%ld,",
           trouble.closed, trouble.kicked, trouble.refused_connection, trouble.not_understood, trouble.compressed);
    histogram_print("ack_ms", &acked);
    histogram_print("delivered_ms", &delivered);
    histogram_print("late_ms", &late);
    printf("\"receipts_ok\":%ld,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"first_trouble\":\"%s\"}\n", receipts_ok, seconds,
           cpu, trouble.first);
}

static void run_closed(long in_flight, long messages, double patience, bool receipts)
{
    begin(messages, receipts);
    is_closed_loop = true;
    double cpu = cpu_seconds();
    uint64_t started = last_progress = now_ns();
    for (long i = 0; i < pair_count; i++)
        for (long k = 0; k < in_flight && pairs[i].next < pairs[i].first + pairs[i].asked; k++) send_next(&pairs[i], 0);
    while (over_count < messages && (double)(now_ns() - last_progress) < patience * 1e9) pump(50);
    is_closed_loop = false;
    tell(started, cpu_seconds() - cpu, messages);
}

static void run_open(double per_second, long messages, double patience, bool receipts)
{
    begin(messages, receipts);
    double cpu = cpu_seconds();
    uint64_t started = last_progress = now_ns() + 1000000;
    long sent = 0;
    while (over_count < messages && (double)(now_ns() - last_progress) < patience * 1e9) {
        uint64_t now = now_ns(), due = 0;
        while (sent < messages && (due = started + (uint64_t)((double)sent * 1e9 / per_second)) <= now)
            send_next(&pairs[sent % pair_count], due), sent++;
        if (sent < messages) {
            struct itimerspec when = {.it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};
            timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
            last_progress = now; /* silence between two messages is no loss */
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
