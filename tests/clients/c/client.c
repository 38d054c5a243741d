// librdkafka as Debian ships it, as a client program. See ../README.md.
#define _GNU_SOURCE
#include <cjson/cJSON.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_MS = 30000, POLL_MS = 50, ERROR_SIZE = 512 };

static cJSON *arguments;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(const char *what, rd_kafka_resp_err_t error) {
  if (error) fail(what, rd_kafka_err2str(error));
}

static const char *text(const char *name) { return cJSON_GetObjectItem(arguments, name)->valuestring; }

static int number(const char *name) { return cJSON_GetObjectItem(arguments, name)->valueint; }

// Prints an event and frees it.
static void emit(cJSON *event) {
  char *line = cJSON_PrintUnformatted(event);
  puts(line);
  fflush(stdout);
  free(line);
  cJSON_Delete(event);
}

static cJSON *new_event(const char *kind) {
  cJSON *event = cJSON_CreateObject();
  cJSON_AddStringToObject(event, "event", kind);
  return event;
}

static cJSON *hex(const void *data, size_t size) {
  if (!data) return cJSON_CreateNull();
  char *digits = malloc(2 * size + 1);
  digits[0] = 0;
  for (size_t i = 0; i < size; i++) sprintf(digits + 2 * i, "%02x", ((const unsigned char *)data)[i]);
  cJSON *item = cJSON_CreateString(digits);
  free(digits);
  return item;
}

// Bytes of a hex string; data is NULL when the item is null.
struct bytes {
  unsigned char *data;
  size_t size;
};

static struct bytes unhex(const cJSON *item) {
  struct bytes bytes = {NULL, 0};
  if (!cJSON_IsString(item)) return bytes;
  bytes.size = strlen(item->valuestring) / 2;
  bytes.data = malloc(bytes.size + 1);
  for (size_t i = 0; i < bytes.size; i++) sscanf(item->valuestring + 2 * i, "%2hhx", &bytes.data[i]);
  return bytes;
}

// A new configuration from pairs of name and value, which a NULL ends.
static rd_kafka_conf_t *configure(const char **settings) {
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  char error[ERROR_SIZE];
  for (const char **s = settings; *s; s += 2)
    if (rd_kafka_conf_set(conf, s[0], s[1], error, sizeof error)) fail(s[0], error);
  return conf;
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
  char error[ERROR_SIZE];
  rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof error);
  if (!client) fail("rd_kafka_new", error);
  return client;
}

static void create(void) {
  const char *settings[] = {"bootstrap.servers", text("bootstrap"), NULL};
  rd_kafka_t *client = open_client(RD_KAFKA_PRODUCER, configure(settings));
  char error[ERROR_SIZE];
  rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(text("topic"), number("partitions"), 1, error, sizeof error);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
  rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
  rd_kafka_event_t *answer = rd_kafka_queue_poll(queue, TIMEOUT_MS);
  if (!answer) fail("create", "no answer");
  check("create", rd_kafka_event_error(answer));
  size_t count;
  const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer), &count);
  check("create", rd_kafka_topic_result_error(results[0]));
  emit(new_event("created"));
  rd_kafka_event_destroy(answer);
  rd_kafka_queue_destroy(queue);
  rd_kafka_NewTopic_destroy(topic);
  rd_kafka_destroy(client);
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
  (void)client, (void)opaque;
  check("delivery", message->err);
  cJSON *event = new_event("delivered");
  cJSON_AddNumberToObject(event, "index", (double)(intptr_t)message->_private);
  cJSON_AddNumberToObject(event, "partition", message->partition);
  cJSON_AddNumberToObject(event, "offset", (double)message->offset);
  emit(event);
}

static rd_kafka_headers_t *headers_of(const cJSON *list) {
  rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
  const cJSON *header;
  cJSON_ArrayForEach(header, list) {
    struct bytes value = unhex(cJSON_GetArrayItem(header, 1));
    rd_kafka_header_add(headers, cJSON_GetArrayItem(header, 0)->valuestring, -1, value.data, (ssize_t)value.size);
    free(value.data);
  }
  return headers;
}

static void produce_record(rd_kafka_t *client, const cJSON *record, intptr_t index) {
  const cJSON *partition = cJSON_GetObjectItem(record, "partition"), *time = cJSON_GetObjectItem(record, "timestamp");
  struct bytes key = unhex(cJSON_GetObjectItem(record, "key")), value = unhex(cJSON_GetObjectItem(record, "value"));
  check("produce", rd_kafka_producev(
      client, RD_KAFKA_V_TOPIC(text("topic")), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK),
      RD_KAFKA_V_PARTITION(cJSON_IsNumber(partition) ? partition->valueint : RD_KAFKA_PARTITION_UA),
      RD_KAFKA_V_TIMESTAMP(cJSON_IsNumber(time) ? (int64_t)time->valuedouble : 0),
      RD_KAFKA_V_KEY(key.data, key.size), RD_KAFKA_V_VALUE(value.data, value.size),
      RD_KAFKA_V_HEADERS(headers_of(cJSON_GetObjectItem(record, "headers"))), RD_KAFKA_V_OPAQUE((void *)index), RD_KAFKA_V_END));
  free(key.data);
  free(value.data);
}

// Reads a line of standard input, calling `idle` while there is none; NULL at the end of input.
static cJSON *next_message(void (*idle)(rd_kafka_t *), rd_kafka_t *client) {
  static char *buffer;
  static size_t size, used;
  for (;;) {
    char *end = used ? memchr(buffer, '\n', used) : NULL;
    if (end) {
      *end = 0;
      cJSON *message = cJSON_Parse(buffer);
      used -= (size_t)(end + 1 - buffer);
      memmove(buffer, end + 1, used);
      return message;
    }
    idle(client);
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, POLL_MS) <= 0) continue;
    if (size - used < 65536) buffer = realloc(buffer, size = 2 * size + 65536);
    ssize_t got = read(STDIN_FILENO, buffer + used, size - used);
    if (got <= 0) return NULL;
    used += (size_t)got;
  }
}

