// A module of its own, since the build names what is fetched later after its path, which must lie within these sources.
export { ChatClient, socketIoTransport, uniStorage, webStorage, wxWebSocket } from '@banshi/chat'
