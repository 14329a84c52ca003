/* WebSocket, Engine.IO 4 and Socket.IO 5 as a client speaks them, over non-blocking sockets and one epoll. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { NEW, CONNECTING, UPGRADING, OPENING, JOINING, GREETING, READY, DEAD } state;

typedef struct {
    int fd, port;
    state state;
    bool offers_deflate, deflate_accepted, wants_write;
    char *namespace_; /* "/citizen,"; empty for the main one */
    size_t namespace_size;
    char *auth, *hello;
    uint8_t *in, *out;
    size_t in_size, in_room, out_size, out_room;
    long pair_sending, pair_reading; /* -1: none */
    long receipts, read, told; /* how many; the last number delivered; the last one told */
    bool receipt_waits;
} sock;

/* What went wrong, counted over the whole life of the program. */
typedef struct {
    long closed, kicked, refused_connection, not_understood, compressed;
    char first[300];
} troubles;

extern troubles trouble;
extern uint64_t now_ns(void);
extern uint64_t random_bits(void);
extern void complain(const char *what, const void *detail, size_t size);

/* Calls of the load: a packet's text arrived (after "4"); a socket that was opening is READY or DEAD. */
extern void on_packet(sock *s, const char *text, size_t size);
extern void on_state(sock *s);

void wire_start(int epoll);
void wire_connect(sock *s);
void wire_ready(sock *s, uint32_t events);
void wire_send(sock *s, const char *text, size_t size);

#endif
