/** Photographs: the bytes kept until they are on the server, one upload per id at a time. */
import { ChatProblem, LOCAL_PROBLEMS } from './problem'
import type { BlobStore } from './storage'
import type { PendingPhoto, Upload } from './types'

/** Begin of the references of bytes that are kept here. */
export const OWN_BYTES = 'photo:'

export class Uploader {
  private bytes = new Map<string, unknown>()
  private controllers = new Set<AbortController>()

  constructor(
    private readonly send: Upload | undefined,
    private readonly blobs: BlobStore | undefined,
  ) {}

  /** Keep the bytes; resolves when they would survive a reload. Rejects where nothing keeps them. */
  async keep(ref: string, data: unknown): Promise<void> {
    this.bytes.set(ref, data)
    await this.blobs?.put(ref, data)
  }

  /** Upload one photograph. Throws what the app's upload throws, and `photo-gone`. */
  async upload(photo: PendingPhoto, progressed: () => void): Promise<void> {
    if (!this.send) throw new Error('ChatOptions.upload is needed for photographs')
    const source = { ref: photo.ref, name: photo.name, mediaType: photo.mediaType, data: await this.find(photo.ref) }
    const controller = typeof AbortController === 'undefined' ? undefined : new AbortController()
    if (controller) this.controllers.add(controller)
    try {
      photo.progress = 0
      progressed()
      await this.send(
        source,
        photo.uploadId,
        (fraction) => {
          photo.progress = Math.min(1, Math.max(photo.progress, fraction))
          progressed()
        },
        controller?.signal,
      )
      photo.progress = 1
      photo.uploaded = true
      progressed()
    } finally {
      if (controller) this.controllers.delete(controller)
    }
  }

  async forget(ref: string): Promise<void> {
    this.bytes.delete(ref)
    if (ref.startsWith(OWN_BYTES)) await this.blobs?.remove(ref).catch(() => undefined)
  }

  stop(): void {
    for (const controller of this.controllers) controller.abort()
  }

  /** The bytes, undefined where `ref` is a path that the app's upload reads. */
  private async find(ref: string): Promise<unknown> {
    if (!ref.startsWith(OWN_BYTES)) return undefined
    const data = this.bytes.get(ref) ?? (await this.blobs?.get(ref).catch(() => undefined))
    if (data === undefined || data === null) throw new ChatProblem(LOCAL_PROBLEMS.photoGone)
    return data
  }
}
