/* See wire.h. Every client frame is masked with a fresh key, as RFC 6455 asks. */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024 };

static int epoll_fd;
static uint8_t shared[READ_SIZE];

void wire_start(int epoll) { epoll_fd = epoll; }

static void *grown(void *old, size_t *room, size_t wanted)
{
    if (wanted <= *room) return old;
    *room = wanted * 2;
    void *bigger = realloc(old, *room);
    if (!bigger) abort();
    return bigger;
}

static void become(sock *s, state next)
{
    if (s->state == DEAD) return;
    bool settled = s->state == READY;
    s->state = next;
    if (next == DEAD) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
        close(s->fd);
        free(s->in), free(s->out);
        s->in = s->out = NULL;
        s->in_size = s->in_room = s->out_size = s->out_room = 0;
    }
    if (!settled && (next == READY || next == DEAD)) on_state(s);
}

static void died(sock *s, const char *why)
{
    if (s->state == DEAD) return;
    trouble.closed++;
    complain(why, s->in, s->in_size);
    become(s, DEAD);
}

static void watch(sock *s, bool writing)
{
    if (s->wants_write == writing) return;
    s->wants_write = writing;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &event);
}

static void put(sock *s, const void *bytes, size_t size)
{
    if (s->state == DEAD) return;
    size_t done = 0;
    if (s->out_size == 0) {
        ssize_t n = send(s->fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            died(s, strerror(errno));
            return;
        }
        done = n > 0 ? (size_t)n : 0;
    }
    if (done == size) return;
    s->out = grown(s->out, &s->out_room, s->out_size + size - done);
    memcpy(s->out + s->out_size, (const uint8_t *)bytes + done, size - done);
    s->out_size += size - done;
    watch(s, true);
}

static void put_frame(sock *s, int opcode, const char *payload, size_t size)
{
    static uint8_t frame[READ_SIZE];
    if (size > 65535) abort(); /* nothing a client sends here is that long */
    size_t at = 0;
    frame[at++] = (uint8_t)(0x80 | opcode);
    if (size < 126) {
        frame[at++] = (uint8_t)(0x80 | size);
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = (uint8_t)(size >> 8);
        frame[at++] = (uint8_t)size;
    }
    uint32_t key = (uint32_t)random_bits();
    uint8_t mask[4];
    memcpy(mask, &key, 4);
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < size; i++) frame[at + i] = (uint8_t)payload[i] ^ mask[i & 3];
    put(s, frame, at + size);
}

void wire_send(sock *s, const char *text, size_t size) { put_frame(s, 1, text, size); }

void wire_connect(sock *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->fd < 0) {
        perror("socket");
        exit(1);
    }
    int one = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
    s->wants_write = true;
    s->state = CONNECTING;
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) died(s, "connect");
}

static void upgrade(sock *s)
{
    char request[700];
    int size = snprintf(request, sizeof request,
                        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                        "Origin: http://127.0.0.1:%d\r\nUser-Agent: Mozilla/5.0 (load)\r\n"
                        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                        s->port, s->port,
                        s->offers_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                                          : "");
    become(s, UPGRADING);
    put(s, request, (size_t)size);
}

static void joined(sock *s)
{
    if (!s->hello) {
        become(s, READY);
        return;
    }
    char *packet = malloc(strlen(s->hello) + s->namespace_size + 16);
    int size = sprintf(packet, "42%s1%s", s->namespace_, s->hello);
    become(s, GREETING);
    wire_send(s, packet, (size_t)size);
    free(packet);
}

/* One Engine.IO packet. */
static void heard(sock *s, const char *text, size_t size)
{
    if (size == 1 && text[0] == '2') {
        wire_send(s, "3", 1);
    } else if (text[0] == '0' && s->state == OPENING) {
        char *packet = malloc(strlen(s->auth) + s->namespace_size + 16);
        int length = sprintf(packet, "40%s%s", s->namespace_, s->auth);
        become(s, JOINING);
        wire_send(s, packet, (size_t)length);
        free(packet);
    } else if (text[0] == '4' && size > 1) {
        if (s->state == JOINING && text[1] == '0') {
            joined(s);
        } else if (text[1] == '4' || text[1] == '1') {
            trouble.refused_connection++;
            complain("refused", text, size);
            become(s, DEAD);
        } else if (s->state == GREETING && text[1] == '3') {
            if (!memmem(text, size, "\"ok\":true", 9)) {
                trouble.refused_connection++;
                complain("hello refused", text, size);
            }
            become(s, READY);
        } else {
            on_packet(s, text + 1, size - 1);
        }
    } else if (text[0] != '6') {
        trouble.not_understood++;
        complain("not understood", text, size);
    }
}

