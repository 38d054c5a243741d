// A client of NATS JetStream that does what `probe` does to a Kafka broker, with NATS' own Go client.
//
//	nats create URL NAME STREAMS
//	nats delete URL NAME STREAMS
//	nats produce URL NAME STREAMS SECONDS SIZE                    as fast as it can
//	nats consume URL NAME STREAMS RECORDS SECONDS                 from the beginning, for so long at most
//	nats steady URL NAME STREAMS SECONDS SIZE WARM_UP RATE
//
// A stream has one order, as a partition has, so that there are as many streams as there are partitions. Records go to
// them in turn. Publishing is asynchronous, with at most `pending` records that are not acknowledged. What is printed, and
// how latencies count in `steady`, is as the head of probe.c has it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pending = 1024
	giveUp  = 2 * time.Minute
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
}

func check[T any](value T, err error) T {
	must(err)
	return value
}

func float(text string) float64 { return check(strconv.ParseFloat(text, 64)) }

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

func tell(told map[string]any) { must(json.NewEncoder(os.Stdout).Encode(told)) }

// Topic is a number of streams.
type Topic struct {
	url, name string
	streams   int
}

func (topic Topic) stream(number int) string {
	return fmt.Sprintf("%s-%d", topic.name, number%topic.streams)
}

// Connect opens a connection with JetStream.
func (topic Topic) connect(options ...jetstream.JetStreamOpt) jetstream.JetStream {
	connection := check(nats.Connect(topic.url))
	options = append(options,
		jetstream.WithPublishAsyncMaxPending(pending),
		jetstream.WithDefaultTimeout(giveUp),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { must(err) }))
	return check(jetstream.New(connection, options...))
}

func (topic Topic) create() {
	js := topic.connect()
	for number := range topic.streams {
		check(js.CreateStream(context.Background(), jetstream.StreamConfig{Name: topic.stream(number)}))
	}
}

func (topic Topic) delete() {
	js := topic.connect()
	for number := range topic.streams {
		must(js.DeleteStream(context.Background(), topic.stream(number)))
	}
}

func publish(js jetstream.JetStream, subject string, value []byte) {
	_, err := js.PublishAsync(subject, value, jetstream.WithStallWait(giveUp))
	must(err)
}

func waitForAnswers(js jetstream.JetStream) {
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(giveUp):
		must(fmt.Errorf("no answer for %v", giveUp))
	}
}

// Consume hands every record to `take`, of one stream at a time.
func (topic Topic) consume(js jetstream.JetStream, take func(value []byte)) {
	// What is asked for in advance is shared among the streams.
	batch := jetstream.PullMaxMessages(max(10_000/topic.streams, 500))
	for number := range topic.streams {
		consumer := check(js.OrderedConsumer(context.Background(), topic.stream(number), jetstream.OrderedConsumerConfig{}))
		check(consumer.Consume(func(message jetstream.Msg) { take(message.Data()) }, batch))
	}
}

func main() {
	if len(os.Args) < 5 {
		must(fmt.Errorf("create, delete, produce, consume or steady; see the head of the source"))
	}
	mode, given := os.Args[1], os.Args[5:]
	topic := Topic{os.Args[2], os.Args[3], check(strconv.Atoi(os.Args[4]))}
	switch {
	case mode == "create":
		topic.create()
	case mode == "delete":
		topic.delete()
	case mode == "produce" && len(given) == 2:
		topic.produceFast(seconds(float(given[0])), int(float(given[1])))
	case mode == "consume" && len(given) == 2:
		topic.consumeFast(int64(float(given[0])), seconds(float(given[1])))
	case mode == "steady" && len(given) == 4:
		topic.steady(seconds(float(given[0])), int(float(given[1])), seconds(float(given[2])), float(given[3]))
	default:
		must(fmt.Errorf("%s is unknown, or arguments are missing; see the head of the source", mode))
	}
}
