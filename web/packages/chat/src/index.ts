export { ChatClient } from './client'
export { systemClock, type Clock } from './clock'
export { previewOf } from './fold'
export { newCid } from './ids'
export { ChatProblem, LOCAL_PROBLEMS, problemOf, type Problem } from './problem'
export type * from './protocol'
export {
  memoryStorage,
  uniStorage,
  webStorage,
  type BlobStore,
  type ChatStorage,
  type MiniProgramStorage,
} from './storage'
export { socketIoTransport, type SocketIoOptions, type Transport, type WebSocketLike } from './transport'
export type * from './types'
export { wxWebSocket, type ConnectSocket, type SocketTask } from './wx-websocket'
