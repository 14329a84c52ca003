import type { BlobStore } from '@banshi/chat'

const STORE = 'photos'

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('banshi-desk', 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

async function run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await open()
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(STORE, mode)
      const request = work(transaction.objectStore(STORE))
      transaction.oncomplete = () => resolve(request.result)
      transaction.onerror = transaction.onabort = () => reject(transaction.error)
    })
  } finally {
    database.close()
  }
}

/** Keeps the bytes of photographs through a reload until the server has them. */
export const blobStore: BlobStore = {
  put: async (ref, data) => void (await run('readwrite', (store) => store.put(data, ref))),
  get: (ref) => run('readonly', (store) => store.get(ref) as IDBRequest<unknown>),
  remove: async (ref) => run('readwrite', (store) => store.delete(ref)),
}
