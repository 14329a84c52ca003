// A peer of bench_chat: durable, ordered, deduplicated chat on socket.io, MongoDB and the Redis adapter.
//
//   node server.js naive   the usual recipe: a counter document per conversation, one insert per message
//   node server.js group   numbers in memory, and one insertMany in flight takes what queued meanwhile
//
// Both acknowledge after a majority has it in the journal, and know a retry by the unique (conv, cid). With
// `group` a conversation may be written by one process only, and a duplicate leaves its number unused: what
// a product needs beyond that (several writers, no gaps, access checks, replay) is not here and costs nothing.
import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-adapter'
import { MongoClient } from 'mongodb'
import { createClient } from 'redis'
import { Server } from 'socket.io'

const DUPLICATE = 11000
const mongo = await new MongoClient(process.env.MONGO_URL, { w: 'majority', journal: true }).connect()
const database = mongo.db(process.env.PEER_DATABASE)
const messages = database.collection('messages')
const counters = database.collection('counters')
await messages.createIndex({ conv: 1, cid: 1 }, { unique: true })
await messages.createIndex({ conv: 1, seq: 1 }, { unique: true })

const publisher = createClient({ url: process.env.REDIS_URL })
const subscriber = publisher.duplicate()
await Promise.all([publisher.connect(), subscriber.connect()])

const http = createServer()
const io = new Server(http, {
  transports: ['websocket'],
  adapter: createAdapter(publisher, subscriber, { key: process.env.PEER_DATABASE }),
})

const existing = ({ conv, cid }) => messages.findOne({ conv, cid })

async function naive(message) {
  const counted = await counters.findOneAndUpdate(
    { _id: message.conv },
    { $inc: { seq: 1 } },
    { upsert: true, returnDocument: 'after' },
  )
  const document = { ...message, seq: counted.seq }
  try {
    await messages.insertOne(document)
    return { document, dup: false }
  } catch (error) {
    if (error.code !== DUPLICATE) throw error
    return { document: await existing(message), dup: true }
  }
}

const newest = new Map()
let waiting = []
let writing = false

async function nextNumber(conv) {
  if (!newest.has(conv)) {
    const last = messages.find({ conv }).sort({ seq: -1 }).limit(1).next()
    newest.set(conv, last.then((found) => ({ seq: found?.seq ?? 0 })))
  }
  const counter = await newest.get(conv)
  return ++counter.seq
}

async function group(message) {
  const document = { ...message, seq: await nextNumber(message.conv) }
  return new Promise((resolve, reject) => {
    waiting.push({ document, resolve, reject })
    if (!writing) void write()
  })
}

async function write() {
  writing = true
  while (waiting.length > 0) {
    const batch = waiting
    waiting = []
    try {
      const failed = new Map()
      try {
        await messages.insertMany(
          batch.map(({ document }) => document),
          { ordered: false },
        )
      } catch (error) {
        if (!error.writeErrors) throw error
        for (const one of [error.writeErrors].flat()) failed.set(one.index, one)
      }
      for (const [index, { document, resolve, reject }] of batch.entries()) {
        const error = failed.get(index)
        if (!error) resolve({ document, dup: false })
        else if (error.code === DUPLICATE) existing(document).then((found) => resolve({ document: found, dup: true }))
        else reject(error)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
  writing = false
}

const commit = { naive, group }[process.argv[2]]

io.on('connection', (socket) => {
  const { pair, user } = socket.handshake.auth
  socket.join(pair)
  socket.on('msg:send', async (data, answer) => {
    try {
      const message = { conv: data.conv, cid: data.cid, from: user, ts: new Date(), body: data.body }
      const { document, dup } = await commit(message)
      const { _id, ...shown } = document
      if (!dup) io.to(document.conv).emit('op', { ...shown, id: _id })
      answer({ ok: true, id: _id, seq: document.seq, ts: document.ts, dup })
    } catch (error) {
      answer({ ok: false, problem: { detail: String(error) } })
    }
  })
})

http.listen(0, '127.0.0.1', () => console.log(http.address().port))
