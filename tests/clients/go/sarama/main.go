// sarama as a client program. See ../../README.md.
package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"fjord.dev/tests/clients/program"
	"github.com/IBM/sarama"
)

const forever = 1_000_000

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Metadata.Retry.Max = forever
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	return c
}

func create(a program.Arguments) {
	admin, err := sarama.NewClusterAdmin([]string{a.Bootstrap}, config())
	program.Check(err)
	program.Check(admin.CreateTopic(a.Topic, &sarama.TopicDetail{NumPartitions: a.Partitions, ReplicationFactor: 1}, false))
	program.Check(admin.Close())
	program.Emit("created", nil)
}

// byKeyOrGiven is the default partitioner, but for records that name their partition.
type byKeyOrGiven struct{ sarama.Partitioner }

func newPartitioner(topic string) sarama.Partitioner {
	return byKeyOrGiven{sarama.NewHashPartitioner(topic)}
}

func (p byKeyOrGiven) Partition(message *sarama.ProducerMessage, n int32) (int32, error) {
	if message.Partition >= 0 {
		return message.Partition, nil
	}
	return p.Partitioner.Partition(message, n)
}

func produce(a program.Arguments) {
	c := config()
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = forever
	c.Producer.Compression = codecs[a.Codec]
	c.Producer.Flush.Frequency = 20 * time.Millisecond
	c.Producer.Partitioner = newPartitioner
	producer, err := sarama.NewAsyncProducer([]string{a.Bootstrap}, c)
	program.Check(err)
	var reports, waiting sync.WaitGroup
	reports.Go(func() {
		for message := range producer.Successes() {
			place := map[string]any{"index": message.Metadata, "partition": message.Partition, "offset": message.Offset}
			program.Emit("delivered", place)
			waiting.Done()
		}
	})
	reports.Go(func() {
		for err := range producer.Errors() {
			program.Check(err)
		}
	})
	index := 0
	program.Lines(func(r program.Record) bool {
		waiting.Add(1)
		producer.Input() <- message(a.Topic, r, index)
		index++
		return true
	})
	waiting.Wait() // A sarama producer that is closed with messages under way may refuse them.
	producer.AsyncClose()
	reports.Wait()
}

func message(topic string, r program.Record, index int) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: topic, Partition: -1, Metadata: index}
	if r.Partition != nil {
		m.Partition = *r.Partition
	}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	if r.Timestamp != nil {
		m.Timestamp = time.UnixMilli(*r.Timestamp)
	}
	for _, header := range r.Headers {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
	}
	return m
}

func show(m *sarama.ConsumerMessage) {
	headers := []program.Header{}
	for _, header := range m.Headers {
		headers = append(headers, program.Header{Name: string(header.Key), Value: header.Value})
	}
	program.EmitRecord(m.Partition, m.Offset, m.Timestamp.UnixMilli(), m.Key, m.Value, headers)
}

func consume(a program.Arguments) {
	consumer, err := sarama.NewConsumer([]string{a.Bootstrap}, config())
	program.Check(err)
	messages := make(chan *sarama.ConsumerMessage)
	for partition := range a.Partitions {
		part, err := consumer.ConsumePartition(a.Topic, partition, sarama.OffsetOldest)
		program.Check(err)
		go func() {
			for message := range part.Messages() {
				messages <- message
			}
		}()
	}
	for range a.Count {
		show(<-messages)
	}
}

// member remembers the session of the current generation, since sarama commits through it.
type member struct {
	topic   string
	mutex   sync.Mutex
	session sarama.ConsumerGroupSession
}

func (m *member) set(session sarama.ConsumerGroupSession, partitions []int32) error {
	m.mutex.Lock()
	m.session = session
	m.mutex.Unlock()
	program.Emit("assigned", map[string]any{"partitions": partitions})
	return nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	return m.set(session, append([]int32{}, session.Claims()[m.topic]...))
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return m.set(nil, []int32{}) }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			show(message)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

// commit sends the marked offsets; sarama reports a refusal on the group's error channel, so the
// tests look at the committed offsets themselves.
func (m *member) commit() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.session == nil {
		program.Emit("commit_failed", map[string]any{"error": "between two generations"})
		return
	}
	m.session.Commit()
	program.Emit("committed", nil)
}

func group(a program.Arguments) {
	c := config()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = 10 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	c.Consumer.Group.Rebalance.Retry.Max = forever
	c.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond
	consumer, err := sarama.NewConsumerGroup([]string{a.Bootstrap}, a.Group, c)
	program.Check(err)
	m := &member{topic: a.Topic}
	consuming, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for consuming.Err() == nil {
			if err := consumer.Consume(consuming, []string{a.Topic}, m); err != nil && !errors.Is(err, context.Canceled) {
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
	program.Commands(func(string) { m.commit() })
	stop()
	done.Wait()
	program.Check(consumer.Close())
}

func main() {
	program.Main(map[string]func(program.Arguments){
		"create": create, "produce": produce, "consume": consume, "group": group,
	})
}