/* The frames that are whole; gives the bytes used up. */
static size_t frames(sock *s, const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (s->state != DEAD && size - at >= 2) {
        const uint8_t *head = data + at;
        size_t length = head[1] & 0x7f, start = 2;
        if (length == 126) {
            if (size - at < 4) break;
            length = (size_t)head[2] << 8 | head[3], start = 4;
        } else if (length == 127) {
            if (size - at < 10) break;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | head[i];
            start = 10;
        }
        if (size - at - start < length) break;
        const char *payload = (const char *)head + start;
        int opcode = head[0] & 0x0f;
        at += start + length;
        if (head[0] & 0x40) {
            trouble.compressed++;
            complain("compressed frame", payload, length);
        } else if (opcode == 1 && (head[0] & 0x80) && length > 0) {
            heard(s, payload, length);
        } else if (opcode == 9) {
            put_frame(s, 10, payload, length);
        } else if (opcode == 8) {
            died(s, "closed by the server");
        } else if (opcode != 10) {
            trouble.not_understood++;
            complain("frame not understood", payload, length);
        }
    }
    return at;
}

/* The answer to the upgrade; gives the bytes used up, 0 while it is not whole. */
static size_t upgraded(sock *s, const uint8_t *data, size_t size)
{
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t used = (size_t)(end - (const char *)data) + 4;
    if (size < 12 || memcmp(data + 9, "101", 3) != 0) {
        trouble.refused_connection++;
        complain("no upgrade", data, size);
        become(s, DEAD);
        return used;
    }
    s->deflate_accepted = memmem(data, used, "permessage-deflate", 18) != NULL;
    become(s, OPENING);
    return used;
}

static size_t consume(sock *s, const uint8_t *data, size_t size)
{
    size_t used = 0;
    if (s->state == UPGRADING) {
        used = upgraded(s, data, size);
        if (s->state != OPENING) return used;
    }
    return used + frames(s, data + used, size - used);
}

static void readable(sock *s)
{
    ssize_t n = recv(s->fd, shared, sizeof shared, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        died(s, n == 0 ? "end of stream" : strerror(errno));
        return;
    }
    if (s->in_size == 0) { /* the usual case: whole frames, nothing to keep */
        size_t used = consume(s, shared, (size_t)n);
        if (s->state == DEAD || used == (size_t)n) return;
        s->in = grown(s->in, &s->in_room, (size_t)n - used);
        memcpy(s->in, shared + used, (size_t)n - used);
        s->in_size = (size_t)n - used;
        return;
    }
    s->in = grown(s->in, &s->in_room, s->in_size + (size_t)n);
    memcpy(s->in + s->in_size, shared, (size_t)n);
    s->in_size += (size_t)n;
    size_t used = consume(s, s->in, s->in_size);
    if (s->state == DEAD) return;
    memmove(s->in, s->in + used, s->in_size - used);
    s->in_size -= used;
}

static void writable(sock *s)
{
    if (s->state == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) {
            died(s, strerror(error));
            return;
        }
        watch(s, false);
        upgrade(s);
        return;
    }
    ssize_t n = send(s->fd, s->out, s->out_size, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) {
        died(s, strerror(errno));
        return;
    }
    memmove(s->out, s->out + n, s->out_size - (size_t)n);
    s->out_size -= (size_t)n;
    if (s->out_size == 0) watch(s, false);
}

void wire_ready(sock *s, uint32_t events)
{
    if (s->state != DEAD && (events & EPOLLOUT)) writable(s);
    if (s->state != DEAD && (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) readable(s);
}
