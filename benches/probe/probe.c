/* A client on librdkafka that drives a broker to its limit, or at a fixed rate, and tells what it saw as JSON.
 *
 *   probe produce BOOTSTRAP TOPIC SECONDS SIZE [CONFIG=VALUE...]                 as fast as it can
 *   probe consume BOOTSTRAP TOPIC RECORDS PARTITIONS SECONDS [CONFIG=VALUE...]   from the beginning
 *   probe steady BOOTSTRAP TOPIC SECONDS SIZE WARM_UP PARTITIONS RATE [CONFIG=VALUE...]
 *
 * SECONDS is how long it is measured, when consuming at most; the WARM_UP seconds before are not.
 *
 * `steady` produces RATE records a second and consumes them, in one process, so that both ends have one clock. Each
 * record has a time at which it is due, whether or not the client gets to send it then; all latencies count from
 * there, so that a stall is felt by all records that it delays (no coordinated omission). It ends in time even if the
 * broker does not follow: records that were due and not sent count with how late they are by then, and `on time` is the
 * share of the records that were acknowledged by then.
 */
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "measure.h"

#define GIVE_UP_S 120
#define BATCH 1000

static void sleep_until(int64_t when) {
    struct timespec time = {when / SECOND, when % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

typedef struct {
    int64_t sent, delivered;
    Histogram latencies;
} Produced;

/* A record's opaque is the time at which it was due; 0 if it is not measured. */
static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client;
    Produced *produced = opaque;
    if (message->err) fail("a record was not delivered", rd_kafka_err2str(message->err));
    int64_t due = (int64_t)(intptr_t)message->_private;
    produced->delivered++;
    if (due) add(&produced->latencies, now() - due);
}

static rd_kafka_conf_t *configure(const char *bootstrap, int count, char **settings) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[512];
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof error)) fail("bootstrap", error);
    for (int index = 0; index < count; index++) {
        char *value = strchr(settings[index], '=');
        if (!value) fail(settings[index], "a setting is NAME=VALUE");
        *value = 0;
        if (rd_kafka_conf_set(conf, settings[index], value + 1, error, sizeof error)) fail(settings[index], error);
        *value = '=';
    }
    return conf;
}

static rd_kafka_t *producer(rd_kafka_conf_t *conf, Produced *produced) {
    char error[512];
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, produced);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!client) fail("producer", error);
    return client;
}

static rd_kafka_t *consumer(rd_kafka_conf_t *conf) {
    char error[512];
    if (rd_kafka_conf_set(conf, "group.id", "probe", error, sizeof error)) fail("group.id", error);
    if (rd_kafka_conf_set(conf, "enable.auto.commit", "false", error, sizeof error)) fail("auto commit", error);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!client) fail("consumer", error);
    rd_kafka_poll_set_consumer(client);
    return client;
}

static void assign(rd_kafka_t *client, const char *topic, int partitions, int64_t offset) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int partition = 0; partition < partitions; partition++)
        rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    rd_kafka_resp_err_t error = rd_kafka_assign(client, list);
    if (error) fail("assign", rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
}

static rd_kafka_topic_t *open_topic(rd_kafka_t *client, const char *name) {
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    if (!topic) fail("topic", rd_kafka_err2str(rd_kafka_last_error()));
    return topic;
}

/* Values, about as compressible as text: words of eight bytes from a vocabulary, in no order. Each record takes the
 * piece behind the one before it. */
#define POOL (4 << 20)
#define WORDS 1024

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005 + 1442695040888963407;
    return *state >> 32;
}

static char *pool(size_t size) {
    uint64_t state = 1, words[WORDS];
    for (int index = 0; index < WORDS; index++) words[index] = next_random(&state) << 32 | next_random(&state);
    char *bytes = malloc(POOL + size + sizeof *words);
    if (!bytes) fail("memory", "there is none");
    for (size_t place = 0; place < POOL + size; place += sizeof *words)
        memcpy(bytes + place, &words[next_random(&state) % WORDS], sizeof *words);
    return bytes;
}

static char *value_of_record(char *bytes, int64_t number, size_t size) {
    return bytes + (size_t)number * size % POOL;
}

static void send_one(rd_kafka_t *client, rd_kafka_topic_t *topic, char *value, size_t size, int64_t due) {
    Produced *produced = rd_kafka_opaque(client);
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, size, NULL, 0,
                            (void *)(intptr_t)due)) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(client, 1);
    }
    if (produced->sent++ % 64 == 0) rd_kafka_poll(client, 0);
}

static void wait_for_answers(rd_kafka_t *client) {
    Produced *produced = rd_kafka_opaque(client);
    int64_t give_up = now() + GIVE_UP_S * SECOND;
    while (produced->delivered < produced->sent) {
        if (now() > give_up) fail("records were not acknowledged", "no answer for two minutes");
        rd_kafka_poll(client, 10);
    }
}

static void produce(const char *name, double seconds, size_t size, rd_kafka_conf_t *conf) {
    static Produced produced;
    rd_kafka_t *client = producer(conf, &produced);
    rd_kafka_topic_t *topic = open_topic(client, name);
    char *bytes = pool(size);
    /* What it takes until the client has found everything does not count. */
    send_one(client, topic, bytes, size, 0);
    wait_for_answers(client);
    int64_t start = now(), end = start + (int64_t)(seconds * SECOND), before = produced.sent;
    do
        send_one(client, topic, value_of_record(bytes, produced.sent, size), size, 0);
    while (now() < end);
    wait_for_answers(client);
    printf("{\"records\":%lld,\"seconds\":%.6f}\n", (long long)(produced.sent - before),
           (double)(now() - start) / SECOND);
}

