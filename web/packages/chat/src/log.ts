import type { Operation } from './protocol'

/** What this device has of one consultation's log: operations 1 … `seq` of one epoch, without gaps. */
export class LocalLog {
  epoch = 0
  ops: Operation[] = []
  private ahead = new Map<number, Operation>()

  constructor(readonly conv: string) {}

  get seq(): number {
    return this.ops.length
  }

  /** Operations are kept aside until what lies before them is there. */
  get gap(): boolean {
    return this.ahead.size > 0
  }

  /** Take one operation in, and what waited for it. Answers what was applied, in order. */
  add(op: Operation): Operation[] {
    if (op.epoch !== this.epoch) this.reset(op.epoch)
    if (op.seq <= this.seq) return []
    this.ahead.set(op.seq, op)
    const applied: Operation[] = []
    for (let next = this.ahead.get(this.seq + 1); next; next = this.ahead.get(this.seq + 1)) {
      this.ahead.delete(next.seq)
      this.ops.push(next)
      if (next.kind === 'recall') this.empty(next)
      applied.push(next)
    }
    return applied
  }

  /** The server's log is another one: begin again. */
  reset(epoch: number): void {
    this.epoch = epoch
    this.ops = []
    this.ahead.clear()
  }

  at(seq: number): Operation | undefined {
    return this.ops[seq - 1]
  }

  /** What was recalled is not kept on the device either; the log is then what the server would give anew. */
  private empty(recall: Operation): void {
    const target = recall.body?.target_seq
    this.ops.forEach((op, i) => {
      if (op.kind === 'message' && op.seq === target) {
        const body = { text: '', attachments: [], location: null, card: null, reply_to: null }
        this.ops[i] = { ...op, body, recalled_by: recall.seq }
      } else if (op.kind === 'edit' && op.body?.target_seq === target) {
        this.ops[i] = { ...op, body: { ...op.body, text: '' }, recalled_by: recall.seq }
      }
    })
  }
}
