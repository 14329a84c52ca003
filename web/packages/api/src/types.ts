import type { components, paths } from './schema'

export type Schemas = components['schemas']
export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'

/** Paths that know the method `M`. */
export type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends { [K in M]: { responses: unknown } } ? P : never
}[keyof paths]

type Operation<P extends keyof paths, M extends Method> = paths[P] extends { [K in M]: infer O } ? O : never

type Parameters<O> = O extends { parameters: infer Q } ? Q : never
type PathOf<O> = Parameters<O> extends { path: infer V } ? { path: V } : { path?: undefined }
type QueryOf<O> =
  Parameters<O> extends { query: infer V }
    ? { query: V }
    : Parameters<O> extends { query?: infer V }
      ? { query?: Exclude<V, undefined> }
      : { query?: undefined }
type JsonBody<O> = O extends { requestBody: { content: { 'application/json': infer B } } }
  ? { body: B }
  : O extends { requestBody?: { content: { 'application/json': infer B } } }
    ? { body?: B }
    : { body?: undefined }

export interface CallOptions {
  /** Makes a write that is repeated the same write. A fresh one is made where none is given. */
  idempotencyKey?: string
  signal?: AbortSignal
}

/** What a call takes: `path`, `query` and `body` as the server's documents name them. */
export type Input<P extends keyof paths, M extends Method> = PathOf<Operation<P, M>> &
  QueryOf<Operation<P, M>> &
  JsonBody<Operation<P, M>> &
  CallOptions

type Json<R> = R extends { content: { 'application/json': infer B } } ? B : undefined
type Good<R> = {
  [S in keyof R]: S extends 200 | 201 | 202 | 204 ? Json<R[S]> : never
}[keyof R]

/** What a call gives when it succeeds. */
export type Output<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { responses: infer R } ? Good<R> : never