static void serve_reports(rd_kafka_t *client) { rd_kafka_poll(client, 0); }

static void produce(void) {
  const char *settings[] = {"bootstrap.servers", text("bootstrap"), "compression.codec", text("codec"), "enable.idempotence", "true",
                            "linger.ms", "20", "reconnect.backoff.max.ms", "500", NULL};
  rd_kafka_conf_t *conf = configure(settings);
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_t *client = open_client(RD_KAFKA_PRODUCER, conf);
  cJSON *record;
  for (intptr_t index = 0; (record = next_message(serve_reports, client)); index++) {
    produce_record(client, record, index);
    serve_reports(client);
    cJSON_Delete(record);
  }
  check("flush", rd_kafka_flush(client, TIMEOUT_MS));
  rd_kafka_destroy(client);
}

static void show(const rd_kafka_message_t *message) {
  cJSON *event = new_event("record"), *list = cJSON_AddArrayToObject(event, "headers");
  cJSON_AddNumberToObject(event, "partition", message->partition);
  cJSON_AddNumberToObject(event, "offset", (double)message->offset);
  cJSON_AddNumberToObject(event, "timestamp", (double)rd_kafka_message_timestamp(message, NULL));
  cJSON_AddItemToObject(event, "key", hex(message->key, message->key_len));
  cJSON_AddItemToObject(event, "value", hex(message->payload, message->len));
  rd_kafka_headers_t *headers;
  const char *name;
  const void *value;
  size_t size;
  if (!rd_kafka_message_headers(message, &headers))
    for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
      cJSON *header = cJSON_CreateArray();
      cJSON_AddItemToArray(header, cJSON_CreateString(name));
      cJSON_AddItemToArray(header, hex(value, size));
      cJSON_AddItemToArray(list, header);
    }
  emit(event);
}

static void consume(void) {
  const char *settings[] = {"bootstrap.servers", text("bootstrap"), "group.id", "unused", "enable.auto.commit", "false", NULL};
  rd_kafka_t *client = open_client(RD_KAFKA_CONSUMER, configure(settings));
  rd_kafka_topic_partition_list_t *places = rd_kafka_topic_partition_list_new(1);
  for (int partition = 0; partition < number("partitions"); partition++)
    rd_kafka_topic_partition_list_add(places, text("topic"), partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
  check("assign", rd_kafka_assign(client, places));
  for (int left = number("count"); left > 0;) {
    rd_kafka_message_t *message = rd_kafka_consumer_poll(client, POLL_MS);
    if (!message) continue;
    check("consume", message->err);
    show(message);
    rd_kafka_message_destroy(message);
    left--;
  }
  rd_kafka_consumer_close(client);
  rd_kafka_topic_partition_list_destroy(places);
  rd_kafka_destroy(client);
}

static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *places, void *opaque) {
  (void)opaque;
  int assigned = error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
  rd_kafka_assign(client, assigned ? places : NULL);
  cJSON *event = new_event("assigned"), *list = cJSON_AddArrayToObject(event, "partitions");
  for (int i = 0; assigned && i < places->cnt; i++) cJSON_AddItemToArray(list, cJSON_CreateNumber(places->elems[i].partition));
  emit(event);
}

static void poll_consumer(rd_kafka_t *client) {
  rd_kafka_message_t *message;
  while ((message = rd_kafka_consumer_poll(client, POLL_MS))) {
    if (!message->err) show(message);
    rd_kafka_message_destroy(message);
  }
}

static void commit(rd_kafka_t *client) {
  rd_kafka_resp_err_t error = rd_kafka_commit(client, NULL, 0);
  cJSON *event = new_event(error && error != RD_KAFKA_RESP_ERR__NO_OFFSET ? "commit_failed" : "committed");
  cJSON_AddStringToObject(event, "error", rd_kafka_err2str(error));
  emit(event);
}

static void group(void) {
  const char *settings[] = {"bootstrap.servers", text("bootstrap"), "group.id", text("group"), "auto.offset.reset", "earliest",
                            "enable.auto.commit", "false", "session.timeout.ms", "10000", "heartbeat.interval.ms", "500",
                            "reconnect.backoff.max.ms", "500", NULL};
  rd_kafka_conf_t *conf = configure(settings);
  rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
  rd_kafka_t *client = open_client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(client);
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, text("topic"), RD_KAFKA_PARTITION_UA);
  check("subscribe", rd_kafka_subscribe(client, topics));
  cJSON *message;
  while ((message = next_message(poll_consumer, client))) {
    int stop = !strcmp(cJSON_GetObjectItem(message, "command")->valuestring, "stop");
    cJSON_Delete(message);
    if (stop) break;
    commit(client);
  }
  rd_kafka_consumer_close(client);
  rd_kafka_topic_partition_list_destroy(topics);
  rd_kafka_destroy(client);
}

int main(int argc, char **argv) {
  if (argc != 3 || !(arguments = cJSON_Parse(argv[2]))) fail("usage", "client COMMAND ARGUMENTS");
  if (!strcmp(argv[1], "create")) create();
  else if (!strcmp(argv[1], "produce")) produce();
  else if (!strcmp(argv[1], "consume")) consume();
  else if (!strcmp(argv[1], "group")) group();
  else fail("unknown command", argv[1]);
  return 0;
}
