/* Many connections to one broker, on one thread: no client library, so that the client costs as little as it can.
 *
 *   connections PORT FRAMES ERROR_AT CONNECTIONS SECONDS WARM_UP RATE
 *
 * FRAMES is a file of requests, each with its length in front, that are sent as they are: a connection sends one of them
 * over and over. Its responses have an error code at the byte ERROR_AT, which has to be 0. RATE is how many requests a
 * second all connections together send, in turn; 0: as many as they can. Latencies count from when a request was due,
 * without a rate from when it was sent. Requests that were due and not answered at the end count with how late they are.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"

/* As many as Kafka's clients have under way on a connection; together they fit into what the socket buffers. */
#define IN_FLIGHT 5
#define SOCKET_BUFFER (512 << 10)
#define LARGEST_ANSWER 512
#define EVENTS 256

typedef struct {
    const char *bytes;
    size_t size;
} Frame;

typedef struct {
    int socket;
    const Frame *frame;
    /* How many requests have been due, were sent, and were answered. */
    int64_t due, sent, answered;
    int64_t due_times[IN_FLIGHT];
    char answer[LARGEST_ANSWER];
    size_t have;
} Peer;

static struct {
    Peer *peers;
    int count;
    double rate;
    int64_t start, measured_from, end;
    int error_at;
    int64_t answered;
    Histogram latencies;
} all;

static uint32_t length_at(const char *bytes) {
    uint32_t length;
    memcpy(&length, bytes, sizeof length);
    return ntohl(length);
}

static Frame *read_frames(const char *path, int *count) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path, strerror(errno));
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size);
    if (!bytes || fread(bytes, 1, size, file) != size) fail(path, "cannot be read");
    fclose(file);
    Frame *frames = calloc(size / 4, sizeof *frames);
    *count = 0;
    for (size_t at = 0; at < size; at += frames[(*count)++].size)
        frames[*count] = (Frame){bytes + at, length_at(bytes + at) + 4};
    return frames;
}

static int connect_to(int port) {
    int one = 1, buffer = SOCKET_BUFFER, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) fail("socket", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect", strerror(errno));
    return fd;
}

/* When a request of a connection is due: they take turns. */
static int64_t due_time(const Peer *peer, int64_t number) {
    return all.start + (int64_t)((double)(peer - all.peers + number * all.count) * SECOND / all.rate);
}

static void send_what_is_due(Peer *peer) {
    while ((all.rate == 0 || peer->sent < peer->due) && peer->sent - peer->answered < IN_FLIGHT) {
        peer->due_times[peer->sent % IN_FLIGHT] = all.rate ? due_time(peer, peer->sent) : now();
        ssize_t sent = send(peer->socket, peer->frame->bytes, peer->frame->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent != (ssize_t)peer->frame->size) fail("send", sent < 0 ? strerror(errno) : "the socket takes too little");
        peer->sent++;
    }
}

static void take_answer(Peer *peer, const char *answer, size_t size) {
    if ((size_t)all.error_at + 2 > size || answer[all.error_at] || answer[all.error_at + 1])
        fail("produce", "the broker answered with an error");
    int64_t time = now(), due = peer->due_times[peer->answered++ % IN_FLIGHT];
    if (due < all.measured_from) return;
    all.answered++;
    add(&all.latencies, time - due);
}

static void receive(Peer *peer) {
    ssize_t got = recv(peer->socket, peer->answer + peer->have, LARGEST_ANSWER - peer->have, MSG_DONTWAIT);
    if (got == 0) fail("receive", "the broker closed a connection");
    if (got < 0) fail("receive", strerror(errno));
    peer->have += (size_t)got;
    size_t at = 0;
    while (peer->have - at >= 4 && peer->have - at >= 4 + (size_t)length_at(peer->answer + at)) {
        size_t size = length_at(peer->answer + at);
        take_answer(peer, peer->answer + at + 4, size);
        at += 4 + size;
    }
    if (at == 0 && peer->have == LARGEST_ANSWER) fail("receive", "the answer is too long");
    memmove(peer->answer, peer->answer + at, peer->have -= at);
}

static int open_all(int port, const Frame *frames, int frame_count) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int poll = epoll_create1(0);
    all.peers = calloc((size_t)all.count, sizeof *all.peers);
    for (int number = 0; number < all.count; number++) {
        Peer *peer = &all.peers[number];
        peer->socket = connect_to(port);
        peer->frame = &frames[number % frame_count];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, peer->socket, &event)) fail("epoll", strerror(errno));
    }
    return poll;
}

static void work(int poll) {
    struct epoll_event events[EVENTS];
    int64_t next = 0;
    for (int number = 0; all.rate == 0 && number < all.count; number++) send_what_is_due(&all.peers[number]);
    while (now() < all.end) {
        int64_t wait = all.end - now();
        for (; all.rate; next++) {
            Peer *peer = &all.peers[next % all.count];
            wait = due_time(peer, peer->due) - now();
            if (wait > 0) break;
            peer->due++;
            send_what_is_due(peer);
        }
        if (wait > all.end - now()) wait = all.end - now();
        struct timespec timeout = {wait > 0 ? wait / SECOND : 0, wait > 0 ? wait % SECOND : 0};
        int count = epoll_pwait2(poll, events, EVENTS, &timeout, NULL);
        if (count < 0) fail("epoll", strerror(errno));
        for (int index = 0; index < count; index++) {
            receive(events[index].data.ptr);
            send_what_is_due(events[index].data.ptr);
        }
    }
}

int main(int count, char **given) {
    if (count < 8) fail("usage", "see the head of the source");
    int frame_count;
    Frame *frames = read_frames(given[2], &frame_count);
    all.error_at = atoi(given[3]);
    all.count = atoi(given[4]);
    all.rate = atof(given[7]);
    int poll = open_all(atoi(given[1]), frames, frame_count);
    all.start = now();
    all.measured_from = all.start + (int64_t)(atof(given[6]) * SECOND);
    all.end = all.measured_from + (int64_t)(atof(given[5]) * SECOND);
    work(poll);
    int64_t answered = all.answered, due = answered;
    for (Peer *peer = all.peers; all.rate && peer < all.peers + all.count; peer++)
        for (int64_t number = peer->answered; number < peer->due; number++, due++)
            add(&all.latencies, all.end - due_time(peer, number));
    printf("{\"requests\":%lld,\"on time\":%.4f,", (long long)answered, due ? (double)answered / (double)due : 0);
    print("produce", &all.latencies);
    printf("}\n");
    return 0;
}