static void consume(const char *topic, int64_t records, int partitions, double seconds, rd_kafka_conf_t *conf) {
    rd_kafka_t *client = consumer(conf);
    assign(client, topic, partitions, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    rd_kafka_message_t *messages[BATCH];
    int64_t taken = 0, bytes = 0, asked = now(), start = 0;
    while (taken < records && !(start && now() - start > (int64_t)(seconds * SECOND))) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 1000, messages, BATCH);
        if (count > 0 && !start) start = now();
        for (ssize_t index = 0; index < count; index++) {
            if (messages[index]->err) fail("consume", rd_kafka_message_errstr(messages[index]));
            bytes += (int64_t)messages[index]->len;
            rd_kafka_message_destroy(messages[index]);
        }
        taken += count;
        if (now() - asked > GIVE_UP_S * SECOND) fail("consume", "not all records came within two minutes");
    }
    printf("{\"records\":%lld,\"bytes\":%lld,\"seconds\":%.6f}\n", (long long)taken, (long long)bytes,
           (double)(now() - start) / SECOND);
}

typedef struct {
    rd_kafka_t *client;
    atomic_bool done;
    /* How many measured records there are in all; known once it is done. */
    int64_t measured;
    Histogram latencies;
} Reader;

static void *read_all(void *opaque) {
    Reader *reader = opaque;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(reader->client);
    rd_kafka_message_t *messages[BATCH];
    int64_t give_up = 0;
    while (!reader->done || reader->latencies.total < reader->measured) {
        if (reader->done && !give_up) give_up = now() + GIVE_UP_S * SECOND;
        if (give_up && now() > give_up) fail("consume", "not all records came within two minutes");
        ssize_t count = rd_kafka_consume_batch_queue(queue, 10, messages, BATCH);
        int64_t time = now();
        for (ssize_t index = 0; index < count; index++) {
            if (messages[index]->err) fail("consume", rd_kafka_message_errstr(messages[index]));
            int64_t due;
            memcpy(&due, messages[index]->payload, sizeof due);
            if (due) add(&reader->latencies, time - due);
            rd_kafka_message_destroy(messages[index]);
        }
    }
    return NULL;
}

/* When the record of this number is due. */
static int64_t due_time(int64_t start, int64_t number, double rate) {
    return start + (int64_t)((double)number * SECOND / rate);
}

/* Sends what is due until `end`, and returns how many that were of `all`. */
static int64_t send_steadily(rd_kafka_t *client, rd_kafka_topic_t *topic, size_t size, double rate, int64_t start,
                             int64_t not_measured, int64_t all, int64_t end) {
    char *bytes = pool(size), *value = malloc(size);
    int64_t sent = 0;
    for (; sent < all && now() < end; sent++) {
        int64_t due = due_time(start, sent, rate);
        while (now() < due) {
            rd_kafka_poll(client, 0);
            int64_t soon = now() + SECOND / 2000;
            sleep_until(due < soon ? due : soon);
        }
        if (sent < not_measured) due = 0;
        memcpy(value, value_of_record(bytes, sent, size), size);
        memcpy(value, &due, sizeof due);
        send_one(client, topic, value, size, due);
    }
    return sent;
}

static void steady(const char *name, double seconds, size_t size, double warm_up, int partitions, double rate,
                   rd_kafka_conf_t *conf, rd_kafka_conf_t *consumer_conf) {
    static Produced produced;
    static Reader reader;
    int64_t not_measured = (int64_t)(warm_up * rate), all = not_measured + (int64_t)(seconds * rate);
    reader.client = consumer(consumer_conf);
    assign(reader.client, name, partitions, RD_KAFKA_OFFSET_BEGINNING);
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_all, &reader)) fail("thread", "cannot be started");

    rd_kafka_t *client = producer(conf, &produced);
    rd_kafka_topic_t *topic = open_topic(client, name);
    int64_t start = now() + SECOND / 10, end = due_time(start, all, rate);
    int64_t sent = send_steadily(client, topic, size, rate, start, not_measured, all, end);
    while (now() < end) rd_kafka_poll(client, 1);
    int64_t on_time = produced.latencies.total, measured = all - not_measured;
    wait_for_answers(client);
    reader.measured = sent > not_measured ? sent - not_measured : 0;
    reader.done = true;
    pthread_join(thread, NULL);
    for (int64_t number = sent > not_measured ? sent : not_measured; number < all; number++) {
        add(&produced.latencies, end - due_time(start, number, rate));
        add(&reader.latencies, end - due_time(start, number, rate));
    }
    printf("{\"records\":%lld,\"on time\":%.4f,", (long long)sent, (double)on_time / (double)measured);
    print("produce", &produced.latencies);
    printf(",");
    print("end to end", &reader.latencies);
    printf("}\n");
}

int main(int count, char **given) {
    if (count < 4) fail("usage", "produce, consume or steady; see the head of the source");
    const char *mode = given[1], *bootstrap = given[2], *topic = given[3];
    if (!strcmp(mode, "produce") && count >= 6)
        produce(topic, atof(given[4]), (size_t)atoll(given[5]), configure(bootstrap, count - 6, given + 6));
    else if (!strcmp(mode, "consume") && count >= 7)
        consume(topic, atoll(given[4]), atoi(given[5]), atof(given[6]), configure(bootstrap, count - 7, given + 7));
    else if (!strcmp(mode, "steady") && count >= 9)
        steady(topic, atof(given[4]), (size_t)atoll(given[5]), atof(given[6]), atoi(given[7]), atof(given[8]),
               configure(bootstrap, count - 9, given + 9), configure(bootstrap, 0, NULL));
    else
        fail(mode, "unknown, or arguments are missing; see the head of the source");
    return 0;
}
