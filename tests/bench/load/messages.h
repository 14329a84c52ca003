/* Pairs of sockets, the messages between them, and what became of each. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "histogram.h"
#include "wire.h"

enum { MOST_PLACES = 4 };

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

/* What one run counts. */
typedef struct {
    histogram ack_latency, delivery_latency, lateness;
    long sent, acked, ok, delivered, over, doubled, reordered, unasked, receipts_ok, receipts_refused;
    uint64_t last_progress, last_over;
    bool tell_receipts, closed_loop;
} count;

extern count tally;
extern sock **sockets;
extern pair *pairs;
extern long socket_count, pair_count;

void *more(void *old, size_t size);
void add_socket(char **field);
void add_pair(char **field);
/* Begin a run of so many messages. */
void begin(long messages, bool receipts);
/* Send a pair's next message; `intended` is when it should have left, 0 for now. */
void send_next(pair *p, uint64_t intended);

#endif
