import { Api, fetchTransport, type Transport } from '@banshi/api'
import { connection } from './state/connection'

/** What the session module does when the server no longer knows us; see `state/session.ts`. */
export const door = {
  /** Resolves to true once the same person has logged in again and refused calls may be repeated. */
  again: async (): Promise<boolean> => false,
  /** The server demands a new password before anything else. */
  mustChangePassword: (): void => undefined,
}

const carry = fetchTransport()

const transport: Transport = async (request) => {
  try {
    const response = await carry(request)
    connection.online = true
    if (response.status === 403 && response.text.includes('"password-change-required"')) door.mustChangePassword()
    return response
  } catch (error) {
    if (!request.signal?.aborted) connection.online = false
    throw error
  }
}

/** All calls of the desk. The session is a cookie; a call refused because it ended waits until we are logged in again. */
export const api = new Api({ transport, refresh: () => door.again() })
