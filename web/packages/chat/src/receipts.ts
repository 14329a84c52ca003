/** How far this person is: told to the server where it does not know yet. */
import { LOST, type Connection } from './connection'
import type { Conversation } from './conversations'
import type { Operation, Party } from './protocol'

/**
 * Tell what changed, once each. Answers after how many milliseconds to try again; undefined when all is told, or
 * when there is no connection: the next one begins with it.
 */
export async function tellReceipts(
  conversations: Iterable<Conversation>,
  connection: Connection,
  me: Party,
): Promise<number | undefined> {
  for (const known of [...conversations]) {
    if (!connection.status.online) return undefined
    const { conv, joined, log, read, told } = known
    const news = log.ops.slice(told.delivered).some((op) => isOthers(op, me))
    const delivered = Math.max(read, news ? log.seq : told.delivered)
    if (!joined || (delivered <= told.delivered && read <= told.read)) continue
    const answer = await connection.ask('rcpt', { conv, delivered, read })
    if (answer === LOST) return undefined
    if (!answer.ok && answer.retry) return answer.after_ms ?? 1_000
    // refused for good: not to be told
    known.told = { delivered, read }
  }
  return undefined
}

function isOthers(op: Operation, me: Party): boolean {
  return op.kind === 'message' && !(op.from?.kind === me.kind && op.from.id === me.id)
}
