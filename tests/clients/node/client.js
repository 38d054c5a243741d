// kafkajs as a client program. See ../README.md.
'use strict'

const readline = require('node:readline')
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require('kafkajs')
const { ZstdCodec } = require('zstd-codec')

const Lz4 = require('@2l/kafkajs-lz4')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = new (Lz4.default ?? Lz4)().codec

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
const BATCH = 200
const FOREVER = { initialRetryTime: 100, maxRetryTime: 1000, retries: 1000, restartOnFailure: async () => true }

const emit = (event, values) => process.stdout.write(JSON.stringify({ event, ...values }) + '\n')
const hex = (data) => (data == null ? null : data.toString('hex'))
const unhex = (text) => (text === null ? null : Buffer.from(text, 'hex'))

function fail(error) {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
}

// A consumer that kafkajs does not restart by itself has given up.
function failOnCrash(consumer) {
  consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => restart || fail(error))
}

function connect(bootstrap) {
  const retry = FOREVER
  return new Kafka({ clientId: 'fjord-tests', brokers: [bootstrap], logLevel: logLevel.WARN, logCreator: () => log, retry })
}

const log = ({ label, log: { message } }) => process.stderr.write(`${label} ${message}\n`)

// zstd comes as WebAssembly, which has to be loaded before the first batch.
function loadZstd() {
  return new Promise((resolve) =>
    ZstdCodec.run((zstd) => {
      // Streaming: frames of other producers need not name their content's size.
      const codec = new zstd.Streaming()
      CompressionCodecs[CompressionTypes.ZSTD] = () => ({
        compress: async (encoder) => Buffer.from(codec.compress(encoder.buffer)),
        decompress: async (buffer) => Buffer.from(codec.decompress(buffer)),
      })
      resolve()
    }),
  )
}

async function create({ bootstrap, topic, partitions }) {
  const admin = connect(bootstrap).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }] })
  await admin.disconnect()
  emit('created')
}

// kafkajs takes headers as a map; a repeated name has a list of values.
function headersFrom(list) {
  const headers = {}
  for (const [name, value] of list) (headers[name] ??= []).push(unhex(value))
  return headers
}

function headersTo(headers) {
  return Object.entries(headers ?? {}).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values]).map((value) => [name, hex(value)]),
  )
}

async function produce({ bootstrap, topic, codec }) {
  const producer = connect(bootstrap).producer({ idempotent: true, maxInFlightRequests: 1, retry: FOREVER })
  await producer.connect()
  const waiting = []
  let index = 0
  let ended = false
  let wake = () => {}
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', (line) => wake(waiting.push(JSON.parse(line))))
  lines.on('close', () => wake((ended = true)))
  while (!ended || waiting.length > 0) {
    if (waiting.length === 0) await new Promise((resolve) => (wake = resolve))
    const batch = waiting.splice(0, BATCH)
    if (batch.length === 0) continue
    index = await sendBatch(producer, topic, codec, batch, index)
  }
  await producer.disconnect()
}

// kafkajs acknowledges a batch by the first offset of each partition.
async function sendBatch(producer, topic, codec, batch, firstIndex) {
  const messages = batch.map(({ partition, key, value, headers, timestamp }, i) => ({
    partition: partition ?? partitionOf(key, firstIndex + i),
    key: unhex(key),
    value: unhex(value),
    headers: headersFrom(headers),
    ...(timestamp !== null && { timestamp: String(timestamp) }),
  }))
  const results = await producer.send({ topic, messages, acks: -1, compression: CODECS[codec] })
  const next = new Map(results.map((result) => [result.partition, Number(result.baseOffset)]))
  messages.forEach(({ partition }, i) => {
    const offset = next.get(partition)
    next.set(partition, offset + 1)
    emit('delivered', { index: firstIndex + i, partition, offset })
  })
  return firstIndex + batch.length
}

// The result of a batch names partitions, not records, so the program has to know where a record goes.
const PARTITIONS = 6
const partitionOf = (key, index) =>
  key === null ? index % PARTITIONS : [...unhex(key)].reduce((sum, byte) => (sum * 31 + byte) % 65521, 7) % PARTITIONS

function show(partition, { offset, timestamp, key, value, headers }) {
  const named = headersTo(headers)
  emit('record', { partition, offset: Number(offset), timestamp: Number(timestamp), key: hex(key), value: hex(value), headers: named })
}

// kafkajs reads only in groups: a new one for every run reads from the beginning.
async function consume({ bootstrap, topic, count }) {
  const consumer = connect(bootstrap).consumer({ groupId: `consume-${process.pid}-${Date.now()}`, maxWaitTimeInMs: 200 })
  failOnCrash(consumer)
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let left = count
  const enough = new Promise((resolve) => {
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        show(partition, message)
        if (--left === 0) resolve()
      },
    })
  })
  await enough
  await consumer.disconnect()
}

async function group({ bootstrap, topic, group }) {
  const consumer = connect(bootstrap).consumer({
    groupId: group,
    sessionTimeout: 10_000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 200,
    retry: FOREVER,
  })
  let owned = []
  let positions = new Map()
  const own = (partitions) => {
    owned = partitions
    positions = new Map()
    emit('assigned', { partitions })
  }
  consumer.on(consumer.events.REBALANCING, () => own([]))
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => own(payload.memberAssignment[topic] ?? []))
  failOnCrash(consumer)
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      show(partition, message)
      positions.set(partition, Number(message.offset) + 1)
    },
  })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (JSON.parse(line).command === 'stop') break
    await commit(consumer, topic, positions, owned)
  }
  await consumer.disconnect()
}

async function commit(consumer, topic, positions, owned) {
  const offsets = [...positions].filter(([partition]) => owned.includes(partition))
  try {
    const commits = offsets.map(([partition, offset]) => ({ topic, partition, offset: String(offset) }))
    if (commits.length > 0) await consumer.commitOffsets(commits)
    emit('committed')
  } catch (error) {
    emit('commit_failed', { error: String(error) })
  }
}

const commands = { create, produce, consume, group }
loadZstd()
  .then(() => commands[process.argv[2]](JSON.parse(process.argv[3])))
  // What was written to a pipe may still be under way; exit would cut it off.
  .then(() => process.stdout.write('', () => process.exit(0)))
  .catch(fail)
