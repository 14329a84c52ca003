/* See messages.h. */
#define _GNU_SOURCE
#include "messages.h"

#include <stdlib.h>

enum { DIGITS = 10, FIRST_ACK = 1000000, RECEIPT_ACK = 50000000 };
enum { ACKED = 1, DELIVERED = 2, BOTH = 3 };

count tally;
sock **sockets;
pair *pairs;
long socket_count, pair_count;

void *more(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (!p) abort();
    return p;
}

void add_socket(char **field)
{
    sock *s = calloc(1, sizeof *s);
    s->port = atoi(field[0]);
    s->namespace_ = malloc(strlen(field[1]) + 2);
    sprintf(s->namespace_, strcmp(field[1], "/") == 0 ? "" : "%s,", field[1]);
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

void add_pair(char **field)
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

void begin(long messages, bool receipts)
{
    memset(&tally, 0, sizeof tally);
    tally.tell_receipts = receipts;
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

void send_next(pair *p, uint64_t intended)
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
    if (intended) histogram_add(&tally.lateness, now - intended);
    tally.sent++;
    wire_send(sockets[p->sender], p->packet, p->size);
}

static void over(pair *p, long number, uint8_t mark, uint64_t now)
{
    uint8_t *marks = &p->marks[number - p->first];
    *marks |= mark;
    tally.last_progress = now;
    if (*marks != BOTH) return;
    tally.over++;
    tally.last_over = now;
    if (tally.closed_loop && p->next < p->first + p->asked) send_next(p, 0);
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
        tally.unasked++;
        complain("delivered, but never sent here", text, size);
        return;
    }
    if (number < p->first || (p->marks[number - p->first] & DELIVERED)) {
        tally.doubled++;
        complain("delivered twice", text, size);
        return;
    }
    if (number < p->newest) {
        tally.reordered++;
        complain("delivered after a later one", text, size);
    } else {
        p->newest = number;
    }
    tally.delivered++;
    histogram_add(&tally.delivery_latency, now - p->times[number - p->first]);
    const char *seq = tally.tell_receipts ? memmem(text, size, "\"seq\":", 6) : NULL;
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
        tally.receipts_ok += ok;
        tally.receipts_refused += !ok;
        s->receipt_waits = false;
        if (tally.tell_receipts) send_receipt(s);
        return;
    }
    long number = id - FIRST_ACK;
    pair *p = s->pair_sending >= 0 ? &pairs[s->pair_sending] : NULL;
    if (!p || number < p->first || number >= p->next || (p->marks[number - p->first] & ACKED)) {
        tally.unasked++;
        complain("acknowledged twice or never sent", text, size);
        return;
    }
    uint64_t now = now_ns();
    tally.acked++;
    tally.ok += ok;
    histogram_add(&tally.ack_latency, now - p->times[number - p->first]);
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
