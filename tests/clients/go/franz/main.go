// franz-go as a client program. See ../../README.md.
package main

import (
	"context"
	"sync"
	"time"

	"fjord.dev/tests/clients/program"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func connect(a program.Arguments, options ...kgo.Opt) *kgo.Client {
	backoff := kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond })
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(a.Bootstrap), backoff)...)
	program.Check(err)
	return client
}

func create(a program.Arguments) {
	client := connect(a)
	defer client.Close()
	_, err := kadm.NewClient(client).CreateTopic(context.Background(), a.Partitions, 1, nil, a.Topic)
	program.Check(err)
	program.Emit("created", nil)
}

// byKeyOrGiven is the default partitioner, but for records that name their partition.
type byKeyOrGiven struct{ byKey kgo.Partitioner }

func (p byKeyOrGiven) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.byKey.ForTopic(topic)}
}

type topicPartitioner struct{ byKey kgo.TopicPartitioner }

func (p topicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.byKey.Partition(r, n)
}

func produce(a program.Arguments) {
	client := connect(a, kgo.DefaultProduceTopic(a.Topic), kgo.ProducerBatchCompression(codecs[a.Codec]),
		kgo.RecordPartitioner(byKeyOrGiven{kgo.StickyKeyPartitioner(nil)}), kgo.ProducerLinger(20*time.Millisecond))
	defer client.Close()
	index := 0
	program.Lines(func(r program.Record) bool {
		record := &kgo.Record{Key: r.Key, Value: r.Value, Partition: -1}
		if r.Partition != nil {
			record.Partition = *r.Partition
		}
		if r.Timestamp != nil {
			record.Timestamp = time.UnixMilli(*r.Timestamp)
		}
		for _, header := range r.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
		place := index
		index++
		client.Produce(context.Background(), record, func(r *kgo.Record, err error) {
			program.Check(err)
			program.Emit("delivered", map[string]any{"index": place, "partition": r.Partition, "offset": r.Offset})
		})
		return true
	})
	program.Check(client.Flush(context.Background()))
}

func show(r *kgo.Record) {
	headers := []program.Header{}
	for _, header := range r.Headers {
		headers = append(headers, program.Header{Name: header.Key, Value: header.Value})
	}
	program.EmitRecord(r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value, headers)
}

func consume(a program.Arguments) {
	client := connect(a, kgo.ConsumeTopics(a.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	for left := a.Count; left > 0; {
		fetches := client.PollFetches(context.Background())
		fetches.EachRecord(show)
		left -= fetches.NumRecords()
	}
}

func group(a program.Arguments) {
	var owned sync.Map
	changed := func(own bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changes map[string][]int32) {
			for _, partition := range changes[a.Topic] {
				if own {
					owned.Store(partition, true)
				} else {
					owned.Delete(partition)
				}
			}
			all := []int32{}
			owned.Range(func(partition, _ any) bool { all = append(all, partition.(int32)); return true })
			program.Emit("assigned", map[string]any{"partitions": all})
		}
	}
	client := connect(a, kgo.ConsumerGroup(a.Group), kgo.ConsumeTopics(a.Topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(changed(true)), kgo.OnPartitionsRevoked(changed(false)), kgo.OnPartitionsLost(changed(false)))
	polling, stop := context.WithCancel(context.Background())
	go func() {
		for polling.Err() == nil {
			client.PollFetches(polling).EachRecord(show)
		}
	}()
	program.Commands(func(string) {
		if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
			program.Emit("commit_failed", map[string]any{"error": err.Error()})
		} else {
			program.Emit("committed", nil)
		}
	})
	stop()
	client.Close()
}

func main() {
	program.Main(map[string]func(program.Arguments){
		"create": create, "produce": produce, "consume": consume, "group": group,
	})
}
