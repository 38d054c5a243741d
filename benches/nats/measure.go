package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Pool is where values come from: each record takes the piece behind the one before it.
type Pool struct{ bytes []byte }

const poolSize = 4 << 20

func newPool(size int) Pool {
	bytes := make([]byte, poolSize+size)
	random := rand.NewChaCha8([32]byte{})
	check(random.Read(bytes))
	return Pool{bytes}
}

func (pool Pool) value(number int64, size int) []byte {
	place := number * int64(size) % poolSize
	return pool.bytes[place : place+int64(size)]
}

func (topic Topic) produceFast(duration time.Duration, size int) {
	js, pool, subjects := topic.connect(), newPool(size), topic.subjects()
	start, sent := time.Now(), int64(0)
	for ; time.Since(start) < duration; sent++ {
		publish(js, subjects[sent%int64(len(subjects))], pool.value(sent, size))
	}
	waitForAnswers(js)
	tell(map[string]any{"records": sent, "seconds": time.Since(start).Seconds()})
}

func (topic Topic) subjects() []string {
	subjects := make([]string, topic.streams)
	for number := range subjects {
		subjects[number] = topic.stream(number)
	}
	return subjects
}

func (topic Topic) consumeFast(records int64, atMost time.Duration) {
	var taken, bytes atomic.Int64
	var first sync.Once
	begun, done := make(chan time.Time, 1), make(chan struct{})
	topic.consume(topic.connect(), func(value []byte) {
		first.Do(func() { begun <- time.Now() })
		bytes.Add(int64(len(value)))
		if taken.Add(1) == records {
			close(done)
		}
	})
	start := <-begun
	select {
	case <-done:
	case <-time.After(atMost):
	}
	took := time.Since(start)
	tell(map[string]any{"records": taken.Load(), "bytes": bytes.Load(), "seconds": took.Seconds()})
}

// Latencies of records, in milliseconds.
type Latencies struct {
	lock   sync.Mutex
	values []float64
}

func (latencies *Latencies) add(latency time.Duration) {
	latencies.lock.Lock()
	latencies.values = append(latencies.values, float64(latency)/1e6)
	latencies.lock.Unlock()
}

func (latencies *Latencies) count() int {
	latencies.lock.Lock()
	defer latencies.lock.Unlock()
	return len(latencies.values)
}

func (latencies *Latencies) told() map[string]float64 {
	slices.Sort(latencies.values)
	at := func(share float64) float64 {
		return latencies.values[min(int(float64(len(latencies.values))*share), len(latencies.values)-1)]
	}
	return map[string]float64{"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": at(1)}
}

func (topic Topic) steady(duration time.Duration, size int, warmUp time.Duration, rate float64) {
	var produced, consumed Latencies
	var start time.Time
	// A value begins with when it was due, counted from the start; 0 if it is not measured.
	add := func(to *Latencies, value []byte) {
		if due := time.Duration(binary.LittleEndian.Uint64(value)); due != 0 {
			to.add(time.Since(start) - due)
		}
	}
	js := topic.connect(jetstream.WithPublishAsyncAckHandler(
		func(_ jetstream.JetStream, message *nats.Msg, _ *jetstream.PubAck) { add(&produced, message.Data) }))
	topic.consume(topic.connect(), func(value []byte) { add(&consumed, value) })

	start = time.Now().Add(time.Second / 10)
	notMeasured := int64(warmUp.Seconds() * rate)
	all := notMeasured + int64(duration.Seconds()*rate)
	dueOf := func(number int64) time.Duration { return time.Duration(float64(number) / rate * float64(time.Second)) }
	end, pool, subjects, sent := dueOf(all), newPool(size), topic.subjects(), int64(0)
	for ; sent < all && time.Since(start) < end; sent++ {
		due := dueOf(sent)
		time.Sleep(due - time.Since(start))
		if sent < notMeasured {
			due = 0
		}
		value := slices.Clone(pool.value(sent, size))
		binary.LittleEndian.PutUint64(value, uint64(due))
		publish(js, subjects[sent%int64(len(subjects))], value)
	}
	time.Sleep(end - time.Since(start))
	onTime := float64(produced.count()) / float64(all-notMeasured)
	waitForAnswers(js)
	for until := time.Now().Add(giveUp); consumed.count() < int(max(sent-notMeasured, 0)); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			must(context.DeadlineExceeded)
		}
	}
	for number := max(sent, notMeasured); number < all; number++ {
		produced.add(end - dueOf(number))
		consumed.add(end - dueOf(number))
	}
	tell(map[string]any{"records": sent, "on time": onTime, "produce": produced.told(), "end to end": consumed.told()})
}
